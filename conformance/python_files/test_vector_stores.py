"""Vector stores by the stock SDK: made, filled, searched, emptied, deleted."""

import time

import openai
import pytest
from conftest import TEXTS, wait


def test_a_store_is_made_changed_and_deleted(client, store):
    made = store(name="first", metadata={"team": "blue"}, description="a test")
    assert made.object == "vector_store" and made.id.startswith("vs_")
    assert (made.name, made.status, made.usage_bytes) == ("first", "completed", 0)
    assert made.metadata == {"team": "blue"} and made.file_counts.total == 0
    assert made.expires_after is None and abs(made.created_at - time.time()) < 60
    assert client.vector_stores.retrieve(made.id) == made
    changed = client.vector_stores.update(made.id, name="second", metadata={"team": "red"})
    assert (changed.name, changed.metadata) == ("second", {"team": "red"})
    gone = client.vector_stores.delete(made.id)
    assert gone.deleted and gone.object == "vector_store.deleted"
    with pytest.raises(openai.NotFoundError):
        client.vector_stores.retrieve(made.id)


def test_a_life_after_the_last_use(client, store):
    made = store(expires_after={"anchor": "last_active_at", "days": 3})
    assert made.expires_after.days == 3
    assert made.expires_at == made.last_active_at + 3 * 86400
    kept = client.vector_stores.update(made.id, expires_after=None)
    assert kept.expires_after is None and kept.expires_at is None


def test_lists_are_walked_in_both_orders(client, store):
    ids = []
    for number in range(4):
        ids.append(store(name=str(number)).id)
        time.sleep(0.005)
    walked = [one.id for one in client.vector_stores.list(limit=2, order="asc") if one.id in ids]
    assert walked == ids
    assert [one.id for one in client.vector_stores.list(limit=4).data] == ids[::-1]
    before = client.vector_stores.list(limit=2, order="asc", before=ids[3])
    assert [one.id for one in before.data] == ids[1:3]


@pytest.mark.parametrize(
    ("options", "param"),
    [
        ({"metadata": {str(number): "x" for number in range(17)}}, "metadata"),
        ({"metadata": {"k" * 65: "x"}}, "metadata"),
        ({"metadata": {"k": "x" * 513}}, "metadata"),
        ({"expires_after": {"anchor": "created_at", "days": 1}}, "expires_after.anchor"),
        ({"expires_after": {"anchor": "last_active_at", "days": 0}}, "expires_after.days"),
        ({"file_ids": ["file-unknown"]}, "file_id"),
        ({"name": "n" * 600}, "name"),
    ],
)
def test_a_store_that_cannot_be(client, embedder, options, param):
    before = len(client.vector_stores.list(limit=100).data)
    with pytest.raises(openai.APIStatusError) as caught:
        client.vector_stores.create(**options)
    assert caught.value.status_code in (400, 404) and caught.value.param == param
    assert len(client.vector_stores.list(limit=100).data) == before


def test_a_store_made_with_files(client, store, upload):
    files = [upload(name, text).id for name, text in TEXTS.items()]
    made = store(name="with files", file_ids=files)
    assert made.file_counts.total == 3
    done = wait(lambda: client.vector_stores.retrieve(made.id), lambda seen: seen.status == "completed")
    assert done.file_counts.completed == 3 and done.usage_bytes > sum(len(text) for text in TEXTS.values())


def test_a_file_is_attached_and_completed(client, store, upload):
    made, file = store(), upload("cats.txt", TEXTS["cats.txt"])
    attached = client.vector_stores.files.create(
        made.id,
        file_id=file.id,
        attributes={"year": 1990, "title": "Cats", "true": True},
        chunking_strategy={"type": "static", "static": {"max_chunk_size_tokens": 200, "chunk_overlap_tokens": 50}},
    )
    assert attached.object == "vector_store.file" and attached.id == file.id
    assert attached.status in ("in_progress", "completed") and attached.vector_store_id == made.id
    sizes = attached.chunking_strategy.static
    assert (sizes.max_chunk_size_tokens, sizes.chunk_overlap_tokens) == (200, 50)
    done = client.vector_stores.files.poll(file.id, vector_store_id=made.id, poll_interval_ms=100)
    assert done.status == "completed" and done.last_error is None and done.usage_bytes > 0
    assert done.attributes == {"year": 1990, "title": "Cats", "true": True}


