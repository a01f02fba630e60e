//! `/mcp` over the real router: both eras, keys and scopes, sessions, and what is no message at all.

use crate::harness::{Harness, Reply};
use http::{Method, Request};
use serde_json::{Value, json};
use service::Scope;

const MODERN: &str = "2026-07-28";

/// A request of the new revision.
async fn modern(harness: &Harness, key: &str, method: &str, params: Value) -> Reply {
    let name = params["name"].as_str().or(params["uri"].as_str());
    let mut headers = vec![("mcp-protocol-version", MODERN), ("mcp-method", method)];
    headers.extend(name.map(|name| ("mcp-name", name)));
    let mut params = params.clone();
    params["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": MODERN,
        "io.modelcontextprotocol/clientInfo": {"name": "tests", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
    send(
        harness,
        key,
        Method::POST,
        &headers,
        body.to_string().into_bytes(),
    )
    .await
}

async fn send(
    harness: &Harness,
    key: &str,
    method: Method,
    headers: &[(&str, &str)],
    body: Vec<u8>,
) -> Reply {
    let mut request = Request::builder()
        .method(method)
        .uri("/mcp")
        .header("authorization", format!("Bearer {key}"))
        .header("content-type", "application/json")
        .header("accept", "application/json, text/event-stream");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    harness
        .send(request.body(body.into()).expect("request"))
        .await
}

/// Begins a session of an older revision and gives its id.
async fn session(harness: &Harness, key: &str) -> String {
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
        "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "tests", "version": "1"}
    }});
    let reply = send(
        harness,
        key,
        Method::POST,
        &[],
        body.to_string().into_bytes(),
    )
    .await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    reply.headers["mcp-session-id"]
        .to_str()
        .expect("text")
        .to_owned()
}

fn names(reply: &Reply) -> Vec<String> {
    let tools = reply.json()["result"]["tools"].as_array().cloned();
    tools
        .unwrap_or_default()
        .iter()
        .filter_map(|tool| tool["name"].as_str().map(str::to_owned))
        .collect()
}

#[tokio::test]
async fn a_server_is_discovered() {
    let harness = Harness::new().await;
    let reply = modern(&harness, &harness.admin, "server/discover", json!({})).await;
    let result = &reply.json()["result"];
    assert_eq!(
        result["supportedVersions"],
        json!(["2025-03-26", "2025-06-18", "2025-11-25", "2026-07-28"])
    );
    let capabilities = &result["capabilities"];
    assert!(capabilities["extensions"]["io.modelcontextprotocol/tasks"].is_object());
    // Without the suite's fixtures neither list changes while the server runs.
    assert!(capabilities["tools"].get("listChanged").is_none());
    assert_eq!(capabilities["resources"]["listChanged"], true);
    let info = &result["_meta"]["io.modelcontextprotocol/serverInfo"];
    assert_eq!(info["name"], "fornax");
}

#[tokio::test]
async fn the_key_decides_which_tools_are_there() {
    let harness = Harness::new().await;
    let all = modern(&harness, &harness.admin, "tools/list", json!({})).await;
    let all = names(&all);
    assert_eq!(
        all[..4],
        ["list_models", "describe_model", "generate", "embed"]
    );
    assert!(!all.iter().any(|name| name.starts_with("test_")), "{all:?}");
    let of = |wanted: &[&str]| -> Vec<String> {
        let wanted = all.iter().filter(|name| wanted.contains(&name.as_str()));
        wanted.cloned().collect()
    };
    // Science models are computed with by whoever may generate, and managed by whoever manages models.
    let inferring = of(&[
        "list_models",
        "describe_model",
        "generate",
        "embed",
        "list_science_models",
        "describe_science_model",
        "science_model_parameters",
        "infer_science_model",
        "benchmark_science_model",
        "string_spectrum",
        "string_parameters",
        "compactify",
        "lift_insight",
        "unified_inference",
        "science_devices",
    ]);
    let managing = of(&[
        "list_models",
        "describe_model",
        "list_science_models",
        "describe_science_model",
        "create_science_model",
        "delete_science_model",
        "science_model_parameters",
        "train_science_model",
        "science_devices",
    ]);
    let mut key = String::new();
    for (scope, expected) in [
        (Scope::Inference, &inferring[..]),
        (Scope::Models, &managing[..]),
        (Scope::Metrics, &[]),
    ] {
        key = harness.key(scope).await;
        let listed = names(&modern(&harness, &key, "tools/list", json!({})).await);
        assert_eq!(listed, expected, "{scope}");
    }
    // The last one may see nothing.
    let call = json!({"name": "list_models", "arguments": {}});
    let reply = modern(&harness, &key, "tools/call", call).await;
    assert_eq!(reply.json()["error"]["data"]["kind"], "forbidden");
    let read = json!({"uri": "fornax://models"});
    let reply = modern(&harness, &key, "resources/read", read).await;
    assert_eq!(reply.json()["error"]["data"]["kind"], "forbidden");
    let listed = modern(&harness, &key, "resources/list", json!({})).await;
    assert_eq!(listed.json()["result"]["resources"], json!([]));
}

