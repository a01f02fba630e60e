//! `cache`: the result cache of a running server.

use clap::Subcommand;
use serde_json::Value;

use super::output::{bytes, facts, print, print_json, table};
use super::{Context, client, small_runtime};

/// Commands about the result cache.
#[derive(Debug, Subcommand)]
pub enum CacheCommand {
    /// Show what it holds and how often it helped, by kind of result
    Show {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Drop kept results: with an administrator's key of every tenant, with any other of its own
    Clear {
        /// Only those whose names begin with this, such as spectrum: or embed:
        #[arg(long, default_value = "")]
        prefix: String,
    },
}

/// `fornax cache`.
pub fn cache(context: &Context, command: CacheCommand) -> anyhow::Result<()> {
    match command {
        CacheCommand::Show { json } => {
            let answer = small_runtime()?.block_on(client::get(context, "/fornax/v1/cache"))?;
            if json {
                return print_json(&answer);
            }
            show(&answer)
        }
        CacheCommand::Clear { prefix } => {
            let path = format!("/fornax/v1/cache?prefix={}", escaped(&prefix));
            let answer = small_runtime()?.block_on(client::delete(context, &path))?;
            print(&format!(
                "{} results dropped\n",
                answer["cleared"].as_u64().unwrap_or(0)
            ))
        }
    }
}

fn show(answer: &Value) -> anyhow::Result<()> {
    if answer["enabled"] != true {
        return print("the server keeps no results; see cache.memory_bytes\n");
    }
    let number = |value: &Value| value.as_u64().unwrap_or(0);
    let size = |value: &Value| bytes(number(value));
    let holds = |entries: &Value, size: String| format!("{} results, {size}", number(entries));
    print(&facts(&[
        (
            "memory",
            holds(&answer["memory_entries"], size(&answer["memory_bytes"])),
        ),
        (
            "disk",
            holds(&answer["disk_entries"], size(&answer["disk_bytes"])),
        ),
        ("damaged", number(&answer["disk_damaged"]).to_string()),
        (
            "redis",
            answer["redis"].as_str().unwrap_or("off").to_owned(),
        ),
    ]))?;
    let Some(kinds) = answer["kinds"]
        .as_object()
        .filter(|kinds| !kinds.is_empty())
    else {
        return print("nothing was asked for yet\n");
    };
    let rows: Vec<Vec<String>> = kinds
        .iter()
        .map(|(name, kind)| {
            let ratio = kind["hit_ratio"].as_f64();
            vec![
                name.clone(),
                number(&kind["hits"]).to_string(),
                number(&kind["misses"]).to_string(),
                ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{:.1}%", 100.0 * ratio)),
                number(&kind["joined"]).to_string(),
                number(&kind["stores"]).to_string(),
                size(&kind["stored_bytes"]),
                number(&kind["evictions"]).to_string(),
            ]
        })
        .collect();
    print("\n")?;
    print(&table(
        &[
            "kind", "hits", "misses", "ratio", "waited", "stored", "bytes", "evicted",
        ],
        &rows,
    ))
}

/// A text as part of an address's query.
fn escaped(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:".contains(&byte);
    text.bytes()
        .map(|byte| {
            if plain(byte) {
                char::from(byte).to_string()
            } else {
                format!("%{byte:02X}")
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::escaped;

    #[test]
    fn a_prefix_cannot_leave_its_place_in_the_address() {
        assert_eq!(escaped("spectrum:open"), "spectrum:open");
        assert_eq!(escaped("a&b=ü #"), "a%26b%3D%C3%BC%20%23");
    }
}
