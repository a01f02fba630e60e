//! Which `ef` reaches a recall: measured on the segment itself while it is built.
//!
//! The last rows to be inserted are first searched for, at several `ef`, as a query would be: on the codes that are kept, and
//! ranked again on originals. The results are compared with a scan of all originals. These rows are not in the graph then, so
//! that they stand for queries of the same distribution. Queries of another distribution (a question against documents) need
//! a larger `ef` than the curve says; an explicit `ef` remains the way to be sure.

use crate::error::VectorsError;
use crate::index::BuildControl;
use crate::index::hnsw::beam::{Beam, Candidate};
use crate::index::hnsw::graph::Growing;
use crate::index::hnsw::space::Space;
use crate::index::hnsw::traverse::{Start, Traversal};
use crate::index::threads::in_threads;
use crate::quantize::{Originals, PreparedQuery};
use crate::schema::Metric;

/// `ef` values that are measured.
const MEASURED_EF: [u32; 8] = [10, 16, 32, 64, 128, 256, 512, 1024];
/// Rows held back to be searched for.
pub(crate) const HELD_BACK: usize = 100;
/// A smaller graph is not measured: a scan of its codes is quick, and a hundred rows would be many of it.
pub(crate) const MEASURED_FROM_ROWS: usize = 2_000;
/// Neighbours that count.
const MEASURED_K: usize = 10;
/// Rows ranked per call: they stay in the second cache while all queries pass over them.
const BATCH: usize = 256;

/// What searches are measured with.
pub(crate) struct Measured<'a, S> {
    /// The codes that are kept.
    pub(crate) space: &'a S,
    pub(crate) originals: &'a dyn Originals,
    pub(crate) metric: Metric,
    /// How many of `ef` candidates a search for `MEASURED_K` ranks again.
    pub(crate) rescored: &'a (dyn Fn(usize, usize) -> usize + Sync),
}

impl<S: Space> Measured<'_, S> {
    /// Searches the graph of the rows `inside`, of which the first `entries` are starts, for the rows `outside`.
    pub(crate) fn curve(
        &self,
        links: Growing<'_>,
        (inside, outside): (&[u32], &[u32]),
        entries: usize,
        threads: usize,
        control: &BuildControl,
    ) -> Result<Curve, VectorsError> {
        let share = outside.len().div_ceil(threads.max(1)).max(1);
        let mut hits = vec![[0usize; MEASURED_EF.len()]; outside.len().div_ceil(share)];
        let parts = outside.chunks(share).zip(&mut hits).collect();
        in_threads(threads, parts, |(rows, hits): (&[u32], &mut [usize; _])| {
            let queries = rows.iter().map(|&row| {
                let mut buffer = Vec::new();
                Ok(self.originals.row(row, &mut buffer)?.to_vec())
            });
            let queries = queries.collect::<Result<Vec<Vec<f32>>, VectorsError>>()?;
            let floors = self.tenth_ranks(inside, &queries, control)?;
            let mut search = Search::default();
            for (query, floor) in queries.iter().zip(floors) {
                self.space.prepare(query, &mut search.query);
                for (hits, ef) in hits.iter_mut().zip(MEASURED_EF) {
                    let start = Start {
                        entries: &inside[..entries.min(inside.len())],
                        rows: links.rows(),
                        ef: ef as usize,
                    };
                    *hits += self.hits(&links, query, floor, start, &mut search)?;
                }
                control.advance(0)?;
            }
            Ok(())
        })?;
        let total = (outside.len() * MEASURED_K).max(1) as f32;
        let points = MEASURED_EF.iter().enumerate().map(|(place, &ef)| {
            let hits: usize = hits.iter().map(|hits| hits[place]).sum();
            (ef, hits as f32 / total)
        });
        Ok(Curve::from_points(points.collect()))
    }

    /// The rank of the last of the nearest neighbours of each query among `rows`.
    fn tenth_ranks(
        &self,
        rows: &[u32],
        queries: &[Vec<f32>],
        control: &BuildControl,
    ) -> Result<Vec<f32>, VectorsError> {
        let mut nearest: Vec<Beam> = queries.iter().map(|_| Beam::default()).collect();
        nearest.iter_mut().for_each(|beam| beam.reset(MEASURED_K));
        let mut ranks = [0.0; BATCH];
        for rows in rows.chunks(BATCH) {
            let ranks = &mut ranks[..rows.len()];
            for (query, nearest) in queries.iter().zip(&mut nearest) {
                self.originals.rank_rows(self.metric, query, rows, ranks)?;
                for (&row, &rank) in rows.iter().zip(&*ranks) {
                    nearest.offer(Candidate::new(row, -rank));
                }
            }
            control.advance(0)?;
        }
        let last = |beam: &Beam| beam.items().last().map_or(0.0, |last| -last.distance());
        Ok(nearest.iter().map(last).collect())
    }

    /// How many results of one search are as near as the true ones: a row as far as the last of the ten is as good as it.
    fn hits(
        &self,
        links: &Growing<'_>,
        query: &[f32],
        floor: f32,
        start: Start<'_>,
        search: &mut Search,
    ) -> Result<usize, VectorsError> {
        search
            .traversal
            .run(self.space, links, &search.query, start)?;
        let rescored = (self.rescored)(MEASURED_K, start.ef);
        let found = search.traversal.beam.items().iter().take(rescored);
        search.rows.clear();
        search.rows.extend(found.map(|candidate| candidate.row()));
        search.ranks.resize(search.rows.len(), 0.0);
        self.originals
            .rank_rows(self.metric, query, &search.rows, &mut search.ranks)?;
        let reaching = search.ranks.iter().filter(|&&rank| rank >= floor);
        Ok(reaching.count().min(MEASURED_K))
    }
}

