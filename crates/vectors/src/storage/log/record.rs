//! One record of the log: bytes to values and back. Reads no file.
//!
//! ```text
//! id      ┌───────┬────────────────────────────────────┐
//!         │ tag 1 │ value 16                           │  tag 0: a number, 1: a UUID
//!         └───────┴────────────────────────────────────┘
//! delete  id
//! mark    durable bytes 8
//! put     ┌────┬─────────┬───────────┬────────────────┬─────────┬─────┬─────────────────┬──────────────┐
//!         │ id │ flags 1 │ expires 8 │ vector count 2 │ vectors │ ... │ payload bytes 4 │ payload JSON │
//!         └────┴─────────┴───────────┴────────────────┴─────────┴─────┴─────────────────┴──────────────┘
//!         flags: bit 0: `expires` (milliseconds since 1970) counts; it is 0 otherwise
//! vector  ┌───────────────┬──────┬────────┬─────────┐
//!         │ name bytes 2  │ name │ kind 1 │ values  │
//!         └───────────────┴──────┴────────┴─────────┘
//!         kind 0, dense:  count 4, f32 x count
//!         kind 1, sparse: count 4, indices u32 x count, values f32 x count
//!         kind 2, multi:  rows 4, count per row 4, f32 x rows x count
//! ```

use std::collections::BTreeMap;

use crate::error::VectorsError;
use crate::point::{Point, PointId, SparseVector, Vector};

/// Most bytes of a record behind its checksum. A point of 16,384 dimensions takes 64 KiB; a page of late interaction
/// (1,024 vectors of 128) 512 KiB. Twice as much would let one torn length make replay look at that much more.
pub const RECORD_BYTES_MAX: usize = 32 << 20;
/// Deepest nesting of a payload: what the JSON reader takes when the record is replayed.
pub const PAYLOAD_DEPTH_MAX: usize = 100;

/// Bytes before the checked part: length and checksum.
pub(super) const PREFIX_BYTES: usize = 8;
/// Least bytes of the checked part: sequence and kind.
pub(super) const CHECKED_BYTES_MIN: usize = 9;
/// Bytes of a mark.
pub(super) const MARK_BYTES: usize = PREFIX_BYTES + CHECKED_BYTES_MIN + 8;

const KIND_PUT: u8 = 1;
const KIND_DELETE: u8 = 2;
const KIND_MARK: u8 = 3;

/// A change to be written.
#[derive(Debug, Clone, Copy)]
pub enum Change<'a> {
    /// The point as it is from now on.
    Put(&'a Point),
    /// The point is gone.
    Delete(PointId),
}

/// A change and its sequence, to be written.
#[derive(Debug, Clone, Copy)]
pub struct LogEntry<'a> {
    /// Rises from change to change; becomes the version of the point.
    pub sequence: u64,
    /// What changed.
    pub change: Change<'a>,
}

/// A change read back.
#[derive(Debug, Clone, PartialEq)]
pub enum Entry {
    /// The point as it was from `sequence` on.
    Put {
        /// The version of the point.
        sequence: u64,
        /// The point.
        point: Point,
    },
    /// The point was gone from `sequence` on.
    Delete {
        /// When.
        sequence: u64,
        /// Which.
        id: PointId,
    },
}

impl Entry {
    /// Its place in the order of changes.
    pub fn sequence(&self) -> u64 {
        match self {
            Entry::Put { sequence, .. } | Entry::Delete { sequence, .. } => *sequence,
        }
    }
}

/// A record as the file has it.
#[derive(Debug, PartialEq)]
pub(super) enum Record {
    Entry(Entry),
    /// Everything before this byte of the file was durable.
    Mark {
        durable_bytes: u64,
    },
}

/// Appends the record of `entry` to `buffer`.
pub(super) fn encode(entry: &LogEntry<'_>, buffer: &mut Vec<u8>) -> Result<(), VectorsError> {
    let start = begin(
        entry.sequence,
        match entry.change {
            Change::Put(_) => KIND_PUT,
            Change::Delete(_) => KIND_DELETE,
        },
        buffer,
    );
    match entry.change {
        Change::Put(point) => encode_point(point, buffer)?,
        Change::Delete(id) => encode_id(id, buffer),
    }
    let bytes = buffer.len() - start - PREFIX_BYTES;
    if bytes > RECORD_BYTES_MAX {
        return Err(VectorsError::Limit {
            what: "bytes of a point",
            limit: RECORD_BYTES_MAX as u64,
            actual: bytes as u64,
        });
    }
    end(start, buffer);
    Ok(())
}

