//! Maintenance: seals full growing segments, merges sealed ones, builds indexes. Reads never wait for it; writers wait only
//! while a manifest is switched, and when they are so far ahead that they must help.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use super::info::Activity;
use super::{Collection, SegmentSet, Writer, deferred, payload_indexes};
use crate::error::VectorsError;
use crate::index::{BuildControl, IndexParameters, Previous, VectorIndex};
use crate::memory::{Component, Reservation};
use crate::point::PointId;
use crate::quantize::Originals;
use crate::rows::RowSet;
use crate::schema::{CollectionSchema, IndexKind, VectorSchema};
use crate::segment::sealed::{self, SealedSegment, write};
use crate::segment::{SegmentView, sealed::ROWS_FILE};
use crate::storage::manifest::SegmentEntry;

/// Frozen segments from which a writer seals one itself: bounds memory when writes come faster than the disk takes them.
const FROZEN_MAX: usize = 4;
/// Segments from which the smallest ones are merged whatever their sizes: each costs every search a little.
const SEGMENTS_MAX: usize = 24;
/// Bytes that a merge holds for each row: its id and place while rows are put in order, its start in sections, its new number.
const MERGE_ROW_BYTES: u64 = 80;
/// Points come fast when this part of a growing segment fills between two looks, a fifth of a second.
const LOADING_PART: u32 = 20;
/// Fewer dead rows than this are not worth writing a segment again.
const DEAD_ROWS_MIN: u32 = 1_000;

impl Collection {
    /// Has maintenance done soon: by the database's threads, or here when it has none.
    pub(crate) fn maintain_soon(&self) -> Result<(), VectorsError> {
        let Some(queue) = &self.surroundings.maintenance else {
            return self.maintain();
        };
        if !self.queued.swap(true, Ordering::AcqRel) && !queue.ask(&self.name) {
            // The queue is full; the next write asks again.
            self.queued.store(false, Ordering::Release);
        }
        if self.current().frozen.len() > FROZEN_MAX {
            self.seal_oldest()?;
        }
        self.bound_tail()
    }

    /// Has maintenance done that a crash or a change of settings left behind.
    pub(crate) fn maintain_if_needed(&self) -> Result<(), VectorsError> {
        let set = self.current();
        let missing = set
            .sealed
            .iter()
            .any(|segment| !self.missing_indexes(segment, &set.schema).is_empty());
        let unindexed = set
            .sealed
            .iter()
            .any(|segment| !segment.has_payload_indexes(&set.payload_indexes));
        let disk = self.surroundings.disk.as_ref();
        let mapped = set
            .sealed
            .iter()
            .any(|segment| segment.has_mapped_index(disk));
        if missing || unindexed || mapped || !set.frozen.is_empty() {
            self.maintain_soon()?;
        }
        Ok(())
    }

    /// Does all maintenance there is to do now, in this thread: seals, merges, and builds indexes.
    ///
    /// # Errors
    /// As the disk says; a failed switch makes the collection read-only. [`VectorsError::Cancelled`] when it is closed.
    pub fn maintain(&self) -> Result<(), VectorsError> {
        self.maintain_all(false).map(drop)
    }

    /// As [`Collection::maintain`], but while points come fast, small segments get no index: they are about to be merged, and
    /// the rows would be indexed once for each merge. True when there is something to do after a moment.
    pub(crate) fn maintain_in_background(&self) -> Result<bool, VectorsError> {
        self.maintain_all(true)
    }

    fn maintain_all(&self, background: bool) -> Result<bool, VectorsError> {
        self.queued.store(false, Ordering::Release);
        let busy = !self.current().frozen.is_empty();
        let done = self.do_maintenance(background);
        if busy {
            // What growing segments held is free now, in pieces that the allocator would keep.
            platform::allocator::release_freed_memory();
        }
        done
    }

