"""Requests that make no sense, over raw HTTP: each a clear refusal that names what is wrong, none a failure of ours."""

import pytest

DENSE = [0.1] * 8


def deep_filter(depth):
    made = {"must": [{"key": "a", "match": {"value": 1}}]}
    for _ in range(depth):
        made = {"must": [made]}
    return made


def deep_prefetch(depth):
    made = {"query": DENSE, "limit": 1}
    for _ in range(depth):
        made = {"prefetch": made, "query": DENSE, "limit": 1}
    return made


def deep_formula(depth):
    made = "$score"
    for _ in range(depth):
        made = {"neg": made}
    return {"prefetch": {"query": DENSE}, "query": {"formula": made}}


QUERIES = {
    "wrong dimensions": ({"query": [1, 2]}, "8"),
    "text among numbers": ({"query": [0.1, "x"]}, "query[1]"),
    "empty vector": ({"query": []}, "empty"),
    "number too large for a float": ({"query": [1e39] + DENSE[1:]}, "query[0]"),
    "unknown vector": ({"query": DENSE, "using": "nothing"}, "nothing"),
    "sparse for dense": ({"query": {"indices": [1], "values": [1.0]}}, "kind"),
    "dense for sparse": ({"query": [1.0], "using": "words"}, "kind"),
    "sparse of two lengths": ({"query": {"indices": [1, 2], "values": [1.0]}, "using": "words"}, "same length"),
    "sparse index twice": ({"query": {"indices": [1, 1], "values": [1.0, 2.0]}, "using": "words"}, "unique"),
    "sparse index beyond 32 bits": ({"query": {"indices": [2**32], "values": [1.0]}, "using": "words"}, "indices[0]"),
    "negative sparse index": ({"query": {"indices": [-1], "values": [1.0]}, "using": "words"}, "indices[0]"),
    "id below 0": ({"query": -5}, "point id"),
    "id beyond 64 bits": ({"query": 2**64}, "point id"),
    "id that is no UUID": ({"query": "hello"}, "point"),
    "id that is not stored": ({"query": 987654}, "987654"),
    "uneven multi-vector": ({"query": [[1, 2, 3], [1, 2]], "using": "tokens"}, "one size"),
    "multi for dense": ({"query": [DENSE, DENSE]}, "kind"),
    "limit of 0": ({"query": DENSE, "limit": 0}, "limit"),
    "limit below 0": ({"query": DENSE, "limit": -1}, "limit"),
    "limit as text": ({"query": DENSE, "limit": "ten"}, "limit"),
    "limit with a fraction": ({"query": DENSE, "limit": 1.5}, "limit"),
    "offset below 0": ({"query": DENSE, "offset": -2}, "offset"),
    "threshold as text": ({"query": DENSE, "score_threshold": "high"}, "score_threshold"),
    "unknown field": ({"query": DENSE, "limits": 5}, "limits"),
    "unknown query": ({"query": {"closest": DENSE}}, "query"),
    "two queries in one": ({"query": {"nearest": DENSE, "fusion": "rrf"}}, "fusion"),
    "unknown fusion": ({"prefetch": {"query": DENSE}, "query": {"fusion": "best"}}, "best"),
    "fusion without prefetches": ({"query": {"fusion": "rrf"}}, "prefetch"),
    "prefetch without a query over it": ({"prefetch": {"query": DENSE}}, "query"),
    "weights that do not fit": ({"prefetch": {"query": DENSE}, "query": {"rrf": {"weights": [1, 2]}}}, "weights"),
    "weights below 0": ({"prefetch": {"query": DENSE}, "query": {"rrf": {"weights": [-1]}}}, "weights"),
    "k of 0": ({"prefetch": {"query": DENSE}, "query": {"rrf": {"k": 0}}}, "k"),
    "diversity above 1": ({"query": {"nearest": DENSE, "mmr": {"diversity": 3}}}, "diversity"),
    "too many candidates": ({"query": {"nearest": DENSE, "mmr": {"candidates_limit": 10**9}}}, "candidates"),
    "no examples": ({"query": {"recommend": {}}}, "positive"),
    "too many examples": ({"query": {"recommend": {"positive": [1] * 1000}}}, "examples"),
    "unknown strategy": ({"query": {"recommend": {"positive": [1], "strategy": "worst"}}}, "worst"),
    "half a pair": ({"query": {"context": [{"positive": 1}]}}, "negative"),
    "no pair": ({"query": {"context": []}}, "context"),
    "discover without a target": ({"query": {"discover": {"context": []}}}, "target"),
    "order without a key": ({"query": {"order_by": {"direction": "asc"}}}, "key"),
    "unknown direction": ({"query": {"order_by": {"key": "number", "direction": "up"}}}, "up"),
    "start that is no date": ({"query": {"order_by": {"key": "number", "start_from": "soon"}}}, "start_from"),
    "unknown sample": ({"query": {"sample": "all"}}, "all"),
    "prefetches too deep": (deep_prefetch(20), "depth"),
    "too many prefetches": ({"prefetch": [{"query": DENSE}] * 100, "query": {"fusion": "rrf"}}, "prefetches"),
    "filter too deep": ({"query": DENSE, "filter": deep_filter(50)}, "depth"),
    "JSON too deep": ({"query": DENSE, "filter": deep_filter(300)}, "recursion"),
    "filter with too many conditions": ({"query": DENSE, "filter": {"must": [{"has_id": [1]}] * 5000}}, "conditions"),
    "unknown condition": ({"query": DENSE, "filter": {"must": [{"like": "x"}]}}, "must[0]"),
    "unknown clause": ({"query": DENSE, "filter": {"may": []}}, "may"),
    "match of nothing": ({"query": DENSE, "filter": {"must": [{"key": "a", "match": {}}]}}, "match"),
    "range as text": ({"query": DENSE, "filter": {"must": [{"key": "a", "range": {"gt": "x"}}]}}, "gt"),
    "broken path": ({"query": DENSE, "filter": {"must": [{"key": "a[", "match": {"value": 1}}]}}, "key"),
    "place beyond the earth": (
        {"query": DENSE, "filter": {"must": [{"key": "place", "geo_radius": {"center": {"lat": 99, "lon": 0}, "radius": 5}}]}},
        "center",
    ),
    "formula too deep": (deep_formula(60), "depth"),
    "unknown operator": ({"prefetch": {"query": DENSE}, "query": {"formula": {"sine": 1}}}, "formula"),
    "unknown variable": ({"prefetch": {"query": DENSE}, "query": {"formula": "$rank"}}, "$rank"),
    "formula over missing values": ({"prefetch": {"query": DENSE}, "query": {"formula": "absent"}}, "absent"),
    "division by zero": (
        {"prefetch": {"query": DENSE}, "query": {"formula": {"div": {"left": 1, "right": 0}}}},
        "formula",
    ),
    "decay without a scale": (
        {"prefetch": {"query": DENSE}, "query": {"formula": {"exp_decay": {"x": "$score", "scale": 0}}}},
        "scale",
    ),
    "ef too large": ({"query": DENSE, "params": {"hnsw_ef": 10**9}}, "ef"),
    "ef below 0": ({"query": DENSE, "params": {"hnsw_ef": -1}}, "hnsw_ef"),
    "oversampling below 1": ({"query": DENSE, "params": {"quantization": {"oversampling": 0.5}}}, "oversampling"),
    "unknown parameter": ({"query": DENSE, "params": {"speed": 1}}, "speed"),
    "payload of numbers": ({"query": DENSE, "with_payload": 5}, "with_payload"),
    "vectors of an unknown name": ({"query": DENSE, "with_vector": ["nothing"]}, "nothing"),
    "lookup in nothing": ({"query": 1, "lookup_from": {"vector": "x"}}, "collection"),
    "lookup in an absent collection": ({"query": 1, "lookup_from": {"collection": "absent-c"}}, "absent-c"),
    "model without a text": ({"query": {"model": "minilm"}}, "query"),
    "text that is a number": ({"query": {"text": 5, "model": "minilm"}}, "text"),
    "bm25 for dense": ({"query": {"text": "a", "model": "bm25"}}, "sparse"),
    "no object": ([1, 2], "object"),
}


