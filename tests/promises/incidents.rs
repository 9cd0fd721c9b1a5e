//! What is kept of incidents, what is told of them and by whom, and what the operator's own programs do about them.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::house::{DUE, behind, configuration, incidents, sick};
use crate::support::h1;
use crate::support::response::Response;
use crate::support::{Leeward, free_port, leeward};

/// Hangs are sure sooner than by default, so that a test need not wait for it.
const SOON: &str = "[hang]\ncertain = \"500ms\"\nsilent = \"2s\"\n[restart]\nbackoff = \"100ms\"\n";

fn get(leeward: &Leeward, path: &str) -> Response {
    h1::get(leeward.edge(), path, DUE).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn pid(leeward: &Leeward) -> u32 {
    get(leeward, "/").origin_pid().expect("the page tells it")
}

fn signal(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(pid as i32).expect("a process number");
    kill_process(pid, signal).expect("it can be signalled");
}

fn exists(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    !stat.is_empty() && !stat.contains(") Z")
}

/// Freezes the origin, and returns the incident when it is closed.
fn frozen(leeward: &Leeward) -> Value {
    signal(pid(leeward), Signal::STOP);
    leeward.wait_log("incident closed", DUE);
    incidents(leeward).remove(0)
}

/// A hook that is a shell's script, its arguments `{pid}` and `{id}`.
fn script(key: &str, text: &str, more: &str) -> String {
    let words = ["sh", "-c", text, "hook", "{pid}", "{id}"];
    format!("{SOON}[hooks]\n{key} = {words:?}\n{more}")
}

fn lines(output: &Value) -> Vec<String> {
    let lines = output.as_array().expect("lines").iter();
    let line = |line: &Value| line.as_str().expect("a text").to_owned();
    lines.map(line).collect()
}

fn wait_until(what: &str, mut so: impl FnMut() -> bool) {
    let until = Instant::now() + DUE;
    while !so() {
        assert!(Instant::now() < until, "not within {DUE:?}: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_hook_before_the_kill_finds_the_incident_on_the_disk_and_the_process_as_it_was() {
    let look = "test -s \"$LEEWARD_FILE\" && echo on the disk; read -r _ _ state _ < /proc/$1/stat; \
                echo state $state; echo $2 $LEEWARD_VERDICT; echo password=hunter2 >&2; cd /proc/self/fd; echo *; env";
    let leeward = behind(&[], &script("before_kill", look, ""));
    let told = frozen(&leeward);
    let ran = &told["before_kill"];
    assert_eq!(ran["end"], "exited with 0", "{ran}");
    let said = lines(&ran["output"]);
    let id = told["id"].as_str().expect("an id");
    let wanted = [
        "on the disk",
        "state T",
        &format!("{id} stopped"),
        "password=***",
    ];
    assert_eq!(said[..4], wanted);
    // The fourth is what the shell itself opened to list them.
    assert!(["0 1 2", "0 1 2 3"].contains(&&*said[4]), "{}", said[4]);
    let ours: Vec<_> = said.iter().filter(|it| it.contains("LEEWARD_")).collect();
    assert_eq!(ours.len(), 6, "{said:?}");
    assert!(!said.iter().any(|it| it.starts_with("CARGO")), "{said:?}");
    let log = leeward.stderr();
    let place = |part: &str| {
        log.find(part)
            .unwrap_or_else(|| panic!("{part} is missing"))
    };
    assert!(place("incident opened") < place("hooks.before_kill exited with 0"));
    assert!(place("incident amended") < place("origin was ended by signal 9"));
}

#[test]
fn a_hook_that_hangs_is_killed_with_its_children_and_delays_no_longer_than_it_may() {
    let hang = "sleep 1000 & echo $!; echo $$; sleep 1000";
    let leeward = behind(
        &[],
        &script("before_kill", hang, "before_kill_timeout = \"1s\"\n"),
    );
    let told = frozen(&leeward);
    let ran = &told["before_kill"];
    let end = ran["end"].as_str().expect("an end");
    assert!(end.starts_with("did not end within 1s"), "{end}");
    let took = ran["took_seconds"].as_f64().expect("a length");
    assert!((1.0..2.0).contains(&took), "{took}");
    let down = told["ending"]["downtime_seconds"].as_f64();
    assert!(down.is_some_and(|down| down < 4.0), "{down:?}");
    for child in lines(&ran["output"]) {
        let child = child.parse().expect("a number");
        wait_until("the hook and its child are gone", || !exists(child));
    }
    assert_eq!(get(&leeward, "/").status, 200);
}

#[test]
fn a_hook_that_is_missing_or_babbles_is_told_and_stops_nothing() {
    let missing = format!("{SOON}[hooks]\nbefore_kill = [\"/no/such/debugger\"]\n");
    let leeward = behind(&[], &missing);
    let told = frozen(&leeward);
    let end = told["before_kill"]["end"].as_str().expect("an end");
    assert!(end.starts_with("exited with 127"), "{end}");
    leeward.wait_log("hooks.before_kill exited with 127", DUE);
    let babble = "yes | tr -d '\\n' | head -c 1000000; exit 3";
    let leeward = behind(
        &[],
        &script("before_kill", babble, "before_kill_output = \"2KiB\"\n"),
    );
    let ran = &frozen(&leeward)["before_kill"];
    assert_eq!(ran["end"], "exited with 3");
    assert_eq!(lines(&ran["output"]).concat().len(), 2048);
    assert_eq!(ran["omitted_bytes"], 1_000_000 - 2048);
}

#[test]
fn an_origin_that_ended_by_itself_is_not_debugged() {
    let leeward = behind(&[], &script("before_kill", "echo here", ""));
    signal(pid(&leeward), Signal::KILL);
    leeward.wait_log("incident closed", DUE);
    assert_eq!(incidents(&leeward)[0]["before_kill"], Value::Null);
}

#[test]
fn somebody_is_told_once_when_an_incident_opens_and_once_when_it_closes() {
    let tell = "echo \"$LEEWARD_STEP $LEEWARD_VERDICT $2 $LEEWARD_FILE\" >> @DIR@/told; \
                echo \"$LEEWARD_SENTENCE\" > @DIR@/sentence; echo woe; sleep 1; exit 3";
    let leeward = behind(&[], &script("on_incident", tell, ""));
    let told = frozen(&leeward);
    let down = told["ending"]["downtime_seconds"].as_f64();
    assert!(down.is_some_and(|down| down < 1.0), "{down:?}");
    let file = leeward.directory().join("told");
    let said = || fs::read_to_string(&file).unwrap_or_default();
    let failed = leeward.wait_log_nth("hooks.on_incident exited with 3", 2, DUE);
    assert!(failed.contains("said=\"woe\""), "{failed}");
    let id = told["id"].as_str().expect("an id");
    let path = leeward.directory().join(format!("incidents/{id}.json"));
    let line = |step: &str| format!("{step} stopped {id} {}\n", path.display());
    assert_eq!(said(), line("opened") + &line("closed"));
    let sentence = fs::read_to_string(leeward.directory().join("sentence")).expect("a sentence");
    assert_eq!(Some(sentence.trim_end()), told["sentence"].as_str());
}

#[test]
fn a_teller_that_hangs_delays_neither_the_origin_nor_the_end() {
    let hang = "echo $$ >> @DIR@/told; sleep 1000";
    let mut leeward = behind(&[], &script("on_incident", hang, ""));
    let told = frozen(&leeward);
    let down = told["ending"]["downtime_seconds"].as_f64();
    assert!(down.is_some_and(|down| down < 2.0), "{down:?}");
    let asked = Instant::now();
    assert_eq!(leeward.terminate().code(), Some(0));
    assert!(
        asked.elapsed() < Duration::from_secs(9),
        "{:?}",
        asked.elapsed()
    );
    let tellers = fs::read_to_string(leeward.directory().join("told")).expect("it was run");
    let tellers: Vec<u32> = tellers.lines().flat_map(str::parse).collect();
    assert_eq!(tellers.len(), 1, "one at a time");
    wait_until("it is gone with Leeward", || !exists(tellers[0]));
}

#[test]
fn a_core_is_asked_for_where_it_is_wanted() {
    let core = SOON.replace("[restart]\n", "[restart]\ncore = true\n");
    // Wherever this system puts cores, a relative name is one in a directory that goes with the test.
    let config = configuration(&sick(&[]), free_port(), &core).replace(
        "[origin.process]\n",
        "concurrency = 1\n[origin.process]\ndirectory = \"@DIR@\"\n",
    );
    let leeward = Leeward::start(&config);
    let limits = fs::read_to_string(format!("/proc/{}/limits", pid(&leeward))).expect("limits");
    let cores = limits
        .lines()
        .find(|line| line.starts_with("Max core file size"));
    let cores: Vec<_> = cores.expect("a limit").split_whitespace().collect();
    assert_eq!(
        cores[4], cores[5],
        "as far as the hard limit allows: {cores:?}"
    );
    let edge = leeward.edge();
    std::thread::spawn(move || h1::get(edge, "/block/sleep", DUE));
    leeward.wait_log("incident closed", DUE);
    let told = incidents(&leeward);
    let obituary = told[0]["ending"]["obituary"].as_str().unwrap_or_default();
    assert!(obituary.starts_with("was ended by signal 6"), "{obituary}");
}

/// Leeward with its incidents in `directory`, and these keys in `[incidents]`.
fn keeping(directory: &Path, keys: &str) -> Leeward {
    let config = configuration(&sick(&[]), free_port(), "[restart]\nbackoff = \"50ms\"\n")
        .replace("[origin.process]\n", "concurrency = 1\n[origin.process]\n")
        .replace(
            "@DIR@/incidents\"\n",
            &format!("{}\"\n{keys}", directory.display()),
        );
    Leeward::start(&config)
}

fn named(age: Duration) -> String {
    let then = jiff::Timestamp::now() - age;
    format!("{}-1-exited", then.strftime("%Y%m%dT%H%M%S.%3fZ"))
}

#[test]
fn incidents_are_kept_by_age_and_by_count_and_those_of_earlier_runs_are_listed() {
    let directory = tempfile::tempdir().expect("a directory");
    let hour = Duration::from_secs(3600);
    let [old, young] = [named(49 * hour), named(hour)];
    let file = |id: &str| directory.path().join(format!("{id}.json"));
    for id in [&old, &young] {
        let text =
            "{\"sentence\": \"of an earlier run\", \"judgement\": {\"verdict\": \"exited\"}}";
        fs::write(file(id), text).expect("a file");
    }
    let leeward = keeping(directory.path(), "keep = 2\nmax_age = \"2d\"\n");
    wait_until("the old one is dropped", || !file(&old).exists());
    let listed = || leeward.status_get("/incidents").text();
    assert!(
        listed().contains(&young) && !listed().contains(&old),
        "{}",
        listed()
    );
    for path in ["/", "/status.json"] {
        let page = leeward.status_get(path).text();
        assert!(
            page.contains(&young) && page.contains("of an earlier run"),
            "{page}"
        );
    }
    for times in 1..=2 {
        signal(pid(&leeward), Signal::KILL);
        leeward.wait_log_nth("incident closed", times, DUE);
    }
    let left = fs::read_dir(directory.path()).expect("it is there").count();
    assert_eq!(left, 2);
    assert!(!file(&young).exists() && !listed().contains(&young));
    let listed: Value = serde_json::from_str(&listed()).expect("a list");
    assert_eq!(listed.as_array().map(Vec::len), Some(2), "{listed}");
}

#[test]
fn no_secret_is_told_in_incident_log_or_page() {
    let words = [
        "--banner",
        "login: password=s3cret-1 Authorization: Basic s3cret-2",
    ];
    let process = "[origin.process]\nenvironment = { TOKEN = \"s3cret-3\" }\n";
    let config = configuration(&sick(&words), free_port(), SOON)
        .replace("[origin.process]\n", &format!("concurrency = 1\n{process}"));
    let leeward = Leeward::start(&config);
    leeward.wait_log("origin ready", DUE);
    let edge = leeward.edge();
    let secret = [
        ("Authorization", "Bearer s3cret-4"),
        ("Cookie", "sid=s3cret-5"),
    ];
    let target = "/block/sleep?token=s3cret-6";
    let client = std::thread::spawn(move || h1::request(edge, "GET", target, &secret, &[], DUE));
    let mut told = String::new();
    wait_until("the request is under way", || {
        told = leeward.status_get("/status.json").text();
        told.contains("GET /block/sleep")
    });
    told += &leeward.status_get("/").text();
    leeward.wait_log("incident closed", DUE);
    let _ = client.join();
    for incident in incidents(&leeward) {
        assert_eq!(incident["visits"][0]["request"], "GET /block/sleep");
        told += &incident.to_string();
    }
    told += &leeward.stderr();
    assert!(
        told.contains("password=***"),
        "the origin's words are told\n{told}"
    );
    let told: Vec<_> = told.lines().filter(|it| it.contains("s3cret")).collect();
    assert!(told.is_empty(), "{told:#?}");
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Runs `leeward incidents`; what it printed, or what it complained of.
fn asked(arguments: &[&str]) -> Result<String, String> {
    let output = leeward(&[&["incidents"], arguments].concat());
    match output.status.code() {
        Some(0) => Ok(text(&output.stdout)),
        code => {
            assert_eq!(code, Some(1), "{}", text(&output.stderr));
            Err(text(&output.stderr))
        }
    }
}

#[test]
fn the_story_is_told_from_the_page_and_while_nothing_runs_from_the_files() {
    let mut leeward = behind(&[], &script("before_kill", "echo backtrace", ""));
    let told = frozen(&leeward);
    let (id, sentence) = (told["id"].as_str(), told["sentence"].as_str());
    let (id, sentence) = (id.expect("an id"), sentence.expect("a sentence"));
    let url = format!("http://{}", leeward.status());
    let directory = leeward.directory().join("incidents").display().to_string();
    let file = leeward
        .directory()
        .join("leeward.toml")
        .display()
        .to_string();
    let by_page = asked(&["last", "--url", &url]).expect("a story");
    assert_eq!(leeward.terminate().code(), Some(0));
    for place in [["--directory", &*directory], ["--config", &*file]] {
        let list = asked(&place).expect("a list");
        assert!(list.contains(sentence) && list.contains(id), "{list}");
        assert!(list.contains("stopped, nobody served for"), "{list}");
        for name in ["last", id, &id[..12]] {
            let story = asked(&[&[name], &place[..]].concat()).expect("a story");
            assert_eq!(story, by_page, "{name}");
        }
    }
    assert!(by_page.starts_with(&format!("{sentence}\n")), "{by_page}");
    for part in [
        "stopped, conclusive",
        "was ended by signal 9",
        "Nobody was served for",
        "requests",
        "proven after",
        "process ",
        "| backtrace",
        "| ailing: listening on",
    ] {
        assert!(by_page.contains(part), "{part} is missing in\n{by_page}");
    }
    let json = asked(&["last", "--json", "--directory", &directory]).expect("JSON");
    let json: Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(json, told);
    let refused = asked(&["last", "--url", &url]).expect_err("nobody is there");
    assert!(refused.contains("--directory DIR"), "{refused}");
}

#[test]
fn what_cannot_be_told_is_told_apart() {
    let directory = tempfile::tempdir().expect("a directory");
    let at = directory.path().display().to_string();
    let tell = |arguments: &[&str]| asked(&[arguments, &["--directory", &at]].concat());
    assert_eq!(tell(&[]).as_deref(), Ok("no incidents\n"));
    assert!(tell(&["last"]).is_err_and(|told| told.contains("there are no incidents")));
    let hostile =
        "{\"sentence\": \"\\u001b]0;owned\\u0007 \\u009b2J\", \"output\": [\"\\u001b[2J\"]}";
    for (id, text) in [("20260101-a", hostile), ("20260101-b", "{\"sent")] {
        fs::write(directory.path().join(format!("{id}.json")), text).expect("a file");
    }
    for told in [tell(&[]), tell(&["20260101-a"])] {
        let told = told.expect("it is told");
        assert!(
            told.contains("owned") && !told.contains(['\u{1b}', '\u{7}', '\u{9b}']),
            "{told:?}"
        );
    }
    assert!(tell(&[]).is_ok_and(|told| told.contains("cannot be understood")));
    for (asked, complaint) in [
        ("2027", "there is no incident"),
        ("20260101", "is the beginning of 2 incidents"),
        ("20260101-b", "cannot be understood"),
        ("../../etc/passwd", "there is no incident"),
    ] {
        let told = tell(&[asked]).expect_err("nothing to tell");
        assert!(told.contains(complaint), "{told}");
    }
    let nowhere = asked(&["--directory", "/no/such"]).expect_err("no directory");
    assert!(
        nowhere.contains("/no/such: there is no such directory"),
        "{nowhere}"
    );
    let file = directory
        .path()
        .join("20260101-a.json")
        .display()
        .to_string();
    let file = asked(&["--directory", &file]).expect_err("no directory");
    assert!(file.contains("is no directory"), "{file}");
}

#[test]
fn a_query_is_told_only_where_that_is_asked_for_and_without_its_secrets() {
    let asked = "/bytes/1?page=2&password=hunter2&x=1";
    let silent = behind(&[], "");
    h1::get(silent.edge(), asked, DUE).expect("an answer");
    let told = silent.wait_log("GET /bytes/1", DUE);
    assert!(!told.contains("page=2"), "{told}");
    let open = behind(&[], "[log]\nqueries = true\n");
    h1::get(open.edge(), asked, DUE).expect("an answer");
    let told = open.wait_log("GET /bytes/1", DUE);
    assert!(told.contains("/bytes/1?page=2&password=***"), "{told}");
    assert!(!told.contains("hunter2"), "{told}");
}