def test_the_automatic_strategy_says_what_it_does(client, store, upload):
    made, file = store(), upload()
    done = client.vector_stores.files.create_and_poll(file.id, vector_store_id=made.id, poll_interval_ms=100)
    sizes = done.chunking_strategy.static
    assert 100 <= sizes.max_chunk_size_tokens <= 800
    assert sizes.chunk_overlap_tokens == sizes.max_chunk_size_tokens // 2


@pytest.mark.parametrize(
    ("size", "overlap", "param"),
    [
        (99, 10, "chunking_strategy.static.max_chunk_size_tokens"),
        (4097, 10, "chunking_strategy.static.max_chunk_size_tokens"),
        (200, 101, "chunking_strategy.static.chunk_overlap_tokens"),
    ],
)
def test_chunks_that_cannot_be(client, store, upload, size, overlap, param):
    strategy = {"type": "static", "static": {"max_chunk_size_tokens": size, "chunk_overlap_tokens": overlap}}
    with pytest.raises(openai.BadRequestError) as caught:
        client.vector_stores.files.create(store().id, file_id=upload().id, chunking_strategy=strategy)
    assert caught.value.param == param


@pytest.mark.parametrize(
    "attributes",
    [{str(number): 1 for number in range(17)}, {"k": "x" * 513}, {"k": {"nested": 1}}, {"k": [1]}, {"a\"b": 1}],
)
def test_attributes_that_cannot_be(client, store, upload, attributes):
    with pytest.raises(openai.BadRequestError) as caught:
        client.vector_stores.files.create(store().id, file_id=upload().id, attributes=attributes)
    assert caught.value.param == "attributes"


def test_a_long_file_becomes_chunks_in_order(client, store, upload):
    text = "\n\n".join(f"Paragraph {number} tells of the number {number} and of nothing else at all." for number in range(200))
    made, file = store(), upload("long.txt", text)
    strategy = {"type": "static", "static": {"max_chunk_size_tokens": 100, "chunk_overlap_tokens": 0}}
    done = client.vector_stores.files.create_and_poll(
        file.id, vector_store_id=made.id, chunking_strategy=strategy, poll_interval_ms=100
    )
    assert done.status == "completed", done.last_error
    parts = [part.text for part in client.vector_stores.files.content(file.id, vector_store_id=made.id)]
    assert len(parts) > 10
    assert "".join("".join(parts).split()) == "".join(text.split())


def test_files_that_cannot_be_read_say_why(client, store, upload):
    made = store()
    for name, data, code in [
        ("broken.pdf", b"%PDF-1.4 and then nothing", "invalid_file"),
        ("blob.bin", bytes([0, 159, 146, 150]) * 100, "unsupported_file"),
        ("blank.txt", b" \n\t\n", "invalid_file"),
    ]:
        file = upload(name, data)
        failed = client.vector_stores.files.create_and_poll(file.id, vector_store_id=made.id, poll_interval_ms=100)
        assert failed.status == "failed" and failed.last_error.code == code, (name, failed.last_error)
        assert failed.last_error.message
    seen = client.vector_stores.retrieve(made.id)
    assert seen.file_counts.failed == 3 and seen.status == "completed"


def test_files_of_a_store_are_listed_by_state(client, store, upload):
    made = store()
    good, bad = upload("good.txt", "Good."), upload("bad.pdf", b"%PDF-1.4")
    for file in (good, bad):
        client.vector_stores.files.create_and_poll(file.id, vector_store_id=made.id, poll_interval_ms=100)
    listed = lambda **options: [one.id for one in client.vector_stores.files.list(made.id, **options)]
    assert set(listed()) == {good.id, bad.id}
    assert listed(filter="completed") == [good.id] and listed(filter="failed") == [bad.id]
    assert listed(filter="in_progress") == []
    assert listed(order="asc", limit=1) == [good.id, bad.id]
    with pytest.raises(openai.BadRequestError):
        listed(filter="lost")


