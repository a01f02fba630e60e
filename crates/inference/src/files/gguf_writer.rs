//! Writes GGUF files: the header first, from a plan of all tensors, then the tensors' data as a stream.
//!
//! ```text
//! "GGUF"  version u32 = 3  tensor count u64  metadata count u64
//! metadata  per entry: key string, type u32, value
//! tensors   per tensor: name string, dimension count u32, dimensions u64 (innermost first), type u32, offset u64
//! zeros up to the alignment
//! data      each tensor at its offset from here, zeros up to the alignment behind each
//! ```
//! A string is its length in bytes as u64, then UTF-8. All numbers are little-endian.
//!
//! Invariant: [`GgufStream`] accepts exactly the bytes that the plan announced, in order; [`GgufStream::finish`] fails otherwise.

use std::collections::HashSet;
use std::io::{self, Write};

use thiserror::Error;

use super::gguf::types::{
    ALIGNMENT_DEFAULT, DIMENSIONS_MAX, MAGIC, TENSOR_NAME_BYTES_MAX, VERSION,
};
use super::gguf::{TensorType, ValueType};

/// A metadata value as we write it.
#[derive(Debug, Clone, PartialEq)]
#[expect(
    missing_docs,
    reason = "each variant is the format's type of that name"
)]
pub enum MetadataValue {
    Uint32(u32),
    Int32(i32),
    Uint64(u64),
    Float32(f32),
    Bool(bool),
    String(String),
    Strings(Vec<String>),
    Int32s(Vec<i32>),
    Float32s(Vec<f32>),
}

impl From<u32> for MetadataValue {
    fn from(value: u32) -> Self {
        Self::Uint32(value)
    }
}
impl From<f32> for MetadataValue {
    fn from(value: f32) -> Self {
        Self::Float32(value)
    }
}
impl From<bool> for MetadataValue {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}
impl From<&str> for MetadataValue {
    fn from(value: &str) -> Self {
        Self::String(value.to_owned())
    }
}
impl From<String> for MetadataValue {
    fn from(value: String) -> Self {
        Self::String(value)
    }
}

/// A tensor that will be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedTensor {
    /// ggml's name, at most 63 bytes.
    pub name: String,
    /// Elements per dimension, innermost (the row's length) first.
    pub dimensions: Vec<u64>,
    /// How the elements are stored.
    pub kind: TensorType,
}

/// Why a file could not be written.
#[derive(Debug, Error)]
pub enum WriteError {
    /// Writing failed.
    #[error("write failed: {0}")]
    Io(#[from] io::Error),
    /// The plan cannot be a GGUF file.
    #[error("tensor {name}: {message}")]
    Plan {
        /// The tensor at fault.
        name: String,
        /// What is wrong, in a short lowercase phrase.
        message: &'static str,
    },
    /// More or fewer bytes were written than a tensor has.
    #[error("tensor {name} has {expected} bytes, not {given}")]
    Size {
        /// The tensor at fault.
        name: String,
        /// Bytes that the plan announces.
        expected: u64,
        /// Bytes given so far.
        given: u64,
    },
}

/// The plan of a file: its metadata and tensors, in file order.
#[derive(Debug, Clone, Default)]
pub struct GgufPlan {
    metadata: Vec<(String, MetadataValue)>,
    tensors: Vec<PlannedTensor>,
}

impl GgufPlan {
    /// An empty plan.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a metadata entry; a key that is there already keeps its place and gets the new value.
    pub fn set(&mut self, key: impl Into<String>, value: impl Into<MetadataValue>) {
        let (key, value) = (key.into(), value.into());
        match self.metadata.iter_mut().find(|entry| entry.0 == key) {
            Some(entry) => entry.1 = value,
            None => self.metadata.push((key, value)),
        }
    }

    /// Adds the entries and tensors of `other` behind these; an entry that is here already gets the other's value.
    pub fn extend(&mut self, other: Self) {
        for (key, value) in other.metadata {
            self.set(key, value);
        }
        self.tensors.extend(other.tensors);
    }

    /// Adds a tensor behind the others.
    pub fn add(&mut self, tensor: PlannedTensor) {
        self.tensors.push(tensor);
    }

    /// The tensors in file order.
    #[must_use]
    pub fn tensors(&self) -> &[PlannedTensor] {
        &self.tensors
    }

