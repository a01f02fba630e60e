//! A collection: points behind one schema, in a directory of its own.
//!
//! Writers go one at a time, under one lock, for as long as a copy into memory and an append to the log take; they wait
//! for the disk outside of it. Readers take no part in that: they read one published [`SegmentSet`] and lock only the
//! growing segment, for as long as its scan takes.
//!
//! Invariants, besides those of `segment`:
//!  1. A write is in the log before its rows are visible, and durable before it is acknowledged to who waits.
//!  2. Lock order: `maintenance`, `writer`, `visible`, the rows of a growing segment. None is held while waiting for a sync
//!     of the log, except at a switch of the manifest.
//!  3. What the manifest says is dead was made so by log records that are durable.
//!  4. After a failed write or sync the collection refuses writes until it is opened again; reads go on.

mod batch;
mod deferred;
mod edit;
mod given;
mod info;
pub mod limits;
mod maintain;
mod moment;
mod options;
mod payload_indexes;
mod query;
mod read;
mod recover;
mod request;
mod scroll;
mod search;
mod searcher;
mod set;
mod snapshot;
mod tail;
mod text;
mod tunables;
pub(crate) mod validate;
mod verify;
mod write;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};

use platform::Clock;

pub use deferred::DeferredWork;
pub use given::VectorPlace;
pub use info::{Activity, CollectionInfo, SegmentInfo, Status, Tally};
pub use options::CollectionOptions;
pub(crate) use payload_indexes::of_growing as indexes_of_growing;
pub use query::{PointGroup, QueriedPoint};
pub use request::{
    Direction, FacetHit, Operation, OrderBy, PayloadSelection, Precondition, ScoredPoint,
    ScrollPage, ScrollRequest, SearchRequest, Selection, StoredPoint, VectorSelection, With,
    WriteOptions, WriteOutcome,
};
pub use searcher::CollectionSearcher;
pub(crate) use set::{SegmentHandle, SegmentSet};

use crate::error::VectorsError;
use crate::filter::FieldPath;
use crate::index::BuildControl;
use crate::memory::Ledger;
use crate::payload::{PayloadIndexKind, PayloadIndexSchema, PayloadIndexes};
use crate::schema::CollectionSchema;
use crate::segment::growing::GrowingSegment;
use crate::segment::sealed::SealedSegment;
use crate::storage::disk::SharedDisk;
use crate::storage::{Log, Manifest};

/// What every collection of a database shares.
#[derive(Debug, Clone)]
pub(crate) struct Surroundings {
    pub disk: SharedDisk,
    pub clock: Clock,
    pub options: Arc<CollectionOptions>,
    /// Where background work is asked for; `None` does it within the calls that make it necessary.
    pub maintenance: Option<crate::database::MaintenanceQueue>,
}

/// A collection of points. Shared between threads; all methods block.
#[derive(Debug)]
pub struct Collection {
    name: String,
    directory: PathBuf,
    surroundings: Surroundings,
    ledger: Arc<Ledger>,
    set: RwLock<Arc<SegmentSet>>,
    writer: Mutex<Writer>,
    /// Held for writing while rows of a batch appear and the old ones die, for reading by exact counts.
    visible: RwLock<()>,
    /// Held by who seals, merges or builds.
    maintenance: Mutex<()>,
    /// Held by who takes a snapshot: one at a time.
    snapshotting: Mutex<()>,
    /// Held by who seals only, so that writers need not wait for a merge.
    sealing: Mutex<()>,
    /// Why writes are refused.
    failed: OnceLock<String>,
    /// What was found damaged, in words that name file and part.
    damages: Mutex<Vec<String>>,
    activity: Mutex<Option<Activity>>,
    /// Payload indexes that filters asked for.
    wanted: Mutex<Vec<(FieldPath, PayloadIndexKind)>>,
    /// Stop the index builds that run.
    controls: Mutex<Vec<Arc<BuildControl>>>,
    /// Segments and parameters for which a build failed; not tried again until the collection is opened again.
    unbuildable: Mutex<Vec<(u64, String)>>,
    /// Maintenance that waits for memory.
    deferred: Mutex<Vec<DeferredWork>>,
    /// Calls of `optimize` that run.
    optimizing: AtomicU32,
    /// Number and rows of the growing segment when maintenance looked last.
    last_growth: Mutex<(u64, u32)>,
    /// Segments whose indexes a thread builds now.
    claimed: Mutex<Vec<u64>>,
    /// Held by the writer that builds an index because too many rows have none.
    helping: Mutex<()>,
    /// Whether maintenance is queued.
    queued: AtomicBool,
    closed: AtomicBool,
}

/// What only the writer changes.
#[derive(Debug)]
pub(crate) struct Writer {
    /// The last sequence given out.
    sequence: u64,
    /// The log of the growing segment; `None` until its first record.
    log: Option<Arc<Log>>,
    /// Logs of frozen segments, oldest first.
    frozen_logs: Vec<FrozenLog>,
    /// The manifest as it is on disk.
    manifest: Manifest,
    /// The number of the next segment.
    next_segment: u64,
    /// Of each segment: how many dead rows the disk knows of, and the number of the file that says which.
    persisted: HashMap<u64, (u32, Option<u64>)>,
    /// Segments that could not be opened. They stay in the manifest.
    quarantined: Vec<u64>,
}

