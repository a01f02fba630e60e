//! Ordering texts by relevance to a query: by a cross-encoder that reads both together, or, named as such, by the cosine
//! of an embedding model's vectors.

use std::time::Duration;

use inference::files::gguf::Kind;
use inference::runner::RunnerErrorKind;
use inference::runner::protocol::{self, TokenizeRequest};
use security::{Action, Identity};
use tracing::Instrument;

use crate::catalog::FoundModel;
use crate::error::{Error, ErrorKind, Result};
use crate::failures;
use crate::generation::InFlight;
use crate::identifiers;
use crate::prepare;
use crate::runtime::ModelLease;
use crate::service::Service;
use crate::signals::{Operation, RequestRecord};
use crate::types::{EmbedRequest, Prompt};

/// Documents in one call of the runner, so that other work gets in between.
const DOCUMENTS_PER_CALL: usize = 64;
/// Tokens that frame a pair: one before the query, one after each text.
const PAIR_FRAME_TOKENS: usize = 3;
/// Fewest tokens that a document may be cut to; a query that leaves less is too long.
const DOCUMENT_TOKENS_MIN: usize = 16;

/// Texts to order.
#[derive(Debug, Clone, PartialEq)]
pub struct RerankRequest {
    /// A reranking model, or an embedding model for [`RerankMethod::EmbeddingCosine`].
    pub model: String,
    /// What they should be relevant to.
    pub query: String,
    /// The texts.
    pub documents: Vec<String>,
    /// Give only this many of the best.
    pub best: Option<usize>,
    /// Cut documents that do not fit beside the query instead of refusing them.
    pub truncate: bool,
    /// Cut every document to this many tokens, whether or not it would fit.
    pub document_tokens_max: Option<u32>,
    /// How long the model stays loaded after this request.
    pub keep_alive: Option<Duration>,
}

/// How scores were made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RerankMethod {
    /// A model that reads the query and a document together and gives one number, any real.
    CrossEncoder,
    /// The cosine of the two embeddings, -1 to 1: cheaper, and blind to how the two texts relate word by word.
    EmbeddingCosine,
}

impl RerankMethod {
    /// Stable name.
    pub fn name(self) -> &'static str {
        match self {
            RerankMethod::CrossEncoder => "cross_encoder",
            RerankMethod::EmbeddingCosine => "embedding_cosine",
        }
    }
}

/// One text's place in the order.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RankedDocument {
    /// Its place in the request.
    pub index: usize,
    /// What the model gave: a logit, or a cosine.
    pub score: f32,
    /// Relevance: the logistic function of a logit (0 to 1), or the cosine itself (-1 to 1).
    pub relevance: f32,
}

/// Texts in the order of their relevance.
#[derive(Debug, Clone, PartialEq)]
pub struct Reranked {
    /// Unique id, without a protocol's prefix.
    pub id: String,
    /// The model, by its full name.
    pub model: String,
    /// How it was done.
    pub method: RerankMethod,
    /// Best first; equal scores keep the order of the request.
    pub ranking: Vec<RankedDocument>,
    /// Tokens read.
    pub prompt_tokens: u32,
}

impl Service {
    /// Orders documents by their relevance to a query.
    ///
    /// # Errors
    /// `InvalidRequest` at `model` when the model neither ranks nor embeds; `ContextExceeded` when a document does not fit
    /// beside the query and may not be cut; else as [`Service::embed`].
    pub async fn rerank(&self, identity: &Identity, request: RerankRequest) -> Result<Reranked> {
        self.authorize(Some(identity), Action::Rerank)?;
        let mut record = RequestRecord::begin(
            Operation::Rerank,
            identity.tenant.as_str(),
            self.clock.clone(),
        );
        let span = tracing::info_span!("rerank", tenant = %identity.tenant, documents = request.documents.len());
        let ranked = self
            .rerank_admitted(identity, request, &mut record)
            .instrument(span)
            .await;
        match ranked {
            Ok(ranked) => {
                record.succeeded();
                Ok(ranked)
            }
            Err(error) => Err(record.failed(error)),
        }
    }