    fn do_maintenance(&self, background: bool) -> Result<bool, VectorsError> {
        // What is about to become one segment needs no merge and no index before.
        let give_way = || background && self.optimizing.load(Ordering::Acquire) > 0;
        while self.seal_oldest()? {}
        self.create_wanted_indexes()?;
        let _maintenance = self
            .maintenance
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        self.forget_deferred(deferred::MERGE);
        while let Some(sources) = self.next_merge() {
            if give_way() {
                return Ok(false);
            }
            if let Err(error) = self.merge(&sources) {
                self.defer(sources[0].number(), deferred::MERGE, error)?;
                break;
            }
            while self.seal_oldest()? {}
        }
        while self.build_next_payload_indexes()? {}
        while self.build_next_sparse_indexes()? {}
        let options = &self.surroundings.options;
        if give_way() {
            return Ok(false);
        }
        let smallest = if background && self.is_loading() {
            let width = u32::try_from(options.merge_width.max(2)).unwrap_or(u32::MAX);
            options.growing_rows_max.saturating_mul(width)
        } else {
            0
        };
        while !give_way() && self.build_next_index(smallest)? {
            while self.seal_oldest()? {}
        }
        self.read_mapped_indexes()?;
        let set = self.current();
        let unindexed = |segment: &Arc<SealedSegment>| {
            segment.rows() < smallest && !self.missing_indexes(segment, &set.schema).is_empty()
        };
        Ok(set.sealed.iter().any(unindexed))
    }

    /// Whether many points came since this was asked the last time.
    fn is_loading(&self) -> bool {
        let growing = Arc::clone(&self.current().growing);
        let now = (growing.number(), growing.read().rows());
        let mut last = self
            .last_growth
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let many = self.surroundings.options.growing_rows_max / LOADING_PART;
        let loading = last.0 != now.0 || now.1 > last.1.saturating_add(many);
        *last = now;
        loading
    }

    /// Reads indexes that were opened from disk into memory, as far as the budget has room. Searches go on meanwhile.
    fn read_mapped_indexes(&self) -> Result<(), VectorsError> {
        let disk = self.surroundings.disk.as_ref();
        for segment in self.current().sealed.iter() {
            let mut read = SealedSegment::clone(segment);
            while let Some(next) = read.with_resident_index(disk, &self.ledger)? {
                self.replace_view(next.clone());
                read = next;
            }
        }
        Ok(())
    }

    /// Seals everything, merges all segments into one without dead rows, builds its indexes, and returns when that is done.
    /// Rows written meanwhile are not part of it.
    ///
    /// # Errors
    /// As [`Collection::maintain`].
    pub fn optimize(&self) -> Result<(), VectorsError> {
        self.optimizing.fetch_add(1, Ordering::AcqRel);
        let done = self.make_one_segment();
        self.optimizing.fetch_sub(1, Ordering::AcqRel);
        platform::allocator::release_freed_memory();
        done?;
        self.maintain_if_needed()
    }

    fn make_one_segment(&self) -> Result<(), VectorsError> {
        self.writable()?;
        let mut writer = self.lock_writer();
        let unsealed = self.current().growing.read().rows() > 0 || writer.log.is_some();
        if unsealed {
            self.rotate(&mut writer)?;
        }
        drop(writer);
        while self.seal_oldest()? {}
        let maintenance = self
            .maintenance
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let sources = self.current().sealed.clone();
        let now = self.now_unix_ms();
        sources
            .iter()
            .for_each(|segment| segment.sweep_expired(now));
        let dead = sources.iter().any(|segment| segment.live().removed() > 0);
        if sources.len() > 1 || dead {
            self.merge(&sources)?;
        }
        while self.build_next_index(0)? {}
        drop(maintenance);
        Ok(())
    }

