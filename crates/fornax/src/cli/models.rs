//! `list`, `show`, `rm`, `cp`: the store, without a server. They may run beside one: the store orders changes itself.

use anyhow::Context as _;
use inference::files::gguf::GgufHeader;
use inference::store::{Manifest, ModelStore, Origin};
use serde_json::json;

use super::Context;
use super::args::ShowArguments;
use super::output::{
    bytes, facts, moment, now_unix, parameters, print, print_json, printable, relative, table,
};
use crate::exit::{Ended, Exit};

/// Opens the store of the data directory.
///
/// # Errors
/// The directory cannot be made or used.
pub fn open(context: &Context) -> anyhow::Result<ModelStore> {
    context.directory.create()?;
    ModelStore::open(&context.directory.models()).context("could not open the model store")
}

/// `fornax list`.
pub fn list(context: &Context, as_json: bool) -> anyhow::Result<()> {
    let listing = open(context)?.scan()?;
    for broken in &listing.broken {
        super::output::error_line(&format!(
            "warning: {} is damaged: {}",
            broken.path.display(),
            printable(&broken.reason)
        ));
    }
    if as_json {
        return print_json(&json!({ "models": listing.manifests }));
    }
    if listing.manifests.is_empty() {
        return print(
            "no models yet; `fornax pull` fetches one, `fornax serve` brings the small one it carries\n",
        );
    }
    let now = now_unix();
    let rows: Vec<Vec<String>> = listing
        .manifests
        .iter()
        .map(|manifest| {
            vec![
                manifest.name.clone(),
                short_digest(manifest),
                bytes(manifest.size_bytes),
                manifest.facts.architecture.clone(),
                parameters(manifest.facts.parameters),
                manifest.facts.quantization.clone(),
                relative(
                    i64::try_from(manifest.created_unix).unwrap_or(i64::MAX),
                    now,
                ),
            ]
        })
        .collect();
    print(&table(
        &[
            "name",
            "digest",
            "size",
            "architecture",
            "parameters",
            "quantization",
            "added",
        ],
        &rows,
    ))
}

/// The first twelve digits, which is how people tell weights apart.
fn short_digest(manifest: &Manifest) -> String {
    manifest
        .digest
        .trim_start_matches("sha256:")
        .chars()
        .take(12)
        .collect()
}

/// `fornax show`.
pub fn show(context: &Context, arguments: &ShowArguments) -> anyhow::Result<()> {
    let resolved = open(context)?.resolve(&arguments.model)?;
    let header = GgufHeader::read(&resolved.path)
        .with_context(|| format!("could not read {}", resolved.path.display()))?;
    if arguments.template {
        let template = header.chat_template.ok_or_else(|| {
            Ended::error(
                Exit::NotFound,
                format!("{} carries no chat template", resolved.manifest.name),
            )
        })?;
        return print(&format!("{template}\n"));
    }
    if arguments.json {
        let tensors: Vec<_> = header
            .tensors
            .iter()
            .map(|tensor| json!({ "name": tensor.name, "type": tensor.kind.name(), "dimensions": tensor.dimensions }))
            .collect();
        let mut value = json!({
            "manifest": resolved.manifest,
            "path": resolved.path,
            "tokenizer": header.tokenizer_model,
            "layers": header.block_count,
            "heads": header.head_count,
            "chat_template": header.chat_template,
        });
        if arguments.tensors {
            value["tensors"] = json!(tensors);
        }
        return print_json(&value);
    }
    let mut text = facts(&describe(&resolved.manifest, &header));
    if arguments.tensors {
        let rows: Vec<Vec<String>> = header
            .tensors
            .iter()
            .map(|tensor| {
                let dimensions: Vec<String> =
                    tensor.dimensions.iter().map(ToString::to_string).collect();
                vec![
                    tensor.name.clone(),
                    tensor.kind.name().to_owned(),
                    dimensions.join(" x "),
                ]
            })
            .collect();
        text.push('\n');
        text.push_str(&table(&["tensor", "type", "dimensions"], &rows));
    }
    print(&text)
}

fn describe(manifest: &Manifest, header: &GgufHeader) -> Vec<(&'static str, String)> {
    let number =
        |value: Option<u64>| value.map_or_else(|| "-".to_owned(), |value| value.to_string());
    let mut rows = vec![
        ("name", manifest.name.clone()),
        ("digest", manifest.digest.clone()),
        ("size", bytes(manifest.size_bytes)),
        ("from", origin(&manifest.origin)),
        (
            "added",
            moment(i64::try_from(manifest.created_unix).unwrap_or(i64::MAX)),
        ),
        ("kind", format!("{:?}", manifest.facts.kind).to_lowercase()),
        ("architecture", manifest.facts.architecture.clone()),
        ("parameters", parameters(manifest.facts.parameters)),
        ("quantization", manifest.facts.quantization.clone()),
        (
            "context",
            format!("{} tokens", number(header.context_length)),
        ),
        ("embedding", number(header.embedding_length)),
        ("layers", number(header.block_count)),
        (
            "heads",
            format!(
                "{} ({} for keys and values)",
                number(header.head_count),
                number(header.head_count_kv)
            ),
        ),
        ("vocabulary", number(header.vocabulary_size)),
        (
            "tokenizer",
            header
                .tokenizer_model
                .clone()
                .unwrap_or_else(|| "-".to_owned()),
        ),
        (
            "chat template",
            if header.chat_template.is_some() {
                "yes (--template prints it)"
            } else {
                "no"
            }
            .to_owned(),
        ),
        (
            "license",
            manifest
                .facts
                .license
                .clone()
                .unwrap_or_else(|| "not stated in the file".to_owned()),
        ),
    ];
    if let Some(pooling) = manifest.facts.pooling {
        rows.push(("pooling", format!("{pooling:?}").to_lowercase()));
    }
    if let Some(name) = &header.name {
        rows.push(("title", name.clone()));
    }
    rows
}

fn origin(origin: &Origin) -> String {
    match origin {
        Origin::Embedded => "this program".to_owned(),
        Origin::File { path } => path.clone(),
        Origin::Converted { path } => format!("converted from {path}"),
        Origin::Uploaded { file } => format!("uploaded as {file}"),
        Origin::Url { url } => url.clone(),
        Origin::Hub {
            repository,
            file,
            revision,
            ..
        } => format!("hf:{repository}@{revision}:{file}"),
    }
}

/// `fornax rm`. All names are checked before anything is removed.
pub fn remove(context: &Context, names: &[String]) -> anyhow::Result<()> {
    let store = open(context)?;
    for name in names {
        // A damaged manifest can be removed, so only a name that is not there stops the command.
        if let Err(error @ inference::store::StoreError::NotFound { .. }) = store.manifest(name) {
            return Err(error.into());
        }
    }
    for name in names {
        let removed = store.remove(name)?;
        let freed = if removed.freed_bytes > 0 {
            format!("{} freed", bytes(removed.freed_bytes))
        } else {
            "its weights are used under another name".to_owned()
        };
        print(&format!("removed {} ({freed})\n", removed.name))?;
    }
    Ok(())
}

/// `fornax cp`.
pub fn copy(context: &Context, from: &str, to: &str) -> anyhow::Result<()> {
    let manifest = open(context)?.copy(from, to)?;
    print(&format!(
        "{} is now a name of {}\n",
        manifest.name,
        short_digest(&manifest)
    ))
}
