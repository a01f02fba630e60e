//! Bodies about collections to the service's schema and back.

use std::collections::BTreeMap;

use serde_json::Value;
use service::collections::{
    CollectionSchema, CollectionUpdate, Datatype, HnswParameters, IndexKind, METADATA, Metric,
    Quantization, VectorSchema, VectorUpdate,
};
use service::{Error, ErrorKind};

use super::types::{
    CreateBody, Distance, HnswDiff, Memory, Modifier, OptimizersDiff, ParamsDiff, SparseParams,
    StrictMode, UpdateBody, VectorParams,
};
use crate::body::read;

fn unsupported(field: &str, message: &str) -> Error {
    Error::new(ErrorKind::NotSupported, message).at(field)
}

/// The schema of a new collection.
///
/// # Errors
/// `InvalidRequest` for values that make no sense, `NotSupported` for those that would change what is stored or found.
pub fn schema(body: CreateBody) -> Result<CollectionSchema, Error> {
    if body.sharding_method.as_deref() == Some("custom") {
        return Err(unsupported(
            "sharding_method",
            "Custom sharding is not supported.",
        ));
    }
    check_replicas(body.replication_factor, body.write_consistency_factor)?;
    check_strict_mode(body.strict_mode_config.as_ref())?;
    let mut schema = CollectionSchema::default();
    for (name, params) in dense(body.vectors)? {
        let vector = dense_schema(
            &name,
            params,
            body.hnsw_config.as_ref(),
            body.quantization_config.as_ref(),
        )?;
        schema.vectors.insert(name, vector);
    }
    for (name, params) in body.sparse_vectors.unwrap_or_default() {
        if schema.vectors.contains_key(&name) {
            return Err(Error::invalid(
                "sparse_vectors",
                format!("The name `{name}` is that of a dense vector already."),
            ));
        }
        schema.vectors.insert(name, sparse_schema(&params)?);
    }
    if let Some(threshold) =
        indexing_threshold(body.optimizers_config.as_ref(), body.hnsw_config.as_ref())
    {
        schema.index_from_rows = Some(rows_of_kilobytes(threshold, &schema));
    }
    if let Some(metadata) = body.metadata {
        schema
            .annotations
            .insert(METADATA.to_owned(), Value::Object(metadata));
    }
    Ok(schema)
}

/// The dense vectors of a request: one without a name, or several by name.
fn dense(vectors: Option<Value>) -> Result<BTreeMap<String, VectorParams>, Error> {
    let place = |error: Error| match &error.field {
        Some(field) => error.clone().at(format!("vectors.{field}")),
        None => error,
    };
    match vectors {
        None | Some(Value::Null) => Ok(BTreeMap::new()),
        // A vector called `size` is an object, never a number.
        Some(value) if value["size"].is_number() || value["distance"].is_string() => {
            let params = read::<VectorParams>(&value).map_err(place)?;
            Ok(BTreeMap::from([(String::new(), params)]))
        }
        Some(value) => read(&value).map_err(place),
    }
}

/// A dense vector over the settings of its collection.
pub fn dense_schema(
    name: &str,
    params: VectorParams,
    all_hnsw: Option<&HnswDiff>,
    all_quantization: Option<&Value>,
) -> Result<VectorSchema, Error> {
    let mut hnsw = HnswParameters::default();
    let mut index = IndexKind::Auto;
    for change in [all_hnsw, params.hnsw_config.as_ref()]
        .into_iter()
        .flatten()
    {
        let update = hnsw_update(change)?;
        hnsw.m = update.hnsw_m.unwrap_or(hnsw.m);
        hnsw.ef_construct = update.hnsw_ef_construct.unwrap_or(hnsw.ef_construct);
        index = update.index.unwrap_or(index);
    }
    let quantization = [params.quantization_config.as_ref(), all_quantization]
        .into_iter()
        .flatten()
        .find(|given| !given.is_null());
    Ok(VectorSchema::Dense {
        dimensions: params.size,
        metric: match params.distance {
            Distance::Cosine => Metric::Cosine,
            Distance::Euclid => Metric::Euclid,
            Distance::Dot => Metric::Dot,
            Distance::Manhattan => Metric::Manhattan,
        },
        datatype: datatype(name, params.datatype.as_deref())?,
        multi: params
            .multivector_config
            .is_some_and(|config| matches!(config.comparator, super::types::Comparator::MaxSim)),
        index,
        hnsw,
        quantization: match quantization {
            Some(given) => self::quantization(given)?,
            None => Quantization::Auto,
        },
        on_disk: on_disk(params.on_disk, params.memory).unwrap_or(false),
    })
}

