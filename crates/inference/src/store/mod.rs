//! The model store: weights by content, manifests by name.
//!
//! ```text
//! models/blobs/sha256-<hex>               weights, never changed in place
//! models/blobs/partial-<key>[.json]       an unfinished pull, resumed by the next one
//! models/blobs/import-<random>            an unfinished import or upload
//! models/blobs/upload-<hex>               an upload that is no model yet, see [`upload`]
//! models/manifests/<encoded name>.json    see [`manifest`]
//! models/lock                             held while names or blobs are being published or removed
//! ```
//!
//! Invariants:
//!  1. A blob under its final name has been hashed, and its header was accepted by our own parser.
//!  2. A manifest is written after its blob is durable, and removed before its blob is: a name never dangles because
//!     of a crash.
//!  3. A blob is removed only under the lock and only when no readable manifest names it; while any manifest is
//!     unreadable, no blob is removed at all.

pub mod error;
pub mod manifest;
pub mod name;
pub mod pull;
#[cfg(test)]
mod tests;
mod upload;

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use platform::Clock;
use platform::files::{
    DirectoryLock, HASH_BUFFER_BYTES, LockError, MODE_SHARED, Sha256Hasher, free_bytes,
    rename_durable, sha256_bytes, sha256_file, sync_directory, write_atomic,
};

use crate::files::FileError;
use crate::files::error::{FileErrorKind, quotable};
use crate::files::gguf::GgufHeader;
pub use crate::files::gguf::{Kind, Pooling};
pub use error::StoreError;
pub use manifest::{Format, Manifest, ModelFacts, ModelSettings, Origin, SamplingSettings};
pub use upload::Upload;

use manifest::MANIFEST_VERSION;

/// Bytes of a manifest; real ones have about one thousand.
const MANIFEST_BYTES_MAX: u64 = 1024 * 1024;
/// How long a change waits for another process that holds the lock. Publishing takes milliseconds.
const LOCK_WAIT: Duration = Duration::from_secs(10);
/// Pause between two looks at the lock.
const LOCK_POLL: Duration = Duration::from_millis(20);
/// An unfinished import older than this was left by a crash, and an upload that old by a client that forgot it.
const IMPORT_AGE_MAX: Duration = Duration::from_secs(24 * 3600);
/// Room that a pull or import leaves on the disk.
pub(crate) const DISK_MARGIN_BYTES: u64 = 64 * 1024 * 1024;

/// The models of this machine. Cheap to clone; clones and other processes may work in the same directory.
#[derive(Debug, Clone)]
pub struct ModelStore {
    directory: PathBuf,
    /// Orders the changes of this process, so that only processes compete for the lock file.
    changes: Arc<Mutex<()>>,
    clock: Clock,
}

/// A model ready to be loaded.
#[derive(Debug, Clone, PartialEq)]
pub struct ResolvedModel {
    /// Its manifest.
    pub manifest: Manifest,
    /// Its weights.
    pub path: PathBuf,
}

/// What [`ModelStore::remove`] did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removed {
    /// The name that is gone.
    pub name: String,
    /// Bytes given back to the disk; 0 while another name uses the same weights.
    pub freed_bytes: u64,
}

/// A manifest that could not be read. Its model cannot be used; the others can.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokenManifest {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub reason: String,
}

/// All models, and the manifests that could not be read.
#[derive(Debug, Clone, Default)]
pub struct Listing {
    /// Sorted by name.
    pub manifests: Vec<Manifest>,
    /// Sorted by path.
    pub broken: Vec<BrokenManifest>,
}

impl ModelStore {
    /// Opens the store in `directory`, which is created when missing.
    ///
    /// # Errors
    /// [`StoreError::Io`] when the directory cannot be used.
    pub fn open(directory: &Path) -> Result<Self, StoreError> {
        let store = Self {
            directory: directory.to_owned(),
            changes: Arc::default(),
            clock: Clock::system(),
        };
        for part in [store.blobs(), store.manifests()] {
            fs::create_dir_all(&part).map_err(StoreError::io(&part))?;
        }
        store.remove_abandoned_imports();
        Ok(store)
    }

