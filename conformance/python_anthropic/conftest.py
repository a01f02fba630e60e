"""What the cases share: the client, the models that are there, and how to speak HTTP where the SDK will not."""

import json
import os
import urllib.error
import urllib.request

import anthropic
import pytest

URL = os.environ["CONFORMANCE_URL"]
KEY = os.environ["CONFORMANCE_KEY"]
NANO = "fornax-nano"
WEATHER = {
    "name": "get_weather",
    "description": "The weather of a city.",
    "input_schema": {
        "type": "object",
        "properties": {"unit": {"type": "string", "enum": ["C", "F"]}, "days": {"type": "integer", "enum": [1, 2]}},
        "required": ["unit", "days"],
        "additionalProperties": False,
    },
    "strict": True,
}
CLOCK = {
    "name": "get_time",
    "input_schema": {
        "type": "object",
        "properties": {"zone": {"type": "string", "enum": ["UTC", "CET"]}},
        "required": ["zone"],
        "additionalProperties": False,
    },
    "strict": True,
}


@pytest.fixture
def client():
    # No retries: a case must see the first answer.
    with anthropic.Anthropic(base_url=URL, api_key=KEY, auth_token=None, max_retries=0, timeout=120) as made:
        yield made


@pytest.fixture
def ask(client):
    """A short greedy message to the shipped model; keyword arguments go to the SDK."""

    def run(content="Who is there?", **options):
        # The SDK leaves these to `extra_body`; the protocol has them.
        sampling = {name: options.pop(name) for name in ("temperature", "top_p", "top_k") if name in options}
        options = {"model": NANO, "max_tokens": 12, "extra_body": {"temperature": 0, **sampling}, **options}
        options.setdefault("messages", [{"role": "user", "content": content}])
        return client.messages.create(**options)

    return run


class Reply:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def json(self):
        return json.loads(self.body)


@pytest.fixture
def http():
    """Raw HTTP: http(method, path, body=None, key=KEY, headers={})."""

    def send(method, path, body=None, key=KEY, headers=None):
        request = urllib.request.Request(URL + path, method=method)
        if key is not None:
            request.add_header("x-api-key", key)
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
