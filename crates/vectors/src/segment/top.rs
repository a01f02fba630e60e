//! The best rows of a scan: a bounded buffer that is cut back to `k` whenever it is full.

use crate::rows::Scored;

/// Keeps the `k` best of what is pushed, in amortised constant time per row and without a heap's cache misses: most
/// rows of a scan fail the comparison with the worst one kept.
#[derive(Debug, Default)]
pub(crate) struct TopRows {
    k: usize,
    /// Ranks at or below this cannot enter; minus infinity until `k` rows are known.
    floor: f32,
    kept: Vec<Scored>,
}

impl TopRows {
    /// Empties the buffer for a search of `k` rows that all rank at least `rank_min`.
    pub(crate) fn start(&mut self, k: usize, rank_min: f32) {
        self.k = k;
        self.kept.clear();
        // `next_down`: a rank equal to the threshold is wanted.
        self.floor = rank_min.next_down();
    }

    /// Offers a row.
    #[inline]
    pub(crate) fn push(&mut self, row: u32, rank: f32) {
        if rank > self.floor {
            self.kept.push(Scored { row, rank });
            if self.kept.len() >= 2 * self.k.max(16) {
                self.cut();
            }
        }
    }

    #[cold]
    fn cut(&mut self) {
        if self.k == 0 {
            self.kept.clear();
        } else if self.kept.len() > self.k {
            self.kept.select_nth_unstable(self.k - 1);
            self.kept.truncate(self.k);
            // Rows come in rising order: a later row of equal rank loses against those kept, so "above" is enough.
            self.floor = self.floor.max(self.kept[self.k - 1].rank);
        }
    }

    /// What [`TopRows::finish`] returned.
    pub(crate) fn kept(&self) -> &[Scored] {
        &self.kept
    }

    /// The rows kept, best first.
    pub(crate) fn finish(&mut self) -> &[Scored] {
        self.cut();
        self.kept.sort_unstable();
        &self.kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_what_a_full_sort_would() {
        let mut top = TopRows::default();
        for k in [0, 1, 3, 40, 500] {
            for threshold in [f32::NEG_INFINITY, 0.25] {
                let ranks: Vec<f32> = (0..300u32)
                    .map(|row| ((row * 7919) % 101) as f32 / 100.0)
                    .collect();
                let mut expected: Vec<Scored> = (0..)
                    .zip(&ranks)
                    .filter(|(_, rank)| **rank >= threshold)
                    .map(|(row, &rank)| Scored { row, rank })
                    .collect();
                expected.sort();
                expected.truncate(k);
                top.start(k, threshold);
                for (row, &rank) in (0..).zip(&ranks) {
                    top.push(row, rank);
                }
                assert_eq!(top.finish(), expected, "k {k}, threshold {threshold}");
            }
        }
    }
}
