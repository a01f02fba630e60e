//! The Fornax binary: configuration, commands, and the wiring of the server. Everything it can do is in other crates.

mod cli;
mod config;
mod directory;
mod exit;
mod serve;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
