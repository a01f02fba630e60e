//! A collection as clients see it. Settings that this engine does not have are shown as what it really does.

use serde_json::{Map, Value, json};
use service::collections::{
    CollectionDetails, CollectionSchema, Datatype, HnswParameters, IndexKind, METADATA, Metric,
    PayloadIndexKind, Quantization, Status, Tokenizer, VectorSchema,
};

use super::convert::vector_bytes;

/// Kilobytes from which segments are indexed when nothing else is said: 10,000 rows of 512 values.
const INDEXING_THRESHOLD_KILOBYTES: u64 = 20_000;

/// `GET /collections/{collection}`
pub fn collection(details: &CollectionDetails) -> Value {
    let info = &details.info;
    let trouble = info.read_only.iter().chain(&info.damages).next();
    let mut shown = json!({
        "status": match info.status {
            Status::Green => "green",
            Status::Yellow => "yellow",
            Status::Red => "red",
        },
        "optimizer_status": match trouble {
            None => json!("ok"),
            // Words of the engine name files of the server; whoever may see the log finds them there.
            Some(_) if info.read_only.is_some() => {
                json!({"error": "the collection refuses writes since a failure of the disk"})
            }
            Some(_) => json!({"error": "a part of the collection is damaged and out of service"}),
        },
        "indexed_vectors_count": info.indexed_rows,
        "points_count": info.points,
        "segments_count": info.segments.len(),
        "config": config(&info.schema),
        "payload_schema": payload_schema(details),
    });
    if !info.deferred.is_empty() {
        shown["warnings"] = info
            .deferred
            .iter()
            .map(|work| {
                json!({"message": format!(
                    "{} of segment {} waits for {} bytes of the memory budget",
                    work.work, work.segment, work.needed_bytes
                )})
            })
            .collect();
    }
    shown
}

fn config(schema: &CollectionSchema) -> Value {
    let (hnsw, quantized) = first_dense(schema);
    let indexing = match schema.index_from_rows {
        None => INDEXING_THRESHOLD_KILOBYTES,
        Some(u32::MAX) => 0,
        Some(rows) => u64::from(rows) * vector_bytes(schema) / 1024,
    };
    let mut config = json!({
        "params": params(schema, hnsw, quantized),
        "hnsw_config": {
            "m": hnsw.m,
            "ef_construct": hnsw.ef_construct,
            "full_scan_threshold": indexing,
            "max_indexing_threads": 0,
            "on_disk": false,
        },
        "optimizer_config": {
            "deleted_threshold": 0.2,
            "vacuum_min_vector_number": 1000,
            "default_segment_number": 0,
            "max_segment_size": null,
            "memmap_threshold": null,
            "indexing_threshold": indexing,
            "flush_interval_sec": 5,
            "max_optimization_threads": null,
        },
        "wal_config": {"wal_capacity_mb": 128, "wal_segments_ahead": 0, "wal_retain_closed": 1},
        "quantization_config": quantization(quantized),
    });
    if let Some(metadata) = schema.annotations.get(METADATA) {
        config["metadata"] = metadata.clone();
    }
    config
}

/// Settings that are shown for the whole collection: those of its first dense vector.
fn first_dense(schema: &CollectionSchema) -> (HnswParameters, Quantization) {
    schema
        .vectors
        .values()
        .find_map(|vector| match vector {
            VectorSchema::Dense {
                hnsw, quantization, ..
            } => Some((*hnsw, *quantization)),
            VectorSchema::Sparse { .. } => None,
        })
        .unwrap_or((HnswParameters::default(), Quantization::Auto))
}

