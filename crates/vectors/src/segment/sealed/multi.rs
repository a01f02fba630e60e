//! Search of multi-vectors through an index of all their single vectors ("tokens"), exact at its end.
//!
//! The index of a multi-vector is an ordinary index whose rows are the tokens of all points in the order of the points; the
//! section of starts, which says where the tokens of each row begin, leads from a token back to its row. A search
//!
//!  1. asks it for the nearest tokens of every query vector,
//!  2. estimates the max-sim of each row that one of them belongs to: for a query vector that found none of its tokens the
//!     worst rank counts that it did find, which no other token exceeds (missing similarity imputation, Lee et al. 2023, XTR),
//!  3. ranks the best of these candidates by their true max-sim on originals (Khattab & Zaharia 2020, ColBERT).
//!
//! Filters and deletes bound the tokens that step 1 may find, so they take no place from allowed ones. When few rows are
//! allowed all of them are candidates and the answer is exact. When the tokens of too few rows were found, because points
//! have many alike, more of them are asked for, and at last all rows are scanned: there are always as many results as allowed.

use std::cmp::Ordering;

use super::{DenseValues, StoredVectors};
use crate::error::VectorsError;
use crate::index::{self, SearchParameters, VectorIndex};
use crate::rows::{Allowed, RowSet, Scored};
use crate::segment::scan::{self, ScanScratch};

/// Candidates ranked again for each result when that is more than the width of the search.
const CANDIDATES_PER_RESULT: usize = 4;
/// Tokens that each query vector asks for, per candidate: rows whose sum is large without one of the very best tokens are
/// found by those further down.
const TOKENS_PER_CANDIDATE: usize = 4;
/// How many times as many tokens are asked for when they led to too few rows.
const GROWTH: usize = 4;
/// Rows up to which all allowed ones are ranked: as many as a search ranks at its end anyway.
const EXACT_ROWS_MIN: usize = 64;

/// One multi-vector column with its index.
pub(super) struct TokenSearch<'a> {
    pub index: &'a VectorIndex,
    pub column: &'a StoredVectors,
    pub tokens: &'a DenseValues,
    pub rows: u32,
}

/// A token that a query vector found.
#[derive(Debug, Clone, Copy)]
struct Hit {
    row: u32,
    query: u32,
    rank: f32,
}

