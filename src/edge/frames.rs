//! The frames of an HTTP/2 connection, counted by their headers as the bytes go by (RFC 9113, section 4.1). Pure.

/// The kinds of frames that matter to a count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// DATA, with so many bytes.
    Data(u32),
    /// HEADERS.
    Headers,
    /// RST_STREAM: the sender gives up one stream, for this reason (RFC 9113, section 7).
    Reset(u32),
    /// SETTINGS, PING, PRIORITY, WINDOW_UPDATE, CONTINUATION, GOAWAY, and whatever else there may be: frames that
    /// carry no request and no body.
    Control,
}

/// Follows one direction of a connection.
#[derive(Debug)]
pub struct Frames {
    /// Bytes to pass before the next frame's header: the client's preface at first.
    skip: u64,
    /// A frame's header, and the reason behind it where that is a reset.
    header: [u8; HEADER + REASON],
    /// How much of it is there.
    have: usize,
    head: Head,
}

/// Where a head is, which may take several frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Head {
    /// Nowhere.
    None,
    /// Its last frame has begun.
    Last,
    /// More frames of it are to come (RFC 9113, section 6.10).
    More,
}

const HEADER: usize = 9;
const REASON: usize = 4;
const HEADERS: u8 = 1;
const RESET: u8 = 3;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;
/// What a client says first (RFC 9113, section 3.4).
pub const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

impl Frames {
    /// What the client sends, its preface first.
    pub fn of_client() -> Self {
        Self::after(PREFACE.len() as u64)
    }

    /// What the server sends.
    pub fn of_server() -> Self {
        Self::after(0)
    }

    /// Takes the next bytes, in any pieces; `seen` is told of each frame whose header is complete with them.
    pub fn take(&mut self, mut bytes: &[u8], mut seen: impl FnMut(Kind)) {
        while !bytes.is_empty() {
            if self.skip > 0 {
                let passed = self.skip.min(bytes.len() as u64);
                self.skip -= passed;
                bytes = &bytes[passed as usize..];
                continue;
            }
            let wanted = (self.wanted() - self.have).min(bytes.len());
            let (part, rest) = bytes.split_at(wanted);
            self.header[self.have..self.have + wanted].copy_from_slice(part);
            self.have += wanted;
            bytes = rest;
            if self.have == self.wanted() {
                self.have = 0;
                seen(self.complete());
            }
        }
    }

    /// Whether the next byte begins a frame.
    pub fn is_between(&self) -> bool {
        self.skip == 0 && self.have == 0
    }

    /// Whether a head has begun and is not whole.
    pub fn is_in_head(&self) -> bool {
        match self.head {
            Head::None => false,
            Head::Last => self.skip > 0,
            Head::More => true,
        }
    }

    fn after(skip: u64) -> Self {
        Self {
            skip,
            header: [0; HEADER + REASON],
            have: 0,
            head: Head::None,
        }
    }

    fn wanted(&self) -> usize {
        // A reset has nothing but its reason, or is malformed.
        match self.have >= HEADER && self.header[..4] == [0, 0, REASON as u8, 3] {
            true => HEADER + REASON,
            false => HEADER,
        }
    }

    fn complete(&mut self) -> Kind {
        let [high, middle, low, kind, flags, ..] = self.header;
        let length = u32::from_be_bytes([0, high, middle, low]);
        self.skip = u64::from(length);
        self.head = match kind {
            HEADERS | CONTINUATION if flags & END_HEADERS == 0 => Head::More,
            HEADERS | CONTINUATION => Head::Last,
            _ => Head::None,
        };
        match kind {
            0 if length > 0 => Kind::Data(length),
            HEADERS => Kind::Headers,
            RESET if length as usize == REASON => {
                self.skip = 0;
                let [.., a, b, c, d] = self.header;
                Kind::Reset(u32::from_be_bytes([a, b, c, d]))
            }
            _ => Kind::Control,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let mut frame = length[1..].to_vec();
        frame.extend([kind, 0, 0, 0, 0, 1]);
        frame.extend(payload);
        frame
    }

    #[test]
    fn frames_are_counted_in_whatever_pieces_they_come() {
        let mut bytes = PREFACE.to_vec();
        bytes.extend(frame(4, &[]));
        bytes.extend(frame(1, &[7; 300]));
        bytes.extend(frame(0, &[1; 70_000]));
        bytes.extend(frame(0, &[]));
        bytes.extend(frame(3, &[0, 0, 1, 8]));
        bytes.extend(frame(8, &[0; 4]));
        bytes.extend(frame(99, &[0; 4]));
        let wanted = [
            Kind::Control,
            Kind::Headers,
            Kind::Data(70_000),
            Kind::Control,
            Kind::Reset(0x108),
            Kind::Control,
            Kind::Control,
        ];
        for piece in [1, 2, 8, 9, 10, 4096, bytes.len()] {
            let mut frames = Frames::of_client();
            let mut seen = Vec::new();
            for part in bytes.chunks(piece) {
                frames.take(part, |kind| seen.push(kind));
            }
            assert_eq!(seen, wanted, "pieces of {piece}");
            assert!(frames.is_between());
        }
    }

    #[test]
    fn a_head_is_whole_with_the_last_byte_of_its_last_frame() {
        let head = |kind, flags| {
            let mut frame = frame(kind, b"abc");
            frame[4] = flags;
            frame
        };
        let mut frames = Frames::of_server();
        let mut seen = Vec::new();
        let bytes = [head(1, 0), head(9, 0), head(9, 4), frame(0, b"body")].concat();
        for byte in bytes {
            frames.take(&[byte], |_| {});
            seen.push(frames.is_in_head());
        }
        let (begins, whole) = (8, 2 * 12 + 11);
        let expected: Vec<_> = (0..seen.len())
            .map(|at| (begins..whole).contains(&at))
            .collect();
        assert_eq!(seen, expected);
        frames.take(&head(1, 4), |_| {});
        assert!(!frames.is_in_head());
    }

    #[test]
    fn in_the_middle_of_a_frame_is_not_between() {
        let mut frames = Frames::of_server();
        assert!(frames.is_between());
        frames.take(&[0, 0], |_| {});
        assert!(!frames.is_between());
        frames.take(&[4, 0, 0, 0, 0, 0, 1, 9, 9], |_| {});
        assert!(!frames.is_between());
        frames.take(&[9, 9], |_| {});
        assert!(frames.is_between());
    }
}
