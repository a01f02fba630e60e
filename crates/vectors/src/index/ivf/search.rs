//! Searching: choose lists, scan first bits, look closer where the bound allows, rank the best on originals.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use kernels::Kernels;
use kernels::rabitq::{QueryTerms, RowTerms};

use super::{BLOCK, DETAIL_BITS, Ivf, List, TERM_COLUMNS, padded};
use crate::error::VectorsError;
use crate::index::SearchParameters;
use crate::quantize::Originals;
use crate::rows::{Allowed, Scored};
use crate::schema::Metric;

/// Candidates kept per result when the query does not say: a limit, since only those whose bound reaches the results are.
const OVERSAMPLING: f32 = 20.0;
/// Candidates kept beyond that.
const CANDIDATES_SPARE: usize = 8;
/// Recall asked of a search that names neither `ef` nor a recall.
const DEFAULT_RECALL: f32 = 0.97;
/// Lists probed per unit of `ef`: a list holds about as many near rows as a node of a graph has links to follow.
const EF_PER_LIST: usize = 4;
/// A filter that allows fewer rows than this many per result is answered by ranking them all.
const RANK_ALL_PER_RESULT: usize = 20;
/// Rows ranked on originals at a time, between looks at the bounds.
const RERANK_BATCH: usize = 8;

/// Buffers of searches, one per thread.
#[derive(Debug, Default)]
pub struct IvfScratch {
    query: Vec<f32>,
    query_bytes: Vec<i8>,
    entries: Vec<f32>,
    tables: Vec<u8>,
    products: Vec<i32>,
    /// Approximate rank of each list's centroid.
    order: Vec<Scored>,
    positions: Vec<u32>,
    slots: Vec<u32>,
    /// The `k` largest lower bounds seen: what a row must reach to be among the results.
    lows: BinaryHeap<Reverse<Low>>,
    candidates: Vec<Candidate>,
    rows: Vec<u32>,
    ranks: Vec<f32>,
}

/// A row with its estimate from all five bits.
#[derive(Debug, Clone, Copy)]
struct Candidate {
    scored: Scored,
    /// The largest rank that the error bound allows.
    bound: f32,
}

/// A lower bound, in total order.
#[derive(Debug, Clone, Copy)]
struct Low(f32);

impl PartialEq for Low {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}
impl Eq for Low {}
impl PartialOrd for Low {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Low {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}

/// Rounds to bytes with one step for the vector: the largest value becomes 127. Returns the step.
pub(super) fn to_bytes(values: &[f32], bytes: &mut [i8]) -> f32 {
    let largest = values
        .iter()
        .fold(0f32, |most, value| most.max(value.abs()));
    if largest == 0.0 || !largest.is_finite() {
        bytes.fill(0);
        return 0.0;
    }
    let inverse = 127.0 / largest;
    for (byte, value) in bytes.iter_mut().zip(values) {
        *byte = (value * inverse).round_ties_even() as i8;
    }
    largest / 127.0
}

/// What the lists of one query share.
struct Prepared {
    /// Of the sums over the tables: the sum of the query values whose bit is set.
    scale: f32,
    offset: f32,
    /// Sum of the query values, exact and in bytes.
    sum: f32,
    byte_sum: i32,
    byte_step: f32,
    k: usize,
    candidates_max: usize,
}

impl Ivf {
    /// Lists that a search probes, by its parameters.
    pub(super) fn probes(&self, parameters: &SearchParameters) -> usize {
        let lists = self.lists();
        let probes = match (parameters.ef, parameters.target_recall) {
            (Some(ef), _) => ef.div_ceil(EF_PER_LIST),
            (None, target) => {
                let target = target.unwrap_or(DEFAULT_RECALL);
                let enough = self.recall.iter().find(|step| step.recall >= target);
                enough.map_or(lists, |step| step.probes as usize)
            }
        };
        probes.clamp(1, lists)
    }

    /// The best allowed rows, best first: at most `parameters.k`, fewer only when fewer are allowed. Ranks are exact unless
    /// `rescore` is off.
    ///
    /// The caller answers exact searches and checks that the query has the dimensions of the index.
    ///
    /// # Errors
    /// [`VectorsError::Corrupt`] when an original is damaged.
    pub fn search(
        &self,
        query: &[f32],
        parameters: &SearchParameters,
        allowed: Allowed<'_>,
        originals: &dyn Originals,
        scratch: &mut IvfScratch,
    ) -> Result<Vec<Scored>, VectorsError> {
        self.search_probing(
            query,
            parameters,
            self.probes(parameters),
            allowed,
            originals,
            scratch,
        )
    }

