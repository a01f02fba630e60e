"""Reranking in the shapes of Jina, Cohere and text-embeddings-inference, by the embedding model's cosine."""

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
