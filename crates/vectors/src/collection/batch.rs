//! The operations of writers: which points they concern, what those become, and the conditions on them.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::limits::{self, BATCH_OPERATIONS_MAX, BATCH_POINTS_MAX, CHUNK_POINTS};
use super::request::{Operation, Precondition, Selection, WriteOptions, WriteOutcome};
use super::write::Resolved;
use super::{Collection, Writer, edit, validate};
use crate::error::VectorsError;
use crate::filter::{FieldPath, Filter};
use crate::point::{Payload, Point, PointId, Vector};

/// What an operation does to one stored point; `None` leaves it as it is.
type Edit<'a> = &'a dyn Fn(Point) -> Result<Option<Resolved>, VectorsError>;

impl Collection {
    /// Stores points, replacing those with the same ids as a whole. Of several points of one id the last one stays.
    ///
    /// # Errors
    /// [`VectorsError::Invalid`] naming the point, [`VectorsError::VersionConflict`], [`VectorsError::OverBudget`],
    /// [`VectorsError::Limit`], [`VectorsError::ReadOnly`], or as the disk says. Nothing is stored then, unless only the wait for
    /// the disk failed.
    pub fn upsert(
        &self,
        mut points: Vec<Point>,
        options: &WriteOptions,
    ) -> Result<WriteOutcome, VectorsError> {
        limits::check("points of a batch", points.len(), BATCH_POINTS_MAX)?;
        self.check_precondition(options)?;
        let schema = self.schema();
        for (index, point) in points.iter_mut().enumerate() {
            validate::point(&schema, point, &|| format!("points[{index}]"))?;
        }
        if options.precondition != Precondition::None {
            let mut ids = HashSet::with_capacity(points.len());
            if let Some(index) = points.iter().position(|point| !ids.insert(point.id)) {
                return Err(VectorsError::invalid(
                    format!("points[{index}].id"),
                    "is in the batch twice, which a precondition does not allow",
                ));
            }
        }
        let mut writer = self.lock_writer();
        let mut outcome = WriteOutcome::default();
        let changes = self.resolve_upserts(points, &options.precondition, &mut outcome)?;
        self.commit(&mut writer, changes)?;
        self.acknowledge(writer, options, outcome)
    }

    /// Deletes points by id.
    ///
    /// # Errors
    /// As [`Collection::upsert`].
    pub fn delete(
        &self,
        ids: &[PointId],
        options: &WriteOptions,
    ) -> Result<WriteOutcome, VectorsError> {
        self.apply(Operation::Delete(Selection::Ids(ids.to_vec())), options)
    }

    /// Deletes every point that matches.
    ///
    /// # Errors
    /// As [`Collection::upsert`]; points deleted before an error stay deleted.
    pub fn delete_by_filter(
        &self,
        filter: Filter,
        options: &WriteOptions,
    ) -> Result<WriteOutcome, VectorsError> {
        self.apply(Operation::Delete(Selection::Filter(filter)), options)
    }

    /// Replaces the named vectors of points and keeps the others.
    ///
    /// # Errors
    /// As [`Collection::upsert`].
    pub fn update_vectors(
        &self,
        vectors: Vec<(PointId, BTreeMap<String, Vector>)>,
        options: &WriteOptions,
    ) -> Result<WriteOutcome, VectorsError> {
        self.apply(Operation::UpdateVectors(vectors), options)
    }

    /// Takes vectors away from points.
    ///
    /// # Errors
    /// As [`Collection::upsert`]; [`VectorsError::Missing`] for a name the schema does not know.
    pub fn delete_vectors(
        &self,
        selection: Selection,
        names: Vec<String>,
        options: &WriteOptions,
    ) -> Result<WriteOutcome, VectorsError> {
        self.apply(Operation::DeleteVectors { selection, names }, options)
    }

    /// Sets keys of payloads, in the objects at `at` or in the payload itself, and keeps the other keys.
    ///
    /// # Errors
    /// As [`Collection::upsert`].
    pub fn set_payload(
        &self,
        selection: Selection,
        payload: Payload,
        at: Option<FieldPath>,
        options: &WriteOptions,
    ) -> Result<WriteOutcome, VectorsError> {
        let operation = Operation::SetPayload {
            selection,
            payload,
            at,
        };
        self.apply(operation, options)
    }

    /// Replaces payloads as a whole.
    ///
    /// # Errors
    /// As [`Collection::upsert`].
    pub fn overwrite_payload(
        &self,
        selection: Selection,
        payload: Payload,
        options: &WriteOptions,
    ) -> Result<WriteOutcome, VectorsError> {
        self.apply(Operation::OverwritePayload { selection, payload }, options)
    }

    /// Takes out what lies at the paths `keys` of payloads.
    ///
    /// # Errors
    /// As [`Collection::upsert`].
    pub fn delete_payload_keys(
        &self,
        selection: Selection,
        keys: Vec<FieldPath>,
        options: &WriteOptions,
    ) -> Result<WriteOutcome, VectorsError> {
        self.apply(Operation::DeletePayloadKeys { selection, keys }, options)
    }

