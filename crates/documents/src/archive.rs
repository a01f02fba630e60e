//! ZIP archives, read within bounds: Word and Excel files are such.

use std::fs::File;
use std::io::{BufReader, Read, Write, copy, sink};

use zip::ZipArchive;
use zip::result::ZipError;

use crate::error::{Error, ErrorKind};
use crate::limits::{Limits, RATIO_FREE_BYTES};
use crate::piece::Place;

/// An archive whose entries unpack within the limits, or end with an error.
pub(crate) struct Archive {
    zip: ZipArchive<BufReader<File>>,
    limits: Limits,
    /// Bytes unpacked so far, over all entries.
    inflated_bytes: u64,
}

impl Archive {
    pub(crate) fn open(file: File, limits: &Limits) -> Result<Self, Error> {
        let zip = ZipArchive::new(BufReader::new(file)).map_err(broken)?;
        if zip.len() as u64 > limits.entries_max {
            return Err(Error::too_large("files in the archive", limits.entries_max));
        }
        Ok(Archive {
            zip,
            limits: limits.clone(),
            inflated_bytes: 0,
        })
    }

    /// Whether there is an entry of this name.
    pub(crate) fn holds(&self, name: &str) -> bool {
        self.zip.index_for_name(name).is_some()
    }

    /// The content of an entry.
    pub(crate) fn read(&mut self, name: &str) -> Result<Vec<u8>, Error> {
        let index = self
            .zip
            .index_for_name(name)
            .ok_or_else(|| Error::malformed("is not in the archive").at(Place::part(name)))?;
        let mut bytes = Vec::new();
        self.unpack(index, &mut bytes)?;
        Ok(bytes)
    }

    /// Unpacks every entry into nothing: whoever reads the archive afterwards, without bounds, is safe from bombs.
    pub(crate) fn check(&mut self) -> Result<(), Error> {
        for index in 0..self.zip.len() {
            self.unpack(index, &mut sink())?;
        }
        Ok(())
    }

    fn unpack(&mut self, index: usize, into: &mut dyn Write) -> Result<(), Error> {
        let entry = self.zip.by_index(index).map_err(broken)?;
        let place = Place::part(entry_name(&entry));
        // What the directory says about sizes is the archive's own claim; the bound counts what really comes out.
        let left = self
            .limits
            .inflated_bytes_max
            .saturating_sub(self.inflated_bytes);
        let fair = entry
            .compressed_size()
            .saturating_mul(self.limits.ratio_max)
            .max(RATIO_FREE_BYTES);
        let bound = left.min(fair);
        let count = copy(&mut entry.take(bound + 1), into).map_err(|error| {
            Error::malformed(format!("cannot be unpacked: {error}")).at(place.clone())
        })?;
        self.inflated_bytes += count;
        if count > bound {
            let error = if bound == left {
                Error::too_large("bytes unpacked", self.limits.inflated_bytes_max)
            } else {
                Error::new(
                    ErrorKind::TooLarge,
                    format!(
                        "unpacks to more than {} times its size",
                        self.limits.ratio_max
                    ),
                )
            };
            return Err(error.at(place));
        }
        Ok(())
    }
}

fn entry_name<R: Read>(entry: &zip::read::ZipFile<'_, R>) -> String {
    entry
        .name()
        .map(|name| name.chars().take(100).collect())
        .unwrap_or_default()
}

fn broken(error: ZipError) -> Error {
    match error {
        ZipError::Io(error) => Error::malformed(format!("is no whole archive: {error}")),
        ZipError::UnsupportedArchive(what) => Error::new(ErrorKind::Unsupported, what),
        error => Error::malformed(format!("is no whole archive: {error}")),
    }
}
