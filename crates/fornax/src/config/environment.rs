//! The environment, read once: the variables of this process that begin with `FORNAX_`, those of a `.env` file in the
//! working directory below them, and the few of the system that place directories.
//!
//! Nothing is ever written back, so a `.env` never reaches a child process.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Beginning of every variable of ours.
pub const PREFIX: &str = "FORNAX_";
/// Largest `.env` that is read: these files hold a few lines.
const DOT_ENV_BYTES_MAX: u64 = 1 << 20;

/// A variable and whether it came from `.env`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variable {
    /// Its text.
    pub value: String,
    /// From the file, not from the process.
    pub from_dot_env: bool,
}

/// What was read.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    /// Ours, by whole name.
    pub variables: BTreeMap<String, Variable>,
    /// The user's home.
    pub home: Option<PathBuf>,
    /// `XDG_CONFIG_HOME`.
    pub config_home: Option<PathBuf>,
    /// `XDG_DATA_HOME`.
    pub data_home: Option<PathBuf>,
    /// The user asked for no colours.
    pub no_color: bool,
}

impl Environment {
    /// Reads the process's environment and `.env` in `directory`.
    ///
    /// # Errors
    /// A variable of ours is not text, or `.env` cannot be read.
    pub fn capture(directory: &Path) -> Result<Self, String> {
        let mut environment = Environment::default();
        for (name, text) in read_dot_env(&directory.join(".env"))? {
            if name.starts_with(PREFIX) {
                environment.variables.insert(
                    name,
                    Variable {
                        value: text,
                        from_dot_env: true,
                    },
                );
            }
        }
        for (name, value) in std::env::vars_os() {
            let Some(name) = name.to_str() else { continue };
            let path = || (!value.is_empty()).then(|| PathBuf::from(&value));
            match name {
                "HOME" => environment.home = path(),
                "XDG_CONFIG_HOME" => environment.config_home = path(),
                "XDG_DATA_HOME" => environment.data_home = path(),
                "NO_COLOR" => environment.no_color = !value.is_empty(),
                _ if name.starts_with(PREFIX) => {
                    let value = value
                        .to_str()
                        .ok_or_else(|| format!("the variable {name} is not valid text"))?;
                    let variable = Variable {
                        value: value.to_owned(),
                        from_dot_env: false,
                    };
                    environment.variables.insert(name.to_owned(), variable);
                }
                _ => {}
            }
        }
        Ok(environment)
    }
}

fn read_dot_env(path: &Path) -> Result<Vec<(String, String)>, String> {
    let refuse = |reason: String| format!("{}: {reason}", path.display());
    match std::fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(refuse(error.to_string())),
        // A directory or device of that name is somebody else's.
        Ok(metadata) if !metadata.is_file() => return Ok(Vec::new()),
        Ok(metadata) if metadata.len() > DOT_ENV_BYTES_MAX => {
            return Err(refuse("is larger than 1 MiB".to_owned()));
        }
        Ok(_) => {}
    }
    let text = std::fs::read_to_string(path).map_err(|error| refuse(error.to_string()))?;
    parse_dot_env(&text).map_err(refuse)
}

/// Reads `NAME=value` lines: `export` and spaces around are allowed, `#` begins a comment at a line's start or after a
/// space, double quotes understand `\n`, `\"` and `\\`, single quotes keep all. Nothing is expanded. Lines that do not
/// concern us are passed over even when they are odd.
pub fn parse_dot_env(text: &str) -> Result<Vec<(String, String)>, String> {
    let mut found = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        let line = line.strip_prefix("export ").unwrap_or(line).trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let Some((name, value)) = line.split_once('=') else {
            if line.starts_with(PREFIX) {
                return Err(format!("line {}: there is no '=' after {line}", index + 1));
            }
            continue;
        };
        let name = name.trim();
        if !name.starts_with(PREFIX) {
            continue;
        }
        let value = unquote(value.trim())
            .ok_or_else(|| format!("line {}: a quote is not closed", index + 1))?;
        found.push((name.to_owned(), value));
    }
    Ok(found)
}

fn unquote(value: &str) -> Option<String> {
    if let Some(rest) = value.strip_prefix('\'') {
        return rest.split_once('\'').map(|(inside, _)| inside.to_owned());
    }
    let Some(rest) = value.strip_prefix('"') else {
        return Some(
            value
                .split(" #")
                .next()
                .unwrap_or_default()
                .trim_end()
                .to_owned(),
        );
    };
    let mut inside = String::new();
    let mut characters = rest.chars();
    loop {
        match characters.next()? {
            '"' => return Some(inside),
            '\\' => match characters.next()? {
                'n' => inside.push('\n'),
                other @ ('"' | '\\') => inside.push(other),
                other => inside.extend(['\\', other]),
            },
            other => inside.push(other),
        }
    }
}
