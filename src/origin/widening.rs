//! How many requests a new generation is let have at once: as many as it has proven to bear. Pure.
//!
//! All who were held come at once, to a process that has just been born; if it dies of the first of them, it must not take
//! the others with it. So it begins with one, and each answer makes room for one more, which doubles the room with each
//! round. Where answers are slow, its mere survival counts too, so that nobody waits for ever behind one slow request.

use std::time::Duration;

/// In this time a generation that has not died proves as much as by a round of answers. Most of those that die of a
/// request do so at once.
pub const ROUND: Duration = Duration::from_secs(1);

/// How many of `most` slots are open to a generation that has given so many answers and lived for `open_for`.
pub fn width(answered: usize, open_for: Duration, most: usize) -> usize {
    let rounds = u32::try_from(rounds(open_for)).unwrap_or(u32::MAX);
    let survived = 1_usize.checked_shl(rounds).unwrap_or(0);
    let survived = if survived == 0 { usize::MAX } else { survived };
    answered.saturating_add(1).max(survived).min(most)
}

/// When the room grows by itself the next time, from the opening on.
pub fn next_round(open_for: Duration) -> Duration {
    let next = u32::try_from(rounds(open_for) + 1).unwrap_or(u32::MAX);
    ROUND.saturating_mul(next)
}

fn rounds(open_for: Duration) -> u128 {
    open_for.as_millis() / ROUND.as_millis()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_answer_makes_room_for_one_more_and_no_more_than_there_is() {
        let after = |answered| width(answered, Duration::ZERO, 8);
        assert_eq!([0, 1, 3, 6, 7, 100].map(after), [1, 2, 4, 7, 8, 8]);
        assert_eq!(width(100, Duration::ZERO, 1), 1);
    }

    #[test]
    fn who_lives_without_an_answer_is_given_twice_as_much_each_second() {
        let after = |millis| width(0, Duration::from_millis(millis), 128);
        let at = [0, 999, 1000, 2500, 6000, 7000, 1 << 40];
        assert_eq!(at.map(after), [1, 1, 2, 4, 64, 128, 128]);
        assert_eq!(next_round(Duration::from_millis(2500)), ROUND * 3);
        assert_eq!(next_round(Duration::ZERO), ROUND);
    }
}
