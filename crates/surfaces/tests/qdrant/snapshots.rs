//! Snapshots taken, sent, received again and restored.

use axum::body::Body;
use http::{Method, Request};
use http_body_util::BodyExt;
use serde_json::json;
use tower::ServiceExt;

use super::{Client, error, result};

async fn download(client: &Client, path: &str) -> Vec<u8> {
    let request = Request::get(path)
        .header("api-key", &client.key)
        .body(Body::empty())
        .expect("request");
    let router = client.harness.router.clone();
    let reply = router.oneshot(request).await.expect("infallible");
    assert_eq!(reply.status(), 200);
    let bytes = reply.into_body().collect().await.expect("body");
    bytes.to_bytes().to_vec()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_goes_out_and_comes_back() {
    let client = Client::with_points().await;
    let taken = result(&client.post("/collections/c/snapshots", json!({})).await);
    let name = taken["name"].as_str().expect("name").to_owned();
    assert!(taken["size"].as_u64().expect("size") > 0);
    let listed = result(&client.get("/collections/c/snapshots").await);
    assert_eq!(listed, json!([taken]));

    result(
        &client
            .post(
                "/collections/c/points/delete?wait=true",
                json!({"filter": {}}),
            )
            .await,
    );
    assert!(client.ids("c").await.is_empty());
    let file = download(&client, &format!("/collections/c/snapshots/{name}")).await;

    // Into a new collection, from a form.
    let mut form =
        b"--B\r\nContent-Disposition: form-data; name=\"snapshot\"; filename=\"s\"\r\n\r\n"
            .to_vec();
    form.extend(&file);
    form.extend(b"\r\n--B--\r\n");
    let request = Request::post("/collections/copy/snapshots/upload?priority=snapshot")
        .header("api-key", &client.key)
        .header("content-type", "multipart/form-data; boundary=B")
        .body(Body::from(form))
        .expect("request");
    result(&client.harness.send(request).await);
    assert_eq!(client.ids("copy").await.len(), 4);

    // Into its own place, by name.
    let recovered = client
        .put(
            "/collections/c/snapshots/recover",
            json!({"location": name}),
        )
        .await;
    result(&recovered);
    assert_eq!(client.ids("c").await.len(), 4);

    // A changed byte is found, and the collection stays.
    let mut damaged = file.clone();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    let reply = client
        .harness
        .call(
            &client.key,
            Method::POST,
            "/collections/copy/snapshots/upload",
            damaged,
        )
        .await;
    assert!(reply.status.is_client_error() || reply.status.is_server_error());
    assert_eq!(client.ids("copy").await.len(), 4);

    let url = json!({"location": "http://127.0.0.1:1/snapshot"});
    let refused = client.put("/collections/c/snapshots/recover", url).await;
    assert_eq!(error(&refused).0, 501);
    result(
        &client
            .delete(&format!("/collections/c/snapshots/{name}"))
            .await,
    );
    let gone = client
        .delete(&format!("/collections/c/snapshots/{name}"))
        .await;
    assert_eq!(error(&gone).0, 404);
}