    /// Empties payloads.
    ///
    /// # Errors
    /// As [`Collection::upsert`].
    pub fn clear_payload(
        &self,
        selection: Selection,
        options: &WriteOptions,
    ) -> Result<WriteOutcome, VectorsError> {
        self.apply(Operation::ClearPayload { selection }, options)
    }

    /// Does several operations, one after another; waits for the disk once, at the end. Those before a failing one stay done.
    ///
    /// # Errors
    /// As the operations; [`VectorsError::Limit`] for too many of them.
    pub fn batch(
        &self,
        operations: Vec<Operation>,
        options: &WriteOptions,
    ) -> Result<Vec<WriteOutcome>, VectorsError> {
        limits::check(
            "operations of a batch",
            operations.len(),
            BATCH_OPERATIONS_MAX,
        )?;
        let later = WriteOptions {
            wait: false,
            precondition: options.precondition.clone(),
        };
        let outcomes = operations
            .into_iter()
            .map(|operation| self.apply(operation, &later))
            .collect::<Result<Vec<_>, _>>()?;
        if options.wait {
            self.flush()?;
        }
        Ok(outcomes)
    }

    /// Does one operation.
    ///
    /// # Errors
    /// As [`Collection::upsert`].
    pub fn apply(
        &self,
        operation: Operation,
        options: &WriteOptions,
    ) -> Result<WriteOutcome, VectorsError> {
        self.check_precondition(options)?;
        match operation {
            Operation::Upsert(points) => self.upsert(points, options),
            Operation::Delete(selection) => self.edit(selection, options, &|point| {
                Ok(Some(Resolved::Delete(point.id)))
            }),
            Operation::UpdateVectors(vectors) => self.replace_vectors(vectors, options),
            Operation::DeleteVectors { selection, names } => {
                self.check_names(&names)?;
                self.edit(selection, options, &|mut point| {
                    let before = point.vectors.len();
                    point.vectors.retain(|name, _| !names.contains(name));
                    Ok((point.vectors.len() < before).then_some(Resolved::Put(point)))
                })
            }
            Operation::SetPayload {
                selection,
                payload,
                at,
            } => {
                validate::payload(&payload, &|| "payload".to_owned())?;
                self.edit(selection, options, &|mut point| {
                    edit::set(&mut point.payload, at.as_ref(), &payload);
                    // The path may put a payload that was fine by itself too deep, or many small ones add up.
                    validate::payload(&point.payload, &|| format!("payload of {}", point.id))?;
                    Ok(Some(Resolved::Put(point)))
                })
            }
            Operation::OverwritePayload { selection, payload } => {
                validate::payload(&payload, &|| "payload".to_owned())?;
                self.edit(selection, options, &|mut point| {
                    point.payload = payload.clone();
                    Ok(Some(Resolved::Put(point)))
                })
            }
            Operation::DeletePayloadKeys { selection, keys } => {
                self.edit(selection, options, &|mut point| {
                    let mut any = false;
                    for key in &keys {
                        any |= edit::delete(&mut point.payload, key);
                    }
                    Ok(any.then_some(Resolved::Put(point)))
                })
            }
            Operation::ClearPayload { selection } => self.edit(selection, options, &|mut point| {
                let any = !point.payload.is_empty();
                point.payload.clear();
                Ok(any.then_some(Resolved::Put(point)))
            }),
        }
    }

    fn check_names(&self, names: &[String]) -> Result<(), VectorsError> {
        let schema = self.schema();
        match names
            .iter()
            .find(|name| !schema.vectors.contains_key(*name))
        {
            Some(name) => Err(VectorsError::Missing {
                what: "vector",
                name: name.clone(),
            }),
            None => Ok(()),
        }
    }

    fn check_precondition(&self, options: &WriteOptions) -> Result<(), VectorsError> {
        match &options.precondition {
            Precondition::Matches(filter) => filter.validate(),
            _ => Ok(()),
        }
    }

    fn resolve_upserts(
        &self,
        points: Vec<Point>,
        precondition: &Precondition,
        outcome: &mut WriteOutcome,
    ) -> Result<Vec<Resolved>, VectorsError> {
        let mut changes = Vec::with_capacity(points.len());
        for point in points {
            if *precondition == Precondition::None || self.allows(precondition, point.id)? {
                outcome.changed += 1;
                changes.push(Resolved::Put(point));
            } else {
                outcome.passed_over += 1;
            }
        }
        Ok(changes)
    }

