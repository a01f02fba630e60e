#!/usr/bin/env python3
"""bench/serve: `fornax serve` beside `llama-server` on the same GGUF files, same threads, same client, in one run,
their order alternating. Writes bench/results/serve-<model>.json.

    bench/serve/bench.py --fornax target/release/fornax --peer bench/work/peer/bin/llama-server --model smollm2.gguf
"""
import argparse
import asyncio
import datetime
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from client import complete, crowd  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[2]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(url, process, seconds=180):
    until = time.time() + seconds
    while time.time() < until:
        if process.poll() is not None:
            raise RuntimeError(f"server ended with {process.returncode}")
        try:
            with urllib.request.urlopen(url, timeout=2) as reply:
                if reply.status == 200:
                    return
        except OSError:
            pass
        time.sleep(0.05)
    raise RuntimeError(f"{url} did not become ready")


class Peer:
    def __init__(self, arguments):
        self.port, self.key, self.model = free_port(), "none", "model"
        version = subprocess.run([arguments.peer, "--version"], capture_output=True, text=True)
        words = (version.stdout + version.stderr).split("version:")[-1].split()
        self.name = f"llama-server {words[0] if words else '?'}"
        self.command = [
            str(arguments.peer), "-m", str(arguments.model), "--host", "127.0.0.1", "--port", str(self.port),
            "-np", "16", "-c", str(arguments.cache_tokens), "-t", str(arguments.threads), "-tb", str(arguments.threads),
        ]
        self.log = tempfile.TemporaryFile()
        environment = dict(os.environ)
        if arguments.peer_wait_policy:
            environment["OMP_WAIT_POLICY"] = arguments.peer_wait_policy
        self.process = subprocess.Popen(self.command, stdout=self.log, stderr=self.log,
                                        env=environment)
        wait_for(f"http://127.0.0.1:{self.port}/health", self.process)

    def memory_mib(self):
        return resident_mib([self.process.pid])

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(30)


class Ours:
    def __init__(self, arguments):
        self.port, self.model = free_port(), "bench"
        self.data = tempfile.mkdtemp(prefix="fornax-bench-")
        version = subprocess.run([arguments.fornax, "--version"], capture_output=True, text=True).stdout.split()
        self.name = f"fornax {version[-1]}"
        common = [str(arguments.fornax), "--data-dir", self.data]
        subprocess.run(common + ["pull", str(arguments.model), "--name", self.model], check=True, capture_output=True)
        self.command = common + ["serve", "--bind", f"127.0.0.1:{self.port}"]
        environment = {
            **os.environ, "FORNAX_MODELS__THREADS": str(arguments.threads), "FORNAX_MODELS__SEQUENCES_MAX": "16",
            # Every answer is to be computed.
            "FORNAX_CACHE__MEMORY_BYTES": "0",
            "FORNAX_MODELS__CACHE_TOKENS": str(arguments.cache_tokens),
        }
        self.log = open(os.path.join(self.data, "bench.log"), "wb")
        began = time.perf_counter()
        self.process = subprocess.Popen(self.command, stdout=self.log, stderr=self.log, env=environment)
        wait_for(f"http://127.0.0.1:{self.port}/readyz", self.process)
        self.ready_seconds = time.perf_counter() - began
        time.sleep(1)
        self.idle_mib = resident_mib([self.process.pid])
        self.key = pathlib.Path(self.data, "admin.key").read_text().strip()

    def memory_mib(self):
        return resident_mib([self.process.pid, *children(self.process.pid)])

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(30)
        shutil.rmtree(self.data, ignore_errors=True)


def children(pid):
    out = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True).stdout
    return [int(word) for word in out.split()]


def resident_mib(pids):
    total = 0
    for pid in pids:
        for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS"):
                total += int(line.split()[1])
    return round(total / 1024, 1)


def median(values):
    return statistics.median(values) if values else float("nan")


def percentile(values, share):
    values = sorted(values)
    return values[min(len(values) - 1, int(share * len(values)))] if values else float("nan")


def figures(answers, wall):
    return {
        "tokens_per_second": round(sum(answer.output_tokens for answer in answers) / wall, 2),
        "ttft_p50_ms": round(1e3 * median([answer.ttft for answer in answers]), 1),
        "ttft_p95_ms": round(1e3 * percentile([answer.ttft for answer in answers], 0.95), 1),
        "inter_token_p50_ms": round(1e3 * median([gap for answer in answers for gap in answer.gaps]), 2),
        "inter_token_p95_ms": round(1e3 * percentile([gap for answer in answers for gap in answer.gaps], 0.95), 2),
    }


def best_of(runs, better):
    """Middle of the repeats for every figure: one unlucky run says little."""
    return {name: round(median([run[name] for run in runs]), 2) for name in better}


def prompts_of(rng, count, length, vocabulary):
    return [[rng.randrange(300, vocabulary) for _ in range(length)] for _ in range(count)]


async def throughput(servers, arguments, rng):
    rows = {}
    for clients in arguments.clients:
        runs = {server: [] for server in servers}
        texts = {server: None for server in servers}
        for repeat in range(arguments.repeats):
            prompts = prompts_of(rng, clients * arguments.rounds, arguments.prompt_tokens, arguments.vocabulary)
            order = list(servers) if repeat % 2 == 0 else list(reversed(servers))
            for server in order:
                answers, wall = await crowd(server.port, server.key, server.model, prompts, arguments.tokens, clients)
                runs[server].append(figures(answers, wall))
                texts[server] = [answer.text for answer in answers]
        same = [a == b for a, b in zip(*texts.values())]
        rows[str(clients)] = {
            **{server.name: best_of(runs[server], runs[server][0]) for server in servers},
            "identical_answers": round(sum(same) / len(same), 3),
        }
        print(clients, "clients", rows[str(clients)], flush=True)
    return rows


