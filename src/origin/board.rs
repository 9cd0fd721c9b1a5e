//! Where the watch tells what it knows: the gate, as the operator will have it, and the view.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::watch;

use super::gate::{Gate, Generation, Shut};
use super::view::View;
use super::will::Stance;

/// The one place from which the gate and the view are told.
pub(super) struct Board {
    gate: watch::Sender<Gate>,
    published: watch::Sender<Arc<View>>,
    /// How the gate would be if it were for the origin alone.
    beneath: Gate,
    pub(super) view: View,
}

impl Board {
    /// With a gate that is shut, and those who see what it tells.
    pub(super) fn new(
        shut: Shut,
        view: View,
    ) -> (Self, watch::Receiver<Gate>, watch::Receiver<Arc<View>>) {
        let beneath = Gate::Shut(shut);
        let (gate, gate_seen) = watch::channel(beneath.clone());
        let (published, view_seen) = watch::channel(Arc::new(view.clone()));
        let board = Self {
            gate,
            published,
            beneath,
            view,
        };
        (board, gate_seen, view_seen)
    }

    /// Requests may reach this generation.
    pub(super) fn open(&mut self, generation: Arc<Generation>, now: Instant) {
        self.beneath = Gate::Open(generation);
        self.show(now);
    }

    /// They may not.
    pub(super) fn shut(&mut self, shut: Shut) {
        self.beneath = Gate::Shut(shut);
        self.show(shut.since);
    }

    /// The gate will open no sooner than this; those who can't wait for it are told at once.
    pub(super) fn expect(&mut self, opens: Instant, now: Instant) {
        if let Gate::Shut(shut) = &mut self.beneath
            && shut.expected != opens
        {
            shut.expected = opens;
            if self.view.stance == Stance::Serving {
                self.show(now);
            }
        }
    }

    /// The operator wants it so.
    pub(super) fn take(&mut self, stance: Stance, now: Instant) {
        self.view.stance = stance;
        self.show(now);
        self.publish();
    }

    /// Tells the view as it is now.
    pub(super) fn publish(&mut self) {
        self.published.send_replace(Arc::new(self.view.clone()));
    }

    fn show(&mut self, now: Instant) {
        self.gate
            .send_replace(self.view.stance.gate(&self.beneath, now));
    }
}
