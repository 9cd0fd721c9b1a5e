//! The bundled origin alone, as a web server for files: what is asked, and what comes.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tempfile::TempDir;

use crate::house::DUE;
use crate::support::leeward::start;
use crate::support::process::Running;
use crate::support::response::Response;
use crate::support::{Leeward, h1};

/// A bundled origin that runs alone.
pub struct Site {
    pub running: Running,
    pub address: SocketAddr,
    /// Holds `www`, and whatever is beside it.
    pub home: TempDir,
}

impl Site {
    /// Serves `www` in `home`, with these arguments; `@HOME@` stands for the directory.
    pub fn start(home: TempDir, arguments: &[&str]) -> Site {
        let place = home.path().display().to_string();
        let arguments: Vec<_> = arguments
            .iter()
            .map(|it| it.replace("@HOME@", &place))
            .collect();
        let mut all = vec!["origin", "--listen", "127.0.0.1:0"];
        all.extend(arguments.iter().map(String::as_str));
        let running = start(&all);
        let line = running
            .stderr
            .wait("ready on http://", DUE)
            .expect("a ready line");
        let address = line
            .split("http://")
            .nth(1)
            .and_then(|it| it.split(' ').next());
        let address = address
            .and_then(|it| it.trim().parse().ok())
            .expect("an address");
        Site {
            running,
            address,
            home,
        }
    }

    /// The answer to a request.
    pub fn ask(&self, method: &str, path: &str, fields: &[(&str, &str)], body: &[u8]) -> Response {
        let connection = h1::Connection::connect_plain(self.address, DUE);
        let mut connection = connection.expect("a connection");
        connection
            .request(method, path, fields, body)
            .unwrap_or_else(|error| {
                panic!("{method} {path}: {error}; {}", self.running.stderr.text())
            })
    }

    pub fn get(&self, path: &str, fields: &[(&str, &str)]) -> Response {
        self.ask("GET", path, fields, &[])
    }
}

/// Fields of a request, and the status and body of its answer.
type Row<'r> = (&'r [(&'r str, &'r str)], u16, &'r str);

const CHANGED: &str = "Tue, 14 Nov 2023 22:13:20 GMT";

/// A directory with files of 2023 in `www`, and a secret beside it.
fn files() -> TempDir {
    let home = tempfile::tempdir().expect("a directory");
    let www = home.path().join("www");
    fs::create_dir_all(www.join("folder")).unwrap();
    fs::create_dir_all(www.join("bare")).unwrap();
    fs::create_dir_all(www.join(".well-known")).unwrap();
    let old = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    for (name, text) in [
        ("www/ten.txt", "0123456789"),
        ("www/app.js", "plain"),
        ("www/app.js.gz", "as gzip"),
        ("www/app.js.br", "as brotli"),
        ("www/app.js.zst", "as zstd"),
        ("www/folder/index.html", "<p>index"),
        ("www/bare/one.txt", "one"),
        ("www/.env", "secret"),
        ("www/.well-known/token", "known"),
        ("www/lost.html", "lost?"),
        ("secret.txt", "secret"),
    ] {
        let path = home.path().join(name);
        fs::write(&path, text).unwrap();
        File::options()
            .append(true)
            .open(path)
            .unwrap()
            .set_modified(old)
            .unwrap();
    }
    symlink("../secret.txt", www.join("out.txt")).unwrap();
    symlink("..", www.join("up")).unwrap();
    symlink("ten.txt", www.join("in.txt")).unwrap();
    home
}