    pub(super) fn search_probing(
        &self,
        query: &[f32],
        parameters: &SearchParameters,
        probes: usize,
        allowed: Allowed<'_>,
        originals: &dyn Originals,
        scratch: &mut IvfScratch,
    ) -> Result<Vec<Scored>, VectorsError> {
        let k = parameters.k.min(self.rows as usize);
        if k == 0 {
            return Ok(Vec::new());
        }
        let oversampling = parameters
            .oversampling
            .unwrap_or(OVERSAMPLING)
            .clamp(1.0, 1000.0);
        let most = ((k as f32 * oversampling) as usize).saturating_add(CANDIDATES_SPARE);
        let most = most.min(self.rows as usize);
        let passing = allowed
            .filter
            .map_or(self.rows, |filter| filter.count().min(self.rows));
        scratch.candidates.clear();
        scratch.lows.clear();
        if (passing as usize) < k.saturating_mul(RANK_ALL_PER_RESULT)
            && let Some(filter) = allowed.filter
        {
            let fits = |row: &u32| *row < self.rows && allowed.contains(*row);
            let unranked = |row| Candidate {
                scored: Scored { row, rank: 0.0 },
                bound: f32::INFINITY,
            };
            scratch
                .candidates
                .extend(filter.iter().filter(fits).map(unranked));
            return self.rank_originals(query, k, originals, scratch);
        }
        let prepared = self.prepare(query, k, most, scratch);
        self.scan_lists(&prepared, probes, passing, allowed, scratch);
        cut(most, floor(&prepared, scratch), &mut scratch.candidates);
        scratch
            .candidates
            .sort_unstable_by_key(|candidate| candidate.scored);
        if parameters.rescore == Some(false) {
            let best = scratch.candidates.iter().take(k);
            return Ok(best.map(|candidate| candidate.scored).collect());
        }
        self.rank_originals(query, k, originals, scratch)
    }

    /// Scans the best `probes` lists, and further ones where the filter or deletions leave too few rows in them.
    fn scan_lists(
        &self,
        prepared: &Prepared,
        probes: usize,
        passing: u32,
        allowed: Allowed<'_>,
        scratch: &mut IvfScratch,
    ) {
        let share = f64::from(passing) / f64::from(self.rows.max(1));
        let mut wanted = 0;
        let (mut probed, mut seen, mut rows) = (0, 0, 0);
        let mut chunk = probes;
        while probed < self.lists()
            && (probed < probes || scratch.lows.len() < prepared.k || seen < wanted)
        {
            let end = self.next_lists(probed, chunk, scratch);
            for place in probed..end {
                let list = scratch.order[place].row as usize;
                rows += self.list_table()[list].rows;
                seen += self.scan_list(list, prepared, allowed, scratch);
            }
            if probed == 0 && allowed.filter.is_some() {
                // Where a filter thins the lists, results lie further out: probe on until as many allowed rows were seen
                // as the root of its share leaves of an unfiltered search. Where it allows far fewer rows near the query
                // than elsewhere, nearness of lists says little any more: scan all that it allows.
                let expected = f64::from(rows) * share;
                wanted = if (seen as f64) < 0.5 * expected {
                    passing as usize
                } else {
                    (f64::from(rows) * share.sqrt()) as usize
                };
            }
            probed = end;
            chunk = probes.max(8);
        }
    }