@pytest.mark.parametrize("case", QUERIES, ids=list(QUERIES))
def test_query(http, filled, case):
    body, words = QUERIES[case]
    reply = http("POST", f"/collections/{filled}/points/query", body)
    assert 400 <= reply.status < 500, (reply.status, reply.body)
    assert words.lower() in reply.error.lower(), reply.error


UNSUPPORTED = {
    "feedback": {"query": {"relevance_feedback": {"target": 1, "feedback": [], "strategy": {"naive": {"a": 1, "b": 1, "c": 1}}}}},
    "image": {"query": {"image": "aGk=", "model": "clip"}},
    "frequencies of a part": {"query": DENSE, "params": {"idf": {"corpus": {"must": []}}}},
    "shards": {"query": DENSE, "shard_key": "east"},
}


@pytest.mark.parametrize("case", UNSUPPORTED, ids=list(UNSUPPORTED))
def test_what_is_not_supported_says_so(http, filled, case):
    reply = http("POST", f"/collections/{filled}/points/query", UNSUPPORTED[case])
    assert reply.status == 501, reply.body
    assert reply.error


WRITES = {
    "wrong dimensions": ({"points": [{"id": 1, "vector": [1, 2]}]}, "8"),
    "unknown vector": ({"points": [{"id": 1, "vector": {"nothing": [1]}}]}, "nothing"),
    "no id": ({"points": [{"vector": DENSE}]}, "id"),
    "id below 0": ({"points": [{"id": -1, "vector": DENSE}]}, "id"),
    "id beyond 64 bits": ({"points": [{"id": 2**64, "vector": DENSE}]}, "id"),
    "infinite value": ({"points": [{"id": 1, "vector": [1e39] + DENSE[1:]}]}, "vector"),
    "payload that is a list": ({"points": [{"id": 1, "vector": DENSE, "payload": [1]}]}, "payload"),
    "sparse of two lengths": ({"points": [{"id": 1, "vector": {"words": {"indices": [1], "values": []}}}]}, "words"),
    "neither points nor batch": ({}, "points"),
    "batch of two lengths": ({"batch": {"ids": [1, 2], "vectors": [DENSE]}}, "vectors"),
}


