//! What the operator sees at the start: where the server is, the key if it is new, and one request to try.

use std::io::IsTerminal;

use inference::store::Manifest;
use platform::Secret;

use super::first_start::NANO_NAME;
use crate::cli;
use crate::directory::DataDirectory;

/// What is said.
pub struct Banner<'a> {
    /// Where the server is.
    pub url: &'a str,
    /// Its data directory.
    pub directory: &'a DataDirectory,
    /// The administrator's key, when it was made by this start.
    pub first_key: Option<&'a Secret>,
    /// The models in the store.
    pub models: &'a [Manifest],
    /// The shipped model was added by this start.
    pub offered: bool,
}

/// Prints it on standard output, so that the log on standard error never holds the key.
pub fn print(banner: &Banner<'_>) {
    // A closed standard output must not keep the server from starting.
    drop(cli::print(&text(banner, std::io::stdout().is_terminal())));
}

fn text(banner: &Banner<'_>, terminal: bool) -> String {
    let (bold, plain) = if terminal {
        ("\u{1b}[1m", "\u{1b}[0m")
    } else {
        ("", "")
    };
    let key_file = banner.directory.admin_key();
    let mut lines = vec![format!(
        "{bold}Fornax {} at {}{plain}",
        env!("CARGO_PKG_VERSION"),
        banner.url
    )];
    lines.push(format!("  data    {}", banner.directory.root().display()));
    match banner.first_key {
        Some(key) => {
            lines.push(format!("  key     {}", key.expose()));
            lines.push(format!(
                "          the administrator's key; shown only now, kept in {}",
                key_file.display()
            ));
        }
        None if key_file.is_file() => lines.push(format!("  key     in {}", key_file.display())),
        None => lines.push("  key     `fornax keys create NAME` makes one".to_owned()),
    }
    let names: Vec<&str> = banner
        .models
        .iter()
        .take(8)
        .map(|manifest| manifest.name.as_str())
        .collect();
    let more = if banner.models.len() > names.len() {
        ", …"
    } else {
        ""
    };
    let shipped = if banner.offered {
        format!(" ({NANO_NAME} is a toy that ships with the program)")
    } else {
        String::new()
    };
    match names.first() {
        None => lines.push("  models  none yet; `fornax pull SOURCE` fetches one".to_owned()),
        Some(first) => {
            lines.push(format!("  models  {}{more}{shipped}", names.join(", ")));
            let insecure = if banner.url.starts_with("https:") {
                " -k"
            } else {
                ""
            };
            lines.push(String::new());
            lines.push(format!(
                "  curl{insecure} {}/v1/chat/completions -H \"Authorization: Bearer $(cat {})\" \\",
                banner.url,
                key_file.display()
            ));
            lines.push(format!(
                "    -H 'Content-Type: application/json' -d '{{\"model\": \"{first}\", \"messages\": [{{\"role\": \"user\", \"content\": \"Hello\"}}]}}'"
            ));
        }
    }
    lines.push(String::new());
    lines.join("\n") + "\n"
}
