"""What is gRPC's own: status codes, health, reflection, large messages, deadlines, and what is refused."""

import time
import uuid

import grpc
import pytest
from conftest import KEY
from google.protobuf import descriptor_pb2
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from qdrant_client import grpc as wire
from qdrant_client import models
from qdrant_client.grpc import (
    collections_service_pb2,
    collections_service_pb2_grpc,
    points_service_pb2,
    points_service_pb2_grpc,
    qdrant_pb2_grpc,
    snapshots_service_pb2,
    snapshots_service_pb2_grpc,
)

SERVICES = {
    "qdrant.Collections": collections_service_pb2,
    "qdrant.Points": points_service_pb2,
    "qdrant.Snapshots": snapshots_service_pb2,
}


def refused(call, code, *words):
    with pytest.raises(grpc.RpcError) as caught:
        call()
    assert caught.value.code() == code, caught.value
    for word in words:
        assert word in caught.value.details(), caught.value.details()
    return caught.value


@pytest.fixture
def points(channel):
    return points_service_pb2_grpc.PointsStub(channel)


@pytest.fixture
def collections(channel):
    return collections_service_pb2_grpc.CollectionsStub(channel)


def test_health_needs_no_key(channel):
    stub = health_pb2_grpc.HealthStub(channel)
    serving = health_pb2.HealthCheckResponse.SERVING
    for service in ["", "qdrant.Points", "qdrant.Collections", "grpc.health.v1.Health"]:
        assert stub.Check(health_pb2.HealthCheckRequest(service=service)).status == serving
    refused(lambda: stub.Check(health_pb2.HealthCheckRequest(service="a.B")), grpc.StatusCode.NOT_FOUND, "a.B")


def test_health_can_be_watched(channel):
    stub = health_pb2_grpc.HealthStub(channel)
    watching = stub.Watch(health_pb2.HealthCheckRequest())
    assert next(watching).status == health_pb2.HealthCheckResponse.SERVING
    watching.cancel()
    unknown = stub.Watch(health_pb2.HealthCheckRequest(service="a.B"))
    assert next(unknown).status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
    unknown.cancel()


def test_qdrants_health_check_names_a_version(channel):
    reply = qdrant_pb2_grpc.QdrantStub(channel).HealthCheck(wire.HealthCheckRequest())
    major, minor, _ = reply.version.split(".")
    assert (int(major), int(minor)) == (1, 20) and reply.title


@pytest.mark.parametrize("service", SERVICES)
def test_every_method_wants_a_key(channel, service):
    methods = SERVICES[service].DESCRIPTOR.services_by_name[service.split(".")[1]].methods
    assert methods
    for method in methods:
        call = channel.unary_unary(f"/{service}/{method.name}")
        refused(lambda: call(b"", timeout=20), grpc.StatusCode.UNAUTHENTICATED, "API key")
        forged = (("api-key", "fx-nobody"),)
        refused(lambda: call(b"", metadata=forged, timeout=20), grpc.StatusCode.UNAUTHENTICATED)


def test_the_key_may_come_in_both_spellings(collections):
    for metadata in [(("api-key", KEY),), (("authorization", f"Bearer {KEY}"),)]:
        assert collections.List(wire.ListCollectionsRequest(), metadata=metadata).time >= 0


def test_answers_carry_the_request_id_and_the_trace(collections, metadata):
    mine = (*metadata, ("x-request-id", "case-7"), ("traceparent", f"00-{'4b' * 16}-{'1a' * 8}-01"))
    _, call = collections.List.with_call(wire.ListCollectionsRequest(), metadata=mine)
    sent = dict(call.initial_metadata())
    assert sent["x-request-id"] == "case-7"
    assert sent["traceparent"].split("-")[1] == "4b" * 16


@pytest.mark.parametrize("service", SERVICES)
def test_every_method_of_the_services_is_there(channel, metadata, service):
    """What is not supported says so itself; a method that is not there would have no words."""
    methods = SERVICES[service].DESCRIPTOR.services_by_name[service.split(".")[1]].methods
    for method in methods:
        call = channel.unary_unary(f"/{service}/{method.name}")
        try:
            call(b"", metadata=metadata, timeout=20)
        except grpc.RpcError as error:
            assert error.code() != grpc.StatusCode.INTERNAL, (method.name, error.details())
            if error.code() == grpc.StatusCode.UNIMPLEMENTED:
                assert "not supported" in error.details(), (method.name, error.details())


