//! How long a certificate is still good, and when that is worth a word. Pure.

use std::fmt;
use std::time::{Duration, SystemTime};

const DAY: Duration = Duration::from_secs(24 * 3600);
/// Told from then on, unless its life is so short that this is more than a third of it,
const SOON: Duration = Duration::from_secs(30 * 24 * 3600);
/// and urgently from then on, or from the last tenth on.
const VERY_SOON: Duration = Duration::from_secs(7 * 24 * 3600);
/// Told again when so much time has gone by.
const AGAIN: Duration = DAY;

/// How it stands with a certificate at some moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Term {
    /// Its time has not come, by so much.
    NotYet(Duration),
    /// For so long.
    Good(Duration),
    /// For so long, which is not long.
    Soon(Duration),
    /// For so long, which is very short.
    VerySoon(Duration),
    /// For so long already.
    Expired(Duration),
}

impl Term {
    /// That of a certificate that is good `from` then `until` then.
    pub fn of((from, until): (SystemTime, SystemTime), now: SystemTime) -> Self {
        if let Ok(early) = from.duration_since(now)
            && !early.is_zero()
        {
            return Self::NotYet(early);
        }
        let left = match until.duration_since(now) {
            Ok(left) => left,
            Err(late) => return Self::Expired(late.duration()),
        };
        let life = until.duration_since(from).unwrap_or_default();
        match left {
            left if left <= VERY_SOON.min(life / 10) => Self::VerySoon(left),
            left if left <= SOON.min(life / 3) => Self::Soon(left),
            left => Self::Good(left),
        }
    }

    /// Whether clients take it.
    pub fn is_good(self) -> bool {
        !matches!(self, Self::NotYet(_) | Self::Expired(_))
    }

    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::NotYet(_) => "not_yet",
            Self::Good(_) => "good",
            Self::Soon(_) => "expires_soon",
            Self::VerySoon(_) => "expires_very_soon",
            Self::Expired(_) => "expired",
        }
    }
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotYet(left) => write!(f, "becomes good in {}", told(*left)),
            Self::Good(left) | Self::Soon(left) | Self::VerySoon(left) => {
                write!(f, "expires in {}", told(*left))
            }
            Self::Expired(ago) => write!(f, "expired {} ago", told(*ago)),
        }
    }
}

/// What was said last, so that it is not said at every look.
#[derive(Debug, Clone, Copy, Default)]
pub struct Told(Option<(&'static str, SystemTime)>);

impl Told {
    /// Whether it is time to say this: once when it becomes so, and then once a day. What is good is not said.
    pub fn is_due(&mut self, term: Term, now: SystemTime) -> bool {
        if let Term::Good(_) = term {
            self.0 = None;
            return false;
        }
        let is_news = self.0.is_none_or(|(word, at)| {
            let since = now.duration_since(at).unwrap_or(AGAIN);
            word != term.word() || since >= AGAIN
        });
        if is_news {
            self.0 = Some((term.word(), now));
        }
        is_news
    }
}

fn told(length: Duration) -> String {
    let hours = length.as_secs() / 3600;
    match hours {
        0 => format!("{} min", length.as_secs() / 60),
        1..48 => format!("{hours} h"),
        _ => format!("{} d", hours / 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIFE: u32 = 90;

    fn at(day: u32) -> SystemTime {
        SystemTime::UNIX_EPOCH + DAY * day
    }

    #[test]
    fn a_month_and_a_week_before_the_end_it_becomes_another_word() {
        let term = |day| Term::of((at(100), at(100 + LIFE)), at(day));
        assert_eq!(term(99), Term::NotYet(DAY));
        assert_eq!(term(159), Term::Good(DAY * 31));
        assert_eq!(term(160), Term::Soon(DAY * 30));
        assert_eq!(term(183), Term::VerySoon(DAY * 7));
        assert_eq!(term(191), Term::Expired(DAY));
        assert_eq!(term(191).to_string(), "expired 24 h ago");
        assert_eq!(term(160).to_string(), "expires in 30 d");
    }

    #[test]
    fn a_short_life_is_not_told_of_from_its_first_day() {
        let term = |day| Term::of((at(0), at(6)), at(day)).word();
        assert_eq!(
            [term(3), term(4), term(6)],
            ["good", "expires_soon", "expires_very_soon"]
        );
    }

    #[test]
    fn it_is_told_once_and_again_each_day_and_at_once_when_it_grows_worse() {
        let mut told = Told::default();
        assert!(!told.is_due(Term::Good(DAY * 40), at(1)));
        assert!(told.is_due(Term::Soon(DAY * 30), at(11)));
        assert!(!told.is_due(Term::Soon(DAY * 30), at(11) + DAY / 2));
        assert!(told.is_due(Term::Soon(DAY * 29), at(12)));
        assert!(told.is_due(Term::VerySoon(DAY * 7), at(12) + DAY / 2));
        assert!(!told.is_due(Term::Good(DAY * 90), at(13)));
        assert!(told.is_due(Term::VerySoon(DAY * 7), at(13)));
    }
}
