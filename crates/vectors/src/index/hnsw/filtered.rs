//! Searches that may return only some rows: deleted rows, filters, or both.
//!
//! Three ways, chosen by how many rows are allowed:
//!  - few: every allowed row is compared on its code. Exact up to the codes, and cheaper than any traversal;
//!  - most (deletes, wide filters): the graph is traversed as always, rows that are not allowed lead the way but are not kept;
//!  - in between: only allowed rows are compared, and where a neighbour is not allowed its own neighbours take its place
//!    (ACORN-1, Patel et al. 2024). The second step is left out where enough direct neighbours are allowed, and starts are
//!    drawn from the allowed rows themselves, so that a filter far from the query is found too.

use crate::error::VectorsError;
use crate::index::hnsw::HnswScratch;
use crate::index::hnsw::beam::{Beam, Candidate};
use crate::index::hnsw::graph::Links;
use crate::index::hnsw::space::Space;
use crate::index::hnsw::traverse::{Start, Traversal};
use crate::index::hnsw::twins::Twins;
use crate::quantize::PreparedQuery;
use crate::rows::Allowed;

/// Allowed rows per `ef` up to which all of them are compared. A scan fetches its rows ahead: with 50,000 rows, which caches
/// hold, 270 rows take it as long as a traversal over two steps takes for each `ef`. Larger tables are read from memory.
const SCAN_ROWS_PER_EF: usize = 160;
/// Share of allowed rows below which all of them are compared: two steps meet too few of them to keep the recall.
const SCAN_BELOW_SHARE: f32 = 0.02;
/// Allowed rows up to which all of them are compared whatever `ef` is: a traversal costs as much.
const SCAN_ROWS: usize = 2_000;
/// Share of allowed rows from which the whole graph is traversed.
const TRAVERSE_ALL_FROM: f32 = 0.4;
/// Allowed rows that are compared to find starts, spread evenly over the bitmap.
const STARTS_DRAWN: usize = 128;
/// Rows compared per kernel call of a scan.
const SCAN_BATCH: usize = 256;
/// Rows that one expansion compares at most. More of them mostly repeat what the next expansion finds.
const EXPANSION_MAX: usize = 48;

/// How a restricted search goes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Plan {
    /// Compare every allowed row.
    Scan,
    /// Traverse everything, keep what is allowed.
    All,
    /// Traverse allowed rows over one or two steps.
    TwoSteps,
}

/// Chooses by the number of allowed rows (an upper bound will do).
pub(crate) fn plan(allowed: Allowed<'_>, allowed_rows: usize, rows: u32, ef: usize) -> Plan {
    let share = allowed_rows as f32 / rows.max(1) as f32;
    let few = SCAN_ROWS.max(SCAN_ROWS_PER_EF * ef).min(rows as usize / 2);
    if allowed_rows <= few || share < SCAN_BELOW_SHARE {
        Plan::Scan
    } else if share >= TRAVERSE_ALL_FROM || allowed.filter.is_none() {
        Plan::All
    } else {
        Plan::TwoSteps
    }
}

/// What the ways have in common.
pub(crate) struct Ways<'a, S, L> {
    pub(crate) space: &'a S,
    pub(crate) links: &'a L,
    pub(crate) start: Start<'a>,
    pub(crate) allowed: Allowed<'a>,
    /// How many rows are allowed, or a little more.
    pub(crate) allowed_rows: usize,
    pub(crate) twins: &'a Twins,
}

