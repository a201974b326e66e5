//! Every panel of the page, clicked and typed through: on a file, on a device far away, on a process.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;

use super::browser::{Browser, ENTER, ESCAPE, TAB};
use super::door::{Door, slow_line};
use super::page::{READY, ROW, quiet};
use crate::debug::fixture;
use crate::info::absent;

/// How long bytes travel in each direction on the slow line.
const LATENCY: Duration = Duration::from_millis(50);

/// A browser on the page of a door, reached by way of `address`.
struct Look {
    browser: Browser,
    /// The start of the names of its pictures.
    name: &'static str,
    axe: Option<String>,
    process: bool,
}

impl Look {
    fn new(name: &'static str, door: &Door, address: SocketAddr) -> Option<Look> {
        let browser = Browser::new()?;
        browser.resize(1440, 1000);
        browser.open(&door.url(address));
        browser.wait(READY);
        browser.wait(&format!("document.querySelector('#hexdump').hidden || /^[0-9a-f]{{8}}/.test({ROW})"));
        Some(Look { browser, name, axe: axe(), process: name == "process" })
    }

    /// A picture of the panel in both themes, and what axe-core finds in `region` of each. What is the same on every
    /// device is looked through on the file alone: a whole page takes seconds.
    fn panel(&self, panel: &str, region: &str) {
        for theme in ["light", "dark"] {
            self.browser.script(&format!(
                "document.documentElement.dataset.theme = '{theme}'; window.dispatchEvent(new Event('resize'))"
            ));
            self.browser.settle();
            self.browser.picture(&format!("{}-{panel}-{theme}", self.name));
            if self.name == "file" || region == "#process" {
                self.accessible(&format!("{panel}, {theme}"), region);
            }
        }
        self.browser.script("document.documentElement.dataset.theme = ''");
    }

    /// Nothing that axe-core calls serious or critical.
    fn accessible(&self, what: &str, region: &str) {
        let Some(axe) = &self.axe else { return };
        self.browser.script(&format!(
            "if (!window.axe) {{ {axe} }} window.found = null; axe.run('{region}', {{ resultTypes: ['violations'], preload: false }}).then((result) => {{ window.found = \
             result.violations.filter((one) => ['serious', 'critical'].includes(one.impact)).map((one) => \
             `${{one.id}}: ${{one.nodes.map((node) => node.html + node.failureSummary).join(' ').slice(0, 600)}}`); }}, \
             (error) => {{ window.found = [String(error)]; }})"
        ));
        self.browser.wait("window.found !== null");
        assert_eq!(self.browser.script("return window.found"), json!([]), "{}: {what}", self.name);
    }

    fn side(&self, tab: &str) {
        self.browser.click(&format!("#tab-{tab}"));
        self.browser.wait(&format!("document.querySelector('#tab-{tab}').getAttribute('aria-selected') === 'true'"));
    }

    /// Types into the filter of the list that is shown.
    fn filter(&self, text: &str, expected: &str) {
        self.browser.click("#side-body .list-head input");
        self.browser.keys(text);
        self.browser.wait(&format!("document.querySelector('.row .name')?.textContent.includes('{expected}')"));
    }

    fn focus(&self, id: &str) {
        self.browser.script(&format!("document.querySelector('#{id}').focus()"));
    }

    /// Goes to an expression.
    fn go(&self, place: &str) {
        self.focus("address");
        self.browser.keys(&format!("{place}{ENTER}"));
        self.browser.wait("document.querySelector('#address').value === ''");
    }

    /// Runs a line in the console and waits until it has ended.
    fn run(&self, line: &str) {
        self.focus("line");
        self.browser.keys(&format!("{line}{ENTER}"));
        self.browser.wait(&format!("document.querySelector('#console').textContent.includes({})", json!(line)));
        self.browser.wait("document.querySelector('#stop').hidden");
    }

