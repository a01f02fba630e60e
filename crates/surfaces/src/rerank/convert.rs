//! From the three shapes to the service's request, and back.

use serde_json::{Map, Value};
use service::{Error, RerankRequest, Reranked};

use super::types::{
    ApiVersion, InputTokens, RerankBody, RerankMeta, RerankReply, RerankResult, RerankUsage,
    TeiBody, TeiRank,
};
use crate::duration;

/// A request of Jina's or Cohere's clients, and what its reply repeats.
pub struct Asked {
    /// Without a model when the caller named none.
    pub request: RerankRequest,
    /// The documents as they came, when they are to be given back.
    pub documents: Option<Vec<Map<String, Value>>>,
}

/// Reads a Jina or Cohere request.
pub fn request(body: RerankBody) -> Result<Asked, Error> {
    let query = match body.query {
        Value::String(text) => text,
        Value::Object(object) => text_of(&object)
            .ok_or_else(|| Error::invalid("query.text", "`query.text` must be a string"))?
            .to_owned(),
        _ => {
            return Err(Error::invalid("query", "`query` is a string").with_code("invalid_type"));
        }
    };
    if body.max_chunks_per_doc.is_some_and(|count| count != 1) {
        return Err(unsupported(
            "max_chunks_per_doc",
            "documents are read whole, or cut with `max_tokens_per_doc`",
        ));
    }
    let fields = body.rank_fields.unwrap_or_default();
    let mut texts = Vec::with_capacity(body.documents.len());
    let mut objects = Vec::with_capacity(body.documents.len());
    for (index, document) in body.documents.into_iter().enumerate() {
        let (text, object) = document_of(index, document, &fields)?;
        texts.push(text);
        objects.push(object);
    }
    Ok(Asked {
        request: RerankRequest {
            model: body.model.unwrap_or_default(),
            query,
            documents: texts,
            best: best(body.top_n)?,
            truncate: body.truncation.unwrap_or(true),
            document_tokens_max: body.max_tokens_per_doc,
            keep_alive: body
                .keep_alive
                .as_ref()
                .map(duration::keep_alive)
                .transpose()?,
        },
        documents: body.return_documents.unwrap_or(false).then_some(objects),
    })
}

fn best(count: Option<u64>) -> Result<Option<usize>, Error> {
    match count {
        Some(0) => Err(Error::invalid("top_n", "`top_n` must be at least 1")),
        Some(count) => Ok(Some(usize::try_from(count).unwrap_or(usize::MAX))),
        None => Ok(None),
    }
}

/// A document's text, and the object that is given back for it.
fn document_of(
    index: usize,
    document: Value,
    fields: &[String],
) -> Result<(String, Map<String, Value>), Error> {
    let path = format!("documents[{index}]");
    match document {
        Value::String(text) => {
            let object = Map::from_iter([("text".to_owned(), Value::String(text.clone()))]);
            Ok((text, object))
        }
        Value::Object(object) if fields.is_empty() => match text_of(&object) {
            Some(text) => Ok((text.to_owned(), object)),
            None => Err(Error::invalid(
                format!("{path}.text"),
                format!("`{path}.text` must be a string"),
            )),
        },
        Value::Object(object) => {
            let mut text = String::new();
            for field in fields {
                let Some(value) = object.get(field) else {
                    let message = format!("`{path}` has no field `{field}` of `rank_fields`");
                    return Err(Error::invalid(path, message));
                };
                let value = match value {
                    Value::String(value) => value.clone(),
                    other => other.to_string(),
                };
                if !text.is_empty() {
                    text.push('\n');
                }
                text.push_str(&format!("{field}: {value}"));
            }
            Ok((text, object))
        }
        _ => {
            let message = format!("`{path}` is a string or an object with `text`");
            Err(Error::invalid(path, message).with_code("invalid_type"))
        }
    }
}

fn text_of(object: &Map<String, Value>) -> Option<&str> {
    object.get("text").and_then(Value::as_str)
}

fn unsupported(field: &str, why: &str) -> Error {
    Error::invalid(field, format!("unsupported value of `{field}`: {why}"))
        .with_code("unsupported_parameter")
}

/// The reply in the union of Jina's and Cohere's shapes.
pub fn reply(
    ranked: Reranked,
    documents: Option<Vec<Map<String, Value>>>,
    version: &'static str,
) -> RerankReply {
    let results = ranked
        .ranking
        .iter()
        .map(|place| RerankResult {
            index: place.index,
            relevance_score: place.relevance,
            document: documents
                .as_ref()
                .and_then(|documents| documents.get(place.index))
                .cloned(),
        })
        .collect();
    RerankReply {
        id: ranked.id,
        object: "list",
        method: ranked.method.name(),
        model: ranked.model,
        results,
        usage: RerankUsage {
            prompt_tokens: ranked.prompt_tokens,
            total_tokens: ranked.prompt_tokens,
        },
        meta: RerankMeta {
            api_version: ApiVersion { version },
            tokens: InputTokens {
                input_tokens: ranked.prompt_tokens,
            },
        },
    }
}

/// Reads a TEI request.
pub fn tei_request(body: &TeiBody) -> Result<RerankRequest, Error> {
    let right = |direction: &str| direction.eq_ignore_ascii_case("right");
    if body
        .truncation_direction
        .as_deref()
        .is_some_and(|direction| !right(direction))
    {
        return Err(unsupported(
            "truncation_direction",
            "texts are cut at their end (`Right`)",
        ));
    }
    Ok(RerankRequest {
        model: body.model.clone().unwrap_or_default(),
        query: body.query.clone(),
        documents: body.texts.clone(),
        best: None,
        truncate: body.truncate.unwrap_or(false),
        document_tokens_max: None,
        keep_alive: None,
    })
}

/// TEI's reply: relevance from 0 to 1, or with `raw_scores` what the model gave.
pub fn tei_reply(body: TeiBody, ranked: &Reranked) -> Vec<TeiRank> {
    let raw = body.raw_scores.unwrap_or(false);
    let with_text = body.return_text.unwrap_or(false);
    ranked
        .ranking
        .iter()
        .map(|place| TeiRank {
            index: place.index,
            score: if raw { place.score } else { place.relevance },
            text: with_text
                .then(|| body.texts.get(place.index).cloned())
                .flatten(),
        })
        .collect()
}

/// `error` with its field in the words of the Jina and Cohere shapes.
pub fn in_their_words(mut error: Error) -> Error {
    error.field = error.field.map(|field| match field.as_str() {
        "best" => "top_n".to_owned(),
        "document_tokens_max" => "max_tokens_per_doc".to_owned(),
        _ => field,
    });
    error
}

/// `error` with its field in TEI's words.
pub fn in_tei_words(mut error: Error) -> Error {
    error.field = error
        .field
        .map(|field| match field.strip_prefix("documents") {
            Some(rest) => format!("texts{rest}"),
            None => field,
        });
    error
}
