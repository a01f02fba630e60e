//! Handlers of payload indexes.

use axum::extract::rejection::PathRejection;
use axum::extract::{Extension, Path, State};
use axum::response::Response;
use serde_json::Value;
use service::collections::{AnalyzerOptions, Bm25, Language, PayloadIndexKind, Tokenizer};
use service::{Error, ErrorKind, Identity};

use super::super::envelope::answer;
use super::super::points::Updated;
use super::super::selection::path;
use super::routes::{Given, Name, name_of, parameters};
use super::types::IndexBody;
use crate::body::{JsonObject, read};
use crate::state::App;

/// `PUT /collections/{collection}/index`. Without `wait` it is made all the same before the answer comes.
pub async fn create_index(
    State(app): State<App>,
    Extension(identity): Extension<Identity>,
    name: Name,
    given: Given,
    JsonObject(body): JsonObject,
) -> Response {
    answer(async {
        let parameters = parameters(given)?;
        let body = read::<IndexBody>(&body)?;
        let key = path(&body.field_name, "field_name")?;
        let kind = kind(&body.field_schema.unwrap_or(Value::Null))?;
        let name = name_of(name)?;
        let making = app
            .service
            .payload_index_create(&identity, &name, key, kind);
        parameters.within(making).await?;
        Ok(Updated::done())
    })
    .await
}

/// `DELETE /collections/{collection}/index/{field}`
pub async fn delete_index(
    State(app): State<App>,
    Extension(identity): Extension<Identity>,
    place: Result<Path<(String, String)>, PathRejection>,
    given: Given,
) -> Response {
    answer(async {
        let parameters = parameters(given)?;
        let Path((name, field)) =
            place.map_err(|_| Error::invalid("field_name", "the name is not valid UTF-8"))?;
        let key = path(&field, "field_name")?;
        let dropping = app.service.payload_index_delete(&identity, &name, key);
        parameters.within(dropping).await?;
        Ok(Updated::done())
    })
    .await
}

/// The kind of index that a schema means: a name, or an object whose `type` is one.
pub fn kind(schema: &Value) -> Result<PayloadIndexKind, Error> {
    const PLACE: &str = "field_schema";
    let name = match schema {
        Value::String(name) => name.as_str(),
        Value::Object(fields) => fields.get("type").and_then(Value::as_str).unwrap_or(""),
        _ => "",
    };
    if schema["nested"].is_string() {
        return Err(Error::new(
            ErrorKind::NotSupported,
            "Indexes on objects within arrays are not supported; filters on them work without.",
        )
        .at(PLACE));
    }
    Ok(match name {
        "keyword" => PayloadIndexKind::Keyword,
        "integer" => PayloadIndexKind::Integer,
        "float" => PayloadIndexKind::Float,
        "bool" => PayloadIndexKind::Bool,
        "datetime" => PayloadIndexKind::Datetime,
        "uuid" => PayloadIndexKind::Uuid,
        "geo" => PayloadIndexKind::Geo,
        "text" => text(schema)?,
        _ => {
            return Err(Error::invalid(
                PLACE,
                "The schema is one of keyword, integer, float, bool, datetime, uuid, geo, text, or an object of such a `type`.",
            ));
        }
    })
}

/// A text index. What another engine would lay out differently (`on_disk`, `memory`, `phrase_matching`) changes no answer here.
fn text(schema: &Value) -> Result<PayloadIndexKind, Error> {
    const PLACE: &str = "field_schema";
    let scoring = match &schema["scoring"] {
        Value::Null | Value::Bool(false) => None,
        _ => Some(Bm25::default()),
    };
    let Value::Object(_) = schema else {
        return Ok(PayloadIndexKind::Text {
            analyzer: None,
            scoring,
        });
    };
    let number = |name: &str, usual: usize| match &schema[name] {
        Value::Null => Ok(usual),
        value => value
            .as_u64()
            .and_then(|number| usize::try_from(number).ok())
            .ok_or_else(|| Error::invalid(format!("{PLACE}.{name}"), "a whole number is expected")),
    };
    let usual = AnalyzerOptions::default();
    let mut options = AnalyzerOptions {
        tokenizer: match schema["tokenizer"].as_str() {
            None | Some("word") => Tokenizer::Word,
            Some("whitespace") => Tokenizer::Whitespace,
            Some("prefix") => Tokenizer::Prefix,
            Some("multilingual") => Tokenizer::Unicode,
            Some(_) => {
                return Err(Error::new(
                    ErrorKind::NotSupported,
                    "A tokenizer is word, whitespace, prefix or multilingual.",
                )
                .at(format!("{PLACE}.tokenizer")));
            }
        },
        lowercase: schema["lowercase"].as_bool().unwrap_or(true),
        ascii_folding: schema["ascii_folding"].as_bool().unwrap_or(false),
        token_characters_min: number("min_token_len", usual.token_characters_min)?.max(1),
        token_characters_max: number("max_token_len", usual.token_characters_max)?
            .min(usual.token_characters_max),
        ..usual
    };
    let stemmer = &schema["stemmer"];
    if stemmer["type"].as_str() == Some("snowball") {
        options.stemmer = Some(language(&stemmer["language"], "stemmer")?);
    }
    match &schema["stopwords"] {
        Value::Null => {}
        one @ Value::String(_) => options.stop_word_languages = vec![language(one, "stopwords")?],
        set => {
            for one in set["languages"].as_array().into_iter().flatten() {
                options
                    .stop_word_languages
                    .push(language(one, "stopwords")?);
            }
            let custom = set["custom"].as_array().into_iter().flatten();
            options.stop_words = custom
                .filter_map(|word| word.as_str().map(str::to_owned))
                .collect();
        }
    }
    Ok(PayloadIndexKind::Text {
        analyzer: Some(Box::new(options)),
        scoring,
    })
}

fn language(name: &Value, place: &str) -> Result<Language, Error> {
    serde_json::from_value(name.clone()).map_err(|_| {
        Error::new(
            ErrorKind::NotSupported,
            format!("The language {name} is not supported."),
        )
        .at(format!("field_schema.{place}"))
    })
}
