//! HTTP as pulls need it: redirects followed by hand, so that the token stays with the hub and no hop falls back to
//! plain HTTP; transient failures told apart from final ones.

use std::sync::Arc;
use std::time::Duration;

use platform::Secret;
use reqwest::header::{
    ACCEPT_ENCODING, AUTHORIZATION, HeaderMap, HeaderValue, LOCATION, RETRY_AFTER,
};
use reqwest::redirect::Policy;
use reqwest::{Response, StatusCode, Url};

use super::PullOptions;
use super::hub::digest;
use super::public::{PublicNames, is_private};
use crate::files::error::quotable;
use crate::store::error::StoreError;

/// Redirects of one request; a hub needs two.
const REDIRECTS_MAX: usize = 8;
/// Time to connect.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
/// Time without a byte, after which a connection counts as dead.
pub(super) const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// Longest pause that a server may ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(60);
/// The digest of the file behind a hub's redirect.
const LINKED_ETAG: &str = "x-linked-etag";

/// A failed attempt.
#[derive(Debug)]
pub(super) enum Failure {
    /// Trying again may help, after the pause when the server named one.
    Transient {
        error: StoreError,
        pause: Option<Duration>,
    },
    /// Trying again will not help.
    Final(StoreError),
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Final(error)
    }
}

impl Failure {
    pub(super) fn transient(url: &Url, reason: impl Into<String>) -> Self {
        Self::Transient {
            error: StoreError::Network {
                url: displayed(url),
                reason: reason.into(),
            },
            pause: None,
        }
    }
}

/// The last answer of a chain of redirects.
#[derive(Debug)]
pub(super) struct Answer {
    pub response: Response,
    /// Digest that the hub promised on the way, 64 hexadecimal digits.
    pub linked_sha256: Option<String>,
}

/// A client for one pull.
pub(super) struct Client {
    http: reqwest::Client,
    hub: Url,
    token: Option<Secret>,
    allow_http: bool,
    public_only: bool,
    attempts_max: u32,
    retry_delay: Duration,
}

impl Client {
    /// A client for the options of a pull whose first request goes to `first`, or to the hub.
    pub(super) fn new(options: &PullOptions, first: Option<&Url>) -> Result<Self, StoreError> {
        let invalid = |reason: String| StoreError::InvalidSource {
            source_text: quotable(&options.hub_url),
            reason,
        };
        let hub = Url::parse(&options.hub_url)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.host_str().is_some())
            .ok_or_else(|| invalid("the hub's address cannot be read".to_owned()))?;
        let mut builder = reqwest::Client::builder()
            .redirect(Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(IDLE_TIMEOUT)
            .user_agent(concat!("fornax/", env!("CARGO_PKG_VERSION")));
        if is_loopback(first.unwrap_or(&hub)) {
            builder = builder.no_proxy();
        }
        if options.public_only {
            let trusted = hub.host_str().map(str::to_owned);
            builder = builder.dns_resolver(Arc::new(PublicNames { trusted }));
        }
        let http = builder
            .build()
            .map_err(|error| invalid(format!("no HTTP client: {error}")))?;
        Ok(Self {
            http,
            hub,
            token: options.token.clone().filter(|token| !token.is_empty()),
            allow_http: options.allow_http,
            public_only: options.public_only,
            attempts_max: options.attempts_max.max(1),
            retry_delay: options.retry_delay,
        })
    }

