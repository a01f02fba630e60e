#!/usr/bin/env python3
"""bench/collections: our server over gRPC and REST beside Qdrant's engine in one process, on the same vectors, in one run.
Writes bench/results/collections-<set>.json.

    bench/collections/bench.py --fornax target/release/fornax --load target/release/examples/collections_load --set minilm50k

Ours has a server, HTTP/2 or HTTP/1.1, a key and a tenant between caller and engine; the peer (`qdrant-edge`, see peer.py) is called in its own
process and has none of that. Rates at a recall are interpolated between the two nearest settings; the waits beside them are those of the
setting that first reaches the recall. Inputs: bench/vectors/data.py. Texts, when a file of them is given, are embedded by the
server's own model.
"""
import argparse
import datetime
import json
import math
import os
import pathlib
import platform
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

import numpy

ROOT = pathlib.Path(__file__).resolve().parents[2]
HERE = pathlib.Path(__file__).resolve().parent
METRIC = {"minilm50k": "cosine", "minilm200k": "cosine", "digits30k": "euclid"}
DISTANCE = {"cosine": "Cosine", "euclid": "Euclid"}
WIDTHS = [10, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384]
FILTERS = {"1 %": "s1", "10 %": "s10"}
PEERS = ["qdrant-f32", "qdrant-int8"]
COLLECTION = "bench"
READY_SECONDS_MAX = 600
INDEXED_SECONDS_MAX = 1800


class Server:
    """`fornax serve` on a directory that outlives it."""

    def __init__(self, binary, data):
        self.binary, self.data = str(pathlib.Path(binary).resolve()), data
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("FORNAX_")}
        self.environment["FORNAX_DATA_DIR"] = str(data)

    def start(self):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self.log = open(self.data.parent / f"{self.data.name}.log", "ab")
        began = time.perf_counter()
        self.process = subprocess.Popen([self.binary, "serve", "--bind", f"127.0.0.1:{port}"], env=self.environment, stdin=subprocess.DEVNULL,
                                        stdout=self.log, stderr=subprocess.STDOUT, cwd=self.data.parent)
        while time.perf_counter() - began < READY_SECONDS_MAX:
            if self.process.poll() is not None:
                raise RuntimeError(f"the server ended: see {self.log.name}")
            try:
                with urllib.request.urlopen(self.url + "/readyz", timeout=5):
                    return time.perf_counter() - began
            except (urllib.error.URLError, OSError):
                time.sleep(0.002)
        raise RuntimeError("the server was not ready in time")

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(120)
        self.log.close()

    @property
    def key(self):
        return (self.data / "admin.key").read_text().strip()

    def ask(self, method, path, body=None):
        request = urllib.request.Request(self.url + path, method=method, data=None if body is None else json.dumps(body).encode())
        request.add_header("api-key", self.key)
        request.add_header("content-type", "application/json")
        with urllib.request.urlopen(request, timeout=600) as reply:
            return json.loads(reply.read())["result"]

    def memory(self):
        fields = dict(line.split(":", 1) for line in pathlib.Path(f"/proc/{self.process.pid}/status").read_text().splitlines() if ":" in line)
        return {"anonymous_bytes": int(fields["RssAnon"].split()[0]) * 1024, "mapped_bytes": int(fields["RssFile"].split()[0]) * 1024}

    def until_indexed(self):
        began = time.perf_counter()
        while time.perf_counter() - began < INDEXED_SECONDS_MAX:
            if self.ask("GET", f"/collections/{COLLECTION}")["status"] == "green":
                return time.perf_counter() - began
            time.sleep(0.1)
        raise RuntimeError("the collection was not indexed in time")


class Worker:
    """A process that takes commands: our load client, or the peer."""

    def __init__(self, *command):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def say(self, **command):
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"the worker ended at {command['op']}")
        return json.loads(line)

    def end(self):
        self.process.stdin.close()
        self.process.wait(60)


def recall_of(out, exact):
    found = numpy.fromfile(out, dtype=numpy.int64).reshape(len(exact), -1)[:, :10]
    wanted = exact[:, :10]
    return sum(len(set(row) & set(want)) for row, want in zip(found.tolist(), wanted.tolist())) / sum(len(want) for want in wanted)


