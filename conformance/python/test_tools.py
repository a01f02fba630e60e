"""Tools: whose call is forced, whose shape is constrained, and how a stream of arguments adds up."""

import json

import openai
import pytest
from conftest import NANO

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city.",
        "parameters": {
            "type": "object",
            "properties": {"unit": {"type": "string", "enum": ["C", "F"]}, "days": {"type": "integer", "enum": [1, 2]}},
            "required": ["unit", "days"],
            "additionalProperties": False,
        },
        "strict": True,
    },
}
CLOCK = {
    "type": "function",
    "function": {
        "name": "get_time",
        "parameters": {
            "type": "object",
            "properties": {"zone": {"type": "string", "enum": ["UTC", "CET"]}},
            "required": ["zone"],
            "additionalProperties": False,
        },
        "strict": True,
    },
}
NAMED = {"type": "function", "function": {"name": "get_weather"}}


def call(ask, **options):
    return ask("Weather?", tools=[WEATHER, CLOCK], max_tokens=300, temperature=1, seed=5, **options)


def check_weather(arguments: str):
    values = json.loads(arguments)
    assert set(values) == {"unit", "days"} and values["unit"] in ("C", "F") and values["days"] in (1, 2)


def test_a_named_tool_is_called_with_valid_arguments(ask):
    message = call(ask, tool_choice=NAMED).choices[0].message
    [made] = message.tool_calls
    assert made.type == "function" and made.id and made.function.name == "get_weather"
    check_weather(made.function.arguments)


def test_required_calls_some_tool(ask):
    reply = call(ask, tool_choice="required", parallel_tool_calls=False)
    [made] = reply.choices[0].message.tool_calls
    assert made.function.name in ("get_weather", "get_time")
    json.loads(made.function.arguments)
    assert reply.choices[0].finish_reason == "tool_calls"


def test_allowed_tools_limit_the_choice(ask):
    choice = {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [CLOCK_NAME]}}
    [made, *_] = call(ask, tool_choice=choice).choices[0].message.tool_calls
    assert made.function.name == "get_time" and json.loads(made.function.arguments)["zone"] in ("UTC", "CET")


CLOCK_NAME = {"type": "function", "function": {"name": "get_time"}}


def test_none_calls_nothing(ask):
    message = call(ask, tool_choice="none").choices[0].message
    assert not message.tool_calls and message.content is not None


def test_auto_may_answer_in_text(ask):
    reply = call(ask, tool_choice="auto")
    message = reply.choices[0].message
    assert message.content is not None or message.tool_calls


def test_streamed_arguments_concatenate_to_the_whole_call(ask):
    # Asked once before, so that both read the prompt from the same cache and sample from the same numbers.
    call(ask, tool_choice=NAMED)
    whole = call(ask, tool_choice=NAMED).choices[0].message.tool_calls[0]
    names, identifiers, arguments = [], [], ""
    for chunk in call(ask, tool_choice=NAMED, stream=True):
        for choice in chunk.choices:
            for part in choice.delta.tool_calls or []:
                assert part.index == 0
                names += [part.function.name] if part.function.name else []
                identifiers += [part.id] if part.id else []
                arguments += part.function.arguments or ""
    assert names == ["get_weather"] and len(identifiers) == 1
    assert arguments == whole.function.arguments


def test_a_tools_result_goes_back(ask):
    made = {"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": "{}"}}
    turns = [
        {"role": "user", "content": "Weather?"},
        {"role": "assistant", "content": None, "tool_calls": [made]},
        {"role": "tool", "tool_call_id": "call_1", "content": "sunny"},
    ]
    assert ask(messages=turns, tools=[WEATHER]).choices[0].message.content is not None


def test_a_choice_without_tools_is_refused(ask):
    with pytest.raises(openai.BadRequestError) as caught:
        ask(tool_choice="required")
    assert caught.value.param == "tool_choice"


def test_a_choice_of_an_unknown_tool_is_refused(ask):
    with pytest.raises(openai.BadRequestError) as caught:
        ask(tools=[CLOCK], tool_choice=NAMED)
    assert caught.value.param == "tool_choice.function.name"


def test_the_old_functions_are_refused_by_name(http):
    body = {"model": NANO, "messages": [{"role": "user", "content": "x"}], "functions": [{"name": "f"}]}
    error = http("POST", "/v1/chat/completions", body).json()["error"]
    assert error["param"] == "functions" and "tools" in error["message"]
