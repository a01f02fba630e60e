"""Reranking in the shapes of Jina, Cohere and text-embeddings-inference, by the embedding model's cosine."""

import math

import pytest

from conftest import NANO

DOCUMENTS = [
    "The violin section comes in softly after the second bar.",
    "A write is acknowledged only after it has reached the disk.",
    "Replace the coolant filter every two thousand hours.",
]
QUERY = "How do I know that my data is safe when the power fails?"


@pytest.mark.parametrize("path", ["/v1/rerank", "/v2/rerank"])
def test_documents_are_ordered(http, embedder, path):
    body = {"model": embedder, "query": QUERY, "documents": DOCUMENTS, "top_n": 2, "return_documents": True}
    reply = http("POST", path, body).json()
    assert [result["index"] for result in reply["results"]][0] == 1
    assert len(reply["results"]) == 2
    assert reply["results"][0]["document"]["text"] == DOCUMENTS[1]
    assert reply["results"][0]["relevance_score"] > reply["results"][1]["relevance_score"]
    assert reply["method"] == "embedding_cosine"
    assert reply["usage"]["total_tokens"] > 0 and reply["meta"]["api_version"]["version"] in "12"


def test_a_cross_encoder_scores_each_document_with_the_query(http):
    """Its weights are random, so only what must hold of any model is asked: order, range, and that company changes nothing."""

    def scores(documents, **settings):
        body = {"model": "random-reranker", "query": "data on disk", "documents": documents, **settings}
        reply = http("POST", "/v1/rerank", body).json()
        assert reply["method"] == "cross_encoder", reply
        return reply["results"]

    together = scores(DOCUMENTS)
    values = [result["relevance_score"] for result in together]
    assert values == sorted(values, reverse=True) and all(0 < value < 1 for value in values)
    assert len(set(values)) == 3
    for result in together:
        alone = scores([DOCUMENTS[result["index"]]])[0]["relevance_score"]
        assert abs(alone - result["relevance_score"]) < 1e-3
    raw = http("POST", "/rerank", {"model": "random-reranker", "query": "data on disk", "texts": DOCUMENTS, "raw_scores": True}).json()
    for score, result in zip(raw, together):
        assert abs(1 / (1 + math.exp(-score["score"])) - result["relevance_score"]) < 1e-4
    # Without a name the only reranking model is meant, and a document too long for it is cut.
    default = http("POST", "/rerank", {"query": "q", "texts": ["word " * 1000], "truncate": True})
    assert default.status == 200 and len(default.json()) == 1
    long = http("POST", "/rerank", {"query": "q", "texts": ["word " * 1000]})
    assert long.status == 400


def test_tei_gives_a_list(http, embedder):
    reply = http("POST", "/rerank", {"model": embedder, "query": QUERY, "texts": DOCUMENTS, "return_text": True}).json()
    assert reply[0]["index"] == 1 and reply[0]["text"] == DOCUMENTS[1] and len(reply) == 3


def test_a_model_that_cannot_rank_is_refused_in_each_shape(http):
    openai = http("POST", "/v1/rerank", {"model": NANO, "query": "q", "documents": ["a"]})
    assert openai.status == 400 and openai.json()["error"]["code"] == "model_not_reranker"
    cohere = http("POST", "/v2/rerank", {"model": NANO, "query": "q", "documents": ["a"]})
    assert cohere.status == 400 and isinstance(cohere.json()["message"], str)
    tei = http("POST", "/rerank", {"model": NANO, "query": "q", "texts": ["a"]})
    assert tei.status == 400 and tei.json()["error_type"] == "Validation"


@pytest.mark.parametrize("body", [{}, {"query": "q"}, {"query": "", "documents": ["a"]}, {"query": "q", "documents": []}, {"query": "q", "documents": [1]}, {"query": "q", "documents": ["a"], "top_n": 0}])
def test_malformed_requests_are_refused(http, body):
    assert http("POST", "/v1/rerank", {"model": NANO, **body}).status == 400
