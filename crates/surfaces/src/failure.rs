//! The one table from error kinds to HTTP statuses and to each protocol's error body. Handlers and middleware return a
//! [`Failure`]; nobody else in this crate chooses a status for an error.

use std::time::Duration;

use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use serde_json::{Value, json};
use service::{Error, ErrorKind};

use crate::anthropic;

/// Whose wire shapes a path speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Surface {
    /// `/v1/…`: OpenAI's.
    OpenAi,
    /// `/v1/messages`, and `/v1/models` for clients that send `anthropic-version`: Anthropic's.
    Anthropic,
    /// `/api/…`: Ollama's.
    Ollama,
    /// `/mcp`: JSON-RPC.
    Mcp,
    /// `/v2/rerank`: Cohere's.
    Cohere,
    /// `/rerank`: text-embeddings-inference's.
    Tei,
    /// `/collections/…` and what belongs to it: Qdrant's.
    Qdrant,
    /// `/package.Service/Method`: gRPC.
    Grpc,
    /// Everything else: our own.
    Native,
}

impl Surface {
    /// The surface that a request for `path` speaks, whether or not a route exists there.
    pub fn of(path: &str, headers: &HeaderMap) -> Self {
        let under = |root: &str| {
            path.strip_prefix(root)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        if under("/v1/messages")
            || (under("/v1/models") && headers.contains_key(anthropic::VERSION_HEADER))
        {
            Surface::Anthropic
        } else if under("/v1") {
            Surface::OpenAi
        } else if under("/api") {
            Surface::Ollama
        } else if path == "/mcp" {
            Surface::Mcp
        } else if path == "/v2/rerank" {
            Surface::Cohere
        } else if path == "/rerank" {
            Surface::Tei
        } else if crate::qdrant::owns(path) {
            Surface::Qdrant
        } else {
            Surface::Native
        }
    }

    /// The surface that `request` speaks: that of its path, unless it is a call of gRPC. Whoever asks a gRPC path in any
    /// other way is answered like every client of HTTP.
    pub fn of_request(request: &axum::extract::Request) -> Self {
        let content_type = request.headers().get(header::CONTENT_TYPE);
        let call =
            content_type.is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"));
        if call && request.version() == http::Version::HTTP_2 {
            Surface::Grpc
        } else {
            Surface::of(request.uri().path(), request.headers())
        }
    }

    /// Metric label.
    pub fn name(self) -> &'static str {
        match self {
            Surface::OpenAi => "openai",
            Surface::Anthropic => "anthropic",
            Surface::Ollama => "ollama",
            Surface::Mcp => "mcp",
            Surface::Cohere => "cohere",
            Surface::Tei => "tei",
            Surface::Qdrant => "qdrant",
            Surface::Grpc => "grpc",
            Surface::Native => "native",
        }
    }
}

/// What an error kind means on the wire.
struct Row {
    status: u16,
    /// OpenAI's `error.type`.
    openai_type: &'static str,
    /// OpenAI's `error.code`, unless the error carries a finer one.
    openai_code: Option<&'static str>,
    /// Anthropic's `error.type`.
    anthropic_type: &'static str,
    /// Sent as `x-should-retry`, which the SDKs obey before their own rules.
    retry: bool,
}

const fn row(
    status: u16,
    openai_type: &'static str,
    openai_code: Option<&'static str>,
    anthropic_type: &'static str,
    retry: bool,
) -> Row {
    Row {
        status,
        openai_type,
        openai_code,
        anthropic_type,
        retry,
    }
}

