"""The same random writes and reads over gRPC and in the client's own in-memory mode, which is the oracle."""

import asyncio
import os
import random

import pytest
from conftest import async_client, client
from qdrant_client import QdrantClient, models
from world import COLOURS, DENSE, MULTI, SPARSE, World, sparse_config, vectors_config

SEED = int(os.environ.get("CONFORMANCE_SEED", random.SystemRandom().randrange(1 << 32)))
ROUNDS = 6
STEPS = 450
# f32 sums in another order.
TOLERANCE = 2e-4


def ids_of(points) -> list:
    return [str(point.id) for point in points]


def near(one: float, other: float) -> bool:
    return abs(one - other) <= TOLERANCE * max(1.0, abs(one), abs(other))


def same_vectors(ours, theirs) -> bool:
    if isinstance(theirs, models.SparseVector):
        return dict(zip(ours.indices, ours.values)) == pytest.approx(dict(zip(theirs.indices, theirs.values)), rel=1e-5)
    if isinstance(theirs, dict):
        return ours is not None and ours.keys() == theirs.keys() and all(same_vectors(ours[name], theirs[name]) for name in theirs)
    if theirs and isinstance(theirs[0], list):
        return len(ours) == len(theirs) and all(same_vectors(a, b) for a, b in zip(ours, theirs))
    return list(ours) == pytest.approx(list(theirs), rel=1e-4, abs=1e-5)


def same_points(ours, theirs):
    assert ids_of(ours) == ids_of(theirs)
    for mine, other in zip(ours, theirs):
        assert (mine.payload or {}) == (other.payload or {}), mine.id
        if other.vector is not None:
            assert same_vectors(mine.vector or {}, other.vector or {}), mine.id


def same_hits(ours, theirs):
    """Equal scores in equal places; where scores are told apart, equal points too."""
    assert len(ours) == len(theirs), f"{len(ours)} hits, expected {len(theirs)}"
    for place, (mine, other) in enumerate(zip(ours, theirs)):
        assert near(mine.score, other.score), f"place {place}: {mine.score}, expected {other.score}"
    # The last ones may tie with what was cut off.
    last = theirs[-1].score if theirs else 0
    mine = {str(hit.id) for hit in ours if not near(hit.score, last)}
    other = {str(hit.id) for hit in theirs if not near(hit.score, last)}
    assert mine == other


def some_stored(world: World, stored: list) -> list:
    """Ids of stored points for writes to payloads. Of others Qdrant's server and the oracle say that they are not there; ours passes over them."""
    return [point.id for point in world.random.sample(stored, min(world.random.randint(1, 8), len(stored)))]


def write(world: World, name: str, stored: list):
    """One random write as a function of a client."""
    pick = world.random.randrange(10)
    if not stored:
        pick = 0
    if pick <= 3:
        points = [world.point() for _ in range(world.random.randint(1, 12))]
        return "upsert", lambda to: to.upsert(name, points=points, wait=True)
    if pick == 4:
        chosen = world.ids()[:2]
        return "delete", lambda to: to.delete(name, points_selector=chosen, wait=True)
    if pick == 5:
        payload, chosen = world.payload() or {"count": 1}, some_stored(world, stored)
        return "set_payload", lambda to: to.set_payload(name, payload=payload, points=chosen, wait=True)
    if pick == 6:
        payload, chosen = world.payload(), some_stored(world, stored)
        return "overwrite_payload", lambda to: to.overwrite_payload(name, payload=payload, points=chosen, wait=True)
    if pick == 7:
        keys, chosen = world.random.sample(["city", "count", "colours"], 1), some_stored(world, stored)
        return "delete_payload", lambda to: to.delete_payload(name, keys=keys, points=chosen, wait=True)
    if pick == 8:
        wanted = world.filter()
        return "set_payload by filter", lambda to: to.set_payload(name, payload={"marked": True}, points=wanted, wait=True)
    chosen = some_stored(world, stored)[:2]
    return "clear_payload", lambda to: to.clear_payload(name, points_selector=chosen, wait=True)


def read(world: World, name: str, stored: list):
    """One random read, and how its answers are compared."""
    kinds = [nearest, nearest, sparse, recommend, discover, context, fused, grouped, count, scroll, get, facet, batch]
    return world.random.choice(kinds)(world, name, stored)


def some_dense(world: World) -> str:
    return world.random.choice(list(DENSE))


def query(name: str, **arguments):
    return lambda to: to.query_points(name, with_payload=True, **arguments)