impl TokenSearch<'_> {
    /// Leaves the best rows by max-sim, best first, that rank at least `rank_min` in `scan`. False when the allowed rows have to
    /// be scanned instead.
    ///
    /// # Errors
    /// As [`VectorIndex::search`].
    pub(super) fn run(
        &self,
        query: &[Vec<f32>],
        (parameters, rank_min): (&SearchParameters, f32),
        allowed: Allowed<'_>,
        scratch: &mut index::Scratch,
        scan: &mut ScanScratch,
    ) -> Result<bool, VectorsError> {
        let width = self.index.width(parameters);
        let count = width
            .max(parameters.k.saturating_mul(CANDIDATES_PER_RESULT))
            .max(EXACT_ROWS_MIN);
        let is_bounded = allowed.filter.is_some() || allowed.live.is_some();
        let (rows, tokens) = if is_bounded {
            let (rows, tokens) = self.allowed_tokens(allowed)?;
            (rows, Some(tokens))
        } else {
            (self.rows as usize, None)
        };
        if rows <= count {
            return Ok(false);
        }
        let of_tokens = Allowed {
            live: None,
            filter: tokens.as_ref(),
        };
        let available = tokens
            .as_ref()
            .map_or(self.tokens_count(), |tokens| tokens.count() as usize);
        let mut asked = count.saturating_mul(TOKENS_PER_CANDIDATE).min(available);
        let mut hits = Vec::new();
        let mut candidates = loop {
            let worst = self.collect(query, parameters, asked, of_tokens, scratch, &mut hits)?;
            let candidates = estimates(&mut hits, &worst);
            if candidates.len() >= parameters.k.min(rows) {
                break candidates;
            }
            if asked >= available {
                return Ok(false);
            }
            asked = asked.saturating_mul(GROWTH).min(available);
        };
        if candidates.len() > count {
            candidates.select_nth_unstable(count - 1);
            candidates.truncate(count);
        }
        candidates.sort_unstable_by_key(|candidate| candidate.row);
        scan::multi_rows(
            self.tokens,
            query,
            (parameters.k, rank_min),
            candidates.iter().map(|candidate| candidate.row),
            |row| self.column.tokens_of(row),
            scan,
        )?;
        Ok(true)
    }

    fn tokens_count(&self) -> usize {
        self.index.rows() as usize
    }

    /// How many rows are allowed, and their tokens.
    fn allowed_tokens(&self, allowed: Allowed<'_>) -> Result<(usize, RowSet), VectorsError> {
        let mut tokens = RowSet::none(self.index.rows());
        let mut rows = 0;
        let mut add = |row: u32| -> Result<(), VectorsError> {
            if allowed.contains(row) {
                rows += 1;
                self.column
                    .tokens_of(row)?
                    .for_each(|token| tokens.insert(token));
            }
            Ok(())
        };
        match allowed.filter {
            Some(filter) => filter.iter().try_for_each(&mut add)?,
            None => (0..self.rows).try_for_each(&mut add)?,
        }
        Ok((rows, tokens))
    }

    /// The tokens that each query vector finds, as `hits`, and the worst rank of each.
    fn collect(
        &self,
        query: &[Vec<f32>],
        parameters: &SearchParameters,
        asked: usize,
        allowed: Allowed<'_>,
        scratch: &mut index::Scratch,
        hits: &mut Vec<Hit>,
    ) -> Result<Vec<f32>, VectorsError> {
        let parameters = SearchParameters {
            k: asked,
            exact: false,
            // Rows are ranked on originals at the end; tokens need not be.
            rescore: Some(false),
            ..*parameters
        };
        hits.clear();
        let mapped = self.tokens.mapped();
        let mut worst = Vec::with_capacity(query.len());
        for (place, vector) in (0..).zip(query) {
            let found = self
                .index
                .search(vector, &parameters, allowed, &mapped, scratch)?;
            worst.push(found.last().map_or(0.0, |last| last.rank));
            for one in found {
                if let Some(row) = self.column.row_of_token(one.row)? {
                    hits.push(Hit {
                        row,
                        query: place,
                        rank: one.rank,
                    });
                }
            }
        }
        Ok(worst)
    }
}

/// The rows of `hits` with their estimated max-sims, in the order of rows.
fn estimates(hits: &mut [Hit], worst: &[f32]) -> Vec<Scored> {
    hits.sort_unstable_by(|one, two| {
        one.row
            .cmp(&two.row)
            .then(one.query.cmp(&two.query))
            .then_with(|| two.rank.partial_cmp(&one.rank).unwrap_or(Ordering::Equal))
    });
    let floor: f32 = worst.iter().sum();
    hits.chunk_by(|one, two| one.row == two.row)
        .map(|of_row| {
            let gains = of_row
                .chunk_by(|one, two| one.query == two.query)
                .map(|of_query| of_query[0].rank - worst[of_query[0].query as usize]);
            Scored {
                row: of_row[0].row,
                rank: floor + gains.sum::<f32>(),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn estimates_count_the_best_token_of_each_query_vector_and_the_worst_found_where_there_is_none()
    {
        let hit = |row, query, rank| Hit { row, query, rank };
        let mut hits = [
            hit(7, 0, 0.9),
            hit(7, 0, 0.5),
            hit(3, 1, 0.8),
            hit(7, 1, 0.4),
            hit(3, 0, 0.5),
            hit(9, 1, 0.3),
        ];
        let found = estimates(&mut hits, &[0.5, 0.3]);
        let rows: Vec<u32> = found.iter().map(|one| one.row).collect();
        assert_eq!(rows, [3, 7, 9]);
        for (one, expected) in found.iter().zip([0.5 + 0.8, 0.9 + 0.4, 0.5 + 0.3]) {
            assert!((one.rank - expected).abs() < 1e-6, "{one:?}");
        }
    }
}
