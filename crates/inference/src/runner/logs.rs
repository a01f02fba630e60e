//! A runner's standard error, line by line, as structured logs of the parent.
//!
//! Our own runner code writes JSON lines in the shape of `tracing`'s JSON formatter; native libraries write what they like.
//! Lines are bounded, and the last few are kept: when a runner dies they say why better than its exit status.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};

/// Longest line kept, in bytes; the rest of a longer one is dropped.
const LINE_MAX_BYTES: usize = 8 << 10;
/// Lines kept for the message about a death.
const LAST_LINES_MAX: usize = 8;

/// The last lines of one runner's log.
#[derive(Debug, Clone, Default)]
pub(super) struct LastLines(Arc<Mutex<VecDeque<String>>>);

impl LastLines {
    fn add(&self, line: &str) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == LAST_LINES_MAX {
            lines.pop_front();
        }
        lines.push_back(line.chars().take(300).collect());
    }

    /// The line that most likely names the cause: the last that speaks of a failure, else the last.
    pub(super) fn most_telling(&self) -> Option<String> {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let speaks_of_failure = |line: &&String| {
            let line = line.to_ascii_lowercase();
            ["error", "assert", "fail", "panic", "abort", "terminate"]
                .iter()
                .any(|word| line.contains(word))
        };
        lines
            .iter()
            .rev()
            .find(speaks_of_failure)
            .or_else(|| lines.back())
            .cloned()
    }
}

/// Reads lines until the end of the stream and logs each with the model's name.
pub(super) async fn forward(
    stderr: impl AsyncRead + Unpin,
    model: String,
    pid: u32,
    last: LastLines,
) {
    let mut reader = BufReader::new(stderr);
    let mut line = Vec::new();
    while let Ok(true) = read_bounded_line(&mut reader, &mut line).await {
        let text = String::from_utf8_lossy(&line);
        let text = text.trim_end();
        if !text.is_empty() {
            let message = log_line(text, &model, pid);
            last.add(&message);
        }
    }
}

/// Reads one line into `line` (emptied first), dropping what exceeds the bound; false at the end of the stream.
async fn read_bounded_line(
    reader: &mut (impl AsyncBufReadExt + Unpin),
    line: &mut Vec<u8>,
) -> std::io::Result<bool> {
    line.clear();
    let mut any = false;
    loop {
        let available = reader.fill_buf().await?;
        if available.is_empty() {
            return Ok(any);
        }
        any = true;
        let end = available.iter().position(|byte| *byte == b'\n');
        let part = &available[..end.unwrap_or(available.len())];
        let room = LINE_MAX_BYTES - line.len();
        line.extend_from_slice(&part[..part.len().min(room)]);
        let used = end.map_or(available.len(), |end| end + 1);
        reader.consume(used);
        if end.is_some() {
            return Ok(true);
        }
    }
}

/// Logs one line and returns its message.
fn log_line(text: &str, model: &str, pid: u32) -> String {
    let Some((level, message, fields)) = parse_json_line(text) else {
        tracing::info!(target: "runner", model, pid, "{text}");
        return text.to_owned();
    };
    // The level of an event is fixed where it is written, hence one line per level.
    match level {
        tracing::Level::ERROR => tracing::error!(target: "runner", model, pid, fields, "{message}"),
        tracing::Level::WARN => tracing::warn!(target: "runner", model, pid, fields, "{message}"),
        tracing::Level::INFO => tracing::info!(target: "runner", model, pid, fields, "{message}"),
        tracing::Level::DEBUG => tracing::debug!(target: "runner", model, pid, fields, "{message}"),
        tracing::Level::TRACE => tracing::trace!(target: "runner", model, pid, fields, "{message}"),
    }
    message
}

/// Level, message and remaining fields of a line written by `tracing`'s JSON formatter, with the event's fields flattened
/// into the object or nested in it.
fn parse_json_line(text: &str) -> Option<(tracing::Level, String, Option<String>)> {
    if !text.starts_with('{') {
        return None;
    }
    let mut fields: serde_json::Map<String, serde_json::Value> = serde_json::from_str(text).ok()?;
    let level = fields.shift_remove("level")?.as_str()?.parse().ok()?;
    if let Some(serde_json::Value::Object(nested)) = fields.shift_remove("fields") {
        fields.extend(nested);
    }
    let message = fields.shift_remove("message")?.as_str()?.to_owned();
    // What the parent's own event says already.
    for name in ["timestamp", "target", "model", "span", "spans", "threadId"] {
        fields.shift_remove(name);
    }
    let rest = (!fields.is_empty()).then(|| serde_json::Value::Object(fields).to_string());
    Some((level, message, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn lines(input: &[u8]) -> Vec<Vec<u8>> {
        let mut reader = BufReader::with_capacity(16, input);
        let mut line = Vec::new();
        let mut all = Vec::new();
        while read_bounded_line(&mut reader, &mut line)
            .await
            .expect("read")
        {
            all.push(line.clone());
        }
        all
    }

    #[tokio::test]
    async fn lines_are_split_bounded_and_need_no_final_newline() {
        let mut input = b"short\n\n".to_vec();
        input.extend(vec![b'x'; 3 * LINE_MAX_BYTES]);
        input.extend(b"\nlast");
        let lines = lines(&input).await;
        assert_eq!(lines.len(), 4);
        assert_eq!(lines[0], b"short");
        assert_eq!(lines[1], b"");
        assert_eq!(lines[2], vec![b'x'; LINE_MAX_BYTES]);
        assert_eq!(lines[3], b"last");
    }

    #[test]
    fn json_lines_give_level_message_and_fields() {
        let line = r#"{"timestamp":"t","level":"WARN","fields":{"message":"cache is full","used":9},"target":"x"}"#;
        assert_eq!(
            parse_json_line(line),
            Some((
                tracing::Level::WARN,
                "cache is full".into(),
                Some(r#"{"used":9}"#.into())
            ))
        );
        let flat = r#"{"timestamp":"t","level":"INFO","message":"ready","tokens":9,"target":"x","model":"m"}"#;
        assert_eq!(
            parse_json_line(flat),
            Some((
                tracing::Level::INFO,
                "ready".into(),
                Some(r#"{"tokens":9}"#.into())
            ))
        );
        assert_eq!(parse_json_line("{not json"), None);
        assert_eq!(parse_json_line(r#"{"level":7}"#), None);
        assert_eq!(parse_json_line("llama_model_loader: x"), None);
    }

    #[test]
    fn the_most_telling_line_speaks_of_a_failure() {
        let last = LastLines::default();
        assert_eq!(last.most_telling(), None);
        last.add("loading");
        last.add("GGML_ASSERT(n_tokens <= n_batch) failed");
        last.add("(no backtrace)");
        assert_eq!(
            last.most_telling().as_deref(),
            Some("GGML_ASSERT(n_tokens <= n_batch) failed")
        );
        for index in 0..LAST_LINES_MAX {
            last.add(&format!("line {index}"));
        }
        assert_eq!(last.most_telling().as_deref(), Some("line 7"));
    }
}