    fn doing(&self, activity: Activity) -> Doing<'_> {
        let mut current = self.activity.lock().unwrap_or_else(PoisonError::into_inner);
        // What a writer does meanwhile is not worth hiding a merge.
        let is_first = current.is_none();
        if is_first {
            *current = Some(activity);
        }
        Doing(is_first.then_some(self))
    }

    /// Writes the oldest frozen segment to disk. False when there is none.
    ///
    /// # Errors
    /// As the disk says.
    pub(crate) fn seal_oldest(&self) -> Result<bool, VectorsError> {
        let _sealing = self.sealing.lock().unwrap_or_else(PoisonError::into_inner);
        self.writable()?;
        let set = self.current();
        let Some(frozen) = set.frozen.first() else {
            return Ok(false);
        };
        let number = frozen.number();
        let _doing = self.doing(Activity::Sealing { segment: number });
        let rows = frozen.read();
        rows.sweep_expired(self.now_unix_ms());
        let live = rows.live().snapshot();
        let sealed = if live.count() == 0 {
            None
        } else {
            let order = write::order_of(&[(&*rows, &live)]);
            Some(self.write_segment(number, &set.schema, &[&*rows], &order)?)
        };
        let mut writer = self.lock_writer();
        if let Some(sealed) = &sealed {
            bury(sealed, &*rows, &live);
        }
        drop(rows);
        let mut next = SegmentSet::clone(&self.current());
        next.frozen.remove(0);
        next.sealed.extend(sealed.map(Arc::new));
        let log = writer.frozen_logs.remove(0);
        debug_assert_eq!(log.segment, number);
        let applied = (log.last_sequence, log.last_sequence + 1);
        self.switch(&mut writer, next, Some(applied))?;
        drop(writer);
        self.surroundings.disk.remove(&log.path)?;
        Ok(true)
    }

    /// Writes rows as segment `number` and opens it.
    fn write_segment(
        &self,
        number: u64,
        schema: &CollectionSchema,
        sources: &[&dyn SegmentView],
        order: &[write::SourceRow],
    ) -> Result<SealedSegment, VectorsError> {
        let disk = self.surroundings.disk.as_ref();
        let directory = self.segment_directory(number);
        let make = || {
            // Left behind by an earlier try.
            disk.remove_directory(&directory)?;
            disk.create_directory(&directory)?;
            disk.sync_directory(&self.directory)?;
            disk.sync_directory(crate::storage::disk::parent_of(&directory))?;
            write::write(disk, &directory.join(ROWS_FILE), schema, sources, order)?;
            let segment = SealedSegment::open(disk, &directory, number, None, &self.ledger)?;
            segment.leave_on_disk(disk, schema);
            let segment = self.or_defer(segment, deferred::SPARSE_INDEXES, |segment| {
                segment.build_sparse_indexes(disk)
            })?;
            self.or_defer(segment, deferred::PAYLOAD_INDEXES, |segment| {
                segment.build_payload_indexes(disk, &self.current().payload_indexes)
            })
        };
        make().map_err(|error| self.fail(error))
    }

    /// Makes `next` the state of the collection, on disk and for readers. `applied` is the last sequence in its sealed
    /// segments and where the log begins, when that changed. Called under the write lock, so that no row dies meanwhile.
    pub(crate) fn switch(
        &self,
        writer: &mut Writer,
        next: SegmentSet,
        applied: Option<(u64, u64)>,
    ) -> Result<(), VectorsError> {
        let disk = self.surroundings.disk.as_ref();
        let mut store = || {
            // Tombstones must not outlive the writes that made them.
            if let Some(log) = &writer.log {
                log.sync()?;
            }
            let mut manifest = writer.manifest.clone();
            manifest.generation += 1;
            manifest.schema = CollectionSchema::clone(&next.schema);
            manifest.next_segment = writer.next_segment;
            payload_indexes::into_manifest(&next.payload_indexes, &mut manifest)?;
            if let Some((applied_sequence, log_floor)) = applied {
                manifest.applied_sequence = applied_sequence;
                manifest.log_floor = log_floor;
            }
            let mut entries = Vec::new();
            // Segments that could not be opened stay in the manifest: nothing is thrown away because it cannot be read.
            let known: Vec<u64> = next.sealed.iter().map(|segment| segment.number()).collect();
            entries.extend(
                manifest
                    .segments
                    .iter()
                    .filter(|entry| {
                        writer.quarantined.contains(&entry.id) && !known.contains(&entry.id)
                    })
                    .cloned(),
            );
            for segment in &next.sealed {
                let removed = segment.live().removed();
                let persisted = writer.persisted.get(&segment.number()).copied();
                let tombstones = match persisted {
                    Some((at, sequence)) if at == removed => sequence,
                    _ if removed == 0 => None,
                    _ => {
                        // One name per switch: a file that a manifest names is never written again.
                        let name = manifest.generation;
                        let live = segment.live().snapshot();
                        sealed::write_live(disk, segment.directory(), name, &live)?;
                        writer.persisted.insert(
                            segment.number(),
                            (segment.rows() - live.count(), Some(name)),
                        );
                        Some(name)
                    }
                };
                entries.push(SegmentEntry {
                    id: segment.number(),
                    rows: segment.rows(),
                    tombstones,
                    versions: segment.versions(),
                });
            }
            manifest.segments = entries;
            manifest.store(disk, &self.directory)?;
            writer.manifest = manifest;
            self.remove_old_tombstones(writer, &next)
        };
        store().map_err(|error| self.fail(error))?;
        self.publish(next);
        Ok(())
    }

    /// Removes files of tombstones that the manifest no longer names.
    fn remove_old_tombstones(&self, writer: &Writer, set: &SegmentSet) -> Result<(), VectorsError> {
        let disk = self.surroundings.disk.as_ref();
        for entry in &writer.manifest.segments {
            let Some(segment) = set.sealed.iter().find(|one| one.number() == entry.id) else {
                continue;
            };
            if entry.tombstones != Some(writer.manifest.generation) {
                continue;
            }
            for file in disk.list(segment.directory())?.unwrap_or_default() {
                if sealed::generation_of_live_file(&file.name)
                    .is_some_and(|generation| generation < writer.manifest.generation)
                {
                    disk.remove(&segment.directory().join(file.name))?;
                }
            }
        }
        Ok(())
    }

    /// The segments to merge next, if any.
    fn next_merge(&self) -> Option<Vec<Arc<SealedSegment>>> {
        let options = &self.surroundings.options;
        let now = self.now_unix_ms();
        let set = self.current();
        let mut segments = set.sealed.clone();
        for segment in &segments {
            segment.sweep_expired(now);
        }
        let dead = segments.iter().find(|segment| {
            let removed = segment.live().removed();
            removed == segment.rows()
                || (removed >= DEAD_ROWS_MIN
                    && removed as f32 > segment.rows() as f32 * options.dead_part_max)
        });
        if let Some(segment) = dead {
            return Some(vec![Arc::clone(segment)]);
        }
        segments.sort_by_key(|segment| segment.live_count());
        let width = options.merge_width.max(2);
        let smallest = options.growing_rows_max.max(1);
        // Size tiers: each `width` times the one before, so that a row is written again about once per tier.
        let tier = |segment: &Arc<SealedSegment>| {
            let ratio = segment.live_count().max(smallest) / smallest;
            ratio.checked_ilog(width as u32).unwrap_or(0)
        };
        for tiered in segments.chunk_by(|one, two| tier(one) == tier(two)) {
            let rows: u64 = tiered.iter().map(|one| u64::from(one.live_count())).sum();
            if tiered.len() >= width && rows <= u64::from(options.merge_rows_max) {
                return Some(tiered.to_vec());
            }
        }
        (segments.len() > SEGMENTS_MAX).then(|| segments[..width].to_vec())
    }

    /// Writes `sources` as one segment without dead rows, with indexes, and puts it in their place. Called by the holder
    /// of `maintenance`.
    fn merge(&self, sources: &[Arc<SealedSegment>]) -> Result<(), VectorsError> {
        self.writable()?;
        let _room = self.room_for_merge(sources)?;
        let _doing = self.doing(Activity::Merging {
            segments: sources.iter().map(|segment| segment.number()).collect(),
        });
        let _claims: Vec<_> = sources
            .iter()
            .filter_map(|segment| self.claim(segment.number()))
            .collect();
        let mut writer = self.lock_writer();
        let number = writer.next_segment;
        writer.next_segment += 1;
        drop(writer);
        let schema = self.schema();
        let lives: Vec<RowSet> = sources.iter().map(|one| one.live().snapshot()).collect();
        let views: Vec<(&dyn SegmentView, &RowSet)> = sources
            .iter()
            .zip(&lives)
            .map(|(one, live)| (one.as_ref() as &dyn SegmentView, live))
            .collect();
        let order = write::order_of(&views);
        let merged = if order.is_empty() {
            None
        } else {
            let views: Vec<&dyn SegmentView> = views.iter().map(|(view, _)| *view).collect();
            let merged = self.write_segment(number, &schema, &views, &order)?;
            Some(self.index_merged(merged, sources, &order, &schema)?)
        };
        let mut writer = self.lock_writer();
        if let Some(merged) = &merged {
            for (source, live) in sources.iter().zip(&lives) {
                bury(merged, source.as_ref(), live);
            }
        }
        let replaced = |number: u64| sources.iter().any(|source| source.number() == number);
        let mut next = SegmentSet::clone(&self.current());
        let place = next
            .sealed
            .iter()
            .position(|segment| replaced(segment.number()))
            .unwrap_or(0);
        next.sealed.retain(|segment| !replaced(segment.number()));
        if let Some(merged) = merged {
            next.sealed
                .insert(place.min(next.sealed.len()), Arc::new(merged));
        }
        self.switch(&mut writer, next, None)?;
        for source in sources {
            writer.persisted.remove(&source.number());
        }
        drop(writer);
        for source in sources {
            // Readers that still hold the segment keep its bytes mapped; the space comes back when the last is gone.
            self.surroundings
                .disk
                .remove_directory(source.directory())?;
        }
        Ok(())
    }

    /// Takes the memory of a merge's tables; refused when an index that it would lose could not be built again either.
    ///
    /// # Errors
    /// [`VectorsError::OverBudget`] naming the component.
    fn room_for_merge(&self, sources: &[Arc<SealedSegment>]) -> Result<Reservation, VectorsError> {
        let rows: u64 = sources.iter().map(|one| u64::from(one.live_count())).sum();
        let room = self
            .ledger
            .reserve(Component::Maintenance, rows * MERGE_ROW_BYTES)?;
        for (name, vector) in &self.schema().vectors {
            let indexed = sources.iter().any(|source| source.index(name).is_some());
            if let (
                true,
                VectorSchema::Dense {
                    dimensions, multi, ..
                },
            ) = (indexed, vector)
                && let Some(parameters) = self.index_parameters(vector)
            {
                let of_name = sources.iter().filter_map(|source| source.dense(name));
                let count = match multi {
                    true => of_name.map(|dense| u64::from(dense.rows())).sum(),
                    false => rows,
                };
                let bytes = parameters.build_bytes(count, *dimensions);
                drop(self.ledger.reserve(Component::VectorIndexes, bytes)?);
            }
        }
        Ok(room)
    }

    /// Builds the indexes of a merged segment before it replaces its sources, so that no search falls back to a scan.
    fn index_merged(
        &self,
        mut merged: SealedSegment,
        sources: &[Arc<SealedSegment>],
        order: &[write::SourceRow],
        schema: &CollectionSchema,
    ) -> Result<SealedSegment, VectorsError> {
        for name in self.missing_indexes(&merged, schema) {
            let largest = sources
                .iter()
                .enumerate()
                .filter_map(|(place, source)| Some((place, source.index(&name)?)))
                .max_by_key(|(_, index)| index.rows());
            let new_rows = largest.map(|(place, index)| -> Result<_, VectorsError> {
                let mut new_rows = vec![u32::MAX; index.rows() as usize];
                for (new, at) in (0..).zip(order) {
                    if at.source as usize != place {
                        continue;
                    }
                    let old = sources[place].places_of(&name, at.row)?;
                    for (old, new) in old.zip(merged.places_of(&name, new)?) {
                        new_rows[old as usize] = new;
                    }
                }
                Ok(new_rows)
            });
            let new_rows = new_rows.transpose()?;
            let previous = largest
                .zip(new_rows.as_deref())
                .map(|((_, index), new_rows)| Previous { index, new_rows });
            merged = self.build_index(&merged, &name, schema, previous)?;
        }
        Ok(merged)
    }

    /// Names of the dense vectors whose index a segment should have and has not. Of multi-vectors all single ones
    /// count.
    pub(crate) fn missing_indexes(
        &self,
        segment: &SealedSegment,
        schema: &CollectionSchema,
    ) -> Vec<String> {
        let from_rows = schema
            .index_from_rows
            .unwrap_or(self.surroundings.options.index_from_rows);
        let unbuildable = self
            .unbuildable
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        schema
            .vectors
            .iter()
            .filter(|(name, vector)| {
                let Some(parameters) = self.index_parameters(vector) else {
                    return false;
                };
                let count = segment.dense(name).map_or(0, Originals::rows);
                count.max(segment.rows()) >= from_rows.max(1)
                    && segment.index_parameters(name) != Some(parameters_name(&parameters).as_str())
                    && !unbuildable.contains(&(segment.number(), parameters_name(&parameters)))
            })
            .map(|(name, _)| name.clone())
            .collect()
    }

    /// How the index of a vector is built; `None` for vectors that are scanned.
    fn index_parameters(&self, vector: &VectorSchema) -> Option<IndexParameters> {
        match *vector {
            VectorSchema::Dense {
                metric,
                index,
                hnsw,
                quantization,
                ..
            } if index != IndexKind::Flat => Some(IndexParameters {
                metric,
                kind: index,
                hnsw,
                quantization,
                threads: self.surroundings.options.index_threads.max(1),
                seed: 0,
            }),
            _ => None,
        }
    }

    /// Builds one missing index of a segment with at least `smallest` rows. False when none is missing.
    fn build_next_index(&self, smallest: u32) -> Result<bool, VectorsError> {
        let set = self.current();
        let large = set.sealed.iter().filter(|one| one.rows() >= smallest);
        let next = large.into_iter().find_map(|segment| {
            let name = self
                .missing_indexes(segment, &set.schema)
                .into_iter()
                .find(|name| !self.still_waits(segment.number(), &index_work(name)))?;
            Some((Arc::clone(segment), name))
        });
        let Some((segment, name)) = next else {
            return Ok(false);
        };
        let Some(_claim) = self.claim(segment.number()) else {
            // A writer builds it, see `tail`; there is more to do when it is done.
            return Ok(false);
        };
        let indexed = self.build_index(&segment, &name, &set.schema, None)?;
        self.replace_view(indexed);
        Ok(true)
    }

    pub(super) fn build_index(
        &self,
        segment: &SealedSegment,
        name: &str,
        schema: &CollectionSchema,
        previous: Option<Previous<'_>>,
    ) -> Result<SealedSegment, VectorsError> {
        let Some(parameters) = schema
            .vectors
            .get(name)
            .and_then(|vector| self.index_parameters(vector))
        else {
            return Ok(segment.clone());
        };
        let Some(dense) = segment.dense(name) else {
            return Ok(segment.clone());
        };
        let needed = parameters.build_bytes(dense.rows().into(), dense.dimensions() as u32);
        let room = match self.ledger.reserve(Component::VectorIndexes, needed) {
            Ok(room) => room,
            Err(error) => {
                self.defer(segment.number(), &index_work(name), error)?;
                return Ok(segment.clone());
            }
        };
        let _doing = self.doing(Activity::Indexing {
            segment: segment.number(),
            vector: name.to_owned(),
        });
        let control = Arc::new(BuildControl::default());
        let controls = || self.controls.lock().unwrap_or_else(PoisonError::into_inner);
        controls().push(Arc::clone(&control));
        self.writable()?;
        let label = parameters_name(&parameters);
        let built = VectorIndex::build(&dense.mapped(), &parameters, previous, &control);
        controls().retain(|other| !Arc::ptr_eq(other, &control));
        let disk = self.surroundings.disk.as_ref();
        segment.leave_on_disk(disk, schema);
        let index = match built {
            Ok(index) => index,
            Err(VectorsError::Cancelled) => return Err(VectorsError::Cancelled),
            Err(error) => {
                // Not worth the collection: rows are scanned instead, and the failure is named.
                self.note_damage(&error);
                let mut unbuildable = self
                    .unbuildable
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner);
                unbuildable.push((segment.number(), label));
                return Ok(segment.clone());
            }
        };
        sealed::write_index(disk, segment, name, &label, &index)?;
        let bytes = index.bytes_in_memory();
        drop(room);
        match self.ledger.reserve(Component::VectorIndexes, bytes) {
            Ok(reservation) => Ok(segment.with_index(name, &label, index, Some(reservation))),
            // No room in the budget: the file is mapped, and the system keeps in memory what it can.
            Err(_) => segment.with_index_of_disk(disk, name, &label),
        }
    }
}

