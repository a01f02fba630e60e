//! OpenAI's files over HTTP: shapes, order, bounds, tenants, and everything that can be wrong with a form.

use axum::body::Body;
use bytes::Bytes;
use futures::stream;
use http::{Method, Request, StatusCode};
use serde_json::{Value, json};
use service::Scope;
use std::convert::Infallible;

use crate::harness::{Harness, Reply};

const BOUNDARY: &str = "----------------------------fornax";

/// A form with these fields; a field with a file name is a file.
pub fn form(fields: &[(&str, Option<&str>, &str)]) -> String {
    let mut body = String::new();
    for (name, filename, value) in fields {
        let file = filename.map_or_else(String::new, |file| format!("; filename=\"{file}\""));
        body.push_str(&format!(
            "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"{file}\r\n\r\n{value}\r\n"
        ));
    }
    body.push_str(&format!("--{BOUNDARY}--\r\n"));
    body
}

pub async fn send(harness: &Harness, key: &str, body: impl Into<Body>) -> Reply {
    let request = Request::builder()
        .method(Method::POST)
        .uri("/v1/files")
        .header("authorization", format!("Bearer {key}"))
        .header(
            "content-type",
            format!("multipart/form-data; boundary={BOUNDARY}"),
        )
        .body(body.into())
        .expect("request");
    harness.send(request).await
}

/// Uploads a text and gives the file.
pub async fn upload(harness: &Harness, key: &str, name: &str, text: &str) -> Value {
    let body = form(&[("purpose", None, "assistants"), ("file", Some(name), text)]);
    let reply = send(harness, key, body).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text);
    reply.json()
}

async fn delete(harness: &Harness, key: &str, path: &str) -> Reply {
    harness.call(key, Method::DELETE, path, Body::empty()).await
}

fn ids(list: &Value) -> Vec<String> {
    let data = list["data"].as_array().expect("data");
    data.iter()
        .map(|one| one["id"].as_str().expect("id").to_owned())
        .collect()
}

#[tokio::test]
async fn a_file_is_uploaded_seen_read_and_deleted() {
    let harness = Harness::new().await;
    let key = harness.admin.clone();
    let text = "first line\nsecond line with ü\n";
    // The file before its purpose, as curl users write it.
    let body = form(&[
        ("file", Some("../notes \\\"1\\\".txt"), text),
        ("purpose", None, "user_data"),
        ("expires_after[anchor]", None, "created_at"),
        ("expires_after[seconds]", None, "3600"),
        ("something_new", None, "ignored"),
    ]);
    let reply = send(&harness, &key, body).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text);
    let file = reply.json();
    let id = file["id"].as_str().expect("id").to_owned();
    assert!(id.starts_with("file-") && id.len() == 29, "{id}");
    let created = file["created_at"].as_i64().expect("time");
    assert_eq!(
        file,
        json!({
            "id": id, "object": "file", "bytes": text.len(), "created_at": created, "expires_at": file["expires_at"],
            "filename": "notes \"1\".txt", "purpose": "user_data", "status": "processed", "status_details": null
        })
    );
    let life = file["expires_at"].as_i64().expect("time") - created;
    assert!((3_599..=3_601).contains(&life), "{life}");
    let path = format!("/v1/files/{id}");
    assert_eq!(harness.get(&path).await.json(), file);
    let content = harness.get(&format!("{path}/content")).await;
    assert_eq!(content.text, text);
    assert_eq!(content.headers["content-length"], text.len().to_string());
    assert_eq!(
        content.headers["content-disposition"],
        "attachment; filename*=UTF-8''notes%20%221%22.txt"
    );
    let gone = delete(&harness, &key, &path).await;
    assert_eq!(
        gone.json(),
        json!({"id": id, "object": "file", "deleted": true})
    );
    for path in [path.clone(), format!("{path}/content")] {
        let missing = harness.get(&path).await;
        assert_eq!(missing.status, StatusCode::NOT_FOUND, "{path}");
        assert!(
            missing.json()["error"]["message"]
                .as_str()
                .expect("message")
                .contains(&id)
        );
    }
    assert_eq!(
        delete(&harness, &key, &path).await.status,
        StatusCode::NOT_FOUND
    );
    assert_eq!(harness.files_on_disk(), 0);
}

