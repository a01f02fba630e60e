//! Every route there is, with the scope it needs. The router is built from this table and from nothing else, and the
//! authorisation middleware reads the same table, so a route cannot exist without a rule.

use std::sync::Arc;

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, MethodRouter, any};
use http::{HeaderMap, HeaderValue, Method, Uri, header};
use service::{Action, Error, ErrorKind, Service};
use tokio::sync::Semaphore;

use crate::failure::{Failure, Surface};
use crate::options::SurfaceOptions;
use crate::state::{App, Shared};
use crate::{
    admin, answer, anthropic, body, dredge, files, grpc, health, ingest, mcp, middleware, ollama,
    openai, qdrant, rerank, responses, science, shared_paths, vector_stores,
};

/// Who may use a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Anybody, without a key. Only what a load balancer asks.
    Public,
    /// A key that may do this.
    Action(Action),
    /// Any valid key: what it may do is decided for each thing that the handler is asked for.
    Key,
}

/// One method of one path.
pub struct RouteFact {
    /// HTTP method.
    pub method: Method,
    /// Path pattern in axum's notation.
    pub path: &'static str,
    /// Who may use it.
    pub access: Access,
    /// Adds the handler to the path's method router.
    attach: fn(MethodRouter<App>) -> MethodRouter<App>,
}

macro_rules! route {
    ($method:ident $path:literal, $action:ident, $handler:path) => {
        RouteFact {
            method: Method::$method,
            path: $path,
            access: access!($action),
            attach: |router| router.on(MethodFilter::$method, $handler),
        }
    };
}

/// A method of a gRPC service: one message in, one out.
macro_rules! rpc {
    ($path:literal, $action:ident, $handler:path) => {
        RouteFact {
            method: Method::POST,
            path: $path,
            access: access!($action),
            attach: |router| {
                router.on(
                    MethodFilter::POST,
                    |State(app): State<App>, request: Request| grpc::unary(app, request, $handler),
                )
            },
        }
    };
}

macro_rules! access {
    (Public) => {
        Access::Public
    };
    (Key) => {
        Access::Key
    };
    ($action:ident) => {
        Access::Action(Action::$action)
    };
}