def test_a_file_leaves_a_store_and_its_searches(client, store, upload):
    made, file = store(), upload("cats.txt", TEXTS["cats.txt"])
    client.vector_stores.files.create_and_poll(file.id, vector_store_id=made.id, poll_interval_ms=100)
    assert client.vector_stores.search(made.id, query="cats").data
    gone = client.vector_stores.files.delete(file.id, vector_store_id=made.id)
    assert gone.deleted and gone.object == "vector_store.file.deleted"
    assert client.vector_stores.search(made.id, query="cats").data == []
    with pytest.raises(openai.NotFoundError):
        client.vector_stores.files.retrieve(file.id, vector_store_id=made.id)
    assert client.files.retrieve(file.id).id == file.id


def test_a_deleted_file_leaves_every_store(client, store, upload):
    made, file = store(), upload("cats.txt", TEXTS["cats.txt"])
    client.vector_stores.files.create_and_poll(file.id, vector_store_id=made.id, poll_interval_ms=100)
    client.files.delete(file.id)
    wait(lambda: client.vector_stores.search(made.id, query="cats").data, lambda found: found == [])
    assert client.vector_stores.retrieve(made.id).file_counts.total == 0


def test_a_file_that_is_attached_again_is_there_once(client, store, upload):
    made, file = store(), upload("cats.txt", TEXTS["cats.txt"])
    for year in (1, 2):
        done = client.vector_stores.files.create_and_poll(
            file.id, vector_store_id=made.id, attributes={"year": year}, poll_interval_ms=100
        )
        assert done.status == "completed"
    found = client.vector_stores.search(made.id, query="cats").data
    assert [hit.attributes["year"] for hit in found] == [2]


def test_attributes_are_changed_and_found(client, store, upload):
    made, file = store(), upload("cats.txt", TEXTS["cats.txt"])
    client.vector_stores.files.create_and_poll(
        file.id, vector_store_id=made.id, attributes={"shelf": "a"}, poll_interval_ms=100
    )
    changed = client.vector_stores.files.update(file.id, vector_store_id=made.id, attributes={"shelf": "b"})
    assert changed.attributes == {"shelf": "b"}
    on = lambda shelf: client.vector_stores.search(
        made.id, query="cats", filters={"type": "eq", "key": "shelf", "value": shelf}
    ).data
    assert len(on("b")) == 1 and on("a") == []


def test_a_batch_is_followed_to_its_end(client, store, upload):
    made = store()
    files = [upload(name, text).id for name, text in TEXTS.items()]
    batch = client.vector_stores.file_batches.create_and_poll(
        made.id, file_ids=files, attributes={"batch": True}, poll_interval_ms=100
    )
    assert batch.object == "vector_store.files_batch" and batch.id.startswith("vsfb_")
    assert (batch.status, batch.file_counts.completed, batch.file_counts.total) == ("completed", 3, 3)
    listed = client.vector_stores.file_batches.list_files(batch.id, vector_store_id=made.id)
    assert {one.id for one in listed} == set(files)
    assert all(one.attributes == {"batch": True} for one in listed)


def test_a_batch_of_files_with_settings_of_their_own(client, store, upload):
    made = store()
    one, two = upload("1.txt", "One."), upload("2.txt", "Two.")
    batch = client.vector_stores.file_batches.create(
        made.id, files=[{"file_id": one.id, "attributes": {"n": 1}}, {"file_id": two.id, "attributes": {"n": 2}}]
    )
    client.vector_stores.file_batches.poll(batch.id, vector_store_id=made.id, poll_interval_ms=100)
    attributes = {
        file.id: file.attributes for file in client.vector_stores.file_batches.list_files(batch.id, vector_store_id=made.id)
    }
    assert attributes == {one.id: {"n": 1}, two.id: {"n": 2}}


def test_a_batch_that_cannot_be(client, store, upload):
    made, file = store(), upload()
    for options in ({}, {"file_ids": []}, {"file_ids": [file.id], "files": [{"file_id": file.id}]}):
        with pytest.raises(openai.BadRequestError):
            client.vector_stores.file_batches.create(made.id, **options)
    with pytest.raises(openai.NotFoundError):
        client.vector_stores.file_batches.create(made.id, file_ids=[file.id, "file-unknown"])
    assert client.vector_stores.retrieve(made.id).file_counts.total == 0


