//! `runner`: the child process of one model. It reads no configuration and no environment of ours; everything it needs
//! comes over its socket.

use std::process::ExitCode;

use anyhow::Context as _;

use crate::cli::args::RunnerArguments;

/// Runs one model until its parent ends it or is gone.
///
/// # Errors
/// The socket cannot be served.
pub fn main(arguments: RunnerArguments) -> anyhow::Result<ExitCode> {
    let name = arguments.name.clone();
    inference::runner::server::run(inference::runner::server::RunnerArguments {
        model: arguments.model,
        socket: arguments.socket,
        name: arguments.name,
        parent_pid: None,
    })
    .with_context(|| format!("could not run {name}"))?;
    Ok(ExitCode::SUCCESS)
}