static TABLE: &[RouteFact] = &[
    route!(GET "/livez", Public, health::live),
    route!(GET "/healthz", Public, health::live),
    route!(GET "/readyz", Public, health::ready),
    route!(GET "/metrics", ReadMetrics, health::metrics),
    // more than one protocol's
    route!(GET "/", Key, shared_paths::root),
    route!(GET "/v1/models", ListModels, shared_paths::list_models),
    route!(GET "/v1/models/{*id}", ListModels, shared_paths::get_model),
    // Anthropic
    route!(POST "/v1/messages", Generate, anthropic::messages),
    route!(POST "/v1/messages/count_tokens", Tokenize, anthropic::count_tokens),
    // Ollama
    route!(GET "/api/version", Key, ollama::version),
    route!(GET "/api/tags", ListModels, ollama::tags),
    route!(GET "/api/ps", ReadRunners, ollama::running),
    route!(POST "/api/show", ListModels, ollama::show),
    route!(POST "/api/chat", Generate, ollama::chat),
    route!(POST "/api/generate", Generate, ollama::generate),
    route!(POST "/api/embed", Embed, ollama::embed),
    route!(POST "/api/embeddings", Embed, ollama::embeddings),
    route!(POST "/api/pull", PullModel, ollama::pull),
    route!(POST "/api/create", CopyModel, ollama::create),
    route!(HEAD "/api/blobs/{digest}", PullModel, ollama::has_blob),
    route!(POST "/api/blobs/{digest}", PullModel, ollama::upload_blob),
    route!(POST "/api/copy", CopyModel, ollama::copy),
    route!(DELETE "/api/delete", DeleteModel, ollama::delete),
    route!(POST "/api/push", Key, ollama::not_here),
    route!(POST "/api/me", Key, ollama::not_here),
    route!(POST "/api/signin", Key, ollama::not_here),
    route!(POST "/api/signout", Key, ollama::not_here),
    route!(GET "/api/status", Key, ollama::not_here),
    // OpenAI
    route!(POST "/v1/chat/completions", Generate, openai::chat),
    route!(GET "/v1/chat/completions/{id}", Generate, openai::stored),
    route!(POST "/v1/chat/completions/{id}", Generate, openai::stored),
    route!(DELETE "/v1/chat/completions/{id}", Generate, openai::stored),
    route!(GET "/v1/chat/completions/{id}/messages", Generate, openai::stored),
    route!(POST "/v1/completions", Generate, openai::complete),
    route!(POST "/v1/embeddings", Embed, openai::embed),
    route!(POST "/v1/responses", Generate, responses::create),
    route!(POST "/v1/responses/compact", Generate, responses::unsupported),
    route!(POST "/v1/responses/input_tokens", Generate, responses::unsupported),
    route!(GET "/v1/responses/{id}", Generate, responses::get),
    route!(DELETE "/v1/responses/{id}", Generate, responses::delete),
    route!(POST "/v1/responses/{id}/cancel", Generate, responses::cancel),
    route!(GET "/v1/responses/{id}/input_items", Generate, responses::input_items),
    // reranking: Jina and Cohere, Cohere's second version, text-embeddings-inference
    route!(POST "/v1/rerank", Rerank, rerank::rerank),
    route!(POST "/v2/rerank", Rerank, rerank::rerank_v2),
    route!(POST "/rerank", Rerank, rerank::rerank_tei),
    // OpenAI's vector stores
    route!(POST "/v1/vector_stores", ManageCollections, vector_stores::create),
    route!(GET "/v1/vector_stores", ReadCollections, vector_stores::list),
    route!(GET "/v1/vector_stores/{id}", ReadCollections, vector_stores::retrieve),
    route!(POST "/v1/vector_stores/{id}", ManageCollections, vector_stores::update),
    route!(DELETE "/v1/vector_stores/{id}", ManageCollections, vector_stores::remove),
    route!(POST "/v1/vector_stores/{id}/search", ReadCollections, vector_stores::search),
    route!(POST "/v1/vector_stores/{id}/files", WriteCollections, vector_stores::attach),
    route!(GET "/v1/vector_stores/{id}/files", ReadCollections, vector_stores::list_files),
    route!(GET "/v1/vector_stores/{id}/files/{file_id}", ReadCollections, vector_stores::file),
    route!(POST "/v1/vector_stores/{id}/files/{file_id}", WriteCollections, vector_stores::describe),
    route!(DELETE "/v1/vector_stores/{id}/files/{file_id}", WriteCollections, vector_stores::detach),
    route!(GET "/v1/vector_stores/{id}/files/{file_id}/content", ReadCollections, vector_stores::content),
    route!(POST "/v1/vector_stores/{id}/file_batches", WriteCollections, vector_stores::create_batch),
    route!(GET "/v1/vector_stores/{id}/file_batches/{batch_id}", ReadCollections, vector_stores::batch),
    route!(POST "/v1/vector_stores/{id}/file_batches/{batch_id}/cancel", WriteCollections, vector_stores::cancel_batch),
    route!(GET "/v1/vector_stores/{id}/file_batches/{batch_id}/files", ReadCollections, vector_stores::batch_files),
    // OpenAI's files
    route!(POST "/v1/files", WriteFiles, files::upload),
    route!(GET "/v1/files", ReadFiles, files::list),
    route!(GET "/v1/files/{id}", ReadFiles, files::retrieve),
    route!(DELETE "/v1/files/{id}", WriteFiles, files::remove),
    route!(GET "/v1/files/{id}/content", ReadFiles, files::content),
    // Qdrant
    route!(GET "/telemetry", ReadCollections, qdrant::telemetry),
    route!(GET "/cluster", ReadCollections, qdrant::cluster),
    route!(GET "/aliases", ReadCollections, qdrant::collections::aliases),
    route!(POST "/collections/aliases", ManageCollections, qdrant::collections::change_aliases),
    route!(GET "/collections", ReadCollections, qdrant::collections::list),
    route!(GET "/collections/{collection}", ReadCollections, qdrant::collections::info),
    route!(PUT "/collections/{collection}", ManageCollections, qdrant::collections::create),
    route!(PATCH "/collections/{collection}", ManageCollections, qdrant::collections::update),
    route!(DELETE "/collections/{collection}", ManageCollections, qdrant::collections::remove),
    route!(GET "/collections/{collection}/exists", ReadCollections, qdrant::collections::exists),
    route!(GET "/collections/{collection}/aliases", ReadCollections, qdrant::collections::aliases_of),
    route!(GET "/collections/{collection}/cluster", ReadCollections, qdrant::collections::cluster),
    route!(PUT "/collections/{collection}/index", ManageCollections, qdrant::collections::create_index),
    route!(DELETE "/collections/{collection}/index/{field}", ManageCollections, qdrant::collections::delete_index),
    route!(PUT "/collections/{collection}/points", WriteCollections, qdrant::points::upsert),
    route!(POST "/collections/{collection}/points", ReadCollections, qdrant::points::retrieve),
    route!(GET "/collections/{collection}/points/{id}", ReadCollections, qdrant::points::point),
    route!(POST "/collections/{collection}/points/delete", WriteCollections, qdrant::points::delete),
    route!(POST "/collections/{collection}/points/batch", WriteCollections, qdrant::points::batch),
    route!(POST "/collections/{collection}/points/scroll", ReadCollections, qdrant::points::scroll),
    route!(POST "/collections/{collection}/points/count", ReadCollections, qdrant::points::count),
    route!(POST "/collections/{collection}/points/payload", WriteCollections, qdrant::points::set_payload),
    route!(PUT "/collections/{collection}/points/payload", WriteCollections, qdrant::points::overwrite_payload),
    route!(POST "/collections/{collection}/points/payload/delete", WriteCollections, qdrant::points::delete_payload),
    route!(POST "/collections/{collection}/points/payload/clear", WriteCollections, qdrant::points::clear_payload),
    route!(POST "/collections/{collection}/points/query", ReadCollections, qdrant::queries::query),
    route!(POST "/collections/{collection}/points/query/batch", ReadCollections, qdrant::queries::query_batch),
    route!(POST "/collections/{collection}/points/query/groups", ReadCollections, qdrant::queries::query_groups),
    route!(POST "/collections/{collection}/points/search/matrix/pairs", ReadCollections, qdrant::queries::search_matrix_pairs),
    route!(POST "/collections/{collection}/points/search/matrix/offsets", ReadCollections, qdrant::queries::search_matrix_offsets),
    route!(PUT "/collections/{collection}/points/vectors", WriteCollections, qdrant::points::update_vectors),
    route!(POST "/collections/{collection}/points/vectors/delete", WriteCollections, qdrant::points::delete_vectors),
    route!(POST "/collections/{collection}/facet", ReadCollections, qdrant::points::facet),
    route!(GET "/collections/{collection}/snapshots", ReadCollections, qdrant::snapshots::list),
    route!(POST "/collections/{collection}/snapshots", ManageCollections, qdrant::snapshots::create),
    route!(PUT "/collections/{collection}/snapshots/recover", ManageCollections, qdrant::snapshots::recover),
    route!(POST "/collections/{collection}/snapshots/upload", ManageCollections, qdrant::snapshots::upload),
    route!(GET "/collections/{collection}/snapshots/{snapshot}", ManageCollections, qdrant::snapshots::download),
    route!(DELETE "/collections/{collection}/snapshots/{snapshot}", ManageCollections, qdrant::snapshots::remove),
    // Model Context Protocol
    route!(POST "/mcp", Key, mcp::receive),
    route!(GET "/mcp", Key, mcp::listen),
    route!(DELETE "/mcp", Key, mcp::terminate),
    // gRPC: health, reflection, Qdrant
    rpc!("/grpc.health.v1.Health/Check", Public, grpc::health::check),
    route!(POST "/grpc.health.v1.Health/Watch", Public, grpc::health::watch),
    route!(POST "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", Key, grpc::reflection::answer),
    route!(POST "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", Key, grpc::reflection::answer),
    rpc!(
        "/qdrant.Qdrant/HealthCheck",
        Public,
        grpc::qdrant::health_check
    ),
    rpc!(
        "/qdrant.Collections/Get",
        ReadCollections,
        grpc::qdrant::collections::get
    ),
    rpc!(
        "/qdrant.Collections/List",
        ReadCollections,
        grpc::qdrant::collections::list
    ),
    rpc!(
        "/qdrant.Collections/Create",
        ManageCollections,
        grpc::qdrant::collections::create
    ),
    rpc!(
        "/qdrant.Collections/Update",
        ManageCollections,
        grpc::qdrant::collections::update
    ),
    rpc!(
        "/qdrant.Collections/Delete",
        ManageCollections,
        grpc::qdrant::collections::delete
    ),
    rpc!(
        "/qdrant.Collections/UpdateAliases",
        ManageCollections,
        grpc::qdrant::collections::update_aliases
    ),
    rpc!(
        "/qdrant.Collections/ListCollectionAliases",
        ReadCollections,
        grpc::qdrant::collections::list_collection_aliases
    ),
    rpc!(
        "/qdrant.Collections/ListAliases",
        ReadCollections,
        grpc::qdrant::collections::list_aliases
    ),
    rpc!(
        "/qdrant.Collections/CollectionClusterInfo",
        ReadCollections,
        grpc::qdrant::collections::collection_cluster_info
    ),
    rpc!(
        "/qdrant.Collections/CollectionExists",
        ReadCollections,
        grpc::qdrant::collections::collection_exists
    ),
    rpc!(
        "/qdrant.Collections/UpdateCollectionClusterSetup",
        ManageCollections,
        grpc::qdrant::collections::update_collection_cluster_setup
    ),
    rpc!(
        "/qdrant.Collections/CreateShardKey",
        ManageCollections,
        grpc::qdrant::collections::create_shard_key
    ),
    rpc!(
        "/qdrant.Collections/DeleteShardKey",
        ManageCollections,
        grpc::qdrant::collections::delete_shard_key
    ),
    rpc!(
        "/qdrant.Collections/ListShardKeys",
        ReadCollections,
        grpc::qdrant::collections::list_shard_keys
    ),
    rpc!(
        "/qdrant.Points/Upsert",
        WriteCollections,
        grpc::qdrant::points::upsert
    ),
    rpc!(
        "/qdrant.Points/Delete",
        WriteCollections,
        grpc::qdrant::points::delete
    ),
    rpc!(
        "/qdrant.Points/Get",
        ReadCollections,
        grpc::qdrant::points::get
    ),
    rpc!(
        "/qdrant.Points/UpdateVectors",
        WriteCollections,
        grpc::qdrant::points::update_vectors
    ),
    rpc!(
        "/qdrant.Points/DeleteVectors",
        WriteCollections,
        grpc::qdrant::points::delete_vectors
    ),
    rpc!(
        "/qdrant.Points/SetPayload",
        WriteCollections,
        grpc::qdrant::points::set_payload
    ),
    rpc!(
        "/qdrant.Points/OverwritePayload",
        WriteCollections,
        grpc::qdrant::points::overwrite_payload
    ),
    rpc!(
        "/qdrant.Points/DeletePayload",
        WriteCollections,
        grpc::qdrant::points::delete_payload
    ),
    rpc!(
        "/qdrant.Points/ClearPayload",
        WriteCollections,
        grpc::qdrant::points::clear_payload
    ),
    rpc!(
        "/qdrant.Points/CreateFieldIndex",
        ManageCollections,
        grpc::qdrant::points::create_field_index
    ),
    rpc!(
        "/qdrant.Points/DeleteFieldIndex",
        ManageCollections,
        grpc::qdrant::points::delete_field_index
    ),
    rpc!(
        "/qdrant.Points/CreateVectorName",
        ManageCollections,
        grpc::qdrant::points::create_vector_name
    ),
    rpc!(
        "/qdrant.Points/DeleteVectorName",
        ManageCollections,
        grpc::qdrant::points::delete_vector_name
    ),
    rpc!(
        "/qdrant.Points/Search",
        ReadCollections,
        grpc::qdrant::searching::search
    ),
    rpc!(
        "/qdrant.Points/SearchBatch",
        ReadCollections,
        grpc::qdrant::searching::search_batch
    ),
    rpc!(
        "/qdrant.Points/SearchGroups",
        ReadCollections,
        grpc::qdrant::searching::search_groups
    ),
    rpc!(
        "/qdrant.Points/Scroll",
        ReadCollections,
        grpc::qdrant::points::scroll
    ),
    rpc!(
        "/qdrant.Points/Recommend",
        ReadCollections,
        grpc::qdrant::searching::recommend
    ),
    rpc!(
        "/qdrant.Points/RecommendBatch",
        ReadCollections,
        grpc::qdrant::searching::recommend_batch
    ),
    rpc!(
        "/qdrant.Points/RecommendGroups",
        ReadCollections,
        grpc::qdrant::searching::recommend_groups
    ),
    rpc!(
        "/qdrant.Points/Discover",
        ReadCollections,
        grpc::qdrant::searching::discover
    ),
    rpc!(
        "/qdrant.Points/DiscoverBatch",
        ReadCollections,
        grpc::qdrant::searching::discover_batch
    ),
    rpc!(
        "/qdrant.Points/Count",
        ReadCollections,
        grpc::qdrant::points::count
    ),
    rpc!(
        "/qdrant.Points/UpdateBatch",
        WriteCollections,
        grpc::qdrant::points::update_batch
    ),
    rpc!(
        "/qdrant.Points/Query",
        ReadCollections,
        grpc::qdrant::searching::query
    ),
    rpc!(
        "/qdrant.Points/QueryBatch",
        ReadCollections,
        grpc::qdrant::searching::query_batch
    ),
    rpc!(
        "/qdrant.Points/QueryGroups",
        ReadCollections,
        grpc::qdrant::searching::query_groups
    ),
    rpc!(
        "/qdrant.Points/Facet",
        ReadCollections,
        grpc::qdrant::searching::facet
    ),
    rpc!(
        "/qdrant.Points/SearchMatrixPairs",
        ReadCollections,
        grpc::qdrant::searching::search_matrix_pairs
    ),
    rpc!(
        "/qdrant.Points/SearchMatrixOffsets",
        ReadCollections,
        grpc::qdrant::searching::search_matrix_offsets
    ),
    rpc!(
        "/qdrant.Snapshots/Create",
        ManageCollections,
        grpc::qdrant::snapshots::create
    ),
    rpc!(
        "/qdrant.Snapshots/List",
        ManageCollections,
        grpc::qdrant::snapshots::list
    ),
    rpc!(
        "/qdrant.Snapshots/Delete",
        ManageCollections,
        grpc::qdrant::snapshots::delete
    ),
    rpc!(
        "/qdrant.Snapshots/CreateFull",
        ManageCollections,
        grpc::qdrant::snapshots::create_full
    ),
    rpc!(
        "/qdrant.Snapshots/ListFull",
        ManageCollections,
        grpc::qdrant::snapshots::list_full
    ),
    rpc!(
        "/qdrant.Snapshots/DeleteFull",
        ManageCollections,
        grpc::qdrant::snapshots::delete_full
    ),
    // our own
    route!(GET "/fornax/v1/version", ListModels, admin::version),
    route!(GET "/fornax/v1/runners", ReadRunners, admin::runners),
    route!(GET "/fornax/v1/models", ListModels, admin::models),
    route!(GET "/fornax/v1/models/{*name}", ListModels, admin::model),
    route!(DELETE "/fornax/v1/models/{*name}", DeleteModel, admin::remove),
    route!(POST "/fornax/v1/models/load", LoadModel, admin::load),
    route!(POST "/fornax/v1/models/unload", UnloadModel, admin::unload),
    route!(POST "/fornax/v1/models/pull", PullModel, admin::pull),
    route!(POST "/fornax/v1/models/copy", CopyModel, admin::copy),
    // DREDGE's dialect; its operations come to /mcp
    route!(GET "/dredge", ListScience, dredge::capabilities),
    route!(POST "/lift", RunScience, dredge::lift),
    // science models
    route!(GET "/fornax/v1/science/devices", ListScience, science::devices),
    route!(GET "/fornax/v1/science/models", ListScience, science::list),
    route!(POST "/fornax/v1/science/models", ManageScience, science::create),
    route!(GET "/fornax/v1/science/models/{name}", ListScience, science::model),
    route!(DELETE "/fornax/v1/science/models/{name}", ManageScience, science::remove),
    route!(GET "/fornax/v1/science/models/{name}/parameters", ListScience, science::parameters),
    route!(GET "/fornax/v1/science/models/{name}/onnx", ListScience, science::onnx),
    route!(GET "/fornax/v1/science/models/{name}/safetensors", ListScience, science::safetensors),
    route!(POST "/fornax/v1/science/infer", RunScience, science::infer),
    route!(GET "/fornax/v1/science/trainings", ListScience, science::trainings),
    route!(POST "/fornax/v1/science/trainings", ManageScience, science::begin_training),
    route!(GET "/fornax/v1/science/trainings/{id}", ListScience, science::training),
    route!(DELETE "/fornax/v1/science/trainings/{id}", ManageScience, science::cancel_training),
    route!(POST "/fornax/v1/science/spectrum", RunScience, science::spectrum),
    route!(POST "/fornax/v1/science/string-parameters", RunScience, science::string_parameters),
    route!(POST "/fornax/v1/science/compactification", RunScience, science::compactification),
    route!(POST "/fornax/v1/science/lift", RunScience, science::lift),
    route!(POST "/fornax/v1/science/unified", RunScience, science::unified),
    // answers from documents
    route!(POST "/fornax/v1/answer", Generate, answer::answer),
    // the result cache
    route!(GET "/fornax/v1/cache", ReadCache, science::cache_statistics),
    route!(DELETE "/fornax/v1/cache", ClearCache, science::cache_clear),
    // documents in collections
    route!(POST "/fornax/v1/collections/{name}/ingest", WriteCollections, ingest::ingest),
    route!(GET "/fornax/v1/collections/{name}/ingest", ReadCollections, ingest::sources),
    route!(DELETE "/fornax/v1/collections/{name}/ingest", WriteCollections, ingest::remove),
    route!(POST "/fornax/v1/collections/{name}/search", ReadCollections, ingest::search),
    route!(GET "/fornax/v1/keys", ListKeys, admin::list_keys),
    route!(POST "/fornax/v1/keys", CreateKey, admin::create_key),
    route!(DELETE "/fornax/v1/keys/{id}", RevokeKey, admin::revoke_key),
];

