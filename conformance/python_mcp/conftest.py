"""What the cases share: the ways to reach the server with the official SDK, and plain HTTP where the SDK will not."""

import contextlib
import json
import os
import urllib.error
import urllib.request

import httpx2
import pytest
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client

URL = os.environ["CONFORMANCE_URL"]
KEY = os.environ["CONFORMANCE_KEY"]
BINARY = os.environ["CONFORMANCE_BINARY"]
NANO = "fornax-nano"
EMBEDDER = "minilm"

# The transport, and how the SDK finds out which era the server speaks.
WAYS = ["http auto", "http legacy", "stdio auto", "stdio legacy"]


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture(params=WAYS)
def way(request):
    return request.param


@pytest.fixture(scope="session")
def embedder():
    """The embedding model's name; cases that need it are skipped when it is not in the store."""
    request = urllib.request.Request(f"{URL}/v1/models", headers={"Authorization": f"Bearer {KEY}"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        if EMBEDDER not in {model["id"] for model in json.loads(answer.read())["data"]}:
            pytest.skip(f"`{EMBEDDER}` is not in the store; `make models` fetches it")
    return EMBEDDER


@contextlib.asynccontextmanager
async def connect(way, key=KEY, **options):
    transport, mode = way.split()
    if transport == "stdio":
        environment = {"FORNAX_URL": URL, "FORNAX_API_KEY": key}
        parameters = StdioServerParameters(command=BINARY, args=["mcp"], env=environment)
        async with Client(parameters, mode=mode, **options) as client:
            yield client
        return
    headers = {"Authorization": f"Bearer {key}"}
    async with httpx2.AsyncClient(headers=headers, timeout=120) as http:
        async with Client(streamable_http_client(f"{URL}/mcp", http_client=http), mode=mode, **options) as client:
            yield client


def is_modern(way):
    return way.endswith("auto")


class Reply:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.text = status, headers, body.decode()

    @property
    def json(self):
        return json.loads(self.text)


def send(body, method="POST", key=KEY, **headers):
    """One plain HTTP request to `/mcp`; `body` is bytes, or what becomes JSON."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    named = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream", **named}
    if key:
        named["Authorization"] = f"Bearer {key}"
    request = urllib.request.Request(f"{URL}/mcp", data if method == "POST" else None, named, method=method)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return Reply(answer.status, answer.headers, answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return Reply(error.code, error.headers, error.read())


def new_key(*scopes):
    body = json.dumps({"name": f"mcp {'+'.join(scopes)} {os.urandom(4).hex()}", "scopes": list(scopes)}).encode()
    headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
    request = urllib.request.Request(f"{URL}/fornax/v1/keys", body, headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.loads(answer.read())["key"]
