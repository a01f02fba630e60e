"""The same random operations on our server and on the client's own engine; every answer compared.

CONFORMANCE_OPERATIONS says how many (5,000 by default). The seed is printed; it is the same in every run, so that a change of the
result is a change of the code, unless CONFORMANCE_SEED says another.
"""

import collections
import os
import random
import uuid

import numpy
from qdrant_client import models

from compare import check_points, check_records

OPERATIONS = int(os.environ.get("CONFORMANCE_OPERATIONS", "5000"))
SEED = int(os.environ.get("CONFORMANCE_SEED", "1"))
NAME = "random"
SIZES = {"": 6, "euclid": 4, "city": 4, "dot": 5}
WORDS = "alpha beta gamma delta epsilon zeta eta theta iota kappa".split()
IDS = list(range(40)) + [str(uuid.UUID(int=value * 7919)) for value in range(1, 11)]


class OracleFailed(Exception):
    """The client's own engine could not answer."""


class Pair:
    """Our server and the client's own engine, given the same operations."""

    def __init__(self, ours, theirs, generator):
        self.ours, self.theirs, self.random = ours, theirs, generator
        self.counts = collections.Counter()
        self.failed = 0

    def its_own(self, method, *arguments, **options):
        try:
            return getattr(self.theirs, method)(NAME, *arguments, **options)
        except numpy._core._exceptions.UFuncTypeError as error:
            # Pairs compared over no point at all break its arithmetic.
            raise OracleFailed(method) from error

    def both(self, method, *arguments, **options):
        theirs = self.its_own(method, *arguments, **options)
        return getattr(self.ours, method)(NAME, *arguments, **options), theirs

    # What operations are made of.

    def numbers(self, count):
        return [round(self.random.uniform(-1, 1), 4) for _ in range(count)]

    def sparse(self):
        indices = sorted(self.random.sample(range(25), self.random.randint(2, 7)))
        return models.SparseVector(indices=indices, values=[round(self.random.uniform(0.1, 2), 4) for _ in indices])

    def vector(self, name):
        if name == "words":
            return self.sparse()
        if name == "tokens":
            return [self.numbers(3) for _ in range(self.random.randint(1, 4))]
        return self.numbers(SIZES[name])

    def name(self):
        return self.random.choice([*SIZES, "tokens", "words"])

    def vectors(self):
        names = [*SIZES, "tokens", "words"]
        return {name: self.vector(name) for name in names if self.random.random() < 0.9} or {"": self.vector("")}

    def payload(self):
        made = {
            "kind": self.random.choice(WORDS[:4]),
            "count": self.random.randint(-20, 20),
            "price": round(self.random.uniform(-10, 10), 3),
            "sold": self.random.random() < 0.5,
            "tags": self.random.sample(WORDS, self.random.randint(0, 3)),
            "when": f"20{self.random.randint(10, 30)}-{self.random.randint(1, 12):02}-{self.random.randint(1, 28):02}T10:00:00Z",
            "place": {"lat": round(self.random.uniform(-80, 80), 4), "lon": round(self.random.uniform(-170, 170), 4)},
            "text": " ".join(self.random.choices(WORDS, k=6)),
            "parts": [{"size": self.random.randint(0, 5), "name": self.random.choice(WORDS)} for _ in range(self.random.randint(0, 3))],
            "nothing": None,
        }
        return {key: value for key, value in made.items() if self.random.random() < 0.8}

    def id(self):
        return self.random.choice(IDS)

    def ids(self):
        return self.random.sample(IDS, self.random.randint(1, 4))

    def condition(self, depth=0):
        match = lambda key, value: models.FieldCondition(key=key, match=value)
        number = lambda: self.random.randint(-20, 20)
        made = [
            lambda: match("kind", models.MatchValue(value=self.random.choice(WORDS[:4]))),
            lambda: match("count", models.MatchValue(value=number())),
            lambda: match("sold", models.MatchValue(value=True)),
            lambda: match("tags", models.MatchAny(any=self.random.sample(WORDS, 3))),
            lambda: match("kind", models.MatchExcept(**{"except": self.random.sample(WORDS[:4], 2)})),
            lambda: models.FieldCondition(key="count", range=models.Range(gte=number(), lt=number() + 15)),
            lambda: models.FieldCondition(key="price", range=models.Range(gt=self.random.uniform(-10, 5))),
            lambda: models.FieldCondition(key="when", range=models.DatetimeRange(gte=f"20{self.random.randint(10, 28)}-01-01T00:00:00Z")),
            lambda: models.FieldCondition(key="tags", values_count=models.ValuesCount(gte=self.random.randint(1, 3))),
            lambda: models.FieldCondition(
                key="place",
                geo_bounding_box=models.GeoBoundingBox(
                    top_left=models.GeoPoint(lat=70, lon=-150), bottom_right=models.GeoPoint(lat=-20, lon=self.random.uniform(0, 160))
                ),
            ),
            lambda: models.FieldCondition(
                key="place", geo_radius=models.GeoRadius(center=models.GeoPoint(lat=10, lon=10), radius=self.random.uniform(1e6, 9e6))
            ),
            lambda: models.IsEmptyCondition(is_empty=models.PayloadField(key="tags")),
            lambda: models.IsNullCondition(is_null=models.PayloadField(key="nothing")),
            lambda: models.HasIdCondition(has_id=self.random.sample(IDS, 20)),
            lambda: models.HasVectorCondition(has_vector=self.random.choice(["tokens", "words", "dot"])),
            lambda: models.NestedCondition(
                nested=models.Nested(
                    key="parts",
                    filter=models.Filter(
                        must=[
                            models.FieldCondition(key="size", range=models.Range(gte=self.random.randint(0, 4))),
                            match("name", models.MatchAny(any=self.random.sample(WORDS, 5))),
                        ]
                    ),
                )
            ),
            lambda: match("parts[].name", models.MatchValue(value=self.random.choice(WORDS))),
        ]
        if depth < 2 and self.random.random() < 0.2:
            return self.filter(depth + 1)
        return self.random.choice(made)()

    def filter(self, depth=0):
        clauses = {}
        for clause in ("must", "should", "must_not"):
            if self.random.random() < 0.4:
                clauses[clause] = [self.condition(depth) for _ in range(self.random.randint(1, 2))]
        if self.random.random() < 0.15:
            conditions = [self.condition(depth) for _ in range(3)]
            clauses["min_should"] = models.MinShould(conditions=conditions, min_count=self.random.randint(1, 3))
        return models.Filter(**clauses) if clauses else models.Filter(must=[self.condition(depth)])

    def perhaps(self, make):
        return make() if self.random.random() < 0.5 else None

    def stored(self, count):
        """Ids of stored points. Of others its engine says that they are not there, as Qdrant's server does; ours passes over them."""
        records, _ = self.theirs.scroll(NAME, limit=len(IDS))
        ids = [record.id for record in records]
        return self.random.sample(ids, min(count, len(ids)))

    def selector(self):
        if self.random.random() < 0.6:
            return self.stored(3)
        return models.FilterSelector(filter=models.Filter(must=[self.condition(2), self.condition(2)]))

    # Writes.

    def upsert(self):
        ids = self.random.sample(IDS, self.random.randint(1, 6))
        points = [models.PointStruct(id=id, vector=self.vectors(), payload=self.payload()) for id in ids]
        self.both("upsert", points, wait=True)

    def delete(self):
        self.both("delete", self.selector() if self.random.random() < 0.3 else self.ids()[:1], wait=True)

    def set_payload(self):
        key = {"key": "place"} if self.random.random() < 0.2 else {}
        self.both("set_payload", payload={"count": self.random.randint(-20, 20), "extra": {"deep": [1, 2]}}, points=self.selector(), wait=True, **key)

    def overwrite_payload(self):
        self.both("overwrite_payload", payload=self.payload(), points=self.stored(3), wait=True)

    def delete_payload(self):
        self.both("delete_payload", keys=self.random.sample(["tags", "extra.deep", "count", "parts"], 2), points=self.selector(), wait=True)

    def clear_payload(self):
        self.both("clear_payload", points_selector=self.stored(1), wait=True)

    def update_vectors(self):
        points = [models.PointVectors(id=id, vector=self.vectors()) for id in self.stored(3)]
        if points:
            self.both("update_vectors", points=points, wait=True)

    def delete_vectors(self):
        self.both("delete_vectors", vectors=[self.random.choice(["tokens", "words", "dot"])], points=self.stored(2), wait=True)

    def batch(self):
        operations = [
            models.UpsertOperation(
                upsert=models.PointsList(points=[models.PointStruct(id=self.id(), vector=self.vectors(), payload=self.payload())])
            ),
            models.SetPayloadOperation(set_payload=models.SetPayload(payload={"sold": True}, points=self.stored(2))),
            models.DeleteOperation(delete=models.PointIdsList(points=[self.id()])),
        ]
        self.both("batch_update_points", update_operations=operations, wait=True)

    # Reads.

    def retrieve(self):
        ours, theirs = self.both("retrieve", ids=self.ids(), with_payload=True, with_vectors=True)
        check_records(ours, theirs, ordered=False)

    def scroll(self):
        options = {"scroll_filter": self.perhaps(self.filter), "limit": self.random.randint(1, 12), "with_vectors": self.random.random() < 0.3}
        offset = None
        for _ in range(3):
            (ours, our_next), (theirs, their_next) = self.both("scroll", offset=offset, **options)
            check_records(ours, theirs)
            assert (our_next is None) == (their_next is None)
            if our_next is None:
                break
            assert str(our_next) == str(their_next)
            offset = our_next

    def scroll_in_order(self):
        key = self.random.choice(["count", "price", "when"])
        direction = self.random.choice([models.Direction.ASC, models.Direction.DESC])
        order = models.OrderBy(key=key, direction=direction)
        (ours, _), (theirs, _) = self.both("scroll", order_by=order, limit=len(IDS), scroll_filter=self.perhaps(self.filter))
        # Equal values may come in any order.
        value = lambda record: str(record.payload[key])
        assert [value(record) for record in ours] == [value(record) for record in theirs]
        check_records(ours, theirs, ordered=False)

    def count(self):
        ours, theirs = self.both("count", count_filter=self.perhaps(self.filter), exact=True)
        assert ours.count == theirs.count

    def facet(self):
        key = self.random.choice(["kind", "tags", "sold", "count"])
        ours, theirs = self.both("facet", key=key, facet_filter=self.perhaps(self.filter), limit=100, exact=True)
        shown = lambda reply: sorted((str(hit.value), hit.count) for hit in reply.hits)
        assert shown(ours) == shown(theirs)

    def target(self, name):
        return self.vector(name)

    def example(self, name, stored):
        return self.random.choice(stored) if stored and self.random.random() < 0.5 else self.vector(name)

    def with_vector(self, name):
        """Stored points that have a vector: naming any other is an error."""
        condition = models.HasVectorCondition(has_vector=name)
        records, _ = self.theirs.scroll(NAME, scroll_filter=models.Filter(must=[condition]), limit=len(IDS))
        return [record.id for record in records]

    def leaf(self, name, stored):
        # Discovery is left to the directed cases: a pair counts a whole step for a point, and where the point is as near to one
        # as to the other, rounding decides which way.
        kinds = ["nearest"] * 4 + ["best", "sum", "average", "context"]
        kind = self.random.choice(kinds)
        examples = lambda: [self.example(name, stored) for _ in range(self.random.randint(1, 2))]
        if name in ("tokens", "words") and kind == "average":
            kind = "best"
        pairs = lambda: [
            models.ContextPair(positive=self.example(name, stored), negative=self.example(name, stored))
            for _ in range(self.random.randint(1, 2))
        ]
        if kind == "nearest":
            return self.example(name, stored)
        if kind == "context":
            return models.ContextQuery(context=pairs())
        strategy = {"best": "best_score", "sum": "sum_scores", "average": "average_vector"}[kind]
        given = models.RecommendInput(positive=examples(), negative=examples(), strategy=strategy)
        return models.RecommendQuery(recommend=given)

    def query(self):
        name = self.name()
        limit = self.random.randint(1, 15)
        options = {
            "query": self.leaf(name, self.with_vector(name)),
            "using": name or None,
            "query_filter": self.perhaps(self.filter),
            "limit": limit,
            "with_payload": self.random.choice([True, False, ["kind", "price"]]),
            "with_vectors": self.random.choice([True, False, ["dot"]]),
        }
        before = None
        if self.random.random() < 0.2:
            offset = self.random.randint(1, 4)
            left_out = self.its_own("query_points", **{**options, "limit": offset}).points
            before = left_out[-1].score if left_out else None
            options["offset"] = offset
        ours, theirs = self.both("query_points", search_params=models.SearchParams(exact=True), **options)
        check_points(ours.points, theirs.points, limit, before)

    def query_threshold(self):
        name = self.random.choice(["", "euclid", "city", "dot"])
        vector = self.vector(name)
        full = self.theirs.query_points(NAME, query=vector, using=name or None, limit=10).points
        if len(full) < 6 or abs(full[4].score - full[5].score) < 1e-3:
            return
        threshold = (full[4].score + full[5].score) / 2
        ours, theirs = self.both("query_points", query=vector, using=name or None, limit=20, score_threshold=threshold)
        assert len(theirs.points) == 5
        check_points(ours.points, theirs.points)

    def query_batch(self):
        requests = [
            models.QueryRequest(query=self.vector(name), using=name or None, filter=self.perhaps(self.filter), limit=5, with_payload=True)
            for name in self.random.choices([*SIZES, "words"], k=3)
        ]
        ours, theirs = self.both("query_batch_points", requests=requests)
        for one, two in zip(ours, theirs, strict=True):
            check_points(one.points, two.points, 5)

    def inner_filter(self):
        """A filter for a prefetch.

        Its engine, as Qdrant's server, joins the filters around a prefetch clause by clause: either one's `should` is then
        enough, and the larger `min_count` holds for both. Ours wants every filter met. A filter within a `must` is joined
        to the same meaning by both.
        """
        return models.Filter(must=[self.filter()])

    def prefetches(self, depth=0):
        made = []
        for name in self.random.sample([*SIZES, "words"], 2):
            inner = {"prefetch": self.prefetches(depth + 1)} if depth == 0 and self.random.random() < 0.2 else {}
            made.append(models.Prefetch(query=self.vector(name), using=name or None, filter=self.perhaps(self.inner_filter), limit=len(IDS), **inner))
        return made

    def fusion(self):
        prefetch = self.prefetches(depth=1)
        query = self.random.choice(
            [
                models.FusionQuery(fusion=models.Fusion.RRF),
                models.FusionQuery(fusion=models.Fusion.DBSF),
                models.RrfQuery(rrf=models.Rrf(k=self.random.randint(1, 60))),
                models.RrfQuery(rrf=models.Rrf(k=5, weights=[1.0, round(self.random.uniform(0.2, 3), 2)])),
            ]
        )
        limit = self.random.randint(3, 12)
        ours, theirs = self.both("query_points", prefetch=prefetch, query=query, query_filter=self.perhaps(self.filter), limit=limit)
        check_points(ours.points, theirs.points, limit)

    def rescore(self):
        """A query over what prefetches found."""
        ours, theirs = self.both("query_points", prefetch=self.prefetches(), query=self.vector("dot"), using="dot", limit=8)
        check_points(ours.points, theirs.points, 8)

    def diversity(self):
        if len(self.with_vector("")) < 8:
            return
        mmr = models.Mmr(diversity=round(self.random.uniform(0, 1), 2), candidates_limit=len(IDS))
        query = models.NearestQuery(nearest=self.vector(""), mmr=mmr)
        ours, theirs = self.both("query_points", query=query, limit=6)
        assert [str(point.id) for point in ours.points] == [str(point.id) for point in theirs.points]

    def formula(self):
        formula = models.SumExpression(
            sum=[
                "$score",
                models.MultExpression(mult=[0.1, "count"]),
                models.FieldCondition(key="sold", match=models.MatchValue(value=True)),
                models.ExpDecayExpression(exp_decay=models.DecayParamsExpression(x="price", target=1.0, scale=4.0)),
            ]
        )
        query = models.FormulaQuery(formula=formula, defaults={"count": 3.0, "price": 0.0})
        prefetch = models.Prefetch(query=self.vector(""), limit=len(IDS))
        ours, theirs = self.both("query_points", prefetch=prefetch, query=query, limit=10)
        check_points(ours.points, theirs.points, 10)

    def ordered_query(self):
        query = models.OrderByQuery(order_by=models.OrderBy(key="price", direction=self.random.choice(["asc", "desc"])))
        ours, theirs = self.both("query_points", query=query, limit=10, query_filter=self.perhaps(self.filter))
        value = lambda point: point.payload["price"]
        assert [value(point) for point in ours.points] == [value(point) for point in theirs.points]

    def groups(self):
        name = self.random.choice(["", "dot"])
        options = {"query": self.vector(name), "using": name or None, "group_by": "kind", "limit": 3, "group_size": 2}
        ours, theirs = self.both("query_points_groups", query_filter=self.perhaps(self.filter), **options)
        shown = lambda reply: [(group.id, [str(hit.id) for hit in group.hits]) for group in reply.groups]
        assert shown(ours) == shown(theirs)

    def step(self):
        writes = [
            (self.upsert, 10),
            (self.delete, 2),
            (self.set_payload, 3),
            (self.overwrite_payload, 2),
            (self.delete_payload, 2),
            (self.clear_payload, 1),
            (self.update_vectors, 3),
            (self.delete_vectors, 2),
            (self.batch, 2),
        ]
        reads = [
            (self.retrieve, 4),
            (self.scroll, 5),
            (self.scroll_in_order, 3),
            (self.count, 6),
            (self.facet, 3),
            (self.query, 16),
            (self.query_threshold, 3),
            (self.query_batch, 3),
            (self.fusion, 6),
            (self.rescore, 4),
            (self.diversity, 2),
            (self.formula, 4),
            (self.ordered_query, 3),
            (self.groups, 4),
        ]
        steps, weights = zip(*writes, *reads)
        step = self.random.choices(steps, weights)[0]
        try:
            step()
            self.counts[step.__name__] += 1
        except OracleFailed:
            self.failed += 1
        except Exception as error:
            raise AssertionError(f"{step.__name__}: {error}") from error