def test_an_unknown_method_is_unimplemented(channel, metadata):
    for path in ["/qdrant.Points/Nothing", "/other.Service/Method"]:
        call = channel.unary_unary(path)
        refused(lambda: call(b"", metadata=metadata), grpc.StatusCode.UNIMPLEMENTED)


def reflected(channel, questions, metadata):
    stub = reflection_pb2_grpc.ServerReflectionStub(channel)
    return list(stub.ServerReflectionInfo(iter(questions), metadata=metadata))


def test_reflection_lists_and_describes_every_service(channel, metadata):
    question = reflection_pb2.ServerReflectionRequest
    (listed,) = reflected(channel, [question(list_services="")], metadata)
    names = {service.name for service in listed.list_services_response.service}
    assert {*SERVICES, "qdrant.Qdrant", "grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection"} <= names
    answers = reflected(channel, [question(file_containing_symbol=name) for name in sorted(names)], metadata)
    for answer in answers:
        assert answer.file_descriptor_response.file_descriptor_proto, answer
    missing, extension, by_name = reflected(
        channel,
        [question(file_containing_symbol="qdrant.Nothing"), question(all_extension_numbers_of_type="qdrant.PointId"), question(file_by_filename="qdrant/points.proto")],
        metadata,
    )
    assert missing.error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]
    assert not extension.all_extension_numbers_response.extension_number
    assert by_name.file_descriptor_response.file_descriptor_proto


def pool_of(channel, metadata, symbols):
    question = reflection_pb2.ServerReflectionRequest
    pool = DescriptorPool()
    files = {}
    for answer in reflected(channel, [question(file_containing_symbol=symbol) for symbol in symbols], metadata):
        for encoded in answer.file_descriptor_response.file_descriptor_proto:
            file = descriptor_pb2.FileDescriptorProto.FromString(encoded)
            files[file.name] = file

    def add(name):
        file = files.pop(name, None)
        if file is not None:
            for dependency in file.dependency:
                add(dependency)
            pool.Add(file)

    for name in list(files):
        add(name)
    return pool


def test_reflection_shows_the_wire_that_the_client_speaks(channel, metadata):
    """Every field of every message and every method: name, number, type and label, against the client's own descriptors."""
    ours = pool_of(channel, metadata, [*SERVICES, "qdrant.Qdrant"])
    modules = [wire.collections_pb2, wire.points_pb2, wire.json_with_int_pb2, wire.qdrant_common_pb2, snapshots_service_pb2]
    compared = 0

    def facts(message):
        return {(field.number, field.name, field.type, field.is_repeated, field.has_presence) for field in message.fields}

    def compare(theirs):
        nonlocal compared
        mine = ours.FindMessageTypeByName(theirs.full_name)
        assert facts(mine) == facts(theirs), theirs.full_name
        for enum in theirs.enum_types:
            assert dict(mine.enum_types_by_name[enum.name].values_by_name).keys() == dict(enum.values_by_name).keys()
        for nested in theirs.nested_types:
            compare(nested)
        compared += 1

    for module in modules:
        for message in module.DESCRIPTOR.message_types_by_name.values():
            compare(message)
        for enum in module.DESCRIPTOR.enum_types_by_name.values():
            mine = ours.FindEnumTypeByName(enum.full_name)
            assert {(value.name, value.number) for value in mine.values} == {(value.name, value.number) for value in enum.values}
    for service, module in SERVICES.items():
        theirs = module.DESCRIPTOR.services_by_name[service.split(".")[1]]
        mine = ours.FindServiceByName(service)
        described = lambda one: {(method.name, method.input_type.full_name, method.output_type.full_name) for method in one.methods}
        assert described(mine) == described(theirs)
    assert compared > 200


def test_the_stock_reflection_client_reads_it(channel, metadata):
    class Keyed(grpc.StreamStreamClientInterceptor):
        def intercept_stream_stream(self, continuation, details, requests):
            return continuation(details._replace(metadata=metadata), requests)

    database = ProtoReflectionDescriptorDatabase(grpc.intercept_channel(channel, Keyed()))
    assert "qdrant.Points" in database.get_services()
    found = DescriptorPool(database).FindServiceByName("qdrant.Points")
    theirs = points_service_pb2.DESCRIPTOR.services_by_name["Points"]
    assert {method.name for method in found.methods} == {method.name for method in theirs.methods}


