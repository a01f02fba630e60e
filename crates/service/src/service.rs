//! The service: its parts, and the use cases of models and keys. Generation and embedding are in [`crate::inference_calls`].

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use inference::runner::{LoadOptions, Supervisor};
use inference::store::ModelStore;
use inference::store::pull::{PullOptions, Source};
use platform::Clock;
use security::{
    Action, CreatedKey, Decision, Identity, KeyRecord, KeyStore, NewKey, Scope, decide,
};
use tokio::sync::watch;

use crate::administration::{ModelSummary, Pull, PullRequest, Readiness, ResidentModel};
use crate::answering::{Answering, AnsweringOptions};
use crate::catalog::{Catalog, summary, summary_for};
use crate::collections::{Collections, CollectionsOptions};
use crate::creating::UPLOADS_MAX;
use crate::error::{Error, ErrorKind, Result};
use crate::failures;
use crate::files::{FileOptions, Files};
use crate::generation::InFlight;
use crate::ingest::Ingests;
use crate::limits::RequestLimits;
use crate::prepare;
use crate::pulling;
use crate::records::Records;
use crate::responses::{ResponseOptions, Responses};
use crate::results::{ResultLifetimes, Results};
use crate::runtime::ModelRuntime;
use crate::science::{Science, ScienceOptions};
use crate::vector_stores::{VectorStoreOptions, VectorStores};

/// What a service is made of.
pub struct ServiceOptions {
    /// The models on disk.
    pub store: ModelStore,
    /// The keys.
    pub keys: Arc<KeyStore>,
    /// Time.
    pub clock: Clock,
    /// Bounds of requests.
    pub limits: RequestLimits,
    /// How models are loaded when their own settings say nothing.
    pub load: LoadOptions,
    /// How models are pulled: offline or not, from which hub.
    pub pull: PullOptions,
    /// Where results of deterministic calls are kept; `None` computes everything anew.
    pub cache: Option<Arc<cache::Cache>>,
    /// For how long.
    pub lifetimes: ResultLifetimes,
    /// Where science models are and compute.
    pub science: ScienceOptions,
    /// Which models answer and rank when a request names none.
    pub answering: AnsweringOptions,
    /// How responses are kept.
    pub responses: ResponseOptions,
    /// How collections are kept.
    pub collections: CollectionsOptions,
    /// Rows of files, vector stores and what else is remembered.
    pub records: Records,
    /// Where files are kept.
    pub files: FileOptions,
    /// How vector stores work.
    pub vector_stores: VectorStoreOptions,
}

/// Everything Fornax can do. Every method checks what its caller may do, whatever the surface did before.
pub struct Service {
    pub(crate) catalog: Catalog,
    pub(crate) runtime: Arc<dyn ModelRuntime>,
    keys: Arc<KeyStore>,
    pub(crate) clock: Clock,
    pub(crate) limits: RequestLimits,
    pub(crate) load: LoadOptions,
    pull: PullOptions,
    pub(crate) results: Results,
    pub(crate) science: Science,
    pub(crate) ingests: Ingests,
    pub(crate) answering: Answering,
    pub(crate) responses: Responses,
    pub(crate) collections: Collections,
    pub(crate) records: Records,
    pub(crate) files: Files,
    /// One permit per upload that is being received.
    pub(crate) uploads: tokio::sync::Semaphore,
    pub(crate) vector_stores: VectorStores,
    draining: AtomicBool,
    in_flight: watch::Sender<usize>,
    /// What the last look at the parts found, and when.
    health: tokio::sync::Mutex<Option<(Instant, Option<String>)>>,
}

/// How long one look at the parts answers for all who ask: they ask without a key.
const HEALTH_TTL: Duration = Duration::from_secs(1);

impl Service {
    /// A service whose models run in the runner processes of `supervisor`.
    pub fn new(options: ServiceOptions, supervisor: Supervisor) -> Self {
        Self::assemble(options, Arc::new(supervisor))
    }

    /// A service whose models run in `runtime`.
    pub(crate) fn assemble(options: ServiceOptions, runtime: Arc<dyn ModelRuntime>) -> Self {
        Service {
            catalog: Catalog::new(options.store),
            runtime,
            keys: options.keys,
            clock: options.clock,
            limits: options.limits,
            load: options.load,
            pull: options.pull,
            results: Results::new(options.cache, options.lifetimes),
            science: Science::new(options.science),
            ingests: Ingests::new(),
            answering: Answering::new(options.answering),
            responses: Responses::new(options.responses),
            collections: Collections::new(options.collections),
            records: options.records,
            files: Files::new(options.files),
            uploads: tokio::sync::Semaphore::new(UPLOADS_MAX),
            vector_stores: VectorStores::new(options.vector_stores),
            draining: AtomicBool::new(false),
            in_flight: watch::Sender::new(0),
            health: tokio::sync::Mutex::new(None),
        }
    }

