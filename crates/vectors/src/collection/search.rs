//! Search with one vector over all segments.

use std::cell::RefCell;
use std::sync::Arc;

use super::limits::{self, RESULTS_MAX};
use super::request::{ScoredPoint, SearchRequest, With};
use super::{Collection, SegmentHandle, SegmentSet, read, validate};
use crate::error::VectorsError;
use crate::filter::Filter;
use crate::payload::{self, Plan, PlanParameters};
use crate::point::{PointId, SparseVector, Vector};
use crate::rows::{Allowed, Scored};
use crate::schema::VectorSchema;
use crate::segment::{SegmentScratch, SegmentView, VectorQuery};
use crate::sparse::SparseStatistics;

thread_local! {
    /// Buffers of this thread's searches: nothing is allocated per query once they have grown.
    static SCRATCH: RefCell<Buffers> = RefCell::default();
}

#[derive(Default)]
struct Buffers {
    segment: SegmentScratch,
    found: Vec<Scored>,
    hits: Vec<Hit>,
}

/// A row that one segment found.
#[derive(Debug, Clone, Copy)]
struct Hit {
    rank: f32,
    id: PointId,
    version: u64,
    segment: u32,
    row: u32,
}

impl Collection {
    /// The points nearest to a vector, best first; equal ranks in the order of ids.
    ///
    /// # Errors
    /// [`VectorsError::Missing`] for an unknown vector name, [`VectorsError::Invalid`] for a query or filter that does not
    /// fit, [`VectorsError::Limit`] for too many results, [`VectorsError::Corrupt`] when stored bytes are damaged.
    pub fn search(&self, request: &SearchRequest) -> Result<Vec<ScoredPoint>, VectorsError> {
        let set = self.current();
        let Some(schema) = set.schema.vectors.get(&request.vector) else {
            return Err(VectorsError::Missing {
                what: "vector",
                name: request.vector.clone(),
            });
        };
        self.check_with(&set.schema, &request.with)?;
        let wanted = request.limit.saturating_add(request.offset);
        limits::check("results", wanted, RESULTS_MAX)?;
        if let Some(filter) = &request.filter {
            filter.validate()?;
        }
        let mut vector = request.query.clone();
        prepare(schema, &mut vector)?;
        if let (VectorSchema::Sparse { idf: true }, Vector::Sparse(query)) = (schema, &mut vector) {
            self.weigh(query, &request.vector)?;
        }
        let mut parameters = request.parameters;
        parameters.k = wanted;
        let query = VectorQuery {
            name: &request.vector,
            vector: &vector,
            parameters,
            rank_min: rank_min(schema, request.score_threshold),
        };
        if wanted == 0 {
            return Ok(Vec::new());
        }
        // A search may call back into another one on this thread only through a bug; then it works with fresh buffers.
        SCRATCH.with(|scratch| match scratch.try_borrow_mut() {
            Ok(mut buffers) => self.search_with(request, schema, &query, &mut buffers),
            Err(_) => self.search_with(request, schema, &query, &mut Buffers::default()),
        })
    }

    fn search_with(
        &self,
        request: &SearchRequest,
        schema: &VectorSchema,
        query: &VectorQuery<'_>,
        buffers: &mut Buffers,
    ) -> Result<Vec<ScoredPoint>, VectorsError> {
        let set = self.current();
        let visited = self.collect_hits(&set, request.filter.as_ref(), query, buffers)?;
        let hits = &mut buffers.hits;
        hits.iter()
            .take(query.parameters.k)
            .skip(request.offset)
            .map(|hit| (hit, score_of(schema, hit.rank)))
            .take_while(|(_, score)| reaches(schema, *score, request.score_threshold))
            .map(|(hit, score)| {
                let point = if request.with == With::nothing() {
                    bare(hit)
                } else {
                    visited[hit.segment as usize]
                        .with(|view| read::project(view, hit.row, &set.schema, &request.with))?
                };
                Ok(ScoredPoint {
                    point,
                    score,
                    rank: hit.rank,
                })
            })
            .collect()
    }

    /// Ids and ranks of the nearest points, best first, equal ranks in the order of ids. The query is prepared and the
    /// filter was validated.
    pub(super) fn nearest_ids(
        &self,
        query: &VectorQuery<'_>,
        filter: Option<&Filter>,
    ) -> Result<Vec<(PointId, f32)>, VectorsError> {
        let search = |buffers: &mut Buffers| {
            self.collect_hits(&self.current(), filter, query, buffers)?;
            let best = buffers.hits.iter().take(query.parameters.k);
            Ok(best.map(|hit| (hit.id, hit.rank)).collect())
        };
        SCRATCH.with(|scratch| match scratch.try_borrow_mut() {
            Ok(mut buffers) => search(&mut buffers),
            Err(_) => search(&mut Buffers::default()),
        })
    }

    /// The best rows of every segment into `buffers.hits`: of each id the newest, best first, equal ranks in the order of
    /// ids. Returns the segments by the places that hits name.
    fn collect_hits(
        &self,
        set: &Arc<SegmentSet>,
        filter: Option<&Filter>,
        query: &VectorQuery<'_>,
        buffers: &mut Buffers,
    ) -> Result<Vec<SegmentHandle>, VectorsError> {
        let now = self.now_unix_ms();
        let mut visited: Vec<SegmentHandle> = Vec::with_capacity(set.sealed.len() + 2);
        buffers.hits.clear();
        set.walk(
            || self.current(),
            |segment| {
                buffers.found.clear();
                let place = visited.len() as u32;
                visited.push(segment.clone());
                segment.with(|view| {
                    if view.rows() == 0 {
                        return Ok(());
                    }
                    view.sweep_expired(now);
                    search_segment(view, filter, query, buffers)?;
                    buffers.hits.extend(buffers.found.iter().map(|one| Hit {
                        rank: one.rank,
                        id: view.id(one.row),
                        version: view.version(one.row),
                        segment: place,
                        row: one.row,
                    }));
                    Ok(())
                })
            },
        )?;
        if let Some(filter) = filter {
            self.want_indexes(filter);
        }
        let hits = &mut buffers.hits;
        if visited.len() > 1 {
            drop_older_versions(hits);
        }
        hits.sort_unstable_by(|one, two| {
            two.rank
                .total_cmp(&one.rank)
                .then_with(|| one.id.cmp(&two.id))
        });
        Ok(visited)
    }

