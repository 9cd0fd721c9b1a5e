//! How many streams and tunnels are open, so that they cannot use up the origin unnoticed.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::ground::failure::{Cause, Failure, Phase};
use crate::ground::ledger::{Count, Tally};
use crate::origin::Generation;

/// All places for streams.
#[derive(Debug, Clone)]
pub struct Streams {
    open: Arc<AtomicUsize>,
    /// `origin.streams`; `None` is measured by the slots.
    limit: Option<usize>,
}

/// One place; given back when dropped.
#[derive(Debug)]
pub struct Place {
    open: Arc<AtomicUsize>,
    tally: Arc<Tally>,
}

const KEY: &str = "origin.streams";
const SERIAL: &str = "a serial origin serves one request at a time; \
                      set origin.streams = 1 to let a stream hold it";
const OFF: &str = "streams are switched off (origin.streams)";

impl Streams {
    /// None is open yet.
    pub fn new(limit: Option<usize>) -> Self {
        Self {
            open: Arc::default(),
            limit,
        }
    }

    /// A place for a stream at this generation.
    ///
    /// # Errors
    /// The edge's failure: there is none.
    pub fn enter(&self, generation: &Generation, tally: &Arc<Tally>) -> Result<Place, Failure> {
        let slots = generation.concurrency();
        let limit = self.limit.unwrap_or(slots / 2);
        let refused = match (limit, slots) {
            (0, 1) => Cause::Unsupported(SERIAL),
            (0, _) => Cause::Unsupported(OFF),
            (limit, _) => Cause::Full {
                limit: limit as u64,
                key: KEY,
            },
        };
        let order = Ordering::Relaxed;
        let one_more = |open: usize| (open < limit).then_some(open + 1);
        match self.open.fetch_update(order, order, one_more) {
            Ok(_) => {
                tally.count(Count::StreamsBegun);
                Ok(Place {
                    open: self.open.clone(),
                    tally: tally.clone(),
                })
            }
            Err(_) => Err(Failure::edge(Phase::Queue, refused)),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
        self.tally.count(Count::StreamsEnded);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(streams: &Streams, slots: usize) -> Result<Place, String> {
        let address = "127.0.0.1:1".parse().unwrap();
        let (generation, _ender) = Generation::begin(1, address, slots);
        let place = streams.enter(&generation, &Arc::default());
        place.map_err(|failure| failure.to_string())
    }

    #[test]
    fn a_serial_origin_is_lent_to_streams_only_by_name() {
        let refused = told(&Streams::new(None), 1).unwrap_err();
        assert!(refused.contains("set origin.streams = 1"), "{refused}");
        let streams = Streams::new(Some(1));
        let place = told(&streams, 1).unwrap();
        let refused = told(&streams, 1).unwrap_err();
        assert!(refused.contains("all 1 places"), "{refused}");
        drop(place);
        assert!(told(&streams, 1).is_ok());
    }

    #[test]
    fn streams_leave_half_of_the_slots_to_the_others() {
        let streams = Streams::new(None);
        let places: Vec<_> = (0..4).map(|_| told(&streams, 8).unwrap()).collect();
        assert!(told(&streams, 8).is_err());
        drop(places);
        assert!(told(&Streams::new(Some(0)), 8).unwrap_err().contains("off"));
    }
}