    async fn rerank_admitted(
        &self,
        identity: &Identity,
        request: RerankRequest,
        record: &mut RequestRecord,
    ) -> Result<Reranked> {
        self.limits.check_rerank(&request)?;
        let guard = self.enter()?;
        let model = self.catalog.find(&request.model).await?;
        record.found_model(&model.manifest.name);
        let (scores, prompt_tokens, method) = match model.manifest.facts.kind {
            Kind::Rank => {
                let (scores, tokens) = self.rank_pairs(&model, &request, guard).await?;
                record.prompt(u64::from(tokens));
                (scores, tokens, RerankMethod::CrossEncoder)
            }
            Kind::Embed => {
                drop(guard);
                let (scores, tokens) = self.rank_by_cosine(identity, &request).await?;
                (scores, tokens, RerankMethod::EmbeddingCosine)
            }
            Kind::Generate => return Err(no_reranker(&model.manifest.name)),
        };
        Ok(Reranked {
            id: identifiers::request()?,
            model: model.manifest.name,
            method,
            ranking: order(&scores, method, request.best),
            prompt_tokens,
        })
    }

    /// Scores by the cross-encoder, one per document, and the tokens read.
    async fn rank_pairs(
        &self,
        model: &FoundModel,
        request: &RerankRequest,
        _guard: InFlight,
    ) -> Result<(Vec<f32>, u32)> {
        let load = prepare::load_options(&self.load, &model.manifest);
        let mut lease =
            prepare::acquire(&self.runtime, model, &load, request.keep_alive, None).await?;
        if !lease.facts().ranks {
            return Err(no_reranker(&model.manifest.name));
        }
        let documents = self.fitted(lease.as_ref(), request).await?;
        let (mut scores, mut tokens, mut retried) = (Vec::new(), 0u32, false);
        for (call, chunk) in documents.chunks(DOCUMENTS_PER_CALL).enumerate() {
            let wire = protocol::RerankRequest {
                request_id: identifiers::request()?,
                query: request.query.clone(),
                documents: chunk.to_vec(),
            };
            let reply = match lease.rerank(wire.clone()).await {
                // Nothing was shown yet, so a fresh runner may try the same again, once.
                Err(error) if error.kind == RunnerErrorKind::Crashed && !retried => {
                    retried = true;
                    lease = prepare::acquire(&self.runtime, model, &load, request.keep_alive, None)
                        .await?;
                    lease.rerank(wire).await
                }
                reply => reply,
            }
            .map_err(|error| renumbered(failures::from_runner(error), call * DOCUMENTS_PER_CALL))?;
            if reply.scores.len() != chunk.len() {
                return Err(failures::internal(
                    "a runner scored another number of documents than it was given",
                ));
            }
            if reply.scores.iter().any(|score| !score.is_finite()) {
                return Err(failures::internal(
                    "a model gave a score that is not finite",
                ));
            }
            scores.extend(reply.scores);
            tokens = tokens.saturating_add(reply.tokens);
        }
        Ok((scores, tokens))
    }

    /// The documents as they are sent: cut where the request allows it.
    async fn fitted(&self, lease: &dyn ModelLease, request: &RerankRequest) -> Result<Vec<String>> {
        let asked = request
            .document_tokens_max
            .map_or(usize::MAX, |most| most as usize);
        if !request.truncate && asked == usize::MAX {
            return Ok(request.documents.clone());
        }
        let mut most = asked;
        if request.truncate {
            let query = tokens_of(lease, &request.query).await?.len();
            let context = lease.facts().context_tokens as usize;
            let room = context.saturating_sub(query + PAIR_FRAME_TOKENS);
            if room < DOCUMENT_TOKENS_MIN {
                return Err(Error::new(
                    ErrorKind::ContextExceeded,
                    format!("The query has {query} tokens; this model reads {context} of query and document together."),
                )
                .at("query"));
            }
            most = most.min(room);
        }
        let mut fitted = Vec::with_capacity(request.documents.len());
        for document in &request.documents {
            fitted.push(cut(lease, document, most).await?);
        }
        Ok(fitted)
    }

