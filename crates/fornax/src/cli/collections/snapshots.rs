//! `collections snapshot`.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use platform::files::AtomicFile;
use reqwest::Method;
use serde_json::{Value, json};

use super::super::output::{print, print_json, table};
use super::super::{Context, client};
use super::args::SnapshotCommand;
use super::{escaped, path_of, size};
use crate::directory::MODE_PRIVATE;

/// Taking or restoring one reads and writes the whole collection.
const PATIENCE: Duration = Duration::from_secs(3600);

pub(super) async fn snapshots(context: &Context, command: SnapshotCommand) -> anyhow::Result<()> {
    match command {
        SnapshotCommand::Create { collection } => {
            let path = format!("{}/snapshots", path_of(&collection));
            let answer = client::send(context, Method::POST, &path, &json!({}), PATIENCE).await?;
            let name = answer["result"]["name"].as_str().unwrap_or("?");
            print(&format!("{name}\n"))
        }
        SnapshotCommand::List { collection, json } => list(context, &collection, json).await,
        SnapshotCommand::Download {
            collection,
            snapshot,
            out,
        } => {
            let out = out.unwrap_or_else(|| PathBuf::from(&snapshot));
            download(context, &collection, &snapshot, &out).await
        }
        SnapshotCommand::Upload { collection, file } => upload(context, &collection, &file).await,
        SnapshotCommand::Restore {
            collection,
            snapshot,
        } => {
            let path = format!("{}/snapshots/recover", path_of(&collection));
            let body = json!({"location": snapshot});
            client::send(context, Method::PUT, &path, &body, PATIENCE).await?;
            print(&format!("{collection} is as {snapshot} was\n"))
        }
        SnapshotCommand::Delete {
            collection,
            snapshot,
        } => {
            client::delete(context, &path_of_snapshot(&collection, &snapshot)).await?;
            print(&format!("{snapshot} is deleted\n"))
        }
    }
}

fn path_of_snapshot(collection: &str, snapshot: &str) -> String {
    format!("{}/snapshots/{}", path_of(collection), escaped(snapshot))
}

async fn list(context: &Context, collection: &str, as_json: bool) -> anyhow::Result<()> {
    let answer = client::get(context, &format!("{}/snapshots", path_of(collection))).await?;
    let snapshots = &answer["result"];
    if as_json {
        return print_json(snapshots);
    }
    let text = |value: &Value| value.as_str().unwrap_or("?").to_owned();
    let rows: Vec<Vec<String>> = snapshots
        .as_array()
        .into_iter()
        .flatten()
        .map(|one| {
            vec![
                text(&one["name"]),
                text(&one["creation_time"]),
                size(&one["size"]),
            ]
        })
        .collect();
    print(&table(&["snapshot", "taken (UTC)", "size"], &rows))
}

/// Fetches a snapshot. The file appears under its name when it is whole.
async fn download(
    context: &Context,
    collection: &str,
    snapshot: &str,
    out: &Path,
) -> anyhow::Result<()> {
    let path = path_of_snapshot(collection, snapshot);
    let mut response = client::exchange(context, Method::GET, &path, None).await?;
    if !response.status().is_success() {
        return client::answer("the server", response).await.map(drop);
    }
    let could_not = || format!("could not write {}", out.display());
    let mut file = AtomicFile::create(out, MODE_PRIVATE).with_context(could_not)?;
    while let Some(piece) = response.chunk().await.context("the download broke off")? {
        file.write_all(&piece).with_context(could_not)?;
    }
    file.commit().with_context(could_not)?;
    print(&format!("{}\n", out.display()))
}

async fn upload(context: &Context, collection: &str, file: &Path) -> anyhow::Result<()> {
    let opened = tokio::fs::File::open(file)
        .await
        .with_context(|| format!("could not open {}", file.display()))?;
    let pieces = tokio_util::io::ReaderStream::with_capacity(opened, 1 << 18);
    let path = format!("{}/snapshots/upload", path_of(collection));
    let body = reqwest::Body::wrap_stream(pieces);
    let response = client::exchange(context, Method::POST, &path, Some(body)).await?;
    client::answer("the server", response).await?;
    print(&format!("{collection} is there\n"))
}
