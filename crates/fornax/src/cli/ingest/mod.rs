//! `ingest` and `search`: documents into a collection of a running server, and questions to it.

mod files;
mod search;
mod upload;

use clap::{Args, ValueHint};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use super::output::{bytes, error_line, print, print_json, printable, table};
use super::{Context, client, small_runtime};
use crate::exit::{Ended, Exit};
use files::Inputs;
pub use search::{SearchArguments, search};
use upload::{Outcome, Server};

/// Arguments of `ingest`.
#[derive(Debug, Args)]
pub struct IngestArguments {
    /// Files, directories, or a table as postgres://user:password@host/database?table=NAME
    #[arg(required = true, value_name = "PATH", value_hint = ValueHint::AnyPath)]
    pub paths: Vec<String>,
    /// Collection; made when it is missing
    #[arg(long, short = 'c', value_name = "NAME")]
    pub collection: String,
    /// Embedding model; without it the one that made the collection, else the only one of the store
    #[arg(long, value_name = "MODEL")]
    pub model: Option<String>,
    /// Where chunks end: fixed, sentence, paragraph, recursive, semantic or markdown [default: markdown]
    #[arg(long, value_name = "NAME")]
    pub chunker: Option<String>,
    /// Most tokens of a chunk [default: 256, or what the model reads]
    #[arg(long, value_name = "TOKENS")]
    pub chunk_size: Option<usize>,
    /// Tokens that repeat the end of the chunk before [default: an eighth of the size]
    #[arg(long, value_name = "TOKENS")]
    pub chunk_overlap: Option<usize>,
    /// What the files are, when their names and first bytes do not say
    #[arg(long, value_name = "KIND")]
    pub kind: Option<String>,
    /// Column of records that is the text; may be repeated [default: all]
    #[arg(long = "text-column", value_name = "COLUMN")]
    pub text_columns: Vec<String>,
    /// Column of records that holds their vector
    #[arg(long, value_name = "COLUMN")]
    pub vector_column: Option<String>,
    /// Facts that go with every chunk, as a JSON object
    #[arg(long, value_name = "JSON")]
    pub attributes: Option<String>,
    /// Read and cut, but embed and store nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Take files out of the collection that are no longer in the directories given
    #[arg(long)]
    pub prune: bool,
    /// The outcome as JSON
    #[arg(long)]
    pub json: bool,
}

impl IngestArguments {
    /// The options, as the server's query has them.
    fn query(&self) -> Vec<(&'static str, String)> {
        let number = |value: Option<usize>| value.map(|value| value.to_string());
        let columns = (!self.text_columns.is_empty()).then(|| self.text_columns.join(","));
        let given = [
            ("model", self.model.clone()),
            ("chunker", self.chunker.clone()),
            ("chunk_size", number(self.chunk_size)),
            ("chunk_overlap", number(self.chunk_overlap)),
            ("kind", self.kind.clone()),
            ("text_columns", columns),
            ("vector_column", self.vector_column.clone()),
            ("attributes", self.attributes.clone()),
        ];
        given
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)))
            .collect()
    }
}

/// `fornax ingest`.
pub fn ingest(context: &Context, arguments: &IngestArguments) -> anyhow::Result<()> {
    let inputs = files::collect(&arguments.paths)?;
    for skipped in &inputs.skipped {
        error_line(&format!("skipped: {}", printable(skipped)));
    }
    let server = Server::new(client::target(context)?, arguments)?;
    let bar = bar(inputs.files.len() as u64);
    let run = small_runtime()?.block_on(async {
        tokio::select! {
            run = run(&server, &inputs, arguments, &bar) => run,
            _ = tokio::signal::ctrl_c() => Err(Ended::error(Exit::Interrupted, "stopped; the same command goes on from here")),
        }
    });
    bar.finish_and_clear();
    let (outcomes, pruned) = run?;
    report(arguments, &outcomes, &pruned)?;
    let wrong = outcomes
        .iter()
        .filter(|outcome| outcome.state == "failed" || outcome.faults > 0)
        .count();
    if wrong > 0 {
        return Err(Ended::error(
            Exit::BadData,
            format!(
                "{wrong} of {} files could not be read, or not as a whole",
                outcomes.len()
            ),
        ));
    }
    Ok(())
}

