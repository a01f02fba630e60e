//! Bounds of queries, checked before anything is searched.

use super::examples::{ContextPair, Strategy};
use super::request::{Query, QueryRequest, SearchOptions, Stage, Target};
use crate::error::VectorsError;
use crate::point::Vector;
use crate::text::Bm25;

/// Most stages within one another.
pub const DEPTH_MAX: usize = 8;

/// Most stages of a query.
pub const STAGES_MAX: usize = 64;

/// Most examples or pairs of one stage; each one is compared with every candidate.
pub const EXAMPLES_MAX: usize = 256;

/// Longest text of a query, in bytes.
pub const TEXT_BYTES_MAX: usize = 64 * 1024;

/// Most vectors of a multi-vector in a query.
pub const MULTI_VECTORS_MAX: usize = 1_024;

/// Longest candidate list of a graph.
pub const EF_MAX: usize = 100_000;

/// Largest factor of oversampling.
pub const OVERSAMPLING_MAX: f32 = 100.0;

impl QueryRequest {
    /// Refuses queries too large or too deep, and stages that make no sense.
    ///
    /// # Errors
    /// [`VectorsError::Invalid`] naming the part (`prefetch[1].query.positive`), or [`VectorsError::Limit`].
    pub fn validate(&self) -> Result<(), VectorsError> {
        let mut stages = 0;
        self.stage.validate("", 1, &mut stages)
    }
}

impl Stage {
    fn validate(&self, path: &str, depth: usize, stages: &mut usize) -> Result<(), VectorsError> {
        *stages += 1;
        limited("prefetch depth", DEPTH_MAX, depth)?;
        limited("number of prefetches", STAGES_MAX, *stages)?;
        let fail = |field: &str, message: &str| {
            Err(VectorsError::invalid(format!("{path}{field}"), message))
        };
        if self.limit == 0 {
            return fail("limit", "must be at least 1");
        }
        if self
            .score_threshold
            .is_some_and(|threshold| !threshold.is_finite())
        {
            return fail("score_threshold", "must be a finite number");
        }
        self.options
            .validate()
            .map_err(|error| within(path, error))?;
        self.filter
            .validate()
            .map_err(|error| within(&format!("{path}filter."), error))?;
        match &self.query {
            None if !self.prefetch.is_empty() => {
                return fail("query", "is needed to merge the prefetches");
            }
            Some(Query::Fusion(_) | Query::Formula(_)) if self.prefetch.is_empty() => {
                return fail("query", "needs prefetches");
            }
            Some(query) => query
                .validate(self.prefetch.len())
                .map_err(|error| within(&format!("{path}query."), error))?,
            None => {}
        }
        for (index, stage) in self.prefetch.iter().enumerate() {
            stage.validate(&format!("{path}prefetch[{index}]."), depth + 1, stages)?;
        }
        Ok(())
    }
}

impl SearchOptions {
    fn validate(&self) -> Result<(), VectorsError> {
        if let Some(ef) = self.ef {
            limited("ef", EF_MAX, ef)?;
        }
        if self
            .oversampling
            .is_some_and(|factor| !(1.0..=OVERSAMPLING_MAX).contains(&factor))
        {
            return Err(VectorsError::invalid(
                "params.oversampling",
                format!("must be from 1 to {OVERSAMPLING_MAX}"),
            ));
        }
        if self
            .target_recall
            .is_some_and(|recall| !(recall > 0.0 && recall <= 1.0))
        {
            return Err(VectorsError::invalid(
                "params.target_recall",
                "must be above 0 and at most 1",
            ));
        }
        Ok(())
    }
}

impl Query {
    fn validate(&self, prefetches: usize) -> Result<(), VectorsError> {
        match self {
            Query::Nearest { target, mmr } => {
                target.validate("nearest")?;
                mmr.as_ref().map_or(Ok(()), |mmr| mmr.validate())
            }
            Query::Text { text, parameters } => {
                limited("query text in bytes", TEXT_BYTES_MAX, text.len())?;
                parameters
                    .scoring(Bm25::default())
                    .validate()
                    .map_err(|error| within("text.", error))
            }
            Query::Recommend {
                positive,
                negative,
                strategy,
            } => {
                limited(
                    "number of examples",
                    EXAMPLES_MAX,
                    positive.len() + negative.len(),
                )?;
                if positive.is_empty()
                    && (negative.is_empty() || *strategy == Strategy::AverageVector)
                {
                    return Err(VectorsError::invalid("positive", "must have an example"));
                }
                positive
                    .iter()
                    .try_for_each(|example| example.validate("positive"))?;
                negative
                    .iter()
                    .try_for_each(|example| example.validate("negative"))
            }
            Query::Discover { target, context } => {
                target.validate("target")?;
                validate_pairs(context)
            }
            Query::Context { context } => {
                if context.is_empty() {
                    return Err(VectorsError::invalid("context", "must have a pair"));
                }
                validate_pairs(context)
            }
            Query::OrderBy(order) => match order.start_from {
                Some(start) if start.is_nan() => Err(VectorsError::invalid(
                    "order_by.start_from",
                    "must be a number",
                )),
                _ => Ok(()),
            },
            Query::Sample { .. } => Ok(()),
            Query::Fusion(fusion) => fusion.validate(prefetches),
            Query::Formula(formula) => formula.validate(),
        }
    }
}

impl Target {
    /// Vectors of points were checked when they were stored; those given must be finite and well-formed.
    fn validate(&self, field: &str) -> Result<(), VectorsError> {
        let Target::Vector(vector) = self else {
            return Ok(());
        };
        let fail = |message: &str| Err(VectorsError::invalid(field, message));
        let finite = |values: &[f32]| values.iter().all(|value| value.is_finite());
        match vector {
            Vector::Dense(values) if values.is_empty() => fail("must not be empty"),
            Vector::Dense(values) if !finite(values) => fail("must be finite numbers"),
            Vector::Dense(_) => Ok(()),
            Vector::Sparse(sparse) => {
                if sparse.indices.len() != sparse.values.len() {
                    return fail("must have as many values as indices");
                }
                if !sparse.indices.is_sorted_by(|one, two| one < two) {
                    return fail("indices must rise, each appearing once");
                }
                if !finite(&sparse.values) {
                    return fail("must be finite numbers");
                }
                Ok(())
            }
            Vector::Multi(vectors) => {
                limited(
                    "vectors of the multi-vector",
                    MULTI_VECTORS_MAX,
                    vectors.len(),
                )?;
                let size = vectors.first().map_or(0, Vec::len);
                if size == 0 || vectors.iter().any(|vector| vector.len() != size) {
                    return fail("must be vectors of one size");
                }
                if !vectors.iter().all(|vector| finite(vector)) {
                    return fail("must be finite numbers");
                }
                Ok(())
            }
        }
    }
}

fn validate_pairs(pairs: &[ContextPair]) -> Result<(), VectorsError> {
    limited("number of context pairs", EXAMPLES_MAX, pairs.len())?;
    pairs.iter().try_for_each(|pair| {
        pair.positive.validate("context.positive")?;
        pair.negative.validate("context.negative")
    })
}

fn limited(what: &'static str, limit: usize, actual: usize) -> Result<(), VectorsError> {
    if actual > limit {
        return Err(VectorsError::Limit {
            what,
            limit: limit as u64,
            actual: actual as u64,
        });
    }
    Ok(())
}

/// Puts `path` before the field that an error names.
fn within(path: &str, error: VectorsError) -> VectorsError {
    match error {
        VectorsError::Invalid { field, message } => VectorsError::Invalid {
            field: format!("{path}{field}"),
            message,
        },
        other => other,
    }
}
