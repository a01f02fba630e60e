//! Science models and the cache's routes over HTTP: shapes, statuses, scopes.

use std::time::Duration;

use axum::body::Body;
use http::{Method, StatusCode};
use serde_json::{Value, json};
use service::Scope;

use crate::harness::Harness;

async fn create(harness: &Harness, name: &str, config: Value) -> Value {
    let body = json!({"name": name, "config": config, "seed": 7}).to_string();
    let reply = harness.post("/fornax/v1/science/models", body).await;
    assert_eq!(reply.status, StatusCode::CREATED, "{}", reply.text);
    reply.json()
}

#[tokio::test]
async fn a_model_is_made_seen_evaluated_exported_and_deleted() {
    let harness = Harness::new().await;
    let made = create(&harness, "wave", json!({"type": "wave", "dimensions": 1})).await;
    assert_eq!(
        (&made["parameter_count"], &made["inputs"], &made["seed"]),
        (&json!(8), &json!(["x", "t"]), &json!(7))
    );
    let listed = harness.get("/fornax/v1/science/models").await.json();
    assert_eq!(listed["models"], json!([made]));
    let path = "/fornax/v1/science/models/wave";
    assert_eq!(harness.get(path).await.json(), made);
    let parameters = harness.get(&format!("{path}/parameters")).await.json();
    assert_eq!(parameters["parameters"][0]["name"], "A");
    assert_eq!(parameters["parameters"][0]["values"], json!([1.0]));
    let body = json!({"model": "wave", "inputs": {"x": [0.0, 0.5, 1.0], "t": [0.25]}});
    let columns = harness
        .post("/fornax/v1/science/infer", body.to_string())
        .await
        .json();
    assert_eq!(
        (&columns["shape"], &columns["device"], &columns["cached"]),
        (&json!([3]), &json!("cpu"), &json!(false))
    );
    let body = json!({"model": "wave", "rows": [[0.0, 0.25], [0.5, 0.25], [1.0, 0.25]]});
    let rows = harness
        .post("/fornax/v1/science/infer", body.to_string())
        .await
        .json();
    assert_eq!(rows["values"], columns["values"]);
    // Bytes of a protobuf are no UTF-8, so only a header can be looked at here.
    let key = harness.admin.clone();
    let file = harness
        .call(&key, Method::HEAD, &format!("{path}/onnx"), Body::empty())
        .await;
    assert_eq!(file.headers["content-type"], "application/octet-stream");
    let gone = harness
        .call(&key, Method::DELETE, path, Body::empty())
        .await;
    assert_eq!(gone.status, StatusCode::NO_CONTENT);
    let missing = harness.get(path).await;
    assert_eq!(missing.status, StatusCode::NOT_FOUND);
    assert_eq!(missing.code(), "model_not_found");
}

#[tokio::test]
async fn a_training_is_begun_followed_and_reported() {
    let harness = Harness::new().await;
    create(&harness, "fit", json!({"type": "ensemble", "n_waves": 4})).await;
    let body =
        json!({"model": "fit", "data": "travelling-chirp", "options": {"epochs": 5, "seed": 1}});
    let begun = harness
        .post("/fornax/v1/science/trainings", body.to_string())
        .await;
    assert_eq!(begun.status, StatusCode::ACCEPTED, "{}", begun.text);
    let id = begun.json()["id"].as_str().expect("id").to_owned();
    assert_eq!(id.len(), 32);
    let path = format!("/fornax/v1/science/trainings/{id}");
    let mut training = harness.get(&path).await.json();
    while training["state"] == "queued" || training["state"] == "running" {
        tokio::time::sleep(Duration::from_millis(5)).await;
        training = harness.get(&path).await.json();
    }
    assert_eq!(training["state"], "done", "{training}");
    let loss = |name: &str| training["report"][name].as_f64().expect("loss");
    assert!(loss("final_loss") < loss("initial_loss"));
    let given =
        json!({"model": "fit", "data": {"columns": [[0.0, 1.0], [0.0, 0.0]], "targets": [0.0]}});
    let refused = harness
        .post("/fornax/v1/science/trainings", given.to_string())
        .await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    assert_eq!(refused.json()["error"]["field"], "data");
}

#[tokio::test]
async fn string_computations_are_golden() {
    let harness = Harness::new().await;
    let ask = async |path: &str, body: Value| {
        let path = format!("/fornax/v1/science/{path}");
        harness.post(&path, body.to_string()).await.json()
    };
    let linear = ask("spectrum", json!({"kind": "linear", "modes": 3})).await;
    assert_eq!(linear["linear"], json!([0.5, 1.0, 1.5]));
    let open = ask("spectrum", json!({"kind": "open_bosonic", "levels": 2})).await;
    // Critical: the tachyon at -1, then the 24 massless states.
    let levels = &open["open_bosonic"]["levels"];
    assert_eq!(
        (&levels[0]["mass_squared"], &levels[1]["states"]),
        (&json!(-1.0), &json!(24.0))
    );
    let closed = ask(
        "spectrum",
        json!({"kind": "closed_on_circle", "radius": 1.0, "level": 1}),
    )
    .await;
    assert_eq!(closed["closed_on_circle"][0]["mass_squared"], json!(-4.0));
    let parameters = ask("string-parameters", json!({})).await;
    assert_eq!(
        (&parameters["string_length"], &parameters["string_tension"]),
        (
            &json!(5.110240698832101e-36),
            &json!(1.591_549_430_918_953_5)
        )
    );
    let tower = ask("compactification", json!({"radius": 1.0})).await;
    assert_eq!(
        (&tower["effective_dimensions"], &tower["hidden_dimensions"]),
        (&json!(4), &json!(6))
    );
    let lifted = ask("lift", json!({"insight_text": "abc", "dimensions": 16})).await;
    assert_eq!(lifted["vector"].as_array().map(Vec::len), Some(3));
    assert_eq!(lifted["folded"].as_array().map(Vec::len), Some(16));
    let unified = ask("unified", json!({"quasimoto_coords": [0.5, 0.5, 0.5]})).await;
    assert_eq!(unified["coupled_amplitude"], json!(1.5));
    for wrong in [
        json!({"kind": "linear", "modes": 100_001}),
        json!({"kind": "closed_on_circle", "radius": 0.0}),
        json!({"kind": "circular"}),
        json!({"kind": "linear", "mode": 3}),
    ] {
        let reply = harness
            .post("/fornax/v1/science/spectrum", wrong.to_string())
            .await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{wrong}");
    }
}

#[tokio::test]
async fn a_server_without_a_cache_says_so() {
    let harness = Harness::new().await;
    let state = harness.get("/fornax/v1/cache").await.json();
    assert_eq!(state, json!({"enabled": false}));
    let key = harness.admin.clone();
    let cleared = harness
        .call(&key, Method::DELETE, "/fornax/v1/cache", Body::empty())
        .await;
    assert_eq!(cleared.status, StatusCode::NOT_IMPLEMENTED);
    let reader = harness.key(Scope::Inference).await;
    let refused = harness
        .call(&reader, Method::GET, "/fornax/v1/cache", Body::empty())
        .await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
}
