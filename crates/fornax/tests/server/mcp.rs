//! `fornax mcp`: what a client that starts its servers itself sees.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{PATIENCE, Server, eventually, fornax};

/// A running `fornax mcp`; killed when dropped.
struct Bridge {
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl Bridge {
    fn start(data: &Path, environment: &[(&str, &str)]) -> Self {
        let mut child = fornax(data)
            .arg("mcp")
            .envs(environment.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("start the bridge");
        let output = BufReader::new(child.stdout.take().expect("piped"));
        let (sender, lines) = sync_channel(1024);
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Bridge {
            input: child.stdin.take(),
            child,
            lines,
        }
    }

    fn send(&mut self, message: &Value) {
        let input = self.input.as_mut().expect("open");
        writeln!(input, "{message}").expect("written");
    }

    /// The next message; each is one line.
    fn next(&self) -> Value {
        let line = self.lines.recv_timeout(PATIENCE).expect("a line");
        serde_json::from_str(&line).expect(&line)
    }

    /// The answer to request `id`, notifications before it left out.
    fn answer(&self, id: &Value) -> Value {
        loop {
            let message = self.next();
            if message["id"] == *id {
                return message;
            }
        }
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn initialize() -> Value {
    json!({"jsonrpc": "2.0", "id": "first", "method": "initialize", "params": {
        "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "tests", "version": "1"}
    }})
}

fn modern(id: u32, method: &str, mut params: Value) -> Value {
    params["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})
}

#[test]
fn both_eras_pass_over_standard_streams_and_the_end_of_input_ends_it() {
    let directory = tempfile::tempdir().expect("directory");
    let data = directory.path().join("data");
    let server = Server::start(&data, &[]);
    // The server and its key are found through the data directory.
    let mut bridge = Bridge::start(&data, &[]);

    bridge.send(&modern(1, "server/discover", json!({})));
    let discovered = bridge.answer(&json!(1));
    assert_eq!(
        discovered["result"]["supportedVersions"][3], "2026-07-28",
        "{discovered}"
    );
    let call = json!({"name": "describe_model", "arguments": {"model": "fornax-nano"}});
    bridge.send(&modern(2, "tools/call", call.clone()));
    let described = bridge.answer(&json!(2));
    let facts = &described["result"]["structuredContent"];
    assert_eq!(facts["name"], "fornax-nano", "{described}");

    bridge.send(&initialize());
    let begun = bridge.answer(&json!("first"));
    assert_eq!(begun["result"]["protocolVersion"], "2025-06-18", "{begun}");
    bridge.send(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));
    bridge.send(&json!({"jsonrpc": "2.0", "id": 3, "method": "tools/call", "params": call}));
    assert_eq!(bridge.answer(&json!(3))["result"]["isError"], false);
    bridge.send(&json!([1]));
    let refused = bridge.next();
    assert!(refused.get("result").is_none(), "{refused}");

    // What was asked before the end is still answered.
    bridge.send(&json!({"jsonrpc": "2.0", "id": 4, "method": "ping"}));
    bridge.input = None;
    assert_eq!(bridge.answer(&json!(4))["result"], json!({}));
    let status = eventually("the end of the bridge", || {
        bridge.child.try_wait().expect("status")
    });
    assert!(status.success(), "{status}");
    drop(server);
}

#[test]
fn a_server_that_cannot_be_reached_is_an_error_per_request() {
    let directory = tempfile::tempdir().expect("directory");
    let data = directory.path().join("data");
    // Nobody listens on the port of the discard service.
    let mut bridge = Bridge::start(&data, &[("FORNAX_URL", "http://127.0.0.1:9")]);
    for id in 0..2 {
        bridge.send(&modern(id, "tools/list", json!({})));
        let answer = bridge.answer(&json!(id));
        assert_eq!(answer["error"]["code"], -32603, "{answer}");
        let reason = answer["error"]["message"].as_str().expect("text");
        assert!(reason.contains("could not reach"), "{reason}");
    }
}

#[test]
fn a_caller_that_hangs_up_ends_its_call() {
    let directory = tempfile::tempdir().expect("directory");
    let server = Server::start(&directory.path().join("data"), &[]);
    let arguments = json!({"model": "fornax-nano", "prompt": "Speak, I charge you, speak"});
    let call = json!({"name": "generate", "arguments": arguments});
    let body = modern(1, "tools/call", call).to_string();
    let cancelled = || {
        let metrics = server.get("/metrics", &server.key).body;
        metrics.lines().any(|line| {
            line.starts_with("fornax_requests_total") && line.contains("outcome=\"cancelled\"")
        })
    };
    assert!(!cancelled());
    // A toy model may have answered before we hang up; some time it has not.
    eventually("a call that is cancelled", || {
        let mut connection = TcpStream::connect(&server.address).expect("connect");
        write!(
            connection,
            "POST /mcp HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\n\
             accept: application/json, text/event-stream\r\nmcp-protocol-version: 2026-07-28\r\n\
             mcp-method: tools/call\r\nmcp-name: generate\r\ncontent-length: {}\r\n\r\n{body}",
            server.address,
            server.key,
            body.len()
        )
        .expect("written");
        std::thread::sleep(Duration::from_millis(100));
        drop(connection);
        std::thread::sleep(Duration::from_millis(100));
        cancelled().then_some(())
    });
}
