//! Selection over one row of logits without sorting it.
//!
//! All of these take expected linear time. Weights are `exp((logit - best) * scale)`, so the best token weighs 1
//! and nothing overflows; sums are kept in `f64`, because a vocabulary of 150,000 small `f32` weights would lose
//! its tail.

use super::{Random, SamplerOptions};
use crate::engine::Token;

/// A token still in the race.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Candidate {
    pub token: Token,
    /// Unnormalised probability.
    pub weight: f32,
}

/// Rows are walked in blocks of this many logits: long enough to be vectorised, short enough for the first-level cache.
const BLOCK: usize = 1024;

/// The largest logit and its token (the lowest token among equals); `None` when no logit is a number above -∞.
pub(super) fn best(row: &[f32]) -> Option<(Token, f32)> {
    // The maximum of each block is a straight vector loop; only the winning block is searched for its place.
    // `f32::max` passes over NaN.
    let mut best_block = None;
    let mut best_logit = f32::NEG_INFINITY;
    for (index, block) in row.chunks(BLOCK).enumerate() {
        let logit = maximum(block);
        if logit > best_logit {
            best_logit = logit;
            best_block = Some(index);
        }
    }
    let start = best_block? * BLOCK;
    let place = row[start..].iter().position(|&logit| logit == best_logit)?;
    Some(((start + place) as Token, best_logit))
}

/// Largest of a block, passing over NaN.
pub(super) fn maximum(block: &[f32]) -> f32 {
    const LANES: usize = 16;
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let chunks = block.chunks_exact(LANES);
    let rest = chunks.remainder();
    for chunk in chunks {
        for (lane, &logit) in lanes.iter_mut().zip(chunk) {
            // Written as a comparison so that it becomes one `maxps`; a NaN compares false and is passed over.
            *lane = if logit > *lane { logit } else { *lane };
        }
    }
    let mut largest = f32::NEG_INFINITY;
    for &logit in lanes.iter().chain(rest) {
        if logit > largest {
            largest = logit;
        }
    }
    largest
}

/// `exp` for arguments at or below zero, exact to about 2 units in the last place, without a call per element:
/// the compiler turns loops over it into vector code. NaN and everything below -87 give 0.
///
/// Method: Cody and Waite's reduction `x = n ln 2 + r`, then Taylor's polynomial of degree seven on
/// `|r| <= ln 2 / 2`, where its error is below 2^-26.
#[inline]
pub(super) fn exponential(x: f32) -> f32 {
    const LOG2_E: f32 = std::f32::consts::LOG2_E;
    // ln 2 in two parts; the first has few enough bits that `n * LN2_HIGH` is exact.
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    // Adding and subtracting 1.5 * 2^23 rounds to the nearest integer.
    const ROUND: f32 = 12_582_912.0;
    let usable = x > -87.0;
    let x = if usable { x.min(0.0) } else { 0.0 };
    let shifted = x * LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = (x - n * LN2_HIGH) - n * LN2_LOW;
    let mut sum = 1.0 / 5040.0;
    for coefficient in [
        1.0 / 720.0,
        1.0 / 120.0,
        1.0 / 24.0,
        1.0 / 6.0,
        0.5,
        1.0,
        1.0,
    ] {
        sum = sum * r + coefficient;
    }
    // The rounded integer sits in the low bits of `shifted`; moved into the exponent it multiplies by 2^n.
    let power = f32::from_bits((shifted.to_bits() << 23).wrapping_add(0x3f80_0000));
    if usable { sum * power } else { 0.0 }
}

/// Sum of the weights of a block.
pub(super) fn weight_sum(block: &[f32], best: f32, scale: f32) -> f64 {
    const LANES: usize = 16;
    let mut lanes = [0f32; LANES];
    let chunks = block.chunks_exact(LANES);
    let rest = chunks.remainder();
    for chunk in chunks {
        for (lane, &logit) in lanes.iter_mut().zip(chunk) {
            *lane += exponential((logit - best) * scale);
        }
    }
    let tail: f64 = rest
        .iter()
        .map(|&logit| f64::from(exponential((logit - best) * scale)))
        .sum();
    lanes.iter().map(|&lane| f64::from(lane)).sum::<f64>() + tail
}