    /// Whether the stored state of `id` meets the precondition. Called under the write lock.
    fn allows(&self, precondition: &Precondition, id: PointId) -> Result<bool, VectorsError> {
        let found = self.current().find(id, self.now_unix_ms());
        Ok(match precondition {
            Precondition::None => true,
            Precondition::Absent => found.is_none(),
            Precondition::Present => found.is_some(),
            Precondition::Version(expected) => {
                let actual = found.map(|location| location.version);
                if actual.unwrap_or(0) != *expected {
                    return Err(VectorsError::VersionConflict {
                        id,
                        expected: *expected,
                        actual,
                    });
                }
                true
            }
            Precondition::Matches(filter) => match found {
                None => true,
                Some(location) => {
                    let matcher = self.matcher(filter);
                    let row = location.row;
                    location
                        .segment
                        .with(|view| super::read::passes(&matcher, view, row))?
                }
            },
        })
    }

    fn replace_vectors(
        &self,
        vectors: Vec<(PointId, BTreeMap<String, Vector>)>,
        options: &WriteOptions,
    ) -> Result<WriteOutcome, VectorsError> {
        limits::check("points of a batch", vectors.len(), BATCH_POINTS_MAX)?;
        let schema = self.schema();
        let mut by_id: BTreeMap<PointId, BTreeMap<String, Vector>> = BTreeMap::new();
        for (index, (id, mut named)) in vectors.into_iter().enumerate() {
            validate::vectors(&schema, &mut named, &|| format!("points[{index}]"))?;
            by_id.entry(id).or_default().append(&mut named);
        }
        let ids = by_id.keys().copied().collect();
        self.edit(Selection::Ids(ids), options, &|mut point| {
            for (name, vector) in &by_id[&point.id] {
                point.vectors.insert(name.clone(), vector.clone());
            }
            Ok(Some(Resolved::Put(point)))
        })
    }

    /// Applies `edit` to every selected point that meets the precondition.
    fn edit(
        &self,
        selection: Selection,
        options: &WriteOptions,
        edit: Edit<'_>,
    ) -> Result<WriteOutcome, VectorsError> {
        let mut outcome = WriteOutcome::default();
        match selection {
            Selection::Ids(ids) => {
                limits::check("ids of a batch", ids.len(), BATCH_POINTS_MAX)?;
                let mut seen = HashSet::with_capacity(ids.len());
                let ids: Vec<PointId> = ids.into_iter().filter(|id| seen.insert(*id)).collect();
                // One hold of the lock for the whole batch: all of it or nothing.
                let mut writer = self.lock_writer();
                self.edit_ids(&mut writer, &ids, None, options, edit, &mut outcome)?;
                self.acknowledge(writer, options, outcome)
            }
            Selection::Filter(filter) => {
                filter.validate()?;
                self.writable()?;
                let ids: BTreeSet<PointId> = self.matching_ids(&filter)?;
                let ids: Vec<PointId> = ids.into_iter().collect();
                for chunk in ids.chunks(CHUNK_POINTS) {
                    let mut writer = self.lock_writer();
                    self.edit_ids(
                        &mut writer,
                        chunk,
                        Some(&filter),
                        options,
                        edit,
                        &mut outcome,
                    )?;
                }
                self.acknowledge(self.lock_writer(), options, outcome)
            }
        }
    }

    /// Applies `edit` to the stored points among `ids` that (still) match `filter`.
    fn edit_ids(
        &self,
        writer: &mut Writer,
        ids: &[PointId],
        filter: Option<&Filter>,
        options: &WriteOptions,
        edit: Edit<'_>,
        outcome: &mut WriteOutcome,
    ) -> Result<(), VectorsError> {
        let set = self.current();
        let now = self.now_unix_ms();
        let matcher = filter.map(|filter| self.matcher(filter));
        let mut changes = Vec::new();
        for &id in ids {
            let found = set.find(id, now);
            if !self.allows(&options.precondition, id)? {
                outcome.passed_over += 1;
                continue;
            }
            let Some(location) = found else {
                outcome.passed_over += 1;
                continue;
            };
            let point = location.segment.with(|view| {
                if let Some(matcher) = &matcher
                    && !super::read::passes(matcher, view, location.row)?
                {
                    return Ok(None);
                }
                super::read::whole_point(view, location.row, &set.schema).map(Some)
            })?;
            match point.map(edit).transpose()?.flatten() {
                Some(change) => {
                    outcome.changed += 1;
                    changes.push(change);
                }
                None => outcome.passed_over += 1,
            }
        }
        self.commit(writer, changes)
    }

    /// Releases the write lock, waits for the disk when asked to, and lets maintenance know.
    fn acknowledge(
        &self,
        writer: std::sync::MutexGuard<'_, Writer>,
        options: &WriteOptions,
        mut outcome: WriteOutcome,
    ) -> Result<WriteOutcome, VectorsError> {
        outcome.sequence = writer.sequence;
        let log = Self::log_to_wait_for(&writer);
        let frozen = !writer.frozen_logs.is_empty();
        drop(writer);
        if options.wait {
            self.wait_durable(log, outcome.sequence)?;
        }
        if frozen {
            self.maintain_soon()?;
        }
        Ok(outcome)
    }
}