/// Clears the note of what maintenance does, when it was this one's.
struct Doing<'a>(Option<&'a Collection>);

impl Drop for Doing<'_> {
    fn drop(&mut self) {
        if let Some(collection) = self.0 {
            let activity = &collection.activity;
            *activity.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
    }
}

/// Takes the rows that died in `source` since `live` was read out of `sealed`, which was written from it.
fn bury(sealed: &SealedSegment, source: &dyn SegmentView, live: &RowSet) {
    for row in live.iter() {
        if !source.live().contains(row) {
            let id: PointId = source.id(row);
            if let Some(at) = sealed.row_of(id)
                && sealed.version(at) == source.version(row)
            {
                sealed.live().remove(at);
            }
        }
    }
}

/// What building the index of a vector is called while it waits for memory.
fn index_work(name: &str) -> String {
    format!("index of vector `{name}`")
}

/// Parameters as part of a file name: an index with other parameters is another file.
pub(crate) fn parameters_name(parameters: &IndexParameters) -> String {
    format!(
        "{:?}-{:?}-{}-{}-{:?}",
        parameters.kind,
        parameters.metric,
        parameters.hnsw.m,
        parameters.hnsw.ef_construct,
        parameters.quantization
    )
    .chars()
    .filter(|character| character.is_ascii_alphanumeric() || *character == '-')
    .collect::<String>()
    .to_ascii_lowercase()
}
