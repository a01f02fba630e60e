//! The options of a document, as each kind of model reads them.
//!
//! | model | option | meaning |
//! |---|---|---|
//! | of the store | `dimensions` | cut the vector to so many dimensions and scale it again |
//! | | `truncate` | cut a text that is too long for the model instead of refusing it |
//! | | `prefix` | put before the text, as models with roles want it (`query: `) |
//! | `bm25` | `k`, `b`, `avg_len` | the constants of the formula |
//! | | `language`, `stemmer`, `stopwords` | what reduces and drops words |
//! | | `tokenizer`, `lowercase`, `ascii_folding`, `min_token_len`, `max_token_len` | how words are cut |
//!
//! An option that the model does not read is refused, so that nobody believes it acted.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use vectors::point::Payload;
use vectors::text::{AnalyzerOptions, Language, Tokenizer};

use super::bm25::{self, Bm25Options};
use crate::error::{Error, Result};

/// Longest prefix, in bytes; those of known models are a few words, instructions a sentence or two.
const PREFIX_BYTES_MAX: usize = 4_096;

/// How a model of the store is used.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DenseOptions {
    /// Cut to this many dimensions.
    pub dimensions: Option<u32>,
    /// Cut texts that are too long.
    pub truncate: bool,
    /// Put before each text.
    pub prefix: String,
}

