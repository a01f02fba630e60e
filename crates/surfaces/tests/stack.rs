//! The middleware stack and the route table, from outside: who gets in, and how every refusal looks.

mod dredge;
mod files;
mod grpc;
mod harness;
mod mcp;
mod qdrant;
mod science;
mod vector_stores;

use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures::StreamExt;
use harness::Harness;
use http::{Method, Request, StatusCode};
use service::Scope;
use surfaces::Access;

const METHODS: [Method; 7] = [
    Method::GET,
    Method::HEAD,
    Method::POST,
    Method::PUT,
    Method::PATCH,
    Method::DELETE,
    Method::OPTIONS,
];

/// A path that matches `pattern`.
fn example(pattern: &str) -> String {
    pattern
        .replace("{*id}", "some/model:tag")
        .replace("{*name}", "some/model:tag")
        .replace("{id}", "some-id")
        .replace("{digest}", &format!("sha256:{}", "0".repeat(64)))
        .replace("{collection}", "some-collection")
        .replace("{field}", "some.field")
        .replace("{snapshot}", "some-snapshot")
        .replace("{file_id}", "some-file")
        .replace("{batch_id}", "some-batch")
}

/// Whether errors at `path` have Qdrant's shape.
fn of_qdrant(path: &str) -> bool {
    ["/collections", "/aliases", "/cluster", "/telemetry"]
        .iter()
        .any(|first| path.starts_with(first))
}

#[tokio::test]
async fn only_health_is_public() {
    let public: Vec<_> = surfaces::routes()
        .iter()
        .filter(|route| route.access == Access::Public)
        .map(|route| route.path)
        .collect();
    let grpc = [
        "/grpc.health.v1.Health/Check",
        "/grpc.health.v1.Health/Watch",
        "/qdrant.Qdrant/HealthCheck",
    ];
    let expected: Vec<_> = ["/livez", "/healthz", "/readyz"]
        .into_iter()
        .chain(grpc)
        .collect();
    assert_eq!(public, expected);
}

#[tokio::test]
async fn every_route_and_every_method_of_it_denies_without_a_key() {
    let harness = Harness::new().await;
    for route in surfaces::routes() {
        let path = example(route.path);
        for method in METHODS {
            let reply = harness.bare(method.clone(), &path).await;
            let get = if method == Method::HEAD {
                &Method::GET
            } else {
                &method
            };
            let open = route.access == Access::Public && *get == route.method;
            if open {
                assert_eq!(reply.status, 200, "{method} {path}");
                continue;
            }
            assert_eq!(reply.status, 401, "{method} {path}");
            assert!(
                reply.headers.contains_key("www-authenticate"),
                "{method} {path}"
            );
            assert!(
                !reply.headers.contains_key("allow"),
                "{method} {path} tells which methods it has"
            );
            if method != Method::HEAD {
                let shape = reply.json();
                let error = &shape["error"];
                let field = match path.as_str() {
                    "/mcp" => &error["data"]["kind"],
                    "/v2/rerank" => &shape["message"],
                    "/rerank" => error,
                    path if path.starts_with("/api/") => error,
                    path if path.starts_with("/v1/") => &error["type"],
                    path if of_qdrant(path) => &shape["status"]["error"],
                    _ => &error["kind"],
                };
                assert!(field.is_string(), "{method} {path}: {shape}");
            }
        }
    }
}

#[tokio::test]
async fn unknown_paths_deny_without_a_key_and_say_404_with_one() {
    let harness = Harness::new().await;
    for path in [
        "/v1",
        "/v1/nothing",
        "/v1/files",
        "/fornax/v1/nothing",
        "/fornax",
        "/livez/",
        "/v1/models/",
    ] {
        assert_eq!(harness.bare(Method::GET, path).await.status, 401, "{path}");
        assert_eq!(harness.bare(Method::POST, path).await.status, 401, "{path}");
    }
    let reply = harness.get("/v1/nothing").await;
    assert_eq!(reply.status, 404);
    assert_eq!(reply.json()["error"]["type"], "invalid_request_error");
    assert_eq!(reply.code(), "unknown_url");
    let reply = harness.get("/nothing").await;
    assert_eq!(reply.status, 404);
    assert_eq!(reply.json()["error"]["kind"], "not_found");
}

