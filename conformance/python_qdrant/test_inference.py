"""Texts where vectors are expected: embedded on the server."""

import math

import pytest
from qdrant_client import models

TEXTS = {
    1: "The cat sleeps on the warm windowsill.",
    2: "Interest rates were raised by the central bank.",
    3: "A kitten chases a ball of wool.",
    4: "The government published its budget for the next year.",
    5: "Bread dough has to rise before it is baked.",
}
QUESTION = "Which pets are at home?"


@pytest.fixture
def texts(client, name, embedder):
    client.create_collection(
        name,
        vectors_config={"": models.VectorParams(size=384, distance="Cosine")},
        sparse_vectors_config={"bm25": models.SparseVectorParams(modifier="idf")},
    )
    points = [
        models.PointStruct(
            id=id,
            vector={"": models.Document(text=text, model=embedder), "bm25": models.Document(text=text, model="qdrant/bm25")},
            payload={"text": text},
        )
        for id, text in TEXTS.items()
    ]
    client.upsert(name, points, wait=True)
    return name


def ids(reply):
    return [point.id for point in reply.points]


def test_texts_are_stored_and_found_by_meaning(client, texts, embedder):
    found = client.query_points(texts, query=models.Document(text=QUESTION, model=embedder), limit=2)
    assert set(ids(found)) == {1, 3}


def test_the_vector_is_that_of_the_embeddings_route(client, texts, embedder, http):
    reply = http("POST", "/v1/embeddings", {"model": embedder, "input": TEXTS[1]})
    expected = reply.json()["data"][0]["embedding"]
    stored = client.retrieve(texts, [1], with_vectors=True)[0].vector[""]
    assert math.isclose(sum(one * two for one, two in zip(expected, stored)), 1.0, abs_tol=1e-4)


def test_words_are_found_by_bm25(client, texts):
    found = client.query_points(texts, query=models.Document(text="budget of the government", model="bm25"), using="bm25", limit=5)
    assert ids(found) == [4]


def test_hybrid(client, texts, embedder):
    prefetch = [
        models.Prefetch(query=models.Document(text="cats", model=embedder), limit=5),
        models.Prefetch(query=models.Document(text="cats", model="bm25"), using="bm25", limit=5),
    ]
    found = client.query_points(texts, prefetch=prefetch, query=models.FusionQuery(fusion="rrf"), limit=1)
    assert ids(found) == [1]


def test_documents_as_examples_and_in_batches(client, texts, embedder):
    document = lambda text: models.Document(text=text, model=embedder)
    recommend = models.RecommendQuery(recommend=models.RecommendInput(positive=[document("cats")], negative=[document("banks")]))
    pair = models.ContextPair(positive=document("animals"), negative=document("money"))
    discover = models.DiscoverQuery(discover=models.DiscoverInput(target=document("cats"), context=[pair]))
    requests = [models.QueryRequest(query=query, limit=1) for query in (recommend, discover, document("baking bread"))]
    assert [ids(reply)[0] in (1, 3) for reply in client.query_batch_points(texts, requests)[:2]] == [True, True]
    assert ids(client.query_batch_points(texts, requests)[2]) == [5]
    operations = [
        models.UpsertOperation(upsert=models.PointsList(points=[models.PointStruct(id=6, vector={"": document("Stocks fell.")})])),
        models.UpdateVectorsOperation(
            update_vectors=models.UpdateVectors(points=[models.PointVectors(id=1, vector={"": document("Money and banks.")})])
        ),
    ]
    client.batch_update_points(texts, operations, wait=True)
    assert set(ids(client.query_points(texts, query=document("banks and money"), limit=2))) <= {1, 2, 6}


def test_vectors_updated_from_texts(client, texts, embedder):
    vector = {"": models.Document(text="Sourdough bread", model=embedder)}
    client.update_vectors(texts, [models.PointVectors(id=2, vector=vector)], wait=True)
    found = client.query_points(texts, query=models.Document(text="sourdough", model=embedder), limit=1)
    assert ids(found) == [2]


def test_usage_says_what_was_read(texts, embedder, http):
    document = {"text": QUESTION, "model": embedder}
    reply = http("POST", f"/collections/{texts}/points/query", {"query": document}).json()
    models_read = reply["usage"]["inference"]["models"]
    (tokens,) = [usage["tokens"] for name, usage in models_read.items() if name.startswith(embedder)]
    embedded = http("POST", "/v1/embeddings", {"model": embedder, "input": QUESTION}).json()
    assert tokens == embedded["usage"]["prompt_tokens"]


@pytest.mark.parametrize(
    ("query", "status", "words"),
    [
        ({"text": "a", "model": "fornax-nano"}, 400, "expected dim: 384"),
        ({"text": "a", "model": "no-such-model"}, 404, "no-such-model"),
        ({"text": "a", "model": "bm25"}, 400, "sparse"),
        ({"text": "a", "model": "minilm", "options": {"cuda": True}}, 400, "cuda"),
        ({"text": "", "model": "minilm"}, 400, "query"),
        ({"image": "aGk=", "model": "clip"}, 501, "texts only"),
        ({"object": {"a": 1}, "model": "x"}, 501, "texts only"),
    ],
)
def test_what_cannot_be_embedded_is_refused_in_words(texts, http, query, status, words):
    reply = http("POST", f"/collections/{texts}/points/query", {"query": query})
    assert reply.status == status, reply.body
    assert words in reply.error


def test_another_model_is_refused_when_points_are_stored(texts, http):
    body = {"points": [{"id": 9, "vector": {"": {"text": "a", "model": "fornax-nano"}}}]}
    reply = http("PUT", f"/collections/{texts}/points?wait=true", body)
    assert reply.status in (400, 409), reply.body
    assert "fornax-nano" in reply.error


def test_other_settings_of_bm25_are_refused(texts, http):
    body = {"points": [{"id": 9, "vector": {"bm25": {"text": "a", "model": "bm25", "options": {"language": "german"}}}}]}
    reply = http("PUT", f"/collections/{texts}/points?wait=true", body)
    assert (reply.status, "another collection" in reply.error) == (409, True), reply.body


def test_weights_of_bm25_are_those_of_the_formula(client, name, http):
    client.create_collection(name, vectors_config={}, sparse_vectors_config={"w": models.SparseVectorParams()})
    options = {"k": 1.5, "b": 0.5, "avg_len": 4, "language": "none"}
    body = {"points": [{"id": 1, "vector": {"w": {"text": "one two two", "model": "bm25", "options": options}}}]}
    assert http("PUT", f"/collections/{name}/points?wait=true", body).status == 200
    stored = client.retrieve(name, [1], with_vectors=True)[0].vector["w"]
    norm = 1.5 * (1 - 0.5 + 0.5 * 3 / 4)
    expected = sorted([1 * 2.5 / (1 + norm), 2 * 2.5 / (2 + norm)])
    assert sorted(stored.values) == pytest.approx(expected, rel=1e-5)
