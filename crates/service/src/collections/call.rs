//! One call of a collection's use case: who may, where it runs, what it leaves in the metrics.

use std::sync::Arc;

use security::{Action, Identity, TenantId};
use vectors::{Collection, VectorsError};

use super::failures::{from_vectors, missing};
use super::lanes::Lane;
use super::tenants::Tenant;
use crate::error::{Error, Result};
use crate::service::Service;

/// A use case: its name in the metrics, what it needs, where it runs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Call {
    pub(super) name: &'static str,
    pub(super) action: Action,
    pub(super) lane: Lane,
}

impl Call {
    /// Looks at points.
    pub(crate) const fn read(name: &'static str) -> Self {
        Call {
            name,
            action: Action::ReadCollections,
            lane: Lane::Read,
        }
    }

    /// Changes points.
    pub(crate) const fn write(name: &'static str) -> Self {
        Call {
            name,
            action: Action::WriteCollections,
            lane: Lane::Write,
        }
    }

    /// Changes which collections, indexes or snapshots there are.
    pub(crate) const fn manage(name: &'static str) -> Self {
        Call {
            name,
            action: Action::ManageCollections,
            lane: Lane::Slow,
        }
    }
}

/// A collection in use, with the parts of its tenant.
pub(crate) struct Used {
    /// The tenant's parts.
    pub(crate) tenant: Arc<Tenant>,
    /// The collection's own name.
    pub(crate) name: String,
    /// The collection.
    pub(crate) collection: Arc<Collection>,
}

impl Service {
    /// Checks who asks, and runs `work` on the parts of the caller's tenant where it may block. `None`: the tenant never had
    /// a collection.
    pub(crate) async fn with_tenant<T, Work>(
        &self,
        identity: &Identity,
        call: Call,
        work: Work,
    ) -> Result<T>
    where
        T: Send + 'static,
        Work: FnOnce(Option<Arc<Tenant>>) -> Result<T> + Send + 'static,
    {
        self.in_tenant(identity, call, |tenants, tenant| {
            work(tenants.find(&tenant)?)
        })
        .await
    }

    /// As [`Service::with_tenant`]; `work` finds or makes the parts itself.
    pub(super) async fn in_tenant<T, Work>(
        &self,
        identity: &Identity,
        call: Call,
        work: Work,
    ) -> Result<T>
    where
        T: Send + 'static,
        Work: FnOnce(&super::tenants::Tenants, TenantId) -> Result<T> + Send + 'static,
    {
        self.authorize(Some(identity), call.action)?;
        let guard = self.enter()?;
        let started = self.clock.now();
        let tenants = Arc::clone(&self.collections.tenants);
        let tenant = identity.tenant.clone();
        let outcome = self
            .collections
            .lanes
            .run(call.lane, move || {
                let outcome = work(&tenants, tenant);
                // Work goes on when its caller leaves: a drain waits for it too.
                drop(guard);
                outcome
            })
            .await;
        let seconds = self.clock.now().saturating_duration_since(started);
        super::metrics::count(call.name, &outcome, seconds);
        outcome
    }

    /// Checks who asks, and runs `work` on a collection of the caller's tenant, by its name or an alias, where it may block.
    pub(crate) async fn with_collection<T, Work>(
        &self,
        identity: &Identity,
        call: Call,
        name: &str,
        work: Work,
    ) -> Result<T>
    where
        T: Send + 'static,
        Work: FnOnce(&Used) -> Result<T, VectorsError> + Send + 'static,
    {
        let asked = name.to_owned();
        self.with_tenant(identity, call, move |tenant| {
            let used = used(tenant, &asked)?;
            work(&used).map_err(|error| closed(&used, error))
        })
        .await
    }
}

/// The collection of a name or alias.
pub(super) fn used(tenant: Option<Arc<Tenant>>, asked: &str) -> Result<Used> {
    let tenant = tenant.ok_or_else(|| missing(asked))?;
    let name = tenant.resolve(asked);
    let collection = tenant.database.collection(&name).map_err(from_vectors)?;
    Ok(Used {
        tenant,
        name,
        collection,
    })
}

/// A collection that was deleted while it was in use refuses writes; what its caller needs to hear is that it is gone.
pub(super) fn closed(used: &Used, error: VectorsError) -> Error {
    match error {
        VectorsError::ReadOnly { .. } if !used.tenant.database.contains(&used.name) => {
            missing(&used.name)
        }
        error => from_vectors(error),
    }
}