def compare_queries(ours, theirs):
    same_hits(ours.points, theirs.points)


def nearest(world, name, _stored):
    using = world.random.choice([*DENSE, MULTI[0]])
    arguments = dict(query=world.vector(using), using=using, query_filter=world.maybe_filter(), limit=world.random.randint(1, 20))
    arguments["search_params"] = models.SearchParams(exact=True)
    return f"nearest {using}", query(name, **arguments), compare_queries


def sparse(world, name, _stored):
    arguments = dict(query=world.sparse(), using=SPARSE, query_filter=world.maybe_filter(), limit=10)
    return "sparse", query(name, **arguments), compare_queries


def examples(world, stored, using):
    with_vector = [point.id for point in stored if using in (point.vector or {})]
    count = min(len(with_vector), 3)
    return world.random.sample(with_vector, count) + [world.vector(using)]


def recommend(world, name, stored):
    using = some_dense(world)
    strategy = world.random.choice(list(models.RecommendStrategy))
    wanted = models.RecommendInput(positive=examples(world, stored, using), negative=examples(world, stored, using), strategy=strategy)
    asked = models.RecommendQuery(recommend=wanted)
    return f"recommend {strategy.value} {using}", query(name, query=asked, using=using, limit=10), compare_queries


def pairs(world, using):
    return [models.ContextPair(positive=world.vector(using), negative=world.vector(using)) for _ in range(2)]


def discover(world, name, _stored):
    using = some_dense(world)
    asked = models.DiscoverQuery(discover=models.DiscoverInput(target=world.vector(using), context=pairs(world, using)))
    return f"discover {using}", query(name, query=asked, using=using, limit=8), compare_queries


def context(world, name, _stored):
    using = some_dense(world)
    return f"context {using}", query(name, query=models.ContextQuery(context=pairs(world, using)), using=using, limit=5), compare_queries


def fused(world, name, _stored):
    prefetch = [
        models.Prefetch(query=world.vector("image"), using="image", limit=1000),
        models.Prefetch(query=world.vector("text"), using="text", filter=world.maybe_filter(), limit=1000),
    ]
    fusion = world.random.choice(list(models.Fusion))
    return f"fusion {fusion.value}", query(name, prefetch=prefetch, query=models.FusionQuery(fusion=fusion), limit=1000), compare_fused


def compare_fused(ours, theirs):
    # Ranks of points that tie in a prefetch are anybody's: what must agree is who was found.
    assert set(ids_of(ours.points)) == set(ids_of(theirs.points))


def grouped(world, name, _stored):
    using = some_dense(world)
    arguments = dict(query=world.vector(using), using=using, group_by="city", limit=3, group_size=2)

    def compare(ours, theirs):
        mine, other = ({group.id: [hit.score for hit in group.hits] for group in reply.groups} for reply in (ours, theirs))
        best = lambda groups: [scores[0] for scores in groups.values()]
        assert best(mine) == pytest.approx(best(other), rel=1e-3, abs=1e-3)
        for group in mine.keys() | other.keys():
            if group in mine and group in other:
                assert mine[group] == pytest.approx(other[group], rel=1e-3, abs=1e-3)
            else:
                # Only a tie with the last one may leave another group out.
                assert near((mine.get(group) or other[group])[0], best(other)[-1])

    return "groups", lambda to: to.query_points_groups(name, **arguments), compare


def count(world, name, _stored):
    wanted = world.maybe_filter()

    def compare(ours, theirs):
        assert ours.count == theirs.count, wanted

    return "count", lambda to: to.count(name, count_filter=wanted, exact=True), compare


def scroll(world, name, _stored):
    wanted, limit = world.maybe_filter(), world.random.randint(1, 40)

    def compare(ours, theirs):
        # The oracle orders UUIDs among numbers in its own way: whole results are compared as sets.
        if len(theirs[0]) < limit:
            key = lambda point: str(point.id)
            same_points(sorted(ours[0], key=key), sorted(theirs[0], key=key))
        else:
            assert len(ours[0]) == len(theirs[0])

    return "scroll", lambda to: to.scroll(name, scroll_filter=wanted, limit=limit, with_vectors=True), compare


def get(world, name, _stored):
    chosen = list(dict.fromkeys(world.ids()))

    def compare(ours, theirs):
        key = lambda point: str(point.id)
        same_points(sorted(ours, key=key), sorted(theirs, key=key))

    return "retrieve", lambda to: to.retrieve(name, ids=chosen, with_vectors=True), compare


