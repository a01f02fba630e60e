//! Maximal marginal relevance: results that are near to the query and far from one another (Carbonell & Goldstein 1998).
//!
//! Each step takes the candidate with the largest `lambda · rank to the query − (1 − lambda) · best rank to what was
//! taken`, on the stored vectors themselves. The work is candidates · taken similarities.

use crate::error::VectorsError;
use crate::point::{SparseVector, Vector};
use crate::schema::Metric;

/// Most candidates; a bound for the work, 64 MiB of f32 vectors of 1,024 dimensions.
pub const CANDIDATES_MAX: usize = 16_384;

/// How results are made diverse.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mmr {
    /// 1: nearness alone; 0: distance from one another alone.
    pub lambda: f32,
    /// How many of the nearest points are chosen from; `None` is the limit of the stage. At most [`CANDIDATES_MAX`].
    pub candidates: Option<usize>,
}

impl Default for Mmr {
    /// Nearness and distance alike.
    fn default() -> Self {
        Mmr {
            lambda: 0.5,
            candidates: None,
        }
    }
}

impl Mmr {
    /// Refuses settings out of range.
    ///
    /// # Errors
    /// [`VectorsError::Invalid`] naming the setting.
    pub fn validate(&self) -> Result<(), VectorsError> {
        if !(0.0..=1.0).contains(&self.lambda) {
            return Err(VectorsError::invalid("mmr.lambda", "must be from 0 to 1"));
        }
        match self.candidates {
            Some(0) => Err(VectorsError::invalid(
                "mmr.candidates",
                "must be at least 1",
            )),
            Some(count) if count > CANDIDATES_MAX => Err(VectorsError::Limit {
                what: "mmr.candidates",
                limit: CANDIDATES_MAX as u64,
                actual: count as u64,
            }),
            _ => Ok(()),
        }
    }

    /// Places of the candidates that are taken, in order, at most `limit`. `candidates` are best first; among equals the
    /// later one of the candidates left is taken.
    pub fn select(
        &self,
        metric: Metric,
        query: &Vector,
        candidates: &[Vector],
        limit: usize,
    ) -> Vec<usize> {
        struct Pending {
            place: usize,
            relevance: f32,
            nearest_taken: f32,
        }
        let mut pending: Vec<Pending> = candidates
            .iter()
            .enumerate()
            .map(|(place, candidate)| Pending {
                place,
                relevance: rank(metric, query, candidate),
                nearest_taken: f32::NEG_INFINITY,
            })
            .collect();
        let mut taken = Vec::new();
        while taken.len() < limit {
            let value = |one: &Pending| match taken.is_empty() {
                true => one.relevance,
                false => self.lambda * one.relevance - (1.0 - self.lambda) * one.nearest_taken,
            };
            // `max_by` keeps the last of equals, and the last one fills the gap below: the order in which Qdrant
            // resolves ties, so that equal candidates come out alike.
            let best = pending
                .iter()
                .enumerate()
                .max_by(|(_, one), (_, two)| value(one).total_cmp(&value(two)));
            let Some((place, _)) = best else {
                break;
            };
            let chosen = pending.swap_remove(place).place;
            taken.push(chosen);
            for one in &mut pending {
                let similarity = rank(metric, &candidates[one.place], &candidates[chosen]);
                one.nearest_taken = one.nearest_taken.max(similarity);
            }
        }
        taken
    }
}

/// How near two vectors of one kind are, larger being nearer, as [`Metric`] states; cosine expects them normalised. Max-sim
/// for multi-vectors: the sum over those of `one` of the best in `two`. Vectors of different kinds have rank 0.
pub fn rank(metric: Metric, one: &Vector, two: &Vector) -> f32 {
    match (one, two) {
        (Vector::Dense(one), Vector::Dense(two)) => rank_dense(metric, one, two),
        (Vector::Sparse(one), Vector::Sparse(two)) => sparse_product(one, two).unwrap_or(0.0),
        (Vector::Multi(one), Vector::Multi(two)) => one
            .iter()
            .map(|one| {
                two.iter()
                    .map(|two| rank_dense(metric, one, two))
                    .fold(f32::NEG_INFINITY, f32::max)
            })
            .sum(),
        _ => 0.0,
    }
}

