"""Vectors. Most cases need the sentence-embedding model and are skipped without it."""

import math

import ollama
import pytest
from conftest import NANO


def cosine(one, two):
    dot = sum(a * b for a, b in zip(one, two))
    return dot / math.sqrt(sum(a * a for a in one) * sum(b * b for b in two))


def test_one_text(client, embedder):
    reply = client.embed(model=embedder, input="The sea is calm.")
    [vector] = reply.embeddings
    assert len(vector) == 384 and math.isclose(sum(x * x for x in vector), 1, abs_tol=1e-3)
    assert reply.total_duration > 0 and reply.prompt_eval_count > 3


def test_texts_keep_their_order_and_meaning(client, embedder):
    texts = ["The sea is calm.", "Waves rise on the ocean.", "Invoices are due in May."]
    calm, waves, invoices = client.embed(model=embedder, input=texts).embeddings
    assert cosine(calm, waves) > cosine(calm, invoices)
    alone = client.embed(model=embedder, input=texts[2]).embeddings[0]
    assert cosine(alone, invoices) > 0.9999


def test_the_older_route_says_the_same(client, embedder):
    old = client.embeddings(model=embedder, prompt="A boat").embedding
    assert cosine(old, client.embed(model=embedder, input="A boat").embeddings[0]) > 0.9999


def test_dimensions_cut(client, embedder):
    [vector] = client.embed(model=embedder, input="A boat", dimensions=64).embeddings
    assert len(vector) == 64 and math.isclose(sum(x * x for x in vector), 1, abs_tol=1e-3)


def test_long_texts_are_cut_unless_that_is_forbidden(client, embedder):
    assert len(client.embed(model=embedder, input="word " * 3000).embeddings) == 1
    with pytest.raises(ollama.ResponseError) as caught:
        client.embed(model=embedder, input="word " * 3000, truncate=False)
    assert caught.value.status_code == 400


def test_nothing_to_embed_loads_the_model(client, embedder):
    assert client.embed(model=embedder, input=[]).embeddings == []
    assert embedder in [model.model for model in client.ps().models]


def test_the_same_vectors_as_through_openais_wire(client, embedder, http):
    ours = client.embed(model=embedder, input="A boat").embeddings[0]
    theirs = http("POST", "/v1/embeddings", {"model": embedder, "input": "A boat"}).json()["data"][0]["embedding"]
    assert cosine(ours, theirs) > 0.99999


def test_texts_in_a_wrong_shape_are_refused(client):
    for texts in (3, [["a"]], ["a", 3]):
        with pytest.raises(Exception):
            client.embed(model=NANO, input=texts)
