//! The walk over a GGUF header. Every count is checked against the bytes that are left before anything is allocated.
//!
//! ```text
//! "GGUF" u32:version u64:tensor_count u64:kv_count
//! kv_count     × { text:key u32:type value }                 text = u64:length bytes
//! tensor_count × { text:name u32:n u64×n:dimensions u32:type u64:offset }
//! padding to general.alignment, then the tensors' data, each padded likewise
//! ```

use std::collections::HashSet;
use std::io::{Read, Seek};

use super::cursor::{Cursor, Fault};
use super::types::{
    ALIGNMENT_DEFAULT, DIMENSIONS_MAX, MAGIC, TENSOR_NAME_BYTES_MAX, TensorType, ValueType, keys,
};
use super::value::{Array, Entry, Metadata, Value};
use crate::files::error::{FileError, FileErrorKind, quotable};

/// Bytes of header that are walked at most. A 256k-token vocabulary with merges is about 20 MiB.
pub(super) const HEADER_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// Keys of the metadata; real models have about fifty.
const KEYS_MAX: u64 = 8 * 1024;
/// Bytes of a key; the format's own limit is 65,535, real keys stay below 100.
const KEY_BYTES_MAX: u64 = 1024;
/// Bytes of one text value. The longest real ones are chat templates of about 100 KiB and embedded tokenizer files
/// of about 20 MiB.
const TEXT_BYTES_MAX: u64 = 32 * 1024 * 1024;
/// Bytes of metadata that are held in memory, all keys together.
const HELD_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Elements of an array that is held in memory; longer ones stay in the file.
const ARRAY_ITEMS_HELD_MAX: u64 = 256;
/// Bytes of an array of texts that is held in memory (named chat templates are the largest).
const ARRAY_BYTES_HELD_MAX: u64 = 2 * 1024 * 1024;
/// What one held value costs beside its text.
const VALUE_OVERHEAD_BYTES: u64 = 64;
/// Tensors; the largest mixtures of experts stored one by one have about 50,000.
const TENSORS_MAX: u64 = 256 * 1024;
/// `general.alignment`; a larger one would only pad.
const ALIGNMENT_MAX: u64 = 1024 * 1024;
/// Smallest possible entry of the metadata: key length, one byte of key, type, one byte of value.
const ENTRY_BYTES_MIN: u64 = 8 + 1 + 4 + 1;
/// Smallest possible tensor: name length, one byte of name, dimension count, type, offset.
const TENSOR_BYTES_MIN: u64 = 8 + 1 + 4 + 4 + 8;

/// One tensor of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorInfo {
    /// Its name: `blk.0.attn_q.weight`.
    pub name: String,
    /// Element type.
    pub kind: TensorType,
    /// Elements per dimension, the fastest first (ggml's order: a row is `dimensions[0]` long).
    pub dimensions: Vec<u64>,
    /// Where its data starts, in bytes after the start of the data section.
    pub offset: u64,
    /// Bytes of its data.
    pub bytes: u64,
}

impl TensorInfo {
    /// Number of elements. The reader has checked that it does not overflow.
    #[must_use]
    pub fn elements(&self) -> u64 {
        self.dimensions.iter().product()
    }
}

/// The header as written, before anything is concluded from it.
#[derive(Debug)]
pub(super) struct Parsed {
    pub version: u32,
    pub alignment: u64,
    pub data_offset: u64,
    pub metadata: Metadata,
    pub tensors: Vec<TensorInfo>,
}

