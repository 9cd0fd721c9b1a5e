//! By what an exchange is found again: chance, and how it is used.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};

use http::HeaderMap;

use crate::config::settings;
use crate::ground::random::Random;
use crate::ground::trail::{IdSource, Making, Trail};

/// Where ids come from: from the system's chance, once, and from a sequence of each thread's own.
#[derive(Debug)]
pub struct Chance {
    salt: u64,
    next: AtomicU64,
}

impl Chance {
    /// Another salt each time.
    pub fn new() -> Self {
        let seed = || RandomState::new().build_hasher().finish();
        Self {
            salt: seed(),
            next: AtomicU64::new(seed()),
        }
    }

    /// By what the next exchange is found again.
    pub fn trail(&self, headers: &HeaderMap, making: Making) -> Trail {
        let seed = self.next.fetch_add(Random::STEP, Ordering::Relaxed);
        Trail::begin(
            headers,
            making,
            &mut Random(Random(seed).draw() ^ self.salt),
        )
    }
}

/// How ids are made, by these settings.
pub fn making(trace: &settings::Trace) -> Making {
    Making {
        id: match trace.request_id {
            settings::RequestId::Take => IdSource::Client,
            settings::RequestId::Make => IdSource::Own,
            settings::RequestId::Off => IdSource::Nobody,
        },
        one_in: trace.collector.as_ref().map(|_| trace.one_in),
    }
}
