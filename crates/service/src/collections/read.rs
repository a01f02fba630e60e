//! Reading points: by id, page by page, counted.

use security::Identity;
use vectors::collection::{FacetHit, ScrollPage, ScrollRequest, StoredPoint, With};
use vectors::filter::{FieldPath, Filter};
use vectors::point::PointId;

use super::call::Call;
use crate::error::Result;
use crate::service::Service;

impl Service {
    /// The points of these ids that are stored, in the order asked.
    ///
    /// # Errors
    /// `NotFound` for the collection; `InvalidRequest` for an unknown vector's name or too many ids.
    pub async fn points_get(
        &self,
        identity: &Identity,
        collection: &str,
        ids: Vec<PointId>,
        with: With,
    ) -> Result<Vec<StoredPoint>> {
        self.with_collection(identity, Call::read("get"), collection, move |used| {
            used.collection.get(&ids, &with)
        })
        .await
    }

    /// A page of points, in the order of ids or of a field.
    ///
    /// # Errors
    /// `NotFound`; `InvalidRequest` for a filter or order that makes no sense.
    pub async fn points_scroll(
        &self,
        identity: &Identity,
        collection: &str,
        request: ScrollRequest,
    ) -> Result<ScrollPage> {
        self.with_collection(identity, Call::read("scroll"), collection, move |used| {
            used.collection.scroll(&request)
        })
        .await
    }

    /// How many points match, exactly; all of them without a filter.
    ///
    /// # Errors
    /// `NotFound`; `InvalidRequest` for a filter that makes no sense.
    pub async fn points_count(
        &self,
        identity: &Identity,
        collection: &str,
        filter: Option<Filter>,
    ) -> Result<u64> {
        self.with_collection(identity, Call::read("count"), collection, move |used| {
            used.collection.count(filter.as_ref())
        })
        .await
    }

    /// How many matching points have each value of a field, the most frequent first.
    ///
    /// # Errors
    /// `NotFound`; `InvalidRequest` for a filter that makes no sense or too many values.
    pub async fn points_facet(
        &self,
        identity: &Identity,
        collection: &str,
        key: FieldPath,
        filter: Option<Filter>,
        limit: usize,
    ) -> Result<Vec<FacetHit>> {
        self.with_collection(identity, Call::read("facet"), collection, move |used| {
            used.collection.facet(&key, filter.as_ref(), limit)
        })
        .await
    }
}
