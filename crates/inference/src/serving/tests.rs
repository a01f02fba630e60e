//! The loop against an engine that gives wrong text for wrong cells; see [`engine`].

mod behaviour;
mod engine;
mod properties;

use std::collections::HashMap;
use std::time::Duration;

use platform::Clock;
use scheduling::Class;
use tokio::sync::mpsc;

use self::engine::TestEngine;
use super::engine_loop::{Progress, ServingLoop};
use super::handle::{ServingHandle, serving};
use super::prefix::Salt;
use super::request::{
    Accepted, Event, Failure, Finish, GenerateJob, Input, ServingOptions, TokenLogprob,
};
use super::sampler::SamplerOptions;
use crate::engine::{Engine, EngineLimits, Token};

/// A loop that tests drive step by step.
struct Serving {
    handle: ServingHandle,
    serving: ServingLoop<TestEngine>,
    clock: Clock,
}

impl Serving {
    fn new(options: ServingOptions, adapt: impl FnOnce(&mut EngineLimits)) -> Self {
        let clock = Clock::manual(Duration::from_secs(1));
        let engine = TestEngine::new(clock.clone(), adapt);
        let (handle, serving) = serving(engine, options, clock.clone());
        Self {
            handle,
            serving,
            clock,
        }
    }

    fn usual() -> Self {
        Self::new(ServingOptions::default(), |_| {})
    }

    fn submit(&self, request: Ask) -> Heard {
        let choices = request.choices.max(1);
        let (events, receiver) = mpsc::channel(request.channel + choices as usize);
        self.handle.generate(request.job(events)).unwrap();
        Heard {
            receiver: Some(receiver),
            choices: HashMap::new(),
            accepted: None,
            failure: None,
        }
    }

    /// One step, after which everything that must always hold is checked.
    fn step(&mut self) -> Progress {
        let progress = self.serving.step().unwrap();
        self.check();
        progress
    }

    fn check(&self) {
        let serving = &self.serving;
        serving.index.assert_invariants();
        assert_eq!(
            serving.index.cells_used() as usize,
            serving.engine.cells_used()
        );
        let live = serving
            .running
            .iter()
            .filter(|one| one.sequence.is_some())
            .count();
        assert_eq!(serving.index.live_sequences(), live);
        assert!(serving.running.len() <= serving.options.running_max as usize);
        let mut owners = HashMap::new();
        for one in &serving.running {
            let Some(sequence) = one.sequence else {
                continue;
            };
            assert_eq!(serving.index.length(sequence), one.computed);
            let content = serving.engine.content(sequence);
            assert_eq!(content, one.tokens[..one.computed as usize]);
            assert!(
                owners.insert(sequence, &one.spec.salt).is_none(),
                "one owner each"
            );
        }
        for sequences in serving.engine.shared() {
            let mut salts = sequences.iter().filter_map(|sequence| owners.get(sequence));
            if let Some(first) = salts.next() {
                assert!(salts.all(|salt| salt == first), "tenants share a cell");
            }
        }
    }

    /// Steps until nothing is left to do, reading everything as it comes.
    fn finish(&mut self, heard: &mut [&mut Heard]) {
        for _ in 0..20_000 {
            let progress = self.step();
            for one in &mut *heard {
                one.read(usize::MAX);
            }
            match progress {
                Progress::Idle(None) | Progress::Stopped => return,
                Progress::Idle(Some(until)) => {
                    let time = until.saturating_duration_since(self.clock.now());
                    self.clock.advance(time);
                }
                Progress::Worked => {}
            }
        }
        panic!("the loop does not come to an end");
    }

    /// Nothing runs, nothing waits, and everything cached can be given up: no sequence and no cell has leaked.
    fn assert_nothing_leaked(&mut self) {
        let serving = &mut self.serving;
        assert!(serving.jobs.is_empty() && serving.running.is_empty());
        assert!(serving.parked.is_empty() && serving.stalled.is_empty());
        assert_eq!(serving.queue.depth(), 0);
        assert_eq!(serving.index.cells_evictable(), serving.index.cells_used());
        while let Some(eviction) = serving.index.evict_cells() {
            assert!(
                serving
                    .engine
                    .sequence_truncate(eviction.sequence, eviction.keep)
            );
            serving.index.assert_invariants();
            assert_eq!(
                serving.index.cells_used() as usize,
                serving.engine.cells_used()
            );
        }
        assert_eq!(serving.index.cells_used(), 0);
        assert_eq!(
            serving.index.free_sequences(),
            serving.limits.sequences_max as usize
        );
    }
}

