//! One file over HTTP into the store's directory, resumed where an earlier attempt stopped.
//!
//! The bytes lie in `partial-<key>`, what they belong to in `partial-<key>.json`. The file is locked while a pull
//! writes it, and trusted only after its digest was checked.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use platform::files::{MODE_SHARED, Sha256Hasher, sha256_bytes, write_atomic};
use reqwest::header::{CONTENT_RANGE, ETAG, HeaderMap, HeaderValue, IF_RANGE, RANGE};
use reqwest::{Response, StatusCode, Url};
use serde::{Deserialize, Serialize};
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};

use super::client::{Client, Failure, chain, displayed};
use super::{PullPhase, PullProgress};
use crate::store::ModelStore;
use crate::store::error::StoreError;

/// Bytes of a sidecar.
const SIDECAR_BYTES_MAX: u64 = 64 * 1024;
/// Bytes hashed at a time: a millisecond or so between two chances for other tasks.
const HASH_PIECE_BYTES: usize = 1024 * 1024;
/// Progress is told after so many bytes.
const PROGRESS_STEP_BYTES: u64 = 1024 * 1024;

/// What is to be downloaded.
#[derive(Debug)]
pub(super) struct Wanted {
    pub url: Url,
    /// Digest that is known before, 64 lowercase hexadecimal digits.
    pub sha256: Option<String>,
    /// Size that is known before.
    pub bytes: Option<u64>,
    pub bytes_max: u64,
}

/// A finished and verified download.
#[derive(Debug)]
pub(super) struct Downloaded {
    pub path: PathBuf,
    pub sha256: String,
    /// Keeps the lock until the file was adopted.
    _lock: fs::File,
}

/// What the bytes of a partial file belong to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sidecar {
    version: u32,
    url: String,
    /// Strong validator of the server's file.
    etag: Option<String>,
    total_bytes: Option<u64>,
    sha256: Option<String>,
}

/// The partial file of one address.
struct Partial {
    path: PathBuf,
    sidecar_path: PathBuf,
    lock: fs::File,
}

impl Partial {
    /// Opens and locks the partial file of `wanted`.
    fn open(store: &ModelStore, wanted: &Wanted) -> Result<Self, StoreError> {
        let key = sha256_bytes(wanted.url.as_str().as_bytes());
        let path = store.blobs().join(format!("partial-{}", &key[..32]));
        loop {
            let lock = fs::OpenOptions::new()
                .create(true)
                .truncate(false)
                .read(true)
                .write(true)
                .open(&path)
                .map_err(StoreError::io(&path))?;
            match lock.try_lock() {
                Ok(()) => {}
                Err(fs::TryLockError::WouldBlock) => {
                    return Err(StoreError::Busy {
                        what: format!("the download of {}", displayed(&wanted.url)),
                    });
                }
                Err(fs::TryLockError::Error(error)) => return Err(StoreError::io(&path)(error)),
            }
            // Another pull may have made a blob of this very file between the opening and the locking. Writing to it
            // would change a published model.
            if is_same_file(&lock, &path) {
                return Ok(Self {
                    sidecar_path: path.with_extension("json"),
                    path,
                    lock,
                });
            }
        }
    }

    fn length(&self) -> u64 {
        self.lock.metadata().map_or(0, |facts| facts.len())
    }

    /// What the bytes belong to, when that is known.
    fn sidecar(&self) -> Option<Sidecar> {
        let facts = fs::metadata(&self.sidecar_path).ok()?;
        if facts.len() > SIDECAR_BYTES_MAX {
            return None;
        }
        let text = fs::read(&self.sidecar_path).ok()?;
        serde_json::from_slice(&text).ok()
    }

    fn write_sidecar(&self, sidecar: &Sidecar) -> Result<(), StoreError> {
        let text = serde_json::to_vec(sidecar)
            .map_err(|error| StoreError::io(&self.sidecar_path)(error.into()))?;
        write_atomic(&self.sidecar_path, &text, MODE_SHARED)
            .map_err(StoreError::io(&self.sidecar_path))
    }

    fn empty(&self) -> Result<(), StoreError> {
        self.lock.set_len(0).map_err(StoreError::io(&self.path))
    }

    fn remove(&self) {
        // Best effort: what stays is emptied or refused by the next pull.
        let _ = fs::remove_file(&self.sidecar_path);
        let _ = fs::remove_file(&self.path);
    }
}

/// Whether `path` still names the open `file`.
#[cfg(unix)]
fn is_same_file(file: &fs::File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    match (file.metadata(), fs::metadata(path)) {
        (Ok(open), Ok(named)) => open.dev() == named.dev() && open.ino() == named.ino(),
        _ => false,
    }
}

