//! A child that speaks the runner protocol without a model.
//!
//! The "model file" is text with one directive per line: `load crash`, `load fail TEXT`, `load delay MILLISECONDS`,
//! `weights BYTES`, `stubborn` (ignores Unload and SIGTERM). The prompt's first word is a command: `crash`, `segfault`,
//! `kill` (after two words of output), `hang` (says nothing more), `freeze` (the whole process answers nothing more),
//! `spin` (the same, and computes), `slow` (a word every 20 ms, for ever), `refuse`, `short` (ends without
//! finishing); otherwise the prompt comes back word by word.
//!
//! A model file whose name ends in `.gguf` is served by the product's own runner instead.

use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use futures::Stream;
use inference::runner::protocol::generate_event::Event;
use inference::runner::protocol::generate_request::Prompt;
use inference::runner::protocol::runner_server::{Runner, RunnerServer};
use inference::runner::protocol::*;
use inference::runner::{RunnerError, RunnerErrorKind};
use tokio::sync::mpsc;
use tokio_stream::wrappers::{ReceiverStream, UnixListenerStream};
use tonic::{Request, Response, Status};

#[derive(Clone)]
struct Child {
    model: PathBuf,
    running: Arc<AtomicU32>,
    output_tokens: Arc<AtomicU64>,
    draining: Arc<AtomicBool>,
    stubborn: Arc<AtomicBool>,
}

