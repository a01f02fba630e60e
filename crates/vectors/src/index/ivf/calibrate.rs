//! Measuring recall by lists probed, on rows of the segment itself, when an index is built.

use super::search::IvfScratch;
use super::{Ivf, RECALL_STEPS_MAX, RecallStep};
use crate::error::VectorsError;
use crate::index::flat::{self, FlatScratch};
use crate::index::{BuildControl, SearchParameters};
use crate::quantize::Originals;
use crate::quantize::rotation::Random;
use crate::rows::Allowed;

/// Distances that finding the true neighbours may cost; bounds the number of queries on large segments.
const EXACT_DISTANCES_MAX: u64 = 6_000_000;
/// Queries at most and at least. 64 queries of 10 neighbours tell recalls of 0.95 and 0.97 apart.
const QUERIES: std::ops::RangeInclusive<u64> = 16..=64;
/// Neighbours asked for.
const NEIGHBOURS: usize = 10;
/// Measuring ends at this recall.
const RECALL_ENOUGH: f32 = 0.998;

/// The recall at each of 1, 2, 3, 4, 6, 8, 12, 16, … lists.
pub(super) fn measure(
    index: &Ivf,
    originals: &dyn Originals,
    seed: u64,
    control: &BuildControl,
) -> Result<Vec<RecallStep>, VectorsError> {
    let rows = u64::from(index.rows);
    let queries = (EXACT_DISTANCES_MAX / rows.max(1))
        .clamp(*QUERIES.start(), *QUERIES.end())
        .min(rows);
    let mut random = Random::new(seed ^ 0x2b);
    let mut buffer = Vec::new();
    let mut flat_scratch = FlatScratch::default();
    let mut scratch = IvfScratch::default();
    let mut truths = Vec::new();
    // A row finds itself first; it is asked for one more and taken out of both answers.
    let parameters = SearchParameters::of(NEIGHBOURS + 1);
    for _ in 0..queries {
        let row = random.below(index.rows as usize) as u32;
        let query = originals.row(row, &mut buffer)?.to_vec();
        control.advance(0)?;
        let truth = flat::search(
            originals,
            index.metric,
            &query,
            parameters.k,
            Allowed::default(),
            &mut flat_scratch,
        )?;
        let truth: Vec<u32> = truth
            .iter()
            .map(|one| one.row)
            .filter(|&other| other != row)
            .collect();
        truths.push((row, query, truth));
    }
    let mut steps: Vec<RecallStep> = Vec::new();
    for probes in probe_ladder(index.lists()).take(RECALL_STEPS_MAX) {
        let (mut found, mut wanted) = (0, 0);
        for (row, query, truth) in &truths {
            let answer = index.search_probing(
                query,
                &parameters,
                probes,
                Allowed::default(),
                originals,
                &mut scratch,
            )?;
            wanted += truth.len();
            let is_true = |other: u32| other != *row && truth.contains(&other);
            found += answer.iter().filter(|one| is_true(one.row)).count();
            control.advance(0)?;
        }
        let recall = if wanted == 0 {
            1.0
        } else {
            found as f32 / wanted as f32
        };
        // More lists never find less; a tie broken otherwise must not make it look so.
        let recall = steps.last().map_or(recall, |last| recall.max(last.recall));
        steps.push(RecallStep {
            probes: probes as u32,
            recall,
        });
        if recall >= RECALL_ENOUGH {
            break;
        }
    }
    Ok(steps)
}

/// 1, 2, 3, 4, 6, 8, 12, 16, 24, … and at last all `lists`.
fn probe_ladder(lists: usize) -> impl Iterator<Item = usize> {
    let steps = (0..usize::BITS as usize - 2).flat_map(|power| [1 << power, 3 << power >> 1]);
    let mut last = 0;
    steps
        .filter(move |&step| {
            let new = step > last;
            last = last.max(step);
            new
        })
        .take_while(move |&step| step < lists)
        .chain([lists])
}
