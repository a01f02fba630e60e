//! Making models of what clients send and of models that are there: uploads by content, and names with settings of their own.

use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt};
use inference::store::manifest::SamplingSettings;
use inference::store::{ModelSettings, StoreError};
use security::{Action, Identity};

use crate::administration::ModelSummary;
use crate::catalog::summary;
use crate::details::ModelDefaults;
use crate::error::{Error, ErrorKind, Result};
use crate::failures;
use crate::service::Service;
use crate::types::{GenerateOptions, SamplingOptions};

/// Uploads that are received at the same time: each keeps the disk busy.
pub(crate) const UPLOADS_MAX: usize = 4;
/// Bytes that are gathered before they are written, so that a thread that may block is asked for seldom.
const WRITE_BYTES: usize = 4 << 20;

/// What a model is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NewModelSource {
    /// A model of the store; the weights are shared.
    Model(String),
    /// Bytes that were uploaded.
    Upload {
        /// `sha256:<hex>`.
        digest: String,
        /// What the client calls them.
        file: String,
    },
}

/// A model to make.
#[derive(Debug, Clone, PartialEq)]
pub struct NewModel {
    /// Its name; a model of that name is replaced.
    pub name: String,
    /// What it is made of.
    pub source: NewModelSource,
    /// Its settings; what is absent stays as it is in the source.
    pub defaults: ModelDefaults,
}

impl Service {
    /// Whether the store holds the bytes with this digest.
    ///
    /// # Errors
    /// `InvalidRequest` for a digest that is none.
    pub async fn has_upload(&self, identity: &Identity, digest: &str) -> Result<bool> {
        self.authorize(Some(identity), Action::PullModel)?;
        let digest = digest.to_owned();
        self.catalog
            .blocking(move |store| store.has_content(&digest))
            .await
            .map_err(at_digest)
    }

    /// Receives a file whose digest is announced, for [`Service::create_model`]. What does not become a model within a
    /// day is removed. `declared_bytes` is its length, when the client says it.
    ///
    /// # Errors
    /// `InvalidRequest` when other bytes arrive than announced; `Overloaded` while too many uploads run; what `body`
    /// ends with.
    pub async fn upload(
        &self,
        identity: &Identity,
        digest: &str,
        declared_bytes: Option<u64>,
        mut body: impl Stream<Item = Result<Bytes>> + Send + Unpin,
    ) -> Result<()> {
        self.authorize(Some(identity), Action::PullModel)?;
        let _guard = self.enter()?;
        let Ok(_turn) = self.uploads.try_acquire() else {
            return Err(Error::new(
                ErrorKind::Overloaded,
                format!("At most {UPLOADS_MAX} uploads are received at once."),
            ));
        };
        let wanted = digest.to_owned();
        let mut upload = self
            .catalog
            .blocking(move |store| store.begin_upload(&wanted, declared_bytes))
            .await
            .map_err(at_digest)?;
        let mut gathered = BytesMut::new();
        loop {
            let piece = body.next().await.transpose()?;
            let last = piece.is_none();
            gathered.extend_from_slice(&piece.unwrap_or_default());
            if gathered.len() >= WRITE_BYTES || last {
                let bytes = gathered.split().freeze();
                upload = tokio::task::spawn_blocking(move || {
                    upload.write(&bytes)?;
                    Ok::<_, StoreError>(upload)
                })
                .await
                .map_err(failures::internal)?
                .map_err(failures::from_store)?;
            }
            if last {
                break;
            }
        }
        let finished = tokio::task::spawn_blocking(move || upload.finish());
        match finished.await.map_err(failures::internal)? {
            Err(StoreError::HashMismatch {
                expected, actual, ..
            }) => Err(Error::invalid(
                "digest",
                format!("The bytes that arrived have the sha256 {actual}, not {expected}."),
            )),
            other => other.map_err(failures::from_store),
        }
    }

    /// Makes a model of an upload, or one more name of a model with settings of its own.
    ///
    /// # Errors
    /// `NotFound` when the source is not there; `InvalidRequest` when the upload is no model or the name is none.
    pub async fn create_model(&self, identity: &Identity, new: NewModel) -> Result<ModelSummary> {
        let NewModel {
            name,
            source,
            defaults,
        } = new;
        let action = match source {
            NewModelSource::Model(_) => Action::CopyModel,
            NewModelSource::Upload { .. } => Action::PullModel,
        };
        self.authorize(Some(identity), action)?;
        self.limits.check_options(&as_options(&defaults))?;
        let _guard = self.enter()?;
        let adopted = self.catalog.blocking(move |store| {
            let manifest = match &source {
                NewModelSource::Model(from) => store.copy(from, &name)?,
                NewModelSource::Upload { digest, file } => {
                    store.adopt_upload(&name, digest, file)?
                }
            };
            if defaults == ModelDefaults::default() {
                return Ok(manifest);
            }
            let settings = settled(manifest.settings, defaults);
            store.configure(&manifest.name, None, settings)
        });
        let manifest = adopted.await.map_err(|error| match error.kind {
            // To its client an upload that never came is a wrong name, not a damaged disk.
            ErrorKind::DataLoss => Error {
                kind: ErrorKind::NotFound,
                ..error
            },
            _ => error,
        })?;
        Ok(summary(manifest))
    }
}

/// The settings as a request would give them, so that the same bounds hold.
fn as_options(defaults: &ModelDefaults) -> GenerateOptions {
    GenerateOptions {
        stop: defaults.stop.clone(),
        sampling: SamplingOptions {
            temperature: defaults.temperature,
            top_p: defaults.top_p,
            top_k: defaults.top_k,
            min_p: defaults.min_p,
            repeat_penalty: defaults.repeat_penalty,
            ..SamplingOptions::default()
        },
        ..GenerateOptions::default()
    }
}

/// `settings` with what `defaults` say.
fn settled(settings: ModelSettings, defaults: ModelDefaults) -> ModelSettings {
    let sampling = settings.sampling;
    ModelSettings {
        context_tokens: defaults.context_tokens.or(settings.context_tokens),
        stop: if defaults.stop.is_empty() {
            settings.stop
        } else {
            defaults.stop
        },
        sampling: SamplingSettings {
            temperature: defaults.temperature.or(sampling.temperature),
            top_p: defaults.top_p.or(sampling.top_p),
            top_k: defaults.top_k.or(sampling.top_k),
            min_p: defaults.min_p.or(sampling.min_p),
            repeat_penalty: defaults.repeat_penalty.or(sampling.repeat_penalty),
        },
        system: defaults.system.or(settings.system),
    }
}

fn at_digest(error: Error) -> Error {
    match error.kind {
        ErrorKind::InvalidRequest => error.at("digest"),
        _ => error,
    }
}
