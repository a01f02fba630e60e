//! What is done with snapshots: listing, verifying, restoring, copying elsewhere. They are taken with
//! [`Collection::snapshot`]. None of this opens the collection that a snapshot is of.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};

use super::Database;
use crate::collection::Collection;
use crate::error::VectorsError;
use crate::storage::disk::parent_of;
use crate::storage::snapshot::{self, Snapshot};

/// Directory of archives on their way to become collections.
pub(super) const IMPORTS: &str = "imports";
/// Name that an archive has there.
const ARCHIVE: &str = "archive";

/// What a restore does when there is a collection of the target's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// It fails with [`VectorsError::CollectionExists`].
    Refuse,
    /// It takes the collection's place, whose writes since the snapshot are gone then. Its snapshots stay.
    Replace,
}

impl Database {
    /// The snapshots of a collection, by name. One whose facts are damaged stands as its error.
    ///
    /// # Errors
    /// [`VectorsError::CollectionMissing`], or as the disk says.
    pub fn snapshots(
        &self,
        collection: &str,
    ) -> Result<Vec<Result<Snapshot, VectorsError>>, VectorsError> {
        let directory = self.known(collection)?;
        snapshot::list(self.surroundings.disk.as_ref(), &directory)
    }

    /// Compares every file of a snapshot with its length and SHA-256 and the checksums within, and returns what does not
    /// match, naming file and part. An empty list is a good snapshot.
    ///
    /// # Errors
    /// [`VectorsError::CollectionMissing`], [`VectorsError::Missing`], or [`VectorsError::Corrupt`] when the facts of the
    /// snapshot themselves are damaged.
    pub fn verify_snapshot(
        &self,
        collection: &str,
        name: &str,
    ) -> Result<Vec<VectorsError>, VectorsError> {
        let directory = self.snapshot_directory(collection, name)?;
        snapshot::verify(self.surroundings.disk.as_ref(), &directory)
    }

    /// Deletes a snapshot.
    ///
    /// # Errors
    /// [`VectorsError::CollectionMissing`], [`VectorsError::Missing`], or as the disk says.
    pub fn delete_snapshot(&self, collection: &str, name: &str) -> Result<(), VectorsError> {
        let directory = self.known(collection)?;
        snapshot::remove(self.surroundings.disk.as_ref(), &directory, name)
    }

    /// Writes a snapshot as one file, a tar archive, to `target`. Returns its bytes. Compare them after reading them back:
    /// [`Database::import_snapshot`] and [`Database::restore_archive`] check every file's SHA-256.
    ///
    /// # Errors
    /// As [`Database::verify_snapshot`], and as `target` says.
    pub fn export_snapshot(
        &self,
        collection: &str,
        name: &str,
        target: &mut dyn Write,
    ) -> Result<u64, VectorsError> {
        let directory = self.snapshot_directory(collection, name)?;
        snapshot::export(self.surroundings.disk.as_ref(), &directory, target)
    }

    /// Reads an archive of at most `limit_bytes` as the snapshot `name` of a collection.
    ///
    /// # Errors
    /// [`VectorsError::CollectionMissing`]; [`VectorsError::Invalid`] for a name that is taken or cannot be one, for an
    /// archive that is not one of ours or is larger; [`VectorsError::Corrupt`] when a file does not match its SHA-256. No
    /// snapshot appears then.
    pub fn import_snapshot(
        &self,
        collection: &str,
        name: &str,
        source: &mut dyn Read,
        limit_bytes: u64,
    ) -> Result<Snapshot, VectorsError> {
        let directory = self.known(collection)?;
        snapshot::check_name(name)?;
        let disk = self.surroundings.disk.as_ref();
        let target = snapshot::directory_of(&directory).join(name);
        disk.create_directory(parent_of(&target))?;
        disk.sync_directory(&directory)?;
        snapshot::import(disk, source, &target, limit_bytes)
    }

