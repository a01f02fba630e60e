"""Output whose shape is promised: JSON, schemas, regular expressions."""

import json
import re
from typing import Literal

import openai
import pydantic
import pytest
from conftest import NANO

SCHEMA = {
    "type": "object",
    "properties": {"mood": {"type": "string", "enum": ["glad", "sad"]}, "level": {"type": "integer", "enum": [1, 2, 3]}},
    "required": ["mood", "level"],
    "additionalProperties": False,
}


def content(ask, **options):
    return ask("How are you?", max_tokens=300, temperature=1, seed=3, **options).choices[0].message.content


def check(text):
    value = json.loads(text)
    assert set(value) == {"mood", "level"} and value["mood"] in ("glad", "sad") and value["level"] in (1, 2, 3)


def test_json_schema(ask):
    wrapped = {"type": "json_schema", "json_schema": {"name": "state", "schema": SCHEMA, "strict": True}}
    check(content(ask, response_format=wrapped))


def test_json_schema_in_llama_cpps_dialect(ask):
    check(content(ask, response_format={"type": "json_schema", "schema": SCHEMA}))


def test_json_schema_streamed(ask):
    wrapped = {"type": "json_schema", "json_schema": {"name": "state", "schema": SCHEMA, "strict": True}}
    chunks = ask("How?", max_tokens=300, temperature=1, seed=3, stream=True, response_format=wrapped)
    check("".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices))


def test_json_object(ask):
    reply = ask(max_tokens=200, temperature=1, seed=3, response_format={"type": "json_object"})
    text = reply.choices[0].message.content
    # A toy may write an object too long for the limit; cut short, it must still begin as one.
    assert text.lstrip().startswith("{")
    if reply.choices[0].finish_reason == "stop":
        assert isinstance(json.loads(text), dict)


def test_the_parse_helper_with_pydantic(client):
    class State(pydantic.BaseModel):
        mood: Literal["glad", "sad"]
        level: Literal[1, 2, 3]

    turns = [{"role": "user", "content": "How are you?"}]
    reply = client.chat.completions.parse(
        model=NANO, messages=turns, response_format=State, max_tokens=300, temperature=1, seed=4
    )
    assert isinstance(reply.choices[0].message.parsed, State)


def test_guided_json(ask):
    check(content(ask, extra_body={"guided_json": SCHEMA}))


def test_guided_regex(ask):
    assert re.fullmatch(r"[0-9]{3}-[a-c]{2}", content(ask, extra_body={"guided_regex": "[0-9]{3}-[a-c]{2}"}))


def test_guided_choice(ask):
    assert content(ask, extra_body={"guided_choice": ["yes", "no (really)"]}) in ("yes", "no (really)")


def test_structured_outputs(ask):
    check(content(ask, extra_body={"structured_outputs": {"json": SCHEMA}}))


def test_guided_grammar(ask):
    assert content(ask, extra_body={"guided_grammar": 'start: "left" | "right"'}) in ("left", "right")


def test_an_unknown_format_is_refused(ask):
    with pytest.raises(openai.BadRequestError) as caught:
        ask(response_format={"type": "xml"})
    assert caught.value.param == "response_format.type"


def test_a_schema_that_cannot_be_compiled_is_the_callers_error(ask):
    wrapped = {"type": "json_schema", "json_schema": {"name": "bad", "schema": {"type": "no-such-type"}}}
    with pytest.raises(openai.BadRequestError):
        ask(response_format=wrapped)