#[tokio::test]
async fn lists_are_walked_in_both_orders_and_by_purpose() {
    let harness = Harness::new().await;
    let key = harness.admin.clone();
    let mut uploaded = Vec::new();
    for number in 0..5 {
        let purpose = if number % 2 == 0 { "batch" } else { "vision" };
        let body = form(&[("purpose", None, purpose), ("file", Some("a.jsonl"), "{}")]);
        uploaded.push(send(&harness, &key, body).await.json());
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
    let expected: Vec<String> = ids(&json!({"data": uploaded}));
    let list = harness.get("/v1/files").await.json();
    assert_eq!(
        (&list["object"], &list["has_more"]),
        (&json!("list"), &json!(false))
    );
    let newest: Vec<String> = expected.iter().rev().cloned().collect();
    assert_eq!(ids(&list), newest);
    assert_eq!(list["first_id"], json!(newest[0]));
    assert_eq!(list["last_id"], json!(newest[4]));
    let mut walked = Vec::new();
    let mut path = "/v1/files?order=asc&limit=2".to_owned();
    loop {
        let page = harness.get(&path).await.json();
        walked.extend(ids(&page));
        if page["has_more"] == json!(false) {
            break;
        }
        path = format!(
            "/v1/files?order=asc&limit=2&after={}",
            walked.last().expect("some")
        );
    }
    assert_eq!(walked, expected);
    let batch = harness.get("/v1/files?purpose=batch").await.json();
    assert_eq!(batch["data"].as_array().map(Vec::len), Some(3));
    // Files for batches live 30 days unless told otherwise; others stay.
    let life = |file: &Value| {
        file["expires_at"]
            .as_i64()
            .map(|end| end - file["created_at"].as_i64().expect("time"))
    };
    assert_eq!(life(&uploaded[0]), Some(2_592_000));
    assert_eq!(life(&uploaded[1]), None);
    for (query, field) in [
        ("limit=0", "limit"),
        ("limit=10001", "limit"),
        ("limit=many", "limit"),
        ("limit=-1", "limit"),
        ("order=up", "order"),
        ("purpose=none", "purpose"),
        ("after=file-unknown", "after"),
        ("after=%27%20OR%201%3D1", "after"),
    ] {
        let reply = harness.get(&format!("/v1/files?{query}")).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{query}");
        assert_eq!(reply.json()["error"]["param"], field, "{query}");
    }
}

#[tokio::test]
async fn tenants_do_not_see_each_others_files() {
    let harness = Harness::new().await;
    let (ours, theirs) = (harness.admin.clone(), harness.key(Scope::Inference).await);
    let file = upload(&harness, &ours, "secret.txt", "ours").await;
    let id = file["id"].as_str().expect("id").to_owned();
    let list = harness
        .call(&theirs, Method::GET, "/v1/files", Body::empty())
        .await;
    assert_eq!(list.json()["data"], json!([]));
    let unknown = "file-000000000000000000000000";
    for (method, suffix) in [
        (Method::GET, ""),
        (Method::GET, "/content"),
        (Method::DELETE, ""),
    ] {
        let answer = async |id: &str| {
            let path = format!("/v1/files/{id}{suffix}");
            harness
                .call(&theirs, method.clone(), &path, Body::empty())
                .await
        };
        let (real, none) = (answer(&id).await, answer(unknown).await);
        assert_eq!(real.status, StatusCode::NOT_FOUND, "{method} {suffix}");
        // Word for word what is said of a file that nobody has.
        assert_eq!(real.text.replace(&id, unknown), none.text);
    }
    let after = format!("/v1/files?after={id}");
    let reply = harness
        .call(&theirs, Method::GET, &after, Body::empty())
        .await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST);
    assert_eq!(
        harness.get(&format!("/v1/files/{id}/content")).await.text,
        "ours"
    );
    let metrics = harness.key(Scope::Metrics).await;
    let refused = harness
        .call(&metrics, Method::GET, "/v1/files", Body::empty())
        .await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
}

