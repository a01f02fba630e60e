"""Chat and generate: whole and in lines, what is measured, what options do, tools and shapes."""

import asyncio
import json

import ollama
import pytest
from conftest import GREEDY, KEY, NANO, URL

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city.",
        "parameters": {
            "type": "object",
            "properties": {"unit": {"type": "string", "enum": ["C", "F"]}},
            "required": ["unit"],
            "additionalProperties": False,
        },
    },
}
MOOD = {
    "type": "object",
    "properties": {"mood": {"type": "string", "enum": ["glad", "sad"]}, "level": {"type": "integer", "enum": [1, 2]}},
    "required": ["mood", "level"],
    "additionalProperties": False,
}


def test_chat_whole(ask):
    reply = ask()
    assert reply.model == NANO and reply.done and reply.done_reason in ("stop", "length")
    assert reply.message.role == "assistant" and reply.message.content
    assert reply.created_at.endswith("Z")


def test_what_is_measured_is_true(ask):
    reply = ask("A question nobody asked: how deep is the well?", options={"temperature": 1, "num_predict": 9})
    assert reply.eval_count <= 9 and reply.prompt_eval_count > 5
    parts = reply.load_duration + reply.prompt_eval_duration + reply.eval_duration
    assert 0 < reply.eval_duration < reply.total_duration
    assert 0 < reply.prompt_eval_duration < reply.total_duration
    assert parts <= reply.total_duration


def test_chat_streamed_is_the_same_text(ask):
    parts = list(ask(stream=True))
    assert "".join(part.message.content for part in parts) == ask().message.content
    assert [part.done for part in parts] == [False] * (len(parts) - 1) + [True]
    assert parts[-1].eval_count > 0 and parts[0].eval_count is None


def test_streaming_is_the_default_and_one_json_object_per_line(http):
    body = {"model": NANO, "messages": [{"role": "user", "content": "Hi"}], "options": GREEDY}
    reply = http("POST", "/api/chat", body)
    assert reply.headers["content-type"] == "application/x-ndjson"
    lines = reply.lines()
    assert lines[-1]["done"] is True and all(line["model"] == NANO for line in lines)


def test_num_predict_ends_an_answer(ask):
    reply = ask(options={"num_predict": 3})
    assert reply.done_reason == "length" and reply.eval_count == 3


def test_stop_ends_an_answer_and_is_not_part_of_it(ask):
    full = ask(options={"num_predict": 40}).message.content
    stop = full[6:9]
    reply = ask(options={"num_predict": 40, "stop": [stop]})
    assert reply.message.content == full[: full.index(stop)] and reply.done_reason == "stop"


def test_a_seed_repeats_an_answer(ask):
    options = {"temperature": 1, "seed": 7}
    assert ask(options=options).message.content == ask(options=options).message.content


def test_sampling_options_are_taken(ask):
    options = dict(top_k=20, top_p=0.9, min_p=0.05, typical_p=0.9, repeat_last_n=-1, repeat_penalty=1.1)
    reply = ask(options={"temperature": 0.8, "presence_penalty": 0.5, "frequency_penalty": 0.5, **options})
    assert reply.message.content


def test_settings_of_the_machine_and_unknown_names_are_read_over(ask):
    options = dict(num_gpu=0, num_thread=1, num_batch=64, num_ctx=512, use_mmap=True, mirostat=0, nobody_knows=3)
    assert ask(options=options).message.content == ask().message.content


def test_several_turns_with_a_system(ask):
    turns = [
        {"role": "system", "content": "Speak as a king."},
        {"role": "user", "content": "Hi."},
        {"role": "assistant", "content": "Good morrow."},
        {"role": "user", "content": "Who is there?"},
    ]
    assert ask(messages=turns).message.content


def test_a_schema_shapes_the_text(ask):
    reply = ask("How?", format=MOOD, options={"num_predict": 200, "temperature": 1, "seed": 3})
    value = json.loads(reply.message.content)
    assert value["mood"] in ("glad", "sad") and value["level"] in (1, 2)


def test_json_is_an_object(ask):
    reply = ask(format="json", options={"num_predict": 200, "temperature": 1, "seed": 3})
    assert reply.message.content.lstrip().startswith("{")
    if reply.done_reason == "stop":
        assert isinstance(json.loads(reply.message.content), dict)


def test_tools_are_offered(ask):
    reply = ask("Weather?", tools=[WEATHER], options={"num_predict": 60})
    for call in reply.message.tool_calls or []:
        assert call.function.name == "get_weather" and call.function.arguments["unit"] in ("C", "F")


