//! The layers, from weakest to strongest, and what comes of them.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use super::declare::{KeyFact, Raw};
use super::environment::{Environment, PREFIX};
use super::keys::{SECTIONS, Settings, build};
use super::{ConfigError, suggest};

/// Variables with a name of their own, and the keys they set. Scripts rely on these names.
pub const SHORT_VARIABLES: [(&str, &str); 4] = [
    ("FORNAX_BIND", "server.bind"),
    ("FORNAX_DATA_DIR", "data.dir"),
    ("FORNAX_URL", "client.url"),
    ("FORNAX_API_KEY", "client.api_key"),
];
/// Names the configuration file itself.
pub const CONFIG_VARIABLE: &str = "FORNAX_CONFIG";
/// Largest configuration file.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The declaration.
    Default,
    /// The configuration file.
    File(PathBuf),
    /// A variable of the process.
    Variable(String),
    /// A variable of `.env`.
    DotEnv(String),
    /// A flag of the command.
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => formatter.write_str("default"),
            Origin::File(path) => write!(formatter, "{}", path.display()),
            Origin::Variable(name) => write!(formatter, "environment {name}"),
            Origin::DotEnv(name) => write!(formatter, ".env {name}"),
            Origin::Flag(flag) => formatter.write_str(flag),
        }
    }
}

/// What the command line says.
#[derive(Debug, Clone, Default)]
pub struct Flags {
    /// `--config`.
    pub config: Option<PathBuf>,
    /// Key, value, and the flag that set it.
    pub values: Vec<(String, String, &'static str)>,
}

/// A configuration, resolved.
#[derive(Debug)]
pub struct Loaded {
    /// The values.
    pub settings: Settings,
    /// Per key: the value as text (never a secret's), and where it came from.
    pub values: BTreeMap<&'static str, (String, Origin)>,
    /// The file that was read.
    pub file: Option<PathBuf>,
}

type Gathered = BTreeMap<&'static str, (Raw, Origin)>;

/// Reads the file that applies, the environment and the flags.
///
/// # Errors
/// Every unknown key, wrong type and wrong combination found, together.
pub fn load(environment: &Environment, flags: &Flags) -> Result<Loaded, ConfigError> {
    let mut problems = Vec::new();
    let mut gathered = Gathered::new();
    let file = read_file(environment, flags, &mut gathered, &mut problems);
    read_environment(environment, &mut gathered, &mut problems);
    for (name, value, flag) in &flags.values {
        match fact(name) {
            Some(fact) => {
                gathered.insert(fact.name, (Raw::Text(value.clone()), Origin::Flag(flag)));
            }
            None => problems.push(unknown(name, flag)),
        }
    }
    let mut values = BTreeMap::new();
    for fact in facts() {
        let (raw, origin) = gathered
            .entry(fact.name)
            .or_insert_with(|| (Raw::Text(fact.default.to_owned()), Origin::Default));
        match (fact.check)(raw) {
            Ok(shown) => {
                values.insert(fact.name, (shown, origin.clone()));
            }
            // The reason may quote the value, so a secret gets none.
            Err(_) if fact.secret => {
                problems.push(format!("{} (from {origin}) is not valid", fact.name))
            }
            Err(reason) => problems.push(format!("{} {reason} (from {origin})", fact.name)),
        }
    }
    if !problems.is_empty() {
        return Err(ConfigError { problems });
    }
    let raw_of = |name: &'static str| {
        gathered
            .get(name)
            .map_or_else(|| Raw::Text(String::new()), |(raw, _)| raw.clone())
    };
    let settings = build(&raw_of).map_err(|problem| ConfigError {
        problems: vec![problem],
    })?;
    let problems = contradictions(&settings);
    if problems.is_empty() {
        Ok(Loaded {
            settings,
            values,
            file,
        })
    } else {
        Err(ConfigError { problems })
    }
}

/// All keys.
pub fn facts() -> impl Iterator<Item = &'static KeyFact> {
    SECTIONS.iter().flat_map(|section| section.keys)
}

fn fact(name: &str) -> Option<&'static KeyFact> {
    facts().find(|fact| fact.name == name)
}

/// The variable that sets `key`.
pub fn variable_of(key: &str) -> String {
    format!("{PREFIX}{}", key.replace('.', "__").to_uppercase())
}

fn unknown(name: &str, place: impl fmt::Display) -> String {
    let hint = suggest::nearest(name, facts().map(|fact| fact.name)).map_or_else(
        || "`fornax config reference` lists all keys".to_owned(),
        |near| format!("did you mean {near}?"),
    );
    format!("{name} is not a key (from {place}); {hint}")
}

fn read_file(
    environment: &Environment,
    flags: &Flags,
    gathered: &mut Gathered,
    problems: &mut Vec<String>,
) -> Option<PathBuf> {
    let named = flags.config.clone().or_else(|| {
        environment
            .variables
            .get(CONFIG_VARIABLE)
            .map(|variable| PathBuf::from(&variable.value))
    });
    let path = match named {
        // A file that was named must be there.
        Some(path) => path,
        None => usual_files(environment)
            .into_iter()
            .find(|path| path.is_file())?,
    };
    match parse_file(&path) {
        Ok(table) => flatten(&table, &path, gathered, problems),
        Err(problem) => problems.push(problem),
    }
    Some(path)
}

/// Files that are read when none is named, best first.
pub fn usual_files(environment: &Environment) -> Vec<PathBuf> {
    let of_user = environment
        .config_home
        .clone()
        .or_else(|| environment.home.as_ref().map(|home| home.join(".config")));
    let mut files: Vec<PathBuf> = of_user
        .into_iter()
        .map(|directory| directory.join("fornax/config.toml"))
        .collect();
    files.push(PathBuf::from("/etc/fornax/config.toml"));
    files
}