/// Fields of a form that cannot be, and the field at fault.
fn wrong_fields() -> Vec<(String, &'static str)> {
    let purpose = ("purpose", None, "user_data");
    let file = ("file", Some("a.txt"), "text");
    let anchor = ("expires_after[anchor]", None, "created_at");
    let life = |seconds: &'static str| ("expires_after[seconds]", None, seconds);
    let named = |name: &'static str, text: &'static str| ("file", Some(name), text);
    let (long, text) = ("n".repeat(300), "x".repeat(70 << 10));
    let seconds = "expires_after.seconds";
    vec![
        (form(&[]), "file"),
        (form(&[purpose]), "file"),
        (form(&[file]), "purpose"),
        (form(&[file, file, purpose]), "file"),
        (form(&[purpose, purpose, file]), "purpose"),
        (form(&[("purpose", None, "anything"), file]), "purpose"),
        (form(&[("purpose", None, ""), file]), "purpose"),
        (form(&[("purpose", None, "batch_output"), file]), "purpose"),
        (form(&[("purpose", None, &text), file]), "purpose"),
        (form(&[purpose, ("file", None, "a text, no file")]), "file"),
        (form(&[purpose, named("", "x")]), "file"),
        (form(&[purpose, named("..", "x")]), "file"),
        (form(&[purpose, ("file", Some(&long), "x")]), "file"),
        (form(&[purpose, named("a%0Ab", "x")]), "file"),
        (form(&[purpose, named("empty.txt", "")]), "file"),
        (form(&[purpose, file, anchor]), seconds),
        (form(&[purpose, file, life("3600")]), "expires_after.anchor"),
        (form(&[purpose, file, anchor, life("3599")]), seconds),
        (form(&[purpose, file, anchor, life("2592001")]), seconds),
        (form(&[purpose, file, anchor, life("-1")]), seconds),
        (form(&[purpose, file, anchor, life("soon")]), seconds),
        (
            form(&[
                purpose,
                file,
                ("expires_after[anchor]", None, "last_active_at"),
            ]),
            "expires_after.anchor",
        ),
        (
            form(&[purpose, file, ("expires_after", None, "{}")]),
            "expires_after",
        ),
    ]
}

/// Bodies that are no form.
fn broken_forms() -> Vec<String> {
    let whole = form(&[
        ("purpose", None, "user_data"),
        ("file", Some("a.txt"), "text"),
    ]);
    vec![
        String::new(),
        "not a form at all".into(),
        whole.replace("--fornax--", "--fornax"),
        whole[..whole.len() / 2].to_owned(),
        whole.replace("Content-Disposition", "Content-Nothing"),
        whole.replace("form-data;", "attachment;"),
        whole.replace("name=\"purpose\"", "title=\"purpose\""),
        whole.replacen("\r\n\r\n", "\r\n", 1),
        "x".repeat(1 << 20),
        form(&vec![("more", None, "fields"); 100]),
    ]
}

#[tokio::test]
async fn what_is_wrong_with_a_form_is_named() {
    let harness = Harness::new().await;
    let key = harness.admin.clone();
    for (body, field) in wrong_fields() {
        let reply = send(&harness, &key, body).await;
        assert_eq!(
            reply.status,
            StatusCode::BAD_REQUEST,
            "{field}: {}",
            reply.text
        );
        assert_eq!(reply.json()["error"]["param"], field, "{}", reply.text);
    }
    for body in broken_forms() {
        let shown: String = body.chars().take(200).collect();
        let reply = send(&harness, &key, body).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{shown}");
        assert_eq!(reply.code(), "invalid_multipart", "{shown}");
    }
    for body in ["{\"purpose\": \"user_data\"}", ""] {
        let reply = harness.post("/v1/files", body).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST);
        assert_eq!(reply.code(), "invalid_multipart");
    }
    assert_eq!(harness.get("/v1/files").await.json()["data"], json!([]));
    assert_eq!(
        harness.files_on_disk(),
        0,
        "a refused upload leaves nothing"
    );
}

