//! safetensors files: the header read with the same rigor as GGUF, and views of the tensors without copying.
//!
//! ```text
//! u64:n  n bytes of JSON { "name": {"dtype","shape","data_offsets":[begin,end]}, "__metadata__": {text: text} }
//! data, without gaps: every byte belongs to exactly one tensor
//! ```

mod json;
#[cfg(test)]
mod tests;
mod view;

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::Read;
use std::path::Path;

use platform::mapping::MappedFile;

use super::error::{FileError, FileErrorKind, quotable};
use json::{Fault, Scanner};
pub use view::TensorView;

/// Bytes of JSON; the limit of the reference implementation.
const HEADER_BYTES_MAX: u64 = 100_000_000;
/// Tensors of one file.
const TENSORS_MAX: usize = 256 * 1024;
/// Dimensions of one tensor.
const DIMENSIONS_MAX: usize = 8;
/// Bytes of a tensor's name or a key of `__metadata__`.
const NAME_BYTES_MAX: usize = 1024;
/// Keys of `__metadata__`.
const METADATA_KEYS_MAX: usize = 4096;
/// Bytes of one value of `__metadata__`.
const METADATA_VALUE_BYTES_MAX: usize = 16 * 1024 * 1024;

macro_rules! element_types {
    ($($name:ident = $label:literal, $bytes:literal;)*) => {
        /// How elements are stored (little-endian).
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[expect(missing_docs, reason = "the names are the format's own")]
        #[expect(non_camel_case_types, reason = "the names are the format's own")]
        pub enum ElementType { $($name,)* }

        impl ElementType {
            /// The type that the format calls `name`.
            #[must_use]
            pub fn from_name(name: &str) -> Option<Self> {
                match name { $($label => Some(Self::$name),)* _ => None }
            }
            /// The format's name.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => $label,)* }
            }
            /// Bytes of one element.
            #[must_use]
            pub fn bytes(self) -> u64 {
                match self { $(Self::$name => $bytes,)* }
            }
        }
    };
}

element_types! {
    Bool = "BOOL", 1;
    U8 = "U8", 1;
    I8 = "I8", 1;
    F8_E5M2 = "F8_E5M2", 1;
    F8_E4M3 = "F8_E4M3", 1;
    U16 = "U16", 2;
    I16 = "I16", 2;
    F16 = "F16", 2;
    BF16 = "BF16", 2;
    U32 = "U32", 4;
    I32 = "I32", 4;
    F32 = "F32", 4;
    U64 = "U64", 8;
    I64 = "I64", 8;
    F64 = "F64", 8;
}

/// One tensor of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorInfo {
    /// Its name.
    pub name: String,
    /// Element type.
    pub element: ElementType,
    /// Elements per dimension, the slowest first (a row is as long as the last one). Empty for a single number.
    pub shape: Vec<u64>,
    /// Where its data starts in the file, in bytes.
    pub offset: u64,
    /// Bytes of its data.
    pub bytes: u64,
}

impl TensorInfo {
    /// Number of elements. The reader has checked that it does not overflow.
    #[must_use]
    pub fn elements(&self) -> u64 {
        self.shape.iter().product()
    }
}

/// The header of a safetensors file, checked against the length of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SafetensorsHeader {
    /// `__metadata__`.
    pub metadata: BTreeMap<String, String>,
    /// The tensors, in the order of the header.
    pub tensors: Vec<TensorInfo>,
    /// Length of the file in bytes.
    pub file_bytes: u64,
    by_name: HashMap<String, usize>,
}

impl SafetensorsHeader {
    /// Reads the header of the file at `path`; the data is not touched.
    ///
    /// # Errors
    /// [`FileError`] with the field at fault.
    pub fn read(path: &Path) -> Result<Self, FileError> {
        let io = |error| FileError::io("file", 0, &error);
        let mut file = File::open(path).map_err(io)?;
        let facts = file.metadata().map_err(io)?;
        if !facts.is_file() {
            let message = "not a regular file";
            return Err(FileError::new(FileErrorKind::Format, "file", 0, message));
        }
        let mut start = Vec::new();
        Read::by_ref(&mut file)
            .take(8)
            .read_to_end(&mut start)
            .map_err(io)?;
        let length = header_length(&start, facts.len())?;
        let mut text = Vec::new();
        Read::by_ref(&mut file)
            .take(length)
            .read_to_end(&mut text)
            .map_err(io)?;
        Self::from_json(&text, facts.len())
    }

