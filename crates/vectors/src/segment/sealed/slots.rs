//! Where the vectors of a column stand when not every row has one.
//!
//! Vectors are stored only for rows that have one, in the order of the rows; the place of a row's vector is its *slot*. An
//! index of the column knows slots only, so a row without the vector takes no place in it and cannot be found.

use crate::rows::{Allowed, RowSet, Scored};

/// Slots of the rows in a set: the slot of a row is the count of rows in the set before it.
#[derive(Debug)]
pub(crate) struct Slots {
    present: RowSet,
    /// Rows in the set before each word of it.
    before: Vec<u32>,
    count: u32,
}

impl Slots {
    pub(super) fn new(present: RowSet) -> Self {
        let mut count = 0;
        let before = present
            .words()
            .iter()
            .map(|word| {
                let before = count;
                count += word.count_ones();
                before
            })
            .collect();
        Slots {
            present,
            before,
            count,
        }
    }

    /// How many there are.
    pub(super) fn count(&self) -> u32 {
        self.count
    }

    /// The slot of a row that has the vector.
    pub(crate) fn of_row(&self, row: u32) -> Option<u32> {
        if !self.present.contains(row) {
            return None;
        }
        let place = row as usize / 64;
        let below = self.present.words()[place] & ((1 << (row % 64)) - 1);
        Some(self.before[place] + below.count_ones())
    }

    /// The row of a slot below [`Slots::count`].
    pub(crate) fn row_of(&self, slot: u32) -> u32 {
        let place = self.before.partition_point(|&before| before <= slot) - 1;
        let mut word = self.present.words()[place];
        for _ in 0..slot - self.before[place] {
            word &= word - 1;
        }
        place as u32 * 64 + word.trailing_zeros()
    }

    /// The slots of allowed rows; `None` when all are.
    pub(crate) fn allowed(&self, allowed: Allowed<'_>) -> Option<RowSet> {
        if allowed.live.is_none() && allowed.filter.is_none() {
            return None;
        }
        let live = allowed.live.map(crate::rows::AtomicRowSet::snapshot);
        let mut slots = RowSet::none(self.count);
        for (place, &present) in self.present.words().iter().enumerate() {
            let word_of = |set: Option<&RowSet>| {
                set.map_or(u64::MAX, |set| set.words().get(place).copied().unwrap_or(0))
            };
            let mut word = present & word_of(live.as_ref()) & word_of(allowed.filter);
            while word != 0 {
                let below = present & ((1 << word.trailing_zeros()) - 1);
                slots.insert(self.before[place] + below.count_ones());
                word &= word - 1;
            }
        }
        Some(slots)
    }

    /// Turns the slots of found vectors into rows. Their order stays: rows rise with slots.
    pub(crate) fn give_rows(&self, found: &mut [Scored]) {
        for one in found {
            one.row = self.row_of(one.row);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::AtomicRowSet;

    #[test]
    fn slots_count_the_rows_before_them() {
        let mut present = RowSet::none(300);
        let rows: Vec<u32> = (0..300)
            .filter(|row| row % 7 == 3 || (64..130).contains(row))
            .collect();
        rows.iter().for_each(|&row| present.insert(row));
        let slots = Slots::new(present);
        assert_eq!(slots.count() as usize, rows.len());
        for (slot, &row) in (0..).zip(&rows) {
            assert_eq!((slots.of_row(row), slots.row_of(slot)), (Some(slot), row));
        }
        assert_eq!((slots.of_row(0), slots.of_row(900)), (None, None));
        let live = AtomicRowSet::from_set(&RowSet::all(300));
        live.remove(64);
        let mut filter = RowSet::none(300);
        for row in [10, 11, 64, 65, 129, 299] {
            filter.insert(row);
        }
        let both = Allowed {
            live: Some(&live),
            filter: Some(&filter),
        };
        let allowed = slots.allowed(both).expect("not all");
        let found: Vec<u32> = allowed.iter().map(|slot| slots.row_of(slot)).collect();
        assert_eq!(found, [10, 65, 129]);
        assert!(slots.allowed(Allowed::default()).is_none());
    }
}