/// The log of a frozen segment.
#[derive(Debug)]
pub(crate) struct FrozenLog {
    /// The segment.
    segment: u64,
    /// The last sequence in the log.
    last_sequence: u64,
    /// The file.
    path: PathBuf,
}

impl Collection {
    /// Makes the directory of a new collection.
    ///
    /// # Errors
    /// [`VectorsError::Invalid`] for a schema that makes no sense, or as the disk says.
    pub(crate) fn create(
        surroundings: &Surroundings,
        directory: &Path,
        schema: CollectionSchema,
    ) -> Result<(), VectorsError> {
        validate::schema(&schema)?;
        let disk = surroundings.disk.as_ref();
        disk.create_directory(directory)?;
        Manifest::new(schema).store(disk, directory)?;
        disk.sync_directory(crate::storage::disk::parent_of(directory))
    }

    /// The name it was opened under.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where its files are.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// What it holds.
    pub fn schema(&self) -> Arc<CollectionSchema> {
        Arc::clone(&self.current().schema)
    }

    /// The segments as of now.
    pub(crate) fn current(&self) -> Arc<SegmentSet> {
        Arc::clone(&self.set.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn publish(&self, set: SegmentSet) {
        *self.set.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(set);
    }

    pub(crate) fn lock_writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now_unix_ms(&self) -> u64 {
        u64::try_from(self.surroundings.clock.unix().as_millis()).unwrap_or(u64::MAX)
    }

    fn log_directory(&self) -> PathBuf {
        self.directory.join("wal")
    }

    fn segment_directory(&self, number: u64) -> PathBuf {
        self.directory.join("segments").join(number.to_string())
    }

    /// Remembers that nothing more may be written, and passes the error on. Errors about the request change nothing.
    fn fail(&self, error: VectorsError) -> VectorsError {
        if matches!(
            error,
            VectorsError::Io { .. } | VectorsError::ReadOnly { .. } | VectorsError::Corrupt { .. }
        ) {
            let message = error.to_string();
            if self.failed.set(message).is_ok() {
                tracing::error!(collection = self.name, %error, "refuses writes from now on");
            }
        }
        error
    }

    /// [`VectorsError::ReadOnly`] when an earlier write failed or the collection was closed.
    fn writable(&self) -> Result<(), VectorsError> {
        if let Some(message) = self.failed.get() {
            return Err(VectorsError::ReadOnly {
                message: message.clone(),
            });
        }
        if self.closed.load(Ordering::Acquire) {
            return Err(VectorsError::ReadOnly {
                message: "the collection was closed".to_owned(),
            });
        }
        Ok(())
    }

    /// Makes everything durable and refuses writes from now on; a build that runs is stopped. Reads still work.
    ///
    /// # Errors
    /// As the disk says.
    pub fn close(&self) -> Result<(), VectorsError> {
        let flushed = match self.failed.get() {
            None => self.flush(),
            Some(_) => Ok(()),
        };
        self.close_without_flush();
        flushed
    }

    /// Refuses writes from now on: the files are about to go.
    pub(crate) fn close_without_flush(&self) {
        self.closed.store(true, Ordering::Release);
        let controls = self.controls.lock().unwrap_or_else(PoisonError::into_inner);
        for control in controls.iter() {
            control.cancel();
        }
    }

    /// Refuses writes from now on, and returns when nothing works on the files any more: they may go, or others take
    /// their place. Reads go on with the old ones.
    pub(crate) fn retire(&self) {
        self.close_without_flush();
        // Who takes one of these from now on finds the collection closed.
        drop(
            self.snapshotting
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        );
        drop(
            self.maintenance
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        );
        drop(self.sealing.lock().unwrap_or_else(PoisonError::into_inner));
        drop(self.helping.lock().unwrap_or_else(PoisonError::into_inner));
        drop(self.lock_writer());
    }

    /// Whether maintenance runs or waits.
    pub(crate) fn is_busy(&self) -> bool {
        self.queued.load(Ordering::Acquire)
            || self
                .activity
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .is_some()
    }

    /// Puts a sealed segment with other indexes in the place of its former view. Indexes are derived, so the manifest stays.
    fn replace_view(&self, segment: SealedSegment) {
        self.change_view(segment.number(), |current| {
            // Indexes that a writer built meanwhile stay, see `tail`.
            let mut segment = segment.clone();
            for name in current.indexed_names() {
                if segment.index(&name).is_none() {
                    segment = segment.with_index_of(current, &name);
                }
            }
            segment
        });
    }

    /// Puts what `change` makes of a sealed segment in its place, if it is still there.
    fn change_view(&self, number: u64, change: impl Fn(&SealedSegment) -> SealedSegment) {
        let _writer = self.lock_writer();
        let mut next = SegmentSet::clone(&self.current());
        for one in &mut next.sealed {
            if one.number() == number {
                *one = Arc::new(change(one));
            }
        }
        self.publish(next);
    }

    fn new_growing(
        &self,
        number: u64,
        schema: &CollectionSchema,
        indexes: &[PayloadIndexSchema],
    ) -> Result<Arc<GrowingSegment>, VectorsError> {
        Ok(Arc::new(GrowingSegment::new(
            number,
            schema,
            PayloadIndexes::growing(indexes)?,
            self.ledger
                .reserve_unconditionally(crate::memory::Component::Growing, 0),
        )))
    }
}