async fn run(
    server: &Server,
    inputs: &Inputs,
    arguments: &IngestArguments,
    bar: &ProgressBar,
) -> anyhow::Result<(Vec<Outcome>, Vec<String>)> {
    let mut outcomes = Vec::with_capacity(inputs.files.len());
    for input in &inputs.files {
        bar.set_message(printable(&input.source));
        let outcome = server
            .put(input, arguments.dry_run, |chunks| {
                bar.set_prefix(format!("{chunks} chunks"));
            })
            .await?;
        for fault in &outcome.messages {
            bar.suspend(|| error_line(&format!("error: {}", printable(fault))));
        }
        bar.set_prefix(String::new());
        bar.inc(1);
        outcomes.push(outcome);
    }
    let mut pruned = Vec::new();
    if arguments.prune && !arguments.dry_run {
        for source in server.sources().await? {
            if inputs.covers(&source) && !inputs.files.iter().any(|input| input.source == source) {
                server.remove(&source).await?;
                pruned.push(source);
            }
        }
    }
    Ok((outcomes, pruned))
}

fn report(
    arguments: &IngestArguments,
    outcomes: &[Outcome],
    pruned: &[String],
) -> anyhow::Result<()> {
    if arguments.json {
        let files: Vec<Value> = outcomes.iter().map(Outcome::to_json).collect();
        return print_json(
            &json!({"collection": arguments.collection, "files": files, "pruned": pruned}),
        );
    }
    let count = |state: &str| {
        outcomes
            .iter()
            .filter(|outcome| outcome.state == state)
            .count()
    };
    let sum = |value: fn(&Outcome) -> u64| outcomes.iter().map(value).sum::<u64>();
    let mut rows = Vec::new();
    for (state, shown) in [
        ("stored", "stored"),
        ("dry_run", "would be stored"),
        ("unchanged", "unchanged"),
        ("failed", "failed"),
    ] {
        let of_state = || {
            outcomes
                .iter()
                .filter(move |outcome| outcome.state == state)
        };
        if count(state) > 0 {
            rows.push(vec![
                shown.to_owned(),
                count(state).to_string(),
                bytes(of_state().map(|outcome| outcome.bytes).sum()),
                of_state()
                    .map(|outcome| outcome.chunks)
                    .sum::<u64>()
                    .to_string(),
                of_state()
                    .map(|outcome| outcome.tokens)
                    .sum::<u64>()
                    .to_string(),
            ]);
        }
    }
    if !pruned.is_empty() {
        rows.push(vec!["pruned".to_owned(), pruned.len().to_string()]);
    }
    let mut text = table(&["", "files", "bytes", "chunks", "tokens"], &rows);
    let (replaced, faults) = (
        sum(|outcome| outcome.replaced),
        sum(|outcome| outcome.faults),
    );
    if replaced > 0 {
        text.push_str(&format!(
            "{replaced} chunks of earlier versions were replaced\n"
        ));
    }
    if faults > 0 {
        text.push_str(&format!("{faults} places could not be read\n"));
    }
    print(&text)
}

/// A bar over files, with what is read now; invisible when standard error is no terminal.
fn bar(files: u64) -> ProgressBar {
    const STYLE: &str = "[{bar:30}] {pos}/{len} files  {prefix:>14}  {wide_msg}";
    let style =
        ProgressStyle::with_template(STYLE).unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = ProgressBar::new(files).with_style(style.progress_chars("=> "));
    bar.enable_steady_tick(std::time::Duration::from_millis(200));
    bar
}
