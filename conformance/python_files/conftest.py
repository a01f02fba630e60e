"""What the cases of files and vector stores share: clients of two tenants, and how to wait for a file."""

import io
import json
import os
import time
import urllib.error
import urllib.request

import openai
import pytest

URL = os.environ["CONFORMANCE_URL"]
KEY = os.environ["CONFORMANCE_KEY"]
EMBEDDER = "minilm"
WAIT_SECONDS = 120

TEXTS = {
    "cats.txt": "Cats sleep most of the day. A cat purrs when it is content, and hunts mice at night.",
    "ships.md": "# Ships\n\nA schooner has two masts or more. Sailors reef the sails when a storm comes up.",
    "bread.txt": "Bread is made of flour, water, salt and yeast. The dough rests until it has doubled, then it is baked.",
}


def connect(key):
    # No retries: a case must see the first answer.
    return openai.OpenAI(base_url=f"{URL}/v1", api_key=key, max_retries=0, timeout=120)


def send(method, path, body=None, key=KEY, headers=None):
    """Raw HTTP, where the SDK will not: status and JSON."""
    request = urllib.request.Request(URL + path, method=method)
    request.add_header("authorization", f"Bearer {key}")
    for name, value in (headers or {}).items():
        request.add_header(name, value)
    if body is not None:
        request.data = body if isinstance(body, bytes) else json.dumps(body).encode()
    try:
        with urllib.request.urlopen(request, timeout=120) as reply:
            return reply.status, json.loads(reply.read() or b"null")
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read() or b"null")


@pytest.fixture
def http():
    return send


@pytest.fixture
def client():
    with connect(KEY) as made:
        yield made


@pytest.fixture(scope="session")
def stranger():
    """A client of another tenant, with every right there."""
    new = {"name": "stranger", "tenant": "strangers", "scopes": ["inference", "collections:manage"]}
    status, made = send("POST", "/fornax/v1/keys", new, headers={"content-type": "application/json"})
    assert status in (200, 201), made
    with connect(made["key"]) as client:
        yield client
    send("DELETE", f"/fornax/v1/keys/{made['record']['id']}")


@pytest.fixture(scope="session")
def embedder():
    """Cases of vector stores need the embedding model; without it they are skipped."""
    with connect(KEY) as client:
        if EMBEDDER not in {model.id for model in client.models.list()}:
            pytest.skip(f"`{EMBEDDER}` is not in the store; `make models` fetches it")
    return EMBEDDER


@pytest.fixture
def upload(client):
    """upload(name, text) stores a file that is deleted after the case."""
    made = []

    def run(name="note.txt", text="A note about nothing in particular.", **options):
        data = text.encode() if isinstance(text, str) else text
        options = {"purpose": "assistants", **options}
        file = client.files.create(file=(name, io.BytesIO(data)), **options)
        made.append(file.id)
        return file

    yield run
    for file_id in made:
        try:
            client.files.delete(file_id)
        except openai.NotFoundError:
            pass


@pytest.fixture
def store(client, embedder):
    """store(**options) makes a vector store that is deleted after the case."""
    made = []

    def run(**options):
        store = client.vector_stores.create(**options)
        made.append(store.id)
        return store

    yield run
    for store_id in made:
        try:
            client.vector_stores.delete(store_id)
        except openai.NotFoundError:
            pass


def wait(look, done):
    """Looks until `done` is true of what was seen."""
    end = time.monotonic() + WAIT_SECONDS
    while True:
        seen = look()
        if done(seen):
            return seen
        assert time.monotonic() < end, seen
        time.sleep(0.05)


@pytest.fixture(scope="module")
def library(embedder):
    """A vector store with three texts, made once for the cases that only read it."""
    with connect(KEY) as client:
        files = {}
        for name, text in TEXTS.items():
            files[name] = client.files.create(file=(name, text.encode()), purpose="assistants").id
        store = client.vector_stores.create(name="library")
        years = {"cats.txt": 1990, "ships.md": 1850, "bread.txt": 2001}
        for name, file_id in files.items():
            done = client.vector_stores.files.create_and_poll(
                file_id,
                vector_store_id=store.id,
                attributes={"year": years[name], "kind": name.split(".")[1], "old": years[name] < 1900},
                poll_interval_ms=100,
            )
            assert done.status == "completed", done
        yield client, store.id, files
        client.vector_stores.delete(store.id)
        for file_id in files.values():
            client.files.delete(file_id)
