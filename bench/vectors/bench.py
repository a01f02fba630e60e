#!/usr/bin/env python3
"""bench/vectors: our vector engine beside hnswlib, usearch, faiss and Qdrant's engine on the same vectors, in one run,
their order alternating. Writes bench/results/vectors-<set>.json and docs/images/vectors-<set>.svg.

    bench/vectors/bench.py --worker target/release/examples/bench_worker --set minilm50k

Each engine lives in a process of its own, takes the same commands (see peers.py) and is measured from inside that process:
recall@10 against exact neighbours, queries per second (median of the rounds), processor seconds of the build, growth of resident memory by
build and queries (anonymous, and pages of mapped files), bytes on disk. Rates at a recall are interpolated between the two nearest
settings, logarithmically; a rate at the lowest setting is taken as it is when that setting already exceeds the recall.
"""
import argparse
import datetime
import json
import math
import os
import pathlib
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile

import numpy

ROOT = pathlib.Path(__file__).resolve().parents[2]
METRIC = {"minilm50k": "cosine", "minilm200k": "cosine", "digits30k": "euclid"}
OURS = {"fornax": {}, "fornax-on-disk": {"on_disk": True}}
PEERS = ["hnswlib", "usearch", "faiss-hnsw", "faiss-hnsw-sq8", "faiss-ivf-rabitq", "qdrant-f32", "qdrant-int8", "qdrant-tq4"]
WIDTHS = [10, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384]
FILTERS = {"0.1 %": "s0_1", "1 %": "s1", "10 %": "s10", "50 %": "s50", "10 % near the queries": "near", "10 % far from them": "far"}


class Worker:
    """An engine in its own process."""

    def __init__(self, name, arguments, scratch):
        self.name, self.scratch = name, scratch
        command = [str(arguments.worker)] if name in OURS else [sys.executable, str(pathlib.Path(__file__).with_name("peers.py")), name]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        source = arguments.inputs / arguments.set
        fields = {field: str(source / f"{field}.npy") for field in FILTERS.values()} if self.filters else {}
        self.directory = scratch / name
        self.say(op="load", base=str(source / "base.npy"), queries=str(source / "queries.npy"), metric=METRIC[arguments.set], attributes=fields,
                 m=16, ef_construct=200, threads=arguments.build_threads, directory=str(self.directory), **OURS.get(name, {}))

    @property
    def filters(self):
        return self.name == "fornax" or self.name.startswith("qdrant")

    def say(self, **command):
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.name} ended at {command['op']}")
        return json.loads(line)

    def search(self, width, threads, exact, only=None, repeats=1):
        out = self.scratch / f"{self.name}.found"
        reply = self.say(op="search", ef=width, threads=threads, repeats=repeats, out=str(out), filter=only and {"field": only, "value": 1})
        found = numpy.fromfile(out, dtype=numpy.int64).reshape(len(exact), -1)[:, :10]
        wanted = exact[:, :10]
        recall = sum(len(set(row) & set(want)) for row, want in zip(found.tolist(), wanted.tolist())) / sum(len(want) for want in wanted)
        return recall, reply["queries"] / reply["seconds"]

    def end(self):
        self.process.stdin.close()
        self.process.wait(60)


def at_recall(curve, recall):
    """Queries per second at a recall; None when no setting reaches it."""
    points = sorted(curve)
    if points[-1][0] < recall:
        return None
    best = 0.0
    for (low, slow), (high, fast) in zip(points, points[1:]):
        if low < recall <= high:
            share = (recall - low) / (high - low)
            best = max(best, math.exp(math.log(slow) * (1 - share) + math.log(fast) * share))
    return best or max(rate for reached, rate in points if reached >= recall)