/// Every route, for tests and documentation.
pub fn routes() -> &'static [RouteFact] {
    TABLE
}

/// The rule for `method` on the matched pattern `path`. Where `HEAD` has no handler of its own, it is answered by `GET`'s and
/// follows its rule.
pub(crate) fn rule(method: &Method, path: &str) -> Option<&'static RouteFact> {
    let find = |method: &Method| {
        TABLE
            .iter()
            .find(|route| route.path == path && route.method == *method)
    };
    find(method).or_else(|| (*method == Method::HEAD).then(|| find(&Method::GET))?)
}

/// The pattern as the table holds it, for metric labels that must not depend on the caller.
pub(crate) fn pattern(matched: Option<&MatchedPath>) -> &'static str {
    matched
        .and_then(|matched| TABLE.iter().find(|route| route.path == matched.as_str()))
        .map_or("none", |route| route.path)
}

/// The whole HTTP side over `service`.
pub fn router(service: Arc<Service>, options: SurfaceOptions) -> Router {
    let capacity = Arc::new(Semaphore::new(
        options.requests_max.min(Semaphore::MAX_PERMITS),
    ));
    let app: App = Arc::new(Shared {
        service,
        bodies: body::room(options.body_bytes_max),
        mcp: mcp::Endpoint::new(&options),
        dredge: dredge::Meters::default(),
        started_unix: (options.now_unix)(),
        watchers: grpc::health::Watchers::default(),
        options,
        capacity,
    });
    let mut router = Router::new();
    for (index, first) in TABLE.iter().enumerate() {
        if TABLE[..index]
            .iter()
            .any(|earlier| earlier.path == first.path)
        {
            continue;
        }
        // `any` first: axum's own fallback would add `allow` outside the middleware, and tell strangers what exists.
        let methods = TABLE[index..]
            .iter()
            .filter(|route| route.path == first.path)
            .fold(any(wrong_method), |methods, route| (route.attach)(methods));
        router = router.route(first.path, methods);
    }
    let router = router.fallback(nowhere);
    middleware::stack(router, &app).with_state(app)
}

