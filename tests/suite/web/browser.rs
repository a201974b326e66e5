//! A real browser, driven over WebDriver (W3C): Debian's chromium and chromium-driver.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine;
use serde_json::{Value, json};

/// How long the page may take for anything, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Keys as WebDriver writes them.
pub const ENTER: &str = "\u{e007}";
pub const ESCAPE: &str = "\u{e00c}";
pub const TAB: &str = "\u{e004}";

/// A browser with one window.
pub struct Browser {
    driver: Child,
    base: String,
    session: String,
    _profile: tempfile::TempDir,
}

impl Browser {
    /// A new browser; `None`: there is none on this machine.
    pub fn new() -> Option<Browser> {
        Browser::with(&[])
    }

    /// The same with further arguments.
    pub fn with(more: &[&str]) -> Option<Browser> {
        let chromium = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];
        let binary = chromium.into_iter().find(|path| Path::new(path).is_file());
        let driver = Command::new("chromedriver").arg("--port=0").stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        let (Some(binary), Ok(mut driver)) = (binary, driver) else {
            eprintln!("ABSENT: chromium and chromium-driver; the page was not looked at");
            return None;
        };
        let lines = BufReader::new(driver.stdout.take()?).lines().map_while(Result::ok);
        let port = lines.into_iter().find_map(|line| {
            let (_, port) = line.split_once("successfully on port ")?;
            port.trim_end_matches('.').parse::<u16>().ok()
        });
        let profile = tempfile::tempdir().unwrap();
        let port = port.expect("chromedriver says where it listens");
        let mut browser =
            Browser { driver, base: format!("http://127.0.0.1:{port}"), session: String::new(), _profile: profile };
        let mut arguments = vec![
            "--headless".to_string(),
            "--no-sandbox".to_string(),
            "--disable-gpu".to_string(),
            "--disable-dev-shm-usage".to_string(),
            "--disable-quic".to_string(),
            "--no-first-run".to_string(),
            "--disable-background-networking".to_string(),
            "--window-size=1280,800".to_string(),
            format!("--user-data-dir={}", browser._profile.path().display()),
        ];
        arguments.extend(more.iter().map(|word| (*word).to_string()));
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "browserName": "chrome",
            "goog:loggingPrefs": { "browser": "ALL" },
            "goog:chromeOptions": { "binary": binary, "args": arguments },
        } } });
        let session = browser.call("POST", "/session", Some(&wanted));
        browser.session = format!("/session/{}", session["sessionId"].as_str().expect("a session"));
        Some(browser)
    }

    fn answer(&self, method: &str, path: &str, body: Option<&Value>) -> Value {
        let agent: ureq::Agent =
            ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(PATIENCE * 2)).build().into();
        let url = format!("{}{path}", self.base);
        let answer = match (method, body) {
            ("POST", Some(body)) => {
                agent.post(&url).header("Content-Type", "application/json").send(body.to_string().as_bytes())
            }
            ("DELETE", _) => agent.delete(&url).call(),
            _ => agent.get(&url).call(),
        };
        let mut answer = answer.unwrap_or_else(|error| panic!("{method} {path}: {error}"));
        let text = answer.body_mut().with_config().limit(64 << 20).read_to_string().unwrap();
        let value: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
        value["value"].clone()
    }

    fn call(&self, method: &str, path: &str, body: Option<&Value>) -> Value {
        let value = self.answer(method, path, body);
        assert!(value["error"].is_null(), "{method} {path}: {value}");
        value
    }

    fn post(&self, path: &str, body: &Value) -> Value {
        self.call("POST", &format!("{}{path}", self.session), Some(body))
    }

    /// Opens `url`.
    pub fn open(&self, url: &str) {
        self.post("/url", &json!({ "url": url }));
    }

    /// What the function body `script` returns.
    pub fn script(&self, script: &str) -> Value {
        self.post("/execute/sync", &json!({ "script": script, "args": [] }))
    }

    /// Waits until `condition` holds. What cannot be asked yet, because the page is just being loaded, does not hold.
    pub fn wait(&self, condition: &str) {
        let end = Instant::now() + PATIENCE;
        while self.script(&format!("try {{ return Boolean({condition}) }} catch {{ return false }}")) != json!(true) {
            let shown = || self.script("return document.body.innerText").to_string();
            assert!(Instant::now() < end, "never: {condition}\n{}\n{:?}", shown(), self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Types `text` into whatever has the focus.
    pub fn keys(&self, text: &str) {
        let actions: Vec<Value> = text
            .chars()
            .flat_map(|c| ["keyDown", "keyUp"].map(|kind| json!({ "type": kind, "value": c.to_string() })))
            .collect();
        self.post("/actions", &json!({ "actions": [{ "type": "key", "id": "keyboard", "actions": actions }] }));
    }

    /// Clicks on what `selector` finds.
    pub fn click(&self, selector: &str) {
        let end = Instant::now() + PATIENCE;
        loop {
            let found = self.post("/element", &json!({ "using": "css selector", "value": selector }));
            let id = found.as_object().and_then(|found| found.values().next()).and_then(Value::as_str);
            let path = format!("{}/element/{}/click", self.session, id.unwrap_or_default());
            let outcome = self.answer("POST", &path, Some(&json!({})));
            if outcome["error"].is_null() {
                return;
            }
            // It was drawn anew, or moved, between finding and clicking.
            assert!(Instant::now() < end, "{selector}: {outcome}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Makes the window so large.
    pub fn resize(&self, width: u32, height: u32) {
        self.post("/window/rect", &json!({ "width": width, "height": height }));
    }

    /// Waits until what was changed has been drawn.
    pub fn settle(&self) {
        self.script(
            "window.drawn = false; requestAnimationFrame(() => requestAnimationFrame(() => { window.drawn = true; }))",
        );
        self.wait("window.drawn");
    }

    /// Leaves a picture of the window under target/screenshots, for a person to look at.
    pub fn picture(&self, name: &str) {
        let text = self.call("GET", &format!("{}/screenshot", self.session), None);
        let bytes = base64::engine::general_purpose::STANDARD.decode(text.as_str().unwrap_or_default()).unwrap();
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/screenshots");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(format!("{name}.png")), bytes).unwrap();
    }

    /// What the browser's console has said since the last time.
    pub fn log(&self) -> Vec<String> {
        let lines = self.post("/se/log", &json!({ "type": "browser" }));
        let lines = lines.as_array().cloned().unwrap_or_default();
        lines.iter().map(|line| format!("{} {}", line["level"], line["message"])).collect()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if !self.session.is_empty() && !std::thread::panicking() {
            self.call("DELETE", &self.session, None);
        }
        // Its browser ends with it.
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}
