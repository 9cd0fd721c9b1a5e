//! An errand as its client waits for it.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use crate::exchange::answer::{AnswerHead, Reader};
use crate::exchange::outcome::{Steps, Visits};
use crate::ground::failure::{Cause, Failure, Phase};
use crate::ground::spans::Visited;

/// What came of an errand, as far as the client is concerned.
#[derive(Debug)]
pub struct Answer {
    /// The head and the body behind it, or why there is none.
    pub result: Result<(AnswerHead, Reader), Failure>,
    /// What it went through.
    pub visits: Visits,
    /// How long that took, step by step.
    pub steps: Steps,
    /// Visits that came to nothing before that.
    pub tried: Vec<Visited>,
    /// Where to learn what became of the errand since, where its body goes on behind the head.
    pub course: Option<Arc<Course>>,
}

/// An errand as its client waits for it. It is run by whoever waits, so that a small exchange is not handed from task
/// to task; it gets a task of its own when nobody waits any more and it is not done.
pub(super) struct Sent<E: Future<Output = ()> + Send + 'static> {
    errand: Option<Pin<Box<E>>>,
    course: Arc<Course>,
}

/// What an errand and its client tell each other.
#[derive(Debug, Default)]
pub struct Course {
    answer: Mutex<Option<Answer>>,
    /// What it went through behind the head of its answer.
    since: Mutex<Since>,
    /// It is with the origin now.
    pub(super) is_out: AtomicBool,
    /// Nobody waits for it any more.
    pub(super) is_alone: AtomicBool,
}

/// What an errand went through behind the head of its answer.
#[derive(Debug, Clone, Default)]
pub struct Since {
    /// How.
    pub visits: Visits,
    /// What cut the answer, where the rest of it was asked for.
    pub cut: Option<Failure>,
    /// The visits that were to bring the rest.
    pub tried: Vec<Visited>,
}

impl<E: Future<Output = ()> + Send + 'static> Sent<E> {
    /// It is not begun yet.
    pub(super) fn begin(errand: E, course: Arc<Course>) -> Self {
        let errand = Some(Box::pin(errand));
        Self { errand, course }
    }
}

impl<E: Future<Output = ()> + Send + 'static> Future for Sent<E> {
    type Output = Answer;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Answer> {
        let is_done = match &mut self.errand {
            Some(errand) => errand.as_mut().poll(cx).is_ready(),
            None => true,
        };
        if is_done {
            self.errand = None;
        }
        match self.course.answer().take() {
            // Dropping this sends what is left of it on.
            Some(answer) => Poll::Ready(Answer {
                course: answer.goes_on().then(|| self.course.clone()),
                ..answer
            }),
            None if is_done => Poll::Ready(Answer {
                result: Err(Failure::edge(Phase::Drain, Cause::NotReady)),
                visits: Visits::default(),
                steps: Steps::default(),
                tried: Vec::new(),
                course: None,
            }),
            None => Poll::Pending,
        }
    }
}

impl<E: Future<Output = ()> + Send + 'static> Drop for Sent<E> {
    fn drop(&mut self) {
        let Some(errand) = self.errand.take() else {
            return;
        };
        if !self.course.is_out.load(Ordering::Relaxed) {
            return;
        }
        self.course.is_alone.store(true, Ordering::Relaxed);
        // A runtime that is going down takes nothing new.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(errand);
        }
    }
}

impl Answer {
    /// Whether its client reads behind the origin.
    fn goes_on(&self) -> bool {
        matches!(self.result, Ok((_, Reader::Spool(_))))
    }
}

impl Course {
    /// What the errand went through behind the head of its answer, so far.
    pub fn since(&self) -> Since {
        locked(&self.since).clone()
    }

    /// It goes through that behind the head of its answer.
    pub(super) fn goes_through(&self, visits: Visits) {
        locked(&self.since).visits = visits;
    }

    /// Its answer was cut by that, and the rest is asked for.
    pub(super) fn was_cut(&self, failure: &Failure) {
        locked(&self.since).cut = Some(failure.clone());
    }

    /// The rest was asked for.
    pub(super) fn tried(&self, visit: Visited) {
        locked(&self.since).tried.push(visit);
    }

    fn answer(&self) -> MutexGuard<'_, Option<Answer>> {
        locked(&self.answer)
    }

    /// The answer is told once; whoever waits for it is running the errand, or has gone.
    pub(super) fn tell(&self, answer: Answer) {
        if !self.is_alone.load(Ordering::Relaxed) {
            *self.answer() = Some(answer);
        }
    }
}

fn locked<T>(told: &Mutex<T>) -> MutexGuard<'_, T> {
    told.lock().unwrap_or_else(PoisonError::into_inner)
}
