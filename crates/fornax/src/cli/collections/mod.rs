//! `collections`: collections of vectors on a running server.

mod args;
mod snapshots;

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::output::{bytes, facts, print, print_json, table};
use super::{Context, client, small_runtime};
use crate::exit::{Ended, Exit};
pub use args::CollectionsCommand;
use args::{CreateArguments, Distance};

/// Making or deleting one may sync many files of a slow disk.
const PATIENCE: Duration = Duration::from_secs(120);

/// `fornax collections …`.
pub fn collections(context: &Context, command: CollectionsCommand) -> anyhow::Result<()> {
    small_runtime()?.block_on(async {
        match command {
            CollectionsCommand::List { json } => list(context, json).await,
            CollectionsCommand::Show { name, json } => show(context, &name, json).await,
            CollectionsCommand::Create(arguments) => create(context, &arguments).await,
            CollectionsCommand::Delete { name } => delete(context, &name).await,
            CollectionsCommand::Snapshot { command } => {
                snapshots::snapshots(context, command).await
            }
        }
    })
}

/// The path of a collection.
fn path_of(name: &str) -> String {
    format!("/collections/{}", escaped(name))
}

/// A text as one part of a path.
fn escaped(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes()
        .map(|byte| match plain(byte) {
            true => char::from(byte).to_string(),
            false => format!("%{byte:02X}"),
        })
        .collect()
}

async fn list(context: &Context, as_json: bool) -> anyhow::Result<()> {
    let answer = client::get(context, "/collections").await?;
    let names = answer["result"]["collections"].clone();
    if as_json {
        return print_json(&names);
    }
    let mut text = String::new();
    for one in names.as_array().into_iter().flatten() {
        text.push_str(&super::output::printable(
            one["name"].as_str().unwrap_or("?"),
        ));
        text.push('\n');
    }
    print(&text)
}

async fn show(context: &Context, name: &str, as_json: bool) -> anyhow::Result<()> {
    let answer = client::get(context, &path_of(name)).await?;
    let info = &answer["result"];
    if as_json {
        return print_json(info);
    }
    let number = |value: &Value| value.as_u64().unwrap_or(0).to_string();
    let params = &info["config"]["params"];
    print(&facts(&[
        ("status", info["status"].as_str().unwrap_or("?").to_owned()),
        ("points", number(&info["points_count"])),
        ("indexed", number(&info["indexed_vectors_count"])),
        ("segments", number(&info["segments_count"])),
    ]))?;
    let mut rows = Vec::new();
    let mut dense = |name: &str, vector: &Value| {
        let distance = vector["distance"].as_str().unwrap_or("?");
        rows.push(vec![
            name.to_owned(),
            number(&vector["size"]),
            distance.to_owned(),
        ]);
    };
    match &params["vectors"] {
        one if one["size"].is_number() => dense("(unnamed)", one),
        Value::Object(named) => {
            for (name, vector) in named {
                dense(if name.is_empty() { "(unnamed)" } else { name }, vector);
            }
        }
        _ => {}
    }
    for (name, _) in params["sparse_vectors"].as_object().into_iter().flatten() {
        rows.push(vec![name.clone(), "-".to_owned(), "sparse".to_owned()]);
    }
    print("\n")?;
    print(&table(&["vector", "size", "distance"], &rows))?;
    let fields = info["payload_schema"].as_object();
    let rows: Vec<Vec<String>> = fields
        .into_iter()
        .flatten()
        .map(|(field, index)| {
            let kind = index["data_type"].as_str().unwrap_or("?").to_owned();
            vec![field.clone(), kind, number(&index["points"])]
        })
        .collect();
    if rows.is_empty() {
        return Ok(());
    }
    print("\n")?;
    print(&table(&["field", "index", "points"], &rows))
}

async fn create(context: &Context, arguments: &CreateArguments) -> anyhow::Result<()> {
    let mut body = Map::new();
    if let Some(size) = arguments.size {
        let distance = match arguments.distance {
            Distance::Cosine => "Cosine",
            Distance::Dot => "Dot",
            Distance::Euclid => "Euclid",
            Distance::Manhattan => "Manhattan",
        };
        let vector = json!({"size": size, "distance": distance, "on_disk": arguments.on_disk});
        let vectors = match &arguments.vector {
            Some(name) => json!({name: vector}),
            None => vector,
        };
        body.insert("vectors".to_owned(), vectors);
    }
    let mut sparse = Map::new();
    for name in &arguments.sparse {
        sparse.insert(name.clone(), json!({"modifier": "idf"}));
    }
    if !sparse.is_empty() {
        body.insert("sparse_vectors".to_owned(), Value::Object(sparse));
    }
    if body.is_empty() {
        return Err(Ended::error(
            Exit::Usage,
            "give --size for a dense vector, --sparse for a sparse one, or both",
        ));
    }
    let path = path_of(&arguments.name);
    let body = Value::Object(body);
    client::send(context, reqwest::Method::PUT, &path, &body, PATIENCE).await?;
    print(&format!("{} is there\n", arguments.name))
}

async fn delete(context: &Context, name: &str) -> anyhow::Result<()> {
    let answer = client::delete(context, &path_of(name)).await?;
    if answer["result"] == false {
        return Err(Ended::error(
            Exit::NotFound,
            format!("there is no collection {name}"),
        ));
    }
    print(&format!("{name} is deleted\n"))
}

/// A size in the answer of a server.
fn size(value: &Value) -> String {
    bytes(value.as_u64().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::path_of;

    #[test]
    fn a_name_stays_one_part_of_its_path() {
        assert_eq!(path_of("a b/../c"), "/collections/a%20b%2F..%2Fc");
        assert_eq!(path_of("ü"), "/collections/%C3%BC");
    }
}
