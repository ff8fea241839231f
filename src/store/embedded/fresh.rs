//! Which events have news (a delivery row) and which are still fresh: one bit per event from the
//! first fresh one on.
//!
//! [`Fresh::floor`] is kept on disk now and then, so that a start looks only at what came after.

use std::collections::VecDeque;

/// A bit per sequence number; numbers below the window all have news.
pub(super) struct Fresh {
    /// First number of the window, a multiple of 64.
    base: u64,
    news: VecDeque<u64>,
}

impl Fresh {
    /// Every number below `floor` has news.
    pub(super) fn new(floor: u64) -> Self {
        let mut fresh = Self {
            base: floor - floor % 64,
            news: VecDeque::new(),
        };
        for seq in fresh.base..floor {
            fresh.set_news(seq);
        }
        fresh
    }

    pub(super) fn has_news(&self, seq: u64) -> bool {
        let Some(offset) = seq.checked_sub(self.base) else {
            return true;
        };
        let word = usize::try_from(offset / 64)
            .ok()
            .and_then(|word| self.news.get(word));
        word.is_some_and(|word| word >> (offset % 64) & 1 == 1)
    }

    pub(super) fn set_news(&mut self, seq: u64) {
        let Some(offset) = seq.checked_sub(self.base) else {
            return;
        };
        let Ok(word) = usize::try_from(offset / 64) else {
            return;
        };
        if word >= self.news.len() {
            self.news.resize(word + 1, 0);
        }
        if let Some(word) = self.news.get_mut(word) {
            *word |= 1 << (offset % 64);
        }
        while self.news.front() == Some(&u64::MAX) {
            self.news.pop_front();
            self.base += 64;
        }
    }

    /// Every number below this one has news.
    pub(super) fn floor(&self) -> u64 {
        let tail = self.news.front().map_or(0, |word| word.trailing_ones());
        self.base + u64::from(tail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_floor_follows_the_first_fresh_event() {
        let mut fresh = Fresh::new(70);
        assert!(fresh.has_news(69) && !fresh.has_news(70));
        for seq in 71..500 {
            fresh.set_news(seq);
        }
        assert_eq!(fresh.floor(), 70);
        fresh.set_news(70);
        assert_eq!(fresh.floor(), 500);
        assert!(fresh.has_news(3) && fresh.has_news(499) && !fresh.has_news(500));
    }
}