/// Elsewhere an open file cannot be renamed by another process.
#[cfg(not(unix))]
fn is_same_file(_file: &fs::File, path: &Path) -> bool {
    path.exists()
}

/// Removes the sidecar of an adopted download, and the file when it was not adopted.
pub(super) fn forget(path: &Path) {
    for leftover in [path.with_extension("json"), path.to_owned()] {
        if let Err(error) = fs::remove_file(&leftover)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(path = %leftover.display(), %error, "leftover of a pull stays");
        }
    }
}

/// Downloads, with resumption and retries, and verifies.
pub(super) async fn download(
    store: &ModelStore,
    client: &Client,
    wanted: &Wanted,
    progress: &mut impl FnMut(PullProgress),
) -> Result<Downloaded, StoreError> {
    let partial = Partial::open(store, wanted)?;
    let mut attempt = 0;
    let promised = loop {
        let before = partial.length();
        let failure = match try_download(store, client, wanted, &partial, progress).await {
            Ok(promised) => break promised,
            Err(failure) => failure,
        };
        let (error, pause) = match failure {
            Failure::Final(error) => {
                if partial.length() == 0 {
                    partial.remove();
                }
                return Err(error);
            }
            Failure::Transient { error, pause } => (error, pause),
        };
        // An attempt that brought bytes starts the count anew: a bad line is slow, not hopeless.
        attempt = if partial.length() > before {
            1
        } else {
            attempt + 1
        };
        if attempt >= client.attempts_max() {
            return Err(error);
        }
        tracing::debug!(attempt, %error, "download interrupted, resuming");
        client.pause(attempt, pause).await;
    };
    let actual = hash(&partial, progress).await?;
    if let Some(expected) = promised.filter(|expected| *expected != actual) {
        partial.remove();
        return Err(StoreError::HashMismatch {
            what: displayed(&wanted.url),
            expected,
            actual,
        });
    }
    Ok(Downloaded {
        path: partial.path,
        sha256: actual,
        _lock: partial.lock,
    })
}

/// One attempt. Returns the digest that was promised, when the file is complete.
async fn try_download(
    store: &ModelStore,
    client: &Client,
    wanted: &Wanted,
    partial: &Partial,
    progress: &mut impl FnMut(PullProgress),
) -> Result<Option<String>, Failure> {
    let sidecar = partial.sidecar().filter(|sidecar| {
        sidecar.version == 1
            && sidecar.url == wanted.url.as_str()
            && (wanted.sha256.is_none() || sidecar.sha256 == wanted.sha256)
    });
    // Bytes may be continued when a validator or a digest tells whether they still belong to the server's file.
    let known = sidecar.filter(|sidecar| sidecar.etag.is_some() || sidecar.sha256.is_some());
    let have = match &known {
        Some(_) => partial.length(),
        None => 0,
    };
    if let Some(sidecar) = &known
        && have > 0
        && sidecar.total_bytes == Some(have)
        && sidecar.sha256.is_some()
    {
        return Ok(sidecar.sha256.clone());
    }
    let mut headers = HeaderMap::new();
    if have > 0 {
        let range = HeaderValue::from_str(&format!("bytes={have}-"));
        headers.insert(
            RANGE,
            range.map_err(|_| Failure::transient(&wanted.url, "range"))?,
        );
        let etag = known.as_ref().and_then(|sidecar| sidecar.etag.as_deref());
        if let Some(etag) = etag.and_then(|etag| HeaderValue::from_str(etag).ok()) {
            headers.insert(IF_RANGE, etag);
        }
    }
    let answer = client.get(&wanted.url, &headers).await?;
    let response = answer.response;
    let (start, total_bytes) = match placement(&response, have) {
        Placement::At { start, total_bytes } => (start, total_bytes),
        Placement::Restart => {
            partial.empty()?;
            return Err(Failure::transient(
                &wanted.url,
                "the server cannot continue the file",
            ));
        }
    };
    expect_size(wanted, total_bytes)?;
    if start == 0 {
        partial.empty()?;
    }
    let sidecar = Sidecar {
        version: 1,
        url: wanted.url.as_str().to_owned(),
        etag: strong_etag(&response),
        total_bytes,
        sha256: wanted.sha256.clone().or(answer.linked_sha256),
    };
    partial.write_sidecar(&sidecar)?;
    let total_bytes = total_bytes.or(wanted.bytes);
    store.expect_room(total_bytes.unwrap_or(0).saturating_sub(start))?;
    let done = receive(wanted, partial, response, start, total_bytes, progress).await?;
    match total_bytes {
        Some(total) if done != total => {
            let reason = format!("the connection ended after {done} of {total} bytes");
            Err(Failure::transient(&wanted.url, reason))
        }
        _ => Ok(sidecar.sha256),
    }
}

