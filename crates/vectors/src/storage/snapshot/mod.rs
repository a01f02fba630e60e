//! Snapshots: a directory that holds a collection as it was at one moment, while writes went on.
//!
//! ```text
//! snapshots/<name>/SNAPSHOT       what follows, as JSON: version, name, time, and path, bytes and SHA-256 of each file
//! snapshots/<name>/data/…         the directory of the collection as a restore makes it
//! snapshots/.<name>.partial/…     a snapshot that was not finished; removed at the next chance
//! ```
//! Taking one has two steps. [`Pending::begin`], under the collection's writer lock, gives the immutable files and the log a
//! second name (microseconds each: no byte is copied, nothing is synced). [`Pending::finish`], without any lock, writes
//! the manifest, copies the part of the log that was written by then, hashes everything, and gives the snapshot its name.
//! Files of the collection may be unlinked meanwhile: the second name keeps them. Until it is exported a snapshot shares
//! the blocks of its immutable files with the collection: it protects from mistakes, a copy elsewhere from a bad disk.
//!
//! Invariants:
//!  1. A snapshot that [`list`] shows is complete and durable.
//!  2. A restored directory appears under its name only when every file of it matched its SHA-256 and was synced.
//!  3. No name from outside leads out of the directory it is looked up in; see [`check_name`] and [`check_relative`].

mod archive;
mod directory;
mod names;

use std::path::{Path, PathBuf};

use platform::files::Sha256Hasher;
use serde::{Deserialize, Serialize};

use super::container::Container;
use super::disk::{Disk, copy_file, parent_of, replace_file};
use crate::error::VectorsError;

pub use archive::{export, import};
pub use directory::{recover_replaced, replace_directory};
pub use names::{NAME_BYTES_MAX, check_name, check_relative};

/// Version of `SNAPSHOT`. Readers refuse others.
pub const VERSION: u32 = 1;
/// Most files of a snapshot: a bound on what reading `SNAPSHOT` allocates.
pub const FILES_MAX: usize = 200_000;
/// Largest `SNAPSHOT` read.
const FACTS_BYTES_MAX: u64 = 64 << 20;
/// Name of the directory of snapshots in that of a collection.
const SNAPSHOTS: &str = "snapshots";
/// Bytes hashed at a time.
const PIECE_BYTES: usize = 1 << 20;

const FACTS: &str = "SNAPSHOT";
const DATA: &str = "data";

/// A snapshot and its files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Snapshot {
    /// [`VERSION`].
    pub version: u32,
    /// Its name, unique in its collection.
    pub name: String,
    /// When it was taken, in milliseconds since 1970.
    pub created_unix_ms: u64,
    /// Its files, by rising path.
    pub files: Vec<SnapshotFile>,
}

impl Snapshot {
    /// Bytes of all its files.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }
}

/// One file of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SnapshotFile {
    /// Path in the collection's directory, with `/` between its parts.
    pub path: String,
    /// Its length.
    pub bytes: u64,
    /// Its SHA-256, 64 lowercase hexadecimal digits.
    pub sha256: String,
}

/// What a snapshot is to hold, as the collection knows it under its writer lock.
#[derive(Debug, Clone, Default)]
pub struct Capture {
    /// Paths, relative to the collection's directory, of files that never change: they are linked.
    pub immutable: Vec<String>,
    /// Paths of files that can be made again from others and may vanish at any time: linked when they are still there.
    pub derived: Vec<String>,
    /// Log files and how much of each belongs to the snapshot: they are linked at once and that much is copied.
    pub logs: Vec<(String, u64)>,
    /// Small files by path and content, above all the manifest.
    pub contents: Vec<(String, Vec<u8>)>,
}

/// A snapshot begun and not finished. Dropped, it leaves a `.partial` directory for [`remove_partial`].
#[derive(Debug)]
pub struct Pending {
    snapshots: PathBuf,
    name: String,
    /// Small files still to be written.
    contents: Vec<(String, Vec<u8>)>,
    /// Log files whose copies are still to be made.
    logs: Vec<(String, u64)>,
}

