//! Metadata values of a GGUF header, and the ordered map that holds them.

use std::collections::HashMap;

use super::types::ValueType;

/// One metadata value, with the type that the file gave it.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "the names are the format's own")]
pub enum Value {
    Uint8(u8),
    Int8(i8),
    Uint16(u16),
    Int16(i16),
    Uint32(u32),
    Int32(i32),
    Float32(f32),
    Bool(bool),
    String(String),
    Array(Array),
    Uint64(u64),
    Int64(i64),
    Float64(f64),
}

/// An array of the metadata. Long ones (vocabularies, merges, scores) stay in the file: their bounds were checked,
/// their place is known, their elements are not held.
#[derive(Debug, Clone, PartialEq)]
pub struct Array {
    /// Type of every element.
    pub element: ValueType,
    /// Number of elements.
    pub count: u64,
    /// Where the first element starts in the file, in bytes.
    pub offset: u64,
    /// Bytes of all elements in the file.
    pub bytes: u64,
    /// The elements, when the array is short enough to hold.
    pub items: Option<Vec<Value>>,
}

impl Value {
    /// The type of this value.
    #[must_use]
    pub fn value_type(&self) -> ValueType {
        match self {
            Self::Uint8(_) => ValueType::Uint8,
            Self::Int8(_) => ValueType::Int8,
            Self::Uint16(_) => ValueType::Uint16,
            Self::Int16(_) => ValueType::Int16,
            Self::Uint32(_) => ValueType::Uint32,
            Self::Int32(_) => ValueType::Int32,
            Self::Float32(_) => ValueType::Float32,
            Self::Bool(_) => ValueType::Bool,
            Self::String(_) => ValueType::String,
            Self::Array(_) => ValueType::Array,
            Self::Uint64(_) => ValueType::Uint64,
            Self::Int64(_) => ValueType::Int64,
            Self::Float64(_) => ValueType::Float64,
        }
    }

    /// The value as a count; `None` for other types and for negative numbers.
    #[must_use]
    pub fn as_unsigned(&self) -> Option<u64> {
        match *self {
            Self::Uint8(value) => Some(value.into()),
            Self::Uint16(value) => Some(value.into()),
            Self::Uint32(value) => Some(value.into()),
            Self::Uint64(value) => Some(value),
            Self::Int8(value) => value.try_into().ok(),
            Self::Int16(value) => value.try_into().ok(),
            Self::Int32(value) => value.try_into().ok(),
            Self::Int64(value) => value.try_into().ok(),
            _ => None,
        }
    }

    /// The text; `None` for other types.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// The truth value; `None` for other types.
    #[must_use]
    pub fn as_bool(&self) -> Option<bool> {
        match *self {
            Self::Bool(value) => Some(value),
            _ => None,
        }
    }

    /// The number as a float; `None` for texts, truth values and arrays.
    #[must_use]
    pub fn as_float(&self) -> Option<f64> {
        match *self {
            Self::Float32(value) => Some(value.into()),
            Self::Float64(value) => Some(value),
            Self::Int64(value) => Some(value as f64),
            _ => self.as_unsigned().map(|value| value as f64),
        }
    }

    /// The array; `None` for other types.
    #[must_use]
    pub fn as_array(&self) -> Option<&Array> {
        match self {
            Self::Array(array) => Some(array),
            _ => None,
        }
    }
}

/// One key with its value and place.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The key: `llama.context_length`.
    pub key: String,
    /// Its value.
    pub value: Value,
    /// Where the value starts in the file, in bytes.
    pub offset: u64,
}

/// All metadata of a header, in file order. Keys are unique.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Metadata {
    entries: Vec<Entry>,
    index: HashMap<String, usize>,
}

impl Metadata {
    /// Appends an entry; false (and nothing changes) when the key is taken.
    pub(super) fn insert(&mut self, entry: Entry) -> bool {
        if self.index.contains_key(&entry.key) {
            return false;
        }
        self.index.insert(entry.key.clone(), self.entries.len());
        self.entries.push(entry);
        true
    }

    /// Whether the key is there.
    #[must_use]
    pub fn contains(&self, key: &str) -> bool {
        self.index.contains_key(key)
    }

    /// The entry of a key.
    #[must_use]
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.index.get(key).map(|&index| &self.entries[index])
    }

    /// The value of a key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.entry(key).map(|entry| &entry.value)
    }

    /// All entries, in file order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Entry> {
        self.entries.iter()
    }

    /// Number of keys.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are no keys.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}
