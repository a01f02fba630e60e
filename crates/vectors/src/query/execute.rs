//! Execution of a query: from the leaves of the tree of stages to its root.
//!
//! A filter of a stage holds for all of its prefetches too, so that their limits count points that can still be
//! returned. A leaf query over prefetches searches exactly among the points they found.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::examples::{self, ContextPair, Strategy};
use super::formula::{Formula, Values};
use super::fusion::FusionList;
use super::mmr::{CANDIDATES_MAX, Mmr};
use super::request::{Hit, Query, QueryRequest, SearchOptions, Stage, Target};
use super::searcher::{ExampleSearch, NearestSearch, Ranked, Searcher, TextSearch};
use crate::error::VectorsError;
use crate::filter::{Condition, Filter};
use crate::point::{PointId, Vector};
use crate::schema::{Metric, VectorSchema};

/// Runs a query.
///
/// # Errors
/// [`VectorsError::Invalid`] and [`VectorsError::Limit`] for what [`QueryRequest::validate`] refuses, vectors of the wrong
/// kind or size, and formulas that fail; [`VectorsError::Missing`] for vectors and points that don't exist; the
/// searcher's own errors.
pub fn execute(searcher: &dyn Searcher, request: &QueryRequest) -> Result<Vec<Hit>, VectorsError> {
    request.validate()?;
    execute_validated(searcher, request)
}

pub(super) fn execute_validated(
    searcher: &dyn Searcher,
    request: &QueryRequest,
) -> Result<Vec<Hit>, VectorsError> {
    let execution = Execution {
        searcher,
        points: usize::try_from(searcher.point_count()).unwrap_or(usize::MAX),
    };
    let limit = request.stage.limit.saturating_add(request.offset);
    let list = execution.stage(&request.stage, &Filter::default(), limit)?;
    Ok(list.hits.into_iter().skip(request.offset).collect())
}

struct Execution<'a> {
    searcher: &'a dyn Searcher,
    points: usize,
}

/// Hits of a stage, best first, and whether their scores are distances.
struct HitList {
    hits: Vec<Hit>,
    distances: bool,
}

/// One leaf query, its filter and limit settled.
struct Leaf<'a> {
    stage: &'a Stage,
    filter: Filter,
    options: SearchOptions,
    limit: usize,
}

