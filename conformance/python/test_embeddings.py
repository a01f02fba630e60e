"""Embeddings. Most cases need the sentence-embedding model and are skipped without it."""

import base64
import math
import struct

import openai
import pytest
from conftest import NANO


def length(vector):
    return math.sqrt(sum(number * number for number in vector))


def cosine(one, two):
    return sum(a * b for a, b in zip(one, two)) / (length(one) * length(two))


def test_what_the_sdk_asks_by_default(client, embedder):
    reply = client.embeddings.create(model=embedder, input="The sea is calm.")
    assert reply.object == "list" and reply.data[0].object == "embedding" and reply.data[0].index == 0
    assert len(reply.data[0].embedding) == 384
    assert length(reply.data[0].embedding) == pytest.approx(1, abs=1e-3)
    assert reply.usage.prompt_tokens == reply.usage.total_tokens > 0


def test_base64_and_float_say_the_same(client, embedder, http):
    floats = client.embeddings.create(model=embedder, input="A boat", encoding_format="float").data[0].embedding
    body = {"model": embedder, "input": "A boat", "encoding_format": "base64"}
    raw = base64.b64decode(http("POST", "/v1/embeddings", body).json()["data"][0]["embedding"])
    assert cosine(floats, struct.unpack(f"<{len(raw) // 4}f", raw)) > 0.99999


def test_a_list_keeps_its_order(client, embedder):
    texts = ["The sea is calm.", "Invoices are due in May.", "Waves rise."]
    many = client.embeddings.create(model=embedder, input=texts)
    assert [item.index for item in many.data] == [0, 1, 2]
    for text, item in zip(texts, many.data):
        alone = client.embeddings.create(model=embedder, input=text).data[0].embedding
        assert cosine(alone, item.embedding) > 0.999


def test_meaning(client, embedder):
    texts = ["The ocean is quiet today.", "The sea is calm.", "Invoices are due in May."]
    sea, calm, invoice = (item.embedding for item in client.embeddings.create(model=embedder, input=texts).data)
    assert cosine(sea, calm) > cosine(sea, invoice) + 0.3


def test_token_ids(client, embedder):
    one = client.embeddings.create(model=embedder, input=[101, 2712, 102])
    two = client.embeddings.create(model=embedder, input=[[101, 2712, 102], [101, 4049, 102]])
    assert len(one.data) == 1 and len(two.data) == 2
    assert cosine(one.data[0].embedding, two.data[0].embedding) > 0.999


def test_dimensions_cut_and_normalise(client, embedder):
    full = client.embeddings.create(model=embedder, input="A boat").data[0].embedding
    short = client.embeddings.create(model=embedder, input="A boat", dimensions=64).data[0].embedding
    assert len(short) == 64 and length(short) == pytest.approx(1, abs=1e-3)
    assert cosine(short, full[:64]) > 0.9999


def test_too_many_dimensions_are_refused(client, embedder):
    with pytest.raises(openai.BadRequestError) as caught:
        client.embeddings.create(model=embedder, input="A boat", dimensions=100_000)
    assert caught.value.param == "dimensions"


def test_an_input_that_does_not_fit_is_refused_not_cut(client, embedder):
    with pytest.raises(openai.BadRequestError) as caught:
        client.embeddings.create(model=embedder, input="boat " * 5000)
    assert caught.value.code == "context_length_exceeded"


@pytest.mark.parametrize(
    ("options", "param"),
    [({"input": ""}, "input"), ({"input": []}, "input"), ({"input": ["a", ""]}, "input[1]"), ({"dimensions": 0}, "dimensions")],
)
def test_what_is_refused_names_its_field(client, options, param):
    with pytest.raises(openai.BadRequestError) as caught:
        client.embeddings.create(**{"model": NANO, "input": "a", **options})
    assert caught.value.param == param


def test_an_unknown_model_is_404(client):
    with pytest.raises(openai.NotFoundError) as caught:
        client.embeddings.create(model="no-such-model", input="a")
    assert caught.value.code == "model_not_found"
