//! Building the graph: rows are inserted in random order by several threads.
//!
//! Each insertion searches the graph so far, links the new row to a diverse choice of what it found, and links those rows
//! back. Searches take no lock: lists are atomics and any mixture of two versions of a list is a valid list. Writers of one
//! list exclude each other. One thread makes the same graph from the same rows and seed every time; with more threads the
//! graph depends on their timing, its quality does not.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::error::VectorsError;
use crate::index::BuildControl;
use crate::index::hnsw::adopt::shuffle;
use crate::index::hnsw::beam::Candidate;
use crate::index::hnsw::graph::{Growing, Links, NONE};
use crate::index::hnsw::select::Selection;
use crate::index::hnsw::space::BuildSpace;
use crate::index::hnsw::traverse::{Start, Traversal};
use crate::index::hnsw::twins::Twins;
use crate::quantize::PreparedQuery;
use crate::quantize::rotation::Random;

/// Locks of lists; two writers meet on one by chance once in a thousand.
const LOCKS: usize = 1024;
/// Rows a thread takes at once. Small, so that all threads end together; a take costs nothing beside an insertion.
const TAKEN_AT_ONCE: usize = 16;

/// How many rows searches start from.
pub(crate) fn entry_count(rows: usize) -> usize {
    rows.isqrt().max(rows.min(16))
}

/// All rows that stand for themselves, in the order they are inserted.
pub(crate) fn insertion_order(standing: &[u32], seed: u64) -> Vec<u32> {
    let rows = 0..standing.len() as u32;
    let mut order: Vec<u32> = rows.filter(|&row| standing[row as usize] == row).collect();
    shuffle(&mut order, &mut Random::new(seed));
    order
}

/// What insertions share.
pub(crate) struct Builder<'a, S> {
    pub(crate) space: &'a S,
    pub(crate) links: Growing<'a>,
    /// Rows in the order of insertion; the first `entries` of them are where searches start.
    pub(crate) order: &'a [u32],
    pub(crate) entries: usize,
    /// Links a new row makes.
    pub(crate) m: usize,
    pub(crate) ef: usize,
    locks: Vec<Mutex<()>>,
}

/// Buffers of one thread.
#[derive(Default)]
pub(crate) struct Worker {
    pub(crate) traversal: Traversal,
    pub(crate) query: PreparedQuery,
    pub(crate) selection: Selection,
    chosen: Vec<u32>,
    neighbours: Vec<u32>,
    pub(crate) distances: Vec<f32>,
    pub(crate) candidates: Vec<Candidate>,
    other: PreparedQuery,
}

impl<'a, S: BuildSpace> Builder<'a, S> {
    pub(crate) fn new(
        space: &'a S,
        links: Growing<'a>,
        order: &'a [u32],
        entries: usize,
        m: usize,
        ef: usize,
    ) -> Self {
        Builder {
            space,
            links,
            order,
            entries,
            m,
            ef,
            locks: (0..LOCKS).map(|_| Mutex::new(())).collect(),
        }
    }

