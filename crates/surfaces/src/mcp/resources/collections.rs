//! Collections and the documents in them, as resources.

use rmcp::ErrorData;
use rmcp::model::{Resource, ResourceContents, ResourceTemplate};
use serde_json::json;
use service::{Error, ErrorKind, Identity};

use super::{JSON, json_contents, not_found};
use crate::mcp::convert;
use crate::mcp::tools::collections::describe_for;
use crate::state::App;

/// The list of collections.
const COLLECTIONS: &str = "fornax://collections";
/// What a collection's address begins with.
const COLLECTION: &str = "fornax://collections/";
/// The template of a collection's address.
pub const COLLECTION_TEMPLATE: &str = "fornax://collections/{name}";
/// Stands between a collection's name and a document's.
const DOCUMENTS: &str = "/documents/";
/// The template of a document's address.
pub const DOCUMENT_TEMPLATE: &str = "fornax://collections/{name}/documents/{+source}";
/// Chunks of a document in one reading: some hundred pages.
const CHUNKS_MAX: usize = 1_000;

/// The list and every collection; nothing for a key that may not read them.
pub async fn list(app: &App, identity: &Identity) -> Result<Vec<Resource>, ErrorData> {
    let names = match app.service.collections_list(identity).await {
        Ok(names) => names,
        Err(error) if error.kind == ErrorKind::Forbidden => return Ok(Vec::new()),
        Err(error) => return Err(convert::protocol_error(error)),
    };
    let all = Resource::new(COLLECTIONS, "collections")
        .with_title("Collections")
        .with_description("The collections of this server")
        .with_mime_type(JSON);
    let each = names.into_iter().map(|name| {
        Resource::new(format!("{COLLECTION}{name}"), name)
            .with_description("A collection: its size, vectors, models and documents")
            .with_mime_type(JSON)
    });
    Ok(std::iter::once(all).chain(each).collect())
}

/// The addresses that can be made.
pub fn templates() -> [ResourceTemplate; 2] {
    [
        ResourceTemplate::new(COLLECTION_TEMPLATE, "collection")
            .with_title("A collection")
            .with_description("Size, vectors, models and documents of one collection, by its name")
            .with_mime_type(JSON),
        ResourceTemplate::new(DOCUMENT_TEMPLATE, "document")
            .with_title("A document")
            .with_description(
                "The text of a document in a collection, chunk by chunk, with where each is from",
            )
            .with_mime_type(JSON),
    ]
}

/// What stands at `uri`.
///
/// # Errors
/// Nothing does, or the key may not read it.
pub async fn read(
    app: &App,
    identity: &Identity,
    uri: &str,
) -> Result<Vec<ResourceContents>, ErrorData> {
    let found = if uri == COLLECTIONS {
        let names = app.service.collections_list(identity).await;
        names.map(|names| json!({ "collections": names }))
    } else if let Some(rest) = uri.strip_prefix(COLLECTION) {
        match rest.split_once(DOCUMENTS) {
            None => collection(app, identity, rest).await,
            Some((name, source)) => document(app, identity, name, source).await,
        }
    } else {
        return Err(not_found(uri));
    };
    match found {
        Ok(value) => json_contents(uri, &value),
        Err(error) if matches!(error.kind, ErrorKind::NotFound | ErrorKind::InvalidRequest) => {
            Err(not_found(uri))
        }
        Err(error) => Err(convert::protocol_error(error)),
    }
}

async fn collection(
    app: &App,
    identity: &Identity,
    name: &str,
) -> Result<serde_json::Value, Error> {
    let about = describe_for(app, identity, name).await?;
    let documents = app.service.ingest_sources(identity, name).await?;
    let documents: Vec<_> = documents
        .into_iter()
        .take(CHUNKS_MAX)
        .map(|document| json!({ "source": document.source, "chunks": document.chunks }))
        .collect();
    Ok(json!({ "collection": about, "documents": documents }))
}

async fn document(
    app: &App,
    identity: &Identity,
    name: &str,
    source: &str,
) -> Result<serde_json::Value, Error> {
    let text = app
        .service
        .ingest_text(identity, name, source, CHUNKS_MAX)
        .await?;
    Ok(json!({ "source": source, "chunks": text.chunks, "more": text.more }))
}
