//! What clients may cost in memory, at the most.

use crate::config::Settings;
use crate::edge::connection;
use crate::ground::reserve::Prices;

/// What each connection and each exchange is reckoned at, for so many edge threads.
///
/// Reckoned is what lasts: buffers of a connection, a head of each request, what its body and its answer may rest in
/// without asking, and the budget all bodies share. On top of that come, for a moment each, what is on its way to the
/// disk (512 KiB a body) and from it (128 KiB), and of a declared stream its window.
pub fn prices(settings: &Settings, threads: usize) -> Prices {
    let (spool, limits) = (&settings.spool, &settings.edge.limits);
    let bytes = |bytes: usize| bytes as u64;
    let (connection, stream) = connection::memory(limits);
    Prices::new(
        limits.memory.map(bytes),
        bytes(spool.memory),
        bytes(connection),
        // A request's body and its answer.
        bytes(stream + 2 * spool.exchange),
        bytes(threads),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::proof::requests;

    #[test]
    fn by_default_all_connections_fit_with_some_thousand_requests() {
        let settings = Settings::default();
        let limits = &settings.edge.limits;
        let prices = prices(&settings, 4);
        let all = prices.fixed + prices.connection * limits.connections as u64;
        let left = prices.limit.unwrap() - all;
        let requests = left / prices.exchange;
        assert!((3000..4000).contains(&requests), "{requests}");
        assert!(prices.share >= 200, "{prices:?}");
    }

    #[test]
    fn the_proof_reckons_with_the_same_prices() {
        let settings = Settings::default();
        let prices = prices(&settings, 1);
        let left = prices.limit.unwrap() - settings.spool.memory as u64;
        assert_eq!(requests(&settings), Some(left / prices.exchange));
    }
}