/// Reads and checks the whole header at the start of `cursor`.
pub(super) fn parse<R: Read + Seek>(cursor: &mut Cursor<R>) -> Result<Parsed, FileError> {
    let version = preamble(cursor)?;
    let tensor_count = count(cursor, "tensor_count", TENSORS_MAX, TENSOR_BYTES_MIN)?;
    let key_count = count(cursor, "kv_count", KEYS_MAX, ENTRY_BYTES_MIN)?;
    let mut metadata = Metadata::default();
    let mut held_bytes = 0;
    for number in 0..key_count {
        let entry = entry(cursor, number, &mut held_bytes)?;
        let (key, offset) = (entry.key.clone(), entry.offset);
        if !metadata.insert(entry) {
            return Err(FileError::new(
                FileErrorKind::Duplicate,
                format!("metadata[\"{}\"]", quotable(&key)),
                offset,
                "the key appears twice",
            ));
        }
    }
    let alignment = alignment(&metadata)?;
    let mut tensors = Vec::new();
    let mut names = HashSet::new();
    let mut offset_places = Vec::new();
    for number in 0..tensor_count {
        let (tensor, offset_place) = tensor(cursor, number)?;
        if !names.insert(tensor.name.clone()) {
            return Err(FileError::new(
                FileErrorKind::Duplicate,
                tensor_field(&tensor.name, "name"),
                offset_place,
                "the tensor appears twice",
            ));
        }
        tensors.push(tensor);
        offset_places.push(offset_place);
    }
    let data_offset = if tensors.is_empty() {
        cursor.position()
    } else {
        cursor.position().next_multiple_of(alignment)
    };
    check_layout(
        &tensors,
        &offset_places,
        alignment,
        data_offset,
        cursor.length(),
    )?;
    Ok(Parsed {
        version,
        alignment,
        data_offset,
        metadata,
        tensors,
    })
}

/// The field name of one part of a tensor.
pub(super) fn tensor_field(name: &str, part: &str) -> String {
    format!("tensor \"{}\".{part}", quotable(name))
}

/// Magic and version.
fn preamble<R: Read + Seek>(cursor: &mut Cursor<R>) -> Result<u32, FileError> {
    let magic: [u8; 4] = cursor.array().map_err(|fault| fault.named("magic"))?;
    if magic != MAGIC {
        return Err(FileError::new(
            FileErrorKind::Format,
            "magic",
            0,
            foreign(magic),
        ));
    }
    let at = cursor.position();
    let version = cursor.u32().map_err(|fault| fault.named("version"))?;
    let refuse = |kind, message: String| Err(FileError::new(kind, "version", at, message));
    match version {
        2 | 3 => Ok(version),
        1 => refuse(
            FileErrorKind::Unsupported,
            "GGUF version 1 is no longer read; convert the model again".into(),
        ),
        _ if version & 0xFFFF == 0 && version != 0 => refuse(
            FileErrorKind::Unsupported,
            "big-endian GGUF; only little-endian files are read".into(),
        ),
        0 => refuse(FileErrorKind::Invalid, "version 0 does not exist".into()),
        _ => refuse(
            FileErrorKind::Unsupported,
            format!("GGUF version {version}; 2 and 3 are read"),
        ),
    }
}

/// What a file that is no GGUF seems to be, so that the owner knows what to fetch instead.
fn foreign(magic: [u8; 4]) -> String {
    let guess = match &magic {
        b"lmgg" | b"fmgg" | b"tjgg" | b"algg" => "an old ggml file from before GGUF",
        [b'P', b'K', 3, 4] => "a zip archive or PyTorch checkpoint",
        b"<!DO" | b"<!do" | b"<htm" | b"<HTM" => "a web page, not the file behind it",
        b"vers" => "perhaps a Git LFS pointer, not the file behind it",
        [_, _, _, 0] => "perhaps safetensors: convert it first",
        _ => "not a GGUF file",
    };
    format!("begins with {magic:02x?}: {guess}")
}

/// A count of the preamble, refused before anything is sized by it.
fn count<R: Read + Seek>(
    cursor: &mut Cursor<R>,
    field: &str,
    most: u64,
    bytes_each: u64,
) -> Result<u64, FileError> {
    let at = cursor.position();
    let count = cursor.u64().map_err(|fault| fault.named(field))?;
    if count > most {
        let message = format!("{count}, at most {most} are allowed");
        return Err(FileError::new(FileErrorKind::Limit, field, at, message));
    }
    // `most` times `bytes_each` is far below 2^64.
    if count * bytes_each > cursor.remaining() {
        let message = format!(
            "{count} cannot fit into the {} bytes that follow",
            cursor.remaining()
        );
        return Err(FileError::new(FileErrorKind::Truncated, field, at, message));
    }
    Ok(count)
}

