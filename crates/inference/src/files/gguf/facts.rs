//! What a header's metadata says about the model. A key that is there must have the right type and a sane value; only
//! the architecture must be there.

use std::collections::BTreeMap;
use std::io::{Read, Seek};

use super::cursor::Cursor;
use super::parse::{HEADER_BYTES_MAX, Parsed, TensorInfo};
use super::types::{ValueType, file_type_label, keys};
use super::value::{Entry, Metadata, Value};
use super::{GgufHeader, Kind, Pooling};
use crate::files::error::{FileError, FileErrorKind, quotable};

/// Bound of every width, length and count that sizes something; the largest real one (a context) is about 2^24.
const DIMENSION_MAX: u64 = 1 << 31;
/// Layers; llama.cpp holds arrays of 512.
const BLOCKS_MAX: u64 = 512;
/// Heads of one layer.
const HEADS_MAX: u64 = 1 << 16;
/// The text of one token in bytes.
const TOKEN_BYTES_MAX: u64 = 64 * 1024;
/// Architectures that read whole texts at once and only embed (or rank) them.
const ENCODERS: &[&str] = &[
    "bert",
    "modern-bert",
    "nomic-bert",
    "nomic-bert-moe",
    "neo-bert",
    "jina-bert-v2",
    "jina-bert-v3",
    "eurobert",
    "t5encoder",
    "gemma-embedding",
    "llama-embed",
];
/// An id that some converters write for "no such token".
const TOKEN_UNSET: u64 = u32::MAX as u64;

/// Builds the header from what was parsed; reads the texts of the begin and end tokens from `cursor`.
pub(super) fn conclude<R: Read + Seek>(
    parsed: Parsed,
    cursor: &mut Cursor<R>,
) -> Result<GgufHeader, FileError> {
    let facts = Facts(&parsed.metadata);
    facts.refuse_split()?;
    let architecture = facts.architecture()?;
    let own = |suffix: &str| format!("{architecture}.{suffix}");
    let head_count = facts.dimension(&own("attention.head_count"), HEADS_MAX)?;
    let head_count_kv = facts.dimension(&own("attention.head_count_kv"), HEADS_MAX)?;
    let pooling_type = facts.pooling(&own("pooling_type"))?;
    let token_count = facts.token_count()?;
    let bos_token_id = facts.token_id(keys::BOS_TOKEN_ID, token_count)?;
    let eos_token_id = facts.token_id(keys::EOS_TOKEN_ID, token_count)?;
    let (chat_template, chat_templates) = facts.templates()?;
    let parameter_count = parameter_count(&parsed.tensors)?;
    let metadata = &parsed.metadata;
    let mut text_of = |id: Option<u64>| match id {
        Some(id) => token_text(metadata, cursor, id),
        None => Ok(None),
    };
    let bos_token = text_of(bos_token_id)?;
    let eos_token = text_of(eos_token_id)?;
    Ok(GgufHeader {
        version: parsed.version,
        alignment: parsed.alignment,
        data_offset: parsed.data_offset,
        file_bytes: cursor.length(),
        name: facts.text(keys::NAME)?,
        context_length: facts.positive(&own("context_length"), DIMENSION_MAX)?,
        embedding_length: facts.positive(&own("embedding_length"), DIMENSION_MAX)?,
        feed_forward_length: facts.dimension(&own("feed_forward_length"), DIMENSION_MAX)?,
        block_count: facts.positive(&own("block_count"), BLOCKS_MAX)?,
        head_count,
        head_count_kv: head_count_kv.or(head_count),
        vocabulary_size: match facts.positive(&own("vocab_size"), DIMENSION_MAX)? {
            Some(size) => Some(size),
            None => token_count,
        },
        parameter_count,
        quantization: facts.quantization(&parsed.tensors)?,
        chat_template,
        chat_templates,
        tokenizer_model: facts.text(keys::TOKENIZER_MODEL)?,
        tokenizer_pre: facts.text(keys::TOKENIZER_PRE)?,
        bos_token_id,
        eos_token_id,
        bos_token,
        eos_token,
        add_bos: facts.truth(keys::ADD_BOS_TOKEN)?,
        add_eos: facts.truth(keys::ADD_EOS_TOKEN)?,
        pooling_type,
        normalize: facts.truth(keys::NORMALIZE)?,
        license: facts.text(keys::LICENSE)?,
        languages: facts.texts(keys::LANGUAGES)?,
        kind: kind(&architecture, pooling_type),
        architecture,
        metadata: parsed.metadata,
        tensors: parsed.tensors,
    })
}

