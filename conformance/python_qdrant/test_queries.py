"""One case per kind of query, beside the client's own engine."""

import pytest
from qdrant_client import models

from compare import check_points

EXACT = models.SearchParams(exact=True)
DENSE = [0.3, -0.2, 0.9, 0.1, -0.5, 0.4, 0.2, -0.7]
WORDS = models.SparseVector(indices=[1, 4, 9, 12, 20], values=[0.5, 1.0, 0.25, 2.0, 1.5])


def both(client, oracle, name, limit=None, **options):
    ours, theirs = [engine.query_points(name, **options, **({"limit": limit} if limit else {})).points for engine in (client, oracle)]
    check_points(ours, theirs, limit or 10)
    assert theirs, "the case compares something"
    return ours


PAIRS = [models.ContextPair(positive=3, negative=9), models.ContextPair(positive=DENSE, negative=12)]
LEAVES = {
    "dense": {"query": DENSE},
    "dense by name": {"query": [0.1, 0.2, -0.4, 0.8], "using": "side"},
    "sparse": {"query": WORDS, "using": "words"},
    "multi": {"query": [[0.1, 0.2, 0.3], [-0.5, 0.1, 0.9]], "using": "tokens"},
    "id": {"query": 7},
    "nearest object": {"query": models.NearestQuery(nearest=7)},
    "recommend": {"query": models.RecommendQuery(recommend=models.RecommendInput(positive=[1, 2], negative=[3]))},
    "recommend best": {
        "query": models.RecommendQuery(recommend=models.RecommendInput(positive=[1, DENSE], negative=[3], strategy="best_score"))
    },
    "recommend negatives": {"query": models.RecommendQuery(recommend=models.RecommendInput(negative=[3, 4], strategy="best_score"))},
    "recommend sum": {"query": models.RecommendQuery(recommend=models.RecommendInput(positive=[1], negative=[3], strategy="sum_scores"))},
    "recommend sparse": {
        "query": models.RecommendQuery(recommend=models.RecommendInput(positive=[1, WORDS], strategy="best_score")),
        "using": "words",
    },
    "discover": {"query": models.DiscoverQuery(discover=models.DiscoverInput(target=5, context=PAIRS))},
    "discover one pair": {"query": models.DiscoverQuery(discover=models.DiscoverInput(target=DENSE, context=PAIRS[0]))},
    "context": {"query": models.ContextQuery(context=PAIRS)},
    "offset": {"query": DENSE, "offset": 5},
    "filtered": {"query": DENSE, "query_filter": models.Filter(must=[models.FieldCondition(key="group", match=models.MatchValue(value="g2"))])},
    "threshold": {"query": DENSE, "score_threshold": 0.2},
    "payload": {"query": DENSE, "with_payload": ["group", "place.lat"]},
    "payload without": {"query": DENSE, "with_payload": models.PayloadSelectorExclude(exclude=["place", "when"])},
    "no payload": {"query": DENSE, "with_payload": False},
    "vectors": {"query": DENSE, "with_vectors": True},
    "named vectors": {"query": DENSE, "with_vectors": ["side", "words"]},
}


@pytest.mark.parametrize("case", LEAVES, ids=list(LEAVES))
def test_leaf(client, oracle, filled, case):
    options = {"search_params": EXACT, **LEAVES[case]}
    both(client, oracle, filled, limit=8, **options)


PREFETCH = [
    models.Prefetch(query=DENSE, limit=40),
    models.Prefetch(query=WORDS, using="words", limit=40),
]
INNER = {
    "rrf": {"query": models.FusionQuery(fusion="rrf")},
    "dbsf": {"query": models.FusionQuery(fusion="dbsf")},
    "rrf with k": {"query": models.RrfQuery(rrf=models.Rrf(k=60))},
    "rrf with weights": {"query": models.RrfQuery(rrf=models.Rrf(k=2, weights=[3.0, 1.0]))},
    "scored again": {"query": [0.1, 0.2, -0.4, 0.8], "using": "side"},
    "formula": {
        "query": models.FormulaQuery(
            formula=models.SumExpression(sum=["$score[0]", models.MultExpression(mult=[0.5, "$score[1]"])]), defaults={"$score[1]": 0.1}
        )
    },
}


@pytest.mark.parametrize("case", INNER, ids=list(INNER))
def test_prefetch(client, oracle, filled, case):
    both(client, oracle, filled, limit=9, prefetch=PREFETCH, **INNER[case])