def test_a_collection_that_is_not_there(points, collections, metadata):
    gone = f"no-{uuid.uuid4().hex}"
    for call in [
        lambda: collections.Get(wire.GetCollectionInfoRequest(collection_name=gone), metadata=metadata),
        lambda: points.Count(wire.CountPoints(collection_name=gone), metadata=metadata),
        lambda: points.Query(wire.QueryPoints(collection_name=gone), metadata=metadata),
        lambda: points.QueryBatch(wire.QueryBatchPoints(collection_name=gone), metadata=metadata),
        lambda: points.Upsert(wire.UpsertPoints(collection_name=gone), metadata=metadata),
    ]:
        refused(call, grpc.StatusCode.NOT_FOUND, gone, "doesn't exist")
    assert not collections.CollectionExists(wire.CollectionExistsRequest(collection_name=gone), metadata=metadata).result.exists


def test_a_collection_that_is_there_already(remote, name):
    config = models.VectorParams(size=2, distance=models.Distance.DOT)
    remote.create_collection(name, vectors_config=config)
    refused(lambda: remote.create_collection(name, vectors_config=config), grpc.StatusCode.ALREADY_EXISTS, "already exists")


def test_what_is_wrong_is_an_invalid_argument_that_names_its_place(remote, name, points, metadata):
    remote.create_collection(name, vectors_config=models.VectorParams(size=2, distance=models.Distance.DOT))
    wrong = grpc.StatusCode.INVALID_ARGUMENT
    dense = lambda data: wire.Vectors(vector=wire.Vector(dense=wire.DenseVector(data=data)))
    point = lambda **fields: wire.UpsertPoints(collection_name=name, points=[wire.PointStruct(**fields)], wait=True)
    one = wire.PointId(num=1)
    refused(lambda: points.Upsert(point(id=one, vectors=dense([1.0])), metadata=metadata), wrong)
    refused(lambda: points.Upsert(point(id=one, vectors=dense([1.0, float("nan")])), metadata=metadata), wrong)
    refused(lambda: points.Upsert(point(vectors=dense([1.0, 2.0])), metadata=metadata), wrong, "points[0]", "id")
    refused(lambda: points.Upsert(point(id=wire.PointId(uuid="not-one"), vectors=dense([1.0, 2.0])), metadata=metadata), wrong, "UUID")
    refused(lambda: points.Delete(wire.DeletePoints(collection_name=name), metadata=metadata), wrong, "points")
    query = lambda **fields: wire.QueryPoints(collection_name=name, **fields)
    refused(lambda: points.Query(query(query=wire.Query(nearest=wire.VectorInput(dense=wire.DenseVector(data=[1, 2, 3])))), metadata=metadata), wrong)
    refused(lambda: points.Query(query(query=wire.Query(nearest=wire.VectorInput(dense=wire.DenseVector(data=[1, 2]))), using="other"), metadata=metadata), wrong, "other")
    refused(lambda: points.Query(query(limit=0), metadata=metadata), wrong)
    bad = wire.Filter(must=[wire.Condition(field=wire.FieldCondition(key="a..b", match=wire.Match(keyword="x")))])
    refused(lambda: points.Count(wire.CountPoints(collection_name=name, filter=bad), metadata=metadata), wrong)


def test_what_is_not_supported_says_so(remote, name, points, collections, channel, metadata):
    remote.create_collection(name, vectors_config=models.VectorParams(size=2, distance=models.Distance.DOT))
    unsupported = grpc.StatusCode.UNIMPLEMENTED
    refused(lambda: collections.CreateShardKey(wire.CreateShardKeyRequest(collection_name=name), metadata=metadata), unsupported, "shard")
    shards = wire.ShardKeySelector(shard_keys=[wire.ShardKey(keyword="a")])
    refused(lambda: points.Count(wire.CountPoints(collection_name=name, shard_key_selector=shards), metadata=metadata), unsupported, "shard")
    image = wire.Query(nearest=wire.VectorInput(image=wire.Image(model="m")))
    refused(lambda: points.Query(wire.QueryPoints(collection_name=name, query=image), metadata=metadata), unsupported, "image")
    snapshots = snapshots_service_pb2_grpc.SnapshotsStub(channel)
    refused(lambda: snapshots.CreateFull(snapshots_service_pb2.CreateFullSnapshotRequest(), metadata=metadata), unsupported, "snapshots")


