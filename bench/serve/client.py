"""A load generator that costs little: raw HTTP/1.1 over asyncio streams, one connection a client, no JSON parsing
while a stream runs. It is the same for both servers."""
import asyncio
import json
import time
from dataclasses import dataclass, field


@dataclass
class Answer:
    started: float
    first: float = 0.0
    last: float = 0.0
    marks: list = field(default_factory=list)
    text: str = ""
    prompt_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0

    @property
    def ttft(self):
        return self.first - self.started

    @property
    def gaps(self):
        return [b - a for a, b in zip(self.marks, self.marks[1:])]


async def complete(port, key, model, prompt, tokens_max):
    """One streamed /v1/completions with a prompt of token ids, greedy, never ending early."""
    body = json.dumps({
        "model": model, "prompt": prompt, "max_tokens": tokens_max, "temperature": 0, "ignore_eos": True,
        "stream": True, "stream_options": {"include_usage": True}, "cache_prompt": True,
    }).encode()
    head = (f"POST /v1/completions HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {key}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n").encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 20)
    answer = Answer(time.perf_counter())
    writer.write(head + body)
    await writer.drain()
    status = (await reader.readline()).decode()
    lines = []
    while True:
        line = await reader.readline()
        if not line:
            break
        now = time.perf_counter()
        if not line.startswith(b"data: {"):
            continue
        lines.append(line)
        if b'"text":""' not in line and b'"text": ""' not in line and b'"choices":[]' not in line:
            if not answer.first:
                answer.first = now
            answer.marks.append(now)
        answer.last = now
    writer.close()
    if " 200 " not in status:
        raise RuntimeError(f"server answered {status.strip()}")
    for line in lines:
        event = json.loads(line[6:])
        if "error" in event:
            raise RuntimeError(f"server answered {event['error']}")
        answer.text += "".join(choice.get("text") or "" for choice in event.get("choices", []))
        if event.get("usage"):
            usage = event["usage"]
            answer.prompt_tokens = usage["prompt_tokens"]
            answer.output_tokens = usage["completion_tokens"]
            answer.cached_tokens = (usage.get("prompt_tokens_details") or {}).get("cached_tokens", 0)
    if not answer.first:
        answer.first = answer.last
    return answer


async def crowd(port, key, model, prompts, tokens_max, clients):
    """Every prompt once, `clients` at a time; returns the answers in prompt order and the wall time."""
    answers = [None] * len(prompts)
    todo = iter(range(len(prompts)))

    async def one():
        for index in todo:
            answers[index] = await complete(port, key, model, prompts[index], tokens_max)

    began = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(clients)))
    return answers, time.perf_counter() - began
