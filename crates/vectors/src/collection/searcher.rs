//! What the stages of a query tree ask, answered from the segments of a collection.

use std::collections::HashMap;

use super::limits::{self, BATCH_POINTS_MAX, RESULTS_MAX};
use super::request::{PayloadSelection, ScrollRequest, StoredPoint, VectorSelection, With};
use super::{Collection, read, search};
use crate::database::Database;
use crate::error::VectorsError;
use crate::filter::{Condition, Filter, Number};
use crate::index::SearchParameters;
use crate::payload::{self, Ordered};
use crate::point::{Payload, PointId, Vector};
use crate::query::{
    Direction, ExampleSearch, NearestSearch, OrderBy, Ranked, Searcher, TextSearch,
    scan_by_examples,
};
use crate::rows::{Allowed, RowSet};
use crate::schema::{Metric, VectorSchema};
use crate::segment::{SegmentView, VectorQuery};

/// A collection, and the database around it when vectors of other collections can be looked up.
#[derive(Debug, Clone, Copy)]
pub struct CollectionSearcher<'a> {
    collection: &'a Collection,
    database: Option<&'a Database>,
}

/// A point that one segment found.
#[derive(Debug, Clone, Copy)]
pub(super) struct Candidate {
    pub id: PointId,
    pub version: u64,
    pub rank: f32,
}

impl<'a> CollectionSearcher<'a> {
    /// Vectors are looked up in this collection only.
    pub fn alone(collection: &'a Collection) -> Self {
        CollectionSearcher {
            collection,
            database: None,
        }
    }

    /// Vectors are looked up in any collection of the database.
    pub fn among(collection: &'a Collection, database: &'a Database) -> Self {
        CollectionSearcher {
            collection,
            database: Some(database),
        }
    }

    pub(super) fn collection(&self) -> &'a Collection {
        self.collection
    }

    fn points_of(
        &self,
        ids: &[PointId],
        with: &With,
    ) -> Result<HashMap<PointId, StoredPoint>, VectorsError> {
        let mut points = HashMap::with_capacity(ids.len());
        for ids in ids.chunks(BATCH_POINTS_MAX) {
            let stored = self.collection.get(ids, with)?;
            points.extend(stored.into_iter().map(|point| (point.id, point)));
        }
        Ok(points)
    }
}

impl Collection {
    /// Calls `visit` with every segment that has rows, and the live rows of it that pass the filter; `None` are all live ones.
    pub(super) fn each_filtered_segment(
        &self,
        filter: &Filter,
        mut visit: impl FnMut(&dyn SegmentView, Option<&RowSet>) -> Result<(), VectorsError>,
    ) -> Result<(), VectorsError> {
        let now = self.now_unix_ms();
        self.current().walk(
            || self.current(),
            |segment| {
                segment.with(|view| {
                    if view.rows() == 0 {
                        return Ok(());
                    }
                    view.sweep_expired(now);
                    if filter.is_empty() {
                        return visit(view, None);
                    }
                    let rows = payload::rows(filter, view, view.payload_indexes())?;
                    visit(view, Some(&rows))
                })
            },
        )?;
        self.want_indexes(filter);
        Ok(())
    }
}

/// Live rows of a segment, restricted to `rows`.
pub(super) fn allowed<'v>(view: &'v dyn SegmentView, rows: Option<&'v RowSet>) -> Allowed<'v> {
    Allowed {
        live: (view.live().removed() > 0).then_some(view.live()),
        filter: rows,
    }
}

/// Of candidates of one id the newest, the best first, equal ranks in the order of ids, at most `limit`.
pub(super) fn best(mut candidates: Vec<Candidate>, limit: usize) -> Vec<Ranked> {
    candidates.sort_unstable_by(|one, two| one.id.cmp(&two.id).then(two.version.cmp(&one.version)));
    candidates.dedup_by_key(|one| one.id);
    candidates.sort_unstable_by(|one, two| {
        two.rank
            .total_cmp(&one.rank)
            .then_with(|| one.id.cmp(&two.id))
    });
    candidates.truncate(limit);
    candidates
        .into_iter()
        .map(|one| Ranked {
            id: one.id,
            rank: one.rank,
        })
        .collect()
}

