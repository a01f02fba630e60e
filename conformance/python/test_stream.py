"""Streams: chunks, their order, and that they add up to the answer that is not streamed."""

import collections

from conftest import NANO


def text_of(chunks, index=0):
    return "".join(
        choice.delta.content or "" for chunk in chunks for choice in chunk.choices if choice.index == index
    )


def test_chunks_concatenate_to_the_whole_answer(ask):
    chunks = list(ask(stream=True, max_tokens=24))
    assert text_of(chunks) == ask(max_tokens=24).choices[0].message.content


def test_every_chunk_has_the_same_head(ask):
    chunks = list(ask(stream=True))
    assert {chunk.object for chunk in chunks} == {"chat.completion.chunk"}
    assert len({(chunk.id, chunk.created, chunk.model) for chunk in chunks}) == 1


def test_the_first_delta_has_the_role_and_the_last_the_reason(ask):
    chunks = list(ask(stream=True, max_tokens=4, extra_body={"ignore_eos": True}))
    assert chunks[0].choices[0].delta.role == "assistant" and chunks[0].choices[0].delta.content == ""
    assert chunks[-1].choices[0].finish_reason == "length"
    assert chunks[-1].choices[0].delta.content is None
    assert all(chunk.choices[0].finish_reason is None for chunk in chunks[:-1])


def test_include_usage(ask):
    chunks = list(ask(stream=True, stream_options={"include_usage": True}))
    assert chunks[-1].choices == [] and chunks[-1].usage.completion_tokens > 0
    assert all(chunk.usage is None and chunk.choices for chunk in chunks[:-1])
    whole = ask().usage
    assert chunks[-1].usage.prompt_tokens == whole.prompt_tokens
    assert chunks[-1].usage.completion_tokens == whole.completion_tokens


def test_no_usage_unless_asked(ask):
    assert all(chunk.usage is None and chunk.choices for chunk in ask(stream=True))


def test_n_choices_in_one_stream(ask):
    chunks = list(ask(stream=True, n=2, temperature=1, seed=3))
    ends = collections.Counter(
        choice.index for chunk in chunks for choice in chunk.choices if choice.finish_reason
    )
    assert ends == {0: 1, 1: 1}
    assert text_of(chunks, 0) != text_of(chunks, 1)


def test_a_stop_string_never_shows_in_part(ask):
    text = ask(max_tokens=32, extra_body={"ignore_eos": True}).choices[0].message.content
    stop = text[len(text) // 3 : len(text) // 3 + 5]
    chunks = list(ask(stream=True, max_tokens=32, stop=stop, extra_body={"ignore_eos": True}))
    assert text_of(chunks) == text[: text.index(stop)]
    assert chunks[-1].choices[0].finish_reason == "stop"


def test_logprobs_stream_with_their_text(ask):
    chunks = list(ask(stream=True, logprobs=True, top_logprobs=1, max_tokens=5, extra_body={"ignore_eos": True}))
    tokens = [
        token
        for chunk in chunks
        for choice in chunk.choices
        if choice.logprobs
        for token in choice.logprobs.content
    ]
    assert len(tokens) == 5


def test_the_wire_ends_with_done(http):
    body = {"model": NANO, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 2, "stream": True}
    reply = http("POST", "/v1/chat/completions", body)
    assert reply.headers["content-type"].startswith("text/event-stream")
    assert reply.body.endswith(b"data: [DONE]\n\n")


def test_completions_stream(client):
    options = {"model": NANO, "prompt": "To be", "max_tokens": 12, "temperature": 0}
    chunks = list(client.completions.create(stream=True, stream_options={"include_usage": True}, **options))
    whole = client.completions.create(**options)
    text = "".join(choice.text for chunk in chunks for choice in chunk.choices)
    assert text == whole.choices[0].text
    assert chunks[-1].choices == [] and chunks[-1].usage.completion_tokens == whole.usage.completion_tokens
    assert chunks[-2].choices[0].finish_reason == whole.choices[0].finish_reason


def test_a_stream_helper_of_the_sdk(client):
    turns = [{"role": "user", "content": "Hello"}]
    # The helper refuses an answer that was cut short, so this one must come to its end.
    short = {"guided_choice": ["yes", "no"]}
    with client.chat.completions.stream(model=NANO, messages=turns, max_tokens=60, extra_body=short) as stream:
        kinds = {event.type for event in stream}
        final = stream.get_final_completion()
    assert "content.delta" in kinds and final.choices[0].message.content in ("yes", "no")
