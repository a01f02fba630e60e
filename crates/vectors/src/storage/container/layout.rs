//! Header, table and trailer of a container: bytes to values and back. Reads no file.

use super::{ContainerKind, SectionId};
use crate::storage::ALIGNMENT;
use crate::storage::bytes::BLOCK_BYTES;

/// Version of the layout. Readers refuse others.
pub const VERSION: u32 = 1;
/// Most sections of one container: a bound on what opening allocates (128 KiB of table).
pub const SECTIONS_MAX: usize = 4096;
/// Bytes of header and trailer each.
pub(super) const FRAME_BYTES: usize = 64;
/// Bytes of one entry of the table.
pub(super) const ENTRY_BYTES: usize = 32;
/// Sections longer than this are checked in blocks: below, comparing all at once is a matter of microseconds.
pub(super) const WHOLE_BYTES_MAX: u64 = 4 * BLOCK_BYTES as u64;

const HEADER_MAGIC: &[u8; 8] = b"fxvector";
const TRAILER_MAGIC: &[u8; 8] = b"fxvecend";

/// One section as the table has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    pub id: SectionId,
    pub offset: u64,
    pub length: u64,
    /// Of the bytes, or of the list of block checksums.
    pub checksum: u32,
    /// Whether the section is checked in blocks.
    pub blocks: bool,
}

impl Entry {
    /// How many blocks have their own checksum.
    pub fn block_count(&self) -> u64 {
        if self.blocks {
            self.length.div_ceil(BLOCK_BYTES as u64)
        } else {
            0
        }
    }

    /// Where the list of block checksums begins. The entry was checked to lie inside a file.
    pub fn list_offset(&self) -> u64 {
        round_up(self.offset + self.length)
    }

    /// Where the next section begins.
    pub fn end(&self) -> u64 {
        if self.blocks {
            round_up(self.list_offset() + self.block_count() * 4)
        } else {
            round_up(self.offset + self.length)
        }
    }
}

/// The next multiple of [`ALIGNMENT`].
pub(super) fn round_up(offset: u64) -> u64 {
    offset.next_multiple_of(ALIGNMENT as u64)
}

/// The header of a container of `kind`.
pub(super) fn header(kind: ContainerKind) -> [u8; FRAME_BYTES] {
    let mut bytes = [0; FRAME_BYTES];
    bytes[..8].copy_from_slice(HEADER_MAGIC);
    bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
    bytes[12..16].copy_from_slice(&kind.0);
    seal(&mut bytes);
    bytes
}

/// The table of a container.
pub(super) fn table(entries: &[Entry]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(entries.len() * ENTRY_BYTES);
    for entry in entries {
        bytes.extend_from_slice(&entry.id.name);
        bytes.extend_from_slice(&entry.id.number.to_le_bytes());
        bytes.extend_from_slice(&entry.offset.to_le_bytes());
        bytes.extend_from_slice(&entry.length.to_le_bytes());
        bytes.extend_from_slice(&entry.checksum.to_le_bytes());
        let block_bytes = if entry.blocks { BLOCK_BYTES as u32 } else { 0 };
        bytes.extend_from_slice(&block_bytes.to_le_bytes());
    }
    bytes
}

/// The trailer behind a table at `table_offset`.
pub(super) fn trailer(table_offset: u64, table: &[u8]) -> [u8; FRAME_BYTES] {
    let mut bytes = [0; FRAME_BYTES];
    bytes[..8].copy_from_slice(TRAILER_MAGIC);
    bytes[8..16].copy_from_slice(&table_offset.to_le_bytes());
    bytes[16..20].copy_from_slice(&((table.len() / ENTRY_BYTES) as u32).to_le_bytes());
    bytes[20..24].copy_from_slice(&crc32c::crc32c(table).to_le_bytes());
    let length = table_offset + (table.len() + FRAME_BYTES) as u64;
    bytes[24..32].copy_from_slice(&length.to_le_bytes());
    seal(&mut bytes);
    bytes
}

