//! Ends, graceful and not: of the server, and of a model's process in the middle of an answer.

use serde_json::{Value, json};

use crate::harness::{Server, Stream, eventually, fornax, runs, signal};

/// An answer that takes long enough to be interrupted. Each name of the model has its own seed: with the same one the second
/// answer would be the first one's, which is kept, and not be computed.
fn long_stream(server: &Server, model: &str) -> Stream {
    let body = json!({
        "model": model,
        "messages": [{ "role": "user", "content": "Tell me everything" }],
        "max_tokens": 1900,
        "temperature": 1,
        "seed": if model == "fornax-nano" { 7 } else { 8 },
        "ignore_eos": true,
        "stream": true,
    });
    let mut stream = server.stream("/v1/chat/completions", &body);
    assert_eq!(stream.status, 200);
    for _ in 0..3 {
        stream.event().expect("the answer begins");
    }
    stream
}

fn finished_well(events: &[String]) -> bool {
    let reason = events
        .iter()
        .filter_map(|event| serde_json::from_str::<Value>(event).ok())
        .find_map(|event| {
            event["choices"][0]["finish_reason"]
                .as_str()
                .map(str::to_owned)
        });
    events.last().is_some_and(|last| last == "[DONE]") && reason.is_some()
}

#[test]
fn sigterm_drains_a_running_stream_and_refuses_new_ones() {
    let directory = tempfile::tempdir().expect("directory");
    let mut server = Server::start(&directory.path().join("data"), &[]);
    let stream = long_stream(&server, "fornax-nano");
    let runner = server.runner("fornax-nano").expect("a runner");
    server.signal("TERM");
    // While it drains it says so, and takes nothing new.
    eventually("the drain", || {
        (server.get("/readyz", "").status == 503).then_some(())
    });
    let refused = server.get("/v1/models", &server.key);
    assert_eq!(refused.status, 503, "{}", refused.body);
    assert!(
        refused.head.to_lowercase().contains("retry-after"),
        "{}",
        refused.head
    );
    let events = stream.events();
    assert!(finished_well(&events), "{:?}", events.last());
    assert_eq!(server.wait().code(), Some(0), "{}", server.log());
    assert!(!runs(runner));
}

#[test]
fn a_second_signal_ends_at_once() {
    let directory = tempfile::tempdir().expect("directory");
    let mut server = Server::start(&directory.path().join("data"), &[]);
    let _stream = long_stream(&server, "fornax-nano");
    let runner = server.runner("fornax-nano").expect("a runner");
    server.signal("TERM");
    eventually("the drain", || {
        server.log().contains("draining").then_some(())
    });
    server.signal("INT");
    assert_eq!(server.wait().code(), Some(130), "{}", server.log());
    eventually("the end of the runner", || (!runs(runner)).then_some(()));
}

#[test]
fn kill_9_of_the_server_leaves_no_model_process() {
    let directory = tempfile::tempdir().expect("directory");
    let data = directory.path().join("data");
    let mut server = Server::start(&data, &[]);
    let _stream = long_stream(&server, "fornax-nano");
    let runner = server.runner("fornax-nano").expect("a runner");
    server.signal("KILL");
    server.wait();
    eventually("the end of the runner", || (!runs(runner)).then_some(()));
    // Nothing that was left behind keeps the next one from starting.
    let again = Server::start(&data, &[]);
    assert_eq!(again.get("/v1/models", &again.key).status, 200);
}

/// Ends the runner of one model in the middle of an answer, while another model answers too.
fn a_runner_dies_of(name: &str) {
    let directory = tempfile::tempdir().expect("directory");
    let data = directory.path().join("data");
    let server = Server::start(&data, &[]);
    assert!(
        fornax(&data)
            .args(["cp", "fornax-nano", "other"])
            .output()
            .expect("cp")
            .status
            .success()
    );
    // Both are loaded first: the small model is fast, and the signal has to come in the middle of an answer.
    for model in ["other", "fornax-nano"] {
        let body = json!({ "model": model, "messages": [{ "role": "user", "content": "Hi" }], "max_tokens": 1 });
        assert_eq!(server.post("/v1/chat/completions", &body).status, 200);
    }
    let pid = server.runner("fornax-nano").expect("a runner");
    assert_ne!(
        Some(pid),
        server.runner("other"),
        "each model has a process of its own"
    );
    let unaffected = long_stream(&server, "other");
    let hit = long_stream(&server, "fornax-nano");
    signal(pid, name);

    let events = hit.events();
    let error = events
        .iter()
        .filter_map(|event| serde_json::from_str::<Value>(event).ok())
        .find(|event| !event["error"].is_null());
    let error =
        error.unwrap_or_else(|| panic!("no error event; the last one is {:?}", events.last()));
    assert!(
        error["error"]["message"]
            .as_str()
            .is_some_and(|message| !message.is_empty()),
        "{error}"
    );
    assert!(!finished_well(&events));
    assert!(
        finished_well(&unaffected.events()),
        "another model's answer was disturbed"
    );

    let body = json!({ "model": "fornax-nano", "messages": [{ "role": "user", "content": "Again" }], "max_tokens": 4 });
    let reply = server.post("/v1/chat/completions", &body);
    assert_eq!(reply.status, 200, "{}", reply.body);
    assert_ne!(
        server.runner("fornax-nano"),
        Some(pid),
        "a fresh process answers"
    );
    let metrics = server.get("/metrics", &server.key).body;
    assert!(
        metrics.contains("fornax_runner_restarts_total{model=\"fornax-nano\"} 1"),
        "{metrics}"
    );
}

#[test]
fn a_segmentation_fault_of_a_runner_ends_its_own_streams_only() {
    a_runner_dies_of("SEGV");
}

#[test]
fn an_aborted_runner_ends_its_own_streams_only() {
    a_runner_dies_of("ABRT");
}

#[test]
fn a_killed_runner_ends_its_own_streams_only() {
    a_runner_dies_of("KILL");
}
