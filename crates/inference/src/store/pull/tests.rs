//! Pulls against small servers of our own that cut, change, lie and redirect.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::files::gguf::tests::Sample;
use crate::store::ModelStore;

/// One request as a server saw it.
#[derive(Debug, Clone)]
struct Seen {
    path: String,
    headers: HashMap<String, String>,
}

/// What a server answers.
#[derive(Clone)]
struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    /// The connection ends after so many bytes of the body.
    cut_after: Option<usize>,
}

impl Reply {
    fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: body.into(),
            cut_after: None,
        }
    }

    fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    fn cut(mut self, after: usize) -> Self {
        self.cut_after = Some(after);
        self
    }
}

type Log = Arc<Mutex<Vec<Seen>>>;

/// Starts a server on this machine; `answer` gets the request and its number. Ends with the test's runtime.
async fn serve(answer: impl Fn(&Seen, usize) -> Reply + Send + Sync + 'static) -> (String, Log) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let address = format!("http://{}", listener.local_addr().expect("address"));
    let log = Log::default();
    let seen_by_test = log.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let Ok(byte) = stream.read_u8().await else {
                    break;
                };
                head.push(byte);
            }
            let head = String::from_utf8_lossy(&head);
            let mut lines = head.lines();
            let path = lines
                .next()
                .and_then(|line| line.split(' ').nth(1))
                .unwrap_or("")
                .to_owned();
            let headers = lines
                .filter_map(|line| line.split_once(": "))
                .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
                .collect();
            let request = Seen { path, headers };
            let number = {
                let mut log = log.lock().expect("log");
                log.push(request.clone());
                log.len() - 1
            };
            let reply = answer(&request, number);
            let mut text = format!("HTTP/1.1 {} Reason\r\nconnection: close\r\n", reply.status);
            text.push_str(&format!("content-length: {}\r\n", reply.body.len()));
            for (name, value) in &reply.headers {
                text.push_str(&format!("{name}: {value}\r\n"));
            }
            text.push_str("\r\n");
            let body = &reply.body[..reply.cut_after.unwrap_or(reply.body.len())];
            let _ = stream.write_all(text.as_bytes()).await;
            let _ = stream.write_all(body).await;
            let _ = stream.shutdown().await;
        }
    });
    (address, seen_by_test)
}

/// Answers `body` or the asked range of it, as a good server does.
fn ranged(body: &[u8], etag: &str, request: &Seen) -> Reply {
    let range = request.headers.get("range").and_then(|range| {
        range
            .strip_prefix("bytes=")?
            .strip_suffix('-')?
            .parse::<usize>()
            .ok()
    });
    let still_same = request
        .headers
        .get("if-range")
        .is_none_or(|asked| asked == etag);
    match range.filter(|_| still_same) {
        Some(start) if start < body.len() => {
            Reply::new(206, &body[start..]).header("etag", etag).header(
                "content-range",
                format!("bytes {start}-{}/{}", body.len() - 1, body.len()),
            )
        }
        Some(_) => Reply::new(416, ""),
        None => Reply::new(200, body).header("etag", etag),
    }
}

struct Scratch {
    _directory: tempfile::TempDir,
    store: ModelStore,
}

fn scratch() -> Scratch {
    // Another test may have installed it already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let directory = tempfile::tempdir().expect("directory");
    let store = ModelStore::open(&directory.path().join("models")).expect("store");
    Scratch {
        _directory: directory,
        store,
    }
}

impl Scratch {
    fn leftovers(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.store.blobs()).expect("blobs");
        let names = entries.map(|entry| {
            entry
                .expect("entry")
                .file_name()
                .to_string_lossy()
                .into_owned()
        });
        names.filter(|name| !name.starts_with("sha256-")).collect()
    }
}

/// A model with enough data to be cut in the middle.
fn model() -> Vec<u8> {
    Sample::llama()
        .tensor("big", &[1024, 64], 0, 1024 * 64 * 4)
        .bytes()
}

