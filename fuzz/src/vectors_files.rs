//! Files of the vector engine. Each target reads the bytes as they are, then once more with every checksum made right:
//! otherwise almost no changed input would pass the first comparison.

use std::path::Path;

use vectors::payload::PayloadIndexes;
use vectors::sparse::SparseIndex;
use vectors::storage::{Bytes, Container, ContainerKind, Manifest, log, snapshot};

/// Bytes of the header of a log file and of a manifest.
const HEADER_BYTES: usize = 32;
/// Bytes of header and trailer of a container, and of an entry of its table.
const FRAME_BYTES: usize = 64;
const ENTRY_BYTES: usize = 32;
/// Rows that an index is said to be of.
const ROWS: u32 = 24;

fn u64_at(bytes: &[u8], offset: usize) -> Option<usize> {
    let value = bytes.get(offset..offset + 8)?.try_into().ok()?;
    usize::try_from(u64::from_le_bytes(value)).ok()
}

fn u32_at(bytes: &[u8], offset: usize) -> Option<usize> {
    let value = bytes.get(offset..offset + 4)?.try_into().ok()?;
    Some(u32::from_le_bytes(value) as usize)
}

/// Writes the checksum of `range` at `offset`, when both are inside.
fn seal(bytes: &mut [u8], range: std::ops::Range<usize>, offset: usize) {
    if let Some(covered) = bytes.get(range) {
        let checksum = crc32c::crc32c(covered).to_le_bytes();
        if let Some(place) = bytes.get_mut(offset..offset + 4) {
            place.copy_from_slice(&checksum);
        }
    }
}

/// Replays a log file.
pub fn log(bytes: &[u8]) {
    let mut bytes = bytes.to_vec();
    replay(&bytes);
    if bytes.len() < HEADER_BYTES {
        return;
    }
    seal(&mut bytes, 0..28, 28);
    let mut offset = HEADER_BYTES;
    while let Some(length) = u32_at(&bytes, offset) {
        let Some(body) = bytes.get(offset + 8..offset.saturating_add(8).saturating_add(length))
        else {
            break;
        };
        let checksum = crc32c::crc32c_append(crc32c::crc32c(&bytes[offset..offset + 4]), body);
        bytes[offset + 4..offset + 8].copy_from_slice(&checksum.to_le_bytes());
        offset += 8 + length;
    }
    replay(&bytes);
}

fn replay(bytes: &[u8]) {
    let first = u64_at(bytes, 16).unwrap_or(1) as u64;
    let mut last = 0;
    let outcome = log::parse(bytes, first, &mut |entry| {
        assert!(entry.sequence() > last && entry.sequence() >= first);
        last = entry.sequence();
        Ok(())
    });
    if let Ok(replay) = outcome {
        assert!(replay.whole_bytes <= bytes.len() as u64);
        assert!(replay.records == 0 || replay.last_sequence == last);
    }
}

/// Reads every section of a container, and opens the index in it.
pub fn container(bytes: &[u8]) {
    read_container(bytes.to_vec());
    let mut bytes = bytes.to_vec();
    let length = bytes.len();
    if length < 2 * FRAME_BYTES {
        return;
    }
    let trailer = length - FRAME_BYTES;
    let count = u32_at(&bytes, trailer + 16).unwrap_or(0).min(64);
    let table = trailer.saturating_sub(count * ENTRY_BYTES);
    for entry in (table..trailer).step_by(ENTRY_BYTES) {
        let (Some(offset), Some(size), Some(blocks)) = (
            u64_at(&bytes, entry + 8),
            u64_at(&bytes, entry + 16),
            u32_at(&bytes, entry + 28),
        ) else {
            continue;
        };
        let Some(end) = offset
            .checked_add(size)
            .filter(|&end| end <= length && blocks == 0)
        else {
            continue;
        };
        seal(&mut bytes, offset..end, entry + 24);
    }
    bytes[trailer + 8..trailer + 16].copy_from_slice(&(table as u64).to_le_bytes());
    bytes[trailer + 24..trailer + 32].copy_from_slice(&(length as u64).to_le_bytes());
    seal(&mut bytes, table..trailer, trailer + 20);
    seal(&mut bytes, trailer..length - 4, length - 4);
    seal(&mut bytes, 0..60, 60);
    read_container(bytes);
}

fn read_container(bytes: Vec<u8>) {
    let bytes = Bytes::from_file_contents(bytes, Path::new("input"));
    let Ok(file) = Container::parse(bytes) else {
        return;
    };
    let _ = file.damages();
    let ids: Vec<_> = file.sections().map(|(id, _)| id).collect();
    for id in ids {
        if let Ok(section) = file.section(id) {
            let _ = section.verify();
        }
    }
    match file.kind() {
        ContainerKind::PAYLOAD_INDEX => {
            let _ = PayloadIndexes::open(ROWS, &|id| file.section(id));
        }
        ContainerKind::SPARSE_INDEX => {
            let _ = SparseIndex::open(&|id| file.section(id).ok());
        }
        _ => {}
    }
}

/// Reads a manifest, and the same bytes as the facts of a snapshot.
pub fn manifest(bytes: &[u8]) {
    let _ = Manifest::parse(bytes);
    let mut repaired = bytes.to_vec();
    if let Some(json) = repaired.len().checked_sub(HEADER_BYTES) {
        repaired[16..24].copy_from_slice(&(json as u64).to_le_bytes());
        let end = repaired.len();
        seal(&mut repaired, HEADER_BYTES..end, 12);
        seal(&mut repaired, 0..28, 28);
        if let Ok(manifest) = Manifest::parse(&repaired) {
            let again = manifest.to_bytes().map(|bytes| Manifest::parse(&bytes));
            assert!(again.is_ok_and(|again| again.as_ref() == Ok(&manifest)));
        }
    }
    if let Some((_, json)) = bytes.split_first_chunk::<9>() {
        let mut facts = format!("{:08x}\n", crc32c::crc32c(json)).into_bytes();
        facts.extend_from_slice(json);
        let _ = snapshot::parse(&facts);
    }
}