async def shared_prefix(servers, arguments, rng):
    rows = {}
    for clients in arguments.shared:
        runs = {server: [] for server in servers}
        for repeat in range(arguments.repeats):
            prefix = prompts_of(rng, 1, 1000, arguments.vocabulary)[0]
            tails = prompts_of(rng, clients + 1, 24, arguments.vocabulary)
            order = list(servers) if repeat % 2 == 0 else list(reversed(servers))
            for server in order:
                await complete(server.port, server.key, server.model, prefix + tails[0], 8)
                answers, wall = await crowd(server.port, server.key, server.model,
                                            [prefix + tail for tail in tails[1:]], 8, clients)
                runs[server].append({**figures(answers, wall),
                                     "cached_tokens": median([answer.cached_tokens for answer in answers])})
        rows[str(clients)] = {server.name: best_of(runs[server], runs[server][0]) for server in servers}
        print(clients, "clients sharing a prefix", rows[str(clients)], flush=True)
    return rows


def machine():
    model = "unknown processor"
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.split(":", 1)[1].strip()
            break
    memory = int(pathlib.Path("/proc/meminfo").read_text().split()[1]) // 2**20
    return f"{os.cpu_count()} cores of {model}, {memory} GiB, Linux {os.uname().release.split('-')[0]}"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fornax", type=pathlib.Path, required=True)
    parser.add_argument("--peer", type=pathlib.Path, required=True)
    parser.add_argument("--model", type=pathlib.Path, required=True)
    parser.add_argument("--name", required=True, help="name of the result: serve-NAME.json")
    parser.add_argument("--clients", type=lambda text: [int(word) for word in text.split(",")], default=[1, 4, 8, 16])
    parser.add_argument("--shared", type=lambda text: [int(word) for word in text.split(",")], default=[4, 8], help="clients that share a prefix")
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--prompt-tokens", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=2, help="requests of each client")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--vocabulary", type=int, default=30000)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--cache-tokens", type=int, default=32768)
    parser.add_argument("--peer-wait-policy", default="", help="OMP_WAIT_POLICY of the peer; its own default is its best on idle cores")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--output", type=pathlib.Path, default=ROOT / "bench/results")
    arguments = parser.parse_args()
    arguments.fornax, arguments.peer, arguments.model = (
        path.resolve() for path in (arguments.fornax, arguments.peer, arguments.model))
    rng = random.Random(arguments.seed)

    ours = Ours(arguments)
    peer = Peer(arguments)
    servers = [ours, peer]
    try:
        for server in servers:  # both loaded and warm before anything is measured
            asyncio.run(complete(server.port, server.key, server.model, prompts_of(rng, 1, 16, arguments.vocabulary)[0], 8))
        clients = asyncio.run(throughput(servers, arguments, rng))
        prefix = asyncio.run(shared_prefix(servers, arguments, rng))
        memory = {server.name: server.memory_mib() for server in servers}
    finally:
        for server in servers:
            server.stop()

    ratios = {}
    for count, row in clients.items():
        a, b = row[ours.name], row[peer.name]
        ratios[f"tokens/s, {count} clients"] = round(a["tokens_per_second"] / b["tokens_per_second"], 3)
        ratios[f"TTFT p50, {count} clients"] = round(a["ttft_p50_ms"] / b["ttft_p50_ms"], 3)
    for count, row in prefix.items():
        ratios[f"TTFT p50, {count} clients sharing a prefix"] = round(
            row[ours.name]["ttft_p50_ms"] / row[peer.name]["ttft_p50_ms"], 4)
    result = {
        "name": f"serve-{arguments.name}",
        "date": datetime.date.today().isoformat(),
        "machine": machine(),
        "command": "bench/serve/bench.py " + " ".join(
            f"--{key.replace('_', '-')} {','.join(map(str, value)) if isinstance(value, list) else value}"
            for key, value in vars(arguments).items() if key not in ("fornax", "peer", "model", "output")),
        "work": f"{arguments.name}: prompts of {arguments.prompt_tokens} random token ids, {arguments.tokens} generated, greedy, "
                f"{arguments.rounds} requests a client, median of {arguments.repeats} repeats, order alternating; "
                "shared prefix: 1,000 tokens warmed by one request, then 24 tokens of its own and 8 generated for each client",
        "ours": {"clients": {count: row[ours.name] for count, row in clients.items()},
                 "shared_prefix": {count: row[ours.name] for count, row in prefix.items()},
                 "ready_ms": round(1e3 * ours.ready_seconds), "idle_parent_mib": ours.idle_mib, "memory_mib": memory[ours.name]},
        "peers": {peer.name: {"clients": {count: row[peer.name] for count, row in clients.items()},
                              "shared_prefix": {count: row[peer.name] for count, row in prefix.items()},
                              "memory_mib": memory[peer.name]}},
        "ratios": ratios,
        "quality": {"identical greedy answers, by clients": {count: row["identical_answers"] for count, row in clients.items()}},
    }
    arguments.output.mkdir(parents=True, exist_ok=True)
    path = arguments.output / f"serve-{arguments.name}.json"
    path.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(ratios, indent=1))


if __name__ == "__main__":
    main()
