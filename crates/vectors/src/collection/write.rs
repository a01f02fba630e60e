//! The write path: from changes to log records to visible rows.

use std::sync::Arc;

use super::{Collection, FrozenLog, SegmentSet, Writer};
use crate::error::VectorsError;
use crate::point::{Point, PointId};
use crate::segment::SegmentView;
use crate::segment::growing::GrowingRows;
use crate::storage::Log;
use crate::storage::log::{self, Change, LogEntry};

/// A change that was decided on: what the point is from now on.
#[derive(Debug)]
pub(crate) enum Resolved {
    Put(Point),
    Delete(PointId),
}

impl Collection {
    /// Appends `changes` to the log and makes them visible. Nothing is changed when this fails.
    ///
    /// # Errors
    /// [`VectorsError::OverBudget`], [`VectorsError::Limit`], [`VectorsError::ReadOnly`], or as the disk says.
    pub(crate) fn commit(
        &self,
        writer: &mut Writer,
        changes: Vec<Resolved>,
    ) -> Result<(), VectorsError> {
        self.writable()?;
        if changes.is_empty() {
            return Ok(());
        }
        let set = self.current();
        let sum_of = |bytes_of: &dyn Fn(&Point) -> usize| -> usize {
            changes
                .iter()
                .map(|change| match change {
                    Resolved::Put(point) => bytes_of(point),
                    Resolved::Delete(_) => 0,
                })
                .sum()
        };
        let bytes = sum_of(&GrowingRows::bytes_of);
        super::limits::check("bytes of a batch", bytes, super::limits::BATCH_BYTES_MAX)?;
        if bytes > 0 {
            let mut rows = set.growing.write();
            let bytes = sum_of(&|point| rows.bytes_with_indexes(point));
            rows.reserve(bytes)?;
        }
        let entries: Vec<LogEntry<'_>> = changes
            .iter()
            .zip(writer.sequence + 1..)
            .map(|(change, sequence)| LogEntry {
                sequence,
                change: match change {
                    Resolved::Put(point) => Change::Put(point),
                    Resolved::Delete(id) => Change::Delete(*id),
                },
            })
            .collect();
        self.log(writer)?
            .append(&entries)
            .map_err(|error| self.fail(error))?;
        drop(entries);
        self.make_visible(writer, &set, changes);
        let rows = set.growing.read();
        let options = &self.surroundings.options;
        let full = rows.rows() >= options.growing_rows_max
            || rows.bytes() >= options.growing_bytes_max
            || writer
                .log
                .as_ref()
                .is_some_and(|log| log.bytes() >= options.log_bytes_max);
        drop(rows);
        if full {
            self.rotate(writer)?;
        }
        Ok(())
    }

    /// New rows appear first, then the old ones die: no reader finds a point missing, see `SegmentSet::walk`.
    fn make_visible(&self, writer: &mut Writer, set: &SegmentSet, changes: Vec<Resolved>) {
        let _visible = self
            .visible
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut ids = Vec::with_capacity(changes.len());
        let mut rows = set.growing.write();
        for change in changes {
            writer.sequence += 1;
            match change {
                Resolved::Put(point) => {
                    ids.push(point.id);
                    rows.append(point, writer.sequence);
                }
                Resolved::Delete(id) => {
                    ids.push(id);
                    rows.remove(id);
                }
            }
        }
        rows.settle();
        drop(rows);
        for id in ids {
            set.kill_older(id);
        }
    }

    /// The log of the growing segment, started when there is none yet.
    fn log(&self, writer: &mut Writer) -> Result<Arc<Log>, VectorsError> {
        if let Some(log) = &writer.log {
            return Ok(Arc::clone(log));
        }
        let disk = self.surroundings.disk.as_ref();
        let first = writer.sequence + 1;
        let directory = self.log_directory();
        let start = || {
            disk.create_directory(&directory)?;
            disk.sync_directory(&self.directory)?;
            Log::create(disk, &directory.join(log::file_name(first)), first)
        };
        let log = Arc::new(start().map_err(|error| self.fail(error))?);
        writer.log = Some(Arc::clone(&log));
        Ok(log)
    }

    /// Freezes the growing segment and starts the next one.
    ///
    /// # Errors
    /// As the disk says: the log is synced, so that no later record can be durable without it.
    pub(crate) fn rotate(&self, writer: &mut Writer) -> Result<(), VectorsError> {
        let Some(log) = writer.log.take() else {
            return Ok(());
        };
        log.sync().map_err(|error| self.fail(error))?;
        let set = self.current();
        writer.frozen_logs.push(FrozenLog {
            segment: set.growing.number(),
            last_sequence: writer.sequence,
            path: log.path().to_owned(),
        });
        let number = writer.next_segment;
        writer.next_segment += 1;
        let mut next = SegmentSet::clone(&set);
        next.frozen.push(Arc::clone(&set.growing));
        next.growing = self.new_growing(number, &set.schema, &set.payload_indexes)?;
        self.publish(next);
        Ok(())
    }

    /// Waits until everything up to `sequence` is durable. `log` is the one that was current when it was written.
    pub(crate) fn wait_durable(
        &self,
        log: Option<Arc<Log>>,
        sequence: u64,
    ) -> Result<(), VectorsError> {
        match log {
            Some(log) => log.sync_to(sequence).map_err(|error| self.fail(error)),
            None => Ok(()),
        }
    }

    /// The log to wait for after a write, taken under the write lock. A rotated log was synced already.
    pub(crate) fn log_to_wait_for(writer: &Writer) -> Option<Arc<Log>> {
        writer.log.clone()
    }

    /// Makes every write so far durable.
    ///
    /// # Errors
    /// As the disk says; the collection refuses writes from then on.
    pub fn flush(&self) -> Result<(), VectorsError> {
        let writer = self.lock_writer();
        let (log, sequence) = (Self::log_to_wait_for(&writer), writer.sequence);
        drop(writer);
        self.wait_durable(log, sequence)
    }
}

impl SegmentSet {
    /// Takes `id` out of every segment but the growing one. True when it was live somewhere.
    pub(crate) fn kill_older(&self, id: PointId) -> bool {
        let mut was_live = false;
        for segment in &self.frozen {
            was_live |= segment.read().remove(id);
        }
        for segment in &self.sealed {
            if let Some(row) = segment.row_of(id) {
                was_live |= segment.live().remove(row);
            }
        }
        was_live
    }
}
