//! Reranking: order, bounds, cutting, and which models do it.

use super::{bench, identity, user};
use crate::{ErrorKind, RerankMethod, RerankRequest, Scope};

fn request(model: &str, query: &str, documents: &[&str]) -> RerankRequest {
    RerankRequest {
        model: model.into(),
        query: query.into(),
        documents: documents.iter().map(|text| (*text).to_owned()).collect(),
        best: None,
        truncate: false,
        document_tokens_max: None,
        keep_alive: None,
    }
}

#[tokio::test]
async fn a_ranking_model_orders_documents() {
    let bench = bench(Vec::new()).await;
    let asked = request("ranker", "a", &["xx", "aaa", "a", "aa"]);
    let ranked = bench.service.rerank(&user(), asked).await.expect("ranked");
    let indices: Vec<usize> = ranked.ranking.iter().map(|place| place.index).collect();
    assert_eq!(indices, [1, 3, 2, 0]);
    assert_eq!(ranked.method, RerankMethod::CrossEncoder);
    assert_eq!(ranked.model, "ranker");
    assert_eq!(ranked.prompt_tokens, 40);
    assert_eq!(ranked.ranking[0].score, 3.0);
    assert!(ranked.ranking[0].relevance > 0.95 && ranked.ranking[0].relevance < 0.96);
}

#[tokio::test]
async fn only_the_best_are_given_when_asked() {
    let bench = bench(Vec::new()).await;
    let mut asked = request("ranker", "a", &["xx", "aaa", "a"]);
    asked.best = Some(1);
    let ranked = bench.service.rerank(&user(), asked).await.expect("ranked");
    assert_eq!(ranked.ranking.len(), 1);
    assert_eq!(ranked.ranking[0].index, 1);
}

#[tokio::test]
async fn many_documents_go_in_several_calls_and_keep_their_places() {
    let bench = bench(Vec::new()).await;
    let texts: Vec<String> = (0..150).map(|count| "a".repeat(1 + count % 90)).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let asked = request("ranker", "a", &texts);
    let ranked = bench.service.rerank(&user(), asked).await.expect("ranked");
    assert_eq!(bench.runtime.shared.reranks.lock().expect("calls").len(), 3);
    assert_eq!(ranked.ranking.len(), 150);
    assert_eq!(ranked.ranking[0].index, 89);
    for place in &ranked.ranking {
        assert_eq!(place.score as usize, texts[place.index].len());
    }
}

#[tokio::test]
async fn an_embedding_model_ranks_by_cosine_and_says_so() {
    let bench = bench(Vec::new()).await;
    let asked = request("vectors", "q", &["one", "two"]);
    let ranked = bench.service.rerank(&user(), asked).await.expect("ranked");
    assert_eq!(ranked.method, RerankMethod::EmbeddingCosine);
    // The script gives every text the same vector.
    assert!(ranked.ranking.iter().all(|place| place.score > 0.999_999));
    assert_eq!(ranked.ranking[0].index, 0);
}

#[tokio::test]
async fn a_model_that_only_writes_is_refused_by_name() {
    let bench = bench(Vec::new()).await;
    let asked = request("tiny", "q", &["one"]);
    let error = bench.service.rerank(&user(), asked).await.expect_err("no");
    assert_eq!(error.kind, ErrorKind::InvalidRequest);
    assert_eq!(error.field.as_deref(), Some("model"));
    assert_eq!(error.code, Some("model_not_reranker"));
    assert!(error.message.contains("tiny"), "{}", error.message);
}

#[tokio::test]
async fn documents_are_cut_to_what_fits_beside_the_query() {
    let bench = bench(Vec::new()).await;
    let long = "a".repeat(500);
    let mut asked = request("ranker", "aa", &[&long, "a"]);
    asked.truncate = true;
    let ranked = bench.service.rerank(&user(), asked).await.expect("ranked");
    // The script's tokens are bytes and its context is 128: two of the query and three that frame the pair leave 123.
    assert_eq!(ranked.ranking[0].score, 123.0);
    let mut asked = request("ranker", "a", &[&long]);
    asked.document_tokens_max = Some(7);
    let ranked = bench.service.rerank(&user(), asked).await.expect("ranked");
    assert_eq!(ranked.ranking[0].score, 7.0);
    let mut asked = request("ranker", &long, &["a"]);
    asked.truncate = true;
    let error = bench.service.rerank(&user(), asked).await.expect_err("no");
    assert_eq!(error.kind, ErrorKind::ContextExceeded);
    assert_eq!(error.field.as_deref(), Some("query"));
}

#[tokio::test]
async fn bounds_and_rights_are_checked() {
    let bench = bench(Vec::new()).await;
    let refused = async |request: RerankRequest| {
        let error = bench.service.rerank(&user(), request).await;
        error.expect_err("refused")
    };
    assert_eq!(
        refused(request("ranker", "", &["a"]))
            .await
            .field
            .as_deref(),
        Some("query")
    );
    assert_eq!(
        refused(request("ranker", "q", &[])).await.field.as_deref(),
        Some("documents")
    );
    assert_eq!(
        refused(request("ranker", "q", &["a", ""]))
            .await
            .field
            .as_deref(),
        Some("documents[1]")
    );
    let many = vec!["a"; 1001];
    assert_eq!(
        refused(request("ranker", "q", &many)).await.kind,
        ErrorKind::TooLarge
    );
    let metrics = identity("acme", Scope::Metrics);
    let error = bench
        .service
        .rerank(&metrics, request("ranker", "q", &["a"]))
        .await
        .expect_err("no");
    assert_eq!(error.kind, ErrorKind::Forbidden);
}

#[tokio::test]
async fn the_only_reranking_model_is_the_default() {
    let bench = bench(Vec::new()).await;
    let name = bench.service.default_reranker(&user()).await.expect("name");
    assert_eq!(name, "ranker");
}
