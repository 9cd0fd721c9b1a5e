//! A directory served as a site: tower-http's `ServeDir`, confined to the directory and put right about ranges.

use std::io;
use std::path::Path;
use std::sync::Arc;

use http::header::{
    ACCEPT_ENCODING, ACCEPT_RANGES, CONTENT_LENGTH, ETAG, IF_RANGE, LAST_MODIFIED, RANGE, VARY,
};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri};
use tower_http::services::ServeDir;
use tower_http::services::fs::DefaultServeDirFallback;

use super::ServeError;
use super::confined::Confined;
use super::content::{self, Content};
use super::range::Range;

/// The files below one directory.
///
/// Nothing outside it is served, whatever the path says and wherever symbolic links lead, and nothing whose name, or
/// whose folder's name, begins with a dot. `index.html` stands for its folder; `NAME.br` and `NAME.gz` are sent for
/// `NAME` to clients that take them; `404.html` at the top is the page for what is not there.
pub(super) struct Files {
    root: Arc<Path>,
    dir: ServeDir<DefaultServeDirFallback, Confined>,
}

impl Files {
    /// # Errors
    /// The root can't be resolved, or is no directory.
    pub(super) fn open(root: &Path) -> Result<Files, ServeError> {
        let unreadable = |cause| ServeError::RootUnreadable {
            root: root.to_owned(),
            cause,
        };
        let real = root.canonicalize().map_err(unreadable)?;
        if !real.metadata().map_err(unreadable)?.is_dir() {
            return Err(ServeError::RootNotDirectory {
                root: root.to_owned(),
            });
        }
        real.read_dir().map_err(unreadable)?;
        let root = Arc::<Path>::from(real);
        let dir = ServeDir::with_backend(&root, Confined::to(root.clone()))
            .precompressed_br()
            .precompressed_gzip()
            .ignore_multi_range_requests(true);
        Ok(Files { root, dir })
    }

    /// The directory, resolved.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Answers with a file, a part of one, or the reason there is none. The body of the request is not looked at.
    pub(super) async fn answer<B>(&self, request: Request<B>) -> Response<Content> {
        let (head, _) = request.into_parts();
        let (method, uri, headers) = (head.method, head.uri, head.headers);
        if method != Method::GET && method != Method::HEAD {
            return content::not_allowed("GET, HEAD");
        }
        // `//name` would be redirected to `//name/`, which a browser takes for another host.
        if uri.path().starts_with("//") {
            return self.not_found(method, &headers).await;
        }
        // Only GET knows ranges; others must ignore the field.
        let range = (method == Method::GET)
            .then(|| Range::of(&headers))
            .flatten();
        let mut answer = self.ask(&method, &uri, &headers, range).await;
        if let (Some(range), Ok(response)) = (range, &answer)
            && !range_stands(range, &headers, response)
        {
            answer = self.ask(&method, &uri, &headers, None).await;
        }
        match answer {
            Ok(response) if response.status() == StatusCode::NOT_FOUND => {
                self.not_found(method, &headers).await
            }
            Ok(mut response) => {
                // A cache must learn from a 304 what it would have learnt from the 200.
                if response.status() == StatusCode::NOT_MODIFIED {
                    let by_encoding = HeaderValue::from_static("accept-encoding");
                    response.headers_mut().insert(VARY, by_encoding);
                }
                response
            }
            Err(cause) if is_absence(&cause) => self.not_found(method, &headers).await,
            Err(cause) => {
                tracing::warn!(path = uri.path(), %cause, "cannot read a file");
                content::refusal(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "This file cannot be read at the moment.",
                )
            }
        }
    }

    /// Asks `ServeDir`, with the range as we read it: its own reading refuses numbers with leading zeros.
    async fn ask(
        &self,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
        range: Option<Range>,
    ) -> io::Result<Response<Content>> {
        let mut request = Request::new(());
        *request.method_mut() = method.clone();
        *request.uri_mut() = uri.clone();
        *request.headers_mut() = headers.clone();
        request.headers_mut().remove(RANGE);
        if let Some(range) = range
            && let Ok(value) = HeaderValue::from_str(&range.to_string())
        {
            request.headers_mut().insert(RANGE, value);
        }
        let response = self.dir.clone().try_call(request).await?;
        Ok(response.map(Content::File))
    }

