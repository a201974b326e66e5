//! The page, clicked and typed through in a real browser.

use serde_json::json;

use super::Web;
use super::browser::{Browser, ENTER, ESCAPE, TAB};

pub const READY: &str = "document.body.dataset.ready === 'true'";

/// Opens the page of `web` as the printed URL does.
fn opened(web: &Web) -> Option<Browser> {
    let browser = Browser::new()?;
    browser.open(&format!("http://{}/#code={}", web.address, web.code()));
    browser.wait(READY);
    Some(browser)
}

/// The text of the bytes of the first row.
pub const ROW: &str = "document.querySelector('.hex-row .bytes').textContent";

/// Nothing was said on the browser's console that is wrong.
pub fn quiet(browser: &Browser) {
    let log = browser.log();
    let worse: Vec<&String> = log.iter().filter(|line| line.contains("SEVERE") || line.contains("WARNING")).collect();
    assert!(worse.is_empty(), "{worse:?}");
}

#[test]
fn bytes_are_shown_edited_and_undone() {
    let mut web = Web::with("malloc://8192", "wx 7f454c46; w needle @ 0x1800", "");
    let Some(browser) = opened(&web) else { return };
    browser.wait(&format!("{ROW}.startsWith('7f454c46')"));
    assert_eq!(browser.script("return location.hash"), json!("#0x0"));
    // Keys move, digits write, u takes back.
    browser.keys("lli");
    browser.wait("document.querySelector('.editing')");
    browser.keys("aabb");
    browser.wait("document.querySelector('#undo').textContent === 'Undo (2)'");
    browser.wait(&format!("{ROW}.startsWith('7f45aabb')"));
    assert_eq!(web.prompt("p8 4"), "7f45aabb\n");
    browser.keys(&format!("{TAB}Z{ESCAPE}"));
    browser.wait("document.querySelector('#undo').textContent === 'Undo (3)'");
    browser.keys("uuu");
    browser.wait(&format!("document.querySelector('#undo').disabled && {ROW}.startsWith('7f454c46')"));
    assert_eq!(web.prompt("p8 6"), "7f454c460000\n");
    // What the bytes are as numbers.
    browser.keys("gg");
    browser.wait("document.querySelector('#inspect dd:nth-of-type(5)').textContent === '1179403647'");
    // Another client's write shows by itself.
    web.post("/api/v1/run", &json!({ "command": "wx ff @ 0" }));
    browser.wait(&format!("{ROW}.startsWith('ff454c46')"));
    quiet(&browser);
}

#[test]
fn addresses_lead_anywhere_and_into_links() {
    let web = Web::with("malloc://8192", "f there 8 @ 0x1800", "");
    let Some(browser) = opened(&web) else { return };
    browser.keys("go");
    browser.keys(&format!("there+8{ENTER}"));
    browser.wait("location.hash === '#0x1808'");
    browser.keys(&format!("go0xfffffffffffffff8{ENTER}"));
    browser.wait("location.hash === '#0xfffffffffffffff8'");
    browser.wait("document.querySelector('.here').textContent === '··'");
    browser.keys("jjjlllllllllll");
    browser.wait("document.querySelector('#where').textContent.startsWith('0xffffffffffffffff')");
    browser.keys("o");
    browser.wait("location.hash === '#0x1808'");
    browser.keys("gg");
    browser.wait("location.hash === '#0x0'");
    browser.keys("G");
    browser.wait("location.hash === '#0x1fff'");
    browser.open(&format!("http://{}/#0x1234", web.address));
    browser.script("location.reload()");
    browser.wait(&format!("{READY} && document.querySelector('#where').textContent.startsWith('0x00001234')"));
    browser.keys(&format!("gonosuch{ENTER}"));
    browser.wait("document.querySelector('#state.trouble').textContent.includes('nosuch')");
}

