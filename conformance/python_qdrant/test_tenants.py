"""Two tenants with one collection's name each: neither sees, counts or reaches the other's."""

import pytest
from qdrant_client import QdrantClient, models

from conftest import settings


@pytest.fixture
def tenants(key_of):
    made = [QdrantClient(**settings(key_of(f"qdrant-{letter}"))) for letter in "ab"]
    yield made
    for client in made:
        client.delete_collection("shared")
        client.close()


def refused(call, *arguments, **options) -> str:
    with pytest.raises(Exception) as caught:
        call(*arguments, **options)
    return str(caught.value)


def test_one_name_two_collections(tenants):
    one, two = tenants
    for client, size in zip(tenants, (2, 3)):
        assert not client.collection_exists("shared")
        client.create_collection("shared", vectors_config=models.VectorParams(size=size, distance="Dot"))
    one.upsert("shared", [models.PointStruct(id=1, vector=[1, 2], payload={"of": "one"})], wait=True)
    two.upsert("shared", [models.PointStruct(id=id, vector=[1, 2, 3], payload={"of": "two"}) for id in (1, 2)], wait=True)
    assert (one.count("shared").count, two.count("shared").count) == (1, 2)
    assert one.retrieve("shared", [1, 2])[0].payload == {"of": "one"}
    assert [point.payload["of"] for point in two.query_points("shared", query=[1, 1, 1]).points] == ["two", "two"]
    assert one.get_collection("shared").config.params.vectors.size == 2
    one.delete_collection("shared")
    assert two.collection_exists("shared") and two.count("shared").count == 2


def test_the_other_tenants_collection_does_not_exist(tenants):
    one, two = tenants
    two.create_collection("shared", vectors_config=models.VectorParams(size=2, distance="Dot"))
    assert [found.name for found in one.get_collections().collections] == []
    for call, arguments in [
        (one.get_collection, ()),
        (one.count, ()),
        (one.scroll, ()),
        (one.retrieve, ([1],)),
        (one.query_points, ([1.0, 2.0],)),
        (one.upsert, ([models.PointStruct(id=1, vector=[1, 2])],)),
        (one.delete, ([1],)),
    ]:
        assert "exist" in refused(call, "shared", *arguments)
    one.create_collection("shared", vectors_config=models.VectorParams(size=2, distance="Dot"))
    lookup = models.LookupLocation(collection="shared")
    assert "1" in refused(one.query_points, "shared", query=1, lookup_from=lookup)


def test_aliases_belong_to_their_tenant(tenants):
    one, two = tenants
    for client in tenants:
        client.create_collection("shared", vectors_config=models.VectorParams(size=2, distance="Dot"))
    create = models.CreateAliasOperation(create_alias=models.CreateAlias(collection_name="shared", alias_name="other-name"))
    one.update_collection_aliases(change_aliases_operations=[create])
    assert one.count("other-name").count == 0
    assert "exist" in refused(two.count, "other-name")
    assert two.get_aliases().aliases == []


def test_texts_of_two_tenants(tenants, embedder):
    for client, text in zip(tenants, ("cats", "banks")):
        client.create_collection("shared", vectors_config=models.VectorParams(size=384, distance="Cosine"))
        client.upsert("shared", [models.PointStruct(id=1, vector=models.Document(text=text, model=embedder))], wait=True)
    scores = [client.query_points("shared", query=models.Document(text="cats", model=embedder)).points[0].score for client in tenants]
    assert scores[0] > 0.99 > scores[1]


def test_a_wrong_key_sees_nothing(http):
    for key in (None, "fx-wrong"):
        reply = http("GET", "/collections", key=key)
        assert reply.status in (401, 403), reply.body