fn params(schema: &CollectionSchema, hnsw: HnswParameters, quantized: Quantization) -> Value {
    let mut dense = Map::new();
    let mut sparse = Map::new();
    for (name, vector) in &schema.vectors {
        match vector {
            VectorSchema::Dense { .. } => {
                dense.insert(name.clone(), dense_vector(vector, hnsw, quantized));
            }
            VectorSchema::Sparse { idf } => {
                let shown = if *idf {
                    json!({"modifier": "idf"})
                } else {
                    json!({})
                };
                sparse.insert(name.clone(), shown);
            }
        }
    }
    let vectors = match (dense.len(), dense.remove("")) {
        (1, Some(only)) => only,
        (_, Some(unnamed)) => {
            dense.insert(String::new(), unnamed);
            Value::Object(dense)
        }
        (_, None) => Value::Object(dense),
    };
    let mut params = json!({
        "vectors": vectors,
        "shard_number": 1,
        "replication_factor": 1,
        "write_consistency_factor": 1,
        "on_disk_payload": true,
    });
    if !sparse.is_empty() {
        params["sparse_vectors"] = Value::Object(sparse);
    }
    params
}

fn dense_vector(vector: &VectorSchema, all: HnswParameters, quantized: Quantization) -> Value {
    let VectorSchema::Dense {
        dimensions,
        metric,
        datatype,
        multi,
        index,
        hnsw,
        quantization: own,
        on_disk,
    } = vector
    else {
        return Value::Null;
    };
    let mut shown = json!({
        "size": dimensions,
        "distance": match metric {
            Metric::Cosine => "Cosine",
            Metric::Dot => "Dot",
            Metric::Euclid => "Euclid",
            Metric::Manhattan => "Manhattan",
        },
    });
    if *on_disk {
        shown["on_disk"] = json!(true);
    }
    match datatype {
        Datatype::Float32 => {}
        Datatype::Float16 => shown["datatype"] = json!("float16"),
        Datatype::Uint8 => shown["datatype"] = json!("uint8"),
    }
    if *multi {
        shown["multivector_config"] = json!({"comparator": "max_sim"});
    }
    if *index == IndexKind::Flat {
        shown["hnsw_config"] = json!({"m": 0});
    } else if *hnsw != all {
        shown["hnsw_config"] = json!({"m": hnsw.m, "ef_construct": hnsw.ef_construct});
    }
    if *own != quantized {
        shown["quantization_config"] = quantization(*own);
    }
    shown
}

/// Codes in Qdrant's words; null where the engine chooses, or there are none.
fn quantization(quantization: Quantization) -> Value {
    match quantization {
        Quantization::Auto | Quantization::None => Value::Null,
        Quantization::Int8 => json!({"scalar": {"type": "int8"}}),
        Quantization::Int4 => json!({"turbo": {"bits": "bits4"}}),
        Quantization::Binary => json!({"binary": {}}),
        Quantization::Product {
            dimensions_per_code,
        } => json!({"product": {"compression": format!("x{}", 4 * dimensions_per_code)}}),
    }
}

fn payload_schema(details: &CollectionDetails) -> Value {
    let mut shown = Map::new();
    // Indexes that filters asked for may stand beside one that a client made; the last of a field is shown.
    for field in &details.payload_indexes {
        let mut entry = json!({
            "data_type": field.index.kind.name(),
            "points": field.points,
        });
        if let Some(params) = params_of_text(&field.index.kind) {
            entry["params"] = params;
        }
        shown.insert(field.index.key.clone(), entry);
    }
    Value::Object(shown)
}

fn params_of_text(kind: &PayloadIndexKind) -> Option<Value> {
    let PayloadIndexKind::Text { analyzer, scoring } = kind else {
        return None;
    };
    let options = analyzer.as_deref()?;
    let mut params = json!({
        "type": "text",
        "tokenizer": match options.tokenizer {
            Tokenizer::Unicode => "multilingual",
            Tokenizer::Word => "word",
            Tokenizer::Whitespace => "whitespace",
            Tokenizer::Prefix => "prefix",
        },
        "lowercase": options.lowercase,
        "ascii_folding": options.ascii_folding,
        "min_token_len": options.token_characters_min,
        "max_token_len": options.token_characters_max,
    });
    if scoring.is_some() {
        params["scoring"] = json!(true);
    }
    Some(params)
}
