"""The store and memory: lists, show, copies, models of uploads, pulls, deletion."""

import hashlib
import pathlib

import ollama
import pytest
from conftest import GREEDY, KEY, NANO, URL

WEIGHTS = pathlib.Path(__file__).resolve().parent.parent.parent / "models" / "fornax-nano" / "fornax-nano.gguf"


@pytest.fixture
def made(client):
    """Names of models that a case makes; they are deleted when it ends."""
    names = []
    yield lambda name: names.append(name) or name
    for name in names:
        try:
            client.delete(name)
        except ollama.ResponseError:
            pass


def names(client):
    return [model.model for model in client.list().models]


def test_list(client):
    [nano] = [model for model in client.list().models if model.model == NANO]
    assert nano.size == WEIGHTS.stat().st_size
    assert nano.digest == hashlib.sha256(WEIGHTS.read_bytes()).hexdigest()
    assert nano.details.format == "gguf" and nano.details.family == "llama"
    assert nano.details.parameter_size == "3.48M" and nano.details.quantization_level == "Q8_0"
    assert nano.modified_at.year >= 2024


def test_show(client):
    shown = client.show(NANO)
    assert shown.details.family == "llama" and "completion" in shown.capabilities
    assert shown.modelinfo["general.architecture"] == "llama" and shown.modelinfo["llama.context_length"] == 1024
    assert shown.modelinfo["general.parameter_count"] == 3475712
    assert "messages" in shown.template and shown.modelfile.startswith("FROM fornax-nano")


def test_show_of_an_embedder(client, embedder):
    assert client.show(embedder).capabilities == ["embedding"]


def test_the_tag_latest_means_the_same_model(client):
    assert client.show(f"{NANO}:latest").details == client.show(NANO).details


def test_ps(client):
    client.generate(model=NANO, prompt="Hi", options={"num_predict": 1}, keep_alive="5m")
    [nano] = [model for model in client.ps().models if model.model == NANO]
    assert nano.size > 0 and nano.details.family == "llama" and nano.expires_at


def test_copy_and_delete(client, made):
    client.copy(NANO, made("twin"))
    assert "twin" in names(client)
    assert client.delete("twin").status == "success"
    assert "twin" not in names(client)


def test_create_from_a_model_with_settings(client, made):
    parameters = {"temperature": 0, "num_ctx": 512, "stop": ["!"], "top_k": 3}
    progress = client.create(model=made("king"), from_=NANO, system="Speak as a king.", parameters=parameters)
    assert progress.status == "success"
    shown = client.show("king")
    assert 'SYSTEM """Speak as a king."""' in shown.modelfile and "temperature" in shown.parameters
    turns = [{"role": "user", "content": "Who is there?"}]
    own = client.chat(model="king", messages=turns, options={"num_predict": 12})
    told = [{"role": "system", "content": "Speak as a king."}, *turns]
    same = client.chat(model=NANO, messages=told, options={**GREEDY, "stop": ["!"], "top_k": 3})
    assert own.message.content == same.message.content


def test_create_from_an_upload(client, made, http):
    digest = client.create_blob(WEIGHTS)
    assert http("HEAD", f"/api/blobs/{digest}").status == 200
    lines = [line.status for line in client.create(model=made("sent"), files={"nano.gguf": digest}, stream=True)]
    assert lines[-1] == "success"
    reply = client.generate(model="sent", prompt="Who is there?", options=GREEDY)
    assert reply.response == client.generate(model=NANO, prompt="Who is there?", options=GREEDY).response


def test_an_upload_that_never_came_is_not_there(http):
    assert http("HEAD", "/api/blobs/sha256:" + "0" * 64).status == 404


def test_other_bytes_than_announced_are_refused(http):
    reply = http("POST", "/api/blobs/sha256:" + "0" * 64, b"hello")
    assert reply.status == 400 and "sha256" in reply.json()["error"]


def test_an_upload_that_is_no_model_becomes_none(client, http):
    digest = "sha256:" + hashlib.sha256(b"no model").hexdigest()
    assert http("POST", f"/api/blobs/{digest}", b"no model").status == 201
    with pytest.raises(ollama.ResponseError, match="usable model"):
        client.create(model="broken", files={"m.gguf": digest})
    assert "broken" not in names(client)


def test_a_pull_of_a_model_that_is_there_succeeds(client):
    assert client.pull(NANO).status == "success"
    assert [line.status for line in client.pull(NANO, stream=True)][-1] == "success"


def test_a_pull_of_a_short_name_says_where_models_come_from(client):
    with pytest.raises(ollama.ResponseError, match="hf.co") as caught:
        client.pull("llama3.2")
    assert caught.value.status_code == 404


def test_models_that_are_not_there(client):
    for call in (client.show, client.delete, lambda name: client.chat(name), lambda name: client.copy(name, "x")):
        with pytest.raises(ollama.ResponseError, match="not found") as caught:
            call("nobody")
        assert caught.value.status_code == 404


def test_push_is_not_here(client):
    with pytest.raises(ollama.ResponseError) as caught:
        client.push(NANO)
    assert caught.value.status_code == 501


def test_a_key_in_the_environment_is_enough(monkeypatch):
    monkeypatch.setenv("OLLAMA_API_KEY", KEY)
    assert NANO in [model.model for model in ollama.Client(host=URL).list().models]


def test_what_open_webui_does(http, embedder):
    """The requests of a chat in Open WebUI with a document in its knowledge, in its order."""
    assert http("GET", "/api/version").json()["version"].split(".")
    tags = http("GET", "/api/tags").json()["models"]
    assert {"name", "model", "modified_at", "size", "digest", "details"} <= set(tags[0])
    assert isinstance(http("GET", "/api/ps").json()["models"], list)
    vectors = http("POST", "/api/embed", {"model": embedder, "input": ["A boat", "A house"]}).json()["embeddings"]
    assert [len(vector) for vector in vectors] == [384, 384]
    body = {
        "model": NANO,
        "messages": [{"role": "user", "content": "Who is there?"}],
        "options": {**GREEDY, "stop": [""]},
        "keep_alive": "5m",
        "stream": True,
    }
    lines = http("POST", "/api/chat", body).lines()
    assert lines[-1]["done"] and lines[-1]["eval_duration"] >= 0 and "".join(line["message"]["content"] for line in lines)
    assert NANO in [model["model"] for model in http("GET", "/api/ps").json()["models"]]
    unloaded = http("POST", "/api/generate", {"model": NANO, "keep_alive": 0}).json()
    assert unloaded["done"] and unloaded["done_reason"] == "unload"