def test_a_batch_is_cancelled(client, store, upload):
    made = store()
    text = "\n\n".join(f"Paragraph {number} about something." for number in range(3000))
    files = [upload(f"{number}.txt", text + str(number)).id for number in range(4)]
    batch = client.vector_stores.file_batches.create(made.id, file_ids=files)
    cancelled = client.vector_stores.file_batches.cancel(batch.id, vector_store_id=made.id)
    counts = cancelled.file_counts
    assert cancelled.status in ("cancelled", "completed") and counts.in_progress == 0
    assert counts.cancelled + counts.completed == 4 and counts.cancelled > 0
    left = wait(
        lambda: {hit.file_id for hit in client.vector_stores.search(made.id, query="paragraph", max_num_results=50)},
        lambda found: len(found) <= counts.completed,
    )
    assert len(left) <= counts.completed


def test_what_is_meant_is_found(library):
    client, store_id, files = library
    for query, name in [("a pet that likes to nap", "cats.txt"), ("sailing in bad weather", "ships.md"), ("how to bake", "bread.txt")]:
        found = client.vector_stores.search(store_id, query=query)
        best = found.data[0]
        assert best.filename == name and best.file_id == files[name], query
        assert best.content[0].type == "text" and best.content[0].text
        scores = [hit.score for hit in found.data]
        assert scores == sorted(scores, reverse=True) and all(0 <= score <= 1 for score in scores)


def test_words_are_found_too(library):
    client, store_id, _ = library
    best = client.vector_stores.search(store_id, query="schooner").data[0]
    assert best.filename == "ships.md" and best.score == pytest.approx(1)
    words = {"embedding_weight": 0.0, "text_weight": 1.0}
    only = client.vector_stores.search(store_id, query="yeast", extra_body={"ranking_options": {"hybrid_search": words}})
    assert [hit.filename for hit in only.data] == ["bread.txt"]


def test_several_queries_at_once(library):
    client, store_id, _ = library
    found = client.vector_stores.search(store_id, query=["purring cats", "baking bread"], max_num_results=2)
    assert {hit.filename for hit in found.data} == {"cats.txt", "bread.txt"}


def compare(kind, key, value):
    return {"type": kind, "key": key, "value": value}


@pytest.mark.parametrize(
    ("filters", "names"),
    [
        (compare("eq", "year", 1990), {"cats.txt"}),
        (compare("ne", "year", 1990), {"ships.md", "bread.txt"}),
        (compare("gt", "year", 1990), {"bread.txt"}),
        (compare("gte", "year", 1990), {"cats.txt", "bread.txt"}),
        (compare("lt", "year", 1990), {"ships.md"}),
        (compare("lte", "year", 1990.0), {"cats.txt", "ships.md"}),
        (compare("eq", "kind", "txt"), {"cats.txt", "bread.txt"}),
        (compare("eq", "old", True), {"ships.md"}),
        (compare("in", "year", [1850, 2001]), {"ships.md", "bread.txt"}),
        (compare("nin", "year", [1850, 2001]), {"cats.txt"}),
        (compare("in", "kind", ["md", "pdf"]), {"ships.md"}),
        (compare("in", "kind", []), set()),
        (compare("eq", "missing", 1), set()),
        (compare("ne", "missing", 1), {"cats.txt", "ships.md", "bread.txt"}),
        ({"type": "and", "filters": [compare("eq", "kind", "txt"), compare("gt", "year", 2000)]}, {"bread.txt"}),
        ({"type": "or", "filters": [compare("eq", "kind", "md"), compare("gt", "year", 2000)]}, {"ships.md", "bread.txt"}),
        (
            {"type": "and", "filters": [{"type": "or", "filters": [compare("eq", "old", True), compare("eq", "year", 1990)]}, compare("eq", "kind", "txt")]},
            {"cats.txt"},
        ),
    ],
)
def test_filters(library, filters, names):
    client, store_id, _ = library
    found = client.vector_stores.search(store_id, query="anything", filters=filters)
    assert {hit.filename for hit in found.data} == names


def deep(levels):
    filters = compare("eq", "year", 1)
    for _ in range(levels):
        filters = {"type": "and", "filters": [filters]}
    return filters