#[test]
fn searches_and_lists_lead_to_addresses() {
    let web = Web::with("malloc://8192", "w needle @ 0x1800; f.here = 1; f first 1 @ 0x10; f second 1 @ 0x20", "");
    let Some(browser) = opened(&web) else { return };
    browser.keys(&format!("/needle{ENTER}"));
    browser.wait("document.querySelector('#search-state').textContent === '1 hit'");
    browser.click(".row");
    browser.wait("location.hash === '#0x1800'");
    browser.click("#tab-flags");
    browser.wait("[...document.querySelectorAll('.row .name')].some((row) => row.textContent === 'second')");
    browser.click(".list-head input");
    browser.keys(&format!("seco{ENTER}"));
    browser.wait("location.hash === '#0x20'");
    assert_eq!(browser.script("return document.querySelectorAll('.row').length"), json!(1));
    for tab in ["comments", "maps", "files", "hosts", "servers"] {
        browser.click(&format!("#tab-{tab}"));
        browser.wait(&format!("document.querySelector('#tab-{tab}').getAttribute('aria-selected') === 'true'"));
    }
    browser.wait("document.querySelector('.row .name').textContent.includes('http')");
    quiet(&browser);
}

#[test]
fn the_console_runs_completes_remembers_and_stops() {
    let web = Web::with("malloc://8192", "", "");
    let Some(browser) = opened(&web) else { return };
    browser.keys(&format!(":wx 4142; p8 2{ENTER}"));
    browser.wait("document.querySelector('#console .said')?.textContent === '4142'");
    browser.wait(&format!("{ROW}.startsWith('4142')"));
    browser.keys(&format!("s 0x40{ENTER}"));
    browser.wait("document.querySelector('#prompt-text').textContent === '[0x00000040]>'");
    browser.wait("location.hash === '#0x40'");
    browser.keys(&format!("nosuchcommand{ENTER}"));
    browser.wait("document.querySelector('#console .failed').textContent.includes('nosuchcommand')");
    // The line before the last.
    browser.keys("\u{e013}\u{e013}");
    browser.wait("document.querySelector('#line').value === 's 0x40'");
    browser.script("document.querySelector('#line').value = ''");
    browser.keys(&format!("p-{TAB}"));
    browser.wait("document.querySelectorAll('#completions li').length > 1");
    browser.keys(ESCAPE);
    browser.wait("document.querySelector('#completions').hidden");
    browser.script("document.querySelector('#line').value = ''");
    browser.keys(&format!("sleep 3600{ENTER}"));
    browser.wait("!document.querySelector('#stop').hidden || document.querySelectorAll('#console .failed').length > 1");
    if browser.script("return !document.querySelector('#stop').hidden") == json!(true) {
        browser.click("#stop");
    }
    browser.wait("document.querySelector('#stop').hidden");
}

#[test]
fn strings_of_targets_are_text() {
    let evil = "<img src=x onerror=document.title=1><script>document.title=2</script>";
    let mut web = Web::with("malloc://8192", "", "");
    web.prompt(&format!("w '{evil}'; CC '{evil}' @ 0x10"));
    web.prompt("w \"\\x1b]0;title\\x07\" @ 0x100");
    let Some(browser) = opened(&web) else { return };
    browser.click("#tab-comments");
    browser.wait("document.querySelector('.row .name')?.textContent.includes('<img')");
    browser.keys(ESCAPE);
    browser.keys(&format!(":ps 80; ps 16 @ 0x100; CC{ENTER}"));
    browser.wait("document.querySelector('#console').textContent.includes('<script>')");
    assert_eq!(
        browser.script("return document.querySelectorAll('img, #console script, #side script').length"),
        json!(0)
    );
    let title = browser.script("return document.title");
    assert!(title.as_str().unwrap().ends_with("remora"), "{title}");
    assert_eq!(
        browser.script("return document.querySelector('#console').textContent.includes('\\u001b')"),
        json!(false)
    );
}

