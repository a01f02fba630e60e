//! The registry of science models on disk.
//!
//! ```text
//! <directory>/<tenant>/<name>.json                         the record: configuration, seed, digest, training
//! <directory>/<tenant>/<name>.<16 digits>.safetensors      the parameters, by the first digits of their digest
//! ```
//!
//! A record points at one file of parameters. Parameters are written first, then the record, each atomically, and what the
//! old record pointed at is removed last: after a crash the record is the old one or the new one, and what it points at is
//! there and whole. Files that no record points at are removed with the next change of their model. Nothing is remembered
//! between calls but decoded models, by digest, so that a command line may work on the directory of a running server.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use physics::ScienceModel;
use platform::files::{MODE_PRIVATE, create_private_directory, write_atomic};
use security::TenantId;

use super::failures::{damaged, from_disk, from_physics, not_found};
use super::types::{MODELS_MAX, NAME_BYTES_MAX, ScienceRecord};
use crate::error::{Error, ErrorKind, Result};

/// Decoded models that are kept, as values of 8 bytes: 128 MB.
const DECODED_VALUES_MAX: usize = 16 << 20;
/// The longest record: a training's report is a few hundred bytes.
const RECORD_BYTES_MAX: u64 = 1 << 20;

pub(super) struct Store {
    directory: PathBuf,
    /// One change at a time.
    writing: Mutex<()>,
    /// By digest, the least recently used first.
    decoded: Mutex<Vec<(String, Arc<ScienceModel>)>>,
}

/// Whether `name` can be a model's name: lower-case letters, digits, `_` and `-`, the first a letter or digit. No dot, so
/// that a name never looks like a file of another model, and no upper case, so that it means the same on every disk.
pub(super) fn check_name(name: &str) -> Result<()> {
    let allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-');
    let fine = !name.is_empty()
        && name.len() <= NAME_BYTES_MAX
        && name.bytes().all(allowed)
        && name.as_bytes()[0].is_ascii_alphanumeric();
    if fine {
        return Ok(());
    }
    Err(Error::invalid(
        "name",
        format!(
            "A science model's name has 1 to {NAME_BYTES_MAX} of a-z, 0-9, '_' and '-', and begins with a letter or digit."
        ),
    ))
}

impl Store {
    pub(super) fn new(directory: PathBuf) -> Self {
        Store {
            directory,
            writing: Mutex::default(),
            decoded: Mutex::default(),
        }
    }

    fn tenant(&self, tenant: &TenantId) -> PathBuf {
        self.directory.join(tenant.as_str())
    }

    fn record_path(&self, tenant: &TenantId, name: &str) -> PathBuf {
        self.tenant(tenant).join(format!("{name}.json"))
    }

    fn parameters_path(&self, tenant: &TenantId, record: &ScienceRecord) -> PathBuf {
        let digits = record.digest.get(..16).unwrap_or(&record.digest);
        let file = format!("{}.{digits}.safetensors", record.name);
        self.tenant(tenant).join(file)
    }

    /// The record of a model.
    pub(super) fn record(&self, tenant: &TenantId, name: &str) -> Result<ScienceRecord> {
        // A text that cannot be a name names nothing.
        check_name(name).map_err(|_| not_found(name))?;
        let path = self.record_path(tenant, name);
        match read_record(&path, name)? {
            Some(record) => Ok(record),
            None => Err(not_found(name)),
        }
    }

    /// All records of a tenant, by name.
    pub(super) fn list(&self, tenant: &TenantId) -> Result<Vec<ScienceRecord>> {
        let mut records = Vec::new();
        for name in self.names(tenant)? {
            // One that is removed meanwhile is simply not there.
            if let Some(record) = read_record(&self.record_path(tenant, &name), &name)? {
                records.push(record);
            }
        }
        Ok(records)
    }

