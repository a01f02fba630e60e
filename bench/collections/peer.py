#!/usr/bin/env python3
"""Qdrant's engine in this process (qdrant-edge), driven like our load client: one JSON object per line, one reply each.

    peer.py qdrant-f32|qdrant-int8

The same work without a network: what is compared with it has a server, a protocol and a key in between. Texts are left out:
the engine embeds none.
"""
import concurrent.futures
import json
import pathlib
import sys
import time

import numpy

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "vectors"))
import peers  # noqa: E402


def search(engine, work, command):
    """Every client asks its share of the queries, one after the other."""
    edge, count = engine.edge, command["clients"]
    quantization = None if engine.kind == "f32" else edge.QuantizationSearchParams(rescore=True, oversampling=2.0)
    only = command.get("filter")
    acorn = edge.AcornSearchParams(enable=True) if only else None
    parameters = edge.SearchParams(hnsw_ef=command["ef"], quantization=quantization, acorn=acorn)
    condition = only and edge.Filter(must=[edge.FieldCondition(only, match=edge.MatchValue(1))])
    rows = work["queries"].tolist()
    found = [None] * len(rows)

    def ask(part):
        waits = []
        for _ in range(command["repeats"]):
            for number in range(part, len(rows), count):
                began = time.perf_counter()
                request = edge.SearchRequest(query=edge.Query.Nearest(rows[number]), limit=peers.K, params=parameters, filter=condition or None)
                hits = engine.shard.search(request)
                waits.append(time.perf_counter() - began)
                found[number] = [hit.id for hit in hits] + [-1] * (peers.K - len(hits))
        return waits

    began = time.perf_counter()
    with concurrent.futures.ThreadPoolExecutor(count) as pool:
        waits = sorted(wait for part in pool.map(ask, range(count)) for wait in part)
    seconds = time.perf_counter() - began
    numpy.asarray(found, dtype=numpy.int64).tofile(command["out"])
    at = lambda share: 1000 * waits[min(int(len(waits) * share), len(waits) - 1)]
    return {"seconds": seconds, "queries": len(waits), "p50_ms": at(0.5), "p95_ms": at(0.95), "p99_ms": at(0.99)}


def small(edge):
    """What an application's own collection is at first: two points of four values."""
    return edge.EdgeConfig(vectors=edge.EdgeVectorParams(size=4, distance=edge.Distance.Cosine))


def make_many(edge, directory, count):
    for number in range(count):
        place = pathlib.Path(directory) / f"c{number}"
        place.mkdir(parents=True)
        shard = edge.EdgeShard.create(str(place), small(edge))
        shard.update(edge.UpdateOperation.upsert_points([edge.Point(point, [1.0, 0.5, 0.25, float(point)], None) for point in range(2)]))
        shard.flush()
        shard.close()


def open_many(edge, directory):
    """Opens every collection, as a server of it does before it is ready."""
    began = time.perf_counter()
    opened = [edge.EdgeShard.load(str(place)) for place in sorted(pathlib.Path(directory).iterdir())]
    return {"seconds": time.perf_counter() - began, "collections": len(opened), "anonymous_bytes": peers.memory()[0]}


def main():
    engine, work = peers.Qdrant(sys.argv[1].removeprefix("qdrant-")), None
    for line in sys.stdin:
        command = json.loads(line)
        reply = {}
        if command["op"] == "load":
            work = {**command, "base": numpy.load(command["base"]).astype(numpy.float32), "queries": numpy.load(command["queries"]).astype(numpy.float32),
                    "attributes": {name: numpy.load(path) for name, path in command["attributes"].items()}}
            before = peers.memory()[0]
        elif command["op"] == "upsert":
            engine.create(work)
            began = time.perf_counter()
            engine.insert(work, command["batch"])
            engine.shard.flush()
            reply = {"seconds": time.perf_counter() - began, "points": len(work["base"])}
        elif command["op"] == "optimize":
            began = time.perf_counter()
            while engine.shard.optimize():
                pass
            engine.shard.flush()
            reply = {"seconds": time.perf_counter() - began}
        elif command["op"] == "search":
            reply = search(engine, work, command)
        elif command["op"] == "memory":
            after = peers.memory()
            reply = {"anonymous_bytes": after[0] - before, "mapped_bytes": after[1]}
        elif command["op"] == "make_many":
            import qdrant_edge
            make_many(qdrant_edge, command["directory"], command["count"])
        elif command["op"] == "open_many":
            import qdrant_edge
            reply = open_many(qdrant_edge, command["directory"])
        elif command["op"] == "exit":
            break
        print(json.dumps(reply), flush=True)


if __name__ == "__main__":
    main()
