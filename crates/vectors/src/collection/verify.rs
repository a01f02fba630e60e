//! Reads everything that a collection has on disk and compares it with its checksums.

use std::path::PathBuf;
use std::sync::Arc;

use super::Collection;
use crate::error::VectorsError;
use crate::storage::log::{self, Log, Tail};
use crate::storage::{Disk, Manifest};

/// A log file and the last sequence that it must hold.
struct Written {
    path: PathBuf,
    last_sequence: u64,
}

impl Collection {
    /// Reads the manifest, every byte of every sealed segment (rows, tombstones and all indexes: vectors, payload, text,
    /// sparse) and the logs of growing ones, and compares them with their checksums. What is found is returned, named by file
    /// and part, and stands in `info` from then on. Reads and writes go on meanwhile.
    ///
    /// # Errors
    /// As the disk says when it is asked for names.
    pub fn verify(&self) -> Result<Vec<VectorsError>, VectorsError> {
        let disk = self.surroundings.disk.as_ref();
        let mut damages = Vec::new();
        damages.extend(Manifest::load(disk, &self.directory).err());
        for log in self.logs() {
            damages.extend(damage_of(disk, &log)?);
        }
        let sealed = self.current().sealed.clone();
        for segment in sealed {
            damages.extend(segment.damages(disk)?);
        }
        for damage in &damages {
            self.note_damage(damage);
        }
        Ok(damages)
    }

    /// The logs of segments that are not sealed yet. What was acknowledged before the call is in them.
    fn logs(&self) -> Vec<Written> {
        let writer = self.lock_writer();
        let frozen = writer.frozen_logs.iter().map(|frozen| Written {
            path: frozen.path.clone(),
            last_sequence: frozen.last_sequence,
        });
        let current = writer.log.as_ref().map(Arc::clone).map(|log| Written {
            path: log.path().to_owned(),
            last_sequence: log.durable_sequence(),
        });
        frozen.chain(current).collect()
    }
}

/// What is wrong with a log. Records behind the last durable one may be on their way while this reads.
fn damage_of(disk: &dyn Disk, written: &Written) -> Result<Option<VectorsError>, VectorsError> {
    let path = &written.path;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let first = log::sequence_of_name(&name).unwrap_or(0);
    let replayed = match Log::replay(disk, path, first, &mut |_| Ok(())) {
        Ok(replayed) => replayed,
        // Its segment was sealed meanwhile.
        Err(_) if disk.length(path)?.is_none() => return Ok(None),
        Err(error) => return Ok(Some(error)),
    };
    let message = match replayed.tail {
        Tail::Damaged { message, .. } => message,
        _ if replayed.last_sequence < written.last_sequence => format!(
            "ends at sequence {} instead of {}",
            replayed.last_sequence, written.last_sequence
        ),
        Tail::Torn { .. } | Tail::Clean => return Ok(None),
    };
    Ok(Some(VectorsError::Corrupt {
        path: path.clone(),
        message,
    }))
}
