//! How the end of an answer's body is known. Where only the end of its connection tells, it ends like a whole one, too,
//! when its process dies in the middle.

use http::header::{CONTENT_LENGTH, HeaderMap, TRANSFER_ENCODING};

use crate::ground::failure::{Cause, Failure, Phase};
use crate::origin::Generation;

/// How the end of a body is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// By its length, or by its last chunk.
    Told,
    /// By the end of the connection.
    Closed,
}

impl Framing {
    /// The framing that the head of an answer tells; one without a body needs none.
    pub fn of(answer: &HeaderMap, has_body: bool) -> Self {
        let tells = answer.contains_key(CONTENT_LENGTH) || answer.contains_key(TRANSFER_ENCODING);
        match has_body && !tells {
            true => Self::Closed,
            false => Self::Told,
        }
    }

    /// Judges a body that ended in order. An origin that is not ours may die unnoticed; its word is taken.
    ///
    /// # Errors
    /// The origin's failure: it died, and who knows what it still had to say.
    pub fn judge(self, generation: &Generation) -> Result<(), Failure> {
        match self == Self::Closed && generation.is_dying() {
            true => Err(Failure::origin(Phase::Answer, Cause::Died)),
            false => Ok(()),
        }
    }
}