    /// The panels that there always are.
    fn common(&self) {
        let browser = &self.browser;
        // Functions of a process have no names but their addresses: no object file is open.
        let (choose, twice) = if self.process { ("fcn.", "fcn.") } else { ("choose", "twice") };
        browser.click("#tab-hexdump");
        self.panel("hexdump", "body");
        self.run(if self.process { "afr @ sym.choose" } else { "aa" });
        self.side("functions");
        browser.wait("document.querySelectorAll('.row').length > 1");
        self.filter(choose, choose);
        self.panel("functions", "#side");
        self.go("sym.choose");
        browser.click("#tab-code");
        browser.wait("document.querySelectorAll('.code-row').length > 5");
        browser.wait("document.querySelector('.code-label').textContent.includes('choose')");
        self.focus("code");
        browser.keys("jj");
        browser.wait("document.querySelector('.code-row.here') !== document.querySelector('.code-row')");
        self.panel("disassembly", "#main");
        self.go("sym.choose");
        browser.click("#tab-graph");
        browser.wait("document.querySelectorAll('.block').length > 3");
        browser.wait("document.querySelectorAll('.edge').length > 3");
        self.focus("graph");
        browser.keys("0");
        self.panel("graph", "#main");
        // Down to the call, and into it.
        browser.script(
            "const call = [...document.querySelectorAll('.graph-row.call')].find((row) => row.textContent.includes('call'));\
             call.dispatchEvent(new PointerEvent('pointerdown', { bubbles: true, pointerId: 1 }))",
        );
        browser.keys(ENTER);
        browser.wait("document.querySelectorAll('.block').length === 1");
        browser.wait(&format!("document.querySelector('.graph-title').textContent.includes('{twice}')"));
        browser.keys("x");
        browser.wait("document.querySelector('#tab-references').getAttribute('aria-selected') === 'true'");
        browser.wait(&format!(
            "[...document.querySelectorAll('.row')].some((row) => row.textContent.includes('{choose}'))"
        ));
        self.panel("references", "#side");
        self.focus("graph");
        browser.keys("o");
        browser.wait("document.querySelectorAll('.block').length > 3");
        for (tab, word, expected) in [
            ("symbols", "choose", "choose"),
            ("flags", "twice", "twice"),
            ("imports", "usleep", "usleep"),
            ("strings", "hayst", "needle in a haystack"),
            ("sections", "text", ".text"),
            ("segments", "LOAD0", "LOAD0"),
        ] {
            self.side(tab);
            if tab == "flags" || !self.process {
                browser.wait("document.querySelectorAll('.row').length > 0");
                self.filter(word, expected);
            }
            self.panel(tab, "#side");
        }
        browser.click("#tab-hexdump");
        self.run("CC a remark @ sym.twice");
        for tab in ["comments", "maps", "files", "servers"] {
            self.side(tab);
            browser.wait("document.querySelectorAll('.row').length > 0");
            self.panel(tab, "#side");
        }
        self.side("hosts");
        self.panel("hosts", "#side");
        self.focus("hexdump");
        browser.keys(&format!("/needle{ENTER}"));
        browser.wait("/[1-9]\\d* hit/.test(document.querySelector('#search-state').textContent)");
        browser.click(".row");
        browser.wait("document.querySelector('.here').textContent === '6e'");
        self.panel("search", "#side");
        self.run("px 32");
        self.focus("line");
        browser.keys(&format!("px{TAB}"));
        browser.wait("document.querySelectorAll('#completions li').length > 1");
        self.panel("console", "#console-panel");
        browser.keys(ESCAPE);
        browser.script("document.querySelector('#line').value = ''");
        self.focus("hexdump");
        browser.keys("?");
        browser.wait("document.querySelector('#help').open");
        self.panel("help", "#help");
        browser.keys(ESCAPE);
        browser.click("#palette-open");
        browser.keys("process");
        browser.wait("document.querySelectorAll('#palette-list li').length > 0");
        self.panel("palette", "#palette");
        browser.keys(ESCAPE);
        // Copying, with the bytes of the selection.
        browser.script(
            "window.copied = []; navigator.clipboard.writeText = async (text) => { window.copied.push(text); }",
        );
        self.focus("hexdump");
        for keys in ["LLLyy", "yc", "yp"] {
            browser.keys(keys);
        }
        browser.wait("window.copied.length === 3");
        let copied = browser.script("return window.copied");
        assert_eq!(copied[0], "6e656564", "{copied}");
        assert!(copied[1].as_str().is_some_and(|text| text.contains("0x6e, 0x65, 0x65, 0x64,")), "{copied}");
        assert!(copied[2].as_str().is_some_and(|text| text.contains("bytes.fromhex(")), "{copied}");
    }

    /// Ends the tour: on a small screen, and with nothing said that is wrong.
    fn end(&self, panels: &[&str]) {
        let browser = &self.browser;
        browser.resize(420, 900);
        for panel in panels {
            browser.click(&format!("[data-show={panel}]"));
            browser.wait(&format!("getComputedStyle(document.querySelector('#{panel}')).visibility === 'visible'"));
            self.panel(&format!("phone-{panel}"), "body");
        }
        let fits = browser.script("return document.documentElement.scrollWidth <= innerWidth");
        assert_eq!(fits, json!(true), "nothing sticks out");
        quiet(browser);
    }
}

/// The source of axe-core, which `cargo xtask test` installs.
fn axe() -> Option<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/peers/node/node_modules/axe-core/axe.min.js");
    let text = std::fs::read_to_string(path).ok();
    if text.is_none() {
        eprintln!("ABSENT: axe-core ('cargo xtask test' installs it)");
    }
    text
}

