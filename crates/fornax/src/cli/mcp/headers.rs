//! What HTTP asks to repeat of a message: the revision, the method and the name of what it is about.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

/// Where the 2026-07-28 revision says, in every request, which revision it is.
const VERSION: &str = "io.modelcontextprotocol/protocolVersion";

/// The revision that a request names itself; the older ones name it once, in `initialize`.
pub fn own_version(message: &Value) -> Option<&str> {
    message["params"]["_meta"][VERSION].as_str()
}

/// Whether a message may be sent while others are under way. What begins or changes a session, and what is said without
/// asking for an answer, keeps its place.
pub fn may_overtake(message: &Value) -> bool {
    message.get("id").is_some()
        && message
            .get("method")
            .is_some_and(|method| method != "initialize")
}

/// The headers of a request of the 2026-07-28 revision.
pub fn of(message: &Value) -> Vec<(&'static str, String)> {
    let mut headers = Vec::new();
    let Some(version) = own_version(message) else {
        return headers;
    };
    headers.push(("mcp-protocol-version", encoded(version)));
    let Some(method) = message["method"].as_str() else {
        return headers;
    };
    headers.push(("mcp-method", encoded(method)));
    let field = match method {
        "tools/call" | "prompts/get" => "name",
        "resources/read" => "uri",
        "tasks/get" | "tasks/update" | "tasks/cancel" => "taskId",
        _ => return headers,
    };
    if let Some(name) = message["params"][field].as_str() {
        headers.push(("mcp-name", encoded(name)));
    }
    headers
}

/// `value` as a header can carry it: what is not plain visible text goes as Base64, marked as such.
fn encoded(value: &str) -> String {
    let plain = value.bytes().all(|byte| (0x20..=0x7e).contains(&byte))
        && value.trim_matches([' ', '\t']) == value
        && !(value.starts_with("=?base64?") && value.ends_with("?="));
    if plain {
        value.to_owned()
    } else {
        format!("=?base64?{}?=", STANDARD.encode(value))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_request_of_the_new_revision_repeats_itself_in_headers() {
        let meta = json!({VERSION: "2026-07-28"});
        let call =
            json!({"id": 1, "method": "tools/call", "params": {"name": "embed", "_meta": meta}});
        let expected = [
            ("mcp-protocol-version", "2026-07-28".to_owned()),
            ("mcp-method", "tools/call".to_owned()),
            ("mcp-name", "embed".to_owned()),
        ];
        assert_eq!(of(&call), expected);
        let list = json!({"id": 1, "method": "tools/list", "params": {"_meta": meta}});
        assert_eq!(
            of(&list),
            expected[..1]
                .iter()
                .cloned()
                .chain([("mcp-method", "tools/list".to_owned())])
                .collect::<Vec<_>>()
        );
        let older = json!({"id": 1, "method": "tools/call", "params": {"name": "embed"}});
        assert!(of(&older).is_empty());
    }

    #[test]
    fn what_a_header_cannot_carry_goes_as_base64() {
        assert_eq!(encoded("a name"), "a name");
        assert_eq!(encoded("é"), "=?base64?w6k=?=");
        assert_eq!(encoded(" a"), "=?base64?IGE=?=");
        assert_eq!(encoded("a\r\nb: c"), "=?base64?YQ0KYjogYw==?=");
        assert!(encoded("=?base64?YQ==?=").len() > "=?base64?YQ==?=".len());
    }

    #[test]
    fn only_requests_overtake() {
        assert!(may_overtake(&json!({"id": 1, "method": "tools/call"})));
        assert!(!may_overtake(&json!({"id": 1, "method": "initialize"})));
        assert!(!may_overtake(
            &json!({"method": "notifications/initialized"})
        ));
        assert!(!may_overtake(&json!({"id": 1, "result": {}})));
        assert!(!may_overtake(&json!([])));
    }
}
