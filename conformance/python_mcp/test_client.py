"""The official SDK, unmodified, over HTTP and over standard streams, in both eras."""

import json

import anyio
import pytest
from conftest import NANO, connect, is_modern, new_key
from mcp import MCPError
from mcp_types import PromptReference, ResourceTemplateReference

pytestmark = pytest.mark.anyio

TOOLS = ["list_models", "describe_model", "generate", "embed", "list_collections", "describe_collection", "search", "ask"]


async def test_the_era_is_found(way):
    async with connect(way) as client:
        expected = "2026-07-28" if is_modern(way) else "2025-11-25"
        assert client.protocol_version == expected
        assert client.server_info.name == "fornax"
        assert client.server_capabilities.tools is not None
        assert "list_models" in client.instructions


async def test_tools_are_listed_in_order_with_schemas(way):
    async with connect(way) as client:
        tools = [tool for tool in (await client.list_tools()).tools if not tool.name.startswith("test_")]
        assert [tool.name for tool in tools][: len(TOOLS)] == TOOLS
        for tool in tools[: len(TOOLS)]:
            assert tool.title and tool.description
            assert tool.input_schema["type"] == "object"
            assert tool.output_schema["type"] == "object"
            assert tool.annotations.read_only_hint is True


async def test_models_are_listed_and_described(way):
    async with connect(way) as client:
        listed = await client.call_tool("list_models", {})
        models = {model["name"]: model for model in listed.structured_content["models"]}
        assert models[NANO]["kind"] == "generate"
        assert json.loads(listed.content[0].text) == listed.structured_content
        described = await client.call_tool("describe_model", {"model": NANO})
        assert described.structured_content["digest"].startswith("sha256:")


async def test_text_is_generated_and_repeatable(way):
    arguments = {"model": NANO, "prompt": "Once upon a time", "max_tokens": 12, "seed": 7}
    async with connect(way) as client:
        first = (await client.call_tool("generate", arguments)).structured_content
        again = (await client.call_tool("generate", arguments)).structured_content
        assert first["text"] and first["text"] == again["text"]
        assert first["finish_reason"] in ("stop", "length")
        assert 0 < first["output_tokens"] <= 12


async def test_a_schema_shapes_the_answer(way):
    schema = {"type": "object", "properties": {"yes": {"type": "boolean"}}, "required": ["yes"], "additionalProperties": False}
    arguments = {"model": NANO, "prompt": "Say yes", "max_tokens": 300, "temperature": 0, "json_schema": schema}
    async with connect(way) as client:
        answer = (await client.call_tool("generate", arguments)).structured_content
        assert isinstance(json.loads(answer["text"])["yes"], bool)


async def test_texts_are_embedded(way, embedder):
    async with connect(way) as client:
        answer = (await client.call_tool("embed", {"model": embedder, "texts": ["a cat", "a kitten"]})).structured_content
        assert answer["dimensions"] == len(answer["vectors"][0]) == 384
        assert sum(value * value for value in answer["vectors"][0]) == pytest.approx(1, abs=1e-3)


async def test_progress_is_told_when_it_is_asked_for(way):
    told = []

    async def progress(done, total, message):
        told.append((done, total, message))

    arguments = {"model": NANO, "prompt": "Once upon a time", "max_tokens": 600}
    async with connect(way) as client:
        await client.call_tool("test_tool_with_progress", {}, progress_callback=progress)
        assert [done for done, _, _ in told] == [0, 50, 100]
        told.clear()
        await client.call_tool("generate", arguments, progress_callback=progress)
        assert [done for done, _, _ in told] == sorted(done for done, _, _ in told)


async def test_wrong_arguments_are_told_to_the_model(way):
    async with connect(way) as client:
        result = await client.call_tool("generate", {"model": NANO})
        assert result.is_error
        assert "prompt" in result.content[0].text
        result = await client.call_tool("describe_model", {"model": "no-such-model"})
        assert result.is_error
        assert result.meta["fornax/error"]["code"] == "model_not_found"


