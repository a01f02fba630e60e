//! A snapshot as one portable file: a tar archive (POSIX.1-1988 "ustar") of regular files, which any tar program lists and
//! unpacks.
//!
//! Block 0 is the header of `SNAPSHOT`, which comes first; `data/<path>` of every file follows in the order of the facts.
//! Sizes from 8 GiB on use the base-256 form that GNU and BSD tar share. Reading takes exactly what writing makes: an
//! archive changed on the way is refused before anything appears under its name.

use std::io::{Read, Write};
use std::path::Path;

use super::super::disk::{Disk, parent_of};
use super::{DATA, FACTS, FACTS_BYTES_MAX, PIECE_BYTES, Snapshot, directory, load, parse, verify};
use crate::error::VectorsError;

const BLOCK_BYTES: usize = 512;
/// Sizes that fit eleven octal digits.
const OCTAL_MAX: u64 = 0o77_777_777_777;

/// Writes the snapshot in `snapshot_directory` to `target`. Returns the bytes written.
///
/// # Errors
/// [`VectorsError::Corrupt`] when a file's length is not what the facts say (contents are compared when they are read back),
/// or as disk and target say.
pub fn export(
    disk: &dyn Disk,
    snapshot_directory: &Path,
    target: &mut dyn Write,
) -> Result<u64, VectorsError> {
    let snapshot = load(disk, snapshot_directory)?;
    let facts = disk.read(&snapshot_directory.join(FACTS), FACTS_BYTES_MAX)?;
    let mut output = Output { target, bytes: 0 };
    output.file(FACTS, &facts)?;
    for file in &snapshot.files {
        let path = snapshot_directory.join(DATA).join(&file.path);
        let bytes = disk.map(&path)?;
        if bytes.len() as u64 != file.bytes {
            return Err(bytes.damaged(format!("{} bytes instead of {}", bytes.len(), file.bytes)));
        }
        output.file(&format!("{DATA}/{}", file.path), bytes.as_slice())?;
    }
    // Two empty blocks end an archive.
    output.put(&[0; 2 * BLOCK_BYTES])?;
    Ok(output.bytes)
}

/// Reads an archive into `snapshot_directory`, which must not exist, as the snapshot of that directory's name, and checks
/// every file against its SHA-256.
///
/// # Errors
/// [`VectorsError::Invalid`] when the archive is not one of ours or `limit` bytes are not enough for it, and
/// [`VectorsError::Corrupt`] when a file differs from its SHA-256; nothing appears under the name then.
pub fn import(
    disk: &dyn Disk,
    source: &mut dyn Read,
    snapshot_directory: &Path,
    limit: u64,
) -> Result<Snapshot, VectorsError> {
    if disk.list(snapshot_directory)?.is_some() {
        return Err(VectorsError::invalid(
            "snapshot",
            format!("{} exists", snapshot_directory.display()),
        ));
    }
    let staging = directory::staging(snapshot_directory);
    disk.remove_directory(&staging)?;
    let outcome = (|| {
        let snapshot = unpack(disk, source, &staging, snapshot_directory, limit)?;
        if let Some(damage) = verify(disk, &staging)?.into_iter().next() {
            return Err(damage);
        }
        directory::sync_below(disk, &staging)?;
        disk.rename(&staging, snapshot_directory)?;
        disk.sync_directory(parent_of(snapshot_directory))?;
        Ok(snapshot)
    })();
    if outcome.is_err() {
        // The first failure is the one to tell.
        let _ = disk.remove_directory(&staging);
    }
    outcome
}

fn unpack(
    disk: &dyn Disk,
    source: &mut dyn Read,
    staging: &Path,
    target: &Path,
    limit: u64,
) -> Result<Snapshot, VectorsError> {
    let mut input = Input {
        source,
        left: limit,
    };
    let length = input.header(FACTS)?;
    if length > FACTS_BYTES_MAX {
        return Err(refused(format!("{length} bytes of facts")));
    }
    let mut facts = Vec::new();
    input.contents(length, &mut |piece| {
        facts.extend_from_slice(piece);
        Ok(())
    })?;
    let mut snapshot = parse(&facts).map_err(refused)?;
    disk.create_directory(&staging.join(DATA))?;
    for file in &snapshot.files {
        let length = input.header(&format!("{DATA}/{}", file.path))?;
        if length != file.bytes {
            return Err(refused(format!(
                "`{}` has {length} bytes instead of {}",
                file.path, file.bytes
            )));
        }
        let output = disk.create(&super::place(disk, &staging.join(DATA), &file.path)?)?;
        input.contents(length, &mut |piece| output.append(piece))?;
        output.sync()?;
    }
    // The name is the receiver's to give.
    snapshot.name = target
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    super::check_name(&snapshot.name)?;
    super::store(disk, staging, &snapshot)?;
    Ok(snapshot)
}

