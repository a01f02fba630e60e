//! Weights that a client sends: received under a name of their own, hashed on the way, and kept beside the blobs until a
//! model is made of them. Only then is the header looked at; what no model is made of goes with the next cleaning.
//!
//! Invariant: a file `upload-<hex>` has been hashed and has that sha256.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;

use platform::files::{Sha256Hasher, rename_durable};

use super::error::StoreError;
use super::manifest::{Manifest, Origin};
use super::{ModelStore, Temporary, name, usable_header};
use crate::files::error::quotable;

/// Room on the disk is looked at again after this many bytes.
const ROOM_STEP_BYTES: u64 = 64 << 20;

/// An upload that is being received. Dropping it removes what has arrived.
pub struct Upload {
    store: ModelStore,
    file: File,
    hasher: Sha256Hasher,
    /// 64 hexadecimal digits.
    expected: String,
    /// Bytes for which there was room when it was last looked at.
    room_bytes: u64,
    temporary: Temporary,
}

impl ModelStore {
    /// Begins to receive the file with the digest `sha256:<hex>`; `declared_bytes` is its length when the client says it.
    ///
    /// # Errors
    /// [`StoreError::InvalidSource`] for a digest that is none; `DiskFull`, `Io`.
    pub fn begin_upload(
        &self,
        digest: &str,
        declared_bytes: Option<u64>,
    ) -> Result<Upload, StoreError> {
        let expected = hexadecimal(digest)?;
        self.remove_abandoned_imports();
        self.expect_room(declared_bytes.unwrap_or(ROOM_STEP_BYTES))?;
        let random = platform::entropy::random_u64()
            .map_err(|error| StoreError::io(self.directory())(error.into()))?;
        let path = self.blobs().join(format!("import-{random:016x}"));
        let file = File::create_new(&path).map_err(StoreError::io(&path))?;
        Ok(Upload {
            store: self.clone(),
            file,
            hasher: Sha256Hasher::new(),
            expected,
            room_bytes: declared_bytes.unwrap_or(ROOM_STEP_BYTES),
            temporary: Temporary(path),
        })
    }

    /// Whether the store holds the bytes with this digest, as an upload or as the weights of a model.
    ///
    /// # Errors
    /// [`StoreError::InvalidSource`] for a digest that is none.
    pub fn has_content(&self, digest: &str) -> Result<bool, StoreError> {
        let hex = hexadecimal(digest)?;
        Ok(self.upload_path(&hex).is_file() || self.blob_path(&hex).is_file())
    }

    /// Makes bytes that the store holds the weights of `name`. `file` is what the client calls them.
    ///
    /// # Errors
    /// [`StoreError::BlobMissing`] when there was no upload; [`StoreError::File`] when it is no usable model;
    /// [`StoreError::InvalidName`], `Io`, `Busy`.
    pub fn adopt_upload(
        &self,
        name: &str,
        digest: &str,
        file: &str,
    ) -> Result<Manifest, StoreError> {
        name::validate(name)?;
        let hex = hexadecimal(digest)?;
        let origin = Origin::Uploaded {
            file: quotable(file),
        };
        let upload = self.upload_path(&hex);
        if upload.is_file() {
            return self.adopt(name, &upload, &hex, origin);
        }
        let blob = self.blob_path(&hex);
        // Under the lock from here on, so that the weights are not removed with their last name meanwhile.
        let _lock = self.lock()?;
        if !blob.is_file() {
            return Err(StoreError::BlobMissing {
                name: quotable(file),
                digest: digest.to_owned(),
            });
        }
        let header = usable_header(&blob)?;
        self.publish(name, &hex, &header, origin)
    }

    fn upload_path(&self, hex: &str) -> PathBuf {
        self.blobs().join(format!("upload-{hex}"))
    }
}

