//! What DREDGE's own tests assert of its operations, over HTTP.

use http::{Method, StatusCode};
use serde_json::{Value, json};
use service::Scope;

use crate::harness::Harness;

async fn operate(harness: &Harness, operation: &str, params: Value) -> Value {
    let body = json!({"operation": operation, "params": params}).to_string();
    let reply = harness.post("/mcp", body).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text);
    reply.json()
}

fn numbers(value: &Value) -> Vec<f64> {
    let list = value.as_array().expect("a list");
    list.iter()
        .map(|one| one.as_f64().expect("a number"))
        .collect()
}

#[tokio::test]
async fn capabilities_are_where_clients_look() {
    let harness = Harness::new().await;
    let posted = operate(&harness, "list_capabilities", json!({})).await;
    assert_eq!(harness.get("/dredge").await.json(), posted);
    assert_eq!(posted["name"], "DREDGE Quasimoto String Theory MCP Server");
    assert!(posted["capabilities"]["models"]["string_theory"].is_string());
    let operations = posted["capabilities"]["operations"].as_array();
    for name in ["string_spectrum", "unified_inference"] {
        assert!(operations.expect("list").contains(&json!(name)));
    }
    let device = &posted["features"]["device_info"]["optimal_device"];
    assert!(["cpu", "cuda", "mps"].contains(&device.as_str().expect("device")));
    let metrics = operate(&harness, "get_metrics", json!({})).await;
    assert_eq!(
        metrics["metrics"]["counters"]["mcp_list_capabilities"],
        json!(2.0)
    );
}

#[tokio::test]
async fn models_are_loaded_and_evaluated() {
    let harness = Harness::new().await;
    let loaded = operate(
        &harness,
        "load_model",
        json!({"model_type": "quasimoto_1d"}),
    )
    .await;
    assert_eq!(
        (
            &loaded["success"],
            &loaded["model_id"],
            &loaded["n_parameters"]
        ),
        (&json!(true), &json!("quasimoto_1d_0"), &json!(8))
    );
    let second = operate(
        &harness,
        "load_model",
        json!({"model_type": "quasimoto_1d"}),
    )
    .await;
    assert_eq!(second["model_id"], "quasimoto_1d_1");
    let output = operate(
        &harness,
        "inference",
        json!({"model_id": "quasimoto_1d_0", "inputs": {"x": [0.5, 1.0], "t": [0.0]}}),
    )
    .await;
    assert_eq!(numbers(&output["output"]).len(), 2);
    let parameters = operate(
        &harness,
        "get_parameters",
        json!({"model_id": "quasimoto_1d_0"}),
    )
    .await;
    assert_eq!(
        parameters["parameters"]["A"],
        json!({"value": 1.0, "shape": [], "requires_grad": true})
    );
    assert_eq!(parameters["model_type"], "quasimoto_1d");
    let ensemble = json!({"model_type": "quasimoto_ensemble", "config": {"n_waves": 8}});
    let ensemble = operate(&harness, "load_model", ensemble).await;
    assert_eq!(ensemble["n_parameters"], 73);
    let id = ensemble["model_id"].as_str().expect("id");
    let output = operate(&harness, "inference", json!({"model_id": id})).await;
    assert_eq!(numbers(&output["output"][0]).len(), 1);
    let deep = json!({"model_type": "string_theory", "config": {"num_layers": 15, "use_batch_norm": true}});
    let deep = operate(&harness, "load_model", deep).await;
    assert_eq!(
        (&deep["num_layers"], &deep["device_info"]["use_batch_norm"]),
        (&json!(10), &json!(true))
    );
    // Upstream keeps these where its inference never looks; here they are models like the others.
    let id = deep["model_id"].as_str().expect("id");
    let output = operate(&harness, "inference", json!({"model_id": id})).await;
    assert_eq!(output["success"], true, "{output}");
}

