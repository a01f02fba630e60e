//! A runtime that answers what a test scripted, and remembers what it was asked.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::{Stream, StreamExt};
use inference::files::gguf::TensorType;
use inference::files::gguf_writer::{GgufPlan, PlannedTensor};
use inference::runner::protocol::{
    Accepted, EmbedReply, EmbedRequest, Finished, GenerateEvent, GenerateRequest, ModelFacts,
    RerankReply, RerankRequest, TokenLogprob, TokenizeRequest, generate_event::Event,
};
use inference::runner::{LoadOptions, ModelSource, RunnerError, RunnerErrorKind};

use crate::administration::ResidentModel;
use crate::runtime::{Answer, EventStream, ModelLease, ModelRuntime};

pub(super) type Step = Result<GenerateEvent, RunnerError>;

/// What the runtime does with one generation.
pub(super) enum Reply {
    /// It refuses.
    Refuse(RunnerError),
    /// It gives these events and ends.
    Events(Vec<Step>),
    /// It gives these events and then nothing, for ever.
    Hang(Vec<Step>),
}

/// How many more calls for vectors are answered.
struct EmbedCalls(tokio::sync::Semaphore);

/// More calls than any test makes.
const ALL_CALLS: usize = 1 << 20;

impl Default for EmbedCalls {
    fn default() -> Self {
        EmbedCalls(tokio::sync::Semaphore::new(ALL_CALLS))
    }
}

#[derive(Default)]
pub(super) struct Shared {
    replies: Mutex<VecDeque<Reply>>,
    pub(super) requests: Mutex<Vec<GenerateRequest>>,
    pub(super) embeds: Mutex<Vec<EmbedRequest>>,
    pub(super) reranks: Mutex<Vec<RerankRequest>>,
    /// Calls for vectors that are answered; the others wait.
    embed_calls: EmbedCalls,
    pub(super) acquired: AtomicUsize,
    /// Tokens of every model's context; 0 stands for 128.
    context: AtomicU32,
    pub(super) streams_dropped: AtomicUsize,
}

pub(super) struct Scripted {
    pub(super) shared: Arc<Shared>,
}

impl Scripted {
    pub(super) fn new(replies: Vec<Reply>) -> Self {
        let shared = Shared {
            replies: Mutex::new(replies.into()),
            ..Shared::default()
        };
        Scripted {
            shared: Arc::new(shared),
        }
    }

    pub(super) fn request(&self, index: usize) -> GenerateRequest {
        self.shared.requests.lock().expect("requests")[index].clone()
    }

    /// Models loaded from now on have this context.
    pub(super) fn widen(&self, tokens: u32) {
        self.shared.context.store(tokens, Ordering::SeqCst);
    }

    /// Answers so many more calls for vectors, and lets the others wait.
    pub(super) fn hang_embeds_after(&self, calls: usize) {
        let semaphore = &self.shared.embed_calls.0;
        semaphore.forget_permits(ALL_CALLS);
        semaphore.add_permits(calls);
    }

    /// Answers those that wait, and all others.
    pub(super) fn release_embeds(&self) {
        self.shared.embed_calls.0.add_permits(ALL_CALLS);
    }

    pub(super) fn requests(&self) -> usize {
        self.shared.requests.lock().expect("requests").len()
    }
}

impl ModelRuntime for Scripted {
    fn acquire(
        &self,
        model: ModelSource,
        _options: LoadOptions,
        _keep_alive: Option<Duration>,
    ) -> Answer<'_, Arc<dyn ModelLease>> {
        Box::pin(async move {
            self.shared.acquired.fetch_add(1, Ordering::SeqCst);
            let embeds = model.name == "vectors";
            let ranks = model.name == "ranker";
            let lease: Arc<dyn ModelLease> = Arc::new(ScriptedLease {
                shared: self.shared.clone(),
                facts: ModelFacts {
                    context_tokens: match self.shared.context.load(Ordering::SeqCst) {
                        0 => 128,
                        tokens => tokens,
                    },
                    vocabulary: 300,
                    embedding_dimensions: if embeds { 2 } else { 0 },
                    generates: !embeds && !ranks,
                    embeds,
                    ranks,
                    ..ModelFacts::default()
                },
            });
            Ok(lease)
        })
    }

    fn residents(&self) -> Vec<ResidentModel> {
        Vec::new()
    }

    fn unload<'a>(&'a self, _name: &'a str) -> Answer<'a, bool> {
        Box::pin(async { Ok(false) })
    }

    fn pin(&self, _name: &str, _pinned: bool) {}
}

struct ScriptedLease {
    shared: Arc<Shared>,
    facts: ModelFacts,
}

impl ModelLease for ScriptedLease {
    fn facts(&self) -> &ModelFacts {
        &self.facts
    }