/// The options of a model of the store.
///
/// # Errors
/// `InvalidRequest` at the field `options` for unknown ones and wrong types.
pub fn dense(options: &Payload) -> Result<DenseOptions> {
    let options: DenseOptions = read(options)?;
    if options.dimensions == Some(0) {
        return Err(invalid("dimensions", "must be at least 1"));
    }
    if options.prefix.len() > PREFIX_BYTES_MAX {
        return Err(invalid(
            "prefix",
            &format!("has at most {PREFIX_BYTES_MAX} bytes"),
        ));
    }
    Ok(options)
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Wire {
    k: Option<f32>,
    b: Option<f32>,
    avg_len: Option<f32>,
    tokenizer: Option<String>,
    language: Option<String>,
    lowercase: Option<bool>,
    ascii_folding: Option<bool>,
    stopwords: Option<Value>,
    stemmer: Option<Stemmer>,
    min_token_len: Option<usize>,
    max_token_len: Option<usize>,
}

#[derive(Debug, Deserialize)]
struct Stemmer {
    r#type: String,
    language: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct StopWords {
    languages: Vec<String>,
    custom: Vec<String>,
}

/// The options of `bm25`.
///
/// # Errors
/// As [`dense`].
pub fn lexical(options: &Payload) -> Result<Bm25Options> {
    if options.is_empty() {
        return Ok(Bm25Options::default());
    }
    let wire: Wire = read(options)?;
    let usual = Bm25Options::default();
    let made = Bm25Options {
        k: wire.k.unwrap_or(usual.k),
        b: wire.b.unwrap_or(usual.b),
        average_length: wire.avg_len.unwrap_or(usual.average_length),
        analysis: analysis(wire)?,
    };
    if !made.k.is_finite() || made.k < 0.0 {
        return Err(invalid("k", "must be at least 0"));
    }
    if !(0.0..=1.0).contains(&made.b) {
        return Err(invalid("b", "must be from 0 to 1"));
    }
    if !made.average_length.is_finite() || made.average_length <= 0.0 {
        return Err(invalid("avg_len", "must be above 0"));
    }
    made.analysis
        .validate()
        .map_err(|error| Error::invalid("options", format!("options.{error}")))?;
    Ok(made)
}

fn analysis(wire: Wire) -> Result<AnalyzerOptions> {
    let of_language = match wire.language.as_deref() {
        Some("none") => None,
        Some(name) => Some(language("language", name)?),
        None => Some(Language::English),
    };
    let mut analysis = bm25::analysis_of(of_language);
    if let Some(name) = &wire.tokenizer {
        analysis.tokenizer = match name.as_str() {
            "word" => Tokenizer::Word,
            "whitespace" => Tokenizer::Whitespace,
            "prefix" => Tokenizer::Prefix,
            // Word boundaries of Unicode cut scripts without spaces by character.
            "multilingual" => Tokenizer::Unicode,
            _ => {
                return Err(invalid(
                    "tokenizer",
                    "must be word, whitespace, prefix or multilingual",
                ));
            }
        };
    }
    if let Some(stemmer) = wire.stemmer {
        analysis.stemmer = match (stemmer.r#type.as_str(), &stemmer.language) {
            ("none", _) => None,
            ("snowball", Some(name)) => Some(language("stemmer.language", name)?),
            ("snowball", None) => return Err(invalid("stemmer.language", "is required")),
            _ => return Err(invalid("stemmer.type", "must be snowball or none")),
        };
    }
    match wire.stopwords {
        None | Some(Value::Null) => {}
        Some(Value::String(name)) => {
            analysis.stop_word_languages = vec![language("stopwords", &name)?];
        }
        Some(value) => {
            let words: StopWords = serde_json::from_value(value)
                .map_err(|error| invalid("stopwords", &error.to_string()))?;
            analysis.stop_word_languages = words
                .languages
                .iter()
                .map(|name| language("stopwords.languages", name))
                .collect::<Result<_>>()?;
            analysis.stop_words = words.custom;
        }
    }
    analysis.lowercase = wire.lowercase.unwrap_or(analysis.lowercase);
    analysis.ascii_folding = wire.ascii_folding.unwrap_or(analysis.ascii_folding);
    if let Some(length) = wire.min_token_len {
        analysis.token_characters_min = length.max(1);
    }
    if let Some(length) = wire.max_token_len {
        analysis.token_characters_max = length;
    }
    Ok(analysis)
}

fn language(option: &str, name: &str) -> Result<Language> {
    Language::parse(name).ok_or_else(|| {
        let known: Vec<&str> = Language::ALL.iter().map(|one| one.names().0).collect();
        invalid(
            option,
            &format!("`{name}` is not one of the languages {}", known.join(", ")),
        )
    })
}

fn read<T: DeserializeOwned>(options: &Payload) -> Result<T> {
    // Nulls mean what a missing option means.
    let given: Payload = options
        .iter()
        .filter(|(_, value)| !value.is_null())
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    serde_json::from_value(Value::Object(given))
        .map_err(|error| Error::invalid("options", format!("options: {error}")))
}

fn invalid(option: &str, message: &str) -> Error {
    Error::invalid(
        format!("options.{option}"),
        format!("options.{option}: {message}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn of(value: Value) -> Payload {
        value.as_object().expect("an object").clone()
    }

    #[test]
    fn options_of_bm25_as_their_documentation_names_them() {
        let made = lexical(&of(json!({
            "k": 2.0, "b": 0.5, "avg_len": 10, "language": "german", "tokenizer": "whitespace",
            "lowercase": false, "ascii_folding": true, "stemmer": {"type": "none"},
            "stopwords": {"languages": ["english"], "custom": ["foo"]},
            "min_token_len": 2, "max_token_len": null,
        })))
        .expect("fits");
        assert_eq!((made.k, made.b, made.average_length), (2.0, 0.5, 10.0));
        assert_eq!(
            made.analysis,
            AnalyzerOptions {
                tokenizer: Tokenizer::Whitespace,
                lowercase: false,
                ascii_folding: true,
                stemmer: None,
                stop_word_languages: vec![Language::English],
                stop_words: vec!["foo".to_owned()],
                token_characters_min: 2,
                ..AnalyzerOptions::default()
            }
        );
        let plain = lexical(&of(json!({"language": "none"}))).expect("fits");
        assert_eq!(
            (plain.analysis.stemmer, plain.analysis.stop_word_languages),
            (None, vec![])
        );
    }

    #[test]
    fn an_option_that_does_nothing_or_makes_no_sense_is_refused() {
        for (options, named) in [
            (json!({"kk": 1}), "kk"),
            (json!({"k": -1}), "options.k"),
            (json!({"b": 2}), "options.b"),
            (json!({"avg_len": 0}), "options.avg_len"),
            (json!({"language": "klingon"}), "options.language"),
            (json!({"tokenizer": "code"}), "options.tokenizer"),
            (
                json!({"stemmer": {"type": "porter"}}),
                "options.stemmer.type",
            ),
            (json!({"stopwords": {"words": []}}), "options.stopwords"),
            (
                json!({"min_token_len": 9, "max_token_len": 3}),
                "token_characters_min",
            ),
        ] {
            let error = lexical(&of(options)).expect_err("refused");
            assert!(error.message.contains(named), "{error}");
        }
        for (options, named) in [
            (json!({"cuda": true}), "cuda"),
            (json!({"dimensions": 0}), "options.dimensions"),
            (json!({"truncate": "yes"}), "options"),
        ] {
            let error = dense(&of(options)).expect_err("refused");
            assert!(error.message.contains(named), "{error}");
        }
    }
}
