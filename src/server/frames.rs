//! Bounds the frames of HTTP/2 that carry nothing of a request.
//!
//! h2 answers PING, SETTINGS and the like without end, which costs the sender less than us. Its own
//! limits end floods of reset streams, CONTINUATION and empty DATA; for all other frames a
//! connection has some to spare, and every request brings some more. Nor does h2 mind if the first
//! frame is none of SETTINGS, as it must be (RFC 9113 §3.4).

use std::io;

/// Frames to spare at the start, and at most.
const SPARE: u32 = 1_000;
/// What a request brings: more than anybody needs for one.
const PER_REQUEST: u32 = 16;

const PREFACE_BYTES: u32 = 24;
const FRAME_HEAD_BYTES: usize = 9;

/// Where in the frames of a connection the next byte is.
pub(super) struct Frames {
    /// Bytes to the next frame.
    left: u32,
    /// and whether those up to there are DATA.
    in_body: bool,
    head: [u8; FRAME_HEAD_BYTES],
    /// How much of `head` has come.
    come: usize,
    spare: u32,
    /// Whether there was a first frame.
    started: bool,
}

impl Frames {
    /// Before the preface.
    pub(super) fn new() -> Self {
        Self {
            left: PREFACE_BYTES,
            in_body: false,
            head: [0; FRAME_HEAD_BYTES],
            come: 0,
            spare: SPARE,
            started: false,
        }
    }

    /// Follows these bytes; how many of them belong to bodies.
    ///
    /// # Errors
    /// When the connection has no more frames to spare, or begins with a wrong one.
    pub(super) fn pass(&mut self, mut bytes: &[u8]) -> io::Result<usize> {
        let mut in_bodies = 0;
        while let Some((first, rest)) = bytes.split_first() {
            if self.left > 0 {
                let skipped =
                    usize::try_from(self.left).map_or(bytes.len(), |left| left.min(bytes.len()));
                self.left -= u32::try_from(skipped).unwrap_or(self.left);
                in_bodies += if self.in_body { skipped } else { 0 };
                bytes = bytes.get(skipped..).unwrap_or_default();
                continue;
            }
            if let Some(byte) = self.head.get_mut(self.come) {
                *byte = *first;
            }
            self.come += 1;
            bytes = rest;
            if self.come == FRAME_HEAD_BYTES && !self.frame() {
                return Err(io::ErrorKind::InvalidData.into());
            }
        }
        Ok(in_bodies)
    }

    /// Takes note of a frame that begins; whether it may.
    fn frame(&mut self) -> bool {
        let [high, middle, low, kind, flags, ..] = self.head;
        let settings = kind == 4 && flags & 1 == 0;
        if !std::mem::replace(&mut self.started, true) && !settings {
            return false;
        }
        (self.come, self.left) = (0, u32::from_be_bytes([0, high, middle, low]));
        self.in_body = kind == 0;
        match kind {
            0 => {}                                                  // DATA
            1 => self.spare = (self.spare + PER_REQUEST).min(SPARE), // HEADERS
            _ => match self.spare.checked_sub(1) {
                Some(spare) => self.spare = spare,
                None => return false,
            },
        }
        true
    }
}