/// Appends a mark. `sequence` is that of the record before it.
pub(super) fn encode_mark(sequence: u64, durable_bytes: u64, buffer: &mut Vec<u8>) {
    let start = begin(sequence, KIND_MARK, buffer);
    buffer.extend_from_slice(&durable_bytes.to_le_bytes());
    end(start, buffer);
}

/// The checked part of the record at the beginning of `bytes`, if there is a whole one there with the right checksum.
pub(super) fn checked(bytes: &[u8]) -> Option<&[u8]> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (checksum, rest) = rest.split_first_chunk::<4>()?;
    let count = u32::from_le_bytes(*length) as usize;
    if !(CHECKED_BYTES_MIN..=RECORD_BYTES_MAX).contains(&count) {
        return None;
    }
    let part = rest.get(..count)?;
    let found = crc32c::crc32c_append(crc32c::crc32c(length), part);
    (found == u32::from_le_bytes(*checksum)).then_some(part)
}

/// Sequence and value of a checked part; `None` when it makes no sense, which a matching checksum all but excludes.
pub(super) fn decode(part: &[u8]) -> Option<(u64, Record)> {
    let mut reader = Reader(part);
    let sequence = reader.u64()?;
    let record = match reader.u8()? {
        KIND_PUT => Record::Entry(Entry::Put {
            sequence,
            point: reader.point()?,
        }),
        KIND_DELETE => Record::Entry(Entry::Delete {
            sequence,
            id: reader.id()?,
        }),
        KIND_MARK => Record::Mark {
            durable_bytes: reader.u64()?,
        },
        _ => return None,
    };
    reader.0.is_empty().then_some((sequence, record))
}

/// Room for length and checksum, then sequence and kind. Returns where the record begins.
fn begin(sequence: u64, kind: u8, buffer: &mut Vec<u8>) -> usize {
    let start = buffer.len();
    buffer.extend_from_slice(&[0; PREFIX_BYTES]);
    buffer.extend_from_slice(&sequence.to_le_bytes());
    buffer.push(kind);
    start
}

/// Fills in length and checksum of the record that begins at `start`.
fn end(start: usize, buffer: &mut [u8]) {
    let length = ((buffer.len() - start - PREFIX_BYTES) as u32).to_le_bytes();
    let checksum = crc32c::crc32c_append(crc32c::crc32c(&length), &buffer[start + PREFIX_BYTES..]);
    buffer[start..start + 4].copy_from_slice(&length);
    buffer[start + 4..start + PREFIX_BYTES].copy_from_slice(&checksum.to_le_bytes());
}

fn encode_id(id: PointId, buffer: &mut Vec<u8>) {
    let (tag, value) = match id {
        PointId::Number(number) => (0, u128::from(number)),
        PointId::Uuid(value) => (1, value),
    };
    buffer.push(tag);
    buffer.extend_from_slice(&value.to_le_bytes());
}

fn encode_point(point: &Point, buffer: &mut Vec<u8>) -> Result<(), VectorsError> {
    encode_id(point.id, buffer);
    buffer.push(point.expires_unix_ms.is_some().into());
    buffer.extend_from_slice(&point.expires_unix_ms.unwrap_or(0).to_le_bytes());
    let count = u16::try_from(point.vectors.len()).map_err(|_| VectorsError::Limit {
        what: "vectors of a point",
        limit: u16::MAX.into(),
        actual: point.vectors.len() as u64,
    })?;
    buffer.extend_from_slice(&count.to_le_bytes());
    for (name, vector) in &point.vectors {
        let length = u16::try_from(name.len()).map_err(|_| VectorsError::Limit {
            what: "bytes of a vector's name",
            limit: u16::MAX.into(),
            actual: name.len() as u64,
        })?;
        buffer.extend_from_slice(&length.to_le_bytes());
        buffer.extend_from_slice(name.as_bytes());
        encode_vector(vector, buffer)?;
    }
    if point
        .payload
        .values()
        .any(|value| deeper_than(value, PAYLOAD_DEPTH_MAX - 1))
    {
        return Err(VectorsError::invalid(
            "payload",
            format!("nested deeper than {PAYLOAD_DEPTH_MAX} levels"),
        ));
    }
    let start = buffer.len();
    buffer.extend_from_slice(&[0; 4]);
    serde_json::to_writer(&mut *buffer, &point.payload)
        .map_err(|error| VectorsError::invalid("payload", error.to_string()))?;
    let length = count_of(buffer.len() - start - 4)?;
    buffer[start..start + 4].copy_from_slice(&length);
    Ok(())
}