    /// Cosines of the query's vector with each document's, and the tokens read.
    async fn rank_by_cosine(
        &self,
        identity: &Identity,
        request: &RerankRequest,
    ) -> Result<(Vec<f32>, u32)> {
        let texts = std::iter::once(&request.query).chain(&request.documents);
        let embeddings = self
            .embed(
                identity,
                EmbedRequest {
                    model: request.model.clone(),
                    inputs: texts.map(|text| Prompt::Text(text.clone())).collect(),
                    dimensions: None,
                    truncate: request.truncate,
                    keep_alive: request.keep_alive,
                    fresh: false,
                },
            )
            .await
            .map_err(of_documents)?;
        let width = (embeddings.dimensions as usize).max(1);
        let mut rows = embeddings.vectors.chunks_exact(width);
        let query = rows.next().unwrap_or_default();
        let scores = rows.map(|row| cosine(query, row)).collect();
        Ok((scores, embeddings.prompt_tokens))
    }
}

/// Best first; equal scores keep their order.
fn order(scores: &[f32], method: RerankMethod, best: Option<usize>) -> Vec<RankedDocument> {
    let mut ranking: Vec<RankedDocument> = scores
        .iter()
        .enumerate()
        .map(|(index, score)| RankedDocument {
            index,
            score: *score,
            relevance: match method {
                RerankMethod::CrossEncoder => logistic(*score),
                RerankMethod::EmbeddingCosine => *score,
            },
        })
        .collect();
    ranking.sort_by(|left, right| right.score.total_cmp(&left.score));
    ranking.truncate(best.unwrap_or(usize::MAX));
    ranking
}

/// 1 / (1 + e^-x), in double precision.
fn logistic(score: f32) -> f32 {
    (1.0 / (1.0 + (-f64::from(score)).exp())) as f32
}

/// The cosine of two vectors, in double precision; 0 when one has no length.
fn cosine(left: &[f32], right: &[f32]) -> f32 {
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        a.iter()
            .zip(b)
            .map(|(x, y)| f64::from(*x) * f64::from(*y))
            .sum()
    };
    let lengths = (dot(left, left) * dot(right, right)).sqrt();
    if lengths > 0.0 {
        (dot(left, right) / lengths) as f32
    } else {
        0.0
    }
}

async fn tokens_of(lease: &dyn ModelLease, text: &str) -> Result<Vec<u32>> {
    lease
        .tokenize(TokenizeRequest {
            text: text.to_owned(),
            add_special: false,
            parse_special: false,
        })
        .await
        .map_err(failures::from_runner)
}

/// `text`, or as much of its beginning as has `most` tokens.
pub(crate) async fn cut(lease: &dyn ModelLease, text: &str, most: usize) -> Result<String> {
    // A token has at least one byte, so a short text need not be counted.
    if text.len() <= most {
        return Ok(text.to_owned());
    }
    let mut tokens = tokens_of(lease, text).await?;
    if tokens.len() <= most {
        return Ok(text.to_owned());
    }
    tokens.truncate(most);
    let bytes = lease
        .detokenize(tokens, false)
        .await
        .map_err(failures::from_runner)?;
    let whole = String::from_utf8_lossy(&bytes);
    // The cut may fall inside a character.
    Ok(whole.trim_end_matches('\u{fffd}').to_owned())
}

fn no_reranker(name: &str) -> Error {
    Error::invalid(
        "model",
        format!(
            "The model '{name}' does not rank documents; use a reranking model, or an embedding model to rank by cosine."
        ),
    )
    .with_code("model_not_reranker")
}