#[tokio::test]
async fn what_the_table_lists_is_routed_and_nothing_else() {
    let harness = Harness::new().await;
    for route in surfaces::routes() {
        let path = example(route.path);
        for method in METHODS {
            let reply = harness
                .call(&harness.admin, method.clone(), &path, "{}")
                .await;
            let get = if method == Method::HEAD {
                Method::GET
            } else {
                method.clone()
            };
            let listed = surfaces::routes()
                .iter()
                .any(|other| other.path == route.path && [&method, &get].contains(&&other.method));
            assert_eq!(
                reply.status != StatusCode::METHOD_NOT_ALLOWED,
                listed,
                "{method} {path} is {}",
                reply.status
            );
            if !listed {
                assert!(reply.headers.contains_key("allow"), "{method} {path}");
                if method != Method::HEAD {
                    assert!(
                        reply.text.contains("this path does not take"),
                        "{method} {path}"
                    );
                }
            }
        }
    }
}

#[tokio::test]
async fn parts_of_the_openai_api_that_are_not_built_say_501() {
    let harness = Harness::new().await;
    for path in [
        "/v1/audio/speech",
        "/v1/images/generations",
        "/v1/batches/b/cancel",
    ] {
        let reply = harness.post(path, "{}").await;
        assert_eq!(reply.status, 501, "{path}");
        assert_eq!(reply.code(), "not_supported");
        assert_eq!(reply.headers["x-should-retry"], "false");
    }
    let reply = harness.get("/v1/chat/completions/chatcmpl-1").await;
    assert_eq!(reply.status, 404, "stored completions");
}

#[tokio::test]
async fn keys_come_in_three_spellings_and_bad_ones_are_refused() {
    let harness = Harness::new().await;
    let admin = harness.admin.clone();
    let status = |name: &'static str, value: String| {
        let request = Request::get("/fornax/v1/version")
            .header(name, value)
            .body(Body::empty())
            .expect("request");
        harness.send(request)
    };
    assert_eq!(
        status("authorization", format!("Bearer {admin}"))
            .await
            .status,
        200
    );
    assert_eq!(
        status("authorization", format!("bearer {admin}"))
            .await
            .status,
        200
    );
    assert_eq!(status("x-api-key", admin.clone()).await.status, 200);
    assert_eq!(status("api-key", admin.clone()).await.status, 200);
    let mut wrong = admin.clone();
    let last = wrong.pop().expect("key");
    wrong.push(if last == 'a' { 'b' } else { 'a' });
    for (name, value) in [
        ("authorization", format!("Bearer {wrong}")),
        ("authorization", format!("Basic {admin}")),
        ("authorization", admin.clone()),
        ("authorization", "Bearer ".to_string()),
        ("x-api-key", "é".to_string()),
        ("api-key", String::new()),
    ] {
        let reply = status(name, value.clone()).await;
        assert_eq!(reply.status, 401, "{name}: {value}");
        assert!(!reply.text.contains(&admin), "the refusal repeats the key");
    }
}

#[tokio::test]
async fn a_key_opens_only_what_its_scope_opens() {
    let harness = Harness::new().await;
    let inference = harness.key(Scope::Inference).await;
    let metrics = harness.key(Scope::Metrics).await;
    let status =
        async |key: &str, path: &str| harness.call(key, Method::GET, path, Body::empty()).await;
    for path in ["/fornax/v1/keys", "/fornax/v1/runners", "/metrics"] {
        let reply = status(&inference, path).await;
        assert_eq!(reply.status, 403, "{path}");
        assert_eq!(reply.json()["error"]["kind"], "forbidden");
    }
    let reply = status(&metrics, "/v1/models").await;
    assert_eq!(reply.status, 403);
    assert_eq!(reply.code(), "insufficient_permissions");
    let reply = status(&metrics, "/metrics").await;
    assert_eq!(
        (reply.status.as_u16(), reply.text.as_str()),
        (200, "fornax_up 1\n")
    );
    assert_eq!(harness.bare(Method::GET, "/metrics").await.status, 401);

    let open = Harness::with(|options| options.metrics_public = true).await;
    assert_eq!(open.bare(Method::GET, "/metrics").await.status, 200);
}

