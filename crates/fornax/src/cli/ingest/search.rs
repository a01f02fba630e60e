//! `search`: a question to a collection.

use clap::Args;
use serde_json::{Value, json};

use crate::cli::output::{print, print_json, printable};
use crate::cli::{Context, client, small_runtime};

/// Arguments of `search`.
#[derive(Debug, Args)]
pub struct SearchArguments {
    /// What to look for
    pub query: String,
    /// Collection
    #[arg(long, short = 'c', value_name = "NAME")]
    pub collection: String,
    /// How texts are compared: hybrid, dense or words
    #[arg(long, value_name = "MODE", default_value = "hybrid")]
    pub mode: String,
    /// Most results
    #[arg(long, short = 'n', value_name = "COUNT", default_value_t = 5)]
    pub limit: usize,
    /// Embedding model; without it the one that made the collection
    #[arg(long, value_name = "MODEL")]
    pub model: Option<String>,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

/// Characters of a result's text that are shown.
const TEXT_CHARACTERS: usize = 400;

/// `fornax search`.
pub fn search(context: &Context, arguments: &SearchArguments) -> anyhow::Result<()> {
    let mut body =
        json!({"query": arguments.query, "mode": arguments.mode, "limit": arguments.limit});
    if let Some(model) = &arguments.model {
        body["model"] = Value::from(model.as_str());
    }
    let path = format!("/fornax/v1/collections/{}/search", arguments.collection);
    let found = small_runtime()?.block_on(client::post(context, &path, &body))?;
    if arguments.json {
        return print_json(&found);
    }
    let results = found["results"].as_array().cloned().unwrap_or_default();
    if results.is_empty() {
        return print("nothing was found\n");
    }
    let mut text = String::new();
    for (index, result) in results.iter().enumerate() {
        text.push_str(&shown(index + 1, result));
    }
    print(&text)
}

/// One result: its source and place, then its text.
fn shown(number: usize, result: &Value) -> String {
    let payload = &result["payload"];
    let mut head = format!("{number}. {}", payload["source"].as_str().unwrap_or("?"));
    for key in ["page", "row"] {
        if let Some(value) = payload[key].as_u64() {
            head.push_str(&format!(", {key} {value}"));
        }
    }
    let headings = payload["headings"].as_array().into_iter().flatten();
    let headings: Vec<&str> = headings.filter_map(Value::as_str).collect();
    if !headings.is_empty() {
        head.push_str(&format!(" ({})", headings.join(" / ")));
    }
    let score = result["score"].as_f64().unwrap_or(0.0);
    let words: Vec<&str> = payload["text"]
        .as_str()
        .unwrap_or_default()
        .split_whitespace()
        .collect();
    let words = words.join(" ");
    let mut text: String = words.chars().take(TEXT_CHARACTERS).collect();
    if text.len() < words.len() {
        text.push('…');
    }
    format!(
        "{}  [{score:.3}]\n   {}\n",
        printable(&head),
        printable(&text)
    )
}