#[test]
fn who_is_not_signed_in_is_asked_for_the_token() {
    let web = Web::with("malloc://64", "wx 41", "");
    let Some(browser) = Browser::new() else { return };
    browser.open(&format!("http://{}/", web.address));
    browser.wait("document.querySelector('#sign-in').open");
    browser.picture("sign-in");
    browser.click("#token");
    browser.keys(&format!("wrong{ENTER}"));
    browser.wait("document.querySelector('#sign-in-error').textContent.length > 0");
    browser.script("document.querySelector('#token').value = ''");
    browser.click("#token");
    browser.keys(&format!("{}{ENTER}", super::READER));
    browser.wait(&format!("{READY} && {ROW}.startsWith('41')"));
    browser.keys("i");
    browser.wait("document.querySelector('#state').textContent.includes('not permitted')");
}

#[test]
fn everything_can_be_reached_by_keys_and_has_a_name() {
    let web = Web::with(
        "malloc://8192",
        "wx 7f454c460201010000ff80fe; w some text @ 0x30; f start 1 @ 0x30; f table 16 @ 0x400",
        "",
    );
    let Some(browser) = opened(&web) else { return };
    browser.keys("?");
    browser.wait("document.querySelector('#help').open && document.querySelectorAll('#help-keys dt').length > 10");
    browser.picture("help");
    browser.keys(ESCAPE);
    browser.wait("!document.querySelector('#help').open");
    browser.click("#palette-open");
    browser.keys(&format!("list flags{ENTER}"));
    browser.wait("document.querySelector('#tab-flags').getAttribute('aria-selected') === 'true'");
    browser.wait("document.querySelectorAll('.row').length > 0");
    // Names for whoever does not see, and sizes that a finger hits.
    let unnamed = "return [...document.querySelectorAll('button, input, select, [role=tab], [role=listbox], canvas')]\
        .filter((one) => one.offsetParent && !(one.textContent.trim() || one.getAttribute('aria-label') || one.labels?.length))\
        .map((one) => one.outerHTML)";
    assert_eq!(browser.script(unnamed), json!([]));
    let doubled = "const ids = [...document.querySelectorAll('[id]')].map((one) => one.id);\
        return ids.filter((id, at) => ids.indexOf(id) !== at)";
    assert_eq!(browser.script(doubled), json!([]));
    for theme in ["light", "dark"] {
        browser.script(&format!("document.documentElement.dataset.theme = '{theme}'"));
        let pale = browser.script(CONTRAST);
        assert_eq!(pale, json!([]), "{theme}");
        browser.script("window.dispatchEvent(new Event('resize'))");
        browser.picture(&format!("page-{theme}"));
    }
    browser.resize(420, 900);
    for panel in ["side", "main", "console-panel"] {
        browser.click(&format!("[data-show={panel}]"));
        browser.wait(&format!("getComputedStyle(document.querySelector('#{panel}')).visibility === 'visible'"));
        browser.picture(&format!("phone-{panel}"));
    }
    assert_eq!(browser.script("return document.documentElement.scrollWidth <= innerWidth"), json!(true));
    quiet(&browser);
}

