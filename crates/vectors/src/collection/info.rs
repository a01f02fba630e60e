//! What a collection tells about itself.

use std::sync::PoisonError;

use super::{Collection, DeferredWork};
use crate::error::VectorsError;
use crate::memory::MemoryReport;
use crate::schema::CollectionSchema;
use crate::segment::SegmentView;

/// Whether everything is as fast as it gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Nothing to do.
    Green,
    /// Maintenance runs or waits: results are right, searches may be slower than they will be.
    Yellow,
    /// Writes are refused, or something is damaged.
    Red,
}

/// What maintenance does now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Activity {
    /// Writes a full growing segment to disk.
    Sealing {
        /// Its number.
        segment: u64,
    },
    /// Writes several segments as one.
    Merging {
        /// Their numbers.
        segments: Vec<u64>,
    },
    /// Builds the index of a vector of a segment.
    Indexing {
        /// The segment.
        segment: u64,
        /// The vector's name.
        vector: String,
    },
}

/// One segment.
#[derive(Debug, Clone, PartialEq)]
pub struct SegmentInfo {
    /// Its number.
    pub number: u64,
    /// Whether it lies on disk, immutable.
    pub sealed: bool,
    /// Rows in it.
    pub rows: u32,
    /// Rows of them that are live.
    pub live_rows: u32,
    /// Names of the vectors that have an index here.
    pub indexed: Vec<String>,
}

/// A collection as it is now.
#[derive(Debug, Clone, PartialEq)]
pub struct CollectionInfo {
    /// What it holds.
    pub schema: CollectionSchema,
    /// Points stored.
    pub points: u64,
    /// Rows in segments whose every dense vector has its index, or that are small enough to need none.
    pub indexed_rows: u64,
    /// The segments, oldest first.
    pub segments: Vec<SegmentInfo>,
    /// Sequence of the last write.
    pub sequence: u64,
    /// In short.
    pub status: Status,
    /// What maintenance does now.
    pub activity: Option<Activity>,
    /// Maintenance that waits for room in the memory budget; results are right meanwhile.
    pub deferred: Vec<DeferredWork>,
    /// Why writes are refused.
    pub read_only: Option<String>,
    /// What was found damaged, in words that name file and part; everything else is in service.
    pub damages: Vec<String>,
    /// Memory in use.
    pub memory: MemoryReport,
    /// Bytes of all its files.
    pub disk_bytes: u64,
}

/// The figures of a collection that cost nothing to ask for: no file is touched, no row is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Rows that are live; a point that is being written again counts twice for a moment, an expired one until it is swept.
    pub points: u64,
    /// Segments, the growing one included.
    pub segments: u64,
    /// Damages found.
    pub damages: u64,
    /// Whether writes are refused.
    pub read_only: bool,
}

impl Collection {
    /// The figures for a metric that is read every few seconds.
    pub fn tally(&self) -> Tally {
        let set = self.current();
        let mut tally = Tally {
            read_only: self.failed.get().is_some(),
            ..Tally::default()
        };
        for segment in &set.sealed {
            tally.segments += 1;
            tally.points += u64::from(segment.live_count());
        }
        for segment in set.frozen.iter().chain([&set.growing]) {
            let rows = segment.read();
            tally.segments += 1;
            tally.points += u64::from(rows.rows() - rows.live().removed());
        }
        let damages = self.damages.lock().unwrap_or_else(PoisonError::into_inner);
        tally.damages = damages.len() as u64;
        tally
    }

    /// The collection as it is now.
    ///
    /// # Errors
    /// As the disk says when it is asked for the sizes of files.
    pub fn info(&self) -> Result<CollectionInfo, VectorsError> {
        let points = self.count(None)?;
        let set = self.current();
        let mut segments: Vec<SegmentInfo> = set
            .sealed
            .iter()
            .map(|segment| SegmentInfo {
                number: segment.number(),
                sealed: true,
                rows: segment.rows(),
                live_rows: segment.live_count(),
                indexed: segment.indexed_names(),
            })
            .collect();
        for segment in set.frozen.iter().chain([&set.growing]) {
            let rows = segment.read();
            segments.push(SegmentInfo {
                number: segment.number(),
                sealed: false,
                rows: rows.rows(),
                live_rows: rows.rows() - rows.live().removed(),
                indexed: Vec::new(),
            });
        }
        let waiting = set
            .sealed
            .iter()
            .any(|segment| !self.missing_indexes(segment, &set.schema).is_empty());
        let indexed_rows = set
            .sealed
            .iter()
            .filter(|segment| self.missing_indexes(segment, &set.schema).is_empty())
            .map(|segment| u64::from(segment.live_count()))
            .sum();
        let activity = self
            .activity
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let damages = self
            .damages
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let deferred = self.deferred();
        let read_only = self.failed.get().cloned();
        let status = if read_only.is_some() || !damages.is_empty() {
            Status::Red
        } else if activity.is_some() || waiting || !deferred.is_empty() || !set.frozen.is_empty() {
            Status::Yellow
        } else {
            Status::Green
        };
        Ok(CollectionInfo {
            schema: CollectionSchema::clone(&set.schema),
            points,
            indexed_rows,
            segments,
            sequence: self.lock_writer().sequence,
            status,
            activity,
            deferred,
            read_only,
            damages,
            memory: self.ledger.report(),
            disk_bytes: self.disk_bytes()?,
        })
    }

    /// Bytes of all files of the collection.
    fn disk_bytes(&self) -> Result<u64, VectorsError> {
        let disk = self.surroundings.disk.as_ref();
        let mut bytes = 0;
        // Two levels: wal/<file>, segments/<number>/<file>.
        let mut directories = vec![(self.directory.clone(), 0)];
        while let Some((directory, level)) = directories.pop() {
            for entry in disk.list(&directory)?.unwrap_or_default() {
                if !entry.is_directory {
                    bytes += entry.bytes;
                } else if level < 2 {
                    directories.push((directory.join(entry.name), level + 1));
                }
            }
        }
        Ok(bytes)
    }

    pub(crate) fn note_damage(&self, error: &VectorsError) {
        tracing::error!(collection = self.name, %error, "found damage");
        let mut damages = self.damages.lock().unwrap_or_else(PoisonError::into_inner);
        // Bounded: one entry per file and part is enough, and a bad disk may find thousands.
        const DAMAGES_MAX: usize = 100;
        let message = error.to_string();
        if damages.len() < DAMAGES_MAX && !damages.contains(&message) {
            damages.push(message);
        }
    }
}
