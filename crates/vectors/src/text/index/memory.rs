//! The index while it grows.

use std::collections::HashMap;

use super::{Analyzer, Place, Totals};
use crate::error::VectorsError;
use crate::postings::{BLOCK_ROWS, MemoryList};

/// Lists of terms in memory.
#[derive(Debug, Default)]
pub(super) struct MemoryText {
    numbers: HashMap<Box<str>, u32>,
    terms: Vec<MemoryTerm>,
    /// Terms of each row; rows without text in between have 0.
    lengths: Vec<u32>,
    totals: Totals,
    /// Bytes of the terms and their lists, counted as they grow.
    bytes: usize,
    /// Number and position of each token of the row being added; kept for its capacity.
    tokens: Vec<(u32, u32)>,
}

/// One term: the rows with it and their term frequencies, and the positions.
#[derive(Debug, Default)]
pub(super) struct MemoryTerm {
    pub(super) list: MemoryList,
    /// As in TXPO.
    pub(super) positions: Vec<u8>,
    /// Where the positions of each block begin.
    pub(super) block_positions: Vec<u64>,
}

impl MemoryText {
    pub(super) fn insert<'t>(
        &mut self,
        analyzer: &Analyzer,
        row: u32,
        texts: impl IntoIterator<Item = &'t str>,
    ) -> Result<(), VectorsError> {
        if (row as usize) < self.lengths.len() || row == u32::MAX {
            return Err(VectorsError::invalid(
                "text",
                "must be of a row behind the last one",
            ));
        }
        let MemoryText {
            numbers,
            terms,
            tokens,
            bytes,
            ..
        } = self;
        tokens.clear();
        analyzer.analyze_values(texts, &mut |term, position| {
            let number = match numbers.get(term) {
                Some(number) => *number,
                None => {
                    let number = terms.len() as u32;
                    terms.push(MemoryTerm::default());
                    numbers.insert(term.into(), number);
                    // A key of the map: pointer, length, number and the map's own byte, at most half of the slots
                    // empty.
                    *bytes += term.len() + 2 * 25 + size_of::<MemoryTerm>();
                    number
                }
            };
            tokens.push((number, position));
        });
        // A text of 2^32 words would not fit any request; its length would only be held against it less.
        let length = u32::try_from(tokens.len()).unwrap_or(u32::MAX);
        tokens.sort_unstable();
        for token in tokens.chunk_by(|one, two| one.0 == two.0) {
            let term = &mut terms[token[0].0 as usize];
            let before = term.bytes();
            term.push(row, length, token);
            *bytes += term.bytes() - before;
        }
        self.lengths.resize(row as usize, 0);
        self.lengths.push(length);
        self.totals.documents += u64::from(length > 0);
        self.totals.tokens += u64::from(length);
        Ok(())
    }

    pub(super) fn list(&self, term: &str) -> Option<(usize, &MemoryList)> {
        let number = *self.numbers.get(term)? as usize;
        Some((number, &self.terms[number].list))
    }

    pub(super) fn lengths(&self) -> &[u32] {
        &self.lengths
    }

    pub(super) fn totals(&self) -> Totals {
        self.totals
    }

    pub(super) fn positions(&self, term: usize, place: &Place) -> Result<Vec<u32>, VectorsError> {
        let term = &self.terms[term];
        let start = term.block_positions[place.block] as usize;
        Ok(read_positions(&term.positions[start..], place))
    }

    /// Terms in the order of their bytes.
    pub(super) fn sorted(&self) -> Vec<(&str, &MemoryTerm)> {
        let mut sorted: Vec<_> = self
            .numbers
            .iter()
            .map(|(term, number)| (term.as_ref(), &self.terms[*number as usize]))
            .collect();
        sorted.sort_unstable_by_key(|(term, _)| *term);
        sorted
    }

    pub(super) fn bytes(&self) -> u64 {
        (self.bytes + self.lengths.capacity() * 4 + self.tokens.capacity() * 8) as u64
    }
}

impl MemoryTerm {
    /// Bytes of its lists.
    fn bytes(&self) -> usize {
        self.list.bytes() + self.positions.capacity() + self.block_positions.capacity() * 8
    }

    /// Adds a row of `length` terms with the tokens of this one, by rising position.
    fn push(&mut self, row: u32, length: u32, tokens: &[(u32, u32)]) {
        if self.list.rows().len().is_multiple_of(BLOCK_ROWS) {
            self.block_positions.push(self.positions.len() as u64);
        }
        let frequency = tokens.len() as u32;
        self.list.push(row, frequency, |bounds| {
            bounds.map_or((frequency, length), |(high, low)| {
                (high.max(frequency), low.min(length))
            })
        });
        let mut before = 0;
        for (_, position) in tokens {
            write_number(position - before, &mut self.positions);
            before = *position;
        }
    }
}

/// Appends a number as LEB128.
fn write_number(mut number: u32, bytes: &mut Vec<u8>) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// Reads the positions of the row at `place` from those of its block. Fewer when the bytes end early.
pub(super) fn read_positions(bytes: &[u8], place: &Place) -> Vec<u32> {
    let mut bytes = bytes.iter();
    let mut next = || {
        let mut number = 0u32;
        for shift in (0..35).step_by(7) {
            let byte = *bytes.next()?;
            number |= u32::from(byte & 0x7f).wrapping_shl(shift);
            if byte < 0x80 {
                return Some(number);
            }
        }
        Some(number)
    };
    let mut positions = Vec::new();
    for _ in 0..place.positions_before {
        if next().is_none() {
            return positions;
        }
    }
    let mut position = 0u32;
    for _ in 0..place.count {
        let Some(number) = next() else {
            break;
        };
        position = position.saturating_add(number);
        positions.push(position);
    }
    positions
}