    /// The directory of the store.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// All models sorted by name. Manifests that cannot be read are logged and left out; [`ModelStore::scan`] returns
    /// them too.
    ///
    /// # Errors
    /// [`StoreError::Io`] when the directory cannot be listed.
    pub fn list(&self) -> Result<Vec<Manifest>, StoreError> {
        let listing = self.scan()?;
        for broken in &listing.broken {
            tracing::warn!(path = %broken.path.display(), reason = broken.reason, "model manifest is damaged");
        }
        Ok(listing.manifests)
    }

    /// All models, and all manifests that could not be read.
    ///
    /// # Errors
    /// [`StoreError::Io`] when the directory cannot be listed.
    pub fn scan(&self) -> Result<Listing, StoreError> {
        let directory = self.manifests();
        let mut listing = Listing::default();
        let entries = fs::read_dir(&directory).map_err(StoreError::io(&directory))?;
        for entry in entries {
            let path = entry.map_err(StoreError::io(&directory))?.path();
            let hidden = path
                .file_name()
                .is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
            if hidden || path.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            match read_manifest(&path) {
                Ok(Some(manifest)) => listing.manifests.push(manifest),
                // Removed between the listing and the reading.
                Ok(None) => {}
                Err(StoreError::Manifest { path, reason }) => {
                    listing.broken.push(BrokenManifest { path, reason });
                }
                Err(error) => listing.broken.push(BrokenManifest {
                    path,
                    reason: error.to_string(),
                }),
            }
        }
        listing.manifests.sort_by(|a, b| a.name.cmp(&b.name));
        listing.broken.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(listing)
    }

    /// The manifest of a name; `name` and `name:latest` stand for each other.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] with the nearest name, [`StoreError::Manifest`] when it is damaged.
    pub fn manifest(&self, name: &str) -> Result<Manifest, StoreError> {
        for candidate in [Some(name.to_owned()), name::alias(name)]
            .into_iter()
            .flatten()
        {
            // A name that breaks the rules cannot be in the store, and must not reach the file system.
            if name::validate(&candidate).is_ok()
                && let Some(manifest) = read_manifest(&self.manifest_path(&candidate))?
            {
                return Ok(manifest);
            }
        }
        let known = self.scan()?.manifests;
        Err(StoreError::NotFound {
            name: quotable(name),
            nearest: name::nearest(name, known.iter().map(|manifest| manifest.name.as_str())),
        })
    }