/// Kind and sections of a file of these bytes, or what is wrong with it. Touches header, table and trailer only.
pub(super) fn parse(bytes: &[u8]) -> Result<(ContainerKind, Vec<Entry>), String> {
    let too_short = || format!("{} bytes are too short for header and trailer", bytes.len());
    let (header, _) = bytes
        .split_first_chunk::<FRAME_BYTES>()
        .ok_or_else(too_short)?;
    if !header.starts_with(HEADER_MAGIC) {
        return Err("header: not a container".into());
    }
    let version = u32_at(header, 8);
    // Before the checksum: a later version may have moved that.
    if version != VERSION {
        return Err(format!(
            "header: version {version}, this program reads version {VERSION}"
        ));
    }
    sealed(header).map_err(|message| format!("header: {message}"))?;
    let kind = ContainerKind([header[12], header[13], header[14], header[15]]);
    let (body, trailer) = bytes
        .split_last_chunk::<FRAME_BYTES>()
        .filter(|(body, _)| body.len() >= FRAME_BYTES)
        .ok_or_else(too_short)?;
    if !trailer.starts_with(TRAILER_MAGIC) {
        return Err("trailer: missing, the file was cut or never finished".into());
    }
    sealed(trailer).map_err(|message| format!("trailer: {message}"))?;
    if u64_at(trailer, 24) != bytes.len() as u64 {
        return Err(format!(
            "trailer: {} bytes long instead of {}",
            bytes.len(),
            u64_at(trailer, 24)
        ));
    }
    let count = u32_at(trailer, 16) as usize;
    if count > SECTIONS_MAX {
        return Err(format!("trailer: {count} sections"));
    }
    let table_offset = u64_at(trailer, 8);
    let table = usize::try_from(table_offset)
        .ok()
        .and_then(|offset| body.get(offset..))
        .filter(|table| table.len() == count * ENTRY_BYTES)
        .ok_or("trailer: the table is not where it says")?;
    if crc32c::crc32c(table) != u32_at(trailer, 20) {
        return Err("table: checksum differs".into());
    }
    let entries = entries(table, table_offset)?;
    Ok((kind, entries))
}

/// The entries of a table whose sections end where it begins.
fn entries(table: &[u8], table_offset: u64) -> Result<Vec<Entry>, String> {
    let mut next = FRAME_BYTES as u64;
    let mut entries: Vec<Entry> = Vec::with_capacity(table.len() / ENTRY_BYTES);
    for bytes in table.chunks_exact(ENTRY_BYTES) {
        let entry = Entry {
            id: SectionId {
                name: [bytes[0], bytes[1], bytes[2], bytes[3]],
                number: u32_at(bytes, 4),
            },
            offset: u64_at(bytes, 8),
            length: u64_at(bytes, 16),
            checksum: u32_at(bytes, 24),
            blocks: u32_at(bytes, 28) != 0,
        };
        let block_bytes = u32_at(bytes, 28);
        if block_bytes != 0 && block_bytes != BLOCK_BYTES as u32 {
            return Err(format!(
                "table: section {} has blocks of {block_bytes} bytes",
                entry.id
            ));
        }
        // The first condition keeps the arithmetic of the second far from the end of u64.
        if entry.offset != next || entry.length > table_offset || entry.end() > table_offset {
            return Err(format!(
                "table: section {} is not where the one before it ends",
                entry.id
            ));
        }
        next = entry.end();
        entries.push(entry);
    }
    if next != table_offset {
        return Err("table: sections do not end where it begins".into());
    }
    Ok(entries)
}

/// Puts the checksum of all bytes before it into the last four.
fn seal(bytes: &mut [u8; FRAME_BYTES]) {
    let checksum = crc32c::crc32c(&bytes[..FRAME_BYTES - 4]);
    bytes[FRAME_BYTES - 4..].copy_from_slice(&checksum.to_le_bytes());
}

fn sealed(bytes: &[u8; FRAME_BYTES]) -> Result<(), String> {
    let found = crc32c::crc32c(&bytes[..FRAME_BYTES - 4]);
    let written = u32_at(bytes, FRAME_BYTES - 4);
    if found != written {
        return Err(format!("checksum {found:08x} instead of {written:08x}"));
    }
    Ok(())
}

/// The number at `offset`, which is inside.
fn u32_at(bytes: &[u8], offset: usize) -> u32 {
    let mut number = [0; 4];
    number.copy_from_slice(&bytes[offset..offset + 4]);
    u32::from_le_bytes(number)
}

/// The number at `offset`, which is inside.
fn u64_at(bytes: &[u8], offset: usize) -> u64 {
    let mut number = [0; 8];
    number.copy_from_slice(&bytes[offset..offset + 8]);
    u64::from_le_bytes(number)
}