    /// The address of `segments` (percent-encoded here) below the hub's base address.
    pub(super) fn hub_address(&self, segments: &[&str]) -> Url {
        let mut url = self.hub.clone();
        url.set_query(None);
        url.set_fragment(None);
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(segments);
        }
        url
    }

    /// The hub's base address, for the origin in the manifest.
    pub(super) fn hub_url(&self) -> String {
        displayed(&self.hub)
    }

    /// Number of attempts without progress, and the pause before attempt `attempt` (1 is the first repetition).
    pub(super) fn attempts_max(&self) -> u32 {
        self.attempts_max
    }

    /// Waits before repetition number `attempt` (from 1): doubling, or as the server asked.
    pub(super) async fn pause(&self, attempt: u32, asked: Option<Duration>) {
        /// Longest pause of our own.
        const PAUSE_MAX: Duration = Duration::from_secs(30);
        let doubled = self
            .retry_delay
            .saturating_mul(1 << attempt.saturating_sub(1).min(10));
        let pause = asked.map_or(doubled.min(PAUSE_MAX), |asked| asked.min(RETRY_AFTER_MAX));
        tokio::time::sleep(pause).await;
    }

    /// GET with redirects. The answer has a status below 300, or 416 when a range was asked for.
    pub(super) async fn get(&self, url: &Url, headers: &HeaderMap) -> Result<Answer, Failure> {
        let mut url = url.clone();
        let mut linked_sha256 = None;
        self.expect_safe(&url, None)?;
        for _ in 0..=REDIRECTS_MAX {
            let mut request = self
                .http
                .get(url.clone())
                .headers(headers.clone())
                .header(ACCEPT_ENCODING, "identity");
            if let Some(token) = self.token_for(&url)? {
                request = request.header(AUTHORIZATION, token);
            }
            let response = request
                .send()
                .await
                .map_err(|error| Failure::transient(&url, chain(&error)))?;
            // Only the hub itself may promise a digest.
            if same_origin(&url, &self.hub) && linked_sha256.is_none() {
                let header = response.headers().get(LINKED_ETAG);
                linked_sha256 = header
                    .and_then(|value| value.to_str().ok())
                    .and_then(digest);
            }
            let status = response.status();
            if status.is_redirection() {
                let target = redirect_target(&url, &response)?;
                self.expect_safe(&target, Some(&url))?;
                url = target;
                continue;
            }
            let range_refused = status == StatusCode::RANGE_NOT_SATISFIABLE
                && headers.contains_key(reqwest::header::RANGE);
            if status.is_success() || range_refused {
                return Ok(Answer {
                    response,
                    linked_sha256,
                });
            }
            return Err(refused(&url, &response, self.token.is_some()));
        }
        Err(Failure::Final(StoreError::Network {
            url: displayed(&url),
            reason: format!("more than {REDIRECTS_MAX} redirects"),
        }))
    }

    /// A body of at most `bytes_max` bytes, with retries.
    pub(super) async fn small_body(
        &self,
        url: Url,
        bytes_max: usize,
    ) -> Result<Vec<u8>, StoreError> {
        let mut attempt = 0;
        loop {
            let (error, pause) = match self.try_small_body(&url, bytes_max).await {
                Ok(body) => return Ok(body),
                Err(Failure::Final(error)) => return Err(error),
                Err(Failure::Transient { error, pause }) => (error, pause),
            };
            attempt += 1;
            if attempt >= self.attempts_max {
                return Err(error);
            }
            tracing::debug!(attempt, %error, "request failed, trying again");
            self.pause(attempt, pause).await;
        }
    }

    async fn try_small_body(&self, url: &Url, bytes_max: usize) -> Result<Vec<u8>, Failure> {
        let mut response = self.get(url, &HeaderMap::new()).await?.response;
        let mut body = Vec::new();
        loop {
            let chunk = response
                .chunk()
                .await
                .map_err(|error| Failure::transient(url, chain(&error)))?;
            let Some(chunk) = chunk else { return Ok(body) };
            if body.len() + chunk.len() > bytes_max {
                return Err(Failure::Final(StoreError::TooLarge {
                    what: displayed(url),
                    bytes: (body.len() + chunk.len()) as u64,
                    limit: bytes_max as u64,
                }));
            }
            body.extend_from_slice(&chunk);
        }
    }

    /// The token goes to the hub, nowhere else: not to the hosts that it redirects to, not to other addresses.
    fn token_for(&self, url: &Url) -> Result<Option<HeaderValue>, StoreError> {
        let Some(token) = self.token.as_ref().filter(|_| same_origin(url, &self.hub)) else {
            return Ok(None);
        };
        let mut value =
            HeaderValue::from_str(&format!("Bearer {}", token.expose())).map_err(|_| {
                StoreError::InvalidSource {
                    source_text: displayed(url),
                    reason: "the token holds characters that no header may hold".to_owned(),
                }
            })?;
        value.set_sensitive(true);
        Ok(Some(value))
    }

    /// Public addresses only, where that was asked; https everywhere; http on this machine or when allowed, and never as a step down from https.
    fn expect_safe(&self, url: &Url, from: Option<&Url>) -> Result<(), StoreError> {
        let refuse = |reason: &str| {
            Err(StoreError::InvalidSource {
                source_text: displayed(url),
                reason: reason.to_owned(),
            })
        };
        if self.public_only && is_private(url) && !same_origin(url, &self.hub) {
            return refuse(
                "addresses inside the server's own network need a key with the scope admin",
            );
        }
        match url.scheme() {
            "https" => Ok(()),
            "http" if self.allow_http => Ok(()),
            "http" if from.is_some_and(|from| from.scheme() == "https") => {
                refuse("an https address redirects to plain http")
            }
            "http" if is_loopback(url) => Ok(()),
            "http" => refuse("plain http would let anyone on the way change the model; use https"),
            _ => refuse("only https is followed"),
        }
    }
}

