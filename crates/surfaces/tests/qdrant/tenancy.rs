//! Two tenants with one collection name each see, count and change only their own; scopes allow what they say.

use http::Method;
use serde_json::json;
use service::Scope;

use super::{Client, error, result};

#[tokio::test]
async fn two_tenants_with_one_name_share_nothing() {
    let client = Client::with_points().await;
    let other = Client {
        key: client.harness.key(Scope::CollectionsManage).await,
        harness: client.harness,
    };
    let first = other.harness.admin.clone();
    // The other tenant sees nothing of the first's.
    assert_eq!(
        result(&other.get("/collections").await),
        json!({"collections": []})
    );
    for (method, path, body) in [
        (Method::GET, "/collections/c", json!(null)),
        (Method::POST, "/collections/c/points/count", json!({})),
        (Method::POST, "/collections/c/points", json!({"ids": [1]})),
        (
            Method::POST,
            "/collections/c/points/delete",
            json!({"points": [1]}),
        ),
        (Method::GET, "/collections/c/snapshots", json!(null)),
        (Method::GET, "/collections/c/aliases", json!(null)),
    ] {
        let reply = other.send(method, path, body).await;
        assert_eq!(error(&reply).0, 404, "{path}");
    }
    // Its own of that name is another collection.
    let made = other
        .put(
            "/collections/c",
            json!({"vectors": {"size": 3, "distance": "Cosine"}}),
        )
        .await;
    result(&made);
    let stored = other
        .put(
            "/collections/c/points?wait=true",
            json!({"points": [{"id": 77, "vector": [1, 2, 3]}]}),
        )
        .await;
    result(&stored);
    assert_eq!(other.ids("c").await, [json!(77)]);
    result(&other.delete("/collections/c").await);
    let first = Client {
        key: first,
        harness: other.harness,
    };
    assert_eq!(first.ids("c").await.len(), 4);
}

#[tokio::test]
async fn scopes_allow_what_they_say() {
    let client = Client::with_points().await;
    let harness = client.harness;
    let mut reader = Client {
        key: harness.key(Scope::CollectionsRead).await,
        harness,
    };
    let body = json!({"vectors": {"size": 2, "distance": "Dot"}});
    assert_eq!(
        error(&reader.put("/collections/x", body.clone()).await).0,
        403
    );
    let upsert = json!({"points": []});
    assert_eq!(
        error(&reader.put("/collections/x/points", upsert.clone()).await).0,
        403
    );
    assert_eq!(reader.get("/collections").await.status, 200);
    reader.key = reader.harness.key(Scope::CollectionsWrite).await;
    assert_eq!(error(&reader.put("/collections/x", body).await).0, 403);
    assert_eq!(
        error(&reader.put("/collections/x/points", upsert).await).0,
        404
    );
    reader.key = reader.harness.key(Scope::Inference).await;
    assert_eq!(error(&reader.get("/collections").await).0, 403);
    reader.key = "wrong".to_owned();
    assert_eq!(error(&reader.get("/collections").await).0, 401);
}
