//! The command line: every command and flag with its help. Flags that set a configuration key say which.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueHint};

use super::ask::AskArguments;
use super::cache::CacheCommand;
use super::collections::CollectionsCommand;
use super::ingest::{IngestArguments, SearchArguments};
use super::science::args::ScienceCommand;
use crate::exit::{Ended, Exit};

/// Serve AI models from one binary.
#[derive(Debug, Parser)]
#[command(
    name = "fornax",
    version,
    about = "Serve AI models from one binary: OpenAI-compatible, behind keys, with metrics.",
    after_help = "Start here:\n  fornax run fornax-nano \"Once upon a time\"     answer on the terminal, no server\n  fornax serve                                  start the server; it prints its address and a key\n  fornax pull hf:OWNER/REPOSITORY               fetch a model\n  fornax doctor                                 check this machine\n\n`fornax --help` explains configuration and exit codes.",
    after_long_help = LONG_HELP,
    propagate_version = true,
    disable_help_subcommand = false
)]
pub struct Arguments {
    /// Configuration file (default: ~/.config/fornax/config.toml, then /etc/fornax/config.toml) [env: FORNAX_CONFIG]
    #[arg(long, global = true, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "Configuration")]
    pub config: Option<PathBuf>,
    /// Directory of models, keys and sockets (data.dir) [env: FORNAX_DATA_DIR]
    #[arg(long, global = true, value_name = "DIR", value_hint = ValueHint::DirPath, help_heading = "Configuration")]
    pub data_dir: Option<PathBuf>,
    /// Set any configuration key, such as --set models.threads=4; may be repeated
    #[arg(
        long = "set",
        global = true,
        value_name = "KEY=VALUE",
        help_heading = "Configuration"
    )]
    pub set: Vec<String>,
    /// Level of the log on standard error: error, warn, info, debug, trace (log.level)
    #[arg(
        long,
        global = true,
        value_name = "LEVEL",
        help_heading = "Configuration"
    )]
    pub log_level: Option<String>,
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

const LONG_HELP: &str = "\
Start here:
  fornax run fornax-nano \"Once upon a time\"     answer on the terminal, no server
  fornax serve                                  start the server; it prints its address and a key
  fornax pull hf:OWNER/REPOSITORY               fetch a model
  fornax doctor                                 check this machine

Configuration: flags, then the environment (and .env), then the file, then defaults.
Every key can be set by --set SECTION.KEY=VALUE or the variable FORNAX_<SECTION>__<KEY>.
`fornax config reference` lists all keys, `fornax config show` what is in force and why.

Exit codes:
    0  fine
    1  another failure; the message says which
    2  wrong command line or request
    3  wrong configuration
    4  no such model, key or file
    5  key missing, wrong, or without the scope
    6  server or network not reachable, full or stopping: try again
    7  a file is not what it should be
    8  not supported, or not offline
    9  exists already, or is in use
  130  stopped by Ctrl-C";