/// The table.
#[rustfmt::skip]
fn row_of(kind: ErrorKind) -> Row {
    const REQUEST: &str = "invalid_request_error";
    const SERVER: &str = "server_error";
    const API: &str = "api_error";
    match kind {
        ErrorKind::InvalidRequest => row(400, REQUEST, None, REQUEST, false),
        ErrorKind::ContextExceeded => row(400, REQUEST, Some("context_length_exceeded"), REQUEST, false),
        ErrorKind::TooLarge => row(413, REQUEST, Some("request_too_large"), "request_too_large", false),
        ErrorKind::Unauthenticated => row(401, REQUEST, Some("invalid_api_key"), "authentication_error", false),
        ErrorKind::Forbidden => row(403, "permission_error", Some("insufficient_permissions"), "permission_error", false),
        ErrorKind::NotFound => row(404, REQUEST, Some("not_found"), "not_found_error", false),
        ErrorKind::Conflict => row(409, REQUEST, Some("conflict"), REQUEST, false),
        ErrorKind::Overloaded => row(429, "rate_limit_error", Some("rate_limit_exceeded"), "rate_limit_error", true),
        ErrorKind::Unavailable => row(503, SERVER, Some("unavailable"), "overloaded_error", true),
        ErrorKind::DeadlineExceeded => row(504, SERVER, Some("deadline_exceeded"), "timeout_error", false),
        // Nobody reads this one: the caller is gone. The number is nginx's, for the access log.
        ErrorKind::Cancelled => row(499, REQUEST, Some("cancelled"), API, false),
        ErrorKind::NotSupported => row(501, REQUEST, Some("not_supported"), "not_supported_error", false),
        ErrorKind::ModelFailed => row(500, SERVER, Some("model_failed"), API, true),
        ErrorKind::Internal => row(500, SERVER, Some("internal_error"), API, false),
        ErrorKind::DataLoss => row(500, SERVER, Some("data_loss"), API, false),
    }
}

/// The status code of gRPC for a kind (the numbers are of its public list of status codes).
pub fn grpc_code(kind: ErrorKind) -> u8 {
    match kind {
        ErrorKind::Cancelled => 1,
        ErrorKind::InvalidRequest | ErrorKind::ContextExceeded => 3,
        ErrorKind::DeadlineExceeded => 4,
        ErrorKind::NotFound => 5,
        ErrorKind::Conflict => 6,
        ErrorKind::Forbidden => 7,
        ErrorKind::TooLarge | ErrorKind::Overloaded => 8,
        ErrorKind::NotSupported => 12,
        ErrorKind::Internal => 13,
        ErrorKind::Unavailable | ErrorKind::ModelFailed => 14,
        ErrorKind::DataLoss => 15,
        ErrorKind::Unauthenticated => 16,
    }
}

/// Codes whose kind is usually worth a retry but which, for this error, is not.
const PERMANENT: &[&str] = &["model_load_failed"];

/// Wait that is suggested for a retryable error which names none.
const RETRY_AFTER_DEFAULT: Duration = Duration::from_secs(1);

/// An error on its way to a client of one surface. Boxed, so that `Result`s of handlers stay small.
#[derive(Debug)]
pub struct Failure {
    error: Box<Error>,
    surface: Surface,
    status: Option<StatusCode>,
}

impl Failure {
    /// `error` in the words of `surface`.
    pub fn new(surface: Surface, error: Error) -> Self {
        Failure {
            error: Box::new(error),
            surface,
            status: None,
        }
    }

    /// The failure of a path that exists with another method: HTTP has a status of its own for it.
    pub fn method_not_allowed(surface: Surface, method: &http::Method) -> Self {
        let error = Error::new(
            ErrorKind::NotFound,
            format!("this path does not take {method}"),
        )
        .with_code("method_not_allowed");
        Failure {
            status: Some(StatusCode::METHOD_NOT_ALLOWED),
            ..Failure::new(surface, error)
        }
    }

    /// The failure of a body that did not arrive in time: the client's slowness, not the model's.
    pub fn body_timeout(surface: Surface) -> Self {
        let error = Error::new(
            ErrorKind::DeadlineExceeded,
            "the request body did not arrive in time",
        )
        .with_code("request_timeout");
        Failure {
            status: (surface != Surface::Grpc).then_some(StatusCode::REQUEST_TIMEOUT),
            ..Failure::new(surface, error)
        }
    }

