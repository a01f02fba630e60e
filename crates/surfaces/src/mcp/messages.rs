//! The shape of a JSON-RPC 2.0 message, checked before anything is done with it: what is no message gets an error that says
//! why, in JSON-RPC's own words.

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use rmcp::model::ErrorCode;
use serde_json::{Map, Value, json};

/// Longest method name, in bytes; the longest of the protocol has about forty.
const METHOD_BYTES_MAX: usize = 256;
/// Longest text id, in bytes. It is kept as long as its request runs.
const ID_BYTES_MAX: usize = 1024;

/// What kind of message a body is.
#[derive(Debug, PartialEq, Eq)]
pub enum Kind {
    /// It wants an answer.
    Request,
    /// It wants none.
    Notification,
    /// It is the client's answer to a request of ours.
    Response,
}

/// A body that is no message.
#[derive(Debug)]
pub struct Malformed {
    code: ErrorCode,
    message: String,
    /// The id of the request, when it has one that can be repeated.
    id: Option<Value>,
}

impl IntoResponse for Malformed {
    fn into_response(self) -> Response {
        let body = error_body(self.id, self.code, &self.message, None);
        (StatusCode::BAD_REQUEST, axum::Json(body)).into_response()
    }
}

/// A JSON-RPC error. Without an id there is no `id` field: the protocol's schema takes texts and integers only.
pub fn error_body(id: Option<Value>, code: ErrorCode, message: &str, data: Option<Value>) -> Value {
    let mut error = json!({"code": code.0, "message": message});
    if let Some(data) = data {
        error["data"] = data;
    }
    match id {
        Some(id) => json!({"jsonrpc": "2.0", "id": id, "error": error}),
        None => json!({"jsonrpc": "2.0", "error": error}),
    }
}

/// Looks at a body.
///
/// # Errors
/// It is no JSON-RPC 2.0 message, or a batch of them, which the protocol has given up.
pub fn classify(body: &Value) -> Result<Kind, Malformed> {
    let Value::Object(message) = body else {
        let text = match body {
            Value::Array(_) => {
                "batches of messages are not supported; send one message per request"
            }
            _ => "a message is a JSON object",
        };
        return Err(malformed(ErrorCode::INVALID_REQUEST, text, None));
    };
    let id = match message.get("id") {
        None => None,
        Some(id) if is_id(id) => Some(id.clone()),
        Some(_) => {
            let text = "`id` must be a text of at most 1024 bytes or an integer of 64 bits";
            return Err(malformed(ErrorCode::INVALID_REQUEST, text, None));
        }
    };
    let refuse = |code, text: &str| Err(malformed(code, text, id.clone()));
    if message.get("jsonrpc").and_then(Value::as_str) != Some("2.0") {
        return refuse(ErrorCode::INVALID_REQUEST, "`jsonrpc` must be \"2.0\"");
    }
    let Some(method) = message.get("method") else {
        let answers = message.contains_key("result") || message.contains_key("error");
        return if answers && id.is_some() {
            Ok(Kind::Response)
        } else {
            refuse(ErrorCode::INVALID_REQUEST, "`method` is missing")
        };
    };
    match method.as_str() {
        Some(method) if !method.is_empty() && method.len() <= METHOD_BYTES_MAX => {}
        _ => return refuse(ErrorCode::INVALID_REQUEST, "`method` must be a short text"),
    }
    if !matches!(message.get("params"), None | Some(Value::Object(_))) {
        return refuse(ErrorCode::INVALID_PARAMS, "`params` must be an object");
    }
    Ok(if id.is_some() {
        Kind::Request
    } else {
        Kind::Notification
    })
}

fn is_id(id: &Value) -> bool {
    match id {
        Value::String(text) => text.len() <= ID_BYTES_MAX,
        Value::Number(number) => number.is_i64(),
        _ => false,
    }
}

fn malformed(code: ErrorCode, message: &str, id: Option<Value>) -> Malformed {
    Malformed {
        code,
        message: message.to_owned(),
        id,
    }
}

/// The method of a message, if it has one.
pub fn method(message: &Map<String, Value>) -> Option<&str> {
    message.get("method").and_then(Value::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_told_apart() {
        for (body, kind) in [
            (
                json!({"jsonrpc": "2.0", "id": 1, "method": "ping"}),
                Kind::Request,
            ),
            (
                json!({"jsonrpc": "2.0", "id": "", "method": "x", "params": {}}),
                Kind::Request,
            ),
            (
                json!({"jsonrpc": "2.0", "method": "notifications/x"}),
                Kind::Notification,
            ),
            (
                json!({"jsonrpc": "2.0", "id": 1, "result": {}}),
                Kind::Response,
            ),
            (
                json!({"jsonrpc": "2.0", "id": 1, "error": {}}),
                Kind::Response,
            ),
        ] {
            assert_eq!(classify(&body).expect("a message"), kind, "{body}");
        }
    }

    #[test]
    fn what_is_no_message_is_refused_with_the_right_code() {
        let long = "x".repeat(2000);
        for (body, code) in [
            (json!([]), -32600),
            (
                json!([{"jsonrpc": "2.0", "id": 1, "method": "ping"}]),
                -32600,
            ),
            (json!("ping"), -32600),
            (json!(null), -32600),
            (json!({}), -32600),
            (json!({"id": 1, "method": "ping"}), -32600),
            (json!({"jsonrpc": "1.0", "id": 1, "method": "ping"}), -32600),
            (json!({"jsonrpc": "2.0", "id": 1}), -32600),
            (json!({"jsonrpc": "2.0", "result": {}}), -32600),
            (
                json!({"jsonrpc": "2.0", "id": null, "method": "ping"}),
                -32600,
            ),
            (
                json!({"jsonrpc": "2.0", "id": 1.5, "method": "ping"}),
                -32600,
            ),
            (
                json!({"jsonrpc": "2.0", "id": u64::MAX, "method": "ping"}),
                -32600,
            ),
            (
                json!({"jsonrpc": "2.0", "id": [1], "method": "ping"}),
                -32600,
            ),
            (
                json!({"jsonrpc": "2.0", "id": long, "method": "ping"}),
                -32600,
            ),
            (json!({"jsonrpc": "2.0", "id": 1, "method": long}), -32600),
            (json!({"jsonrpc": "2.0", "id": 1, "method": 3}), -32600),
            (
                json!({"jsonrpc": "2.0", "id": 1, "method": "ping", "params": [1]}),
                -32602,
            ),
            (
                json!({"jsonrpc": "2.0", "id": 1, "method": "ping", "params": null}),
                -32602,
            ),
        ] {
            let error = classify(&body).expect_err("no message");
            assert_eq!(error.code.0, code, "{body}");
        }
    }

    #[test]
    fn an_error_repeats_the_id_only_when_there_is_one() {
        let refused = |body: Value| {
            let error = classify(&body).expect_err("no message");
            error_body(error.id, error.code, &error.message, None)
        };
        let with = refused(json!({"jsonrpc": "2.0", "id": 7, "method": "ping", "params": 3}));
        assert_eq!(with["id"], 7);
        let without = refused(json!({"jsonrpc": "2.0", "method": 3}));
        assert!(without.get("id").is_none());
    }
}
