"""The Responses API through the stock SDK: create, stream, keep, continue, call functions, run in the background."""

import asyncio
import json
import time

import openai
import pytest

from conftest import NANO

FINAL = {"completed", "incomplete", "failed", "cancelled"}
ADD = {
    "type": "function",
    "name": "add",
    "description": "adds two numbers",
    "parameters": {
        "type": "object",
        "properties": {"a": {"type": "integer", "maximum": 9}, "b": {"type": "integer", "maximum": 9}},
        "required": ["a", "b"],
        "additionalProperties": False,
    },
    "strict": True,
}


def ask(client, said="Speak of love.", **settings):
    settings.setdefault("max_output_tokens", 24)
    settings.setdefault("temperature", 0)
    return client.responses.create(model=NANO, input=said, **settings)


def wait(client, response):
    end = time.monotonic() + 60
    while response.status not in FINAL and time.monotonic() < end:
        time.sleep(0.05)
        response = client.responses.retrieve(response.id)
    return response


def refused(client, status, param=None, **body):
    with pytest.raises(openai.APIStatusError) as caught:
        client.responses.create(**{"model": NANO, "input": "hi", **body})
    assert caught.value.status_code == status, caught.value
    if param is not None:
        assert caught.value.param == param, caught.value
    return caught.value


# --- create ---


def test_a_response_has_text_usage_and_the_settings(client):
    response = ask(client, instructions="Be brief.", metadata={"a": "b"}, user="someone")
    assert response.id.startswith("resp_") and response.object == "response"
    assert response.status in {"completed", "incomplete"}
    assert response.output_text and response.output[-1].type == "message"
    assert response.output[-1].id.startswith("msg_")
    assert response.usage.total_tokens == response.usage.input_tokens + response.usage.output_tokens
    assert response.usage.output_tokens <= 24
    assert response.instructions == "Be brief." and response.metadata == {"a": "b"}
    assert response.temperature == 0 and response.max_output_tokens == 24 and response.user == "someone"
    assert response.tools == [] and response.tool_choice == "auto" and response.truncation == "disabled"


def test_the_bound_of_tokens_makes_it_incomplete(client):
    response = ask(client, max_output_tokens=3)
    assert response.status == "incomplete"
    assert response.incomplete_details.reason == "max_output_tokens"
    assert response.usage.output_tokens == 3
    assert response.output[-1].status == "incomplete"


def test_greedy_responses_are_equal(client):
    assert ask(client).output_text == ask(client).output_text


def test_a_seed_decides(client):
    one, two = (ask(client, temperature=1, extra_body={"seed": 7}) for _ in range(2))
    assert one.output_text == two.output_text


def test_input_can_be_items_of_every_role(client):
    items = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": [{"type": "input_text", "text": "Who"}, {"type": "input_text", "text": "goes there?"}]},
        {"role": "assistant", "content": "A friend."},
        {"type": "message", "role": "user", "content": "Come near."},
    ]
    assert ask(client, items).output_text


def test_logprobs_when_asked(client):
    response = ask(client, max_output_tokens=4, top_logprobs=2, include=["message.output_text.logprobs"])
    logprobs = response.output[-1].content[0].logprobs
    assert len(logprobs) >= 3 and len(logprobs[0].top_logprobs) == 2
    assert all(token.logprob <= 0 for token in logprobs)


def test_json_schema(client):
    schema = {"type": "object", "properties": {"n": {"enum": [1, 2]}}, "required": ["n"], "additionalProperties": False}
    text = {"format": {"type": "json_schema", "name": "number", "schema": schema, "strict": True}}
    response = ask(client, text=text, max_output_tokens=600, temperature=1, extra_body={"seed": 3})
    assert json.loads(response.output_text)["n"] in (1, 2)
    assert response.text.format.type == "json_schema" and response.text.format.name == "number"


def test_json_object(client):
    response = ask(client, text={"format": {"type": "json_object"}}, max_output_tokens=200, extra_body={"seed": 1})
    if response.status == "completed":
        assert isinstance(json.loads(response.output_text), dict)


