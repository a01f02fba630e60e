//! What is known of a condition without looking at payloads: the rows that satisfy it, and those that may.

use crate::rows::RowSet;

/// Rows that satisfy a condition for sure, and rows that possibly do; the former are among the latter. Combines as
/// Kleene's three-valued logic does.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Selection {
    pub sure: RowSet,
    pub possible: RowSet,
}

impl Selection {
    /// No row satisfies it.
    pub fn none(rows: u32) -> Self {
        Selection::exactly(RowSet::none(rows))
    }

    /// Every row satisfies it.
    pub fn all(rows: u32) -> Self {
        Selection::exactly(RowSet::all(rows))
    }

    /// Nothing is known.
    pub fn unknown(rows: u32) -> Self {
        Selection {
            sure: RowSet::none(rows),
            possible: RowSet::all(rows),
        }
    }

    /// These rows and no other.
    pub fn exactly(rows: RowSet) -> Self {
        Selection {
            possible: rows.clone(),
            sure: rows,
        }
    }

    /// These rows for sure, and `maybe` besides.
    pub fn with_maybe(sure: RowSet, maybe: &RowSet) -> Self {
        let mut possible = sure.clone();
        add(&mut possible, maybe);
        Selection { sure, possible }
    }

    /// Both conditions.
    pub fn and(&mut self, other: &Selection) {
        keep(&mut self.sure, &other.sure);
        keep(&mut self.possible, &other.possible);
    }

    /// Either condition.
    pub fn or(&mut self, other: &Selection) {
        add(&mut self.sure, &other.sure);
        add(&mut self.possible, &other.possible);
    }

    /// Not the condition.
    pub fn not(self) -> Selection {
        let rows = self.sure.rows();
        let [mut sure, mut possible] = [RowSet::all(rows), RowSet::all(rows)];
        drop_rows(&mut sure, &self.possible);
        drop_rows(&mut possible, &self.sure);
        Selection { sure, possible }
    }

    /// What two indexes know of one condition, put together.
    pub fn refine(&mut self, other: &Selection) {
        add(&mut self.sure, &other.sure);
        keep(&mut self.possible, &other.possible);
    }

    /// Whether nothing is left open.
    pub fn is_exact(&self) -> bool {
        self.sure == self.possible
    }

    /// The rows left open.
    pub fn open(&self) -> RowSet {
        let mut open = self.possible.clone();
        drop_rows(&mut open, &self.sure);
        open
    }
}

/// Adds the rows of `more`.
pub(crate) fn add(set: &mut RowSet, more: &RowSet) {
    for (word, other) in set.words_mut().iter_mut().zip(more.words()) {
        *word |= other;
    }
}

/// Keeps the rows that are in `other` too.
pub(crate) fn keep(set: &mut RowSet, other: &RowSet) {
    for (word, other) in set.words_mut().iter_mut().zip(other.words()) {
        *word &= other;
    }
}

/// Takes the rows of `other` out.
pub(crate) fn drop_rows(set: &mut RowSet, other: &RowSet) {
    for (word, other) in set.words_mut().iter_mut().zip(other.words()) {
        *word &= !other;
    }
}

/// Whether there is no row.
pub(crate) fn is_none(set: &RowSet) -> bool {
    set.words().iter().all(|&word| word == 0)
}