/// Every command.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start the server
    #[command(
        after_help = "Examples:\n  fornax serve\n  fornax serve --bind 127.0.0.1:0 --data-dir /srv/fornax      any free port; its address is in <data-dir>/run/address\n  fornax serve --bind 0.0.0.0:8443 --tls-cert cert.pem --tls-key key.pem\n\nSignals: SIGTERM or Ctrl-C drains, a second one ends at once; SIGHUP reads the TLS certificate again."
    )]
    Serve(ServeArguments),
    /// Answer a prompt, or chat, on the terminal; needs no server
    #[command(
        after_help = "Examples:\n  fornax run fornax-nano \"To be, or\" --max-tokens 50\n  cat report.txt | fornax run my-model --system \"Summarise in three sentences.\"\n  fornax run my-model                       chat; Ctrl-C stops an answer, Ctrl-D or /bye ends"
    )]
    Run(RunArguments),
    /// Fetch a model into the store
    #[command(
        after_help = "Examples:\n  fornax pull hf:OWNER/REPOSITORY               the file is chosen: Q4_K_M first\n  fornax pull hf:OWNER/REPOSITORY:Q8_0          a quantisation, or a whole file name\n  fornax pull https://example.org/model.gguf --name mine\n  fornax pull ./model.gguf --name mine\n\nAn interrupted download goes on where it stopped."
    )]
    Pull(PullArguments),
    /// List the models in the store
    #[command(visible_alias = "ls")]
    List {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Show what a model's file says
    Show(ShowArguments),
    /// Remove models from the store
    Rm {
        /// Names
        #[arg(required = true, value_name = "MODEL")]
        names: Vec<String>,
    },
    /// Give a model one more name; its weights are shared
    Cp {
        /// Its name
        from: String,
        /// The further name
        to: String,
    },
    /// List the models that the server has loaded
    #[command(
        after_help = "Asks the server at --set client.url=…, FORNAX_URL, or the one that runs on the data directory, with the key in FORNAX_API_KEY; the server of the data directory also gets the one in <data-dir>/admin.key."
    )]
    Ps {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Put documents into a collection of a running server
    #[command(
        after_help = "Examples:\n  fornax ingest ./docs --collection handbook\n  fornax ingest report.pdf table.xlsx -c handbook --chunk-size 200 --dry-run\n  fornax ingest 'postgres://me@localhost/shop?table=products' -c products --text-column title\n\nReads text, Markdown, HTML, PDF, Word, CSV, JSON, XML, Excel, Parquet, SQLite and PostgreSQL. Files that did not change since the last time are not sent again. What could not be read is listed with its place; the exit code is 7 then."
    )]
    Ingest(IngestArguments),
    /// Search a collection of a running server for a text
    #[command(
        after_help = "Example:\n  fornax search \"How do I rotate keys?\" --collection handbook"
    )]
    Search(SearchArguments),
    /// Speak MCP on standard input and output for a running server
    #[command(
        after_help = "For clients that start their servers themselves; in their configuration:\n  {\"command\": \"fornax\", \"args\": [\"mcp\"], \"env\": {\"FORNAX_URL\": \"http://127.0.0.1:8080\", \"FORNAX_API_KEY\": \"fx-…\"}}\n\nThe server and the key are found as by `fornax ps`. Clients that speak HTTP need no such helper: the server answers at /mcp."
    )]
    Mcp,
    /// Train, evaluate and plot science models; needs no server
    #[command(
        after_help = "Examples:\n  fornax science train chirp --from '{\"type\":\"ensemble\",\"n_waves\":8}' --thorough\n  fornax science infer chirp --inputs '{\"x\":[0.5,1.0],\"t\":[0.0]}'\n  fornax science plot fit chirp --out fit.svg\n  fornax science load --tasks 1000 --workers 4\n\nModels are those of the data directory's tenant 'default', which a server on it serves too."
    )]
    Science {
        /// What to do
        #[command(subcommand)]
        command: ScienceCommand,
    },
    /// Answer a question from a collection of a running server, with its sources
    #[command(
        after_help = "Examples:\n  fornax ask \"What survives a power cut?\" --collection docs\n  fornax ask \"Who pays?\" -c contracts -c mails --model my-model --json\n\nThe server and the key are found as by `fornax ps`. Fill a collection with `fornax ingest`."
    )]
    Ask(AskArguments),
    /// See and empty the result cache of a running server
    Cache {
        /// What to do with it
        #[command(subcommand)]
        command: CacheCommand,
    },
    /// Make, see, snapshot and delete collections of vectors on a running server
    Collections {
        /// What to do
        #[command(subcommand)]
        command: CollectionsCommand,
    },
    /// Make, list and end API keys
    Keys {
        /// What to do with keys
        #[command(subcommand)]
        command: KeysCommand,
    },
    /// Check this machine and this data directory
    Doctor {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Show and check the configuration
    Config {
        /// What to do with it
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Convert safetensors weights to GGUF
    #[command(
        after_help = "Example:\n  fornax convert ./all-MiniLM-L6-v2 minilm.gguf --quantization q8_0"
    )]
    Convert(ConvertArguments),
    /// Print a completion script for a shell
    #[command(after_help = "Example:\n  fornax completions bash > /etc/bash_completion.d/fornax")]
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
    /// Print the version and what this build can do
    Version,
    /// Run one model; started by the server, not by people
    #[command(hide = true)]
    Runner(RunnerArguments),
}

