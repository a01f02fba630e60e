//! A checkpoint directory: its JSON files and its safetensors, read within bounds and never outside the directory.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Component, Path, PathBuf};

use serde_json::Value;

use super::error::ConvertError;
use crate::files::safetensors::{SafetensorsFile, TensorView};

/// Largest JSON or text file that is read; the tokenizers of today's models have up to 35 MB.
const TEXT_BYTES_MAX: u64 = 128 * 1024 * 1024;
/// Most files that the weights may be split into.
const SHARDS_MAX: usize = 1024;

const SINGLE_FILE: &str = "model.safetensors";
const INDEX_FILE: &str = "model.safetensors.index.json";

/// The directory that a model was downloaded to.
#[derive(Debug)]
pub(super) struct Checkpoint {
    directory: PathBuf,
    shards: Vec<SafetensorsFile>,
    /// Which shard holds a tensor.
    shard_of: BTreeMap<String, usize>,
}

impl Checkpoint {
    pub(super) fn open(directory: &Path) -> Result<Self, ConvertError> {
        let mut checkpoint = Self {
            directory: directory.to_owned(),
            shards: Vec::new(),
            shard_of: BTreeMap::new(),
        };
        for name in checkpoint.shard_names()? {
            let path = checkpoint.path(&name)?;
            let file = SafetensorsFile::open(&path)
                .map_err(|error| ConvertError::Weights { path, error })?;
            let shard = checkpoint.shards.len();
            for tensor in &file.header.tensors {
                if checkpoint
                    .shard_of
                    .insert(tensor.name.clone(), shard)
                    .is_some()
                {
                    return Err(ConvertError::tensor(&tensor.name, "is in two files"));
                }
            }
            checkpoint.shards.push(file);
        }
        Ok(checkpoint)
    }

    /// Names of the weight files: the one file, or those that the index lists.
    fn shard_names(&self) -> Result<Vec<String>, ConvertError> {
        let Some(index) = self.json(INDEX_FILE)? else {
            if self.directory.join(SINGLE_FILE).is_file() {
                return Ok(vec![SINGLE_FILE.into()]);
            }
            return Err(ConvertError::Missing {
                file: SINGLE_FILE.into(),
                purpose: "the weights are read from it, or from the files of model.safetensors.index.json",
            });
        };
        let wrong = |message: &str| ConvertError::field(INDEX_FILE, "weight_map", message);
        let map = index
            .get("weight_map")
            .and_then(Value::as_object)
            .ok_or_else(|| wrong("an object is expected"))?;
        let mut names = std::collections::BTreeSet::new();
        for file in map.values() {
            let name = file
                .as_str()
                .ok_or_else(|| wrong("file names are expected"))?;
            names.insert(name.to_owned());
            if names.len() > SHARDS_MAX {
                return Err(wrong("more files than any model has"));
            }
        }
        Ok(names.into_iter().collect())
    }

    /// The path of a file that the checkpoint names; only names below the directory are accepted.
    fn path(&self, name: &str) -> Result<PathBuf, ConvertError> {
        let inside = Path::new(name)
            .components()
            .all(|part| matches!(part, Component::Normal(_)));
        if inside && !name.is_empty() {
            Ok(self.directory.join(name))
        } else {
            let message = "leads out of the checkpoint's directory";
            Err(ConvertError::field(name, "path", message))
        }
    }

    /// The text of a file, when it is there.
    pub(super) fn text(&self, name: &str) -> Result<Option<String>, ConvertError> {
        let path = self.path(name)?;
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(ConvertError::Io { path, error }),
        };
        let mut text = String::new();
        match file.take(TEXT_BYTES_MAX + 1).read_to_string(&mut text) {
            Ok(_) if text.len() as u64 > TEXT_BYTES_MAX => Err(ConvertError::field(
                name,
                "length",
                format!("more than {TEXT_BYTES_MAX} bytes"),
            )),
            Ok(_) => Ok(Some(text)),
            Err(error) => Err(ConvertError::Io { path, error }),
        }
    }

    /// The JSON of a file, when it is there.
    pub(super) fn json(&self, name: &str) -> Result<Option<Value>, ConvertError> {
        let Some(text) = self.text(name)? else {
            return Ok(None);
        };
        serde_json::from_str(&text)
            .map(Some)
            .map_err(|error| ConvertError::field(name, "JSON", error.to_string()))
    }

    /// The JSON of a file that must be there.
    pub(super) fn required_json(
        &self,
        name: &str,
        purpose: &'static str,
    ) -> Result<Value, ConvertError> {
        self.json(name)?.ok_or_else(|| ConvertError::Missing {
            file: name.into(),
            purpose,
        })
    }

    pub(super) fn tensor(&self, name: &str) -> Option<TensorView<'_>> {
        let shard = *self.shard_of.get(name)?;
        self.shards[shard].tensor(name)
    }

    /// Names of all tensors, sorted.
    pub(super) fn tensor_names(&self) -> impl Iterator<Item = &str> {
        self.shard_of.keys().map(String::as_str)
    }

    /// The last part of the directory's name, for a model without a better one.
    pub(super) fn directory_name(&self) -> Option<String> {
        let full = self.directory.canonicalize().ok()?;
        Some(full.file_name()?.to_str()?.to_owned())
    }
}

/// `config.json`, with errors that name the field.
#[derive(Debug)]
pub(super) struct Config(pub(super) Value);

pub(super) const CONFIG_FILE: &str = "config.json";

/// Larger than any dimension of any model, and small enough that no product of two overflows.
const DIMENSION_MAX: u64 = 1 << 26;

impl Config {
    pub(super) fn text(&self, field: &str) -> Option<&str> {
        self.0.get(field).and_then(Value::as_str)
    }

    /// A positive whole number, when the field is there and not null.
    pub(super) fn optional_count(&self, field: &str) -> Result<Option<u32>, ConvertError> {
        match self.0.get(field) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => value
                .as_u64()
                .filter(|count| (1..=DIMENSION_MAX).contains(count))
                .map(|count| Some(count as u32))
                .ok_or_else(|| {
                    let message = format!("a whole number from 1 to {DIMENSION_MAX} is expected");
                    ConvertError::field(CONFIG_FILE, field, message)
                }),
        }
    }

    pub(super) fn count(&self, field: &str) -> Result<u32, ConvertError> {
        self.optional_count(field)?
            .ok_or_else(|| ConvertError::field(CONFIG_FILE, field, "is missing"))
    }

    /// A finite positive number, or `default` when the field is absent or null.
    pub(super) fn number_or(&self, field: &str, default: f32) -> Result<f32, ConvertError> {
        number_in(&self.0, field).map(|number| number.unwrap_or(default))
    }
}

/// A finite positive number of a JSON object, when it is there and not null.
pub(super) fn number_in(object: &Value, field: &str) -> Result<Option<f32>, ConvertError> {
    match object.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => value
            .as_f64()
            .map(|number| number as f32)
            .filter(|number| number.is_finite() && *number > 0.0)
            .map(Some)
            .ok_or_else(|| {
                ConvertError::field(CONFIG_FILE, field, "a positive number is expected")
            }),
    }
}