    /// Rotates the query, makes its tables and ranks all centroids roughly.
    fn prepare(
        &self,
        query: &[f32],
        k: usize,
        candidates_max: usize,
        scratch: &mut IvfScratch,
    ) -> Prepared {
        let kernels = Kernels::best();
        let wide = padded(self.dimensions);
        scratch.query.clear();
        scratch.query.extend_from_slice(query);
        scratch.query.resize(wide, 0.0);
        self.rotation.apply(&mut scratch.query);
        scratch.query_bytes.resize(wide, 0);
        scratch.entries.resize(wide * 4, 0.0);
        scratch.tables.resize(wide * 4, 0);
        let byte_step = to_bytes(&scratch.query, &mut scratch.query_bytes);
        let tables =
            kernels.subset_sum_tables(&scratch.query, &mut scratch.entries, &mut scratch.tables);
        let lists = self.list_table();
        scratch.products.resize(lists.len(), 0);
        let coarse: &[i8] = bytemuck::cast_slice(&self.coarse);
        kernels.scan_dot_i8(&scratch.query_bytes, coarse, wide, 0, &mut scratch.products);
        scratch.order.clear();
        let products = lists.iter().zip(&scratch.products).enumerate();
        scratch
            .order
            .extend(products.map(|(row, (list, &product))| {
                let product = product as f32 * list.step * byte_step;
                let rank = match self.metric {
                    Metric::Dot => product,
                    _ => 2.0 * product - list.norm_squared,
                };
                Scored {
                    row: row as u32,
                    rank,
                }
            }));
        Prepared {
            scale: tables.scale,
            offset: tables.offset,
            sum: scratch.query.iter().sum(),
            byte_sum: scratch
                .query_bytes
                .iter()
                .map(|&byte| i32::from(byte))
                .sum(),
            byte_step,
            k,
            candidates_max,
        }
    }

    /// Brings the next `count` lists to places `probed..` of the order, best first; returns where they end.
    fn next_lists(&self, probed: usize, count: usize, scratch: &mut IvfScratch) -> usize {
        let rest = &mut scratch.order[probed..];
        let count = count.min(rest.len());
        if count < rest.len() {
            rest.select_nth_unstable(count);
        }
        rest[..count].sort_unstable();
        probed + count
    }

    /// Offers the rows of a list; returns how many allowed rows it has.
    fn scan_list(
        &self,
        number: usize,
        prepared: &Prepared,
        allowed: Allowed<'_>,
        scratch: &mut IvfScratch,
    ) -> usize {
        let kernels = Kernels::best();
        let wide = padded(self.dimensions);
        let list: List = self.list_table()[number];
        let centroid = self.centroid(number);
        let squared = kernels.l2_f32(&scratch.query, centroid);
        let add = match self.metric {
            Metric::Euclid => -squared,
            _ => kernels.dot_f32(&scratch.query, centroid),
        };
        let terms = QueryTerms {
            scale: prepared.scale,
            offset: prepared.offset - 0.5 * prepared.sum,
            add,
            length: squared.sqrt(),
        };
        let (mut sums, mut estimates, mut bounds) = ([0; BLOCK], [0.0; BLOCK], [0.0; BLOCK]);
        let mut seen = 0;
        for block in list.blocks() {
            let slots = &self.slots.words()[block * BLOCK..][..BLOCK];
            let passing = self.passing(slots, allowed);
            if passing == 0 {
                continue;
            }
            seen += passing.count_ones() as usize;
            let signs = &self.signs[block * wide * 4..][..wide * 4];
            kernels.sum_tables(&scratch.tables, signs, &mut sums);
            let columns =
                &self.terms.floats()[block * TERM_COLUMNS * BLOCK..][..TERM_COLUMNS * BLOCK];
            let rows = RowTerms {
                add: &columns[..BLOCK],
                factor: &columns[BLOCK..2 * BLOCK],
                error: &columns[2 * BLOCK..3 * BLOCK],
            };
            kernels.rabitq_bounds(&sums, rows, terms, &mut estimates, &mut bounds);
            scratch.positions.clear();
            kernels.positions_at_least(&bounds, floor(prepared, scratch), &mut scratch.positions);
            scratch.slots.clear();
            let kept = scratch
                .positions
                .iter()
                .filter(|&&position| passing >> position & 1 == 1);
            scratch
                .slots
                .extend(kept.map(|position| (block * BLOCK) as u32 + position));
            self.look_closer(block, &sums, columns, prepared, &terms, scratch);
        }
        seen
    }

    /// One bit for each slot whose row a search may return.
    fn passing(&self, slots: &[u32], allowed: Allowed<'_>) -> u32 {
        let mut passing = 0;
        for (position, &row) in slots.iter().enumerate() {
            let may = row < self.rows && allowed.contains(row);
            passing |= u32::from(may) << position;
        }
        passing
    }