impl Pending {
    /// First step: names of everything, taken while nothing is written. `directory` is that of the collection.
    ///
    /// # Errors
    /// [`VectorsError::Invalid`] for a bad name or one that is taken, or as the disk says. Where files cannot be linked they
    /// are copied, which takes longer.
    pub fn begin(
        disk: &dyn Disk,
        directory: &Path,
        name: &str,
        capture: Capture,
    ) -> Result<Pending, VectorsError> {
        check_name(name)?;
        let snapshots = directory_of(directory);
        if disk.length(&snapshots.join(name).join(FACTS))?.is_some() {
            return Err(VectorsError::invalid(
                "snapshot",
                format!("there is a snapshot `{name}` already"),
            ));
        }
        let partial = partial(&snapshots, name);
        disk.remove_directory(&partial)?;
        let outcome = link_all(disk, directory, &partial.join(DATA), &capture);
        if outcome.is_err() {
            // The first failure is the one to tell.
            let _ = disk.remove_directory(&partial);
        }
        Ok(Pending {
            snapshots,
            name: name.to_owned(),
            contents: capture.contents,
            logs: outcome?,
        })
    }

    /// Second step: copies, hashes, makes durable, and gives the snapshot its name.
    ///
    /// # Errors
    /// As the disk says; what was made is removed then, as far as that can be done.
    pub fn finish(self, disk: &dyn Disk, created_unix_ms: u64) -> Result<Snapshot, VectorsError> {
        let outcome = self.complete(disk, created_unix_ms);
        if outcome.is_err() {
            // The first failure is the one to tell; what is left is hidden and removed at the next start.
            let _ = disk.remove_directory(&partial(&self.snapshots, &self.name));
        }
        outcome
    }

    fn complete(&self, disk: &dyn Disk, created_unix_ms: u64) -> Result<Snapshot, VectorsError> {
        let partial = partial(&self.snapshots, &self.name);
        let data = partial.join(DATA);
        for (path, bytes) in &self.contents {
            let file = disk.create(&place(disk, &data, path)?)?;
            file.append(bytes)?;
            file.sync()?;
        }
        for (path, length) in &self.logs {
            let to = data.join(path);
            let link = log_link(&to);
            copy_file(disk, &link, &to, *length)?;
            disk.remove(&link)?;
        }
        let mut files = Vec::new();
        for path in directory::files_below(disk, &data)? {
            let (bytes, sha256) = digest(disk, &data.join(&path))?;
            files.push(SnapshotFile {
                path,
                bytes,
                sha256,
            });
        }
        let snapshot = Snapshot {
            version: VERSION,
            name: self.name.clone(),
            created_unix_ms,
            files,
        };
        store(disk, &partial, &snapshot)?;
        directory::sync_below(disk, &partial)?;
        disk.rename(&partial, &self.snapshots.join(&self.name))?;
        disk.sync_directory(&self.snapshots)?;
        disk.sync_directory(parent_of(&self.snapshots))?;
        Ok(snapshot)
    }
}

/// Gives everything that `capture` names a second name below `data`. Returns the logs whose copies are still to be made.
fn link_all(
    disk: &dyn Disk,
    directory: &Path,
    data: &Path,
    capture: &Capture,
) -> Result<Vec<(String, u64)>, VectorsError> {
    disk.create_directory(data)?;
    for path in &capture.immutable {
        let (from, to) = (directory.join(path), place(disk, data, path)?);
        if disk.hard_link(&from, &to).is_err() {
            let length = disk.length(&from)?.unwrap_or(0);
            copy_file(disk, &from, &to, length)?;
        }
    }
    for path in &capture.derived {
        let (from, to) = (directory.join(path), place(disk, data, path)?);
        // Gone since it was listed, or on a file system without links: it is built again when it is missed.
        let _ = disk.hard_link(&from, &to);
    }
    let mut logs = Vec::new();
    for (path, length) in &capture.logs {
        let (from, to) = (directory.join(path), place(disk, data, path)?);
        if disk.hard_link(&from, &log_link(&to)).is_ok() {
            logs.push((path.clone(), *length));
        } else {
            copy_file(disk, &from, &to, *length)?;
        }
    }
    Ok(logs)
}

/// The snapshots of the collection in `directory`, by name. One whose facts cannot be read is an error of its own.
///
/// # Errors
/// As the disk says.
pub fn list(
    disk: &dyn Disk,
    directory: &Path,
) -> Result<Vec<Result<Snapshot, VectorsError>>, VectorsError> {
    let snapshots = directory_of(directory);
    Ok(disk
        .list(&snapshots)?
        .unwrap_or_default()
        .into_iter()
        .filter(|entry| entry.is_directory && check_name(&entry.name).is_ok())
        .map(|entry| load(disk, &snapshots.join(entry.name)))
        .collect())
}

