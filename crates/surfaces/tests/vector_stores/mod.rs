//! OpenAI's vector stores over HTTP: shapes, pages, tenants and refusals. Nothing here works on files: that is the service's,
//! and what the real client sees of it the conformance suite's.

use axum::body::Body;
use http::{Method, StatusCode};
use serde_json::{Value, json};
use service::Scope;

use crate::files::upload;
use crate::harness::{Harness, Reply};

async fn shelf() -> Harness {
    let harness = Harness::new().await;
    harness.import_embedder();
    harness
}

async fn make(harness: &Harness, body: Value) -> Value {
    let reply = harness.post("/v1/vector_stores", body.to_string()).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text);
    reply.json()
}

async fn delete(harness: &Harness, path: &str) -> Reply {
    let key = harness.admin.clone();
    harness
        .call(&key, Method::DELETE, path, Body::empty())
        .await
}

fn id(value: &Value) -> String {
    value["id"].as_str().expect("id").to_owned()
}

#[tokio::test]
async fn a_store_has_openais_shape_and_is_a_collection() {
    let harness = shelf().await;
    let made = make(
        &harness,
        json!({"name": "shelf", "description": "of books", "metadata": {"a": "b"},
               "expires_after": {"anchor": "last_active_at", "days": 2}, "file_ids": null}),
    )
    .await;
    let (created, active) = (made["created_at"].clone(), made["last_active_at"].clone());
    assert_eq!(
        made,
        json!({
            "id": made["id"], "object": "vector_store", "created_at": created, "name": "shelf", "description": "of books",
            "usage_bytes": 0, "file_counts": {"in_progress": 0, "completed": 0, "failed": 0, "cancelled": 0, "total": 0},
            "status": "completed", "expires_after": {"anchor": "last_active_at", "days": 2},
            "expires_at": active.as_i64().expect("time") + 2 * 86_400, "last_active_at": active, "metadata": {"a": "b"}
        })
    );
    let path = format!("/v1/vector_stores/{}", id(&made));
    assert_eq!(harness.get(&path).await.json(), made);
    let body = json!({"metadata": null, "expires_after": null, "name": "moved"});
    let changed = harness.post(&path, body.to_string()).await.json();
    assert_eq!(
        (
            &changed["name"],
            &changed["metadata"],
            &changed["expires_at"]
        ),
        (&json!("moved"), &json!({}), &Value::Null)
    );
    let list = harness.get("/v1/vector_stores").await.json();
    assert_eq!(list["data"], json!([changed]));
    let gone = delete(&harness, &path).await;
    assert_eq!(
        gone.json(),
        json!({"id": made["id"], "object": "vector_store.deleted", "deleted": true})
    );
    assert_eq!(harness.get(&path).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn files_wait_in_a_store_in_openais_shape() {
    let harness = shelf().await;
    let file = upload(&harness, &harness.admin, "a.txt", "text").await;
    let path = format!("/v1/vector_stores/{}", id(&make(&harness, json!({})).await));
    let body = json!({"file_id": file["id"], "attributes": {"n": 1.5, "t": "x", "b": false},
        "chunking_strategy": {"type": "static", "static": {"max_chunk_size_tokens": 100, "chunk_overlap_tokens": 50}}});
    let attached = harness
        .post(&format!("{path}/files"), body.to_string())
        .await;
    assert_eq!(attached.status, StatusCode::OK, "{}", attached.text);
    let attached = attached.json();
    assert_eq!(
        attached,
        json!({
            "id": file["id"], "object": "vector_store.file", "usage_bytes": 0, "created_at": attached["created_at"],
            "vector_store_id": path.rsplit('/').next(), "status": "in_progress", "last_error": null,
            "chunking_strategy": {"type": "static", "static": {"max_chunk_size_tokens": 100, "chunk_overlap_tokens": 50}},
            "attributes": {"n": 1.5, "t": "x", "b": false}
        })
    );
    let one = format!("{path}/files/{}", id(&file));
    assert_eq!(harness.get(&one).await.json(), attached);
    assert_eq!(harness.get(&path).await.json()["status"], "in_progress");
    let body = json!({"file_ids": [file["id"], file["id"]]});
    let batch = harness
        .post(&format!("{path}/file_batches"), body.to_string())
        .await
        .json();
    assert_eq!(
        (&batch["object"], &batch["status"]),
        (&json!("vector_store.files_batch"), &json!("in_progress"))
    );
    assert_eq!(
        batch["file_counts"]["total"], 1,
        "a file that is named twice is there once"
    );
    let batch_path = format!("{path}/file_batches/{}", id(&batch));
    let files = harness
        .get(&format!("{batch_path}/files?filter=in_progress"))
        .await
        .json();
    assert_eq!(files["data"][0]["id"], file["id"]);
    let cancelled = harness
        .post(&format!("{batch_path}/cancel"), "{}")
        .await
        .json();
    assert_eq!(
        (&cancelled["status"], &cancelled["file_counts"]["cancelled"]),
        (&json!("cancelled"), &json!(1))
    );
    let gone = delete(&harness, &one).await;
    assert_eq!(gone.json()["object"], "vector_store.file.deleted");
    assert_eq!(
        harness.get(&format!("{path}/files")).await.json()["data"],
        json!([])
    );
}

type Wrong = Vec<(Value, &'static str)>;

fn wrong_stores() -> Wrong {
    let life = |anchor: &str, days: i64| json!({"expires_after": {"anchor": anchor, "days": days}});
    vec![
        (json!({"name": 1}), "name"),
        (json!({"name": "\u{0}"}), "name"),
        (json!({"metadata": {"a": 1}}), "metadata.a"),
        (json!({"metadata": []}), "metadata"),
        (
            json!({"expires_after": {"days": 1}}),
            "expires_after.anchor",
        ),
        (life("created_at", 1), "expires_after.anchor"),
        (life("last_active_at", 366), "expires_after.days"),
        (life("last_active_at", -1), "expires_after.days"),
        (json!({"file_ids": "file-a"}), "file_ids"),
        (
            json!({"chunking_strategy": {"type": "clever"}}),
            "chunking_strategy.type",
        ),
    ]
}

fn wrong_files(file: &Value) -> Wrong {
    let with = |key: &str, value: Value| {
        let mut body = json!({"file_id": file});
        body[key] = value;
        body
    };
    let sizes = |tokens: i64, overlap: i64| {
        let sizes = json!({"max_chunk_size_tokens": tokens, "chunk_overlap_tokens": overlap});
        with(
            "chunking_strategy",
            json!({"type": "static", "static": sizes}),
        )
    };
    vec![
        (json!({}), "file_id"),
        (json!({"file_id": 7}), "file_id"),
        (with("attributes", json!({"a": null})), "attributes"),
        (with("attributes", json!({"": 1})), "attributes"),
        (with("attributes", json!("x")), "attributes"),
        (
            sizes(99, 0),
            "chunking_strategy.static.max_chunk_size_tokens",
        ),
        (
            sizes(100, 51),
            "chunking_strategy.static.chunk_overlap_tokens",
        ),
    ]
}

fn wrong_batches(file: &Value) -> Wrong {
    vec![
        (json!({}), "file_ids"),
        (json!({"file_ids": []}), "file_ids"),
        (json!({"file_ids": [file], "files": []}), "files"),
        (json!({"files": [{"attributes": {}}]}), "files[0].file_id"),
        (json!({"file_ids": vec!["file-a"; 2_001]}), "file_ids"),
    ]
}

fn wrong_searches() -> Wrong {
    let with = |key: &str, value: Value| {
        let mut body = json!({"query": "x"});
        body[key] = value;
        body
    };
    let compare = |kind: &str, value: Value| {
        with("filters", json!({"type": kind, "key": "k", "value": value}))
    };
    let ranking = |options: Value| with("ranking_options", options);
    let weights = json!({"embedding_weight": -1, "text_weight": 1});
    let strange = json!({"type": "and", "filters": [{"type": "eq", "key": "a\"b", "value": 1}]});
    vec![
        (json!({}), "query"),
        (json!({"query": 1}), "query"),
        (json!({"query": ["a", 1]}), "query"),
        (json!({"query": " "}), "query"),
        (with("max_num_results", json!(0)), "max_num_results"),
        (with("max_num_results", json!(51)), "max_num_results"),
        (with("rewrite_query", json!(true)), "rewrite_query"),
        (
            ranking(json!({"score_threshold": -0.1})),
            "ranking_options.score_threshold",
        ),
        (ranking(json!({"ranker": "best"})), "ranking_options.ranker"),
        (
            ranking(json!({"hybrid_search": weights})),
            "ranking_options.hybrid_search",
        ),
        (with("filters", json!([])), "filters"),
        (compare("like", json!(1)), "filters.type"),
        (compare("eq", json!([1])), "filters.value"),
        (compare("gt", json!("a")), "filters.value"),
        (compare("in", json!([null])), "filters.value"),
        (with("filters", strange), "filters.filters[0].key"),
    ]
}

#[tokio::test]
async fn what_is_wrong_is_named() {
    let harness = shelf().await;
    let file = upload(&harness, &harness.admin, "a.txt", "text").await;
    let store = format!("/v1/vector_stores/{}", id(&make(&harness, json!({})).await));
    for (path, cases) in [
        ("/v1/vector_stores".to_owned(), wrong_stores()),
        (format!("{store}/files"), wrong_files(&file["id"])),
        (format!("{store}/file_batches"), wrong_batches(&file["id"])),
        (format!("{store}/search"), wrong_searches()),
    ] {
        for (body, field) in cases {
            let reply = harness.post(&path, body.to_string()).await;
            assert_eq!(
                reply.status,
                StatusCode::BAD_REQUEST,
                "{path} {body}: {}",
                reply.text
            );
            assert_eq!(
                reply.json()["error"]["param"],
                field,
                "{path} {body}: {}",
                reply.text
            );
        }
    }
    let body = json!({"file_id": "file-none"});
    let reply = harness
        .post(&format!("{store}/files"), body.to_string())
        .await;
    let field = reply.json()["error"]["param"].clone();
    assert_eq!(
        (reply.status, field),
        (StatusCode::NOT_FOUND, json!("file_id"))
    );
}

#[tokio::test]
async fn filters_and_lists_have_bounds() {
    let harness = shelf().await;
    let store = format!("/v1/vector_stores/{}", id(&make(&harness, json!({})).await));
    let one = json!({"type": "eq", "key": "a", "value": 1});
    let mut deep = one.clone();
    for _ in 0..100 {
        deep = json!({"type": "or", "filters": [deep]});
    }
    let wide = json!({"type": "and", "filters": vec![one; 300]});
    for filters in [deep, wide] {
        let body = json!({"query": "x", "filters": filters});
        let reply = harness
            .post(&format!("{store}/search"), body.to_string())
            .await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{}", reply.text);
    }
    for query in [
        "limit=101",
        "limit=x",
        "order=down",
        "after=vs_x",
        "after=a&before=b",
    ] {
        let reply = harness.get(&format!("/v1/vector_stores?{query}")).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{query}");
    }
    let reply = harness.get(&format!("{store}/files?filter=lost")).await;
    assert_eq!(reply.json()["error"]["param"], "filter");
}

#[tokio::test]
async fn another_tenant_is_told_what_a_stranger_is() {
    let harness = shelf().await;
    let file = upload(&harness, &harness.admin, "a.txt", "text").await;
    let made = make(&harness, json!({"file_ids": [file["id"]]})).await;
    let theirs = harness.key(Scope::CollectionsManage).await;
    let list = harness
        .call(&theirs, Method::GET, "/v1/vector_stores", Body::empty())
        .await;
    assert_eq!(list.json()["data"], json!([]));
    let (real, none) = (id(&made), format!("vs_{}", "0".repeat(24)));
    for (method, suffix, body) in [
        (Method::GET, String::new(), ""),
        (Method::DELETE, String::new(), ""),
        (Method::POST, String::new(), "{\"name\": \"mine\"}"),
        (Method::POST, "/search".into(), "{\"query\": \"x\"}"),
        (Method::GET, "/files".into(), ""),
        (Method::GET, format!("/files/{}", id(&file)), ""),
        (Method::DELETE, format!("/files/{}", id(&file)), ""),
        (
            Method::POST,
            "/file_batches".into(),
            "{\"file_ids\": [\"file-a\"]}",
        ),
    ] {
        let ask = async |id: &str| {
            let path = format!("/v1/vector_stores/{id}{suffix}");
            harness.call(&theirs, method.clone(), &path, body).await
        };
        let (ours, nobodys) = (ask(&real).await, ask(&none).await);
        assert_eq!(ours.status, StatusCode::NOT_FOUND, "{method} {suffix}");
        assert_eq!(
            ours.text.replace(&real, &none),
            nobodys.text,
            "{method} {suffix}"
        );
    }
    let reader = harness.key(Scope::CollectionsRead).await;
    let refused = harness
        .call(&reader, Method::POST, "/v1/vector_stores", "{}")
        .await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    assert_eq!(
        harness
            .get(&format!("/v1/vector_stores/{real}"))
            .await
            .json()["file_counts"]["total"],
        1
    );
}

#[tokio::test]
async fn a_missing_model_is_named() {
    let harness = Harness::new().await;
    let reply = harness.post("/v1/vector_stores", "{}").await;
    assert_eq!(reply.status, StatusCode::NOT_FOUND);
    assert_eq!(reply.code(), "model_not_found");
    assert!(
        reply.text.contains("collections.embedding_model"),
        "{}",
        reply.text
    );
}
