//! One client on our standard streams, one server over HTTP.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use platform::Secret;
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::events::Events;
use super::headers;
use crate::cli::client::Target;
use crate::cli::output::{error_line, printable};

/// Largest answer that is not a stream.
const ANSWER_BYTES_MAX: usize = 64 << 20;
/// Before what the server says by itself is asked for again.
const LISTEN_AGAIN: Duration = Duration::from_secs(2);
/// How long the end of a session may take; the server forgets it by itself too.
const END_TIMEOUT: Duration = Duration::from_secs(2);
/// JSON-RPC's "internal error": the server could not be asked.
const NOT_ANSWERED: i64 = -32603;
/// JSON-RPC's "invalid request": the line was JSON, but no message.
const NOT_A_MESSAGE: i64 = -32600;

/// What the older revisions agree on once.
#[derive(Clone)]
struct Session {
    id: Option<String>,
    version: String,
}

/// The way between the two.
pub struct Bridge {
    http: reqwest::Client,
    url: String,
    key: Option<Secret>,
    lines: mpsc::Sender<String>,
    session: Mutex<Option<Session>>,
    /// Requests under way by their id as JSON text, so that they can be cancelled; and which of them are streams without
    /// end.
    running: Mutex<HashMap<String, Running>>,
    /// Ends what listens beside the requests.
    ended: CancellationToken,
}

struct Running {
    cancelled: CancellationToken,
    endless: bool,
}

impl Bridge {
    /// Speaks for the server at `target`; messages to the client go to `lines`.
    ///
    /// # Errors
    /// The HTTP client cannot be made.
    pub fn new(target: Target, lines: mpsc::Sender<String>) -> anyhow::Result<Self> {
        Ok(Bridge {
            // No timeout: a model may take long, and the client cancels when it no longer wants to wait.
            http: reqwest::Client::builder().build()?,
            url: format!("{}/mcp", target.url.trim_end_matches('/')),
            key: target.key,
            lines,
            session: Mutex::default(),
            running: Mutex::default(),
            ended: CancellationToken::new(),
        })
    }

    /// The server's address.
    pub fn url(&self) -> &str {
        &self.url
    }