async def test_unknown_tools_are_protocol_errors(way):
    async with connect(way) as client:
        with pytest.raises(MCPError) as caught:
            await client.call_tool("no_such_tool", {})
        assert caught.value.error.code == -32602


async def test_resources_are_listed_and_read(way):
    async with connect(way) as client:
        listed = {str(resource.uri) for resource in (await client.list_resources()).resources}
        assert {"fornax://models", f"fornax://models/{NANO}"} <= listed
        contents = (await client.read_resource(f"fornax://models/{NANO}")).contents
        assert json.loads(contents[0].text)["kind"] == "generate"
        templates = (await client.list_resource_templates()).resource_templates
        assert "fornax://models/{+name}" in [template.uri_template for template in templates]
        with pytest.raises(MCPError):
            await client.read_resource("fornax://models/no-such-model")


async def test_prompts_are_listed_filled_and_completed(way):
    async with connect(way) as client:
        names = [prompt.name for prompt in (await client.list_prompts()).prompts]
        assert names[:3] == ["summarise", "answer_with_citations", "extract"]
        filled = await client.get_prompt("summarise", {"text": "Rain fell.", "length": "one sentence"})
        assert "Rain fell." in filled.messages[0].content.text
        with pytest.raises(MCPError) as caught:
            await client.get_prompt("summarise", {})
        assert caught.value.error.code == -32602
        reference = PromptReference(type="ref/prompt", name="summarise")
        found = await client.complete(reference, {"name": "length", "value": "one"})
        assert found.completion.values == ["one sentence", "one page"]
        template = ResourceTemplateReference(type="ref/resource", uri="fornax://models/{+name}")
        found = await client.complete(template, {"name": "name", "value": NANO[:3]})
        assert NANO in found.completion.values


async def test_a_key_sees_only_the_tools_it_may_call(way):
    async with connect(way, key=new_key("models")) as client:
        tools = [tool.name for tool in (await client.list_tools()).tools if tool.name in TOOLS]
        assert tools == ["list_models", "describe_model"]
        with pytest.raises(MCPError) as caught:
            await client.call_tool("generate", {"model": NANO, "prompt": "x"})
        assert "inference" in str(caught.value)


async def test_a_wrong_key_gets_nowhere(way):
    # Over HTTP the SDK reports the status in a group of its own; what matters is that nothing works.
    with pytest.raises(BaseException):
        async with connect(way, key="fx-wrong") as client:
            await client.list_tools()


async def test_requests_run_side_by_side(way):
    async with connect(way) as client:
        done = []

        async def call(number):
            arguments = {"model": NANO, "prompt": f"Number {number}", "max_tokens": 5}
            result = await client.call_tool("generate", arguments)
            done.append(result.structured_content["text"])

        async with anyio.create_task_group() as group:
            for number in range(8):
                group.start_soon(call, number)
        assert len(done) == 8


async def test_a_call_that_is_given_up_leaves_the_client_usable(way):
    async with connect(way) as client:
        with anyio.move_on_after(0.3):
            await client.call_tool("generate", {"model": NANO, "prompt": "Tell me", "max_tokens": 100000})
        listed = await client.call_tool("list_models", {})
        assert not listed.is_error


async def test_the_client_is_asked_back(way):
    """Elicitation: a request of the server in the older era, a result that asks in the new one."""
    from mcp_types import ElicitResult

    async def answer(_context, parameters):
        fields = parameters.requested_schema["properties"]
        return ElicitResult(action="accept", content={name: "Ann" for name in fields})

    async with connect(way, elicitation_callback=answer) as client:
        if is_modern(way):
            result = await client.call_tool("test_input_required_result_elicitation", {})
            assert result.content[0].text == "Hello, Ann!"
        else:
            result = await client.call_tool("test_elicitation", {"message": "Who?"})
            assert "accept" in result.content[0].text and "Ann" in result.content[0].text
