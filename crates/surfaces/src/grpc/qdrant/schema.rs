//! Settings of collections, vectors and indexes from the wire.
//!
//! Their meaning, their defaults and their refusals stand once, in [`crate::qdrant::collections`], which reads them as JSON.
//! Here the messages are only put into that spelling.

use serde_json::{Map, Value as Json, json};
use service::Error;
use service::collections::{CollectionSchema, CollectionUpdate, PayloadIndexKind};

use super::values::payload;
use super::{invalid, missing, unsupported};
use crate::grpc::protocol::qdrant as wire;
use crate::qdrant::collections as rest;
use wire::payload_index_params::IndexParams;
use wire::quantization_config::Quantization;
use wire::quantization_config_diff::Quantization as QuantizationDiff;

/// The schema of a new collection.
///
/// # Errors
/// A value that makes no sense or is not supported.
pub fn created(request: wire::CreateCollection) -> Result<CollectionSchema, Error> {
    let sharding = request.sharding_method;
    let custom = sharding == Some(wire::ShardingMethod::Custom.into());
    rest::schema_of(&json!({
        "vectors": request.vectors_config.map(vectors).transpose()?,
        "sparse_vectors": request.sparse_vectors_config.map(sparse).transpose()?,
        "hnsw_config": request.hnsw_config.map(hnsw),
        "quantization_config": request.quantization_config.map(quantization).transpose()?,
        "optimizers_config": request.optimizers_config.map(optimizers),
        "shard_number": request.shard_number,
        "sharding_method": custom.then_some("custom"),
        "replication_factor": request.replication_factor,
        "write_consistency_factor": request.write_consistency_factor,
        "strict_mode_config": request.strict_mode_config.map(strict),
        "metadata": metadata(request.metadata)?,
    }))
}

/// Changes of a collection with `schema`.
///
/// # Errors
/// As [`created`].
pub fn updated(
    request: wire::UpdateCollection,
    schema: &CollectionSchema,
) -> Result<CollectionUpdate, Error> {
    let params = request.params.map(|params| {
        json!({
            "replication_factor": params.replication_factor,
            "write_consistency_factor": params.write_consistency_factor,
        })
    });
    let body = json!({
        "vectors": request.vectors_config.map(vectors_diff).transpose()?,
        "sparse_vectors": request.sparse_vectors_config.map(sparse).transpose()?,
        "hnsw_config": request.hnsw_config.map(hnsw),
        "quantization_config": request.quantization_config.map(quantization_diff).transpose()?,
        "optimizers_config": request.optimizers_config.map(optimizers),
        "params": params,
        "strict_mode_config": request.strict_mode_config.map(strict),
        "metadata": metadata(request.metadata)?,
    });
    rest::update_of(&body, schema)
}

/// What an index is made for.
///
/// # Errors
/// As [`created`].
pub fn index_kind(
    field_type: Option<i32>,
    params: Option<wire::PayloadIndexParams>,
) -> Result<PayloadIndexKind, Error> {
    if let Some(params) = params.and_then(|params| params.index_params) {
        return rest::index_kind_of(&index_params(params)?);
    }
    let number = field_type.ok_or_else(|| missing("field_type"))?;
    let name = wire::FieldType::try_from(number)
        .map_err(|_| invalid("field_type", format!("there is no type {number}")))?
        .as_str_name()
        .trim_start_matches("FieldType")
        .to_lowercase();
    rest::index_kind_of(&json!(name))
}

/// Parameters of an index. Where it lives in memory is the engine's choice; that a field is a tenant's changes nothing of
/// what is found.
fn index_params(params: IndexParams) -> Result<Json, Error> {
    let named = |name: &str, nested: Option<String>| match nested {
        None => Ok(json!({"type": name})),
        Some(_) => Err(unsupported("indexes of objects within an array are")),
    };
    match params {
        IndexParams::KeywordIndexParams(params) => named("keyword", params.nested),
        IndexParams::IntegerIndexParams(params) => {
            let mut shown = named("integer", params.nested)?;
            shown["lookup"] = json!(params.lookup);
            shown["range"] = json!(params.range);
            Ok(shown)
        }
        IndexParams::FloatIndexParams(params) => named("float", params.nested),
        IndexParams::GeoIndexParams(params) => named("geo", params.nested),
        IndexParams::BoolIndexParams(params) => named("bool", params.nested),
        IndexParams::DatetimeIndexParams(params) => named("datetime", params.nested),
        IndexParams::UuidIndexParams(params) => named("uuid", params.nested),
        IndexParams::TextIndexParams(params) => text_params(params),
    }
}

