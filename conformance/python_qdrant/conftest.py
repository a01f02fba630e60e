"""What the cases share: clients of our server, the client's own in-memory engine beside it, and raw HTTP.

CONFORMANCE_TRANSPORT=grpc runs the same cases through gRPC.
"""

import json
import os
import random
import string
import urllib.error
import urllib.parse
import urllib.request
import warnings

import pytest
from qdrant_client import AsyncQdrantClient, QdrantClient, models

URL = os.environ["CONFORMANCE_URL"]
KEY = os.environ["CONFORMANCE_KEY"]
TRANSPORT = os.environ.get("CONFORMANCE_TRANSPORT", "rest")
EMBEDDER = "minilm"

# The client warns that a key crosses an unencrypted connection; it stays on this machine.
warnings.filterwarnings("ignore", message="Api key is used with an insecure connection")
# Its own engine says that it keeps no payload indexes.
warnings.filterwarnings("ignore", message="Payload indexes have no effect")


def settings(key: str = KEY) -> dict:
    parts = urllib.parse.urlsplit(URL)
    return {
        "url": URL,
        "port": parts.port,
        "grpc_port": parts.port,
        "prefer_grpc": TRANSPORT == "grpc",
        "api_key": key,
        "timeout": 120,
        # Texts are sent as they are, for the server to embed.
        "cloud_inference": True,
    }


@pytest.fixture(scope="session")
def client():
    made = QdrantClient(**settings())
    yield made
    made.close()


@pytest.fixture
def async_client():
    return AsyncQdrantClient(**settings())


@pytest.fixture
def oracle():
    """The client's own engine in memory."""
    made = QdrantClient(":memory:")
    yield made
    made.close()


@pytest.fixture
def name(client):
    """The name of a collection that is not there, and is removed afterwards."""
    made = "case-" + "".join(random.choices(string.ascii_lowercase, k=12))
    yield made
    client.delete_collection(made)


class Reply:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def json(self):
        return json.loads(self.body)

    @property
    def error(self) -> str:
        """The words that integrations parse."""
        status = self.json()["status"]
        return status["error"] if isinstance(status, dict) else ""


def send(method, path, body=None, key=KEY, headers=None):
    request = urllib.request.Request(URL + path, method=method)
    if key is not None:
        request.add_header("api-key", key)
    for header, value in (headers or {}).items():
        request.add_header(header, value)
    if body is not None:
        request.data = body if isinstance(body, bytes) else json.dumps(body).encode()
        request.add_header("content-type", "application/json")
    try:
        with urllib.request.urlopen(request, timeout=120) as reply:
            return Reply(reply.status, reply.headers, reply.read())
    except urllib.error.HTTPError as error:
        return Reply(error.code, error.headers, error.read())


@pytest.fixture
def http():
    """Raw HTTP: http(method, path, body=None, key=KEY, headers={})."""
    return send


@pytest.fixture(scope="session")
def embedder():
    """The embedding model's name; cases that need it are skipped when it is not in the store."""
    listed = send("GET", "/v1/models").json()["data"]
    if EMBEDDER not in {model["id"].split(":")[0] for model in listed}:
        pytest.skip(f"`{EMBEDDER}` is not in the store; `make models` fetches it")
    return EMBEDDER


@pytest.fixture
def key_of():
    """Makes a key of a tenant."""
    made = []

    def make(tenant: str) -> str:
        scopes = ["collections:manage", "inference"]
        body = {"name": f"conformance {tenant}", "tenant": tenant, "scopes": scopes}
        reply = send("POST", "/fornax/v1/keys", body)
        assert reply.status in (200, 201), reply.body
        made.append(reply.json()["record"]["id"])
        return reply.json()["key"]

    yield make
    for key in made:
        send("DELETE", f"/fornax/v1/keys/{key}")


@pytest.fixture
def filled(client, oracle, name):
    """Forty points with dense, multi and sparse vectors and payloads, in both engines; gives the name."""
    generator = random.Random(7)

    def numbers(count):
        return [round(generator.uniform(-1, 1), 4) for _ in range(count)]

    for engine in (client, oracle):
        engine.create_collection(
            name,
            vectors_config={
                "": models.VectorParams(size=8, distance=models.Distance.COSINE),
                "side": models.VectorParams(size=4, distance=models.Distance.DOT),
                "tokens": models.VectorParams(
                    size=3,
                    distance=models.Distance.COSINE,
                    multivector_config=models.MultiVectorConfig(comparator=models.MultiVectorComparator.MAX_SIM),
                ),
            },
            sparse_vectors_config={"words": models.SparseVectorParams()},
        )
        for field, kind in {"group": "keyword", "number": "integer", "price": "float", "when": "datetime", "place": "geo"}.items():
            engine.create_payload_index(name, field, field_schema=kind, wait=True)
    points = []
    for index in range(40):
        sparse = sorted(generator.sample(range(30), 6))
        points.append(
            models.PointStruct(
                id=index,
                vector={
                    "": numbers(8),
                    "side": numbers(4),
                    "tokens": [numbers(3) for _ in range(1 + index % 3)],
                    "words": models.SparseVector(indices=sparse, values=[abs(value) + 0.1 for value in numbers(6)]),
                },
                payload={
                    "group": f"g{index % 5}",
                    "number": index * 3 % 41,
                    "price": round(generator.uniform(0, 100), 3),
                    "when": f"2024-{1 + index % 12:02}-{1 + index % 28:02}T00:00:00Z",
                    "place": {"lat": generator.uniform(-80, 80), "lon": generator.uniform(-170, 170)},
                },
            )
        )
    for engine in (client, oracle):
        engine.upsert(name, points, wait=True)
    return name
