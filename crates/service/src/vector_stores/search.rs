//! Searching vector stores: by meaning, or by meaning and words.

use security::{Action, Identity};
use serde_json::Value;
use vectors::collection::{PayloadSelection, QueriedPoint, VectorSelection, With};
use vectors::filter::{FieldPath, Filter};
use vectors::point::Payload;
use vectors::query::{Fusion, Query, QueryRequest, RECIPROCAL_RANK_CONSTANT, Stage};

use super::chunks::payload_text;
use super::filters;
use super::manage::WORDS;
use super::types::{QUERIES_MAX, RESULTS_MAX, Ranking, StoreHit, StoreSearch};
use crate::collections::{Document, Input};
use crate::error::{Error, ErrorKind, Result};
use crate::service::Service;

/// Candidates that each list gives for one result: what one list has in front the other may have far behind.
const CANDIDATES_PER_RESULT: usize = 4;
/// Candidates at least.
const CANDIDATES_MIN: usize = 50;
/// Longest query, in characters; OpenAI's bound.
const QUERY_CHARACTERS_MAX: usize = 4_096;

impl Service {
    /// The chunks of a vector store that answer best to any of the queries, best first.
    ///
    /// # Errors
    /// `Forbidden`; `NotFound` for the store; `InvalidRequest` naming the field, or for a store that has expired; those of
    /// embedding a text.
    pub async fn vector_store_search(
        &self,
        identity: &Identity,
        store_id: &str,
        search: StoreSearch,
    ) -> Result<Vec<StoreHit>> {
        self.authorize(Some(identity), Action::ReadCollections)?;
        check(&search)?;
        let filter = match &search.filter {
            Some(filter) => filters::convert(filter)?,
            None => Filter::default(),
        };
        let store = self.live_store(&identity.tenant, store_id).await?;
        let request = request(&search, filter, &store.model);
        let found = self.run_search(identity, store_id, request).await?;
        self.touch(&identity.tenant, &store).await?;
        let best = best_score(&search);
        let hits = found
            .into_iter()
            .map(|point| hit(point, best))
            .filter(|hit| hit.score >= search.score_threshold);
        Ok(hits.collect())
    }

    async fn run_search(
        &self,
        identity: &Identity,
        store_id: &str,
        request: QueryRequest<Input>,
    ) -> Result<Vec<QueriedPoint>> {
        let embedded = self
            .embed_queries(identity, store_id, vec![request])
            .await
            .map_err(|error| in_their_words(error, store_id))?;
        let Some(request) = embedded.value.into_iter().next() else {
            return Ok(Vec::new());
        };
        let payload = ["file_id", "source", "chunk", "attributes", "text"];
        let with = With {
            payload: PayloadSelection::Include(payload.map(FieldPath::key).to_vec()),
            vectors: VectorSelection::None,
        };
        self.points_query(identity, store_id, request, with)
            .await
            .map_err(|error| in_their_words(error, store_id))
    }
}

fn check(search: &StoreSearch) -> Result<()> {
    if search.queries.is_empty() || search.queries.len() > QUERIES_MAX {
        let message = format!("`query` holds 1 to {QUERIES_MAX} texts.");
        return Err(Error::invalid("query", message));
    }
    for query in &search.queries {
        if query.trim().is_empty() || query.chars().count() > QUERY_CHARACTERS_MAX {
            let message = format!("A query has 1 to {QUERY_CHARACTERS_MAX} characters.");
            return Err(Error::invalid("query", message));
        }
    }
    if !(1..=RESULTS_MAX).contains(&search.limit) {
        let message = format!("`max_num_results` must lie between 1 and {RESULTS_MAX}.");
        return Err(Error::invalid("max_num_results", message));
    }
    if !(0.0..=1.0).contains(&search.score_threshold) {
        let message = "`score_threshold` must lie between 0 and 1.";
        return Err(Error::invalid("ranking_options.score_threshold", message));
    }
    if let Ranking::Hybrid { meaning, words } = search.ranking {
        let fine = |weight: f32| weight.is_finite() && weight >= 0.0;
        if !fine(meaning) || !fine(words) || meaning + words <= 0.0 {
            let message = "The weights must be at least 0, and one of them more.";
            return Err(Error::invalid("ranking_options.hybrid_search", message));
        }
    }
    Ok(())
}

