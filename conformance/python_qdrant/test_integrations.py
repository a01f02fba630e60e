"""What integrations send, in their order: LangChain with its own package, others as their sources call the client."""

import uuid

import pytest
from qdrant_client import models
from qdrant_client.http.exceptions import UnexpectedResponse

from conftest import KEY, TRANSPORT, URL, settings

rest_only = pytest.mark.skipif(TRANSPORT != "rest", reason="speaks of statuses of HTTP")


@pytest.fixture
def embeddings(embedder):
    from langchain_openai import OpenAIEmbeddings

    # Without the check lengths are not counted with a tokenizer that has to be downloaded.
    return OpenAIEmbeddings(base_url=f"{URL}/v1", api_key=KEY, model=embedder, check_embedding_ctx_length=False)


TEXTS = ["The cat sleeps.", "Banks raised rates.", "A kitten plays.", "The budget was published."]


def test_langchain_openai_embeddings(embeddings):
    vectors = embeddings.embed_documents(TEXTS)
    assert [len(vector) for vector in vectors] == [384] * 4
    query = embeddings.embed_query("cats")
    dot = lambda vector: sum(one * two for one, two in zip(query, vector))
    assert dot(vectors[0]) > dot(vectors[1]) and dot(vectors[2]) > dot(vectors[3])


def test_langchain_openai_chat():
    from langchain_openai import ChatOpenAI

    chat = ChatOpenAI(base_url=f"{URL}/v1", api_key=KEY, model="fornax-nano", max_tokens=8, temperature=0)
    assert chat.invoke("Who is there?").content
    assert "".join(chunk.content for chunk in chat.stream("Who is there?"))


def options() -> dict:
    return {key: value for key, value in settings().items() if key not in ("url", "cloud_inference")}


def test_langchain_qdrant(embeddings, client, name):
    from langchain_core.documents import Document
    from langchain_qdrant import QdrantVectorStore

    documents = [Document(page_content=text, metadata={"n": index}) for index, text in enumerate(TEXTS)]
    store = QdrantVectorStore.from_documents(documents, embeddings, url=URL, collection_name=name, **options())
    assert store.similarity_search("cats", k=1)[0].metadata["n"] in (0, 2)
    condition = models.FieldCondition(key="metadata.n", match=models.MatchValue(value=3))
    found = store.similarity_search_with_score("money", k=4, filter=models.Filter(must=[condition]))
    assert [document.metadata["n"] for document, _ in found] == [3]
    assert len(store.max_marginal_relevance_search("cats", k=2, fetch_k=4)) == 2
    ids = store.add_texts(["Bread is baked."], metadatas=[{"n": 9}])
    assert store.get_by_ids(ids)[0].page_content == "Bread is baked."
    assert store.delete(ids) is True and store.get_by_ids(ids) == []
    again = QdrantVectorStore.from_existing_collection(collection_name=name, embedding=embeddings, url=URL, **options())
    assert again.as_retriever(search_kwargs={"k": 2}).invoke("banks")[0].metadata["n"] in (1, 3)


def test_langchain_qdrant_hybrid(embeddings, name):
    from langchain_qdrant import QdrantVectorStore, RetrievalMode, SparseEmbeddings
    from langchain_qdrant.sparse_embeddings import SparseVector

    class Words(SparseEmbeddings):
        """Each word a dimension, as a client-side model would."""

        def embed_query(self, text):
            words = sorted({sum(map(ord, word)) for word in text.lower().strip(".").split()})
            return SparseVector(indices=words, values=[1.0] * len(words))

        def embed_documents(self, texts):
            return [self.embed_query(text) for text in texts]

    store = QdrantVectorStore.from_texts(
        TEXTS, embeddings, sparse_embedding=Words(), retrieval_mode=RetrievalMode.HYBRID, url=URL, collection_name=name, **options()
    )
    assert store.similarity_search("budget", k=1)[0].page_content == TEXTS[3]


def test_llama_index_sequence(client, name):
    """Named dense and sparse vectors, quantisation, an index for the document's id, hybrid in one batch, delete by it."""
    assert not client.collection_exists(name)
    client.create_collection(
        name,
        vectors_config={"text-dense": models.VectorParams(size=4, distance=models.Distance.COSINE)},
        sparse_vectors_config={"text-sparse-new": models.SparseVectorParams(modifier=models.Modifier.IDF)},
        quantization_config=models.ScalarQuantization(scalar=models.ScalarQuantizationConfig(type=models.ScalarType.INT8, always_ram=True)),
        shard_number=None,
        replication_factor=None,
    )
    client.create_payload_index(name, field_name="doc_id", field_schema=models.PayloadSchemaType.KEYWORD)
    info = client.get_collection(name)
    assert "text-dense" in info.config.params.vectors and "text-sparse-new" in info.config.params.sparse_vectors
    points = [
        models.PointStruct(
            id=str(uuid.uuid4()),
            vector={
                "text-dense": [1.0, index / 10, 0.2, 0.3],
                "text-sparse-new": models.SparseVector(indices=[1, 5 + index], values=[0.5, 1.0]),
            },
            payload={"doc_id": f"d{index % 2}", "_node_content": "{}", "text": f"t{index}"},
        )
        for index in range(10)
    ]
    client.upload_points(name, points=points, batch_size=4, parallel=1, max_retries=3, wait=True)
    chosen = models.Filter(must=[models.FieldCondition(key="doc_id", match=models.MatchValue(value="d1"))])
    requests = [
        models.QueryRequest(query=[1.0, 0.1, 0.2, 0.3], using="text-dense", filter=chosen, limit=3, with_payload=True),
        models.QueryRequest(
            query=models.SparseVector(indices=[1, 6], values=[1.0, 1.0]), using="text-sparse-new", filter=chosen, limit=3, with_payload=True
        ),
    ]
    dense, sparse = client.query_batch_points(name, requests=requests)
    assert {point.payload["doc_id"] for point in dense.points + sparse.points} == {"d1"}
    assert sparse.points[0].payload["text"] == "t1"
    records, _ = client.scroll(name, limit=9999, scroll_filter=chosen, with_vectors=True, with_payload=True)
    assert len(records) == 5 and set(records[0].vector) == {"text-dense", "text-sparse-new"}
    client.delete(name, points_selector=chosen)
    ids = [point.id for point in points[:3]]
    client.delete(name, points_selector=models.Filter(must=[models.HasIdCondition(has_id=ids)]))
    assert client.count(name).count == 3


