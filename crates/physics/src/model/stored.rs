//! Models as safetensors files.
//!
//! ```text
//! 8 bytes   length of the header, little endian
//! header    JSON: "__metadata__" {"config", "format", "seed"}, then one entry per tensor
//!           {"dtype": "F64" | "F32", "shape": [..], "data_offsets": [begin, end]}
//! data      the tensors' values, little endian, without gaps
//! ```
//!
//! Written by hand, because the bytes must be the same for the same model (its digest is their hash) and the usual library
//! keeps its metadata in an order that changes from run to run.

use serde_json::{Map, Value, json};

use super::{ModelConfig, ScienceModel};
use crate::error::PhysicsError;

/// The value of the metadata's `format`.
const FORMAT: &str = "fornax-science-1";
/// The longest header that is read: 4,096 waves of 16 dimensions take about 25 MB.
const HEADER_BYTES_MAX: usize = 64 << 20;

fn refused(reason: impl Into<String>) -> PhysicsError {
    PhysicsError::Stored {
        reason: reason.into(),
    }
}

impl ScienceModel {
    /// The model as a safetensors file: configuration, seed and all values. The same model gives the same bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let double = self.is_double();
        let (kind, size) = if double { ("F64", 8) } else { ("F32", 4) };
        let mut header = Map::new();
        let config = serde_json::to_string(&self.config).unwrap_or_default();
        header.insert(
            "__metadata__".to_owned(),
            json!({"config": config, "format": FORMAT, "seed": self.seed.to_string()}),
        );
        let mut data = Vec::new();
        for parameter in self.parameters() {
            let begin = data.len();
            for value in &parameter.values {
                if double {
                    data.extend(value.to_le_bytes());
                } else {
                    data.extend((*value as f32).to_le_bytes());
                }
            }
            debug_assert_eq!(data.len() - begin, parameter.values.len() * size);
            header.insert(
                parameter.name,
                json!({"dtype": kind, "shape": parameter.shape, "data_offsets": [begin, data.len()]}),
            );
        }
        let mut header = Value::Object(header).to_string().into_bytes();
        // Padded with spaces so that the data begin at a multiple of 8, as readers that map the file like it.
        header.resize(header.len().next_multiple_of(8), b' ');
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header);
        bytes.extend(data);
        bytes
    }

    /// The model in a file that [`ScienceModel::to_bytes`] wrote.
    ///
    /// # Errors
    /// [`PhysicsError::Stored`] when the file is cut short, no safetensors file, none of ours, lacks a tensor or has one too
    /// many, or holds values that are not finite.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, PhysicsError> {
        let (length, rest) = bytes
            .split_first_chunk::<8>()
            .ok_or_else(|| refused("it is shorter than its header's length"))?;
        let length = usize::try_from(u64::from_le_bytes(*length)).unwrap_or(usize::MAX);
        if length > HEADER_BYTES_MAX || length > rest.len() {
            return Err(refused("its header is longer than the file or the bound"));
        }
        let (header, data) = rest.split_at(length);
        let mut header: Map<String, Value> = serde_json::from_slice(header)
            .map_err(|error| refused(format!("its header is not JSON: {error}")))?;
        let metadata = header
            .remove("__metadata__")
            .ok_or_else(|| refused("it has no metadata"))?;
        let text = |name: &str| {
            let value = metadata.get(name).and_then(Value::as_str);
            value.ok_or_else(|| refused(format!("its metadata lack `{name}`")))
        };
        if text("format")? != FORMAT {
            return Err(refused(format!("its format is not {FORMAT}")));
        }
        let config: ModelConfig = serde_json::from_str(text("config")?)
            .map_err(|error| refused(format!("its configuration: {error}")))?;
        let seed = (text("seed")?.parse()).map_err(|_| refused("its seed is not a number"))?;
        // The fresh model says which tensors there must be. Its size is held against the file's before it is made, so that
        // a few bytes cannot ask for much memory.
        let count = config
            .value_count()
            .map_err(|error| refused(format!("its configuration: could not {error}")))?;
        if data.len() != 4 * count && data.len() != 8 * count {
            return Err(refused(format!(
                "its configuration needs {count} values, which {} bytes are not",
                data.len()
            )));
        }
        let fresh = ScienceModel::create(config, seed)
            .map_err(|error| refused(format!("its configuration: could not {error}")))?;
        let values = read_values(&fresh, &header, data)?;
        fresh
            .with_values(values)
            .map_err(|error| refused(format!("its values: could not {error}")))
    }
}

/// The values of all tensors that `fresh` has, which must be exactly those of the file and cover its data without gaps.
fn read_values(
    fresh: &ScienceModel,
    header: &Map<String, Value>,
    data: &[u8],
) -> Result<Vec<f64>, PhysicsError> {
    let double = fresh.is_double();
    let (kind, size) = if double { ("F64", 8) } else { ("F32", 4) };
    let expected = fresh.parameters();
    if header.len() != expected.len() {
        return Err(refused(format!(
            "it holds {} tensors where {} are needed",
            header.len(),
            expected.len()
        )));
    }
    let mut values = Vec::new();
    let mut ranges = Vec::with_capacity(expected.len());
    for parameter in &expected {
        let name = &parameter.name;
        let entry = header
            .get(name)
            .ok_or_else(|| refused(format!("tensor `{name}` is missing")))?;
        let shape = json!(parameter.shape);
        if entry.get("dtype").and_then(Value::as_str) != Some(kind)
            || entry.get("shape") != Some(&shape)
        {
            return Err(refused(format!(
                "tensor `{name}` is not {kind} of shape {shape}"
            )));
        }
        let offset = |index: usize| -> Option<usize> {
            let value = entry.get("data_offsets")?.get(index)?.as_u64()?;
            usize::try_from(value).ok()
        };
        let range = offset(0).zip(offset(1));
        let bytes = range
            .and_then(|(begin, end)| data.get(begin..end))
            .filter(|bytes| bytes.len() == parameter.values.len() * size)
            .ok_or_else(|| refused(format!("tensor `{name}` lies outside the data")))?;
        ranges.extend(range);
        if double {
            let (chunks, _) = bytes.as_chunks::<8>();
            values.extend(chunks.iter().map(|chunk| f64::from_le_bytes(*chunk)));
        } else {
            let (chunks, _) = bytes.as_chunks::<4>();
            values.extend(
                chunks
                    .iter()
                    .map(|chunk| f64::from(f32::from_le_bytes(*chunk))),
            );
        }
    }
    ranges.sort_unstable();
    let mut end = 0;
    for (begin, next) in ranges {
        if begin != end {
            return Err(refused("its tensors overlap or leave gaps"));
        }
        end = next;
    }
    if end != data.len() {
        return Err(refused("its data are longer than its tensors"));
    }
    Ok(values)
}
