//! Searching collections of texts by a text.

use security::Identity;
use vectors::collection::{PayloadSelection, QueriedPoint, With};
use vectors::point::Payload;
use vectors::query::{Fusion, Query, QueryRequest, Stage};

use super::target::WORDS;
use crate::collections::{Document, Filter, Input};
use crate::error::{Error, Result};
use crate::service::Service;

/// How texts are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SearchMode {
    /// By meaning and by words, fused by ranks.
    #[default]
    Hybrid,
    /// By meaning.
    Dense,
    /// By words.
    Words,
}

/// A search for a text.
#[derive(Debug, Clone, Default)]
pub struct TextSearch {
    /// What is looked for.
    pub query: String,
    /// How.
    pub mode: SearchMode,
    /// Most results, at least 1.
    pub limit: usize,
    /// Only points like this.
    pub filter: Filter,
    /// The embedding model; the one that made the vectors when absent.
    pub model: Option<String>,
}

/// A point that was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// Its id.
    pub id: String,
    /// Its score; of a fusion, of its ranks.
    pub score: f32,
    /// Its payload.
    pub payload: Payload,
}

/// Most results of one search.
const LIMIT_MAX: usize = 1000;
/// Longest text to look for.
const QUERY_BYTES_MAX: usize = 64 * 1024;
/// Candidates of each list that are fused: enough that a point which is good in both is in both.
const CANDIDATES_MIN: usize = 50;

impl Service {
    /// Finds the points of a collection whose texts are about the query, the best first.
    ///
    /// # Errors
    /// `Forbidden`; `NotFound` for the collection; `InvalidRequest` naming the field, also when the collection was not
    /// made from texts.
    pub async fn search_text(
        &self,
        identity: &Identity,
        collection: &str,
        search: TextSearch,
    ) -> Result<Vec<Found>> {
        if search.query.trim().is_empty() || search.query.len() > QUERY_BYTES_MAX {
            let message = format!("The text to look for has 1 to {QUERY_BYTES_MAX} bytes.");
            return Err(Error::invalid("query", message));
        }
        if !(1..=LIMIT_MAX).contains(&search.limit) {
            let message = format!("The limit is 1 to {LIMIT_MAX}.");
            return Err(Error::invalid("limit", message));
        }
        let model = match (&search.model, search.mode) {
            (_, SearchMode::Words) => None,
            (Some(model), _) => Some(model.clone()),
            (None, _) => {
                let known = self.collection_models(identity, collection).await?;
                let model = known.get("").map(|known| known.model.clone());
                Some(model.ok_or_else(|| {
                    Error::invalid(
                        "model",
                        format!("The collection '{collection}' does not say which model made its vectors; name it, or search by words."),
                    )
                })?)
            }
        };
        let request = QueryRequest {
            stage: stage(&search, model),
            offset: 0,
        };
        let embedded = self
            .embed_queries(identity, collection, vec![request])
            .await?;
        let with = With {
            payload: PayloadSelection::All,
            ..With::default()
        };
        let requests = embedded
            .value
            .into_iter()
            .map(|request| (request, with.clone()));
        let found = self
            .points_query_batch(identity, collection, requests.collect())
            .await?;
        Ok(found.into_iter().flatten().map(of_point).collect())
    }
}

fn of_point(found: QueriedPoint) -> Found {
    Found {
        id: found.point.id.to_string(),
        score: found.score,
        payload: found.point.payload.unwrap_or_default(),
    }
}

fn stage(search: &TextSearch, model: Option<String>) -> Stage<Input> {
    let nearest = |using: &str, model: String, limit: usize| {
        let mut options = Payload::new();
        // A long question is searched by what the model reads of it; words count all of it.
        if model != WORDS {
            options.insert("truncate".to_owned(), true.into());
        }
        Stage {
            query: Some(Query::Nearest {
                target: Input::Document(Document {
                    text: search.query.clone(),
                    model,
                    options,
                }),
                mmr: None,
            }),
            using: using.to_owned(),
            filter: search.filter.clone(),
            limit,
            ..Stage::default()
        }
    };
    match (search.mode, model) {
        (SearchMode::Dense, Some(model)) => nearest("", model, search.limit),
        (SearchMode::Hybrid, Some(model)) => {
            let candidates = search.limit.saturating_mul(2).max(CANDIDATES_MIN);
            Stage {
                prefetch: vec![
                    nearest("", model, candidates),
                    nearest(WORDS, WORDS.to_owned(), candidates),
                ],
                query: Some(Query::Fusion(Fusion::default())),
                limit: search.limit,
                ..Stage::default()
            }
        }
        _ => nearest(WORDS, WORDS.to_owned(), search.limit),
    }
}
