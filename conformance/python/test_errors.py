"""Every refusal arrives as the exception that the SDK promises, in OpenAI's shape."""

import openai
import pytest
from conftest import NANO, URL

TURNS = [{"role": "user", "content": "x"}]


def shape(reply):
    error = reply.json()["error"]
    assert set(error) == {"message", "type", "param", "code"} and error["message"] and error["type"]
    return error


def test_a_wrong_key(client):
    with pytest.raises(openai.AuthenticationError) as caught:
        client.with_options(api_key="fx-wrong").models.list()
    assert caught.value.code == "invalid_api_key"


def test_no_key(http):
    reply = http("GET", "/v1/models", key=None)
    assert reply.status == 401 and shape(reply)


def test_other_headers_for_the_key(http):
    from conftest import KEY

    for name in ("x-api-key", "api-key"):
        assert http("GET", "/v1/models", key=None, headers={name: KEY}).status == 200


def test_an_unknown_model(ask):
    with pytest.raises(openai.NotFoundError) as caught:
        ask(model="no-such-model")
    assert caught.value.code == "model_not_found"


@pytest.mark.parametrize(
    ("options", "param"),
    [
        ({"temperature": 9}, "temperature"),
        ({"n": 0}, "n"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages[0].content[0].type"),
        ({"top_logprobs": 3}, "top_logprobs"),
        ({"modalities": ["audio"]}, "modalities"),
        ({"max_tokens": "many"}, "max_tokens"),
        ({"extra_body": {"use_beam_search": True}}, "use_beam_search"),
    ],
)
def test_a_bad_field_is_named(ask, options, param):
    with pytest.raises(openai.BadRequestError) as caught:
        ask(**options)
    assert caught.value.param == param


def test_a_prompt_that_does_not_fit(ask):
    with pytest.raises(openai.BadRequestError) as caught:
        ask("word " * 20_000)
    assert caught.value.code == "context_length_exceeded"


def test_a_streamed_prompt_that_does_not_fit_is_400_too(ask):
    with pytest.raises(openai.BadRequestError) as caught:
        list(ask("word " * 20_000, stream=True))
    assert caught.value.code == "context_length_exceeded"


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff", b'{"model": NaN}'])
def test_bad_json(http, body):
    reply = http("POST", "/v1/chat/completions", body)
    assert reply.status == 400 and shape(reply)["type"] == "invalid_request_error"


def test_a_missing_field(http):
    reply = http("POST", "/v1/chat/completions", {"messages": TURNS})
    assert reply.status == 400 and shape(reply)["param"] == "model"


def test_an_unknown_path(http):
    reply = http("GET", "/v1/nothing")
    assert reply.status == 404 and shape(reply)["code"] == "unknown_url"


def test_a_wrong_method(http):
    reply = http("GET", "/v1/embeddings")
    assert reply.status == 405 and reply.headers["allow"] == "POST" and shape(reply)


def test_parts_of_the_api_that_are_not_built(client, http):
    with pytest.raises(openai.InternalServerError) as caught:
        client.images.generate(model=NANO, prompt="x")
    assert caught.value.status_code == 501 and caught.value.code == "not_supported"
    assert shape(http("POST", "/v1/images/generations", {}))["code"] == "not_supported"


def test_stored_completions_are_not_there(client):
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.retrieve("chatcmpl-1")


def test_too_large_a_body(http):
    reply = http("POST", "/v1/embeddings", {"model": NANO, "input": "x" * (64 << 20)})
    assert reply.status == 413 and shape(reply)["code"] == "request_too_large"


def test_a_key_without_the_scope(client, http):
    made = http("POST", "/fornax/v1/keys", {"name": "scrape only", "scopes": ["metrics"]}).json()
    try:
        with pytest.raises(openai.PermissionDeniedError):
            client.with_options(api_key=made["key"]).models.list()
        assert http("GET", "/metrics", key=made["key"]).status == 200
    finally:
        http("DELETE", f"/fornax/v1/keys/{made['record']['id']}")
    with pytest.raises(openai.AuthenticationError):
        client.with_options(api_key=made["key"]).models.list()


def test_the_sdk_does_not_retry_what_is_permanent():
    with openai.OpenAI(base_url=f"{URL}/v1", api_key="fx-wrong", max_retries=5) as client:
        with pytest.raises(openai.AuthenticationError) as caught:
            client.models.list()
        assert caught.value.response.headers["x-should-retry"] == "false"
