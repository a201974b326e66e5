//! `--root`: nothing that names a path leads out of it.

use std::os::unix::fs::symlink;

use super::*;

/// A server beneath `in`, with a secret beside it and every kind of way out prepared.
fn rooted() -> Guarded {
    Guarded::start("rap+unix", |options| {
        let top = options.state.as_ref().unwrap().parent().unwrap().to_path_buf();
        let inside = top.join("in");
        std::fs::create_dir_all(inside.join("deep")).unwrap();
        std::fs::write(top.join("secret"), "5ec2e7").unwrap();
        std::fs::write(inside.join("file"), "f11e").unwrap();
        std::fs::write(inside.join("deep/script"), "?e from a script").unwrap();
        symlink(top.join("secret"), inside.join("absolute")).unwrap();
        symlink("../secret", inside.join("relative")).unwrap();
        symlink("..", inside.join("up")).unwrap();
        symlink("/proc/self/root", inside.join("magic")).unwrap();
        options.root = Some(inside);
        options.permissions = Permissions::READ.and(Permissions::WRITE).and(Permissions::FILES);
    })
}

fn ways_out(server: &Guarded) -> Vec<String> {
    let secret = server.path("secret").display().to_string();
    let mut ways: Vec<String> =
        ["../secret", "/../secret", "deep/../../secret", "absolute", "relative", "up/secret", "/up/secret"]
            .map(str::to_string)
            .to_vec();
    ways.push(format!("magic{secret}"));
    ways.push(format!("/proc/self/root{secret}"));
    ways.push(secret);
    ways
}

#[test]
fn nothing_is_read_from_outside() {
    let server = rooted();
    let mut device = server.open("malloc://64", Security::default()).unwrap();
    for way in ways_out(&server) {
        let error = server.refusal(&way, Security::default());
        assert!(matches!(error.kind(), Kind::NotFound | Kind::Permission), "{way}: {error}");
        for line in [
            "o {W}; p8 6",
            "o file://{W}; p8 6",
            "on {W}; p8 6",
            "of {W}; p8 6 @o:4",
            "o nocache://{W}; p8 6",
            "o gzip://{W}",
            "o zip://{W}//x",
            "o zip://{W}::0",
            "o ihex://{W}",
            "o srec://{W}",
            "o zip://file//../{W}",
            "wff {W}; p8 6",
            "wxf {W}; p8 6",
            "cf {W}",
            "yf 6 {W}; yp",
            "yfa {W}; yp",
            ". {W}",
            "p8 6 @f:{W}",
            "?v $$ @@.{W}",
            "cat {W}",
            "cd {W}/..; ls",
            "ls {W}",
            "oo; p8 6",
        ] {
            let line = line.replace("{W}", &way);
            let said = text_there(&mut *device, &line).to_lowercase();
            for leak in ["5ec2e7", "356563326537", "secret\n", "audit.jsonl"] {
                assert!(!said.contains(leak), "{line}: {said}");
            }
            text_there(&mut *device, "o-*; cd; o malloc://64");
        }
    }
}

#[test]
fn nothing_is_changed_outside() {
    let server = rooted();
    let mut device = server.open("malloc://64", Security::default()).unwrap();
    for way in ways_out(&server) {
        for line in [
            "o+ {W}; w x",
            "o++ {W}; w x",
            "o++ {W}.new",
            "p8 > {W}",
            "p8 >> {W}",
            "nosuch 2> {W}",
            "p8 > {W}.new",
            "wt {W}",
            "wta {W}",
            "wtf {W}",
            "wtff {W}",
            "wtf! {W}",
            "yw x; ytf {W}",
            "mkdir {W}/new",
            "mkdir {W}.new",
        ] {
            text_there(&mut *device, &line.replace("{W}", &way));
            text_there(&mut *device, "o-*; cd; o+ malloc://64");
            assert_eq!(read_text(&server.path("secret")), "5ec2e7", "{line} {way}");
        }
        // To remove a link is fine; what it leads to stays.
        text_there(&mut *device, &format!("rm {way}"));
        assert_eq!(read_text(&server.path("secret")), "5ec2e7", "rm {way}");
    }
    let mut outside: Vec<String> = std::fs::read_dir(server.directory.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    outside.sort();
    assert_eq!(outside, ["audit.jsonl", "in", "secret", "socket"]);
}

#[test]
fn inside_paths_mean_what_they_look_like() {
    let server = rooted();
    let mut device = server.open("/file", Security::default()).unwrap();
    let mut bytes = [0; 4];
    device.read_at(0, &mut bytes).unwrap();
    assert_eq!(&bytes, b"f11e");
    for (line, said) in [
        ("pwd", "/\n"),
        ("cat file; cat /file; cat deep/../file", "f11ef11ef11e\n"),
        (". deep/script", "from a script\n"),
        ("cd deep; pwd; ls; cat ../file", "/deep\nscript\nf11e\n"),
        ("cd; pwd", "/\n"),
        ("p8 2 > deep/made; cat /deep/made; rm deep/made", "6631\n"),
        ("mkdir a/b; cd a/b; pwd; cd", "/a/b\n"),
        ("p8 4 @f:file", "66313165\n"),
    ] {
        assert_eq!(text_there(&mut *device, line), said, "{line}");
    }
}

#[test]
fn what_cannot_be_kept_beneath_is_refused() {
    let server = rooted();
    let mut device = server.open("malloc://64", Security::default()).unwrap();
    for line in ["wh sh", "o fd://0"] {
        let said = text_there(&mut *device, line);
        assert!(said.contains("cannot be kept beneath the served directory"), "{line}: {said}");
    }
    for allowed in ["exec", "debug"] {
        let words = ["--root", "/tmp", "--allow", allowed].map(str::to_string);
        let error = serve::arguments::parse(&words).err().unwrap();
        assert!(error.to_string().contains("programs are not kept beneath a directory"), "{error}");
    }
}
