//! Requests as the service knows them.

use serde_json::{Map, Value};
use service::Error;
use service::vector_stores::{
    AttributeFilter, Chunking, Comparison, FILTER_DEPTH_MAX, NewStoreFile, NewVectorStore, Ranking,
    StoreSearch, VectorStoreChange,
};

use super::types::{
    BatchBody, ChunkingStrategy, CreateBody, ExpiresAfter, FileBody, RankingOptions, SearchBody,
};
use crate::body::read;

/// Results when nothing is asked for; OpenAI's number.
const RESULTS_USUAL: usize = 10;

pub fn new_store(body: CreateBody) -> Result<NewVectorStore, Error> {
    let chunking = chunking(body.chunking_strategy);
    let files = body.file_ids.unwrap_or_default().into_iter();
    Ok(NewVectorStore {
        name: body.name.unwrap_or_default(),
        description: body.description,
        metadata: body.metadata.unwrap_or_default(),
        expires_after_days: body.expires_after.map(days).transpose()?,
        files: files
            .map(|file_id| NewStoreFile {
                file_id,
                attributes: Map::new(),
                chunking,
            })
            .collect(),
    })
}

fn days(expires: ExpiresAfter) -> Result<u32, Error> {
    if expires.anchor != "last_active_at" {
        let message = "`expires_after.anchor` must be `last_active_at`";
        return Err(Error::invalid("expires_after.anchor", message));
    }
    Ok(expires.days)
}

/// What changes. `null` empties metadata and ends a life's end; what is absent stays.
pub fn change(body: &Value) -> Result<VectorStoreChange, Error> {
    #[derive(serde::Deserialize)]
    struct Given {
        name: Option<String>,
        metadata: Option<std::collections::BTreeMap<String, String>>,
        expires_after: Option<ExpiresAfter>,
    }
    let given: Given = read(body)?;
    let is_null = |key: &str| body.get(key).is_some_and(Value::is_null);
    Ok(VectorStoreChange {
        name: given.name,
        metadata: if is_null("metadata") {
            Some(Default::default())
        } else {
            given.metadata
        },
        expires_after_days: match given.expires_after {
            Some(expires) => Some(Some(days(expires)?)),
            None => is_null("expires_after").then_some(None),
        },
    })
}

fn chunking(strategy: Option<ChunkingStrategy>) -> Chunking {
    match strategy {
        None | Some(ChunkingStrategy::Auto) => Chunking::Auto,
        Some(ChunkingStrategy::Static { sizes }) => Chunking::Static {
            tokens: sizes.max_chunk_size_tokens,
            overlap: sizes.chunk_overlap_tokens,
        },
    }
}

pub fn store_file(body: FileBody) -> NewStoreFile {
    NewStoreFile {
        file_id: body.file_id,
        attributes: body.attributes.unwrap_or_default(),
        chunking: chunking(body.chunking_strategy),
    }
}

/// The files of a batch: ids with settings for all, or files with settings of their own.
pub fn batch(body: BatchBody) -> Result<Vec<NewStoreFile>, Error> {
    match (body.file_ids, body.files) {
        (Some(ids), None) => {
            let attributes = body.attributes.unwrap_or_default();
            let chunking = chunking(body.chunking_strategy);
            let file = |file_id| NewStoreFile {
                file_id,
                attributes: attributes.clone(),
                chunking,
            };
            Ok(ids.into_iter().map(file).collect())
        }
        (None, Some(files)) => Ok(files.into_iter().map(store_file).collect()),
        (None, None) => Err(
            Error::invalid("file_ids", "`file_ids` or `files` is required")
                .with_code("missing_required_parameter"),
        ),
        (Some(_), Some(_)) => Err(Error::invalid("files", "give either `file_ids` or `files`")),
    }
}

/// Facts about a file; `null` is none.
pub fn attributes(body: &Value) -> Result<Map<String, Value>, Error> {
    match body.get("attributes") {
        None => Err(Error::invalid("attributes", "`attributes` is required")
            .with_code("missing_required_parameter")),
        Some(Value::Null) => Ok(Map::new()),
        Some(Value::Object(attributes)) => Ok(attributes.clone()),
        Some(_) => Err(Error::invalid(
            "attributes",
            "`attributes` must be an object",
        )),
    }
}

