"""What the gRPC cases share: clients on the one port, channels with a key, and collections that go away again."""

import os
import urllib.parse
import uuid
import warnings

import grpc
import pytest
from qdrant_client import AsyncQdrantClient, QdrantClient

URL = urllib.parse.urlparse(os.environ["CONFORMANCE_URL"])
KEY = os.environ["CONFORMANCE_KEY"]
# Of the clients themselves: seconds.
TIMEOUT = 120


def options() -> dict:
    return dict(
        host=URL.hostname,
        port=URL.port,
        grpc_port=URL.port,
        prefer_grpc=True,
        https=False,
        api_key=KEY,
        timeout=TIMEOUT,
        check_compatibility=False,
    )


def client() -> QdrantClient:
    with warnings.catch_warnings():
        # A key over a connection in clear: here it never leaves the machine.
        warnings.simplefilter("ignore")
        return QdrantClient(**options())


def async_client() -> AsyncQdrantClient:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return AsyncQdrantClient(**options())


@pytest.fixture
def remote():
    made = client()
    yield made
    made.close()


@pytest.fixture
def channel():
    limits = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    with grpc.insecure_channel(f"{URL.hostname}:{URL.port}", options=limits) as made:
        yield made


@pytest.fixture
def metadata():
    return (("api-key", KEY),)


@pytest.fixture
def name(remote):
    """A collection's name of this case's own."""
    chosen = f"grpc-{uuid.uuid4().hex[:12]}"
    yield chosen
    remote.delete_collection(chosen)
