//! Pulling models: from a hub's repository, an address or a file into the store. Resumable, verified, and silent on
//! the network when told to be offline.

mod client;
mod download;
mod hub;
mod public;
mod source;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::time::Duration;

use platform::Secret;

use super::error::StoreError;
use super::manifest::{Manifest, Origin};
use super::{ModelStore, name};
use crate::files::error::quotable;
use client::{Client, displayed};
use download::{Wanted, download, forget};
pub use source::Source;

/// The hub that is asked when the configuration names none.
pub const HUB_URL_DEFAULT: &str = "https://huggingface.co";
/// Largest file that is pulled when the configuration says nothing: above every single-file model of today.
const BYTES_MAX_DEFAULT: u64 = 2 << 40;
/// Attempts without progress.
const ATTEMPTS_MAX_DEFAULT: u32 = 6;
/// Pause before the first repetition.
const RETRY_DELAY_DEFAULT: Duration = Duration::from_millis(500);

/// How to pull.
#[derive(Debug, Clone)]
pub struct PullOptions {
    /// Refuse everything that needs the network.
    pub offline: bool,
    /// Base address of the hub, for `hf:` sources.
    pub hub_url: String,
    /// Name of the model in the store; by default from the source.
    pub name: Option<String>,
    /// Token for the hub; sent to the hub's own address only.
    pub token: Option<Secret>,
    /// Digest that the file must have (64 hexadecimal digits), beside what the hub promises.
    pub sha256: Option<String>,
    /// Largest file, in bytes.
    pub bytes_max: u64,
    /// Follow plain `http://` addresses of other machines too.
    pub allow_http: bool,
    /// Refuse addresses of this machine and of private networks, the hub's own excepted: for callers who may not do
    /// what the server can.
    pub public_only: bool,
    /// Attempts without progress before giving up; at least 1.
    pub attempts_max: u32,
    /// Pause before the first repetition; it doubles with each further one.
    pub retry_delay: Duration,
}

impl Default for PullOptions {
    fn default() -> Self {
        Self {
            offline: false,
            hub_url: HUB_URL_DEFAULT.to_owned(),
            name: None,
            token: None,
            sha256: None,
            bytes_max: BYTES_MAX_DEFAULT,
            allow_http: false,
            public_only: false,
            attempts_max: ATTEMPTS_MAX_DEFAULT,
            retry_delay: RETRY_DELAY_DEFAULT,
        }
    }
}

/// What a pull is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PullPhase {
    /// Asking the hub which file is meant.
    Resolving,
    /// Receiving bytes (or copying them, from a file).
    Downloading,
    /// Hashing what was received.
    Verifying,
    /// The model is in the store.
    Done,
}

/// How far a pull is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PullProgress {
    /// What is being done.
    pub phase: PullPhase,
    /// Bytes done in this phase.
    pub done_bytes: u64,
    /// Bytes in all, when known.
    pub total_bytes: Option<u64>,
    /// Sha256 of the file, when the hub or the caller promised one.
    pub sha256: Option<[u8; 32]>,
}

/// Brings the model of `source` into the store. Dropping the future stops it; what has arrived is continued by the
/// next pull of the same source.
///
/// # Errors
/// [`StoreError::Offline`] before anything is sent when the source needs the network and `options.offline` is set;
/// otherwise what the hub, the network, the disk or the file got wrong.
pub async fn pull(
    store: &ModelStore,
    source: &Source,
    options: &PullOptions,
    mut progress: impl FnMut(PullProgress),
) -> Result<Manifest, StoreError> {
    let model = options
        .name
        .clone()
        .unwrap_or_else(|| source.default_name());
    name::validate(&model)?;
    let sha256 = match &options.sha256 {
        None => None,
        Some(text) => Some(hub::digest(text).ok_or_else(|| StoreError::InvalidSource {
            source_text: quotable(text),
            reason: "a sha256 has 64 hexadecimal digits".to_owned(),
        })?),
    };
    let wanted_url = match source {
        Source::File(path) => {
            let manifest = import(
                store,
                model,
                path.clone(),
                sha256,
                options.bytes_max,
                &mut progress,
            )
            .await?;
            return Ok(done(manifest, &mut progress));
        }
        Source::Url(url) => Some(url),
        Source::Hub { .. } => None,
    };
    if options.offline {
        return Err(StoreError::Offline {
            source_text: match source {
                Source::Url(url) => displayed(url),
                Source::Hub { repository, .. } => format!("hf:{repository}"),
                Source::File(path) => path.display().to_string(),
            },
        });
    }
    let client = Client::new(options, wanted_url)?;
    progress(PullProgress {
        phase: PullPhase::Resolving,
        done_bytes: 0,
        total_bytes: None,
        sha256: None,
    });
    let (wanted, origin) = resolve(&client, source, sha256, options.bytes_max).await?;
    let promised = wanted.sha256.as_deref().and_then(hub::digest_bytes);
    let mut progress = |step: PullProgress| {
        progress(PullProgress {
            sha256: promised,
            ..step
        });
    };
    let downloaded = download(store, &client, &wanted, &mut progress).await?;
    let adopted = {
        let (store, path) = (store.clone(), downloaded.path.clone());
        let digest = downloaded.sha256.clone();
        blocking(move || store.adopt(&model, &path, &digest, origin)).await
    };
    // A file of the right digest that is no model is of no use to a next attempt either.
    if !matches!(
        adopted,
        Err(StoreError::Busy { .. } | StoreError::Io { .. })
    ) {
        forget(&downloaded.path);
    }
    Ok(done(adopted?, &mut progress))
}