fn text_params(params: wire::TextIndexParams) -> Result<Json, Error> {
    use wire::stemming_algorithm::StemmingParams;
    use wire::{TextScoringType, TokenizerType};
    if params.nested.is_some() {
        return Err(unsupported("indexes of objects within an array are"));
    }
    let tokenizer = match TokenizerType::try_from(params.tokenizer) {
        Ok(TokenizerType::Unknown) => None,
        Ok(TokenizerType::Prefix) => Some("prefix"),
        Ok(TokenizerType::Whitespace) => Some("whitespace"),
        Ok(TokenizerType::Word) => Some("word"),
        Ok(TokenizerType::Multilingual) => Some("multilingual"),
        Ok(TokenizerType::Code) => Some("code"),
        Err(_) => return Err(invalid("tokenizer", "there is no such tokenizer")),
    };
    let stemmer = match params.stemmer.and_then(|stemmer| stemmer.stemming_params) {
        None => Json::Null,
        Some(StemmingParams::Snowball(snowball)) => {
            json!({"type": "snowball", "language": snowball.language})
        }
        Some(StemmingParams::Disabled(_)) => json!({"type": "disabled"}),
    };
    let scoring = match params.scoring {
        None => Json::Null,
        Some(scoring) if scoring.r#type == i32::from(TextScoringType::Bm25) => {
            json!({"type": "bm25"})
        }
        Some(_) => return Err(invalid("scoring", "there is no such scoring")),
    };
    let stopwords = params
        .stopwords
        .map(|words| json!({"languages": words.languages, "custom": words.custom}));
    let mut shown = json!({
        "type": "text",
        "tokenizer": tokenizer,
        "lowercase": params.lowercase,
        "min_token_len": params.min_token_len,
        "max_token_len": params.max_token_len,
        "phrase_matching": params.phrase_matching,
        "ascii_folding": params.ascii_folding,
        "stopwords": stopwords,
        "stemmer": stemmer,
        "scoring": scoring,
    });
    without_nulls(&mut shown);
    Ok(shown)
}

fn without_nulls(object: &mut Json) {
    if let Json::Object(fields) = object {
        fields.retain(|_, value| !value.is_null());
    }
}

fn metadata(fields: std::collections::BTreeMap<String, wire::Value>) -> Result<Json, Error> {
    // The wire cannot tell an empty object from none, and neither changes anything.
    Ok(match fields.is_empty() {
        true => Json::Null,
        false => Json::Object(payload(fields)?),
    })
}

fn vectors(config: wire::VectorsConfig) -> Result<Json, Error> {
    use wire::vectors_config::Config;
    match config.config {
        None => Ok(Json::Null),
        Some(Config::Params(params)) => vector(params),
        Some(Config::ParamsMap(map)) => by_name(map.map, vector),
    }
}

fn by_name<T>(
    map: std::collections::BTreeMap<String, T>,
    one: impl Fn(T) -> Result<Json, Error>,
) -> Result<Json, Error> {
    let shown: Map<String, Json> = map
        .into_iter()
        .map(|(name, config)| Ok((name, one(config)?)))
        .collect::<Result<_, Error>>()?;
    Ok(Json::Object(shown))
}

fn vector(params: wire::VectorParams) -> Result<Json, Error> {
    Ok(json!({
        "size": params.size,
        "distance": distance(params.distance)?,
        "hnsw_config": params.hnsw_config.map(hnsw),
        "quantization_config": params.quantization_config.map(quantization).transpose()?,
        "on_disk": params.on_disk,
        "memory": memory(params.memory),
        "datatype": datatype(params.datatype)?,
        "multivector_config": params.multivector_config.map(multivector),
    }))
}

fn vectors_diff(diff: wire::VectorsConfigDiff) -> Result<Json, Error> {
    use wire::vectors_config_diff::Config;
    match diff.config {
        None => Ok(Json::Null),
        Some(Config::Params(params)) => Ok(json!({"": vector_diff(params)?})),
        Some(Config::ParamsMap(map)) => by_name(map.map, vector_diff),
    }
}

fn vector_diff(diff: wire::VectorParamsDiff) -> Result<Json, Error> {
    Ok(json!({
        "hnsw_config": diff.hnsw_config.map(hnsw),
        "quantization_config": diff.quantization_config.map(quantization_diff).transpose()?,
        "on_disk": diff.on_disk,
        "memory": memory(diff.memory),
    }))
}

fn sparse(config: wire::SparseVectorConfig) -> Result<Json, Error> {
    by_name(config.map, |params| {
        Ok(json!({"modifier": modifier(params.modifier)}))
    })
}

fn modifier(number: Option<i32>) -> Option<&'static str> {
    let idf = i32::from(wire::Modifier::Idf);
    number.map(|number| if number == idf { "idf" } else { "none" })
}

fn multivector(_: wire::MultiVectorConfig) -> Json {
    json!({"comparator": "max_sim"})
}

fn distance(number: i32) -> Result<&'static str, Error> {
    match wire::Distance::try_from(number) {
        Ok(wire::Distance::Cosine) => Ok("Cosine"),
        Ok(wire::Distance::Euclid) => Ok("Euclid"),
        Ok(wire::Distance::Dot) => Ok("Dot"),
        Ok(wire::Distance::Manhattan) => Ok("Manhattan"),
        Ok(wire::Distance::UnknownDistance) => Err(missing("distance")),
        Err(_) => Err(invalid(
            "distance",
            format!("there is no distance {number}"),
        )),
    }
}

