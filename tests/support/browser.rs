//! A real browser, driven over plain WebDriver: Chromium without a window, by its own driver.
//!
//! Every call is bounded; browser and driver are killed when dropped, with whatever they started.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::Skip;
use super::h1::Connection;
use super::process::Running;

/// How long one thing may take that is asked of the browser, on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(30);

/// One browser with one page.
pub struct Browser {
    driver: Running,
    address: SocketAddr,
    session: String,
    _profile: TempDir,
}

/// Which pages are made dark, where they can.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// As on paper.
    Light,
    /// As in the night.
    Dark,
}

/// What a page is seen on: width and height.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Device {
    /// A small one, held upright.
    Phone,
    /// A window on a desk.
    Desktop,
}

impl Browser {
    /// Starts one.
    ///
    /// # Errors
    /// Where there is none on this machine.
    pub fn start() -> Result<Browser, Skip> {
        let chromium = ["chromium", "chromium-browser", "google-chrome"]
            .into_iter()
            .find_map(found)
            .ok_or_else(|| Skip("chromium is not installed".to_owned()))?;
        let chromedriver = found("chromedriver")
            .ok_or_else(|| Skip("chromedriver is not installed".to_owned()))?;
        let profile = tempfile::tempdir().expect("a directory for the browser");
        let driver = Running::start(
            Command::new(chromedriver)
                .arg("--port=0")
                // What it leaves lying about goes with the profile.
                .env("TMPDIR", profile.path())
                .env("HOME", profile.path()),
        );
        let line = driver.expect_stdout("started successfully on port ", PATIENCE);
        let port = line.rsplit(' ').next().unwrap_or_default();
        let port: u16 = port.trim_end_matches('.').parse().expect("a port");
        let mut browser = Browser {
            driver,
            address: SocketAddr::from(([127, 0, 0, 1], port)),
            session: String::new(),
            _profile: profile,
        };
        let wanted = browser.capabilities(&chromium);
        let session = browser.ask("POST", "/session", &wanted);
        let id = session["sessionId"].as_str().expect("a session");
        browser.session = format!("/session/{id}");
        // What it asks for of itself before it is told where to go.
        browser.open("about:blank");
        browser.requests();
        Ok(browser)
    }

    fn capabilities(&self, chromium: &Path) -> Value {
        let profile = self._profile.path().join("profile");
        json!({ "capabilities": { "alwaysMatch": {
            "goog:chromeOptions": {
                "binary": chromium,
                "args": [
                    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
                    "--disable-background-networking", "--disable-component-update", "--disable-sync",
                    "--disable-dev-shm-usage", format!("--user-data-dir={}", profile.display()),
                ],
            },
            "goog:loggingPrefs": { "browser": "ALL", "performance": "ALL" },
            "timeouts": { "script": 20_000, "pageLoad": 20_000 },
        } } })
    }

    /// Goes to a page and waits until it is there.
    pub fn open(&self, url: &str) {
        self.of_session("POST", "/url", &json!({ "url": url }));
    }

    /// What this script returns; it may use `arguments`.
    pub fn run(&self, script: &str, arguments: &[Value]) -> Value {
        let asked = json!({ "script": script, "args": arguments });
        self.of_session("POST", "/execute/sync", &asked)
    }

    /// What this script says to the function that is its last argument.
    pub fn run_until_told(&self, script: &str) -> Value {
        let asked = json!({ "script": script, "args": [] });
        self.of_session("POST", "/execute/async", &asked)
    }

    /// Waits until this expression is so; panics with what the page says otherwise.
    pub fn wait(&self, expression: &str, patience: Duration) {
        let until = Instant::now() + patience;
        let script = format!("return Boolean({expression});");
        while self.run(&script, &[]) != true {
            if Instant::now() >= until {
                let text = self.run("return document.body.innerText;", &[]);
                panic!(
                    "not within {patience:?}: {expression}\n{}",
                    text.as_str().unwrap_or_default()
                );
            }
            std::thread::sleep(Duration::from_millis(30));
        }
    }

    /// Presses one key, as a person does.
    pub fn press(&self, key: char) {
        let key = key.to_string();
        let stroke = [
            json!({ "type": "keyDown", "value": key }),
            json!({ "type": "keyUp", "value": key }),
        ];
        let asked = json!({ "actions": [{ "type": "key", "id": "keyboard", "actions": stroke }] });
        self.of_session("POST", "/actions", &asked);
    }

