//! Fusions: several ranked lists merged into one.
//!
//! Pure functions over lists that are best first. Sums are taken in f64 in the order of the lists; ties go to the lower id.
//!
//! | fusion | a point's score | source |
//! |---|---|---|
//! | reciprocal rank | Σ 1 / (constant + rank / weight), rank from 1 | Cormack, Clarke & Büttcher 2009 |
//! | weighted sum | Σ weight · score / best score | - |
//! | CombSUM | Σ score / best score | Fox & Shaw 1994 |
//! | CombMNZ | CombSUM · number of lists with the point | Fox & Shaw 1994 |
//! | Borda | Σ candidates − (rank − 1), 0 where it is missing | de Borda 1781; Aslam & Montague 2001 |
//! | distribution-based | Σ (score − (mean − 3σ)) / 6σ | Mazzeschi 2023 |

use std::collections::HashMap;

use super::request::Hit;
use crate::error::VectorsError;
use crate::point::PointId;

/// The constant of reciprocal rank fusion in its paper.
pub const RECIPROCAL_RANK_CONSTANT: f32 = 60.0;

/// Weights of a weighted sum of a vector list and a lexical list, in this order.
pub const VECTOR_AND_LEXICAL_WEIGHTS: [f32; 2] = [0.7, 0.3];

/// How lists are merged.
#[derive(Debug, Clone, PartialEq)]
pub enum Fusion {
    /// By ranks alone.
    ReciprocalRank {
        /// Damps the head of the lists; above −1. Conventions that count positions from 0 and add `k` use `k − 1` here.
        constant: f32,
        /// One for each list, or none for all alike. A list of weight 0 adds nothing.
        weights: Vec<f32>,
    },
    /// By scores, each list divided by its best score.
    WeightedSum {
        /// One for each list; none stands for [`VECTOR_AND_LEXICAL_WEIGHTS`] of two lists.
        weights: Vec<f32>,
    },
    /// By the sum of scores, each list divided by its best score.
    CombSum,
    /// As the sum, times the number of lists that have the point.
    CombMnz,
    /// By ranks alone, in whole points.
    Borda,
    /// By scores, each list mapped so that mean ± 3 standard deviations become 0 and 1.
    DistributionBased,
}

impl Default for Fusion {
    /// Reciprocal rank with the constant of its paper.
    fn default() -> Self {
        Fusion::ReciprocalRank {
            constant: RECIPROCAL_RANK_CONSTANT,
            weights: Vec::new(),
        }
    }
}

/// One list to be merged.
#[derive(Debug, Clone, Copy)]
pub struct FusionList<'a> {
    /// Best first.
    pub hits: &'a [Hit],
    /// Whether scores are distances, smaller being better.
    pub distances: bool,
}

impl Fusion {
    /// Refuses weights that don't fit `lists` lists.
    ///
    /// # Errors
    /// [`VectorsError::Invalid`] naming the weights or the constant.
    pub fn validate(&self, lists: usize) -> Result<(), VectorsError> {
        let weights = match self {
            Fusion::ReciprocalRank { constant, weights } => {
                if !constant.is_finite() || *constant <= -1.0 {
                    return Err(VectorsError::invalid("fusion.constant", "must be above -1"));
                }
                weights
            }
            Fusion::WeightedSum { weights } => {
                if weights.is_empty() && lists != VECTOR_AND_LEXICAL_WEIGHTS.len() {
                    return Err(VectorsError::invalid(
                        "fusion.weights",
                        format!("are needed for {lists} prefetches; only two have default weights"),
                    ));
                }
                weights
            }
            _ => return Ok(()),
        };
        if !weights.is_empty() && weights.len() != lists {
            return Err(VectorsError::invalid(
                "fusion.weights",
                format!("has {} values for {lists} prefetches", weights.len()),
            ));
        }
        if weights
            .iter()
            .any(|weight| !weight.is_finite() || *weight < 0.0)
        {
            return Err(VectorsError::invalid(
                "fusion.weights",
                "must be numbers of at least 0",
            ));
        }
        Ok(())
    }

