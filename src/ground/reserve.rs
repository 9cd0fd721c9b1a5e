//! The memory that is set aside for clients. Nobody counts bytes on the way of a request: each connection and each
//! exchange is reckoned at the most that it may take, and there are only so many that the sum stays below the limit.

use super::ledger::{Count, Ledger, Tally};

/// Memory for clients, over all threads.
#[derive(Debug, Clone)]
pub struct Reserve {
    prices: Prices,
    ledger: Ledger,
}

/// What is reckoned, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prices {
    /// For everything together; `None` is without a limit.
    pub limit: Option<u64>,
    /// Set aside once.
    pub fixed: u64,
    /// For each connection.
    pub connection: u64,
    /// For each exchange.
    pub exchange: u64,
    /// Exchanges for which each thread may count on room.
    pub share: u64,
}

/// The limit would be broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoRoom {
    /// The limit, in bytes.
    pub limit: u64,
}

impl Prices {
    /// `share` is what `threads` of them have in all: a quarter of what there is, so that neither connections that ask
    /// for nothing nor one busy thread can take it all.
    pub fn new(
        limit: Option<u64>,
        fixed: u64,
        connection: u64,
        exchange: u64,
        threads: u64,
    ) -> Self {
        let left = limit.map_or(0, |limit| limit.saturating_sub(fixed));
        Self {
            limit,
            fixed,
            connection,
            exchange,
            share: left / 4 / exchange / threads.max(1),
        }
    }

    /// What is set aside for so many connections, and for what each thread has under way.
    fn sum(&self, connections: u64, exchanges: impl Iterator<Item = u64>) -> u64 {
        let exchanges: u64 = exchanges.map(|under_way| under_way.max(self.share)).sum();
        self.fixed + connections * self.connection + exchanges * self.exchange
    }
}

impl Reserve {
    /// What is under way is known from `ledger`.
    pub fn new(prices: Prices, ledger: Ledger) -> Self {
        Self { prices, ledger }
    }

    /// Without a limit, for tests of something else.
    #[cfg(test)]
    pub fn boundless() -> Self {
        Self::new(Prices::new(None, 0, 1, 1, 1), Ledger::default())
    }

    /// The limit, in bytes.
    pub fn limit(&self) -> Option<u64> {
        self.prices.limit
    }

    /// What is set aside now, in bytes.
    pub fn used(&self) -> u64 {
        // The end is read before the beginning: what ends in between must not make the difference negative.
        let closed = self.ledger.sum(Count::ConnectionsClosed);
        let open = self
            .ledger
            .sum(Count::ConnectionsAccepted)
            .saturating_sub(closed);
        self.with(open)
    }

    /// Whether there is room for so many connections beside what is under way.
    ///
    /// # Errors
    /// [`NoRoom`].
    pub fn connections(&self, connections: usize) -> Result<(), NoRoom> {
        self.judge(|| self.with(connections as u64))
    }

    /// Whether there is room for the exchange that has just begun on the thread whose tally this is. Asks the other
    /// threads only where this one has more under way than its share.
    ///
    /// # Errors
    /// [`NoRoom`].
    pub fn exchange(&self, own: &Tally) -> Result<(), NoRoom> {
        match self.prices.limit.is_none() || under_way(own) <= self.prices.share {
            true => Ok(()),
            false => self.judge(|| self.used()),
        }
    }

    fn judge(&self, used: impl FnOnce() -> u64) -> Result<(), NoRoom> {
        match self.prices.limit {
            Some(limit) if used() > limit => Err(NoRoom { limit }),
            _ => Ok(()),
        }
    }

    fn with(&self, connections: u64) -> u64 {
        let exchanges = self.ledger.each_serving(under_way);
        self.prices.sum(connections, exchanges.into_iter())
    }
}

fn under_way(tally: &Tally) -> u64 {
    let ended = tally.read(Count::ExchangesEnded);
    tally.read(Count::ExchangesBegun).saturating_sub(ended)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_serves_nobody_has_no_share() {
        let ledger = Ledger::default();
        let reserve = Reserve::new(Prices::new(Some(1000), 0, 0, 10, 1), ledger.clone());
        let _serving = ledger.open();
        let used = reserve.used();
        let _log = ledger.open_aside();
        assert_eq!((reserve.used(), used), (used, 250));
    }

    const MIB: u64 = 1 << 20;

    #[test]
    fn a_quarter_is_the_threads_share_and_connections_cannot_have_it() {
        let ledger = Ledger::default();
        let _threads = [ledger.open(), ledger.open()];
        let prices = Prices::new(Some(100 * MIB), 20 * MIB, MIB, 2 * MIB, 2);
        assert_eq!(prices.share, 5);
        let reserve = Reserve::new(prices, ledger);
        assert_eq!(reserve.used(), 40 * MIB);
        assert_eq!(reserve.connections(60), Ok(()));
        let limit = 100 * MIB;
        assert_eq!(reserve.connections(61), Err(NoRoom { limit }));
    }

    #[test]
    fn a_thread_that_is_alone_may_have_the_share_of_nobody_else() {
        let ledger = Ledger::default();
        let (busy, other) = (ledger.open(), ledger.open());
        let prices = Prices::new(Some(100 * MIB), 20 * MIB, MIB, 2 * MIB, 2);
        let reserve = Reserve::new(prices, ledger);
        let begun = (0..100).position(|_| {
            busy.count(Count::ExchangesBegun);
            reserve.exchange(&busy).is_err()
        });
        // 80 MiB are 40 exchanges, of which 5 are kept for the other thread.
        assert_eq!(begun, Some(35));
        other.add(Count::ExchangesBegun, 5);
        assert_eq!(reserve.exchange(&other), Ok(()));
        busy.add(Count::ExchangesEnded, 1);
        assert_eq!(reserve.exchange(&busy), Ok(()));
        assert_eq!(reserve.used(), 100 * MIB);
    }

    #[test]
    fn without_a_limit_there_is_always_room() {
        let reserve = Reserve::boundless();
        let tally = reserve.ledger.open();
        tally.add(Count::ExchangesBegun, 1_000_000);
        assert_eq!(reserve.exchange(&tally), Ok(()));
        assert_eq!(reserve.connections(1_000_000), Ok(()));
    }
}
