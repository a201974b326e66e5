//! Wrong input: one clear line each, and nothing changes.

use super::host;
use crate::harness::run;

#[test]
fn what_is_typed_wrongly_is_named_in_one_line() {
    let mut here = host();
    let cases = [
        ("=x", "Command '=x' does not exist."),
        ("=foo bar", "Command '=foo' does not exist."),
        ("=t9090x", "is no place to listen at"),
        ("= px", "Unknown host"),
        ("=7", "Unknown host"),
        ("=99999999999999999999999 px", "is not a number"),
        ("=-x", "is not a number"),
        ("==4", "Unknown host"),
        ("=!= 3", "Unknown host"),
        ("=!=x", "is not a number"),
        ("=<", "the command whose output is to be sent is missing"),
        ("=< 0 px", "Unknown host"),
        ("=+", "wrong number of arguments"),
        ("=+ gopher://h:1/", "Unknown protocol 'gopher'"),
        ("=+ é://h:1/", "Unknown protocol ''"),
        ("=+ tcp://h", "host and port are needed"),
        ("=+ udp://:5", "host and port are needed"),
        ("=+ http://[::1/", "bad address"),
        ("=+ unix://", "unix:// needs the path of a socket"),
        ("=+ unix:///no/such/socket", "cannot connect to /no/such/socket"),
        ("=+ \"rap://me:secret@h:1/\"", "takes no name and password"),
        ("=r", "wrong number of arguments"),
        ("=r host", "is no place to listen at"),
        ("=r 99999", "the port is not a number"),
        ("=r --nosuch 1234", "servers have no flag '--nosuch'"),
        ("=t 127.0.0.1:1 px", "cannot connect to 127.0.0.1:1: Connection refused"),
        ("=&t 1 2", "is no place to listen at"),
        ("=l- x", "is not a number"),
        ("=lk", "wrong number of arguments"),
        ("=h nosuch", "'nosuch' is no place to listen at"),
        ("=H http+unix:///nosuch/x", "browsers know no Unix sockets"),
    ];
    for (line, says) in cases {
        let said = run(&mut here, line);
        assert_eq!((said.out.as_str(), said.err.lines().count()), ("", 1), "{line}: {said:?}");
        assert!(said.err.starts_with("Error: ") && said.err.contains(says), "{line}: {said:?}");
        assert!(!said.err.contains("secret"), "{said:?}");
    }
    assert_eq!(run(&mut here, "=;=l").out, "");
    assert_eq!((here.view.remote, here.view.seek), (None, 0));
}

#[test]
fn a_port_that_is_taken_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let said = run(&mut host(), &format!("=&r {port}"));
    assert_eq!(said.err, format!("Error: cannot listen at 127.0.0.1:{port}: Address already in use\n"));
}

#[test]
fn a_session_that_is_not_a_prompt_starts_no_servers() {
    let said = run(&mut crate::harness::session("malloc://16"), "=&r 0");
    assert!(said.err.starts_with("Error: servers are started at the prompt"), "{said:?}");
}

#[test]
fn the_help_shows_every_row_in_both_spellings() {
    let help = run(&mut host(), "=?").out;
    let rows = [
        "=[j*] [<fd>] [<cmd>]",
        "=< [<fd>] [<cmd>]",
        "=! [<cmd>]",
        "=+ <[proto://]host:port>",
        "=- [<fd>]",
        "== [<fd>]",
        "=!= [<fd>]",
        "!=!",
        "=r <[host:]port> [<cmd>]",
        "=g <[host:]port> [<program [args]>]",
        "=h [<[host:]port>]",
        "=h& [<[host:]port>]",
        "=h-",
        "=h* [<[host:]port>]",
        "=H [<[host:]port>]",
        "=t <[host:]port> [<cmd>]",
        "=&r <[host:]port>",
        "=l[j]",
        "=l- <server>",
        "=lk <client>",
    ];
    for row in rows {
        // A long row has its explanation below.
        let shows = |help: &str, row: &str| {
            help.lines().any(|line| line == format!("| {row}") || line.starts_with(&format!("| {row} ")))
        };
        assert!(shows(&help, row), "{row}:\n{help}");
        let later = row.replacen("!=!", "=!", 1).replacen('=', "R", 1);
        let later = if row == "!=!" { "R=!".to_string() } else { later };
        assert!(shows(&run(&mut host(), "R?").out, &later), "{later}");
    }
}
