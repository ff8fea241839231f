//! For `benches/edge.rs`: what is looked at on the way to hyper, by itself.

use super::framing::Framing;

/// The bytes of one HTTP/1 connection.
#[derive(Default)]
pub struct FramingBench(Framing);

impl FramingBench {
    /// Follows these bytes; how many pass.
    pub fn pass(&mut self, bytes: &mut [u8]) -> usize {
        self.0.pass(bytes)
    }
}
