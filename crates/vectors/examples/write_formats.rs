//! Writes the files that `tests/formats` opens: `write_formats DIRECTORY`, for each version of the formats once, into a new
//! `testdata/formats/v<version>`. Files of released versions are never written again.

#[path = "../tests/formats/shared.rs"]
mod shared;

use std::path::PathBuf;

use vectors::collection::{CollectionOptions, WriteOptions};
use vectors::database::{Database, DatabaseOptions};
use vectors::{FieldPath, VectorsError};

fn main() -> Result<(), VectorsError> {
    let directory = std::env::args().nth(1).map(PathBuf::from);
    let directory = directory.ok_or_else(|| VectorsError::invalid("directory", "is missing"))?;
    let options = DatabaseOptions {
        maintenance_threads: 0,
        collection: CollectionOptions {
            growing_rows_max: shared::SEALED as u32 / 2,
            ..CollectionOptions::default()
        },
        ..DatabaseOptions::default()
    };
    let database = Database::open(&directory, options)?;
    let collection = database.create_collection(shared::NAME, shared::schema())?;
    for (key, kind) in shared::payload_indexes() {
        collection.create_payload_index(&FieldPath::key(key), kind)?;
    }
    let durable = WriteOptions::durable();
    let half = shared::SEALED / 2;
    let [first, second, last] = shared::DELETED.map(shared::id);
    collection.upsert((0..half).map(shared::point).collect(), &durable)?;
    collection.delete(&[first, second], &durable)?;
    collection.upsert(
        (half..shared::SEALED).map(shared::point).collect(),
        &durable,
    )?;
    collection.upsert(
        (shared::SEALED..shared::WRITTEN)
            .map(shared::point)
            .collect(),
        &durable,
    )?;
    collection.delete(&[last], &durable)?;
    collection.snapshot("kept")?;
    let tokens = database.create_collection(shared::TOKENS, shared::token_schema())?;
    let points = (0..shared::TOKEN_POINTS).map(shared::token_point);
    tokens.upsert(points.collect(), &durable)?;
    tokens.optimize()?;
    Ok(())
}
