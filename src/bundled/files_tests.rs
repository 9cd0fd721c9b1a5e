//! The site of files, asked in memory.

use super::*;
use http::Request;
use http_body_util::BodyExt;
use std::os::unix::fs::symlink;

/// A root with one of everything, and a secret beside it.
fn tree() -> (tempfile::TempDir, Files) {
    let home = tempfile::tempdir().unwrap();
    let root = home.path().join("root");
    let write = |name: &str, text: &str| std::fs::write(root.join(name), text).unwrap();
    std::fs::create_dir_all(root.join("folder")).unwrap();
    std::fs::create_dir_all(root.join(".git")).unwrap();
    std::fs::write(home.path().join("secret.txt"), "secret").unwrap();
    write("a.txt", "0123456789");
    write("empty.txt", "");
    write("app.js", "plain");
    write("app.js.gz", "zipped");
    write("folder/index.html", "index");
    write(".env", "secret");
    write(".git/config", "secret");
    symlink("a.txt", root.join("inside.txt")).unwrap();
    symlink("../secret.txt", root.join("out.txt")).unwrap();
    symlink("..", root.join("up")).unwrap();
    symlink(".env", root.join("env.txt")).unwrap();
    // Long ago, so that tags are strong.
    for name in ["a.txt", "empty.txt", "app.js", "app.js.gz"] {
        let file = File::options().append(true).open(root.join(name)).unwrap();
        let long_ago = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_700_000_000);
        file.set_modified(long_ago).unwrap();
    }
    (home, opened(&root))
}

fn opened(root: &Path) -> Files {
    let options = FileOptions {
        root: root.to_owned(),
        listing: Listing::Off,
        links: Default::default(),
        hidden: Default::default(),
        not_found: None,
        keep: Vec::new(),
    };
    Files::open(options, None).unwrap()
}

async fn ask(files: &Files, path: &str, fields: &[(&str, &str)]) -> (Response<()>, String) {
    let mut request = Request::get(path);
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    let (asked, ()) = request.body(()).unwrap().into_parts();
    let answer = files.answer(&asked.method, &asked.uri, &asked.headers);
    let (head, body) = answer.await.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let text = String::from_utf8(body.to_vec()).unwrap();
    (Response::from_parts(head, ()), text)
}

#[tokio::test]
async fn files_folders_and_links_within_the_root_are_served() {
    let (_home, files) = tree();
    for (path, text) in [
        ("/a.txt", "0123456789"),
        ("/inside.txt", "0123456789"),
        ("/folder/", "index"),
    ] {
        let (head, body) = ask(&files, path, &[]).await;
        assert_eq!((head.status().as_u16(), body.as_str()), (200, text));
    }
    let (head, _) = ask(&files, "/folder", &[]).await;
    assert_eq!(head.status(), 301);
    assert_eq!(head.headers()["location"], "/folder/");
    // Another host to a browser, if it were sent back as it is.
    let (head, _) = ask(&files, "//folder?a=b", &[]).await;
    assert_eq!(head.headers()["location"], "/folder/?a=b");
}

#[tokio::test]
async fn nothing_outside_the_root_and_nothing_hidden_is_shown() {
    let (_home, files) = tree();
    for path in [
        "/../secret.txt",
        "/%2e%2e/secret.txt",
        "/folder/../../secret.txt",
        "/folder/%2e%2e%2f%2e%2e%2fsecret.txt",
        "/%2fetc/passwd",
        "//etc/passwd",
        "/out.txt",
        "/up/secret.txt",
        "/up/",
        "/.env",
        "/%2eenv",
        "/env.txt",
        "/.git/config",
        "/a%00.txt",
        "/a.txt/b",
        "/%ff",
        "/a.txt/",
        "/nothing",
    ] {
        let (head, body) = ask(&files, path, &[]).await;
        assert_eq!(head.status(), 404, "{path}");
        assert!(body.contains("404 Not Found"), "{path}: {body}");
    }
    let long = format!("/{}", "x".repeat(300));
    assert_eq!(ask(&files, &long, &[]).await.0.status(), 404);
}

#[tokio::test]
async fn a_named_pipe_is_not_there() {
    let (_home, files) = tree();
    let made = std::process::Command::new("mkfifo")
        .arg(files.root().join("pipe"))
        .status();
    assert!(made.unwrap().success());
    assert_eq!(ask(&files, "/pipe", &[]).await.0.status(), 404);
}

