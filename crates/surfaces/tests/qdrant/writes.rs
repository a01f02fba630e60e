//! What writes do, seen through reads.

use serde_json::{Value, json};

use super::{Client, error, result};

#[tokio::test]
async fn points_are_stored_in_rows_and_columns_and_replaced_whole() {
    let client = Client::with_points().await;
    let uuid = "550e8400-e29b-41d4-a716-446655440000";
    let stored = client
        .put(
            "/collections/c/points",
            json!({"batch": {
                "ids": [1, uuid],
                "vectors": [[9, 9], [8, 8]],
                "payloads": [null, {"new": true}],
            }}),
        )
        .await;
    assert_eq!(result(&stored)["status"], "acknowledged");
    assert_eq!(
        client.ids("c").await,
        [json!(1), json!(2), json!(3), json!(4), json!(uuid)]
    );
    let point = result(&client.get("/collections/c/points/1").await);
    assert_eq!(point, json!({"id": 1, "payload": {}, "vector": [9.0, 9.0]}));
    let point = result(&client.get(&format!("/collections/c/points/{uuid}")).await);
    assert_eq!(point["payload"], json!({"new": true}));
}

#[tokio::test]
async fn modes_and_filters_choose_which_stored_points_are_touched() {
    let client = Client::with_points().await;
    let put = |body: Value| client.put("/collections/c/points?wait=true", body);
    let points = json!([
        {"id": 1, "vector": [0, 0], "payload": {"n": 100}},
        {"id": 9, "vector": [0, 0], "payload": {"n": 900}},
    ]);
    result(&put(json!({"points": points, "update_mode": "insert_only"})).await);
    assert_eq!(client.payload(1).await["n"], 1);
    assert_eq!(client.payload(9).await["n"], 900);
    result(
        &client
            .post("/collections/c/points/delete", json!({"points": [9]}))
            .await,
    );
    result(&put(json!({"points": points, "update_mode": "update_only"})).await);
    assert_eq!(client.payload(1).await["n"], 100);
    assert_eq!(error(&client.get("/collections/c/points/9").await).0, 404);
    let odd = json!({"must": [{"key": "even", "match": {"value": false}}]});
    let rows = json!([
        {"id": 2, "vector": [0, 0], "payload": {"n": 200}},
        {"id": 3, "vector": [0, 0], "payload": {"n": 300}},
    ]);
    result(&put(json!({"points": rows, "update_filter": odd})).await);
    assert_eq!(client.payload(2).await["n"], 2);
    assert_eq!(client.payload(3).await["n"], 300);
}

#[tokio::test]
async fn payloads_are_set_overwritten_cut_and_cleared() {
    let client = Client::with_points().await;
    let post = |path: &str, body: Value| {
        let path = format!("/collections/c/points/payload{path}?wait=true");
        let client = &client;
        async move { result(&client.post(&path, body).await) }
    };
    post("", json!({"payload": {"a": {"b": 1}}, "points": [1, 2]})).await;
    post("", json!({"payload": {"c": 2}, "points": [1], "key": "a"})).await;
    assert_eq!(client.payload(1).await["a"], json!({"b": 1, "c": 2}));
    assert_eq!(client.payload(2).await["a"], json!({"b": 1}));
    post(
        "/delete",
        json!({"keys": ["a.b", "tag"], "filter": {"must": [{"has_id": [1]}]}}),
    )
    .await;
    assert_eq!(
        client.payload(1).await,
        json!({"n": 1, "even": false, "a": {"c": 2}})
    );
    let overwritten = client
        .put(
            "/collections/c/points/payload?wait=true",
            json!({"payload": {"only": 1}, "points": [3]}),
        )
        .await;
    result(&overwritten);
    assert_eq!(client.payload(3).await, json!({"only": 1}));
    post("/clear", json!({"points": [3]})).await;
    assert_eq!(client.payload(3).await, json!({}));
    let nobody = client
        .post(
            "/collections/c/points/payload",
            json!({"payload": {"a": 1}}),
        )
        .await;
    let (status, words) = error(&nobody);
    assert!(status == 400 && words.contains("`filter`"), "{words}");
}

