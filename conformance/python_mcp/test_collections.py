"""Collections as tools and resources, through the official SDK."""

import json
import urllib.request

import pytest
from conftest import KEY, NANO, URL, connect, new_key

pytestmark = pytest.mark.anyio

PAPER = "# Tides\n\nThe moon pulls the sea, which makes the tides.\n\n# Bread\n\nYeast makes the dough rise before it is baked.\n"


@pytest.fixture(scope="module")
def library(embedder):
    """A collection with one document, made once."""
    address = f"{URL}/fornax/v1/collections/mcp-library/ingest?source=paper.md&model={embedder}&chunker=markdown"
    headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/octet-stream"}
    with urllib.request.urlopen(urllib.request.Request(address, PAPER.encode(), headers), timeout=120) as answer:
        assert answer.status == 200, answer.read()
        answer.read()
    return "mcp-library"


async def test_collections_are_listed_and_described(way, library):
    async with connect(way) as client:
        listed = (await client.call_tool("list_collections", {})).structured_content
        assert library in listed["collections"]
        about = (await client.call_tool("describe_collection", {"collection": library})).structured_content
        assert about["points"] == 2 and about["models"][""] == "minilm"


async def test_a_search_finds_by_meaning_and_by_words(way, library):
    async with connect(way) as client:
        for mode in ("hybrid", "dense", "words"):
            arguments = {"collection": library, "query": "how does dough rise", "mode": mode, "limit": 1}
            found = (await client.call_tool("search", arguments)).structured_content["results"]
            assert "Yeast" in found[0]["payload"]["text"], mode
        arguments = {"collection": library, "query": "dough", "filter": {"must": [{"key": "source", "match": {"value": "other"}}]}}
        assert (await client.call_tool("search", arguments)).structured_content["results"] == []
        refused = await client.call_tool("search", {"collection": "no-such-collection", "query": "x"})
        assert refused.is_error


async def test_a_question_is_answered_with_the_sources(way, library):
    arguments = {"question": "What makes the tides?", "collections": [library], "model": NANO, "max_tokens": 16, "seed": 1}
    async with connect(way) as client:
        answer = (await client.call_tool("ask", arguments)).structured_content
        assert answer["model"] == NANO and answer["finish_reason"] in ("stop", "length")
        assert [source["number"] for source in answer["sources"]] == list(range(1, len(answer["sources"]) + 1))
        assert any("moon" in source["text"] for source in answer["sources"])


async def test_collections_and_documents_are_resources(way, library):
    async with connect(way) as client:
        about = json.loads((await client.read_resource(f"fornax://collections/{library}")).contents[0].text)
        assert about["documents"] == [{"source": "paper.md", "chunks": 2}]
        document = json.loads((await client.read_resource(f"fornax://collections/{library}/documents/paper.md")).contents[0].text)
        assert "moon" in document["chunks"][0]["text"] and document["more"] is False


async def test_a_key_without_collections_sees_none(way, library):
    async with connect(way, key=new_key("models")) as client:
        names = [tool.name for tool in (await client.list_tools()).tools]
        assert "search" not in names and "ask" not in names
        addresses = [str(resource.uri) for resource in (await client.list_resources()).resources]
        assert not any(address.startswith("fornax://collections") for address in addresses)