/// The same error at the document that the caller sent, when an earlier call took the first `before` of them.
fn renumbered(mut error: Error, before: usize) -> Error {
    let sent = error
        .field
        .as_deref()
        .and_then(|field| field.strip_prefix("documents["))
        .and_then(|rest| rest.strip_suffix(']'))
        .and_then(|index| index.parse::<usize>().ok());
    match (sent, error.field.as_deref()) {
        (Some(sent), _) => {
            let (ours, theirs) = (
                format!("documents[{sent}]"),
                format!("documents[{}]", sent + before),
            );
            error.message = error.message.replace(&ours, &theirs);
            error.field = Some(theirs);
        }
        (None, Some("messages")) => error.field = Some("documents".to_owned()),
        _ => {}
    }
    error
}

/// An embedding's error in the words of a ranking: its first input is the query.
fn of_documents(mut error: Error) -> Error {
    let index = error
        .field
        .as_deref()
        .and_then(|field| field.strip_prefix("input["))
        .and_then(|rest| rest.strip_suffix(']'))
        .and_then(|index| index.parse::<usize>().ok());
    if let Some(index) = index {
        let theirs = match index.checked_sub(1) {
            None => "query".to_owned(),
            Some(document) => format!("documents[{document}]"),
        };
        error.message = error.message.replace(&format!("input[{index}]"), &theirs);
        error.field = Some(theirs);
    } else if error.field.as_deref() == Some("input") {
        error.field = Some("documents".to_owned());
    }
    error
}

impl Service {
    /// The name of the model that ranks when a request names none: the configured one, or the only one there is.
    ///
    /// # Errors
    /// `InvalidRequest` at `model` when none is configured and the store has no, or more than one, reranking model.
    pub async fn default_reranker(&self, identity: &Identity) -> Result<String> {
        self.authorize(Some(identity), Action::Rerank)?;
        if let Some(name) = &self.answering.options.reranker {
            return Ok(name.clone());
        }
        let manifests = self.catalog.blocking(|store| store.list()).await?;
        let mut ranking = manifests
            .into_iter()
            .filter(|manifest| manifest.facts.kind == Kind::Rank);
        match (ranking.next(), ranking.next()) {
            (Some(only), None) => Ok(only.name),
            (None, _) => Err(Error::invalid(
                "model",
                "No model was named and this server has no reranking model; pull one, or name an embedding model.",
            )),
            (Some(_), Some(_)) => Err(Error::invalid(
                "model",
                "No model was named and this server has several reranking models; name one, or set answers.reranker.",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_comes_first_and_equals_keep_their_order() {
        let ranking = order(&[0.5, 2.0, 0.5, -1.0], RerankMethod::CrossEncoder, Some(3));
        let indices: Vec<usize> = ranking.iter().map(|ranked| ranked.index).collect();
        assert_eq!(indices, [1, 0, 2]);
        // 1 / (1 + e^-2), computed by hand.
        assert!((ranking[0].relevance - 0.880_797).abs() < 1e-6);
        assert_eq!(ranking[0].score, 2.0);
    }

    #[test]
    fn a_cosine_is_its_own_relevance() {
        assert!((cosine(&[3.0, 4.0], &[4.0, 3.0]) - 0.96).abs() < 1e-6);
        assert_eq!(cosine(&[0.0, 0.0], &[1.0, 0.0]), 0.0);
        let ranking = order(&[-0.25], RerankMethod::EmbeddingCosine, None);
        assert_eq!(ranking[0].relevance, -0.25);
    }

    #[test]
    fn an_error_names_the_document_that_the_caller_sent() {
        let error = renumbered(
            Error::invalid("documents[3]", "`documents[3]` is empty"),
            DOCUMENTS_PER_CALL,
        );
        assert_eq!(error.field.as_deref(), Some("documents[67]"));
        assert_eq!(error.message, "`documents[67]` is empty");
        let error = of_documents(Error::invalid("input[0]", "`input[0]` is too long"));
        assert_eq!(error.field.as_deref(), Some("query"));
        let error = of_documents(Error::invalid("input[2]", "`input[2]` is too long"));
        assert_eq!(error.field.as_deref(), Some("documents[1]"));
    }
}
