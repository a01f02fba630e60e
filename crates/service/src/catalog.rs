//! Models by name: the store's manifests, and what was read from each file's header, kept by digest so that a header
//! is parsed and a template compiled once.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use inference::files::gguf::{GgufHeader, Kind, Pooling};
use inference::runner::protocol::TokenizeRequest;
use inference::runner::{ModelSource, RunnerError};
use inference::store::{Manifest, ModelStore, Origin, ResolvedModel};
use inference::templates::{ChatTemplate, TemplateError};
use security::{Identity, Scope};
use tokio::sync::OnceCell;

use crate::administration::{ModelKind, ModelSummary};
use crate::error::{Error, ErrorKind, Result};
use crate::failures;
use crate::runtime::ModelLease;

/// Profiles kept; each holds a compiled template, some 100 kB.
const PROFILES_MAX: usize = 64;

/// What a model's file says about conversations.
pub(crate) struct ModelProfile {
    begin: String,
    end: String,
    template: Option<Result<Arc<ChatTemplate>, TemplateError>>,
    tool_template: Option<Result<Arc<ChatTemplate>, TemplateError>>,
    fallback: OnceCell<Arc<ChatTemplate>>,
    /// Which marker texts are single control tokens, asked of the runner once.
    control_tokens: tokio::sync::Mutex<BTreeMap<&'static str, Option<u32>>>,
}

impl ModelProfile {
    fn read(header: &GgufHeader) -> Self {
        let begin = header.bos_token.clone().unwrap_or_default();
        let end = header.eos_token.clone().unwrap_or_default();
        let compile = |source: &String| ChatTemplate::compile(source, &begin, &end).map(Arc::new);
        ModelProfile {
            template: header.chat_template.as_ref().map(compile),
            tool_template: header.chat_templates.get("tool_use").map(compile),
            fallback: OnceCell::new(),
            control_tokens: tokio::sync::Mutex::default(),
            begin,
            end,
        }
    }

    /// Whether its template marks reasoning.
    pub(crate) fn reasons(&self) -> bool {
        let compiled = self
            .template
            .as_ref()
            .and_then(|template| template.as_ref().ok());
        compiled.is_some_and(|template| template.reasoning().is_some())
    }

    /// The template for a conversation; a model without one gets a built-in layout, by what its vocabulary has.
    pub(crate) async fn template(
        &self,
        with_tools: bool,
        lease: &dyn ModelLease,
    ) -> Result<Arc<ChatTemplate>> {
        let own = match &self.tool_template {
            Some(template) if with_tools => Some(template),
            _ => self.template.as_ref(),
        };
        if let Some(template) = own {
            return template.clone().map_err(failures::from_template);
        }
        self.fallback
            .get_or_try_init(|| async {
                let mut has_marks = true;
                for mark in ["<|im_start|>", "<|im_end|>"] {
                    let ids = tokenize_mark(lease, mark).await;
                    has_marks &= ids.map_err(failures::from_runner)?.len() == 1;
                }
                ChatTemplate::fallback(has_marks, &self.begin, &self.end)
                    .map(Arc::new)
                    .map_err(failures::from_template)
            })
            .await
            .cloned()
    }

    /// The ids of those marks that are single control tokens of the vocabulary.
    pub(crate) async fn control_tokens(
        &self,
        marks: &[&'static str],
        lease: &dyn ModelLease,
    ) -> Result<BTreeMap<&'static str, u32>> {
        let mut known = self.control_tokens.lock().await;
        let mut found = BTreeMap::new();
        for mark in marks {
            let id = match known.get(mark) {
                Some(id) => *id,
                None => {
                    let id = control_token(lease, mark)
                        .await
                        .map_err(failures::from_runner)?;
                    known.insert(mark, id);
                    id
                }
            };
            found.extend(id.map(|id| (*mark, id)));
        }
        Ok(found)
    }
}

async fn tokenize_mark(lease: &dyn ModelLease, mark: &str) -> Result<Vec<u32>, RunnerError> {
    lease
        .tokenize(TokenizeRequest {
            text: mark.to_owned(),
            add_special: false,
            parse_special: true,
        })
        .await
}

/// A token that stands for `mark` alone and has no text of its own.
async fn control_token(lease: &dyn ModelLease, mark: &str) -> Result<Option<u32>, RunnerError> {
    match tokenize_mark(lease, mark).await?.as_slice() {
        [id] => {
            let bytes = lease.detokenize(vec![*id], false).await?;
            Ok(bytes.is_empty().then_some(*id))
        }
        _ => Ok(None),
    }
}

/// A model that was found.
pub(crate) struct FoundModel {
    pub(crate) manifest: Manifest,
    pub(crate) source: ModelSource,
    pub(crate) profile: Arc<ModelProfile>,
}

/// The store, and what was read from it.
pub(crate) struct Catalog {
    store: ModelStore,
    profiles: Mutex<Vec<(String, Arc<ModelProfile>)>>,
    /// Names resolved a moment ago, so that a request does not wait for a thread that may block.
    resolved: Mutex<HashMap<String, (Instant, ResolvedModel)>>,
}

/// How long a resolved name is believed: another process's `rm` or `cp`, and the end of a pull, are seen this much later.
/// Other changes through this process are seen at once.
const RESOLVED_FOR: Duration = Duration::from_millis(500);
/// Most names remembered.
const RESOLVED_MAX: usize = 256;