#[tokio::test]
async fn a_key_is_made_used_and_revoked_over_http() {
    let harness = Harness::new().await;
    let body =
        r#"{"name": "laptop", "scopes": ["inference"], "tenant": "lab", "expires_in_seconds": 60}"#;
    let made = harness.post("/fornax/v1/keys", body).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let made = made.json();
    let key = made["key"].as_str().expect("key").to_string();
    assert_eq!(made["record"]["tenant"], "lab");
    assert_eq!(made["record"]["expires_unix"], NOW_PLUS_60);
    assert_eq!(made["record"]["status"], "live");
    let listed = harness.get("/fornax/v1/keys").await;
    assert!(!listed.text.contains(&key), "a listing shows a key's text");
    assert_eq!(listed.json()["keys"].as_array().expect("keys").len(), 2);
    let version = |key: String| {
        let harness = &harness;
        async move {
            harness
                .call(&key, Method::GET, "/fornax/v1/version", Body::empty())
                .await
                .status
        }
    };
    assert_eq!(version(key.clone()).await, 200);
    let id = made["record"]["id"].as_str().expect("id");
    let path = format!("/fornax/v1/keys/{id}");
    let revoked = harness
        .call(&harness.admin, Method::DELETE, &path, Body::empty())
        .await;
    assert_eq!(revoked.json()["status"], "revoked");
    assert_eq!(version(key).await, 401);

    for (body, field) in [
        (r#"{"name": "x", "scopes": []}"#, "scopes"),
        (r#"{"name": "x", "scopes": ["root"]}"#, "scopes[0]"),
        (
            r#"{"name": "x", "scopes": ["admin"], "tenant": "A B"}"#,
            "tenant",
        ),
        (r#"{"scopes": ["admin"]}"#, "name"),
        (
            r#"{"name": "x", "scopes": ["admin"], "expires": 3}"#,
            "expires",
        ),
    ] {
        let reply = harness.post("/fornax/v1/keys", body).await;
        assert_eq!(reply.status, 400, "{body}");
        assert_eq!(reply.json()["error"]["field"], field, "{body}");
    }
}

const NOW_PLUS_60: u64 = harness::NOW + 60;

#[tokio::test]
async fn bodies_that_are_not_json_objects_get_400_in_the_surfaces_shape() {
    let harness = Harness::new().await;
    let deep = "[".repeat(100_000);
    for body in [
        "",
        "{",
        "[]",
        "null",
        "3",
        "{\"a\": }",
        "\u{FEFF}{}",
        "{\"a\": 1e999}",
        &deep,
    ] {
        let start: String = body.chars().take(20).collect();
        let reply = harness.post("/v1/chat/completions", body.to_string()).await;
        assert_eq!(reply.status, 400, "{start}");
        assert_eq!(reply.code(), "invalid_json", "{start}");
        let reply = harness
            .post("/fornax/v1/models/load", body.to_string())
            .await;
        assert_eq!(reply.json()["error"]["kind"], "invalid_request", "{start}");
    }
    let invalid_utf8 = Body::from(Bytes::from_static(b"{\"model\": \"\xff\"}"));
    assert_eq!(
        harness
            .post("/v1/chat/completions", invalid_utf8)
            .await
            .status,
        400
    );
}

#[tokio::test]
async fn a_body_over_the_limit_gets_413_whether_it_says_so_or_not() {
    let harness = Harness::with(|options| {
        options.body_bytes_max = 1000;
        options.body_timeout = Duration::from_millis(200);
    })
    .await;
    let declared = Request::post("/v1/embeddings")
        .header("x-api-key", &harness.admin)
        .header("content-length", "1001")
        .body(Body::from_stream(futures::stream::pending::<
            Result<Bytes, std::io::Error>,
        >()))
        .expect("request");
    let reply = harness.send(declared).await;
    assert_eq!(
        (reply.status.as_u16(), reply.code().as_str()),
        (413, Some("request_too_large"))
    );
    let pieces =
        futures::stream::repeat_with(|| Ok::<_, std::io::Error>(Bytes::from(vec![b' '; 100])));
    let reply = harness
        .post("/v1/embeddings", Body::from_stream(pieces))
        .await;
    assert_eq!(reply.status, 413);
    let fits = format!("{{\"a\": \"{}\"}}", "x".repeat(900));
    assert_eq!(
        harness.post("/v1/embeddings", fits).await.status,
        400,
        "within the limit it is read"
    );
}

#[tokio::test]
async fn a_body_that_does_not_arrive_gets_408() {
    let harness = Harness::with(|options| options.body_timeout = Duration::from_millis(20)).await;
    let head = futures::stream::iter([Ok::<_, std::io::Error>(Bytes::from_static(b"{"))]);
    let reply = harness
        .post(
            "/v1/completions",
            Body::from_stream(head.chain(futures::stream::pending())),
        )
        .await;
    assert_eq!(reply.status, 408);
    assert_eq!(reply.code(), "request_timeout");
}

#[tokio::test]
async fn a_draining_server_sends_clients_away_politely_and_still_answers_probes() {
    let harness = Harness::new().await;
    assert_eq!(harness.bare(Method::GET, "/readyz").await.status, 200);
    harness.service.begin_drain();
    let reply = harness.post("/v1/chat/completions", "{}").await;
    assert_eq!(reply.status, 503);
    assert_eq!(reply.headers["retry-after"], "5");
    assert_eq!(reply.headers["retry-after-ms"], "5000");
    assert_eq!(reply.headers["x-should-retry"], "true");
    assert_eq!(harness.bare(Method::GET, "/livez").await.status, 200);
    assert_eq!(harness.bare(Method::GET, "/readyz").await.status, 503);
    assert_eq!(harness.get("/metrics").await.status, 200);
}

#[tokio::test]
async fn more_requests_than_there_is_room_for_get_429() {
    let harness = Harness::with(|options| options.requests_max = 0).await;
    let reply = harness.get("/v1/models").await;
    assert_eq!(
        (reply.status.as_u16(), reply.code().as_str()),
        (429, Some("rate_limit_exceeded"))
    );
    assert_eq!(harness.bare(Method::GET, "/livez").await.status, 200);
}

#[tokio::test]
async fn a_request_keeps_its_id_and_its_trace() {
    let harness = Harness::new().await;
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let send = |id: &str, parent: String| {
        let request = Request::get("/livez")
            .header("x-request-id", id)
            .header("traceparent", parent)
            .body(Body::empty())
            .expect("request");
        harness.send(request)
    };
    let reply = send("mine-1", format!("00-{trace}-00f067aa0ba902b7-01")).await;
    assert_eq!(reply.headers["x-request-id"], "mine-1");
    let ours = reply.headers["traceparent"].to_str().expect("text");
    assert!(
        ours.starts_with(&format!("00-{trace}-")) && ours.ends_with("-01"),
        "{ours}"
    );
    assert!(
        !ours.contains("00f067aa0ba902b7"),
        "the span is ours, not the caller's"
    );

    let reply = send("two words", "nonsense".to_string()).await;
    let made = reply.headers["x-request-id"].to_str().expect("text");
    assert!(made.starts_with("req_") && made.len() == 36, "{made}");
    let other = send(&"x".repeat(200), String::new()).await;
    assert_ne!(other.headers["x-request-id"], made);
    assert_eq!(other.headers["traceparent"].len(), 55);
    assert_eq!(other.headers["x-content-type-options"], "nosniff");
}

#[tokio::test]
async fn browsers_of_other_origins_are_let_in_only_when_listed() {
    let preflight = |origin: &str| {
        Request::options("/v1/models")
            .header("origin", origin)
            .header("access-control-request-method", "GET")
            .body(Body::empty())
            .expect("request")
    };
    let closed = Harness::new().await;
    let reply = closed.send(preflight("https://a.example")).await;
    assert_eq!(reply.status, 401);
    assert!(!reply.headers.contains_key("access-control-allow-origin"));

    let open =
        Harness::with(|options| options.cors_origins = vec!["https://a.example".to_string()]).await;
    let reply = open.send(preflight("https://a.example")).await;
    assert_eq!(reply.status, 204);
    assert_eq!(
        reply.headers["access-control-allow-origin"],
        "https://a.example"
    );
    assert_eq!(open.send(preflight("https://b.example")).await.status, 401);
    let request = Request::get("/v1/models")
        .header("origin", "https://a.example")
        .body(Body::empty());
    let reply = open.send(request.expect("request")).await;
    assert_eq!(reply.status, 401, "an allowed origin still needs a key");
    assert_eq!(
        reply.headers["access-control-allow-origin"],
        "https://a.example"
    );
}
