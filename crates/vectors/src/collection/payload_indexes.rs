//! Payload indexes of a collection: which there are, making and dropping them, and those that filters ask for.

use std::sync::{Arc, PoisonError};

use super::{Collection, SegmentSet, deferred};
use crate::error::VectorsError;
use crate::filter::{Condition, FieldPath, Filter, Matcher};
use crate::payload::{PAYLOAD_INDEXES_MAX, PayloadIndexKind, PayloadIndexSchema};
use crate::payload::{fields_wanting_index, kind_for_values};
use crate::segment::SegmentView;
use crate::segment::sealed::{SealedSegment, index_of_rows};
use crate::storage::Manifest;

/// Rows of a segment from which a filter on a field without an index has one built: below, looking at every payload
/// takes some milliseconds.
const AUTOMATIC_INDEX_ROWS_MIN: u32 = 2_000;
/// Rows whose values decide what kind of index suits a field.
const SAMPLE_ROWS: u32 = 256;
/// Indexes waiting to be built because a filter asked; more are asked for again by the next filter.
const WANTED_MAX: usize = 16;

/// The payload indexes that a manifest names.
pub(crate) fn of_manifest(manifest: &Manifest) -> Result<Vec<PayloadIndexSchema>, VectorsError> {
    let mut all = Vec::new();
    for (key, kinds) in &manifest.payload_indexes {
        let kinds: Vec<PayloadIndexKind> =
            serde_json::from_value(kinds.clone()).map_err(|error| {
                VectorsError::invalid(format!("payload_indexes.{key}"), error.to_string())
            })?;
        all.extend(kinds.into_iter().map(|kind| PayloadIndexSchema {
            key: key.clone(),
            kind,
        }));
    }
    Ok(all)
}

/// Writes the payload indexes into a manifest.
pub(crate) fn into_manifest(
    schema: &[PayloadIndexSchema],
    manifest: &mut Manifest,
) -> Result<(), VectorsError> {
    manifest.payload_indexes.clear();
    for index in schema {
        let kind = serde_json::to_value(&index.kind)
            .map_err(|error| VectorsError::invalid("payload_indexes", error.to_string()))?;
        let kinds = manifest
            .payload_indexes
            .entry(index.key.clone())
            .or_insert_with(|| serde_json::Value::Array(Vec::new()));
        if let serde_json::Value::Array(kinds) = kinds {
            kinds.push(kind);
        }
    }
    Ok(())
}

impl Collection {
    /// The payload indexes there are, also those still being built for some segments.
    pub fn payload_indexes(&self) -> Vec<PayloadIndexSchema> {
        self.current().payload_indexes.as_ref().clone()
    }

    /// Points that have a value in a field, by what its indexes know: exact where every segment has one, about half of the
    /// rows of a segment that has none.
    ///
    /// # Errors
    /// [`VectorsError::Invalid`] when `key` is no path, [`VectorsError::Corrupt`] when an index is damaged.
    pub fn indexed_points(&self, key: &str) -> Result<u64, VectorsError> {
        let filter = Filter {
            must_not: vec![Condition::IsEmpty { key: key.parse()? }],
            ..Filter::default()
        };
        let set = self.current();
        let mut points = 0;
        for segment in set.handles() {
            points += segment.with(|view| {
                let held = view.payload_indexes();
                crate::payload::estimate(&filter, view, held).map(|about| about.expected)
            })?;
        }
        Ok(points)
    }