    /// The merged list, best first, at most `limit` long.
    pub fn fuse(&self, lists: &[FusionList<'_>], limit: usize) -> Vec<Hit> {
        let mut sums = Sums::default();
        match self {
            Fusion::ReciprocalRank { constant, weights } => {
                for (index, list) in lists.iter().enumerate() {
                    let weight = weights.get(index).map_or(1.0, |&weight| f64::from(weight));
                    for (rank, hit) in (1u64..).zip(list.hits) {
                        let score = if weight > 0.0 {
                            1.0 / (f64::from(*constant) + rank as f64 / weight)
                        } else {
                            0.0
                        };
                        sums.add(hit.id, score);
                    }
                }
            }
            Fusion::WeightedSum { weights } => {
                let weights = if weights.is_empty() {
                    &VECTOR_AND_LEXICAL_WEIGHTS[..]
                } else {
                    weights
                };
                for (list, &weight) in lists.iter().zip(weights) {
                    sums.add_all(list.relative_to_best(), f64::from(weight));
                }
            }
            Fusion::CombSum | Fusion::CombMnz => {
                for list in lists {
                    sums.add_all(list.relative_to_best(), 1.0);
                }
                if *self == Fusion::CombMnz {
                    for sum in &mut sums.sums {
                        sum.score *= f64::from(sum.lists);
                    }
                }
            }
            Fusion::Borda => {
                let mut candidates = Sums::default();
                for hit in lists.iter().flat_map(|list| list.hits) {
                    candidates.add(hit.id, 0.0);
                }
                let count = candidates.sums.len();
                for list in lists {
                    for (before, hit) in list.hits.iter().enumerate() {
                        sums.add(hit.id, count.saturating_sub(before) as f64);
                    }
                }
            }
            Fusion::DistributionBased => {
                for list in lists {
                    sums.add_all(list.by_distribution(), 1.0);
                }
            }
        }
        sums.best(limit)
    }
}

impl FusionList<'_> {
    /// Similarities divided by the best one; all 0 when none is above 0. A distance `d` counts as 1 / (1 + d).
    fn relative_to_best(&self) -> impl Iterator<Item = (PointId, f64)> + '_ {
        let similarity = |hit: &Hit| match self.distances {
            true => 1.0 / (1.0 + f64::from(hit.score).max(0.0)),
            false => f64::from(hit.score),
        };
        let best = self.hits.iter().map(similarity).fold(0.0, f64::max);
        self.hits.iter().map(move |hit| {
            let relative = if best > 0.0 {
                similarity(hit) / best
            } else {
                0.0
            };
            (hit.id, relative)
        })
    }

    /// Scores as callers see them mapped linearly, mean − 3σ to 0 and mean + 3σ to 1; σ of the sample (n − 1). All 0.5
    /// when they are equal or alone.
    fn by_distribution(&self) -> impl Iterator<Item = (PointId, f64)> + '_ {
        let count = self.hits.len() as f64;
        let mean = self
            .hits
            .iter()
            .map(|hit| f64::from(hit.score))
            .sum::<f64>()
            / count;
        let squares: f64 = self
            .hits
            .iter()
            .map(|hit| (f64::from(hit.score) - mean).powi(2))
            .sum();
        let deviation = (squares / (count - 1.0)).sqrt();
        self.hits.iter().map(move |hit| {
            // Not above 0 also when alone: 0 / 0 is not a number.
            let normal = if deviation > 0.0 {
                (f64::from(hit.score) - (mean - 3.0 * deviation)) / (6.0 * deviation)
            } else {
                0.5
            };
            (hit.id, normal)
        })
    }
}

/// Sums by point, in order of first appearance.
#[derive(Default)]
struct Sums {
    places: HashMap<PointId, usize>,
    sums: Vec<Sum>,
}

struct Sum {
    id: PointId,
    score: f64,
    lists: u32,
}

impl Sums {
    fn add(&mut self, id: PointId, score: f64) {
        let place = *self.places.entry(id).or_insert_with(|| {
            self.sums.push(Sum {
                id,
                score: 0.0,
                lists: 0,
            });
            self.sums.len() - 1
        });
        self.sums[place].score += score;
        self.sums[place].lists += 1;
    }

    fn add_all(&mut self, scores: impl Iterator<Item = (PointId, f64)>, weight: f64) {
        for (id, score) in scores {
            self.add(id, weight * score);
        }
    }