impl Catalog {
    pub(crate) fn new(store: ModelStore) -> Self {
        Catalog {
            store,
            profiles: Mutex::default(),
            resolved: Mutex::default(),
        }
    }

    pub(crate) fn store(&self) -> &ModelStore {
        &self.store
    }

    /// Runs work on the store where blocking is allowed.
    pub(crate) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&ModelStore) -> Result<T, inference::store::StoreError> + Send + 'static,
    ) -> Result<T> {
        let store = self.store.clone();
        let done = tokio::task::spawn_blocking(move || work(&store)).await;
        // The work may have changed what a name means.
        self.resolved_now().clear();
        done.map_err(failures::internal)?
            .map_err(failures::from_store)
    }

    fn resolved_now(&self) -> MutexGuard<'_, HashMap<String, (Instant, ResolvedModel)>> {
        self.resolved.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a name points to, from memory when it was asked a moment ago.
    async fn resolve(&self, name: &str) -> Result<ResolvedModel> {
        if let Some((at, resolved)) = self.resolved_now().get(name)
            && at.elapsed() < RESOLVED_FOR
        {
            return Ok(resolved.clone());
        }
        let wanted = name.to_owned();
        let resolved = self.blocking(move |store| store.resolve(&wanted)).await?;
        let mut names = self.resolved_now();
        if names.len() >= RESOLVED_MAX {
            names.clear();
        }
        names.insert(name.to_owned(), (Instant::now(), resolved.clone()));
        Ok(resolved)
    }

    /// The model of a name.
    pub(crate) async fn find(&self, name: &str) -> Result<FoundModel> {
        let resolved = self.resolve(name).await?;
        let profile = match self.known(&resolved.manifest.digest) {
            Some(profile) => profile,
            None => self.read(&resolved).await?,
        };
        let ResolvedModel { manifest, path } = resolved;
        Ok(FoundModel {
            source: ModelSource {
                name: manifest.name.clone(),
                digest: manifest.digest.clone(),
                path,
                size_bytes: manifest.size_bytes,
            },
            manifest,
            profile,
        })
    }

    fn known(&self, digest: &str) -> Option<Arc<ModelProfile>> {
        let profiles = self.profiles.lock().unwrap_or_else(PoisonError::into_inner);
        let (_, profile) = profiles.iter().find(|(known, _)| known == digest)?;
        Some(profile.clone())
    }

    async fn read(&self, resolved: &ResolvedModel) -> Result<Arc<ModelProfile>> {
        let path = resolved.path.clone();
        let profile = tokio::task::spawn_blocking(move || {
            GgufHeader::read(&path).map(|header| Arc::new(ModelProfile::read(&header)))
        })
        .await
        .map_err(failures::internal)?
        // It was read when it came into the store, so the disk has changed it since.
        .map_err(|error| {
            Error::new(
                ErrorKind::DataLoss,
                format!(
                    "The weights of '{}' are damaged ({error}); pull or import the model again.",
                    resolved.manifest.name
                ),
            )
        })?;
        let mut profiles = self.profiles.lock().unwrap_or_else(PoisonError::into_inner);
        if profiles.len() >= PROFILES_MAX {
            profiles.remove(0);
        }
        profiles.push((resolved.manifest.digest.clone(), profile.clone()));
        Ok(profile)
    }
}

/// A manifest in the service's own words, for `identity`: where a file lay on the server's disk is told only to those
/// who manage models.
pub(crate) fn summary_for(identity: &Identity, manifest: Manifest) -> ModelSummary {
    let manages = [Scope::Models, Scope::Admin]
        .into_iter()
        .any(|scope| identity.scopes.contains(scope));
    let local = matches!(
        manifest.origin,
        Origin::File { .. } | Origin::Converted { .. }
    );
    let mut summary = summary(manifest);
    if local && !manages {
        summary.origin = "file".to_owned();
    }
    summary
}

/// A manifest in the service's own words.
pub(crate) fn summary(manifest: Manifest) -> ModelSummary {
    let length = |value: Option<u64>| u32::try_from(value.unwrap_or(0)).unwrap_or(u32::MAX);
    ModelSummary {
        origin: match manifest.origin {
            Origin::Embedded => "embedded".to_owned(),
            Origin::File { path } | Origin::Converted { path } => path,
            Origin::Uploaded { file } => format!("upload:{file}"),
            Origin::Url { url } => url,
            Origin::Hub {
                repository, file, ..
            } => format!("hf:{repository}:{file}"),
        },
        kind: match manifest.facts.kind {
            Kind::Generate => ModelKind::Generate,
            Kind::Embed => ModelKind::Embed,
            Kind::Rank => ModelKind::Rank,
        },
        pooling: manifest.facts.pooling.map(|pooling| {
            match pooling {
                Pooling::None => "none",
                Pooling::Mean => "mean",
                Pooling::Cls => "cls",
                Pooling::Last => "last",
                Pooling::Rank => "rank",
            }
            .to_owned()
        }),
        name: manifest.name,
        digest: manifest.digest,
        size_bytes: manifest.size_bytes,
        created_unix: manifest.created_unix,
        architecture: manifest.facts.architecture,
        parameters: manifest.facts.parameters,
        quantization: manifest.facts.quantization,
        context_length: length(manifest.facts.context_length),
        embedding_length: length(manifest.facts.embedding_length),
        has_chat_template: manifest.facts.has_chat_template,
        license: manifest.facts.license,
    }
}
