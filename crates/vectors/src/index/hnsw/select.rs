//! Which of many near rows become links: the diversity heuristic (Malkov & Yashunin 2016, algorithm 4).

use crate::error::VectorsError;
use crate::index::hnsw::beam::Candidate;
use crate::index::hnsw::space::BuildSpace;
use crate::quantize::PreparedQuery;

/// Selected rows compared at once: most candidates fall to one of the first.
const COMPARED_AT_ONCE: usize = 4;

/// Buffers of the selection, reused.
#[derive(Debug, Default)]
pub(crate) struct Selection {
    prepared: PreparedQuery,
    /// What was chosen, nearest first.
    pub(crate) chosen: Vec<u32>,
}

impl Selection {
    /// Chooses at most `limit` of `candidates`, which are sorted by their distance to one row: a candidate is taken unless it
    /// is nearer to a row already taken than to that row, because the one taken leads there.
    pub(crate) fn choose<S: BuildSpace>(
        &mut self,
        space: &S,
        candidates: impl Iterator<Item = Candidate>,
        limit: usize,
    ) -> Result<(), VectorsError> {
        self.chosen.clear();
        for candidate in candidates {
            if self.chosen.len() >= limit {
                break;
            }
            if self.is_diverse(space, candidate)? {
                self.chosen.push(candidate.row());
            }
        }
        Ok(())
    }

    fn is_diverse<S: BuildSpace>(
        &mut self,
        space: &S,
        candidate: Candidate,
    ) -> Result<bool, VectorsError> {
        if self.chosen.is_empty() {
            return Ok(true);
        }
        space.prepare_row(candidate.row(), &mut self.prepared)?;
        let own = candidate.distance();
        for rows in self.chosen.chunks(COMPARED_AT_ONCE) {
            let mut distances = [0.0; COMPARED_AT_ONCE];
            let distances = &mut distances[..rows.len()];
            space.distances(&self.prepared, rows, distances)?;
            if distances.iter().any(|&distance| distance < own) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
