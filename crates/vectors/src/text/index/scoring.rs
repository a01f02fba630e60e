//! BM25 of one term's list.

use super::{TermList, TextIndexSearch, TextStatistics};
use crate::error::VectorsError;
use crate::postings::{BLOCK_ROWS, BlockBuffer, PostingBlocks};
use crate::sparse::inverse_document_frequency;

/// The part of the formula that all terms share: k1 · (1 − b + b · length / average length) as `fixed + slope · length`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scoring {
    k1: f32,
    fixed: f32,
    slope: f32,
}

impl Scoring {
    pub(super) fn new(search: &TextIndexSearch<'_>) -> Self {
        let TextStatistics {
            documents, tokens, ..
        } = search.statistics;
        let average = *tokens as f64 / (*documents).max(1) as f64;
        let (k1, b) = (f64::from(search.k1), f64::from(search.b));
        Scoring {
            k1: search.k1,
            fixed: (k1 * (1.0 - b)) as f32,
            slope: if average > 0.0 {
                (k1 * b / average) as f32
            } else {
                0.0
            },
        }
    }

    /// idf · (k1 + 1) of a term of the query.
    pub(super) fn weight(&self, statistics: &TextStatistics, term: usize) -> f32 {
        let count = statistics.frequencies.get(term).copied().unwrap_or(0);
        let frequency = inverse_document_frequency(statistics.documents, count);
        (frequency * (f64::from(self.k1) + 1.0)) as f32
    }

    /// tf / (tf + norm), written so that every rounded step rises with tf and falls with the length: the bound of a
    /// block then really is one.
    #[inline]
    fn saturation(&self, frequency: f32, length: f32) -> f32 {
        1.0 / (1.0 + (self.fixed + self.slope * length) / frequency)
    }
}

/// A term's list, scored.
pub(super) struct TermScores<'a> {
    pub(super) list: TermList<'a>,
    pub(super) lengths: &'a [u32],
    pub(super) weight: f32,
    pub(super) scoring: Scoring,
}

impl PostingBlocks for TermScores<'_> {
    fn blocks(&self) -> usize {
        self.list.blocks()
    }

    fn rows(&self) -> usize {
        self.list.rows()
    }

    fn last_row(&self, block: usize) -> u32 {
        self.list.last_row(block)
    }

    fn bound(&self, block: usize) -> f32 {
        let (frequency, length) = match &self.list {
            TermList::Memory(list) => list.bounds()[block],
            TermList::Sealed(list) => {
                let record = list.record(block);
                (record.bound_high, record.bound_low)
            }
        };
        self.weight * self.scoring.saturation(frequency as f32, length as f32)
    }

    fn read(&self, block: usize, buffer: &mut BlockBuffer) -> Result<(), VectorsError> {
        let mut frequencies = [0; BLOCK_ROWS];
        buffer.count = self.list.read(block, &mut buffer.rows, &mut frequencies)?;
        let rows = &buffer.rows[..buffer.count];
        let known = rows.iter().zip(&frequencies);
        for (score, (&row, &frequency)) in buffer.scores.iter_mut().zip(known) {
            let length = self.lengths.get(row as usize).copied().unwrap_or(0);
            *score = self.weight * self.scoring.saturation(frequency as f32, length as f32);
        }
        Ok(())
    }
}