def test_the_async_client(async_client):
    async def run():
        return await async_client.responses.create(model=NANO, input="Hi", max_output_tokens=8)

    assert asyncio.run(run()).output_text is not None


# --- stream ---


def test_a_stream_tells_the_same_as_the_whole(client):
    whole = ask(client)
    events = list(ask(client, stream=True))
    kinds = [event.type for event in events]
    assert kinds[:2] == ["response.created", "response.in_progress"]
    assert kinds[-1] in {"response.completed", "response.incomplete"}
    assert [event.sequence_number for event in events] == list(range(len(events)))
    text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert text == whole.output_text == events[-1].response.output_text
    done = [event for event in events if event.type == "response.output_text.done"]
    assert done[0].text == text


def test_items_and_parts_open_and_close_in_order(client):
    kinds = [event.type for event in ask(client, stream=True)]
    order = [
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
    ]
    places = [kinds.index(kind) for kind in order]
    assert places == sorted(places)


def test_the_stream_helper_puts_it_together(client):
    schema = {"type": "object", "properties": {"word": {"enum": ["love", "war"]}}, "required": ["word"], "additionalProperties": False}
    text = {"format": {"type": "json_schema", "name": "word", "schema": schema, "strict": True}}
    with client.responses.stream(model=NANO, input="Speak.", max_output_tokens=600, temperature=1, text=text, extra_body={"seed": 3}) as stream:
        snapshots = [event.snapshot for event in stream if event.type == "response.output_text.delta"]
        final = stream.get_final_response()
    assert snapshots and snapshots[-1] == final.output_text


def test_a_stream_that_is_left_ends_its_work(client):
    stream = ask(client, stream=True, max_output_tokens=2000)
    for event in stream:
        if event.type == "response.output_text.delta":
            break
    stream.close()
    assert ask(client).output_text


# --- functions ---


def call_of(response):
    calls = [item for item in response.output if item.type == "function_call"]
    assert len(calls) == 1, response.output
    return calls[0]


def test_a_required_function_is_called_with_valid_arguments(client):
    response = ask(client, "What is 1+1?", tools=[ADD], tool_choice="required", parallel_tool_calls=False, max_output_tokens=300, temperature=1, extra_body={"seed": 5})
    call = call_of(response)
    assert call.name == "add" and call.call_id.startswith("call_")
    assert set(json.loads(call.arguments)) == {"a", "b"}
    assert response.tools[0].name == "add" and response.tool_choice == "required"


def test_a_named_function_is_called(client):
    other = dict(ADD, name="other")
    response = ask(client, tools=[other, ADD], tool_choice={"type": "function", "name": "add"}, max_output_tokens=300, temperature=1, extra_body={"seed": 5})
    assert call_of(response).name == "add"


def test_allowed_tools_bound_the_choice(client):
    choice = {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "add"}]}
    other = dict(ADD, name="other")
    response = ask(client, tools=[other, ADD], tool_choice=choice, parallel_tool_calls=False, max_output_tokens=300, temperature=1, extra_body={"seed": 5})
    assert call_of(response).name == "add"


def test_the_output_of_a_function_is_answered(client):
    first = ask(client, tools=[ADD], tool_choice="required", parallel_tool_calls=False, max_output_tokens=300, temperature=1, extra_body={"seed": 5})
    output = {"type": "function_call_output", "call_id": call_of(first).call_id, "output": "2"}
    second = ask(client, [output], previous_response_id=first.id)
    assert second.output_text is not None and second.previous_response_id == first.id


def test_a_function_call_streams_its_arguments(client):
    events = list(ask(client, tools=[ADD], tool_choice="required", parallel_tool_calls=False, stream=True, max_output_tokens=300, temperature=1, extra_body={"seed": 5}))
    fragments = "".join(event.delta for event in events if event.type == "response.function_call_arguments.delta")
    done = [event for event in events if event.type == "response.function_call_arguments.done"]
    assert done[0].arguments == fragments and json.loads(fragments)