def facet(world, name, _stored):
    key, wanted = world.random.choice(["city", "count", "open", "colours"]), world.maybe_filter()

    def compare(ours, theirs):
        assert {hit.value: hit.count for hit in ours.hits} == {hit.value: hit.count for hit in theirs.hits}

    return f"facet {key}", lambda to: to.facet(name, key=key, facet_filter=wanted, limit=100), compare


def batch(world, name, _stored):
    requests = [models.QueryRequest(query=world.vector(using), using=using, limit=5, params=models.SearchParams(exact=True)) for using in DENSE]

    def compare(ours, theirs):
        assert len(ours) == len(theirs)
        for mine, other in zip(ours, theirs):
            same_hits(mine.points, other.points)

    return "batch", lambda to: to.query_batch_points(name, requests=requests), compare


def prepare(name):
    local = QdrantClient(":memory:")
    local.create_collection(name, vectors_config=vectors_config(), sparse_vectors_config=sparse_config())
    return local


def stored_points(local, name):
    return local.scroll(name, limit=1000, with_vectors=True)[0]


INDEXES = {"city": "keyword", "count": "integer", "open": "bool", "colours": "keyword", "price": "float", "place": "geo", "when": "datetime"}


@pytest.mark.parametrize("round_number", range(ROUNDS))
def test_random_operations(remote, name, round_number):
    seed = SEED + round_number
    print(f"seed {seed}")
    world, local = World(seed), prepare(name)
    remote.create_collection(name, vectors_config=vectors_config(), sparse_vectors_config=sparse_config())
    for key, kind in INDEXES.items():
        remote.create_payload_index(name, key, kind)
    for to in (remote, local):
        points = [World(seed + 1 + number).point() for number in range(80)]
        to.upsert(name, points=points, wait=True)
    for step in range(STEPS):
        what, change = write(world, name, stored_points(local, name))
        change(remote)
        change(local)
        what_read, ask, compare = read(world, name, stored_points(local, name))
        try:
            compare(ask(remote), ask(local))
        except Exception as error:
            raise AssertionError(f"seed {seed}, step {step}: {what_read} after {what}: {error}") from error


def test_random_operations_of_the_async_client(name):
    seed = SEED + 1_000
    world, local = World(seed), prepare(name)
    steps = 300

    async def run():
        remote = async_client()
        await remote.create_collection(name, vectors_config=vectors_config(), sparse_vectors_config=sparse_config())
        for step in range(steps):
            what, change = write(world, name, stored_points(local, name))
            await change(remote)
            change(local)
            what_read, ask, compare = read(world, name, stored_points(local, name))
            theirs = ask(local)
            try:
                compare(await ask(remote), theirs)
            except Exception as error:
                raise AssertionError(f"seed {seed}, step {step}: {what_read} after {what}: {error}") from error
        await remote.close()

    asyncio.run(run())


def test_vectors_are_updated_and_deleted(remote, name):
    local = prepare(name)
    remote.create_collection(name, vectors_config=vectors_config(), sparse_vectors_config=sparse_config())
    world = World(SEED)
    for to_id in range(1, 4):
        point = models.PointStruct(id=to_id, vector={one: world.vector(one) for one in [*DENSE, MULTI[0], SPARSE]}, payload={"n": to_id})
        changed = models.PointVectors(id=to_id, vector={"image": world.vector("image"), SPARSE: world.vector(SPARSE)})
        for to in (remote, local):
            to.upsert(name, points=[point])
            to.update_vectors(name, points=[changed])
            to.delete_vectors(name, vectors=["text"], points=[to_id])
    ours, theirs = (sorted(to.retrieve(name, ids=[1, 2, 3], with_vectors=True), key=lambda point: point.id) for to in (remote, local))
    same_points(ours, theirs)
    assert "text" not in ours[0].vector


