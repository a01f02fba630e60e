//! A collection as clients see it, from the JSON in which REST shows it: what is said about a collection is decided once.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json};
use service::collections::CollectionDetails;

use super::values::value;
use crate::grpc::protocol::qdrant as wire;
use crate::qdrant::collections as rest;
use wire::quantization_config::Quantization;

/// A collection.
pub fn collection(details: &CollectionDetails) -> wire::CollectionInfo {
    let shown = rest::described(details);
    let trouble = shown["optimizer_status"]["error"].as_str();
    wire::CollectionInfo {
        status: match shown["status"].as_str() {
            Some("green") => wire::CollectionStatus::Green,
            Some("red") => wire::CollectionStatus::Red,
            _ => wire::CollectionStatus::Yellow,
        }
        .into(),
        optimizer_status: Some(wire::OptimizerStatus {
            ok: trouble.is_none(),
            error: trouble.unwrap_or_default().to_owned(),
        }),
        segments_count: shown["segments_count"].as_u64().unwrap_or_default(),
        config: Some(config(&shown["config"])),
        payload_schema: objects(&shown["payload_schema"])
            .map(|(key, field)| (key.clone(), indexed_field(field)))
            .collect(),
        points_count: shown["points_count"].as_u64(),
        indexed_vectors_count: shown["indexed_vectors_count"].as_u64(),
        warnings: shown["warnings"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|warning| wire::CollectionWarning {
                message: text(&warning["message"]),
            })
            .collect(),
        update_queue: Some(wire::UpdateQueueInfo::default()),
        created_at: None,
    }
}

fn objects(value: &Json) -> impl Iterator<Item = (&String, &Json)> {
    value.as_object().into_iter().flatten()
}

fn text(value: &Json) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn small(value: &Json) -> Option<u32> {
    u32::try_from(value.as_u64()?).ok()
}

fn config(shown: &Json) -> wire::CollectionConfig {
    wire::CollectionConfig {
        params: Some(params(&shown["params"])),
        hnsw_config: Some(hnsw(&shown["hnsw_config"])),
        optimizer_config: Some(optimizers(&shown["optimizer_config"])),
        wal_config: Some(wire::WalConfigDiff {
            wal_capacity_mb: shown["wal_config"]["wal_capacity_mb"].as_u64(),
            wal_segments_ahead: shown["wal_config"]["wal_segments_ahead"].as_u64(),
            wal_retain_closed: shown["wal_config"]["wal_retain_closed"].as_u64(),
        }),
        quantization_config: quantization(&shown["quantization_config"]),
        strict_mode_config: None,
        metadata: objects(&shown["metadata"])
            .map(|(key, json)| (key.clone(), value(json.clone())))
            .collect(),
    }
}

fn params(shown: &Json) -> wire::CollectionParams {
    let sparse: BTreeMap<_, _> = objects(&shown["sparse_vectors"])
        .map(|(name, vector)| (name.clone(), sparse_vector(vector)))
        .collect();
    wire::CollectionParams {
        shard_number: small(&shown["shard_number"]).unwrap_or(1),
        on_disk_payload: shown["on_disk_payload"].as_bool().unwrap_or_default(),
        vectors_config: shown["vectors"].as_object().and_then(vectors),
        replication_factor: small(&shown["replication_factor"]),
        write_consistency_factor: small(&shown["write_consistency_factor"]),
        sparse_vectors_config: (!sparse.is_empty())
            .then_some(wire::SparseVectorConfig { map: sparse }),
        ..wire::CollectionParams::default()
    }
}

fn vectors(shown: &Map<String, Json>) -> Option<wire::VectorsConfig> {
    use wire::vectors_config::Config;
    let config = if shown.get("size").is_some_and(Json::is_number) {
        Config::Params(vector(&Json::Object(shown.clone())))
    } else if shown.is_empty() {
        return None;
    } else {
        Config::ParamsMap(wire::VectorParamsMap {
            map: shown
                .iter()
                .map(|(name, one)| (name.clone(), vector(one)))
                .collect(),
        })
    };
    Some(wire::VectorsConfig {
        config: Some(config),
    })
}

fn vector(shown: &Json) -> wire::VectorParams {
    let multi = shown["multivector_config"].is_object();
    wire::VectorParams {
        size: shown["size"].as_u64().unwrap_or_default(),
        distance: match shown["distance"].as_str() {
            Some("Cosine") => wire::Distance::Cosine,
            Some("Euclid") => wire::Distance::Euclid,
            Some("Dot") => wire::Distance::Dot,
            Some("Manhattan") => wire::Distance::Manhattan,
            _ => wire::Distance::UnknownDistance,
        }
        .into(),
        hnsw_config: shown["hnsw_config"]
            .is_object()
            .then(|| hnsw(&shown["hnsw_config"])),
        quantization_config: quantization(&shown["quantization_config"]),
        on_disk: shown["on_disk"].as_bool(),
        datatype: match shown["datatype"].as_str() {
            Some("float16") => Some(wire::Datatype::Float16.into()),
            Some("uint8") => Some(wire::Datatype::Uint8.into()),
            _ => None,
        },
        multivector_config: multi.then_some(wire::MultiVectorConfig {
            comparator: wire::MultiVectorComparator::MaxSim.into(),
        }),
        memory: None,
    }
}

