//! Chunks of files as points: their identity, what they carry, and how those of a file are found.

use std::collections::BTreeMap;

use documents::{Chunk, Place};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use vectors::filter::{Condition, FieldPath, FieldTest, Filter, Scalar};
use vectors::point::{Payload, Point, PointId};

use super::manage::WORDS;
use crate::collections::{Document, Input};

/// A file as its chunks know it.
pub(super) struct Origin<'f> {
    pub file_id: &'f str,
    pub filename: &'f str,
    pub attributes: &'f Map<String, Value>,
    pub model: &'f str,
}

/// The point of a file's chunk. Half of it is the file's, so that the chunks of a file lie together, in order; what is begun
/// anew replaces what was there.
pub(super) fn point_of(file_id: &str, chunk: u64) -> PointId {
    let mut hash = Sha256::new();
    hash.update(b"fornax chunk 1");
    hash.update(file_id.as_bytes());
    let digest = hash.finalize();
    let mut file = [0u8; 8];
    file.copy_from_slice(&digest[..8]);
    PointId::Uuid(u128::from(u64::from_be_bytes(file)) << 64 | u128::from(chunk))
}

/// The points of a file.
pub(super) fn file_filter(file_id: &str) -> Filter {
    let is_file = FieldTest::Equal(Scalar::Text(file_id.to_owned()));
    Filter {
        must: vec![Condition::field(FieldPath::key("file_id"), is_file)],
        ..Filter::default()
    }
}

/// A chunk as a point whose vectors are still texts.
pub(super) fn point(origin: &Origin<'_>, number: u64, chunk: Chunk, place: &Place) -> Point<Input> {
    let document = |model: &str| {
        Input::Document(Document {
            text: chunk.text.clone(),
            model: model.to_owned(),
            options: Payload::new(),
        })
    };
    let vectors = BTreeMap::from([
        (String::new(), document(origin.model)),
        (WORDS.to_owned(), document(WORDS)),
    ]);
    let mut payload = Payload::new();
    let mut set = |key: &str, value: Value| payload.insert(key.to_owned(), value);
    set("file_id", json!(origin.file_id));
    set("source", json!(origin.filename));
    set("chunk", json!(number));
    set("start", json!(chunk.start));
    set("end", json!(chunk.end));
    if let Some(page) = place.page {
        set("page", json!(page));
    }
    if let Some(row) = place.row {
        set("row", json!(row));
    }
    if let Some(part) = &place.part {
        set("part", json!(part));
    }
    if !chunk.path.is_empty() {
        set("headings", json!(chunk.path));
    }
    set("attributes", Value::Object(origin.attributes.clone()));
    set("text", Value::String(chunk.text));
    Point {
        id: point_of(origin.file_id, number),
        vectors,
        payload,
        expires_unix_ms: None,
    }
}

/// A text of a payload; empty when it is none.
pub(super) fn payload_text(payload: Option<&Payload>, key: &str) -> String {
    payload
        .and_then(|payload| payload.get(key))
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned()
}