#[tokio::test]
async fn a_failing_call_is_a_result_and_an_unknown_tool_an_error() {
    let harness = Harness::new().await;
    let call = json!({"name": "describe_model", "arguments": {"model": "nothing"}});
    let reply = modern(&harness, &harness.admin, "tools/call", call).await;
    let result = &reply.json()["result"];
    assert_eq!(result["isError"], true);
    assert_eq!(result["_meta"]["fornax/error"]["code"], "model_not_found");
    let call = json!({"name": "burn", "arguments": {}});
    let reply = modern(&harness, &harness.admin, "tools/call", call).await;
    assert_eq!(reply.json()["error"]["code"], -32602);
    let call = json!({"name": "describe_model", "arguments": [1]});
    let reply = modern(&harness, &harness.admin, "tools/call", call).await;
    assert_eq!(reply.json()["error"]["code"], -32602, "{}", reply.text);
}

#[tokio::test]
async fn a_session_belongs_to_the_key_that_began_it() {
    let harness = Harness::new().await;
    let owner = harness.key(Scope::Inference).await;
    let stranger = harness.key(Scope::Admin).await;
    let id = session(&harness, &owner).await;
    let headers = [("mcp-session-id", id.as_str())];
    let ping = || br#"{"jsonrpc":"2.0","id":2,"method":"ping"}"#.to_vec();
    let initialized = br#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#.to_vec();
    let reply = send(&harness, &owner, Method::POST, &headers, initialized).await;
    assert_eq!(reply.status, 202);
    for method in [Method::POST, Method::GET, Method::DELETE] {
        let reply = send(&harness, &stranger, method, &headers, ping()).await;
        assert_eq!(reply.status, 404);
        assert_eq!(reply.code(), "session_not_found");
    }
    // Not by pretending to begin another one in it, either.
    let headers_modern = [
        ("mcp-session-id", id.as_str()),
        ("mcp-protocol-version", MODERN),
    ];
    let initialize = br#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{}}"#.to_vec();
    let reply = send(
        &harness,
        &stranger,
        Method::POST,
        &headers_modern,
        initialize,
    )
    .await;
    assert_eq!(reply.status, 404);
    // A request of the new revision stands for itself, whatever session its headers name.
    let list = json!({"jsonrpc": "2.0", "id": 5, "method": "tools/list", "params": {"_meta": {
        "io.modelcontextprotocol/protocolVersion": MODERN,
        "io.modelcontextprotocol/clientCapabilities": {},
    }}});
    let stray = [
        ("mcp-session-id", "stray"),
        ("mcp-protocol-version", MODERN),
        ("mcp-method", "tools/list"),
    ];
    let list = list.to_string().into_bytes();
    let reply = send(&harness, &owner, Method::POST, &stray, list).await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    let reply = send(&harness, &owner, Method::POST, &headers, ping()).await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    let reply = send(&harness, &owner, Method::DELETE, &headers, Vec::new()).await;
    assert!(reply.status.is_success());
    let reply = send(&harness, &owner, Method::POST, &headers, ping()).await;
    assert_eq!(reply.status, 404);
}