/// Flags of `serve`.
#[derive(Debug, Args)]
pub struct ServeArguments {
    /// Address and port; port 0 takes a free one (server.bind) [env: FORNAX_BIND] [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS")]
    pub bind: Option<String>,
    /// Certificate chain for HTTPS, in PEM (server.tls_cert)
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub tls_cert: Option<PathBuf>,
    /// Private key of the certificate (server.tls_key)
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub tls_key: Option<PathBuf>,
    /// Listen on other than loopback without TLS (server.allow_insecure_bind)
    #[arg(long)]
    pub allow_insecure_bind: bool,
    /// Refuse every download (hub.offline)
    #[arg(long)]
    pub offline: bool,
    /// pretty or json (log.format)
    #[arg(long, value_name = "FORMAT")]
    pub log_format: Option<String>,
    /// Also what the MCP conformance suite asks for (mcp.fixtures)
    #[arg(long, hide = true)]
    pub mcp_fixtures: bool,
}

/// Arguments of `run`.
#[derive(Debug, Args)]
pub struct RunArguments {
    /// Model in the store, or a path of a GGUF file
    pub model: String,
    /// What to answer; without it, standard input, or a chat when that is a terminal
    pub prompt: Option<String>,
    /// Instructions for the model
    #[arg(long, value_name = "TEXT")]
    pub system: Option<String>,
    /// 0 always takes the likeliest token; up to 2
    #[arg(long, value_name = "NUMBER")]
    pub temperature: Option<f32>,
    /// Most tokens of an answer
    #[arg(long, value_name = "COUNT")]
    pub max_tokens: Option<u32>,
    /// The same seed and prompt give the same answer
    #[arg(long, value_name = "NUMBER")]
    pub seed: Option<u64>,
    /// Say at the end how many tokens were read and written, and how fast
    #[arg(long)]
    pub verbose: bool,
}

/// Arguments of `pull`.
#[derive(Debug, Args)]
pub struct PullArguments {
    /// hf:OWNER/REPOSITORY[:FILE or QUANTISATION], an https address, or a path
    pub source: String,
    /// Name in the store (default: from the source)
    #[arg(long)]
    pub name: Option<String>,
    /// Refuse if the network is needed (hub.offline)
    #[arg(long)]
    pub offline: bool,
    /// The sha256 that the file must have, in hexadecimal
    #[arg(long, value_name = "HEX")]
    pub sha256: Option<String>,
}

/// Arguments of `show`.
#[derive(Debug, Args)]
pub struct ShowArguments {
    /// Name
    pub model: String,
    /// Only its chat template
    #[arg(long, conflicts_with_all = ["tensors", "json"])]
    pub template: bool,
    /// Its tensors too
    #[arg(long)]
    pub tensors: bool,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `convert`.
#[derive(Debug, Args)]
pub struct ConvertArguments {
    /// Directory with config.json, the tokenizer's files and *.safetensors
    #[arg(value_hint = ValueHint::DirPath)]
    pub source: PathBuf,
    /// The GGUF file to write
    #[arg(value_hint = ValueHint::FilePath)]
    pub target: PathBuf,
    /// How to store the weights: f32, f16, q8_0 or q4_0
    #[arg(
        long,
        default_value = "f16",
        value_name = "TYPE",
        visible_alias = "type"
    )]
    pub quantization: String,
    /// Title to write into the file (default: from the source)
    #[arg(long)]
    pub name: Option<String>,
}

