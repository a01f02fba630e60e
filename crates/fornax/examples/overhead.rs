//! What the HTTP path costs: the same one-token completion, asked through `POST /v1/completions` and asked of the runner
//! directly over its Unix socket, in turns, against a server that is already running.
//!
//! `cargo run --release --example overhead -- http://127.0.0.1:8080 KEY RUNNER.sock [REQUESTS]` prints one JSON object.
#![expect(clippy::print_stdout, reason = "a measuring tool prints its result")]

use std::time::{Duration, Instant};

use anyhow::Context as _;
use inference::runner::protocol::runner_client::RunnerClient;
use inference::runner::protocol::{GenerateRequest, Sampling, TokenIds, generate_request::Prompt};
use tonic::transport::{Channel, Endpoint};

const PROMPT: [u32; 8] = [300, 301, 302, 303, 304, 305, 306, 307];

async fn connect(socket: String) -> anyhow::Result<RunnerClient<Channel>> {
    let channel = Endpoint::try_from("http://runner")?
        .connect_with_connector(tower::service_fn(move |_| {
            let socket = socket.clone();
            async move {
                Ok::<_, std::io::Error>(hyper_util::rt::TokioIo::new(
                    tokio::net::UnixStream::connect(socket).await?,
                ))
            }
        }))
        .await?;
    Ok(RunnerClient::new(channel))
}

async fn directly(client: &mut RunnerClient<Channel>) -> anyhow::Result<Duration> {
    let request = GenerateRequest {
        prompt: Some(Prompt::Tokens(TokenIds {
            ids: PROMPT.to_vec(),
        })),
        tokens_max: Some(1),
        ignore_end: true,
        class: "interactive".into(),
        tenant: "overhead".into(),
        sampling: Some(Sampling {
            temperature: Some(0.0),
            ..Sampling::default()
        }),
        ..GenerateRequest::default()
    };
    let began = Instant::now();
    let mut events = client.generate(request).await?.into_inner();
    while events.message().await?.is_some() {}
    Ok(began.elapsed())
}

async fn over_http(client: &reqwest::Client, url: &str, key: &str) -> anyhow::Result<Duration> {
    let body = serde_json::json!({"model": "fornax-nano", "prompt": PROMPT, "max_tokens": 1, "temperature": 0, "ignore_eos": true});
    let began = Instant::now();
    let reply = client
        .post(format!("{url}/v1/completions"))
        .bearer_auth(key)
        .body(body.to_string())
        .header("content-type", "application/json");
    reply.send().await?.error_for_status()?.bytes().await?;
    Ok(began.elapsed())
}

fn microseconds(samples: &mut [Duration], share: f64) -> f64 {
    samples.sort_unstable();
    let index = ((samples.len() - 1) as f64 * share) as usize;
    (samples[index].as_nanos() as f64 / 1e3).round()
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, key, socket, rest @ ..] = &arguments[..] else {
        anyhow::bail!("usage: overhead URL KEY RUNNER.sock [REQUESTS]");
    };
    let requests: usize = rest
        .first()
        .map_or(Ok(2000), |text| text.parse())
        .context("REQUESTS")?;
    let _ = rustls::crypto::ring::default_provider().install_default();
    let http = reqwest::Client::new();
    over_http(&http, url, key).await?;
    let mut runner = connect(socket.clone()).await?;
    let (mut direct, mut through) = (Vec::new(), Vec::new());
    for _ in 0..requests {
        direct.push(directly(&mut runner).await?);
        through.push(over_http(&http, url, key).await?);
    }
    let (runner_p50, http_p50) = (
        microseconds(&mut direct, 0.5),
        microseconds(&mut through, 0.5),
    );
    println!(
        "{}",
        serde_json::json!({
            "requests": requests, "runner_p50_us": runner_p50, "runner_p99_us": microseconds(&mut direct, 0.99),
            "http_p50_us": http_p50, "http_p99_us": microseconds(&mut through, 0.99), "added_p50_us": http_p50 - runner_p50,
        })
    );
    Ok(())
}
