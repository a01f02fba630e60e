"""Messages, whole: content, usage, why they end, and what shapes a conversation may have."""

import anthropic
import httpx2
import pytest
from conftest import KEY, NANO, URL


def test_a_message_has_the_documented_shape(ask):
    message = ask()
    assert message.type == "message" and message.role == "assistant" and message.id.startswith("msg_")
    assert message.model == NANO
    [block] = message.content
    assert block.type == "text" and block.text
    assert message.stop_reason in ("end_turn", "max_tokens") and message.stop_sequence is None
    assert message.usage.output_tokens > 0


def test_greedy_answers_repeat_themselves(ask):
    assert ask().content[0].text == ask().content[0].text


def test_max_tokens_ends_an_answer(ask):
    message = ask(max_tokens=3)
    assert message.stop_reason == "max_tokens" and message.usage.output_tokens == 3


def test_a_stop_sequence_is_named_and_not_part_of_the_text(ask):
    full = ask(max_tokens=40).content[0].text
    stop = full[6:9] if full[6:9].strip() else full[5:10]
    message = ask(max_tokens=40, stop_sequences=["never said", stop])
    assert message.stop_reason == "stop_sequence" and message.stop_sequence == stop
    said = message.content[0].text if message.content else ""
    assert said == full[: full.index(stop)]


def test_usage_tells_computed_and_cached_tokens_apart(ask):
    first = ask("A question that nobody asked before: what is in the barrel?")
    again = ask("A question that nobody asked before: what is in the barrel?", max_tokens=11)
    total = first.usage.input_tokens + first.usage.cache_read_input_tokens
    assert total == again.usage.input_tokens + again.usage.cache_read_input_tokens
    assert again.usage.cache_read_input_tokens > 0


def test_system_as_text_and_as_blocks_say_the_same(ask, client):
    text = client.messages.count_tokens(model=NANO, system="Speak as a king.", messages=[{"role": "user", "content": "Hi"}])
    blocks = [{"type": "text", "text": "Speak as a king.", "cache_control": {"type": "ephemeral"}}]
    assert ask(system="Speak as a king.").content[0].text == ask(system=blocks).content[0].text
    assert client.messages.count_tokens(model=NANO, system=blocks, messages=[{"role": "user", "content": "Hi"}]) == text


def test_content_as_text_and_as_blocks_say_the_same(ask):
    blocks = [{"type": "text", "text": "Who is there?"}]
    assert ask(blocks).content[0].text == ask("Who is there?").content[0].text


def test_several_turns(ask):
    turns = [
        {"role": "user", "content": "Hi."},
        {"role": "assistant", "content": [{"type": "text", "text": "Good morrow."}]},
        {"role": "user", "content": "Who is there?"},
    ]
    assert ask(messages=turns).content[0].text


def test_turns_of_one_role_are_one_turn(ask):
    two = [{"role": "user", "content": "Hi."}, {"role": "user", "content": "Who is there?"}]
    assert ask(messages=two).content[0].text == ask("Hi.\nWho is there?").content[0].text


def test_sampling_options_are_taken(ask):
    message = ask(temperature=0.9, top_p=0.8, top_k=20, metadata={"user_id": "somebody"}, service_tier="auto")
    assert message.content[0].text


def test_top_k_of_one_is_greedy(ask):
    assert ask(temperature=1, top_k=1).content[0].text == ask(temperature=0).content[0].text


def test_count_tokens_is_what_the_message_costs(ask, client):
    counted = client.messages.count_tokens(model=NANO, messages=[{"role": "user", "content": "Who is there?"}])
    usage = ask().usage
    assert counted.input_tokens == usage.input_tokens + usage.cache_read_input_tokens


def test_count_tokens_counts_tools_and_system(client):
    turns = [{"role": "user", "content": "Who is there?"}]
    plain = client.messages.count_tokens(model=NANO, messages=turns).input_tokens
    tool = {"name": "f", "input_schema": {"type": "object", "properties": {}}}
    more = client.messages.count_tokens(model=NANO, messages=turns, system="Be kind.", tools=[tool]).input_tokens
    assert more > plain + 10


def test_the_request_id_is_in_the_header(client):
    raw = client.messages.with_raw_response.create(
        model=NANO, max_tokens=2, messages=[{"role": "user", "content": "Hi"}]
    )
    assert raw.headers["request-id"] == raw.headers["x-request-id"]
    assert raw.parse()._request_id == raw.headers["request-id"]


def test_a_bearer_token_is_as_good_as_a_key():
    with anthropic.Anthropic(base_url=URL, api_key=None, auth_token=KEY, max_retries=0) as client:
        message = client.messages.create(model=NANO, max_tokens=2, messages=[{"role": "user", "content": "Hi"}])
    assert message.usage.output_tokens == 2 or message.stop_reason == "end_turn"


def test_async():
    import asyncio

    async def run():
        async with anthropic.AsyncAnthropic(base_url=URL, api_key=KEY, max_retries=0) as client:
            return await client.messages.create(model=NANO, max_tokens=4, messages=[{"role": "user", "content": "Hi"}])

    assert asyncio.run(run()).usage.output_tokens > 0


def test_thinking_of_a_model_that_cannot_is_refused(ask):
    with pytest.raises(anthropic.BadRequestError, match="does not support"):
        ask(max_tokens=2000, temperature=1, thinking={"type": "enabled", "budget_tokens": 1024})


def test_thinking_disabled_or_left_to_the_model_is_fine(ask):
    assert ask(thinking={"type": "disabled"}).content
    assert ask(thinking={"type": "adaptive"}).content


def test_a_schema_shapes_the_text(ask):
    import json

    schema = {
        "type": "object",
        "properties": {"mood": {"type": "string", "enum": ["glad", "sad"]}},
        "required": ["mood"],
        "additionalProperties": False,
    }
    message = ask("How?", max_tokens=200, output_config={"format": {"type": "json_schema", "schema": schema}})
    assert json.loads(message.content[0].text)["mood"] in ("glad", "sad")


def test_a_client_that_gives_up_ends_the_work(client):
    with pytest.raises(anthropic.APITimeoutError):
        client.messages.create(
            model=NANO,
            max_tokens=900,
            messages=[{"role": "user", "content": "Speak long."}],
            timeout=httpx2.Timeout(0.001),
        )
    assert client.models.list().data