/// One key with its value.
fn entry<R: Read + Seek>(
    cursor: &mut Cursor<R>,
    number: u64,
    held_bytes: &mut u64,
) -> Result<Entry, FileError> {
    let key_at = cursor.position();
    let key_field = || format!("metadata[#{number}].key");
    let key = cursor
        .text(KEY_BYTES_MAX)
        .map_err(|fault| fault.named(key_field()))?;
    if key.is_empty() || key.chars().any(char::is_control) {
        let message = "empty, or holds control characters";
        return Err(FileError::new(
            FileErrorKind::Invalid,
            key_field(),
            key_at,
            message,
        ));
    }
    let field = |part: &str| format!("metadata[\"{}\"]{part}", quotable(&key));
    let kind = value_type(cursor).map_err(|fault| fault.named(field(".type")))?;
    let offset = cursor.position();
    let value = if kind == ValueType::Array {
        Value::Array(array(cursor, &field)?)
    } else {
        scalar(cursor, kind).map_err(|fault| fault.named(field("")))?
    };
    *held_bytes += key.len() as u64 + held_cost(&value);
    if *held_bytes > HELD_BYTES_MAX {
        let message = format!("the metadata holds more than {HELD_BYTES_MAX} bytes of text");
        return Err(FileError::new(
            FileErrorKind::Limit,
            field(""),
            offset,
            message,
        ));
    }
    Ok(Entry { key, value, offset })
}

fn held_cost(value: &Value) -> u64 {
    let content = match value {
        Value::String(text) => text.len() as u64,
        Value::Array(array) => array.items.iter().flatten().map(held_cost).sum(),
        _ => 0,
    };
    content + VALUE_OVERHEAD_BYTES
}

fn value_type<R: Read + Seek>(cursor: &mut Cursor<R>) -> Result<ValueType, Fault> {
    let at = cursor.position();
    let number = cursor.u32()?;
    ValueType::from_number(number).ok_or_else(|| {
        let message = format!("unknown value type {number}");
        Fault::new(FileErrorKind::Invalid, at, message)
    })
}

fn scalar<R: Read + Seek>(cursor: &mut Cursor<R>, kind: ValueType) -> Result<Value, Fault> {
    let at = cursor.position();
    Ok(match kind {
        ValueType::Uint8 => Value::Uint8(u8::from_le_bytes(cursor.array()?)),
        ValueType::Int8 => Value::Int8(i8::from_le_bytes(cursor.array()?)),
        ValueType::Uint16 => Value::Uint16(u16::from_le_bytes(cursor.array()?)),
        ValueType::Int16 => Value::Int16(i16::from_le_bytes(cursor.array()?)),
        ValueType::Uint32 => Value::Uint32(u32::from_le_bytes(cursor.array()?)),
        ValueType::Int32 => Value::Int32(i32::from_le_bytes(cursor.array()?)),
        ValueType::Float32 => Value::Float32(f32::from_le_bytes(cursor.array()?)),
        ValueType::Uint64 => Value::Uint64(u64::from_le_bytes(cursor.array()?)),
        ValueType::Int64 => Value::Int64(i64::from_le_bytes(cursor.array()?)),
        ValueType::Float64 => Value::Float64(f64::from_le_bytes(cursor.array()?)),
        ValueType::Bool => match cursor.array::<1>()? {
            [0] => Value::Bool(false),
            [1] => Value::Bool(true),
            [other] => {
                let message = format!("truth value {other}, 0 or 1 is expected");
                return Err(Fault::new(FileErrorKind::Invalid, at, message));
            }
        },
        ValueType::String => Value::String(cursor.text(TEXT_BYTES_MAX)?),
        ValueType::Array => {
            let message = "an array of arrays; the engine reads none";
            return Err(Fault::new(FileErrorKind::Unsupported, at, message));
        }
    })
}

