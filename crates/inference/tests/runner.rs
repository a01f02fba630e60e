//! A runner end to end: the real engine and the shipped model behind a real Unix socket.
//!
//! Answers are compared by log-probabilities: a batch of several sequences takes other matrix kernels than a lone one,
//! so two runs may differ in the last digits, and where two tokens are nearly equally likely, in the token.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use inference::runner::protocol::generate_event::Event;
use inference::runner::protocol::generate_request::Prompt;
use inference::runner::protocol::runner_client::RunnerClient;
use inference::runner::protocol::{self as wire, load_event};
use inference::runner::server::{RunnerArguments, serve};
use inference::runner::{RunnerError, RunnerErrorKind};
use tokio::net::UnixStream;
use tokio::task::JoinHandle;
use tonic::transport::{Channel, Endpoint};

/// Largest difference of two log-probabilities of the same token at the same place. The shipped model's logits lie
/// within ±30 and its activations are rounded to 8 bits on the way, so one logit moves by some hundredths.
const TOLERANCE: f32 = 0.1;

struct Running {
    client: RunnerClient<Channel>,
    served: JoinHandle<()>,
    socket: PathBuf,
    _directory: tempfile::TempDir,
}

fn model() -> PathBuf {
    PathBuf::from(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../models/fornax-nano/fornax-nano.gguf"
    ))
}

/// Starts a runner for a file and connects to it.
async fn start(model: &Path) -> Running {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let socket = directory.path().join("runner.sock");
    let arguments = RunnerArguments {
        model: model.to_owned(),
        socket: socket.clone(),
        name: "nano".to_owned(),
        parent_pid: None,
    };
    let served =
        tokio::spawn(async move { serve(&arguments).await.expect("the socket is served") });
    while !socket.exists() {
        tokio::task::yield_now().await;
    }
    let path = socket.clone();
    let connector = tower::service_fn(move |_| {
        let path = path.clone();
        async move { UnixStream::connect(path).await.map(TokioIo::new) }
    });
    let channel = Endpoint::from_static("http://runner")
        .connect_with_connector(connector)
        .await
        .expect("the runner answers");
    Running {
        client: RunnerClient::new(channel),
        served,
        socket,
        _directory: directory,
    }
}

/// Loads with a small cache; the facts, or why not.
async fn load(running: &mut Running) -> Result<wire::ModelFacts, RunnerError> {
    let request = wire::LoadRequest {
        cache_tokens: 2048,
        sequences_max: 8,
        threads: 2,
        ..wire::LoadRequest::default()
    };
    let mut events = running.client.load(request).await?.into_inner();
    let mut progress = 0.0;
    while let Some(event) = events.message().await? {
        match event.event.expect("an event") {
            load_event::Event::Progress(fraction) => {
                assert!((progress..=1.0).contains(&fraction));
                progress = fraction;
            }
            load_event::Event::Ready(facts) => return Ok(facts),
            load_event::Event::Failed(failure) => return Err(failure.into()),
        }
    }
    panic!("the load stream ended without an outcome");
}

async fn loaded() -> (Running, wire::ModelFacts) {
    let mut running = start(&model()).await;
    let facts = load(&mut running).await.expect("the model loads");
    (running, facts)
}

fn request(prompt: &str, tokens_max: u32) -> wire::GenerateRequest {
    wire::GenerateRequest {
        prompt: Some(Prompt::Text(prompt.to_owned())),
        add_special: true,
        tenant: "acme".to_owned(),
        tokens_max: Some(tokens_max),
        logprobs: Some(2),
        ignore_end: true,
        sampling: Some(wire::Sampling {
            temperature: Some(0.0),
            ..wire::Sampling::default()
        }),
        ..wire::GenerateRequest::default()
    }
}

#[derive(Debug, Default)]
struct Answer {
    text: String,
    accepted: wire::Accepted,
    finished: wire::Finished,
    logprobs: Vec<wire::TokenLogprob>,
}

