//! The use cases.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use security::{
    Action, AuthenticationError, CreatedKey, Decision, Identity, KeyRecord, KeyStore,
    KeyStoreError, NewKey, decide,
};

use crate::administration::{ModelSummary, Pull, PullRequest, Readiness, ResidentModel};
use crate::error::{Error, ErrorKind, Result};
use crate::types::{ChatRequest, CompletionRequest, EmbedRequest, Embeddings, Generation};

/// What a service is made of.
pub struct ServiceOptions {
    /// The keys.
    pub keys: Arc<KeyStore>,
}

/// Everything Fornax can do. Every method checks what its caller may do, whatever the surface did before.
pub struct Service {
    keys: Arc<KeyStore>,
    draining: AtomicBool,
}

impl Service {
    /// A service over these parts.
    pub fn new(options: ServiceOptions) -> Self {
        Service {
            keys: options.keys,
            draining: AtomicBool::new(false),
        }
    }

    /// Who presents this key.
    ///
    /// # Errors
    /// `Unauthenticated` (code `invalid_api_key`).
    pub async fn authenticate(&self, presented: &str) -> Result<Identity> {
        self.keys
            .authenticate(presented)
            .await
            .map_err(authentication_error)
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

    /// The models that may be used, by name.
    pub async fn models(&self, identity: &Identity) -> Result<Vec<ModelSummary>> {
        self.authorize(Some(identity), Action::ListModels)?;
        Err(unbuilt())
    }

    /// One model.
    ///
    /// # Errors
    /// `NotFound` (code `model_not_found`), suggesting the nearest name.
    pub async fn model(&self, identity: &Identity, name: &str) -> Result<ModelSummary> {
        self.authorize(Some(identity), Action::ListModels)?;
        Err(unbuilt().at(name))
    }

    /// Answers a chat turn.
    pub async fn chat(&self, identity: &Identity, request: ChatRequest) -> Result<Generation> {
        self.authorize(Some(identity), Action::Generate)?;
        Err(unbuilt().at(request.model))
    }

    /// Continues a prompt.
    pub async fn complete(
        &self,
        identity: &Identity,
        request: CompletionRequest,
    ) -> Result<Generation> {
        self.authorize(Some(identity), Action::Generate)?;
        Err(unbuilt().at(request.model))
    }

    /// Turns texts into vectors.
    pub async fn embed(&self, identity: &Identity, request: EmbedRequest) -> Result<Embeddings> {
        self.authorize(Some(identity), Action::Embed)?;
        Err(unbuilt().at(request.model))
    }

    /// Token ids of a text, as the model reads it.
    pub async fn tokenize(&self, identity: &Identity, model: &str, text: &str) -> Result<Vec<u32>> {
        self.authorize(Some(identity), Action::Tokenize)?;
        Err(unbuilt().at(format!("{model}{text}")))
    }

    /// The models in memory.
    pub async fn residents(&self, identity: &Identity) -> Result<Vec<ResidentModel>> {
        self.authorize(Some(identity), Action::ReadRunners)?;
        Err(unbuilt())
    }

    /// Loads a model, and keeps it for `keep_alive` after its last use (the server's default when absent).
    pub async fn load(
        &self,
        identity: &Identity,
        name: &str,
        keep_alive: Option<Duration>,
    ) -> Result<ResidentModel> {
        self.authorize(Some(identity), Action::LoadModel)?;
        Err(unbuilt().at(format!("{name}{keep_alive:?}")))
    }

    /// Keeps a model in memory whatever happens, or no longer.
    pub async fn pin(&self, identity: &Identity, name: &str, pinned: bool) -> Result<()> {
        self.authorize(Some(identity), Action::LoadModel)?;
        Err(unbuilt().at(format!("{name}{pinned}")))
    }

    /// Ends a model's runner; false when it was not loaded.
    pub async fn unload(&self, identity: &Identity, name: &str) -> Result<bool> {
        self.authorize(Some(identity), Action::UnloadModel)?;
        Err(unbuilt().at(name))
    }

    /// Fetches a model into the store.
    pub async fn pull(&self, identity: &Identity, request: PullRequest) -> Result<Pull> {
        self.authorize(Some(identity), Action::PullModel)?;
        Err(unbuilt().at(request.source))
    }

    /// Deletes a model from the store; its runner ends first.
    pub async fn remove_model(&self, identity: &Identity, name: &str) -> Result<()> {
        self.authorize(Some(identity), Action::DeleteModel)?;
        Err(unbuilt().at(name))
    }

    /// Gives a stored model one more name.
    pub async fn copy_model(
        &self,
        identity: &Identity,
        from: &str,
        to: &str,
    ) -> Result<ModelSummary> {
        self.authorize(Some(identity), Action::CopyModel)?;
        Err(unbuilt().at(format!("{from}{to}")))
    }

    /// All keys, without their secrets.
    pub async fn keys_list(&self, identity: &Identity) -> Result<Vec<KeyRecord>> {
        self.authorize(Some(identity), Action::ListKeys)?;
        self.keys.list(None).await.map_err(key_error)
    }

    /// Makes a key. Its text is in the result and nowhere else.
    pub async fn keys_create(&self, identity: &Identity, new: NewKey) -> Result<CreatedKey> {
        self.authorize(Some(identity), Action::CreateKey)?;
        self.keys.create(new).await.map_err(key_error)
    }

    /// Ends a key, by id or name.
    pub async fn keys_revoke(&self, identity: &Identity, id_or_name: &str) -> Result<KeyRecord> {
        self.authorize(Some(identity), Action::RevokeKey)?;
        self.keys.revoke(id_or_name).await.map_err(key_error)
    }

    /// Whether requests can be served.
    pub async fn readiness(&self) -> Readiness {
        let draining = self.is_draining();
        Readiness {
            ready: !draining,
            draining,
            reason: draining.then(|| "the server is shutting down".to_owned()),
        }
    }

    /// Takes no new work from now on; what runs goes on.
    pub fn begin_drain(&self) {
        self.draining.store(true, Ordering::Release);
    }

    /// Whether the server is finishing.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// Begins the drain and waits until nothing runs or `deadline` has passed; gives the number still running.
    pub async fn drain(&self, deadline: Duration) -> usize {
        self.begin_drain();
        let _ = deadline;
        0
    }
}

fn unbuilt() -> Error {
    Error::new(
        ErrorKind::NotSupported,
        "This build has no model runner yet.",
    )
}

fn authentication_error(error: AuthenticationError) -> Error {
    Error::new(ErrorKind::Unauthenticated, error.to_string()).with_code("invalid_api_key")
}

fn key_error(error: KeyStoreError) -> Error {
    Error::new(ErrorKind::Internal, error.to_string())
}