def test_a_call_and_its_result_go_back(ask):
    turns = [
        {"role": "user", "content": "Weather?"},
        {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "get_weather", "arguments": {"unit": "C"}}}]},
        {"role": "tool", "content": "rain", "tool_name": "get_weather"},
    ]
    assert ask(messages=turns, tools=[WEATHER]).done


def test_a_python_function_is_a_tool(ask):
    def add(a: int, b: int) -> int:
        """Add two numbers.

        Args:
          a: The first.
          b: The second.
        """
        return a + b

    assert ask("Add.", tools=[add]).done


def test_log_probabilities(ask):
    reply = ask(logprobs=True, top_logprobs=2, options={"num_predict": 4})
    assert reply.logprobs and all(entry.logprob <= 0 and len(entry.top_logprobs) == 2 for entry in reply.logprobs)
    assert "".join(entry.token for entry in reply.logprobs).strip().startswith(reply.message.content.strip()[:3])


def test_thinking_of_a_model_that_cannot_is_refused(ask):
    with pytest.raises(ollama.ResponseError, match="does not support thinking") as caught:
        ask(think=True)
    assert caught.value.status_code == 400


def test_thinking_switched_off_is_fine(ask):
    assert ask(think=False).message.thinking is None


def test_generate_whole_and_streamed(client):
    whole = client.generate(model=NANO, prompt="Who is there?", options=GREEDY)
    assert whole.done and whole.response and whole.eval_count > 0
    parts = list(client.generate(model=NANO, prompt="Who is there?", options=GREEDY, stream=True))
    assert "".join(part.response for part in parts) == whole.response and parts[-1].done


def test_generate_is_a_chat_of_one_turn(client, ask):
    assert client.generate(model=NANO, prompt="Who is there?", options=GREEDY).response == ask().message.content


def test_generate_with_a_system(client, ask):
    turns = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Who is there?"}]
    reply = client.generate(model=NANO, prompt="Who is there?", system="Be kind.", options=GREEDY)
    assert reply.response == ask(messages=turns).message.content


def test_raw_is_the_prompt_alone(client, http):
    reply = client.generate(model=NANO, prompt="First Citizen:", raw=True, options=GREEDY)
    body = {"model": NANO, "prompt": "First Citizen:", "temperature": 0, "max_tokens": 12}
    assert reply.response == http("POST", "/v1/completions", body).json()["choices"][0]["text"]
    assert reply.context is None


def test_context_continues_a_conversation(client):
    first = client.generate(model=NANO, prompt="Who is there?", options=GREEDY)
    assert len(first.context) > first.prompt_eval_count
    second = client.generate(model=NANO, prompt="And then?", context=first.context, options=GREEDY)
    assert second.prompt_eval_count > len(first.context)
    assert second.context[: len(first.context)] == first.context


def test_an_empty_prompt_loads_and_a_keep_alive_of_zero_unloads(client):
    loaded = client.generate(model=NANO, prompt="", keep_alive="5m")
    assert loaded.done_reason == "load" and loaded.response == ""
    assert NANO in [model.model for model in client.ps().models]
    unloaded = client.generate(model=NANO, keep_alive=0)
    assert unloaded.done_reason == "unload"
    assert NANO not in [model.model for model in client.ps().models]


def test_a_chat_without_messages_loads(client):
    assert client.chat(model=NANO, messages=[]).done_reason == "load"


@pytest.mark.parametrize("keep_alive", [300, "10m", "-1m", -1])
def test_keep_alive_in_its_spellings(client, keep_alive):
    client.generate(model=NANO, prompt="Hi", keep_alive=keep_alive, options={"num_predict": 1})
    [model] = [model for model in client.ps().models if model.model == NANO]
    assert (model.expires_at.year > 2200) == (keep_alive in (-1, "-1m"))
    client.generate(model=NANO, keep_alive="5m")


def test_async():
    async def run():
        client = ollama.AsyncClient(host=URL, headers={"authorization": f"Bearer {KEY}"})
        turns = [{"role": "user", "content": "Hi"}]
        parts = [part async for part in await client.chat(model=NANO, messages=turns, options=GREEDY, stream=True)]
        return parts[-1].done

    assert asyncio.run(run())


def test_a_stream_that_is_left_early_leaves_the_server_well(ask):
    stream = ask(stream=True, options={"num_predict": 900})
    next(iter(stream))
    stream.close()
    assert ask().message.content
