//! How many requests the origin works on at once: set, remembered, or measured.

use super::probe::{self, Reading};
use super::view::View;
use crate::config::fixed::MANY;
use crate::config::settings;
use crate::ground::deadline::Deadline;

/// Settles how many slots the generation in `view` gets, and notes it there. Measuring is done once: an
/// origin that it was too much for counts as serial, and is not asked again.
pub async fn settle(view: &mut View, origin: &settings::Origin) -> usize {
    let known = origin.concurrency.or(view.concurrency);
    let slots = match known {
        Some(known) => known,
        None => {
            view.measured = true;
            measure(view, origin).await
        }
    };
    view.concurrency = Some(slots);
    slots
}

async fn measure(view: &View, origin: &settings::Origin) -> usize {
    let first = view.last_probe.as_ref().map(|(reading, _)| reading);
    let patience = probe::patience(first.unwrap_or(&Reading::Silent));
    let deadline = Deadline::within(patience);
    match probe::serves_two(&view.address, origin, deadline).await {
        true => MANY,
        false => 1,
    }
}
