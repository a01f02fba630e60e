"""What the cases share: the client, the models that are there, and how to speak HTTP where the SDK will not."""

import json
import os
import urllib.error
import urllib.request

import ollama
import pytest

URL = os.environ["CONFORMANCE_URL"]
KEY = os.environ["CONFORMANCE_KEY"]
NANO = "fornax-nano"
EMBEDDER = "minilm"
GREEDY = {"temperature": 0, "num_predict": 12}


@pytest.fixture
def client():
    with ollama.Client(host=URL, headers={"authorization": f"Bearer {KEY}"}, timeout=120) as made:
        yield made


@pytest.fixture(scope="session")
def embedder():
    """The embedding model's name; cases that need it are skipped when it is not in the store."""
    with ollama.Client(host=URL, headers={"authorization": f"Bearer {KEY}"}) as client:
        if EMBEDDER not in {model.model for model in client.list().models}:
            pytest.skip(f"`{EMBEDDER}` is not in the store; `make models` fetches it")
    return EMBEDDER


@pytest.fixture
def ask(client):
    """A short greedy chat with the shipped model; keyword arguments go to the SDK."""

    def run(content="Who is there?", **options):
        options = {"model": NANO, **options}
        options["options"] = {**GREEDY, **options.get("options", {})}
        options.setdefault("messages", [{"role": "user", "content": content}])
        return client.chat(**options)

    return run


class Reply:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def json(self):
        return json.loads(self.body)

    def lines(self):
        return [json.loads(line) for line in self.body.decode().splitlines()]


@pytest.fixture
def http():
    """Raw HTTP: http(method, path, body=None, key=KEY, headers={})."""

    def send(method, path, body=None, key=KEY, headers=None):
        request = urllib.request.Request(URL + path, method=method)
        if key is not None:
            request.add_header("authorization", f"Bearer {key}")
        for name, value in (headers or {}).items():
            request.add_header(name, value)
        if body is not None:
            request.data = body if isinstance(body, bytes) else json.dumps(body).encode()
            request.add_header("content-type", "application/json")
        try:
            with urllib.request.urlopen(request, timeout=120) as reply:
                return Reply(reply.status, reply.headers, reply.read())
        except urllib.error.HTTPError as error:
            return Reply(error.code, error.headers, error.read())

    return send
