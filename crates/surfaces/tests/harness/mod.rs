//! One router over a real service with a real key store in a temporary directory, and a way to send it requests.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt;
use inference::files::gguf::TensorType;
use inference::files::gguf_writer::{GgufPlan, PlannedTensor};
use inference::runner::{LoadOptions, Supervisor, SupervisorOptions};
use inference::store::pull::PullOptions;
use inference::store::{ModelStore, Origin};
use security::{KeyStore, KeyStoreOptions, NewKey, Scopes, TenantId};
use serde_json::Value;
use service::{RequestLimits, Scope, Service, ServiceOptions};
use surfaces::SurfaceOptions;
use tower::ServiceExt;

/// The moment at which these tests happen.
pub const NOW: u64 = 1_800_000_000;

pub struct Harness {
    pub router: Router,
    pub service: Arc<Service>,
    pub admin: String,
    keys: Arc<KeyStore>,
    directory: tempfile::TempDir,
}

pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
}

impl Reply {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    /// The machine-readable reason, which JSON-RPC keeps beside its own numbers.
    pub fn code(&self) -> Value {
        let error = &self.json()["error"];
        match &error["code"] {
            Value::Number(_) => error["data"]["code"].clone(),
            code => code.clone(),
        }
    }
}

impl Harness {
    pub async fn new() -> Self {
        Harness::with(|_| {}).await
    }

    pub async fn with(change: impl FnOnce(&mut SurfaceOptions)) -> Self {
        Harness::build(change, |_| {}).await
    }

    /// One whose files have other bounds.
    pub async fn with_files(change: impl FnOnce(&mut service::FileOptions)) -> Self {
        Harness::build(|_| {}, change).await
    }

    async fn build(
        change: impl FnOnce(&mut SurfaceOptions),
        change_files: impl FnOnce(&mut service::FileOptions),
    ) -> Self {
        let directory = tempfile::tempdir().expect("directory");
        let clock = platform::clock::ManualClock::at(NOW as i64);
        let options = KeyStoreOptions {
            clock: Arc::new(clock),
        };
        let keys = Arc::new(
            KeyStore::open(&directory.path().join("fornax.db"), options)
                .await
                .expect("keys"),
        );
        let admin = keys
            .create_first_admin()
            .await
            .expect("admin")
            .expect("first")
            .key
            .expose()
            .to_string();
        // Nothing here loads a model; the program named as the runner's is never started.
        let run_dir = directory.path().join("run");
        let runners = SupervisorOptions::new("/nonexistent/fornax".into(), run_dir, 1 << 30);
        let mut files = service::FileOptions::new(directory.path().join("files"));
        change_files(&mut files);
        let options = ServiceOptions {
            store: ModelStore::open(&directory.path().join("models")).expect("store"),
            keys: keys.clone(),
            clock: platform::Clock::system(),
            limits: RequestLimits::default(),
            load: LoadOptions::default(),
            pull: PullOptions::default(),
            cache: None,
            lifetimes: service::ResultLifetimes {
                embeddings: std::time::Duration::ZERO,
                generations: std::time::Duration::ZERO,
                science: std::time::Duration::ZERO,
            },
            science: service::ScienceOptions::new(directory.path().join("science")),
            answering: service::AnsweringOptions::default(),
            responses: service::ResponseOptions::default(),
            collections: service::CollectionsOptions::new(directory.path().join("collections")),
            records: service::Records::open(&service::RecordsLocation::Sqlite(
                directory.path().join("fornax.db"),
            ))
            .await
            .expect("records"),
            files,
            vector_stores: service::VectorStoreOptions::new("vectors"),
        };
        let supervisor = Supervisor::new(runners).expect("supervisor");
        let service = Arc::new(Service::new(options, supervisor));
        let mut options =
            SurfaceOptions::new(Arc::new(|| "fornax_up 1\n".to_string()), Arc::new(|| NOW));
        change(&mut options);
        let router = surfaces::router(service.clone(), options);
        Harness {
            router,
            service,
            admin,
            keys,
            directory,
        }
    }

    /// A model named `vectors` that is there, makes embeddings of two dimensions, and is never loaded.
    pub fn import_embedder(&self) {
        let mut plan = GgufPlan::new();
        plan.set("general.architecture", "bert");
        plan.set("bert.context_length", 128_u32);
        plan.set("bert.embedding_length", 2_u32);
        plan.add(PlannedTensor {
            name: "token_embd.weight".into(),
            dimensions: vec![2],
            kind: TensorType::F32,
        });
        let mut stream = plan.start(Vec::new()).expect("plan");
        stream.write("token_embd.weight", &[0; 8]).expect("tensor");
        let bytes = stream.finish().expect("file").0;
        let store = ModelStore::open(&self.directory().join("models")).expect("store");
        store
            .import_bytes("vectors", &bytes, Origin::Embedded)
            .expect("import");
    }

    /// The data directory.
    pub fn directory(&self) -> &std::path::Path {
        self.directory.path()
    }

    /// Everything below the directory of files, uploads under way included.
    pub fn files_on_disk(&self) -> usize {
        let tenants = std::fs::read_dir(self.directory().join("files"))
            .into_iter()
            .flatten();
        tenants
            .map(|tenant| {
                std::fs::read_dir(tenant.expect("tenant").path())
                    .expect("list")
                    .count()
            })
            .sum()
    }

    /// A key with `scope` only.
    pub async fn key(&self, scope: Scope) -> String {
        let new = NewKey {
            name: format!("only {scope}"),
            tenant: TenantId::new("tests").expect("tenant"),
            scopes: Scopes::from(scope),
            expires_unix: None,
        };
        self.keys
            .create(new)
            .await
            .expect("key")
            .key
            .expose()
            .to_string()
    }

    pub async fn send(&self, request: Request<Body>) -> Reply {
        let response = self
            .router
            .clone()
            .oneshot(request)
            .await
            .expect("infallible");
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.expect("body").to_bytes();
        let text = String::from_utf8(bytes.to_vec()).expect("UTF-8");
        Reply {
            status: parts.status,
            headers: parts.headers,
            text,
        }
    }

    /// A request with no key.
    pub async fn bare(&self, method: Method, path: &str) -> Reply {
        self.send(
            Request::builder()
                .method(method)
                .uri(path)
                .body(Body::empty())
                .expect("request"),
        )
        .await
    }

    /// A request with `key` and a body.
    pub async fn call(
        &self,
        key: &str,
        method: Method,
        path: &str,
        body: impl Into<Body>,
    ) -> Reply {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("authorization", format!("Bearer {key}"))
            .body(body.into())
            .expect("request");
        self.send(request).await
    }

    /// A POST as the administrator.
    pub async fn post(&self, path: &str, body: impl Into<Body>) -> Reply {
        self.call(&self.admin.clone(), Method::POST, path, body)
            .await
    }

    /// A GET as the administrator.
    pub async fn get(&self, path: &str) -> Reply {
        self.call(&self.admin.clone(), Method::GET, path, Body::empty())
            .await
    }
}
