"""Writes cases.json: small queries and what Qdrant's in-memory mode answers.

    pip install qdrant-client==1.20.0 numpy
    python generate.py

Points, vectors and queries come from a fixed seed. Hits of equal score come in any order; the test allows for that.
"""

import json
import pathlib
import random

from qdrant_client import QdrantClient, models

SEED = 20261121
DIMENSIONS = 6
POINTS = 40
WORDS = "red green blue stone river cloud night winter bird glass".split()

dice = random.Random(SEED)


def number(low=-1.0, high=1.0):
    # Few digits, so that both sides read the same f32.
    return round(dice.uniform(low, high), 3)


def dense():
    return [number() for _ in range(DIMENSIONS)]


def sparse():
    indices = sorted(dice.sample(range(12), dice.randint(2, 5)))
    return {"indices": indices, "values": [number(0.1, 2.0) for _ in indices]}


def multi():
    return [dense() for _ in range(dice.randint(1, 3))]


def payload(id):
    one = {
        "group": dice.choice(["a", "b", "c"]),
        "price": number(0.5, 9.5),
        "text": " ".join(dice.choice(WORDS) for _ in range(dice.randint(2, 9))),
        "when": f"2024-0{dice.randint(1, 9)}-1{dice.randint(0, 9)}T0{dice.randint(0, 9)}:30:00Z",
        "where": {"lon": number(-170, 170), "lat": number(-80, 80)},
    }
    if id % 3:
        one["likes"] = dice.randint(1, 50)
    if id % 5 == 0:
        one["group"] = ["a", "d"]
    return one


def condition(group):
    return {"key": "group", "match": {"value": group}}


def queries():
    """Requests in the shape of Qdrant's REST interface."""
    vector = dense()
    yield {"query": vector, "limit": 7}
    yield {"query": vector, "limit": 5, "offset": 3}
    yield {"query": 7, "limit": 6}
    yield {"query": vector, "limit": 9, "filter": {"must": [condition("a")]}}
    yield {"query": sparse(), "using": "sparse", "limit": 8}
    yield {"query": sparse(), "using": "rare", "limit": 8}
    yield {"query": multi(), "using": "multi", "limit": 6}
    for diversity in (0.2, 0.5, 0.9):
        mmr = {"diversity": diversity, "candidates_limit": 15}
        yield {"query": {"nearest": vector, "mmr": mmr}, "limit": 6}
    yield {"query": {"nearest": sparse(), "mmr": {"diversity": 0.4, "candidates_limit": 12}}, "using": "sparse", "limit": 5}
    yield {"query": {"nearest": multi(), "mmr": {"diversity": 0.6, "candidates_limit": 12}}, "using": "multi", "limit": 5}
    for using, make in (("", dense), ("sparse", sparse), ("rare", sparse), ("multi", multi)):
        for strategy in ("average_vector", "best_score", "sum_scores"):
            for negative in ([], [9, make()]):
                recommend = {"positive": [3, make(), 5], "negative": negative, "strategy": strategy}
                yield {"query": {"recommend": recommend}, "using": using, "limit": 8}
        yield {"query": {"recommend": {"negative": [4, make()], "strategy": "best_score"}}, "using": using, "limit": 8}
        pairs = [{"positive": make(), "negative": make()}, {"positive": 11, "negative": 12}]
        yield {"query": {"discover": {"target": make(), "context": pairs}}, "using": using, "limit": 8}
        yield {"query": {"discover": {"target": 13, "context": pairs[:1]}}, "using": using, "limit": 8}
        yield {"query": {"context": pairs}, "using": using, "limit": 8}
    prefetch = [
        {"query": vector, "limit": 9},
        {"query": sparse(), "using": "sparse", "limit": 7},
        {"query": dense(), "limit": 6, "filter": {"must_not": [condition("c")]}},
    ]
    for query in (
        {"fusion": "rrf"},
        {"fusion": "dbsf"},
        {"rrf": {"k": 60}},
        {"rrf": {"k": 5, "weights": [3.0, 1.0, 0.5]}},
    ):
        yield {"prefetch": prefetch, "query": query, "limit": 12}
        yield {"prefetch": prefetch, "query": query, "limit": 6, "offset": 2, "filter": {"must": [condition("a")]}}
    yield {"prefetch": prefetch[:2], "query": dense(), "limit": 10}
    # Weights under which no two ranks score alike: a tie where a list is cut would leave different points.
    unequal = {"rrf": {"k": 5, "weights": [1.7, 1.0]}}
    nested = [{"prefetch": prefetch[:2], "query": unequal, "limit": 8}, prefetch[2]]
    yield {"prefetch": nested, "query": {"fusion": "dbsf"}, "limit": 10, "score_threshold": 0.2}
    yield {"prefetch": nested, "query": {"recommend": {"positive": [2, dense()]}}, "limit": 5}
    yield {"query": {"order_by": {"key": "price", "direction": "desc"}}, "limit": 8, "filter": {"must": [condition("b")]}}
    yield {"query": {"order_by": {"key": "when"}}, "limit": 6}
    yield {"query": "red river glass", "text": True, "using": "text", "limit": 12}
    yield {"query": "stone stone winter", "text": True, "using": "text", "limit": 5, "filter": {"must": [condition("a")]}}
    for formula in formulas():
        yield {"prefetch": prefetch, "query": {"formula": formula, "defaults": {"likes": 3, "$score[1]": 0.125}}, "limit": 14}


