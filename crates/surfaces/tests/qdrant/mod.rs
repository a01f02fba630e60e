//! Qdrant's REST wire over the real router, service and engine. Expected bodies are written by hand from what its clients
//! read; distances and orders of so few points are computed in one's head.

mod reads;
mod snapshots;
mod tenancy;
mod writes;

use http::Method;
use serde_json::{Value, json};

use crate::harness::{Harness, Reply};

/// A router and the key that requests carry.
pub struct Client {
    pub harness: Harness,
    pub key: String,
}

impl Client {
    pub async fn new() -> Self {
        let harness = Harness::new().await;
        let key = harness.admin.clone();
        Client { harness, key }
    }

    /// With the collection `c` of points 1 to 4: two-dimensional vectors and payloads `{"n": id, "even": …}`.
    pub async fn with_points() -> Self {
        let client = Client::new().await;
        let made = client
            .put(
                "/collections/c",
                json!({"vectors": {"size": 2, "distance": "Dot"}}),
            )
            .await;
        assert_eq!(result(&made), json!(true));
        let points: Vec<Value> = (1..=4)
            .map(|id| {
                json!({
                    "id": id,
                    "vector": [id, 1],
                    "payload": {"n": id, "even": id % 2 == 0, "tag": format!("t{}", id % 2)},
                })
            })
            .collect();
        let stored = client
            .put("/collections/c/points?wait=true", json!({"points": points}))
            .await;
        assert_eq!(result(&stored)["status"], "completed");
        client
    }

    pub async fn send(&self, method: Method, path: &str, body: Value) -> Reply {
        let body = match body {
            Value::Null => String::new(),
            body => body.to_string(),
        };
        self.harness.call(&self.key, method, path, body).await
    }

    pub async fn get(&self, path: &str) -> Reply {
        self.send(Method::GET, path, Value::Null).await
    }