    fn session(&self) -> Option<Session> {
        self.session
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn running(&self) -> MutexGuard<'_, HashMap<String, Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a message to the client.
    pub async fn say(&self, message: &Value) {
        self.say_text(&message.to_string()).await;
    }

    async fn say_text(&self, text: &str) {
        // One message is one line; JSON has no raw line breaks within its texts, but may have them between.
        let line = text.replace(['\r', '\n'], " ");
        if self.lines.send(line).await.is_err() {
            tracing::debug!("nobody reads any more");
        }
    }

    /// Sends a message of the client to the server, and what comes back to the client.
    pub async fn pass(self: &Arc<Self>, message: Value) {
        let id = message
            .get("id")
            .filter(|_| message.get("method").is_some())
            .cloned();
        if message["method"] == "notifications/cancelled" && self.cancel(&message) {
            return;
        }
        let cancelled = self.begin(&message, id.as_ref());
        let outcome = tokio::select! {
            outcome = self.exchange(&message, id.as_ref()) => outcome,
            () = cancelled.cancelled() => Ok(()),
        };
        if let Some(id) = &id {
            self.running().remove(&id.to_string());
        }
        let Err(error) = outcome else { return };
        let text = printable(&format!("{error:#}"));
        match id {
            Some(id) => {
                let error = json!({"code": NOT_ANSWERED, "message": text});
                self.say(&json!({"jsonrpc": "2.0", "id": id, "error": error}))
                    .await;
            }
            None if ["method", "result", "error"]
                .iter()
                .any(|field| message.get(field).is_some()) =>
            {
                error_line(&format!("error: {text}"));
            }
            None => {
                let error = json!({"code": NOT_A_MESSAGE, "message": text});
                self.say(&json!({"jsonrpc": "2.0", "error": error})).await;
            }
        }
    }

    fn begin(&self, message: &Value, id: Option<&Value>) -> CancellationToken {
        let cancelled = CancellationToken::new();
        if let Some(id) = id {
            let running = Running {
                cancelled: cancelled.clone(),
                endless: message["method"] == "subscriptions/listen",
            };
            self.running().insert(id.to_string(), running);
        }
        cancelled
    }

    /// Over HTTP the new revision cancels by closing the stream. Whether that was done; otherwise the notification goes on
    /// to the server as it is.
    fn cancel(&self, message: &Value) -> bool {
        let id = message["params"]["requestId"].to_string();
        if self.session().is_some() {
            return false;
        }
        if let Some(running) = self.running().get(&id) {
            running.cancelled.cancel();
        }
        true
    }

    /// Ends the streams that would not end by themselves.
    pub fn end_streams(&self) {
        for running in self.running().values().filter(|running| running.endless) {
            running.cancelled.cancel();
        }
        self.ended.cancel();
    }

    async fn exchange(self: &Arc<Self>, message: &Value, id: Option<&Value>) -> anyhow::Result<()> {
        let initialize = message["method"] == "initialize";
        let request = self
            .request(Method::POST, headers::own_version(message).is_none())
            .header("accept", "application/json, text/event-stream")
            .json(message);
        let request = headers::of(message)
            .into_iter()
            .fold(request, |request, (name, value)| {
                request.header(name, value)
            });
        let response = request
            .send()
            .await
            .with_context(|| format!("could not reach the server at {}", self.url))?;
        let new_session = initialize.then(|| {
            let id = response.headers().get("mcp-session-id")?;
            Some(id.to_str().ok()?.to_owned())
        });
        let mut answers = Answers {
            bridge: self,
            id,
            version: None,
            answered: false,
        };
        answers.pass_on(response).await?;
        let (answered, version) = (answers.answered, answers.version);
        if let (Some(id), Some(version)) = (new_session, version) {
            let session = Session { id, version };
            *self.session.lock().unwrap_or_else(PoisonError::into_inner) = Some(session);
        }
        if message["method"] == "notifications/initialized" {
            let bridge = Arc::clone(self);
            tokio::spawn(async move { bridge.listen().await });
        }
        if id.is_some() && !answered {
            anyhow::bail!("the server ended its answer early");
        }
        Ok(())
    }

    fn request(&self, method: Method, in_session: bool) -> RequestBuilder {
        let mut request = self.http.request(method, &self.url);
        if let Some(key) = &self.key {
            request = request.bearer_auth(key.expose());
        }
        if let Some(session) = self.session().filter(|_| in_session) {
            request = request.header("mcp-protocol-version", session.version);
            if let Some(id) = session.id {
                request = request.header("mcp-session-id", id);
            }
        }
        request
    }

    /// Passes on what the server says by itself in a session, until the client or the session ends.
    async fn listen(self: Arc<Self>) {
        if self.session().is_none_or(|session| session.id.is_none()) {
            return;
        }
        loop {
            let request = self
                .request(Method::GET, true)
                .header("accept", "text/event-stream");
            let heard = async {
                let response = request.send().await?;
                let status = response.status();
                if !status.is_success() {
                    return Ok(Some(status));
                }
                let mut answers = Answers {
                    bridge: &self,
                    id: None,
                    version: None,
                    answered: false,
                };
                answers.pass_on(response).await?;
                anyhow::Ok(None)
            };
            let status = tokio::select! {
                () = self.ended.cancelled() => return,
                heard = heard => heard.ok().flatten(),
            };
            // The session is gone, or this server says nothing by itself.
            if status.is_some_and(|status| status.is_client_error()) {
                return;
            }
            tokio::select! {
                () = self.ended.cancelled() => return,
                () = tokio::time::sleep(LISTEN_AGAIN) => {}
            }
        }
    }

    /// Tells the server that the session is over.
    pub async fn end_session(&self) {
        self.end_streams();
        let Some(Session { id: Some(_), .. }) = self.session() else {
            return;
        };
        let request = self.request(Method::DELETE, true).timeout(END_TIMEOUT);
        if let Err(error) = request.send().await {
            tracing::debug!(%error, "the session could not be ended");
        }
    }
}

/// What the server answers to one message.
struct Answers<'a> {
    bridge: &'a Bridge,
    /// Of the request.
    id: Option<&'a Value>,
    /// The revision that `initialize` agreed on.
    version: Option<String>,
    /// The answer itself has come.
    answered: bool,
}

impl Answers<'_> {
    async fn pass_on(&mut self, mut response: Response) -> anyhow::Result<()> {
        let status = response.status();
        let is_stream = response
            .headers()
            .get("content-type")
            .is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
        if is_stream {
            let mut events = Events::default();
            while let Some(chunk) = response.chunk().await? {
                for event in events.take(&chunk)? {
                    self.message(&event, status).await?;
                }
            }
            return Ok(());
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            anyhow::ensure!(
                body.len() + chunk.len() <= ANSWER_BYTES_MAX,
                "the server answered more than 64 MiB"
            );
            body.extend_from_slice(&chunk);
        }
        if body.is_empty() {
            anyhow::ensure!(status.is_success(), "the server answered {status}");
            return Ok(());
        }
        self.message(&String::from_utf8_lossy(&body), status).await
    }

    async fn message(&mut self, text: &str, status: StatusCode) -> anyhow::Result<()> {
        let message: Value = serde_json::from_str(text)
            .with_context(|| format!("the server answered {status} with what is not JSON"))?;
        let answers = message.get("result").is_some() || message.get("error").is_some();
        if answers && message.get("id").is_none() {
            // A refusal from before the message was read; only we know what it answers.
            let reason = message["error"]["message"].as_str();
            anyhow::bail!("{}", reason.unwrap_or("the server refused the message"));
        }
        if answers && message.get("id") == self.id {
            self.answered = true;
            self.version = message["result"]["protocolVersion"]
                .as_str()
                .map(str::to_owned);
        }
        self.bridge.say_text(text).await;
        Ok(())
    }
}