    fn generate(&self, request: GenerateRequest) -> Answer<'_, EventStream> {
        Box::pin(async move {
            self.shared.requests.lock().expect("requests").push(request);
            let reply = self.shared.replies.lock().expect("replies").pop_front();
            let events: std::pin::Pin<Box<dyn Stream<Item = Step> + Send>> = match reply {
                None => {
                    return Err(RunnerError::new(
                        RunnerErrorKind::Engine,
                        "nothing was scripted",
                    ));
                }
                Some(Reply::Refuse(error)) => return Err(error),
                Some(Reply::Events(steps)) => Box::pin(futures::stream::iter(steps)),
                Some(Reply::Hang(steps)) => {
                    Box::pin(futures::stream::iter(steps).chain(futures::stream::pending()))
                }
            };
            let watched: EventStream = Box::pin(Watched {
                events,
                shared: self.shared.clone(),
            });
            Ok(watched)
        })
    }

    fn embed(&self, request: EmbedRequest) -> Answer<'_, EmbedReply> {
        Box::pin(async move {
            let turn = self.shared.embed_calls.0.acquire().await.expect("open");
            turn.forget();
            let inputs = request.inputs.len();
            self.shared.embeds.lock().expect("embeds").push(request);
            Ok(EmbedReply {
                dimensions: 2,
                vectors: (0..inputs)
                    .flat_map(|_| [3f32, 4.0])
                    .flat_map(f32::to_le_bytes)
                    .collect(),
                tokens: vec![5; inputs],
            })
        })
    }

    /// The score of a document is how many of its bytes are the query's first.
    fn rerank(&self, request: RerankRequest) -> Answer<'_, RerankReply> {
        Box::pin(async move {
            let wanted = request.query.as_bytes().first().copied();
            let score = |document: &String| {
                let found = document.bytes().filter(|byte| Some(*byte) == wanted);
                found.count() as f32
            };
            let reply = RerankReply {
                scores: request.documents.iter().map(score).collect(),
                tokens: 10 * request.documents.len() as u32,
            };
            self.shared.reranks.lock().expect("reranks").push(request);
            Ok(reply)
        })
    }

    fn tokenize(&self, request: TokenizeRequest) -> Answer<'_, Vec<u32>> {
        Box::pin(async move { Ok(request.text.bytes().map(u32::from).collect()) })
    }

    fn detokenize(&self, ids: Vec<u32>, _special: bool) -> Answer<'_, Vec<u8>> {
        Box::pin(async move { Ok(ids.into_iter().map(|id| id as u8).collect()) })
    }
}

struct Watched {
    events: EventStream,
    shared: Arc<Shared>,
}

impl Stream for Watched {
    type Item = Step;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Step>> {
        self.events.as_mut().poll_next(context)
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.shared.streams_dropped.fetch_add(1, Ordering::SeqCst);
    }
}

pub(super) fn accepted() -> Step {
    event(
        0,
        Event::Accepted(Accepted {
            prompt_tokens: 7,
            cached_tokens: 3,
            queue_us: 10,
            prompt: Vec::new(),
        }),
    )
}

pub(super) fn text(choice: u32, text: &str) -> Step {
    event(choice, Event::Text(text.into()))
}

/// A piece of text that is one token, with its log-probability.
pub(super) fn token(text: &str) -> Step {
    self::text(0, text).map(|mut event| {
        event.logprobs = vec![TokenLogprob {
            token: 1,
            bytes: text.as_bytes().to_vec(),
            logprob: -0.5,
            top: Vec::new(),
        }];
        event
    })
}

pub(super) fn finished(choice: u32, reason: &str) -> Step {
    event(
        choice,
        Event::Finished(Finished {
            reason: reason.into(),
            output_tokens: 4,
            ..Finished::default()
        }),
    )
}

pub(super) fn event(choice: u32, event: Event) -> Step {
    Ok(GenerateEvent {
        choice,
        event: Some(event),
        logprobs: Vec::new(),
    })
}

pub(super) fn crash() -> RunnerError {
    RunnerError::new(RunnerErrorKind::Crashed, "the runner got SIGSEGV")
}

/// A model file with a header and one small tensor.
pub(super) fn model_file(architecture: &str, template: Option<&str>) -> Vec<u8> {
    let mut plan = GgufPlan::new();
    plan.set("general.architecture", architecture);
    plan.set(format!("{architecture}.context_length"), 128_u32);
    plan.set(format!("{architecture}.embedding_length"), 2_u32);
    plan.set("general.description", template.unwrap_or(architecture));
    if architecture == "bert-rank" {
        // 4 is the format's number of ranking.
        plan.set(format!("{architecture}.pooling_type"), 4_u32);
    }
    if let Some(template) = template {
        plan.set("tokenizer.chat_template", template);
    }
    plan.add(PlannedTensor {
        name: "token_embd.weight".into(),
        dimensions: vec![2],
        kind: TensorType::F32,
    });
    let mut stream = plan.start(Vec::new()).expect("plan");
    stream.write("token_embd.weight", &[0; 8]).expect("tensor");
    stream.finish().expect("file").0
}