fn on_disk(on_disk: Option<bool>, memory: Option<Memory>) -> Option<bool> {
    memory.map(|memory| memory == Memory::Cold).or(on_disk)
}

fn datatype(name: &str, given: Option<&str>) -> Result<Datatype, Error> {
    match given {
        None | Some("float32") => Ok(Datatype::Float32),
        Some("float16") => Ok(Datatype::Float16),
        Some("uint8") => Ok(Datatype::Uint8),
        Some("turbo4" | "turbo8" | "turbo16") => Err(unsupported(
            &format!("vectors.{name}.datatype"),
            "Originals are stored as float32, float16 or uint8.",
        )),
        Some(_) => Err(Error::invalid(
            format!("vectors.{name}.datatype"),
            "A datatype is float32, float16 or uint8.",
        )),
    }
}

/// A sparse vector.
pub fn sparse_schema(params: &SparseParams) -> Result<VectorSchema, Error> {
    // Where the lists of entries are, and how they are rounded, is ours to choose: they are kept exactly.
    if params
        .index
        .as_ref()
        .is_some_and(|index| !index.is_null() && !index.is_object())
    {
        return Err(Error::invalid(
            "sparse_vectors.index",
            "an object is expected",
        ));
    }
    Ok(VectorSchema::Sparse {
        idf: params.modifier == Some(Modifier::Idf),
    })
}

/// The changes that settings of a graph mean.
fn hnsw_update(change: &HnswDiff) -> Result<VectorUpdate, Error> {
    let mut update = VectorUpdate {
        hnsw_ef_construct: change.ef_construct,
        ..VectorUpdate::default()
    };
    match change.m {
        None => {}
        // No graph over all points, as those ask for who filter by tenant always.
        Some(0) => update.index = Some(IndexKind::Flat),
        Some(m) => {
            update.index = Some(IndexKind::Auto);
            update.hnsw_m = Some(u16::try_from(m).map_err(|_| {
                Error::invalid("hnsw_config.m", "Links per node are at most 65,535.")
            })?);
        }
    }
    Ok(update)
}

/// The codes that a quantization means.
///
/// # Errors
/// `InvalidRequest`, or `NotSupported` for codes that there are not.
pub fn quantization(given: &Value) -> Result<Quantization, Error> {
    const PLACE: &str = "quantization_config";
    if given
        .as_str()
        .is_some_and(|text| text.eq_ignore_ascii_case("disabled"))
    {
        return Ok(Quantization::None);
    }
    let wrong = |message: &str| Error::invalid(PLACE, message);
    let entry = given
        .as_object()
        .filter(|fields| fields.len() == 1)
        .and_then(|fields| fields.iter().next());
    let Some((kind, settings)) = entry else {
        return Err(wrong(
            "A quantization is an object with one of scalar, product, binary, turbo.",
        ));
    };
    match kind.as_str() {
        "scalar" => match settings["type"].as_str() {
            Some("int8") => Ok(Quantization::Int8),
            _ => Err(wrong("The type of a scalar quantization is int8.")),
        },
        "product" => {
            // Of 4-byte values: x4 leaves one byte for each.
            let dimensions_per_code = match settings["compression"].as_str() {
                Some("x4") => 1,
                Some("x8") => 2,
                Some("x16") => 4,
                Some("x32") => 8,
                Some("x64") => 16,
                _ => return Err(wrong("A compression is x4, x8, x16, x32 or x64.")),
            };
            Ok(Quantization::Product {
                dimensions_per_code,
            })
        }
        "binary" => match settings["encoding"].as_str() {
            None | Some("one_bit") => Ok(Quantization::Binary),
            Some(_) => Err(unsupported(
                PLACE,
                "Binary codes have one bit per dimension.",
            )),
        },
        "turbo" => match settings["bits"].as_str() {
            None | Some("bits4") => Ok(Quantization::Int4),
            Some("bits1") => Ok(Quantization::Binary),
            Some("bits8") => Ok(Quantization::Int8),
            Some(_) => Err(unsupported(
                PLACE,
                "Codes have 1, 4 or 8 bits per dimension.",
            )),
        },
        _ => Err(wrong(
            "A quantization is an object with one of scalar, product, binary, turbo.",
        )),
    }
}