    /// Multiplies query values by the inverse document frequency of their dimensions: ln(1 + (N - n + 0.5) / (n + 0.5)),
    /// as in BM25 (Robertson & Zaragoza 2009, with the 1 that keeps it above zero), N points with the vector, n of them with
    /// the dimension.
    fn weigh(&self, query: &mut SparseVector, name: &str) -> Result<(), VectorsError> {
        let weights = self.document_weights(name, &query.indices)?;
        for (value, weight) in query.values.iter_mut().zip(weights) {
            *value *= weight;
        }
        Ok(())
    }

    /// The inverse document frequencies of dimensions of a sparse vector over the whole collection.
    pub(crate) fn document_weights(
        &self,
        name: &str,
        dimensions: &[u32],
    ) -> Result<Vec<f32>, VectorsError> {
        let now = self.now_unix_ms();
        let mut statistics = SparseStatistics::default();
        for segment in self.current().handles() {
            statistics.add(&segment.with(|view| {
                view.sweep_expired(now);
                view.sparse_statistics(name, dimensions)
            })?);
        }
        Ok(statistics.inverse_document_frequencies())
    }
}

/// The rank from which rows are kept. A little below the threshold's: roots and squares do not round to each other, so
/// results are compared with the threshold again, as scores.
fn rank_min(schema: &VectorSchema, score_threshold: Option<f32>) -> f32 {
    match (schema, score_threshold) {
        (_, None) => f32::NEG_INFINITY,
        (VectorSchema::Dense { metric, .. }, Some(score)) => {
            let rank = metric.rank_of_score(score);
            rank - rank.abs() * 1e-6
        }
        (VectorSchema::Sparse { .. }, Some(score)) => score,
    }
}

fn score_of(schema: &VectorSchema, rank: f32) -> f32 {
    match schema {
        // Of multi-vectors with Euclid: the root of the sum of the best squared distances.
        VectorSchema::Dense { metric, .. } => metric.score_of_rank(rank),
        VectorSchema::Sparse { .. } => rank,
    }
}

fn reaches(schema: &VectorSchema, score: f32, threshold: Option<f32>) -> bool {
    let larger_is_better = match schema {
        VectorSchema::Dense { metric, .. } => metric.larger_is_better(),
        VectorSchema::Sparse { .. } => true,
    };
    threshold.is_none_or(|threshold| {
        if larger_is_better {
            score >= threshold
        } else {
            score <= threshold
        }
    })
}

/// Checks a query against the vector's schema and brings it into the form that stored vectors have; document frequencies
/// aside.
pub(super) fn prepare(schema: &VectorSchema, vector: &mut Vector) -> Result<(), VectorsError> {
    let field = || "query".to_owned();
    if let (VectorSchema::Dense { multi: true, .. }, Vector::Dense(values)) = (schema, &mut *vector)
    {
        *vector = Vector::Multi(vec![std::mem::take(values)]);
    }
    // Queries keep their precision: only stored vectors are rounded to the datatype.
    let mut exact = schema.clone();
    if let VectorSchema::Dense { datatype, .. } = &mut exact {
        *datatype = crate::schema::Datatype::Float32;
    }
    validate::vector(&exact, vector, &field)
}

/// A result for which nothing has to be read.
fn bare(hit: &Hit) -> super::StoredPoint {
    super::StoredPoint {
        id: hit.id,
        version: hit.version,
        payload: None,
        vectors: Default::default(),
        expires_unix_ms: None,
    }
}

/// The best rows of one segment, into `buffers.found`.
fn search_segment(
    view: &dyn SegmentView,
    filter: Option<&Filter>,
    query: &VectorQuery<'_>,
    buffers: &mut Buffers,
) -> Result<(), VectorsError> {
    let live = (view.live().removed() > 0).then_some(view.live());
    let parameters = PlanParameters {
        ef: query.parameters.ef.unwrap_or(query.parameters.k),
        exact: query.parameters.exact,
    };
    let indexes = view.payload_indexes();
    let mut query = *query;
    let rows = match payload::plan(filter, view, indexes, view.filter_cache(), parameters)? {
        Plan::Nothing => return Ok(()),
        Plan::Everything => None,
        Plan::Scan(rows) => {
            // A graph scans few rows by itself, on codes, and ranks the best of them again: several times as fast.
            query.parameters.exact |= !view.scans_on_codes(query.name);
            Some(rows)
        }
        Plan::Traverse(rows) => Some(rows),
    };
    let allowed = Allowed {
        live,
        filter: rows.as_deref(),
    };
    view.search(&query, allowed, &mut buffers.segment, &mut buffers.found)
}

/// Of hits of one id keeps the newest version.
fn drop_older_versions(hits: &mut Vec<Hit>) {
    hits.sort_unstable_by(|one, two| one.id.cmp(&two.id).then(two.version.cmp(&one.version)));
    hits.dedup_by_key(|hit| hit.id);
}
