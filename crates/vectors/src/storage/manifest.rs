//! The manifest of a collection: which files are its state. Replaced as a whole, never changed.
//!
//! ```text
//! ┌──────────────┬───────────┬────────────┬──────────────┬─────────┬───────┐
//! │ "fxvecman" 8 │ version 4 │ JSON crc 4 │ JSON bytes 8 │ zeros 4 │ crc 4 │ 32 bytes, then JSON
//! └──────────────┴───────────┴────────────┴──────────────┴─────────┴───────┘
//! ```
//! `crc` is the CRC32C of the 28 bytes before it. The JSON is one object, the fields of [`Manifest`]; readers refuse
//! fields they do not know, because a field unknown may change what the others mean.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::disk::{Disk, replace_file};
use crate::error::VectorsError;
use crate::schema::CollectionSchema;

/// Name of the file in the directory of a collection.
pub const FILE_NAME: &str = "MANIFEST";
/// Version of the layout. Readers refuse others.
pub const VERSION: u32 = 1;
/// Largest manifest read: a bound on what opening allocates. A segment takes about 200 bytes.
pub const BYTES_MAX: u64 = 64 << 20;

const MAGIC: &[u8; 8] = b"fxvecman";
const HEADER_BYTES: usize = 32;

/// The state of a collection on disk, apart from what its log files add.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Rises by one with each switch.
    pub generation: u64,
    /// What the collection holds.
    pub schema: CollectionSchema,
    /// The number of the next segment; never used twice.
    pub next_segment: u64,
    /// Every change up to this sequence is in the segments. Records of the log up to it are skipped.
    pub applied_sequence: u64,
    /// Log files that begin below this sequence are no longer needed.
    pub log_floor: u64,
    /// The sealed segments, oldest first.
    pub segments: Vec<SegmentEntry>,
    /// Payload indexes by field path, as the payload module describes them.
    #[serde(default)]
    pub payload_indexes: BTreeMap<String, serde_json::Value>,
}

/// One sealed segment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SegmentEntry {
    /// Its number, and the name of its directory.
    pub id: u64,
    /// Rows in it, live or not.
    pub rows: u32,
    /// Sequence in the name of the file that says which rows are no longer live; `None` while all are.
    #[serde(default)]
    pub tombstones: Option<u64>,
    /// Least and largest version of its rows.
    pub versions: (u64, u64),
}

impl Manifest {
    /// The manifest of an empty collection.
    pub fn new(schema: CollectionSchema) -> Self {
        Manifest {
            generation: 0,
            schema,
            next_segment: 1,
            applied_sequence: 0,
            log_floor: 1,
            segments: Vec::new(),
            payload_indexes: BTreeMap::new(),
        }
    }

    /// Reads the manifest of the collection in `directory`; `None` when there is none.
    ///
    /// # Errors
    /// [`VectorsError::Corrupt`] naming what is wrong, or as the disk says.
    pub fn load(disk: &dyn Disk, directory: &Path) -> Result<Option<Manifest>, VectorsError> {
        let path = directory.join(FILE_NAME);
        if disk.length(&path)?.is_none() {
            return Ok(None);
        }
        let bytes = disk.read(&path, BYTES_MAX + HEADER_BYTES as u64)?;
        Manifest::parse(&bytes)
            .map(Some)
            .map_err(|message| VectorsError::Corrupt { path, message })
    }

    /// Makes this the manifest of the collection in `directory`. What it names must be durable. When this fails, the
    /// manifest on disk is the one before or this one, and which of the two shows at the next open.
    ///
    /// # Errors
    /// As the disk says.
    pub fn store(&self, disk: &dyn Disk, directory: &Path) -> Result<(), VectorsError> {
        replace_file(disk, &directory.join(FILE_NAME), &self.to_bytes()?)
    }

    /// The bytes of the file.
    ///
    /// # Errors
    /// [`VectorsError::Limit`] when they exceed [`BYTES_MAX`].
    pub fn to_bytes(&self) -> Result<Vec<u8>, VectorsError> {
        let json = serde_json::to_vec(self)
            .map_err(|error| VectorsError::invalid("manifest", error.to_string()))?;
        if json.len() as u64 > BYTES_MAX {
            return Err(VectorsError::Limit {
                what: "bytes of the manifest",
                limit: BYTES_MAX,
                actual: json.len() as u64,
            });
        }
        let mut bytes = Vec::with_capacity(HEADER_BYTES + json.len());
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&crc32c::crc32c(&json).to_le_bytes());
        bytes.extend_from_slice(&(json.len() as u64).to_le_bytes());
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
        bytes.extend_from_slice(&json);
        Ok(bytes)
    }

    /// The manifest in the bytes of a file, or what is wrong with them.
    ///
    /// # Errors
    /// A message that names the part: header, JSON, or the field.
    pub fn parse(bytes: &[u8]) -> Result<Manifest, String> {
        let (header, json) = bytes
            .split_first_chunk::<HEADER_BYTES>()
            .ok_or("header: too short")?;
        if !header.starts_with(MAGIC) {
            return Err("header: not a manifest".into());
        }
        let number = |offset: usize| {
            u32::from_le_bytes([
                header[offset],
                header[offset + 1],
                header[offset + 2],
                header[offset + 3],
            ])
        };
        // Before the checksum: a later version may have moved that.
        if number(8) != VERSION {
            return Err(format!(
                "header: version {}, this program reads version {VERSION}",
                number(8)
            ));
        }
        if crc32c::crc32c(&header[..HEADER_BYTES - 4]) != number(HEADER_BYTES - 4) {
            return Err("header: checksum differs".into());
        }
        let length = u64::from(number(16)) | u64::from(number(20)) << 32;
        if length != json.len() as u64 {
            return Err(format!("JSON: {} bytes instead of {length}", json.len()));
        }
        if crc32c::crc32c(json) != number(12) {
            return Err("JSON: checksum differs".into());
        }
        serde_json::from_slice(json).map_err(|error| format!("JSON: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::disk::RealDisk;

    fn example() -> Manifest {
        let mut manifest = Manifest::new(CollectionSchema::default());
        manifest.generation = 4;
        manifest.segments.push(SegmentEntry {
            id: 3,
            rows: 1000,
            tombstones: Some(77),
            versions: (1, 1000),
        });
        manifest
    }

    #[test]
    fn a_manifest_is_replaced_and_read_back() {
        let directory = tempfile::tempdir().expect("directory");
        assert_eq!(
            Manifest::load(&RealDisk, directory.path()).expect("load"),
            None
        );
        for manifest in [Manifest::new(CollectionSchema::default()), example()] {
            manifest.store(&RealDisk, directory.path()).expect("store");
            let loaded = Manifest::load(&RealDisk, directory.path()).expect("load");
            assert_eq!(loaded, Some(manifest));
        }
    }

    #[test]
    fn every_flipped_or_missing_byte_is_found() {
        let good = example().to_bytes().expect("bytes");
        assert_eq!(Manifest::parse(&good), Ok(example()));
        for offset in 0..good.len() {
            let mut bad = good.clone();
            bad[offset] ^= 1;
            Manifest::parse(&bad).expect_err("flipped");
            Manifest::parse(&good[..offset]).expect_err("cut");
        }
    }
}