/// Removes snapshots that were begun and not finished. Called when a collection is opened, before one can be begun.
///
/// # Errors
/// As the disk says.
pub fn remove_partial(disk: &dyn Disk, directory: &Path) -> Result<(), VectorsError> {
    let snapshots = directory_of(directory);
    for entry in disk.list(&snapshots)?.unwrap_or_default() {
        if entry.name.starts_with('.') && entry.name.ends_with(".partial") {
            disk.remove_directory(&snapshots.join(entry.name))?;
        }
    }
    Ok(())
}

/// Removes a snapshot.
///
/// # Errors
/// [`VectorsError::Missing`] when there is none of that name.
pub fn remove(disk: &dyn Disk, directory: &Path, name: &str) -> Result<(), VectorsError> {
    let path = find(disk, directory, name)?;
    // Without its facts it is no snapshot any more, whatever else a crash leaves of it.
    disk.remove(&path.join(FACTS))?;
    disk.sync_directory(&path)?;
    disk.remove_directory(&path)
}

/// The directory of the snapshot `name` of the collection in `directory`.
///
/// # Errors
/// [`VectorsError::Missing`] when there is none of that name.
pub fn find(disk: &dyn Disk, directory: &Path, name: &str) -> Result<PathBuf, VectorsError> {
    check_name(name)?;
    let path = directory_of(directory).join(name);
    if disk.length(&path.join(FACTS))?.is_none() {
        return Err(VectorsError::Missing {
            what: "snapshot",
            name: name.to_owned(),
        });
    }
    Ok(path)
}

/// Compares every file of the snapshot directory with its length and SHA-256, and containers also with the checksums in
/// them, which tell damage that was there when the snapshot was taken. Says what does not match; an empty list is a good
/// snapshot.
///
/// # Errors
/// When the facts of the snapshot cannot be read.
pub fn verify(
    disk: &dyn Disk,
    snapshot_directory: &Path,
) -> Result<Vec<VectorsError>, VectorsError> {
    let snapshot = load(disk, snapshot_directory)?;
    let data = snapshot_directory.join(DATA);
    let mut damages = Vec::new();
    for file in &snapshot.files {
        let path = data.join(&file.path);
        match check_file(disk, &path, file) {
            Err(damage) => damages.push(damage),
            Ok(()) if file.path.ends_with(".fxv") => match Container::open_any(disk, &path) {
                Ok(container) => damages.extend(container.damages()),
                Err(damage) => damages.push(damage),
            },
            Ok(()) => {}
        }
    }
    Ok(damages)
}

/// Makes the snapshot into a new directory of a collection, `target`, whose parent exists. The snapshot stays as it is.
///
/// # Errors
/// [`VectorsError::Corrupt`] when a file does not match its SHA-256: then nothing appears under `target`. Also when `target`
/// exists.
pub fn restore(
    disk: &dyn Disk,
    snapshot_directory: &Path,
    target: &Path,
) -> Result<Snapshot, VectorsError> {
    if disk.list(target)?.is_some() {
        return Err(VectorsError::invalid(
            "target",
            format!("{} exists", target.display()),
        ));
    }
    let (snapshot, staging) = prepare(disk, snapshot_directory, target)?;
    let outcome = disk
        .rename(&staging, target)
        .and_then(|()| disk.sync_directory(parent_of(target)));
    if let Err(error) = outcome {
        // The first failure is the one to tell.
        let _ = disk.remove_directory(&staging);
        return Err(error);
    }
    Ok(snapshot)
}

/// Makes the snapshot into a directory beside `target`, whole, compared and durable, for [`replace_directory`]. Returns it
/// with the snapshot.
///
/// # Errors
/// As [`restore`]; nothing is left behind then.
pub fn prepare(
    disk: &dyn Disk,
    snapshot_directory: &Path,
    target: &Path,
) -> Result<(Snapshot, PathBuf), VectorsError> {
    let snapshot = load(disk, snapshot_directory)?;
    let staging = directory::staging(target);
    disk.remove_directory(&staging)?;
    let data = snapshot_directory.join(DATA);
    let outcome = (|| {
        disk.create_directory(&staging)?;
        for file in &snapshot.files {
            let to = place(disk, &staging, &file.path)?;
            copy_file(disk, &data.join(&file.path), &to, file.bytes)?;
            // The copy is hashed and not the source: this is what will be used.
            check_file(disk, &to, file)?;
        }
        directory::sync_below(disk, &staging)
    })();
    if let Err(error) = outcome {
        // The first failure is the one to tell.
        let _ = disk.remove_directory(&staging);
        return Err(error);
    }
    Ok((snapshot, staging))
}