#[tokio::test]
async fn vectors_are_replaced_and_taken_away_by_name() {
    let client = Client::new().await;
    let body = json!({
        "vectors": {"a": {"size": 2, "distance": "Dot"}, "b": {"size": 1, "distance": "Dot"}},
        "sparse_vectors": {"s": {}},
    });
    result(&client.put("/collections/c", body).await);
    let sparse = json!({"indices": [7, 1], "values": [0.5, 1.0]});
    let stored = client
        .put(
            "/collections/c/points?wait=true",
            json!({"points": [{"id": 1, "vector": {"a": [1, 2], "b": [3], "s": sparse}}]}),
        )
        .await;
    result(&stored);
    let updated = client
        .put(
            "/collections/c/points/vectors?wait=true",
            json!({"points": [{"id": 1, "vector": {"a": [5, 6]}}]}),
        )
        .await;
    result(&updated);
    let dropped = client
        .post(
            "/collections/c/points/vectors/delete?wait=true",
            json!({"points": [1], "vector": ["b"]}),
        )
        .await;
    result(&dropped);
    let point = result(&client.get("/collections/c/points/1").await);
    assert_eq!(
        point["vector"],
        json!({"a": [5.0, 6.0], "s": {"indices": [1, 7], "values": [1.0, 0.5]}})
    );
    let unknown = client
        .post(
            "/collections/c/points/vectors/delete",
            json!({"points": [1], "vector": ["x"]}),
        )
        .await;
    let (status, words) = error(&unknown);
    assert_eq!(status, 400);
    assert!(
        words.contains("Not existing vector name error: x"),
        "{words}"
    );
}

#[tokio::test]
async fn a_batch_does_its_operations_in_order() {
    let client = Client::with_points().await;
    let done = client
        .post(
            "/collections/c/points/batch?wait=true",
            json!({"operations": [
                {"delete": {"points": [1]}},
                {"upsert": {"points": [{"id": 7, "vector": [7, 7], "payload": {"n": 7}}]}},
                {"set_payload": {"payload": {"x": 1}, "points": [7]}},
                {"delete_payload": {"keys": ["n"], "points": [7]}},
                {"upsert": {"points": [{"id": 7, "vector": [0, 0]}], "update_mode": "insert_only"}},
                {"update_vectors": {"points": [{"id": 7, "vector": [8, 8]}]}},
                {"clear_payload": {"points": [2]}},
                {"overwrite_payload": {"payload": {"y": 2}, "points": [3]}},
            ]}),
        )
        .await;
    let done = result(&done);
    assert_eq!(done.as_array().map(Vec::len), Some(8));
    assert_eq!(
        client.ids("c").await,
        [json!(2), json!(3), json!(4), json!(7)]
    );
    let seven = result(&client.get("/collections/c/points/7").await);
    assert_eq!(
        seven,
        json!({"id": 7, "payload": {"x": 1}, "vector": [8.0, 8.0]})
    );
    assert_eq!(client.payload(2).await, json!({}));
    assert_eq!(client.payload(3).await, json!({"y": 2}));
}

#[tokio::test]
async fn a_wrong_write_names_its_place_and_changes_nothing() {
    let client = Client::with_points().await;
    for (path, body, words) in [
        (
            "",
            json!({"points": [{"id": 5, "vector": [1, 2]}, {"id": 6, "vector": [1]}]}),
            "points[1]",
        ),
        (
            "",
            json!({"points": [{"id": -5, "vector": [1, 2]}]}),
            "points[0].id",
        ),
        (
            "",
            json!({"points": [{"id": 5, "vector": {"x": [1, 2]}}]}),
            "x",
        ),
        ("", json!({"points": [{"id": 5}]}), "points[0].vector"),
        (
            "",
            json!({"points": [{"id": 5, "vector": [1, 2], "payload": 3}]}),
            "payload",
        ),
        ("", json!({"points": [], "shard_key": "a"}), "shard_key"),
        (
            "",
            json!({"batch": {"ids": [5, 6], "vectors": [[1, 2]]}}),
            "2 ids",
        ),
        ("", json!({}), "points"),
        ("?ordering=chaos", json!({"points": []}), "ordering"),
    ] {
        let reply = client
            .put(&format!("/collections/c/points{path}"), body.clone())
            .await;
        let (status, text) = error(&reply);
        assert!([400, 501].contains(&status), "{body} {status}");
        assert!(text.contains(words), "{body}: {text}");
    }
    // NaN has no JSON; what overflows a float is no number either.
    let huge = client
        .harness
        .call(
            &client.key,
            http::Method::PUT,
            "/collections/c/points",
            r#"{"points": [{"id": 5, "vector": [1e39, 0]}]}"#,
        )
        .await;
    assert_eq!(error(&huge).0, 400);
    assert_eq!(client.ids("c").await.len(), 4);
    let missing = client
        .put(
            "/collections/none/points",
            json!({"points": [{"id": 1, "vector": [1, 2]}]}),
        )
        .await;
    assert_eq!(error(&missing).0, 404);
}
