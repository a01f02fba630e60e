#!/usr/bin/env python3
"""One vector engine in one process, driven over standard input and output by bench.py: a JSON object per line.

    peers.py hnswlib|usearch|faiss-hnsw|faiss-hnsw-sq8|faiss-ivf-rabitq|qdrant-f32|qdrant-int8|qdrant-tq4

Every engine answers the same commands as `crates/vectors/examples/bench_worker.rs`, so that the driver cannot favour one.
"""
import concurrent.futures
import json
import os
import pathlib
import resource
import sys
import time

import numpy

K = 10


def memory():
    """Resident bytes of this process: anonymous, and mapped from files."""
    fields = {}
    for line in pathlib.Path("/proc/self/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name in ("RssAnon", "RssFile"):
            fields[name] = int(value.split()[0]) * 1024
    return fields["RssAnon"], fields["RssFile"]


def cpu_seconds():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def disk_bytes(directory):
    return sum(path.stat().st_blocks * 512 for path in pathlib.Path(directory).rglob("*") if path.is_file())


class Hnswlib:
    def build(self, work):
        import hnswlib
        self.index = hnswlib.Index("cosine" if work["metric"] == "cosine" else "l2", work["base"].shape[1])
        self.index.init_index(max_elements=len(work["base"]), M=work["m"], ef_construction=work["ef_construct"])
        self.index.add_items(work["base"], num_threads=work["threads"])

    def search(self, queries, ef, threads, _filter):
        self.index.set_ef(max(ef, K))
        return self.index.knn_query(queries, k=K, num_threads=threads)[0]


class Usearch:
    def build(self, work):
        from usearch.index import Index
        self.index = Index(ndim=work["base"].shape[1], metric="cos" if work["metric"] == "cosine" else "l2sq", dtype="f32",
                           connectivity=work["m"], expansion_add=work["ef_construct"])
        self.index.add(numpy.arange(len(work["base"])), work["base"], threads=work["threads"])

    def search(self, queries, ef, threads, _filter):
        self.index.expansion_search = max(ef, K)
        return self.index.search(queries, K, threads=threads).keys


class Faiss:
    """On unit vectors the order by L2 is the order by cosine."""

    def __init__(self, kind):
        self.kind = kind

    def build(self, work):
        import faiss
        self.faiss = faiss
        faiss.omp_set_num_threads(work["threads"])
        dimensions = work["base"].shape[1]
        if self.kind == "hnsw":
            self.index = faiss.IndexHNSWFlat(dimensions, work["m"])
        elif self.kind == "sq8":
            self.index = faiss.IndexHNSWSQ(dimensions, faiss.ScalarQuantizer.QT_8bit, work["m"])
        else:
            self.index = faiss.index_factory(dimensions, "IVF1024,RaBitQfs,Refine(SQ8)")
        if self.kind == "ivf":
            self.index.train(work["base"])
        else:
            self.index.hnsw.efConstruction = work["ef_construct"]
            if not self.index.is_trained:
                self.index.train(work["base"])
        self.index.add(work["base"])

    def search(self, queries, ef, threads, _filter):
        self.faiss.omp_set_num_threads(threads)
        if self.kind == "ivf":
            # `ef` counts probed lists here; the refinement looks at 10 or 20 times k, whichever the width deserves.
            self.index.k_factor = 10 if ef <= 32 else 20
            self.faiss.ParameterSpace().set_index_parameter(self.index, "nprobe", ef)
        else:
            self.index.hnsw.efSearch = ef
        return self.index.search(queries, K)[1]


class Qdrant:
    """Qdrant's own engine in this process; one call a query, as its interface has it."""

    def __init__(self, kind):
        self.kind = kind

    def create(self, work):
        import qdrant_edge as edge
        self.edge = edge
        quantization = {
            "f32": None,
            "int8": edge.ScalarQuantizationConfig(type=edge.ScalarType.Int8, quantile=0.99, always_ram=True),
            "tq4": edge.TurboQuantQuantizationConfig(bits=edge.TurboQuantBitSize.Bits4, always_ram=True),
        }[self.kind]
        distance = edge.Distance.Cosine if work["metric"] == "cosine" else edge.Distance.Euclid
        hnsw = edge.HnswIndexConfig(m=work["m"], ef_construct=work["ef_construct"], full_scan_threshold=10,
                                    max_indexing_threads=work["threads"])
        config = edge.EdgeConfig(
            vectors=edge.EdgeVectorParams(size=work["base"].shape[1], distance=distance),
            hnsw_config=hnsw, quantization_config=quantization,
            optimizers=edge.EdgeOptimizersConfig(default_segment_number=1, max_segment_size=100_000_000, indexing_threshold=100))
        os.makedirs(work["directory"], exist_ok=True)
        self.shard = edge.EdgeShard.create(work["directory"], config)

    def insert(self, work, batch=256):
        edge, base, fields = self.edge, work["base"], work["attributes"]
        for name in fields:
            self.shard.update(edge.UpdateOperation.create_field_index(name, edge.PayloadSchemaType.Integer))
        for start in range(0, len(base), batch):
            rows = base[start:start + batch].tolist()
            points = [edge.Point(start + offset, row, {name: int(values[start + offset]) for name, values in fields.items()} or None)
                      for offset, row in enumerate(rows)]
            self.shard.update(edge.UpdateOperation.upsert_points(points))

    def build(self, work):
        self.create(work)
        self.insert(work)
        while self.shard.optimize():
            pass
        self.shard.flush()

    def search(self, queries, ef, threads, wanted):
        edge = self.edge
        quantization = None if self.kind == "f32" else edge.QuantizationSearchParams(rescore=True, oversampling=2.0)
        acorn = edge.AcornSearchParams(enable=True) if wanted else None
        parameters = edge.SearchParams(hnsw_ef=ef, quantization=quantization, acorn=acorn)
        only = wanted and edge.Filter(must=[edge.FieldCondition(wanted["field"], match=edge.MatchValue(wanted["value"]))])
        rows = queries.tolist()

        def answer(some):
            found = []
            for row in some:
                hits = self.shard.search(edge.SearchRequest(query=edge.Query.Nearest(row), limit=K, params=parameters, filter=only or None))
                found.append([hit.id for hit in hits] + [-1] * (K - len(hits)))
            return found

        if threads == 1:
            return numpy.array(answer(rows))
        parts = [rows[part::threads] for part in range(threads)]
        with concurrent.futures.ThreadPoolExecutor(threads) as pool:
            answers = list(pool.map(answer, parts))
        merged = [None] * len(rows)
        for part, found in enumerate(answers):
            merged[part::threads] = found
        return numpy.array(merged)


ENGINES = {
    "hnswlib": Hnswlib, "usearch": Usearch,
    "faiss-hnsw": lambda: Faiss("hnsw"), "faiss-hnsw-sq8": lambda: Faiss("sq8"), "faiss-ivf-rabitq": lambda: Faiss("ivf"),
    "qdrant-f32": lambda: Qdrant("f32"), "qdrant-int8": lambda: Qdrant("int8"), "qdrant-tq4": lambda: Qdrant("tq4"),
}


def load(command):
    base = numpy.load(command["base"]).astype(numpy.float32)
    queries = numpy.load(command["queries"]).astype(numpy.float32)
    if command["metric"] == "cosine":
        base /= numpy.linalg.norm(base, axis=1, keepdims=True)
        queries /= numpy.linalg.norm(queries, axis=1, keepdims=True)
    attributes = {name: numpy.load(path) for name, path in command.get("attributes", {}).items()}
    return {**command, "base": base, "queries": queries, "attributes": attributes}


def main():
    engine, work = ENGINES[sys.argv[1]](), None
    for line in sys.stdin:
        command = json.loads(line)
        reply = {}
        if command["op"] == "load":
            work = load(command)
        elif command["op"] == "build":
            before, cpu, wall = memory(), cpu_seconds(), time.perf_counter()
            engine.build(work)
            reply = {"cpu_seconds": cpu_seconds() - cpu, "wall_seconds": time.perf_counter() - wall, "disk_bytes": disk_bytes(work["directory"])}
        elif command["op"] == "memory":
            after = memory()
            reply = {"anonymous_bytes": after[0] - before[0], "mapped_bytes": after[1] - before[1]}
        elif command["op"] == "insert":
            engine.create(work)
            wall = time.perf_counter()
            engine.insert(work, command["batch"])
            engine.shard.flush()
            reply = {"seconds": time.perf_counter() - wall, "points": len(work["base"])}
        elif command["op"] == "search":
            queries = work["queries"]
            cpu, wall = cpu_seconds(), time.perf_counter()
            for _ in range(command["repeats"]):
                found = engine.search(queries, command["ef"], command["threads"], command.get("filter"))
            seconds = time.perf_counter() - wall
            numpy.asarray(found, dtype=numpy.int64).tofile(command["out"])
            reply = {"seconds": seconds, "cpu_seconds": cpu_seconds() - cpu, "queries": command["repeats"] * len(queries)}
        elif command["op"] == "exit":
            break
        print(json.dumps(reply), flush=True)


if __name__ == "__main__":
    main()
