//! `ps`: what the server has loaded.

use serde_json::Value;

use super::output::{bytes, now_unix, print, print_json, relative, table};
use super::{Context, client, small_runtime};

/// `fornax ps`.
pub fn ps(context: &Context, as_json: bool) -> anyhow::Result<()> {
    let answer = small_runtime()?.block_on(client::get(context, "/fornax/v1/runners"))?;
    if as_json {
        return print_json(&answer);
    }
    let runners = answer["runners"].as_array().cloned().unwrap_or_default();
    if runners.is_empty() {
        return print("no model is loaded; the first request loads its model\n");
    }
    let now = now_unix();
    let rows: Vec<Vec<String>> = runners.iter().map(|runner| row(runner, now)).collect();
    print(&table(
        &[
            "name", "state", "pid", "memory", "requests", "restarts", "loaded", "until",
        ],
        &rows,
    ))
}

fn row(runner: &Value, now: i64) -> Vec<String> {
    let text = |field: &str| runner[field].as_str().unwrap_or("-").to_owned();
    let number = |field: &str| {
        runner[field]
            .as_u64()
            .map_or_else(|| "-".to_owned(), |number| number.to_string())
    };
    let until = if runner["pinned"].as_bool() == Some(true) {
        "pinned".to_owned()
    } else {
        runner["expires_unix"].as_i64().map_or_else(
            || "its memory is needed".to_owned(),
            |moment| relative(moment, now),
        )
    };
    vec![
        text("name"),
        text("state"),
        number("pid"),
        runner["memory_bytes"]
            .as_u64()
            .map_or_else(|| "-".to_owned(), bytes),
        number("in_flight"),
        number("restarts"),
        runner["loaded_unix"]
            .as_i64()
            .map_or_else(|| "-".to_owned(), |moment| relative(moment, now)),
        until,
    ]
}