    /// Shows pages on this device, in this scheme, from now on.
    pub fn show_on(&self, device: Device, scheme: Scheme) {
        let (width, height, mobile) = match device {
            Device::Phone => (390, 844, true),
            Device::Desktop => (1280, 900, false),
        };
        let metrics =
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": mobile });
        self.tell("Emulation.setDeviceMetricsOverride", &metrics);
        let scheme = match scheme {
            Scheme::Light => "light",
            Scheme::Dark => "dark",
        };
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.tell(
            "Emulation.setEmulatedMedia",
            &json!({ "features": features }),
        );
    }

    /// Pages run no script of their own from now on.
    pub fn without_scripts(&self) {
        self.tell(
            "Emulation.setScriptExecutionDisabled",
            &json!({ "value": true }),
        );
    }

    /// The whole page as a picture, a PNG in base64.
    pub fn picture(&self) -> String {
        let asked = json!({ "format": "png", "captureBeyondViewport": true });
        let taken = self.tell("Page.captureScreenshot", &asked);
        taken["data"].as_str().expect("a picture").to_owned()
    }

    /// What the page or the browser complained of since this was asked last.
    pub fn complaints(&self) -> Vec<String> {
        let log = self.of_session("POST", "/se/log", &json!({ "type": "browser" }));
        let entries = log.as_array().expect("a log").iter();
        entries.map(ToString::to_string).collect()
    }

    /// Everything the page asked for since this was asked last.
    pub fn requests(&self) -> Vec<String> {
        let log = self.of_session("POST", "/se/log", &json!({ "type": "performance" }));
        let entries = log.as_array().expect("a log").iter();
        let told = entries.filter_map(|entry| {
            let message: Value = serde_json::from_str(entry["message"].as_str()?).ok()?;
            let message = &message["message"];
            (message["method"] == "Network.requestWillBeSent").then(|| {
                message["params"]["request"]["url"]
                    .as_str()
                    .map(str::to_owned)
            })?
        });
        told.collect()
    }

    /// Something of the browser itself, in the words of its own protocol.
    fn tell(&self, command: &str, parameters: &Value) -> Value {
        let asked = json!({ "cmd": command, "params": parameters });
        self.of_session("POST", "/goog/cdp/execute", &asked)
    }

    fn of_session(&self, method: &str, path: &str, body: &Value) -> Value {
        self.ask(method, &format!("{}{path}", self.session), body)
    }

    fn ask(&self, method: &str, path: &str, body: &Value) -> Value {
        self.try_to_ask(method, path, body, PATIENCE)
            .unwrap_or_else(|error| panic!("{method} {path}: {error}; {}", self.driver.told()))
    }

    fn try_to_ask(
        &self,
        method: &str,
        path: &str,
        body: &Value,
        patience: Duration,
    ) -> io::Result<Value> {
        let mut connection = Connection::connect_plain(self.address, patience)?;
        let kind = [
            ("Content-Type", "application/json"),
            ("Connection", "close"),
        ];
        let answer = connection.request(method, path, &kind, body.to_string().as_bytes())?;
        let mut told: Value = serde_json::from_slice(&answer.body).map_err(io::Error::other)?;
        match answer.status {
            200 => Ok(told["value"].take()),
            _ => Err(io::Error::other(told.to_string())),
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // It ends the browser in order; whatever is left is killed with the driver.
        if !self.session.is_empty() {
            let _ = self.try_to_ask("DELETE", &self.session, &json!({}), Duration::from_secs(5));
        }
    }
}

/// The accessibility engine axe-core, as a script.
///
/// # Errors
/// Where it is not on this machine.
pub fn axe() -> Result<String, Skip> {
    const PLACE: &str = "target/ci-axe/node_modules/axe-core/axe.min.js";
    let place = std::env::var_os("LEEWARD_AXE").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join(PLACE),
        PathBuf::from,
    );
    std::fs::read_to_string(&place).map_err(|error| {
        Skip(format!(
            "axe-core is not there: {}: {error}",
            place.display()
        ))
    })
}

/// A program that is on the path.
fn found(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let mut places = std::env::split_paths(&path).map(|place| place.join(program));
    places.find(|place| place.is_file())
}