/// See [`GgufHeader::kv_bytes_per_token`].
pub(super) fn kv_bytes_per_token(header: &GgufHeader) -> u64 {
    /// Bytes of one element of the cache (F16, llama.cpp's default).
    const ELEMENT_BYTES: u64 = 2;
    if ENCODERS.contains(&header.architecture.as_str()) {
        return 0;
    }
    let (Some(layers), Some(heads)) = (header.block_count, header.head_count_kv) else {
        return 0;
    };
    let width_per_head = || {
        let heads = header.head_count.filter(|&heads| heads > 0)?;
        Some(header.embedding_length? / heads)
    };
    let length = |suffix: &str| {
        header
            .metadata
            .get(&format!("{}.attention.{suffix}", header.architecture))
            .and_then(Value::as_unsigned)
            .filter(|&length| length <= DIMENSION_MAX)
            .or_else(width_per_head)
            .unwrap_or(0)
    };
    // At most 512 layers × 2^16 heads × 2^32 elements × 2 bytes: below 2^63.
    layers * heads * (length("key_length") + length("value_length")) * ELEMENT_BYTES
}

/// Text of one token, by walking the vocabulary in the file.
pub(super) fn token_text<R: Read + Seek>(
    metadata: &Metadata,
    cursor: &mut Cursor<R>,
    token: u64,
) -> Result<Option<String>, FileError> {
    let Some(array) = metadata.get(keys::TOKENS).and_then(Value::as_array) else {
        return Ok(None);
    };
    if array.element != ValueType::String || token >= array.count {
        return Ok(None);
    }
    let mut walk = || {
        cursor.rewind(array.offset, HEADER_BYTES_MAX)?;
        for _ in 0..token {
            cursor.skip_text()?;
        }
        cursor.text(TOKEN_BYTES_MAX)
    };
    walk()
        .map(Some)
        .map_err(|fault| fault.named(format!("metadata[\"{}\"][{token}]", keys::TOKENS)))
}

fn kind(architecture: &str, pooling: Option<Pooling>) -> Kind {
    match pooling {
        Some(Pooling::Rank) => Kind::Rank,
        // A decoder that declares a pooling was trained to embed.
        Some(Pooling::Mean | Pooling::Cls | Pooling::Last) => Kind::Embed,
        Some(Pooling::None) | None if ENCODERS.contains(&architecture) => Kind::Embed,
        Some(Pooling::None) | None => Kind::Generate,
    }
}

fn parameter_count(tensors: &[TensorInfo]) -> Result<u64, FileError> {
    let mut total: u64 = 0;
    for tensor in tensors {
        // Every tensor lies in the file without overlap and holds at most 8 elements per byte or so.
        total = total.checked_add(tensor.elements()).ok_or_else(|| {
            FileError::new(
                FileErrorKind::Invalid,
                "tensor_count",
                0,
                "the number of parameters overflows",
            )
        })?;
    }
    Ok(total)
}

/// Typed access to metadata: absent is `None`, wrong is an error.
struct Facts<'a>(&'a Metadata);

