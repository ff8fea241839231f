//! The highest sequence number that was acknowledged, and the time, kept apart from the database.
//!
//! A flipped bit in the middle of the journal makes SQLite drop everything behind it in silence.
//! This small file, synced about once a second, remembers how far it had come: a start that finds
//! less says so. It lags, so it can miss the very last events, and it never holds up a commit. The
//! time lets steady time go on in the next process.

use std::io::{Error, ErrorKind};

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::place::Place;
use crate::clock::{Reading, UnixMillis};
use crate::store::disk::DiskFile;

/// Three numbers and their checksum.
const SLOT: usize = 32;
/// Zeros are not a valid slot. Not the installation's key: that is in the database, which may be
/// what is missing.
const SALT: u64 = 0x6869_6768;

/// What a process was last known to have come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) seq: u64,
    pub(super) time: Reading,
}

impl Mark {
    /// What a new file says. It is no gap: the first mark may be torn, too, and is then not damage.
    const NONE: Self = Self {
        seq: 0,
        time: Reading {
            wall: UnixMillis(0),
            steady: UnixMillis(0),
        },
    };

    fn to_bytes(self) -> [u8; SLOT] {
        let Self { seq, time } = self;
        let numbers = [
            seq,
            time.wall.0.cast_unsigned(),
            time.steady.0.cast_unsigned(),
        ];
        let [a, b, c] = numbers.map(u64::to_le_bytes);
        let sum = xxh3_64_with_seed([a, b, c].as_flattened(), SALT);
        let mut slot = [0; SLOT];
        slot.copy_from_slice([a, b, c, sum.to_le_bytes()].as_flattened());
        slot
    }

    fn from_bytes(slot: &[u8; SLOT]) -> Option<Self> {
        let number = |at: usize| {
            slot.as_chunks::<8>()
                .0
                .get(at)
                .copied()
                .map(u64::from_le_bytes)
        };
        let at = |at| Some(UnixMillis(number(at)?.cast_signed()));
        let mark = Self {
            seq: number(0)?,
            time: Reading {
                wall: at(1)?,
                steady: at(2)?,
            },
        };
        (mark.to_bytes() == *slot).then_some(mark)
    }
}

/// What a start finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// There was no such file.
    New,
    /// The process before did not come to its first mark.
    Nothing,
    Damaged,
    Mark(Mark),
}

/// The file: two slots, written in turn, so that a torn write leaves the other one.
pub(super) struct HighWater {
    file: Box<dyn DiskFile>,
    second: bool,
}

impl HighWater {
    /// Opens it; returns the mark of the last process.
    pub(super) fn open(place: &Place) -> std::io::Result<(Self, Found)> {
        let mut file = place.open("high-water")?;
        let mut slots = [[0; SLOT]; 2];
        let size = file.size()?;
        match file.read_exact_at(slots.as_flattened_mut(), 0) {
            Err(error) if error.kind() != ErrorKind::UnexpectedEof => return Err(error),
            read if read.is_err() || slots.iter().all(|slot| Mark::from_bytes(slot).is_none()) => {
                // Take the space now, a full disk later must not matter.
                file.write_all_at([Mark::NONE.to_bytes(); 2].as_flattened(), 0)?;
                file.sync()?;
            }
            _ => {}
        }
        let [first, second] = slots.map(|slot| Mark::from_bytes(&slot));
        let newest = [first, second]
            .into_iter()
            .flatten()
            .max_by_key(|mark| (mark.seq, mark.time.steady));
        let found = match newest {
            Some(Mark::NONE) => Found::Nothing,
            Some(mark) => Found::Mark(mark),
            None if size == 0 => Found::New,
            None => Found::Damaged,
        };
        // The next write must spare the newer one.
        let second = newest.is_some() && first == newest;
        Ok((Self { file, second }, found))
    }

    /// Remembers a mark durably.
    pub(super) fn write(&mut self, mark: Mark) -> Result<(), Error> {
        let offset = if self.second { 32 } else { 0 };
        self.file.write_all_at(&mark.to_bytes(), offset)?;
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

    fn mark(seq: u64) -> Mark {
        let at = UnixMillis(seq.cast_signed());
        Mark {
            seq,
            time: Reading {
                wall: at,
                steady: at,
            },
        }
    }

    /// A new file was all zeros, and a power cut in its first second left no mark at all: the next start
    /// took that for damage.
    #[test]
    fn a_torn_first_mark_is_no_damage() {
        let dir = tempfile::tempdir().unwrap();
        let place = Place::take(&config(dir.path()), &Clock::real()).unwrap();
        let (file, _) = HighWater::open(&place).unwrap();
        file.file.write_all_at(&mark(7).to_bytes()[..5], 0).unwrap();
        assert_eq!(HighWater::open(&place).unwrap().1, Found::Nothing);
    }

    #[test]
    fn a_torn_write_leaves_the_mark_before() {
        let dir = tempfile::tempdir().unwrap();
        let place = Place::take(&config(dir.path()), &Clock::real()).unwrap();
        let (mut file, before) = HighWater::open(&place).unwrap();
        assert_eq!(before, Found::New);
        assert_eq!(HighWater::open(&place).unwrap().1, Found::Nothing);
        file.write(mark(7)).unwrap();
        file.write(mark(9)).unwrap();
        assert_eq!(HighWater::open(&place).unwrap().1, Found::Mark(mark(9)));
        file.file.write_all_at(&[1, 2, 3], 32).unwrap();
        let (mut file, before) = HighWater::open(&place).unwrap();
        assert_eq!(before, Found::Mark(mark(7)));
        file.write(mark(11)).unwrap();
        assert_eq!(HighWater::open(&place).unwrap().1, Found::Mark(mark(11)));
    }

    #[test]
    fn a_file_of_which_nothing_holds_is_damaged_and_begins_anew() {
        let dir = tempfile::tempdir().unwrap();
        let place = Place::take(&config(dir.path()), &Clock::real()).unwrap();
        let (mut file, _) = HighWater::open(&place).unwrap();
        file.write(mark(7)).unwrap();
        let written = std::fs::File::options()
            .write(true)
            .open(dir.path().join("high-water"));
        written.unwrap().set_len(10).unwrap();
        assert_eq!(HighWater::open(&place).unwrap().1, Found::Damaged);
        assert_eq!(HighWater::open(&place).unwrap().1, Found::Nothing);
        file.file.write_all_at(&[1; 64], 0).unwrap();
        assert_eq!(HighWater::open(&place).unwrap().1, Found::Damaged);
    }
}
