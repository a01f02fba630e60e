//! Changes of schemas: read, changed and written by one caller at a time.

use std::sync::{MutexGuard, PoisonError};

use vectors::schema::{CollectionSchema, VectorSchema};
use vectors::{Collection, VectorsError};

use super::tenants::Tenant;
use super::types::{CollectionUpdate, METADATA, VectorUpdate};

impl Tenant {
    /// Held by who changes a schema.
    pub(crate) fn changing(&self) -> MutexGuard<'_, ()> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads a schema, changes it and writes it, with nobody in between. A change that says no changes nothing.
    pub(crate) fn change_schema(
        &self,
        collection: &Collection,
        change: &dyn Fn(&mut CollectionSchema) -> Result<(), VectorsError>,
    ) -> Result<(), VectorsError> {
        let _changing = self.changing();
        let before = collection.schema();
        let mut after = before.as_ref().clone();
        change(&mut after)?;
        if after == *before {
            return Ok(());
        }
        collection.update_schema(after)
    }
}

/// Makes the changes of a request.
pub(super) fn apply(
    schema: &mut CollectionSchema,
    update: &CollectionUpdate,
) -> Result<(), VectorsError> {
    for vector in schema.vectors.values_mut() {
        change_dense(vector, update.all);
    }
    for (name, change) in &update.vectors {
        match schema.vectors.get_mut(name) {
            Some(vector @ VectorSchema::Dense { .. }) => change_dense(vector, *change),
            _ => return Err(unknown(name)),
        }
    }
    for (name, weighed) in &update.sparse_idf {
        match schema.vectors.get_mut(name) {
            Some(VectorSchema::Sparse { idf }) => *idf = *weighed,
            _ => return Err(unknown(name)),
        }
    }
    if let Some(rows) = update.index_from_rows {
        schema.index_from_rows = Some(rows);
    }
    if let Some(metadata) = &update.metadata {
        let kept = schema
            .annotations
            .entry(METADATA)
            .or_insert_with(|| serde_json::Value::Object(serde_json::Map::new()));
        if let serde_json::Value::Object(kept) = kept {
            for (key, value) in metadata {
                match value {
                    serde_json::Value::Null => kept.remove(key),
                    value => kept.insert(key.clone(), value.clone()),
                };
            }
        }
    }
    Ok(())
}

fn unknown(name: &str) -> VectorsError {
    VectorsError::Missing {
        what: "vector",
        name: name.to_owned(),
    }
}

fn change_dense(vector: &mut VectorSchema, change: VectorUpdate) {
    let VectorSchema::Dense {
        index,
        hnsw,
        quantization,
        on_disk,
        ..
    } = vector
    else {
        return;
    };
    if let Some(m) = change.hnsw_m {
        hnsw.m = m;
    }
    if let Some(ef_construct) = change.hnsw_ef_construct {
        hnsw.ef_construct = ef_construct;
    }
    if let Some(chosen) = change.index {
        *index = chosen;
    }
    if let Some(chosen) = change.quantization {
        *quantization = chosen;
    }
    if let Some(chosen) = change.on_disk {
        *on_disk = chosen;
    }
}
