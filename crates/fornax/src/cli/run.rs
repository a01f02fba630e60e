//! `run`: a model on the terminal, without a server. It starts a supervisor of its own in a temporary directory and goes
//! through the same service as every protocol.

use std::io::{self, BufRead, IsTerminal, Read, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Context as _;
use futures::StreamExt;
use inference::store::{ModelStore, Origin};
use security::{Identity, Scope, Scopes, TenantId};
use service::{
    ChatRequest, FinishReason, GenerateOptions, GenerationEvent, Message, OutputFormat, Role,
    SamplingOptions, ToolChoice,
};

use super::args::RunArguments;
use super::output::{error_line, print};
use super::{Context, keys, models, small_runtime};
use crate::exit::{Ended, Exit};
use crate::serve::{first_start, logging, parts};

/// Largest prompt that is read from a pipe.
const PIPED_BYTES_MAX: u64 = 16 << 20;

/// `fornax run`.
pub fn run(context: &Context, arguments: &RunArguments) -> anyhow::Result<ExitCode> {
    let runtime = small_runtime()?;
    let result = runtime.block_on(async {
        let _telemetry = logging::for_command(context)?;
        let store = models::open(context)?;
        let model = find_model(context, &store, &arguments.model)?;
        // Short, because the path of a socket may have at most about a hundred bytes.
        let run_directory = tempfile::Builder::new()
            .prefix("fornax-")
            .tempdir()
            .context("could not make a temporary directory")?;
        let keys = keys::open(context).await?;
        let parts = parts::assemble(context, store, keys, run_directory.path(), None).await?;
        let result = Session {
            parts: &parts,
            arguments,
            model,
            history: Vec::new(),
        }
        .run()
        .await;
        parts.supervisor.shutdown(std::time::Duration::ZERO).await;
        result
    });
    // A thread may still wait for a line of the terminal; it must not keep the process alive.
    runtime.shutdown_background();
    result
}

/// The store's name for what the user wrote, which may also be the path of a file.
fn find_model(context: &Context, store: &ModelStore, wanted: &str) -> anyhow::Result<String> {
    let error = match store.manifest(wanted) {
        Ok(manifest) => return Ok(manifest.name),
        Err(error) => error,
    };
    if wanted == first_start::NANO_NAME && first_start::offer_nano(&context.directory, store)? {
        return Ok(wanted.to_owned());
    }
    let path = Path::new(wanted);
    if wanted.ends_with(".gguf") && path.is_file() {
        let stem = path
            .file_stem()
            .and_then(|stem| stem.to_str())
            .unwrap_or("model");
        let name = inference::store::name::sanitize(&stem.to_lowercase());
        let absolute = path.canonicalize()?.display().to_string();
        error_line(&format!("adding {wanted} to the store as {name}"));
        let manifest =
            store.import_file(&name, path, Origin::File { path: absolute }, &mut |_, _| {})?;
        return Ok(manifest.name);
    }
    Err(error.into())
}

/// Who a user of this machine's command line is to the service.
fn local_identity() -> Identity {
    Identity {
        key_id: "local".to_owned(),
        key_name: "command line".to_owned(),
        tenant: TenantId::default(),
        scopes: Scopes::from(Scope::Inference),
    }
}

struct Session<'a> {
    parts: &'a parts::Parts,
    arguments: &'a RunArguments,
    model: String,
    history: Vec<Message>,
}

/// How an answer ended.
enum Answered {
    Whole,
    Interrupted,
}