def at_recall(curve, recall):
    """Rate at a recall, and the waits of the first setting that reaches it; nothing when none does."""
    points = sorted(curve, key=lambda point: point["recall"])
    if points[-1]["recall"] < recall:
        return {}
    reached = next(point for point in points if point["recall"] >= recall)
    before = [point for point in points if point["recall"] < recall]
    rate = reached["qps"]
    if before:
        low = before[-1]
        share = (recall - low["recall"]) / (reached["recall"] - low["recall"])
        rate = math.exp(math.log(low["qps"]) * (1 - share) + math.log(reached["qps"]) * share)
    return {"qps": round(rate), **{name: round(reached[name], 3) for name in ("p50_ms", "p95_ms", "p99_ms")}}


def one(worker, arguments, exact, out, **settings):
    replies = [worker.say(op="search", collection=COLLECTION, repeats=arguments.repeats, out=str(out), **settings) for _ in range(arguments.rounds)]
    median = lambda name: statistics.median(reply[name] for reply in replies)
    return {"recall": recall_of(out, exact), "qps": statistics.median(reply["queries"] / reply["seconds"] for reply in replies),
            **{name: median(name) for name in ("p50_ms", "p95_ms", "p99_ms")}}


def searches(worker, arguments, source, out, place):
    """`place` is what stands before the name of a row: how the engine is reached."""
    exact = numpy.load(source / "exact.npy")
    result = {}
    for clients in arguments.clients:
        curve = [one(worker, arguments, exact, out, ef=width, clients=clients, filter=None) for width in arguments.widths]
        for recall in (0.95, 0.99):
            result[f"{place}{clients} clients at recall {recall}"] = at_recall(curve, recall)
    for share, field in FILTERS.items():
        wanted = numpy.load(source / f"exact.{field}.npy")
        found = one(worker, arguments, wanted, out, ef=64, clients=1, filter=field)
        result[f"{place}{share} filtered, 1 client, ef 64"] = {"recall": round(found["recall"], 4), "qps": round(found["qps"]), **{name: round(found[name], 3) for name in ("p50_ms", "p95_ms", "p99_ms")}}
    return result


def raw(array, dtype, path):
    numpy.ascontiguousarray(array, dtype=dtype).tofile(path)
    return str(path)


def ours(arguments, source, scratch):
    base, queries = numpy.load(source / "base.npy"), numpy.load(source / "queries.npy")
    fields = {field: numpy.load(source / f"{field}.npy") for field in FILTERS.values()}
    load = dict(op="load", base=raw(base, "<f4", scratch / "base.f32"), queries=raw(queries, "<f4", scratch / "queries.f32"), dimensions=base.shape[1],
                attributes={field: raw(values, "u1", scratch / f"{field}.u8") for field, values in fields.items()})
    server = Server(arguments.fornax, scratch / "data")
    result, upserts, found = {}, {}, {}
    for transport in ("grpc", "rest"):
        shutil.rmtree(server.data, ignore_errors=True)
        server.data.mkdir()
        server.start()
        rested = server.memory()["anonymous_bytes"]
        body = {"vectors": {"size": base.shape[1], "distance": DISTANCE[METRIC[arguments.set]]}, "hnsw_config": {"m": 16, "ef_construct": 200}}
        server.ask("PUT", f"/collections/{COLLECTION}", body)
        for field in fields:
            server.ask("PUT", f"/collections/{COLLECTION}/index?wait=true", {"field_name": field, "field_schema": "integer"})
        worker = Worker(str(arguments.load))
        worker.say(op="connect", url=server.url, key=server.key, transport=transport)
        worker.say(**load)
        reply = worker.say(op="upsert", collection=COLLECTION, batch=arguments.batch, clients=arguments.upsert_clients)
        indexed = server.until_indexed()
        upserts[transport] = {"points_per_second": round(reply["points"] / reply["seconds"]), "seconds_until_indexed": round(reply["seconds"] + indexed, 1)}
        found.update(searches(worker, arguments, source, scratch / "found", f"{transport}, "))
        if transport == "grpc":
            memory = server.memory()
            result["memory"] = {"after the searches": {"anonymous_mib": round((memory["anonymous_bytes"] - rested) / 2**20), "process_anonymous_mib": round(memory["anonymous_bytes"] / 2**20), "mapped_mib": round(memory["mapped_bytes"] / 2**20)}}
        if arguments.texts:
            upserts[f"{transport}, texts"] = texts(arguments, server, worker)
        worker.end()
        server.stop()
    result["upsert"] = upserts
    result["search"] = found
    return result