    /// Reads the header at the start of `bytes`, which must be the whole file.
    ///
    /// # Errors
    /// As [`SafetensorsHeader::read`].
    pub fn parse(bytes: &[u8]) -> Result<Self, FileError> {
        let file_bytes = bytes.len() as u64;
        let length = header_length(bytes, file_bytes)?;
        // `header_length` has checked that these bytes exist.
        Self::from_json(&bytes[8..8 + length as usize], file_bytes)
    }

    /// The tensor with this name.
    #[must_use]
    pub fn tensor(&self, name: &str) -> Option<&TensorInfo> {
        self.by_name.get(name).map(|&index| &self.tensors[index])
    }

    fn from_json(text: &[u8], file_bytes: u64) -> Result<Self, FileError> {
        let mut header = Self {
            metadata: BTreeMap::new(),
            tensors: Vec::new(),
            file_bytes,
            by_name: HashMap::new(),
        };
        let data_start = 8 + text.len() as u64;
        if text.first() != Some(&b'{') {
            let message = "the JSON header does not begin with '{'";
            return Err(FileError::new(FileErrorKind::Format, "header", 8, message));
        }
        let mut scanner = Scanner::new(text, 8);
        let mut metadata_seen = false;
        scanner
            .expect(b'{')
            .map_err(|fault| named(fault, "header"))?;
        if !scanner.closes_at_once(b'}') {
            loop {
                let at = scanner.offset();
                let name = scanner
                    .text(NAME_BYTES_MAX)
                    .and_then(|name| scanner.expect(b':').map(|()| name))
                    .map_err(|fault| named(fault, "header"))?;
                if name == "__metadata__" {
                    if std::mem::replace(&mut metadata_seen, true) {
                        let message = "appears twice";
                        let kind = FileErrorKind::Duplicate;
                        return Err(FileError::new(kind, "__metadata__", at, message));
                    }
                    header.metadata = metadata(&mut scanner)?;
                } else {
                    let tensor = tensor(&mut scanner, name, data_start, file_bytes)?;
                    header.add(tensor, at)?;
                }
                if !scanner.more(b'}').map_err(|fault| named(fault, "header"))? {
                    break;
                }
            }
        }
        scanner.end().map_err(|fault| named(fault, "header"))?;
        header.check_coverage(data_start)?;
        Ok(header)
    }

    fn add(&mut self, tensor: TensorInfo, at: u64) -> Result<(), FileError> {
        let refuse = |kind, message: &str| {
            let field = format!("tensor \"{}\"", quotable(&tensor.name));
            Err(FileError::new(kind, field, at, message))
        };
        if self.tensors.len() == TENSORS_MAX {
            return refuse(FileErrorKind::Limit, "more tensors than any model has");
        }
        if self.by_name.contains_key(&tensor.name) {
            return refuse(FileErrorKind::Duplicate, "appears twice");
        }
        self.by_name.insert(tensor.name.clone(), self.tensors.len());
        self.tensors.push(tensor);
        Ok(())
    }

    /// Every byte of data belongs to exactly one tensor.
    fn check_coverage(&self, data_start: u64) -> Result<(), FileError> {
        let mut order: Vec<&TensorInfo> = self.tensors.iter().collect();
        order.sort_by_key(|tensor| (tensor.offset, tensor.bytes));
        let mut expected = data_start;
        for tensor in order {
            if tensor.offset != expected {
                let what = if tensor.offset < expected {
                    "overlaps another tensor"
                } else {
                    "leaves a gap before it"
                };
                return Err(FileError::new(
                    FileErrorKind::Invalid,
                    field(&tensor.name, "data_offsets"),
                    tensor.offset,
                    what,
                ));
            }
            expected += tensor.bytes;
        }
        if expected != self.file_bytes {
            let message = format!(
                "{} bytes at the end belong to no tensor",
                self.file_bytes - expected
            );
            return Err(FileError::new(
                FileErrorKind::Invalid,
                "data",
                expected,
                message,
            ));
        }
        Ok(())
    }
}

fn named(fault: Fault, field: impl Into<String>) -> FileError {
    FileError::new(fault.kind, field, fault.offset, fault.message)
}

fn field(name: &str, part: &str) -> String {
    format!("tensor \"{}\".{part}", quotable(name))
}