impl Session<'_> {
    async fn run(mut self) -> anyhow::Result<ExitCode> {
        if let Some(system) = &self.arguments.system {
            self.history.push(message(Role::System, system.clone()));
        }
        let prompt = match &self.arguments.prompt {
            Some(prompt) => Some(prompt.clone()),
            None if io::stdin().is_terminal() => None,
            None => Some(read_piped()?),
        };
        match prompt {
            Some(prompt) => match self.answer(prompt).await? {
                Answered::Whole => Ok(ExitCode::SUCCESS),
                Answered::Interrupted => Ok(ExitCode::from(Exit::Interrupted as u8)),
            },
            None => self.chat().await,
        }
    }

    /// Reads lines until the end; Ctrl-C stops an answer, and at the prompt the chat.
    async fn chat(&mut self) -> anyhow::Result<ExitCode> {
        error_line(&format!(
            "chatting with {}; Ctrl-C stops an answer, Ctrl-D or /bye ends, /clear forgets",
            self.model
        ));
        loop {
            print(">>> ")?;
            let line = tokio::select! {
                line = tokio::task::spawn_blocking(read_line) => line??,
                _ = tokio::signal::ctrl_c() => None,
            };
            let Some(line) = line else {
                print("\n")?;
                return Ok(ExitCode::SUCCESS);
            };
            match line.trim() {
                "" => {}
                "/bye" | "/exit" | "/quit" => return Ok(ExitCode::SUCCESS),
                "/clear" => self.history.retain(|message| message.role == Role::System),
                text => {
                    let kept = self.history.len();
                    if let Err(error) = self.answer(text.to_owned()).await {
                        // The chat goes on without the turn that failed.
                        self.history.truncate(kept);
                        error_line(&format!("error: {error}"));
                    }
                }
            }
        }
    }

    /// Streams one answer to standard output and remembers both turns.
    async fn answer(&mut self, prompt: String) -> anyhow::Result<Answered> {
        self.history.push(message(Role::User, prompt));
        let started = Instant::now();
        let generation = self
            .parts
            .service
            .chat(&local_identity(), self.request())
            .await?;
        let mut events = generation.events;
        let mut text = String::new();
        let (mut prompt_count, mut output_count, mut first_token) = (0, 0, None);
        let mut interrupted = false;
        loop {
            let event = tokio::select! {
                event = events.next() => event,
                _ = tokio::signal::ctrl_c() => { interrupted = true; None }
            };
            match event.transpose()? {
                None => break,
                Some(GenerationEvent::Started { prompt_tokens, .. }) => {
                    prompt_count = prompt_tokens
                }
                Some(GenerationEvent::Text { text: piece, .. }) => {
                    first_token.get_or_insert_with(|| started.elapsed());
                    write_piece(&piece)?;
                    text.push_str(&piece);
                }
                Some(GenerationEvent::Reasoning { text: piece, .. }) => {
                    first_token.get_or_insert_with(|| started.elapsed());
                    write_piece(&piece)?;
                }
                Some(GenerationEvent::Finished {
                    reason,
                    output_tokens,
                    ..
                }) => {
                    output_count = output_tokens;
                    if reason == FinishReason::Length && self.arguments.verbose {
                        error_line("\n(stopped at the limit of tokens)");
                    }
                }
                Some(
                    GenerationEvent::ToolCallStarted { .. }
                    | GenerationEvent::ToolCallArguments { .. },
                ) => {}
            }
        }
        // Cancels what still runs.
        drop(events);
        print("\n")?;
        if self.arguments.verbose {
            let seconds = started.elapsed().as_secs_f64();
            let first = first_token.unwrap_or_default().as_secs_f64();
            let rate = f64::from(output_count) / (seconds - first).max(1e-6);
            error_line(&format!(
                "{prompt_count} tokens read, {output_count} written in {seconds:.2} s; first after {first:.2} s, then {rate:.1} per second"
            ));
        }
        self.history.push(message(Role::Assistant, text));
        Ok(if interrupted {
            Answered::Interrupted
        } else {
            Answered::Whole
        })
    }

    fn request(&self) -> ChatRequest {
        ChatRequest {
            model: self.model.clone(),
            messages: self.history.clone(),
            tools: Vec::new(),
            tool_choice: ToolChoice::None,
            parallel_tool_calls: false,
            output: OutputFormat::Text,
            template_variables: serde_json::Map::new(),
            options: GenerateOptions {
                choices: 1,
                tokens_max: self.arguments.max_tokens,
                sampling: SamplingOptions {
                    temperature: self.arguments.temperature,
                    seed: self.arguments.seed,
                    ..SamplingOptions::default()
                },
                ..GenerateOptions::default()
            },
        }
    }
}

fn message(role: Role, content: String) -> Message {
    Message {
        role,
        content,
        name: None,
        reasoning: None,
        tool_calls: Vec::new(),
        tool_call_id: None,
    }
}

/// Writes part of an answer at once. Control characters pass, but not those that steer a terminal.
fn write_piece(piece: &str) -> anyhow::Result<()> {
    let safe: String = piece
        .chars()
        .filter(|c| !c.is_control() || matches!(c, '\n' | '\t'))
        .collect();
    let mut out = io::stdout().lock();
    match out.write_all(safe.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(Ended::error(
            Exit::Interrupted,
            "the reader of the answer has gone",
        )),
        other => Ok(other?),
    }
}

fn read_piped() -> anyhow::Result<String> {
    let mut text = String::new();
    io::stdin()
        .lock()
        .take(PIPED_BYTES_MAX + 1)
        .read_to_string(&mut text)
        .context("could not read the prompt from standard input")?;
    if text.len() as u64 > PIPED_BYTES_MAX {
        return Err(Ended::error(
            Exit::Usage,
            "the prompt is longer than 16 MiB",
        ));
    }
    if text.trim().is_empty() {
        return Err(Ended::error(
            Exit::Usage,
            "there is no prompt: give one as an argument or on standard input",
        ));
    }
    Ok(text)
}

/// The next line, or `None` at the end.
fn read_line() -> io::Result<Option<String>> {
    let mut line = String::new();
    let count = io::stdin().lock().read_line(&mut line)?;
    Ok((count > 0).then_some(line))
}