#[test]
fn files_are_served_by_the_rules_of_http() {
    let site = Site::start(files(), &["--root", "@HOME@/www"]);
    let ten = site.get("/ten.txt", &[]);
    let tag = ten.header("etag").expect("a tag").to_owned();
    assert!(tag.starts_with('"'), "a strong tag, not {tag}");
    assert_eq!(ten.header("last-modified"), Some(CHANGED));
    assert_eq!(
        ten.header("content-type"),
        Some("text/plain; charset=utf-8")
    );
    assert_eq!(ten.header("accept-ranges"), Some("bytes"));
    let tag = tag.as_str();
    let before = "Tue, 14 Nov 2023 22:13:19 GMT";
    let table: &[Row<'_>] = &[
        (&[], 200, "0123456789"),
        (&[("if-none-match", tag)], 304, ""),
        (&[("if-none-match", "\"x\", W/\"y\"")], 200, "0123456789"),
        (&[("if-none-match", "*")], 304, ""),
        (&[("if-modified-since", CHANGED)], 304, ""),
        (&[("if-modified-since", before)], 200, "0123456789"),
        (
            &[("if-modified-since", CHANGED), ("if-none-match", "\"x\"")],
            200,
            "0123456789",
        ),
        (&[("if-match", tag)], 200, "0123456789"),
        (&[("if-match", "\"x\"")], 412, ""),
        (&[("if-unmodified-since", before)], 412, ""),
        (&[("if-unmodified-since", CHANGED)], 200, "0123456789"),
        (&[("range", "bytes=2-4")], 206, "234"),
        (&[("range", "bytes=-3")], 206, "789"),
        (&[("range", "bytes=8-99")], 206, "89"),
        (&[("range", "bytes=10-")], 416, ""),
        (&[("range", "bytes=0-1,4-5")], 200, "0123456789"),
        (&[("range", "bytes=2-4"), ("if-range", tag)], 206, "234"),
        (
            &[("range", "bytes=2-4"), ("if-range", "\"x\"")],
            200,
            "0123456789",
        ),
        (
            &[("range", "bytes=2-4"), ("if-range", CHANGED)],
            200,
            "0123456789",
        ),
    ];
    for (fields, status, body) in table {
        let answer = site.get("/ten.txt", fields);
        assert_eq!(
            (answer.status, answer.text().as_str()),
            (*status, *body),
            "{fields:?}"
        );
    }
    let part = site.get("/ten.txt", &[("range", "bytes=2-4")]);
    assert_eq!(part.header("content-range"), Some("bytes 2-4/10"));
    let head = site.ask("HEAD", "/ten.txt", &[("range", "bytes=2-4")], &[]);
    assert_eq!(
        (head.status, head.header("content-length")),
        (200, Some("10"))
    );
    for (method, status) in [
        ("OPTIONS", 204),
        ("POST", 405),
        ("DELETE", 405),
        ("TRACE", 405),
    ] {
        let answer = site.ask(method, "/ten.txt", &[], &[]);
        assert_eq!(answer.status, status, "{method}");
        assert_eq!(
            answer.header("allow"),
            Some("GET, HEAD, OPTIONS"),
            "{method}"
        );
    }
}

#[test]
fn each_client_gets_the_form_it_wants_under_a_tag_of_its_own() {
    let site = Site::start(files(), &["--root", "@HOME@/www"]);
    let mut tags = std::collections::BTreeSet::new();
    for (wanted, body, encoding) in [
        ("gzip, br, zstd", "as brotli", Some("br")),
        ("gzip, zstd", "as zstd", Some("zstd")),
        ("gzip;q=0.9, br;q=0.1", "as gzip", Some("gzip")),
        ("*, br;q=0, zstd;q=0", "as gzip", Some("gzip")),
        ("gzip;q=0", "plain", None),
        ("identity, gzip;q=0.5", "plain", None),
        ("", "plain", None),
    ] {
        let answer = site.get("/app.js", &[("accept-encoding", wanted)]);
        assert_eq!(answer.text(), body, "{wanted}");
        assert_eq!(answer.header("content-encoding"), encoding, "{wanted}");
        assert_eq!(answer.header("vary"), Some("accept-encoding"), "{wanted}");
        assert_eq!(
            answer.header("content-type"),
            Some("text/javascript; charset=utf-8")
        );
        tags.insert(answer.header("etag").unwrap().to_owned());
    }
    assert_eq!(tags.len(), 4, "{tags:?}");
    assert_eq!(
        site.get("/ten.txt", &[("accept-encoding", "gzip")])
            .header("vary"),
        None
    );
}

#[test]
fn no_path_leads_out_of_the_root_or_to_what_is_hidden() {
    let site = Site::start(files(), &["--root", "@HOME@/www"]);
    let long = format!("/{}", "a/".repeat(2000));
    let longer = format!("/{}", "a".repeat(5000));
    for (path, status) in [
        ("/../secret.txt", 404),
        ("/%2e%2e/secret.txt", 404),
        ("/folder/..%2f..%2fsecret.txt", 404),
        ("/folder/../../secret.txt", 404),
        ("//../secret.txt", 404),
        ("/out.txt", 404),
        ("/up/secret.txt", 404),
        ("/ten.txt%00.html", 404),
        ("/ten.txt/", 404),
        ("/ten.txt/more", 404),
        ("/.env", 404),
        ("/%2eenv", 404),
        ("/bare/", 404),
        ("/%ff%fe", 404),
        ("/%", 400),
        ("/%zz", 400),
        (&long, 404),
        (&longer, 404),
        ("/.well-known/token", 200),
        ("/in.txt", 200),
        ("//ten.txt", 200),
        ("/folder/", 200),
    ] {
        let answer = site.get(path, &[]);
        assert_eq!(answer.status, status, "{path}");
        assert!(!answer.text().contains("secret"), "{path}");
    }
    let answer = site.get("//folder?a=b", &[]);
    assert_eq!(
        (answer.status, answer.header("location")),
        (301, Some("/folder/?a=b"))
    );
    let mut raw = h1::Connection::connect_plain(site.address, DUE).unwrap();
    raw.send(b"GET /\xff\xfe HTTP/1.1\r\nHost: a\r\n\r\n")
        .unwrap();
    let status = raw.read_response().unwrap().status;
    assert!([400, 404].contains(&status), "{status}");
}

