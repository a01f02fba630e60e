//! Sending files to the server and reading what it makes of them.

use std::time::Duration;

use anyhow::Context as _;
use platform::files::sha256_file;
use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};
use tokio_util::io::ReaderStream;

use super::IngestArguments;
use super::files::Input;
use crate::cli::client::Target;
use crate::exit::{Ended, Exit};

/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest line of an answer.
const LINE_BYTES_MAX: usize = 64 << 10;
/// Longest answer that is read as a whole.
const ANSWER_BYTES_MAX: usize = 64 << 20;
/// Faults of one file that are shown; all are counted.
const MESSAGES_MAX: usize = 20;

/// What became of a file.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Its name in the collection.
    pub source: String,
    /// `stored`, `unchanged`, `failed` or `dry_run`.
    pub state: String,
    /// Its size.
    pub bytes: u64,
    /// Chunks of it.
    pub chunks: u64,
    /// Tokens in them.
    pub tokens: u64,
    /// Chunks of an earlier version that were replaced.
    pub replaced: u64,
    /// Places that could not be read.
    pub faults: u64,
    /// What was wrong, with file and place.
    pub messages: Vec<String>,
}

impl Outcome {
    /// For `--json`.
    pub fn to_json(&self) -> Value {
        json!({
            "source": self.source, "state": self.state, "bytes": self.bytes, "chunks": self.chunks,
            "tokens": self.tokens, "replaced": self.replaced, "faults": self.faults, "errors": self.messages,
        })
    }
}

/// A server and a collection of it.
pub struct Server {
    client: reqwest::Client,
    target: Target,
    address: String,
    query: Vec<(&'static str, String)>,
}

impl Server {
    /// The server of the command's configuration.
    ///
    /// # Errors
    /// The collection has a name that none can have.
    pub fn new(target: Target, arguments: &IngestArguments) -> anyhow::Result<Self> {
        let name = &arguments.collection;
        if name.is_empty() || name.contains(['/', '?', '#', '%']) {
            return Err(Ended::error(
                Exit::Usage,
                format!("'{name}' is no name of a collection"),
            ));
        }
        let base = target.url.trim_end_matches('/');
        Ok(Server {
            client: reqwest::Client::builder()
                .connect_timeout(CONNECT_TIMEOUT)
                .build()?,
            address: format!("{base}/fornax/v1/collections/{name}/ingest"),
            query: arguments.query(),
            target,
        })
    }

    /// Sends a file, unless the collection has this version of it already.
    ///
    /// # Errors
    /// The file cannot be opened, the server cannot be reached or refuses. What is wrong inside the file is in the
    /// outcome.
    pub async fn put(
        &self,
        input: &Input,
        dry_run: bool,
        mut progress: impl FnMut(u64),
    ) -> anyhow::Result<Outcome> {
        let path = input.path.clone();
        let hashed = path.clone();
        let digest = tokio::task::spawn_blocking(move || sha256_file(&hashed, &mut |_| {}))
            .await?
            .with_context(|| format!("could not read {}", path.display()))?;
        let mut outcome = Outcome {
            source: input.source.clone(),
            bytes: std::fs::metadata(&path).map_or(0, |facts| facts.len()),
            ..Outcome::default()
        };
        let mut query = self.query(input);
        if !dry_run {
            let mut query = query.clone();
            query.push(("sha256", digest));
            let state = self.request(Method::GET, &query);
            let state = answer(self.send(state).await?).await?;
            if state["state"] == "unchanged" {
                outcome.state = "unchanged".to_owned();
                return Ok(outcome);
            }
        }
        let file = tokio::fs::File::open(&path)
            .await
            .with_context(|| format!("could not read {}", path.display()))?;
        query.push(("dry_run", dry_run.to_string()));
        let request = self
            .request(Method::POST, &query)
            .body(reqwest::Body::wrap_stream(ReaderStream::new(file)));
        let response = self.send(request).await?;
        read_lines(response, |line| outcome.hear(line, &mut progress)).await?;
        if outcome.state.is_empty() {
            return Err(Ended::error(
                Exit::Unavailable,
                format!(
                    "the server ended its answer about {} too early",
                    input.source
                ),
            ));
        }
        Ok(outcome)
    }

    /// Names of the collection's files.
    ///
    /// # Errors
    /// As [`Server::put`].
    pub async fn sources(&self) -> anyhow::Result<Vec<String>> {
        let listed = answer(self.send(self.request(Method::GET, &[])).await?).await?;
        let sources = listed["sources"].as_array().into_iter().flatten();
        Ok(sources
            .filter_map(|source| source["source"].as_str())
            .map(str::to_owned)
            .collect())
    }