async fn generate(
    client: &RunnerClient<Channel>,
    request: wire::GenerateRequest,
) -> Result<Answer, RunnerError> {
    let mut events = client.clone().generate(request).await?.into_inner();
    let mut answer = Answer::default();
    while let Some(event) = events.message().await? {
        answer.logprobs.extend(event.logprobs);
        match event.event.expect("an event") {
            Event::Accepted(accepted) => answer.accepted = accepted,
            Event::Text(text) => answer.text.push_str(&text),
            Event::Finished(finished) => answer.finished = finished,
            Event::Failed(failure) => return Err(failure.into()),
        }
    }
    Ok(answer)
}

/// The same tokens with nearly the same log-probabilities, up to a place where two tokens were nearly as likely.
fn assert_same(left: &Answer, right: &Answer) {
    assert_eq!(left.logprobs.len(), right.logprobs.len());
    for (index, (left, right)) in left.logprobs.iter().zip(&right.logprobs).enumerate() {
        if left.token != right.token {
            let gap = left.top[0].logprob - left.top[1].logprob;
            assert!(
                gap.abs() <= TOLERANCE,
                "token {index} differs, and it was no tie: {gap}"
            );
            return;
        }
        let difference = (left.logprob - right.logprob).abs();
        assert!(difference <= TOLERANCE, "token {index}: {difference}");
    }
    assert_eq!(left.text, right.text);
}

const PROMPTS: [&str; 6] = [
    "To be, or not to be, that is the question:",
    "Now is the winter of our discontent",
    "O Romeo, Romeo! wherefore art thou Romeo?",
    "Friends, Romans, countrymen, lend me your ears;",
    "All the world's a stage, and all the men and women",
    "ROMEO:",
];