/// Kilobytes of vectors from which a segment is indexed.
fn indexing_threshold(optimizers: Option<&OptimizersDiff>, hnsw: Option<&HnswDiff>) -> Option<u64> {
    let of_optimizers = optimizers.and_then(|one| one.indexing_threshold);
    of_optimizers.or_else(|| hnsw.and_then(|one| one.full_scan_threshold))
}

/// Bytes of the largest dense vector, 4 when there is none.
pub fn vector_bytes(schema: &CollectionSchema) -> u64 {
    let dimensions = schema.vectors.values().map(|vector| match vector {
        VectorSchema::Dense { dimensions, .. } => u64::from(*dimensions),
        VectorSchema::Sparse { .. } => 1,
    });
    4 * dimensions.max().unwrap_or(1).max(1)
}

/// Rows that so many kilobytes of vectors are; 0 kilobytes mean that nothing is ever indexed.
fn rows_of_kilobytes(kilobytes: u64, schema: &CollectionSchema) -> u32 {
    if kilobytes == 0 {
        return u32::MAX;
    }
    let rows = kilobytes.saturating_mul(1024) / vector_bytes(schema);
    u32::try_from(rows).unwrap_or(u32::MAX - 1).max(1)
}

fn check_replicas(replicas: Option<u32>, agreeing: Option<u32>) -> Result<(), Error> {
    for (field, value) in [
        ("replication_factor", replicas),
        ("write_consistency_factor", agreeing),
    ] {
        match value {
            None | Some(1) => {}
            Some(0) => return Err(Error::invalid(field, "At least 1 is expected.")),
            Some(_) => {
                return Err(unsupported(
                    field,
                    "This server keeps one replica of every collection.",
                ));
            }
        }
    }
    Ok(())
}

fn check_strict_mode(strict: Option<&StrictMode>) -> Result<(), Error> {
    match strict.and_then(|strict| strict.enabled) {
        Some(true) => Err(unsupported(
            "strict_mode_config",
            "Strict mode is not supported: its limits would not be kept.",
        )),
        _ => Ok(()),
    }
}

/// The changes of a request, over a collection with `schema`.
///
/// # Errors
/// As [`schema`].
pub fn update(body: UpdateBody, schema: &CollectionSchema) -> Result<CollectionUpdate, Error> {
    check_strict_mode(body.strict_mode_config.as_ref())?;
    if let Some(ParamsDiff {
        replication_factor,
        write_consistency_factor,
        ..
    }) = body.params
    {
        check_replicas(replication_factor, write_consistency_factor)?;
    }
    let mut all = match &body.hnsw_config {
        Some(change) => hnsw_update(change)?,
        None => VectorUpdate::default(),
    };
    all.quantization = body
        .quantization_config
        .as_ref()
        .filter(|given| !given.is_null())
        .map(quantization)
        .transpose()?;
    let mut update = CollectionUpdate {
        all,
        metadata: body.metadata,
        ..CollectionUpdate::default()
    };
    for (name, change) in body.vectors.unwrap_or_default() {
        let mut vector = match &change.hnsw_config {
            Some(change) => hnsw_update(change)?,
            None => VectorUpdate::default(),
        };
        vector.quantization = change
            .quantization_config
            .as_ref()
            .filter(|given| !given.is_null())
            .map(quantization)
            .transpose()?;
        vector.on_disk = on_disk(change.on_disk, change.memory);
        update.vectors.insert(name, vector);
    }
    for (name, change) in body.sparse_vectors.unwrap_or_default() {
        if let Some(modifier) = change.modifier {
            update.sparse_idf.insert(name, modifier == Modifier::Idf);
        }
    }
    update.index_from_rows =
        indexing_threshold(body.optimizers_config.as_ref(), body.hnsw_config.as_ref())
            .map(|kilobytes| rows_of_kilobytes(kilobytes, schema));
    Ok(update)
}