/// The facts of the snapshot in a directory.
///
/// # Errors
/// [`VectorsError::Corrupt`] naming what is wrong with them.
pub fn load(disk: &dyn Disk, snapshot_directory: &Path) -> Result<Snapshot, VectorsError> {
    let path = snapshot_directory.join(FACTS);
    let bytes = disk.read(&path, FACTS_BYTES_MAX)?;
    parse(&bytes).map_err(|message| VectorsError::Corrupt { path, message })
}

/// The facts in the bytes of a `SNAPSHOT` file: one line of CRC32C in hexadecimal, then JSON.
///
/// # Errors
/// A message that says what is wrong, paths that lead out of the snapshot included.
pub fn parse(bytes: &[u8]) -> Result<Snapshot, String> {
    let (line, json) = bytes.split_first_chunk::<9>().ok_or("too short")?;
    let expected = format!("{:08x}\n", crc32c::crc32c(json));
    if line != expected.as_bytes() {
        return Err("checksum differs".into());
    }
    let snapshot: Snapshot = serde_json::from_slice(json).map_err(|error| error.to_string())?;
    if snapshot.version != VERSION {
        return Err(format!(
            "version {}, this program reads version {VERSION}",
            snapshot.version
        ));
    }
    if snapshot.files.len() > FILES_MAX {
        return Err(format!("{} files", snapshot.files.len()));
    }
    check_name(&snapshot.name).map_err(|error| error.to_string())?;
    for file in &snapshot.files {
        check_relative(&file.path).map_err(|error| error.to_string())?;
        if file.path.split('/').next() == Some(SNAPSHOTS) {
            return Err(format!("`{}` is a snapshot in a snapshot", file.path));
        }
    }
    Ok(snapshot)
}

/// Writes the facts of a snapshot into its directory.
fn store(disk: &dyn Disk, directory: &Path, snapshot: &Snapshot) -> Result<(), VectorsError> {
    let json = serde_json::to_vec(snapshot)
        .map_err(|error| VectorsError::invalid("snapshot", error.to_string()))?;
    let mut bytes = format!("{:08x}\n", crc32c::crc32c(&json)).into_bytes();
    bytes.extend_from_slice(&json);
    replace_file(disk, &directory.join(FACTS), &bytes)
}

/// The directory of a collection's snapshots.
pub fn directory_of(collection: &Path) -> PathBuf {
    collection.join(SNAPSHOTS)
}

fn partial(snapshots: &Path, name: &str) -> PathBuf {
    snapshots.join(format!(".{name}.partial"))
}

/// The second name of a log file whose copy will be `to`.
fn log_link(to: &Path) -> PathBuf {
    let mut name = to.file_name().unwrap_or_default().to_owned();
    name.push(".link");
    to.with_file_name(name)
}

/// The place of the file `relative` below `root`; its directories are made.
fn place(disk: &dyn Disk, root: &Path, relative: &str) -> Result<PathBuf, VectorsError> {
    check_relative(relative)?;
    let path = root.join(relative);
    disk.create_directory(parent_of(&path))?;
    Ok(path)
}

fn digest(disk: &dyn Disk, path: &Path) -> Result<(u64, String), VectorsError> {
    let bytes = disk.map(path)?;
    let mut hasher = Sha256Hasher::new();
    for piece in bytes.as_slice().chunks(PIECE_BYTES) {
        hasher.update(piece);
    }
    Ok((bytes.len() as u64, hasher.finish()))
}

fn check_file(disk: &dyn Disk, path: &Path, expected: &SnapshotFile) -> Result<(), VectorsError> {
    let corrupt = |message| VectorsError::Corrupt {
        path: path.to_owned(),
        message,
    };
    if disk.length(path)?.is_none() {
        return Err(corrupt("missing from the snapshot".into()));
    }
    let (bytes, sha256) = digest(disk, path)?;
    if bytes != expected.bytes {
        return Err(corrupt(format!(
            "{bytes} bytes instead of {}",
            expected.bytes
        )));
    }
    if sha256 != expected.sha256 {
        return Err(corrupt(format!(
            "SHA-256 {sha256} instead of {}",
            expected.sha256
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