fn sparse_vector(shown: &Json) -> wire::SparseVectorParams {
    wire::SparseVectorParams {
        index: None,
        modifier: (shown["modifier"] == "idf").then_some(wire::Modifier::Idf.into()),
    }
}

fn hnsw(shown: &Json) -> wire::HnswConfigDiff {
    wire::HnswConfigDiff {
        m: shown["m"].as_u64(),
        ef_construct: shown["ef_construct"].as_u64(),
        full_scan_threshold: shown["full_scan_threshold"].as_u64(),
        max_indexing_threads: shown["max_indexing_threads"].as_u64(),
        on_disk: shown["on_disk"].as_bool(),
        ..wire::HnswConfigDiff::default()
    }
}

fn optimizers(shown: &Json) -> wire::OptimizersConfigDiff {
    wire::OptimizersConfigDiff {
        deleted_threshold: shown["deleted_threshold"].as_f64(),
        vacuum_min_vector_number: shown["vacuum_min_vector_number"].as_u64(),
        default_segment_number: shown["default_segment_number"].as_u64(),
        indexing_threshold: shown["indexing_threshold"].as_u64(),
        flush_interval_sec: shown["flush_interval_sec"].as_u64(),
        ..wire::OptimizersConfigDiff::default()
    }
}

fn quantization(shown: &Json) -> Option<wire::QuantizationConfig> {
    let (kind, settings) = objects(shown).next()?;
    let quantization = match kind.as_str() {
        "scalar" => Quantization::Scalar(wire::ScalarQuantization {
            r#type: wire::QuantizationType::Int8.into(),
            ..wire::ScalarQuantization::default()
        }),
        "product" => Quantization::Product(wire::ProductQuantization {
            compression: settings["compression"]
                .as_str()
                .and_then(wire::CompressionRatio::from_str_name)?
                .into(),
            ..wire::ProductQuantization::default()
        }),
        "binary" => Quantization::Binary(wire::BinaryQuantization::default()),
        "turbo" => Quantization::Turboquant(wire::TurboQuantization {
            bits: match settings["bits"].as_str() {
                Some("bits4") => Some(wire::TurboQuantBitSize::Bits4.into()),
                _ => None,
            },
            ..wire::TurboQuantization::default()
        }),
        _ => return None,
    };
    Some(wire::QuantizationConfig {
        quantization: Some(quantization),
    })
}

fn indexed_field(shown: &Json) -> wire::PayloadSchemaInfo {
    use wire::PayloadSchemaType as Kind;
    let kind = match shown["data_type"].as_str() {
        Some("keyword") => Kind::Keyword,
        Some("integer") => Kind::Integer,
        Some("float") => Kind::Float,
        Some("geo") => Kind::Geo,
        Some("text") => Kind::Text,
        Some("bool") => Kind::Bool,
        Some("datetime") => Kind::Datetime,
        Some("uuid") => Kind::Uuid,
        _ => Kind::UnknownType,
    };
    let params = &shown["params"];
    wire::PayloadSchemaInfo {
        data_type: kind.into(),
        params: (params.is_object() && kind == Kind::Text).then(|| wire::PayloadIndexParams {
            index_params: Some(wire::payload_index_params::IndexParams::TextIndexParams(
                text_params(params),
            )),
        }),
        points: shown["points"].as_u64(),
    }
}

fn text_params(shown: &Json) -> wire::TextIndexParams {
    use wire::TokenizerType as Tokenizer;
    wire::TextIndexParams {
        tokenizer: match shown["tokenizer"].as_str() {
            Some("prefix") => Tokenizer::Prefix,
            Some("whitespace") => Tokenizer::Whitespace,
            Some("word") => Tokenizer::Word,
            Some("multilingual") => Tokenizer::Multilingual,
            _ => Tokenizer::Unknown,
        }
        .into(),
        lowercase: shown["lowercase"].as_bool(),
        min_token_len: shown["min_token_len"].as_u64(),
        max_token_len: shown["max_token_len"].as_u64(),
        ascii_folding: shown["ascii_folding"].as_bool(),
        phrase_matching: shown["phrase_matching"].as_bool(),
        ..wire::TextIndexParams::default()
    }
}