/// The query tree: one list per query by meaning, and with `Hybrid` one by words, merged by their ranks.
fn request(search: &StoreSearch, filter: Filter, model: &str) -> QueryRequest<Input> {
    let candidates = search
        .limit
        .saturating_mul(CANDIDATES_PER_RESULT)
        .max(CANDIDATES_MIN);
    let list = |text: &String, model: &str, using: &str| {
        let mut options = Payload::new();
        // A long question is searched by what the model reads of it; words count all of it.
        if model != WORDS {
            options.insert("truncate".to_owned(), Value::Bool(true));
        }
        Stage {
            query: Some(Query::Nearest {
                target: Input::Document(Document {
                    text: text.clone(),
                    model: model.to_owned(),
                    options,
                }),
                mmr: None,
            }),
            using: using.to_owned(),
            limit: candidates,
            ..Stage::default()
        }
    };
    let stage = match (search.ranking, search.queries.as_slice()) {
        (Ranking::Meaning, [only]) => Stage {
            limit: search.limit,
            filter,
            ..list(only, model, "")
        },
        (ranking, queries) => Stage {
            prefetch: queries
                .iter()
                .flat_map(|text| {
                    lists(ranking).into_iter().map(|(way, _)| match way {
                        Way::Meaning => list(text, model, ""),
                        Way::Words => list(text, WORDS, WORDS),
                    })
                })
                .collect(),
            query: Some(Query::Fusion(Fusion::ReciprocalRank {
                constant: RECIPROCAL_RANK_CONSTANT,
                weights: weights(search),
            })),
            filter,
            limit: search.limit,
            ..Stage::default()
        },
    };
    QueryRequest { stage, offset: 0 }
}

/// How one list is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Meaning,
    Words,
}

/// The lists of one query and their weights. One without weight is left out: its results would come last, and come.
fn lists(ranking: Ranking) -> Vec<(Way, f32)> {
    let both = match ranking {
        Ranking::Meaning => vec![(Way::Meaning, 1.0)],
        Ranking::Hybrid { meaning, words } => vec![(Way::Meaning, meaning), (Way::Words, words)],
    };
    both.into_iter()
        .filter(|(_, weight)| *weight > 0.0)
        .collect()
}

/// One weight per list, in their order.
fn weights(search: &StoreSearch) -> Vec<f32> {
    let of_query = lists(search.ranking);
    search
        .queries
        .iter()
        .flat_map(|_| of_query.iter().map(|(_, weight)| *weight))
        .collect()
}

/// The engine's score of a result that leads every list; `None` when its scores are similarities.
fn best_score(search: &StoreSearch) -> Option<f32> {
    if search.ranking == Ranking::Meaning && search.queries.len() == 1 {
        return None;
    }
    // The formula of the fusion for rank 1.
    let best = weights(search)
        .into_iter()
        .map(|weight| 1.0 / (RECIPROCAL_RANK_CONSTANT + 1.0 / weight))
        .sum::<f32>();
    Some(best)
}

fn hit(point: QueriedPoint, best: Option<f32>) -> StoreHit {
    let score = point.score / best.unwrap_or(1.0);
    let payload = point.point.payload.as_ref();
    let value = |key: &str| payload.and_then(|payload| payload.get(key));
    StoreHit {
        file_id: payload_text(payload, "file_id"),
        filename: payload_text(payload, "source"),
        attributes: value("attributes")
            .and_then(Value::as_object)
            .cloned()
            .unwrap_or_default(),
        chunk: value("chunk").and_then(Value::as_u64).unwrap_or(0),
        text: payload_text(payload, "text"),
        score: score.clamp(0.0, 1.0),
    }
}

/// Errors of the collection behind a vector store, for callers who know of no collection.
fn in_their_words(mut error: Error, store_id: &str) -> Error {
    let of_model = error
        .field
        .as_deref()
        .is_some_and(|field| field.ends_with(".model"));
    if error.kind == ErrorKind::NotFound && !of_model {
        let message = format!(
            "The points of the vector store '{store_id}' are gone: its collection was deleted."
        );
        return Error::new(ErrorKind::NotFound, message).at("vector_store_id");
    }
    if error.field.is_some() {
        error.field = Some("query".to_owned());
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    fn search(ranking: Ranking, queries: usize) -> StoreSearch {
        StoreSearch {
            queries: vec!["question".to_owned(); queries],
            filter: None,
            limit: 10,
            ranking,
            score_threshold: 0.0,
        }
    }

    #[test]
    fn a_result_that_leads_every_list_scores_one() {
        let even = Ranking::default();
        assert_eq!(best_score(&search(even, 1)), Some(2.0 / 61.0));
        let three = best_score(&search(even, 3)).expect("a score");
        assert!((three - 6.0 / 61.0).abs() < 1e-6, "{three}");
        assert_eq!(best_score(&search(Ranking::Meaning, 1)), None);
        let weighted = Ranking::Hybrid {
            meaning: 0.5,
            words: 0.0,
        };
        assert_eq!(best_score(&search(weighted, 1)), Some(1.0 / 62.0));
    }

    #[test]
    fn lists_and_weights_go_together() {
        for (ranking, queries, lists) in [
            (Ranking::default(), 1, 2),
            (Ranking::default(), 4, 8),
            (Ranking::Meaning, 3, 3),
            (Ranking::Meaning, 1, 0),
            (
                Ranking::Hybrid {
                    meaning: 0.0,
                    words: 1.0,
                },
                2,
                2,
            ),
        ] {
            let search = search(ranking, queries);
            let made = request(&search, Filter::default(), "m");
            assert_eq!(made.stage.prefetch.len(), lists);
            if let Some(Query::Fusion(fusion)) = &made.stage.query {
                assert!(fusion.validate(lists).is_ok());
            }
        }
    }
}