def texts(arguments, server, worker):
    """Texts embedded on their way in."""
    name = f"{COLLECTION}-texts"
    size = arguments.text_dimensions
    server.ask("PUT", f"/collections/{name}", {"vectors": {"size": size, "distance": "Cosine"}})
    reply = worker.say(op="texts", collection=name, file=str(arguments.texts), model=arguments.text_model, vector="", batch=64, clients=1)
    server.ask("DELETE", f"/collections/{name}")
    return {"points_per_second": round(reply["points"] / reply["seconds"]), "seconds_until_indexed": round(reply["seconds"], 1)}


def starts(arguments, scratch):
    """Seconds from the start of the process until `/readyz`, and until the last of the collections has answered a query."""
    result = {}
    for count in arguments.collections:
        server = Server(arguments.fornax, scratch / f"many-{count}")
        server.data.mkdir()
        server.start()
        for number in range(count):
            name = f"c{number}"
            server.ask("PUT", f"/collections/{name}", {"vectors": {"size": 4, "distance": "Cosine"}})
            points = [{"id": point, "vector": [1.0, 0.5, 0.25, float(point)]} for point in range(2)]
            server.ask("PUT", f"/collections/{name}/points?wait=true", {"points": points})
        server.stop()
        ready = statistics.median(restart(server) for _ in range(3))
        server.start()
        began = time.perf_counter()
        server.ask("POST", f"/collections/c{count - 1}/points/query", {"query": [1.0, 0.5, 0.25, 0.0], "limit": 1})
        first = time.perf_counter() - began
        result[f"{count} collections"] = {"ready_ms": round(1000 * ready), "first_query_ms": round(1000 * first, 1), "anonymous_mib": round(server.memory()["anonymous_bytes"] / 2**20)}
        server.stop()
    return result


def restart(server):
    seconds = server.start()
    server.stop()
    return seconds


def peer(name, arguments, source, scratch):
    worker = Worker(sys.executable, str(HERE / "peer.py"), name)
    directory = scratch / name
    fields = {field: str(source / f"{field}.npy") for field in FILTERS.values()}
    worker.say(op="load", base=str(source / "base.npy"), queries=str(source / "queries.npy"), metric=METRIC[arguments.set], attributes=fields, m=16,
               ef_construct=200, threads=os.cpu_count(), directory=str(directory))
    reply = worker.say(op="upsert", batch=arguments.batch)
    optimized = worker.say(op="optimize")
    upserted = {"points_per_second": round(reply["points"] / reply["seconds"]), "seconds_until_indexed": round(reply["seconds"] + optimized["seconds"], 1)}
    found = searches(worker, arguments, source, scratch / f"{name}.found", "")
    memory = worker.say(op="memory")
    worker.end()
    # One row for each way in which ours is reached, so that every figure stands beside its peer's.
    return {
        "upsert": {transport: upserted for transport in ("grpc", "rest")},
        "search": {f"{transport}, {row}": figures for transport in ("grpc", "rest") for row, figures in found.items()},
        "memory": {"after the searches": {"anonymous_mib": round(memory["anonymous_bytes"] / 2**20), "mapped_mib": round(memory["mapped_bytes"] / 2**20)}},
    }


def peer_starts(arguments, scratch):
    result = {}
    for count in arguments.collections:
        directory = scratch / f"peer-many-{count}"
        maker = Worker(sys.executable, str(HERE / "peer.py"), "qdrant-f32")
        maker.say(op="make_many", directory=str(directory), count=count)
        maker.end()
        opener = Worker(sys.executable, str(HERE / "peer.py"), "qdrant-f32")
        reply = opener.say(op="open_many", directory=str(directory))
        opener.end()
        shutil.rmtree(directory, ignore_errors=True)
        result[f"{count} collections"] = {"ready_ms": round(1000 * reply["seconds"]), "anonymous_mib": round(reply["anonymous_bytes"] / 2**20)}
    return result


