//! Payload indexes: which rows of a segment have which values.
//!
//! Any number of fields, each with indexes of one or more kinds. A growing segment inserts every row; a sealed one has
//! a container of kind `pidx`: the section `fiel.0` is JSON, `{"rows": n, "indexes": [{"key": "a.b", "kind": …}, …]}`,
//! and index number `i` of that list has the sections `fact.i`, `valu.i` and `flot.i`, each as `postings` draws them. One
//! of scored texts has no values, and the sections of `text::index`, `TXMT.i` and so on, besides.
//! Keys of facts: one letter, or `c` and a count of elements (`index` says which). Keys of values: by `keys` and `cells`.

mod cells;
mod facets;
mod index;
mod keys;
mod kind;
mod order;
mod postings;
mod rows;
mod selection;
#[cfg(test)]
mod tests;
mod wanted;

use std::borrow::Cow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use facets::facet;
pub use index::FieldIndex;
pub use kind::PayloadIndexKind;
pub use order::{Direction, Ordered, order_value, ordered};
pub use rows::{Cardinality, FilterCache, Plan, PlanParameters, estimate, plan, rows};
pub use wanted::{fields_wanting_index, kind_for_field, kind_for_values};

use crate::error::VectorsError;
use crate::filter::FieldPath;
use crate::filter::words::Words;
use crate::point::Payload;
use crate::storage::{Bytes, SectionId};
use crate::text::TextIndex;

/// Most payload indexes of a collection: each takes a share of every insert.
pub const PAYLOAD_INDEXES_MAX: usize = 256;

/// A field and the kind of its index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PayloadIndexSchema {
    /// The field's path in its canonical spelling.
    pub key: String,
    /// What the index is made for.
    #[serde(flatten)]
    pub kind: PayloadIndexKind,
}

/// The first section of the container.
#[derive(Serialize, Deserialize)]
struct Header {
    rows: u32,
    indexes: Vec<PayloadIndexSchema>,
}

/// The payload indexes of a segment. Clones of a sealed segment's share their bytes.
#[derive(Debug, Clone, Default)]
pub struct PayloadIndexes {
    indexes: Vec<FieldIndex>,
}

/// What segments without indexes show.
static NONE: PayloadIndexes = PayloadIndexes {
    indexes: Vec::new(),
};

