//! Opens a collection: the manifest, its segments, and what the log adds.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32};
use std::sync::{Arc, Mutex, OnceLock, RwLock};

use super::{Collection, FrozenLog, SegmentSet, Surroundings, Writer, payload_indexes};
use crate::error::VectorsError;
use crate::memory::{Component, Ledger};
use crate::payload::{PayloadIndexSchema, PayloadIndexes};
use crate::point::PointId;
use crate::segment::SegmentView;
use crate::segment::growing::{GrowingRows, GrowingSegment};
use crate::segment::sealed::{SealedSegment, generation_of_live_file};
use crate::storage::log::{self, Entry, Log, Tail};
use crate::storage::{Disk, Manifest, snapshot};

impl Collection {
    /// Opens the collection in `directory`. Segments that are damaged are left out and named in `info`.
    ///
    /// # Errors
    /// [`VectorsError::CollectionMissing`] without a manifest, [`VectorsError::Corrupt`] when the manifest itself is
    /// damaged, or as the disk says.
    pub(crate) fn open(
        name: &str,
        directory: &Path,
        surroundings: Surroundings,
        ledger: Arc<Ledger>,
    ) -> Result<Collection, VectorsError> {
        let disk = Arc::clone(&surroundings.disk);
        let Some(manifest) = Manifest::load(disk.as_ref(), directory)? else {
            return Err(VectorsError::CollectionMissing {
                name: name.to_owned(),
            });
        };
        snapshot::remove_partial(disk.as_ref(), directory)?;
        let schema = Arc::new(manifest.schema.clone());
        let mut writer = Writer {
            sequence: manifest.applied_sequence,
            log: None,
            frozen_logs: Vec::new(),
            next_segment: manifest.next_segment,
            persisted: HashMap::new(),
            quarantined: Vec::new(),
            manifest,
        };
        let mut damages = Vec::new();
        let indexes = payload_indexes::of_manifest(&writer.manifest)?;
        let sealed = open_segments(
            disk.as_ref(),
            directory,
            &mut writer,
            &ledger,
            &indexes,
            &mut damages,
        )?;
        let growing = Arc::new(GrowingSegment::new(
            writer.next_segment,
            &schema,
            PayloadIndexes::growing(&indexes)?,
            ledger.reserve_unconditionally(Component::Growing, 0),
        ));
        writer.next_segment += 1;
        let collection = Collection {
            name: name.to_owned(),
            directory: directory.to_owned(),
            surroundings,
            ledger,
            set: RwLock::new(Arc::new(SegmentSet {
                schema,
                payload_indexes: Arc::new(indexes),
                sealed,
                frozen: Vec::new(),
                growing,
            })),
            writer: Mutex::new(writer),
            visible: RwLock::new(()),
            maintenance: Mutex::new(()),
            snapshotting: Mutex::new(()),
            sealing: Mutex::new(()),
            failed: OnceLock::new(),
            damages: Mutex::new(Vec::new()),
            activity: Mutex::new(None),
            wanted: Mutex::new(Vec::new()),
            controls: Mutex::new(Vec::new()),
            unbuildable: Mutex::new(Vec::new()),
            deferred: Mutex::new(Vec::new()),
            optimizing: AtomicU32::new(0),
            last_growth: Mutex::new((0, 0)),
            claimed: Mutex::new(Vec::new()),
            helping: Mutex::new(()),
            queued: AtomicBool::new(false),
            closed: AtomicBool::new(false),
        };
        for damage in &damages {
            collection.note_damage(damage);
        }
        collection.replay_logs()?;
        Ok(collection)
    }

    /// Replays the logs, oldest first: each becomes a frozen segment, but the last one goes on growing.
    fn replay_logs(&self) -> Result<(), VectorsError> {
        let disk = self.surroundings.disk.as_ref();
        let mut writer = self.lock_writer();
        let floor = writer.manifest.log_floor;
        let mut files = Vec::new();
        for (first, path) in log::list(disk, &self.log_directory())? {
            if first < floor {
                // Its rows are in a segment; the crash came before it was removed.
                disk.remove(&path)?;
            } else {
                files.push((first, path));
            }
        }
        let last = files.len().saturating_sub(1);
        for (place, (first, path)) in files.into_iter().enumerate() {
            let set = self.current();
            let mut visit = |entry: Entry| {
                writer.sequence = writer.sequence.max(entry.sequence());
                replay(&set, entry);
                Ok(())
            };
            if place == last {
                match Log::open(disk, &path, first, &mut visit) {
                    Ok((log, _)) => {
                        writer.log = Some(Arc::new(log));
                        break;
                    }
                    Err(error @ VectorsError::Corrupt { .. }) => {
                        // What could be read was not handed out; it is read below and the damage named.
                        tracing::warn!(%error, "reads what is left of a damaged log");
                    }
                    Err(error) => return Err(error),
                }
            }
            let replayed = Log::replay(disk, &path, first, &mut visit)?;
            writer.sequence = writer.sequence.max(replayed.last_sequence);
            if let Tail::Damaged { message, .. } = replayed.tail {
                self.note_damage(&VectorsError::Corrupt {
                    path: path.clone(),
                    message,
                });
            }
            let frozen = FrozenLog {
                segment: set.growing.number(),
                last_sequence: writer.sequence,
                path,
            };
            writer.frozen_logs.push(frozen);
            let mut next = SegmentSet::clone(&set);
            next.frozen.push(Arc::clone(&set.growing));
            next.growing =
                self.new_growing(writer.next_segment, &set.schema, &set.payload_indexes)?;
            writer.next_segment += 1;
            self.publish(next);
        }
        let versions = self
            .current()
            .sealed
            .iter()
            .map(|segment| segment.versions().1)
            .max();
        writer.sequence = writer.sequence.max(versions.unwrap_or(0));
        Ok(())
    }
}

