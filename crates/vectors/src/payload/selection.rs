//! What is known of a condition without looking at payloads: the rows that satisfy it, and those that may.

use crate::rows::RowSet;

/// Rows that satisfy a condition for sure, and rows that possibly do; the former are among the latter. Combines as
/// Kleene's three-valued logic does.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Selection {
    sure: RowSet,
    /// `None` when these are the sure rows, as with most indexed conditions: half the words to combine.
    possible: Option<RowSet>,
}

impl Selection {
    /// No row satisfies it.
    pub fn none(rows: u32) -> Self {
        Selection::exactly(RowSet::none(rows))
    }

    /// Nothing is known.
    pub fn unknown(rows: u32) -> Self {
        Selection {
            sure: RowSet::none(rows),
            possible: Some(RowSet::all(rows)),
        }
    }

    /// These rows and no other.
    pub fn exactly(rows: RowSet) -> Self {
        Selection {
            sure: rows,
            possible: None,
        }
    }

    /// These rows for sure, and `maybe` besides.
    pub fn with_maybe(sure: RowSet, maybe: &RowSet) -> Self {
        if is_none(maybe) {
            return Selection::exactly(sure);
        }
        let mut possible = sure.clone();
        add(&mut possible, maybe);
        Selection {
            sure,
            possible: Some(possible),
        }
    }

    /// Rows that satisfy the condition for sure.
    pub fn sure(&self) -> &RowSet {
        &self.sure
    }

    /// Rows that satisfy it for sure or possibly.
    pub fn possible(&self) -> &RowSet {
        self.possible.as_ref().unwrap_or(&self.sure)
    }

    /// Nothing is known of `rows` after all.
    pub fn forget(&mut self, rows: &RowSet) {
        let mut possible = self.possible().clone();
        add(&mut possible, rows);
        drop_rows(&mut self.sure, rows);
        self.possible = Some(possible);
    }

    /// Both conditions.
    pub fn and(&mut self, other: &Selection) {
        self.combine(other, keep);
    }

    /// Either condition.
    pub fn or(&mut self, other: &Selection) {
        self.combine(other, add);
    }

    fn combine(&mut self, other: &Selection, words: fn(&mut RowSet, &RowSet)) {
        if self.possible.is_some() || other.possible.is_some() {
            let mut possible = self.possible().clone();
            words(&mut possible, other.possible());
            self.possible = Some(possible);
        }
        words(&mut self.sure, &other.sure);
    }

    /// Not the condition.
    pub fn not(self) -> Selection {
        let without = |set: &RowSet| {
            let mut rest = RowSet::all(set.rows());
            drop_rows(&mut rest, set);
            rest
        };
        Selection {
            sure: without(self.possible()),
            possible: self.possible.is_some().then(|| without(&self.sure)),
        }
    }

    /// What two indexes know of one condition, put together.
    pub fn refine(&mut self, other: &Selection) {
        let mut possible = self.possible().clone();
        keep(&mut possible, other.possible());
        add(&mut self.sure, &other.sure);
        self.possible = (possible != self.sure).then_some(possible);
    }

    /// Whether nothing is left open.
    pub fn is_exact(&self) -> bool {
        self.possible.is_none()
    }

    /// The sure rows, and those left open, if any.
    pub fn into_parts(self) -> (RowSet, Option<RowSet>) {
        let open = self.possible.map(|mut possible| {
            drop_rows(&mut possible, &self.sure);
            possible
        });
        (self.sure, open)
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