fn rank_dense(metric: Metric, one: &[f32], two: &[f32]) -> f32 {
    match metric {
        Metric::Cosine | Metric::Dot => sum_in_lanes(one, two, |one, two| one * two),
        Metric::Euclid => -sum_in_lanes(one, two, |one, two| (one - two) * (one - two)),
        Metric::Manhattan => -sum_in_lanes(one, two, |one, two| (one - two).abs()),
    }
}

/// Sums of eight lanes, which the compiler keeps in vector registers where one running sum could not be.
#[inline]
fn sum_in_lanes(one: &[f32], two: &[f32], term: impl Fn(f32, f32) -> f32) -> f32 {
    let mut lanes = [0.0f32; 8];
    let (ones, one_rest) = one.as_chunks::<8>();
    let (twos, two_rest) = two.as_chunks::<8>();
    for (one, two) in ones.iter().zip(twos) {
        for lane in 0..8 {
            lanes[lane] += term(one[lane], two[lane]);
        }
    }
    let rest: f32 = one_rest
        .iter()
        .zip(two_rest)
        .map(|(&one, &two)| term(one, two))
        .sum();
    lanes.iter().sum::<f32>() + rest
}

/// Inner product of two sparse vectors; `None` when they share no dimension.
pub fn sparse_product(one: &SparseVector, two: &SparseVector) -> Option<f32> {
    let mut product = None;
    let mut others = two.indices.iter().zip(&two.values).peekable();
    for (index, value) in one.indices.iter().zip(&one.values) {
        while others.next_if(|(other, _)| *other < index).is_some() {}
        if let Some((_, other)) = others.next_if(|(other, _)| *other == index) {
            *product.get_or_insert(0.0) += value * other;
        }
    }
    product
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn diverse_results_as_computed_by_hand() {
        let vectors = [[1.0, 0.0], [0.9, 0.1], [0.0, 0.8], [0.5, 0.5]]
            .map(|values| Vector::Dense(values.to_vec()));
        let query = Vector::Dense(vec![1.0, 0.2]);
        let select = |lambda, limit| {
            let mmr = Mmr {
                lambda,
                candidates: None,
            };
            mmr.validate().unwrap();
            mmr.select(Metric::Dot, &query, &vectors, limit)
        };
        // Relevances 1, 0.92, 0.16, 0.6.
        assert_eq!(select(1.0, 4), [0, 1, 3, 2]);
        // To the first: 0.9, 0, 0.5; halves of 0.02, 0.16, 0.1. Then to both: 0.9 and max(0.5, 0.4).
        assert_eq!(select(0.5, 4), [0, 2, 3, 1]);
        assert_eq!(select(0.0, 2), [0, 2]);
        assert!(select(0.5, 0).is_empty());
    }

    #[test]
    fn ranks_of_long_vectors_equal_a_plain_sum() {
        let one: Vec<f32> = (0..37).map(|index| (index as f32).sin()).collect();
        let two: Vec<f32> = (0..37).map(|index| (index as f32 * 0.7).cos()).collect();
        let plain: f32 = one
            .iter()
            .zip(&two)
            .map(|(one, two)| (one - two).powi(2))
            .sum();
        let seen = rank(Metric::Euclid, &Vector::Dense(one), &Vector::Dense(two));
        assert!((seen + plain).abs() < 1e-4);
    }

    #[test]
    fn settings_out_of_range_are_named() {
        let mmr = |lambda, candidates| {
            Mmr { lambda, candidates }
                .validate()
                .unwrap_err()
                .to_string()
        };
        assert!(mmr(1.5, None).starts_with("mmr.lambda"));
        assert!(mmr(f32::NAN, None).starts_with("mmr.lambda"));
        assert!(mmr(0.5, Some(1 << 20)).starts_with("mmr.candidates"));
    }
}
