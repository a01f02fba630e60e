//! What a collection remembers of the models that made its vectors, and whether another text's model fits.
//!
//! Kept in the annotations of the collection's schema, so that it is as durable as the collection, and goes into its
//! snapshots. Once remembered for a vector, it holds until the vector is made anew.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use vectors::schema::CollectionSchema;

use crate::error::{Error, ErrorKind, Result};

/// Key of the annotations.
pub const VECTOR_MODELS: &str = "vector_models";

/// What made the vectors of one name from texts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VectorModel {
    /// The model's full name.
    pub model: String,
    /// Digest of its weights; for `bm25`, of the settings that decide what its terms are.
    pub digest: String,
    /// Values of a vector; 0 for sparse ones.
    pub dimensions: u32,
    /// How token vectors become one (`mean`, `cls`, `last`), where the model says so.
    pub pooling: Option<String>,
    /// Whether vectors have length 1.
    pub normalized: bool,
    /// What was put before each text that was stored.
    pub prefix: String,
}

/// What is remembered, by vector name. What cannot be read counts as nothing: it was written by a later version, whose
/// reader checks it again.
pub fn remembered(schema: &CollectionSchema) -> BTreeMap<String, VectorModel> {
    let Some(serde_json::Value::Object(models)) = schema.annotations.get(VECTOR_MODELS) else {
        return BTreeMap::new();
    };
    models
        .iter()
        .filter_map(|(name, value)| {
            Some((name.clone(), serde_json::from_value(value.clone()).ok()?))
        })
        .collect()
}

/// Remembers `model` for a vector, in the place of what was remembered.
pub fn remember(schema: &mut CollectionSchema, name: &str, model: &VectorModel) {
    let models = schema
        .annotations
        .entry(VECTOR_MODELS)
        .or_insert_with(|| serde_json::Map::new().into());
    if let (Some(models), Ok(value)) = (models.as_object_mut(), serde_json::to_value(model)) {
        models.insert(name.to_owned(), value);
    }
}

/// Where a document's vector goes.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The collection.
    pub collection: &'a str,
    /// The vector's name.
    pub vector: &'a str,
    /// Whether it is stored there, or only compared with what is.
    pub stored: bool,
}

/// Refuses a model that is not the one remembered.
///
/// # Errors
/// `Conflict` (code `model_mismatch`) saying what made the vectors and what to do.
pub fn check(place: Place<'_>, known: &VectorModel, given: &VectorModel) -> Result<()> {
    let Place {
        collection,
        vector,
        stored,
    } = place;
    let name = match vector {
        "" => "The vectors".to_owned(),
        name => format!("The vectors `{name}`"),
    };
    let fail =
        |message: String| Err(Error::new(ErrorKind::Conflict, message).with_code("model_mismatch"));
    let remedy = format!(
        "or fill another collection with `{}` and switch an alias to it",
        given.model
    );
    if known.digest != given.digest {
        return fail(if known.model == given.model {
            format!(
                "{name} of collection `{collection}` were made by other weights or settings of the model `{}` ({}, now {}), and cannot be compared with new ones. Use those again, {remedy}",
                known.model,
                short(&known.digest),
                short(&given.digest),
            )
        } else {
            format!(
                "{name} of collection `{collection}` were made by the model `{}`; those of `{}` cannot be compared with them. Name `{}`, {remedy}",
                known.model, given.model, known.model,
            )
        });
    }
    if known.dimensions != given.dimensions {
        return fail(format!(
            "{name} of collection `{collection}` were cut to {} dimensions; this request makes {}. Set options.dimensions to {}, {remedy}",
            known.dimensions, given.dimensions, known.dimensions,
        ));
    }
    // Queries have prefixes of their own with models that tell the two roles apart.
    if stored && known.prefix != given.prefix {
        return fail(format!(
            "{name} of collection `{collection}` were made with the prefix {:?}; this request has {:?}. Set options.prefix to the former, {remedy}",
            known.prefix, given.prefix,
        ));
    }
    Ok(())
}

/// The first digits, enough to tell digests apart in a message.
fn short(digest: &str) -> &str {
    digest.get(..19).unwrap_or(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model() -> VectorModel {
        VectorModel {
            model: "minilm".to_owned(),
            digest: format!("sha256:{}", "ab".repeat(32)),
            dimensions: 384,
            pooling: Some("mean".to_owned()),
            normalized: true,
            prefix: "passage: ".to_owned(),
        }
    }

    #[test]
    fn what_is_remembered_is_read_again() {
        let mut schema = CollectionSchema::default();
        schema
            .annotations
            .insert("metadata".to_owned(), serde_json::json!({"a": 1}));
        remember(&mut schema, "", &model());
        remember(
            &mut schema,
            "title",
            &VectorModel {
                dimensions: 2,
                ..model()
            },
        );
        remember(&mut schema, "", &model());
        let known = remembered(&schema);
        assert_eq!(known.len(), 2);
        assert_eq!(known[""], model());
        assert_eq!(known["title"].dimensions, 2);
        assert_eq!(schema.annotations["metadata"]["a"], 1);
    }

    #[test]
    fn every_mismatch_says_what_to_do() {
        let place = |stored| Place {
            collection: "docs",
            vector: "title",
            stored,
        };
        let other_weights = VectorModel {
            digest: format!("sha256:{}", "cd".repeat(32)),
            ..model()
        };
        let other_model = VectorModel {
            model: "bge".to_owned(),
            ..other_weights.clone()
        };
        let shorter = VectorModel {
            dimensions: 128,
            ..model()
        };
        let bare = VectorModel {
            prefix: String::new(),
            ..model()
        };
        for (given, words) in [
            (&other_weights, "sha256:abababababab"),
            (&other_model, "Name `minilm`"),
            (&shorter, "options.dimensions to 384"),
            (&bare, "\"passage: \""),
        ] {
            let error = check(place(true), &model(), given).expect_err("refused");
            assert_eq!(error.kind, ErrorKind::Conflict);
            assert!(error.message.contains(words), "{error}");
            assert!(error.message.contains("switch an alias"), "{error}");
        }
        assert_eq!(check(place(false), &model(), &bare), Ok(()));
        assert_eq!(check(place(true), &model(), &model()), Ok(()));
    }
}
