//! Query trees over collections. Vectors of points that a query names may be looked up in any collection of the tenant.

use security::Identity;
use vectors::VectorsError;
use vectors::collection::{PointGroup, QueriedPoint, With};
use vectors::query::{GroupRequest, QueryRequest, Stage};

use super::call::{Call, Used};
use crate::error::{Error, Result};
use crate::service::Service;

/// Most queries of one batch.
pub const QUERIES_MAX: usize = 1_000;

impl Service {
    /// Runs a query tree and reads what `with` names of the points it found, best first.
    ///
    /// # Errors
    /// `NotFound` for the collection or one that vectors are looked up in; `InvalidRequest` naming the stage at fault.
    pub async fn points_query(
        &self,
        identity: &Identity,
        collection: &str,
        mut request: QueryRequest,
        with: With,
    ) -> Result<Vec<QueriedPoint>> {
        self.with_collection(identity, Call::read("query"), collection, move |used| {
            used.resolve_lookups(&mut request.stage);
            used.tenant.database.query(&used.name, &request, &with)
        })
        .await
    }

    /// Runs several query trees, one after another.
    ///
    /// # Errors
    /// As [`Service::points_query`]; of the first that fails.
    pub async fn points_query_batch(
        &self,
        identity: &Identity,
        collection: &str,
        requests: Vec<(QueryRequest, With)>,
    ) -> Result<Vec<Vec<QueriedPoint>>> {
        if requests.len() > QUERIES_MAX {
            return Err(Error::invalid(
                "searches",
                format!("One batch has at most {QUERIES_MAX} queries."),
            ));
        }
        self.with_collection(
            identity,
            Call::read("query_batch"),
            collection,
            move |used| {
                let run = |(mut request, with): (QueryRequest, With)| {
                    used.resolve_lookups(&mut request.stage);
                    used.tenant.database.query(&used.name, &request, &with)
                };
                requests
                    .into_iter()
                    .map(run)
                    .collect::<Result<_, VectorsError>>()
            },
        )
        .await
    }

    /// Runs a query tree and groups what it found by a payload value.
    ///
    /// # Errors
    /// As [`Service::points_query`].
    pub async fn points_query_groups(
        &self,
        identity: &Identity,
        collection: &str,
        mut request: GroupRequest,
        with: With,
    ) -> Result<Vec<PointGroup>> {
        self.with_collection(
            identity,
            Call::read("query_groups"),
            collection,
            move |used| {
                used.resolve_lookups(&mut request.query.stage);
                used.tenant
                    .database
                    .query_groups(&used.name, &request, &with)
            },
        )
        .await
    }
}

impl Used {
    /// Puts collections' own names in the place of aliases that stages look vectors up in.
    fn resolve_lookups(&self, stage: &mut Stage) {
        // Bounded: deeper trees are refused before they run, and a request's body bounds how deep one can be.
        let mut stages = vec![stage];
        while let Some(stage) = stages.pop() {
            if let Some(from) = &mut stage.lookup_from {
                from.collection = self.tenant.resolve(&from.collection);
            }
            stages.extend(&mut stage.prefetch);
        }
    }
}