/// The length of the JSON, checked against the length of the file.
fn header_length(start: &[u8], file_bytes: u64) -> Result<u64, FileError> {
    let refuse = |kind, message: String| Err(FileError::new(kind, "header_length", 0, message));
    let Some(prefix) = start.first_chunk::<8>() else {
        let message = format!("{file_bytes} bytes are too few for a safetensors file");
        return refuse(FileErrorKind::Truncated, message);
    };
    if prefix.starts_with(b"GGUF") {
        return refuse(FileErrorKind::Format, "this is a GGUF file".into());
    }
    let length = u64::from_le_bytes(*prefix);
    if length > HEADER_BYTES_MAX {
        let message = format!(
            "{length} bytes of JSON, at most {HEADER_BYTES_MAX} are allowed; perhaps not safetensors"
        );
        return refuse(FileErrorKind::Limit, message);
    }
    if length > file_bytes - 8 {
        let message = format!("{length} bytes of JSON, the file holds {}", file_bytes - 8);
        return refuse(FileErrorKind::Truncated, message);
    }
    if length < 2 {
        return refuse(
            FileErrorKind::Invalid,
            format!("{length} bytes hold no JSON object"),
        );
    }
    Ok(length)
}

fn metadata(scanner: &mut Scanner<'_>) -> Result<BTreeMap<String, String>, FileError> {
    const FIELD: &str = "__metadata__";
    let mut metadata = BTreeMap::new();
    scanner.expect(b'{').map_err(|fault| named(fault, FIELD))?;
    if scanner.closes_at_once(b'}') {
        return Ok(metadata);
    }
    loop {
        let at = scanner.offset();
        let key = scanner
            .text(NAME_BYTES_MAX)
            .and_then(|key| scanner.expect(b':').map(|()| key))
            .map_err(|fault| named(fault, FIELD))?;
        let place = format!("{FIELD}[\"{}\"]", quotable(&key));
        let value = scanner
            .text(METADATA_VALUE_BYTES_MAX)
            .map_err(|fault| named(fault, place.as_str()))?;
        if metadata.insert(key, value).is_some() {
            return Err(FileError::new(
                FileErrorKind::Duplicate,
                place,
                at,
                "appears twice",
            ));
        }
        if metadata.len() > METADATA_KEYS_MAX {
            let message = format!("more than {METADATA_KEYS_MAX} keys");
            return Err(FileError::new(FileErrorKind::Limit, FIELD, at, message));
        }
        if !scanner.more(b'}').map_err(|fault| named(fault, FIELD))? {
            return Ok(metadata);
        }
    }
}

/// Numbers of an array, at most `most`; the field of a fault is `name.part` or `name.part[index]`.
fn numbers(
    scanner: &mut Scanner<'_>,
    name: &str,
    part: &str,
    most: usize,
) -> Result<Vec<u64>, FileError> {
    let whole = |fault| named(fault, field(name, part));
    let mut numbers = Vec::new();
    let at = scanner.offset();
    scanner.expect(b'[').map_err(whole)?;
    if scanner.closes_at_once(b']') {
        return Ok(numbers);
    }
    loop {
        if numbers.len() == most {
            let message = format!("more than {most} numbers");
            let place = field(name, part);
            return Err(FileError::new(FileErrorKind::Limit, place, at, message));
        }
        let index = numbers.len();
        let number = scanner
            .number()
            .map_err(|fault| named(fault, field(name, &format!("{part}[{index}]"))))?;
        numbers.push(number);
        if !scanner.more(b']').map_err(whole)? {
            return Ok(numbers);
        }
    }
}