enum Placement {
    /// The body goes to `start`; the whole file has `total_bytes`.
    At {
        start: u64,
        total_bytes: Option<u64>,
    },
    /// The bytes that we have are of no use.
    Restart,
}

/// Where the body of an answer belongs, when `have` bytes are there.
fn placement(response: &Response, have: u64) -> Placement {
    match response.status() {
        StatusCode::PARTIAL_CONTENT => {
            let range = response.headers().get(CONTENT_RANGE);
            match range.and_then(|value| content_range(value.to_str().ok()?)) {
                Some((start, total_bytes)) if start == have => Placement::At { start, total_bytes },
                _ => Placement::Restart,
            }
        }
        StatusCode::RANGE_NOT_SATISFIABLE => Placement::Restart,
        _ => Placement::At {
            start: 0,
            total_bytes: response.content_length(),
        },
    }
}

/// Start and total of `bytes 10-19/20`.
fn content_range(text: &str) -> Option<(u64, Option<u64>)> {
    let (range, total) = text.strip_prefix("bytes ")?.split_once('/')?;
    let (start, _) = range.split_once('-')?;
    let total = match total {
        "*" => None,
        total => Some(total.parse().ok()?),
    };
    Some((start.parse().ok()?, total))
}

/// The validator, unless it is a weak one, which does not promise equal bytes.
fn strong_etag(response: &Response) -> Option<String> {
    let etag = response.headers().get(ETAG)?.to_str().ok()?;
    (!etag.starts_with("W/")).then(|| etag.to_owned())
}

fn expect_size(wanted: &Wanted, total_bytes: Option<u64>) -> Result<(), StoreError> {
    match (total_bytes, wanted.bytes) {
        (Some(total), _) if total > wanted.bytes_max => Err(StoreError::TooLarge {
            what: displayed(&wanted.url),
            bytes: total,
            limit: wanted.bytes_max,
        }),
        (Some(total), Some(promised)) if total != promised => Err(StoreError::Network {
            url: displayed(&wanted.url),
            reason: format!("the file has {total} bytes, {promised} were promised"),
        }),
        _ => Ok(()),
    }
}

/// Writes the body at `start`; returns the length of the file after it.
async fn receive(
    wanted: &Wanted,
    partial: &Partial,
    mut response: Response,
    start: u64,
    total_bytes: Option<u64>,
    progress: &mut impl FnMut(PullProgress),
) -> Result<u64, Failure> {
    let io = |error| Failure::Final(StoreError::io(&partial.path)(error));
    let mut file = File::from_std(partial.lock.try_clone().map_err(io)?);
    file.seek(io::SeekFrom::Start(start)).await.map_err(io)?;
    let mut done = start;
    let mut told = start;
    let mut tell = |done_bytes| {
        progress(PullProgress {
            phase: PullPhase::Downloading,
            done_bytes,
            total_bytes,
            sha256: None,
        });
    };
    tell(done);
    let outcome = loop {
        let chunk = match response.chunk().await {
            Ok(Some(chunk)) => chunk,
            Ok(None) => break Ok(()),
            Err(error) => break Err(Failure::transient(&wanted.url, chain(&error))),
        };
        done += chunk.len() as u64;
        if done
            > total_bytes
                .unwrap_or(wanted.bytes_max)
                .min(wanted.bytes_max)
        {
            break Err(Failure::Final(StoreError::TooLarge {
                what: displayed(&wanted.url),
                bytes: done,
                limit: total_bytes
                    .unwrap_or(wanted.bytes_max)
                    .min(wanted.bytes_max),
            }));
        }
        file.write_all(&chunk).await.map_err(io)?;
        if done - told >= PROGRESS_STEP_BYTES {
            told = done;
            tell(done);
        }
    };
    // What has arrived is kept for the next attempt, whatever ended this one.
    file.flush().await.map_err(io)?;
    outcome?;
    tell(done);
    Ok(done)
}

/// The digest of the complete file.
async fn hash(
    partial: &Partial,
    progress: &mut impl FnMut(PullProgress),
) -> Result<String, StoreError> {
    let io = |error| StoreError::io(&partial.path)(error);
    let mut file = File::open(&partial.path).await.map_err(io)?;
    let total_bytes = Some(partial.length());
    let mut hasher = Sha256Hasher::new();
    let mut buffer = vec![0; HASH_PIECE_BYTES];
    loop {
        let count = file.read(&mut buffer).await.map_err(io)?;
        if count == 0 {
            return Ok(hasher.finish());
        }
        hasher.update(&buffer[..count]);
        progress(PullProgress {
            phase: PullPhase::Verifying,
            done_bytes: hasher.length_bytes(),
            total_bytes,
            sha256: None,
        });
    }
}