impl PayloadIndexes {
    /// No index.
    pub fn none() -> &'static PayloadIndexes {
        &NONE
    }

    /// Empty indexes of a growing segment.
    ///
    /// # Errors
    /// [`VectorsError::Invalid`] for a path or an analyzer that makes no sense, [`VectorsError::Limit`] for too many.
    pub fn growing(schema: &[PayloadIndexSchema]) -> Result<Self, VectorsError> {
        let mut indexes = PayloadIndexes::default();
        for index in schema {
            indexes.add(FieldIndex::new(index.key.parse()?, index.kind.clone())?)?;
        }
        Ok(indexes)
    }

    /// Indexes of `rows` rows that are there already: of a segment about to be sealed, or of a field that gets its index
    /// later.
    ///
    /// # Errors
    /// As [`PayloadIndexes::growing`], and what `payload` says of a row that can't be read.
    pub fn build<'p>(
        schema: &[PayloadIndexSchema],
        rows: u32,
        mut payload: impl FnMut(u32) -> Result<Cow<'p, Payload>, VectorsError>,
    ) -> Result<Self, VectorsError> {
        let mut indexes = PayloadIndexes::growing(schema)?;
        for row in 0..rows {
            indexes.insert(row, &*payload(row)?);
        }
        Ok(indexes)
    }

    /// Adds an index, in place of the one of the same kind on the same field. Rows that it doesn't cover are looked at
    /// one by one when a filter asks.
    ///
    /// # Errors
    /// [`VectorsError::Limit`] for too many.
    pub fn add(&mut self, index: FieldIndex) -> Result<(), VectorsError> {
        self.remove(index.key(), Some(index.kind().name()));
        if self.indexes.len() == PAYLOAD_INDEXES_MAX {
            return Err(VectorsError::Limit {
                what: "number of payload indexes",
                limit: PAYLOAD_INDEXES_MAX as u64,
                actual: PAYLOAD_INDEXES_MAX as u64 + 1,
            });
        }
        self.indexes.push(index);
        Ok(())
    }

    /// Removes the indexes of a field, of one kind or all; true when there was one.
    pub fn remove(&mut self, key: &FieldPath, kind: Option<&str>) -> bool {
        let before = self.indexes.len();
        self.indexes.retain(|index| {
            index.key() != key || kind.is_some_and(|kind| index.kind().name() != kind)
        });
        self.indexes.len() < before
    }

    /// The indexes of a field.
    pub fn of_field<'a>(&'a self, key: &'a FieldPath) -> impl Iterator<Item = &'a FieldIndex> + 'a {
        self.indexes.iter().filter(move |index| index.key() == key)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &FieldIndex> {
        self.indexes.iter()
    }

    /// Fields and kinds.
    pub fn schema(&self) -> Vec<PayloadIndexSchema> {
        self.indexes
            .iter()
            .map(|index| PayloadIndexSchema {
                key: index.key().to_string(),
                kind: index.kind().clone(),
            })
            .collect()
    }

    /// How a field's text is cut into words, when a text index says so.
    pub fn words_of(&self, key: &FieldPath) -> Option<Arc<dyn Words>> {
        self.of_field(key).find_map(|index| index.words.clone())
    }

    /// The lists of a field's words with their places, when it has an index of scored texts that covers all of `rows`.
    pub fn text_of(&self, key: &FieldPath, rows: u32) -> Option<&TextIndex> {
        self.indexes
            .iter()
            .filter(|index| index.key() == key && index.covers(rows))
            .find_map(FieldIndex::text)
    }

    /// Adds a row of a growing segment; see [`FieldIndex::insert`].
    pub fn insert(&mut self, row: u32, payload: &Payload) {
        for index in &mut self.indexes {
            index.insert(row, payload);
        }
    }

    /// Estimate of the bytes in memory.
    pub fn bytes_in_memory(&self) -> u64 {
        self.indexes.iter().map(FieldIndex::bytes_in_memory).sum()
    }

    /// The sections of a container for a sealed segment of `rows` rows, all of which were inserted.
    ///
    /// # Errors
    /// [`VectorsError::Limit`] when an index is too large for its section; [`VectorsError::Corrupt`] when an opened
    /// index is written again and found damaged.
    pub fn sections(&self, rows: u32) -> Result<Vec<(SectionId, Vec<u8>)>, VectorsError> {
        let header = Header {
            rows,
            indexes: self.schema(),
        };
        let header = serde_json::to_vec(&header)
            .map_err(|error| VectorsError::invalid("payload_indexes", error.to_string()))?;
        let mut sections = vec![(SectionId::new(b"fiel", 0), header)];
        for (number, index) in (0u32..).zip(&self.indexes) {
            if !index.covers(rows) {
                return Err(VectorsError::invalid(
                    format!("payload_indexes.{}", index.key()),
                    "doesn't cover every row of the segment",
                ));
            }
            for (name, postings) in [
                (b"fact", &index.facts),
                (b"valu", &index.values),
                (b"flot", &index.floats),
            ] {
                sections.push((SectionId::new(name, number), postings.to_section(rows)?));
            }
            if let Some(text) = &index.text {
                let text = text.sections()?.into_iter();
                sections.extend(
                    text.map(|(id, bytes)| (SectionId::new(&id.name, number), bytes.into_owned())),
                );
            }
        }
        Ok(sections)
    }

    /// Opens the indexes of a sealed segment of `rows` rows from their sections.
    ///
    /// # Errors
    /// [`VectorsError::Corrupt`] when a section is missing, damaged or of another segment.
    pub fn open(
        rows: u32,
        section: &dyn Fn(SectionId) -> Result<Bytes, VectorsError>,
    ) -> Result<Self, VectorsError> {
        let bytes = section(SectionId::new(b"fiel", 0))?;
        let header: Header = serde_json::from_slice(bytes.verify()?)
            .map_err(|error| bytes.damaged(format!("list of indexes: {error}")))?;
        if header.rows != rows {
            return Err(bytes.damaged(format!("indexes are of {} rows, not {rows}", header.rows)));
        }
        let mut indexes = PayloadIndexes::growing(&header.indexes)
            .map_err(|error| bytes.damaged(error.to_string()))?;
        for (number, index) in (0u32..).zip(&mut indexes.indexes) {
            let open = |name| Postings::open(section(SectionId::new(name, number))?, rows);
            index.covered = 0..rows;
            index.facts = open(b"fact")?;
            index.values = open(b"valu")?;
            index.floats = open(b"flot")?;
            if index.text.is_some() {
                let text = TextIndex::open(&|id| section(SectionId::new(&id.name, number)).ok())
                    .map_err(|error| match error {
                        VectorsError::Invalid { .. } => bytes.damaged(error.to_string()),
                        other => other,
                    })?;
                index.text = Some(Arc::new(text));
            }
        }
        Ok(indexes)
    }
}

use postings::Postings;
