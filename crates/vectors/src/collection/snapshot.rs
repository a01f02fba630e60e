//! Snapshots of a collection, taken while it is read and written.

use std::sync::PoisonError;

use super::{Collection, Writer};
use crate::error::VectorsError;
use crate::segment::sealed::{ROWS_FILE, generation_of_live_file};
use crate::storage::manifest::FILE_NAME;
use crate::storage::snapshot::{Capture, Pending, Snapshot};

impl Collection {
    /// Takes a snapshot: everything that was visible at one moment of the call, whether or not it was waited for. Writers
    /// wait while files get a second name, well below a millisecond for each segment; copying and hashing goes on
    /// beside them. One is taken at a time. It lies in the collection's directory; see
    /// [`Database`](crate::Database) for what can be done with it.
    ///
    /// # Errors
    /// [`VectorsError::Invalid`] for a name that is taken or cannot be one, [`VectorsError::ReadOnly`] when the collection
    /// refuses writes, or as the disk says. A failed snapshot leaves the collection as it was.
    pub fn snapshot(&self, name: &str) -> Result<Snapshot, VectorsError> {
        let disk = self.surroundings.disk.as_ref();
        let _one_at_a_time = self
            .snapshotting
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let writer = self.lock_writer();
        self.writable()?;
        let capture = self.capture(&writer)?;
        let pending = Pending::begin(disk, &self.directory, name, capture)?;
        drop(writer);
        pending.finish(disk, self.now_unix_ms())
    }

    /// The files that are the collection now. Under the write lock the manifest names them and none of its goes; indexes
    /// come and go as maintenance likes.
    fn capture(&self, writer: &Writer) -> Result<Capture, VectorsError> {
        let disk = self.surroundings.disk.as_ref();
        let mut capture = Capture {
            contents: vec![(FILE_NAME.to_owned(), writer.manifest.to_bytes()?)],
            ..Capture::default()
        };
        for entry in &writer.manifest.segments {
            let files = disk.list(&self.segment_directory(entry.id))?;
            for file in files.unwrap_or_default() {
                let path = format!("segments/{}/{}", entry.id, file.name);
                match generation_of_live_file(&file.name) {
                    Some(generation) if Some(generation) == entry.tombstones => {
                        capture.immutable.push(path);
                    }
                    Some(_) => {}
                    None if file.name == ROWS_FILE => capture.immutable.push(path),
                    None if file.name.ends_with(".fxv") => capture.derived.push(path),
                    None => {}
                }
            }
        }
        let mut log = |path: &std::path::Path, bytes: u64| {
            if let Some(name) = path.file_name() {
                let name = name.to_string_lossy();
                capture.logs.push((format!("wal/{name}"), bytes));
            }
        };
        for frozen in &writer.frozen_logs {
            log(&frozen.path, disk.length(&frozen.path)?.unwrap_or(0));
        }
        if let Some(current) = &writer.log {
            log(current.path(), current.bytes());
        }
        Ok(capture)
    }
}
