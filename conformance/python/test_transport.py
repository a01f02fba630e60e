"""What lies around the answers: headers, clients that wait, clients that leave."""

import asyncio
import time

from conftest import NANO

LONG = {
    "model": NANO,
    "messages": [{"role": "user", "content": "Tell me everything."}],
    "max_tokens": 100_000,
    "extra_body": {"ignore_eos": True},
}
TURNS = [{"role": "user", "content": "Hello"}]


def in_flight(http):
    return sum(runner["in_flight"] for runner in http("GET", "/fornax/v1/runners").json()["runners"])


def wait_until_free(http, seconds=5.0):
    end = time.monotonic() + seconds
    while in_flight(http):
        assert time.monotonic() < end, "the slot was not freed"
        time.sleep(0.02)


def test_headers_of_an_answer(client):
    raw = client.chat.completions.with_raw_response.create(model=NANO, messages=TURNS, max_tokens=2)
    assert raw.request_id and raw.headers["x-request-id"] == raw.request_id
    assert raw.headers["content-type"] == "application/json"
    assert raw.headers["traceparent"].startswith("00-")
    assert raw.parse().choices


def test_a_request_id_and_a_trace_are_kept(http):
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    headers = {"x-request-id": "case-7", "traceparent": f"00-{trace}-00f067aa0ba902b7-01"}
    reply = http("GET", "/v1/models", headers=headers)
    assert reply.headers["x-request-id"] == "case-7"
    assert reply.headers["traceparent"].split("-")[1] == trace


def test_async_client(async_client):
    async def run():
        async with async_client as client:
            reply = await client.chat.completions.create(model=NANO, messages=TURNS, max_tokens=4)
            return reply.choices[0].message.content

    assert isinstance(asyncio.run(run()), str)


def test_async_stream(async_client):
    async def run():
        async with async_client as client:
            stream = await client.chat.completions.create(model=NANO, messages=TURNS, max_tokens=4, stream=True)
            return [chunk async for chunk in stream]

    assert asyncio.run(run())[-1].choices[0].finish_reason


def test_many_clients_at_once(async_client):
    async def run():
        async with async_client as client:
            asks = [
                client.chat.completions.create(model=NANO, messages=TURNS, max_tokens=8, temperature=0) for _ in range(8)
            ]
            return await asyncio.gather(*asks)

    assert all(reply.choices[0].finish_reason for reply in asyncio.run(run()))


def test_closing_a_stream_frees_the_slot(client, http):
    body = {**LONG, "max_tokens": 150}
    stream = client.chat.completions.create(stream=True, **body)
    next(iter(stream))
    stream.close()
    wait_until_free(http)


def test_leaving_before_the_answer_frees_the_slot(async_client, http):
    async def run():
        async with async_client as client:
            task = asyncio.create_task(client.chat.completions.create(**{**LONG, "max_tokens": 150}))
            await asyncio.sleep(0.1)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    asyncio.run(run())
    wait_until_free(http)


def test_health_needs_no_key_and_metrics_do(http):
    for path in ("/livez", "/healthz", "/readyz"):
        assert http("GET", path, key=None).status == 200
    assert http("GET", "/metrics", key=None).status == 401
    text = http("GET", "/metrics").body.decode()
    assert 'fornax_http_requests_total{' in text


def test_the_shipped_model_is_loaded_and_unloaded_on_request(http):
    loaded = http("POST", "/fornax/v1/models/load", {"name": NANO, "keep_alive": "10m"})
    assert loaded.status == 200 and loaded.json()["state"] == "ready" and loaded.json()["pid"]
    assert NANO in {runner["name"] for runner in http("GET", "/fornax/v1/runners").json()["runners"]}
    assert http("POST", "/fornax/v1/models/unload", {"name": NANO}).json() == {"unloaded": True}
    assert http("POST", "/fornax/v1/models/unload", {"name": NANO}).json() == {"unloaded": False}