    fn names(&self, tenant: &TenantId) -> Result<Vec<String>> {
        let directory = self.tenant(tenant);
        let entries = match fs::read_dir(&directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.map_err(|error| from_disk(&directory, &error))?,
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|error| from_disk(&directory, &error))?;
            let file = entry.file_name();
            let name = file.to_str().and_then(|file| file.strip_suffix(".json"));
            names.extend(
                name.filter(|name| check_name(name).is_ok())
                    .map(str::to_owned),
            );
        }
        names.sort_unstable();
        Ok(names)
    }

    /// The model of a record.
    pub(super) fn model(
        &self,
        tenant: &TenantId,
        record: &ScienceRecord,
    ) -> Result<Arc<ScienceModel>> {
        if let Some(model) = self.remembered(&record.digest) {
            return Ok(model);
        }
        let path = self.parameters_path(tenant, record);
        let bytes = fs::read(&path).map_err(|error| match error.kind() {
            // Replaced or removed since the record was read.
            io::ErrorKind::NotFound => not_found(&record.name),
            _ => from_disk(&path, &error),
        })?;
        if platform::files::sha256_bytes(&bytes) != record.digest {
            return Err(damaged(&path, "its digest is not the record's"));
        }
        let model = Arc::new(ScienceModel::from_bytes(&bytes).map_err(from_physics)?);
        self.remember(&record.digest, &model);
        Ok(model)
    }

    fn remembered(&self, digest: &str) -> Option<Arc<ScienceModel>> {
        let mut decoded = self.decoded.lock().unwrap_or_else(PoisonError::into_inner);
        let index = decoded.iter().position(|(known, _)| known == digest)?;
        let entry = decoded.remove(index);
        let model = Arc::clone(&entry.1);
        decoded.push(entry);
        Some(model)
    }

    fn remember(&self, digest: &str, model: &Arc<ScienceModel>) {
        let mut decoded = self.decoded.lock().unwrap_or_else(PoisonError::into_inner);
        if decoded.iter().any(|(known, _)| known == digest) {
            return;
        }
        decoded.push((digest.to_owned(), Arc::clone(model)));
        let values = |model: &ScienceModel| model.config().value_count().unwrap_or(usize::MAX);
        let mut total: usize = decoded
            .iter()
            .fold(0, |sum, (_, model)| sum.saturating_add(values(model)));
        while total > DECODED_VALUES_MAX && !decoded.is_empty() {
            let (_, oldest) = decoded.remove(0);
            total = total.saturating_sub(values(&oldest));
        }
    }

    /// Registers a new model.
    ///
    /// # Errors
    /// `Conflict` when the name is taken or the tenant has as many models as it may have.
    pub(super) fn insert(
        &self,
        tenant: &TenantId,
        record: &ScienceRecord,
        model: Arc<ScienceModel>,
    ) -> Result<()> {
        check_name(&record.name)?;
        let _one = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let names = self.names(tenant)?;
        if names.contains(&record.name) {
            let message = format!("The science model '{}' exists already.", record.name);
            return Err(Error::new(ErrorKind::Conflict, message).at("name"));
        }
        if names.len() >= MODELS_MAX {
            return Err(Error::new(
                ErrorKind::Conflict,
                format!("There are {MODELS_MAX} science models already; delete one first."),
            ));
        }
        self.write(tenant, record, &model, None)
    }

    /// Replaces the model of `record.name`, if it still is the one of `digest`.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when it is another one by now.
    pub(super) fn replace(
        &self,
        tenant: &TenantId,
        record: &ScienceRecord,
        model: Arc<ScienceModel>,
        digest: &str,
    ) -> Result<()> {
        let _one = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let old = self.record(tenant, &record.name)?;
        if old.digest != digest {
            return Err(Error::new(
                ErrorKind::Conflict,
                format!(
                    "The science model '{}' was changed meanwhile, and was left as it is.",
                    record.name
                ),
            ));
        }
        self.write(tenant, record, &model, Some(&old))
    }

    fn write(
        &self,
        tenant: &TenantId,
        record: &ScienceRecord,
        model: &Arc<ScienceModel>,
        old: Option<&ScienceRecord>,
    ) -> Result<()> {
        let directory = self.tenant(tenant);
        let text = serde_json::to_vec_pretty(record)
            .map_err(|error| Error::new(ErrorKind::Internal, error.to_string()))?;
        let parameters = self.parameters_path(tenant, record);
        let path = self.record_path(tenant, &record.name);
        create_private_directory(&directory)
            .and_then(|()| write_atomic(&parameters, &model.to_bytes(), MODE_PRIVATE))
            .and_then(|()| write_atomic(&path, &text, MODE_PRIVATE))
            .map_err(|error| from_disk(&path, &error))?;
        self.remember(&record.digest, model);
        if old.is_some() {
            self.sweep(tenant, &record.name, Some(&parameters));
        }
        Ok(())
    }

    /// Removes a model. The record goes first: parameters without a record are nobody's.
    pub(super) fn remove(&self, tenant: &TenantId, name: &str) -> Result<()> {
        check_name(name).map_err(|_| not_found(name))?;
        let _one = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let path = self.record_path(tenant, name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(not_found(name)),
            other => other.map_err(|error| from_disk(&path, &error))?,
        }
        platform::files::sync_directory(&self.tenant(tenant))
            .map_err(|error| from_disk(&path, &error))?;
        self.sweep(tenant, name, None);
        Ok(())
    }

    /// Removes files of parameters of `name` other than `keep`. What cannot be removed is tried again next time.
    fn sweep(&self, tenant: &TenantId, name: &str, keep: Option<&Path>) {
        let Ok(entries) = fs::read_dir(self.tenant(tenant)) else {
            return;
        };
        for entry in entries.flatten() {
            let path = entry.path();
            let file = entry.file_name();
            let owner = file.to_str().and_then(|file| {
                let rest = file.strip_suffix(".safetensors")?;
                rest.split_once('.').map(|(owner, _)| owner)
            });
            if owner == Some(name) && Some(path.as_path()) != keep {
                drop(fs::remove_file(path));
            }
        }
    }
}

/// The record in a file; nothing when there is no such file.
fn read_record(path: &Path, name: &str) -> Result<Option<ScienceRecord>> {
    let length = match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other.map_err(|error| from_disk(path, &error))?.len(),
    };
    if length > RECORD_BYTES_MAX {
        return Err(damaged(path, "it is longer than any record"));
    }
    let bytes = match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other.map_err(|error| from_disk(path, &error))?,
    };
    let record: ScienceRecord =
        serde_json::from_slice(&bytes).map_err(|error| damaged(path, &error.to_string()))?;
    if record.name != name {
        return Err(damaged(path, "it is the record of another model"));
    }
    Ok(Some(record))
}
