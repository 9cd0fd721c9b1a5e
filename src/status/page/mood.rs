//! How a state looks.

use super::super::html::Html;
use crate::origin::State;

/// How a state is shown. Each has a colour and a shape of its own, for those who see no colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mood {
    /// Nobody has to do anything.
    Fine,
    /// It will pass by itself.
    Waiting,
    /// Worth a look.
    Doubtful,
    /// Clients notice, or a person is needed.
    Bad,
}

impl Mood {
    pub(super) fn of(state: State) -> Self {
        match state {
            State::Ready => Self::Fine,
            State::Starting | State::Stopping | State::Backoff => Self::Waiting,
            State::Suspect | State::Maintenance => Self::Doubtful,
            State::Hung | State::Degraded => Self::Bad,
        }
    }

    pub(super) fn class(self) -> &'static str {
        match self {
            Self::Fine => "fine",
            Self::Waiting => "waiting",
            Self::Doubtful => "doubtful",
            Self::Bad => "bad",
        }
    }

    /// A tick in a circle, a clock, a warning triangle, a cross in an octagon.
    pub(super) fn sign(self) -> Html {
        let shape = match self {
            Self::Fine => "<circle cx='16' cy='16' r='13'/><path d='M10 16.5l4.5 4.5 8-9.5'/>",
            Self::Waiting => "<circle cx='16' cy='16' r='13'/><path d='M16 8.5V16l5 4'/>",
            Self::Doubtful => "<path d='M16 3.5L29.5 28h-27zM16 12.5v7M16 23.4v.2'/>",
            Self::Bad => {
                "<path d='M10.6 3h10.8L29 10.6v10.8L21.4 29H10.6L3 21.4V10.6zM11.5 11.5l9 9m0-9l-9 9'/>"
            }
        };
        Html::new()
            .raw("<svg viewBox='0 0 32 32' fill='none' stroke='currentColor' stroke-width='2.5' ")
            .raw("stroke-linecap='round' stroke-linejoin='round' aria-hidden='true'>")
            .raw(shape)
            .raw("</svg>")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mood_can_be_told_without_colours() {
        let moods = State::ALL.map(Mood::of);
        for one in moods {
            for other in moods {
                let alike = one.sign().into_string() == other.sign().into_string();
                assert_eq!(alike, one == other);
            }
        }
    }
}