impl Upload {
    /// Takes the next bytes.
    ///
    /// # Errors
    /// `DiskFull`, `Io`.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        let length = self.hasher.length_bytes() + bytes.len() as u64;
        if length > self.room_bytes {
            let step = ROOM_STEP_BYTES.max(bytes.len() as u64);
            self.store.expect_room(step)?;
            self.room_bytes = length + step;
        }
        self.hasher.update(bytes);
        self.file
            .write_all(bytes)
            .map_err(StoreError::io(&self.temporary.0))
    }

    /// Ends it, when what has arrived is what was announced.
    ///
    /// # Errors
    /// [`StoreError::HashMismatch`]; `Io`.
    pub fn finish(self) -> Result<(), StoreError> {
        let Upload {
            store,
            file,
            hasher,
            expected,
            temporary,
            ..
        } = self;
        let actual = hasher.finish();
        if actual != expected {
            return Err(StoreError::HashMismatch {
                what: "the upload".to_owned(),
                expected,
                actual,
            });
        }
        file.sync_all().map_err(StoreError::io(&temporary.0))?;
        let path = store.upload_path(&expected);
        rename_durable(&temporary.0, &path).map_err(StoreError::io(&path))
    }
}

/// The digits of `sha256:<hex>`, lower case.
fn hexadecimal(digest: &str) -> Result<String, StoreError> {
    let hex = digest
        .strip_prefix("sha256:")
        .or_else(|| digest.strip_prefix("sha256-"))
        .filter(|hex| hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit()));
    hex.map(str::to_ascii_lowercase)
        .ok_or_else(|| StoreError::InvalidSource {
            source_text: quotable(digest),
            reason: "a digest is sha256: and 64 hexadecimal digits".to_owned(),
        })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use platform::files::sha256_bytes;

    use super::*;

    fn store() -> (ModelStore, tempfile::TempDir) {
        let directory = tempfile::tempdir().expect("directory");
        let store = ModelStore::open(directory.path()).expect("store");
        (store, directory)
    }

    fn files(store: &ModelStore) -> usize {
        fs::read_dir(store.blobs()).expect("blobs").count()
    }

    #[test]
    fn only_bytes_with_the_announced_digest_are_kept() {
        let (store, _directory) = store();
        let digest = format!("sha256:{}", sha256_bytes(b"weights"));
        let send = |bytes: &[u8]| {
            let mut upload = store.begin_upload(&digest, None)?;
            upload.write(bytes)?;
            upload.finish()
        };
        assert!(matches!(
            send(b"other"),
            Err(StoreError::HashMismatch { .. })
        ));
        assert_eq!(store.has_content(&digest).ok(), Some(false));
        assert_eq!(files(&store), 0, "nothing is left of a refused upload");
        send(b"weights").expect("kept");
        assert_eq!(store.has_content(&digest).ok(), Some(true));
    }

    #[test]
    fn an_upload_that_is_dropped_leaves_nothing() {
        let (store, _directory) = store();
        let digest = format!("sha256:{}", sha256_bytes(b"weights"));
        let mut upload = store.begin_upload(&digest, Some(7)).expect("begun");
        upload.write(b"wei").expect("written");
        drop(upload);
        assert_eq!(files(&store), 0);
    }

    #[test]
    fn what_is_no_model_becomes_none_and_what_was_not_sent_is_missing() {
        let (store, _directory) = store();
        let digest = format!("sha256:{}", sha256_bytes(b"no model"));
        let missing = store.adopt_upload("m", &digest, "m.gguf");
        assert!(matches!(missing, Err(StoreError::BlobMissing { .. })));
        let mut upload = store.begin_upload(&digest, None).expect("begun");
        upload.write(b"no model").expect("written");
        upload.finish().expect("kept");
        let refused = store.adopt_upload("m", &digest, "m.gguf");
        assert!(matches!(refused, Err(StoreError::File { .. })));
        assert!(store.list().expect("list").is_empty());
    }

    #[test]
    fn a_digest_cannot_leave_the_directory() {
        let (store, _directory) = store();
        for digest in [
            "",
            "sha256:",
            "sha256:../../etc/passwd",
            &"a".repeat(64),
            &format!("sha256:{}", "g".repeat(64)),
            &format!("md5:{}", "a".repeat(64)),
        ] {
            assert!(store.begin_upload(digest, None).is_err(), "{digest}");
            assert!(store.has_content(digest).is_err(), "{digest}");
        }
    }
}