async fn wrong_method(
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    matched: MatchedPath,
) -> Response {
    let allowed: Vec<&str> = TABLE
        .iter()
        .filter(|route| route.path == matched.as_str())
        .map(|route| route.method.as_str())
        .collect();
    let mut response =
        Failure::method_not_allowed(Surface::of(uri.path(), &headers), &method).into_response();
    if let Ok(value) = HeaderValue::from_str(&allowed.join(", ")) {
        response.headers_mut().insert(header::ALLOW, value);
    }
    response
}

async fn nowhere(method: Method, uri: Uri, headers: HeaderMap) -> Response {
    let path = uri.path();
    let surface = Surface::of(path, &headers);
    let error = match surface {
        Surface::OpenAi if openai::is_known_elsewhere(path) => Error::new(
            ErrorKind::NotSupported,
            format!("{path} is part of the OpenAI API that this server does not support"),
        ),
        Surface::Anthropic if anthropic::is_known_elsewhere(path) => Error::new(
            ErrorKind::NotSupported,
            format!("{path} is part of the Anthropic API that this server does not support"),
        ),
        Surface::Qdrant if qdrant::is_known_elsewhere(path) => Error::new(
            ErrorKind::NotSupported,
            format!("{path} is part of the Qdrant API that this server does not support"),
        ),
        _ => Error::new(ErrorKind::NotFound, format!("there is no {method} {path}"))
            .with_code("unknown_url"),
    };
    Failure::new(surface, error).into_response()
}