/// A form whose file has `chunks` pieces of a megabyte that are made as they are read.
fn large_form(chunks: usize) -> Body {
    let head = form(&[
        ("purpose", None, "user_data"),
        ("file", Some("large.bin"), "HERE"),
    ]);
    let (before, after) = head.split_once("HERE").expect("split");
    let piece = Bytes::from(vec![b'\r'; 1 << 20]);
    let pieces = std::iter::once(Bytes::from(before.to_owned()))
        .chain(std::iter::repeat_n(piece, chunks))
        .chain(std::iter::once(Bytes::from(after.to_owned())));
    Body::from_stream(stream::iter(pieces.map(Ok::<_, Infallible>)))
}

#[tokio::test]
async fn files_are_bounded_each_and_together() {
    let harness = Harness::with_files(|files| {
        files.bytes_max = 5 << 20;
        files.tenant_bytes_max = 8 << 20;
        files.tenant_files_max = 3;
    })
    .await;
    let key = harness.admin.clone();
    let large = send(&harness, &key, large_form(5)).await;
    assert_eq!(large.status, StatusCode::OK, "{}", large.text);
    assert_eq!(large.json()["bytes"], json!(5 << 20));
    let larger = send(&harness, &key, large_form(6)).await;
    assert_eq!(larger.status, StatusCode::PAYLOAD_TOO_LARGE);
    let second = send(&harness, &key, large_form(4)).await;
    assert_eq!(second.status, StatusCode::CONFLICT);
    assert_eq!(second.code(), "storage_limit_exceeded");
    upload(&harness, &key, "a.txt", "a").await;
    upload(&harness, &key, "b.txt", "b").await;
    let body = form(&[("purpose", None, "user_data"), ("file", Some("c.txt"), "c")]);
    assert_eq!(
        send(&harness, &key, body).await.status,
        StatusCode::CONFLICT
    );
    let other = harness.key(Scope::Inference).await;
    assert_eq!(
        send(&harness, &other, large_form(5)).await.status,
        StatusCode::OK,
        "another's room"
    );
    assert_eq!(harness.files_on_disk(), 4);
}

#[tokio::test]
async fn what_a_crash_leaves_is_removed_by_the_next_start() {
    let harness = Harness::new().await;
    let key = harness.admin.clone();
    let file = upload(&harness, &key, "kept.txt", "kept").await;
    let directory = harness.directory().join("files/default");
    // A copy of a file under another name is what a crash between the bytes and the row leaves.
    let kept = directory.join(file["id"].as_str().expect("id"));
    for name in [
        "file-000000000000000000000000",
        ".file-0.0123456789abcdef.partial",
    ] {
        std::fs::copy(&kept, directory.join(name)).expect("copy");
    }
    assert_eq!(harness.files_on_disk(), 3);
    harness.service.recover_files().await.expect("recovered");
    assert_eq!(harness.files_on_disk(), 1);
    let path = format!("/v1/files/{}/content", file["id"].as_str().expect("id"));
    assert_eq!(harness.get(&path).await.text, "kept");
    // Files that have no row at all look like those of another database, whose owner would lose them.
    let other = directory.join("file-111111111111111111111111");
    std::fs::copy(&kept, other).expect("copy");
    std::fs::remove_file(&kept).expect("remove");
    harness.service.recover_files().await.expect("recovered");
    assert_eq!(harness.files_on_disk(), 1);
}

#[tokio::test]
async fn bytes_that_are_gone_are_said_to_be() {
    let harness = Harness::new().await;
    let file = upload(&harness, &harness.admin, "lost.txt", "lost").await;
    let id = file["id"].as_str().expect("id");
    std::fs::remove_file(harness.directory().join("files/default").join(id)).expect("remove");
    let reply = harness.get(&format!("/v1/files/{id}/content")).await;
    assert_eq!(reply.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(reply.code(), "data_loss");
}
