//! CGI scripts behind the bundled origin: what they are told, what becomes of what they write, and how they end.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::time::{Duration, Instant};

use crate::house::DUE;
use crate::site::{Site, script};
use crate::skip;
use crate::support::h1;

const ENVIRONMENT: &str = "#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\n'\nenv\n";
const ECHO: &str = "#!/bin/sh\nprintf 'Content-Type: application/x-echo\\r\\n\\r\\n'\ncat\n";
/// A script that hangs, with a child and a grandchild; their numbers are told in the file `pids`.
const HANG: &str = "#!/bin/sh\n(sleep 1000 & echo $! >> ../pids; exec sleep 1000) &\necho $! >> ../pids\n\
                    echo $$ >> ../pids\n$FIRST\nwait\n";

/// A site with these scripts, and with these arguments.
fn site(scripts: &[(&str, &str)], arguments: &[&str]) -> Site {
    let home = tempfile::tempdir().expect("a directory");
    for (name, text) in scripts {
        script(&home.path().join("cgi"), name, text);
    }
    let mut all = vec!["--cgi", "@HOME@/cgi"];
    all.extend(arguments);
    Site::start(home, &all)
}

fn pids(site: &Site, count: usize) -> Vec<u32> {
    let until = Instant::now() + DUE;
    loop {
        let told = std::fs::read_to_string(site.home.path().join("pids")).unwrap_or_default();
        let pids: Vec<u32> = told.lines().filter_map(|it| it.parse().ok()).collect();
        if pids.len() == count {
            return pids;
        }
        assert!(
            Instant::now() < until,
            "{count} processes were not told: {told}"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Waits until all of them are gone, or only wait to be reaped by whoever they were left to.
fn wait_gone(pids: &[u32]) {
    let until = Instant::now() + DUE;
    let lives = |pid: &&u32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let state = stat.rsplit_once(") ").map(|(_, rest)| rest.chars().next());
        !matches!(state, None | Some(Some('Z' | 'X')))
    };
    while pids.iter().any(|pid| lives(&pid)) {
        assert!(
            Instant::now() < until,
            "of {pids:?} there are {:?}",
            pids.iter().find(lives)
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_script_is_told_what_the_standard_says_and_nothing_else() {
    let site = site(&[("env", ENVIRONMENT)], &["--forwarded"]);
    let fields = [
        ("host", "example.org:8443"),
        ("x-forwarded-for", "192.0.2.7"),
        ("x-forwarded-proto", "https"),
        ("authorization", "Basic c2VjcmV0"),
        ("proxy", "http://evil/"),
        ("x-own", "one"),
        ("x_own", "evil"),
        ("content-type", "text/csv"),
    ];
    let answer = site.ask("POST", "/cgi-bin/env/a%20b/c?q=%31&r", &fields, b"abc");
    assert_eq!(
        (answer.status, answer.header("content-type")),
        (200, Some("text/plain"))
    );
    let text = answer.text();
    let told: BTreeMap<_, _> = text
        .lines()
        .filter_map(|line| line.split_once('='))
        .collect();
    let file = site.home.path().canonicalize().unwrap().join("cgi/env");
    let file = file.display().to_string();
    let wanted = BTreeMap::from([
        ("CONTENT_LENGTH", "3"),
        ("CONTENT_TYPE", "text/csv"),
        ("GATEWAY_INTERFACE", "CGI/1.1"),
        ("HTTPS", "on"),
        ("HTTP_HOST", "example.org:8443"),
        ("HTTP_X_FORWARDED_FOR", "192.0.2.7"),
        ("HTTP_X_FORWARDED_PROTO", "https"),
        ("HTTP_X_OWN", "one"),
        (
            "PATH",
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        ),
        ("PATH_INFO", "/a b/c"),
        ("QUERY_STRING", "q=%31&r"),
        ("REMOTE_ADDR", "192.0.2.7"),
        ("REMOTE_HOST", "192.0.2.7"),
        ("REQUEST_METHOD", "POST"),
        ("REQUEST_SCHEME", "https"),
        ("REQUEST_URI", "/cgi-bin/env/a%20b/c?q=%31&r"),
        ("SCRIPT_FILENAME", file.as_str()),
        ("SCRIPT_NAME", "/cgi-bin/env"),
        ("SERVER_NAME", "example.org"),
        ("SERVER_PORT", "8443"),
        ("SERVER_PROTOCOL", "HTTP/1.1"),
        (
            "SERVER_SOFTWARE",
            concat!("leeward-origin/", env!("CARGO_PKG_VERSION")),
        ),
    ]);
    // What a shell adds by itself.
    let own = ["PWD", "OLDPWD", "SHLVL", "_"];
    let told: BTreeMap<_, _> = told
        .into_iter()
        .filter(|(name, _)| !own.contains(name))
        .collect();
    assert_eq!(told, wanted);
}

#[test]
fn bodies_go_in_and_out_in_shell_and_in_python() {
    let site = site(&[("echo", ECHO)], &[]);
    let body: Vec<u8> = (0..3_000_000u32).map(|at| (at % 251) as u8).collect();
    let answer = site.ask("POST", "/cgi-bin/echo", &[], &body);
    assert_eq!(
        (answer.status, answer.header("content-type")),
        (200, Some("application/x-echo"))
    );
    assert!(answer.body == body, "{} bytes came back", answer.body.len());
    let chunked = [("transfer-encoding", "chunked")];
    assert_eq!(
        site.ask("POST", "/cgi-bin/echo", &chunked, b"0\r\n\r\n")
            .status,
        411
    );
    if std::process::Command::new("python3")
        .arg("-V")
        .output()
        .is_err()
    {
        skip!("no python3 here");
    }
    let text = "#!/usr/bin/env python3\nimport os, sys\n\
                body = sys.stdin.buffer.read(int(os.environ['CONTENT_LENGTH']))\n\
                print('Status: 201 Created\\nContent-Type: text/plain\\nContent-Length: %d\\nX-Own: a\\n' % len(body))\n\
                sys.stdout.flush()\nsys.stdout.buffer.write(body + b'more than it promised')\n";
    script(&site.home.path().join("cgi"), "echo.py", text);
    let answer = site.ask("POST", "/cgi-bin/echo.py", &[], b"abc");
    assert_eq!((answer.status, answer.text().as_str()), (201, "abc"));
    assert_eq!(answer.header("x-own"), Some("a"));
}

#[test]
fn a_script_that_hangs_is_ended_with_its_children_and_answered_504() {
    let arguments = ["--cgi-timeout", "700ms"];
    let after_head = HANG.replace("$FIRST", "printf 'Content-Type: a/b\\n\\nbegun'");
    let scripts = [("hang", HANG), ("later", after_head.as_str())];
    let site = site(&scripts, &arguments);
    let asked = Instant::now();
    assert_eq!(site.get("/cgi-bin/hang", &[]).status, 504);
    let took = asked.elapsed();
    assert!(took > Duration::from_millis(600) && took < DUE, "{took:?}");
    wait_gone(&pids(&site, 3));
    // Where the head is out already, the answer is cut off visibly.
    let mut client = h1::Connection::connect_plain(site.address, DUE).unwrap();
    let cut = client
        .request("GET", "/cgi-bin/later", &[], &[])
        .unwrap_err();
    assert_eq!(cut.kind(), ErrorKind::UnexpectedEof, "{cut}");
    wait_gone(&pids(&site, 6));
}

#[test]
fn a_client_that_goes_takes_its_script_with_it() {
    let after_head = HANG.replace("$FIRST", "printf 'Content-Type: a/b\\n\\nbegun'");
    let site = site(&[("hang", HANG), ("later", after_head.as_str())], &[]);
    for (path, count) in [("/cgi-bin/hang", 3), ("/cgi-bin/later", 6)] {
        let mut client = h1::Connection::connect_plain(site.address, DUE).unwrap();
        client
            .send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes())
            .unwrap();
        let pids = pids(&site, count);
        if count == 6 {
            assert_eq!(client.read_head_only().unwrap().status, 200);
        }
        drop(client);
        wait_gone(&pids);
    }
}

#[test]
fn a_script_does_not_outlive_an_origin_that_is_killed() {
    let text = "#!/bin/sh\necho $$ > ../pids\nexec sleep 1000\n";
    let mut site = site(&[("hang", text)], &[]);
    let mut client = h1::Connection::connect_plain(site.address, DUE).unwrap();
    client
        .send(b"GET /cgi-bin/hang HTTP/1.1\r\nHost: a\r\n\r\n")
        .unwrap();
    let pids = pids(&site, 1);
    site.running.signal(rustix::process::Signal::KILL);
    wait_gone(&pids);
}

#[test]
fn what_is_no_answer_is_502_and_what_cannot_run_says_so() {
    let site = site(
        &[
            ("garbage", "#!/bin/sh\necho this is not a head\necho\n"),
            ("mute", "#!/bin/sh\nexit 3\n"),
            (
                "nph-old",
                "#!/bin/sh\nprintf 'HTTP/1.0 200 OK\\r\\nContent-Type: a/b\\r\\n\\r\\n'\n",
            ),
            (
                "endless",
                "#!/bin/sh\nprintf 'Content-Type: a/b\\nX: '\nexec cat /dev/zero\n",
            ),
            ("nowhere", "#!/no/such/interpreter\n"),
            (
                "short",
                "#!/bin/sh\nprintf 'Content-Type: a/b\\nContent-Length: 9\\n\\nabc'\n",
            ),
            (
                "stderr",
                "#!/bin/sh\necho it hurts >&2\nprintf 'Status: 204\\n\\n'\n",
            ),
        ],
        &[],
    );
    for name in ["garbage", "mute", "nph-old", "endless", "nowhere"] {
        assert_eq!(
            site.get(&format!("/cgi-bin/{name}"), &[]).status,
            502,
            "{name}"
        );
    }
    for path in [
        "/cgi-bin",
        "/cgi-bin/",
        "/cgi-bin/none",
        "/cgi-bin/%2e%2e/pids",
    ] {
        assert_eq!(site.get(path, &[]).status, 404, "{path}");
    }
    let mut client = h1::Connection::connect_plain(site.address, DUE).unwrap();
    let cut = client
        .request("GET", "/cgi-bin/short", &[], &[])
        .unwrap_err();
    assert_eq!(cut.kind(), ErrorKind::UnexpectedEof, "{cut}");
    assert_eq!(site.get("/cgi-bin/stderr", &[]).status, 204);
    let line = site
        .running
        .stderr
        .wait("it hurts", DUE)
        .expect("a line in the log");
    assert!(line.contains("/cgi-bin/stderr"), "{line}");
}

#[test]
fn no_more_run_at_once_than_may() {
    let site = site(
        &[("hang", HANG), ("quick", ENVIRONMENT)],
        &["--cgi-at-once", "2"],
    );
    let ask = || {
        let mut client = h1::Connection::connect_plain(site.address, DUE).unwrap();
        client
            .send(b"GET /cgi-bin/hang HTTP/1.1\r\nHost: a\r\n\r\n")
            .unwrap();
        client
    };
    let clients = [ask(), ask()];
    pids(&site, 6);
    for _ in 0..20 {
        let refused = site.get("/cgi-bin/quick", &[]);
        assert_eq!(
            (refused.status, refused.header("retry-after")),
            (503, Some("1"))
        );
    }
    drop(clients);
    let until = Instant::now() + DUE;
    while site.get("/cgi-bin/quick", &[]).status != 200 {
        assert!(Instant::now() < until, "no place comes free");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn redirects_are_followed_here_or_by_the_client() {
    let circle = "#!/bin/sh\nprintf 'Location: /cgi-bin/circle\\n\\n'\n";
    let site = site(
        &[
            (
                "here",
                "#!/bin/sh\nprintf 'Location: /cgi-bin/env/x?y=z\\n\\n'\n",
            ),
            ("page", "#!/bin/sh\nprintf 'Location: /hello.txt\\n\\n'\n"),
            (
                "away",
                "#!/bin/sh\nprintf 'Location: https://example.org/\\n\\n'\n",
            ),
            ("circle", circle),
            ("env", ENVIRONMENT),
        ],
        &[],
    );
    let here = site.ask("POST", "/cgi-bin/here", &[], b"abc").text();
    for line in [
        "REQUEST_METHOD=GET\n",
        "PATH_INFO=/x\n",
        "QUERY_STRING=y=z\n",
    ] {
        assert!(here.contains(line), "{here}");
    }
    assert!(!here.contains("CONTENT_LENGTH"), "{here}");
    assert_eq!(
        site.get("/cgi-bin/page", &[]).text(),
        "Hello from the origin behind Leeward.\n"
    );
    let away = site.get("/cgi-bin/away", &[]);
    assert_eq!(
        (away.status, away.header("location")),
        (302, Some("https://example.org/"))
    );
    assert_eq!(site.get("/cgi-bin/circle", &[]).status, 502);
}

#[test]
fn large_output_flows_while_it_is_written_and_is_never_held() {
    let text = "#!/bin/sh\nprintf 'Content-Type: a/b\\n\\n'\nhead -c 80000000 /dev/zero\n";
    let first = "#!/bin/sh\nprintf 'Content-Type: a/b\\n\\nfirst'\nread go\n printf second\n";
    let site = site(&[("large", text), ("first", first)], &[]);
    assert_eq!(site.get("/cgi-bin/large", &[]).body.len(), 80_000_000);
    let status = std::fs::read_to_string(format!("/proc/{}/status", site.running.pid())).unwrap();
    let peak = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .unwrap();
    let peak: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(peak < 60_000, "{peak} kB");
    // What is written goes out before the script has ended: it waits for the rest of the request.
    let mut client = h1::Connection::connect_plain(site.address, DUE).unwrap();
    let head = b"POST /cgi-bin/first HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n";
    client.send(head).unwrap();
    assert_eq!(client.read_head_only().unwrap().status, 200);
    assert_eq!(client.read_chunk().unwrap(), b"first");
    client.send(b"go\n").unwrap();
    assert_eq!(client.read_chunk().unwrap(), b"second");
    assert!(client.read_chunk().unwrap().is_empty());
}

#[test]
fn the_text_of_a_script_is_never_served_and_what_it_leaves_is_ended() {
    let home = tempfile::tempdir().expect("a directory");
    let www = home.path().join("www");
    let text = "#!/bin/sh\nsleep 1000 >/dev/null 2>&1 </dev/null &\necho $! > ../../pids\n\
                printf 'Content-Type: text/plain\\n\\nran'\n";
    script(&www.join("scripts"), "run", text);
    std::os::unix::fs::symlink("scripts/run", www.join("text")).unwrap();
    let arguments = [
        "--root",
        "@HOME@/www",
        "--cgi",
        "@HOME@/www/scripts",
        "--links=anywhere",
    ];
    let site = Site::start(home, &arguments);
    assert_eq!(site.get("/cgi-bin/run", &[]).text(), "ran");
    for path in ["/scripts/run", "/scripts/", "/scripts", "/text"] {
        assert_eq!(site.get(path, &[]).status, 404, "{path}");
    }
    wait_gone(&pids(&site, 1));
}
