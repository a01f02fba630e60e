//! What is searched, what is found.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::collections::Filter;

/// Which models are used when a request names none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AnsweringOptions {
    /// The model that writes answers; `None`: the only generating model of the store.
    pub model: Option<String>,
    /// The model that ranks; `None`: answers keep the order of the search.
    pub reranker: Option<String>,
}

/// Where to look, and what is wanted of it.
#[derive(Debug, Clone)]
pub struct Retrieval {
    /// Collections (or vector stores, which are collections), searched one after the other.
    pub collections: Vec<String>,
    /// Most passages.
    pub limit: usize,
    /// Which points may be found.
    pub filter: Filter,
    /// Passages that score less are left out: a ranking model's relevance (0 to 1), else the fusion's score.
    pub score_min: Option<f32>,
    /// Who orders what was found.
    pub ranker: Ranker,
}

/// Who orders what was found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Ranker {
    /// The configured ranking model, if there is one.
    #[default]
    Configured,
    /// Nobody: the order of the search stays.
    None,
    /// This model.
    Model(String),
}

/// A piece of a document that was found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Passage {
    /// The collection, as it was asked for.
    pub collection: String,
    /// The point.
    pub point: String,
    /// The text.
    pub text: String,
    /// Name of the file it is from; the point's id when the point names none.
    pub source: String,
    /// Id of that file; empty when it was not uploaded.
    pub file_id: String,
    /// Relevance by whoever ordered it.
    pub score: f32,
    /// Where in the source: `page`, `row`, `start`, `end` (offsets in its text), those that are known.
    pub place: Map<String, Value>,
    /// What the file's owner noted about it.
    pub attributes: Map<String, Value>,
}

impl Passage {
    /// The source and the place in it, for a person: `report.pdf, page 3`.
    pub fn label(&self) -> String {
        for key in ["page", "row"] {
            if let Some(value) = self.place.get(key) {
                return format!("{}, {key} {value}", self.source);
            }
        }
        self.source.clone()
    }
}