/// The program that is looked at, copied: what is written does not stay.
fn copied() -> Option<(tempfile::TempDir, PathBuf)> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("panels");
    std::fs::copy(fixture("panels")?, &path).unwrap();
    Some((folder, path))
}

/// Whether somebody wants to wait for a tour.
fn asked() -> bool {
    std::env::var_os("REMORA_TOURS").is_some()
}

#[test]
fn every_panel_on_a_file() {
    if !asked() {
        return absent("a tour through every panel", "it takes minutes; REMORA_TOURS=1 makes it");
    }
    let Some((_folder, path)) = copied() else { return };
    let door = Door::new(path.to_str().unwrap(), "e io.cache=true", "");
    let Some(look) = Look::new("file", &door, door.address) else { return };
    let browser = &look.browser;
    look.common();
    // The map: a click leads into it, and back.
    browser.click("#strip");
    browser.wait("document.querySelector('#strip').getAttribute('aria-valuenow') > 30");
    browser.click("#back");
    // Editing with undo, through the whole address space.
    look.go("0");
    look.focus("hexdump");
    browser.keys(&format!("iaa{ESCAPE}"));
    browser.wait(&format!("{ROW}.startsWith('aa454c46')"));
    look.panel("edited", "#main");
    browser.keys("u");
    browser.wait(&format!("{ROW}.startsWith('7f454c46')"));
    look.go("0xffffffffffffff00");
    browser.wait("document.querySelector('.here').textContent === '··'");
    look.panel("end-of-space", "#main");
    look.go("entry0");
    look.end(&["side", "main", "console-panel"]);
}

#[test]
fn every_panel_on_a_device_far_away() {
    if !asked() {
        return absent("a tour through every panel", "it takes minutes; REMORA_TOURS=1 makes it");
    }
    let Some((_folder, path)) = copied() else { return };
    let far = crate::rap::Running::start(remora::serve::ServeOptions::default());
    let line = slow_line(far.place().parse().unwrap(), LATENCY);
    let door = Door::new(&format!("rap://{line}/{}", path.display()), "e io.cache=true", "");
    let Some(look) = Look::new("far", &door, door.address) else { return };
    look.common();
    // Another host is a place to run commands.
    look.side("hosts");
    look.browser.click("#side-body form input");
    look.browser.keys(&format!("rap://{line}/malloc://64{ENTER}"));
    look.browser.wait("document.querySelector('.row .name')?.textContent.includes('rap://')");
    look.panel("hosts-connected", "#side");
    look.end(&["side", "main", "console-panel"]);
}

#[test]
fn every_panel_on_a_process() {
    if !asked() {
        return absent("a tour through every panel", "it takes minutes; REMORA_TOURS=1 makes it");
    }
    let Some(path) = fixture("panels") else { return };
    let door = Door::new(&format!("dbg://{}", path.display()), "dcu sym.main; s sym.main", "--allow debug");
    let Some(look) = Look::new("process", &door, door.address) else { return };
    let browser = &look.browser;
    browser.wait("document.querySelectorAll('.registers dt').length > 10");
    browser.wait("document.querySelectorAll('.stack li').length > 10");
    browser.wait("document.querySelector('.frames li').textContent.includes('main')");
    browser.wait("document.querySelector('.code-row.stopped')");
    let state = "document.querySelector('#process-state').textContent";
    let before = browser.script(&format!("return {state}"));
    look.focus("code");
    browser.keys("s");
    browser.wait(&format!("{state}.startsWith('stopped') && {state} !== {before}"));
    browser.wait("document.querySelectorAll('.registers .changed').length > 0");
    let before = browser.script(&format!("return {state}"));
    browser.click(".steps button:nth-of-type(2)");
    browser.wait(&format!("{state}.startsWith('stopped') && {state} !== {before}"));
    // A breakpoint at a function, reached, left, and removed.
    look.go("sym.twice");
    look.focus("code");
    browser.keys("b");
    browser.wait("document.querySelectorAll('.breakpoints li').length === 1");
    browser.wait("document.querySelector('.code-row.here .breakpoint')");
    browser.keys("c");
    browser.wait("document.querySelector('.frames li').textContent.includes('twice')");
    browser.wait("document.querySelectorAll('.threads li').length === 2");
    browser.wait("document.querySelector('.code-row.stopped.here')");
    look.panel("stopped", "#process");
    browser.keys("f");
    browser.wait("document.querySelector('.frames li').textContent.includes('choose')");
    browser.click("[aria-label^='Remove the breakpoint']");
    browser.wait("document.querySelectorAll('.breakpoints li').length === 0");
    // It runs until it is stopped, and the page goes on meanwhile.
    look.focus("code");
    browser.keys("c");
    browser.wait(&format!("{state} === 'running'"));
    look.panel("running", "#process");
    browser.click("#pause");
    browser.wait(&format!("{state}.startsWith('stopped')"));
    look.common();
    look.run("dk 9");
    look.run("dc");
    browser.wait("document.querySelector('#restart')");
    look.panel("ended", "#process");
    look.end(&["side", "main", "console-panel", "process"]);
}

