//! Pulling a model through the server, from a small hub of our own.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};

use serde_json::{Value, json};

use crate::harness::Server;

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
const FILE: &str = "tiny-F16.gguf";

/// The model that ships with the binary: small, and it answers.
fn weights() -> Vec<u8> {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../models/fornax-nano/fornax-nano.gguf"
    );
    std::fs::read(path).expect("the shipped model")
}

fn sha256(server: &Server) -> String {
    let model = server
        .get("/fornax/v1/models/fornax-nano", &server.key)
        .json();
    let digest = model["digest"].as_str().expect("a digest");
    digest.strip_prefix("sha256:").expect("sha256").to_owned()
}

/// One connection of the hub: `lab/honest` promises the true digest, `lab/lying` another.
fn answer(mut connection: TcpStream, weights: &[u8], promised: &str) {
    let mut request = String::new();
    let mut reader = BufReader::new(connection.try_clone().expect("clone"));
    let mut line = String::new();
    while reader.read_line(&mut line).is_ok_and(|count| count > 2) {
        request.push_str(&line);
        line.clear();
    }
    let path = request.split(' ').nth(1).unwrap_or_default();
    let listing = |sha256: &str| {
        let file = json!({ "rfilename": FILE, "size": weights.len(), "lfs": { "sha256": sha256, "size": weights.len() } });
        json!({ "sha": COMMIT, "siblings": [file] })
            .to_string()
            .into_bytes()
    };
    let (status, body) = match path.split('?').next().unwrap_or_default() {
        "/api/models/lab/honest" => (200, listing(promised)),
        "/api/models/lab/lying" => (200, listing(&"5".repeat(64))),
        path if path.ends_with(&format!("/resolve/{COMMIT}/{FILE}")) => (200, weights.to_vec()),
        _ => (404, Vec::new()),
    };
    // Whoever is told enough may hang up early.
    let _ = write!(
        connection,
        "HTTP/1.1 {status} Reason\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let _ = connection.write_all(&body);
}

fn lines(server: &Server, source: &str, name: &str) -> Vec<Value> {
    let body = json!({ "source": source, "name": name });
    let reply = server.post("/fornax/v1/models/pull", &body);
    assert_eq!(reply.status, 200, "{}", reply.body);
    assert!(
        reply.head.to_lowercase().contains("application/x-ndjson"),
        "{}",
        reply.head
    );
    let parse = |line| serde_json::from_str(line).expect("every line is an object");
    reply.body.lines().map(parse).collect()
}

#[test]
fn a_pull_tells_its_progress_line_by_line_and_refuses_another_files_bytes() {
    let directory = tempfile::tempdir().expect("directory");
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let hub = format!("hub.url=http://{}", listener.local_addr().expect("address"));
    let server = Server::start(&directory.path().join("data"), &["--set", &hub]);
    let (weights, promised) = (weights(), sha256(&server));
    let size = weights.len() as u64;
    std::thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            answer(connection, &weights, &promised);
        }
    });

    let told = lines(&server, "hf:lab/honest", "pulled");
    let (last, progress) = told.split_last().expect("lines");
    assert_eq!(progress[0]["stage"], "resolving", "{told:?}");
    // Newer progress overwrites older, so a fast download may only be seen while it is verified.
    let sized = |line: &Value| {
        ["downloading", "verifying"].contains(&line["stage"].as_str().unwrap_or_default())
            && line["total_bytes"] == size
    };
    assert!(progress.iter().any(sized), "{told:?}");
    assert_eq!(last["stage"], "finished", "{told:?}");
    assert_eq!(last["model"]["name"], "pulled", "{last}");
    let chat = json!({ "model": "pulled", "messages": [{ "role": "user", "content": "Hi" }], "max_tokens": 2 });
    let reply = server.post("/v1/chat/completions", &chat);
    assert_eq!(reply.status, 200, "{}", reply.body);

    let told = lines(&server, "hf:lab/lying", "never");
    let error = &told.last().expect("lines")["error"];
    assert_eq!(error["kind"], "data_loss", "{told:?}");
    let message = error["message"].as_str().unwrap_or_default();
    assert!(message.contains(&"5".repeat(64)), "{message}");
    assert!(!told.iter().any(|line| line["stage"] == "finished"));
    assert_eq!(server.get("/v1/models/never", &server.key).status, 404);

    let told = lines(&server, "hf:lab/absent", "never");
    assert_eq!(
        told.last().expect("lines")["error"]["kind"],
        "not_found",
        "{told:?}"
    );
}