    pub async fn put(&self, path: &str, body: Value) -> Reply {
        self.send(Method::PUT, path, body).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Reply {
        self.send(Method::POST, path, body).await
    }

    pub async fn delete(&self, path: &str) -> Reply {
        self.send(Method::DELETE, path, Value::Null).await
    }

    /// Ids of all points of a collection, in order.
    pub async fn ids(&self, collection: &str) -> Vec<Value> {
        let path = format!("/collections/{collection}/points/scroll");
        let page = self.post(&path, json!({"limit": 1000})).await;
        let points = result(&page)["points"].clone();
        let points = points.as_array().expect("points");
        points.iter().map(|point| point["id"].clone()).collect()
    }

    /// The payload of one point.
    pub async fn payload(&self, id: u64) -> Value {
        let reply = self.get(&format!("/collections/c/points/{id}")).await;
        result(&reply)["payload"].clone()
    }
}

/// The result of an answer that must be one.
pub fn result(reply: &Reply) -> Value {
    assert_eq!(reply.status, 200, "{}", reply.text);
    let envelope = reply.json();
    assert_eq!(envelope["status"], "ok");
    assert!(envelope["time"].as_f64().expect("time") >= 0.0);
    envelope["result"].clone()
}

/// Status and words of an error.
pub fn error(reply: &Reply) -> (u16, String) {
    let envelope = reply.json();
    assert!(envelope["time"].is_number(), "{envelope}");
    let words = envelope["status"]["error"].as_str();
    let words = words.unwrap_or_else(|| panic!("no error: {envelope}"));
    (reply.status.as_u16(), words.to_owned())
}

#[tokio::test]
async fn a_client_shakes_hands() {
    let client = Client::new().await;
    let request = http::Request::get("/")
        .header("user-agent", "python-client/1.20.0 python/3.11.7")
        .header("api-key", &client.key)
        .body(axum::body::Body::empty())
        .expect("request");
    let reply = client.harness.send(request).await;
    assert_eq!(reply.status, 200);
    let shown = reply.json();
    assert_eq!(shown["version"], "1.20.0");
    assert!(shown["title"].as_str().expect("title").contains("fornax"));
}

#[tokio::test]
async fn collections_come_change_and_go() {
    let client = Client::new().await;
    let none = client.get("/collections").await;
    assert_eq!(result(&none), json!({"collections": []}));
    let body = json!({
        "vectors": {
            "image": {"size": 4, "distance": "Euclid", "on_disk": true, "datatype": "float16"},
            "text": {"size": 3, "distance": "Cosine", "hnsw_config": {"m": 8},
                     "multivector_config": {"comparator": "max_sim"}},
        },
        "sparse_vectors": {"words": {"modifier": "idf"}},
        "quantization_config": {"scalar": {"type": "int8", "always_ram": true}},
        "optimizers_config": {"indexing_threshold": 0},
        "metadata": {"owner": "tests"},
    });
    assert_eq!(
        result(&client.put("/collections/many", body.clone()).await),
        json!(true)
    );
    let again = error(&client.put("/collections/many", body).await);
    assert_eq!(
        again,
        (
            409,
            "Wrong input: Collection `many` already exists!".to_owned()
        )
    );
    let exists = client.get("/collections/many/exists").await;
    assert_eq!(result(&exists), json!({"exists": true}));

    let info = result(&client.get("/collections/many").await);
    assert_eq!(info["status"], "green");
    assert_eq!(info["points_count"], 0);
    let config = &info["config"];
    assert_eq!(
        config["params"]["vectors"],
        json!({
            "image": {"size": 4, "distance": "Euclid", "on_disk": true, "datatype": "float16"},
            "text": {"size": 3, "distance": "Cosine", "hnsw_config": {"m": 8, "ef_construct": 200},
                     "multivector_config": {"comparator": "max_sim"}},
        })
    );
    assert_eq!(
        config["params"]["sparse_vectors"],
        json!({"words": {"modifier": "idf"}})
    );
    assert_eq!(
        config["quantization_config"],
        json!({"scalar": {"type": "int8"}})
    );
    assert_eq!(config["optimizer_config"]["indexing_threshold"], 0);
    assert_eq!(config["metadata"], json!({"owner": "tests"}));

    let changed = client
        .send(
            Method::PATCH,
            "/collections/many",
            json!({
                "hnsw_config": {"ef_construct": 64},
                "vectors": {"text": {"quantization_config": "Disabled"}},
                "metadata": {"owner": null, "kind": "x"},
            }),
        )
        .await;
    assert_eq!(result(&changed), json!(true));
    let config = result(&client.get("/collections/many").await)["config"].clone();
    assert_eq!(config["hnsw_config"]["ef_construct"], 64);
    assert_eq!(config["metadata"], json!({"kind": "x"}));
    assert_eq!(
        config["params"]["vectors"]["text"]["quantization_config"],
        Value::Null
    );

    assert_eq!(
        result(&client.delete("/collections/many").await),
        json!(true)
    );
    assert_eq!(
        result(&client.delete("/collections/many").await),
        json!(false)
    );
    let gone = error(&client.get("/collections/many").await);
    assert_eq!(
        gone,
        (
            404,
            "Not found: Collection `many` doesn't exist!".to_owned()
        )
    );
}

#[tokio::test]
async fn what_would_not_be_done_is_refused_and_named() {
    let client = Client::new().await;
    let vectors = json!({"size": 2, "distance": "Dot"});
    for (body, status, words) in [
        (
            json!({"vectors": {"size": 0, "distance": "Dot"}}),
            400,
            "dimensions",
        ),
        (
            json!({"vectors": {"size": 2, "distance": "Hamming"}}),
            400,
            "vectors.distance",
        ),
        (
            json!({"vectors": {"a": {"size": 2}}}),
            400,
            "vectors.a.distance",
        ),
        (
            json!({"vectors": vectors, "replication_factor": 2}),
            501,
            "one replica",
        ),
        (
            json!({"vectors": vectors, "sharding_method": "custom"}),
            501,
            "sharding",
        ),
        (
            json!({"vectors": vectors, "strict_mode_config": {"enabled": true}}),
            501,
            "Strict mode",
        ),
        (
            json!({"vectors": vectors, "quantization_config": {"scalar": {"type": "int4"}}}),
            400,
            "int8",
        ),
        (
            json!({"vectors": vectors, "unheard_of": 1}),
            400,
            "unheard_of",
        ),
        (json!([]), 400, "not a JSON object"),
    ] {
        let reply = client.put("/collections/c", body.clone()).await;
        let (shown, text) = error(&reply);
        assert_eq!(shown, status, "{body} {text}");
        assert!(text.contains(words), "{body} {text}");
    }
    assert_eq!(
        result(&client.get("/collections").await)["collections"],
        json!([])
    );
    let name = "x".repeat(300);
    let (status, _) = error(&client.put(&format!("/collections/{name}"), json!({})).await);
    assert_eq!(status, 400);
    for path in ["/snapshots", "/issues", "/collections/c/shards"] {
        assert_eq!(error(&client.get(path).await).0, 501, "{path}");
    }
}

#[tokio::test]
async fn aliases_switch_at_one_moment() {
    let client = Client::with_points().await;
    result(
        &client
            .put(
                "/collections/d",
                json!({"vectors": {"size": 2, "distance": "Dot"}}),
            )
            .await,
    );
    let change = |actions: Value| client.post("/collections/aliases", json!({"actions": actions}));
    let create = |alias: &str, collection: &str| json!({"create_alias": {"alias_name": alias, "collection_name": collection}});
    assert_eq!(
        result(&change(json!([create("live", "c")])).await),
        json!(true)
    );
    let counted = client
        .post("/collections/live/points/count", json!({}))
        .await;
    assert_eq!(result(&counted)["count"], 4);
    let switched = change(json!([
        {"delete_alias": {"alias_name": "live"}},
        create("live", "d"),
        {"rename_alias": {"old_alias_name": "live", "new_alias_name": "now"}},
    ]));
    assert_eq!(result(&switched.await), json!(true));
    let aliases = result(&client.get("/aliases").await);
    let expected = json!({"aliases": [{"alias_name": "now", "collection_name": "d"}]});
    assert_eq!(aliases, expected);
    assert_eq!(
        result(&client.get("/collections/d/aliases").await),
        expected
    );
    assert_eq!(
        result(&client.get("/collections/c/aliases").await),
        json!({"aliases": []})
    );
    let counted = client
        .post("/collections/now/points/count", json!({}))
        .await;
    assert_eq!(result(&counted)["count"], 0);
    // A name is one thing only.
    let taken = client
        .put(
            "/collections/now",
            json!({"vectors": {"size": 2, "distance": "Dot"}}),
        )
        .await;
    assert_eq!(error(&taken).0, 409);
    assert_eq!(error(&change(json!([create("c", "d")])).await).0, 409);
    assert_eq!(error(&change(json!([create("x", "nothing")])).await).0, 404);
    result(&client.delete("/collections/d").await);
    assert_eq!(
        result(&client.get("/aliases").await),
        json!({"aliases": []})
    );
}
