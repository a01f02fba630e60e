//! Chunks as points: their identity, what they carry, how those of a file are found.

use documents::{Chunk, Piece};
use serde_json::Value;
use sha2::{Digest, Sha256};
use vectors::filter::{Condition, FieldPath, FieldTest, Filter, Scalar};
use vectors::point::{Payload, Point, PointId, Vector};

use super::target::{Target, WORDS};
use super::types::IngestOptions;
use crate::collections::{Document, Input};

/// Payload key of the file's name.
pub(super) const SOURCE: &str = "source";
/// Payload key of the version: what the points were made of and how.
pub(super) const VERSION: &str = "source_version";

/// Says which content was cut in which way for which model; the same version is not read again.
pub(super) fn version(sha256: &str, target: &Target, options: &IngestOptions) -> String {
    let mut hash = Sha256::new();
    let chunking = &target.chunking;
    let records = &options.records;
    for part in [
        // Changes when the same file would give other points.
        "fornax ingest 1",
        sha256,
        &target.digest,
        &format!(
            "{:?} {} {}",
            options.chunking.strategy, chunking.size, chunking.overlap
        ),
        &format!("{:?} {:?}", records.text, records.vector),
        &format!("{:?}", options.kind),
        &Value::Object(options.attributes.clone()).to_string(),
    ] {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part.as_bytes());
    }
    hex::encode(hash.finalize())
}

/// The point of a version's chunk: a file that is read again replaces what an interrupted reading left behind. Half of
/// it is the version's, so that its chunks lie together and in order.
pub(super) fn point_id(source: &str, version: &str, chunk: u64) -> PointId {
    let mut hash = Sha256::new();
    hash.update(b"fornax chunk");
    hash.update((source.len() as u64).to_le_bytes());
    hash.update(source.as_bytes());
    hash.update(version.as_bytes());
    let digest = hash.finalize();
    let mut half = [0; 8];
    half.copy_from_slice(&digest[..8]);
    PointId::Uuid(u128::from(u64::from_be_bytes(half)) << 64 | u128::from(chunk))
}

/// All points of a file.
pub(super) fn of_source(source: &str) -> Filter {
    Filter {
        must: vec![equals(SOURCE, source)],
        ..Filter::default()
    }
}

/// The points of a file's version.
pub(super) fn of_version(source: &str, version: &str) -> Filter {
    Filter {
        must: vec![equals(SOURCE, source), equals(VERSION, version)],
        ..Filter::default()
    }
}

/// The points of a file's other versions.
pub(super) fn of_other_versions(source: &str, version: &str) -> Filter {
    Filter {
        must: vec![equals(SOURCE, source)],
        must_not: vec![equals(VERSION, version)],
        ..Filter::default()
    }
}

fn equals(key: &str, value: &str) -> Condition {
    let test = FieldTest::Equal(Scalar::Text(value.to_owned()));
    Condition::field(FieldPath::key(key), test)
}

/// What all points of a file share.
pub(super) struct Origin<'a> {
    pub(super) source: &'a str,
    pub(super) version: &'a str,
    pub(super) target: &'a Target,
    pub(super) attributes: &'a Payload,
}

/// A chunk as a point whose vectors are texts still, or the one that its record brought.
pub(super) fn point(origin: &Origin<'_>, number: u64, chunk: Chunk, piece: &Piece) -> Point<Input> {
    let document = |model: &str| {
        Input::Document(Document {
            text: chunk.text.clone(),
            model: model.to_owned(),
            options: Payload::new(),
        })
    };
    let mut vectors = std::collections::BTreeMap::new();
    if origin.target.dense {
        let dense = match &piece.vector {
            Some(vector) => Input::Vector(Vector::Dense(vector.clone())),
            None => document(&origin.target.model),
        };
        vectors.insert(String::new(), dense);
    }
    if origin.target.words {
        vectors.insert(WORDS.to_owned(), document(WORDS));
    }
    Point {
        id: point_id(origin.source, origin.version, number),
        vectors,
        payload: payload(origin, number, &chunk, piece),
        expires_unix_ms: None,
    }
}

fn payload(origin: &Origin<'_>, number: u64, chunk: &Chunk, piece: &Piece) -> Payload {
    let place = &piece.place;
    let mut payload = Payload::new();
    let mut put = |key: &str, value: Option<Value>| {
        if let Some(value) = value {
            payload.insert(key.to_owned(), value);
        }
    };
    put("text", Some(chunk.text.as_str().into()));
    put(SOURCE, Some(origin.source.into()));
    put(VERSION, Some(origin.version.into()));
    put("chunk", Some(number.into()));
    put("start", Some(chunk.start.into()));
    put("end", Some(chunk.end.into()));
    put("page", place.page.map(Value::from));
    put("row", place.row.map(Value::from));
    put("line", place.line.map(Value::from));
    put("part", place.part.clone().map(Value::from));
    let headings = (!chunk.path.is_empty()).then(|| chunk.path.clone().into());
    put("headings", headings);
    put("fields", piece.fields.clone().map(Value::Object));
    let noted = !origin.attributes.is_empty();
    put(
        "attributes",
        noted.then(|| Value::Object(origin.attributes.clone())),
    );
    payload
}