impl Execution<'_> {
    fn stage(&self, stage: &Stage, above: &Filter, limit: usize) -> Result<HitList, VectorsError> {
        let filter = both(above, &stage.filter);
        let limit = limit.min(self.points.max(1));
        let mut lists = Vec::with_capacity(stage.prefetch.len());
        for prefetch in &stage.prefetch {
            lists.push(self.stage(prefetch, &filter, prefetch.limit)?);
        }
        let keeps = |hit: &Hit| {
            stage
                .score_threshold
                .is_none_or(|threshold| hit.score >= threshold)
        };
        match &stage.query {
            Some(Query::Fusion(fusion)) => {
                let views: Vec<_> = lists
                    .iter()
                    .map(|list| FusionList {
                        hits: &list.hits,
                        distances: list.distances,
                    })
                    .collect();
                let mut hits = fusion.fuse(&views, limit);
                hits.retain(keeps);
                Ok(similarities(hits))
            }
            Some(Query::Formula(formula)) => {
                let mut hits = self.formula(formula, &lists, limit)?;
                hits.retain(keeps);
                Ok(similarities(hits))
            }
            _ if stage.prefetch.is_empty() => self.leaf(&Leaf {
                stage,
                filter,
                options: stage.options,
                limit,
            }),
            _ => {
                let found: BTreeSet<PointId> = lists
                    .iter()
                    .flat_map(|list| &list.hits)
                    .map(|hit| hit.id)
                    .collect();
                if found.is_empty() {
                    return Ok(similarities(Vec::new()));
                }
                self.leaf(&Leaf {
                    stage,
                    filter: both(&filter, &only(Condition::HasId(found))),
                    options: SearchOptions {
                        exact: true,
                        ..stage.options
                    },
                    limit,
                })
            }
        }
    }

    fn leaf(&self, leaf: &Leaf<'_>) -> Result<HitList, VectorsError> {
        let Some(query) = &leaf.stage.query else {
            let ids = self.searcher.by_id(&leaf.filter, leaf.limit)?;
            return Ok(unscored(ids));
        };
        match query {
            Query::Nearest { target, mmr } => self.nearest(leaf, target, mmr.as_ref()),
            Query::Text { text, parameters } => {
                let ranked = self.searcher.text(&TextSearch {
                    field: &leaf.stage.using,
                    text,
                    parameters: *parameters,
                    filter: &leaf.filter,
                    limit: leaf.limit,
                })?;
                Ok(scored(ranked, None, leaf.stage.score_threshold))
            }
            Query::Recommend {
                positive,
                negative,
                strategy,
            } => self.recommend(leaf, positive, negative, *strategy),
            Query::Discover { target, context } => {
                let targets = std::iter::once(target).chain(sides(context));
                self.by_examples(leaf, targets, &examples::discovery)
            }
            Query::Context { context } => {
                self.by_examples(leaf, sides(context), &examples::context)
            }
            Query::OrderBy(order) => {
                let ids = self.searcher.ordered(order, &leaf.filter, leaf.limit)?;
                Ok(unscored(ids))
            }
            Query::Sample { seed } => self.sample(leaf, *seed),
            // Both are dealt with where the prefetches are; validation lets neither stand without them.
            Query::Fusion(_) | Query::Formula(_) => {
                Err(VectorsError::invalid("query", "needs prefetches"))
            }
        }
    }

    fn nearest(
        &self,
        leaf: &Leaf<'_>,
        target: &Target,
        mmr: Option<&Mmr>,
    ) -> Result<HitList, VectorsError> {
        let (vectors, filter) = self.targets(leaf, std::iter::once(target))?;
        let Some(query) = vectors.first() else {
            return Err(VectorsError::invalid("query", "has no target"));
        };
        let limit = match mmr {
            Some(mmr) => mmr
                .candidates
                .unwrap_or(leaf.limit)
                .min(CANDIDATES_MAX)
                .min(self.points.max(1)),
            None => leaf.limit,
        };
        let list = self.nearest_vector(leaf, query, &filter, limit)?;
        match mmr {
            Some(mmr) => self.diverse(leaf, query, mmr, list),
            None => Ok(list),
        }
    }

    /// The nearest points to a vector, scores thresholded.
    fn nearest_vector(
        &self,
        leaf: &Leaf<'_>,
        query: &Vector,
        filter: &Filter,
        limit: usize,
    ) -> Result<HitList, VectorsError> {
        let name = &leaf.stage.using;
        let weighted = self.weighted(name, query)?;
        let ranked = self.searcher.nearest(&NearestSearch {
            vector: name,
            query: weighted.as_ref().unwrap_or(query),
            filter,
            options: leaf.options,
            limit,
        })?;
        let metric = metric_of(&self.searcher.vector_schema(name)?);
        Ok(scored(ranked, Some(metric), leaf.stage.score_threshold))
    }

    /// Takes diverse hits of a list.
    fn diverse(
        &self,
        leaf: &Leaf<'_>,
        query: &Vector,
        mmr: &Mmr,
        list: HitList,
    ) -> Result<HitList, VectorsError> {
        let ids: Vec<PointId> = list.hits.iter().map(|hit| hit.id).collect();
        let vectors = self.searcher.vectors(&leaf.stage.using, &ids)?;
        // A point deleted since it was found has no vector any more, and no place in the result.
        let (hits, vectors): (Vec<Hit>, Vec<Vector>) = list
            .hits
            .into_iter()
            .zip(vectors)
            .filter_map(|(hit, vector)| Some((hit, vector?)))
            .unzip();
        let metric = metric_of(&self.searcher.vector_schema(&leaf.stage.using)?);
        let normalized = match metric {
            Metric::Cosine => normalized(query),
            _ => query.clone(),
        };
        let taken = mmr.select(metric, &normalized, &vectors, leaf.limit);
        Ok(HitList {
            hits: taken.into_iter().map(|place| hits[place]).collect(),
            distances: list.distances,
        })
    }

    fn recommend(
        &self,
        leaf: &Leaf<'_>,
        positive: &[Target],
        negative: &[Target],
        strategy: Strategy,
    ) -> Result<HitList, VectorsError> {
        let targets = positive.iter().chain(negative);
        let positives = positive.len();
        match strategy {
            Strategy::AverageVector => {
                let (vectors, filter) = self.targets(leaf, targets)?;
                let (positive, negative) = vectors.split_at(positives.min(vectors.len()));
                let query = examples::average(positive, negative)?;
                self.nearest_vector(leaf, &query, &filter, leaf.limit)
            }
            Strategy::BestScore => self.by_examples(leaf, targets, &move |ranks| {
                examples::best_score(ranks, positives)
            }),
            Strategy::SumScores => self.by_examples(leaf, targets, &move |ranks| {
                examples::sum_scores(ranks, positives)
            }),
        }
    }

    fn by_examples<'t>(
        &self,
        leaf: &Leaf<'_>,
        targets: impl Iterator<Item = &'t Target>,
        combine: &(dyn Fn(&[f32]) -> f32 + Sync),
    ) -> Result<HitList, VectorsError> {
        let (mut vectors, filter) = self.targets(leaf, targets)?;
        for vector in &mut vectors {
            if let Some(weighted) = self.weighted(&leaf.stage.using, vector)? {
                *vector = weighted;
            }
        }
        let ranked = self.searcher.by_examples(&ExampleSearch {
            vector: &leaf.stage.using,
            examples: &vectors,
            combine,
            filter: &filter,
            options: leaf.options,
            limit: leaf.limit,
        })?;
        Ok(scored(ranked, None, leaf.stage.score_threshold))
    }

    /// The points of smallest hash: each seed orders all the points its own way, whatever segments they are in.
    fn sample(&self, leaf: &Leaf<'_>, seed: u64) -> Result<HitList, VectorsError> {
        let mut smallest = std::collections::BinaryHeap::new();
        self.searcher.visit(&leaf.filter, &mut |id| {
            let entry = (mixed(seed, id), id);
            if smallest.len() < leaf.limit {
                smallest.push(entry);
            } else if let Some(mut largest) = smallest.peek_mut()
                && entry < *largest
            {
                *largest = entry;
            }
        })?;
        let ids = smallest.into_sorted_vec();
        Ok(unscored(ids.into_iter().map(|(_, id)| id)))
    }

    fn formula(
        &self,
        formula: &Formula,
        lists: &[HitList],
        limit: usize,
    ) -> Result<Vec<Hit>, VectorsError> {
        let mut places: HashMap<PointId, usize> = HashMap::new();
        let mut ids = Vec::new();
        let mut scores: Vec<Vec<Option<f32>>> = Vec::new();
        for (prefetch, list) in lists.iter().enumerate() {
            for hit in &list.hits {
                let place = *places.entry(hit.id).or_insert_with(|| {
                    ids.push(hit.id);
                    scores.push(vec![None; lists.len()]);
                    ids.len() - 1
                });
                scores[place][prefetch] = Some(hit.score);
            }
        }
        let payloads = match formula.reads_payload() {
            true => self.searcher.payloads(&ids)?,
            false => Vec::new(),
        };
        let mut conditions = Vec::new();
        for condition in formula.conditions() {
            conditions.push(self.searcher.satisfying(condition, &ids)?);
        }
        let none = crate::point::Payload::new();
        let mut hits = Vec::with_capacity(ids.len());
        for (place, &id) in ids.iter().enumerate() {
            let holds: Vec<bool> = conditions
                .iter()
                .map(|condition| condition.get(place) == Some(&true))
                .collect();
            let payload = payloads.get(place).and_then(Option::as_ref);
            hits.push(Hit {
                id,
                score: formula.evaluate(&Values {
                    scores: &scores[place],
                    payload: payload.unwrap_or(&none),
                    conditions: &holds,
                })?,
            });
        }
        hits.sort_by(|one, two| two.score.total_cmp(&one.score).then(one.id.cmp(&two.id)));
        hits.truncate(limit);
        Ok(hits)
    }

    /// The vectors of targets in their order, and the stage's filter without the points of this collection among them.
    fn targets<'t>(
        &self,
        leaf: &Leaf<'_>,
        targets: impl Iterator<Item = &'t Target>,
    ) -> Result<(Vec<Vector>, Filter), VectorsError> {
        let targets: Vec<&Target> = targets.collect();
        let ids: Vec<PointId> = targets
            .iter()
            .filter_map(|target| match target {
                Target::Point(id) => Some(*id),
                Target::Vector(_) => None,
            })
            .collect();
        let name = &leaf.stage.using;
        let stored = match &leaf.stage.lookup_from {
            _ if ids.is_empty() => Vec::new(),
            Some(from) => {
                let name = from.vector.as_ref().unwrap_or(name);
                self.searcher
                    .vectors_elsewhere(&from.collection, name, &ids)?
            }
            None => self.searcher.vectors(name, &ids)?,
        };
        let mut by_id = BTreeMap::new();
        for (id, vector) in ids.iter().zip(stored) {
            let Some(vector) = vector else {
                return Err(VectorsError::Missing {
                    what: "vector of point",
                    name: id.to_string(),
                });
            };
            by_id.insert(*id, vector);
        }
        let schema = self.searcher.vector_schema(name)?;
        let mut vectors = Vec::with_capacity(targets.len());
        for target in targets {
            let vector = match target {
                Target::Vector(vector) => Some(vector),
                Target::Point(id) => by_id.get(id),
            };
            if let Some(vector) = vector {
                vectors.push(fitting(vector, &schema)?);
            }
        }
        let mut filter = leaf.filter.clone();
        if leaf.stage.lookup_from.is_none() && !ids.is_empty() {
            filter
                .must_not
                .push(Condition::HasId(ids.into_iter().collect()));
        }
        Ok((vectors, filter))
    }

    /// A sparse vector weighted by document frequencies; `None` for all others.
    fn weighted(&self, name: &str, vector: &Vector) -> Result<Option<Vector>, VectorsError> {
        let Vector::Sparse(sparse) = vector else {
            return Ok(None);
        };
        let weights = self
            .searcher
            .inverse_document_frequencies(name, &sparse.indices)?;
        Ok(weights.map(|weights| {
            let mut sparse = sparse.clone();
            for (value, weight) in sparse.values.iter_mut().zip(weights) {
                *value *= weight;
            }
            Vector::Sparse(sparse)
        }))
    }
}

