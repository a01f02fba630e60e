//! Reads a log file back: header, records, and what to make of its end. Reads no file itself.

use super::record::{self, CHECKED_BYTES_MIN, Entry, PREFIX_BYTES, RECORD_BYTES_MAX, Record};
use super::{HEADER_BYTES, VERSION};
use crate::error::VectorsError;

const MAGIC: &[u8; 8] = b"fxveclog";

/// Sequences further ahead than this behind an invalid record are taken for noise: no program writes 2^40 changes into
/// one file.
const SEQUENCE_JUMP_MAX: u64 = 1 << 40;

/// Bytes whose checksum is computed while looking for records behind an invalid one. Noise rarely looks like a record, but a
/// file made to look like many long ones must not keep a start busy for hours.
const SEARCH_BYTES_MAX: u64 = 4 << 30;

/// What a replay found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replay {
    /// Records handed out, marks not counted.
    pub records: u64,
    /// The last sequence handed out; one below the file's first when there was none.
    pub last_sequence: u64,
    /// Bytes up to the first invalid record: header and valid records. Less than the header when that is torn.
    pub whole_bytes: u64,
    /// How the file ends.
    pub tail: Tail,
}

/// How a log file ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tail {
    /// With its last record.
    Clean,
    /// With bytes of a write that was cut short and never acknowledged.
    Torn {
        /// How many bytes are to be cut off.
        bytes: u64,
        /// Whole records among them: the disk had written them before what stands in front of them. They were not handed
        /// out, for the changes before them are missing.
        records: u64,
    },
    /// Bytes that were durable are not what was written. Records behind them were handed out.
    Damaged {
        /// The first damaged byte.
        offset: u64,
        /// Bytes up to the next valid record, summed over the file.
        bytes: u64,
        /// Says where, and what is missing.
        message: String,
    },
}

/// The header of a file for sequences from `first_sequence` on.
pub(super) fn header(first_sequence: u64) -> [u8; HEADER_BYTES as usize] {
    let mut bytes = [0; HEADER_BYTES as usize];
    bytes[..8].copy_from_slice(MAGIC);
    bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
    bytes[16..24].copy_from_slice(&first_sequence.to_le_bytes());
    let checksum = crc32c::crc32c(&bytes[..28]);
    bytes[28..].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

/// Hands every valid record of the log file `bytes` to `visit`; see [`super::Log::replay`].
///
/// # Errors
/// [`VectorsError::Invalid`] for a file of another version, and as `visit` says. Damage is no error but part of the answer.
pub fn parse(
    bytes: &[u8],
    first_sequence: u64,
    visit: &mut dyn FnMut(Entry) -> Result<(), VectorsError>,
) -> Result<Replay, VectorsError> {
    let expected = header(first_sequence);
    let mut scan = Scan {
        bytes,
        sequence: first_sequence.saturating_sub(1),
        first_sequence,
    };
    let mut replay = Replay {
        records: 0,
        last_sequence: scan.sequence,
        whole_bytes: 0,
        tail: Tail::Clean,
    };
    let mut offset = HEADER_BYTES as usize;
    if bytes.get(..offset) != Some(&expected[..]) {
        refuse_other_version(bytes)?;
        let next = scan.resume_or_end(0, offset.min(bytes.len()), &mut replay);
        let Some(next) = next else {
            return Ok(replay);
        };
        offset = next;
    }
    loop {
        while let Some((record, length)) = scan.record(offset) {
            if let Record::Entry(entry) = record {
                scan.sequence = entry.sequence();
                replay.records += 1;
                replay.last_sequence = scan.sequence;
                visit(entry)?;
            }
            offset += length;
        }
        if replay.tail == Tail::Clean {
            replay.whole_bytes = offset as u64;
        }
        if offset == bytes.len() {
            return Ok(replay);
        }
        let Some(next) = scan.resume_or_end(offset, offset + 1, &mut replay) else {
            return Ok(replay);
        };
        offset = next;
    }
}

/// A well-formed header of another version is neither torn nor damaged.
fn refuse_other_version(bytes: &[u8]) -> Result<(), VectorsError> {
    let Some((head, _)) = bytes.split_first_chunk::<{ HEADER_BYTES as usize }>() else {
        return Ok(());
    };
    let version = u32::from_le_bytes([head[8], head[9], head[10], head[11]]);
    let checksum = u32::from_le_bytes([head[28], head[29], head[30], head[31]]);
    if head.starts_with(MAGIC) && version != VERSION && crc32c::crc32c(&head[..28]) == checksum {
        return Err(VectorsError::invalid(
            "log",
            format!("version {version}, this program reads version {VERSION}"),
        ));
    }
    Ok(())
}

/// Where a replay is.
struct Scan<'a> {
    bytes: &'a [u8],
    /// The last valid sequence.
    sequence: u64,
    first_sequence: u64,
}

