//! Query trees on a collection: runs them and reads the points they found.

use std::collections::HashMap;

use super::limits::{self, BATCH_POINTS_MAX, RESULTS_MAX};
use super::{Collection, CollectionSearcher, StoredPoint, With};
use crate::database::Database;
use crate::error::VectorsError;
use crate::point::PointId;
use crate::query::{self, GroupKey, GroupRequest, QueryRequest};

/// A point that a query found.
#[derive(Debug, Clone, PartialEq)]
pub struct QueriedPoint {
    /// The point.
    pub point: StoredPoint,
    /// Its score, as [`query::Hit::score`].
    pub score: f32,
}

/// Points that share a value of their payload, best first.
#[derive(Debug, Clone, PartialEq)]
pub struct PointGroup {
    /// The value.
    pub key: GroupKey,
    /// The points.
    pub points: Vec<QueriedPoint>,
}

impl Collection {
    /// Runs a query tree and reads what `with` names of the points it found, best first. A point that is deleted while the
    /// query runs is left out. Vectors can be looked up in this collection only; see [`Database::query`].
    ///
    /// # Errors
    /// As [`query::execute`]; [`VectorsError::Limit`] for too many results.
    pub fn query(
        &self,
        request: &QueryRequest,
        with: &With,
    ) -> Result<Vec<QueriedPoint>, VectorsError> {
        CollectionSearcher::alone(self).query(request, with)
    }

    /// Runs a query tree and groups what it found by a payload value; see [`query::execute_groups`].
    ///
    /// # Errors
    /// As [`Collection::query`].
    pub fn query_groups(
        &self,
        request: &GroupRequest,
        with: &With,
    ) -> Result<Vec<PointGroup>, VectorsError> {
        CollectionSearcher::alone(self).query_groups(request, with)
    }
}

impl Database {
    /// [`Collection::query`], with vectors looked up in any collection of the database.
    ///
    /// # Errors
    /// As [`Collection::query`]; [`VectorsError::CollectionMissing`] for this collection and for those looked up in.
    pub fn query(
        &self,
        collection: &str,
        request: &QueryRequest,
        with: &With,
    ) -> Result<Vec<QueriedPoint>, VectorsError> {
        let collection = self.collection(collection)?;
        CollectionSearcher::among(&collection, self).query(request, with)
    }

    /// [`Collection::query_groups`], with vectors looked up in any collection of the database.
    ///
    /// # Errors
    /// As [`Database::query`].
    pub fn query_groups(
        &self,
        collection: &str,
        request: &GroupRequest,
        with: &With,
    ) -> Result<Vec<PointGroup>, VectorsError> {
        let collection = self.collection(collection)?;
        CollectionSearcher::among(&collection, self).query_groups(request, with)
    }
}

impl CollectionSearcher<'_> {
    fn query(
        &self,
        request: &QueryRequest,
        with: &With,
    ) -> Result<Vec<QueriedPoint>, VectorsError> {
        let wanted = request.stage.limit.saturating_add(request.offset);
        if wanted > RESULTS_MAX {
            // A limit beyond what is stored means all of it.
            let wanted = self.collection().points_at_most(wanted)?;
            limits::check("results", wanted, RESULTS_MAX)?;
        }
        self.collection()
            .check_with(&self.collection().schema(), with)?;
        let hits = query::execute(self, request)?;
        self.read(&hits, with)
    }

    fn query_groups(
        &self,
        request: &GroupRequest,
        with: &With,
    ) -> Result<Vec<PointGroup>, VectorsError> {
        self.collection()
            .check_with(&self.collection().schema(), with)?;
        query::execute_groups(self, request)?
            .into_iter()
            .map(|group| {
                Ok(PointGroup {
                    key: group.key,
                    points: self.read(&group.hits, with)?,
                })
            })
            .collect()
    }

    /// The points of hits; an order by a field may name one several times.
    fn read(&self, hits: &[query::Hit], with: &With) -> Result<Vec<QueriedPoint>, VectorsError> {
        let mut points: HashMap<PointId, StoredPoint> = HashMap::with_capacity(hits.len());
        let mut ids: Vec<PointId> = hits.iter().map(|hit| hit.id).collect();
        ids.sort_unstable();
        ids.dedup();
        for ids in ids.chunks(BATCH_POINTS_MAX) {
            let stored = self.collection().get(ids, with)?;
            points.extend(stored.into_iter().map(|point| (point.id, point)));
        }
        Ok(hits
            .iter()
            .filter_map(|hit| {
                Some(QueriedPoint {
                    point: points.get(&hit.id)?.clone(),
                    score: hit.score,
                })
            })
            .collect())
    }
}