fn options(hub: &str) -> PullOptions {
    PullOptions {
        hub_url: hub.to_owned(),
        retry_delay: Duration::from_millis(1),
        attempts_max: 3,
        ..PullOptions::default()
    }
}

fn url(address: &str) -> Source {
    Source::parse(&format!("{address}/model.gguf")).expect("source")
}

async fn pull_quietly(
    store: &ModelStore,
    source: &Source,
    options: &PullOptions,
) -> Result<Manifest, StoreError> {
    pull(store, source, options, |_| {}).await
}

/// A hub with one repository, whose weights lie on another host.
fn hub_listing(body: &[u8]) -> String {
    let digest = platform::files::sha256_bytes(body);
    format!(
        r#"{{"id":"o/r","sha":"{}","siblings":[{{"rfilename":"README.md","size":3}},
        {{"rfilename":"sub/r-Q4_K_M.gguf","size":{1},"lfs":{{"sha256":"{digest}","size":{1}}}}}]}}"#,
        "c0ffee".repeat(6),
        body.len(),
    )
}

#[tokio::test]
async fn a_hub_repository_is_listed_pinned_redirected_and_verified_and_the_token_stays_home() {
    let scratch = scratch();
    let body = model();
    let weights = body.clone();
    let (storage, storage_log) = serve(move |request, _| ranged(&weights, "\"e\"", request)).await;
    let listing = hub_listing(&body);
    let (hub, hub_log) = serve(
        move |request, _| match request.path.starts_with("/base/api/") {
            true => Reply::new(200, listing.clone()),
            false => Reply::new(302, "").header("location", format!("{storage}/signed?key=1")),
        },
    )
    .await;
    let options = PullOptions {
        token: Some(Secret::new("hub-token")),
        ..options(&format!("{hub}/base/"))
    };
    let mut phases = Vec::new();
    let source = Source::parse("hf:o/r").expect("source");
    let manifest = pull(&scratch.store, &source, &options, |step| {
        if phases.last() != Some(&step.phase) {
            phases.push(step.phase);
        }
    })
    .await
    .expect("pull");
    use PullPhase::{Done, Downloading, Resolving, Verifying};
    assert_eq!(phases, [Resolving, Downloading, Verifying, Done]);
    assert_eq!(manifest.name, "o/r");
    let commit = "c0ffee".repeat(6);
    assert_eq!(
        manifest.origin,
        Origin::Hub {
            hub_url: format!("{hub}/base/"),
            repository: "o/r".into(),
            revision: commit.clone(),
            file: "sub/r-Q4_K_M.gguf".into(),
        }
    );
    let hub_log = hub_log.lock().expect("log");
    let paths: Vec<&str> = hub_log.iter().map(|seen| seen.path.as_str()).collect();
    let file = format!("/base/o/r/resolve/{commit}/sub/r-Q4_K_M.gguf");
    assert_eq!(paths, ["/base/api/models/o/r?blobs=true", &file]);
    assert!(
        hub_log
            .iter()
            .all(|seen| seen.headers["authorization"] == "Bearer hub-token")
    );
    let storage_log = storage_log.lock().expect("log");
    assert_eq!(storage_log.len(), 1);
    assert!(
        !storage_log[0].headers.contains_key("authorization"),
        "the token left the hub"
    );
    scratch.store.verify("o/r", &mut |_, _| {}).expect("whole");
    assert!(scratch.leftovers().is_empty(), "{:?}", scratch.leftovers());
}

#[tokio::test]
async fn the_token_is_not_sent_to_an_address_that_is_not_the_hub() {
    let scratch = scratch();
    let body = model();
    let (address, log) = serve(move |request, _| ranged(&body, "\"e\"", request)).await;
    let options = PullOptions {
        token: Some(Secret::new("hub-token")),
        ..options("https://hub.invalid")
    };
    pull_quietly(&scratch.store, &url(&address), &options)
        .await
        .expect("pull");
    assert!(
        !log.lock().expect("log")[0]
            .headers
            .contains_key("authorization")
    );
}