@pytest.mark.parametrize(
    ("options", "param"),
    [
        ({"query": ""}, "query"),
        ({"query": []}, "query"),
        ({"query": ["x"] * 17}, "query"),
        ({"query": "x" * 5000}, "query"),
        ({"max_num_results": 0}, "max_num_results"),
        ({"max_num_results": 51}, "max_num_results"),
        ({"rewrite_query": True}, "rewrite_query"),
        ({"ranking_options": {"ranker": "magic"}}, "ranking_options.ranker"),
        ({"ranking_options": {"score_threshold": 2}}, "ranking_options.score_threshold"),
        ({"filters": {"type": "like", "key": "a", "value": "b"}}, "filters.type"),
        ({"filters": {"type": "eq", "key": "a"}}, "filters.value"),
        ({"filters": {"type": "eq", "key": "a", "value": {"b": 1}}}, "filters.value"),
        ({"filters": {"type": "gt", "key": "a", "value": "text"}}, "filters.value"),
        ({"filters": {"type": "in", "key": "a", "value": "text"}}, "filters.value"),
        ({"filters": {"type": "and", "filters": []}}, "filters"),
        ({"filters": {"type": "or", "filters": [{"type": "eq", "key": 1, "value": 1}]}}, "filters.filters[0].key"),
    ],
)
def test_a_search_that_cannot_be(library, options, param):
    client, store_id, _ = library
    with pytest.raises(openai.BadRequestError) as caught:
        client.vector_stores.search(store_id, **{"query": "x", **options})
    assert caught.value.param == param


def test_filters_have_a_depth(library):
    client, store_id, _ = library
    client.vector_stores.search(store_id, query="x", filters=deep(7))
    with pytest.raises(openai.BadRequestError):
        client.vector_stores.search(store_id, query="x", filters=deep(8))


def test_results_are_bounded_by_number_and_score(library):
    client, store_id, _ = library
    assert len(client.vector_stores.search(store_id, query="cats", max_num_results=1).data) == 1
    options = {"ranker": "none", "score_threshold": 0.2}
    similar = client.vector_stores.search(store_id, query="a cat that sleeps", ranking_options=options)
    assert [hit.filename for hit in similar.data] == ["cats.txt"]
    assert 0.2 <= similar.data[0].score < 1
    options = {"ranker": "auto", "score_threshold": 0.999}
    assert client.vector_stores.search(store_id, query="anything else entirely", ranking_options=options).data is not None


def test_strangers_have_stores_of_their_own(client, stranger, library):
    _, store_id, files = library
    assert store_id not in {one.id for one in stranger.vector_stores.list()}
    unknown = "vs_" + "0" * 24
    asks = {
        "retrieve": lambda id: stranger.vector_stores.retrieve(id),
        "update": lambda id: stranger.vector_stores.update(id, name="mine"),
        "search": lambda id: stranger.vector_stores.search(id, query="cats"),
        "files": lambda id: stranger.vector_stores.files.list(id),
        "delete": lambda id: stranger.vector_stores.delete(id),
    }
    for name, ask in asks.items():
        words = []
        for id in (store_id, unknown):
            with pytest.raises(openai.NotFoundError) as caught:
                ask(id)
            words.append(caught.value.message.replace(id, "?"))
        assert words[0] == words[1], name
    theirs = stranger.vector_stores.create(name="theirs")
    with pytest.raises(openai.NotFoundError):
        stranger.vector_stores.files.create(theirs.id, file_id=files["cats.txt"])
    stranger.vector_stores.delete(theirs.id)
    assert client.vector_stores.retrieve(store_id).file_counts.completed == 3


def test_unknown_things_are_not_found(client, store):
    made = store()
    for ask in (
        lambda: client.vector_stores.files.retrieve("file-x", vector_store_id=made.id),
        lambda: client.vector_stores.files.delete("file-x", vector_store_id=made.id),
        lambda: client.vector_stores.files.update("file-x", vector_store_id=made.id, attributes={}),
        lambda: client.vector_stores.files.content("file-x", vector_store_id=made.id),
        lambda: client.vector_stores.file_batches.retrieve("vsfb_x", vector_store_id=made.id),
        lambda: client.vector_stores.file_batches.cancel("vsfb_x", vector_store_id=made.id),
    ):
        with pytest.raises(openai.NotFoundError):
            ask()