#[tokio::test]
async fn everything_that_goes_wrong_is_an_answer() {
    let harness = Harness::new().await;
    for (operation, params, expected) in [
        ("dance", json!({}), "Unknown operation: dance"),
        (
            "load_model",
            json!({"model_type": "x"}),
            "Unknown model type: x",
        ),
        (
            "inference",
            json!({"model_id": "no_1"}),
            "Model not found: no_1",
        ),
        (
            "get_parameters",
            json!({"model_id": "no_1"}),
            "Model not found: no_1",
        ),
        ("get_cache_stats", json!({}), "Caching not enabled"),
    ] {
        let answer = operate(&harness, operation, params).await;
        assert_eq!(answer, json!({"success": false, "error": expected}));
    }
    let zero = operate(
        &harness,
        "string_parameters",
        json!({"coupling_constant": 0.0}),
    )
    .await;
    assert_eq!(zero["success"], false);
    let body = json!({"operation": "load_model", "params": {"model_type": "quasimoto_1d"}});
    let reader = harness.key(Scope::Inference).await;
    let refused = harness
        .call(&reader, Method::POST, "/mcp", body.to_string())
        .await
        .json();
    assert_eq!(refused["success"], false);
}

#[tokio::test]
async fn computations_have_the_published_values() {
    let harness = Harness::new().await;
    for name in ["string_spectrum", "get_spectrum"] {
        let spectrum = operate(&harness, name, json!({})).await;
        let energies = numbers(&spectrum["energy_spectrum"]);
        assert_eq!((energies.len(), energies[1]), (10, 2.0 * energies[0]));
        assert_eq!(
            (&spectrum["dimensions"], &spectrum["max_modes"]),
            (&json!(10), &json!(10))
        );
    }
    let parameters = operate(&harness, "string_parameters", json!({})).await;
    assert_eq!(parameters["parameters"]["coupling_constant"], json!(0.1));
    assert_eq!(
        parameters["parameters"].as_object().map(|all| all.len()),
        Some(5)
    );
    let asked = json!({
        "dredge_insight": "Digital memory must be human-reachable",
        "quasimoto_coords": [0.5, 0.5, 0.5], "string_modes": [1, 2, 3],
    });
    let unified = operate(&harness, "unified_inference", asked.clone()).await;
    for (theirs, ours) in [
        ("dredge_insight", "dredge_insight"),
        ("quasimoto_coordinates", "quasimoto_coords"),
        ("string_modes", "string_modes"),
    ] {
        assert_eq!(unified[theirs], asked[ours]);
    }
    assert_eq!(unified["coupled_amplitude"], json!(1.5));
    assert_eq!(unified["cached"], json!(false));
    let field = &unified["unified_field"];
    assert_eq!(field["dimensions"], json!(10));
    let amplitudes = numbers(&field["field_amplitudes"]);
    assert!((amplitudes[21] - 0.833_200_849_966_221_7).abs() < 1e-12);
    let benchmark = json!({"model_type": "ensemble", "config": {"epochs": 10, "n_waves": 4}});
    let benchmark = operate(&harness, "benchmark", benchmark).await;
    let loss = |name: &str| benchmark[name].as_f64().expect("loss");
    assert!(loss("final_loss") < loss("initial_loss"), "{benchmark}");
    assert_eq!(
        (&benchmark["epochs"], &benchmark["model_type"]),
        (&json!(10), &json!("ensemble"))
    );
}

#[tokio::test]
async fn an_insight_is_known_by_its_hash() {
    let harness = Harness::new().await;
    let body = json!({"insight_text": "Digital memory must be human-reachable."});
    let lifted = harness.post("/lift", body.to_string()).await.json();
    assert_eq!(
        lifted["id"],
        "940555a697727b2bebbe743879439c58c99909b5feba29d419ceb4a61ae022c9"
    );
    assert_eq!(lifted["lifted"], true);
    assert_eq!(numbers(&lifted["vector"]).len(), 39);
    for body in ["{}", r#"{"insight_text": ""}"#] {
        let missing = harness.post("/lift", body).await;
        assert_eq!(missing.status, StatusCode::BAD_REQUEST);
        assert_eq!(
            missing.json(),
            json!({"error": "Missing required field: insight_text"})
        );
    }
}