def test_no_function_is_called_when_none_may_be(client):
    response = ask(client, tools=[ADD], tool_choice="none")
    assert {item.type for item in response.output} == {"message"}


# --- keep ---


def test_a_response_is_read_again_and_deleted(client):
    response = ask(client)
    again = client.responses.retrieve(response.id)
    assert again.output_text == response.output_text and again.usage == response.usage
    client.responses.delete(response.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(response.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.delete(response.id)


def test_what_is_not_stored_is_not_found(client):
    response = ask(client, store=False)
    assert response.store is False
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(response.id)


def test_input_items_are_listed_in_pages(client):
    response = ask(client, [{"role": "user", "content": str(number)} for number in range(5)])
    texts = [item.content[0].text for item in client.responses.input_items.list(response.id, order="asc", limit=2)]
    assert texts == ["0", "1", "2", "3", "4"]
    newest = client.responses.input_items.list(response.id, limit=1)
    assert newest.data[0].content[0].text == "4" and newest.has_more


def test_a_conversation_goes_on(client):
    first = ask(client, "My name is Ann.")
    second = ask(client, "Who am I?", previous_response_id=first.id)
    assert second.usage.input_tokens > first.usage.input_tokens + first.usage.output_tokens
    assert second.previous_response_id == first.id


def test_a_deleted_response_cannot_be_continued(client):
    first = ask(client)
    client.responses.delete(first.id)
    error = refused(client, 400, "previous_response_id", previous_response_id=first.id)
    assert error.code == "previous_response_not_found"


def test_keys_of_other_tenants_see_nothing(client, http):
    response = ask(client)
    made = http("POST", "/fornax/v1/keys", {"name": f"other-{response.id[-8:]}", "tenant": "other", "scopes": ["inference"]})
    key = made.json()["key"]
    for method, path in [("GET", ""), ("DELETE", ""), ("POST", "/cancel"), ("GET", "/input_items")]:
        reply = http(method, f"/v1/responses/{response.id}{path}", {} if method == "POST" else None, key=key)
        assert reply.status == 404, (method, path, reply.body)
    reply = http("POST", "/v1/responses", {"model": NANO, "input": "hi", "previous_response_id": response.id}, key=key)
    assert reply.status == 400
    assert client.responses.retrieve(response.id).id == response.id


# --- background ---


def test_a_background_response_is_polled(client):
    response = ask(client, background=True)
    assert response.status in {"queued", "in_progress", "completed", "incomplete"} and response.background
    response = wait(client, response)
    assert response.status in {"completed", "incomplete"} and response.output_text


def test_a_background_response_is_cancelled(client):
    response = ask(client, background=True, max_output_tokens=4000, extra_body={"ignore_eos": True})
    cancelled = client.responses.cancel(response.id)
    assert cancelled.status == "cancelled"
    assert client.responses.retrieve(response.id).status == "cancelled"
    assert client.responses.cancel(response.id).status == "cancelled"


def test_a_background_stream_is_taken_up_again(client):
    response = ask(client, background=True)
    wait(client, response)
    events = list(client.responses.retrieve(response.id, stream=True))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert events[1].type == "response.queued"
    rest = list(client.responses.retrieve(response.id, stream=True, starting_after=3))
    assert [event.sequence_number for event in rest] == list(range(4, len(events)))


def test_a_foreground_response_is_not_cancelled(client):
    response = ask(client)
    with pytest.raises(openai.BadRequestError):
        client.responses.cancel(response.id)


# --- refusals ---

MALFORMED = [
    ("model", {"model": ""}),
    ("input", {"input": []}),
    ("input", {"input": 3}),
    ("input[0].type", {"input": [{"id": "x"}]}),
    ("input[0].role", {"input": [{"role": "robot", "content": "a"}]}),
    ("input[0].content", {"input": [{"role": "user"}]}),
    ("input[0].content[0].type", {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "u"}]}]}),
    ("input[0].call_id", {"input": [{"type": "function_call_output", "call_id": "c", "output": "1"}]}),
    ("input[0].call_id", {"input": [{"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}]}),
    ("tools[0].type", {"tools": [{"type": "web_search"}]}),
    ("tools[0].type", {"tools": [{"type": "code_interpreter", "container": {"type": "auto"}}]}),
    ("tools[0].type", {"tools": [{"type": "mcp", "server_label": "a"}]}),
    ("tools[0].name", {"tools": [{"type": "function"}]}),
    ("tools[0].name", {"tools": [{"type": "function", "name": "not a name", "parameters": {"type": "object"}}]}),
    ("tools[0].vector_store_ids", {"tools": [{"type": "file_search", "vector_store_ids": []}]}),
    ("tool_choice", {"tool_choice": "required"}),
    ("text.format.type", {"text": {"format": {"type": "xml"}}}),
    ("text.format.name", {"text": {"format": {"type": "json_schema", "schema": {}}}}),
    ("max_output_tokens", {"max_output_tokens": 0}),
    ("temperature", {"temperature": 3}),
    ("top_logprobs", {"top_logprobs": 50}),
    ("truncation", {"truncation": "never"}),
    ("include[0]", {"include": ["all"]}),
    ("background", {"background": True, "store": False}),
    ("conversation", {"conversation": "conv_1"}),
    ("previous_response_id", {"previous_response_id": "resp_absent"}),
    ("metadata", {"metadata": {str(number): "" for number in range(17)}}),
]


@pytest.mark.parametrize("param,body", MALFORMED, ids=lambda value: value if isinstance(value, str) else "")
def test_a_malformed_request_is_refused_by_its_field(client, param, body):
    error = refused(client, 400, param, extra_body=body)
    assert error.body["type"] == "invalid_request_error" and error.body["message"]


def test_an_unknown_model_is_not_found(client):
    assert refused(client, 404, model="absent").code == "model_not_found"


def test_unbuilt_parts_say_so(http):
    for path in ("/v1/responses/compact", "/v1/responses/input_tokens", "/v1/conversations"):
        assert http("POST", path, {}).status == 501, path
    assert http("GET", "/v1/responses/resp_absent").status == 404


# --- the acceptance tests of Open Responses, by their description ---


def accepted(response):
    assert response.object == "response" and response.status in {"completed", "incomplete"}
    assert response.created_at > 0 and isinstance(response.output, list) and response.output
    assert response.error is None and response.usage.total_tokens > 0


def test_open_responses_basic(client):
    accepted(client.responses.create(model=NANO, input=[{"type": "message", "role": "user", "content": "Say hello."}], max_output_tokens=64))


def test_open_responses_streaming(http):
    reply = http("POST", "/v1/responses", {"model": NANO, "input": "Count.", "stream": True, "max_output_tokens": 32})
    frames = [frame for frame in reply.body.decode().split("\n\n") if frame]
    assert frames[-1] == "data: [DONE]"
    for frame in frames[:-1]:
        name, data = frame.split("\n", 1)
        assert json.loads(data.removeprefix("data: "))["type"] == name.removeprefix("event: ")


def test_open_responses_system_prompt(client):
    items = [{"type": "message", "role": "system", "content": "You are a pirate."}, {"type": "message", "role": "user", "content": "Hello."}]
    accepted(client.responses.create(model=NANO, input=items, max_output_tokens=64))


def test_open_responses_tools(client):
    response = ask(client, "What is 2+3?", tools=[ADD], tool_choice="required", parallel_tool_calls=False, max_output_tokens=300, temperature=1, extra_body={"seed": 5})
    assert call_of(response).status == "completed"


def test_open_responses_multi_turn(client):
    items = [
        {"type": "message", "role": "user", "content": "My name is Alice."},
        {"type": "message", "role": "assistant", "content": "Hello Alice."},
        {"type": "message", "role": "user", "content": "What is my name?"},
    ]
    accepted(client.responses.create(model=NANO, input=items, max_output_tokens=64))


def test_open_responses_previous_response_id(client):
    first = ask(client, "Hello.")
    accepted(ask(client, "And again.", previous_response_id=first.id))