/// A request as tests write it.
#[derive(Debug, Clone)]
struct Ask {
    prompt: Vec<Token>,
    tenant: &'static str,
    salt: &'static str,
    class: Class,
    weight: u32,
    tokens_max: Option<u32>,
    temperature: f32,
    seed: u64,
    stop: Vec<String>,
    stop_tokens: Vec<Token>,
    logprobs: Option<u32>,
    echo_logprobs: bool,
    choices: u32,
    deadline: Option<Duration>,
    tokens_min: u32,
    /// Events that fit beside the endings.
    channel: usize,
}

impl Ask {
    fn new(prompt: &[Token]) -> Self {
        Self {
            prompt: prompt.to_vec(),
            tenant: "acme",
            salt: "",
            class: Class::Interactive,
            weight: 1,
            tokens_max: Some(12),
            temperature: 0.0,
            seed: 7,
            stop: Vec::new(),
            stop_tokens: Vec::new(),
            logprobs: None,
            echo_logprobs: false,
            choices: 1,
            deadline: None,
            tokens_min: 0,
            channel: 64,
        }
    }

    fn job(self, events: mpsc::Sender<Event>) -> GenerateJob {
        GenerateJob {
            prompt: Input::Tokens(self.prompt),
            add_special: false,
            parse_special: false,
            salt: Salt {
                tenant: self.tenant.into(),
                salt: self.salt.into(),
            },
            weight: self.weight,
            class: self.class,
            tokens_max: self.tokens_max,
            stop: self.stop,
            stop_tokens: self.stop_tokens,
            sampling: SamplerOptions {
                temperature: self.temperature,
                seed: self.seed,
                tokens_min: self.tokens_min,
                ..SamplerOptions::default()
            },
            grammar: None,
            logprobs: self.logprobs,
            echo_logprobs: self.echo_logprobs,
            deadline: self.deadline,
            choices: self.choices,
            emit_special: false,
            events,
        }
    }

    /// The answer of this request when it is alone in the world.
    fn alone(&self) -> Heard {
        let mut serving = Serving::usual();
        let mut heard = serving.submit(self.clone());
        serving.finish(&mut [&mut heard]);
        heard
    }
}

/// What a client has heard.
#[derive(Debug, Default)]
struct Heard {
    receiver: Option<mpsc::Receiver<Event>>,
    choices: HashMap<u32, Choice>,
    accepted: Option<Accepted>,
    failure: Option<Failure>,
}

#[derive(Debug, Default, Clone, PartialEq)]
struct Choice {
    text: String,
    logprobs: Vec<TokenLogprob>,
    finish: Option<Finish>,
}

impl Heard {
    /// Reads at most `events` of what is there.
    fn read(&mut self, events: usize) {
        for _ in 0..events {
            let Some(receiver) = &mut self.receiver else {
                return;
            };
            let Ok(event) = receiver.try_recv() else {
                return;
            };
            self.take(event);
        }
    }

    fn take(&mut self, event: Event) {
        assert!(self.failure.is_none(), "nothing comes after a failure");
        if !matches!(event, Event::Accepted(_) | Event::Failed(_)) {
            assert!(self.accepted.is_some(), "accepted comes first");
        }
        match event {
            Event::Accepted(accepted) => {
                assert!(self.accepted.replace(accepted).is_none(), "accepted once");
            }
            Event::Text(piece) => {
                let choice = self.choices.entry(piece.choice).or_default();
                assert!(choice.finish.is_none(), "no text after the end");
                choice.text.push_str(&piece.text);
                choice.logprobs.extend(piece.logprobs);
            }
            Event::Finished(piece, finish) => {
                let choice = self.choices.entry(piece.choice).or_default();
                choice.text.push_str(&piece.text);
                choice.logprobs.extend(piece.logprobs);
                assert!(choice.finish.replace(finish).is_none(), "one end");
            }
            Event::Failed(failure) => self.failure = Some(failure),
        }
    }

    fn disconnect(&mut self) {
        self.receiver = None;
    }

    fn text(&self) -> &str {
        &self.choices[&0].text
    }

    fn cached(&self) -> u32 {
        self.accepted.as_ref().unwrap().cached_tokens
    }

    fn ended(&self, choices: u32) -> bool {
        self.failure.is_some()
            || (0..choices.max(1)).all(|choice| {
                self.choices
                    .get(&choice)
                    .is_some_and(|choice| choice.finish.is_some())
            })
    }

    fn assert_same_answer(&self, alone: &Heard) {
        assert_eq!(self.failure, None);
        assert_eq!(self.choices.len(), alone.choices.len());
        for (index, choice) in &self.choices {
            let expected = &alone.choices[index];
            assert_eq!(choice.text, expected.text, "choice {index}");
            assert_eq!(choice.logprobs, expected.logprobs, "choice {index}");
            let facts = |choice: &Choice| {
                let finish = choice.finish.clone().expect("ended");
                (finish.reason, finish.stop_sequence, finish.output_tokens)
            };
            assert_eq!(facts(choice), facts(expected), "choice {index}");
        }
    }
}
