//! Best-first traversal: expand the nearest candidate until none of the `ef` nearest is left to expand.

use crate::error::VectorsError;
use crate::index::hnsw::beam::{Beam, Candidate, Visited};
use crate::index::hnsw::graph::Links;
use crate::index::hnsw::space::Space;
use crate::quantize::PreparedQuery;

/// Entries that a traversal starts from: the nearest ones. One alone now and then starts in the wrong cluster.
const STARTS: usize = 4;
/// A candidate that enters the list within this many places of the cursor is likely expanded soon: its links are fetched.
const SOON: usize = 4;

/// Buffers of a traversal, reused.
#[derive(Debug, Default)]
pub(crate) struct Traversal {
    pub(crate) beam: Beam,
    pub(crate) visited: Visited,
    pub(crate) rows: Vec<u32>,
    pub(crate) distances: Vec<f32>,
    /// Distances computed by the last traversal.
    pub(crate) compared: usize,
}

/// Where and how wide a traversal starts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Start<'a> {
    /// Rows to start from.
    pub(crate) entries: &'a [u32],
    /// Rows of the graph.
    pub(crate) rows: u32,
    /// Size of the list of candidates.
    pub(crate) ef: usize,
}

impl Traversal {
    /// Fills the beam with (nearly) the `ef` rows nearest to the prepared query.
    pub(crate) fn run<S: Space, L: Links>(
        &mut self,
        space: &S,
        links: &L,
        query: &PreparedQuery,
        start: Start<'_>,
    ) -> Result<(), VectorsError> {
        self.start(space, query, start)?;
        while let Some(candidate) = self.beam.next() {
            self.gather(links, candidate.row());
            if let Some(likely) = self.beam.peek() {
                links.prefetch(likely);
            }
            self.compare(space, query)?;
            for (&row, &distance) in self.rows.iter().zip(&self.distances) {
                if let Some(place) = self.beam.offer(Candidate::new(row, distance))
                    && place < self.beam.cursor() + SOON
                {
                    links.prefetch(row);
                }
            }
        }
        Ok(())
    }

    /// Compares the query with all entries and puts the nearest into the empty beam.
    pub(crate) fn start<S: Space>(
        &mut self,
        space: &S,
        query: &PreparedQuery,
        start: Start<'_>,
    ) -> Result<(), VectorsError> {
        self.visited.reset(start.rows);
        self.compared = 0;
        self.rows.clear();
        self.rows.extend_from_slice(start.entries);
        self.compare(space, query)?;
        self.beam.reset(STARTS.min(start.ef));
        for (&row, &distance) in self.rows.iter().zip(&self.distances) {
            self.beam.offer(Candidate::new(row, distance));
        }
        self.beam.widen(start.ef);
        for candidate in self.beam.items() {
            self.visited.insert(candidate.row());
        }
        Ok(())
    }

    /// Puts the links of a row that were not met before into `rows`.
    #[inline]
    pub(crate) fn gather<L: Links>(&mut self, links: &L, row: u32) {
        self.rows.clear();
        let (visited, found) = (&mut self.visited, &mut self.rows);
        links.each(row, |link| {
            if visited.insert(link) {
                found.push(link);
            }
        });
    }

    /// Computes the distances of `self.rows`.
    #[inline]
    pub(crate) fn compare<S: Space>(
        &mut self,
        space: &S,
        query: &PreparedQuery,
    ) -> Result<(), VectorsError> {
        self.distances.resize(self.rows.len(), 0.0);
        self.compared += self.rows.len();
        space.distances(query, &self.rows, &mut self.distances)
    }
}