/// Buffers of the searches of one thread.
#[derive(Default)]
struct Search {
    traversal: Traversal,
    query: PreparedQuery,
    rows: Vec<u32>,
    ranks: Vec<f32>,
}

/// Recall at 10 by `ef`, both rising.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Curve {
    points: Vec<(u32, f32)>,
}

impl Curve {
    /// A curve through `points`; what does not rise is smoothed upwards, numbers that are no recall are left out.
    pub(crate) fn from_points(mut points: Vec<(u32, f32)>) -> Self {
        points.retain(|(_, recall)| (0.0..=1.0).contains(recall));
        points.sort_by_key(|point| point.0);
        points.dedup_by_key(|point| point.0);
        let mut most = 0.0f32;
        for (_, recall) in &mut points {
            most = most.max(*recall);
            *recall = most;
        }
        Curve { points }
    }

    pub(crate) fn points(&self) -> &[(u32, f32)] {
        &self.points
    }

    /// The `ef` for a recall: between two points by the logarithms of `ef` and of what is missed; the largest measured one
    /// when none reached it. `None` without a curve.
    pub(crate) fn ef_for(&self, recall: f32) -> Option<usize> {
        let reached = self.points.iter().position(|point| point.1 >= recall);
        let Some(reached) = reached else {
            return self.points.last().map(|point| point.0 as usize);
        };
        let (ef, high) = self.points[reached];
        let Some(&(ef_below, low)) = reached.checked_sub(1).and_then(|at| self.points.get(at))
        else {
            return Some(ef as usize);
        };
        // A miss of 0 has no logarithm; below 1 in 10,000 the measurement says nothing anyway.
        let missed = |recall: f32| (1.0 - recall).max(1e-4).ln();
        let span = missed(low) - missed(high);
        let part = if span > 0.0 {
            ((missed(low) - missed(recall)) / span).clamp(0.0, 1.0)
        } else {
            1.0
        };
        let (from, to) = ((ef_below as f32).ln(), (ef as f32).ln());
        Some((from + (to - from) * part).exp().ceil() as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ef_rises_with_the_recall_and_meets_the_points() {
        let curve = Curve::from_points(vec![(16, 0.8), (32, 0.9), (64, 0.97), (128, 0.99)]);
        for (ef, recall) in [(16, 0.8), (32, 0.9), (64, 0.97), (128, 0.99)] {
            let found = curve.ef_for(recall).expect("a curve");
            assert!(found.abs_diff(ef) <= 1, "{recall}: {found}");
        }
        let between = curve.ef_for(0.95).expect("a curve");
        assert!((33..64).contains(&between), "{between}");
        assert_eq!(curve.ef_for(0.1), Some(16));
        assert_eq!(curve.ef_for(0.999), Some(128));
        assert_eq!(Curve::default().ef_for(0.9), None);
        let bent = Curve::from_points(vec![(32, 0.7), (16, 0.9), (64, f32::NAN)]);
        assert_eq!(bent.points(), [(16, 0.9), (32, 0.9)]);
    }
}
