"""What is refused, with which status, type and words; and the list of models in this protocol's shape."""

import anthropic
import pytest
from conftest import KEY, NANO, URL

USER = {"role": "user", "content": "hi"}
CALL = {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "f", "input": {}}]}
TOOL = {"name": "f", "input_schema": {"type": "object"}}
IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}}
DOCUMENT = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "hi"}}

MALFORMED = {
    "no max_tokens": ({"max_tokens": None}, "max_tokens"),
    "max_tokens of zero": ({"max_tokens": 0}, "max_tokens"),
    "negative max_tokens": ({"max_tokens": -5}, "max_tokens"),
    "text for max_tokens": ({"max_tokens": "many"}, "max_tokens"),
    "no model": ({"model": None}, "model"),
    "no messages": ({"messages": []}, "messages"),
    "a role of nobody": ({"messages": [{"role": "robot", "content": "x"}]}, "role"),
    "empty content": ({"messages": [{"role": "user", "content": ""}]}, "content"),
    "content that is a number": ({"messages": [{"role": "user", "content": 3}]}, "content"),
    "an image": ({"messages": [{"role": "user", "content": [IMAGE]}]}, "not supported"),
    "a document": ({"messages": [{"role": "user", "content": [DOCUMENT]}]}, "not supported"),
    "a begun answer": ({"messages": [USER, {"role": "assistant", "content": "I"}]}, "last message"),
    "a call without its result": ({"messages": [USER, CALL, USER], "tools": [TOOL]}, "tool_result"),
    "a result without its call": (
        {"messages": [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "x"}]}]},
        "tool_use",
    ),
    "temperature above 1": ({"temperature": 1.2}, "temperature"),
    "top_p below 0": ({"top_p": -1}, "top_p"),
    "a blank stop sequence": ({"stop_sequences": [" "]}, "stop_sequences"),
    "a tool without a schema": ({"tools": [{"name": "f"}]}, "input_schema"),
    "two tools of one name": ({"tools": [TOOL, TOOL]}, "unique"),
    "a tool of Anthropic's servers": ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "tools"),
    "any tool of none": ({"tool_choice": {"type": "any"}}, "tool_choice"),
    "a tool that is not there": ({"tools": [TOOL], "tool_choice": {"type": "tool", "name": "g"}}, "tool_choice"),
    "too small a budget": ({"thinking": {"type": "enabled", "budget_tokens": 5}}, "budget_tokens"),
    "servers of tools": ({"mcp_servers": [{"type": "url", "url": "https://example.com", "name": "x"}]}, "mcp_servers"),
    "a system that is a number": ({"system": 3}, "system"),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed(http, name):
    extra, words = MALFORMED[name]
    body = {"model": NANO, "max_tokens": 5, "messages": [USER], **extra}
    reply = http("POST", "/v1/messages", {field: value for field, value in body.items() if value is not None})
    assert reply.status == 400, reply.body
    error = reply.json()
    assert error["type"] == "error" and error["error"]["type"] == "invalid_request_error"
    assert words in error["error"]["message"], error
    assert reply.headers["request-id"]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff\xfe"])
def test_bodies_that_are_no_json_objects(http, body):
    reply = http("POST", "/v1/messages", body)
    assert reply.status == 400 and reply.json()["error"]["type"] == "invalid_request_error"


def test_a_wrong_key_is_an_authentication_error():
    with anthropic.Anthropic(base_url=URL, api_key="wrong", max_retries=0) as client:
        with pytest.raises(anthropic.AuthenticationError) as caught:
            client.messages.create(model=NANO, max_tokens=2, messages=[USER])
    assert caught.value.body["error"]["type"] == "authentication_error"
    assert caught.value.request_id


def test_no_key_at_all(http):
    reply = http("POST", "/v1/messages", {}, key=None)
    assert reply.status == 401 and reply.json()["error"]["type"] == "authentication_error"


def test_a_model_that_is_not_there_is_not_found(ask):
    with pytest.raises(anthropic.NotFoundError) as caught:
        ask(model="claude-nobody")
    assert caught.value.body["error"]["type"] == "not_found_error"


def test_a_prompt_that_is_too_long_says_so(ask):
    with pytest.raises(anthropic.BadRequestError, match="prompt is too long"):
        ask("word " * 5000)


def test_a_version_that_is_not_spoken_is_refused(http):
    body = {"model": NANO, "max_tokens": 2, "messages": [USER]}
    reply = http("POST", "/v1/messages", body, headers={"anthropic-version": "2023-01-01"})
    assert reply.status == 400 and "anthropic-version" in reply.json()["error"]["message"]


def test_batches_are_not_built(client):
    with pytest.raises(anthropic.APIStatusError) as caught:
        client.messages.batches.list()
    assert caught.value.status_code == 501


def test_models_in_this_protocols_shape(client):
    page = client.models.list()
    assert NANO in [model.id for model in page.data]
    assert all(model.type == "model" and model.display_name and model.created_at for model in page.data)
    assert client.models.retrieve(NANO).id == NANO


def test_models_come_in_pages(client):
    names = [model.id for model in client.models.list(limit=1)]
    assert names == [model.id for model in client.models.list()]


def test_a_model_that_is_not_there_cannot_be_retrieved(client):
    with pytest.raises(anthropic.NotFoundError):
        client.models.retrieve("nobody")


def test_openai_clients_still_get_their_own_list(http):
    reply = http("GET", "/v1/models", headers={"authorization": f"Bearer {KEY}"})
    assert reply.json()["object"] == "list"
