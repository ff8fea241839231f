//! The highest sequence number that was acknowledged, kept apart from the database.
//!
//! A flipped bit in the middle of the journal makes SQLite drop everything behind it in silence.
//! This small file, synced about once a second, remembers how far it had come: a start that finds
//! less says so. It lags, so it can miss the very last events, and it never holds up a commit.

use std::io::{Error, ErrorKind};

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::place::Place;
use crate::store::disk::DiskFile;

/// Number and checksum.
const SLOT: usize = 16;
/// Zeros are not a valid slot. Not the installation's key: that is in the database, which may be
/// what is missing.
const SALT: u64 = 0x6869_6768;

/// The file: two slots, written in turn, so that a torn write leaves the other one.
pub(super) struct HighWater {
    file: Box<dyn DiskFile>,
    second: bool,
}

impl HighWater {
    /// Opens it; returns the mark of the last process.
    pub(super) fn open(place: &Place) -> std::io::Result<(Self, u64)> {
        let mut file = place.open("high-water")?;
        let mut slots = [0; 2 * SLOT];
        match file.read_exact_at(&mut slots, 0) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                // New: take the space now, a full disk later must not matter.
                file.write_all_at(&slots, 0)?;
                file.sync()?;
            }
            Err(error) => return Err(error),
        }
        let valid = |slot: &[u8; SLOT]| {
            let (number, sum) = slot.split_at(8);
            let sum = u64::from_le_bytes(sum.try_into().ok()?);
            let valid = xxh3_64_with_seed(number, SALT) == sum;
            valid.then_some(u64::from_le_bytes(number.try_into().ok()?))
        };
        let slots = slots.as_chunks::<SLOT>().0;
        let mark = slots.iter().filter_map(valid).max().unwrap_or(0);
        // The next write must spare the newer one.
        let second = slots.first().and_then(valid) == Some(mark);
        Ok((Self { file, second }, mark))
    }

    /// Remembers a number durably.
    pub(super) fn write(&mut self, seq: u64) -> Result<(), Error> {
        let number = seq.to_le_bytes();
        let sum = xxh3_64_with_seed(&number, SALT).to_le_bytes();
        let offset = if self.second { 16 } else { 0 };
        self.file
            .write_all_at([number, sum].as_flattened(), offset)?;
        self.file.sync()?;
        self.second = !self.second;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::store::tests::config;

    #[test]
    fn a_torn_write_leaves_the_mark_before() {
        let dir = tempfile::tempdir().unwrap();
        let place = Place::take(&config(dir.path()), &Clock::real()).unwrap();
        let (mut mark, before) = HighWater::open(&place).unwrap();
        assert_eq!(before, 0);
        mark.write(7).unwrap();
        mark.write(9).unwrap();
        assert_eq!(HighWater::open(&place).unwrap().1, 9);
        mark.file.write_all_at(&[1, 2, 3], 16).unwrap();
        let (mut mark, before) = HighWater::open(&place).unwrap();
        assert_eq!(before, 7);
        mark.write(11).unwrap();
        assert_eq!(HighWater::open(&place).unwrap().1, 11);
    }
}
