//! Models in runner processes: the product's runtime.

use std::sync::Arc;
use std::time::Duration;

use inference::runner::protocol::{
    DetokenizeRequest, EmbedReply, EmbedRequest, GenerateRequest, ModelFacts, RerankReply,
    RerankRequest, TokenizeRequest,
};
use inference::runner::{
    Lease, LoadOptions, ModelSource, ResidentState as RunnerState, Supervisor,
};

use crate::administration::{ResidentModel, ResidentState};
use crate::runtime::{Answer, EventStream, ModelLease, ModelRuntime};

/// From here on a time to live means "for ever".
const FOREVER: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

impl ModelRuntime for Supervisor {
    fn acquire(
        &self,
        model: ModelSource,
        options: LoadOptions,
        keep_alive: Option<Duration>,
    ) -> Answer<'_, Arc<dyn ModelLease>> {
        Box::pin(async move {
            let lease = Supervisor::acquire(self, model, &options).await?;
            if let Some(keep_alive) = keep_alive {
                lease.set_keep_alive((keep_alive < FOREVER).then_some(keep_alive));
            }
            let lease: Arc<dyn ModelLease> = Arc::new(lease);
            Ok(lease)
        })
    }

    fn residents(&self) -> Vec<ResidentModel> {
        let residents = Supervisor::residents(self);
        residents
            .into_iter()
            .map(|resident| ResidentModel {
                name: resident.name,
                digest: resident.digest,
                pid: resident.pid,
                state: match resident.state {
                    RunnerState::Loading(_) => ResidentState::Loading,
                    RunnerState::Ready => ResidentState::Ready,
                    RunnerState::Leaving => ResidentState::Draining,
                },
                loaded_unix: resident.loaded_unix.unwrap_or(0),
                expires_unix: resident.expires_unix,
                memory_bytes: resident.memory_bytes,
                in_flight: u32::try_from(resident.in_flight).unwrap_or(u32::MAX),
                restarts: u32::try_from(resident.restarts).unwrap_or(u32::MAX),
                pinned: resident.pinned,
            })
            .collect()
    }

    fn unload<'a>(&'a self, name: &'a str) -> Answer<'a, bool> {
        Box::pin(Supervisor::unload(self, name))
    }

    fn pin(&self, name: &str, pinned: bool) {
        Supervisor::pin(self, name, pinned);
    }
}

impl ModelLease for Lease {
    fn facts(&self) -> &ModelFacts {
        Lease::facts(self)
    }

    fn generate(&self, request: GenerateRequest) -> Answer<'_, EventStream> {
        Box::pin(async move {
            let events: EventStream = Box::pin(Lease::generate(self, request).await?);
            Ok(events)
        })
    }

    fn embed(&self, request: EmbedRequest) -> Answer<'_, EmbedReply> {
        Box::pin(Lease::embed(self, request))
    }

    fn rerank(&self, request: RerankRequest) -> Answer<'_, RerankReply> {
        Box::pin(Lease::rerank(self, request))
    }

    fn tokenize(&self, request: TokenizeRequest) -> Answer<'_, Vec<u32>> {
        Box::pin(Lease::tokenize(self, request))
    }

    fn detokenize(&self, ids: Vec<u32>, special: bool) -> Answer<'_, Vec<u8>> {
        Box::pin(Lease::detokenize(self, DetokenizeRequest { ids, special }))
    }
}