def test_open_webui_sequence(client, name):
    """One collection for many tenants, filters instead of queries, a billion as the limit."""
    client.create_collection(
        collection_name=name,
        vectors_config=models.VectorParams(size=4, distance=models.Distance.COSINE, on_disk=False),
        hnsw_config=models.HnswConfigDiff(payload_m=16, m=0),
    )
    client.create_payload_index(
        collection_name=name, field_name="tenant_id", field_schema=models.KeywordIndexParams(type="keyword", is_tenant=True, on_disk=False)
    )
    for field in ("metadata.hash", "metadata.file_id"):
        client.create_payload_index(name, field, field_schema=models.KeywordIndexParams(type="keyword", on_disk=False))
    points = [
        models.PointStruct(
            id=str(uuid.uuid4()),
            vector=[1.0, index, 0.5, 0.1],
            payload={"text": f"t{index}", "metadata": {"hash": f"h{index}", "file_id": f"f{index % 3}"}, "tenant_id": f"k{index % 2}"},
        )
        for index in range(12)
    ]
    client.upload_points(name, points, wait=True)
    assert client.get_collection(name).config.params.vectors.size == 4
    tenant = models.FieldCondition(key="tenant_id", match=models.MatchValue(value="k1"))
    file = models.FieldCondition(key="metadata.file_id", match=models.MatchValue(value="f1"))
    found = client.query_points(name, query=[1.0, 3.0, 0.5, 0.1], limit=3, query_filter=models.Filter(must=[tenant]))
    assert found.points[0].payload["text"] == "t3" and found.points[0].score > 0.999
    unlimited = 999_999_999
    listed = client.query_points(name, query_filter=models.Filter(must=[tenant, file]), limit=unlimited)
    assert {point.payload["text"] for point in listed.points} == {"t1", "t7"}
    inner = models.Prefetch(filter=models.Filter(must=[tenant]), limit=unlimited)
    narrowed = client.query_points(name, query=[1.0, 0.0, 0.0, 0.0], prefetch=inner, limit=2)
    assert {point.payload["tenant_id"] for point in narrowed.points} == {"k1"}
    records, _ = client.scroll(name, scroll_filter=models.Filter(must=[tenant]), limit=unlimited)
    assert len(records) == 6
    hashes = [models.FieldCondition(key="metadata.hash", match=models.MatchValue(value=value)) for value in ("h1", "h3")]
    client.delete(name, points_selector=models.FilterSelector(filter=models.Filter(must=[tenant], should=hashes)))
    assert client.count(name, count_filter=models.Filter(must=[tenant])).count == 4
    assert name in [found.name for found in client.get_collections().collections]


@rest_only
def test_the_words_that_open_webui_parses(client, name):
    client.create_collection(name, vectors_config=models.VectorParams(size=2, distance="Dot"))
    with pytest.raises(UnexpectedResponse) as caught:
        client.create_collection(name, vectors_config=models.VectorParams(size=2, distance="Dot"))
    assert caught.value.status_code == 409 and b"already exists" in caught.value.content
    with pytest.raises(UnexpectedResponse) as caught:
        client.get_collection(name + "-absent")
    assert caught.value.status_code == 404 and b"doesn't exist" in caught.value.content


def test_mem0_sequence(client, name):
    """Create if it is not among the collections; upsert; search with a filter; list with scroll; update one; delete one."""
    if name not in [found.name for found in client.get_collections().collections]:
        client.create_collection(name, vectors_config=models.VectorParams(size=3, distance=models.Distance.COSINE, on_disk=True))
    for field in ("user_id", "agent_id", "run_id", "actor_id"):
        client.create_payload_index(name, field_name=field, field_schema="keyword")
    ids = [str(uuid.uuid4()) for _ in range(4)]
    points = [models.PointStruct(id=id, vector=[1, index, 0], payload={"user_id": f"u{index % 2}", "data": "x"}) for index, id in enumerate(ids)]
    client.upsert(collection_name=name, points=points)
    user = models.Filter(must=[models.FieldCondition(key="user_id", match=models.MatchValue(value="u1"))])
    hits = client.query_points(collection_name=name, query=[1, 1, 0], query_filter=user, limit=5)
    assert [point.id for point in hits.points] == [ids[1], ids[3]]
    listed = client.scroll(collection_name=name, scroll_filter=user, limit=100, with_payload=True, with_vectors=False)
    assert {record.id for record in listed[0]} == {ids[1], ids[3]}
    client.upsert(collection_name=name, points=[models.PointStruct(id=ids[1], vector=[0, 0, 1], payload={"user_id": "u1", "data": "y"})])
    assert client.retrieve(collection_name=name, ids=[ids[1]], with_payload=True)[0].payload["data"] == "y"
    client.delete(collection_name=name, points_selector=models.PointIdsList(points=[ids[1]]))
    assert client.retrieve(collection_name=name, ids=[ids[1]]) == []