def create(engine):
    distances = {"": "Cosine", "euclid": "Euclid", "city": "Manhattan", "dot": "Dot"}
    dense = {name: models.VectorParams(size=SIZES[name], distance=distance) for name, distance in distances.items()}
    dense["tokens"] = models.VectorParams(
        size=3, distance="Cosine", multivector_config=models.MultiVectorConfig(comparator=models.MultiVectorComparator.MAX_SIM)
    )
    engine.create_collection(NAME, vectors_config=dense, sparse_vectors_config={"words": models.SparseVectorParams()})
    # The wire asks for an index where values are ordered or counted.
    kinds = {"kind": "keyword", "tags": "keyword", "sold": "bool", "count": "integer", "price": "float", "when": "datetime", "place": "geo"}
    for field, kind in kinds.items():
        engine.create_payload_index(NAME, field, field_schema=kind, wait=True)


def test_random_operations(client, oracle):
    print(f"\nseed {SEED}, {OPERATIONS} operations; CONFORMANCE_SEED={SEED} repeats them")
    client.delete_collection(NAME)
    for engine in (client, oracle):
        create(engine)
    pair = Pair(client, oracle, random.Random(SEED))
    for _ in range(6):
        pair.upsert()
    while sum(pair.counts.values()) < OPERATIONS:
        try:
            pair.step()
        except AssertionError as error:
            raise AssertionError(f"operation {sum(pair.counts.values())} of seed {SEED}, {error}") from error
    print(dict(pair.counts), f"{pair.failed} more that the client's own engine could not answer")
    assert pair.failed < OPERATIONS / 20
    ours, theirs = pair.both("count", exact=True)
    assert ours.count == theirs.count
    client.delete_collection(NAME)