    /// Takes a file out of the collection.
    ///
    /// # Errors
    /// As [`Server::put`].
    pub async fn remove(&self, source: &str) -> anyhow::Result<()> {
        let query = [("source", source.to_owned())];
        let request = self.request(Method::DELETE, &query);
        answer(self.send(request).await?).await.map(drop)
    }

    fn query(&self, input: &Input) -> Vec<(&'static str, String)> {
        let mut query = self.query.clone();
        query.push(("source", input.source.clone()));
        if let Some(kind) = input.kind {
            query.retain(|(name, _)| *name != "kind");
            query.push(("kind", kind.to_owned()));
        }
        if let Some(column) = &input.vector_column {
            query.retain(|(name, _)| *name != "vector_column");
            query.push(("vector_column", column.clone()));
        }
        query
    }

    fn request(&self, method: Method, query: &[(&'static str, String)]) -> RequestBuilder {
        let parts: Vec<String> = query
            .iter()
            .map(|(name, value)| format!("{name}={}", encoded(value)))
            .collect();
        let address = format!("{}?{}", self.address, parts.join("&"));
        let request = self.client.request(method, address);
        match &self.target.key {
            Some(key) => request.bearer_auth(key.expose()),
            None => request,
        }
    }

    async fn send(&self, request: RequestBuilder) -> anyhow::Result<Response> {
        let base = &self.target.url;
        let response = request
            .send()
            .await
            .with_context(|| format!("could not reach the server at {base}"))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let body = answer(response).await.unwrap_or_default();
        let message = body["error"]["message"]
            .as_str()
            .unwrap_or("no reason was given");
        Err(Ended::error(
            crate::cli::client::exit_of(status),
            format!(
                "{base} answered {status}: {}",
                crate::cli::output::printable(message)
            ),
        ))
    }
}

/// A value as queries of addresses have it (RFC 3986).
fn encoded(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

impl Outcome {
    /// Takes one line of the answer.
    fn hear(&mut self, line: &Value, progress: &mut impl FnMut(u64)) -> anyhow::Result<()> {
        let number = |key: &str| line[key].as_u64().unwrap_or(0);
        match line["event"].as_str() {
            Some("progress") => progress(number("chunks")),
            Some("fault") => self.fault(line),
            Some("done") => {
                self.state = line["state"].as_str().unwrap_or_default().to_owned();
                self.chunks = number("chunks");
                self.tokens = number("tokens");
                self.replaced = number("replaced");
                self.faults = number("faults");
                if line["failure"].is_object() {
                    self.fault(&line["failure"]);
                }
            }
            _ => {
                let message = line["error"]["message"]
                    .as_str()
                    .unwrap_or("no reason was given");
                return Err(Ended::error(
                    Exit::Failure,
                    format!(
                        "{}: {}",
                        self.source,
                        crate::cli::output::printable(message)
                    ),
                ));
            }
        }
        Ok(())
    }

    fn fault(&mut self, fault: &Value) {
        let text = |key: &str| fault[key].as_str().unwrap_or_default();
        if self.messages.len() < MESSAGES_MAX {
            let place = text("place");
            let separator = if place.is_empty() { "" } else { ": " };
            self.messages.push(format!(
                "{}: {place}{separator}{}",
                self.source,
                text("message")
            ));
        }
    }
}

/// An answer that is one JSON value.
async fn answer(mut response: Response) -> anyhow::Result<Value> {
    let mut body = Vec::new();
    while let Some(part) = response.chunk().await? {
        if body.len() + part.len() > ANSWER_BYTES_MAX {
            return Err(Ended::error(
                Exit::Failure,
                "the server answered more than 64 MiB",
            ));
        }
        body.extend_from_slice(&part);
    }
    Ok(serde_json::from_slice(&body).unwrap_or(Value::Null))
}

/// Hands every line of an answer on as it comes.
async fn read_lines(
    mut response: Response,
    mut hear: impl FnMut(&Value) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut line = Vec::new();
    while let Some(part) = response
        .chunk()
        .await
        .context("the server broke its answer off")?
    {
        for byte in part {
            if byte != b'\n' {
                line.push(byte);
                anyhow::ensure!(
                    line.len() <= LINE_BYTES_MAX,
                    "the server sent an endless line"
                );
                continue;
            }
            hear(&serde_json::from_slice(&line)?)?;
            line.clear();
        }
    }
    Ok(())
}
