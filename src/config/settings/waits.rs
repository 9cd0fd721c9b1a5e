//! Every wait that has a limit, in the order in which an exchange comes by them: what the status page lists.

use std::time::Duration;

use super::Settings;
use crate::ground::failure::{Party, Phase};

/// A wait: who is waited for, where, and for how long at the most.
pub type Bound = (Party, Phase, Duration);

impl Settings {
    /// All of them. Routes may have others of their own.
    pub fn waits(&self) -> Vec<Bound> {
        let (client, origin) = (&self.edge.deadlines, &self.origin.deadlines);
        vec![
            (Party::Client, Phase::Handshake, client.handshake),
            (Party::Client, Phase::Head, client.head),
            (Party::Client, Phase::Body, client.body_stall),
            (Party::Origin, Phase::Hold, self.hold.timeout),
            (Party::Origin, Phase::Queue, origin.queue),
            (Party::Origin, Phase::Connect, origin.connect),
            (Party::Origin, Phase::FirstByte, origin.first_byte),
            (Party::Origin, Phase::Answer, origin.idle),
            (Party::Client, Phase::Respond, client.response_stall),
            (Party::Client, Phase::KeepAlive, client.keep_alive),
        ]
    }
}
