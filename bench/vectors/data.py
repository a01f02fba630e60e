#!/usr/bin/env python3
"""Makes the benchmark's inputs as npy files in bench/work/vectors from the measured data sets (see --data): base, queries, exact
top 100, and integer attributes for filtered search.

- `minilm50k`: 50,000 real sentence embeddings (all-MiniLM-L6-v2, cosine); `digits30k`: 30,000 handwritten digits (784 values, L2).
- `minilm200k`: the 50,000 and 150,000 made from them: x = l*a + (1-l)*b + 0.25*g + 0.15*r, normalised; a and r random real ones, b one of
  the ten nearest of a, l uniform in (.5, .8), g an isotropic Gaussian of unit length. Seeded; exact neighbours by brute force here.
- attributes: `s0_1`, `s1`, `s10`, `s50` are 1 for that percentage of rows at random; `near` and `far` are 1 for the 10 % of rows that look most and
  least like the mean of the queries: a filter that agrees with the query, and one that contradicts it.
"""
import argparse
import pathlib

import numpy

ROOT = pathlib.Path(__file__).resolve().parents[2]


def unit(rows):
    return rows / numpy.linalg.norm(rows, axis=1, keepdims=True)


def nearest(base, queries, metric, count, allowed=None):
    """Exact ids of the `count` best rows for each query, best first; ties go to the lower id."""
    ids = numpy.arange(len(base)) if allowed is None else numpy.flatnonzero(allowed)
    rows, found = base[ids].astype(numpy.float32), []
    squares = (rows * rows).sum(axis=1)
    for block in numpy.array_split(queries.astype(numpy.float32), max(1, len(queries) // 100)):
        scores = block @ rows.T if metric == "cosine" else 2 * (block @ rows.T) - squares
        best = numpy.argsort(-scores, axis=1, kind="stable")[:, :count]
        found.append(ids[best])
    return numpy.concatenate(found)


def enlarge(base, count, seed):
    random = numpy.random.default_rng(seed)
    pick = random.integers(0, len(base), count)
    sample = random.choice(len(base), 20_000, replace=False)
    made = numpy.empty((count, base.shape[1]), dtype=numpy.float32)
    for start in range(0, count, 1_000):
        rows = base[pick[start:start + 1_000]]
        near = numpy.argpartition(-(rows @ base[sample].T), 11, axis=1)[:, 1:11]
        partner = base[sample[near[numpy.arange(len(rows)), random.integers(0, 10, len(rows))]]]
        weight = random.uniform(0.5, 0.8, (len(rows), 1)).astype(numpy.float32)
        noise = unit(random.standard_normal(rows.shape).astype(numpy.float32))
        other = base[random.integers(0, len(base), len(rows))]
        made[start:start + len(rows)] = unit(weight * rows + (1 - weight) * partner + 0.25 * noise + 0.15 * other)
    return made


def attributes(base, queries, metric, seed):
    random = numpy.random.default_rng(seed)
    chosen = {name: (random.random(len(base)) < share).astype(numpy.int64)
              for name, share in (("s0_1", 0.001), ("s1", 0.01), ("s10", 0.1), ("s50", 0.5))}
    order = nearest(base, queries.mean(axis=0, keepdims=True), metric, len(base))[0]
    for name, rows in (("near", order[:len(base) // 10]), ("far", order[-(len(base) // 10):])):
        chosen[name] = numpy.zeros(len(base), dtype=numpy.int64)
        chosen[name][rows] = 1
    return chosen


def write(directory, name, base, queries, metric, exact):
    target = directory / name
    target.mkdir(parents=True, exist_ok=True)
    numpy.save(target / "base.npy", base)
    numpy.save(target / "queries.npy", queries)
    numpy.save(target / "exact.npy", exact[:, :100].astype(numpy.int64))
    for field, values in attributes(base, queries, metric, 7).items():
        numpy.save(target / f"{field}.npy", values)
        numpy.save(target / f"exact.{field}.npy", nearest(base, queries, metric, 10, values == 1).astype(numpy.int64))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=pathlib.Path, default=ROOT / "../shared/data")
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "bench/work/vectors")
    arguments = parser.parse_args()
    real = unit(numpy.load(arguments.data / "minilm50k.base.f16.npy").astype(numpy.float32))
    queries = unit(numpy.load(arguments.data / "minilm50k.query.f16.npy").astype(numpy.float32))
    write(arguments.out, "minilm50k", real, queries, "cosine", numpy.load(arguments.data / "minilm50k.gt100.npy"))
    digits = numpy.load(arguments.data / "digits30k.u8.npz")
    write(arguments.out, "digits30k", digits["base"].astype(numpy.float32), digits["query"].astype(numpy.float32), "euclid", digits["gt100"])
    large = numpy.concatenate([real, enlarge(real, 150_000, 11)])
    large = large[numpy.random.default_rng(12).permutation(len(large))]
    write(arguments.out, "minilm200k", large, queries, "cosine", nearest(large, queries, "cosine", 100))


if __name__ == "__main__":
    main()
