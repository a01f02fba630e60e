//! Scores made of the similarities to several examples: recommend, discover, context.
//!
//! Ranks in, ranks out. The squashing `x / (1 + |x|)` keeps orders and bounds a similarity of any size to (−1, 1), so
//! that it can be added to whole numbers without overtaking the next one. Formulas are those of Qdrant's documentation
//! ("Explore the data"), so that results can be compared.

use super::request::Target;
use crate::error::VectorsError;
use crate::point::{SparseVector, Vector};

/// How positive and negative examples become one score.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Strategy {
    /// One vector: twice the mean of the positives less the mean of the negatives.
    #[default]
    AverageVector,
    /// The best similarity to a positive example, unless one to a negative example is as good.
    BestScore,
    /// The sum of similarities to the positives less that to the negatives.
    SumScores,
}

/// Two examples that divide the space: nearer to the first is the good side.
#[derive(Debug, Clone, PartialEq)]
pub struct ContextPair<T = Target> {
    /// The good side.
    pub positive: T,
    /// The bad side.
    pub negative: T,
}

/// x / (1 + |x|); infinities stay.
fn squashed(value: f32) -> f32 {
    if value.is_finite() {
        value / (1.0 + value.abs())
    } else {
        value
    }
}

/// [`squashed`] moved into (0, 1).
fn squashed_positive(value: f32) -> f32 {
    0.5 * (squashed(value) + 1.0)
}

/// Rank by [`Strategy::BestScore`]: `ranks` of the positives, then of the negatives.
pub fn best_score(ranks: &[f32], positives: usize) -> f32 {
    let best = |ranks: &[f32]| ranks.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let (positive, negative) = ranks.split_at(positives.min(ranks.len()));
    let (positive, negative) = (best(positive), best(negative));
    if positive > negative {
        squashed_positive(positive)
    } else {
        -squashed_positive(negative)
    }
}

/// Rank by [`Strategy::SumScores`]: `ranks` of the positives, then of the negatives.
pub fn sum_scores(ranks: &[f32], positives: usize) -> f32 {
    let (positive, negative) = ranks.split_at(positives.min(ranks.len()));
    positive.iter().sum::<f32>() - negative.iter().sum::<f32>()
}

/// Rank of discovery: `ranks` of the target, then of positive and negative of each pair. Pairs decide, the target breaks
/// ties among equal numbers of them.
pub fn discovery(ranks: &[f32]) -> f32 {
    let Some((&target, pairs)) = ranks.split_first() else {
        return 0.0;
    };
    let sides: i32 = pairs
        .chunks_exact(2)
        .map(|pair| i32::from(pair[0] > pair[1]) - i32::from(pair[0] < pair[1]))
        .sum();
    sides as f32 + squashed_positive(target)
}

/// Rank of context: `ranks` of positive and negative of each pair. 0 on the good side of all of them, the less the
/// farther on a bad side.
pub fn context(ranks: &[f32]) -> f32 {
    ranks
        .chunks_exact(2)
        .map(|pair| squashed((pair[0] - pair[1] - f32::EPSILON).min(0.0)))
        .sum()
}

/// The vector of [`Strategy::AverageVector`].
///
/// # Errors
/// [`VectorsError::Invalid`] when there is no positive example or the vectors differ in kind or size.
pub fn average(positive: &[Vector], negative: &[Vector]) -> Result<Vector, VectorsError> {
    let Some(first) = positive.first() else {
        return Err(VectorsError::invalid(
            "recommend.positive",
            "must have an example for this strategy",
        ));
    };
    match first {
        Vector::Dense(_) => {
            let mean = mean_dense(positive)?;
            if negative.is_empty() {
                return Ok(Vector::Dense(mean));
            }
            let other = mean_dense(negative)?;
            if other.len() != mean.len() {
                return Err(mixed());
            }
            let twice_less = |(one, two): (&f32, &f32)| one + one - two;
            Ok(Vector::Dense(
                mean.iter().zip(&other).map(twice_less).collect(),
            ))
        }
        Vector::Sparse(_) => {
            let share = |examples: &[Vector]| 1.0 / examples.len().max(1) as f32;
            let factor = if negative.is_empty() { 1.0 } else { 2.0 };
            let mut entries = Vec::new();
            sparse_entries(positive, factor * share(positive), &mut entries)?;
            sparse_entries(negative, -share(negative), &mut entries)?;
            Ok(Vector::Sparse(sum_of_entries(entries)))
        }
        Vector::Multi(_) => {
            // Vectors of all the examples side by side: max-sim adds up their parts.
            let mut rows = Vec::new();
            for (examples, sign) in [(positive, 1.0), (negative, -1.0)] {
                for example in examples {
                    let Vector::Multi(vectors) = example else {
                        return Err(mixed());
                    };
                    rows.extend(vectors.iter().map(|vector| {
                        vector
                            .iter()
                            .map(|value| sign * value)
                            .collect::<Vec<f32>>()
                    }));
                }
            }
            Ok(Vector::Multi(rows))
        }
    }
}