    /// Makes an index on a field, in place of the one of the same kind there. Returns when every segment has it, or for want
    /// of memory waits for it, which `info` says; reads and writes go on meanwhile.
    ///
    /// # Errors
    /// [`VectorsError::Invalid`] for an analyzer that makes no sense, [`VectorsError::Limit`] for too many indexes,
    /// [`VectorsError::OverBudget`] when the rows not sealed yet leave no room for it, or as the disk says.
    pub fn create_payload_index(
        &self,
        key: &FieldPath,
        kind: PayloadIndexKind,
    ) -> Result<(), VectorsError> {
        let index = PayloadIndexSchema {
            key: key.to_string(),
            kind,
        };
        self.change_payload_indexes(|all| {
            all.retain(|one| one.key != index.key || one.kind.name() != index.kind.name());
            super::limits::check("payload indexes", all.len() + 1, PAYLOAD_INDEXES_MAX)?;
            all.push(index.clone());
            Ok(())
        })
    }

    /// Drops the indexes of a field; false when there was none.
    ///
    /// # Errors
    /// As the disk says.
    pub fn delete_payload_index(&self, key: &FieldPath) -> Result<bool, VectorsError> {
        let key = key.to_string();
        if self.payload_indexes().iter().all(|index| index.key != key) {
            return Ok(false);
        }
        self.change_payload_indexes(|all| {
            all.retain(|index| index.key != key);
            Ok(())
        })?;
        Ok(true)
    }

    fn change_payload_indexes(
        &self,
        change: impl Fn(&mut Vec<PayloadIndexSchema>) -> Result<(), VectorsError>,
    ) -> Result<(), VectorsError> {
        let mut writer = self.lock_writer();
        self.writable()?;
        let set = self.current();
        let mut schema = set.payload_indexes.as_ref().clone();
        change(&mut schema)?;
        // In the order of the manifest, which is by field.
        schema.sort_by(|one, two| one.key.cmp(&two.key));
        // All are made before any takes its place, so that a refusal changes nothing.
        let unsealed: Vec<_> = set.frozen.iter().chain([&set.growing]).collect();
        let indexes = unsealed
            .iter()
            .map(|segment| segment.read().indexes_for(&schema))
            .collect::<Result<Vec<_>, _>>()?;
        for (segment, indexes) in unsealed.iter().zip(indexes) {
            segment.write().change_indexes(indexes);
        }
        let mut next = SegmentSet::clone(&set);
        next.payload_indexes = Arc::new(schema);
        self.switch(&mut writer, next, None)?;
        drop(writer);
        let _maintenance = self
            .maintenance
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        while self.build_next_payload_indexes()? {}
        Ok(())
    }

    /// Builds the payload indexes of one segment that has not what it should have. False when all have. Called by the
    /// holder of `maintenance`.
    pub(crate) fn build_next_payload_indexes(&self) -> Result<bool, VectorsError> {
        let set = self.current();
        let Some(segment) = set.sealed.iter().find(|segment| {
            !segment.has_payload_indexes(&set.payload_indexes)
                && !self.still_waits(segment.number(), deferred::PAYLOAD_INDEXES)
        }) else {
            return Ok(false);
        };
        self.writable()?;
        let disk = self.surroundings.disk.as_ref();
        let segment = SealedSegment::clone(segment);
        let indexed = self.or_defer(segment, deferred::PAYLOAD_INDEXES, |segment| {
            segment.build_payload_indexes(disk, &set.payload_indexes)
        })?;
        self.replace_view(indexed);
        Ok(true)
    }