    /// Estimates the rows of `scratch.slots`, all of one block, from all five bits and offers them.
    fn look_closer(
        &self,
        block: usize,
        sums: &[u32; BLOCK],
        columns: &[f32],
        prepared: &Prepared,
        terms: &QueryTerms,
        scratch: &mut IvfScratch,
    ) {
        if scratch.slots.is_empty() {
            return;
        }
        let bytes = padded(self.dimensions) / 2;
        scratch.products.resize(scratch.slots.len(), 0);
        let products = &mut scratch.products[..scratch.slots.len()];
        Kernels::best().dot_many_i4(
            &scratch.query_bytes,
            &self.details,
            bytes,
            &scratch.slots,
            products,
        );
        let levels = (1u32 << DETAIL_BITS) as f32;
        let detail_centre = 0.5 * (levels - 1.0);
        for (&slot, &product) in scratch.slots.iter().zip(&*products) {
            let position = slot as usize - block * BLOCK;
            let signs = prepared.scale * sums[position] as f32 + prepared.offset;
            // Only what deviates from the centre of the details suffers from the rounding of the query.
            let details = (product as f32 - detail_centre * prepared.byte_sum as f32)
                * prepared.byte_step
                + detail_centre * prepared.sum;
            let code = levels * signs + details - (levels - 0.5) * prepared.sum;
            let [add, factor, error] = [3, 4, 5].map(|column| columns[column * BLOCK + position]);
            let rank = add + terms.add + factor * code;
            if rank.is_nan() {
                continue;
            }
            let off = error * terms.length;
            scratch.candidates.push(Candidate {
                scored: Scored {
                    row: self.slots.words()[slot as usize],
                    rank,
                },
                bound: rank + off,
            });
            let low = Reverse(Low(rank - off));
            if scratch.lows.len() < prepared.k {
                scratch.lows.push(low);
            } else if let Some(mut least) = scratch.lows.peek_mut()
                && low < *least
            {
                *least = low;
            }
        }
        if scratch.candidates.len() >= 2 * prepared.candidates_max + 64 {
            cut(
                prepared.candidates_max,
                floor(prepared, scratch),
                &mut scratch.candidates,
            );
        }
    }

    /// Ranks `scratch.candidates` (best estimate first) on originals until no bound reaches the last result.
    fn rank_originals(
        &self,
        query: &[f32],
        k: usize,
        originals: &dyn Originals,
        scratch: &mut IvfScratch,
    ) -> Result<Vec<Scored>, VectorsError> {
        let mut best: BinaryHeap<Scored> = BinaryHeap::with_capacity(k + 1);
        let mut done = 0;
        while done < scratch.candidates.len() {
            let end = (done + RERANK_BATCH.max(k - best.len())).min(scratch.candidates.len());
            let floor = match best.peek() {
                Some(worst) if best.len() == k => worst.rank,
                _ => f32::NEG_INFINITY,
            };
            scratch.rows.clear();
            let reaching = scratch.candidates[done..end]
                .iter()
                .filter(|one| one.bound >= floor);
            scratch.rows.extend(reaching.map(|one| one.scored.row));
            done = end;
            scratch.ranks.resize(scratch.rows.len(), 0.0);
            originals.rank_rows(self.metric, query, &scratch.rows, &mut scratch.ranks)?;
            for (&row, &rank) in scratch.rows.iter().zip(&scratch.ranks) {
                let scored = Scored { row, rank };
                if best.len() < k {
                    best.push(scored);
                } else if let Some(mut worst) = best.peek_mut()
                    && scored < *worst
                {
                    *worst = scored;
                }
            }
        }
        Ok(best.into_sorted_vec())
    }
}

/// Bounds below this cannot become results.
fn floor(prepared: &Prepared, scratch: &IvfScratch) -> f32 {
    match scratch.lows.peek() {
        Some(Reverse(Low(least))) if scratch.lows.len() >= prepared.k => *least,
        _ => f32::NEG_INFINITY,
    }
}

/// Drops candidates whose bound is below `floor`, then all but the `most` best estimates.
fn cut(most: usize, floor: f32, candidates: &mut Vec<Candidate>) {
    candidates.retain(|candidate| candidate.bound >= floor);
    if candidates.len() > most {
        candidates.select_nth_unstable_by_key(most, |candidate| candidate.scored);
        candidates.truncate(most);
    }
}
