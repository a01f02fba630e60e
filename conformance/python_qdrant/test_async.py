"""The asynchronous client, several calls at once."""

import asyncio

from qdrant_client import models


def test_many_calls_at_once(async_client, name):
    async def run():
        await async_client.create_collection(name, vectors_config=models.VectorParams(size=3, distance="Euclid"))
        points = [models.PointStruct(id=index, vector=[index, 0, 1], payload={"n": index}) for index in range(60)]
        await asyncio.gather(*(async_client.upsert(name, points[start : start + 10], wait=True) for start in range(0, 60, 10)))
        replies = await asyncio.gather(*(async_client.query_points(name, query=[index, 0, 1], limit=3) for index in range(60)))
        counted = await async_client.count(name)
        scrolled, _ = await async_client.scroll(name, limit=100)
        exists = await async_client.collection_exists(name)
        await async_client.close()
        return replies, counted.count, len(scrolled), exists

    replies, counted, scrolled, exists = asyncio.run(run())
    assert [reply.points[0].id for reply in replies] == list(range(60))
    assert all(abs(reply.points[0].score) < 1e-6 for reply in replies)
    assert (counted, scrolled, exists) == (60, 60, True)


def test_uploads_in_parallel(client, name):
    client.create_collection(name, vectors_config=models.VectorParams(size=4, distance="Dot"))
    vectors = [[index, 1.0, 0.5, -index] for index in range(1000)]
    client.upload_collection(name, vectors=vectors, payload=[{"i": index} for index in range(1000)], ids=range(1000), batch_size=64, parallel=1, wait=True)
    assert client.count(name).count == 1000
