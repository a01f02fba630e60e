"""Raw completions, as evaluation harnesses use them."""

import openai
import pytest
from conftest import NANO


@pytest.fixture
def complete(client):
    def run(prompt="To be, or not", **options):
        return client.completions.create(**{"model": NANO, "prompt": prompt, "max_tokens": 8, "temperature": 0, **options})

    return run


def test_shape(complete):
    reply = complete()
    assert reply.object == "text_completion" and reply.id.startswith("cmpl-")
    assert reply.choices[0].text and reply.choices[0].logprobs is None
    assert reply.usage.total_tokens == reply.usage.prompt_tokens + reply.usage.completion_tokens


def test_16_tokens_when_nothing_is_said(client):
    reply = client.completions.create(model=NANO, prompt="Once", extra_body={"ignore_eos": True})
    assert reply.usage.completion_tokens == 16 and reply.choices[0].finish_reason == "length"


def test_a_list_of_texts(complete):
    one, two = complete("To be"), complete("The king")
    both = complete(["To be", "The king"])
    assert [choice.index for choice in both.choices] == [0, 1]
    assert both.usage.prompt_tokens == one.usage.prompt_tokens + two.usage.prompt_tokens
    assert len(both.choices[0].text) > 0 and len(both.choices[1].text) > 0


def test_token_ids(complete):
    reply = complete([5, 6, 7])
    assert reply.usage.prompt_tokens == 3


def test_lists_of_token_ids(complete):
    reply = complete([[5, 6, 7], [8, 9]])
    assert len(reply.choices) == 2 and reply.usage.prompt_tokens == 5


def test_n_of_each_prompt(complete):
    reply = complete(["To be", "The king"], n=2, temperature=1, seed=2)
    assert [choice.index for choice in reply.choices] == [0, 1, 2, 3]


def test_echo(complete):
    plain = complete("To be, or not")
    assert complete("To be, or not", echo=True).choices[0].text == "To be, or not" + plain.choices[0].text


def test_log_likelihood_of_a_prompt(complete):
    """What lm-eval asks: echo, one alternative, no new tokens."""
    reply = complete([5, 6, 7, 8], echo=True, logprobs=1, max_tokens=0)
    lists = reply.choices[0].logprobs
    assert reply.usage.completion_tokens == 0
    assert len(lists.tokens) == len(lists.token_logprobs) == len(lists.text_offset) == len(lists.top_logprobs) == 4
    assert lists.token_logprobs[0] is None
    assert all(logprob <= 0 for logprob in lists.token_logprobs[1:])
    assert lists.text_offset[0] == 0 and lists.text_offset == sorted(lists.text_offset)


def test_log_likelihood_with_one_new_token(complete):
    reply = complete([5, 6, 7, 8], echo=True, logprobs=1, max_tokens=1, extra_body={"ignore_eos": True})
    assert len(reply.choices[0].logprobs.tokens) == 5


def test_logprobs_of_the_output(complete):
    lists = complete(logprobs=3, max_tokens=4, extra_body={"ignore_eos": True}).choices[0].logprobs
    assert len(lists.tokens) == 4
    for token, logprob, alternatives in zip(lists.tokens, lists.token_logprobs, lists.top_logprobs):
        assert alternatives[token] == pytest.approx(logprob, abs=1e-4)


def test_stop(complete):
    text = complete(max_tokens=24, extra_body={"ignore_eos": True}).choices[0].text
    stop = text[len(text) // 2 : len(text) // 2 + 3]
    reply = complete(max_tokens=24, stop=[stop], extra_body={"ignore_eos": True})
    assert reply.choices[0].text == text[: text.index(stop)] and reply.choices[0].finish_reason == "stop"


@pytest.mark.parametrize(
    ("options", "param"),
    [
        ({"suffix": "end"}, "suffix"),
        ({"best_of": 3}, "best_of"),
        ({"prompt": []}, "prompt"),
        ({"prompt": [1, -1]}, "prompt[1]"),
        ({"logprobs": 99}, "logprobs"),
    ],
)
def test_what_is_refused_names_its_field(complete, options, param):
    with pytest.raises(openai.BadRequestError) as caught:
        complete(**options)
    assert caught.value.param == param


def test_a_token_outside_the_vocabulary_is_the_callers_error(complete):
    with pytest.raises(openai.BadRequestError):
        complete([4_000_000_000])
