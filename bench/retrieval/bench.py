#!/usr/bin/env python3
"""Retrieval quality on the docstrings of Python's standard library (corpus.py): nDCG@10 of Fornax beside its reference (reference.py).

Fornax: the real binary, filled through `fornax ingest` and asked through its search, by meaning, by words, and both fused. Reference, in the
same run on the same texts: exact search over embeddings computed in numpy from the same weights, rank-bm25 with stemmed words, and their
reciprocal rank fusion. The figures do not depend on the machine's speed.
"""
import argparse
import concurrent.futures
import datetime
import json
import math
import os
import pathlib
import platform
import random
import subprocess
import sys
import tempfile
import time
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import corpus  # noqa: E402
import reference  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[2]
DEPTH = 10


def ndcg(found, answers):
    """Binary relevance, logarithmic discount (Järvelin and Kekäläinen 2002)."""
    gain = sum(1 / math.log2(rank + 1) for rank, identity in enumerate(found[:DEPTH], start=1) if identity in answers)
    ideal = sum(1 / math.log2(rank + 1) for rank in range(1, min(len(answers), DEPTH) + 1))
    return gain / ideal


class Server:
    def __init__(self, binary, model):
        self.binary, self.home = str(binary), tempfile.TemporaryDirectory()
        self.data = pathlib.Path(self.home.name)
        self.run("pull", str(model), "--name", "minilm")
        self.process = subprocess.Popen([self.binary, "--data-dir", str(self.data), "serve", "--bind", "127.0.0.1:0"],
                                        stdout=subprocess.DEVNULL, stderr=open(self.data / "log", "w"))
        for _ in range(600):
            if (self.data / "run/address").exists() and (self.data / "admin.key").exists():
                break
            time.sleep(0.1)
        address = (self.data / "run/address").read_text().strip()
        self.url = address if address.startswith("http") else f"http://{address}"
        self.key = (self.data / "admin.key").read_text().strip()

    def run(self, *arguments):
        done = subprocess.run([self.binary, "--data-dir", str(self.data), *arguments], capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"fornax {arguments[0]}: {done.stderr}{(self.data / 'log').read_text() if (self.data / 'log').exists() else ''}")
        return done.stdout

    def search(self, query, mode, limit):
        body = json.dumps({"query": query, "mode": mode, "limit": limit}).encode()
        request = urllib.request.Request(f"{self.url}/fornax/v1/collections/stdlib/search", body,
                                         {"authorization": f"Bearer {self.key}", "content-type": "application/json"})
        with urllib.request.urlopen(request, timeout=120) as response:
            return json.load(response)["results"]

    def close(self):
        self.process.terminate()
        self.process.wait(30)
        self.home.cleanup()


def ours(binary, model, documents, queries):
    server = Server(binary, model)
    try:
        with tempfile.TemporaryDirectory() as directory:
            path = pathlib.Path(directory) / "stdlib.jsonl"
            path.write_text("".join(json.dumps({"id": identity, "body": body}) + "\n" for identity, body in documents.items()))
            report = json.loads(server.run("ingest", str(path), "--collection", "stdlib", "--model", "minilm", "--text-column", "body", "--json"))
            if report["files"][0]["faults"]:
                sys.exit(f"not all was read: {report}")
        results = {"dense": {}, "words": {}, "hybrid": {}}
        for mode, by_query in results.items():
            for query in queries:
                found = [hit["payload"]["fields"]["id"] for hit in server.search(query, mode, 5 * DEPTH)]
                # Chunks of one document count once, at the place of the best.
                by_query[query] = list(dict.fromkeys(found))[:DEPTH]
        return results, report["files"][0]["chunks"]
    finally:
        server.close()


def interval(ours, theirs, seed):
    """95 % of the mean difference, by 2,000 bootstrap samples of the queries."""
    draw, differences = random.Random(seed), [a - b for a, b in zip(ours, theirs)]
    means = sorted(sum(draw.choices(differences, k=len(differences))) / len(differences) for _ in range(2000))
    return round(means[50], 4), round(means[1949], 4)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fornax", required=True, type=pathlib.Path)
    parser.add_argument("--model", required=True, type=pathlib.Path, help="all-MiniLM-L6-v2 as GGUF (fornax convert DIRECTORY minilm.gguf)")
    parser.add_argument("--weights", required=True, type=pathlib.Path, help="the directory that it was converted from")
    parser.add_argument("--queries", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=20261121)
    arguments = parser.parse_args()
    documents, judged = corpus.build(arguments.queries, arguments.seed)
    print(f"{len(documents)} documents, {len(judged)} queries, seed {arguments.seed}", flush=True)
    with concurrent.futures.ProcessPoolExecutor(1) as beside:
        theirs = beside.submit(reference.search, arguments.weights, documents, list(judged), DEPTH)
        mine, chunks = ours(arguments.fornax, arguments.model, documents, judged)
        theirs = theirs.result()
    each = lambda found: {mode: [ndcg(by_query[query], judged[query]) for query in judged] for mode, by_query in found.items()}
    mine, theirs = each(mine), each(theirs)
    mean = lambda values: round(sum(values) / len(values), 4)
    result = {
        "name": "retrieval-stdlib", "date": datetime.date.today().isoformat(),
        "machine": f"{os.cpu_count()} cores; quality figures do not depend on it",
        "command": "bench/retrieval/bench.py --fornax FORNAX --model minilm.gguf --weights all-MiniLM-L6-v2",
        "work": f"nDCG@10 of {len(judged)} queries over {len(documents)} documents ({chunks} chunks): summary lines of the docstrings of Python "
                f"{platform.python_version()}'s standard library against their bodies; seed {arguments.seed}. Peer: exact search over embeddings computed in "
                "numpy from the same weights, rank-bm25 with stemmed words, and reciprocal rank fusion of both (k = 60, depth 50)",
        "ours": {"ndcg_at_10": {mode: {"ndcg@10": mean(values)} for mode, values in mine.items()}},
        "peers": {"reference": {"ndcg_at_10": {mode: {"ndcg@10": mean(theirs[mode])} for mode in mine}}},
        "ratios": {mode: round(mean(mine[mode]) / mean(theirs[mode]), 4) for mode in mine},
        "quality": {f"{mode}, difference, 95 % interval": dict(zip(("from", "to"), interval(mine[mode], theirs[mode], arguments.seed))) for mode in mine}
        | {"rank-bm25 with words split at spaces": mean(theirs["words, split at spaces"])},
    }
    print(json.dumps(result, indent=1))
    path = ROOT / "bench/results/retrieval-stdlib.json"
    path.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
