//! `verify` reads what is on disk now, not what was there when it was opened.

use serde_json::json;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use vectors::payload::PayloadIndexKind;
use vectors::schema::CollectionSchema;
use vectors::{Point, SparseVector, Vector};

use crate::support::*;

fn rich_point(id: u64) -> Point {
    let (one, two) = (id as f32, (id % 7) as f32);
    let words = Vector::Sparse(SparseVector {
        indices: vec![id as u32 % 5, 10],
        values: vec![1.0, 2.0],
    });
    let mut rich = point(
        id,
        &[one, two],
        json!({"group": format!("g{}", id % 3), "title": format!("number {id} of them")}),
    );
    rich.vectors
        .insert("bytes".into(), Vector::Dense(vec![one, two]));
    rich.vectors
        .insert("half".into(), Vector::Dense(vec![one, two]));
    rich.vectors.insert(
        "tokens".into(),
        Vector::Multi(vec![vec![one, two], vec![two, one]]),
    );
    rich.vectors.insert("words".into(), words.clone());
    rich.vectors.insert("rare".into(), words);
    rich
}

fn files_below(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).expect("list") {
        let path = entry.expect("entry").path();
        if path.is_dir() {
            files_below(&path, files);
        } else {
            files.push(path);
        }
    }
}

/// Changes the byte in the middle of a file; again, and it is as before.
fn flip(path: &Path) {
    let file = std::fs::File::options()
        .read(true)
        .write(true)
        .open(path)
        .expect("open");
    let middle = file.metadata().expect("length").len() / 2;
    let mut byte = [0];
    file.read_exact_at(&mut byte, middle).expect("read");
    file.write_all_at(&[byte[0] ^ 0x10], middle).expect("write");
}

#[test]
fn damage_to_any_file_of_an_open_collection_is_named() {
    let directory = tempfile::tempdir().expect("directory");
    let database = open(directory.path(), 50);
    let schema = CollectionSchema {
        index_from_rows: Some(20),
        ..rich_schema()
    };
    let collection = database.create_collection("notes", schema).expect("new");
    let text = PayloadIndexKind::Text {
        analyzer: None,
        scoring: Some(Default::default()),
    };
    for (key, kind) in [("group", PayloadIndexKind::Keyword), ("title", text)] {
        collection
            .create_payload_index(&path(key), kind)
            .expect("index");
    }
    let write = |range: std::ops::Range<u64>| {
        let points = range.map(rich_point).collect();
        collection.upsert(points, &durable()).expect("written");
    };
    write(0..50);
    let gone = [vectors::PointId::Number(3)];
    collection.delete(&gone, &durable()).expect("deleted");
    // Another segment, and with its switch the tombstones of the first; then rows that are in the log only.
    write(50..100);
    write(100..130);
    let mut files = Vec::new();
    files_below(&directory.path().join("collections/notes"), &mut files);
    for part in [
        "rows.fxv", "index-", "payload-", "sparse-", "live-", "MANIFEST", ".log",
    ] {
        let is_there = |path: &&PathBuf| path.to_string_lossy().contains(part);
        assert!(files.iter().any(|path| is_there(&path)), "{part}");
    }
    assert_eq!(collection.verify().expect("read").len(), 0);
    for file in files {
        let name = file.strip_prefix(directory.path()).expect("below");
        flip(&file);
        let damages = collection.verify().expect("read");
        let named = damages
            .iter()
            .any(|damage| damage.to_string().contains(name.to_str().expect("path")));
        assert!(named, "{}: {damages:?}", name.display());
        flip(&file);
        assert_eq!(collection.verify().expect("read").len(), 0);
    }
}