@pytest.mark.parametrize("case", WRITES, ids=list(WRITES))
def test_upsert(http, filled, case):
    body, words = WRITES[case]
    reply = http("PUT", f"/collections/{filled}/points?wait=true", body)
    assert 400 <= reply.status < 500, (reply.status, reply.body)
    assert words.lower() in reply.error.lower(), reply.error
    assert http("POST", f"/collections/{filled}/points/count", {}).json()["result"]["count"] == 40


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"query": DENSE}, "group_by"),
        ({"query": DENSE, "group_by": "group", "limit": 0}, "limit"),
        ({"query": DENSE, "group_by": "group", "group_size": 0}, "group_size"),
        ({"query": DENSE, "group_by": "group", "limit": 10**6, "group_size": 10**6}, "groups"),
        ({"query": DENSE, "group_by": "group", "offset": 3}, "offset"),
        ({"query": DENSE, "group_by": "a["}, "group_by"),
        ({"query": DENSE, "group_by": "group", "with_lookup": "absent-c"}, "absent-c"),
    ],
)
def test_groups(http, filled, body, words):
    reply = http("POST", f"/collections/{filled}/points/query/groups", body)
    assert 400 <= reply.status < 500, (reply.status, reply.body)
    assert words.lower() in reply.error.lower(), reply.error


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"sample": 1}, "sample"),
        ({"sample": 10**9}, "sample"),
        ({"limit": 0}, "limit"),
        ({"samples": 3}, "samples"),
        ({"using": "absent"}, "absent"),
    ],
)
def test_matrix(http, filled, body, words):
    reply = http("POST", f"/collections/{filled}/points/search/matrix/pairs", body)
    assert 400 <= reply.status < 500, (reply.status, reply.body)
    assert words in reply.error, reply.error


def test_bodies_that_are_no_json(http, filled):
    for body in (b"", b"{", b"[1, 2", b"{\"query\": NaN}", b"\xff\xfe"):
        reply = http("POST", f"/collections/{filled}/points/query", body)
        assert reply.status == 400, (body, reply.body)
        assert reply.error


def test_a_batch_of_too_many_queries(http, filled):
    reply = http("POST", f"/collections/{filled}/points/query/batch", {"searches": [{"query": DENSE}] * 1001})
    assert reply.status == 400 and "1000" in reply.error.replace(",", ""), reply.body


def test_a_batch_names_the_query_at_fault(http, filled):
    reply = http("POST", f"/collections/{filled}/points/query/batch", {"searches": [{"query": DENSE}, {"query": [1, "x"]}]})
    assert reply.status == 400 and "searches[1]" in reply.error, reply.body
    reply = http("POST", f"/collections/{filled}/points/query/batch", {})
    assert reply.status == 400 and "searches" in reply.error, reply.body


@pytest.mark.parametrize("query", ["timeout=0", "timeout=soon", "consistency=7"])
def test_parameters_of_the_query_string(http, filled, query):
    reply = http("POST", f"/collections/{filled}/points/query?{query}", {"query": DENSE})
    assert reply.status == 400, reply.body
    assert query.split("=")[0] in reply.error, reply.error


def test_the_old_routes_are_gone_as_on_the_wire_itself(http, filled):
    for route in ("search", "search/batch", "recommend", "discover"):
        reply = http("POST", f"/collections/{filled}/points/{route}", {"vector": DENSE, "limit": 1})
        assert reply.status in (404, 405, 501), reply.body


def test_queries_of_an_absent_collection(http):
    bodies = {
        "query": {"query": [1]},
        "query/batch": {"searches": [{"query": [1]}]},
        "query/groups": {"query": [1], "group_by": "a"},
        "search/matrix/pairs": {},
    }
    for route, body in bodies.items():
        reply = http("POST", f"/collections/absent-c/points/{route}", body)
        assert reply.status == 404 and "doesn't exist" in reply.error, (route, reply.body)


def test_nothing_was_broken(client, filled):
    assert client.count(filled).count == 40
    assert client.query_points(filled, query=DENSE, limit=3).points
