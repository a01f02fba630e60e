"""What the SDK would never send, over plain HTTP."""

import json

import pytest
from conftest import KEY, NANO, new_key, send

META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientInfo": {"name": "wire", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}


def modern(method, params=None, name=None, **headers):
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {**(params or {}), "_meta": META}}
    if name:
        headers["Mcp_Name"] = name
    return send(body, **{"MCP_Protocol_Version": "2026-07-28", "Mcp_Method": method, **headers})


def initialize(version="2025-11-25", key=KEY):
    params = {"protocolVersion": version, "capabilities": {}, "clientInfo": {"name": "wire", "version": "1"}}
    return send({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params}, key=key)


def event(reply):
    """The last message of a stream."""
    return json.loads([line for line in reply.text.splitlines() if line.startswith("data: {")][-1][6:])


@pytest.mark.parametrize(
    "body, code",
    [
        (b"", -32700),
        (b"{", -32700),
        (b"\xff\xfe", -32700),
        (b"[" * 100_000, -32700),
        (b'{"jsonrpc":"2.0","id":1,"method":"ping","params":' + b'{"a":' * 500 + b"1" + b"}" * 500 + b"}", -32700),
        (b"[]", -32600),
        (b'[{"jsonrpc":"2.0","id":1,"method":"ping"}]', -32600),
        (b'"ping"', -32600),
        (b"{}", -32600),
        (b'{"jsonrpc":"2.0","id":1e400,"method":"ping"}', -32700),
        (b'{"jsonrpc":"2.0","id":123456789012345678901234567890,"method":"ping"}', -32600),
        (b'{"jsonrpc":"2.0","id":{"a":1},"method":"ping"}', -32600),
        (b'{"jsonrpc":"2.0","id":1,"method":""}', -32600),
        (b'{"jsonrpc":"2.0","id":1,"method":"tools/list","params":[]}', -32602),
    ],
)
def test_what_is_no_message_is_refused(body, code):
    reply = send(body)
    assert reply.status == 400, reply.text
    assert reply.json["error"]["code"] == code, reply.text


def test_without_a_key_nothing_is_told():
    for method in ("POST", "GET", "DELETE"):
        reply = send({"jsonrpc": "2.0", "id": 1, "method": "tools/list"}, method=method, key=None)
        assert reply.status == 401
        assert reply.headers["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize("origin", ["http://evil.example.com", "null", "http://localhost.evil.com", "http://127.0.0.1.evil.com", "file://"])
def test_pages_of_other_origins_are_refused(origin):
    assert modern("tools/list", Origin=origin).status == 403


@pytest.mark.parametrize("origin", ["http://localhost:3000", "http://127.0.0.1", "http://[::1]:8080"])
def test_pages_of_this_machine_are_let_in(origin):
    assert modern("tools/list", Origin=origin).status == 200


def test_headers_must_say_what_the_body_says():
    assert modern("tools/call", {"name": "list_models"}, name="list_models").status == 200
    for reply in (
        modern("tools/call", {"name": "list_models"}, name="embed"),
        modern("tools/call", {"name": "list_models"}),
        modern("tools/list", MCP_Protocol_Version="2025-11-25"),
    ):
        assert reply.status == 400
        assert reply.json["error"]["code"] == -32020, reply.text


def test_wrong_parameters_are_told_from_unknown_methods():
    reply = modern("tools/call", {"name": 3}, name="3")
    assert reply.json["error"]["code"] == -32602, reply.text
    reply = modern("tools/burn")
    assert (reply.status, reply.json["error"]["code"]) == (404, -32601)


@pytest.mark.parametrize("version", ["2025-03-26", "2025-06-18", "2025-11-25"])
def test_every_older_revision_is_agreed_to(version):
    reply = initialize(version)
    assert event(reply)["result"]["protocolVersion"] == version
    assert reply.headers["Mcp-Session-Id"]


def test_an_unknown_older_revision_gets_the_newest_that_has_sessions():
    assert event(initialize("2024-01-01"))["result"]["protocolVersion"] == "2025-11-25"


def test_a_session_belongs_to_its_key():
    session = initialize().headers["Mcp-Session-Id"]
    headers = {"Mcp_Session_Id": session, "MCP_Protocol_Version": "2025-11-25"}
    ping = {"jsonrpc": "2.0", "id": 2, "method": "ping"}
    assert send({"jsonrpc": "2.0", "method": "notifications/initialized"}, **headers).status == 202
    assert send(ping, **headers).status == 200
    stranger = new_key("admin")
    assert send(ping, key=stranger, **headers).status == 404
    assert send(b"", method="DELETE", key=stranger, **headers).status == 404
    assert send(ping, **headers).status == 200
    assert send(b"", method="DELETE", **headers).status in (200, 202, 204)
    assert send(ping, **headers).status == 404


def test_a_large_body_is_refused_and_a_long_prompt_is_not():
    reply = send(b'{"jsonrpc":"2.0","id":1,"method":"x","params":{"a":"' + b"x" * (40 << 20) + b'"}}')
    assert reply.status == 413
    arguments = {"model": NANO, "prompt": "x" * (1 << 20), "max_tokens": 1}
    reply = modern("tools/call", {"name": "generate", "arguments": arguments}, name="generate")
    assert reply.json["result"]["isError"] is True
    assert reply.json["result"]["_meta"]["fornax/error"]["kind"] == "context_exceeded"


def test_the_new_revision_has_no_get_and_no_delete():
    for method in ("GET", "DELETE"):
        reply = send(b"", method=method, MCP_Protocol_Version="2026-07-28")
        assert reply.status == 405, reply.text


def test_an_answer_may_be_kept_as_long_as_it_says():
    for method in ("tools/list", "prompts/list", "resources/list", "resources/templates/list", "server/discover"):
        result = modern(method).json["result"]
        assert result["ttlMs"] >= 0 and result["cacheScope"] in ("public", "private"), method
        assert result["resultType"] == "complete"
    assert modern("tools/list").json["result"]["cacheScope"] == "private"
