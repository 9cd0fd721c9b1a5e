//! The status page as a person has it before them, in a real browser: each state as it comes, on a phone and on a desk, by
//! day and by night, by keyboard, without scripts, and when Leeward is gone.
//!
//! `LEEWARD_PICTURES=DIR` keeps a picture of each of them.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::json;

use crate::house::{DUE, behind, incidents, signal_origin};
use crate::skip;
use crate::support::browser::{Browser, Device, Scheme, axe};
use crate::support::{Leeward, h1};

/// Each state lasts long enough to be looked at.
const SLOWLY: &str = "[hang]\ncertain = \"700ms\"\n[restart]\nbackoff = \"2s\"\n\
    [origin.probe]\nevery = \"200ms\"\n[hooks]\nbefore_kill = [\"sleep\", \"1.5\"]\n";

/// The tabulator and the enter key, as WebDriver numbers them.
const TAB: char = '\u{e004}';
const ENTER: char = '\u{e007}';

fn page(leeward: &Leeward, path: &str) -> String {
    format!("http://{}{path}", leeward.status())
}

/// For people, where they asked for it.
fn keep(browser: &Browser, name: &str) {
    let Some(directory) = std::env::var_os("LEEWARD_PICTURES") else {
        return;
    };
    let place = Path::new(&directory).join(format!("{name}.png"));
    let file = std::fs::File::create(place).expect("a file for the picture");
    let mut decoding = Command::new("base64")
        .arg("-d")
        .stdin(Stdio::piped())
        .stdout(file)
        .spawn()
        .expect("base64 runs");
    let mut input = decoding.stdin.take().expect("it is piped");
    input
        .write_all(browser.picture().as_bytes())
        .expect("it reads");
    drop(input);
    decoding.wait().expect("it ends");
}

/// Waits for a state, and returns how it looks: its word, the class, the colour of word and sign, the shape of the sign.
fn looks(browser: &Browser, word: &str) -> [String; 4] {
    browser.wait(
        &format!("document.getElementById('word').textContent == '{word}'"),
        DUE,
    );
    let look = browser.run(
        "const word = document.getElementById('word'), sign = document.querySelector('.state svg');
         const colour = getComputedStyle(word).color;
         return [document.title, document.body.className,
             colour == getComputedStyle(sign).color ? colour : 'two colours', sign.innerHTML];",
        &[],
    );
    let part = |place: usize| look[place].as_str().unwrap_or_default().to_owned();
    let look = [part(0), part(1), part(2), part(3)];
    assert!(look[0].starts_with(word), "{look:?}");
    look
}

/// Nothing was complained of, and nobody else was asked for anything.
fn all_is_quiet(browser: &Browser, leeward: &Leeward) {
    let complaints = browser.complaints();
    assert!(complaints.is_empty(), "{complaints:#?}");
    let own = page(leeward, "/");
    let requests = browser.requests();
    assert!(
        requests.iter().any(|url| url.starts_with(&own)),
        "{requests:?}"
    );
    let is_foreign = |url: &&String| !url.starts_with(&own) && !url.starts_with("data:");
    let foreign: Vec<_> = requests.iter().filter(is_foreign).collect();
    assert!(foreign.is_empty(), "{foreign:?}");
}

#[test]
fn each_state_is_seen_as_it_comes_by_its_word_its_colour_and_its_shape() {
    let browser = match Browser::start() {
        Ok(browser) => browser,
        Err(skip) => skip!(skip),
    };
    let leeward = behind(&[], SLOWLY);
    browser.show_on(Device::Desktop, Scheme::Light);
    browser.open(&page(&leeward, "/"));
    let ready = looks(&browser, "Ready");
    keep(&browser, "ready");
    // It is never loaded again: what follows is sent.
    browser.run("window.sameAsBefore = true;", &[]);
    let edge = leeward.edge();
    let held = std::thread::spawn(move || h1::get(edge, "/slow/200", DUE));
    signal_origin(&leeward, Signal::STOP);
    let suspect = looks(&browser, "Suspect");
    keep(&browser, "suspect");
    let hung = looks(&browser, "Hung");
    browser.wait(
        "document.querySelector('[data-live=state]').innerText.includes('held')",
        DUE,
    );
    keep(&browser, "hung");
    assert_eq!(looks(&browser, "Ready"), ready);
    signal_origin(&leeward, Signal::KILL);
    let backoff = looks(&browser, "Backoff");
    keep(&browser, "backoff");
    assert_eq!(looks(&browser, "Ready"), ready);
    browser.wait(
        "document.querySelector('[data-live=day]').innerText.includes('2 incidents')",
        DUE,
    );
    keep(&browser, "ready-again");
    assert_eq!(browser.run("return window.sameAsBefore;", &[]), true);
    let all = [ready, suspect, hung, backoff];
    for part in 1..4 {
        let different: BTreeSet<_> = all.iter().map(|look| &look[part]).collect();
        assert_eq!(different.len(), all.len(), "{all:?}");
    }
    all_is_quiet(&browser, &leeward);
    held.join().expect("a client").expect("an answer");
}

/// What the engine calls a violation, each in a line: contrast, labels, order of headings, names of links.
fn violations(browser: &Browser, axe: &str) -> Vec<String> {
    browser.run(axe, &[]);
    let told = browser.run_until_told(
        "const done = arguments[arguments.length - 1];
         axe.run(document, { resultTypes: ['violations'] }).then(
             told => done(told.violations.map(it => it.id + ': ' + it.help + ': '
                 + it.nodes.map(node => node.html + ' ' + node.failureSummary).join(' | '))),
             fault => done([String(fault)]));",
    );
    let lines = told.as_array().expect("violations").iter();
    lines
        .map(|line| line.as_str().unwrap_or_default().to_owned())
        .collect()
}