fn array<R: Read + Seek>(
    cursor: &mut Cursor<R>,
    field: &dyn Fn(&str) -> String,
) -> Result<Array, FileError> {
    let type_at = cursor.position();
    let element = value_type(cursor).map_err(|fault| fault.named(field(".element_type")))?;
    if element == ValueType::Array {
        return Err(FileError::new(
            FileErrorKind::Unsupported,
            field(".element_type"),
            type_at,
            "an array of arrays; the engine reads none",
        ));
    }
    let length_at = cursor.position();
    let count = cursor
        .u64()
        .map_err(|fault| fault.named(field(".length")))?;
    // A text costs its length prefix at least.
    let bytes_min = count.checked_mul(element.fixed_bytes().unwrap_or(8));
    if bytes_min.is_none_or(|bytes| bytes > cursor.remaining()) {
        let message = format!(
            "{count} elements cannot fit into the {} bytes that follow",
            cursor.remaining()
        );
        return Err(FileError::new(
            FileErrorKind::Truncated,
            field(".length"),
            length_at,
            message,
        ));
    }
    let offset = cursor.position();
    if let (Some(bytes_each), true) = (element.fixed_bytes(), count > ARRAY_ITEMS_HELD_MAX) {
        cursor
            .skip(count * bytes_each)
            .map_err(|fault| fault.named(field("")))?;
        return Ok(Array {
            element,
            count,
            offset,
            bytes: count * bytes_each,
            items: None,
        });
    }
    let mut items = (count <= ARRAY_ITEMS_HELD_MAX).then(Vec::new);
    for number in 0..count {
        let place = |fault: Fault| fault.named(field(&format!("[{number}]")));
        match &mut items {
            Some(held) => held.push(scalar(cursor, element).map_err(place)?),
            None => cursor.skip_text().map_err(place)?,
        }
        if cursor.position() - offset > ARRAY_BYTES_HELD_MAX {
            items = None;
        }
    }
    Ok(Array {
        element,
        count,
        offset,
        bytes: cursor.position() - offset,
        items,
    })
}

fn alignment(metadata: &Metadata) -> Result<u64, FileError> {
    let Some(entry) = metadata.entry(keys::ALIGNMENT) else {
        return Ok(ALIGNMENT_DEFAULT);
    };
    let message = match entry.value {
        Value::Uint32(value) if !value.is_power_of_two() => {
            format!("{value} is not a power of two")
        }
        Value::Uint32(value) if u64::from(value) > ALIGNMENT_MAX => {
            format!("{value} bytes, at most {ALIGNMENT_MAX} are allowed")
        }
        Value::Uint32(value) => return Ok(value.into()),
        ref other => format!("has type {:?}, Uint32 is expected", other.value_type()),
    };
    Err(FileError::new(
        FileErrorKind::Invalid,
        format!("metadata[\"{}\"]", keys::ALIGNMENT),
        entry.offset,
        message,
    ))
}

/// The dimensions of the tensor `name`, and the number of its elements.
fn dimensions<R: Read + Seek>(
    cursor: &mut Cursor<R>,
    name: &str,
) -> Result<(Vec<u64>, u64), FileError> {
    let field = |part: &str| tensor_field(name, part);
    let refuse = |part: &str, at, message: String| {
        Err(FileError::new(
            FileErrorKind::Invalid,
            tensor_field(name, part),
            at,
            message,
        ))
    };
    let count_at = cursor.position();
    let count = cursor
        .u32()
        .map_err(|fault| fault.named(field("dimensions")))? as usize;
    if !(1..=DIMENSIONS_MAX).contains(&count) {
        let message = format!("{count} dimensions, 1 to {DIMENSIONS_MAX} are expected");
        return refuse("dimensions", count_at, message);
    }
    let mut dimensions = Vec::with_capacity(count);
    let mut elements: u64 = 1;
    for index in 0..count {
        let at = cursor.position();
        let part = format!("dimensions[{index}]");
        let length = cursor.u64().map_err(|fault| fault.named(field(&part)))?;
        if length == 0 {
            return refuse(&part, at, "zero elements".into());
        }
        // ggml counts elements with signed 64-bit numbers.
        elements = match elements.checked_mul(length) {
            Some(product) if i64::try_from(product).is_ok() => product,
            _ => {
                let message = format!("{length} makes the number of elements overflow");
                return refuse(&part, at, message);
            }
        };
        dimensions.push(length);
    }
    Ok((dimensions, elements))
}

