//! `pull`: brings a model into the store, with a progress bar.

use std::time::Duration;

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressStyle};
use inference::store::pull::{PullOptions, PullPhase, PullProgress, Source, pull as fetch};

use super::args::PullArguments;
use super::output::{bytes, print};
use super::{Context, models, small_runtime};
use crate::exit::{Ended, Exit};
use crate::serve::parts::pull_options;

/// `fornax pull`.
pub fn pull(context: &Context, arguments: &PullArguments) -> anyhow::Result<()> {
    let store = models::open(context)?;
    let source = Source::parse(&arguments.source)?;
    let options = PullOptions {
        name: arguments.name.clone(),
        sha256: arguments.sha256.clone(),
        ..pull_options(&context.loaded.settings)
    };
    let bar = byte_bar();
    let manifest = small_runtime()?.block_on(async {
        let work = fetch(&store, &source, &options, |progress| show(&bar, &progress));
        tokio::select! {
            done = work => done.with_context(|| format!("could not pull {}", super::output::printable(&arguments.source))),
            _ = tokio::signal::ctrl_c() => Err(Ended::error(Exit::Interrupted, "stopped; the same command goes on from here")),
        }
    });
    bar.finish_and_clear();
    let manifest = manifest?;
    print(&format!(
        "{}  {}  {}  {}\n",
        manifest.name,
        bytes(manifest.size_bytes),
        manifest.facts.quantization,
        manifest.digest
    ))
}

fn show(bar: &ProgressBar, progress: &PullProgress) {
    bar.set_message(match progress.phase {
        PullPhase::Resolving => "asking the hub",
        PullPhase::Downloading => "downloading",
        PullPhase::Verifying => "verifying",
        PullPhase::Done => "done",
    });
    if let Some(total) = progress.total_bytes {
        bar.set_length(total);
    }
    bar.set_position(progress.done_bytes);
}

/// A bar for bytes on standard error; invisible when that is no terminal.
pub fn byte_bar() -> ProgressBar {
    const STYLE: &str = "{msg:<14} [{bar:30}] {decimal_bytes:>9} of {decimal_total_bytes:<9} {decimal_bytes_per_sec:>11} {eta:>4}";
    let style =
        ProgressStyle::with_template(STYLE).unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = ProgressBar::new(0).with_style(style.progress_chars("=> "));
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}