    /// Writes everything before the data, and gives the stream that takes the data.
    ///
    /// # Errors
    /// [`WriteError`] when a tensor cannot be in a GGUF file or the writer fails.
    pub fn start<W: Write>(self, mut writer: W) -> Result<GgufStream<W>, WriteError> {
        let sizes = self.sizes()?;
        let mut header = Vec::new();
        header.extend_from_slice(&MAGIC);
        header.extend_from_slice(&VERSION.to_le_bytes());
        header.extend_from_slice(&(self.tensors.len() as u64).to_le_bytes());
        header.extend_from_slice(&(self.metadata.len() as u64).to_le_bytes());
        for (key, value) in &self.metadata {
            put_string(&mut header, key);
            put_value(&mut header, value);
        }
        let mut offset = 0_u64;
        for (tensor, bytes) in self.tensors.iter().zip(&sizes) {
            put_string(&mut header, &tensor.name);
            header.extend_from_slice(&(tensor.dimensions.len() as u32).to_le_bytes());
            for dimension in &tensor.dimensions {
                header.extend_from_slice(&dimension.to_le_bytes());
            }
            header.extend_from_slice(&tensor.kind.number().to_le_bytes());
            header.extend_from_slice(&offset.to_le_bytes());
            offset += bytes.next_multiple_of(ALIGNMENT_DEFAULT);
        }
        header.resize(header.len().next_multiple_of(ALIGNMENT_DEFAULT as usize), 0);
        writer.write_all(&header)?;
        let names = self.tensors.into_iter().map(|tensor| tensor.name);
        Ok(GgufStream {
            writer,
            remaining: names.zip(sizes).rev().collect(),
            current_bytes: 0,
            written_bytes: header.len() as u64,
        })
    }

    /// Bytes of each tensor, with the plan checked.
    fn sizes(&self) -> Result<Vec<u64>, WriteError> {
        let mut names = HashSet::new();
        let check = |tensor: &PlannedTensor| {
            let plan = |message| WriteError::Plan {
                name: tensor.name.clone(),
                message,
            };
            let Some(&row) = tensor.dimensions.first() else {
                return Err(plan("no dimensions"));
            };
            if tensor.dimensions.len() > DIMENSIONS_MAX {
                return Err(plan("more than four dimensions"));
            }
            if tensor.name.is_empty() || tensor.name.len() > TENSOR_NAME_BYTES_MAX {
                return Err(plan("a name must have 1 to 63 bytes"));
            }
            let row_bytes = tensor
                .kind
                .bytes_of(row)
                .ok_or_else(|| plan("its rows are not whole blocks"))?;
            tensor.dimensions[1..]
                .iter()
                .try_fold(row_bytes, |bytes, &dimension| bytes.checked_mul(dimension))
                .filter(|&bytes| bytes > 0 && bytes < u64::MAX / 4)
                .ok_or_else(|| plan("empty or too large"))
        };
        let mut sizes = Vec::with_capacity(self.tensors.len());
        for tensor in &self.tensors {
            if !names.insert(tensor.name.as_str()) {
                let (name, message) = (tensor.name.clone(), "planned twice");
                return Err(WriteError::Plan { name, message });
            }
            sizes.push(check(tensor)?);
        }
        Ok(sizes)
    }
}

/// Takes the tensors' data in the order of the plan, in pieces of any size that do not cross a tensor's end.
#[derive(Debug)]
pub struct GgufStream<W> {
    writer: W,
    /// Tensors not yet complete, the next one last, with their bytes.
    remaining: Vec<(String, u64)>,
    /// Bytes of the next tensor that were given already.
    current_bytes: u64,
    written_bytes: u64,
}

impl<W: Write> GgufStream<W> {
    /// Writes the next bytes of the tensor called `name`, which must be the first one that is not complete.
    ///
    /// # Errors
    /// [`WriteError::Plan`] when another tensor is due, [`WriteError::Size`] when these are more bytes than it has left.
    pub fn write(&mut self, name: &str, bytes: &[u8]) -> Result<(), WriteError> {
        let plan = |message| WriteError::Plan {
            name: name.to_owned(),
            message,
        };
        let Some((due, expected)) = self.remaining.last() else {
            return Err(plan("comes after the last tensor of the plan"));
        };
        if due != name {
            return Err(plan("another tensor is due"));
        }
        let (given, expected) = (self.current_bytes + bytes.len() as u64, *expected);
        if given > expected {
            let name = name.to_owned();
            return Err(WriteError::Size {
                name,
                expected,
                given,
            });
        }
        self.writer.write_all(bytes)?;
        self.current_bytes = given;
        self.written_bytes += bytes.len() as u64;
        if given == expected {
            let padding = expected.next_multiple_of(ALIGNMENT_DEFAULT) - expected;
            self.writer.write_all(&vec![0; padding as usize])?;
            self.written_bytes += padding;
            self.current_bytes = 0;
            self.remaining.pop();
        }
        Ok(())
    }

