//! The use cases at their public boundary: real store, real keys, and a runtime that says what the test scripted.

mod answering;
mod chat;
mod failures;
mod ingest;
mod reranking;
mod responses;
mod results;
mod science;
mod scripted;
mod tenancy;
mod texts_as_vectors;
mod vector_stores;

use std::sync::Arc;

use futures::StreamExt;
use inference::runner::LoadOptions;
use inference::store::pull::PullOptions;
use inference::store::{ModelStore, Origin};
use platform::Clock;
use platform::clock::SystemClock;
use security::{KeyStore, KeyStoreOptions};

use self::scripted::{Reply, Scripted};
use crate::{
    ChatRequest, Error, GenerateOptions, Generation, GenerationEvent, Identity, Message,
    OutputFormat, RequestLimits, Role, Scope, Scopes, Service, ServiceOptions, TenantId,
    ToolChoice,
};

/// A template that writes its turns plainly and teaches Hermes calls.
const TEMPLATE: &str = "{% if tools %}<tool_call> tools: {{ tools | tojson }}\n{% endif %}\
{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}assistant:";

struct Bench {
    service: Service,
    runtime: Arc<Scripted>,
    _directory: tempfile::TempDir,
}

async fn bench(replies: Vec<Reply>) -> Bench {
    bench_keeping(replies, None).await
}

/// A service that keeps results of every kind for `lifetime`; `None` keeps none.
async fn bench_keeping(replies: Vec<Reply>, lifetime: Option<std::time::Duration>) -> Bench {
    let directory = tempfile::tempdir().expect("directory");
    let runtime = Arc::new(Scripted::new(replies));
    let options = options_in(directory.path(), lifetime).await;
    Bench {
        service: Service::assemble(options, runtime.clone()),
        runtime,
        _directory: directory,
    }
}

/// The parts of a service over a data directory that may be an earlier one's.
async fn options_in(
    directory: &std::path::Path,
    lifetime: Option<std::time::Duration>,
) -> ServiceOptions {
    let store = ModelStore::open(&directory.join("models")).expect("store");
    for (name, architecture, template) in [
        ("tiny", "llama", Some(TEMPLATE)),
        ("plain", "llama", None),
        ("vectors", "bert", None),
        ("ranker", "bert-rank", None),
    ] {
        store
            .import_bytes(
                name,
                &scripted::model_file(architecture, template),
                Origin::Embedded,
            )
            .expect("import");
    }
    let keys = KeyStore::open(
        &directory.join("fornax.db"),
        KeyStoreOptions {
            clock: Arc::new(SystemClock),
        },
    )
    .await
    .expect("keys");
    ServiceOptions {
        store,
        keys: Arc::new(keys),
        clock: Clock::system(),
        limits: RequestLimits::default(),
        load: LoadOptions::default(),
        pull: PullOptions::default(),
        cache: lifetime.map(|_| Arc::new(results::memory_only())),
        lifetimes: crate::ResultLifetimes {
            embeddings: lifetime.unwrap_or_default(),
            generations: lifetime.unwrap_or_default(),
            science: lifetime.unwrap_or_default(),
        },
        science: crate::ScienceOptions::new(directory.join("science")),
        answering: crate::AnsweringOptions::default(),
        responses: crate::ResponseOptions::default(),
        collections: crate::CollectionsOptions::new(directory.join("collections")),
        records: records(directory).await,
        files: crate::FileOptions::new(directory.join("files")),
        vector_stores: crate::VectorStoreOptions::new("vectors"),
    }
}

/// The rows of a test, beside the keys.
async fn records(directory: &std::path::Path) -> crate::Records {
    let location = crate::RecordsLocation::Sqlite(directory.join("fornax.db"));
    crate::Records::open(&location).await.expect("records")
}

fn identity(tenant: &str, scopes: impl Into<Scopes>) -> Identity {
    Identity {
        key_id: "key".into(),
        key_name: "test".into(),
        tenant: TenantId::new(tenant).expect("tenant"),
        scopes: scopes.into(),
    }
}

fn user() -> Identity {
    identity("acme", Scope::Inference)
}

fn message(role: Role, content: &str) -> Message {
    Message {
        role,
        content: content.into(),
        name: None,
        reasoning: None,
        tool_calls: Vec::new(),
        tool_call_id: None,
    }
}

fn chat(model: &str) -> ChatRequest {
    ChatRequest {
        model: model.into(),
        messages: vec![message(Role::User, "Hi")],
        tools: Vec::new(),
        tool_choice: ToolChoice::Auto,
        parallel_tool_calls: true,
        output: OutputFormat::Text,
        template_variables: serde_json::Map::new(),
        options: GenerateOptions::default(),
    }
}

async fn collect(
    generation: Generation,
) -> Result<Vec<GenerationEvent>, (Vec<GenerationEvent>, Error)> {
    let mut seen = Vec::new();
    let mut events = generation.events;
    while let Some(event) = events.next().await {
        match event {
            Ok(event) => seen.push(event),
            Err(error) => return Err((seen, error)),
        }
    }
    Ok(seen)
}

fn text_of(events: &[GenerationEvent]) -> String {
    events
        .iter()
        .filter_map(|event| match event {
            GenerationEvent::Text { text, .. } => Some(text.as_str()),
            _ => None,
        })
        .collect()
}
