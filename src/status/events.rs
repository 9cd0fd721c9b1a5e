//! `/events`: the pieces of the page that changed, once a second and whenever the origin's state changes, for as long as
//! somebody looks (server-sent events).

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame};
use tokio::sync::{OwnedSemaphorePermit, watch};

use super::page::Piece;
use crate::ground::deadline::Deadline;
use crate::origin::View;

/// From one event to the next, where nothing changed.
const EACH: Duration = Duration::from_secs(1);
/// Those who look at once; each costs a drawing of the page a second, well under a millisecond.
pub(super) const WATCHERS: usize = 8;
/// For how long one is told before it has to ask again, as a browser does by itself: who has vanished is not told for
/// ever.
pub(super) const LIFE: Duration = Duration::from_secs(600);

/// Draws all pieces as they are now, without waiting for anything.
pub(super) type Draw = Arc<dyn Fn() -> Vec<Piece> + Send + Sync>;

/// What is known of the origin, to wait for its changes.
pub(super) type Views = watch::Receiver<Arc<View>>;

/// The events for one who looks; each is drawn when it is asked for, so that a slow reader has none piled up.
pub(super) struct Events {
    draw: Draw,
    due: Pin<Box<dyn Future<Output = Views> + Send>>,
    seen: HashMap<&'static str, String>,
    _place: OwnedSemaphorePermit,
}

impl Events {
    /// The first event has everything.
    pub(super) fn new(draw: Draw, views: Views, place: OwnedSemaphorePermit) -> Self {
        Self {
            draw,
            due: Box::pin(std::future::ready(views)),
            seen: HashMap::new(),
            _place: place,
        }
    }

    /// One event: what is not as it was sent last. It may be empty, and says then that we are there.
    fn next(&mut self) -> Bytes {
        let mut changed = serde_json::Map::new();
        for (name, html) in (self.draw)() {
            if self.seen.get(name) != Some(&html) {
                changed.insert(name.to_owned(), html.clone().into());
                self.seen.insert(name, html);
            }
        }
        // JSON has no bare line ends, which would end the event.
        format!("data: {}\n\n", serde_json::Value::Object(changed)).into()
    }
}

impl Body for Events {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let views = ready!(self.due.as_mut().poll(cx));
        self.due = Box::pin(due(views));
        Poll::Ready(Some(Ok(Frame::data(self.next()))))
    }
}

/// Returns when the state is another than at this call, or a second after it.
fn due(mut views: Views) -> impl Future<Output = Views> + Send {
    let before = views.borrow_and_update().state;
    let by = Deadline::within(EACH);
    async move {
        let changed = async {
            while views.changed().await.is_ok() {
                if views.borrow_and_update().state != before {
                    return;
                }
            }
            std::future::pending().await
        };
        let _ = by.bound(changed).await;
        views
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use http_body_util::BodyExt;
    use tokio::sync::Semaphore;

    use super::*;
    use crate::origin::{Care, State};

    #[tokio::test(start_paused = true)]
    async fn what_did_not_change_is_not_sent_again() {
        let now = Arc::new(Mutex::new("a\n<b>".to_owned()));
        let drawn = now.clone();
        let draw: Draw = Arc::new(move || {
            let told = drawn.lock().unwrap().clone();
            vec![("still", "x".to_owned()), ("moves", told)]
        });
        let places = Arc::new(Semaphore::new(1));
        let place = places.clone().try_acquire_owned().unwrap();
        let view = || {
            View::blank(
                Care::Owned,
                "127.0.0.1:1".parse().unwrap(),
                std::time::Instant::now(),
            )
        };
        let (changes, views) = watch::channel(Arc::new(view()));
        let mut events = Events::new(draw, views, place);
        let mut told = Vec::new();
        for _ in 0..3 {
            let frame = events.frame().await.unwrap().unwrap();
            told.push(String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap());
            *now.lock().unwrap() = "c".to_owned();
        }
        assert_eq!(
            told,
            [
                "data: {\"moves\":\"a\\n<b>\",\"still\":\"x\"}\n\n",
                "data: {\"moves\":\"c\"}\n\n",
                "data: {}\n\n",
            ]
        );
        // A change of the state is not waited for.
        let begun = tokio::time::Instant::now();
        let mut hung = view();
        hung.enter(State::Hung, std::time::Instant::now());
        changes.send_replace(Arc::new(hung));
        events.frame().await.unwrap().unwrap();
        assert_eq!(begun.elapsed(), Duration::ZERO);
        events.frame().await.unwrap().unwrap();
        assert_eq!(begun.elapsed(), EACH);
        drop(events);
        assert_eq!(places.available_permits(), 1);
    }
}