fn encode_vector(vector: &Vector, buffer: &mut Vec<u8>) -> Result<(), VectorsError> {
    match vector {
        Vector::Dense(values) => {
            buffer.push(0);
            buffer.extend_from_slice(&count_of(values.len())?);
            buffer.extend_from_slice(bytemuck::cast_slice(values));
        }
        Vector::Sparse(sparse) => {
            if sparse.indices.len() != sparse.values.len() {
                return Err(VectorsError::invalid(
                    "vector",
                    "a sparse vector needs one value for each index",
                ));
            }
            buffer.push(1);
            buffer.extend_from_slice(&count_of(sparse.indices.len())?);
            buffer.extend_from_slice(bytemuck::cast_slice(&sparse.indices));
            buffer.extend_from_slice(bytemuck::cast_slice(&sparse.values));
        }
        Vector::Multi(rows) => {
            let width = rows.first().map_or(0, Vec::len);
            if rows.iter().any(|row| row.len() != width) {
                return Err(VectorsError::invalid(
                    "vector",
                    "the vectors of a multi-vector need one size",
                ));
            }
            buffer.push(2);
            buffer.extend_from_slice(&count_of(rows.len())?);
            buffer.extend_from_slice(&count_of(width)?);
            for row in rows {
                buffer.extend_from_slice(bytemuck::cast_slice(row));
            }
        }
    }
    Ok(())
}

fn count_of(length: usize) -> Result<[u8; 4], VectorsError> {
    u32::try_from(length)
        .map(u32::to_le_bytes)
        .map_err(|_| VectorsError::Limit {
            what: "values of a point",
            limit: u32::MAX.into(),
            actual: length as u64,
        })
}

/// Whether `value` is nested deeper than `levels`. Recursion is bounded by `levels`.
fn deeper_than(value: &serde_json::Value, levels: usize) -> bool {
    match value {
        serde_json::Value::Array(values) => {
            levels == 0 || values.iter().any(|value| deeper_than(value, levels - 1))
        }
        serde_json::Value::Object(map) => {
            levels == 0 || map.values().any(|value| deeper_than(value, levels - 1))
        }
        _ => false,
    }
}

/// The rest of a record to be read. Every method is `None` when too little is left.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*taken)
    }

    fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn text(&mut self, count: usize) -> Option<String> {
        std::str::from_utf8(self.take(count)?)
            .ok()
            .map(str::to_owned)
    }

    /// `count` numbers of four bytes. Allocates no more than the record holds.
    fn numbers<T>(&mut self, count: usize, read: fn([u8; 4]) -> T) -> Option<Vec<T>> {
        let bytes = self.take(count.checked_mul(4)?)?;
        Some(
            bytes
                .as_chunks::<4>()
                .0
                .iter()
                .map(|&four| read(four))
                .collect(),
        )
    }

    fn id(&mut self) -> Option<PointId> {
        let tag = self.u8()?;
        let value = self.array().map(u128::from_le_bytes)?;
        match tag {
            0 => u64::try_from(value).ok().map(PointId::Number),
            1 => Some(PointId::Uuid(value)),
            _ => None,
        }
    }

    fn vector(&mut self) -> Option<Vector> {
        match self.u8()? {
            0 => {
                let count = self.u32()? as usize;
                Some(Vector::Dense(self.numbers(count, f32::from_le_bytes)?))
            }
            1 => {
                let count = self.u32()? as usize;
                Some(Vector::Sparse(SparseVector {
                    indices: self.numbers(count, u32::from_le_bytes)?,
                    values: self.numbers(count, f32::from_le_bytes)?,
                }))
            }
            2 => {
                let (rows, width) = (self.u32()? as usize, self.u32()? as usize);
                if width == 0 {
                    // Rows without values would let a few bytes ask for any amount of memory.
                    return (rows == 0).then(|| Vector::Multi(Vec::new()));
                }
                let mut multi = Vec::new();
                for _ in 0..rows {
                    multi.push(self.numbers(width, f32::from_le_bytes)?);
                }
                Some(Vector::Multi(multi))
            }
            _ => None,
        }
    }

    fn point(&mut self) -> Option<Point> {
        let id = self.id()?;
        let flags = self.u8()?;
        let expires = self.u64()?;
        let expires_unix_ms = match flags {
            0 if expires == 0 => None,
            1 => Some(expires),
            _ => return None,
        };
        let mut vectors = BTreeMap::new();
        for _ in 0..self.u16()? {
            let length = self.u16()?.into();
            let name = self.text(length)?;
            vectors.insert(name, self.vector()?);
        }
        let length = self.u32()? as usize;
        Some(Point {
            id,
            vectors,
            payload: serde_json::from_slice(self.take(length)?).ok()?,
            expires_unix_ms,
        })
    }
}
