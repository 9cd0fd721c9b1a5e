//! May a request be sent to the origin once more? Pure.

use http::Method;

/// How far a request came with the origin, as far as we know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// Not one byte of it was given to the origin.
    NeverSent,
    /// It was given to the origin, which has provably read nothing of it and never will.
    Unread,
    /// The origin may have read it, and may have acted on it.
    Unknown,
    /// The client has seen a part of the answer.
    Answered,
}

/// What is known of a visit that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Past {
    /// How far it came.
    pub delivery: Delivery,
    /// How often it was sent again already.
    pub replays: u32,
    /// The origin hung while it was at this request.
    pub is_suspect: bool,
    /// It bears a key by which the origin, as the operator says, knows it again.
    pub has_key: bool,
}

/// A request is sent again once at the most.
pub const MOST_REPLAYS: u32 = 1;

/// Whether a request may be sent once more.
///
/// What never reached the origin always may, and what it left unread. What may have reached it may if its method is idempotent
/// (RFC 9110, section 9.2.2) or it has a key (draft-ietf-httpapi-idempotency-key-header), once, and not if it is suspected to have hung the origin.
pub fn may_replay(method: &Method, past: Past) -> bool {
    match past.delivery {
        Delivery::NeverSent | Delivery::Unread => true,
        Delivery::Unknown => {
            let is_known = past.has_key && matches!(*method, Method::POST | Method::PATCH);
            (method.is_idempotent() || is_known) && past.replays < MOST_REPLAYS && !past.is_suspect
        }
        Delivery::Answered => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn past(delivery: Delivery) -> Past {
        Past {
            delivery,
            replays: 0,
            is_suspect: false,
            has_key: false,
        }
    }

    #[test]
    fn what_never_reached_the_origin_is_always_sent() {
        let mut past = past(Delivery::NeverSent);
        past.replays = 7;
        assert!(may_replay(&Method::POST, past));
        past.delivery = Delivery::Unread;
        assert!(may_replay(&Method::POST, past));
    }

    #[test]
    fn what_may_have_been_acted_on_is_sent_again_once_and_only_if_that_does_no_harm() {
        let unknown = past(Delivery::Unknown);
        assert!(may_replay(&Method::GET, unknown));
        assert!(may_replay(&Method::PUT, unknown));
        assert!(!may_replay(&Method::POST, unknown));
        assert!(!may_replay(&Method::PATCH, unknown));
        let again = Past {
            replays: 1,
            ..unknown
        };
        assert!(!may_replay(&Method::GET, again));
    }

    #[test]
    fn what_bears_a_key_is_sent_again_once_too() {
        let mut past = Past {
            has_key: true,
            ..past(Delivery::Unknown)
        };
        assert!(may_replay(&Method::POST, past) && may_replay(&Method::PATCH, past));
        assert!(!may_replay(&Method::CONNECT, past));
        past.replays = 1;
        assert!(!may_replay(&Method::POST, past));
    }

    #[test]
    fn the_suspected_killer_is_not_let_loose_on_the_next_generation() {
        let suspect = Past {
            is_suspect: true,
            ..past(Delivery::Unknown)
        };
        assert!(!may_replay(&Method::GET, suspect));
    }

    #[test]
    fn an_answer_the_client_has_seen_is_never_begun_anew() {
        assert!(!may_replay(&Method::GET, past(Delivery::Answered)));
    }
}