def test_batches_of_writes(remote, name):
    local = prepare(name)
    remote.create_collection(name, vectors_config=vectors_config(), sparse_vectors_config=sparse_config())
    world = World(SEED + 7)
    points = [models.PointStruct(id=number, vector={"image": world.vector("image")}, payload={"n": number, "colours": [COLOURS[number % 3]]}) for number in range(1, 20)]
    operations = [
        models.UpsertOperation(upsert=models.PointsList(points=points)),
        models.SetPayloadOperation(set_payload=models.SetPayload(payload={"x": {"y": 1}}, points=[1, 2])),
        models.SetPayloadOperation(set_payload=models.SetPayload(payload={"z": 2}, points=[1], key="x")),
        models.OverwritePayloadOperation(overwrite_payload=models.SetPayload(payload={"only": 1}, points=[3])),
        models.DeletePayloadOperation(delete_payload=models.DeletePayload(keys=["n"], points=[4])),
        models.ClearPayloadOperation(clear_payload=models.PointIdsList(points=[5])),
        models.DeleteOperation(delete=models.PointIdsList(points=[6, 7])),
        models.UpdateVectorsOperation(update_vectors=models.UpdateVectors(points=[models.PointVectors(id=8, vector={"text": world.vector("text")})])),
        models.DeleteVectorsOperation(delete_vectors=models.DeleteVectors(vector=["image"], points=[9])),
    ]
    for to in (remote, local):
        results = to.batch_update_points(name, update_operations=operations)
        assert len(results) == len(operations)
        assert all(result.status == models.UpdateStatus.COMPLETED for result in results)
    same_points(remote.scroll(name, limit=100, with_vectors=True)[0], local.scroll(name, limit=100, with_vectors=True)[0])


def test_order_by_and_sample(remote, name):
    remote.create_collection(name, vectors_config=vectors_config())
    remote.create_payload_index(name, "n", "integer")
    remote.upsert(name, points=[models.PointStruct(id=number, vector={}, payload={"n": 100 - number}) for number in range(50)])
    page, _ = remote.scroll(name, limit=5, order_by=models.OrderBy(key="n", direction="asc", start_from=60))
    assert [point.payload["n"] for point in page] == [60, 61, 62, 63, 64]
    assert [point.order_value for point in page] == [60, 61, 62, 63, 64]
    ordered = remote.query_points(name, query=models.OrderByQuery(order_by=models.OrderBy(key="n", direction="desc")), limit=3).points
    assert [point.id for point in ordered] == [0, 1, 2]
    sample = remote.query_points(name, query=models.SampleQuery(sample=models.Sample.RANDOM), limit=10).points
    assert len({point.id for point in sample}) == 10


def test_formula_and_nested_prefetch(remote, name):
    local = QdrantClient(":memory:")
    world = World(SEED + 9)
    points = [models.PointStruct(id=number, vector=world.dense(4), payload={"boost": number % 7, "price": number / 8}) for number in range(60)]
    formula = models.SumExpression(sum=["$score", models.MultExpression(mult=[0.5, "boost"]), models.FieldCondition(key="price", range=models.Range(gte=3))])
    query = models.FormulaQuery(formula=formula, defaults={"boost": 0})
    inner = models.Prefetch(query=world.dense(4), limit=40)
    for to in (remote, local):
        to.create_collection(name, vectors_config=models.VectorParams(size=4, distance=models.Distance.DOT))
        to.upsert(name, points=points)
    ours, theirs = (to.query_points(name, prefetch=[models.Prefetch(prefetch=[inner], query=[1.0, 0.0, 0.0, 0.0], limit=30)], query=query, limit=10).points for to in (remote, local))
    same_hits(ours, theirs)


def test_matrices(remote, name):
    remote.create_collection(name, vectors_config=models.VectorParams(size=4, distance=models.Distance.DOT))
    world = World(SEED + 11)
    vectors = {number: world.dense(4) for number in range(40)}
    remote.upsert(name, points=[models.PointStruct(id=number, vector=vector) for number, vector in vectors.items()])
    pairs = remote.search_matrix_pairs(name, sample=10, limit=3).pairs
    assert len(pairs) == 30
    for pair in pairs:
        expected = sum(a * b for a, b in zip(vectors[pair.a], vectors[pair.b]))
        assert near(pair.score, expected) and pair.a != pair.b
    offsets = remote.search_matrix_offsets(name, sample=10, limit=3)
    assert len(offsets.ids) == 10 and len(offsets.scores) == len(offsets.offsets_row) == len(offsets.offsets_col) == 30


def test_the_same_answers_as_over_rest(remote, name):
    from conftest import options
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rest = QdrantClient(**{**options(), "prefer_grpc": False})
    world = World(SEED + 13)
    remote.create_collection(name, vectors_config=vectors_config(), sparse_vectors_config=sparse_config())
    remote.upsert(name, points=[world.point() for _ in range(60)])
    assert rest.get_collection(name).config == remote.get_collection(name).config
    assert rest.get_collection(name).points_count == remote.get_collection(name).points_count
    for _ in range(40):
        _, ask, compare = read(world, name, [])
        ours, theirs = ask(remote), ask(rest)
        compare(ours, theirs)
