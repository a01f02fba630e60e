//! Starting from the graph of an older segment: its rows keep their links, and links to dead rows are healed.
//!
//! Where a neighbour died, its own living neighbours take its place as candidates and the list is chosen anew, so that paths
//! that led through the dead row still lead on (the local reconnection of Xiao et al. 2024, "global replaced update").

use std::sync::atomic::Ordering;

use crate::error::VectorsError;
use crate::index::hnsw::beam::Candidate;
use crate::index::hnsw::build::{Builder, Worker};
use crate::index::hnsw::graph::{Graph, Links, NONE};
use crate::index::hnsw::space::Space;
use crate::quantize::rotation::Random;

/// Share of the new rows that must come from the old graph for it to be worth its healing.
const KEPT_SHARE_MIN: f32 = 0.3;
/// Candidates for one healed list.
const CANDIDATES_MAX: usize = 256;

/// An old graph and where its rows went.
#[derive(Clone, Copy)]
pub(crate) struct Adopted<'a> {
    pub(crate) graph: &'a Graph,
    /// The new row of each old one; [`NONE`] where it died.
    pub(crate) new_rows: &'a [u32],
}

impl Adopted<'_> {
    /// The new row of an old one that lives on, `None` for the dead and for numbers that are no rows.
    fn new_row(&self, old: u32, rows: u32) -> Option<u32> {
        let new = *self.new_rows.get(old as usize)?;
        (new < rows).then_some(new)
    }

    /// All `rows` in the order of insertion, the kept ones first, and how many these are; `None` when there are too few.
    pub(crate) fn order(&self, rows: u32, seed: u64) -> Option<(Vec<u32>, usize)> {
        let mut is_kept = vec![false; rows as usize];
        let mut order = Vec::with_capacity(rows as usize);
        let mut keep = |order: &mut Vec<u32>, old: u32| {
            if let Some(new) = self.new_row(old, rows)
                && !std::mem::replace(&mut is_kept[new as usize], true)
            {
                order.push(new);
            }
        };
        for &entry in &self.graph.entries {
            keep(&mut order, entry);
        }
        let entries = order.len();
        for old in 0..self.new_rows.len() as u32 {
            keep(&mut order, old);
        }
        let kept = order.len();
        if (kept as f32) < rows as f32 * KEPT_SHARE_MIN {
            return None;
        }
        let mut random = Random::new(seed);
        shuffle(&mut order[entries..], &mut random);
        order.extend((0..rows).filter(|&row| !is_kept[row as usize]));
        shuffle(&mut order[kept..], &mut random);
        Some((order, kept))
    }
}

pub(crate) fn shuffle(rows: &mut [u32], random: &mut Random) {
    for index in (1..rows.len()).rev() {
        rows.swap(index, random.below(index + 1));
    }
}

impl<S: Space> Builder<'_, S> {
    /// Writes the lists of all kept rows.
    pub(crate) fn adopt(&self, adopted: Adopted<'_>, rows: u32) -> Result<(), VectorsError> {
        let old_links = adopted.graph.sealed();
        let mut worker = Worker::default();
        let (mut living, mut dead) = (Vec::new(), Vec::new());
        for old in 0..adopted.new_rows.len() as u32 {
            let Some(row) = adopted.new_row(old, rows) else {
                continue;
            };
            living.clear();
            dead.clear();
            old_links.each(old, |link| match adopted.new_row(link, rows) {
                Some(new) => living.push(new),
                None => dead.push(link),
            });
            if !dead.is_empty() {
                for &gone in &dead {
                    old_links.each(gone, |link| {
                        if let Some(new) = adopted.new_row(link, rows)
                            && new != row
                            && living.len() < CANDIDATES_MAX
                            && !living.contains(&new)
                        {
                            living.push(new);
                        }
                    });
                }
                self.heal(row, &mut living, &mut worker)?;
            }
            let list = self.links.list(row);
            let links = living.iter().copied().chain(std::iter::repeat(NONE));
            for (slot, link) in list.iter().zip(links) {
                slot.store(link, Ordering::Relaxed);
            }
        }
        Ok(())
    }

    /// Leaves a diverse choice of the candidates.
    fn heal(
        &self,
        row: u32,
        candidates: &mut Vec<u32>,
        worker: &mut Worker,
    ) -> Result<(), VectorsError> {
        self.space.prepare_row(row, &mut worker.query)?;
        worker.distances.resize(candidates.len(), 0.0);
        self.space
            .distances(&worker.query, candidates, &mut worker.distances)?;
        worker.candidates.clear();
        let pairs = candidates.iter().zip(&worker.distances);
        worker
            .candidates
            .extend(pairs.map(|(&row, &distance)| Candidate::new(row, distance)));
        worker.candidates.sort_unstable();
        let sorted = worker.candidates.iter().copied();
        worker
            .selection
            .choose(self.space, sorted, self.links.degree)?;
        candidates.clear();
        candidates.extend_from_slice(&worker.selection.chosen);
        Ok(())
    }
}
