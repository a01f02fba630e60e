//! A bounded reader over an untrusted file: nothing is allocated before the bytes that fill it are known to exist.

use std::io::{BufReader, Read, Seek, SeekFrom};

use crate::files::error::{FileError, FileErrorKind, quotable};

/// Read-ahead of the header in bytes: large enough to walk a vocabulary quickly, small enough to be nothing.
const BUFFER_BYTES: usize = 64 * 1024;

/// A fault at a known place, still without the name of the field: the caller gives it with [`Fault::named`].
#[derive(Debug)]
pub(super) struct Fault {
    kind: FileErrorKind,
    offset: u64,
    message: String,
}

impl Fault {
    pub(super) fn new(kind: FileErrorKind, offset: u64, message: impl Into<String>) -> Self {
        Self {
            kind,
            offset,
            message: message.into(),
        }
    }

    /// The error of the field `name`.
    pub(super) fn named(self, name: impl Into<String>) -> FileError {
        FileError::new(self.kind, name, self.offset, self.message)
    }
}

/// Position in a file of known length.
pub(super) struct Cursor<R> {
    reader: BufReader<R>,
    position: u64,
    length: u64,
    /// Bytes of file that may still be walked; a header larger than this is not a model's.
    budget: u64,
}

impl<R: Read + Seek> Cursor<R> {
    /// A cursor at the start of `reader`, which may walk at most `budget` bytes.
    pub(super) fn new(mut reader: R, budget: u64) -> Result<Self, Fault> {
        let measured = reader
            .seek(SeekFrom::End(0))
            .and_then(|length| reader.seek(SeekFrom::Start(0)).map(|_| length));
        let length =
            measured.map_err(|error| Fault::new(FileErrorKind::Io, 0, error.to_string()))?;
        Ok(Self {
            reader: BufReader::with_capacity(BUFFER_BYTES, reader),
            position: 0,
            length,
            budget,
        })
    }

    pub(super) fn position(&self) -> u64 {
        self.position
    }

    pub(super) fn length(&self) -> u64 {
        self.length
    }

    pub(super) fn remaining(&self) -> u64 {
        self.length - self.position
    }

    /// Refuses when fewer than `bytes` are left in the file.
    fn expect_left(&self, bytes: u64, at: u64) -> Result<(), Fault> {
        if bytes <= self.remaining() {
            return Ok(());
        }
        let message = format!(
            "needs {bytes} bytes but only {} are left in the file",
            self.remaining()
        );
        Err(Fault::new(FileErrorKind::Truncated, at, message))
    }

    /// Takes `bytes`, which must be in the file, from the budget.
    fn claim(&mut self, bytes: u64, at: u64) -> Result<(), Fault> {
        self.expect_left(bytes, at)?;
        let Some(left) = self.budget.checked_sub(bytes) else {
            let message = "the header is larger than any model's";
            return Err(Fault::new(FileErrorKind::Limit, at, message));
        };
        self.budget = left;
        Ok(())
    }

    fn fill(&mut self, buffer: &mut [u8]) -> Result<(), Fault> {
        let at = self.position;
        self.claim(buffer.len() as u64, at)?;
        self.reader
            .read_exact(buffer)
            .map_err(|error| Fault::new(FileErrorKind::Io, at, error.to_string()))?;
        self.position += buffer.len() as u64;
        Ok(())
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let mut buffer = [0; N];
        self.fill(&mut buffer)?;
        Ok(buffer)
    }

    pub(super) fn u32(&mut self) -> Result<u32, Fault> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub(super) fn u64(&mut self) -> Result<u64, Fault> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// A length-prefixed UTF-8 text of at most `bytes_max` bytes.
    pub(super) fn text(&mut self, bytes_max: u64) -> Result<String, Fault> {
        let at = self.position;
        let length = self.u64()?;
        self.expect_left(length, at)?;
        if length > bytes_max {
            let message = format!("text of {length} bytes, at most {bytes_max} are allowed here");
            return Err(Fault::new(FileErrorKind::Limit, at, message));
        }
        let mut bytes = vec![0; length as usize];
        self.fill(&mut bytes)?;
        String::from_utf8(bytes).map_err(|error| {
            let text = quotable(&String::from_utf8_lossy(error.as_bytes()));
            let message = format!("text is not UTF-8: \"{text}\"");
            Fault::new(FileErrorKind::Invalid, at, message)
        })
    }

    /// Steps over `bytes` bytes, which must exist.
    pub(super) fn skip(&mut self, bytes: u64) -> Result<(), Fault> {
        let at = self.position;
        self.claim(bytes, at)?;
        // The file's length fits a seek offset: the operating system reported it.
        let relative = i64::try_from(bytes)
            .map_err(|_| Fault::new(FileErrorKind::Limit, at, "length beyond any file"))?;
        self.reader
            .seek_relative(relative)
            .map_err(|error| Fault::new(FileErrorKind::Io, at, error.to_string()))?;
        self.position += bytes;
        Ok(())
    }

    /// Steps over one length-prefixed text without reading it.
    pub(super) fn skip_text(&mut self) -> Result<(), Fault> {
        let at = self.position;
        let length = self.u64()?;
        self.expect_left(length, at)?;
        self.skip(length)
    }

    /// Goes back (or forward) to `position`, which must lie inside the file; the budget is renewed to `budget`.
    pub(super) fn rewind(&mut self, position: u64, budget: u64) -> Result<(), Fault> {
        if position > self.length {
            let message = "position lies beyond the end of the file";
            return Err(Fault::new(FileErrorKind::Truncated, position, message));
        }
        self.reader
            .seek(SeekFrom::Start(position))
            .map_err(|error| Fault::new(FileErrorKind::Io, position, error.to_string()))?;
        self.position = position;
        self.budget = budget;
        Ok(())
    }
}
