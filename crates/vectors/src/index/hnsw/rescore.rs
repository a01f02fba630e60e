//! Ranks again on originals what a traversal found by codes.

use super::HnswScratch;
use crate::error::VectorsError;
use crate::quantize::Originals;
use crate::schema::Metric;

/// Rows ranked between two looks at whether the others still matter: as many as a disk reads at the same time with ease.
const STEP: usize = 8;

/// Ranks the rows of `scratch`, which are in the order of their ranks by codes, on their originals, and offers them to
/// `scratch.top`, which keeps `k`.
///
/// Where each original costs a read, rows are left out once they cannot be among the best by all that is known: when the rank
/// of the next one by codes, plus the most that any original ranked above its code so far, is below the worst of the `k` best.
///
/// # Errors
/// [`VectorsError::Corrupt`] when an original is damaged.
pub(super) fn rank_again(
    originals: &dyn Originals,
    (metric, query, k): (Metric, &[f32], usize),
    scratch: &mut HnswScratch,
) -> Result<(), VectorsError> {
    let count = scratch.rows.len();
    let first = if originals.reads_are_dear() {
        (k + STEP).min(count)
    } else {
        count
    };
    let mut gain = f32::NEG_INFINITY;
    let (mut done, mut next) = (0, first);
    while done < count {
        let by_codes = &mut scratch.by_codes;
        by_codes.clear();
        by_codes.extend_from_slice(&scratch.ranks[done..next]);
        let (rows, ranks) = (&scratch.rows[done..next], &mut scratch.ranks[done..next]);
        originals.rank_rows(metric, query, rows, ranks)?;
        for ((&row, &rank), &by_codes) in rows.iter().zip(&*ranks).zip(&*by_codes) {
            gain = gain.max(rank - by_codes);
            scratch.top.offer(row, rank);
        }
        done = next;
        next = (done + STEP).min(count);
        if done < count
            && let Some(worst) = scratch.top.worst()
            && scratch.ranks[done] + gain < worst
        {
            break;
        }
    }
    Ok(())
}