/// Commands about keys.
#[derive(Debug, Subcommand)]
pub enum KeysCommand {
    /// Make a key; its text is printed once and kept nowhere
    #[command(
        after_help = "Examples:\n  fornax keys create ci\n  KEY=$(fornax keys create lab-frontend --tenant lab --expires 90d)\n  fornax keys create prometheus --scope metrics\n\nScopes: inference (use models), models (pull, load, remove), metrics, admin (everything)."
    )]
    Create {
        /// What to call it; unique within its tenant
        name: String,
        /// What it may do; may be repeated
        #[arg(long = "scope", value_name = "SCOPE", default_value = "inference")]
        scopes: Vec<String>,
        /// Whose it is
        #[arg(long, default_value = security::TenantId::DEFAULT)]
        tenant: String,
        /// When it ends: 12h, 30d, never
        #[arg(long, value_name = "TIME", default_value = "never")]
        expires: String,
    },
    /// List the keys, without their secrets
    List {
        /// Only this tenant's
        #[arg(long)]
        tenant: Option<String>,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// End a key; a running server refuses it within two seconds
    Revoke {
        /// Its id or name
        key: String,
    },
}

/// Commands about the configuration.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Print every key with its help and default, as TOML
    Reference,
    /// Print what is in force, and where each value came from
    Show,
    /// Only say whether the configuration is valid
    Check,
}

/// What the parent tells a model's process.
#[derive(Debug, Args)]
pub struct RunnerArguments {
    /// Weights
    #[arg(long)]
    pub model: PathBuf,
    /// Socket to listen on
    #[arg(long)]
    pub socket: PathBuf,
    /// Name of the model, for messages
    #[arg(long)]
    pub name: String,
}

impl Arguments {
    /// The configuration keys that flags set, with the flag's name.
    ///
    /// # Errors
    /// A `--set` without `=`.
    pub fn values(&self) -> anyhow::Result<Vec<(String, String, &'static str)>> {
        let mut values = Vec::new();
        for pair in &self.set {
            let Some((key, value)) = pair.split_once('=') else {
                return Err(Ended::error(
                    Exit::Usage,
                    format!("--set {pair}: write it as KEY=VALUE"),
                ));
            };
            values.push((key.trim().to_owned(), value.to_owned(), "--set"));
        }
        let mut set = |key: &str, value: Option<String>, flag| {
            if let Some(value) = value {
                values.push((key.to_owned(), value, flag));
            }
        };
        let path = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
        let truth = |flag: bool| flag.then(|| "true".to_owned());
        set("data.dir", path(&self.data_dir), "--data-dir");
        set("log.level", self.log_level.clone(), "--log-level");
        match &self.command {
            Command::Serve(serve) => {
                set("server.bind", serve.bind.clone(), "--bind");
                set("server.tls_cert", path(&serve.tls_cert), "--tls-cert");
                set("server.tls_key", path(&serve.tls_key), "--tls-key");
                set(
                    "server.allow_insecure_bind",
                    truth(serve.allow_insecure_bind),
                    "--allow-insecure-bind",
                );
                set("hub.offline", truth(serve.offline), "--offline");
                set("mcp.fixtures", truth(serve.mcp_fixtures), "--mcp-fixtures");
                set("log.format", serve.log_format.clone(), "--log-format");
            }
            Command::Pull(pull) => set("hub.offline", truth(pull.offline), "--offline"),
            _ => {}
        }
        Ok(values)
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn no_flag_of_a_command_hides_a_global_one() {
        fn walk(command: &clap::Command, globals: &[&str]) {
            for own in command.get_arguments().filter(|one| !one.is_global_set()) {
                let id = own.get_id().as_str();
                assert!(!globals.contains(&id), "{}: {id}", command.get_name());
            }
            for inner in command.get_subcommands() {
                walk(inner, globals);
            }
        }
        let command = Arguments::command();
        let globals: Vec<&str> = command
            .get_arguments()
            .filter(|one| one.is_global_set())
            .map(|one| one.get_id().as_str())
            .collect();
        assert!(globals.contains(&"config"));
        for inner in command.get_subcommands() {
            walk(inner, &globals);
        }
    }

    #[test]
    fn the_long_help_lists_every_exit_code() {
        for (exit, meaning) in Exit::ALL {
            assert!(
                LONG_HELP.contains(&format!("{:>5}  {meaning}", exit as i32)),
                "{exit:?}"
            );
        }
    }
}