fn sides(context: &[ContextPair]) -> impl Iterator<Item = &Target> {
    context
        .iter()
        .flat_map(|pair| [&pair.positive, &pair.negative])
}

/// The vector if it is of the kind and size that the schema says; one dense vector stands for a multi-vector of one.
fn fitting(vector: &Vector, schema: &VectorSchema) -> Result<Vector, VectorsError> {
    let fail = |message: String| Err(VectorsError::invalid("query", message));
    match (vector, schema) {
        (Vector::Sparse(_), VectorSchema::Sparse { .. }) => Ok(vector.clone()),
        (
            Vector::Dense(values),
            VectorSchema::Dense {
                dimensions, multi, ..
            },
        ) => {
            if values.len() != *dimensions as usize {
                return fail(format!(
                    "vector has {} dimensions, expected {dimensions}",
                    values.len()
                ));
            }
            Ok(match multi {
                true => Vector::Multi(vec![values.clone()]),
                false => vector.clone(),
            })
        }
        (
            Vector::Multi(vectors),
            VectorSchema::Dense {
                dimensions,
                multi: true,
                ..
            },
        ) => match vectors
            .iter()
            .find(|vector| vector.len() != *dimensions as usize)
        {
            Some(odd) => fail(format!(
                "vector has {} dimensions, expected {dimensions}",
                odd.len()
            )),
            None => Ok(vector.clone()),
        },
        _ => fail("vector is of another kind than the one stored under this name".to_owned()),
    }
}

