//! Vectors as callers give them: themselves, those of a stored point, or a text that a model of this server turns into one.

use std::collections::BTreeMap;

use vectors::point::{Payload, PointId, Vector};

/// What stands where a vector is expected.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// The vector itself.
    Vector(Vector),
    /// The vector of a stored point; in queries only.
    Point(PointId),
    /// The vector that a model makes of a text.
    Document(Document),
}

/// A text and the model that turns it into a vector.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// The text.
    pub text: String,
    /// The model's name; `bm25` makes sparse vectors of words, every other is a model of the store.
    pub model: String,
    /// How the model is used; see [`super::inference::options`] for what each kind reads.
    pub options: Payload,
}

/// What models read for one request.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct InferenceUsage {
    /// Tokens by the model's full name; terms for `bm25`. Those of kept results count too.
    pub models: BTreeMap<String, u64>,
}

impl InferenceUsage {
    /// Adds tokens that a model read.
    pub fn add(&mut self, model: &str, tokens: u64) {
        let total = self.models.entry(model.to_owned()).or_default();
        *total = total.saturating_add(tokens);
    }
}

/// A request whose documents became vectors, and what that took.
#[derive(Debug, Clone, PartialEq)]
pub struct Embedded<T> {
    /// The request.
    pub value: T,
    /// What models read for it.
    pub usage: InferenceUsage,
}
