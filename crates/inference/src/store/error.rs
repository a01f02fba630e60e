//! Why the model store could not do what was asked.

use std::path::PathBuf;

use thiserror::Error;

use crate::files::FileError;

/// A fault of the store or of a pull. Texts read well after "could not …: ".
#[derive(Debug, Error)]
pub enum StoreError {
    /// The name breaks the rules for names.
    #[error("\"{name}\" is no name for a model: {reason}")]
    InvalidName {
        /// The name, shortened for display.
        name: String,
        /// Which rule.
        reason: &'static str,
    },
    /// There is no such model.
    #[error("model \"{name}\" was not found{}", .nearest.as_ref().map(|name| format!("; did you mean \"{name}\"?")).unwrap_or_default())]
    NotFound {
        /// The name asked for, shortened for display.
        name: String,
        /// The most similar name in the store.
        nearest: Option<String>,
    },
    /// The model file itself was refused.
    #[error("{} is not a usable model: {error}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The field at fault.
        #[source]
        error: FileError,
    },
    /// A manifest cannot be read.
    #[error("manifest {} is damaged: {reason}", .path.display())]
    Manifest {
        /// The manifest.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The weights that a manifest names are gone or have the wrong size.
    #[error(
        "the weights of \"{name}\" ({digest}) are missing or cut short: pull or import the model again"
    )]
    BlobMissing {
        /// The model.
        name: String,
        /// Digest of the weights.
        digest: String,
    },
    /// The weights are not the ones that they should be.
    #[error("{what} has sha256 {actual}, {expected} is expected")]
    HashMismatch {
        /// The model or address.
        what: String,
        /// The digest that was promised, 64 hexadecimal digits.
        expected: String,
        /// The digest of the bytes.
        actual: String,
    },
    /// Another process or task is changing the same thing.
    #[error("{what} is busy: another process is changing it")]
    Busy {
        /// What.
        what: String,
    },
    /// The operating system refused.
    #[error("{}: {source}", .path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The text does not name a source of models.
    #[error("\"{source_text}\" is no source of models: {reason}")]
    InvalidSource {
        /// The text, shortened for display.
        source_text: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A source needs the network, which the configuration forbids.
    #[error(
        "{source_text} needs the network and this runs offline; copy the file here and import it from its path"
    )]
    Offline {
        /// The source.
        source_text: String,
    },
    /// The network failed, after retries.
    #[error("{url}: {reason}")]
    Network {
        /// Where.
        url: String,
        /// What happened.
        reason: String,
    },
    /// The other side refused.
    #[error("{url} answered {status}: {reason}")]
    Refused {
        /// Where.
        url: String,
        /// HTTP status.
        status: u16,
        /// What it means and what to do.
        reason: String,
    },
    /// The repository has no file that fits.
    #[error("{repository} has no such model file: {reason}")]
    NoSuchFile {
        /// The repository.
        repository: String,
        /// What was looked for and what is there.
        reason: String,
    },
    /// The file is larger than allowed.
    #[error("{what} has {bytes} bytes, at most {limit} are allowed")]
    TooLarge {
        /// The file.
        what: String,
        /// Its size in bytes.
        bytes: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// The disk has no room for the file.
    #[error("{} needs {needed} more bytes, {free} are free", .path.display())]
    DiskFull {
        /// The directory.
        path: PathBuf,
        /// Bytes still to be written.
        needed: u64,
        /// Bytes that are free.
        free: u64,
    },
}

impl StoreError {
    /// An error of the operating system at `path`.
    pub(super) fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }
}