fn redirect_target(url: &Url, response: &Response) -> Result<Url, StoreError> {
    let location = response.headers().get(LOCATION);
    location
        .and_then(|value| value.to_str().ok())
        .and_then(|text| url.join(text).ok())
        .ok_or_else(|| StoreError::Network {
            url: displayed(url),
            reason: format!("answered {} without a readable Location", response.status()),
        })
}

/// Sorts a status that is no success.
fn refused(url: &Url, response: &Response, with_token: bool) -> Failure {
    let status = response.status();
    let reason = match status.as_u16() {
        401 | 403 if with_token => {
            "the token may not read it: accept the licence on the hub's page or use another token"
        }
        401 | 403 => "private or gated: give a token that may read it",
        404 => "there is no such repository, revision or file (or it is private: give a token)",
        429 => "too many requests",
        500..=599 => "the server failed",
        _ => "unexpected answer",
    };
    let error = StoreError::Refused {
        url: displayed(url),
        status: status.as_u16(),
        reason: reason.to_owned(),
    };
    if !matches!(status.as_u16(), 408 | 425 | 429 | 500 | 502 | 503 | 504) {
        return Failure::Final(error);
    }
    let seconds = response.headers().get(RETRY_AFTER);
    let seconds = seconds.and_then(|value| value.to_str().ok()?.trim().parse().ok());
    Failure::Transient {
        error,
        pause: seconds.map(Duration::from_secs),
    }
}

/// An address as errors and manifests show it: without user, password, query and fragment, which may hold secrets.
pub(super) fn displayed(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.set_fragment(None);
    // These only fail for addresses that cannot carry a user at all.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.to_string()
}

fn same_origin(a: &Url, b: &Url) -> bool {
    a.scheme() == b.scheme()
        && a.host_str() == b.host_str()
        && a.port_or_known_default() == b.port_or_known_default()
}

fn is_loopback(url: &Url) -> bool {
    let Some(host) = url.host_str() else {
        return false;
    };
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || address
            .parse()
            .is_ok_and(|address: std::net::IpAddr| address.is_loopback())
}

/// An error with its causes, without the address (which may hold a signature in its query).
pub(super) fn chain(error: &reqwest::Error) -> String {
    let mut text = String::new();
    let mut cause: Option<&dyn std::error::Error> = std::error::Error::source(error);
    while let Some(current) = cause {
        if !text.is_empty() {
            text.push_str(": ");
        }
        text.push_str(&current.to_string());
        cause = current.source();
    }
    match (text.is_empty(), error.is_timeout()) {
        (false, _) => text,
        (true, true) => "timed out".to_owned(),
        (true, false) => "the connection failed".to_owned(),
    }
}
