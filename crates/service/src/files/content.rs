//! A file on its way out.

use std::fs::File;
use std::io::{self, Read};

use crate::error::{Error, ErrorKind, Result};
use crate::failures;
use crate::files::StoredFile;

/// Bytes read at a time.
const CONTENT_BUFFER_BYTES: usize = 256 << 10;

/// The bytes of a file, read as they are wanted. The file may be deleted meanwhile; what was begun can be read to its end.
pub struct FileContent {
    /// What is read.
    pub file: StoredFile,
    pub(super) source: File,
    pub(super) left: u64,
}

impl FileContent {
    /// The next bytes; `None` at the end.
    ///
    /// # Errors
    /// `DataLoss` when the file ends early; `Internal` when it cannot be read.
    pub async fn next(self) -> Result<Option<(Vec<u8>, Self)>> {
        if self.left == 0 {
            return Ok(None);
        }
        tokio::task::spawn_blocking(move || self.read())
            .await
            .map_err(failures::internal)?
    }

    fn read(mut self) -> Result<Option<(Vec<u8>, Self)>> {
        let wanted = self.left.min(CONTENT_BUFFER_BYTES as u64) as usize;
        let mut bytes = vec![0; wanted];
        match self.source.read_exact(&mut bytes) {
            Ok(()) => {
                self.left -= wanted as u64;
                Ok(Some((bytes, self)))
            }
            Err(error) => {
                let id = &self.file.id;
                tracing::error!(id, %error, "the bytes of a file cannot be read");
                let kind = match error.kind() {
                    io::ErrorKind::UnexpectedEof => ErrorKind::DataLoss,
                    _ => ErrorKind::Internal,
                };
                Err(Error::new(
                    kind,
                    format!("The content of '{id}' cannot be read; the server's log says why."),
                ))
            }
        }
    }
}
