"""Messages, streamed: the order of events, their sum, and the SDK's own helper."""

import asyncio
import json

import anthropic
from conftest import CLOCK, KEY, NANO, URL, WEATHER

ASK = {"model": NANO, "max_tokens": 12, "extra_body": {"temperature": 0}, "messages": [{"role": "user", "content": "Who is there?"}]}


def test_events_come_in_the_documented_order(client):
    kinds = [event.type for event in client.messages.create(**ASK, stream=True)]
    assert kinds[0] == "message_start" and kinds[-2:] == ["message_delta", "message_stop"]
    assert kinds[1] == "content_block_start" and kinds[-3] == "content_block_stop"
    assert set(kinds[2:-3]) == {"content_block_delta"}


def test_the_sum_of_the_deltas_is_the_whole_answer(client, ask):
    deltas = [event.delta.text for event in client.messages.create(**ASK, stream=True) if event.type == "content_block_delta"]
    assert "".join(deltas) == ask().content[0].text


def test_the_helper_puts_the_message_together(client, ask):
    with client.messages.stream(**ASK) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    whole = ask()
    assert text == final.content[0].text == whole.content[0].text
    assert final.stop_reason == whole.stop_reason and final.model == NANO
    assert final.usage.output_tokens == whole.usage.output_tokens
    assert final.usage.input_tokens + final.usage.cache_read_input_tokens > 0


def test_a_stop_sequence_is_reported_in_the_end(client, ask):
    full = ask(max_tokens=40).content[0].text
    stop = full[6:9] if full[6:9].strip() else full[5:10]
    with client.messages.stream(**{**ASK, "max_tokens": 40, "stop_sequences": [stop]}) as stream:
        final = stream.get_final_message()
    assert final.stop_reason == "stop_sequence" and final.stop_sequence == stop


def test_tool_input_comes_in_pieces_of_json(client):
    options = {**ASK, "max_tokens": 300, "tools": [WEATHER, CLOCK], "tool_choice": {"type": "tool", "name": "get_weather"}}
    start, pieces = None, []
    for event in client.messages.create(**options, stream=True):
        if event.type == "content_block_start" and event.content_block.type == "tool_use":
            start = event.content_block
        if event.type == "content_block_delta" and event.delta.type == "input_json_delta":
            pieces.append(event.delta.partial_json)
    assert start.name == "get_weather" and start.id and start.input == {}
    assert set(json.loads("".join(pieces))) == {"unit", "days"}


def test_the_helper_reads_tools(client):
    options = {**ASK, "max_tokens": 300, "tools": [WEATHER], "tool_choice": {"type": "any", "disable_parallel_tool_use": True}}
    with client.messages.stream(**options) as stream:
        final = stream.get_final_message()
    [call] = [block for block in final.content if block.type == "tool_use"]
    assert call.name == "get_weather" and call.input["unit"] in ("C", "F")
    assert final.stop_reason == "tool_use"


def test_raw_frames_name_their_events_and_ping(http):
    body = {name: value for name, value in ASK.items() if name != "extra_body"}
    reply = http("POST", "/v1/messages", {**body, "stream": True}, headers={"anthropic-version": "2023-06-01"})
    assert reply.headers["content-type"].startswith("text/event-stream")
    frames = reply.body.decode().strip().split("\n\n")
    names = [frame.split("\n")[0].removeprefix("event: ") for frame in frames]
    kinds = [json.loads(frame.split("\n")[1].removeprefix("data: "))["type"] for frame in frames]
    assert names == kinds and "ping" in names and names[-1] == "message_stop"


def test_an_error_before_the_first_token_has_its_status(client):
    try:
        client.messages.create(**{**ASK, "model": "nobody"}, stream=True)
    except anthropic.NotFoundError as error:
        assert error.body["error"]["type"] == "not_found_error"
    else:
        raise AssertionError("a model that is not there answered")


def test_a_stream_that_is_closed_early_leaves_the_server_well(client, ask):
    with client.messages.create(**{**ASK, "max_tokens": 900}, stream=True) as stream:
        for event in stream:
            if event.type == "content_block_delta":
                break
    assert ask().content


def test_async_stream():
    async def run():
        async with anthropic.AsyncAnthropic(base_url=URL, api_key=KEY, max_retries=0) as client:
            async with client.messages.stream(**ASK) as stream:
                return "".join([text async for text in stream.text_stream])

    assert asyncio.run(run())