def test_nested_prefetch_with_filters(client, oracle, filled):
    chosen = models.Filter(must_not=[models.FieldCondition(key="group", match=models.MatchAny(any=["g1", "g3"]))])
    prefetch = models.Prefetch(prefetch=PREFETCH, query=models.FusionQuery(fusion="rrf"), limit=12)
    both(client, oracle, filled, limit=5, prefetch=prefetch, query=[0.1, 0.2, -0.4, 0.8], using="side", query_filter=chosen)


FORMULAS = {
    "arithmetic": models.SumExpression(sum=["$score", models.NegExpression(neg="number"), models.AbsExpression(abs=-2.5)]),
    "division": models.DivExpression(div=models.DivParams(left="price", right="number", by_zero_default=0.5)),
    "roots": models.SumExpression(sum=[models.SqrtExpression(sqrt="price"), models.PowExpression(pow=models.PowParams(base=1.1, exponent="$score"))]),
    "logarithms": models.SumExpression(
        sum=[models.LnExpression(ln=models.SumExpression(sum=["number", 1])), models.Log10Expression(log10=models.SumExpression(sum=["number", 1]))]
    ),
    "exponential": models.ExpExpression(exp="$score"),
    "condition": models.SumExpression(sum=["$score", models.FieldCondition(key="group", match=models.MatchValue(value="g1"))]),
    "distance": models.GaussDecayExpression(
        gauss_decay=models.DecayParamsExpression(
            x=models.GeoDistance(geo_distance=models.GeoDistanceParams(origin=models.GeoPoint(lat=1, lon=2), to="place")), scale=5e6
        )
    ),
    "date": models.LinDecayExpression(
        lin_decay=models.DecayParamsExpression(
            x=models.DatetimeKeyExpression(datetime_key="when"),
            target=models.DatetimeExpression(datetime="2024-06-01T00:00:00Z"),
            scale=86400.0 * 90,
        )
    ),
    "extremes": models.MaxExpression(max=[models.MinExpression(min=["$score", 0.2]), -0.1]),
}


@pytest.mark.parametrize("case", FORMULAS, ids=list(FORMULAS))
def test_formula(client, oracle, filled, case):
    prefetch = models.Prefetch(query=DENSE, limit=40)
    both(client, oracle, filled, limit=10, prefetch=prefetch, query=models.FormulaQuery(formula=FORMULAS[case]))


@pytest.mark.parametrize("diversity", [0.0, 0.3, 0.7, 1.0])
def test_diverse_results(client, oracle, filled, diversity):
    query = models.NearestQuery(nearest=DENSE, mmr=models.Mmr(diversity=diversity, candidates_limit=30))
    ours, theirs = [engine.query_points(filled, query=query, limit=8).points for engine in (client, oracle)]
    assert [point.id for point in ours] == [point.id for point in theirs]


@pytest.mark.parametrize("direction", ["asc", "desc"])
def test_order(client, oracle, filled, direction):
    query = models.OrderByQuery(order_by=models.OrderBy(key="price", direction=direction, start_from=40.0))
    ours, theirs = [engine.query_points(filled, query=query, limit=12).points for engine in (client, oracle)]
    assert [point.id for point in ours] == [point.id for point in theirs]


def test_order_from_a_date(client, oracle, filled):
    query = models.OrderByQuery(order_by=models.OrderBy(key="when", start_from="2024-07-01T00:00:00Z"))
    ours, theirs = [engine.query_points(filled, query=query, limit=8).points for engine in (client, oracle)]
    assert [point.payload["when"] for point in ours] == [point.payload["when"] for point in theirs]


def test_no_query_lists_points_by_id(client, oracle, filled):
    ours, theirs = [engine.query_points(filled, limit=7, offset=3).points for engine in (client, oracle)]
    assert [point.id for point in ours] == [point.id for point in theirs] == list(range(3, 10))


def test_sample(client, filled):
    query = models.SampleQuery(sample="random")
    samples = [tuple(point.id for point in client.query_points(filled, query=query, limit=10).points) for _ in range(5)]
    assert all(len(set(sample)) == 10 for sample in samples)
    assert len(set(samples)) > 1


def test_groups(client, oracle, filled):
    options = {"query": DENSE, "group_by": "group", "limit": 3, "group_size": 2}
    ours, theirs = [engine.query_points_groups(filled, **options).groups for engine in (client, oracle)]
    assert [group.id for group in ours] == [group.id for group in theirs]
    for one, two in zip(ours, theirs):
        check_points(one.hits, two.hits, 2)