#[test]
fn everybody_can_read_it_on_a_phone_and_on_a_desk_by_day_and_by_night() {
    let (browser, axe) = match (Browser::start(), axe()) {
        (Ok(browser), Ok(axe)) => (browser, axe),
        (Err(skip), _) | (_, Err(skip)) => skip!(skip),
    };
    // Hung for as long as it is looked at, after an incident.
    let slowly = SLOWLY.replace("\"1.5\"]", "\"60\"]\nbefore_kill_timeout = \"60s\"");
    let leeward = behind(&[], &slowly);
    signal_origin(&leeward, Signal::KILL);
    leeward.wait_log("incident closed", DUE);
    let edge = leeward.edge();
    let _held = std::thread::spawn(move || h1::get(edge, "/block/lock", DUE));
    std::thread::sleep(Duration::from_millis(100));
    signal_origin(&leeward, Signal::STOP);
    leeward.wait_log_nth("incident opened", 2, DUE);
    let all = incidents(&leeward);
    let hang = all
        .iter()
        .find(|it| it["ending"].is_null())
        .expect("one that is open");
    let hang = format!("/incidents/{}", hang["id"].as_str().expect("a name"));
    for (device, scheme) in [
        (Device::Desktop, Scheme::Light),
        (Device::Desktop, Scheme::Dark),
        (Device::Phone, Scheme::Light),
        (Device::Phone, Scheme::Dark),
    ] {
        browser.show_on(device, scheme);
        for (name, path) in [
            ("status", "/"),
            ("incident", hang.as_str()),
            ("incidents", "/incidents"),
        ] {
            browser.open(&page(&leeward, path));
            if name == "status" {
                looks(&browser, "Hung");
            }
            let what = format!("{name}-{device:?}-{scheme:?}").to_lowercase();
            keep(&browser, &what);
            let dark = browser.run(
                "return getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)[0] < 128;",
                &[],
            );
            assert_eq!(dark, scheme == Scheme::Dark, "{what}");
            let wide = browser.run(
                "return [document.documentElement.scrollWidth, innerWidth];",
                &[],
            );
            assert!(
                wide[0].as_u64() <= wide[1].as_u64(),
                "{what} is wider than the window: {wide}"
            );
            assert_eq!(violations(&browser, &axe), Vec::<String>::new(), "{what}");
        }
    }
    all_is_quiet(&browser, &leeward);
}

#[test]
fn incidents_are_reached_by_keyboard_and_the_focus_stays_when_the_page_changes() {
    let browser = match Browser::start() {
        Ok(browser) => browser,
        Err(skip) => skip!(skip),
    };
    let quickly = SLOWLY.replace("1.5", "0").replace("2s", "200ms");
    let mut leeward = behind(&[], &quickly);
    signal_origin(&leeward, Signal::STOP);
    leeward.wait_log("incident closed", DUE);
    browser.show_on(Device::Desktop, Scheme::Light);
    browser.open(&page(&leeward, "/"));
    let focused = || {
        browser.run(
            "const at = document.activeElement;
             return [at.getAttribute('href'), Boolean(at.closest('.incidents')), getComputedStyle(at).outlineStyle];",
            &[],
        )
    };
    let mut at = focused();
    for _ in 0..20 {
        if at[1] == true {
            break;
        }
        browser.press(TAB);
        at = focused();
    }
    assert_eq!(at[1], true, "no incident within twenty steps: {at}");
    assert_ne!(at[2], "none", "the focus is not seen");
    // Another incident changes the list in which the focus is.
    signal_origin(&leeward, Signal::KILL);
    browser.wait(
        "document.querySelectorAll('.incidents li').length == 2",
        DUE,
    );
    assert_eq!(focused()[0], at[0], "the focus is elsewhere");
    all_is_quiet(&browser, &leeward);
    browser.press(ENTER);
    browser.wait(
        "location.pathname.startsWith('/incidents/') && document.querySelector('.story')",
        DUE,
    );
    let told = browser.run(
        "return [location.pathname, document.querySelector('main section').innerText];",
        &[],
    );
    assert_eq!(told[0], at[0]);
    let sentence = incidents(&leeward)[0]["sentence"].clone();
    let sentence = sentence.as_str().expect("a sentence");
    assert!(
        told[1].as_str().is_some_and(|text| text.contains(sentence)),
        "{told}"
    );
    // Without scripts it is whole, too, and while the origin is down.
    browser.without_scripts();
    leeward.wait_log_nth("incident closed", 2, DUE);
    signal_origin(&leeward, Signal::KILL);
    browser.open(&page(&leeward, "/"));
    let text = browser.run("return document.body.innerText;", &[json!(null)]);
    let text = text.as_str().expect("a text").to_owned();
    for part in [sentence, "The last 24 hours", "it reloads every 5 seconds"] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    let status = leeward.terminate();
    assert!(status.success(), "{status}");
}

#[test]
fn the_page_says_so_when_leeward_is_gone_and_goes_on_when_it_is_back() {
    let browser = match Browser::start() {
        Ok(browser) => browser,
        Err(skip) => skip!(skip),
    };
    let mut leeward = behind(&[], "");
    browser.show_on(Device::Phone, Scheme::Light);
    browser.open(&page(&leeward, "/"));
    browser.wait("document.getElementById('gone').hidden", DUE);
    leeward.signal(Signal::STOP);
    browser.wait(
        "document.getElementById('gone').innerText.includes('has not been heard')",
        DUE,
    );
    keep(&browser, "gone");
    leeward.signal(Signal::CONT);
    browser.wait("document.getElementById('gone').hidden", DUE);
    leeward.signal(Signal::KILL);
    browser.wait("!document.getElementById('gone').hidden", DUE);
}
