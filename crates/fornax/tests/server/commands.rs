//! Commands without a server, and servers that must not start.

#![expect(clippy::disallowed_methods, reason = "a test writes throw-away files")]

use std::io::Write;
use std::process::{Output, Stdio};

use crate::harness::fornax;

fn run(arguments: &[&str]) -> (tempfile::TempDir, Output) {
    let directory = tempfile::tempdir().expect("directory");
    let output = fornax(&directory.path().join("data"))
        .args(arguments)
        .output()
        .expect("run");
    (directory, output)
}

fn refused(arguments: &[&str], code: i32, expected: &str) {
    let (_directory, output) = run(arguments);
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {message}");
    assert!(
        message.contains(expected),
        "{arguments:?}: {expected} in {message}"
    );
    assert_eq!(
        message
            .lines()
            .filter(|line| line.contains("panicked"))
            .count(),
        0,
        "{message}"
    );
}

#[test]
fn refusals_name_the_remedy_and_have_their_exit_codes() {
    refused(
        &["serve", "--bind", "0.0.0.0:0"],
        3,
        "--allow-insecure-bind",
    );
    refused(
        &["serve", "--set", "server.bnid=127.0.0.1:0"],
        3,
        "did you mean server.bind?",
    );
    refused(&["serve", "--log-level", "info,=,"], 3, "log filter");
    refused(
        &[
            "serve",
            "--tls-cert",
            "missing.pem",
            "--tls-key",
            "missing.pem",
            "--bind",
            "127.0.0.1:0",
        ],
        4,
        "missing.pem",
    );
    refused(&["list", "--set", "oops"], 2, "KEY=VALUE");
    refused(&["show", "nothing"], 4, "was not found");
    refused(&["run", "nothing", "Hello"], 4, "was not found");
    refused(&["pull", "hf:owner/repository", "--offline"], 8, "offline");
    refused(&["ps"], 6, "no server runs");
    refused(
        &["keys", "create", "a", "--scope", "root"],
        2,
        "must be one of",
    );
    refused(&["keys", "create", "a", "--expires", "soon"], 2, "30d");
}

#[test]
fn a_misspelt_variable_or_dot_env_line_is_an_error() {
    let directory = tempfile::tempdir().expect("directory");
    let data = directory.path().join("data");
    let output = fornax(&data)
        .arg("list")
        .env("FORNAX_SERVER__BNID", "x")
        .output()
        .expect("run");
    assert_eq!(output.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&output.stderr).contains("did you mean FORNAX_SERVER__BIND?"));

    std::fs::write(
        directory.path().join(".env"),
        "FORNAX_LOG__LEVEL=debug\nFORNAX_BIND=127.0.0.1:1\n",
    )
    .expect("write");
    let output = fornax(&data)
        .args(["config", "show"])
        .env("FORNAX_BIND", "127.0.0.1:2")
        .output()
        .expect("run");
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        shown.contains("bind = \"127.0.0.1:2\"") && shown.contains("# environment FORNAX_BIND"),
        "{shown}"
    );
    assert!(
        shown.contains("level = \"debug\"") && shown.contains("# .env FORNAX_LOG__LEVEL"),
        "{shown}"
    );
}

#[test]
fn keys_are_shown_once_and_hashed_at_rest() {
    let directory = tempfile::tempdir().expect("directory");
    let data = directory.path().join("data");
    let created = fornax(&data)
        .args(["keys", "create", "ci", "--expires", "30d"])
        .output()
        .expect("run");
    let key = String::from_utf8_lossy(&created.stdout).trim().to_owned();
    assert!(
        created.status.success() && key.starts_with("fx-") && !key.contains('\n'),
        "{key}"
    );
    let listed = fornax(&data)
        .args(["keys", "list", "--json"])
        .output()
        .expect("run");
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    assert!(
        listed.contains("\"ci\"") && listed.contains(&key[3..15]) && !listed.contains(&key[16..]),
        "{listed}"
    );
    for entry in std::fs::read_dir(&data).expect("data directory") {
        let path = entry.expect("entry").path();
        if path.is_file() {
            let bytes = std::fs::read(&path).expect("read");
            let secret = &key.as_bytes()[16..];
            assert!(
                !bytes.windows(secret.len()).any(|window| window == secret),
                "{}",
                path.display()
            );
        }
    }
    assert!(
        fornax(&data)
            .args(["keys", "revoke", "ci"])
            .status()
            .expect("run")
            .success()
    );
}

#[test]
fn a_model_answers_without_a_server() {
    let directory = tempfile::tempdir().expect("directory");
    let data = directory.path().join("data");
    let flags = ["--max-tokens", "8", "--temperature", "0", "--seed", "1"];
    let output = fornax(&data)
        .args(["run", "fornax-nano", "To be, or not"])
        .args(flags)
        .output()
        .expect("run");
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{message}");
    assert!(!output.stdout.trim_ascii().is_empty(), "{message}");

    // The same from a pipe, and the same again: greedy and seeded.
    let mut child = fornax(&data)
        .args(["run", "fornax-nano"])
        .args(flags)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("run");
    child
        .stdin
        .take()
        .expect("piped")
        .write_all(b"To be, or not")
        .expect("write");
    let piped = child.wait_with_output().expect("wait");
    assert_eq!(
        String::from_utf8_lossy(&piped.stdout),
        String::from_utf8_lossy(&output.stdout)
    );

    // Removed by the user: it does not come back by itself.
    assert!(
        fornax(&data)
            .args(["rm", "fornax-nano"])
            .status()
            .expect("run")
            .success()
    );
    let gone = fornax(&data)
        .args(["run", "fornax-nano", "Hello"])
        .output()
        .expect("run");
    assert_eq!(gone.status.code(), Some(4));
}

#[test]
fn doctor_reports_as_json_and_finds_an_open_directory() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().expect("directory");
    let data = directory.path().join("data");
    std::fs::create_dir(&data).expect("create");
    std::fs::set_permissions(&data, std::fs::Permissions::from_mode(0o755)).expect("chmod");
    let doctor = || {
        fornax(&data)
            .args(["doctor", "--json", "--set", "server.bind=127.0.0.1:0"])
            .output()
            .expect("run")
    };
    let output = doctor();
    assert_eq!(output.status.code(), Some(1));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(report["verdict"], "problem");
    assert!(
        report["checks"][0]["remedy"]
            .as_str()
            .is_some_and(|remedy| remedy.contains("chmod 700")),
        "{report}"
    );
    std::fs::set_permissions(&data, std::fs::Permissions::from_mode(0o700)).expect("chmod");
    assert_eq!(
        doctor().status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&doctor().stdout)
    );
}