def formulas():
    yield {"sum": ["$score", {"mult": [0.5, "$score[1]"]}, "$score[2]"]}
    yield {"mult": ["$score", {"sum": [1.0, condition("a"), {"mult": [2.0, condition("d")]}]}]}
    yield {"div": {"left": "price", "right": {"sum": ["likes", -3]}, "by_zero_default": 4.5}}
    yield {"sum": ["$score", {"sqrt": "price"}, {"neg": {"abs": {"sum": ["$score", -0.5]}}}]}
    yield {"mult": [{"pow": {"base": "price", "exponent": 0.3}}, {"exp": {"mult": [0.1, "$score"]}}]}
    yield {"sum": [{"log10": "price"}, {"ln": "likes"}, {"exp": -1.5}]}
    yield {"mult": [0.001, {"geo_distance": {"origin": {"lon": 13.4, "lat": 52.5}, "to": "where"}}]}
    near = {"geo_distance": {"origin": {"lon": 13.4, "lat": 52.5}, "to": "where"}}
    when = {"x": {"datetime_key": "when"}, "target": {"datetime": "2024-05-01T00:00:00Z"}, "scale": 5e6}
    for decay in ("lin_decay", "exp_decay", "gauss_decay"):
        yield {decay: when | {"midpoint": 0.3}}
        yield {"sum": ["$score", {decay: {"x": near, "scale": 4e6}}]}
    yield {"max": ["$score", "$score[1]", {"min": ["price", 2.0]}]}


def ask(client, case):
    request = dict(case)
    if request.pop("text", None):
        request["query"] = {"text": request["query"]}
    request = models.QueryRequest.model_validate(request)
    return client.query_points(
        "points",
        query=request.query,
        prefetch=request.prefetch,
        query_filter=request.filter,
        using=request.using or None,
        limit=request.limit,
        offset=request.offset,
        score_threshold=request.score_threshold,
        with_payload=False,
    ).points


def main():
    ids = list(range(1, POINTS + 1))
    points = [
        {
            "id": id,
            "vector": {"": dense(), "sparse": sparse(), "rare": sparse(), "multi": multi()},
            "payload": payload(id),
        }
        for id in ids
    ]
    for missing in (15, 27):
        del points[missing]["vector"]["sparse"], points[missing]["vector"]["rare"]
    cases = list(queries())
    answers = {}
    for distance in ("Cosine", "Dot", "Euclid", "Manhattan"):
        client = QdrantClient(":memory:")
        size = models.VectorParams(size=DIMENSIONS, distance=distance)
        together = models.MultiVectorConfig(comparator=models.MultiVectorComparator.MAX_SIM)
        several = models.VectorParams(size=DIMENSIONS, distance=distance, multivector_config=together)
        client.create_collection(
            "points",
            vectors_config={"": size, "multi": several},
            sparse_vectors_config={
                "sparse": models.SparseVectorParams(),
                "rare": models.SparseVectorParams(modifier=models.Modifier.IDF),
            },
        )
        client.create_payload_index(
            "points", "text", models.TextIndexParams(type="text", scoring=True)
        )
        client.upsert("points", [models.PointStruct.model_validate(point) for point in points])
        answers[distance] = []
        for case in cases:
            hits = ask(client, case)
            answers[distance].append([[hit.id, round(hit.score, 7)] for hit in hits])
    here = pathlib.Path(__file__).parent
    with open(here / "cases.json", "w") as file:
        file.write("{\n")
        for name, list_ in (("points", points), ("cases", cases)):
            lines = ",\n".join(json.dumps(one) for one in list_)
            file.write(f'"{name}": [\n{lines}\n],\n')
        lines = ",\n".join(f'"{name}": {json.dumps(one)}' for name, one in answers.items())
        file.write(f'"answers": {{\n{lines}\n}}\n}}\n')
    print(len(cases), "cases for each distance")


main()