    /// Flushes and gives the writer back, with the length of the file in bytes.
    ///
    /// # Errors
    /// [`WriteError::Size`] when a tensor is not complete.
    pub fn finish(mut self) -> Result<(W, u64), WriteError> {
        if let Some((name, expected)) = self.remaining.pop() {
            let given = self.current_bytes;
            return Err(WriteError::Size {
                name,
                expected,
                given,
            });
        }
        self.writer.flush()?;
        Ok((self.writer, self.written_bytes))
    }
}

fn put_string(output: &mut Vec<u8>, text: &str) {
    output.extend_from_slice(&(text.len() as u64).to_le_bytes());
    output.extend_from_slice(text.as_bytes());
}

fn put_value(output: &mut Vec<u8>, value: &MetadataValue) {
    let put_type = |output: &mut Vec<u8>, kind: ValueType| {
        output.extend_from_slice(&(kind as u32).to_le_bytes());
    };
    let put_array = |output: &mut Vec<u8>, kind: ValueType, count: usize| {
        put_type(output, ValueType::Array);
        put_type(output, kind);
        output.extend_from_slice(&(count as u64).to_le_bytes());
    };
    match value {
        MetadataValue::Uint32(number) => {
            put_type(output, ValueType::Uint32);
            output.extend_from_slice(&number.to_le_bytes());
        }
        MetadataValue::Int32(number) => {
            put_type(output, ValueType::Int32);
            output.extend_from_slice(&number.to_le_bytes());
        }
        MetadataValue::Uint64(number) => {
            put_type(output, ValueType::Uint64);
            output.extend_from_slice(&number.to_le_bytes());
        }
        MetadataValue::Float32(number) => {
            put_type(output, ValueType::Float32);
            output.extend_from_slice(&number.to_le_bytes());
        }
        MetadataValue::Bool(truth) => {
            put_type(output, ValueType::Bool);
            output.push(u8::from(*truth));
        }
        MetadataValue::String(text) => {
            put_type(output, ValueType::String);
            put_string(output, text);
        }
        MetadataValue::Strings(texts) => {
            put_array(output, ValueType::String, texts.len());
            for text in texts {
                put_string(output, text);
            }
        }
        MetadataValue::Int32s(numbers) => {
            put_array(output, ValueType::Int32, numbers.len());
            output.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
        }
        MetadataValue::Float32s(numbers) => {
            put_array(output, ValueType::Float32, numbers.len());
            output.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::gguf::GgufHeader;

    fn planned(name: &str, dimensions: &[u64], kind: TensorType) -> PlannedTensor {
        PlannedTensor {
            name: name.into(),
            dimensions: dimensions.into(),
            kind,
        }
    }

    fn plan() -> GgufPlan {
        let mut plan = GgufPlan::new();
        plan.set("general.architecture", "llama");
        plan.set("general.name", "first");
        plan.set("general.name", "second");
        plan.set("llama.context_length", 77_u32);
        plan.add(planned("a", &[3], TensorType::F32));
        plan.add(planned("b", &[32, 2], TensorType::Q8_0));
        plan
    }

    #[test]
    fn our_reader_reads_what_we_write() {
        let mut stream = plan().start(Vec::new()).unwrap();
        stream.write("a", &[1; 12]).unwrap();
        stream.write("b", &[2; 34]).unwrap();
        stream.write("b", &[3; 34]).unwrap();
        let (bytes, length) = stream.finish().unwrap();
        assert_eq!(bytes.len() as u64, length);
        let header = GgufHeader::parse(&bytes).unwrap();
        assert_eq!(header.architecture, "llama");
        assert_eq!(header.name.as_deref(), Some("second"));
        assert_eq!(header.context_length, Some(77));
        assert_eq!(header.tensors.len(), 2);
        let start = header.data_offset as usize;
        assert_eq!(start % 32, 0);
        assert_eq!(&bytes[start..start + 12], &[1; 12]);
        assert_eq!(&bytes[start + 32..start + 66], &[2; 34]);
        assert_eq!(&bytes[start + 66..start + 100], &[3; 34]);
    }

    #[test]
    fn a_stream_that_differs_from_the_plan_is_refused() {
        let mut stream = plan().start(Vec::new()).unwrap();
        assert!(matches!(
            stream.write("b", &[0; 68]),
            Err(WriteError::Plan { .. })
        ));
        assert!(matches!(
            stream.write("a", &[0; 13]),
            Err(WriteError::Size {
                given: 13,
                expected: 12,
                ..
            })
        ));
        stream.write("a", &[0; 11]).unwrap();
        assert!(matches!(
            stream.finish(),
            Err(WriteError::Size { given: 11, .. })
        ));
    }

    #[test]
    fn a_plan_that_is_no_file_is_refused() {
        let cases = [
            planned("a", &[3], TensorType::F32), // twice
            planned("", &[3], TensorType::F32),
            planned(&"n".repeat(64), &[3], TensorType::F32),
            planned("c", &[], TensorType::F32),
            planned("c", &[1; 5], TensorType::F32),
            planned("c", &[33, 2], TensorType::Q4_0),
            planned("c", &[0], TensorType::F32),
            planned("c", &[1 << 40, 1 << 40], TensorType::F32),
        ];
        for case in cases {
            let mut plan = plan();
            let shown = format!("{case:?}");
            plan.add(case);
            assert!(
                matches!(plan.start(Vec::new()), Err(WriteError::Plan { .. })),
                "{shown}"
            );
        }
    }
}
