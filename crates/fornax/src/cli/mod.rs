//! The commands. Each is one function that gets the parsed arguments and the resolved configuration; what they print on
//! standard output is the answer, everything else goes to standard error.

pub mod args;
mod ask;
mod cache;
mod client;
mod collections;
mod convert;
mod doctor;
mod ingest;
mod keys;
mod mcp;
mod models;
mod output;
mod ps;
mod pull;
mod run;
mod science;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use crate::config::{self, Environment, Flags, Loaded, reference};
use crate::directory::DataDirectory;
use crate::exit::Exit;
use crate::serve;
use args::{Arguments, Command, ConfigCommand};
pub use keys::open as open_keys;
use output::error_line;
pub use output::print;

/// What every command starts from.
pub struct Context {
    /// The configuration.
    pub loaded: Loaded,
    /// Where everything is.
    pub directory: DataDirectory,
    /// Lines may have colours.
    pub colors: bool,
}

/// Runs the command of this process's arguments.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match dispatch(arguments) {
        Ok(code) => code,
        Err(error) => {
            let exit = Exit::of(&error);
            if exit != Exit::Interrupted {
                error_line(&format!("error: {}", sentence(&error)));
            }
            ExitCode::from(exit as u8)
        }
    }
}

/// The error and its causes, without saying the same twice.
fn sentence(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain() {
        let part = cause.to_string();
        if text.is_empty() {
            text = part;
        } else if !text.contains(&part) {
            text = format!("{text}: {part}");
        }
    }
    text
}

fn dispatch(arguments: Arguments) -> anyhow::Result<ExitCode> {
    // The child reads no configuration: it gets all it needs from its parent.
    if let Command::Runner(runner) = arguments.command {
        return serve::runner::main(runner);
    }
    if let Command::Completions { shell } = arguments.command {
        let mut text = Vec::new();
        clap_complete::generate(shell, &mut Arguments::command(), "fornax", &mut text);
        return print(&String::from_utf8_lossy(&text)).map(|()| ExitCode::SUCCESS);
    }
    if let Command::Version = arguments.command {
        return print(&version()).map(|()| ExitCode::SUCCESS);
    }
    if let Command::Config {
        command: ConfigCommand::Reference,
    } = arguments.command
    {
        return print(&reference::reference()).map(|()| ExitCode::SUCCESS);
    }
    let context = context(&arguments)?;
    // One TLS provider for everything; a second installation would be the only error.
    drop(rustls::crypto::ring::default_provider().install_default());
    match arguments.command {
        Command::Serve(_) => return serve::main(&context),
        Command::Run(run) => return run::run(&context, &run),
        Command::Pull(pull) => pull::pull(&context, &pull)?,
        Command::List { json } => models::list(&context, json)?,
        Command::Show(show) => models::show(&context, &show)?,
        Command::Rm { names } => models::remove(&context, &names)?,
        Command::Cp { from, to } => models::copy(&context, &from, &to)?,
        Command::Ps { json } => ps::ps(&context, json)?,
        Command::Keys { command } => keys::keys(&context, command)?,
        Command::Science { command } => science::science(&context, command)?,
        Command::Ask(arguments) => ask::ask(&context, &arguments)?,
        Command::Cache { command } => cache::cache(&context, command)?,
        Command::Collections { command } => collections::collections(&context, command)?,
        Command::Ingest(arguments) => ingest::ingest(&context, &arguments)?,
        Command::Search(arguments) => ingest::search(&context, &arguments)?,
        Command::Mcp => return mcp::mcp(&context),
        Command::Doctor { json } => return doctor::doctor(&context, json),
        Command::Convert(convert) => convert::convert(&context, &convert)?,
        Command::Config {
            command: ConfigCommand::Show,
        } => print(&reference::show(&context.loaded))?,
        Command::Config {
            command: ConfigCommand::Check,
        } => print("the configuration is valid\n")?,
        // Answered above.
        Command::Config {
            command: ConfigCommand::Reference,
        }
        | Command::Runner(_)
        | Command::Completions { .. }
        | Command::Version => {}
    }
    Ok(ExitCode::SUCCESS)
}

fn context(arguments: &Arguments) -> anyhow::Result<Context> {
    let working_directory = std::env::current_dir().unwrap_or_default();
    let environment =
        Environment::capture(&working_directory).map_err(|problem| config::ConfigError {
            problems: vec![problem],
        })?;
    let flags = Flags {
        config: arguments.config.clone(),
        values: arguments.values()?,
    };
    let loaded = config::load(&environment, &flags)?;
    let directory = DataDirectory::locate(&loaded.settings, &environment);
    let colors = !environment.no_color && std::io::IsTerminal::is_terminal(&std::io::stderr());
    Ok(Context {
        loaded,
        directory,
        colors,
    })
}

fn version() -> String {
    let features: Vec<&str> = [
        ("llama", cfg!(feature = "llama")),
        ("cuda", cfg!(feature = "cuda")),
        ("metal", cfg!(feature = "metal")),
        ("vulkan", cfg!(feature = "vulkan")),
        ("rocm", cfg!(feature = "rocm")),
    ]
    .into_iter()
    .filter_map(|(name, built)| built.then_some(name))
    .collect();
    let (os, processor) = (std::env::consts::OS, std::env::consts::ARCH);
    format!(
        "fornax {}\nplatform: {os} {processor}\nfeatures: {}\n",
        env!("CARGO_PKG_VERSION"),
        features.join(", ")
    )
}

/// A runtime for commands that wait for the network or a model: one thread moves everything.
pub fn small_runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?)
}