pub fn search(body: SearchBody) -> Result<StoreSearch, Error> {
    if body.rewrite_query == Some(true) {
        let message =
            "unsupported value of `rewrite_query`: queries are searched as they are written";
        return Err(Error::invalid("rewrite_query", message).with_code("unsupported_parameter"));
    }
    let wrong = || Error::invalid("query", "`query` must be a text or a list of texts");
    let queries = match body.query {
        Value::String(text) => vec![text],
        Value::Array(texts) => texts
            .into_iter()
            .map(|text| match text {
                Value::String(text) => Ok(text),
                _ => Err(wrong()),
            })
            .collect::<Result<_, _>>()?,
        _ => return Err(wrong()),
    };
    let filter = match body.filters {
        None | Some(Value::Null) => None,
        Some(value) => Some(filter(&value, "filters", 1)?),
    };
    let options = body.ranking_options;
    Ok(StoreSearch {
        queries,
        filter,
        limit: body.max_num_results.unwrap_or(RESULTS_USUAL),
        score_threshold: options
            .as_ref()
            .and_then(|options| options.score_threshold)
            .unwrap_or(0.0),
        ranking: ranking(options)?,
    })
}

fn ranking(options: Option<RankingOptions>) -> Result<Ranking, Error> {
    let Some(options) = options else {
        return Ok(Ranking::default());
    };
    match (options.ranker.as_deref(), options.hybrid_search) {
        (Some("none"), None) => Ok(Ranking::Meaning),
        (Some("none"), Some(_)) => Err(Error::invalid(
            "ranking_options.hybrid_search",
            "the ranker `none` searches by meaning only",
        )),
        (None | Some("auto" | "default-2024-11-15"), weights) => Ok(weights.map_or_else(
            Ranking::default,
            |weights| Ranking::Hybrid {
                meaning: weights.embedding_weight,
                words: weights.text_weight,
            },
        )),
        (Some(_), _) => Err(Error::invalid(
            "ranking_options.ranker",
            "`ranker` must be `auto`, `default-2024-11-15` or `none`",
        )),
    }
}

/// A filter and the filters in it.
fn filter(value: &Value, field: &str, depth: usize) -> Result<AttributeFilter, Error> {
    let at = |key: &str| format!("{field}.{key}");
    if depth > FILTER_DEPTH_MAX {
        let message = format!("a filter has at most {FILTER_DEPTH_MAX} levels");
        return Err(Error::invalid(field, message));
    }
    let object = value
        .as_object()
        .ok_or_else(|| Error::invalid(field, "a filter must be an object"))?;
    let kind = object
        .get("type")
        .and_then(Value::as_str)
        .ok_or_else(|| Error::invalid(at("type"), "`type` of a filter must be a text"))?;
    if matches!(kind, "and" | "or") {
        let parts = object
            .get("filters")
            .and_then(Value::as_array)
            .ok_or_else(|| Error::invalid(at("filters"), "`filters` must be a list"))?
            .iter()
            .enumerate()
            .map(|(index, part)| filter(part, &format!("{field}.filters[{index}]"), depth + 1))
            .collect::<Result<_, _>>()?;
        return Ok(if kind == "and" {
            AttributeFilter::All(parts)
        } else {
            AttributeFilter::Any(parts)
        });
    }
    let comparison = match kind {
        "eq" => Comparison::Equal,
        "ne" => Comparison::NotEqual,
        "gt" => Comparison::Greater,
        "gte" => Comparison::GreaterOrEqual,
        "lt" => Comparison::Less,
        "lte" => Comparison::LessOrEqual,
        "in" => Comparison::In,
        "nin" => Comparison::NotIn,
        _ => {
            let message = "`type` must be one of eq, ne, gt, gte, lt, lte, in, nin, and, or";
            return Err(Error::invalid(at("type"), message));
        }
    };
    let key = object
        .get("key")
        .and_then(Value::as_str)
        .ok_or_else(|| Error::invalid(at("key"), "`key` of a comparison must be a text"))?;
    Ok(AttributeFilter::Compare {
        key: key.to_owned(),
        comparison,
        value: object
            .get("value")
            .cloned()
            .ok_or_else(|| Error::invalid(at("value"), "a comparison needs a `value`"))?,
    })
}
