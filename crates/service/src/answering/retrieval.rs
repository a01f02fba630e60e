//! Finding passages: by meaning and by words, merged by reciprocal ranks, and ordered by a ranking model if there is one.

use security::Identity;
use serde_json::Value;

use crate::error::{Error, ErrorKind, Result};
use crate::ingest::{Found, SearchMode, TextSearch};
use crate::reranking::RerankRequest;
use crate::service::Service;

use super::types::{Passage, Ranker, Retrieval};

/// Most passages of one search.
const PASSAGES_MAX: usize = 50;
/// Most collections of one search.
const COLLECTIONS_MAX: usize = 16;
/// Candidates that a ranking model reads, per passage wanted.
const CANDIDATES_PER_PASSAGE: usize = 4;
/// Payload keys that say where in its source a passage is.
const PLACES: [&str; 4] = ["page", "row", "start", "end"];

impl Service {
    /// Finds passages about `question`, the most relevant first.
    ///
    /// # Errors
    /// `NotFound` for a collection; `InvalidRequest` for one whose vectors were not made from texts by this server;
    /// as [`Service::embed`] and [`Service::rerank`].
    pub async fn retrieve(
        &self,
        identity: &Identity,
        retrieval: &Retrieval,
        question: &str,
    ) -> Result<Vec<Passage>> {
        check(retrieval, question)?;
        let ranker = match &retrieval.ranker {
            Ranker::None => None,
            Ranker::Configured => self.answering.options.reranker.clone(),
            Ranker::Model(name) => Some(name.clone()),
        };
        let candidates = retrieval.limit * CANDIDATES_PER_PASSAGE;
        let mut found: Vec<Passage> = Vec::new();
        for collection in &retrieval.collections {
            let search = TextSearch {
                query: question.to_owned(),
                mode: SearchMode::Hybrid,
                limit: candidates,
                filter: retrieval.filter.clone(),
                model: None,
            };
            let hits = self
                .search_text(identity, collection, search)
                .await
                .map_err(of_question)?;
            found.extend(hits.into_iter().filter_map(|hit| passage(collection, hit)));
        }
        // Scores of fusions are made of ranks, so those of several collections can be compared.
        found.sort_by(|left, right| right.score.total_cmp(&left.score));
        found.truncate(candidates);
        if let Some(model) = ranker {
            found = self.rank_passages(identity, model, question, found).await?;
        }
        if let Some(least) = retrieval.score_min {
            found.retain(|passage| passage.score >= least);
        }
        found.truncate(retrieval.limit);
        Ok(found)
    }

    /// The same passages in a ranking model's order and with its relevance.
    async fn rank_passages(
        &self,
        identity: &Identity,
        model: String,
        question: &str,
        found: Vec<Passage>,
    ) -> Result<Vec<Passage>> {
        if found.is_empty() {
            return Ok(found);
        }
        let request = RerankRequest {
            model,
            query: question.to_owned(),
            documents: found.iter().map(|passage| passage.text.clone()).collect(),
            best: None,
            truncate: true,
            document_tokens_max: None,
            keep_alive: None,
        };
        let ranked = self.rerank(identity, request).await?;
        Ok(ranked
            .ranking
            .into_iter()
            .filter_map(|place| {
                let mut passage = found.get(place.index)?.clone();
                passage.score = place.relevance;
                Some(passage)
            })
            .collect())
    }
}

fn check(retrieval: &Retrieval, question: &str) -> Result<()> {
    if question.trim().is_empty() {
        return Err(Error::invalid("question", "The question is empty."));
    }
    if retrieval.collections.is_empty() {
        return Err(Error::invalid(
            "collections",
            "At least one collection is needed.",
        ));
    }
    if retrieval.collections.len() > COLLECTIONS_MAX {
        return Err(Error::new(
            ErrorKind::TooLarge,
            format!("At most {COLLECTIONS_MAX} collections are searched at once."),
        )
        .at("collections"));
    }
    if !(1..=PASSAGES_MAX).contains(&retrieval.limit) {
        return Err(Error::invalid(
            "limit",
            format!("Between 1 and {PASSAGES_MAX} passages can be found."),
        ));
    }
    Ok(())
}

/// A search's error in the words of an answer.
fn of_question(mut error: Error) -> Error {
    error.field = match error.field.as_deref() {
        Some("query") => Some("question".to_owned()),
        // The collection does not know its model, and a question cannot name one.
        Some("model") => Some("collections".to_owned()),
        _ => error.field,
    };
    error
}

/// A point as a passage; one without text is none.
fn passage(collection: &str, hit: Found) -> Option<Passage> {
    let Found {
        id: point,
        score,
        payload,
    } = hit;
    let text = |key: &str| payload.get(key).and_then(Value::as_str);
    let attributes = match payload.get("attributes") {
        Some(Value::Object(attributes)) => attributes.clone(),
        _ => serde_json::Map::new(),
    };
    Some(Passage {
        collection: collection.to_owned(),
        text: text("text").filter(|text| !text.is_empty())?.to_owned(),
        source: text("source").unwrap_or(&point).to_owned(),
        file_id: text("file_id").unwrap_or_default().to_owned(),
        score,
        place: PLACES
            .iter()
            .filter_map(|key| Some(((*key).to_owned(), payload.get(*key)?.clone())))
            .collect(),
        attributes,
        point,
    })
}