/// Opens the segments that the manifest names and removes directories that it does not.
fn open_segments(
    disk: &dyn Disk,
    directory: &Path,
    writer: &mut Writer,
    ledger: &Arc<Ledger>,
    indexes: &[PayloadIndexSchema],
    damages: &mut Vec<VectorsError>,
) -> Result<Vec<Arc<SealedSegment>>, VectorsError> {
    let root = directory.join("segments");
    let mut sealed = Vec::new();
    for entry in &writer.manifest.segments {
        let home = root.join(entry.id.to_string());
        let opened = SealedSegment::open(disk, &home, entry.id, entry.tombstones, ledger)
            .and_then(|segment| {
                if segment.rows() == entry.rows {
                    return Ok(segment);
                }
                Err(VectorsError::Corrupt {
                    path: home.clone(),
                    message: format!("{} rows instead of {}", segment.rows(), entry.rows),
                })
            })
            .and_then(|segment| {
                segment.with_indexes_of_disk(disk, &mut |error| {
                    damages.push(VectorsError::Corrupt {
                        path: home.clone(),
                        message: format!("index, which is built again: {error}"),
                    });
                })
            })
            .and_then(|segment| {
                segment.with_sparse_indexes_of_disk(disk, &mut |error| {
                    damages.push(VectorsError::Corrupt {
                        path: home.clone(),
                        message: format!("sparse index, scanned instead: {error}"),
                    });
                })
            })
            .map(
                |segment| match segment.with_payload_indexes_of_disk(disk, indexes) {
                    Ok(segment) => segment,
                    Err(error) => {
                        damages.push(error);
                        segment
                    }
                },
            );
        match opened {
            Ok(segment) => {
                remove_unnamed(disk, &home, entry.tombstones)?;
                segment.leave_on_disk(disk, &writer.manifest.schema);
                let removed = segment.live().removed();
                writer
                    .persisted
                    .insert(entry.id, (removed, entry.tombstones));
                sealed.push(Arc::new(segment));
            }
            Err(error) => {
                damages.push(error);
                writer.quarantined.push(entry.id);
            }
        }
    }
    for entry in disk.list(&root)?.unwrap_or_default() {
        let named = |id: u64| writer.manifest.segments.iter().any(|entry| entry.id == id);
        // Left behind by a crash before a switch, or after one.
        if entry.name.parse().is_ok_and(|id| !named(id)) {
            disk.remove_directory(&root.join(&entry.name))?;
        }
    }
    Ok(sealed)
}

/// Removes from a segment's directory what a crash left before a switch of the manifest, or after one: tombstones that the
/// manifest does not name, and files that never got their names.
fn remove_unnamed(
    disk: &dyn Disk,
    segment: &Path,
    tombstones: Option<u64>,
) -> Result<(), VectorsError> {
    for entry in disk.list(segment)?.unwrap_or_default() {
        let generation = generation_of_live_file(&entry.name);
        let unnamed = generation.is_some() && generation != tombstones;
        if unnamed || entry.name.ends_with(".new") {
            disk.remove(&segment.join(entry.name))?;
        }
    }
    Ok(())
}

/// Does again what a record says. A row that is as new already, because its segment was written before the crash, stays.
fn replay(set: &SegmentSet, entry: Entry) {
    let known = |id: PointId, sequence: u64| {
        set.sealed.iter().any(|segment| {
            segment
                .row_of(id)
                .is_some_and(|row| segment.version(row) >= sequence)
        })
    };
    match entry {
        Entry::Put { sequence, point } => {
            if known(point.id, sequence) {
                return;
            }
            let id = point.id;
            let mut rows = set.growing.write();
            rows.reserve_unconditionally(GrowingRows::bytes_of(&point));
            rows.append(point, sequence);
            drop(rows);
            set.kill_older(id);
        }
        Entry::Delete { sequence, id } => {
            if known(id, sequence) {
                return;
            }
            set.growing.read().remove(id);
            set.kill_older(id);
        }
    }
}