fn parse_file(path: &Path) -> Result<toml::Table, String> {
    let refuse = |reason: &dyn fmt::Display| format!("{}: {reason}", path.display());
    let length = std::fs::metadata(path)
        .map_err(|error| refuse(&error))?
        .len();
    if length > FILE_BYTES_MAX {
        return Err(refuse(&"is larger than 1 MiB"));
    }
    let text = std::fs::read_to_string(path).map_err(|error| refuse(&error))?;
    toml::from_str(&text).map_err(|error| refuse(&error))
}

fn flatten(table: &toml::Table, path: &Path, gathered: &mut Gathered, problems: &mut Vec<String>) {
    for (section, content) in table {
        let toml::Value::Table(keys) = content else {
            problems.push(unknown(section, path.display()));
            continue;
        };
        for (key, value) in keys {
            let name = format!("{section}.{key}");
            match (fact(&name), raw(value)) {
                (Some(fact), Some(raw)) => {
                    gathered.insert(fact.name, (raw, Origin::File(path.to_owned())));
                }
                (Some(fact), None) => problems.push(format!(
                    "{name} must be {} (from {})",
                    fact.kind,
                    path.display()
                )),
                (None, _) => problems.push(unknown(&name, path.display())),
            }
        }
    }
}

fn raw(value: &toml::Value) -> Option<Raw> {
    let scalar = |value: &toml::Value| match value {
        toml::Value::String(text) => Some(text.clone()),
        toml::Value::Integer(number) => Some(number.to_string()),
        toml::Value::Float(number) => Some(number.to_string()),
        toml::Value::Boolean(truth) => Some(truth.to_string()),
        toml::Value::Datetime(_) | toml::Value::Array(_) | toml::Value::Table(_) => None,
    };
    match value {
        toml::Value::Array(items) => items
            .iter()
            .map(scalar)
            .collect::<Option<Vec<_>>>()
            .map(Raw::List),
        other => scalar(other).map(Raw::Text),
    }
}

fn read_environment(
    environment: &Environment,
    gathered: &mut Gathered,
    problems: &mut Vec<String>,
) {
    // Long names first, so that the short ones win when both are set.
    let is_short = |name: &str| SHORT_VARIABLES.iter().any(|(short, _)| *short == name);
    let (short, long): (Vec<_>, Vec<_>) = environment
        .variables
        .iter()
        .partition(|(name, _)| is_short(name));
    for (name, variable) in long.into_iter().chain(short) {
        if name == CONFIG_VARIABLE {
            continue;
        }
        let found = SHORT_VARIABLES
            .iter()
            .find(|(short, _)| short == name)
            .and_then(|(_, key)| fact(key))
            .or_else(|| facts().find(|fact| variable_of(fact.name) == *name));
        let origin = if variable.from_dot_env {
            Origin::DotEnv(name.clone())
        } else {
            Origin::Variable(name.clone())
        };
        match found {
            Some(fact) => {
                gathered.insert(fact.name, (Raw::Text(variable.value.clone()), origin));
            }
            None => {
                let names: Vec<String> = facts()
                    .map(|fact| variable_of(fact.name))
                    .chain(SHORT_VARIABLES.iter().map(|(short, _)| (*short).to_owned()))
                    .chain([CONFIG_VARIABLE.to_owned()])
                    .collect();
                let hint = suggest::nearest(name, names.iter().map(String::as_str)).map_or_else(
                    || "variables are named FORNAX_<SECTION>__<KEY>".to_owned(),
                    |near| format!("did you mean {near}?"),
                );
                problems.push(format!(
                    "{name} is not a variable of Fornax (from {origin}); {hint}"
                ));
            }
        }
    }
}

/// Values that are fine alone and not together, or outside of their range.
fn contradictions(settings: &Settings) -> Vec<String> {
    let mut problems = Vec::new();
    let mut refuse = |when: bool, problem: &str| {
        if when {
            problems.push(problem.to_owned());
        }
    };
    let server = &settings.server;
    refuse(
        server.tls_cert.is_some() != server.tls_key.is_some(),
        "server.tls_cert and server.tls_key belong together: set both or neither",
    );
    refuse(
        server.worker_threads.given() == Some(0),
        "server.worker_threads must be at least 1",
    );
    refuse(
        server
            .worker_threads
            .given()
            .is_some_and(|count| count > 256),
        "server.worker_threads must be at most 256",
    );
    refuse(
        server.body_limit_bytes.0 == 0,
        "server.body_limit_bytes must be more than 0",
    );
    refuse(
        server.body_limit_bytes.0 > 1 << 30,
        "server.body_limit_bytes must be at most 1GiB: bodies are held in memory",
    );
    refuse(
        server.body_timeout.0.is_zero(),
        "server.body_timeout must be more than 0",
    );
    refuse(
        server.keep_alive_interval.0.is_zero(),
        "server.keep_alive_interval must be more than 0",
    );
    refuse(
        settings.models.niceness > 19,
        "models.niceness must lie between 0 and 19",
    );
    refuse(
        settings.limits.requests_max == 0,
        "limits.requests_max must be at least 1",
    );
    refuse(
        settings.limits.requests_max > 1 << 20,
        "limits.requests_max must be at most 1048576",
    );
    refuse(
        !(0.0..=1.0).contains(&settings.telemetry.sample_ratio),
        "telemetry.sample_ratio must lie between 0 and 1",
    );
    let web = |address: &str| address.starts_with("http://") || address.starts_with("https://");
    refuse(
        !web(&settings.hub.url),
        "hub.url must begin with https:// or http://",
    );
    refuse(
        !settings.client.url.is_empty() && !web(&settings.client.url),
        "client.url must begin with https:// or http://",
    );
    problems
}