    /// The root's own `404.html`, or our page.
    async fn not_found(&self, method: Method, headers: &HeaderMap) -> Response<Content> {
        let mut plain = HeaderMap::new();
        if let Some(encodings) = headers.get(ACCEPT_ENCODING) {
            plain.insert(ACCEPT_ENCODING, encodings.clone());
        }
        let page = Uri::from_static("/404.html");
        match self.ask(&method, &page, &plain, None).await {
            Ok(mut response) if response.status() == StatusCode::OK => {
                *response.status_mut() = StatusCode::NOT_FOUND;
                // They would speak of the page, not of what was asked for.
                for field in [ETAG, LAST_MODIFIED, ACCEPT_RANGES] {
                    response.headers_mut().remove(field);
                }
                response
            }
            _ => content::not_found(),
        }
    }
}

/// Whether an answer to a range may be given, or the whole must be. `ServeDir` doesn't know `If-Range`, takes a suffix
/// longer than the file for an error, and finds a part in an empty file.
fn range_stands(range: Range, headers: &HeaderMap, response: &Response<Content>) -> bool {
    let fields = response.headers();
    // Only a strong tag can promise that two parts fit together; a date is to the second.
    if let Some(named) = headers.get(IF_RANGE)
        && fields.get(ETAG) != Some(named)
    {
        return false;
    }
    match response.status() {
        StatusCode::RANGE_NOT_SATISFIABLE => !matches!(range, Range::Last(count) if count > 0),
        StatusCode::PARTIAL_CONTENT => {
            fields.get(CONTENT_LENGTH) != Some(&HeaderValue::from_static("0"))
        }
        _ => true,
    }
}

/// Failures that mean "no such thing here" to a stranger.
fn is_absence(cause: &io::Error) -> bool {
    matches!(
        cause.kind(),
        io::ErrorKind::NotFound
            | io::ErrorKind::PermissionDenied
            | io::ErrorKind::NotADirectory
            | io::ErrorKind::InvalidFilename
            | io::ErrorKind::InvalidInput
    )
}

#[cfg(test)]
mod tests {
    use super::*;
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
        let files = Files::open(&root).unwrap();
        (home, files)
    }

    async fn ask(files: &Files, path: &str, fields: &[(&str, &str)]) -> (Response<()>, String) {
        let mut request = Request::get(path);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let (head, body) = files.answer(request.body(()).unwrap()).await.into_parts();
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
        assert_eq!(head.status(), 307);
        assert_eq!(head.headers()["location"], "/folder/");
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
            "/nothing",
            "//folder",
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
        let head = Request::head("/pipe").body(()).unwrap();
        assert_eq!(files.answer(head).await.status(), 404);
    }

    #[tokio::test]
    async fn ranges_are_those_of_the_standard() {
        let (_home, files) = tree();
        for (path, range, status, text) in [
            ("/a.txt", "bytes=2-4", 206, "234"),
            ("/a.txt", "bytes=002-4", 206, "234"),
            ("/a.txt", "bytes=8-", 206, "89"),
            ("/a.txt", "bytes=-2", 206, "89"),
            ("/a.txt", "bytes=-50", 200, "0123456789"),
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
        assert_eq!(head.headers()[VARY], "accept-encoding");
    }

    #[tokio::test]
    async fn a_packed_variant_goes_to_who_takes_it() {
        let (_home, files) = tree();
        let (head, body) = ask(&files, "/app.js", &[("accept-encoding", "gzip, br")]).await;
        assert_eq!(head.headers()["content-encoding"], "gzip");
        assert_eq!(head.headers()["content-type"], "text/javascript");
        assert_eq!(body, "zipped");
        assert_eq!(ask(&files, "/app.js", &[]).await.1, "plain");
    }

    #[tokio::test]
    async fn the_root_may_bring_its_own_page_for_what_is_missing() {
        let (_home, files) = tree();
        std::fs::write(files.root().join("404.html"), "lost?").unwrap();
        let fields = [("range", "bytes=0-1"), ("if-none-match", "*")];
        let (head, body) = ask(&files, "/nothing", &fields).await;
        assert_eq!((head.status().as_u16(), body.as_str()), (404, "lost?"));
        assert_eq!(head.headers()["content-type"], "text/html");
        assert!(!head.headers().contains_key(ETAG));
    }

    #[tokio::test]
    async fn only_reading_is_allowed() {
        let (_home, files) = tree();
        let response = files
            .answer(Request::delete("/a.txt").body(()).unwrap())
            .await;
        assert_eq!(response.status(), 405);
        assert_eq!(response.headers()["allow"], "GET, HEAD");
    }
}