    /// Inserts `order[range]` on `threads` threads.
    pub(crate) fn insert_all(
        &self,
        range: std::ops::Range<usize>,
        threads: usize,
        control: &BuildControl,
    ) -> Result<(), VectorsError> {
        // The rows that searches start from are the backbone; they are inserted one by one.
        let parallel_from = range.end.min(range.start.max(self.entries));
        let mut worker = Worker::default();
        for position in range.start..parallel_from {
            self.insert(position, &mut worker)?;
            control.advance(1)?;
        }
        let next = AtomicUsize::new(parallel_from);
        let failed = AtomicBool::new(false);
        let work = |mut worker: Worker| -> Result<(), VectorsError> {
            loop {
                let first = next.fetch_add(TAKEN_AT_ONCE, Ordering::Relaxed);
                if first >= range.end || failed.load(Ordering::Relaxed) {
                    return Ok(());
                }
                let last = range.end.min(first + TAKEN_AT_ONCE);
                let done = (first..last)
                    .try_for_each(|position| self.insert(position, &mut worker))
                    .and_then(|()| control.advance((last - first) as u32));
                if let Err(error) = done {
                    failed.store(true, Ordering::Relaxed);
                    return Err(error);
                }
            }
        };
        if threads <= 1 {
            return work(worker);
        }
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..threads)
                .map(|_| scope.spawn(|| work(Worker::default())))
                .collect();
            let mut result = Ok(());
            for worker in workers {
                match worker.join() {
                    Ok(ended) => result = result.and(ended),
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            }
            result
        })
    }

    fn insert(&self, position: usize, worker: &mut Worker) -> Result<(), VectorsError> {
        let row = self.order[position];
        self.space.prepare_row(row, &mut worker.query)?;
        let entries = &self.order[..position.min(self.entries)];
        let start = Start {
            entries,
            rows: self.links.rows(),
            ef: self.ef,
        };
        worker
            .traversal
            .run(self.space, &self.links, &worker.query, start)?;
        let near = worker.traversal.beam.items().iter().copied();
        worker
            .selection
            .choose(self.space, near.filter(|near| near.row() != row), self.m)?;
        worker.chosen.clear();
        worker.chosen.extend_from_slice(&worker.selection.chosen);
        self.write_own(row, worker)?;
        for index in 0..worker.chosen.len() {
            self.link_back(worker.chosen[index], row, worker)?;
        }
        Ok(())
    }

    /// Writes the new row's own list, keeping links that other threads made to it meanwhile.
    fn write_own(&self, row: u32, worker: &mut Worker) -> Result<(), VectorsError> {
        let _guard = self.lock(row);
        let list = self.links.list(row);
        let mut made = Vec::new();
        self.links.each(row, |link| made.push(link));
        let kept = made.iter().filter(|link| !worker.chosen.contains(link));
        let all = worker.chosen.iter().chain(kept).take(list.len());
        for (slot, &link) in list.iter().zip(all) {
            slot.store(link, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Adds `new` to the list of `row`; a full list is chosen anew from its links and the new one.
    fn link_back(&self, row: u32, new: u32, worker: &mut Worker) -> Result<(), VectorsError> {
        let _guard = self.lock(row);
        let list = self.links.list(row);
        worker.neighbours.clear();
        let neighbours = &mut worker.neighbours;
        self.links.each(row, |link| neighbours.push(link));
        if neighbours.contains(&new) {
            return Ok(());
        }
        if let Some(free) = list.get(neighbours.len()) {
            free.store(new, Ordering::Relaxed);
            return Ok(());
        }
        neighbours.push(new);
        worker.distances.resize(neighbours.len(), 0.0);
        self.space.prepare_row(row, &mut worker.other)?;
        self.space
            .distances(&worker.other, neighbours, &mut worker.distances)?;
        worker.candidates.clear();
        let pairs = neighbours.iter().zip(&worker.distances);
        let candidates = pairs.map(|(&row, &distance)| Candidate::new(row, distance));
        worker.candidates.extend(candidates);
        worker.candidates.sort_unstable();
        let candidates = worker.candidates.iter().copied();
        worker
            .selection
            .choose(self.space, candidates, list.len())?;
        let chosen = worker.selection.chosen.iter().copied();
        for (slot, link) in list.iter().zip(chosen.chain(std::iter::repeat(NONE))) {
            slot.store(link, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Leads from twins to the rows that stand for them.
    pub(crate) fn link_twins(&self, twins: &Twins) {
        for &[node, twin] in twins.pairs() {
            if let Some(first) = self.links.list(twin).first() {
                first.store(node, Ordering::Relaxed);
            }
        }
    }

    fn lock(&self, row: u32) -> std::sync::MutexGuard<'_, ()> {
        self.locks[row as usize % LOCKS]
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