#[tokio::test]
async fn pages_of_other_origins_are_refused_unless_they_are_configured() {
    let harness = Harness::with(|options| {
        options.cors_origins = vec!["https://chat.example.org".to_owned()];
    })
    .await;
    for (origin, status) in [
        ("https://chat.example.org", 200),
        ("http://localhost:3000", 200),
        ("http://[::1]", 200),
        ("https://chat.example.org.evil.com", 403),
        ("http://localhost.evil.com", 403),
        ("http://evil.example.com", 403),
        ("ftp://localhost", 403),
        ("null", 403),
    ] {
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": "server/discover", "params": {"_meta": {
            "io.modelcontextprotocol/protocolVersion": MODERN,
            "io.modelcontextprotocol/clientCapabilities": {},
        }}});
        let headers = [
            ("origin", origin),
            ("mcp-protocol-version", MODERN),
            ("mcp-method", "server/discover"),
        ];
        let body = body.to_string().into_bytes();
        let reply = send(&harness, &harness.admin, Method::POST, &headers, body).await;
        assert_eq!(reply.status, status, "{origin}: {}", reply.text);
    }
}

#[tokio::test]
async fn the_suites_fixtures_are_there_only_when_they_are_switched_on() {
    let harness = Harness::with(|options| options.mcp_fixtures = true).await;
    let call = json!({"name": "test_simple_text", "arguments": {}});
    let reply = modern(&harness, &harness.admin, "tools/call", call.clone()).await;
    assert!(reply.json()["result"]["content"][0]["text"].is_string());
    let plain = Harness::new().await;
    let reply = modern(&plain, &plain.admin, "tools/call", call).await;
    assert_eq!(reply.json()["error"]["code"], -32602);
    let read = json!({"uri": "test://static-text"});
    let reply = modern(&plain, &plain.admin, "resources/read", read).await;
    assert_eq!(reply.json()["error"]["data"]["uri"], "test://static-text");
}

/// Bodies made of a valid one by changing some of its bytes, from a seed that a failure names.
#[tokio::test]
async fn nothing_that_arrives_breaks_the_server() {
    let harness = Harness::with(|options| options.mcp_fixtures = true).await;
    let valid = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {
        "name": "describe_model", "arguments": {"model": "m"}, "_meta": {
            "progressToken": 1,
            "io.modelcontextprotocol/protocolVersion": MODERN,
            "io.modelcontextprotocol/clientCapabilities": {"elicitation": {}},
        }
    }});
    let valid = valid.to_string().into_bytes();
    let signs = b"{}[]\",:0-9eE.nulltrue\\\x00\xff ";
    for seed in 1..400_u64 {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut next = |bound: usize| {
            // xorshift64*: good enough to hit every byte.
            state ^= state >> 12;
            state ^= state << 25;
            state ^= state >> 27;
            (state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % bound
        };
        let mut body = valid.clone();
        for _ in 0..1 + next(6) {
            let place = next(body.len());
            match next(3) {
                0 => body[place] = signs[next(signs.len())],
                1 => body.insert(place, signs[next(signs.len())]),
                _ => drop(body.remove(place)),
            }
        }
        let headers = [
            ("mcp-protocol-version", MODERN),
            ("mcp-method", "tools/call"),
            ("mcp-name", "describe_model"),
        ];
        let reply = send(&harness, &harness.admin, Method::POST, &headers, body).await;
        assert!(
            !reply.status.is_server_error(),
            "seed {seed}: {} {}",
            reply.status,
            reply.text
        );
        if reply.status.is_client_error() {
            assert!(
                reply.json()["error"]["code"].is_i64(),
                "seed {seed}: {}",
                reply.text
            );
        }
    }
}

#[tokio::test]
async fn deep_long_and_batched_bodies_are_refused() {
    let harness = Harness::with(|options| options.body_bytes_max = 1 << 20).await;
    let deep = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"x","params":{}{}}}"#,
        r#"{"a":"#.repeat(10_000),
        "}".repeat(10_000)
    );
    let long = format!(
        r#"{{"jsonrpc":"2.0","id":"{}","method":"x"}}"#,
        "x".repeat(5_000)
    );
    for (body, status, code) in [
        (deep, 400, -32700),
        (long, 400, -32600),
        ("[]".to_owned(), 400, -32600),
        ("[".repeat(100_000), 400, -32700),
        ("x".repeat(2 << 20), 413, -32600),
        (String::new(), 400, -32700),
    ] {
        let start: String = body.chars().take(40).collect();
        let reply = send(
            &harness,
            &harness.admin,
            Method::POST,
            &[],
            body.into_bytes(),
        )
        .await;
        assert_eq!(reply.status, status, "{start}: {}", reply.text);
        assert_eq!(
            reply.json()["error"]["code"],
            code,
            "{start}: {}",
            reply.text
        );
    }
}