fn metric_of(schema: &VectorSchema) -> Metric {
    match schema {
        VectorSchema::Dense { metric, .. } => *metric,
        VectorSchema::Sparse { .. } => Metric::Dot,
    }
}

/// Each dense part at length 1; zeros stay.
pub(super) fn normalized(vector: &Vector) -> Vector {
    let unit = |values: &[f32]| -> Vec<f32> {
        let squares: f64 = values.iter().map(|&value| f64::from(value).powi(2)).sum();
        let factor = if squares > 0.0 {
            1.0 / squares.sqrt()
        } else {
            0.0
        };
        values
            .iter()
            .map(|&value| (f64::from(value) * factor) as f32)
            .collect()
    };
    match vector {
        Vector::Dense(values) => Vector::Dense(unit(values)),
        Vector::Multi(vectors) => {
            Vector::Multi(vectors.iter().map(|values| unit(values)).collect())
        }
        Vector::Sparse(_) => vector.clone(),
    }
}

/// Scores of ranks by the metric (ranks themselves without one), those not better than the threshold dropped.
fn scored(ranked: Vec<Ranked>, metric: Option<Metric>, threshold: Option<f32>) -> HitList {
    let metric = metric.unwrap_or(Metric::Dot);
    let better = |score: f32| {
        threshold.is_none_or(|threshold| match metric.larger_is_better() {
            true => score > threshold,
            false => score < threshold,
        })
    };
    HitList {
        hits: ranked
            .into_iter()
            .map(|ranked| Hit {
                id: ranked.id,
                score: metric.score_of_rank(ranked.rank),
            })
            .filter(|hit| better(hit.score))
            .collect(),
        distances: !metric.larger_is_better(),
    }
}

