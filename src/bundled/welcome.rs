//! The built-in site: a page that greets, and what one needs to try a proxy with.

use std::fmt::Display;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, request};
use http_body::Body;

use super::content::{self, Content};
use super::echo::Echo;
use super::representation::{Representation, Source};

const PAGE: &str = include_str!("welcome.html");
const HELLO: &str = "Hello from the origin behind Leeward.\n";
/// Longest `/slow`, in milliseconds.
const SLOWEST: u64 = 60_000;

/// The built-in site.
pub(super) struct Welcome {
    page: Representation,
    hello: Representation,
    echo: Echo,
}

impl Welcome {
    /// The site, nothing counted yet.
    pub(super) fn new() -> Self {
        Welcome {
            page: Representation::text("text/html; charset=utf-8", PAGE),
            hello: Representation::text("text/plain; charset=utf-8", HELLO),
            echo: Echo::new(),
        }
    }

    /// Answers any request there is, within 60 s of its body's end.
    pub(super) async fn answer<B>(&self, request: Request<B>) -> Response<Content>
    where
        B: Body<Data = Bytes> + Unpin,
        B::Error: Display,
    {
        if request.uri().path() == "/echo" {
            return match *request.method() {
                Method::POST | Method::PUT => self.echo.answer(request).await,
                _ => content::not_allowed("POST, PUT"),
            };
        }
        let (head, _) = request.into_parts();
        let Some(place) = Place::at(head.uri.path()) else {
            return content::not_found();
        };
        if head.method != Method::GET && head.method != Method::HEAD {
            return content::not_allowed("GET, HEAD");
        }
        match place {
            Place::Page => self.page.answer(&head.method, &head.headers),
            Place::Hello => self.hello.answer(&head.method, &head.headers),
            Place::Generated(len) => generated(len).answer(&head.method, &head.headers),
            Place::Health => content::fresh_text("ok"),
            Place::Headers => content::fresh_text(as_text(&head)),
            Place::Slow => slow(head.uri.query()).await,
        }
    }
}

/// What can be read.
enum Place {
    Page,
    Hello,
    /// So many bytes of the pattern.
    Generated(u64),
    Health,
    Headers,
    Slow,
}

impl Place {
    fn at(path: &str) -> Option<Place> {
        Some(match path {
            "/" => Place::Page,
            "/hello.txt" => Place::Hello,
            "/files/1k.bin" => Place::Generated(1 << 10),
            "/files/64k.bin" => Place::Generated(64 << 10),
            "/files/1m.bin" => Place::Generated(1 << 20),
            "/files/20m.bin" => Place::Generated(20 << 20),
            "/healthz" => Place::Health,
            "/headers" => Place::Headers,
            "/slow" => Place::Slow,
            _ => return None,
        })
    }
}

fn generated(len: u64) -> Representation {
    // The pattern never changes, so its length says everything.
    let tag = format!("\"pattern-{len}\"");
    Representation::fixed("application/octet-stream", tag.into(), Source::Pattern(len))
}

/// A request's head, line by line, as it reached us (names in lower case, as hyper keeps them).
fn as_text(head: &request::Parts) -> Bytes {
    let mut text = format!("{} {} {:?}\n", head.method, head.uri, head.version).into_bytes();
    for (name, value) in &head.headers {
        text.extend_from_slice(name.as_str().as_bytes());
        text.extend_from_slice(b": ");
        text.extend_from_slice(value.as_bytes());
        text.push(b'\n');
    }
    text.into()
}

/// Answers after `ms=N` milliseconds, one second if nothing is said.
async fn slow(query: Option<&str>) -> Response<Content> {
    let asked = query
        .unwrap_or_default()
        .split('&')
        .find_map(|field| field.strip_prefix("ms="))
        .unwrap_or("1000");
    let Some(ms) = asked.parse().ok().filter(|ms| *ms <= SLOWEST) else {
        return content::refusal(
            StatusCode::BAD_REQUEST,
            "Say how many milliseconds: /slow?ms=N, from 0 to 60000.",
        );
    };
    tokio::time::sleep(Duration::from_millis(ms)).await;
    content::fresh_text(format!("answered after {ms} ms\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::{BodyExt, Full};

    async fn ask(method: Method, path: &str, body: &'static str) -> (Response<()>, Bytes) {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("x-forwarded-for", "192.0.2.7")
            .body(Full::new(Bytes::from_static(body.as_bytes())));
        let (head, content) = Welcome::new().answer(request.unwrap()).await.into_parts();
        let content = content.collect().await.unwrap().to_bytes();
        (Response::from_parts(head, ()), content)
    }

    #[tokio::test]
    async fn every_address_the_page_links_to_is_there() {
        let links = PAGE
            .split("href=\"/")
            .skip(1)
            .map(|rest| rest.split_once('"').unwrap().0);
        let mut seen = 0;
        for link in links {
            let link = format!("/{}", link.replace("ms=2000", "ms=0"));
            let (head, _) = ask(Method::GET, &link, "").await;
            assert_eq!(head.status(), 200, "{link}");
            seen += 1;
        }
        assert!(seen >= 7, "the page links to {seen} addresses");
    }

    #[tokio::test]
    async fn the_smaller_generated_files_begin_the_larger_ones() {
        let (_, small) = ask(Method::GET, "/files/1k.bin", "").await;
        let (head, large) = ask(Method::GET, "/files/20m.bin", "").await;
        assert_eq!(head.headers()["content-length"], "20971520");
        assert_eq!((small.len(), large.len()), (1024, 20 << 20));
        assert!(large.starts_with(&small));
    }

    #[tokio::test]
    async fn the_head_that_came_in_is_told() {
        let (_, text) = ask(Method::GET, "/headers?a=b", "").await;
        assert_eq!(
            text,
            "GET /headers?a=b HTTP/1.1\nx-forwarded-for: 192.0.2.7\n"
        );
    }

    #[tokio::test]
    async fn other_methods_learn_which_would_do_and_other_places_are_not_there() {
        for (method, path, status, allow) in [
            (Method::GET, "/echo", 405, Some("POST, PUT")),
            (Method::POST, "/", 405, Some("GET, HEAD")),
            (Method::DELETE, "/files/1k.bin", 405, Some("GET, HEAD")),
            (Method::POST, "/nowhere", 404, None),
            (Method::GET, "/files/2k.bin", 404, None),
            (Method::GET, "//", 404, None),
        ] {
            let (head, _) = ask(method, path, "").await;
            let got = head.headers().get("allow").map(|v| v.to_str().unwrap());
            assert_eq!((head.status().as_u16(), got), (status, allow), "{path}");
        }
    }

    #[tokio::test]
    async fn slow_takes_its_time_and_knows_its_bounds() {
        let start = std::time::Instant::now();
        let (head, text) = ask(Method::GET, "/slow?x=1&ms=50", "").await;
        assert!(start.elapsed() >= Duration::from_millis(50));
        assert_eq!(
            (head.status().as_u16(), &text[..]),
            (200, &b"answered after 50 ms\n"[..])
        );
        for bad in [
            "/slow?ms=60001",
            "/slow?ms=-1",
            "/slow?ms=",
            "/slow?ms=soon",
        ] {
            assert_eq!(ask(Method::GET, bad, "").await.0.status(), 400, "{bad}");
        }
    }

    #[tokio::test]
    async fn echo_gives_the_body_back() {
        let (head, body) = ask(Method::PUT, "/echo", "as it was").await;
        assert_eq!(
            (head.status().as_u16(), &body[..]),
            (200, &b"as it was"[..])
        );
    }
}
