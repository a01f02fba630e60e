//! The state of one traversal: the sorted list of candidates, the rows already met, and buffers.

/// Rows are numbered below this: the lowest bit of a candidate's row word says whether it was expanded.
pub(crate) const ROWS_MAX: u32 = 1 << 31;

/// Up to this many rows the visited set is cleared as a whole (32 KiB, a microsecond); above, only the words that were used.
const CLEAR_WHOLE_ROWS: usize = 1 << 18;

/// A row with its distance, ordered by distance, then by row, in one word: distance as an ordered integer in the upper half,
/// `row << 1 | expanded` in the lower.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Candidate(u64);

impl Candidate {
    #[inline]
    pub(crate) fn new(row: u32, distance: f32) -> Self {
        // Flips the sign bit of positive numbers and all bits of negative ones: integers in the order of the floats.
        let bits = distance.to_bits();
        let ordered = bits ^ ((bits as i32 >> 31) as u32 | 0x8000_0000);
        Candidate(u64::from(ordered) << 32 | u64::from(row) << 1)
    }

    #[inline]
    pub(crate) fn row(self) -> u32 {
        self.0 as u32 >> 1
    }

    #[inline]
    pub(crate) fn distance(self) -> f32 {
        let ordered = (self.0 >> 32) as u32;
        let mask = ((!ordered) as i32 >> 31) as u32 | 0x8000_0000;
        f32::from_bits(ordered ^ mask)
    }
}

/// The nearest candidates met, nearest first, at most `capacity`; remembers which of them were expanded.
#[derive(Debug, Default)]
pub(crate) struct Beam {
    items: Vec<Candidate>,
    capacity: usize,
    /// Everything before it was expanded.
    cursor: usize,
}

impl Beam {
    pub(crate) fn reset(&mut self, capacity: usize) {
        self.items.clear();
        self.items.reserve(capacity + 1);
        self.capacity = capacity.max(1);
        self.cursor = 0;
    }

    /// Makes room for more candidates without forgetting any.
    pub(crate) fn widen(&mut self, capacity: usize) {
        self.capacity = capacity.max(self.items.len());
        self.items.reserve(self.capacity + 1 - self.items.len());
    }

    /// The candidate that a newcomer must beat.
    #[inline]
    pub(crate) fn bound(&self) -> Candidate {
        if self.items.len() < self.capacity {
            Candidate(u64::MAX)
        } else {
            self.items[self.items.len() - 1]
        }
    }

    /// Lets a candidate in when it is near enough; returns its place.
    #[inline]
    pub(crate) fn offer(&mut self, candidate: Candidate) -> Option<usize> {
        if candidate >= self.bound() {
            return None;
        }
        if self.items.len() == self.capacity {
            self.items.pop();
        }
        let place = self.items.partition_point(|&item| item < candidate);
        self.items.insert(place, candidate);
        self.cursor = self.cursor.min(place);
        Some(place)
    }

    /// The nearest candidate that was not expanded; it is from now on.
    #[inline]
    pub(crate) fn next(&mut self) -> Option<Candidate> {
        while let Some(item) = self.items.get_mut(self.cursor) {
            self.cursor += 1;
            if item.0 & 1 == 0 {
                let found = *item;
                item.0 |= 1;
                return Some(found);
            }
        }
        None
    }

    /// The candidate that [`Beam::next`] would take if nothing else came.
    #[inline]
    pub(crate) fn peek(&self) -> Option<u32> {
        let rest = self.items.get(self.cursor..)?;
        rest.iter()
            .find(|item| item.0 & 1 == 0)
            .map(|item| item.row())
    }

    /// Where the search stands in the list.
    #[inline]
    pub(crate) fn cursor(&self) -> usize {
        self.cursor
    }

    /// All candidates, nearest first.
    pub(crate) fn items(&self) -> &[Candidate] {
        &self.items
    }
}

/// Rows met by a traversal, one bit each. Numbers that are no rows count as met, so that a damaged link leads nowhere.
#[derive(Debug, Default)]
pub(crate) struct Visited {
    words: Vec<u64>,
    touched: Vec<u32>,
    rows: u32,
}

impl Visited {
    /// Forgets everything, for a graph of `rows` rows.
    pub(crate) fn reset(&mut self, rows: u32) {
        let count = (rows as usize).div_ceil(64);
        if self.words.len() != count || rows as usize <= CLEAR_WHOLE_ROWS {
            self.words.clear();
            self.words.resize(count, 0);
        } else {
            for &word in &self.touched {
                self.words[word as usize] = 0;
            }
        }
        self.touched.clear();
        self.rows = rows;
        if !rows.is_multiple_of(64)
            && let Some(last) = self.words.last_mut()
        {
            *last = u64::MAX << (rows % 64);
        }
    }

    /// Marks a row; true when it is new.
    #[inline]
    pub(crate) fn insert(&mut self, row: u32) -> bool {
        let Some(word) = self.words.get_mut(row as usize / 64) else {
            return false;
        };
        let bit = 1 << (row % 64);
        let new = *word & bit == 0;
        if new && self.rows as usize > CLEAR_WHOLE_ROWS {
            self.touched.push(row / 64);
        }
        *word |= bit;
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn candidates_order_as_their_distances_and_give_them_back() {
        let distances = [-1e30, -2.5, -0.0, 0.0, 1e-20, 0.5, 7.0, 3e20, f32::INFINITY];
        for pair in distances.windows(2) {
            assert!(
                Candidate::new(9, pair[0]) < Candidate::new(1, pair[1]),
                "{pair:?}"
            );
        }
        for distance in distances {
            let candidate = Candidate::new(ROWS_MAX - 1, distance);
            assert_eq!(candidate.distance().to_bits(), distance.to_bits());
            assert_eq!(candidate.row(), ROWS_MAX - 1);
        }
    }

    #[test]
    fn a_beam_keeps_the_nearest_and_expands_each_once() {
        let mut beam = Beam::default();
        beam.reset(3);
        for (row, distance) in [(1, 5.0), (2, 3.0), (3, 4.0)] {
            assert!(beam.offer(Candidate::new(row, distance)).is_some());
        }
        assert!(beam.offer(Candidate::new(4, 6.0)).is_none());
        assert_eq!(beam.next().map(Candidate::row), Some(2));
        assert_eq!(beam.offer(Candidate::new(5, 1.0)), Some(0));
        assert_eq!(beam.peek(), Some(5));
        let order: Vec<u32> = std::iter::from_fn(|| beam.next())
            .map(Candidate::row)
            .collect();
        assert_eq!(order, [5, 3]);
        assert_eq!(beam.items().len(), 3);
    }

    #[test]
    fn rows_behind_the_end_count_as_met() {
        let mut visited = Visited::default();
        for rows in [0, 1, 64, 70, (CLEAR_WHOLE_ROWS + 70) as u32] {
            for _ in 0..3 {
                visited.reset(rows);
                for row in 0..rows {
                    assert!(visited.insert(row));
                }
                for row in [rows, rows + 1, u32::MAX] {
                    assert!(!visited.insert(row));
                }
            }
        }
    }
}
