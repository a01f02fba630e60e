//! Sets of rows of a segment, and scored rows.

use std::cmp::Ordering as Order;
use std::sync::atomic::{AtomicU64, Ordering};

/// A set of rows as one bit each: what a filter allows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RowSet {
    words: Vec<u64>,
    rows: u32,
}

impl RowSet {
    /// No row of `rows`.
    pub fn none(rows: u32) -> Self {
        RowSet {
            words: vec![0; (rows as usize).div_ceil(64)],
            rows,
        }
    }

    /// Every row of `rows`.
    pub fn all(rows: u32) -> Self {
        let mut words = vec![u64::MAX; (rows as usize).div_ceil(64)];
        if let Some(last) = words.last_mut()
            && !rows.is_multiple_of(64)
        {
            *last = (1 << (rows % 64)) - 1;
        }
        RowSet { words, rows }
    }

    /// How many rows there are to choose from.
    pub fn rows(&self) -> u32 {
        self.rows
    }

    /// Adds a row. Rows behind the end are ignored.
    pub fn insert(&mut self, row: u32) {
        if row < self.rows {
            self.words[row as usize / 64] |= 1 << (row % 64);
        }
    }

    /// Takes a row out.
    pub fn remove(&mut self, row: u32) {
        if row < self.rows {
            self.words[row as usize / 64] &= !(1 << (row % 64));
        }
    }

    /// Whether the row is in the set; false behind the end.
    #[inline]
    pub fn contains(&self, row: u32) -> bool {
        self.words
            .get(row as usize / 64)
            .is_some_and(|word| word >> (row % 64) & 1 == 1)
    }

    /// How many rows are in the set.
    pub fn count(&self) -> u32 {
        self.words.iter().map(|word| word.count_ones()).sum()
    }

    /// The words of the set, row 0 in the lowest bit of the first.
    pub fn words(&self) -> &[u64] {
        &self.words
    }

    /// The words, to be combined word by word; bits behind `rows` must stay 0.
    pub fn words_mut(&mut self) -> &mut [u64] {
        &mut self.words
    }

    /// The rows in the set, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.words.iter().enumerate().flat_map(|(index, &word)| {
            let mut rest = word;
            std::iter::from_fn(move || {
                if rest == 0 {
                    return None;
                }
                let bit = rest.trailing_zeros();
                rest &= rest - 1;
                Some(index as u32 * 64 + bit)
            })
        })
    }
}

/// The live rows of a segment: bits are only ever cleared (a delete), while searches read them.
#[derive(Debug, Default)]
pub struct AtomicRowSet {
    words: Vec<AtomicU64>,
    rows: u32,
    removed: std::sync::atomic::AtomicU32,
}

impl AtomicRowSet {
    /// A copy of `set`.
    pub fn from_set(set: &RowSet) -> Self {
        AtomicRowSet {
            words: set.words.iter().map(|&word| AtomicU64::new(word)).collect(),
            rows: set.rows,
            removed: (set.rows - set.count()).into(),
        }
    }

    /// How many rows the segment has, live or not.
    pub fn rows(&self) -> u32 {
        self.rows
    }

    /// Whether the row is live.
    #[inline]
    pub fn contains(&self, row: u32) -> bool {
        self.words
            .get(row as usize / 64)
            .is_some_and(|word| word.load(Ordering::Relaxed) >> (row % 64) & 1 == 1)
    }

    /// Adds a live row behind the last.
    pub fn push(&mut self) {
        let bit = 1 << (self.rows % 64);
        match self.words.get_mut(self.rows as usize / 64) {
            Some(word) => *word.get_mut() |= bit,
            None => self.words.push(AtomicU64::new(bit)),
        }
        self.rows += 1;
    }

    /// Takes a row out; true when it was in.
    pub fn remove(&self, row: u32) -> bool {
        let Some(word) = self.words.get(row as usize / 64) else {
            return false;
        };
        let bit = 1 << (row % 64);
        let was = word.fetch_and(!bit, Ordering::Release) & bit != 0;
        if was {
            self.removed.fetch_add(1, Ordering::Relaxed);
        }
        was
    }

    /// How many rows are no longer live.
    pub fn removed(&self) -> u32 {
        self.removed.load(Ordering::Relaxed)
    }

    /// How many rows of `set` are live.
    pub fn count_of(&self, set: &RowSet) -> u32 {
        self.words
            .iter()
            .zip(&set.words)
            .map(|(live, word)| (live.load(Ordering::Relaxed) & word).count_ones())
            .sum()
    }

    /// The set as it is now.
    pub fn snapshot(&self) -> RowSet {
        RowSet {
            words: self
                .words
                .iter()
                .map(|word| word.load(Ordering::Acquire))
                .collect(),
            rows: self.rows,
        }
    }
}

/// Which rows a search may return: live ones, and of those what the filter allows.
#[derive(Debug, Clone, Copy, Default)]
pub struct Allowed<'a> {
    /// `None` when no row was ever deleted.
    pub live: Option<&'a AtomicRowSet>,
    /// `None` when there is no filter.
    pub filter: Option<&'a RowSet>,
}

impl Allowed<'_> {
    /// Whether a search may return the row.
    #[inline]
    pub fn contains(&self, row: u32) -> bool {
        self.live.is_none_or(|live| live.contains(row))
            && self.filter.is_none_or(|filter| filter.contains(row))
    }
}

/// A row and how well it matches. Larger ranks are better whatever the metric; see `Metric::score_of_rank`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scored {
    /// The row in its segment.
    pub row: u32,
    /// Larger is better; never NaN.
    pub rank: f32,
}

impl Eq for Scored {}

impl PartialOrd for Scored {
    fn partial_cmp(&self, other: &Self) -> Option<Order> {
        Some(self.cmp(other))
    }
}

impl Ord for Scored {
    /// Best first when sorted ascending: by falling rank, then by rising row, so that equal ranks have one order.
    fn cmp(&self, other: &Self) -> Order {
        other
            .rank
            .total_cmp(&self.rank)
            .then(self.row.cmp(&other.row))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_hold_exactly_their_rows() {
        for rows in [0, 1, 63, 64, 65, 200] {
            assert_eq!(RowSet::all(rows).count(), rows);
            assert_eq!(RowSet::all(rows).iter().count(), rows as usize);
        }
        let mut set = RowSet::none(130);
        for row in [0, 63, 64, 129, 500] {
            set.insert(row);
        }
        assert_eq!(set.iter().collect::<Vec<_>>(), [0, 63, 64, 129]);
        let live = AtomicRowSet::from_set(&set);
        assert!(live.remove(64) && !live.remove(64) && !live.remove(900));
        assert_eq!(live.snapshot().iter().collect::<Vec<_>>(), [0, 63, 129]);
        assert_eq!(live.removed(), 127);
        assert_eq!(live.count_of(&set), 3);
    }

    #[test]
    fn best_rank_sorts_first_and_ties_go_to_the_lower_row() {
        let mut scored = [
            Scored { row: 9, rank: 0.5 },
            Scored { row: 2, rank: 0.5 },
            Scored { row: 5, rank: 0.9 },
        ];
        scored.sort();
        assert_eq!(
            scored.iter().map(|one| one.row).collect::<Vec<_>>(),
            [5, 2, 9]
        );
    }
}
