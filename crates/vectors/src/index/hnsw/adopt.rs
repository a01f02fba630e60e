//! Starting from the graph of an older segment: its rows keep their links, and links to dead rows are healed.
//!
//! Where a neighbour died, its own living neighbours take its place as candidates and the list is chosen anew, so that paths
//! that led through the dead row still lead on (the local reconnection of Xiao et al. 2024, "global replaced update").

use std::sync::atomic::Ordering;

use crate::error::VectorsError;
use crate::index::hnsw::beam::Candidate;
use crate::index::hnsw::build::{Builder, Worker};
use crate::index::hnsw::graph::{Graph, Links, NONE};
use crate::index::hnsw::space::BuildSpace;
use crate::quantize::rotation::Random;

/// Share of the new rows that must come from the old graph for it to be worth its healing.
const KEPT_SHARE_MIN: f32 = 0.3;
/// Candidates for one healed list.
const CANDIDATES_MAX: usize = 256;

/// An old graph and where its rows went.
pub(crate) struct Adopted<'a> {
    graph: &'a Graph,
    /// The row of the new graph that has the place of each old one; [`NONE`] where there is none.
    nodes: Vec<u32>,
}

impl<'a> Adopted<'a> {
    /// `new_rows` are the new rows of old ones, [`NONE`] where they died; `standing` is the row of the new graph that stands
    /// for each new row.
    pub(crate) fn new(graph: &'a Graph, new_rows: &[u32], standing: &[u32]) -> Self {
        let node = |new: &u32| standing.get(*new as usize).copied().unwrap_or(NONE);
        let mut nodes: Vec<u32> = new_rows.iter().map(node).collect();
        // Twins have no links of their own; where the row that stood for them died, one of them takes its place.
        for &[old, twin] in graph.twins.pairs() {
            let Some(heir) = nodes.get_mut(twin as usize) else {
                continue;
            };
            let heir = std::mem::replace(heir, NONE);
            if let Some(node) = nodes.get_mut(old as usize)
                && *node == NONE
            {
                *node = heir;
            }
        }
        Adopted { graph, nodes }
    }

    /// The row of the new graph in the place of an old one; `None` for the dead and for numbers that are no rows.
    fn node(&self, old: u32) -> Option<u32> {
        let node = *self.nodes.get(old as usize)?;
        (node != NONE).then_some(node)
    }

    /// All rows of the new graph in the order of insertion, the kept ones first, and how many these are; `None` when there
    /// are too few.
    pub(crate) fn order(&self, standing: &[u32], seed: u64) -> Option<(Vec<u32>, usize)> {
        let mut is_kept = vec![false; standing.len()];
        let mut order = Vec::with_capacity(standing.len());
        let mut keep = |order: &mut Vec<u32>, old: u32| {
            if let Some(node) = self.node(old)
                && !std::mem::replace(&mut is_kept[node as usize], true)
            {
                order.push(node);
            }
        };
        for &entry in &self.graph.entries {
            keep(&mut order, entry);
        }
        let entries = order.len();
        for old in 0..self.nodes.len() as u32 {
            keep(&mut order, old);
        }
        let kept = order.len();
        let mut random = Random::new(seed);
        shuffle(&mut order[entries..], &mut random);
        let is_new = |row: &u32| standing[*row as usize] == *row && !is_kept[*row as usize];
        order.extend((0..standing.len() as u32).filter(is_new));
        if (kept as f32) < order.len() as f32 * KEPT_SHARE_MIN {
            return None;
        }
        shuffle(&mut order[kept..], &mut random);
        Some((order, kept))
    }
}

pub(crate) fn shuffle(rows: &mut [u32], random: &mut Random) {
    for index in (1..rows.len()).rev() {
        rows.swap(index, random.below(index + 1));
    }
}

impl<S: BuildSpace> Builder<'_, S> {
    /// Writes the lists of all kept rows.
    pub(crate) fn adopt(&self, adopted: &Adopted<'_>) -> Result<(), VectorsError> {
        let old_links = adopted.graph.sealed();
        let mut worker = Worker::default();
        let (mut living, mut dead) = (Vec::new(), Vec::new());
        for old in 0..adopted.nodes.len() as u32 {
            let Some(row) = adopted.node(old) else {
                continue;
            };
            living.clear();
            dead.clear();
            // Old rows that are equal now have one place together: its list may have been begun.
            self.links.each(row, |link| living.push(link));
            let begun = living.len();
            old_links.each(old, |link| match adopted.node(link) {
                Some(node) if node == row || living.contains(&node) => {}
                Some(node) => living.push(node),
                None => dead.push(link),
            });
            let own = living.len();
            if !dead.is_empty() || begun > 0 {
                for &gone in &dead {
                    old_links.each(gone, |link| {
                        if let Some(node) = adopted.node(link)
                            && node != row
                            && living.len() < CANDIDATES_MAX
                            && !living.contains(&node)
                        {
                            living.push(node);
                        }
                    });
                }
                self.heal(row, &mut living, own, &mut worker)?;
            }
            let list = self.links.list(row);
            let links = living.iter().copied().chain(std::iter::repeat(NONE));
            for (slot, link) in list.iter().zip(links) {
                slot.store(link, Ordering::Relaxed);
            }
        }
        Ok(())
    }

    /// Leaves the first `own` candidates and, in the places of the dead, a diverse choice of the others. The own ones are not
    /// chosen anew while there is room: lists would lose links with every merge.
    fn heal(
        &self,
        row: u32,
        candidates: &mut Vec<u32>,
        own: usize,
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
        candidates.truncate(if own <= self.links.degree { own } else { 0 });
        for &chosen in &worker.selection.chosen {
            if candidates.len() < self.links.degree && !candidates.contains(&chosen) {
                candidates.push(chosen);
            }
        }
        Ok(())
    }
}
