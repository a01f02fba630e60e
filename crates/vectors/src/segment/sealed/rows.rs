//! The rows of a sealed segment: ids, versions, ends, payloads and vectors, read in place from one mapped file.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

use super::layout::{self, Facts, NO_END};
use super::vectors::StoredVectors;
use crate::error::VectorsError;
use crate::point::{Payload, PointId};
use crate::storage::{Bytes, Container, ContainerKind, Disk};

/// Rows read in place.
#[derive(Debug)]
pub(crate) struct StoredRows {
    count: u32,
    numbers: Bytes,
    uuids: Bytes,
    versions: Bytes,
    ends: Option<Bytes>,
    payload_starts: Bytes,
    payloads: Bytes,
    vectors: BTreeMap<String, StoredVectors>,
    file: Container,
}

impl StoredRows {
    /// Opens the file `path`. Ids and versions are compared with their checksums now, everything else when it is read.
    ///
    /// # Errors
    /// [`VectorsError::Corrupt`] naming the section, or as the disk says.
    pub(crate) fn open(disk: &dyn Disk, path: &Path) -> Result<Self, VectorsError> {
        let file = Container::open(disk, path, ContainerKind::ROWS)?;
        let bytes = file.section(layout::FACTS)?;
        let facts: Facts = serde_json::from_slice(bytes.verify()?)
            .map_err(|error| bytes.damaged(error.to_string()))?;
        let (rows, numbers_count) = (facts.rows as usize, facts.numbers as usize);
        if numbers_count > rows {
            return Err(bytes.damaged("counts more numbers than rows"));
        }
        let sized = |id, size: usize| {
            let section = file.section(id)?;
            if section.len() != size {
                return Err(
                    section.damaged(format!("is {} bytes long instead of {size}", section.len()))
                );
            }
            Ok(section)
        };
        let numbers = sized(layout::NUMBERS, numbers_count * 8)?;
        let uuids = sized(layout::UUIDS, (rows - numbers_count) * 16)?;
        let versions = sized(layout::VERSIONS, rows * 8)?;
        for section in [&numbers, &uuids, &versions] {
            section.verify()?;
        }
        let ends = match file.optional(layout::ENDS)? {
            None => None,
            Some(_) => {
                let ends = sized(layout::ENDS, rows * 8)?;
                ends.verify()?;
                Some(ends)
            }
        };
        let mut vectors = BTreeMap::new();
        for (place, vector) in facts.vectors.into_iter().enumerate() {
            let stored = StoredVectors::open(&file, place, facts.rows, vector.kind)?;
            vectors.insert(vector.name, stored);
        }
        Ok(StoredRows {
            count: facts.rows,
            numbers,
            uuids,
            versions,
            ends,
            payload_starts: sized(layout::PAYLOAD_STARTS, (rows + 1) * 8)?,
            payloads: file.section(layout::PAYLOADS)?,
            vectors,
            file,
        })
    }

    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    pub(crate) fn file(&self) -> &Container {
        &self.file
    }

    pub(crate) fn vectors(&self) -> &BTreeMap<String, StoredVectors> {
        &self.vectors
    }

    /// Ids that are numbers. Size and alignment were checked when the file was opened.
    fn numbers(&self) -> &[u64] {
        self.numbers.typed().unwrap_or_default()
    }

    fn uuids(&self) -> &[u128] {
        self.uuids.typed().unwrap_or_default()
    }

    pub(crate) fn id(&self, row: u32) -> PointId {
        let numbers = self.numbers();
        match numbers.get(row as usize) {
            Some(&number) => PointId::Number(number),
            None => PointId::Uuid(self.uuids()[row as usize - numbers.len()]),
        }
    }

    pub(crate) fn row_of(&self, id: PointId) -> Option<u32> {
        let at = self.first_from(id);
        (at < self.count && self.id(at) == id).then_some(at)
    }

    /// The first row whose id is not below `id`; `count()` when there is none.
    pub(crate) fn first_from(&self, id: PointId) -> u32 {
        let at = match id {
            PointId::Number(number) => self.numbers().partition_point(|&one| one < number),
            PointId::Uuid(value) => {
                self.numbers().len() + self.uuids().partition_point(|&one| one < value)
            }
        };
        at as u32
    }

    pub(crate) fn version(&self, row: u32) -> u64 {
        self.versions.typed::<u64>().unwrap_or_default()[row as usize]
    }

    /// Least and largest version; zeros when there are no rows.
    pub(crate) fn version_bounds(&self) -> (u64, u64) {
        let versions = self.versions.typed::<u64>().unwrap_or_default();
        let least = versions.iter().copied().min().unwrap_or(0);
        (least, versions.iter().copied().max().unwrap_or(0))
    }

    pub(crate) fn end(&self, row: u32) -> Option<u64> {
        let ends = self.ends.as_ref()?.typed::<u64>().unwrap_or_default();
        Some(ends[row as usize]).filter(|&end| end != NO_END)
    }

    /// Rows that end, with their ends.
    pub(crate) fn ends(&self) -> impl Iterator<Item = (u32, u64)> + '_ {
        let ends = self.ends.as_ref().map(|ends| ends.typed::<u64>());
        (0..)
            .zip(ends.and_then(Result::ok).unwrap_or_default())
            .filter(|&(_, &end)| end != NO_END)
            .map(|(row, &end)| (row, end))
    }

    pub(crate) fn payload(&self, row: u32) -> Result<Cow<'_, Payload>, VectorsError> {
        let row = row as usize;
        let starts = self.payload_starts.checked_typed::<u64>(row..row + 2)?;
        let text = self
            .payloads
            .checked(starts[0] as usize..starts[1] as usize)?;
        if text.is_empty() {
            return Ok(Cow::Owned(Payload::new()));
        }
        serde_json::from_slice(text)
            .map(Cow::Owned)
            .map_err(|error| self.payloads.damaged(format!("row {row}: {error}")))
    }
}