    /// The status this failure answers with.
    pub fn status(&self) -> StatusCode {
        self.status.unwrap_or_else(|| {
            if self.surface == Surface::Grpc {
                // How a call went stands in `grpc-status`.
                return StatusCode::OK;
            }
            StatusCode::from_u16(row_of(self.error.kind).status)
                .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
        })
    }
}

/// The kind of the error that a response carries, for middleware that counts it once.
#[derive(Debug, Clone, Copy)]
pub struct FailureKind(pub ErrorKind);

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let retry = row_of(self.error.kind).retry
            && !self
                .error
                .code
                .is_some_and(|code| PERMANENT.contains(&code));
        let status = self.status();
        let mut response = if self.surface == Surface::Grpc {
            grpc_answer(status, &self.error)
        } else {
            (status, axum::Json(body(self.surface, &self.error))).into_response()
        };
        let headers = response.headers_mut();
        headers.insert(
            HeaderName::from_static("x-should-retry"),
            HeaderValue::from_static(if retry { "true" } else { "false" }),
        );
        if retry {
            let wait = self.error.retry_after.unwrap_or(RETRY_AFTER_DEFAULT);
            // Whole seconds rounded up: a client that reads only this header must not come too early.
            let seconds = wait.as_millis().div_ceil(1000).max(1);
            headers.insert(header::RETRY_AFTER, number(seconds));
            headers.insert(
                HeaderName::from_static("retry-after-ms"),
                number(wait.as_millis()),
            );
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(
                header::WWW_AUTHENTICATE,
                HeaderValue::from_static("Bearer realm=\"fornax\""),
            );
        }
        response
            .extensions_mut()
            .insert(FailureKind(self.error.kind));
        response
    }
}

/// An answer of gRPC that is an error and nothing else: status and message among the headers, no body.
fn grpc_answer(status: StatusCode, error: &Error) -> Response {
    let mut response = status.into_response();
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/grpc"),
    );
    headers.insert(
        HeaderName::from_static("grpc-accept-encoding"),
        HeaderValue::from_static("identity"),
    );
    headers.extend(grpc_status(error));
    response
}

/// Most bytes of a message in a header, before it is written in percent signs; clients refuse heads of more than 8 KiB.
const GRPC_MESSAGE_BYTES_MAX: usize = 2_048;

/// How a call went, as headers of an answer without a body or as trailers behind one.
pub fn grpc_status(error: &Error) -> http::HeaderMap {
    let mut headers = http::HeaderMap::with_capacity(2);
    headers.insert(
        HeaderName::from_static("grpc-status"),
        number(u128::from(grpc_code(error.kind))),
    );
    // Percent signs for all but printable ASCII, as the protocol has it.
    let mut message = String::with_capacity(error.message.len());
    for byte in error.message.bytes().take(GRPC_MESSAGE_BYTES_MAX) {
        if (b' '..=b'~').contains(&byte) && byte != b'%' {
            message.push(char::from(byte));
        } else {
            message.push_str(&format!("%{byte:02X}"));
        }
    }
    if let Ok(message) = HeaderValue::from_str(&message) {
        headers.insert(HeaderName::from_static("grpc-message"), message);
    }
    headers
}

/// A header value of decimal digits.
fn number(value: u128) -> HeaderValue {
    HeaderValue::from_str(&value.to_string()).unwrap_or_else(|_| HeaderValue::from_static("1"))
}

/// text-embeddings-inference's word for what went wrong.
fn tei_type(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::Overloaded => "Overloaded",
        ErrorKind::Unavailable => "Unhealthy",
        ErrorKind::ModelFailed
        | ErrorKind::Internal
        | ErrorKind::DataLoss
        | ErrorKind::DeadlineExceeded => "Backend",
        _ => "Validation",
    }
}

