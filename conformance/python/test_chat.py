"""Chat completions that are not streamed."""

import pytest
from conftest import NANO


def test_shape_of_a_completion(ask):
    reply = ask()
    assert reply.object == "chat.completion" and reply.id.startswith("chatcmpl-")
    assert reply.model == NANO and reply.created > 1_600_000_000 and reply.system_fingerprint
    [choice] = reply.choices
    assert choice.index == 0 and choice.message.role == "assistant"
    assert isinstance(choice.message.content, str) and choice.message.refusal is None


def test_usage_adds_up(ask):
    usage = ask(max_tokens=5, extra_body={"ignore_eos": True}).usage
    assert usage.completion_tokens == 5
    assert usage.prompt_tokens > 0
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
    assert 0 <= usage.prompt_tokens_details.cached_tokens <= usage.prompt_tokens


def test_a_repeated_prompt_is_served_from_the_prefix_cache(ask):
    text = "Speak, friend, and tell me of the long road that you have walked from the sea to the hills."
    ask(text)
    assert ask(text).usage.prompt_tokens_details.cached_tokens > 0


def test_max_tokens_ends_with_length(ask):
    reply = ask(max_tokens=3, extra_body={"ignore_eos": True})
    assert reply.choices[0].finish_reason == "length"


def test_max_completion_tokens_wins_over_max_tokens(client):
    reply = client.chat.completions.create(
        model=NANO,
        messages=[{"role": "user", "content": "Go on"}],
        max_tokens=9,
        max_completion_tokens=4,
        extra_body={"ignore_eos": True},
    )
    assert reply.usage.completion_tokens == 4


def test_n_gives_so_many_choices(ask):
    reply = ask(n=3, temperature=1, seed=1)
    assert [choice.index for choice in reply.choices] == [0, 1, 2]
    assert len({choice.message.content for choice in reply.choices}) > 1


def test_a_seed_repeats_itself(ask):
    first, again = (ask(temperature=1, seed=7, max_tokens=24).choices[0].message.content for _ in range(2))
    other = ask(temperature=1, seed=8, max_tokens=24).choices[0].message.content
    assert first == again
    assert first != other


def test_temperature_0_repeats_itself(ask):
    assert ask(max_tokens=24).choices[0].message.content == ask(max_tokens=24).choices[0].message.content


@pytest.mark.parametrize("form", ["string", "list"])
def test_a_stop_string_ends_the_text_and_is_not_part_of_it(ask, form):
    text = ask(max_tokens=32, extra_body={"ignore_eos": True}).choices[0].message.content
    stop = text[len(text) // 2 : len(text) // 2 + 3]
    reply = ask(max_tokens=32, stop=stop if form == "string" else ["\u0001never", stop], extra_body={"ignore_eos": True})
    assert reply.choices[0].message.content == text[: text.index(stop)]
    assert reply.choices[0].finish_reason == "stop"


def test_system_and_developer_messages(ask):
    for role in ("system", "developer"):
        turns = [{"role": role, "content": "Be brief."}, {"role": "user", "content": "Hello"}]
        assert ask(messages=turns).usage.prompt_tokens > ask("Hello").usage.prompt_tokens


def test_many_turns(ask):
    turns = [
        {"role": "user", "content": "My name is Ann."},
        {"role": "assistant", "content": "Good day, Ann."},
        {"role": "user", "content": "What is my name?", "name": "ann"},
    ]
    assert ask(messages=turns).choices[0].message.content is not None


def test_text_parts_read_as_text(ask):
    parts = [{"type": "text", "text": "Hello"}]
    as_parts = ask(messages=[{"role": "user", "content": parts}])
    assert as_parts.choices[0].message.content == ask("Hello").choices[0].message.content


def test_logprobs(ask):
    reply = ask(logprobs=True, top_logprobs=3, max_tokens=4, extra_body={"ignore_eos": True})
    tokens = reply.choices[0].logprobs.content
    assert len(tokens) == reply.usage.completion_tokens == 4
    assert b"".join(bytes(token.bytes) for token in tokens).decode(errors="replace") == reply.choices[0].message.content
    for token in tokens:
        assert token.logprob <= 0 and len(token.top_logprobs) == 3
        best = [other.logprob for other in token.top_logprobs]
        assert best == sorted(best, reverse=True)
        # Greedy: what was chosen is the best.
        assert token.logprob == pytest.approx(best[0], abs=1e-4)


def test_no_logprobs_unless_asked(ask):
    assert ask().choices[0].logprobs is None


def test_logit_bias_forbids_a_token(ask, client):
    def first_token(**options):
        reply = client.completions.create(model=NANO, prompt="The king", max_tokens=1, temperature=0, **options)
        return reply.choices[0].text

    normal = first_token()
    # Find the token's id by forbidding ids until the text changes: the shipped vocabulary is small.
    vocabulary = range(0, 2048)
    chunks = [vocabulary[start : start + 512] for start in range(0, len(vocabulary), 512)]
    changed = [first_token(logit_bias={str(token): -100 for token in chunk}) != normal for chunk in chunks]
    assert any(changed)


def test_penalties_are_taken(ask):
    reply = ask(presence_penalty=1.5, frequency_penalty=1.5, max_tokens=24, extra_body={"repetition_penalty": 1.3})
    assert reply.choices[0].message.content is not None


def test_sampling_options_of_other_servers(ask):
    extra = {"top_k": 1, "min_p": 0.1, "min_tokens": 2, "cache_salt": "a", "priority": 1, "keep_alive": "5m"}
    # The best token only, whatever the temperature: the same as greedy.
    reply = ask(temperature=2, extra_body=extra)
    assert reply.usage.completion_tokens >= 2


def test_top_k_1_is_greedy(ask):
    greedy = ask(max_tokens=10).choices[0].message.content
    assert ask(max_tokens=10, temperature=1.5, extra_body={"top_k": 1}).choices[0].message.content == greedy


def test_text_outside_ascii(ask):
    reply = ask("Grüße aus Köln — 日本語 🙂", max_tokens=16)
    reply.choices[0].message.content.encode()


def test_harmless_fields_are_ignored(ask):
    reply = ask(user="ann", metadata={"a": "b"}, store=False, service_tier="auto", reasoning_effort="low")
    assert reply.service_tier == "default"


def test_num_ctx_is_honoured_or_refused(ask, http):
    assert ask(extra_body={"options": {"num_ctx": 16}}).choices
    body = {"model": NANO, "messages": [{"role": "user", "content": "x"}], "options": {"num_ctx": 10_000_000}}
    reply = http("POST", "/v1/chat/completions", body)
    assert reply.status == 400 and reply.json()["error"]["param"] == "options.num_ctx"
