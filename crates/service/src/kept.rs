//! What administrators see of the result cache, and how they empty it.

use std::time::Duration;

use cache::Statistics;
use security::{Action, Identity, Scope};

use crate::error::{Error, ErrorKind, Result};
use crate::failures;
use crate::service::Service;

/// The longest prefix that is cleared by: kinds and digests are much shorter.
const PREFIX_BYTES_MAX: usize = 256;

impl Service {
    /// Whether results of science models are kept at all.
    pub fn keeps_science(&self) -> bool {
        let lifetime = self.results.lifetimes.science;
        self.results.for_call(false, lifetime).is_some()
    }

    /// For how long they are kept.
    pub fn science_lifetime(&self) -> Duration {
        self.results.lifetimes.science
    }

    /// What the result cache holds and did since the start; `None` when nothing is kept.
    ///
    /// # Errors
    /// `Forbidden`.
    pub async fn cache_statistics(&self, identity: &Identity) -> Result<Option<Statistics>> {
        self.authorize(Some(identity), Action::ReadCache)?;
        Ok(self.results.cache().map(|cache| cache.statistics()))
    }

    /// Drops kept results whose names begin with `prefix`, such as `spectrum:`; all when it is empty. An administrator's call
    /// is about everybody's, any other's about its own tenant's. Gives how many entries went.
    ///
    /// # Errors
    /// `InvalidRequest` for a prefix that no name has; `NotSupported` when nothing is kept.
    pub async fn cache_clear(&self, identity: &Identity, prefix: &str) -> Result<u64> {
        self.authorize(Some(identity), Action::ClearCache)?;
        if prefix.len() > PREFIX_BYTES_MAX {
            return Err(Error::invalid(
                "prefix",
                format!("A prefix has at most {PREFIX_BYTES_MAX} bytes."),
            ));
        }
        let Some(cache) = self.results.cache() else {
            return Err(Error::new(
                ErrorKind::NotSupported,
                "This server keeps no results; see cache.memory_bytes.",
            ));
        };
        let everybody = identity.scopes.contains(Scope::Admin);
        let tenant = (!everybody).then(|| identity.tenant.as_str().to_owned());
        let prefix = prefix.to_owned();
        tokio::task::spawn_blocking(move || cache.clear(tenant.as_deref(), &prefix))
            .await
            .map_err(failures::internal)
    }
}