impl<S: Space, L: Links> Ways<'_, S, L> {
    /// Whether a row of the graph or one of its twins is allowed.
    #[inline]
    fn admits(&self, node: u32) -> bool {
        self.allowed.contains(node) || self.twins.of(node).any(|twin| self.allowed.contains(twin))
    }

    /// Compares every allowed row; the nearest `ef` end in `found`.
    pub(crate) fn scan(&self, scratch: &mut HnswScratch) -> Result<(), VectorsError> {
        let HnswScratch {
            traversal,
            query,
            found,
            ..
        } = scratch;
        found.reset(self.start.ef);
        traversal.compared = 0;
        traversal.rows.clear();
        let take = |row: u32| -> Result<(), VectorsError> {
            if row < self.start.rows && self.allowed.contains(row) {
                traversal.rows.push(row);
                if traversal.rows.len() == SCAN_BATCH {
                    return keep(self.space, query, traversal, found);
                }
            }
            Ok(())
        };
        match self.allowed.filter {
            Some(filter) => filter.iter().try_for_each(take)?,
            None => (0..self.start.rows).try_for_each(take)?,
        }
        keep(self.space, query, traversal, found)
    }

    /// Traverses the whole graph; the nearest `ef` allowed rows end in `found`.
    pub(crate) fn traverse_all(&self, scratch: &mut HnswScratch) -> Result<(), VectorsError> {
        let HnswScratch {
            traversal,
            query,
            found,
            ..
        } = scratch;
        found.reset(self.start.ef);
        // Wide enough that it holds `ef` allowed rows even where they are rarer than elsewhere.
        let share = self.allowed_rows as f32 / self.start.rows.max(1) as f32;
        let wide = (2.0 * self.start.ef as f32 / share.max(0.1)) as usize + 16;
        let start = Start {
            ef: wide,
            ..self.start
        };
        traversal.start(self.space, query, start)?;
        for candidate in traversal.beam.items() {
            if self.admits(candidate.row()) {
                found.offer(*candidate);
            }
        }
        while let Some(candidate) = traversal.beam.next() {
            if candidate > found.bound() {
                break;
            }
            traversal.gather(self.links, candidate.row());
            if let Some(likely) = traversal.beam.peek() {
                self.links.prefetch(likely);
            }
            traversal.compare(self.space, query)?;
            for (&row, &distance) in traversal.rows.iter().zip(&traversal.distances) {
                let candidate = Candidate::new(row, distance);
                if candidate < found.bound() {
                    if self.admits(row) {
                        found.offer(candidate);
                    }
                    traversal.beam.offer(candidate);
                }
            }
        }
        Ok(())
    }

    /// Traverses allowed rows only, over one or two steps; the nearest `ef` end in `found`.
    pub(crate) fn traverse_allowed(&self, scratch: &mut HnswScratch) -> Result<(), VectorsError> {
        let HnswScratch {
            traversal,
            query,
            found,
            rows: blocked,
            ..
        } = scratch;
        let links = self.links;
        found.reset(self.start.ef);
        traversal.visited.reset(self.start.rows);
        traversal.compared = 0;
        self.draw_starts(&mut traversal.rows);
        traversal.compare(self.space, query)?;
        for (&row, &distance) in traversal.rows.iter().zip(&traversal.distances) {
            if traversal.visited.insert(row) {
                found.offer(Candidate::new(row, distance));
            }
        }
        while let Some(candidate) = found.next() {
            traversal.rows.clear();
            blocked.clear();
            let (visited, near) = (&mut traversal.visited, &mut traversal.rows);
            let mut allowed_links = 0;
            links.each(candidate.row(), |link| {
                if self.admits(link) {
                    allowed_links += 1;
                    if visited.insert(link) {
                        near.push(link);
                    }
                } else if visited.insert(link) {
                    links.prefetch(link);
                    blocked.push(link);
                }
            });
            // As many allowed neighbours as a graph of half the degree has are enough to go on.
            for &step in blocked.iter() {
                if near.len() >= EXPANSION_MAX || allowed_links >= links.degree() / 2 {
                    break;
                }
                links.each(step, |link| {
                    if self.admits(link) && visited.insert(link) {
                        near.push(link);
                    }
                });
            }
            traversal.compare(self.space, query)?;
            for (&row, &distance) in traversal.rows.iter().zip(&traversal.distances) {
                found.offer(Candidate::new(row, distance));
            }
        }
        Ok(())
    }

    /// Allowed rows to start from: those among the entries, and some spread evenly over the allowed ones.
    fn draw_starts(&self, rows: &mut Vec<u32>) {
        rows.clear();
        let entries = self.start.entries.iter().copied();
        rows.extend(entries.filter(|&row| self.admits(row)));
        let Some(filter) = self.allowed.filter else {
            return;
        };
        let every = (self.allowed_rows / STARTS_DRAWN).max(1);
        let mut passed = 0;
        for (index, &word) in filter.words().iter().enumerate() {
            let before = passed / every;
            passed += word.count_ones() as usize;
            if passed / every > before && word != 0 {
                let row = index as u32 * 64 + word.trailing_zeros();
                if row < self.start.rows && self.allowed.contains(row) {
                    rows.push(row);
                }
            }
        }
    }
}

fn keep<S: Space>(
    space: &S,
    query: &PreparedQuery,
    traversal: &mut Traversal,
    found: &mut Beam,
) -> Result<(), VectorsError> {
    traversal.compare(space, query)?;
    for (&row, &distance) in traversal.rows.iter().zip(&traversal.distances) {
        found.offer(Candidate::new(row, distance));
    }
    traversal.rows.clear();
    Ok(())
}