def test_deep_filters_and_deep_payloads_are_refused(remote, name, points, channel, metadata):
    remote.create_collection(name, vectors_config=models.VectorParams(size=2, distance=models.Distance.DOT))
    deep = wire.Filter(must=[wire.Condition(is_null=wire.IsNullCondition(key="a"))])
    for _ in range(45):
        deep = wire.Filter(must=[wire.Condition(filter=deep)])
    refused(lambda: points.Count(wire.CountPoints(collection_name=name, filter=deep), metadata=metadata), grpc.StatusCode.INVALID_ARGUMENT)
    # Two hundred lists in lists, by hand.
    value = b""
    for _ in range(200):
        list_of_one = b"\x0a" + varint(len(value)) + value
        value = b"\x3a" + varint(len(list_of_one)) + list_of_one
    entry = b"\x0a\x01k\x12" + varint(len(value)) + value
    request = b"\x0a" + varint(len(name)) + name.encode() + b"\x1a" + varint(len(entry)) + entry
    call = channel.unary_unary("/qdrant.Points/SetPayload")
    refused(lambda: call(request, metadata=metadata), grpc.StatusCode.INVALID_ARGUMENT)


def varint(number: int) -> bytes:
    out = b""
    while number >= 0x80:
        out += bytes([number & 0x7F | 0x80])
        number >>= 7
    return out + bytes([number])


def test_bytes_that_are_no_message_are_refused(channel, metadata):
    for body in [b"\xff\xff\xff", b"\x0a\x05ab", b"\x0b\x0b\x0b\x0b"]:
        call = channel.unary_unary("/qdrant.Points/Query")
        refused(lambda: call(body, metadata=metadata), grpc.StatusCode.INVALID_ARGUMENT)


def test_large_messages_go_both_ways(remote, name):
    size = 1536
    remote.create_collection(name, vectors_config=models.VectorParams(size=size, distance=models.Distance.DOT))
    vector = [0.5] * size
    points = [models.PointStruct(id=number, vector=vector, payload={"text": "x" * 1000}) for number in range(1500)]
    # About 11 MB, beyond gRPC's usual 4 MB.
    remote.upsert(name, points=points, wait=True)
    page, _ = remote.scroll(name, limit=1500, with_vectors=True)
    assert len(page) == 1500 and len(page[-1].vector) == size


def test_a_message_beyond_the_limit_is_refused_and_the_connection_lives(remote, name, points, metadata):
    remote.create_collection(name, vectors_config=models.VectorParams(size=2, distance=models.Distance.DOT))
    text = wire.PointStruct(id=wire.PointId(num=1), payload={"x": wire.Value(string_value="y" * (40 << 20))})
    refused(lambda: points.Upsert(wire.UpsertPoints(collection_name=name, points=[text]), metadata=metadata), grpc.StatusCode.RESOURCE_EXHAUSTED)
    assert points.Count(wire.CountPoints(collection_name=name), metadata=metadata).result.count == 0


def test_a_message_of_too_many_parts_is_refused(remote, name, channel, metadata):
    body = b"\x0a" + varint(len(name)) + name.encode() + b"\x12\x00" * (3 << 20)
    call = channel.unary_unary("/qdrant.Points/Get")
    refused(lambda: call(body, metadata=metadata), grpc.StatusCode.RESOURCE_EXHAUSTED, "messages")


def test_a_deadline_ends_a_call(remote, name, points, metadata):
    size = 256
    remote.create_collection(name, vectors_config=models.VectorParams(size=size, distance=models.Distance.DOT))
    remote.upsert(name, points=[models.PointStruct(id=number, vector=[number / 1000] * size) for number in range(1000)], wait=True)
    # A thousand searches: many times the deadline, so that the answer is never there first.
    slow = wire.SearchMatrixPoints(collection_name=name, sample=1000, limit=1)
    began = time.monotonic()
    refused(lambda: points.SearchMatrixPairs(slow, metadata=metadata, timeout=0.005), grpc.StatusCode.DEADLINE_EXCEEDED)
    assert time.monotonic() - began < 5
    # The server's own words, from a deadline that the client does not watch.
    late = (*metadata, ("grpc-timeout", "1m"))
    refused(lambda: points.SearchMatrixPairs(slow, metadata=late), grpc.StatusCode.DEADLINE_EXCEEDED, "before its deadline")
    assert len(points.SearchMatrixPairs(slow, metadata=metadata).result.pairs) == 1000
    refused(lambda: points.Count(wire.CountPoints(collection_name=name, timeout=0), metadata=metadata), grpc.StatusCode.INVALID_ARGUMENT, "timeout")