/// Serves until unloaded.
pub fn main(arguments: &[String]) {
    let value = |name: &str| {
        let at = arguments.iter().position(|part| part == name);
        at.and_then(|at| arguments.get(at + 1)).cloned()
    };
    let (model, socket) = (value("--model"), value("--socket"));
    let model = PathBuf::from(model.expect("--model"));
    let socket = PathBuf::from(socket.expect("--socket"));
    if model
        .extension()
        .is_some_and(|extension| extension == "gguf")
    {
        let arguments = inference::runner::server::RunnerArguments {
            model,
            socket,
            name: value("--name").expect("--name"),
            parent_pid: None,
        };
        inference::runner::server::run(arguments).expect("serve");
        return;
    }
    platform::process::die_of_memory_faults();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("runtime");
    runtime.block_on(async {
        eprintln!(r#"{{"level":"INFO","fields":{{"message":"test runner starts"}}}}"#);
        let listener = tokio::net::UnixListener::bind(socket).expect("bind");
        let child = Child {
            model,
            running: Arc::default(),
            output_tokens: Arc::default(),
            draining: Arc::default(),
            stubborn: Arc::default(),
        };
        tonic::transport::Server::builder()
            .add_service(RunnerServer::new(child))
            .serve_with_incoming(UnixListenerStream::new(listener))
            .await
            .expect("serve");
    });
}

fn raise(signal: &str) -> ! {
    let script = format!("kill {signal} {}", std::process::id());
    let _ = std::process::Command::new("sh")
        .args(["-c", &script])
        .status();
    std::thread::sleep(Duration::from_secs(5));
    std::process::exit(99)
}

/// Counts a stream as running while it lives.
struct Running(Arc<AtomicU32>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

type Events<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

fn event(event: Event) -> GenerateEvent {
    GenerateEvent {
        choice: 0,
        event: Some(event),
        logprobs: Vec::new(),
    }
}

fn finished(output_tokens: u32) -> GenerateEvent {
    event(Event::Finished(Finished {
        reason: "stop".into(),
        output_tokens,
        ..Finished::default()
    }))
}

impl Child {
    async fn say(&self, events: &mpsc::Sender<Result<GenerateEvent, Status>>, word: &str) -> bool {
        self.output_tokens.fetch_add(1, Ordering::SeqCst);
        let text = event(Event::Text(format!("{word} ")));
        events.send(Ok(text)).await.is_ok()
    }

    async fn generate_into(
        self,
        prompt: String,
        events: mpsc::Sender<Result<GenerateEvent, Status>>,
    ) {
        let _running = Running(self.running.clone());
        let accepted = event(Event::Accepted(Accepted {
            prompt_tokens: prompt.split_whitespace().count() as u32,
            ..Accepted::default()
        }));
        let _ = events.send(Ok(accepted)).await;
        let command = prompt.split_whitespace().next().unwrap_or_default();
        match command {
            "crash" | "segfault" | "kill" => {
                self.say(&events, "one").await;
                self.say(&events, "two").await;
                // Let the words reach the parent.
                tokio::time::sleep(Duration::from_millis(20)).await;
                match command {
                    "crash" => {
                        eprintln!("TEST_ASSERT(n_tokens <= n_batch) failed");
                        std::process::abort()
                    }
                    "segfault" => raise("-s SEGV"),
                    _ => raise("-s KILL"),
                }
            }
            "hang" => events.closed().await,
            // The runtime has one thread: with it everything stands still.
            "freeze" | "spin" => {
                self.say(&events, "one").await;
                tokio::time::sleep(Duration::from_millis(20)).await;
                loop {
                    if command == "freeze" {
                        std::thread::sleep(Duration::from_secs(1));
                    }
                    std::hint::spin_loop();
                }
            }
            "slow" => {
                let mut number = 0u64;
                while self.say(&events, &number.to_string()).await && !self.must_end() {
                    number += 1;
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                let _ = events.send(Ok(finished(number as u32))).await;
            }
            "refuse" => {
                let mut error = RunnerError::new(RunnerErrorKind::Invalid, "no such sampling");
                error.field = Some("sampling".into());
                let _ = events
                    .send(Ok(event(Event::Failed(error.to_failure()))))
                    .await;
            }
            "short" => {}
            _ => {
                let mut count = 0;
                for word in prompt.split_whitespace() {
                    self.say(&events, word).await;
                    count += 1;
                }
                let _ = events.send(Ok(finished(count))).await;
            }
        }
    }

    async fn load_into(self, events: mpsc::Sender<Result<LoadEvent, Status>>) {
        let text = std::fs::read_to_string(&self.model).unwrap_or_default();
        let send = |load_event| {
            Ok(LoadEvent {
                event: Some(load_event),
            })
        };
        let mut facts = ModelFacts {
            context_tokens: 128,
            sequences_max: 4,
            generates: true,
            ..ModelFacts::default()
        };
        let mut failure = None;
        for line in text.lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            match words.as_slice() {
                ["load", "crash"] => {
                    eprintln!("TEST_ASSERT(tensor) failed while loading");
                    std::process::abort()
                }
                ["load", "fail", reason @ ..] => failure = Some(reason.join(" ")),
                ["load", "delay", milliseconds] => {
                    let _ = events.send(send(load_event::Event::Progress(0.5))).await;
                    let pause = milliseconds.parse().expect("milliseconds");
                    tokio::time::sleep(Duration::from_millis(pause)).await;
                }
                ["weights", bytes] => facts.weights_bytes = bytes.parse().expect("bytes"),
                ["stubborn"] => {
                    self.stubborn.store(true, Ordering::SeqCst);
                    let kind = tokio::signal::unix::SignalKind::terminate();
                    let mut signal = tokio::signal::unix::signal(kind).expect("signal");
                    tokio::spawn(async move { while signal.recv().await.is_some() {} });
                }
                _ => {}
            }
        }
        let last = match failure {
            Some(reason) => load_event::Event::Failed(
                RunnerError::new(RunnerErrorKind::Load { retry_after: None }, reason).to_failure(),
            ),
            None => load_event::Event::Ready(facts),
        };
        let _ = events.send(send(last)).await;
    }

    fn must_end(&self) -> bool {
        self.draining.load(Ordering::SeqCst) && !self.stubborn.load(Ordering::SeqCst)
    }
}

#[tonic::async_trait]
impl Runner for Child {
    type LoadStream = Events<LoadEvent>;
    type GenerateStream = Events<GenerateEvent>;

    async fn load(
        &self,
        _request: Request<LoadRequest>,
    ) -> Result<Response<Self::LoadStream>, Status> {
        let (events, stream) = mpsc::channel(8);
        tokio::spawn(self.clone().load_into(events));
        Ok(Response::new(Box::pin(ReceiverStream::new(stream))))
    }

    async fn generate(
        &self,
        request: Request<GenerateRequest>,
    ) -> Result<Response<Self::GenerateStream>, Status> {
        if self.draining.load(Ordering::SeqCst) {
            return Err(RunnerError::new(RunnerErrorKind::Unavailable, "unloading").to_status());
        }
        let prompt = match request.into_inner().prompt {
            Some(Prompt::Text(text)) => text,
            _ => {
                let error = RunnerError::new(RunnerErrorKind::Invalid, "a text is needed");
                return Err(error.to_status());
            }
        };
        self.running.fetch_add(1, Ordering::SeqCst);
        let (events, stream) = mpsc::channel(2);
        tokio::spawn(self.clone().generate_into(prompt, events));
        Ok(Response::new(Box::pin(ReceiverStream::new(stream))))
    }

    async fn embed(&self, request: Request<EmbedRequest>) -> Result<Response<EmbedReply>, Status> {
        let count = request.into_inner().inputs.len();
        Ok(Response::new(EmbedReply {
            dimensions: 1,
            vectors: vec![0; 4 * count],
            tokens: vec![1; count],
        }))
    }

    async fn rerank(&self, _: Request<RerankRequest>) -> Result<Response<RerankReply>, Status> {
        let error = RunnerError::new(RunnerErrorKind::Unsupported, "no ranking head");
        Err(error.to_status())
    }

    async fn tokenize(
        &self,
        request: Request<TokenizeRequest>,
    ) -> Result<Response<TokenizeReply>, Status> {
        let text = request.into_inner().text;
        Ok(Response::new(TokenizeReply {
            ids: text.bytes().map(u32::from).collect(),
        }))
    }

    async fn detokenize(
        &self,
        request: Request<DetokenizeRequest>,
    ) -> Result<Response<DetokenizeReply>, Status> {
        let ids = request.into_inner().ids;
        Ok(Response::new(DetokenizeReply {
            text: ids.iter().map(|id| *id as u8).collect(),
        }))
    }

    async fn stats(&self, _: Request<StatsRequest>) -> Result<Response<StatsReply>, Status> {
        Ok(Response::new(StatsReply {
            running: self.running.load(Ordering::SeqCst),
            sequences_max: 4,
            output_tokens: self.output_tokens.load(Ordering::SeqCst),
            ..StatsReply::default()
        }))
    }

    async fn unload(
        &self,
        request: Request<UnloadRequest>,
    ) -> Result<Response<UnloadReply>, Status> {
        self.draining.store(true, Ordering::SeqCst);
        if self.stubborn.load(Ordering::SeqCst) {
            return Ok(Response::new(UnloadReply {}));
        }
        let running = self.running.clone();
        let wait = async move {
            while running.load(Ordering::SeqCst) > 0 {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        let deadline = Duration::from_millis(request.into_inner().deadline_ms);
        let _ = tokio::time::timeout(deadline, wait).await;
        tokio::spawn(async {
            tokio::time::sleep(Duration::from_millis(5)).await;
            std::process::exit(0)
        });
        Ok(Response::new(UnloadReply {}))
    }
}
