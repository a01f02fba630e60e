//! Keeping the best `k` of a stream of scored rows.

use crate::rows::Scored;

/// The best `k` rows offered so far. Offers are appended and cut in bulk, so that each costs a few nanoseconds whatever `k` is.
#[derive(Debug, Default)]
pub struct TopK {
    k: usize,
    /// Ranks that are not above this one cannot be among the best.
    floor: f32,
    kept: Vec<Scored>,
}

impl TopK {
    /// Forgets everything and keeps `k` from now on. Memory is reused.
    pub fn reset(&mut self, k: usize) {
        self.k = k;
        self.floor = f32::NEG_INFINITY;
        self.kept.clear();
    }

    /// Offers one row.
    #[inline]
    pub fn offer(&mut self, row: u32, rank: f32) {
        // Equal ranks below the floor's row would win a tie; they are let in and cut by the full order.
        if rank >= self.floor && self.k > 0 {
            self.kept.push(Scored { row, rank });
            if self.kept.len() >= 2 * self.k + 64 {
                self.cut();
            }
        }
    }

    fn cut(&mut self) {
        if self.kept.len() > self.k {
            self.kept.select_nth_unstable(self.k - 1);
            self.kept.truncate(self.k);
            self.floor = self.kept[self.k - 1].rank;
        }
    }

    /// The worst rank among the best `k`; `None` while fewer were offered.
    pub fn worst(&mut self) -> Option<f32> {
        if self.k == 0 || self.kept.len() < self.k {
            return None;
        }
        self.kept.select_nth_unstable(self.k - 1);
        Some(self.kept[self.k - 1].rank)
    }

    /// The best rows, best first.
    pub fn best(&mut self) -> &[Scored] {
        if self.k > 0 {
            self.cut();
        }
        self.kept.sort_unstable();
        &self.kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_are_those_of_a_full_sort_with_ties_by_row() {
        let mut top = TopK::default();
        for k in [0, 1, 3, 10, 1000] {
            top.reset(k);
            let mut all: Vec<Scored> = (0..500u32)
                .map(|row| Scored {
                    row,
                    rank: (row * 7919 % 97) as f32,
                })
                .collect();
            assert_eq!(top.worst(), None);
            for one in &all {
                top.offer(one.row, one.rank);
            }
            all.sort();
            all.truncate(k);
            let worst = (k <= 500).then(|| all.last().map(|one| one.rank)).flatten();
            assert_eq!(top.worst(), worst);
            assert_eq!(top.best(), all);
        }
    }
}