#[tokio::test]
async fn a_cut_connection_is_continued_where_it_stopped() {
    let scratch = scratch();
    let body = model();
    let served = body.clone();
    let (address, log) = serve(move |request, number| {
        let reply = ranged(&served, "\"one\"", request);
        if number < 2 { reply.cut(50_000) } else { reply }
    })
    .await;
    let manifest = pull_quietly(
        &scratch.store,
        &url(&address),
        &options("http://127.0.0.1:1"),
    )
    .await
    .expect("pull");
    assert_eq!(
        manifest.digest,
        format!("sha256:{}", platform::files::sha256_bytes(&body))
    );
    let log = log.lock().expect("log");
    let ranges: Vec<_> = log
        .iter()
        .map(|seen| seen.headers.get("range").cloned())
        .collect();
    assert_eq!(ranges[0], None);
    assert_eq!(ranges.len(), 3);
    let start = |range: &Option<String>| -> usize {
        let range = range.as_deref().expect("range");
        range
            .trim_start_matches("bytes=")
            .trim_end_matches('-')
            .parse()
            .expect("start")
    };
    // A cut connection may lose the last bytes on their way, but not what was already written.
    assert!((1..=50_000).contains(&start(&ranges[1])));
    assert!(start(&ranges[2]) > start(&ranges[1]));
    assert_eq!(log[1].headers["if-range"], "\"one\"");
}

#[tokio::test]
async fn a_later_pull_continues_what_an_earlier_one_left() {
    let scratch = scratch();
    let body = model();
    let served = body.clone();
    let (address, log) = serve(move |request, number| match number {
        0 => ranged(&served, "\"e\"", request).cut(70_000),
        1 => Reply::new(403, ""),
        _ => ranged(&served, "\"e\"", request),
    })
    .await;
    let options = options("http://127.0.0.1:1");
    match pull_quietly(&scratch.store, &url(&address), &options).await {
        Err(StoreError::Refused { status: 403, .. }) => {}
        other => panic!("{other:?}"),
    }
    assert_eq!(
        scratch.leftovers().len(),
        2,
        "the bytes and what they belong to stay"
    );
    pull_quietly(&scratch.store, &url(&address), &options)
        .await
        .expect("second pull");
    assert!(log.lock().expect("log")[2].headers.contains_key("range"));
    assert!(scratch.leftovers().is_empty());
}

#[tokio::test]
async fn a_file_that_changed_meanwhile_is_taken_from_its_start() {
    let scratch = scratch();
    let old = model();
    let new = Sample::llama()
        .tensor("bigger", &[2048, 64], 0, 2048 * 64 * 4)
        .bytes();
    let expected = platform::files::sha256_bytes(&new);
    let (address, log) = serve(move |request, number| match number {
        0 => ranged(&old, "\"old\"", request).cut(60_000),
        _ => ranged(&new, "\"new\"", request),
    })
    .await;
    let manifest = pull_quietly(
        &scratch.store,
        &url(&address),
        &options("http://127.0.0.1:1"),
    )
    .await
    .expect("pull");
    assert_eq!(manifest.digest, format!("sha256:{expected}"));
    assert_eq!(log.lock().expect("log")[1].headers["if-range"], "\"old\"");
}

#[tokio::test]
async fn a_server_without_ranges_or_validators_works_too() {
    let scratch = scratch();
    let body = model();
    let expected = platform::files::sha256_bytes(&body);
    let (address, log) = serve(move |_, number| {
        let reply = Reply::new(200, body.clone());
        if number == 0 {
            reply.cut(40_000)
        } else {
            reply
        }
    })
    .await;
    let manifest = pull_quietly(
        &scratch.store,
        &url(&address),
        &options("http://127.0.0.1:1"),
    )
    .await
    .expect("pull");
    assert_eq!(manifest.digest, format!("sha256:{expected}"));
    // Without a validator or a digest nobody knows whether the bytes still fit, so none are kept.
    assert!(!log.lock().expect("log")[1].headers.contains_key("range"));
}