/// One tensor, and where its `offset` field lies in the file.
fn tensor<R: Read + Seek>(
    cursor: &mut Cursor<R>,
    number: u64,
) -> Result<(TensorInfo, u64), FileError> {
    let name_at = cursor.position();
    let name_field = || format!("tensor[#{number}].name");
    let name = cursor
        .text(TENSOR_NAME_BYTES_MAX as u64)
        .map_err(|fault| fault.named(name_field()))?;
    if name.is_empty() || name.chars().any(char::is_control) {
        let message = "empty, or holds control characters";
        return Err(FileError::new(
            FileErrorKind::Invalid,
            name_field(),
            name_at,
            message,
        ));
    }
    let field = |part: &str| tensor_field(&name, part);
    let refuse = |kind, part: &str, at, message: String| {
        Err(FileError::new(kind, tensor_field(&name, part), at, message))
    };

    let dimensions_at = cursor.position();
    let (dimensions, elements) = dimensions(cursor, &name)?;

    let type_at = cursor.position();
    let type_number = cursor.u32().map_err(|fault| fault.named(field("type")))?;
    let Some(kind) = TensorType::from_number(type_number) else {
        let message = format!("unknown tensor type {type_number}");
        return refuse(FileErrorKind::Unsupported, "type", type_at, message);
    };
    if !dimensions[0].is_multiple_of(kind.block_elements()) {
        let message = format!(
            "rows of {} elements are no whole number of {} blocks of {}",
            dimensions[0],
            kind.name(),
            kind.block_elements()
        );
        return refuse(
            FileErrorKind::Invalid,
            "dimensions[0]",
            dimensions_at,
            message,
        );
    }
    let Some(bytes) = kind.bytes_of(elements) else {
        let message = format!("{elements} elements of {} overflow", kind.name());
        return refuse(FileErrorKind::Invalid, "dimensions", dimensions_at, message);
    };

    let offset_at = cursor.position();
    let offset = cursor.u64().map_err(|fault| fault.named(field("offset")))?;
    Ok((
        TensorInfo {
            name,
            kind,
            dimensions,
            offset,
            bytes,
        },
        offset_at,
    ))
}

/// Every tensor starts where the one before it ends, padded to the alignment: ggml reads no other layout. It follows
/// that none overlap, and that all are inside the file when the last one is.
fn check_layout(
    tensors: &[TensorInfo],
    offset_places: &[u64],
    alignment: u64,
    data_offset: u64,
    file_bytes: u64,
) -> Result<(), FileError> {
    let data_bytes = file_bytes.saturating_sub(data_offset);
    let mut expected: u64 = 0;
    for (tensor, &at) in tensors.iter().zip(offset_places) {
        let refuse = |kind, part: &str, message: String| {
            Err(FileError::new(
                kind,
                tensor_field(&tensor.name, part),
                at,
                message,
            ))
        };
        if !tensor.offset.is_multiple_of(alignment) {
            let message = format!("{} is not a multiple of {alignment}", tensor.offset);
            return refuse(FileErrorKind::Invalid, "offset", message);
        }
        if tensor.offset != expected {
            let what = if tensor.offset < expected {
                "overlaps the tensor before it"
            } else {
                "leaves a gap after the tensor before it"
            };
            let message = format!("{} {what}: {expected} is expected", tensor.offset);
            return refuse(FileErrorKind::Invalid, "offset", message);
        }
        let end = tensor.offset.checked_add(tensor.bytes);
        let Some(end) = end.filter(|&end| end <= data_bytes) else {
            let message = format!(
                "{} bytes at {} end beyond the file, which holds {data_bytes} bytes of tensor data",
                tensor.bytes, tensor.offset
            );
            return refuse(FileErrorKind::Truncated, "data", message);
        };
        // Inside the file, so adding less than the alignment cannot overflow.
        expected = end.next_multiple_of(alignment);
    }
    Ok(())
}