impl Facts<'_> {
    fn refuse(kind: FileErrorKind, entry: &Entry, message: impl Into<String>) -> FileError {
        let field = format!("metadata[\"{}\"]", quotable(&entry.key));
        FileError::new(kind, field, entry.offset, message)
    }

    fn wrong_type(entry: &Entry, expected: &str) -> FileError {
        let message = format!(
            "has type {:?}, {expected} is expected",
            entry.value.value_type()
        );
        Self::refuse(FileErrorKind::Invalid, entry, message)
    }

    fn text(&self, key: &str) -> Result<Option<String>, FileError> {
        let Some(entry) = self.0.entry(key) else {
            return Ok(None);
        };
        match entry.value.as_str() {
            Some(text) => Ok(Some(text.to_owned()).filter(|text| !text.is_empty())),
            None => Err(Self::wrong_type(entry, "a text")),
        }
    }

    fn truth(&self, key: &str) -> Result<Option<bool>, FileError> {
        let Some(entry) = self.0.entry(key) else {
            return Ok(None);
        };
        match entry.value.as_bool() {
            Some(value) => Ok(Some(value)),
            None => Err(Self::wrong_type(entry, "a truth value")),
        }
    }

    /// Texts of an array; one plain text counts as an array of one. Long arrays are not held and read as empty.
    fn texts(&self, key: &str) -> Result<Vec<String>, FileError> {
        let Some(entry) = self.0.entry(key) else {
            return Ok(Vec::new());
        };
        match &entry.value {
            Value::String(text) => Ok(vec![text.clone()]),
            Value::Array(array) if array.element == ValueType::String || array.count == 0 => {
                let items = array.items.iter().flatten();
                Ok(items.filter_map(Value::as_str).map(str::to_owned).collect())
            }
            _ => Err(Self::wrong_type(entry, "an array of texts")),
        }
    }

    /// A count of at most `most`; for an array with one count per layer, the largest.
    fn dimension(&self, key: &str, most: u64) -> Result<Option<u64>, FileError> {
        let Some(entry) = self.0.entry(key) else {
            return Ok(None);
        };
        let value = match &entry.value {
            Value::Array(array) => {
                let Some(items) = &array.items else {
                    let message = format!("{} values, one per layer is expected", array.count);
                    return Err(Self::refuse(FileErrorKind::Limit, entry, message));
                };
                let counts: Option<Vec<u64>> = items.iter().map(Value::as_unsigned).collect();
                counts.and_then(|counts| counts.into_iter().max())
            }
            value => value.as_unsigned(),
        };
        let value = value.ok_or_else(|| Self::wrong_type(entry, "a count"))?;
        if value > most {
            let message = format!("{value}, at most {most} is allowed");
            return Err(Self::refuse(FileErrorKind::Limit, entry, message));
        }
        Ok(Some(value))
    }

    fn positive(&self, key: &str, most: u64) -> Result<Option<u64>, FileError> {
        match (self.dimension(key, most)?, self.0.entry(key)) {
            (Some(0), Some(entry)) => Err(Self::refuse(
                FileErrorKind::Invalid,
                entry,
                "zero makes no model",
            )),
            (value, _) => Ok(value),
        }
    }

    fn refuse_split(&self) -> Result<(), FileError> {
        let Some(entry) = self.0.entry(keys::SPLIT_COUNT) else {
            return Ok(());
        };
        match entry.value.as_unsigned() {
            Some(0 | 1) => Ok(()),
            Some(count) => {
                let message = format!(
                    "the model is split into {count} files, which is not supported; merge them into one file first"
                );
                Err(Self::refuse(FileErrorKind::Unsupported, entry, message))
            }
            None => Err(Self::wrong_type(entry, "a count")),
        }
    }

    fn architecture(&self) -> Result<String, FileError> {
        let field = || format!("metadata[\"{}\"]", keys::ARCHITECTURE);
        let Some(name) = self.text(keys::ARCHITECTURE)? else {
            let message = "absent, so the file cannot be run";
            return Err(FileError::new(FileErrorKind::Missing, field(), 0, message));
        };
        let plain =
            |character: char| character.is_ascii_alphanumeric() || "-_.".contains(character);
        if name.len() > 64 || !name.chars().all(plain) {
            let message = format!("\"{}\" is no name of an architecture", quotable(&name));
            let offset = self
                .0
                .entry(keys::ARCHITECTURE)
                .map_or(0, |entry| entry.offset);
            return Err(FileError::new(
                FileErrorKind::Invalid,
                field(),
                offset,
                message,
            ));
        }
        Ok(name)
    }

    fn pooling(&self, key: &str) -> Result<Option<Pooling>, FileError> {
        let Some(entry) = self.0.entry(key) else {
            return Ok(None);
        };
        match entry.value.as_unsigned() {
            Some(0) => Ok(Some(Pooling::None)),
            Some(1) => Ok(Some(Pooling::Mean)),
            Some(2) => Ok(Some(Pooling::Cls)),
            Some(3) => Ok(Some(Pooling::Last)),
            Some(4) => Ok(Some(Pooling::Rank)),
            Some(other) => {
                let message = format!("unknown pooling {other}");
                Err(Self::refuse(FileErrorKind::Unsupported, entry, message))
            }
            None => Err(Self::wrong_type(entry, "a number from 0 to 4")),
        }
    }

    fn token_count(&self) -> Result<Option<u64>, FileError> {
        let Some(entry) = self.0.entry(keys::TOKENS) else {
            return Ok(None);
        };
        let array = entry.value.as_array();
        match array.filter(|array| array.element == ValueType::String) {
            Some(array) if array.count > 0 => Ok(Some(array.count)),
            Some(_) => Err(Self::refuse(
                FileErrorKind::Invalid,
                entry,
                "an empty vocabulary",
            )),
            None => Err(Self::wrong_type(entry, "an array of texts")),
        }
    }

    fn token_id(&self, key: &str, token_count: Option<u64>) -> Result<Option<u64>, FileError> {
        let Some(entry) = self.0.entry(key) else {
            return Ok(None);
        };
        match (entry.value.as_unsigned(), &entry.value) {
            (Some(TOKEN_UNSET), _) | (None, Value::Int32(-1) | Value::Int64(-1)) => Ok(None),
            (Some(id), _) if token_count.is_none_or(|count| id < count) => Ok(Some(id)),
            (Some(id), _) => {
                let count = token_count.unwrap_or(0);
                let message = format!("token {id} does not exist, the vocabulary has {count}");
                Err(Self::refuse(FileErrorKind::Invalid, entry, message))
            }
            (None, _) => Err(Self::wrong_type(entry, "a token id")),
        }
    }

    /// The default template, and the named ones.
    fn templates(&self) -> Result<(Option<String>, BTreeMap<String, String>), FileError> {
        let mut named = BTreeMap::new();
        for name in self.texts(keys::CHAT_TEMPLATES)? {
            let key = format!("{}.{name}", keys::CHAT_TEMPLATE);
            if let Some(template) = self.text(&key)? {
                named.insert(name, template);
            }
        }
        let default = self.text(keys::CHAT_TEMPLATE)?;
        let default = default.or_else(|| named.remove("default"));
        Ok((default, named))
    }

    /// The declared file type, else the type of most elements.
    fn quantization(&self, tensors: &[TensorInfo]) -> Result<String, FileError> {
        /// llama.cpp adds this to the number when it guessed the type itself.
        const GUESSED: u64 = 1024;
        if let Some(entry) = self.0.entry(keys::FILE_TYPE) {
            let Some(number) = entry.value.as_unsigned() else {
                return Err(Self::wrong_type(entry, "a number"));
            };
            if let Some(label) = file_type_label(number % GUESSED) {
                return Ok(label.to_owned());
            }
        }
        let mut elements_by_type = BTreeMap::new();
        for tensor in tensors {
            let sum: &mut u64 = elements_by_type.entry(tensor.kind).or_default();
            *sum = sum.saturating_add(tensor.elements());
        }
        let most = elements_by_type
            .iter()
            .max_by_key(|(_, elements)| **elements);
        Ok(most.map_or_else(|| "none".to_owned(), |(kind, _)| kind.name().to_owned()))
    }
}