#[tokio::test(flavor = "multi_thread")]
async fn a_model_is_loaded_served_and_unloaded() {
    let (mut running, facts) = loaded().await;
    let mode = std::fs::metadata(&running.socket)
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600, "nobody else speaks to the runner");
    assert!(facts.generates && facts.vocabulary > 0 && facts.cache_tokens >= 2048);
    assert!(!facts.system_info.is_empty() && facts.weights_bytes > 0);

    let first = generate(&running.client, request(PROMPTS[0], 24))
        .await
        .unwrap();
    assert_eq!(
        (first.finished.reason.as_str(), first.finished.output_tokens),
        ("length", 24)
    );
    assert_eq!(first.accepted.cached_tokens, 0);
    let again = generate(&running.client, request(PROMPTS[0], 24))
        .await
        .unwrap();
    assert_eq!(
        again.accepted.cached_tokens,
        first.accepted.prompt_tokens - 1
    );
    assert_same(&first, &again);
    let mut other = request(PROMPTS[0], 24);
    other.tenant = "other".to_owned();
    let other = generate(&running.client, other).await.unwrap();
    assert_eq!(other.accepted.cached_tokens, 0, "tenants share nothing");
    assert_same(&first, &other);

    let tokens = wire::TokenizeRequest {
        text: PROMPTS[1].to_owned(),
        ..wire::TokenizeRequest::default()
    };
    let ids = running
        .client
        .tokenize(tokens)
        .await
        .unwrap()
        .into_inner()
        .ids;
    let request = wire::DetokenizeRequest {
        ids,
        special: false,
    };
    let text = running
        .client
        .detokenize(request)
        .await
        .unwrap()
        .into_inner()
        .text;
    assert_eq!(String::from_utf8(text).unwrap().trim_start(), PROMPTS[1]);

    let stats = running
        .client
        .stats(wire::StatsRequest {})
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        (stats.running, stats.waiting, stats.output_tokens),
        (0, 0, 72)
    );
    assert!(stats.memory_rss_bytes > 0 && stats.busy_us > 0);

    let unload = wire::UnloadRequest { deadline_ms: 1000 };
    running.client.unload(unload).await.unwrap();
    running.served.await.unwrap();
    assert!(!running.socket.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_in_one_batch_get_the_answers_they_get_alone() {
    let (running, _) = loaded().await;
    let mut alone = Vec::new();
    for prompt in PROMPTS {
        alone.push(
            generate(&running.client, request(prompt, 32))
                .await
                .unwrap(),
        );
    }
    // Another salt, so that nothing computed alone is taken from the cache.
    let together = PROMPTS.map(|prompt| {
        let mut request = request(prompt, 32);
        request.cache_salt = "together".to_owned();
        let client = running.client.clone();
        tokio::spawn(async move { generate(&client, request).await.unwrap() })
    });
    for (alone, together) in alone.iter().zip(together) {
        let together = together.await.unwrap();
        assert_eq!(together.accepted.cached_tokens, 0);
        assert_same(alone, &together);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_stream_frees_its_place() {
    let (mut running, facts) = loaded().await;
    let long = request(PROMPTS[2], facts.context_tokens);
    let mut events = running.client.generate(long).await.unwrap().into_inner();
    while !matches!(
        events.message().await.unwrap().unwrap().event,
        Some(Event::Text(_))
    ) {}
    drop(events);
    let freed = async {
        loop {
            let stats = running
                .client
                .stats(wire::StatsRequest {})
                .await
                .unwrap()
                .into_inner();
            if stats.running == 0 {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), freed)
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn outputs_follow_their_constraint() {
    let (running, _) = loaded().await;
    let constrained = |grammar| wire::GenerateRequest {
        constraint: Some(wire::Constraint {
            grammar: Some(grammar),
        }),
        ignore_end: false,
        ..request(PROMPTS[3], 64)
    };
    let regex = constrained(wire::constraint::Grammar::Regex(
        "(yes|no), my lord".to_owned(),
    ));
    let answer = generate(&running.client, regex).await.unwrap();
    assert!(
        ["yes, my lord", "no, my lord"].contains(&answer.text.as_str()),
        "{}",
        answer.text
    );
    assert_eq!(answer.finished.reason, "stop");
    let broken = constrained(wire::constraint::Grammar::JsonSchema("{".to_owned()));
    let error = generate(&running.client, broken).await.unwrap_err();
    assert_eq!(
        (error.kind, error.field.as_deref()),
        (RunnerErrorKind::Invalid, Some("constraint"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_say_what_to_do() {
    let (mut running, facts) = loaded().await;
    let words = "word ".repeat(facts.context_tokens as usize + 10);
    let error = generate(&running.client, request(&words, 5))
        .await
        .unwrap_err();
    let RunnerErrorKind::ContextExceeded { prompt, limit } = error.kind else {
        panic!("{error:?}");
    };
    assert!(prompt > limit && limit == u64::from(facts.context_tokens) - 1);
    let mut hot = request(PROMPTS[0], 5);
    hot.sampling = Some(wire::Sampling {
        temperature: Some(-1.0),
        ..wire::Sampling::default()
    });
    let error = generate(&running.client, hot).await.unwrap_err();
    assert_eq!(error.kind, RunnerErrorKind::Invalid);
    let rerank = wire::RerankRequest {
        query: "who".to_owned(),
        documents: vec!["me".to_owned()],
        ..wire::RerankRequest::default()
    };
    let status = running.client.rerank(rerank).await.unwrap_err();
    assert_eq!(RunnerError::from(status).kind, RunnerErrorKind::Unsupported);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_no_model_is_refused_and_the_runner_lives() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("notes.txt");
    for (content, kind) in [
        (&b"not a model"[..], RunnerErrorKind::Unsupported),
        (b"GGUF", RunnerErrorKind::Load { retry_after: None }),
    ] {
        platform::files::write_atomic(&path, content, 0o600).unwrap();
        let mut running = start(&path).await;
        let error = load(&mut running).await.unwrap_err();
        assert_eq!(error.kind, kind, "{error}");
        assert!(generate(&running.client, request("hi", 1)).await.is_err());
        let unload = wire::UnloadRequest { deadline_ms: 0 };
        running.client.unload(unload).await.unwrap();
        running.served.await.unwrap();
    }
}