impl Scan<'_> {
    /// The record at `offset` and its length, if there is a valid one whose sequence fits.
    fn record(&self, offset: usize) -> Option<(Record, usize)> {
        let part = record::checked(self.bytes.get(offset..)?)?;
        let (sequence, record) = record::decode(part)?;
        let fits = match record {
            // A mark carries the sequence of the record before it.
            Record::Mark { durable_bytes } => {
                sequence >= self.sequence && durable_bytes <= offset as u64
            }
            Record::Entry(_) => sequence > self.sequence && sequence >= self.first_sequence,
        };
        fits.then_some((record, PREFIX_BYTES + part.len()))
    }

    /// What to make of the invalid bytes at `offset`: searches for records from `from` on. `Some` is where the next valid
    /// record begins, behind damage; `None` ends the replay.
    fn resume_or_end(&self, offset: usize, from: usize, replay: &mut Replay) -> Option<usize> {
        let found = self.search(offset as u64, from);
        let end = self.bytes.len();
        let already = matches!(replay.tail, Tail::Damaged { .. });
        if !found.durable {
            if !already {
                replay.whole_bytes = offset as u64;
                replay.tail = Tail::Torn {
                    bytes: (end - offset) as u64,
                    records: found.records,
                };
            }
            return None;
        }
        let next = found.next.unwrap_or(end);
        let lost = (next - offset) as u64;
        match &mut replay.tail {
            Tail::Damaged { bytes, message, .. } => {
                *bytes += lost;
                message.push_str(&format!("; bytes {offset} to {next} too"));
            }
            tail => {
                replay.whole_bytes = offset as u64;
                *tail = Tail::Damaged {
                    offset: offset as u64,
                    bytes: lost,
                    message: format!(
                        "{} at bytes {offset} to {next}, which was durable, is damaged; the last change before it is {}",
                        if offset == 0 {
                            "the header"
                        } else {
                            "a record"
                        },
                        self.sequence
                    ),
                };
            }
        }
        found.next
    }

    /// Looks at every byte from `from` on for a valid record.
    fn search(&self, damaged: u64, from: usize) -> Found {
        let mut found = Found {
            next: None,
            records: 0,
            durable: false,
        };
        let mut budget = SEARCH_BYTES_MAX;
        let mut offset = from;
        while offset < self.bytes.len() && budget > 0 {
            let Some(length) = self.plausible(offset) else {
                offset += 1;
                continue;
            };
            budget = budget.saturating_sub(length as u64);
            let Some((record, length)) = self.record(offset) else {
                offset += 1;
                continue;
            };
            found.next = found.next.or(Some(offset));
            match record {
                Record::Mark { durable_bytes } => found.durable |= durable_bytes > damaged,
                Record::Entry(_) => found.records += 1,
            }
            if found.durable {
                break;
            }
            offset += length;
        }
        // The header was durable before the first record was appended.
        found.durable |= damaged == 0 && found.next.is_some();
        // Giving up is not a proof that nothing is lost: say damage rather than cut in silence.
        found.durable |= budget == 0;
        found
    }

    /// Whether the bytes at `offset` could begin a record, without computing a checksum; its length.
    fn plausible(&self, offset: usize) -> Option<usize> {
        let head = self.bytes.get(offset..)?;
        let (length, rest) = head.split_first_chunk::<4>()?;
        let length = u32::from_le_bytes(*length) as usize;
        if !(CHECKED_BYTES_MIN..=RECORD_BYTES_MAX).contains(&length) {
            return None;
        }
        let part = rest.get(4..)?;
        let (sequence, _) = part.split_first_chunk::<8>()?;
        let sequence = u64::from_le_bytes(*sequence);
        let near =
            (self.sequence..=self.sequence.saturating_add(SEQUENCE_JUMP_MAX)).contains(&sequence);
        (near && part.len() >= length).then_some(length)
    }
}

/// What a search found behind an invalid record.
struct Found {
    /// Where the first valid record begins.
    next: Option<usize>,
    /// Valid records, marks not counted.
    records: u64,
    /// Whether a mark says that the invalid bytes were durable.
    durable: bool,
}
