"""What is refused, with which status, and always as {"error": text}; and the root, which two protocols share."""

import ollama
import pytest
from conftest import NANO, URL

CHAT = {"model": NANO, "messages": [{"role": "user", "content": "hi"}], "stream": False}
GENERATE = {"model": NANO, "prompt": "hi", "stream": False}
MALFORMED = {
    "no model": ("/api/chat", {"messages": []}, "model"),
    "a model that is a number": ("/api/chat", {**CHAT, "model": 3}, "model"),
    "messages that are text": ("/api/chat", {**CHAT, "messages": "hi"}, "messages"),
    "a role of nobody": ("/api/chat", {**CHAT, "messages": [{"role": "robot", "content": "x"}]}, "role"),
    "content that is a number": ("/api/chat", {**CHAT, "messages": [{"role": "user", "content": 3}]}, "content"),
    "an image": ("/api/chat", {**CHAT, "messages": [{"role": "user", "content": "x", "images": ["aGk="]}]}, "images"),
    "a text for a temperature": ("/api/chat", {**CHAT, "options": {"temperature": "hot"}}, "temperature"),
    "a temperature out of range": ("/api/chat", {**CHAT, "options": {"temperature": 5}}, "temperature"),
    "half a token": ("/api/chat", {**CHAT, "options": {"num_predict": 1.5}}, "num_predict"),
    "a stop that is a number": ("/api/chat", {**CHAT, "options": {"stop": 3}}, "stop"),
    "a context of nothing": ("/api/chat", {**CHAT, "options": {"num_ctx": 0}}, "num_ctx"),
    "options that are a list": ("/api/chat", {**CHAT, "options": []}, "options"),
    "a format of nobody": ("/api/chat", {**CHAT, "format": "xml"}, "format"),
    "a level of thinking of nobody": ("/api/chat", {**CHAT, "think": "hard"}, "think"),
    "a keep_alive of nobody": ("/api/chat", {**CHAT, "keep_alive": "soon"}, "keep_alive"),
    "a tool without a name": ("/api/chat", {**CHAT, "tools": [{"type": "function", "function": {}}]}, "name"),
    "a tool of another kind": ("/api/chat", {**CHAT, "tools": [{"type": "x", "function": {"name": "f"}}]}, "tools"),
    "too many alternatives": ("/api/chat", {**CHAT, "logprobs": True, "top_logprobs": 21}, "top_logprobs"),
    "a prompt that is a list": ("/api/generate", {**GENERATE, "prompt": ["hi"]}, "prompt"),
    "a suffix": ("/api/generate", {**GENERATE, "suffix": "end"}, "insert"),
    "a template": ("/api/generate", {**GENERATE, "template": "{{ .Prompt }}"}, "template"),
    "raw with a system": ("/api/generate", {**GENERATE, "raw": True, "system": "x"}, "raw"),
    "a context of text": ("/api/generate", {**GENERATE, "context": ["a"]}, "context"),
    "tokens that are not in the vocabulary": ("/api/generate", {**GENERATE, "context": [4_000_000_000]}, "vocabulary"),
    "texts of numbers": ("/api/embed", {"model": NANO, "input": [3]}, "input"),
    "vectors without dimensions": ("/api/embed", {"model": NANO, "input": "x", "dimensions": 0}, "dimension"),
    "a copy to nowhere": ("/api/copy", {"source": NANO}, "destination"),
    "a copy to a bad name": ("/api/copy", {"source": NANO, "destination": "../x"}, "name"),
    "a model of nothing": ("/api/create", {"model": "x"}, "from"),
    "a model with a template": ("/api/create", {"model": "x", "from": NANO, "template": "t"}, "template"),
    "a model with an adapter": ("/api/create", {"model": "x", "from": NANO, "adapters": {"a": "b"}}, "adapters"),
    "a model of safetensors": ("/api/create", {"model": "x", "files": {"m.safetensors": "sha256:0"}}, "GGUF"),
    "a model with a setting of nobody": ("/api/create", {"model": "x", "from": NANO, "parameters": {"mood": 1}}, "mood"),
    "a model with a setting out of range": (
        "/api/create",
        {"model": "x", "from": NANO, "parameters": {"temperature": 9}, "stream": False},
        "temperature",
    ),
    "a digest that is none": ("/api/blobs/sha256:xyz", {}, "digest"),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed(http, name):
    path, body, words = MALFORMED[name]
    reply = http("POST", path, body)
    assert reply.status == 400, reply.body
    error = reply.json()
    assert list(error) == ["error"] and words in error["error"], error


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff\xfe"])
def test_bodies_that_are_no_json_objects(http, body):
    reply = http("POST", "/api/chat", body)
    assert reply.status == 400 and isinstance(reply.json()["error"], str)


def test_a_prompt_that_is_too_long_is_refused_and_not_cut(client):
    with pytest.raises(ollama.ResponseError, match="context") as caught:
        client.generate(model=NANO, prompt="word " * 5000)
    assert caught.value.status_code == 400


def test_no_key_and_a_wrong_key(http):
    for key in (None, "wrong"):
        reply = http("GET", "/api/tags", key=key)
        assert reply.status == 401 and isinstance(reply.json()["error"], str)


def test_what_is_not_built_says_so(http):
    for method, path in (("POST", "/api/push"), ("POST", "/api/me"), ("POST", "/api/signout"), ("GET", "/api/status")):
        reply = http(method, path, {} if method == "POST" else None)
        assert reply.status == 501 and "not supported" in reply.json()["error"]


def test_what_is_not_there_at_all(http):
    assert http("GET", "/api/nothing").status == 404


def test_the_root_greets_ollamas_clients(http):
    agent = {"user-agent": "ollama-python/0.6.3", "accept": "application/json"}
    assert http("GET", "/", headers=agent).body == b"Ollama is running"
    assert http("HEAD", "/").status == 200


def test_the_root_shakes_hands_with_qdrants_clients(http):
    reply = http("GET", "/", headers={"user-agent": "qdrant-client/1.20.0"}).json()
    assert "title" in reply and reply["version"].startswith("1.")


def test_versions_and_lists_answer_head(http):
    assert http("HEAD", "/api/version").status == 200 and http("HEAD", "/api/tags").status == 200
