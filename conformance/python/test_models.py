"""The list of models, and one of them."""

import openai
import pytest
from conftest import NANO


def test_list(client):
    models = client.models.list()
    assert models.object == "list"
    shipped = next(model for model in models if model.id == NANO)
    assert shipped.object == "model" and shipped.created > 1_600_000_000 and shipped.owned_by


def test_retrieve(client):
    assert client.models.retrieve(NANO).id == NANO


def test_retrieve_unknown_is_404_with_the_code_that_frameworks_match(client):
    with pytest.raises(openai.NotFoundError) as caught:
        client.models.retrieve("no-such-model")
    assert caught.value.code == "model_not_found"


def test_names_with_slashes_and_colons_raw_and_encoded(client, http):
    name = "tests/nano:copy"
    assert http("POST", "/fornax/v1/models/copy", {"from": NANO, "to": name}).status == 201
    try:
        assert client.models.retrieve(name).id == name
        assert http("GET", f"/v1/models/{name}").json()["id"] == name
        assert http("GET", "/v1/models/tests%2Fnano%3Acopy").json()["id"] == name
    finally:
        assert http("DELETE", f"/fornax/v1/models/{name}").status == 204
    assert http("GET", f"/v1/models/{name}").status == 404