fn refused(message: impl std::fmt::Display) -> VectorsError {
    VectorsError::invalid("archive", message.to_string())
}

/// The archive being written.
struct Output<'a> {
    target: &'a mut dyn Write,
    bytes: u64,
}

impl Output<'_> {
    fn file(&mut self, name: &str, bytes: &[u8]) -> Result<(), VectorsError> {
        self.put(&header(name, bytes.len() as u64)?)?;
        self.put(bytes)?;
        let padding = bytes.len().next_multiple_of(BLOCK_BYTES) - bytes.len();
        self.put(&[0; BLOCK_BYTES][..padding])
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), VectorsError> {
        self.bytes += bytes.len() as u64;
        self.target
            .write_all(bytes)
            .map_err(|source| VectorsError::io("write", "archive", source))
    }
}

/// The archive being read, at most `left` bytes more of it.
struct Input<'a> {
    source: &'a mut dyn Read,
    left: u64,
}

impl Input<'_> {
    fn take(&mut self, buffer: &mut [u8]) -> Result<(), VectorsError> {
        self.left = self
            .left
            .checked_sub(buffer.len() as u64)
            .ok_or_else(|| refused("larger than allowed"))?;
        self.source
            .read_exact(buffer)
            .map_err(|source| match source.kind() {
                std::io::ErrorKind::UnexpectedEof => refused("ends in the middle"),
                _ => VectorsError::io("read", "archive", source),
            })
    }

    /// Reads the header of the file `name` and returns its length.
    fn header(&mut self, name: &str) -> Result<u64, VectorsError> {
        let mut block = [0; BLOCK_BYTES];
        self.take(&mut block)?;
        let length = size_of_header(&block);
        // Ours has one form: what differs in any byte is not ours.
        match length {
            Some(length) if header(name, length)? == block => Ok(length),
            _ => Err(refused(format!("`{name}` should be next"))),
        }
    }

    /// Hands `length` bytes on, piece by piece, and skips the padding behind them.
    fn contents(
        &mut self,
        length: u64,
        take: &mut dyn FnMut(&[u8]) -> Result<(), VectorsError>,
    ) -> Result<(), VectorsError> {
        let mut buffer = vec![0; PIECE_BYTES];
        let mut rest = length;
        while rest > 0 {
            let count = rest.min(PIECE_BYTES as u64) as usize;
            self.take(&mut buffer[..count])?;
            take(&buffer[..count])?;
            rest -= count as u64;
        }
        let padding = (length.next_multiple_of(BLOCK_BYTES as u64) - length) as usize;
        self.take(&mut buffer[..padding])
    }
}

/// The header block of a regular file.
fn header(name: &str, length: u64) -> Result<[u8; BLOCK_BYTES], VectorsError> {
    let mut block = [0; BLOCK_BYTES];
    // The name field has 100 bytes; of a longer name the front goes into the prefix field, split at a slash.
    let (prefix, rest) = if name.len() <= 100 {
        ("", name)
    } else {
        name.match_indices('/')
            .map(|(at, _)| (&name[..at], &name[at + 1..]))
            .find(|(prefix, rest)| prefix.len() <= 155 && rest.len() <= 100)
            .ok_or_else(|| refused(format!("`{name}` is too long a name")))?
    };
    block[..rest.len()].copy_from_slice(rest.as_bytes());
    block[100..108].copy_from_slice(b"0000600\0");
    block[108..116].copy_from_slice(b"0000000\0");
    block[116..124].copy_from_slice(b"0000000\0");
    if length <= OCTAL_MAX {
        block[124..136].copy_from_slice(format!("{length:011o}\0").as_bytes());
    } else {
        block[124] = 0x80;
        block[128..136].copy_from_slice(&length.to_be_bytes());
    }
    block[136..148].copy_from_slice(b"00000000000\0");
    block[156] = b'0';
    block[257..265].copy_from_slice(b"ustar\x0000");
    block[345..345 + prefix.len()].copy_from_slice(prefix.as_bytes());
    // The checksum is computed as if its own field were spaces.
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    Ok(block)
}

/// The length in a header block.
fn size_of_header(block: &[u8; BLOCK_BYTES]) -> Option<u64> {
    if block[124] == 0x80 {
        return block[128..136].try_into().ok().map(u64::from_be_bytes);
    }
    let digits = std::str::from_utf8(&block[124..135]).ok()?;
    u64::from_str_radix(digits, 8).ok()
}
