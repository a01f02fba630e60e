//! Answering from documents: find passages, rank them, fit them to the model's context, let the model write, and map its
//! `[n]` marks to the passages they name.

/// Which models are used when a request names none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AnsweringOptions {
    /// The model that writes answers; `None`: the only generating model of the store.
    pub model: Option<String>,
    /// The model that ranks; `None`: answers keep the order of the search.
    pub reranker: Option<String>,
}