/// Draws from the whole row: the sum of each block first, then the place inside the block that was hit.
pub(super) fn draw_row(row: &[f32], best: f32, scale: f32, random: &mut Random) -> Option<Token> {
    let sums: Vec<f64> = row
        .chunks(BLOCK)
        .map(|block| weight_sum(block, best, scale))
        .collect();
    let mut target = random.unit() * sums.iter().sum::<f64>();
    let mut last = None;
    for (index, (block, sum)) in row.chunks(BLOCK).zip(&sums).enumerate() {
        if target >= *sum {
            target -= sum;
            continue;
        }
        for (place, &logit) in block.iter().enumerate() {
            let weight = f64::from(exponential((logit - best) * scale));
            if weight > 0.0 {
                last = Some((index * BLOCK + place) as Token);
                if target < weight {
                    return last;
                }
                target -= weight;
            }
        }
        // Rounding carried the target just past the last weight of its block.
        return last;
    }
    None
}

/// Draws from a list of candidates.
pub(super) fn draw_candidates(candidates: &[Candidate], random: &mut Random) -> Option<Token> {
    let mut target = random.unit() * total(candidates);
    for candidate in candidates {
        let weight = f64::from(candidate.weight);
        if target < weight {
            return Some(candidate.token);
        }
        target -= weight;
    }
    candidates.last().map(|candidate| candidate.token)
}

fn total(candidates: &[Candidate]) -> f64 {
    candidates
        .iter()
        .map(|candidate| f64::from(candidate.weight))
        .sum()
}

/// Fills `out` with the tokens that survive top-k, typical-p, top-p and min-p (in that order, each on what the
/// one before has left), in token order, with their weights. Never empty for a row that has a `best`.
pub(super) fn survivors(
    row: &[f32],
    best: f32,
    scale: f32,
    options: &SamplerOptions,
    out: &mut Vec<Candidate>,
) {
    out.clear();
    let top_k = options.top_k as usize;
    let typical = options.typical_p < 1.0;
    let nucleus = options.top_p < 1.0;
    let lightest = if top_k > 0 && top_k < row.len() {
        top(row, top_k, f32::NEG_INFINITY, out);
        for candidate in &mut *out {
            candidate.weight = exponential((candidate.weight - best) * scale);
        }
        // Token order, so that the draw does not depend on how the selection moved things.
        out.sort_unstable_by_key(|candidate| candidate.token);
        None
    } else if typical {
        Some(0.0)
    } else if nucleus {
        let sum: f64 = row
            .chunks(BLOCK)
            .map(|block| weight_sum(block, best, scale))
            .sum();
        // All tokens lighter than (1 - p) * sum / n weigh less than (1 - p) * sum together, so the nucleus is
        // complete before it needs one of them. Half of that leaves room for rounding.
        let lightest = 0.5 * (1.0 - f64::from(options.top_p)) * sum / row.len() as f64;
        collect(row, best, scale, lightest, out);
        keep_nucleus_of(out, f64::from(options.top_p) * sum);
        keep_above(out, options.min_p);
        return;
    } else {
        Some(f64::from(options.min_p))
    };
    if let Some(lightest) = lightest {
        collect(row, best, scale, lightest, out);
    }
    if typical {
        keep_typical(out, options.typical_p);
    }
    if nucleus {
        let mass = f64::from(options.top_p) * total(out);
        keep_nucleus_of(out, mass);
    }
    keep_above(out, options.min_p);
}

/// Min-p: drops what weighs less than `share` of the heaviest.
fn keep_above(candidates: &mut Vec<Candidate>, share: f32) {
    if share > 0.0 {
        let heaviest = candidates
            .iter()
            .map(|candidate| candidate.weight)
            .fold(0.0, f32::max);
        candidates.retain(|candidate| candidate.weight >= share * heaviest);
    }
}

/// Every token of at least the weight `lightest` (a little below it too), with its weight.
fn collect(row: &[f32], best: f32, scale: f32, lightest: f64, out: &mut Vec<Candidate>) {
    // A cut by weight is a cut by logit: weight >= w  <=>  logit >= best + ln(w) / scale. The margin keeps
    // rounding from dropping a token that lies on the border.
    let threshold = best + ((lightest.ln() - 1e-4) / f64::from(scale)) as f32;
    for (index, block) in row.chunks(BLOCK).enumerate() {
        if maximum(block) < threshold {
            continue;
        }
        for (place, &logit) in block.iter().enumerate() {
            if logit >= threshold && logit > f32::NEG_INFINITY {
                out.push(Candidate {
                    token: (index * BLOCK + place) as Token,
                    weight: exponential((logit - best) * scale),
                });
            }
        }
    }
}