    /// A filter made ready, with the words of texts cut as the text indexes say.
    pub(crate) fn matcher<'f>(&self, filter: &'f Filter) -> Matcher<'f> {
        let set = self.current();
        let rows = set.growing.read();
        Matcher::new(filter, &|key| rows.payload_indexes().words_of(key))
    }

    /// Remembers indexes that a filter would like, and has them built by maintenance.
    pub(crate) fn want_indexes(&self, filter: &Filter) {
        let Some((set, segment)) = self.segment_to_sample() else {
            return;
        };
        for (key, kind) in fields_wanting_index(filter) {
            let name = key.to_string();
            if set.payload_indexes.iter().any(|index| index.key == name) {
                continue;
            }
            let kind = kind.unwrap_or_else(|| kind_by_sample(&segment, &key));
            self.want(key, kind);
        }
    }

    /// Remembers that facets of a field would like an index.
    pub(crate) fn want_index_for_facet(&self, key: &FieldPath) {
        self.want_index_among(key, Some(PayloadIndexKind::Keyword), |kind| {
            matches!(
                kind,
                PayloadIndexKind::Keyword
                    | PayloadIndexKind::Integer
                    | PayloadIndexKind::Bool
                    | PayloadIndexKind::Uuid
            )
        });
    }

    /// Remembers that walks in the order of a field would like an index.
    pub(crate) fn want_index_for_order(&self, key: &FieldPath) {
        self.want_index_among(key, None, |kind| {
            matches!(
                kind,
                PayloadIndexKind::Integer | PayloadIndexKind::Float | PayloadIndexKind::Datetime
            )
        });
    }

    /// Remembers that an index of one of the kinds that `serves` names is wanted: the one that suits the field's values,
    /// else `otherwise`.
    fn want_index_among(
        &self,
        key: &FieldPath,
        otherwise: Option<PayloadIndexKind>,
        serves: impl Fn(&PayloadIndexKind) -> bool,
    ) {
        let Some((set, segment)) = self.segment_to_sample() else {
            return;
        };
        let name = key.to_string();
        let mut of_field = set.payload_indexes.iter().filter(|one| one.key == name);
        if of_field.any(|index| serves(&index.kind)) {
            return;
        }
        let kind = Some(kind_by_sample(&segment, key)).filter(|kind| serves(kind));
        if let Some(kind) = kind.or(otherwise) {
            self.want(key.clone(), kind);
        }
    }

    /// A segment large enough to be worth an index, when the schema leaves indexes to the engine.
    fn segment_to_sample(&self) -> Option<(Arc<SegmentSet>, Arc<SealedSegment>)> {
        let set = self.current();
        if !set.schema.index_filters_automatically || self.surroundings.maintenance.is_none() {
            return None;
        }
        let segment = set
            .sealed
            .iter()
            .find(|segment| segment.rows() >= AUTOMATIC_INDEX_ROWS_MIN)?;
        let segment = Arc::clone(segment);
        Some((set, segment))
    }

    fn want(&self, key: FieldPath, kind: PayloadIndexKind) {
        let mut wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        let index = (key, kind);
        if wanted.len() < WANTED_MAX && !wanted.contains(&index) {
            wanted.push(index);
            drop(wanted);
            let _ = self.maintain_soon();
        }
    }

    /// Makes the indexes that filters asked for.
    pub(crate) fn create_wanted_indexes(&self) -> Result<(), VectorsError> {
        loop {
            let next = self
                .wanted
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .pop();
            let Some((key, kind)) = next else {
                return Ok(());
            };
            let name = key.to_string();
            let known =
                |index: &PayloadIndexSchema| index.key == name && index.kind.name() == kind.name();
            if self.payload_indexes().iter().any(known) {
                continue;
            }
            match self.create_payload_index(&key, kind) {
                Ok(()) | Err(VectorsError::Limit { .. }) => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// The kind of index that suits the values of a field in some rows.
fn kind_by_sample(segment: &SealedSegment, key: &FieldPath) -> PayloadIndexKind {
    let payloads: Vec<_> = (0..SAMPLE_ROWS.min(segment.rows()))
        .filter_map(|row| segment.payload(row).ok())
        .collect();
    kind_for_values(payloads.iter().flat_map(|payload| key.values(payload)))
}

/// The indexes of `schema` for a growing segment that has rows already.
pub(crate) fn of_growing(
    view: &dyn SegmentView,
    schema: &[PayloadIndexSchema],
) -> Result<crate::payload::PayloadIndexes, VectorsError> {
    let mut indexes = crate::payload::PayloadIndexes::default();
    for index in schema {
        indexes.add(index_of_rows(view, index)?)?;
    }
    Ok(indexes)
}