def test_compressed_messages_are_refused_in_words(channel, metadata):
    call = channel.unary_unary("/qdrant.Collections/List")
    error = refused(lambda: call(b"\x0a\x00" * 500, metadata=metadata, compression=grpc.Compression.Gzip), grpc.StatusCode.UNIMPLEMENTED, "identity")
    assert error is not None


def test_collections_from_beginning_to_end(remote, name):
    other = f"{name}-alias"
    remote.create_collection(
        name,
        vectors_config={"a": models.VectorParams(size=4, distance=models.Distance.EUCLID, on_disk=True, hnsw_config=models.HnswConfigDiff(m=24))},
        sparse_vectors_config={"s": models.SparseVectorParams(modifier=models.Modifier.IDF)},
        quantization_config=models.ScalarQuantization(scalar=models.ScalarQuantizationConfig(type=models.ScalarType.INT8)),
        optimizers_config=models.OptimizersConfigDiff(indexing_threshold=5000),
        metadata={"made by": "a case", "number": 7},
    )
    info = remote.get_collection(name)
    params = info.config.params
    assert params.vectors["a"].size == 4 and params.vectors["a"].distance == models.Distance.EUCLID
    assert params.sparse_vectors["s"].modifier == models.Modifier.IDF
    assert info.config.quantization_config.scalar.type == models.ScalarType.INT8
    assert info.config.metadata == {"made by": "a case", "number": 7}
    assert info.points_count == 0 and info.status == models.CollectionStatus.GREEN
    assert remote.update_collection(name, hnsw_config=models.HnswConfigDiff(ef_construct=128), metadata={"number": 8})
    assert remote.get_collection(name).config.metadata["number"] == 8
    assert remote.collection_exists(name) and name in {one.name for one in remote.get_collections().collections}
    for kind in ["keyword", "integer", "float", "bool", "geo", "datetime", "uuid", "text"]:
        remote.create_payload_index(name, f"f_{kind}", kind)
    remote.create_payload_index(name, "f_words", models.TextIndexParams(type="text", tokenizer=models.TokenizerType.WORD, lowercase=True, min_token_len=2, max_token_len=20))
    schema = remote.get_collection(name).payload_schema
    assert schema["f_keyword"].data_type == models.PayloadSchemaType.KEYWORD and schema["f_words"].data_type == models.PayloadSchemaType.TEXT
    remote.delete_payload_index(name, "f_geo")
    assert "f_geo" not in remote.get_collection(name).payload_schema
    alias = models.CreateAliasOperation(create_alias=models.CreateAlias(collection_name=name, alias_name=other))
    assert remote.update_collection_aliases([alias])
    assert remote.count(other).count == 0
    assert [one.alias_name for one in remote.get_collection_aliases(name).aliases] == [other]
    assert other in {one.alias_name for one in remote.get_aliases().aliases}
    renamed = models.RenameAliasOperation(rename_alias=models.RenameAlias(old_alias_name=other, new_alias_name=other + "2"))
    gone = models.DeleteAliasOperation(delete_alias=models.DeleteAlias(alias_name=other + "2"))
    assert remote.update_collection_aliases([renamed, gone])
    assert not remote.collection_exists(other)
    assert remote.delete_collection(name)
    assert not remote.delete_collection(name)


def test_snapshots(remote, name):
    remote.create_collection(name, vectors_config=models.VectorParams(size=2, distance=models.Distance.DOT))
    remote.upsert(name, points=[models.PointStruct(id=1, vector=[1, 2])], wait=True)
    made = remote.create_snapshot(name)
    listed = remote.list_snapshots(name)
    assert [one.name for one in listed] == [made.name] and listed[0].size > 0
    assert remote.delete_snapshot(name, made.name)
    assert remote.list_snapshots(name) == []