/// The `count` largest logits at or above `threshold` (as `weight`), in no order; equal logits go to the lower token.
///
/// Candidates are gathered until there are twice as many as wanted, then the worse half is dropped and its
/// border becomes the new threshold: one cheap comparison per logit, and few of them pass.
pub(super) fn top(row: &[f32], count: usize, threshold: f32, out: &mut Vec<Candidate>) {
    out.clear();
    let room = (2 * count).max(64);
    let mut threshold = threshold;
    // Once the buffer was cut, a logit equal to the border comes later in the row and loses to it.
    let mut strict = false;
    for (index, block) in row.chunks(64).enumerate() {
        let block_maximum = maximum(block);
        if block_maximum < threshold || (strict && block_maximum <= threshold) {
            continue;
        }
        for (place, &logit) in block.iter().enumerate() {
            let enters = if strict {
                logit > threshold
            } else {
                logit >= threshold
            };
            if !enters || logit == f32::NEG_INFINITY {
                continue;
            }
            out.push(Candidate {
                token: (index * 64 + place) as Token,
                weight: logit,
            });
            if out.len() == room {
                out.select_nth_unstable_by(count - 1, heavier_first);
                out.truncate(count);
                threshold = out
                    .iter()
                    .map(|candidate| candidate.weight)
                    .fold(f32::INFINITY, f32::min);
                strict = true;
            }
        }
    }
    if out.len() > count {
        out.select_nth_unstable_by(count - 1, heavier_first);
        out.truncate(count);
    }
}

/// Heavier first; equal weights by token, so that there is one order only.
pub(super) fn heavier_first(left: &Candidate, right: &Candidate) -> std::cmp::Ordering {
    right
        .weight
        .total_cmp(&left.weight)
        .then(left.token.cmp(&right.token))
}

/// Top-p: the fewest heaviest candidates that reach `mass`, at least one; in token order.
fn keep_nucleus_of(candidates: &mut Vec<Candidate>, mass: f64) {
    keep_until(candidates, mass, heavier_first);
    candidates.sort_unstable_by_key(|candidate| candidate.token);
}

/// Typical-p (Meister et al. 2022): the candidates whose surprise is nearest to the entropy, until they reach
/// `share` of the mass, at least one; in token order.
fn keep_typical(candidates: &mut Vec<Candidate>, share: f32) {
    let sum = total(candidates);
    if sum <= 0.0 {
        return;
    }
    let surprise = |candidate: &Candidate| -(f64::from(candidate.weight) / sum).ln();
    let entropy: f64 = candidates
        .iter()
        .filter(|candidate| candidate.weight > 0.0)
        .map(|candidate| f64::from(candidate.weight) / sum * surprise(candidate))
        .sum();
    keep_until(candidates, f64::from(share) * sum, |left, right| {
        let left_distance = (surprise(left) - entropy).abs();
        let right_distance = (surprise(right) - entropy).abs();
        left_distance
            .total_cmp(&right_distance)
            .then(left.token.cmp(&right.token))
    });
    candidates.sort_unstable_by_key(|candidate| candidate.token);
}

/// Keeps the first candidates of an order, up to the one with which their weight reaches `mass`.
///
/// Quickselect by mass: halve the undecided range, and go on in the half where the border lies. Each round costs
/// half of the one before.
fn keep_until(
    candidates: &mut Vec<Candidate>,
    mass: f64,
    order: impl Fn(&Candidate, &Candidate) -> std::cmp::Ordering,
) {
    if candidates.is_empty() {
        return;
    }
    // Everything before `low` is kept; everything from `high` on is dropped.
    let (mut low, mut high) = (0, candidates.len());
    let mut kept = 0.0;
    while high - low > 1 {
        let half = (high - low) / 2;
        let range = &mut candidates[low..high];
        range.select_nth_unstable_by(half, &order);
        let first: f64 = total(&range[..half]);
        if kept + first >= mass {
            high = low + half;
        } else {
            kept += first;
            low += half;
        }
    }
    candidates.truncate(low + 1);
}
