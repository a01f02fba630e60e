#!/usr/bin/env python3
"""bench/overhead: what HTTP, keys, routing and framing add to a one-token completion of the shipped toy model, against the
same request sent to its runner's socket directly. Writes bench/results/overhead.json.

    bench/serve/overhead.py --fornax target/release/fornax
"""
import argparse
import datetime
import json
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from bench import ROOT, Ours, machine  # noqa: E402


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fornax", type=pathlib.Path, required=True)
    parser.add_argument("--requests", type=int, default=3000)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--cache-tokens", type=int, default=4096)
    arguments = parser.parse_args()
    arguments.fornax = arguments.fornax.resolve()
    arguments.model = ROOT / "models/fornax-nano/fornax-nano.gguf"
    server = Ours(arguments)
    try:
        url = f"http://127.0.0.1:{server.port}"
        probe = arguments.fornax.parent / "examples/overhead"
        # Loads the model, so that its socket is there.
        subprocess.run(["curl", "-fsS", "-o", "/dev/null", f"{url}/v1/completions", "-H", f"Authorization: Bearer {server.key}",
                        "-H", "Content-Type: application/json", "-d", '{"model": "fornax-nano", "prompt": "a", "max_tokens": 1}'], check=True)
        socket = next(pathlib.Path(server.data, "run").rglob("*.sock"))
        figures = json.loads(subprocess.run([probe, url, server.key, socket, str(arguments.requests)], check=True,
                                            capture_output=True, text=True).stdout)
    finally:
        server.stop()
    figures |= {"ready_ms": round(1e3 * server.ready_seconds), "idle_parent_mib": server.idle_mib}
    result = {
        "name": "overhead", "date": datetime.date.today().isoformat(), "machine": machine(),
        "command": f"bench/serve/overhead.py --requests {arguments.requests} --threads {arguments.threads}",
        "work": f"one-token completions of fornax-nano, 8 cached prompt tokens, {arguments.requests} by HTTP and as many to the "
                "runner's socket, in turns, one at a time; and the server's start to ready and memory at rest",
        "ours": figures, "peers": {}, "ratios": {}, "quality": {},
    }
    path = ROOT / "bench/results/overhead.json"
    path.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