def test_groups_with_their_point_of_another_collection(client, filled):
    other = filled + "-groups"
    client.create_collection(other, vectors_config={})
    try:
        client.upsert(other, [models.PointStruct(id=number, vector={}, payload={"title": f"t{number}"}) for number in range(41)])
        options = {"query": DENSE, "group_by": "number", "limit": 3, "group_size": 1}
        groups = client.query_points_groups(filled, with_lookup=models.WithLookup(collection=other, with_payload=True), **options).groups
        assert [group.lookup.payload["title"] for group in groups] == [f"t{group.id}" for group in groups]
    finally:
        client.delete_collection(other)


def test_vectors_of_another_collection(client, oracle, filled):
    other = filled + "-other"
    for engine in (client, oracle):
        engine.create_collection(other, vectors_config={"far": models.VectorParams(size=8, distance="Cosine")})
        engine.upsert(other, [models.PointStruct(id=900, vector={"far": DENSE})], wait=True)
    try:
        both(client, oracle, filled, limit=6, query=900, lookup_from=models.LookupLocation(collection=other, vector="far"))
    finally:
        client.delete_collection(other)


def test_batch(client, oracle, filled):
    requests = [
        models.QueryRequest(query=DENSE, limit=4, with_payload=True),
        models.QueryRequest(query=WORDS, using="words", limit=3),
        models.QueryRequest(query=models.RecommendQuery(recommend=models.RecommendInput(positive=[4])), limit=2),
    ]
    ours, theirs = [engine.query_batch_points(filled, requests) for engine in (client, oracle)]
    for one, two in zip(ours, theirs, strict=True):
        check_points(one.points, two.points, 10)


@pytest.mark.parametrize(
    "params",
    [
        models.SearchParams(hnsw_ef=128),
        models.SearchParams(indexed_only=True),
        models.SearchParams(quantization=models.QuantizationSearchParams(ignore=True)),
        models.SearchParams(quantization=models.QuantizationSearchParams(rescore=True, oversampling=3.0)),
        models.SearchParams(acorn=models.AcornSearchParams(enable=True, max_selectivity=0.5)),
    ],
    ids=["ef", "indexed only", "no codes", "oversampling", "acorn"],
)
def test_search_parameters_keep_the_answer_right(client, oracle, filled, params):
    both(client, oracle, filled, limit=8, query=DENSE, search_params=params)


def test_frequencies_weigh_sparse_queries(client, oracle, name):
    for engine in (client, oracle):
        engine.create_collection(name, vectors_config={}, sparse_vectors_config={"w": models.SparseVectorParams(modifier="idf")})
        points = [
            models.PointStruct(id=index, vector={"w": models.SparseVector(indices=sorted({1, index % 3 + 2, index % 7 + 10}), values=[1.0, 1.0, 1.0])})
            for index in range(30)
        ]
        engine.upsert(name, points, wait=True)
    query = models.SparseVector(indices=[1, 3, 12], values=[1.0, 0.7, 0.9])
    ours, theirs = [engine.query_points(name, query=query, using="w", limit=30).points for engine in (client, oracle)]
    check_points(ours, theirs)


@pytest.mark.parametrize("form", ["pairs", "offsets"])
def test_matrix(client, oracle, filled, form):
    method = f"search_matrix_{form}"
    ours, theirs = [getattr(engine, method)(filled, sample=40, limit=3) for engine in (client, oracle)]
    if form == "pairs":
        shown = lambda matrix: {(pair.a, pair.b): round(pair.score, 3) for pair in matrix.pairs}
    else:
        shown = lambda matrix: {
            (matrix.ids[row], matrix.ids[column]): round(score, 3)
            for row, column, score in zip(matrix.offsets_row, matrix.offsets_col, matrix.scores, strict=True)
        }
    assert shown(ours).keys() == shown(theirs).keys()
    assert len(shown(ours)) == 120


def test_a_billion_points_means_all_of_them(client, filled):
    """Open WebUI asks so."""
    everything = 999_999_999
    assert len(client.query_points(filled, query=DENSE, limit=everything).points) == 40
    prefetch = [models.Prefetch(query=DENSE, limit=everything), models.Prefetch(query=WORDS, using="words", limit=everything)]
    assert len(client.query_points(filled, prefetch=prefetch, query=models.FusionQuery(fusion="rrf"), limit=3).points) == 3
    records, following = client.scroll(filled, limit=everything)
    assert len(records) == 40 and following is None