/// One tensor's object: exactly `dtype`, `shape` and `data_offsets`, in any order.
fn tensor(
    scanner: &mut Scanner<'_>,
    name: String,
    data_start: u64,
    file_bytes: u64,
) -> Result<TensorInfo, FileError> {
    let start = scanner.offset();
    let whole = format!("tensor \"{}\"", quotable(&name));
    let in_whole = |fault| named(fault, whole.as_str());
    if name.is_empty() || name.chars().any(char::is_control) {
        let message = "the name is empty or holds control characters";
        return Err(FileError::new(
            FileErrorKind::Invalid,
            whole,
            start,
            message,
        ));
    }
    let mut element: Option<ElementType> = None;
    let mut shape: Option<Vec<u64>> = None;
    let mut range: Option<(Vec<u64>, u64)> = None;
    scanner.expect(b'{').map_err(in_whole)?;
    loop {
        let at = scanner.offset();
        let key = scanner.text(NAME_BYTES_MAX).map_err(in_whole)?;
        scanner.expect(b':').map_err(in_whole)?;
        let seen = match key.as_str() {
            "dtype" => {
                let place = field(&name, "dtype");
                let text = scanner
                    .text(NAME_BYTES_MAX)
                    .map_err(|fault| named(fault, place.as_str()))?;
                let known = ElementType::from_name(&text).ok_or_else(|| {
                    let message = format!("element type \"{}\" is not supported", quotable(&text));
                    FileError::new(FileErrorKind::Unsupported, place, at, message)
                })?;
                element.replace(known).is_some()
            }
            "shape" => {
                let numbers = numbers(scanner, &name, "shape", DIMENSIONS_MAX)?;
                shape.replace(numbers).is_some()
            }
            "data_offsets" => {
                let numbers = numbers(scanner, &name, "data_offsets", 2)?;
                range.replace((numbers, at)).is_some()
            }
            other => {
                let place = field(&name, &quotable(other));
                let message = "unknown member";
                return Err(FileError::new(FileErrorKind::Invalid, place, at, message));
            }
        };
        if seen {
            let place = field(&name, &key);
            return Err(FileError::new(
                FileErrorKind::Duplicate,
                place,
                at,
                "appears twice",
            ));
        }
        if !scanner.more(b'}').map_err(in_whole)? {
            break;
        }
    }
    let missing =
        |part: &str| FileError::new(FileErrorKind::Missing, field(&name, part), start, "absent");
    let element = element.ok_or_else(|| missing("dtype"))?;
    let shape = shape.ok_or_else(|| missing("shape"))?;
    let (range, range_at) = range.ok_or_else(|| missing("data_offsets"))?;

    let bytes = shape.iter().try_fold(element.bytes(), |product, &length| {
        product.checked_mul(length)
    });
    let Some(bytes) = bytes else {
        let message = "the number of bytes overflows";
        return Err(FileError::new(
            FileErrorKind::Invalid,
            field(&name, "shape"),
            start,
            message,
        ));
    };
    let begin = check_range(&range, bytes, file_bytes.saturating_sub(data_start)).map_err(
        |(kind, message)| FileError::new(kind, field(&name, "data_offsets"), range_at, message),
    )?;
    Ok(TensorInfo {
        name,
        element,
        shape,
        offset: data_start + begin,
        bytes,
    })
}

/// Where a tensor of `bytes` begins, after `data_offsets` are found to be its begin and end within `data_bytes`.
fn check_range(range: &[u64], bytes: u64, data_bytes: u64) -> Result<u64, (FileErrorKind, String)> {
    let &[begin, end] = range else {
        let message = format!("{} numbers, begin and end are expected", range.len());
        return Err((FileErrorKind::Invalid, message));
    };
    if begin > end || end - begin != bytes {
        let message = format!("[{begin}, {end}] is not the {bytes} bytes that type and shape need");
        return Err((FileErrorKind::Invalid, message));
    }
    if end > data_bytes {
        let message = format!("ends at {end}, the file holds {data_bytes} bytes of data");
        return Err((FileErrorKind::Truncated, message));
    }
    Ok(begin)
}

/// An open safetensors file: its header, and its data by memory map.
#[derive(Debug)]
pub struct SafetensorsFile {
    /// The header.
    pub header: SafetensorsHeader,
    map: MappedFile,
}

impl SafetensorsFile {
    /// Opens and checks the file at `path`. It must not be truncated while it is open.
    ///
    /// # Errors
    /// [`FileError`] with the field at fault.
    pub fn open(path: &Path) -> Result<Self, FileError> {
        let map = MappedFile::open(path).map_err(|error| FileError::io("file", 0, &error))?;
        let header = SafetensorsHeader::parse(&map)?;
        Ok(Self { header, map })
    }

    /// A view of the tensor with this name.
    #[must_use]
    pub fn tensor(&self, name: &str) -> Option<TensorView<'_>> {
        self.header.tensor(name).map(|info| self.view(info))
    }

    /// Views of all tensors, in the order of the header.
    pub fn tensors(&self) -> impl ExactSizeIterator<Item = TensorView<'_>> {
        self.header.tensors.iter().map(|info| self.view(info))
    }

    fn view<'a>(&'a self, info: &'a TensorInfo) -> TensorView<'a> {
        // The header was checked against these very bytes.
        let start = info.offset as usize;
        TensorView::new(info, &self.map[start..start + info.bytes as usize])
    }
}