fn mixed() -> VectorsError {
    VectorsError::invalid("recommend", "examples must be vectors of one kind and size")
}

fn mean_dense(examples: &[Vector]) -> Result<Vec<f32>, VectorsError> {
    let mut sums: Vec<f64> = Vec::new();
    for (index, example) in examples.iter().enumerate() {
        let Vector::Dense(values) = example else {
            return Err(mixed());
        };
        if index == 0 {
            sums.resize(values.len(), 0.0);
        }
        if values.len() != sums.len() {
            return Err(mixed());
        }
        for (sum, value) in sums.iter_mut().zip(values) {
            *sum += f64::from(*value);
        }
    }
    let count = examples.len().max(1) as f64;
    Ok(sums.iter().map(|sum| (sum / count) as f32).collect())
}

fn sparse_entries(
    examples: &[Vector],
    factor: f32,
    entries: &mut Vec<(u32, f32)>,
) -> Result<(), VectorsError> {
    for example in examples {
        let Vector::Sparse(SparseVector { indices, values }) = example else {
            return Err(mixed());
        };
        entries.extend(
            indices
                .iter()
                .zip(values)
                .map(|(&index, &value)| (index, factor * value)),
        );
    }
    Ok(())
}

/// Entries sorted by dimension, equal dimensions added.
fn sum_of_entries(mut entries: Vec<(u32, f32)>) -> SparseVector {
    entries.sort_by_key(|(index, _)| *index);
    let mut sum = SparseVector::default();
    for (index, value) in entries {
        match sum.values.last_mut() {
            Some(last) if sum.indices.last() == Some(&index) => *last += value,
            _ => {
                sum.indices.push(index);
                sum.values.push(value);
            }
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_as_computed_by_hand() {
        // 1 / 2 = 0.5, moved: 0.75.
        assert_eq!(best_score(&[1.0, 0.5, 0.25], 2), 0.75);
        assert_eq!(best_score(&[0.5, 1.0], 1), -0.75);
        assert_eq!(best_score(&[1.0, 1.0], 1), -0.75);
        assert_eq!(sum_scores(&[1.0, 0.5, 0.25], 2), 1.25);
        assert_eq!(discovery(&[1.0, 3.0, 2.0, 0.0, 2.0, 5.0, 5.0]), 0.75);
        assert_eq!(discovery(&[-1.0, 3.0, 2.0, 2.0, 1.0]), 2.25);
        assert!((context(&[0.0, 1.0, 5.0, 0.0]) + 0.5).abs() < 1e-6);
        assert_eq!(context(&[2.0, 1.0]), 0.0);
    }

    #[test]
    fn averages_of_each_kind() {
        let dense = |values: [f32; 2]| Vector::Dense(values.to_vec());
        assert_eq!(
            average(
                &[dense([1.0, 0.0]), dense([3.0, 2.0])],
                &[dense([1.0, 4.0])]
            )
            .unwrap(),
            dense([3.0, -2.0])
        );
        let sparse = |indices: &[u32], values: &[f32]| {
            Vector::Sparse(SparseVector {
                indices: indices.to_vec(),
                values: values.to_vec(),
            })
        };
        assert_eq!(
            average(
                &[sparse(&[1, 7], &[2.0, 4.0])],
                &[sparse(&[0, 7], &[1.0, 3.0])]
            )
            .unwrap(),
            sparse(&[0, 1, 7], &[-1.0, 4.0, 5.0])
        );
        assert!(average(&[dense([1.0, 0.0]), Vector::Dense(vec![1.0])], &[]).is_err());
        assert!(average(&[], &[]).is_err());
    }
}