def ratios(mine, peers):
    made = {}
    for name, theirs in peers.items():
        for row in ("grpc, 1 clients at recall 0.95", "grpc, 1 clients at recall 0.99", "grpc, 4 clients at recall 0.95", "grpc, 4 clients at recall 0.99"):
            one, two = mine["search"].get(row, {}), theirs.get("search", {}).get(row, {})
            if one and two:
                made[f"qps, {row} / {name}"] = round(one["qps"] / two["qps"], 2)
                made[f"p99, {row} / {name}"] = round(one["p99_ms"] / two["p99_ms"], 2)
        if "upsert" in theirs:
            made[f"upsert over grpc / {name}"] = round(mine["upsert"]["grpc"]["points_per_second"] / theirs["upsert"]["grpc"]["points_per_second"], 2)
            row = "after the searches"
            made[f"anonymous memory / {name}"] = round(mine["memory"][row]["anonymous_mib"] / max(theirs["memory"][row]["anonymous_mib"], 1), 2)
    return made


def machine():
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    model = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), platform.machine())
    return f"{os.cpu_count()} cores of {model}, {memory:.0f} GiB, Linux {platform.release()}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fornax", type=pathlib.Path, required=True)
    parser.add_argument("--load", type=pathlib.Path, required=True)
    parser.add_argument("--set", default="minilm50k", choices=sorted(METRIC))
    parser.add_argument("--inputs", type=pathlib.Path, default=ROOT / "bench/work/vectors")
    parser.add_argument("--results", type=pathlib.Path, default=ROOT / "bench/results")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=4)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--upsert-clients", type=int, default=1)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--widths", type=int, nargs="+", default=WIDTHS)
    parser.add_argument("--collections", type=int, nargs="*", default=[100, 10_000])
    parser.add_argument("--peers", nargs="*", default=PEERS, choices=PEERS)
    parser.add_argument("--texts", type=pathlib.Path, help="a file of one text a line, embedded by --text-model")
    parser.add_argument("--text-model", default="minilm")
    parser.add_argument("--text-dimensions", type=int, default=384)
    arguments = parser.parse_args()
    source = arguments.inputs / arguments.set
    base = numpy.load(source / "base.npy", mmap_mode="r")
    queries = numpy.load(source / "queries.npy", mmap_mode="r")
    with tempfile.TemporaryDirectory(prefix="fornax-bench-") as directory:
        scratch = pathlib.Path(directory)
        mine = ours(arguments, source, scratch)
        shutil.rmtree(scratch / "data", ignore_errors=True)
        peers = {name: peer(name, arguments, source, scratch) for name in arguments.peers}
        if arguments.collections:
            mine["start"] = starts(arguments, scratch)
            if arguments.peers:
                peers[arguments.peers[0]]["start"] = peer_starts(arguments, scratch)
    work = (f"{arguments.set}: {base.shape[0]:,} vectors of {base.shape[1]} values, {len(queries)} held-out queries, k 10, m 16, ef_construct 200; ours is a server "
            "asked over gRPC and REST by a client of its own process, the peer is Qdrant's engine called in its process, through Python, without a network; "
            "a start is ready when every collection can be asked, which the engine alone reaches by opening each")
    flags = f"--set {arguments.set} --rounds {arguments.rounds} --repeats {arguments.repeats}"
    result = {"name": f"collections-{arguments.set}", "date": datetime.date.today().isoformat(), "machine": machine(), "command": f"bench/collections/bench.py {flags}",
              "work": work, "ours": mine, "peers": peers, "ratios": ratios(mine, peers)}
    arguments.results.mkdir(parents=True, exist_ok=True)
    target = arguments.results / f"collections-{arguments.set}.json"
    target.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")
    print(target.read_text())


if __name__ == "__main__":
    main()
