//! The directory of files' bytes.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use platform::files::{AtomicFile, MODE_PRIVATE, create_private_directory, sync_directory};
use security::TenantId;

use crate::error::{Error, ErrorKind, Result};

/// End of the names of uploads under way, as [`AtomicFile`] makes them.
const PARTIAL: &str = ".partial";

/// Paths of files' bytes.
#[derive(Debug, Clone)]
pub(crate) struct Disk {
    directory: PathBuf,
}

/// A name found in the directory that is no upload under way.
pub(super) struct Found {
    pub tenant: String,
    pub id: String,
    path: PathBuf,
}

impl Disk {
    pub(crate) fn new(directory: PathBuf) -> Self {
        Disk { directory }
    }

    /// Where the bytes of a file are. `id` is one of ours: letters, digits and `-`.
    pub(crate) fn path(&self, tenant: &TenantId, id: &str) -> PathBuf {
        self.directory.join(tenant.as_str()).join(id)
    }

    /// Begins a file that gets its name when it is committed.
    pub(super) fn begin(&self, tenant: &TenantId, id: &str) -> Result<AtomicFile> {
        let path = self.path(tenant, id);
        let directory = self.directory.join(tenant.as_str());
        create_private_directory(&self.directory)
            .and_then(|()| create_private_directory(&directory))
            .and_then(|()| sync_directory(&self.directory))
            .and_then(|()| AtomicFile::create(&path, MODE_PRIVATE))
            .map_err(|error| cannot_write(&path, &error))
    }

    /// Opens a file's bytes.
    pub(crate) fn open(&self, tenant: &TenantId, id: &str) -> Result<File> {
        let path = self.path(tenant, id);
        File::open(&path).map_err(|error| {
            tracing::error!(path = %path.display(), %error, "the bytes of a file cannot be read");
            Error::new(
                ErrorKind::DataLoss,
                format!("The content of '{id}' cannot be read; the server's log says why."),
            )
        })
    }

    /// Takes a file's bytes away; that they are gone already is as good.
    pub(super) fn remove(&self, tenant: &TenantId, id: &str) {
        let path = self.path(tenant, id);
        if let Err(error) = fs::remove_file(&path)
            && error.kind() != io::ErrorKind::NotFound
        {
            // Nobody can name the file any more; the next start tries again.
            tracing::warn!(path = %path.display(), %error, "the bytes of a deleted file stay until the next start");
        }
    }

    /// Removes what uploads left behind when the process ended, and gives all other names.
    pub(super) fn scan(&self) -> io::Result<Vec<Found>> {
        let mut found = Vec::new();
        for tenant in entries(&self.directory)? {
            if !tenant.is_dir() {
                continue;
            }
            let name = name_of(&tenant);
            for path in entries(&tenant)? {
                let id = name_of(&path);
                if id.starts_with('.') && id.ends_with(PARTIAL) {
                    tracing::info!(path = %path.display(), "removing an upload that was not finished");
                    fs::remove_file(&path)?;
                } else if !id.is_empty() {
                    found.push(Found {
                        tenant: name.clone(),
                        id,
                        path,
                    });
                }
            }
        }
        Ok(found)
    }

    /// Removes bytes that no row speaks of.
    pub(super) fn remove_orphan(found: &Found) {
        tracing::info!(path = %found.path.display(), "removing bytes of a file that was never finished, or deleted");
        if let Err(error) = fs::remove_file(&found.path) {
            tracing::warn!(path = %found.path.display(), %error, "they could not be removed");
        }
    }
}

/// Entries of a directory; none when it is missing.
fn entries(directory: &Path) -> io::Result<Vec<PathBuf>> {
    match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
        Ok(entries) => entries
            .map(|entry| entry.map(|entry| entry.path()))
            .collect(),
    }
}

/// The last part of a path; empty when it is no text, which no name of ours is.
fn name_of(path: &Path) -> String {
    path.file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default()
        .to_owned()
}

/// A failed write, for a caller.
pub(super) fn cannot_write(path: &Path, error: &io::Error) -> Error {
    tracing::error!(path = %path.display(), %error, "a file cannot be written");
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Error::new(
            ErrorKind::Unavailable,
            "The server's disk is full. Delete files that are no longer needed, or tell its operator.",
        ),
        _ => Error::new(
            ErrorKind::Internal,
            "The file could not be written; the server's log says why.",
        ),
    }
}