#[test]
fn the_page_is_of_use_after_three_rounds_of_data() {
    let Some((_folder, path)) = copied() else { return };
    let door = Door::new(path.to_str().unwrap(), "", "");
    let line = slow_line(door.address, LATENCY);
    let Some(browser) = Browser::new() else { return };
    let shown = format!("/^[0-9a-f]{{8}}/.test({ROW})");
    // The longest row of requests each of which waited for the one before, up to the first bytes.
    let rounds = "const asked = performance.getEntriesByType('resource').filter(({ name }) => name.includes('/api/v1/'));\
        const useful = Math.min(...asked.filter(({ name }) => name.includes('/memory')).map((one) => one.responseEnd));\
        let [rounds, end] = [0, -1];\
        for (const one of asked.filter((one) => one.responseEnd <= useful).sort((a, b) => a.responseEnd - b.responseEnd)) {\
          if (one.startTime >= end) { rounds += 1; end = one.responseEnd; }\
        }\
        return rounds";
    browser.open(&door.url(line));
    browser.wait(&shown);
    let first = browser.script(rounds).as_u64().unwrap();
    browser.script("location.reload()");
    browser.wait(&format!("performance.getEntriesByType('navigation')[0].type === 'reload' && {shown}"));
    let again = browser.script(rounds).as_u64().unwrap();
    assert!((1..=3).contains(&first) && (1..=3).contains(&again), "{first} with the code, {again} with the cookie");
    quiet(&browser);
}

#[test]
fn names_and_strings_of_a_hostile_program_are_text() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("evil.c");
    let evil = "<script>document.title=1</script><img src=x onerror=document.title=2>\\033]0;title\\007";
    let text = format!(
        "#include <stdio.h>\n\
         long evil(long x) __asm__(\"\\\"<img src=x onerror=document.title=3>\\\"\");\n\
         __attribute__((noinline)) long evil(long x) {{ return x ? 1 : 2; }}\n\
         const char text[] = \"{evil}\";\n\
         int main(int count, char **words) {{ puts(text); return evil(count); }}\n"
    );
    std::fs::write(&source, text).unwrap();
    let path = folder.path().join("<b>evil<b>");
    let made = std::process::Command::new("cc").args(["-O1", "-o"]).arg(&path).arg(&source).output();
    if !made.as_ref().is_ok_and(|made| made.status.success()) {
        eprintln!("ABSENT: cc, or one that takes such names: {made:?}");
        return;
    }
    let door = Door::new(path.to_str().unwrap(), "aa", "");
    let Some(look) = Look::new("hostile", &door, door.address) else { return };
    let browser = &look.browser;
    for (tab, part) in [("symbols", "<img"), ("strings", "<script>"), ("functions", "main"), ("files", "<b>")] {
        look.side(tab);
        browser
            .wait(&format!("[...document.querySelectorAll('.row')].some((row) => row.textContent.includes('{part}'))"));
    }
    look.side("strings");
    look.filter("script", "<script>");
    look.run("is; iz; afl; CC <b>bold</b>; pdf @ main");
    look.go("main");
    browser.click("#tab-code");
    browser.wait("document.querySelectorAll('.code-row').length > 5");
    look.panel("names", "#main");
    browser.click("#tab-graph");
    browser.wait("document.querySelectorAll('.block').length > 0");
    look.panel("graph", "#main");
    let inserted = "return document.querySelectorAll('img, b b, body script, .row b, #console b').length";
    assert_eq!(browser.script(inserted), json!(0));
    assert!(!browser.script("return document.body.textContent").as_str().unwrap().contains('\u{1b}'));
    let title = browser.script("return document.title");
    assert!(title.as_str().unwrap().ends_with(" - remora"), "{title}");
    quiet(browser);
}

#[test]
fn a_name_that_leads_here_from_elsewhere_achieves_nothing() {
    let door = Door::new("malloc://64", "", "");
    let Some(browser) = Browser::with(&["--host-resolver-rules=MAP evil.example 127.0.0.1"]) else { return };
    browser.open(&format!("http://evil.example:{}/#code={}", door.address.port(), door.code));
    browser.wait("document.body.textContent.includes('http.hosts')");
    assert_eq!(browser.script("return document.scripts.length"), json!(0));
    // Its own page was never there, and the API answers it as little.
    browser.script(
        "window.seen = null; fetch('/api/v1/session').then((answer) => { window.seen = answer.status; }, () => { window.seen = 0; })",
    );
    browser.wait("window.seen === 403");
}
