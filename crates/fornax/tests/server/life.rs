//! A server's first start, its answers, and what it leaves in its logs.

use std::os::unix::fs::PermissionsExt;

use serde_json::json;

use crate::harness::{Server, fornax, open};

const PROMPT: &str = "Xyzzy speaks of plover eggs";

fn chat(model: &str) -> serde_json::Value {
    json!({ "model": model, "messages": [{ "role": "user", "content": PROMPT }], "max_tokens": 8, "temperature": 0 })
}

#[test]
fn the_first_start_brings_a_key_and_a_model_and_later_ones_do_not() {
    let directory = tempfile::tempdir().expect("directory");
    let data = directory.path().join("data");
    let mut server = Server::start(&data, &["--log-level", "debug"]);
    let key = server.key.clone();
    assert!(key.starts_with("fx-"), "{key}");
    assert_eq!(
        server.output().matches(&key).count(),
        1,
        "{}",
        server.output()
    );
    let mode = |name: &str| data.join(name).metadata().expect(name).permissions().mode() & 0o777;
    assert_eq!(
        (mode("admin.key"), mode("fornax.db"), mode("")),
        (0o600, 0o600, 0o700)
    );

    let reply = server.post("/v1/chat/completions", &chat("fornax-nano"));
    assert_eq!(reply.status, 200, "{}", reply.body);
    let answer = reply.json();
    assert!(
        answer["usage"]["completion_tokens"]
            .as_u64()
            .is_some_and(|count| (1..=8).contains(&count)),
        "{answer}"
    );
    let fingerprint = answer["system_fingerprint"].as_str().unwrap_or_default();
    assert!(
        fingerprint.strip_prefix("fp_").is_some_and(
            |digits| digits.len() == 12 && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
        ),
        "{answer}"
    );
    let streamed = server.stream("/v1/chat/completions", &{
        let mut body = chat("fornax-nano");
        body["stream"] = json!(true);
        body
    });
    let events = streamed.events();
    assert_eq!(events.last().map(String::as_str), Some("[DONE]"));
    let text: String = events
        .iter()
        .filter_map(|event| serde_json::from_str::<serde_json::Value>(event).ok())
        .filter_map(|event| {
            event["choices"][0]["delta"]["content"]
                .as_str()
                .map(str::to_owned)
        })
        .collect();
    assert_eq!(
        answer["choices"][0]["message"]["content"], text,
        "streamed and whole answers are equal"
    );

    let metrics = server.get("/metrics", &key);
    assert_eq!(metrics.status, 200);
    for part in [
        "fornax_ready 1",
        "fornax_requests_total{",
        "process_resident_memory_bytes ",
        "fornax_time_to_first_token_seconds_bucket{",
    ] {
        assert!(metrics.body.contains(part), "{part} in\n{}", metrics.body);
    }
    let ps = fornax(&data).arg("ps").output().expect("ps");
    assert!(
        String::from_utf8_lossy(&ps.stdout).contains("fornax-nano"),
        "{ps:?}"
    );

    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0));
    let log = server.log();
    assert!(!log.contains(&key[16..]), "the log holds the key");
    assert!(!log.contains("plover"), "the log holds a prompt:\n{log}");
    let errors: Vec<&str> = log
        .lines()
        .filter(|line| line.contains(" ERROR ") || line.contains("panicked"))
        .collect();
    assert!(errors.is_empty(), "{errors:?}");
    assert!(!data.join("run/address").exists());

    let again = Server::start(&data, &[]);
    assert_eq!(again.key, key);
    assert!(
        !again.output().contains(&key[16..]),
        "the key is shown once"
    );
    assert_eq!(
        again
            .post("/v1/chat/completions", &chat("fornax-nano"))
            .status,
        200
    );
}

#[test]
fn every_route_and_every_other_path_wants_a_key() {
    let directory = tempfile::tempdir().expect("directory");
    let server = Server::start(&directory.path().join("data"), &[]);
    let mut checked = 0;
    for route in surfaces::routes() {
        let path = route
            .path
            .replace("{*id}", "a/b:c")
            .replace("{*name}", "a/b")
            .replace("{id}", "x");
        let status =
            |key: &str| open(&server.address, route.method.as_str(), &path, key, None).status;
        if route.access == surfaces::Access::Public {
            assert_eq!(status(""), 200, "{} {path}", route.method);
            continue;
        }
        let forged = format!("fx-{}-{}", "a".repeat(12), "a".repeat(52));
        for key in ["", "sk-1234", &forged] {
            assert_eq!(status(key), 401, "{} {path} with key {key:?}", route.method);
        }
        checked += 1;
    }
    assert!(checked >= 15, "{checked} routes");
    for path in [
        "/",
        "/v1",
        "/admin",
        "/fornax/v1/keys/../keys",
        "/v1/models/%2e%2e",
        "/metrics/",
    ] {
        assert_eq!(server.get(path, "").status, 401, "{path}");
    }
}

#[test]
fn a_second_server_on_the_same_directory_is_refused() {
    let directory = tempfile::tempdir().expect("directory");
    let data = directory.path().join("data");
    let server = Server::start(&data, &[]);
    let second = fornax(&data)
        .args(["serve", "--bind", "127.0.0.1:0"])
        .output()
        .expect("run");
    assert_eq!(second.status.code(), Some(9));
    let message = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(message.contains(&server.pid().to_string()), "{message}");
    assert_eq!(server.get("/livez", "").status, 200);
}

#[test]
fn a_key_revoked_on_the_command_line_is_refused_soon() {
    let directory = tempfile::tempdir().expect("directory");
    let data = directory.path().join("data");
    let server = Server::start(&data, &[]);
    let created = fornax(&data)
        .args(["keys", "create", "guest"])
        .output()
        .expect("run");
    let guest = String::from_utf8_lossy(&created.stdout).trim().to_owned();
    assert_eq!(server.get("/v1/models", &guest).status, 200);
    assert_eq!(server.get("/fornax/v1/keys", &guest).status, 403);
    assert!(
        fornax(&data)
            .args(["keys", "revoke", "guest"])
            .status()
            .expect("run")
            .success()
    );
    let started = std::time::Instant::now();
    crate::harness::eventually("the refusal", || {
        (server.get("/v1/models", &guest).status == 401).then_some(())
    });
    assert!(started.elapsed() < security::CACHE_TTL * 2);
}
