//! What reads answer.

use serde_json::{Value, json};

use super::{Client, error, result};

#[tokio::test]
async fn points_are_retrieved_with_what_was_asked_of_them() {
    let client = Client::with_points().await;
    let retrieve = |body: Value| {
        let client = &client;
        async move { result(&client.post("/collections/c/points", body).await) }
    };
    // Payload by default, ids that are not stored passed over.
    assert_eq!(
        retrieve(json!({"ids": [2, 99]})).await,
        json!([{"id": 2, "payload": {"n": 2, "even": true, "tag": "t0"}}])
    );
    assert_eq!(
        retrieve(json!({"ids": [2], "with_payload": ["n"], "with_vector": true})).await,
        json!([{"id": 2, "payload": {"n": 2}, "vector": [2.0, 1.0]}])
    );
    assert_eq!(
        retrieve(json!({"ids": [2], "with_payload": {"exclude": ["n", "tag"]}})).await,
        json!([{"id": 2, "payload": {"even": true}}])
    );
    assert_eq!(
        retrieve(json!({"ids": [2], "with_payload": false})).await,
        json!([{"id": 2}])
    );
}

#[tokio::test]
async fn a_scroll_goes_page_by_page_and_by_a_field() {
    let client = Client::with_points().await;
    let scroll = |body: Value| {
        let client = &client;
        async move { result(&client.post("/collections/c/points/scroll", body).await) }
    };
    let page = scroll(json!({"limit": 3, "with_payload": false})).await;
    assert_eq!(
        page,
        json!({"points": [{"id": 1}, {"id": 2}, {"id": 3}], "next_page_offset": 4})
    );
    let page = scroll(json!({"limit": 3, "offset": 4, "with_payload": false})).await;
    assert_eq!(
        page,
        json!({"points": [{"id": 4}], "next_page_offset": null})
    );
    let even = json!({"must": [{"key": "even", "match": {"value": true}}]});
    let page = scroll(json!({"filter": even, "with_payload": false})).await;
    assert_eq!(page["points"], json!([{"id": 2}, {"id": 4}]));
    let page = scroll(json!({
        "order_by": {"key": "n", "direction": "desc", "start_from": 3},
        "limit": 2,
        "with_payload": false,
    }))
    .await;
    assert_eq!(
        page["points"],
        json!([{"id": 3, "order_value": 3}, {"id": 2, "order_value": 2}])
    );
    let none = client
        .post("/collections/c/points/scroll", json!({"limit": 0}))
        .await;
    assert_eq!(error(&none).0, 400);
}

#[tokio::test]
async fn counts_and_facets_are_exact() {
    let client = Client::with_points().await;
    let odd = json!({"must_not": [{"key": "even", "match": {"value": true}}]});
    let count = client
        .post(
            "/collections/c/points/count",
            json!({"filter": odd, "exact": false}),
        )
        .await;
    assert_eq!(result(&count), json!({"count": 2}));
    let facet = client
        .post("/collections/c/facet", json!({"key": "tag", "limit": 5}))
        .await;
    assert_eq!(
        result(&facet),
        json!({"hits": [{"value": "t0", "count": 2}, {"value": "t1", "count": 2}]})
    );
}

#[tokio::test]
async fn payload_indexes_are_made_shown_and_dropped() {
    let client = Client::with_points().await;
    for body in [
        json!({"field_name": "tag", "field_schema": "keyword"}),
        json!({"field_name": "n", "field_schema": {"type": "integer", "lookup": true, "range": true}}),
        json!({"field_name": "t", "field_schema": {"type": "text", "tokenizer": "word",
               "lowercase": true, "stemmer": {"type": "snowball", "language": "english"},
               "stopwords": {"languages": ["english"], "custom": ["x"]}}}),
    ] {
        let made = client.put("/collections/c/index?wait=true", body).await;
        assert_eq!(result(&made)["status"], "completed");
    }
    let schema = result(&client.get("/collections/c").await)["payload_schema"].clone();
    assert_eq!(schema["tag"], json!({"data_type": "keyword", "points": 4}));
    assert_eq!(schema["n"], json!({"data_type": "integer", "points": 4}));
    assert_eq!(schema["t"]["data_type"], "text");
    assert_eq!(schema["t"]["points"], 0);
    assert_eq!(schema["t"]["params"]["tokenizer"], "word");
    let dropped = client.delete("/collections/c/index/tag").await;
    assert_eq!(result(&dropped)["status"], "completed");
    let schema = result(&client.get("/collections/c").await)["payload_schema"].clone();
    assert_eq!(schema["tag"], Value::Null);
    let wrong = client
        .put(
            "/collections/c/index",
            json!({"field_name": "a", "field_schema": "colour"}),
        )
        .await;
    assert_eq!(error(&wrong).0, 400);
}

#[tokio::test]
async fn a_deep_filter_is_refused_not_followed() {
    let client = Client::with_points().await;
    let mut filter = json!({"must": [{"key": "n", "match": {"value": 1}}]});
    for _ in 0..40 {
        filter = json!({"must": [filter]});
    }
    let reply = client
        .post("/collections/c/points/count", json!({"filter": filter}))
        .await;
    let (status, words) = error(&reply);
    assert_eq!(status, 400);
    assert!(words.contains("Depth of the filter"), "{words}");
    let text = format!("{}{}", "{\"filter\":{\"must\":[".repeat(200), "1");
    let reply = client
        .harness
        .call(
            &client.key,
            http::Method::POST,
            "/collections/c/points/count",
            text,
        )
        .await;
    assert_eq!(error(&reply).0, 400);
}
