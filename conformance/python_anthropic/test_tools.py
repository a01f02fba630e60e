"""Tools: who chooses, whose shape is kept, and how results come back."""

from conftest import CLOCK, WEATHER


def call(ask, **options):
    return ask("Weather?", tools=[WEATHER, CLOCK], max_tokens=300, **options)


def calls(message):
    return [block for block in message.content if block.type == "tool_use"]


def test_a_named_tool_is_called_with_a_valid_input(ask):
    message = call(ask, tool_choice={"type": "tool", "name": "get_weather"})
    [made] = calls(message)
    assert made.name == "get_weather" and made.id
    assert set(made.input) == {"unit", "days"} and made.input["unit"] in ("C", "F") and made.input["days"] in (1, 2)
    assert message.stop_reason == "tool_use"


def test_any_calls_some_tool(ask):
    message = call(ask, tool_choice={"type": "any", "disable_parallel_tool_use": True})
    [made] = calls(message)
    assert made.name in ("get_weather", "get_time")


def test_none_calls_no_tool(ask):
    message = ask("Weather?", tools=[WEATHER], tool_choice={"type": "none"}, max_tokens=20)
    assert not calls(message) and message.stop_reason in ("end_turn", "max_tokens")


def test_auto_is_taken(ask):
    message = call(ask, tool_choice={"type": "auto"})
    assert message.stop_reason in ("end_turn", "max_tokens", "tool_use")


def test_a_result_goes_back_and_is_answered(ask):
    message = call(ask, tool_choice={"type": "tool", "name": "get_weather"})
    [made] = calls(message)
    turns = [
        {"role": "user", "content": "Weather?"},
        {"role": "assistant", "content": message.content},
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": made.id, "content": [{"type": "text", "text": "rain"}]},
                {"type": "text", "text": "And now?"},
            ],
        },
    ]
    reply = ask(messages=turns, tools=[WEATHER], tool_choice={"type": "none"})
    assert reply.content[0].text


def test_a_failed_result_goes_back_too(ask, client):
    def turns(failed):
        return [
            {"role": "user", "content": "Weather?"},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "get_weather", "input": {}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "no", "is_error": failed}]},
        ]

    counted = [
        client.messages.count_tokens(model="fornax-nano", messages=turns(failed), tools=[WEATHER]).input_tokens
        for failed in (False, True)
    ]
    assert counted[1] > counted[0], "the model must see that the call failed"
    assert ask(messages=turns(True), tools=[WEATHER], tool_choice={"type": "none"}).content
