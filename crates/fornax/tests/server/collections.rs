//! Collections of the real server: what was acknowledged is there after `kill -9`, and the command line reaches it.

use std::path::Path;
use std::sync::Mutex;

use serde_json::{Value, json};

use super::harness::{Server, eventually, fornax, open};

/// Sends one request; `None` when the server went away in between.
fn ask(server: &Server, method: &str, path: &str, body: &Value) -> Option<Value> {
    let asking = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        open(&server.address, method, path, &server.key, Some(body)).read()
    }));
    let reply = asking.ok()?;
    (reply.status == 200).then(|| serde_json::from_str(&reply.body).ok())?
}

fn create(server: &Server) {
    let body = json!({"vectors": {"size": 4, "distance": "Dot"}});
    let made = ask(server, "PUT", "/collections/c", &body).expect("an answer");
    assert_eq!(made["result"], true);
}

fn upsert(server: &Server, id: u64) -> Option<()> {
    let body = json!({"points": [{"id": id, "vector": [id, 1, 2, 3], "payload": {"n": id}}]});
    let done = ask(server, "PUT", "/collections/c/points?wait=true", &body)?;
    (done["result"]["status"] == "completed").then_some(())
}

#[test]
fn what_was_acknowledged_survives_kill_nine() {
    let data = tempfile::tempdir().expect("directory");
    let data = data.path().join("data");
    let mut next = 1_000;
    for round in 0..3 {
        let server = Server::start(&data, &[]);
        if round == 0 {
            create(&server);
        }
        let acknowledged = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for writer in 0..4u64 {
                let (server, acknowledged) = (&server, &acknowledged);
                scope.spawn(move || {
                    let mut id = next + writer;
                    while upsert(server, id).is_some() {
                        acknowledged.lock().expect("lock").push(id);
                        id += 4;
                    }
                });
            }
            eventually("some writes", || {
                (acknowledged.lock().expect("lock").len() >= 40).then_some(())
            });
            server.signal("KILL");
        });
        drop(server);
        let acknowledged = acknowledged.into_inner().expect("lock");
        next = acknowledged.iter().max().expect("some") + 10;
        let server = Server::start(&data, &[]);
        for chunk in acknowledged.chunks(100) {
            let found = ask(
                &server,
                "POST",
                "/collections/c/points",
                &json!({"ids": chunk}),
            );
            let found = found.expect("an answer");
            let found = found["result"].as_array().expect("points");
            assert_eq!(found.len(), chunk.len(), "round {round}: writes are lost");
            for point in found {
                assert_eq!(point["payload"]["n"], point["id"]);
            }
        }
    }
}

fn run(data: &Path, arguments: &[&str]) -> (bool, String) {
    let output = fornax(data).args(arguments).output().expect("run");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let trouble = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.success(), text + &trouble)
}

#[test]
fn the_command_line_makes_shows_snapshots_and_deletes_collections() {
    let directory = tempfile::tempdir().expect("directory");
    let data = directory.path().join("data");
    let mut server = Server::start(&data, &[]);
    let run = |arguments: &[&str]| run(&data, arguments);
    let made = run(&[
        "collections",
        "create",
        "c",
        "--size",
        "4",
        "--distance",
        "dot",
        "--sparse",
        "bm25",
    ]);
    assert!(made.0, "{}", made.1);
    assert!(
        !run(&["collections", "create", "c", "--size", "4"]).0,
        "taken"
    );
    upsert(&server, 7).expect("stored");
    assert_eq!(run(&["collections", "list"]).1, "c\n");
    let shown = run(&["collections", "show", "c"]).1;
    assert!(shown.contains("bm25") && shown.contains("green"), "{shown}");
    let (_, name) = run(&["collections", "snapshot", "create", "c"]);
    let name = name.trim().to_owned();
    let file = directory.path().join("c.tar");
    let file = file.to_str().expect("text");
    let fetched = run(&[
        "collections",
        "snapshot",
        "download",
        "c",
        &name,
        "--out",
        file,
    ]);
    assert!(fetched.0, "{}", fetched.1);
    let sent = run(&["collections", "snapshot", "upload", "again", file]);
    assert!(sent.0, "{}", sent.1);
    assert_eq!(run(&["collections", "list"]).1, "again\nc\n");
    assert!(run(&["collections", "delete", "c"]).0);
    assert!(!run(&["collections", "delete", "c"]).0, "gone already");
    // A server that ends well has everything on disk, also what nobody waited for.
    let body = json!({"points": [{"id": 8, "vector": [8, 1, 2, 3]}]});
    ask(&server, "PUT", "/collections/again/points", &body).expect("stored");
    server.signal("TERM");
    assert!(server.wait().success());
    let server = Server::start(&data, &[]);
    let counted = ask(
        &server,
        "POST",
        "/collections/again/points/count",
        &json!({}),
    );
    assert_eq!(counted.expect("an answer")["result"]["count"], 2);
}