    /// The model of a name, with its weights in place.
    ///
    /// # Errors
    /// As [`ModelStore::manifest`], and [`StoreError::BlobMissing`].
    pub fn resolve(&self, name: &str) -> Result<ResolvedModel, StoreError> {
        let manifest = self.manifest(name)?;
        let path = self.blob_path(&manifest.digest);
        match fs::metadata(&path) {
            Ok(facts) if facts.is_file() && facts.len() == manifest.size_bytes => {
                Ok(ResolvedModel { manifest, path })
            }
            Ok(_) => Err(missing_blob(manifest)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(missing_blob(manifest)),
            Err(source) => Err(StoreError::Io { path, source }),
        }
    }

    /// Where the weights with this digest (`sha256:hex` or bare hex) are, or would be.
    #[must_use]
    pub fn blob_path(&self, digest: &str) -> PathBuf {
        let hex = digest.strip_prefix("sha256:").unwrap_or(digest);
        // Digests come from validated manifests or from hashing; anything else must still not leave the directory.
        let safe: String = hex.chars().filter(char::is_ascii_alphanumeric).collect();
        self.blobs().join(format!("sha256-{safe}"))
    }

    /// Copies the model file at `path` into the store as `name`, replacing a model of that name (its settings stay).
    /// The header is parsed before anything is copied. `progress` hears bytes done and bytes in all.
    ///
    /// # Errors
    /// [`StoreError::File`] when the file is no usable model; [`StoreError::InvalidName`], `Io`, `DiskFull`, `Busy`.
    pub fn import_file(
        &self,
        name: &str,
        path: &Path,
        origin: Origin,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Manifest, StoreError> {
        name::validate(name)?;
        let total_bytes = usable_header(path)?.file_bytes;
        self.expect_room(total_bytes)?;
        let random = platform::entropy::random_u64()
            .map_err(|error| StoreError::io(&self.directory)(error.into()))?;
        let temporary = Temporary(self.blobs().join(format!("import-{random:016x}")));
        let digest = copy_hashed(path, &temporary.0, total_bytes, progress)?;
        self.adopt(name, &temporary.0, &digest, origin)
    }

    /// Stores `bytes`, a whole model file, as `name`.
    ///
    /// # Errors
    /// As [`ModelStore::import_file`].
    pub fn import_bytes(
        &self,
        name: &str,
        bytes: &[u8],
        origin: Origin,
    ) -> Result<Manifest, StoreError> {
        name::validate(name)?;
        let digest = sha256_bytes(bytes);
        let path = self.blob_path(&digest);
        let header = GgufHeader::parse(bytes)
            .and_then(expect_tensors)
            .map_err(|error| StoreError::File {
                path: path.clone(),
                error,
            })?;
        self.expect_room(bytes.len() as u64)?;
        let _lock = self.lock()?;
        write_atomic(&path, bytes, MODE_SHARED).map_err(StoreError::io(&path))?;
        self.publish(name, &digest, &header, origin)
    }

    /// Makes the finished file `temporary`, which lies in the store and whose sha256 is `digest` (bare hex), the
    /// weights of `name`. The file is moved.
    pub(crate) fn adopt(
        &self,
        name: &str,
        temporary: &Path,
        digest: &str,
        origin: Origin,
    ) -> Result<Manifest, StoreError> {
        name::validate(name)?;
        let header = usable_header(temporary)?;
        let blob = self.blob_path(digest);
        let _lock = self.lock()?;
        // Also over weights that are there already: they may have been damaged since, these were hashed just now.
        rename_durable(temporary, &blob).map_err(StoreError::io(&blob))?;
        self.publish(name, digest, &header, origin)
    }

    /// Removes a name, and its weights when no other name uses them. A damaged manifest is removed without its weights.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], `Io`, `Busy`.
    pub fn remove(&self, name: &str) -> Result<Removed, StoreError> {
        let _lock = self.lock()?;
        let remove_file = |path: &Path| {
            fs::remove_file(path).map_err(StoreError::io(path))?;
            sync_directory(&self.manifests()).map_err(StoreError::io(self.manifests()))
        };
        match self.manifest(name) {
            Ok(manifest) => {
                remove_file(&self.manifest_path(&manifest.name))?;
                let freed_bytes = self.remove_if_unused(&manifest.digest)?;
                Ok(Removed {
                    name: manifest.name,
                    freed_bytes,
                })
            }
            // Its owner must be able to get rid of it. Which weights it named is not known, so they stay.
            Err(StoreError::Manifest { path, .. }) => {
                remove_file(&path)?;
                Ok(Removed {
                    name: name.to_owned(),
                    freed_bytes: 0,
                })
            }
            Err(error) => Err(error),
        }
    }

    /// Gives the model `from` a second name. The weights are shared.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::InvalidName`], `Io`, `Busy`.
    pub fn copy(&self, from: &str, to: &str) -> Result<Manifest, StoreError> {
        name::validate(to)?;
        let _lock = self.lock()?;
        let mut manifest = self.resolve(from)?.manifest;
        manifest.name = to.to_owned();
        self.replace(&manifest)?;
        Ok(manifest)
    }

    /// Changes the settings of a model.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], `Io`, `Busy`.
    pub fn configure(
        &self,
        name: &str,
        normalize: Option<bool>,
        settings: ModelSettings,
    ) -> Result<Manifest, StoreError> {
        let _lock = self.lock()?;
        let mut manifest = self.manifest(name)?;
        manifest.normalize = normalize.unwrap_or(manifest.normalize);
        manifest.settings = settings;
        self.replace(&manifest)?;
        Ok(manifest)
    }

    /// Hashes the weights of a model again. `progress` hears bytes done and bytes in all.
    ///
    /// # Errors
    /// [`StoreError::HashMismatch`] when they have changed on disk; as [`ModelStore::resolve`].
    pub fn verify(
        &self,
        name: &str,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Manifest, StoreError> {
        let ResolvedModel { manifest, path } = self.resolve(name)?;
        let total_bytes = manifest.size_bytes;
        let actual = sha256_file(&path, &mut |done_bytes| progress(done_bytes, total_bytes))
            .map_err(StoreError::io(&path))?;
        match manifest.digest.strip_prefix("sha256:") {
            Some(expected) if expected == actual => Ok(manifest),
            expected => Err(StoreError::HashMismatch {
                expected: expected.unwrap_or(&manifest.digest).to_owned(),
                what: manifest.name,
                actual,
            }),
        }
    }

    /// Refuses when `bytes` more do not fit on the disk.
    pub(crate) fn expect_room(&self, bytes: u64) -> Result<(), StoreError> {
        match free_bytes(&self.directory) {
            Some(free) if free < bytes.saturating_add(DISK_MARGIN_BYTES) => {
                Err(StoreError::DiskFull {
                    path: self.directory.clone(),
                    needed: bytes,
                    free,
                })
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn blobs(&self) -> PathBuf {
        self.directory.join("blobs")
    }

    fn manifests(&self) -> PathBuf {
        self.directory.join("manifests")
    }

    fn manifest_path(&self, name: &str) -> PathBuf {
        self.manifests().join(name::file_name(name))
    }

    /// Writes the manifest of weights that are in place. Under the lock.
    fn publish(
        &self,
        name: &str,
        digest: &str,
        header: &GgufHeader,
        origin: Origin,
    ) -> Result<Manifest, StoreError> {
        let digest = format!("sha256:{digest}");
        let previous = read_manifest(&self.manifest_path(name)).ok().flatten();
        let manifest = Manifest {
            version: MANIFEST_VERSION,
            name: name.to_owned(),
            digest: digest.clone(),
            size_bytes: header.file_bytes,
            format: Format::Gguf,
            created_unix: self.clock.unix().as_secs(),
            origin,
            normalize: normalizes(header, &digest, previous.as_ref()),
            facts: ModelFacts::from(header),
            settings: previous
                .map(|manifest| manifest.settings)
                .unwrap_or_default(),
        };
        self.replace(&manifest)?;
        Ok(manifest)
    }

    /// Writes a manifest over the one of the same name, and drops weights that nobody names any more. Under the lock.
    fn replace(&self, manifest: &Manifest) -> Result<(), StoreError> {
        let path = self.manifest_path(&manifest.name);
        let previous = read_manifest(&path).ok().flatten();
        let mut text = serde_json::to_vec_pretty(manifest)
            .map_err(|error| StoreError::io(&path)(error.into()))?;
        text.push(b'\n');
        write_atomic(&path, &text, MODE_SHARED).map_err(StoreError::io(&path))?;
        match previous {
            Some(previous) if previous.digest != manifest.digest => {
                self.remove_if_unused(&previous.digest).map(drop)
            }
            _ => Ok(()),
        }
    }

    /// Removes weights that no manifest names; returns the bytes freed. Under the lock.
    fn remove_if_unused(&self, digest: &str) -> Result<u64, StoreError> {
        let listing = self.scan()?;
        let used = listing
            .manifests
            .iter()
            .any(|manifest| manifest.digest == digest);
        // A damaged manifest may name these weights: keep them until somebody has looked.
        if used || !listing.broken.is_empty() {
            return Ok(0);
        }
        let path = self.blob_path(digest);
        let bytes = fs::metadata(&path).map_or(0, |facts| facts.len());
        match fs::remove_file(&path) {
            Ok(()) => Ok(bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
            Err(source) => Err(StoreError::Io { path, source }),
        }
    }

    /// The right to publish and remove, after waiting a bounded time for others.
    fn lock(&self) -> Result<ChangeGuard<'_>, StoreError> {
        let threads = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        let deadline = self.clock.now() + LOCK_WAIT;
        loop {
            match DirectoryLock::acquire(&self.directory) {
                Ok(processes) => {
                    return Ok(ChangeGuard {
                        _processes: processes,
                        _threads: threads,
                    });
                }
                Err(LockError::Held { .. }) if self.clock.now() < deadline => {
                    std::thread::sleep(LOCK_POLL);
                }
                Err(LockError::Held { directory, .. }) => {
                    return Err(StoreError::Busy {
                        what: directory.display().to_string(),
                    });
                }
                Err(LockError::Io { path, source }) => return Err(StoreError::Io { path, source }),
            }
        }
    }

    /// Best effort: what cannot be removed now is tried again at the next start.
    fn remove_abandoned_imports(&self) {
        let now = self.clock.unix();
        for entry in fs::read_dir(self.blobs()).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let ours = [&b"import-"[..], b"upload-"]
                .iter()
                .any(|prefix| name.as_encoded_bytes().starts_with(prefix));
            let written = entry.metadata().and_then(|facts| facts.modified()).ok();
            let age = written
                .and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok())
                .and_then(|time| now.checked_sub(time));
            if ours && age.is_some_and(|age| age > IMPORT_AGE_MAX) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

/// Held while names or weights change. The fields are dropped in order: the lock file first, then the mutex.
struct ChangeGuard<'a> {
    _processes: DirectoryLock,
    _threads: std::sync::MutexGuard<'a, ()>,
}

/// A file that is removed when it is dropped (when it is still there).
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        // After a successful adoption it is gone already.
        let _ = fs::remove_file(&self.0);
    }
}

fn missing_blob(manifest: Manifest) -> StoreError {
    StoreError::BlobMissing {
        name: manifest.name,
        digest: manifest.digest,
    }
}

/// The header of a file that can be run.
fn usable_header(path: &Path) -> Result<GgufHeader, StoreError> {
    GgufHeader::read(path)
        .and_then(expect_tensors)
        .map_err(|error| StoreError::File {
            path: path.to_owned(),
            error,
        })
}

/// Refuses files that hold only a vocabulary.
fn expect_tensors(header: GgufHeader) -> Result<GgufHeader, FileError> {
    if header.tensors.is_empty() {
        let message = "the file holds no weights, only a vocabulary";
        return Err(FileError::new(
            FileErrorKind::Missing,
            "tensor_count",
            8,
            message,
        ));
    }
    Ok(header)
}

/// Copies `from` to the new file `to`; returns the sha256 of the bytes that were written.
fn copy_hashed(
    from: &Path,
    to: &Path,
    total_bytes: u64,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<String, StoreError> {
    let mut source = File::open(from).map_err(StoreError::io(from))?;
    let mut target = File::create_new(to).map_err(StoreError::io(to))?;
    let mut hasher = Sha256Hasher::new();
    let mut buffer = vec![0; HASH_BUFFER_BYTES];
    loop {
        let count = match source.read(&mut buffer) {
            Ok(0) => return Ok(hasher.finish()),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(source) => {
                return Err(StoreError::Io {
                    path: from.to_owned(),
                    source,
                });
            }
        };
        hasher.update(&buffer[..count]);
        target
            .write_all(&buffer[..count])
            .map_err(StoreError::io(to))?;
        progress(hasher.length_bytes(), total_bytes);
    }
}

/// Whether embeddings are scaled to length one: for the same file what stands in the store, which may have been chosen;
/// for a new one what it says of itself, else as before under this name, else as embeddings are compared, by angle.
fn normalizes(header: &GgufHeader, digest: &str, previous: Option<&Manifest>) -> bool {
    match (previous, header.normalize) {
        (Some(previous), _) if previous.digest == digest => previous.normalize,
        (_, Some(stated)) => stated,
        (Some(previous), None) => previous.normalize,
        (None, None) => header.kind == Kind::Embed,
    }
}

/// The manifest in a file; `None` when there is no such file.
fn read_manifest(path: &Path) -> Result<Option<Manifest>, StoreError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(StoreError::io(path)(error)),
    };
    let damaged = |reason: String| StoreError::Manifest {
        path: path.to_owned(),
        reason,
    };
    let mut text = Vec::new();
    file.take(MANIFEST_BYTES_MAX + 1)
        .read_to_end(&mut text)
        .map_err(StoreError::io(path))?;
    if text.len() as u64 > MANIFEST_BYTES_MAX {
        return Err(damaged(format!("longer than {MANIFEST_BYTES_MAX} bytes")));
    }
    let manifest: Manifest =
        serde_json::from_slice(&text).map_err(|error| damaged(error.to_string()))?;
    if manifest.version != MANIFEST_VERSION {
        return Err(damaged(format!(
            "version {}, {MANIFEST_VERSION} is expected",
            manifest.version
        )));
    }
    name::validate(&manifest.name).map_err(|error| damaged(error.to_string()))?;
    let file_name = name::file_name(&manifest.name);
    if path
        .file_name()
        .is_none_or(|name| name != file_name.as_str())
    {
        return Err(damaged(format!(
            "holds the manifest of \"{}\"",
            manifest.name
        )));
    }
    let hex = manifest.digest.strip_prefix("sha256:").unwrap_or_default();
    let digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if hex.len() != 64 || !hex.bytes().all(digit) {
        return Err(damaged("the digest is no sha256".to_owned()));
    }
    Ok(Some(manifest))
}
