//! Whether every thread of ours still makes progress: each runtime beats, the sentinel looks.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Between two beats.
pub const BEAT: Duration = Duration::from_millis(250);
/// Between two looks of the one who watches.
pub const LOOK: Duration = Duration::from_millis(250);

/// The hearts of all threads.
#[derive(Debug, Clone, Default)]
pub struct Hearts {
    all: Arc<Mutex<Vec<Arc<Heart>>>>,
}

/// The heart of one thread.
#[derive(Debug)]
pub struct Heart {
    name: String,
    beats: AtomicU64,
}

/// What has been seen of the hearts. Pure.
#[derive(Debug, Default)]
pub struct Vigil {
    /// How often each had beaten, and for how long it has not since.
    seen: BTreeMap<String, (u64, Duration)>,
}

impl Hearts {
    /// A heart for one more thread, which is called `name`.
    pub fn add(&self, name: String) -> Arc<Heart> {
        let heart = Arc::new(Heart {
            name,
            beats: AtomicU64::new(0),
        });
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.push(heart.clone());
        heart
    }

    /// How often each has beaten, by its thread's name.
    pub fn beats(&self) -> Vec<(String, u64)> {
        let all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        let count = |heart: &Arc<Heart>| heart.beats.load(Ordering::Relaxed);
        all.iter().map(|it| (it.name.clone(), count(it))).collect()
    }
}

impl Vigil {
    /// Looks at all hearts, `since` the look before; those that did not beat meanwhile, and for how long they have not.
    ///
    /// What counts is what was seen: who looks late sees no more than one look's worth of silence, whatever the clock says.
    /// On a host that is short of everything, or that slept, nobody is taken for stuck because all of us were.
    pub fn look(&mut self, beats: Vec<(String, u64)>, since: Duration) -> Vec<(String, Duration)> {
        let since = since.min(2 * LOOK);
        let before = std::mem::take(&mut self.seen);
        for (name, count) in beats {
            let silent = match before.get(&name) {
                Some((then, silent)) if *then == count => *silent + since,
                _ => Duration::ZERO,
            };
            self.seen.insert(name, (count, silent));
        }
        let silent = self.seen.iter().map(|(name, (_, silent))| (name, silent));
        let still = silent.filter(|(_, silent)| !silent.is_zero());
        still
            .map(|(name, silent)| (name.clone(), *silent))
            .collect()
    }
}

impl Heart {
    /// Beats for ever, on the runtime it is run on.
    pub async fn beat_on(self: Arc<Self>) {
        loop {
            self.beats.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(BEAT).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn beats(edge: u64, watch: u64) -> Vec<(String, u64)> {
        vec![("edge".to_owned(), edge), ("watch".to_owned(), watch)]
    }

    #[test]
    fn a_thread_that_stopped_is_named_until_it_goes_on() {
        let mut vigil = Vigil::default();
        assert!(vigil.look(beats(1, 1), LOOK).is_empty());
        assert_eq!(vigil.look(beats(1, 2), LOOK), [("edge".to_owned(), LOOK)]);
        let still = vigil.look(beats(1, 3), LOOK);
        assert_eq!(still, [("edge".to_owned(), 2 * LOOK)]);
        assert!(vigil.look(beats(2, 4), LOOK).is_empty());
    }

    #[test]
    fn who_looks_late_blames_nobody_for_it() {
        let mut vigil = Vigil::default();
        vigil.look(beats(1, 1), LOOK);
        let still = vigil.look(beats(1, 1), Duration::from_secs(3600));
        assert!(
            still.iter().all(|(_, silent)| *silent <= 2 * LOOK),
            "{still:?}"
        );
    }
}