def curves(workers, exact, threads, rounds, repeats):
    """Per engine: recall and median rate for each width, all engines in turn in every round, back and forth."""
    rates = {worker.name: {} for worker in workers}
    recalls = {worker.name: {} for worker in workers}
    for turn in range(rounds):
        for worker in workers if turn % 2 == 0 else workers[::-1]:
            for width in WIDTHS:
                recall, rate = worker.search(width, threads, exact, repeats=repeats if worker.name in OURS else max(1, repeats // 3))
                rates[worker.name].setdefault(width, []).append(rate)
                recalls[worker.name][width] = recall
    return {name: [(recalls[name][width], statistics.median(rates[name][width])) for width in WIDTHS] for name in rates}


def filtered(workers, source, rounds):
    table = {}
    for label, field in FILTERS.items():
        exact = numpy.load(source / f"exact.{field}.npy")
        for worker in (worker for worker in workers if worker.filters):
            for width in (64, 128):
                runs = [worker.search(width, 1, exact, field) for _ in range(rounds)]
                row = table.setdefault(worker.name, {}).setdefault(f"{label}, ef {width}", {})
                row |= {"recall": round(runs[0][0], 4), "qps": round(statistics.median(rate for _, rate in runs))}
    return table


def draw(path, name, by_engine):
    import matplotlib
    matplotlib.use("svg")
    import matplotlib.pyplot as plot
    matplotlib.rcParams["svg.hashsalt"] = "fornax"
    figure, axes = plot.subplots(figsize=(8, 5))
    for engine, curve in by_engine.items():
        points = sorted(point for point in curve if point[0] > 0.8)
        axes.plot([recall for recall, _ in points], [rate for _, rate in points], marker="o", markersize=3, label=engine,
                  linewidth=2.5 if engine in OURS else 1)
    axes.set(xlabel="recall@10", ylabel="queries per second, one thread", yscale="log", title=name)
    axes.grid(True, which="both", alpha=0.3)
    axes.legend(fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None})


def machine():
    model = next(line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name"))
    total = next(int(line.split()[1]) for line in open("/proc/meminfo") if line.startswith("MemTotal"))
    return f"{os.cpu_count()} cores of {model}, {total // 2**20} GiB, Linux {platform.release()}"


def best(rates, names):
    known = [rates[name] for name in names if rates.get(name)]
    return max(known) if known else None


def ratios(figures):
    """The comparisons that the engine is held to."""
    graphs = [name for name in ("hnswlib", "usearch", "faiss-hnsw") if name in figures]
    ours, result = figures["fornax"], {}
    for level in ("qps_at_95", "qps_at_99"):
        rates = {name: row[level] for name, row in figures.items()}
        for label, names in (("best of hnswlib, usearch, faiss HNSW", graphs), ("Qdrant f32", ["qdrant-f32"]), ("Qdrant's best", ["qdrant-int8", "qdrant-tq4"])):
            if best(rates, names) and rates["fornax"]:
                result[f"{level}, {label}"] = round(rates["fornax"] / best(rates, names), 2)
    for name in ("hnswlib", "qdrant-int8", "qdrant-tq4"):
        if name in figures:
            result[f"build processor seconds, {name}"] = round(ours["build_cpu_seconds"] / figures[name]["build_cpu_seconds"], 2)
            held = {key: row["anonymous_mib"] + row["mapped_mib"] for key, row in figures.items()}
            result[f"resident memory with originals on disk, {name}"] = round(held["fornax-on-disk"] / held[name], 2)
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worker", type=pathlib.Path, required=True)
    parser.add_argument("--set", choices=METRIC, default="minilm50k")
    parser.add_argument("--inputs", type=pathlib.Path, default=ROOT / "bench/work/vectors", help="made by data.py")
    parser.add_argument("--peers", default=",".join(PEERS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=6, help="passes of ours over the queries in one measurement; peers make a third of it")
    parser.add_argument("--build-threads", type=int, default=2)
    parser.add_argument("--results", type=pathlib.Path, default=ROOT / "bench/results")
    arguments = parser.parse_args()
    source = arguments.inputs / arguments.set
    exact = numpy.load(source / "exact.npy")
    base = numpy.load(source / "base.npy", mmap_mode="r")
    names = [*OURS, *(name for name in arguments.peers.split(",") if name)]
    scratch = pathlib.Path(tempfile.mkdtemp(prefix="fornax-bench-", dir=arguments.inputs))
    try:
        workers, figures = [], {}
        for name in names:
            worker = Worker(name, arguments, scratch)
            built = worker.say(op="build")
            workers.append(worker)
            figures[name] = {"build_cpu_seconds": round(built["cpu_seconds"], 1), "build_seconds": round(built["wall_seconds"], 1),
                             "disk_mib": round(built["disk_bytes"] / 2**20)}
            print(f"{name}: built in {built['cpu_seconds']:.1f} processor seconds", file=sys.stderr)
        one = curves(workers, exact, 1, arguments.rounds, arguments.repeats)
        two = curves(workers, exact, 2, max(2, arguments.rounds // 2), arguments.repeats)
        for name in names:
            for label, curve in (("", one), ("_two_threads", two)):
                for recall in (0.95, 0.99):
                    rate = at_recall(curve[name], recall)
                    figures[name][f"qps_at_{round(recall * 100)}{label}"] = rate and round(rate)
            held = workers[names.index(name)].say(op="memory")
            figures[name] |= {"anonymous_mib": round(held["anonymous_bytes"] / 2**20), "mapped_mib": round(held["mapped_bytes"] / 2**20)}
            figures[name]["recall_at_ef_64"] = round(one[name][WIDTHS.index(64)][0], 4)
        by_filter = filtered(workers, source, 3)
        own = {worker.name: worker for worker in workers}["fornax"]
        after = {key: round(value, 3) for key, value in own.say(op="after", threads=1).items()}
        for worker in workers:
            worker.end()
        table = {name: {"engine": {arguments.set: row}, **({"filtered": by_filter[name]} if name in by_filter else {})} for name, row in figures.items()}
        comparison = ratios(figures)
        after = {key.replace("reopen_", f"reopen_{len(base)}_points_"): value for key, value in after.items()}
        comparison["two threads / one, ours at 0.95"] = round(figures["fornax"]["qps_at_95_two_threads"] / figures["fornax"]["qps_at_95"], 2)
        result = {
            "name": f"vectors-{arguments.set}", "date": datetime.date.today().isoformat(), "machine": machine(),
            "command": f"bench/vectors/bench.py --set {arguments.set} --rounds {arguments.rounds} --repeats {arguments.repeats}",
            "work": f"{arguments.set}: {len(base):,} vectors, {len(exact)} held-out queries, k 10, m 16, ef_construct 200, built with "
                    f"{arguments.build_threads} threads; queries per second by one thread unless said; curves in [images/vectors-{arguments.set}.svg](images/vectors-{arguments.set}.svg)",
            "ours": {**table["fornax"], **after}, "peers": {name: table[name] for name in names if name != "fornax"},
            "ratios": comparison,
            "quality": {name: {f"{recall:.4f}": round(rate) for recall, rate in one[name]} for name in names},
        }
        arguments.results.mkdir(exist_ok=True)
        (arguments.results / f"vectors-{arguments.set}.json").write_text(json.dumps(result, indent=1) + "\n")
        draw(ROOT / f"docs/images/vectors-{arguments.set}.svg", arguments.set, one)
        print(json.dumps(comparison, indent=1))
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


if __name__ == "__main__":
    main()
