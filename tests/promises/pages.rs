//! What clients see when the origin cannot be asked: the operator's own pages, where there are some.

use std::fs;
use std::path::Path;

use crate::house::{DUE, behind, configuration};
use crate::support::response::Response;
use crate::support::{Leeward, free_port, h1, h2, leeward};
use crate::verbs::done;

/// An origin that is never there, and clients that are told so at once.
const NEVER: &str = "[restart]\nbackoff = \"30s\"\nbackoff_most = \"30s\"\n\
                     [hold]\ntimeout = \"1s\"\n[origin.deadlines]\nqueue = \"1s\"\n";

fn never_there(pages: &str) -> Leeward {
    let command = ["/no/such/program".to_owned()];
    let more = format!("{NEVER}[pages]\n{pages}");
    let leeward = Leeward::start(&configuration(&command, free_port(), &more));
    leeward.wait_log_nth("origin exited with 127", 2, DUE);
    leeward
}

fn ask(leeward: &Leeward, method: &str, accept: &str) -> Response {
    let fields = [("accept", accept)];
    h1::request(leeward.edge(), method, "/", &fields, &[], DUE).expect("an answer of ours")
}

fn is_ours(response: &Response, status: u16) {
    assert_eq!(response.status, status, "{}", response.text());
    assert_eq!(response.header("cache-control"), Some("no-store"));
    let told = response.header("proxy-status").unwrap_or_default();
    assert!(told.starts_with("leeward; error="), "{told}");
}

#[test]
fn an_origin_that_is_not_there_is_excused_by_the_operators_own_page() {
    let home = tempfile::tempdir().expect("a directory");
    let page = home.path().join("sorry.html");
    let text = "<!doctype html><title>Soon</title><p>Die Anlage startet neu. – Please wait.\n";
    fs::write(&page, text).expect("the page");
    let leeward = never_there(&format!("unavailable = {page:?}\n"));
    // What is read at the start is there, whatever becomes of the file.
    fs::remove_file(&page).expect("it is gone");

    let response = ask(&leeward, "GET", "text/html,*/*");
    is_ours(&response, 503);
    assert_eq!(response.text(), text);
    let kind = response.header("content-type");
    assert_eq!(kind, Some("text/html; charset=utf-8"));
    let wait = response.header("retry-after").unwrap_or_default();
    assert!(
        wait.parse::<u64>().is_ok_and(|it| (2..=35).contains(&it)),
        "{wait}"
    );

    let head = ask(&leeward, "HEAD", "text/html");
    is_ours(&head, 503);
    assert!(head.body.is_empty(), "{}", head.text());
    assert_eq!(head.header("content-type"), kind);

    let json = ask(&leeward, "GET", "application/json");
    is_ours(&json, 503);
    let told: serde_json::Value = serde_json::from_slice(&json.body).expect("JSON");
    assert_eq!(told["party"], "origin");

    let over_h2 = h2::get(leeward.edge(), "/", DUE).expect("an answer of ours");
    assert_eq!((over_h2.status, over_h2.text()), (503, text.to_owned()));
}

#[test]
fn each_status_and_each_maintenance_may_have_a_page_of_its_own() {
    let home = tempfile::tempdir().expect("a directory");
    let page = |name: &str| home.path().join(name);
    fs::create_dir(page("pages")).expect("a directory");
    fs::write(page("pages/502.txt"), "it broke off").expect("a page");
    fs::write(page("works.html"), "<p>works").expect("a page");
    let leeward = behind(
        &[],
        &format!(
            "[pages]\ndirectory = {:?}\nmaintenance = {:?}\n",
            page("pages"),
            page("works.html")
        ),
    );
    let broken = h1::request(leeward.edge(), "POST", "/exit/7", &[], &[], DUE);
    let broken = broken.expect("an answer of ours");
    is_ours(&broken, 502);
    assert_eq!(broken.text(), "it broke off");
    let kind = broken.header("content-type");
    assert_eq!(kind, Some("text/plain; charset=utf-8"));

    done(&leeward, &["maintenance"]);
    let closed = ask(&leeward, "GET", "*/*");
    is_ours(&closed, 503);
    assert_eq!(closed.text(), "<p>works");
    assert!(closed.header("retry-after").is_some());
    done(&leeward, &["resume"]);
    assert_eq!(ask(&leeward, "GET", "*/*").status, 200);
}

#[test]
fn pages_that_cannot_be_served_are_faults_of_the_configuration_told_all_at_once() {
    let home = tempfile::tempdir().expect("a directory");
    let picture = home.path().join("picture.png");
    fs::write(&picture, "x").expect("a file");
    let file = home.path().join("leeward.toml");
    let text = format!(
        "[edge]\nlisten = \"127.0.0.1:0\"\n[status]\nlisten = \"127.0.0.1:0\"\n\
         [pages]\nunavailable = \"/no/such.html\"\nmaintenance = {picture:?}\ndirectory = {:?}\n",
        home.path()
    );
    fs::write(&file, text).expect("the configuration");
    for arguments in [
        vec!["check", path(&file)],
        vec!["run", "--config", path(&file)],
    ] {
        let output = leeward(&arguments);
        assert_eq!(output.status.code(), Some(78), "{arguments:?}");
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        for part in [
            "pages.unavailable: /no/such.html cannot be read",
            "pages.maintenance: ",
            "neither .html nor .txt",
            "pages.directory: ",
            "there is no page in it",
        ] {
            assert!(told.contains(part), "{part:?} is missing in\n{told}");
        }
    }
}

fn path(file: &Path) -> &str {
    file.to_str().expect("a plain name")
}