#[tokio::test]
async fn ranges_are_those_of_the_standard() {
    let (_home, files) = tree();
    for (path, range, status, text) in [
        ("/a.txt", "bytes=2-4", 206, "234"),
        ("/a.txt", "bytes=002-4", 206, "234"),
        ("/a.txt", "bytes=8-", 206, "89"),
        ("/a.txt", "bytes=-2", 206, "89"),
        ("/a.txt", "bytes=-50", 206, "0123456789"),
        ("/a.txt", "bytes=10-", 416, ""),
        ("/a.txt", "bytes=-0", 416, ""),
        ("/a.txt", "bytes=4-2", 200, "0123456789"),
        ("/a.txt", "bytes=0-1,4-5", 200, "0123456789"),
        ("/a.txt", "lines=1-2", 200, "0123456789"),
        ("/empty.txt", "bytes=0-", 200, ""),
    ] {
        let (head, body) = ask(&files, path, &[("range", range)]).await;
        let got = (head.status().as_u16(), body.as_str());
        assert_eq!(got, (status, text), "{path} {range}");
    }
}

#[tokio::test]
async fn a_part_of_another_version_is_never_sent() {
    let (_home, files) = tree();
    let (head, _) = ask(&files, "/a.txt", &[]).await;
    let tag = head.headers()[ETAG].to_str().unwrap().to_owned();
    let date = head.headers()[LAST_MODIFIED].to_str().unwrap().to_owned();
    for (named, status) in [(tag.as_str(), 206), ("\"other\"", 200), (&date, 200)] {
        let fields = [("range", "bytes=0-1"), ("if-range", named)];
        assert_eq!(ask(&files, "/a.txt", &fields).await.0.status(), status);
    }
    let (head, _) = ask(&files, "/a.txt", &[("if-none-match", &tag)]).await;
    assert_eq!(head.status(), 304);
    assert!(!head.headers().contains_key("vary"));
    let (head, _) = ask(&files, "/app.js", &[("if-none-match", "*")]).await;
    assert_eq!(head.headers()["vary"], "accept-encoding");
}

#[tokio::test]
async fn a_packed_variant_goes_to_who_takes_it() {
    let (_home, files) = tree();
    let (head, body) = ask(&files, "/app.js", &[("accept-encoding", "gzip, br")]).await;
    assert_eq!(head.headers()["content-encoding"], "gzip");
    assert_eq!(
        head.headers()["content-type"],
        "text/javascript; charset=utf-8"
    );
    let packed = head.headers()[ETAG].clone();
    assert_eq!(body, "zipped");
    let (head, body) = ask(&files, "/app.js", &[]).await;
    assert_eq!(body, "plain");
    assert_ne!(head.headers()[ETAG], packed);
    assert_eq!(head.headers()["vary"], "accept-encoding");
    let plain = [("accept-encoding", "gzip;q=0.5, identity")];
    assert_eq!(ask(&files, "/app.js", &plain).await.1, "plain");
    let refused = [("accept-encoding", "gzip;q=0, br")];
    assert_eq!(ask(&files, "/app.js", &refused).await.1, "plain");
}

#[tokio::test]
async fn a_variant_older_than_its_file_is_another_version() {
    let (_home, files) = tree();
    let name = files.root().join("app.js");
    std::fs::write(name, "newer").unwrap();
    let (head, body) = ask(&files, "/app.js", &[("accept-encoding", "gzip")]).await;
    assert_eq!(body, "newer");
    assert!(!head.headers().contains_key("vary"));
    assert!(head.headers()[ETAG].as_bytes().starts_with(b"W/"));
}

#[tokio::test]
async fn the_root_may_bring_its_own_page_for_what_is_missing() {
    let (_home, files) = tree();
    std::fs::write(files.root().join("404.html"), "lost?").unwrap();
    let fields = [("range", "bytes=0-1"), ("if-none-match", "*")];
    let (head, body) = ask(&files, "/nothing", &fields).await;
    assert_eq!((head.status().as_u16(), body.as_str()), (404, "lost?"));
    assert_eq!(head.headers()["content-type"], "text/html; charset=utf-8");
    assert!(!head.headers().contains_key(ETAG));
}

#[tokio::test]
async fn only_reading_is_allowed() {
    let (_home, files) = tree();
    for (method, status) in [
        (Method::DELETE, 405),
        (Method::POST, 405),
        (Method::OPTIONS, 204),
    ] {
        let uri = Uri::from_static("/a.txt");
        let response = files.answer(&method, &uri, &HeaderMap::new()).await;
        assert_eq!(response.status(), status);
        assert_eq!(response.headers()["allow"], ALLOWED);
    }
}