    /// Who presents this key.
    ///
    /// # Errors
    /// `Unauthenticated` (code `invalid_api_key`); `Internal` when the keys cannot be read.
    pub async fn authenticate(&self, presented: &str) -> Result<Identity> {
        self.keys
            .authenticate(presented)
            .await
            .map_err(failures::from_authentication)
    }

    /// Whether `identity` may do `action`; surfaces ask before they read a body.
    ///
    /// # Errors
    /// `Unauthenticated` or `Forbidden`, naming the scope.
    pub fn authorize(&self, identity: Option<&Identity>, action: Action) -> Result<()> {
        match decide(identity, action) {
            Decision::Allow => Ok(()),
            Decision::Unauthenticated => Err(Error::new(
                ErrorKind::Unauthenticated,
                "No API key was given. Send it as 'Authorization: Bearer fx-…'.",
            )),
            Decision::Forbidden { needed } => Err(Error::new(
                ErrorKind::Forbidden,
                format!("This key lacks the scope '{needed}'."),
            )),
        }
    }

    /// Lets new work in, unless the server is finishing.
    pub(crate) fn enter(&self) -> Result<InFlight> {
        let guard = InFlight::enter(&self.in_flight);
        // Checked after counting: a drain that begins in between waits for this one.
        if self.is_draining() {
            return Err(failures::draining());
        }
        Ok(guard)
    }

    /// The models of the store, by name.
    ///
    /// # Errors
    /// `Forbidden`; `Internal` when the store cannot be read.
    pub async fn models(&self, identity: &Identity) -> Result<Vec<ModelSummary>> {
        self.authorize(Some(identity), Action::ListModels)?;
        let manifests = self.catalog.blocking(|store| store.list()).await?;
        Ok(manifests
            .into_iter()
            .map(|manifest| summary_for(identity, manifest))
            .collect())
    }

    /// One model.
    ///
    /// # Errors
    /// `NotFound` (code `model_not_found`), suggesting the nearest name.
    pub async fn model(&self, identity: &Identity, name: &str) -> Result<ModelSummary> {
        self.authorize(Some(identity), Action::ListModels)?;
        let name = name.to_owned();
        let manifest = self
            .catalog
            .blocking(move |store| store.manifest(&name))
            .await?;
        Ok(summary_for(identity, manifest))
    }

    /// The models in memory.
    ///
    /// # Errors
    /// `Forbidden`.
    pub async fn residents(&self, identity: &Identity) -> Result<Vec<ResidentModel>> {
        self.authorize(Some(identity), Action::ReadRunners)?;
        Ok(self.runtime.residents())
    }

    /// Loads a model, and keeps it for `keep_alive` after its last use (the server's default when absent).
    ///
    /// # Errors
    /// `NotFound`; `Unavailable` or `ModelFailed` when it cannot be loaded.
    pub async fn load(
        &self,
        identity: &Identity,
        name: &str,
        keep_alive: Option<Duration>,
    ) -> Result<ResidentModel> {
        self.authorize(Some(identity), Action::LoadModel)?;
        let _guard = self.enter()?;
        let model = self.catalog.find(name).await?;
        let load = prepare::load_options(&self.load, &model.manifest);
        let _lease = prepare::acquire(&self.runtime, &model, &load, keep_alive, None).await?;
        let name = &model.manifest.name;
        self.runtime
            .residents()
            .into_iter()
            .find(|resident| &resident.name == name)
            .ok_or_else(|| {
                Error::new(
                    ErrorKind::Unavailable,
                    format!("The model '{name}' was loaded and has left memory again."),
                )
            })
    }

    /// Keeps a loaded model in memory whatever happens, or no longer.
    ///
    /// # Errors
    /// `NotFound` when the store has no such model.
    pub async fn pin(&self, identity: &Identity, name: &str, pinned: bool) -> Result<()> {
        self.authorize(Some(identity), Action::LoadModel)?;
        let model = self.full_name(name).await?;
        self.runtime.pin(&model, pinned);
        Ok(())
    }

    /// Ends a model's runner; false when it was not loaded.
    ///
    /// # Errors
    /// `NotFound` when the store has no such model.
    pub async fn unload(&self, identity: &Identity, name: &str) -> Result<bool> {
        self.authorize(Some(identity), Action::UnloadModel)?;
        let model = self.full_name(name).await?;
        self.runtime
            .unload(&model)
            .await
            .map_err(failures::from_runner)
    }

    /// The name under which the store knows `name`. A model that is loaded but no longer stored keeps its own.
    async fn full_name(&self, name: &str) -> Result<String> {
        let wanted = name.to_owned();
        match self
            .catalog
            .blocking(move |store| store.manifest(&wanted))
            .await
        {
            Ok(manifest) => Ok(manifest.name),
            Err(_)
                if self
                    .runtime
                    .residents()
                    .iter()
                    .any(|model| model.name == name) =>
            {
                Ok(name.to_owned())
            }
            Err(error) => Err(error),
        }
    }