/// The elements whose text stands out from its ground less than WCAG 2.1 asks (1.4.3, AA: 4.5 to 1).
const CONTRAST: &str = r"
    const parse = (text) => (text.match(/[\d.]+/g) ?? []).map(Number);
    const light = (c) => {
        const [r, g, b] = c.slice(0, 3).map((v) => v / 255).map((v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const ground = (one) => {
        for (; one; one = one.parentElement) {
            const c = parse(getComputedStyle(one).backgroundColor);
            if (c.length === 3 || c[3] === 1) return c;
        }
        return [255, 255, 255];
    };
    const seen = [...document.querySelectorAll('body *')].filter((one) => one.offsetParent && !one.closest(':disabled')
        && [...one.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim()));
    return [...new Set(seen.map((one) => {
        const [a, b] = [light(parse(getComputedStyle(one).color)), light(ground(one))];
        const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
        return ratio < 4.5 ? `${one.className || one.tagName}: ${ratio.toFixed(2)}` : '';
    }).filter(Boolean))];
";

#[test]
fn a_hostile_page_elsewhere_achieves_nothing() {
    let mut web = Web::with("malloc://64", "", "");
    let Some(browser) = opened(&web) else { return };
    // Another origin: the same host, another port, where this browser's cookie would go along.
    let pages = tempfile::tempdir().unwrap();
    let target = format!("http://{}", web.address);
    let page = format!(
        "<!doctype html><title>elsewhere</title><img src='{target}/cmd/s%207'>\
         <iframe src='{target}/' name=inside></iframe>\
         <form id=f method=post enctype='text/plain' action='{target}/api/v1/run' target=out>\
         <input name='{{\"command\":\"wx 41\",\"x\":\"' value='\"}}'></form><iframe name=out></iframe>\
         <script src=/attack.js></script>"
    );
    let script = format!(
        "const seen = [];\n\
         document.querySelector('#f').submit();\n\
         const ask = (url, options) => fetch(url, options).then((r) => seen.push('answered ' + r.type), () => seen.push('failed'));\n\
         const json = {{ 'Content-Type': 'application/json' }};\n\
         const body = JSON.stringify({{ command: 'wx 42' }});\n\
         const socket = new WebSocket('{}/api/v1/socket');\n\
         const closed = new Promise((done) => {{ socket.onopen = () => {{ seen.push('socket open'); done(); }}; socket.onerror = done; }});\n\
         Promise.all([closed,\n\
           ask('{target}/api/v1/run', {{ method: 'POST', credentials: 'include', headers: json, body }}),\n\
           ask('{target}/api/v1/run', {{ method: 'POST', credentials: 'include', mode: 'no-cors', body }}),\n\
           ask('{target}/cmd/', {{ method: 'POST', mode: 'no-cors', body: 'wx 43' }}),\n\
           ask('{target}/api/v1/memory?address=0', {{ credentials: 'include' }}),\n\
         ]).then(() => {{ window.seen = seen; }});\n",
        target.replace("http", "ws")
    );
    std::fs::write(pages.path().join("index.html"), page).unwrap();
    std::fs::write(pages.path().join("attack.js"), script).unwrap();
    // Its pages have the same policy as ours: the attack needs one without.
    let elsewhere = Elsewhere::new(pages.path());
    browser.open(&format!("http://127.0.0.1:{}/", elsewhere.port));
    browser.wait("window.seen !== undefined");
    let seen = browser.script("return window.seen");
    let answered = seen.as_array().unwrap().iter().filter(|one| *one != "failed" && *one != "answered opaque").count();
    assert_eq!(answered, 0, "{seen}");
    assert_eq!(web.prompt("p8 2"), "0000\n");
    assert_eq!(web.ask("GET", "/cmd/s", &[], b"").text(), "0x0\n");
}

/// A web server of somebody else.
struct Elsewhere {
    port: u16,
}

impl Elsewhere {
    fn new(folder: &std::path::Path) -> Elsewhere {
        use std::io::{BufRead, BufReader, Read, Write};
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let folder = folder.to_path_buf();
        // It ends with the test's process.
        std::thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                let mut line = String::new();
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                if reader.read_line(&mut line).is_err() {
                    continue;
                }
                while reader.by_ref().lines().next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
                let (name, kind) = match line.contains("attack.js") {
                    true => ("attack.js", "text/javascript"),
                    false => ("index.html", "text/html"),
                };
                let body = std::fs::read(folder.join(name)).unwrap_or_default();
                let head = format!(
                    "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
                    body.len()
                );
                let _ = stream.write_all(&[head.as_bytes(), &body].concat());
            }
        });
        Elsewhere { port }
    }
}
