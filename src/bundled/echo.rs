//! `/echo`: takes a whole body, then gives it back, counted.

use std::fmt::Display;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::BodyExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use super::content::{self, Content};

/// Largest body taken, in bytes.
pub(super) const LARGEST: usize = 16 * 1024 * 1024;
/// Bytes held for all echoes together, until they are written out. Further ones wait.
const BUDGET: usize = 4 * LARGEST;
/// From the head to the last byte of the body, waiting for room included.
const BODY_TIMEOUT: Duration = Duration::from_secs(60);

/// How many bytes this body had.
const ECHO_BYTES: HeaderName = HeaderName::from_static("x-echo-bytes");
/// Which body of this process's life it was, from 1: two answers with one number never happen, so a request that was
/// carried out twice shows.
const ECHO_COUNT: HeaderName = HeaderName::from_static("x-echo-count");

/// Gives bodies back.
pub(super) struct Echo {
    budget: Arc<Semaphore>,
    count: AtomicU64,
}

impl Echo {
    /// Nothing echoed yet.
    pub(super) fn new() -> Self {
        Echo {
            budget: Arc::new(Semaphore::new(BUDGET)),
            count: AtomicU64::new(0),
        }
    }

    /// The request's body, with its content type; 413 over [`LARGEST`], 408 for a body that doesn't end in time,
    /// 503 where no room came free in time, 400 for a body that broke off.
    pub(super) async fn answer<B>(&self, request: Request<B>) -> Response<Content>
    where
        B: Body<Data = Bytes> + Unpin,
        B::Error: Display,
    {
        let (head, body) = request.into_parts();
        let bytes = match self.take(body).await {
            Ok(bytes) => bytes,
            Err(refusal) => return refusal.response(),
        };
        let count = self.count.fetch_add(1, Ordering::Relaxed) + 1;
        let content_type = head
            .headers
            .get(CONTENT_TYPE)
            .cloned()
            .unwrap_or(HeaderValue::from_static("application/octet-stream"));
        let len = bytes.len();
        let mut response = Response::new(Content::Whole(bytes));
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, content_type);
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        // What a stranger sent must not be run because it looks like a page.
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(ECHO_BYTES, HeaderValue::from(len));
        headers.insert(ECHO_COUNT, HeaderValue::from(count));
        response
    }

    /// The whole body. Its part of the budget goes back when the last of the bytes is written or dropped.
    async fn take<B>(&self, mut body: B) -> Result<Bytes, Refusal>
    where
        B: Body<Data = Bytes> + Unpin,
        B::Error: Display,
    {
        let deadline = Instant::now() + BODY_TIMEOUT;
        let hint = body.size_hint();
        if hint.lower() > LARGEST as u64 {
            return Err(Refusal::TooLarge);
        }
        // What doesn't say its size may become the largest.
        let most = hint
            .exact()
            .and_then(|len| u32::try_from(len).ok())
            .unwrap_or(LARGEST as u32);
        let Ok(Ok(share)) =
            timeout_at(deadline, self.budget.clone().acquire_many_owned(most)).await
        else {
            return Err(Refusal::NoRoom);
        };
        // All at once, because a vector that grows takes up to twice what it holds, and the budget knows only what
        // it holds. Pages nobody writes cost nothing.
        let mut bytes = Vec::with_capacity(most as usize);
        loop {
            let frame = match timeout_at(deadline, body.frame()).await {
                Ok(Some(Ok(frame))) => frame,
                Ok(Some(Err(cause))) => {
                    tracing::debug!(%cause, "a body for /echo broke off");
                    return Err(Refusal::Broken);
                }
                Ok(None) => break,
                Err(_) => return Err(Refusal::TooSlow),
            };
            // Copied, because frames keep their whole read buffer alive.
            if let Ok(data) = frame.into_data() {
                if bytes.len() + data.len() > LARGEST {
                    return Err(Refusal::TooLarge);
                }
                bytes.extend_from_slice(&data);
            }
        }
        Ok(Bytes::from_owner(Held {
            bytes,
            _share: share,
        }))
    }
}

/// Bytes and the part of the budget they use.
struct Held {
    bytes: Vec<u8>,
    _share: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

enum Refusal {
    TooLarge,
    TooSlow,
    NoRoom,
    Broken,
}

impl Refusal {
    fn response(self) -> Response<Content> {
        match self {
            Refusal::TooLarge => content::refusal(
                StatusCode::PAYLOAD_TOO_LARGE,
                "This address takes bodies of up to 16 MiB.",
            ),
            Refusal::TooSlow => content::refusal(
                StatusCode::REQUEST_TIMEOUT,
                "The body did not end within 60 seconds.",
            ),
            Refusal::Broken => content::refusal(
                StatusCode::BAD_REQUEST,
                "The body broke off or is malformed.",
            ),
            Refusal::NoRoom => {
                let mut response = content::refusal(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "Too many large bodies are being echoed at once.",
                );
                response
                    .headers_mut()
                    .insert(RETRY_AFTER, HeaderValue::from_static("5"));
                response
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::Full;

    fn post(body: Vec<u8>) -> Request<Full<Bytes>> {
        Request::post("/echo")
            .header(CONTENT_TYPE, "text/csv")
            .body(Full::new(Bytes::from(body)))
            .unwrap()
    }

    #[tokio::test]
    async fn a_body_comes_back_with_its_type_its_size_and_its_number() {
        let echo = Echo::new();
        for count in ["1", "2"] {
            let response = echo.answer(post(b"a,b".to_vec())).await;
            assert_eq!(response.status(), 200);
            assert_eq!(response.headers()[CONTENT_TYPE], "text/csv");
            assert_eq!(response.headers()[ECHO_BYTES], "3");
            assert_eq!(response.headers()[ECHO_COUNT], count);
            let body = response.into_body().collect().await.unwrap().to_bytes();
            assert_eq!(body, "a,b");
        }
    }

    #[tokio::test]
    async fn the_largest_body_is_taken_and_one_byte_more_is_not() {
        let echo = Echo::new();
        let response = echo.answer(post(vec![7; LARGEST])).await;
        assert_eq!(response.status(), 200);
        assert_eq!(
            echo.answer(post(vec![7; LARGEST + 1])).await.status(),
            StatusCode::PAYLOAD_TOO_LARGE
        );
    }

    #[tokio::test]
    async fn the_budget_is_taken_until_the_answer_is_written_or_dropped() {
        let echo = Echo::new();
        let answer = echo.answer(post(vec![7; 1000])).await;
        assert_eq!(echo.budget.available_permits(), BUDGET - 1000);
        drop(answer);
        assert_eq!(echo.budget.available_permits(), BUDGET);
    }
}
