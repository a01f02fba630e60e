//! Asking a running server.

use std::time::Duration;

use anyhow::Context as _;
use platform::Secret;
use serde_json::Value;

use super::Context;
use crate::exit::{Ended, Exit};

/// These questions are answered from memory; a server that takes longer is stuck.
const TIMEOUT: Duration = Duration::from_secs(10);
/// A question for which a model may have to be loaded first.
const LOADING_TIMEOUT: Duration = Duration::from_secs(300);
/// Largest answer that is read.
const ANSWER_BYTES_MAX: usize = 16 << 20;

/// GETs `path` of the server as JSON.
///
/// # Errors
/// No server is known or reachable, it refuses the key, or it answers something else than JSON.
pub async fn get(context: &Context, path: &str) -> anyhow::Result<Value> {
    ask(context, reqwest::Method::GET, path, None, TIMEOUT).await
}

/// Sends `DELETE` for `path` and reads the answer as JSON.
///
/// # Errors
/// As [`get`].
pub async fn delete(context: &Context, path: &str) -> anyhow::Result<Value> {
    ask(context, reqwest::Method::DELETE, path, None, TIMEOUT).await
}

/// POSTs `body` to `path` and reads the answer as JSON; a model may have to be loaded for it.
///
/// # Errors
/// As [`get`].
pub async fn post(context: &Context, path: &str, body: &Value) -> anyhow::Result<Value> {
    ask(
        context,
        reqwest::Method::POST,
        path,
        Some(body),
        LOADING_TIMEOUT,
    )
    .await
}

/// The exit code of a refusal.
pub fn exit_of(status: reqwest::StatusCode) -> Exit {
    match status.as_u16() {
        400 | 413 | 422 => Exit::Usage,
        401 | 403 => Exit::Denied,
        404 => Exit::NotFound,
        409 => Exit::Conflict,
        429 | 503 => Exit::Unavailable,
        501 => Exit::NotSupported,
        _ => Exit::Failure,
    }
}

/// Sends `method` for `path` with a JSON body, waits up to `timeout`, and reads the answer as JSON.
///
/// # Errors
/// As [`get`].
pub async fn send(
    context: &Context,
    method: reqwest::Method,
    path: &str,
    body: &Value,
    timeout: Duration,
) -> anyhow::Result<Value> {
    ask(context, method, path, Some(body), timeout).await
}

/// Sends a request, and returns what came before its body. For answers that are no JSON.
///
/// # Errors
/// No server is known or reachable.
pub async fn exchange(
    context: &Context,
    method: reqwest::Method,
    path: &str,
    body: Option<reqwest::Body>,
) -> anyhow::Result<reqwest::Response> {
    let base = server_url(context)?;
    let url = format!("{}{path}", base.trim_end_matches('/'));
    let mut request = reqwest::Client::builder().build()?.request(method, &url);
    if let Some(key) = key(context)? {
        request = request.bearer_auth(key.expose());
    }
    if let Some(body) = body {
        request = request.body(body);
    }
    request
        .send()
        .await
        .with_context(|| format!("could not reach the server at {base}"))
}

async fn ask(
    context: &Context,
    method: reqwest::Method,
    path: &str,
    body: Option<&Value>,
    timeout: Duration,
) -> anyhow::Result<Value> {
    let base = server_url(context)?;
    let url = format!("{}{path}", base.trim_end_matches('/'));
    let mut request = reqwest::Client::builder()
        .timeout(timeout)
        .build()?
        .request(method, &url);
    if let Some(body) = body {
        request = request.json(body);
    }
    if let Some(key) = key(context)? {
        request = request.bearer_auth(key.expose());
    }
    if let Some(body) = body {
        request = request.json(body);
    }
    let response = request
        .send()
        .await
        .with_context(|| format!("could not reach the server at {base}"))?;
    answer(&base, response).await
}

/// Reads an answer as JSON.
///
/// # Errors
/// It says no, or is too long.
pub async fn answer(base: &str, mut response: reqwest::Response) -> anyhow::Result<Value> {
    let status = response.status();
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > ANSWER_BYTES_MAX {
            return Err(Ended::error(
                Exit::Failure,
                format!("{base} answered more than 16 MiB"),
            ));
        }
        body.extend_from_slice(&chunk);
    }
    let value: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
    if status.is_success() {
        return Ok(value);
    }
    let message = value["error"]["message"]
        .as_str()
        .or_else(|| value["status"]["error"].as_str())
        .unwrap_or("no reason was given")
        .to_owned();
    let exit = exit_of(status);
    Err(Ended::error(
        exit,
        format!(
            "{base} answered {status}: {}",
            super::output::printable(&message)
        ),
    ))
}

/// A server, and the key to show it.
pub struct Target {
    /// Its address, without a path.
    pub url: String,
    /// The key, when there is one.
    pub key: Option<Secret>,
}

/// The server that client commands talk to.
///
/// # Errors
/// None is known, or the key file cannot be read.
pub fn target(context: &Context) -> anyhow::Result<Target> {
    Ok(Target {
        url: server_url(context)?,
        key: key(context)?,
    })
}

fn server_url(context: &Context) -> anyhow::Result<String> {
    let given = &context.loaded.settings.client.url;
    if !given.is_empty() {
        return Ok(given.clone());
    }
    context.directory.server_url().ok_or_else(|| {
        Ended::error(
            Exit::Unavailable,
            format!(
                "no server runs on {}; start one with `fornax serve`, or name one with FORNAX_URL",
                context.directory.root().display()
            ),
        )
    })
}

fn key(context: &Context) -> anyhow::Result<Option<Secret>> {
    let given = &context.loaded.settings.client.api_key;
    if !given.is_empty() {
        return Ok(Some(given.clone()));
    }
    // The file's key belongs to the server of this data directory; a server that the caller names must not get it.
    let named = &context.loaded.settings.client.url;
    if !belongs(named, context.directory.server_url().as_deref()) {
        return Ok(None);
    }
    context.directory.read_admin_key().with_context(|| {
        format!(
            "could not read {}; set FORNAX_API_KEY instead",
            context.directory.admin_key().display()
        )
    })
}

/// Whether the address `named` (empty: none) is that of the server that announced itself as `own`.
fn belongs(named: &str, own: Option<&str>) -> bool {
    let plain = |url: &str| {
        url.trim_end_matches('/')
            .replacen("://localhost:", "://127.0.0.1:", 1)
    };
    named.is_empty() || own.is_some_and(|own| plain(own) == plain(named))
}

#[cfg(test)]
mod tests {
    use super::belongs;

    #[test]
    fn the_administrators_key_goes_to_no_other_server() {
        let own = Some("http://127.0.0.1:8080");
        assert!(belongs("", own));
        assert!(belongs("", None));
        assert!(belongs("http://127.0.0.1:8080/", own));
        assert!(belongs("http://localhost:8080", own));
        assert!(!belongs("http://127.0.0.1:8081", own));
        assert!(!belongs("http://elsewhere.example", own));
        assert!(!belongs("http://elsewhere.example", None));
    }
}