def test_the_older_calls_answer_like_the_query_that_replaces_them(remote, name, points, metadata):
    remote.create_collection(name, vectors_config=models.VectorParams(size=2, distance=models.Distance.DOT))
    remote.upsert(name, points=[models.PointStruct(id=number, vector=[number / 4, 1.0], payload={"g": number % 3}) for number in range(1, 30)], wait=True)
    ids = lambda hits: [hit.id.num for hit in hits]
    numbered = lambda *numbers: [wire.PointId(num=number) for number in numbers]
    found = ids(points.Search(wire.SearchPoints(collection_name=name, vector=[1, 0], limit=5), metadata=metadata).result)
    assert found == [29, 28, 27, 26, 25]
    batch = points.SearchBatch(wire.SearchBatchPoints(collection_name=name, search_points=[wire.SearchPoints(vector=[1, 0], limit=2)] * 2), metadata=metadata)
    assert [ids(one.result) for one in batch.result] == [[29, 28]] * 2
    groups = points.SearchGroups(wire.SearchPointGroups(collection_name=name, vector=[1, 0], limit=3, group_by="g", group_size=2), metadata=metadata)
    assert [ids(group.hits) for group in groups.result.groups] == [[29, 26], [28, 25], [27, 24]]
    best = wire.RecommendStrategy.BestScore
    alike = points.Recommend(wire.RecommendPoints(collection_name=name, positive=numbered(29), negative=numbered(1), limit=3, strategy=best), metadata=metadata)
    asked = models.RecommendQuery(recommend=models.RecommendInput(positive=[29], negative=[1], strategy=models.RecommendStrategy.BEST_SCORE))
    assert ids(alike.result) == [point.id for point in remote.query_points(name, query=asked, limit=3).points]
    grouped = points.RecommendGroups(wire.RecommendPointGroups(collection_name=name, positive=numbered(29), limit=2, group_by="g", group_size=1), metadata=metadata)
    assert len(grouped.result.groups) == 2
    example = lambda number: wire.VectorExample(id=wire.PointId(num=number))
    pair = wire.ContextExamplePair(positive=example(20), negative=example(2))
    target = wire.TargetVector(single=wire.VectorExample(vector=wire.Vector(data=[1, 0])))
    seen = points.Discover(wire.DiscoverPoints(collection_name=name, target=target, context=[pair], limit=3), metadata=metadata)
    assert len(seen.result) == 3
    several = points.DiscoverBatch(wire.DiscoverBatchPoints(collection_name=name, discover_points=[wire.DiscoverPoints(context=[pair], limit=2)]), metadata=metadata)
    assert len(several.result) == 1 and len(several.result[0].result) == 2


def test_writes_under_a_condition(remote, name):
    remote.create_collection(name, vectors_config=models.VectorParams(size=2, distance=models.Distance.DOT))
    point = lambda number, mark: models.PointStruct(id=number, vector=[1, number], payload={"mark": mark})
    remote.upsert(name, points=[point(1, "old"), point(2, "new")], wait=True)
    stale = models.Filter(must=[models.FieldCondition(key="mark", match=models.MatchValue(value="old"))])
    remote.upsert(name, points=[point(1, "x"), point(2, "x"), point(3, "x")], update_filter=stale, wait=True)
    marks = {one.id: one.payload["mark"] for one in remote.scroll(name)[0]}
    assert marks == {1: "x", 2: "new", 3: "x"}


def test_text_becomes_vectors_on_the_server(remote, name, points, metadata):
    remote.create_collection(name, vectors_config={}, sparse_vectors_config={"bm25": models.SparseVectorParams(modifier=models.Modifier.IDF)})
    texts = ["the quick brown fox", "a lazy dog sleeps", "brown bread and butter"]
    document = lambda text: wire.Document(text=text, model="bm25")
    vectors = lambda text: wire.Vectors(vectors=wire.NamedVectors(vectors={"bm25": wire.Vector(document=document(text))}))
    written = [wire.PointStruct(id=wire.PointId(num=number), vectors=vectors(text)) for number, text in enumerate(texts)]
    stored = points.Upsert(wire.UpsertPoints(collection_name=name, points=written, wait=True), metadata=metadata)
    assert stored.usage.inference.models
    asked = wire.Query(nearest=wire.VectorInput(document=document("sleeping dogs")))
    found = points.Query(wire.QueryPoints(collection_name=name, query=asked, using="bm25", limit=3), metadata=metadata)
    assert found.result[0].id.num == 1