    fn best(mut self, limit: usize) -> Vec<Hit> {
        self.sums
            .sort_by(|one, two| two.score.total_cmp(&one.score).then(one.id.cmp(&two.id)));
        self.sums
            .iter()
            .take(limit)
            .map(|sum| Hit {
                id: sum.id,
                score: sum.score as f32,
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(hits: &[(u64, f32)]) -> Vec<Hit> {
        hits.iter()
            .map(|&(id, score)| Hit {
                id: PointId::Number(id),
                score,
            })
            .collect()
    }

    /// Two lists with two points in common.
    fn check(fusion: Fusion, distances: bool, expected: &[(u64, f32)]) {
        let (one, two) = match distances {
            false => (
                list(&[(1, 0.8), (2, 0.6), (3, 0.2)]),
                list(&[(3, 10.0), (4, 5.0), (1, 2.0), (5, 1.0)]),
            ),
            true => (
                list(&[(1, 0.0), (2, 1.0), (3, 3.0)]),
                list(&[(3, 1.0), (4, 4.0)]),
            ),
        };
        fusion.validate(2).unwrap();
        let lists = [&one, &two].map(|hits| FusionList { hits, distances });
        let fused = fusion.fuse(&lists, 10);
        let ids: Vec<_> = fused.iter().map(|hit| hit.id).collect();
        let wanted: Vec<_> = expected
            .iter()
            .map(|(id, _)| PointId::Number(*id))
            .collect();
        assert_eq!(ids, wanted, "{fusion:?} {fused:?}");
        for (hit, (_, score)) in fused.iter().zip(expected) {
            assert!(
                (hit.score - score).abs() < 1e-5,
                "{fusion:?} {hit:?} {score}"
            );
        }
        assert_eq!(fusion.fuse(&lists, 2), fused[..2]);
    }

    #[test]
    fn reciprocal_rank_as_computed_by_hand() {
        check(
            Fusion::default(),
            false,
            // 1/61 + 1/63, 1/63 + 1/61 (tie: lower id first), 1/62 twice (tie), 1/64
            &[
                (1, 0.032_266_5),
                (3, 0.032_266_5),
                (2, 0.016_129),
                (4, 0.016_129),
                (5, 0.015_625),
            ],
        );
        let weighted = Fusion::ReciprocalRank {
            constant: 1.0,
            weights: vec![3.0, 1.0],
        };
        check(
            weighted,
            false,
            // 1/(1+1/3) + 1/4, 1/(1+2/3), 1/2 + 1/2 = 1 for 3: 1/(1+3/3) + 1/(1+1), 1/3, 1/5
            &[(1, 1.0), (3, 1.0), (2, 0.6), (4, 0.333_333), (5, 0.2)],
        );
    }

    #[test]
    fn score_sums_as_computed_by_hand() {
        // Relative to the best: 1, 0.75, 0.25 and 1, 0.5, 0.2, 0.1.
        check(
            Fusion::WeightedSum { weights: vec![] },
            false,
            &[(1, 0.76), (2, 0.525), (3, 0.475), (4, 0.15), (5, 0.03)],
        );
        check(
            Fusion::CombSum,
            false,
            &[(3, 1.25), (1, 1.2), (2, 0.75), (4, 0.5), (5, 0.1)],
        );
        check(
            Fusion::CombMnz,
            false,
            &[(3, 2.5), (1, 2.4), (2, 0.75), (4, 0.5), (5, 0.1)],
        );
        // 1 / (1 + d): 1, 0.5, 0.25 and 0.5, 0.2, the second relative to 0.5.
        check(
            Fusion::CombSum,
            true,
            &[(3, 1.25), (1, 1.0), (2, 0.5), (4, 0.4)],
        );
    }

    #[test]
    fn borda_as_computed_by_hand() {
        // Five candidates: 5, 4, 3 and 5, 4, 3, 2.
        check(
            Fusion::Borda,
            false,
            &[(1, 8.0), (3, 8.0), (2, 4.0), (4, 4.0), (5, 2.0)],
        );
    }

    #[test]
    fn distribution_as_computed_by_hand() {
        // First: mean 8/15, deviation sqrt(0.28/3) = 0.305505; second: mean 4.5, deviation sqrt(49/3) = 4.041452.
        check(
            Fusion::DistributionBased,
            false,
            &[
                (3, 1.044_968),
                (1, 1.042_38),
                (2, 0.536_370),
                (4, 0.520_620),
                (5, 0.355_662),
            ],
        );
    }

    #[test]
    fn lists_alone_equal_or_empty_have_no_distribution() {
        let (alone, equal) = (list(&[(7, 3.0)]), list(&[(1, 2.0), (2, 2.0)]));
        let lists = [&alone[..], &equal[..], &[]].map(|hits| FusionList {
            hits,
            distances: false,
        });
        let fused = Fusion::DistributionBased.fuse(&lists, 10);
        assert!(fused.iter().all(|hit| hit.score == 0.5) && fused.len() == 3);
        assert_eq!(Fusion::Borda.fuse(&[], 10), []);
    }

    #[test]
    fn weights_that_do_not_fit_are_named() {
        for fusion in [
            Fusion::WeightedSum { weights: vec![] },
            Fusion::WeightedSum {
                weights: vec![1.0, -1.0, 1.0],
            },
            Fusion::ReciprocalRank {
                constant: 60.0,
                weights: vec![1.0],
            },
        ] {
            let error = fusion.validate(3).unwrap_err().to_string();
            assert!(error.starts_with("fusion.weights"), "{error}");
        }
    }
}