fn similarities(hits: Vec<Hit>) -> HitList {
    HitList {
        hits,
        distances: false,
    }
}

/// Hits that nothing scores.
fn unscored(ids: impl IntoIterator<Item = PointId>) -> HitList {
    similarities(ids.into_iter().map(|id| Hit { id, score: 1.0 }).collect())
}

fn only(condition: Condition) -> Filter {
    Filter {
        must: vec![condition],
        ..Filter::default()
    }
}

/// A filter that holds where both do.
fn both(one: &Filter, two: &Filter) -> Filter {
    match (one.is_empty(), two.is_empty()) {
        (true, _) => two.clone(),
        (_, true) => one.clone(),
        _ => Filter {
            must: vec![
                Condition::Filter(one.clone()),
                Condition::Filter(two.clone()),
            ],
            ..Filter::default()
        },
    }
}

/// A hash of seed and id with every bit depending on every other (finaliser of SplitMix64, Steele et al. 2014).
fn mixed(seed: u64, id: PointId) -> u64 {
    let finalize = |mut state: u64| {
        state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        state ^ (state >> 31)
    };
    let (kind, value) = match id {
        PointId::Number(number) => (1, u128::from(number)),
        PointId::Uuid(value) => (2, value),
    };
    [kind, value as u64, (value >> 64) as u64]
        .into_iter()
        .fold(finalize(seed), |state, part| {
            finalize(state.wrapping_add(0x9e37_79b9_7f4a_7c15) ^ part)
        })
}