#[tokio::test]
async fn bytes_with_another_digest_are_refused_and_thrown_away() {
    let scratch = scratch();
    let body = model();
    let (address, _) = serve(move |request, _| ranged(&body, "\"e\"", request)).await;
    let options = PullOptions {
        sha256: Some("ab".repeat(32)),
        ..options("http://127.0.0.1:1")
    };
    match pull_quietly(&scratch.store, &url(&address), &options).await {
        Err(StoreError::HashMismatch { expected, .. }) => assert_eq!(expected, "ab".repeat(32)),
        other => panic!("{other:?}"),
    }
    assert!(scratch.leftovers().is_empty() && scratch.store.list().expect("list").is_empty());
}

#[tokio::test]
async fn the_digest_that_a_hub_promises_on_the_way_is_checked() {
    let scratch = scratch();
    let body = model();
    let (hub, _) = serve(move |request, _| {
        ranged(&body, "\"e\"", request).header("x-linked-etag", format!("\"{}\"", "cd".repeat(32)))
    })
    .await;
    match pull_quietly(&scratch.store, &url(&hub), &options(&hub)).await {
        Err(StoreError::HashMismatch { expected, .. }) => assert_eq!(expected, "cd".repeat(32)),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_is_no_model_never_becomes_one() {
    let scratch = scratch();
    let (address, _) = serve(|_, _| Reply::new(200, "<!DOCTYPE html>".repeat(100))).await;
    match pull_quietly(
        &scratch.store,
        &url(&address),
        &options("http://127.0.0.1:1"),
    )
    .await
    {
        Err(StoreError::File { error, .. }) => {
            assert!(error.message.contains("web page"), "{error}")
        }
        other => panic!("{other:?}"),
    }
    assert!(scratch.leftovers().is_empty());
}

#[tokio::test]
async fn refusals_say_what_to_do_and_transient_ones_are_repeated() {
    let scratch = scratch();
    for (status, hint, requests) in [
        (404, "no such repository", 1),
        (401, "give a token", 1),
        (403, "give a token", 1),
        (503, "the server failed", 3),
        (429, "too many requests", 3),
    ] {
        let (hub, log) = serve(move |_, _| Reply::new(status, "").header("retry-after", "0")).await;
        let source = Source::parse("hf:o/r").expect("source");
        let error = pull_quietly(&scratch.store, &source, &options(&hub))
            .await
            .expect_err("refused");
        assert!(error.to_string().contains(hint), "{error}");
        assert!(matches!(error, StoreError::Refused { status: told, .. } if told == status));
        assert_eq!(log.lock().expect("log").len(), requests, "{status}");
    }
    let (hub, _) = serve(|_, _| Reply::new(200, r#"{"siblings":[{"rfilename":"a.bin"}]}"#)).await;
    let source = Source::parse("hf:o/r:Q8_0").expect("source");
    let error = pull_quietly(&scratch.store, &source, &options(&hub))
        .await
        .expect_err("no file");
    assert!(matches!(error, StoreError::NoSuchFile { .. }), "{error}");
    let closed = pull_quietly(&scratch.store, &source, &options("http://127.0.0.1:1")).await;
    assert!(
        matches!(closed, Err(StoreError::Network { .. })),
        "{closed:?}"
    );
}

#[tokio::test]
async fn offline_sends_nothing_and_still_takes_files() {
    let scratch = scratch();
    let (address, log) = serve(|_, _| Reply::new(200, model())).await;
    let offline = PullOptions {
        offline: true,
        ..options(&address)
    };
    for source in [Source::parse("hf:o/r").expect("hub"), url(&address)] {
        let error = pull_quietly(&scratch.store, &source, &offline)
            .await
            .expect_err("offline");
        assert!(matches!(error, StoreError::Offline { .. }), "{error}");
    }
    assert!(log.lock().expect("log").is_empty());

    let path = scratch.store.directory().join("Tiny Model.gguf");
    platform::files::write_atomic(&path, &model(), 0o644).expect("write");
    let file = Source::parse(&path.display().to_string()).expect("path");
    let digest = platform::files::sha256_bytes(&model());
    let right = PullOptions {
        sha256: Some(digest.clone()),
        ..offline.clone()
    };
    let manifest = pull_quietly(&scratch.store, &file, &right)
        .await
        .expect("import");
    assert_eq!(
        (manifest.name.as_str(), manifest.digest),
        ("Tiny-Model", format!("sha256:{digest}"))
    );
    let wrong = PullOptions {
        sha256: Some("0".repeat(64)),
        ..offline
    };
    let refused = pull_quietly(&scratch.store, &file, &wrong).await;
    assert!(
        matches!(refused, Err(StoreError::HashMismatch { .. })),
        "{refused:?}"
    );
}

#[tokio::test]
async fn plain_http_beyond_this_machine_and_endless_redirects_are_refused() {
    let scratch = scratch();
    let far = Source::parse("http://models.invalid/m.gguf").expect("source");
    let error = pull_quietly(&scratch.store, &far, &options("http://127.0.0.1:1"))
        .await
        .expect_err("http");
    assert!(error.to_string().contains("use https"), "{error}");

    let (away, _) =
        serve(|_, _| Reply::new(302, "").header("location", "http://models.invalid/m")).await;
    let error = pull_quietly(&scratch.store, &url(&away), &options("http://127.0.0.1:1"))
        .await
        .expect_err("away");
    assert!(error.to_string().contains("use https"), "{error}");

    let (round, log) = serve(|_, _| Reply::new(302, "").header("location", "/again")).await;
    let error = pull_quietly(&scratch.store, &url(&round), &options("http://127.0.0.1:1"))
        .await
        .expect_err("round");
    assert!(error.to_string().contains("redirects"), "{error}");
    assert_eq!(log.lock().expect("log").len(), 9);
}

#[tokio::test]
async fn files_beyond_the_limit_are_refused_before_their_bytes() {
    let scratch = scratch();
    let (address, _) = serve(|_, _| Reply::new(200, model())).await;
    let small = PullOptions {
        bytes_max: 1000,
        ..options("http://127.0.0.1:1")
    };
    let error = pull_quietly(&scratch.store, &url(&address), &small)
        .await
        .expect_err("large");
    assert!(
        matches!(error, StoreError::TooLarge { limit: 1000, .. }),
        "{error}"
    );
    assert!(scratch.leftovers().is_empty(), "{:?}", scratch.leftovers());
}

#[tokio::test]
async fn two_pulls_of_one_address_do_not_write_one_file() {
    let scratch = scratch();
    let (address, _) = serve(|_, _| Reply::new(200, model())).await;
    let (source, options) = (url(&address), options("http://127.0.0.1:1"));
    let mut inner = None;
    let first = pull(&scratch.store, &source, &options, |step| {
        if step.phase == PullPhase::Downloading && inner.is_none() {
            let (store, source, options) = (scratch.store.clone(), source.clone(), options.clone());
            let second = std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build();
                // Its own connection is never answered: the lock must refuse before that.
                runtime
                    .expect("runtime")
                    .block_on(pull(&store, &source, &options, |_| {}))
            });
            inner = Some(second.join().expect("second"));
        }
    })
    .await;
    first.expect("first");
    assert!(
        matches!(inner, Some(Err(StoreError::Busy { .. }))),
        "{inner:?}"
    );
}
