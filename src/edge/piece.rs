//! Bytes on their way to the client through h2, which lets go of them as the client takes them.

use std::sync::Arc;

use bytes::{Buf, Bytes};

use super::stream::Stream;

/// Bytes on their way to the client. Of those that are watched, the stream learns as they go, however few at once: a
/// client that takes its time with a large piece is not one that takes nothing.
#[derive(Debug)]
pub struct Piece {
    bytes: Bytes,
    stream: Option<Arc<Stream>>,
}

impl Piece {
    /// Bytes of this stream, which it is told of.
    pub fn watched(stream: &Arc<Stream>, bytes: Bytes) -> Self {
        stream.hands_over(bytes.len());
        let stream = Some(stream.clone());
        Self { bytes, stream }
    }

    fn let_go(&self, bytes: usize) {
        if let Some(stream) = self.stream.as_ref().filter(|_| bytes > 0) {
            stream.lets_go(bytes);
        }
    }
}

impl From<Bytes> for Piece {
    /// Nobody watches it.
    fn from(bytes: Bytes) -> Self {
        let stream = None;
        Self { bytes, stream }
    }
}

impl Buf for Piece {
    fn remaining(&self) -> usize {
        self.bytes.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.bytes.chunk()
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
        self.let_go(count);
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        self.let_go(self.bytes.len());
    }
}