    /// Fetches a model into the store. Files of this machine are imported for administrators only: whoever may pull
    /// over the network may not therefore read the server's disk, nor reach addresses that only the server can.
    ///
    /// # Errors
    /// `InvalidRequest` when the source is not one; what goes wrong later is in the stream.
    pub async fn pull(&self, identity: &Identity, request: PullRequest) -> Result<Pull> {
        self.authorize(Some(identity), Action::PullModel)?;
        let guard = self.enter()?;
        let source = Source::parse(&request.source).map_err(failures::from_store)?;
        if matches!(source, Source::File(_)) && !identity.scopes.contains(Scope::Admin) {
            return Err(Error::new(
                ErrorKind::Forbidden,
                "Importing a file of the server needs a key with the scope 'admin'.",
            ));
        }
        let options = PullOptions {
            name: request.name,
            public_only: !identity.scopes.contains(Scope::Admin),
            ..self.pull.clone()
        };
        let store = self.catalog.store().clone();
        Ok(pulling::stream(store, source, options, guard))
    }

    /// Deletes a model from the store; its runner ends first.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn remove_model(&self, identity: &Identity, name: &str) -> Result<()> {
        self.authorize(Some(identity), Action::DeleteModel)?;
        let full = self.full_name(name).await?;
        self.runtime
            .unload(&full)
            .await
            .map_err(failures::from_runner)?;
        self.catalog
            .blocking(move |store| store.remove(&full).map(drop))
            .await
    }

    /// Gives a stored model one more name.
    ///
    /// # Errors
    /// `NotFound`; `InvalidRequest` when `to` is no name.
    pub async fn copy_model(
        &self,
        identity: &Identity,
        from: &str,
        to: &str,
    ) -> Result<ModelSummary> {
        self.authorize(Some(identity), Action::CopyModel)?;
        let (from, to) = (from.to_owned(), to.to_owned());
        let manifest = self
            .catalog
            .blocking(move |store| store.copy(&from, &to))
            .await?;
        Ok(summary(manifest))
    }

    /// All keys, without their secrets.
    ///
    /// # Errors
    /// `Forbidden`.
    pub async fn keys_list(&self, identity: &Identity) -> Result<Vec<KeyRecord>> {
        self.authorize(Some(identity), Action::ListKeys)?;
        self.keys.list(None).await.map_err(failures::from_keys)
    }

    /// Makes a key. Its text is in the result and nowhere else.
    ///
    /// # Errors
    /// `InvalidRequest` or `Conflict`.
    pub async fn keys_create(&self, identity: &Identity, new: NewKey) -> Result<CreatedKey> {
        self.authorize(Some(identity), Action::CreateKey)?;
        self.keys.create(new).await.map_err(failures::from_keys)
    }

    /// Ends a key, by id or name.
    ///
    /// # Errors
    /// `NotFound`, or `Conflict` when several keys have the name.
    pub async fn keys_revoke(&self, identity: &Identity, id_or_name: &str) -> Result<KeyRecord> {
        self.authorize(Some(identity), Action::RevokeKey)?;
        self.keys
            .revoke(id_or_name)
            .await
            .map_err(failures::from_keys)
    }

    /// Whether requests can be served: nothing is being shut down, and the store and the keys can be read.
    pub async fn readiness(&self) -> Readiness {
        let draining = self.is_draining();
        let reason = if draining {
            Some("the server is shutting down".to_owned())
        } else {
            self.health().await
        };
        Readiness {
            ready: reason.is_none(),
            draining,
            reason,
        }
    }

    #[cfg(test)]
    pub(crate) async fn close_keys(&self) {
        self.keys.close().await;
    }

    /// Why the store or the keys cannot be read, as of the last second. One caller looks, the others wait for it.
    async fn health(&self) -> Option<String> {
        let mut last = self.health.lock().await;
        let now = self.clock.now();
        if let Some((looked, reason)) = &*last
            && now.saturating_duration_since(*looked) < HEALTH_TTL
        {
            return reason.clone();
        }
        let reason = match self.catalog.blocking(|store| store.scan().map(drop)).await {
            Err(error) => Some(format!("the model store cannot be read: {error}")),
            Ok(()) => match self.keys.check().await {
                Err(error) => Some(format!("could not {error}")),
                Ok(()) => match self.records.check().await {
                    Err(error) => Some(format!("could not {error}")),
                    Ok(()) => None,
                },
            },
        };
        *last = Some((now, reason.clone()));
        reason
    }

    /// Takes no new work from now on; what runs goes on, but trainings end and keep what they have learnt.
    pub fn begin_drain(&self) {
        self.draining.store(true, Ordering::SeqCst);
        self.science.cancel_trainings();
    }

    /// Whether the server is finishing.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::SeqCst)
    }

    /// Begins the drain and waits until nothing runs or `deadline` has passed; gives the number still running.
    pub async fn drain(&self, deadline: Duration) -> usize {
        self.begin_drain();
        let mut count = self.in_flight.subscribe();
        let idle = count.wait_for(|count| *count == 0);
        // Either way the count below says what is left.
        let _ = tokio::time::timeout(deadline, idle).await;
        *self.in_flight.borrow()
    }
}