#[test]
fn options_open_what_is_closed() {
    let arguments = [
        "--root",
        "@HOME@/www",
        "--listing",
        "--hidden",
        "--links=anywhere",
        "--not-found=/lost.html",
        "--cache=/bare/*=1h",
        "--cache=*.js=0s",
    ];
    let site = Site::start(files(), &arguments);
    let listed = site.get("/bare/", &[]);
    assert_eq!(listed.status, 200);
    assert!(
        listed.text().contains("href=\"./one.txt\""),
        "{}",
        listed.text()
    );
    assert_eq!(site.get("/.env", &[]).text(), "secret");
    assert_eq!(site.get("/out.txt", &[]).text(), "secret");
    let lost = site.get("/nowhere", &[("range", "bytes=0-1")]);
    assert_eq!((lost.status, lost.text().as_str()), (404, "lost?"));
    let kept = |path| {
        site.get(path, &[])
            .header("cache-control")
            .map(str::to_owned)
    };
    assert_eq!(kept("/bare/one.txt").as_deref(), Some("max-age=3600"));
    assert_eq!(kept("/app.js").as_deref(), Some("no-cache"));
    assert_eq!(kept("/ten.txt"), None);
}

#[test]
fn what_the_command_line_says_wrong_is_told_with_its_remedy() {
    for (arguments, told) in [
        (&["--root", "/no/such"][..], "pass --root a directory"),
        (
            &["--root", "/", "--not-found", "/no/such.html"],
            "pass --not-found the path of one",
        ),
        (
            &["--root", "/", "--not-found", "/../x"],
            "write it like /errors/404.html",
        ),
        (
            &["--root", "/", "--cache", "css=1h"],
            "begin it with a slash or a star",
        ),
        (
            &["--root", "/", "--cache", "*.css=soon"],
            "write a number and a unit",
        ),
        (&["--cgi", "/no/such"], "pass --cgi a directory"),
        (
            &["--cgi", "/", "--cgi-path", "/"],
            "pass --cgi-path one like /cgi-bin",
        ),
        (
            &["--cgi", "/", "--cgi-timeout", "2h"],
            "choose a duration from",
        ),
        (
            &["--cgi", "/", "--cgi-at-once", "0"],
            "0 is not in 1..=1000",
        ),
        (&["--root", "/etc", "--cgi", "/"], "pass --cgi another one"),
        (&["--listing"], "--root <DIR>"),
    ] {
        let mut all = vec!["origin", "--listen", "127.0.0.1:0"];
        all.extend(arguments);
        let answer = crate::support::leeward::leeward(&all);
        assert!(!answer.status.success(), "{arguments:?}");
        let said = String::from_utf8_lossy(&answer.stderr).into_owned();
        assert!(said.contains(told), "{arguments:?}: {said}");
    }
}

#[test]
fn the_configuration_says_what_the_bundled_origin_serves() {
    let home = files();
    let cgi = home.path().join("cgi");
    script(
        &cgi,
        "who",
        "#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\n'\necho $REMOTE_ADDR $HTTPS\n",
    );
    let place = home.path().display();
    let leeward = Leeward::start(&format!(
        "[edge]\nlisten = \"127.0.0.1:0\"\n[status]\nlisten = \"127.0.0.1:0\"\n\
         [origin.bundled]\nroot = \"{place}/www\"\nlisting = true\ncgi = \"{place}/cgi\"\n\
         cache = {{ \"*.txt\" = \"1m\" }}\n[incidents]\ndirectory = \"@DIR@/incidents\"\n"
    ));
    let get = |path: &str| h1::get(leeward.edge(), path, DUE).expect("an answer");
    let ten = get("/ten.txt");
    assert_eq!((ten.status, ten.text().as_str()), (200, "0123456789"));
    assert_eq!(ten.header("cache-control"), Some("max-age=60"));
    assert!(get("/bare/").text().contains("one.txt"));
    assert_eq!(get("/cgi-bin/who").text(), "127.0.0.1 on\n");
}

/// Writes a program into a directory of scripts.
pub fn script(directory: &Path, name: &str, text: &str) -> PathBuf {
    use std::os::unix::fs::PermissionsExt;
    fs::create_dir_all(directory).unwrap();
    let file = directory.join(name);
    fs::write(&file, text).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    file
}