impl Searcher for CollectionSearcher<'_> {
    fn vector_schema(&self, name: &str) -> Result<VectorSchema, VectorsError> {
        let schema = self.collection.schema();
        schema
            .vectors
            .get(name)
            .cloned()
            .ok_or_else(|| VectorsError::Missing {
                what: "vector",
                name: name.to_owned(),
            })
    }

    fn point_count(&self) -> u64 {
        // Without a filter nothing is read that could fail; were it so, limits alone would bound the lists.
        self.collection.count(None).unwrap_or(u64::MAX)
    }

    fn nearest(&self, search: &NearestSearch<'_>) -> Result<Vec<Ranked>, VectorsError> {
        limits::check("results", search.limit, RESULTS_MAX)?;
        let schema = self.vector_schema(search.vector)?;
        let mut vector = search.query.clone();
        search::prepare(&schema, &mut vector)?;
        let options = search.options;
        let found = self.collection.nearest_ids(
            &VectorQuery {
                name: search.vector,
                vector: &vector,
                parameters: SearchParameters {
                    k: search.limit,
                    ef: options.ef,
                    exact: options.exact,
                    rescore: options.rescore,
                    oversampling: options.oversampling,
                    target_recall: options.target_recall,
                },
                rank_min: f32::NEG_INFINITY,
            },
            Some(search.filter),
        )?;
        Ok(found
            .into_iter()
            .map(|(id, rank)| Ranked { id, rank })
            .collect())
    }

    fn by_examples(&self, search: &ExampleSearch<'_>) -> Result<Vec<Ranked>, VectorsError> {
        limits::check("results", search.limit, RESULTS_MAX)?;
        let metric = match self.vector_schema(search.vector)? {
            VectorSchema::Dense { metric, .. } => metric,
            VectorSchema::Sparse { .. } => Metric::Dot,
        };
        let mut candidates = Vec::new();
        self.collection
            .each_filtered_segment(search.filter, |view, rows| {
                let found = scan_by_examples(view, metric, search, allowed(view, rows))?;
                candidates.extend(found.iter().map(|one| Candidate {
                    id: view.id(one.row),
                    version: view.version(one.row),
                    rank: one.rank,
                }));
                Ok(())
            })?;
        Ok(best(candidates, search.limit))
    }

    fn text(&self, search: &TextSearch<'_>) -> Result<Vec<Ranked>, VectorsError> {
        limits::check("results", search.limit, RESULTS_MAX)?;
        self.collection.search_text(search)
    }

    fn inverse_document_frequencies(
        &self,
        name: &str,
        dimensions: &[u32],
    ) -> Result<Option<Vec<f32>>, VectorsError> {
        match self.vector_schema(name)? {
            VectorSchema::Sparse { idf: true } => {
                self.collection.document_weights(name, dimensions).map(Some)
            }
            _ => Ok(None),
        }
    }

    fn vectors(&self, name: &str, ids: &[PointId]) -> Result<Vec<Option<Vector>>, VectorsError> {
        let with = With {
            payload: PayloadSelection::None,
            vectors: VectorSelection::Names([name.to_owned()].into()),
        };
        let points = self.points_of(ids, &with)?;
        Ok(ids
            .iter()
            .map(|id| points.get(id)?.vectors.get(name).cloned())
            .collect())
    }

    fn vectors_elsewhere(
        &self,
        collection: &str,
        name: &str,
        ids: &[PointId],
    ) -> Result<Vec<Option<Vector>>, VectorsError> {
        if collection == self.collection.name() {
            return self.vectors(name, ids);
        }
        let Some(database) = self.database else {
            return Err(VectorsError::invalid(
                "lookup_from",
                "other collections can be reached by queries of the database only",
            ));
        };
        let other = database.collection(collection)?;
        CollectionSearcher::among(&other, database).vectors(name, ids)
    }

    fn payloads(&self, ids: &[PointId]) -> Result<Vec<Option<Payload>>, VectorsError> {
        let points = self.points_of(ids, &With::payload())?;
        Ok(ids
            .iter()
            .map(|id| points.get(id)?.payload.clone())
            .collect())
    }

    fn satisfying(
        &self,
        condition: &Condition,
        ids: &[PointId],
    ) -> Result<Vec<bool>, VectorsError> {
        let filter = Filter {
            must: vec![condition.clone()],
            ..Filter::default()
        };
        let matcher = self.collection.matcher(&filter);
        let now = self.collection.now_unix_ms();
        let set = self.collection.current();
        ids.iter()
            .map(|&id| match set.find(id, now) {
                None => Ok(false),
                Some(location) => location
                    .segment
                    .with(|view| read::passes(&matcher, view, location.row)),
            })
            .collect()
    }

    fn by_id(&self, filter: &Filter, limit: usize) -> Result<Vec<PointId>, VectorsError> {
        let page = self.collection.scroll(&ScrollRequest {
            limit,
            filter: Some(filter.clone()),
            ..ScrollRequest::default()
        })?;
        Ok(page.points.into_iter().map(|point| point.id).collect())
    }

    fn ordered(
        &self,
        order: &OrderBy,
        filter: &Filter,
        limit: usize,
    ) -> Result<Vec<PointId>, VectorsError> {
        limits::check("results", limit, RESULTS_MAX)?;
        let direction = match order.direction {
            Direction::Ascending => payload::Direction::Ascending,
            Direction::Descending => payload::Direction::Descending,
        };
        let mut found: Vec<(Ordered, u64)> = Vec::new();
        self.collection
            .each_filtered_segment(filter, |view, rows| {
                let mut live = view.live().snapshot();
                if let Some(rows) = rows {
                    for (word, other) in live.words_mut().iter_mut().zip(rows.words()) {
                        *word &= other;
                    }
                }
                let ordered = payload::ordered(
                    &order.key,
                    direction,
                    order.start_from.map(Number::Float),
                    limit,
                    &live,
                    view,
                    view.payload_indexes(),
                )?;
                found.extend(ordered.into_iter().map(|one| (one, view.version(one.row))));
                Ok(())
            })?;
        let mut newest: HashMap<PointId, u64> = HashMap::new();
        for (one, version) in &found {
            let known = newest.entry(one.id).or_insert(*version);
            *known = (*known).max(*version);
        }
        found.retain(|(one, version)| newest.get(&one.id) == Some(version));
        found.sort_by(|(one, _), (two, _)| one.compare(two, direction));
        found.truncate(limit);
        Ok(found.into_iter().map(|(one, _)| one.id).collect())
    }

    fn visit(&self, filter: &Filter, visit: &mut dyn FnMut(PointId)) -> Result<(), VectorsError> {
        self.collection
            .matching_ids(filter)?
            .into_iter()
            .for_each(visit);
        Ok(())
    }
}