    /// Makes a snapshot of `collection` into the collection `target`, a new one or the same, and opens it. The snapshot
    /// stays. Reads and writes of a collection being replaced go on until the files are in place; who still holds it can
    /// read it to the end.
    ///
    /// # Errors
    /// [`VectorsError::CollectionMissing`], [`VectorsError::Missing`], [`VectorsError::CollectionExists`], or
    /// [`VectorsError::Corrupt`] naming the file that is not as it was when the snapshot was taken: nothing has changed then.
    pub fn restore(
        &self,
        collection: &str,
        name: &str,
        target: &str,
        existing: Existing,
    ) -> Result<Arc<Collection>, VectorsError> {
        let source = self.snapshot_directory(collection, name)?;
        self.restore_directory(&source, target, existing)
    }

    /// Makes an archive of at most `limit_bytes`, which [`Database::export_snapshot`] wrote here or elsewhere, into the
    /// collection `target`, and opens it.
    ///
    /// # Errors
    /// As [`Database::restore`] and [`Database::import_snapshot`].
    pub fn restore_archive(
        &self,
        source: &mut dyn Read,
        limit_bytes: u64,
        target: &str,
        existing: Existing,
    ) -> Result<Arc<Collection>, VectorsError> {
        let number = {
            let mut state = self.lock();
            state.uses += 1;
            if existing == Existing::Refuse && state.entries.contains_key(target) {
                return Err(VectorsError::CollectionExists {
                    name: target.to_owned(),
                });
            }
            state.uses
        };
        let disk = self.surroundings.disk.as_ref();
        let place = self.directory.join(IMPORTS).join(number.to_string());
        disk.create_directory(&place)?;
        let archive = place.join(ARCHIVE);
        let outcome = snapshot::import(disk, source, &archive, limit_bytes)
            .and_then(|_| self.restore_directory(&archive, target, existing));
        let removed = disk.remove_directory(&place);
        let collection = outcome?;
        removed?;
        Ok(collection)
    }

    fn restore_directory(
        &self,
        source: &Path,
        target: &str,
        existing: Existing,
    ) -> Result<Arc<Collection>, VectorsError> {
        let disk = self.surroundings.disk.as_ref();
        let directory = self.directory_of(target)?;
        let mut state = self.lock();
        let is_new = !state.entries.contains_key(target);
        if !is_new && existing == Existing::Refuse {
            return Err(VectorsError::CollectionExists {
                name: target.to_owned(),
            });
        }
        let entry = state.entries.entry(target.to_owned());
        let opening = Arc::clone(&entry.or_default().opening);
        if is_new {
            // Taken under the lock: nobody looks for the files before they are there.
            let guard = opening.lock().unwrap_or_else(PoisonError::into_inner);
            drop(state);
            let restored = snapshot::restore(disk, source, &directory);
            drop(guard);
            if let Err(error) = restored {
                self.lock().entries.remove(target);
                return Err(error);
            }
        } else {
            drop(state);
            let _guard = opening.lock().unwrap_or_else(PoisonError::into_inner);
            let (_, staging) = snapshot::prepare(disk, source, &directory)?;
            let replaced = self
                .close_for_good(target, &opening)
                .and_then(|_| snapshot::replace_directory(disk, &staging, &directory));
            if let Err(error) = replaced {
                // The first failure is the one to tell; what is left goes at the next start.
                let _ = disk.remove_directory(&staging);
                return Err(error);
            }
        }
        self.collection(target)
    }

    /// The directory of a collection that there is.
    fn known(&self, collection: &str) -> Result<PathBuf, VectorsError> {
        if !self.contains(collection) {
            return Err(VectorsError::CollectionMissing {
                name: collection.to_owned(),
            });
        }
        self.directory_of(collection)
    }

    fn snapshot_directory(&self, collection: &str, name: &str) -> Result<PathBuf, VectorsError> {
        let directory = self.known(collection)?;
        snapshot::find(self.surroundings.disk.as_ref(), &directory, name)
    }
}