/// The address, digest and size of what `source` means, and where the manifest will say it came from.
async fn resolve(
    client: &Client,
    source: &Source,
    sha256: Option<String>,
    bytes_max: u64,
) -> Result<(Wanted, Origin), StoreError> {
    match source {
        Source::Hub {
            repository,
            revision,
            pick,
        } => {
            let found = hub::find(client, repository, revision, pick.as_deref()).await?;
            if let (Some(asked), Some(promised)) = (&sha256, &found.sha256)
                && asked != promised
            {
                return Err(StoreError::HashMismatch {
                    what: displayed(&found.url),
                    expected: asked.clone(),
                    actual: promised.clone(),
                });
            }
            let origin = Origin::Hub {
                hub_url: client.hub_url(),
                repository: repository.clone(),
                revision: found.revision,
                file: found.file,
            };
            let wanted = Wanted {
                url: found.url,
                sha256: sha256.or(found.sha256),
                bytes: found.bytes,
                bytes_max,
            };
            Ok((wanted, origin))
        }
        Source::Url(url) => {
            let origin = Origin::Url {
                url: displayed(url),
            };
            let wanted = Wanted {
                url: url.clone(),
                sha256,
                bytes: None,
                bytes_max,
            };
            Ok((wanted, origin))
        }
        Source::File(path) => Err(StoreError::InvalidSource {
            source_text: path.display().to_string(),
            reason: "a file needs no network".to_owned(),
        }),
    }
}

/// Imports a local file on a thread that may block, passing its progress on.
async fn import(
    store: &ModelStore,
    model: String,
    path: PathBuf,
    sha256: Option<String>,
    bytes_max: u64,
    progress: &mut impl FnMut(PullProgress),
) -> Result<Manifest, StoreError> {
    let size = std::fs::metadata(&path)
        .map_err(StoreError::io(&path))?
        .len();
    if size > bytes_max {
        return Err(StoreError::TooLarge {
            what: path.display().to_string(),
            bytes: size,
            limit: bytes_max,
        });
    }
    // Only the newest progress matters, so one place is enough and a full channel is no loss.
    let (sender, mut receiver) = tokio::sync::mpsc::channel(1);
    let store = store.clone();
    let work = blocking(move || {
        if let Some(expected) = sha256 {
            let actual =
                platform::files::sha256_file(&path, &mut |_| {}).map_err(StoreError::io(&path))?;
            if actual != expected {
                return Err(StoreError::HashMismatch {
                    what: path.display().to_string(),
                    expected,
                    actual,
                });
            }
        }
        let absolute = std::path::absolute(&path).unwrap_or_else(|_| path.clone());
        let origin = Origin::File {
            path: absolute.display().to_string(),
        };
        store.import_file(&model, &path, origin, &mut |done_bytes, total_bytes| {
            let _ = sender.try_send((done_bytes, total_bytes));
        })
    });
    tokio::pin!(work);
    loop {
        tokio::select! {
            outcome = &mut work => return outcome,
            Some((done_bytes, total_bytes)) = receiver.recv() => progress(PullProgress {
                phase: PullPhase::Downloading,
                done_bytes,
                total_bytes: Some(total_bytes),
                sha256: None,
            }),
        }
    }
}

/// Runs blocking work off the async threads.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(outcome) => outcome,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(StoreError::Busy {
                what: "the runtime is shutting down".to_owned(),
            }),
        },
    }
}

fn done(manifest: Manifest, progress: &mut impl FnMut(PullProgress)) -> Manifest {
    progress(PullProgress {
        phase: PullPhase::Done,
        done_bytes: manifest.size_bytes,
        total_bytes: Some(manifest.size_bytes),
        sha256: None,
    });
    manifest
}