fn datatype(number: Option<i32>) -> Result<Option<&'static str>, Error> {
    Ok(match number.map(wire::Datatype::try_from) {
        None | Some(Ok(wire::Datatype::Default)) => None,
        Some(Ok(wire::Datatype::Float32)) => Some("float32"),
        Some(Ok(wire::Datatype::Float16)) => Some("float16"),
        Some(Ok(wire::Datatype::Uint8)) => Some("uint8"),
        Some(Ok(wire::Datatype::Turbo4)) => Some("turbo4"),
        Some(Ok(wire::Datatype::Turbo8)) => Some("turbo8"),
        Some(Ok(wire::Datatype::Turbo16)) => Some("turbo16"),
        Some(Err(_)) => return Err(invalid("datatype", "there is no such datatype")),
    })
}

fn memory(number: Option<i32>) -> Option<&'static str> {
    match wire::Memory::try_from(number?) {
        Ok(wire::Memory::Cold) => Some("cold"),
        Ok(wire::Memory::Cached) => Some("cached"),
        Ok(wire::Memory::Pinned) => Some("pinned"),
        Ok(wire::Memory::Unknown) | Err(_) => None,
    }
}

fn hnsw(diff: wire::HnswConfigDiff) -> Json {
    json!({
        "m": diff.m,
        "ef_construct": diff.ef_construct,
        "full_scan_threshold": diff.full_scan_threshold,
        "max_indexing_threads": diff.max_indexing_threads,
        "on_disk": diff.on_disk,
        "payload_m": diff.payload_m,
    })
}

fn optimizers(diff: wire::OptimizersConfigDiff) -> Json {
    json!({
        "indexing_threshold": diff.indexing_threshold,
        "deleted_threshold": diff.deleted_threshold,
        "vacuum_min_vector_number": diff.vacuum_min_vector_number,
        "default_segment_number": diff.default_segment_number,
        "max_segment_size": diff.max_segment_size,
        "memmap_threshold": diff.memmap_threshold,
        "flush_interval_sec": diff.flush_interval_sec,
    })
}

fn strict(config: wire::StrictModeConfig) -> Json {
    json!({"enabled": config.enabled})
}

fn quantization(config: wire::QuantizationConfig) -> Result<Json, Error> {
    let given = config.quantization;
    Ok(match given.ok_or_else(|| missing("quantization"))? {
        Quantization::Scalar(scalar) => scalar_codes(&scalar)?,
        Quantization::Product(product) => product_codes(&product)?,
        Quantization::Binary(binary) => binary_codes(&binary)?,
        Quantization::Turboquant(turbo) => turbo_codes(&turbo)?,
    })
}

fn quantization_diff(config: wire::QuantizationConfigDiff) -> Result<Json, Error> {
    let given = config.quantization;
    Ok(match given.ok_or_else(|| missing("quantization"))? {
        QuantizationDiff::Scalar(scalar) => scalar_codes(&scalar)?,
        QuantizationDiff::Product(product) => product_codes(&product)?,
        QuantizationDiff::Binary(binary) => binary_codes(&binary)?,
        QuantizationDiff::Turboquant(turbo) => turbo_codes(&turbo)?,
        QuantizationDiff::Disabled(_) => json!("Disabled"),
    })
}

fn scalar_codes(scalar: &wire::ScalarQuantization) -> Result<Json, Error> {
    match wire::QuantizationType::try_from(scalar.r#type) {
        Ok(wire::QuantizationType::Int8) => Ok(json!({"scalar": {"type": "int8"}})),
        _ => Err(missing("scalar.type")),
    }
}

fn product_codes(product: &wire::ProductQuantization) -> Result<Json, Error> {
    let compression = wire::CompressionRatio::try_from(product.compression)
        .map_err(|_| invalid("compression", "there is no such compression"))?;
    Ok(json!({"product": {"compression": compression.as_str_name()}}))
}

fn binary_codes(binary: &wire::BinaryQuantization) -> Result<Json, Error> {
    use wire::BinaryQuantizationEncoding as Encoding;
    let encoding = match binary.encoding.map(Encoding::try_from) {
        None | Some(Ok(Encoding::OneBit)) => "one_bit",
        Some(Ok(Encoding::TwoBits)) => "two_bits",
        Some(Ok(Encoding::OneAndHalfBits)) => "one_and_half_bits",
        Some(Err(_)) => return Err(invalid("encoding", "there is no such encoding")),
    };
    Ok(json!({"binary": {"encoding": encoding}}))
}

fn turbo_codes(turbo: &wire::TurboQuantization) -> Result<Json, Error> {
    let Some(number) = turbo.bits else {
        return Ok(json!({"turbo": {}}));
    };
    let bits = wire::TurboQuantBitSize::try_from(number)
        .map_err(|_| invalid("bits", "there is no such size"))?;
    Ok(json!({"turbo": {"bits": bits.as_str_name().to_lowercase()}}))
}
