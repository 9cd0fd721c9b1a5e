//! What the origin of the model has to give: the same bytes whenever it is asked for the same version.

use std::ops::Range;

use crate::ground::random::Random;

/// What is asked for, and how the origin is with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Large, with a strong tag; ranges are known.
    File,
    /// The same, and its length is not told.
    Chunked,
    /// A part of such a file, as the client asked.
    Part,
    /// Large, with a strong tag; ranges are ignored.
    Dull,
    /// Large, with a weak tag.
    Weak,
    /// Small.
    Small,
    /// Small, and asked for by POST.
    Post,
}

/// One request of one client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Asked {
    /// What is asked for.
    pub kind: Kind,
    /// Whose request it is.
    pub id: u64,
}

/// The part that is asked for of [`Kind::Part`].
pub const PART: Range<u64> = 1000..180_001;

impl Kind {
    /// All of them, alike.
    pub const ALL: [Self; 7] = [
        Self::File,
        Self::Chunked,
        Self::Part,
        Self::Dull,
        Self::Weak,
        Self::Small,
        Self::Post,
    ];
}

impl Asked {
    /// The path that asks for it.
    pub fn path(self) -> String {
        format!("/{:?}/{}", self.kind, self.id)
    }

    /// What a path asks for.
    pub fn of(path: &str) -> Self {
        let (kind, id) = path.trim_start_matches('/').split_once('/').unwrap();
        let named = |it: &Kind| format!("{it:?}") == kind;
        Self {
            kind: Kind::ALL.into_iter().find(named).unwrap(),
            id: id.parse().unwrap(),
        }
    }

    /// The whole of it in this version.
    pub fn content(self, version: u64) -> Vec<u8> {
        let length = match self.kind {
            Kind::Small | Kind::Post => 2000,
            _ => 200_000,
        };
        let mut random = Random(self.id << 8 | version);
        let words = std::iter::repeat_with(|| random.draw().to_le_bytes());
        words.take(length / 8).flatten().collect()
    }

    /// What a client has to get of this version, if it gets all.
    pub fn due(self, version: u64) -> Vec<u8> {
        let content = self.content(version);
        match self.kind {
            Kind::Part => content[PART.start as usize..PART.end as usize].to_vec(),
            _ => content,
        }
    }
}
