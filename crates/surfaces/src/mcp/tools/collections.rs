//! Collections: what there is, and what is in them about a text.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use service::ingest::{SearchMode, TextSearch};
use service::{Action, Error};

use crate::mcp::declaration::{Call, Facts, Tool};
use crate::mcp::types::Nothing;
use crate::qdrant;

/// Results when the caller does not say how many.
const LIMIT_USUAL: usize = 10;

/// Answer of `list_collections`.
#[derive(Debug, Serialize, JsonSchema)]
struct CollectionsAnswer {
    /// Names, in order.
    collections: Vec<String>,
}

/// Arguments of `describe_collection`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct DescribeCollectionArguments {
    /// Name, as `list_collections` gives it.
    collection: String,
}

/// Answer of `describe_collection`, and the text of a collection's resource.
#[derive(Debug, Serialize, JsonSchema)]
pub struct CollectionAnswer {
    /// Its own name, whatever alias was asked for.
    name: String,
    /// Points that it holds.
    points: u64,
    /// Names of its vectors; the unnamed one is the empty text.
    vectors: Vec<String>,
    /// Fields of the payload that have an index.
    indexed_fields: Vec<String>,
    /// The models that made its vectors from texts, by the vector's name.
    models: std::collections::BTreeMap<String, String>,
}

/// How texts are compared.
#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum ModeArgument {
    /// By meaning and by words together.
    #[default]
    Hybrid,
    /// By meaning.
    Dense,
    /// By words.
    Words,
}

/// Arguments of `search`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct SearchArguments {
    /// The collection, as `list_collections` gives it.
    collection: String,
    /// What is looked for.
    query: String,
    /// How texts are compared; by meaning and words when absent.
    #[serde(default)]
    mode: ModeArgument,
    /// Most results; 10 when absent.
    #[schemars(range(min = 1, max = 1000))]
    limit: Option<usize>,
    /// Only points like this, in Qdrant's filter language: `{"must": [{"key": "source", "match": {"value": "guide.md"}}]}`.
    filter: Option<serde_json::Map<String, serde_json::Value>>,
}

/// One result of `search`.
#[derive(Debug, Serialize, JsonSchema)]
struct FoundAnswer {
    /// The point's id.
    id: String,
    /// Its score; larger is better.
    score: f32,
    /// Its text, source and whatever else is kept with it.
    payload: serde_json::Map<String, serde_json::Value>,
}

/// Answer of `search`.
#[derive(Debug, Serialize, JsonSchema)]
struct SearchAnswer {
    /// The best first.
    results: Vec<FoundAnswer>,
}

/// `list_collections`
pub fn list() -> Tool {
    let facts = Facts {
        name: "list_collections",
        title: "List collections",
        description: "The collections of this server that the key may read.",
        action: Action::ReadCollections,
        read_only: true,
        long: false,
    };
    Tool::new(facts, |call: Call, _: Nothing| async move {
        let collections = call.app.service.collections_list(&call.identity).await?;
        Ok::<_, Error>(CollectionsAnswer { collections })
    })
}

/// `describe_collection`
pub fn describe() -> Tool {
    let facts = Facts {
        name: "describe_collection",
        title: "Describe a collection",
        description: "How many points a collection holds, which vectors, which indexed fields, and which models made them.",
        action: Action::ReadCollections,
        read_only: true,
        long: false,
    };
    Tool::new(
        facts,
        |call: Call, arguments: DescribeCollectionArguments| async move {
            describe_for(&call.app, &call.identity, &arguments.collection).await
        },
    )
}

/// What is known of one collection.
///
/// # Errors
/// `NotFound`, `Forbidden`.
pub async fn describe_for(
    app: &crate::state::App,
    identity: &service::Identity,
    collection: &str,
) -> Result<CollectionAnswer, Error> {
    let details = app.service.collection_info(identity, collection).await?;
    let models = app.service.collection_models(identity, collection).await?;
    Ok(CollectionAnswer {
        name: details.name,
        points: details.info.points,
        vectors: details.info.schema.vectors.keys().cloned().collect(),
        indexed_fields: details
            .payload_indexes
            .iter()
            .map(|field| field.index.key.to_string())
            .collect(),
        models: models
            .into_iter()
            .map(|(vector, made)| (vector, made.model))
            .collect(),
    })
}

/// `search`
pub fn search() -> Tool {
    let facts = Facts {
        name: "search",
        title: "Search a collection",
        description: "Finds what a collection of texts has about a question, by meaning and by words, with where it comes from.",
        action: Action::ReadCollections,
        read_only: true,
        long: true,
    };
    Tool::new(facts, |call: Call, arguments: SearchArguments| async move {
        let filter = match arguments.filter {
            None => None,
            Some(filter) => qdrant::filter(&serde_json::Value::Object(filter), "filter")?,
        };
        let search = TextSearch {
            query: arguments.query,
            mode: match arguments.mode {
                ModeArgument::Hybrid => SearchMode::Hybrid,
                ModeArgument::Dense => SearchMode::Dense,
                ModeArgument::Words => SearchMode::Words,
            },
            limit: arguments.limit.unwrap_or(LIMIT_USUAL),
            filter: filter.unwrap_or_default(),
            model: None,
        };
        let found = call
            .app
            .service
            .search_text(&call.identity, &arguments.collection, search)
            .await?;
        let results = found.into_iter().map(|found| FoundAnswer {
            id: found.id,
            score: found.score,
            payload: found.payload,
        });
        Ok::<_, Error>(SearchAnswer {
            results: results.collect(),
        })
    })
}
