//! `ask`: a question answered from a collection of a running server, as it is written, with the sources below.

use std::collections::BTreeSet;

use anyhow::Context as _;
use clap::Args;
use reqwest::Method;
use serde_json::{Value, json};

use super::mcp::events::Events;
use super::output::{print, print_json, printable};
use super::{Context, client, small_runtime};
use crate::exit::{Ended, Exit};

/// Flags of `ask`.
#[derive(Debug, Args)]
pub struct AskArguments {
    /// What to ask
    pub question: String,
    /// Collection to look in; may be repeated
    #[arg(long = "collection", short = 'c', required = true, value_name = "NAME")]
    pub collections: Vec<String>,
    /// Model that answers [default: answers.model of the server, or its only one]
    #[arg(long, value_name = "MODEL")]
    pub model: Option<String>,
    /// Most passages to show the model
    #[arg(long, default_value_t = 8, value_name = "COUNT")]
    pub limit: usize,
    /// Ranking model for what was found [default: answers.reranker of the server]
    #[arg(long, value_name = "MODEL", conflicts_with = "no_rerank")]
    pub rerank: Option<String>,
    /// Keep the order of the search
    #[arg(long)]
    pub no_rerank: bool,
    /// Most tokens to write
    #[arg(long, value_name = "COUNT")]
    pub max_tokens: Option<u32>,
    /// 0 writes the likeliest, 2 almost anything
    #[arg(long, value_name = "DEGREE")]
    pub temperature: Option<f32>,
    /// The same seed gives the same answer
    #[arg(long)]
    pub seed: Option<u64>,
    /// The whole answer as JSON, at its end
    #[arg(long)]
    pub json: bool,
}

/// `fornax ask`.
pub fn ask(context: &Context, arguments: &AskArguments) -> anyhow::Result<()> {
    let rerank = match (&arguments.rerank, arguments.no_rerank) {
        (Some(model), _) => json!(model),
        (None, no) => json!(!no),
    };
    let body = json!({
        "question": arguments.question,
        "collections": arguments.collections,
        "model": arguments.model,
        "limit": arguments.limit,
        "rerank": rerank,
        "max_tokens": arguments.max_tokens,
        "temperature": arguments.temperature,
        "seed": arguments.seed,
        "stream": !arguments.json,
    });
    small_runtime()?.block_on(async {
        if arguments.json {
            return print_json(&client::post(context, "/fornax/v1/answer", &body).await?);
        }
        let sent = Some(body.to_string().into());
        let reply = client::exchange(context, Method::POST, "/fornax/v1/answer", sent).await?;
        if !reply.status().is_success() {
            return client::answer("the server", reply).await.map(drop);
        }
        stream(reply).await
    })
}

async fn stream(mut reply: reqwest::Response) -> anyhow::Result<()> {
    let mut events = Events::default();
    let mut answer = Streamed::default();
    while let Some(bytes) = reply.chunk().await.context("the answer broke off")? {
        for event in events.take(&bytes)? {
            answer.take(&serde_json::from_str(&event)?)?;
        }
    }
    answer.end()
}

/// An answer as its events come. Each has one shape, so the names of events are not needed.
#[derive(Default)]
struct Streamed {
    sources: Vec<Value>,
    cited: BTreeSet<u64>,
    ended: bool,
}

impl Streamed {
    fn take(&mut self, event: &Value) -> anyhow::Result<()> {
        if let Some(sources) = event["sources"].as_array() {
            self.sources.clone_from(sources);
        } else if let Some(number) = event["number"].as_u64() {
            self.cited.insert(number);
        } else if let Some(text) = event["text"].as_str() {
            // Line breaks belong to an answer; other control characters are the terminal's.
            let lines: Vec<String> = text.split('\n').map(printable).collect();
            print(&lines.join("\n"))?;
        } else if let Some(error) = event.get("error") {
            let message = error["message"].as_str().unwrap_or("no reason was given");
            return Err(Ended::error(Exit::Failure, printable(message)));
        } else if event.get("finish_reason").is_some() {
            self.ended = true;
        }
        Ok(())
    }

    fn end(&self) -> anyhow::Result<()> {
        print("\n")?;
        if !self.ended {
            return Err(Ended::error(
                Exit::Unavailable,
                "the answer broke off".to_owned(),
            ));
        }
        if self.sources.is_empty() {
            return print("\nnothing was found\n");
        }
        print("\nsources (* cited):\n")?;
        for source in &self.sources {
            let number = source["number"].as_u64().unwrap_or(0);
            let mark = if self.cited.contains(&number) {
                '*'
            } else {
                ' '
            };
            let name = printable(source["source"].as_str().unwrap_or("?"));
            let place: Vec<String> = ["page", "row"]
                .iter()
                .filter_map(|key| Some(format!(", {key} {}", source["place"].get(*key)?)))
                .collect();
            let score = source["score"].as_f64().unwrap_or(0.0);
            print(&format!(
                "{mark} [{number}] {name}{}  ({score:.3})\n",
                place.concat()
            ))?;
        }
        Ok(())
    }
}