/// The error body of `surface`; also what a stream sends when it fails in the middle.
pub fn body(surface: Surface, error: &Error) -> Value {
    match surface {
        Surface::OpenAi => {
            let row = row_of(error.kind);
            json!({"error": {
                "message": error.message,
                "type": row.openai_type,
                "param": error.field,
                "code": error.code.or(row.openai_code),
            }})
        }
        Surface::Anthropic => anthropic::failure_body(error, row_of(error.kind).anthropic_type),
        Surface::Ollama => json!({"error": error.message}),
        Surface::Mcp => crate::mcp::failure_body(error),
        Surface::Cohere => json!({
            "message": error.message,
            "code": error.code.or(row_of(error.kind).openai_code),
            "field": error.field,
        }),
        Surface::Tei => json!({"error": error.message, "error_type": tei_type(error.kind)}),
        Surface::Qdrant => crate::qdrant::failure_body(error),
        // Only streams that begin as HTTP ask for a body; gRPC says its errors in headers.
        Surface::Native | Surface::Grpc => json!({"error": {
            "kind": error.kind.name(),
            "message": error.message,
            "field": error.field,
            "code": error.code,
        }}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_status_of_its_class_and_a_body_in_both_shapes() {
        for kind in ErrorKind::ALL {
            let error = Error::new(kind, "said").at("field");
            let status = Failure::new(Surface::OpenAi, error.clone()).status();
            assert!(
                status.is_client_error() || status.is_server_error(),
                "{kind:?} {status}"
            );
            let openai = body(Surface::OpenAi, &error);
            assert_eq!(openai["error"]["message"], "said");
            assert_eq!(openai["error"]["param"], "field");
            assert!(openai["error"]["type"].is_string());
            assert_eq!(body(Surface::Native, &error)["error"]["kind"], kind.name());
        }
    }

    #[test]
    fn an_error_of_grpc_is_a_good_answer_whose_headers_say_what_is_wrong() {
        let mut codes = std::collections::BTreeSet::new();
        for kind in ErrorKind::ALL {
            let response =
                Failure::new(Surface::Grpc, Error::new(kind, "100 % für\nalle")).into_response();
            assert_eq!(response.status(), 200);
            assert_eq!(response.headers()["content-type"], "application/grpc");
            let code = response.headers()["grpc-status"].to_str().expect("text");
            codes.insert(code.parse::<u8>().expect("a number"));
            assert_eq!(
                response.headers()["grpc-message"],
                "100 %25 f%C3%BCr%0Aalle"
            );
        }
        assert!(
            codes.iter().all(|code| (1..=16).contains(code)),
            "{codes:?}"
        );
        assert!(codes.len() > 10);
    }

    #[test]
    fn a_retryable_error_says_when_in_the_three_headers_that_clients_read() {
        let error =
            Error::new(ErrorKind::Overloaded, "full").retry_after(Duration::from_millis(1500));
        let response = Failure::new(Surface::OpenAi, error).into_response();
        assert_eq!(response.status(), 429);
        assert_eq!(response.headers()["retry-after"], "2");
        assert_eq!(response.headers()["retry-after-ms"], "1500");
        assert_eq!(response.headers()["x-should-retry"], "true");
    }

    #[test]
    fn a_model_that_cannot_be_loaded_is_not_worth_a_retry_but_one_that_died_is() {
        let retry = |error: Error| {
            Failure::new(Surface::OpenAi, error)
                .into_response()
                .headers()["x-should-retry"]
                .clone()
        };
        let died = Error::new(ErrorKind::ModelFailed, "died");
        assert_eq!(retry(died.clone()), "true");
        assert_eq!(retry(died.with_code("model_load_failed")), "false");
    }

    #[test]
    fn a_permanent_error_tells_the_sdk_not_to_retry() {
        let response = Failure::new(Surface::OpenAi, Error::new(ErrorKind::NotSupported, "no"))
            .into_response();
        assert_eq!(response.status(), 501);
        assert_eq!(response.headers()["x-should-retry"], "false");
        assert!(!response.headers().contains_key("retry-after"));
    }
}
