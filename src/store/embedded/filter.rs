//! Says quickly which runs of old ids can hold an id.
//!
//! One Bloom filter per run, stored side by side: a row for every hash position, in it one bit per
//! run. Looking up an id reads the same six rows for 32 runs at once, and a run is dropped by
//! clearing its column. 12 bits per id make a wrong "maybe" 1 in 270 per run; the filter is never
//! wrong when it says no.

use crate::store::keys::DedupKey;

/// Rows per id of a full run.
const ROWS_PER_ID: usize = 12;
/// Rows that each id sets.
const HASHES: u64 = 6;
/// Runs that share a plane.
const COLUMNS: usize = 32;

/// The filters of all runs. 1.5 bytes per id, in steps of 32 runs.
pub(super) struct Filter {
    rows: usize,
    planes: Vec<Plane>,
}

#[derive(Default)]
struct Plane {
    /// Which columns are in use.
    used: u32,
    /// Empty while no column is.
    rows: Vec<u32>,
}

impl Filter {
    /// For runs of this many ids.
    pub(super) fn new(ids_per_run: usize) -> Self {
        Self {
            rows: ids_per_run * ROWS_PER_ID,
            planes: Vec::new(),
        }
    }

    fn positions(&self, key: DedupKey) -> impl Iterator<Item = usize> + use<> {
        // The key is a hash already: its halves make all positions.
        let (first, second) = key.0.split_at(8);
        let number = |half: &[u8]| half.try_into().map_or(0, u64::from_le_bytes);
        let (start, step) = (number(first), number(second) | 1);
        let rows = u128::from(super::super::wide(self.rows));
        (0..HASHES).map(move |n| {
            let hash = start
                .wrapping_add(n.wrapping_mul(step))
                .wrapping_mul(0x9e37_79b9_7f4a_7c15);
            usize::try_from((u128::from(hash) * rows) >> 64).unwrap_or(0)
        })
    }

    /// Takes a free column.
    pub(super) fn add(&mut self) -> usize {
        let free = self.planes.iter().position(|plane| plane.used != u32::MAX);
        let at = free.unwrap_or_else(|| {
            self.planes.push(Plane::default());
            self.planes.len() - 1
        });
        let Some(plane) = self.planes.get_mut(at) else {
            return 0;
        };
        if plane.used == 0 {
            plane.rows = vec![0; self.rows];
        }
        let column = plane.used.trailing_ones();
        plane.used |= 1 << column;
        at * COLUMNS + usize::try_from(column).unwrap_or(0)
    }

    /// Gives a column back.
    pub(super) fn remove(&mut self, column: usize) {
        let Some(plane) = self.planes.get_mut(column / COLUMNS) else {
            return;
        };
        let mask = !(1 << (column % COLUMNS));
        plane.used &= mask;
        if plane.used == 0 {
            plane.rows = Vec::new();
        }
        plane.rows.iter_mut().for_each(|row| *row &= mask);
    }

    /// Adds an id to a column.
    pub(super) fn set(&mut self, column: usize, key: DedupKey) {
        let positions = self.positions(key);
        if let Some(plane) = self.planes.get_mut(column / COLUMNS) {
            for position in positions {
                if let Some(row) = plane.rows.get_mut(position) {
                    *row |= 1 << (column % COLUMNS);
                }
            }
        }
    }

    /// A column as bytes, for the file.
    pub(super) fn save(&self, column: usize) -> Vec<u8> {
        let Some(plane) = self.planes.get(column / COLUMNS) else {
            return Vec::new();
        };
        let bit = |row: &u32| u8::from(row >> (column % COLUMNS) & 1 == 1);
        let byte = |rows: &[u32]| rows.iter().rev().fold(0, |byte, row| byte << 1 | bit(row));
        plane.rows.chunks(8).map(byte).collect()
    }

    /// Fills a fresh column from its bytes; `false` if they are not of this filter's size.
    pub(super) fn load(&mut self, column: usize, bytes: &[u8]) -> bool {
        let Some(plane) = self.planes.get_mut(column / COLUMNS) else {
            return false;
        };
        for (rows, byte) in plane.rows.chunks_mut(8).zip(bytes) {
            for (bit, row) in rows.iter_mut().enumerate() {
                *row |= u32::from(byte >> bit & 1) << (column % COLUMNS);
            }
        }
        bytes.len() == self.rows.div_ceil(8)
    }

    /// Whether a column can hold the id: a test for each plane, computed once.
    pub(super) fn candidates(&self, key: DedupKey) -> Vec<u32> {
        // Nothing found, the usual case, allocates nothing.
        let mut found = Vec::new();
        for (at, plane) in self.planes.iter().enumerate() {
            let mut columns = plane.used;
            for position in self.positions(key) {
                columns &= plane.rows.get(position).copied().unwrap_or(0);
                if columns == 0 {
                    break;
                }
            }
            if columns != 0 {
                found.resize(at + 1, 0);
                if let Some(last) = found.last_mut() {
                    *last = columns;
                }
            }
        }
        found
    }
}

/// Whether [`Filter::candidates`] named a column.
pub(super) fn names(candidates: &[u32], column: usize) -> bool {
    let plane = candidates.get(column / COLUMNS).copied().unwrap_or(0);
    plane >> (column % COLUMNS) & 1 == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: u64) -> DedupKey {
        let hash = blake3::hash(&n.to_le_bytes());
        DedupKey(hash.as_bytes()[..16].try_into().unwrap())
    }

    #[test]
    fn an_id_is_always_found_in_its_run_and_seldom_in_another() {
        let mut filter = Filter::new(1000);
        let columns: Vec<_> = (0..40).map(|_| filter.add()).collect();
        for (run, column) in columns.iter().enumerate() {
            (0..1000).for_each(|n| filter.set(*column, key(run as u64 * 1000 + n)));
        }
        let mut wrong = 0;
        for n in 0..40_000 {
            let found = filter.candidates(key(n as u64));
            assert!(names(&found, columns[n / 1000]));
            wrong += found
                .iter()
                .map(|plane| plane.count_ones() as usize)
                .sum::<usize>()
                - 1;
        }
        // 39 other runs, each 0.37 %.
        assert!(wrong < 40_000 * 20 / 100, "{wrong}");
    }

    #[test]
    fn a_column_survives_the_file_and_is_clean_after_removal() {
        let mut filter = Filter::new(1000);
        let column = filter.add();
        (0..1000).for_each(|n| filter.set(column, key(n)));
        let bytes = filter.save(column);
        filter.remove(column);
        let column = filter.add();
        assert!((0..1000).all(|n| !names(&filter.candidates(key(n)), column)));
        assert!(filter.load(column, &bytes));
        assert!((0..1000).all(|n| names(&filter.candidates(key(n)), column)));
        assert_eq!(filter.save(column), bytes);
    }
}
