//! Every configuration key, once. From here come the typed tree, `fornax config reference`, the checks, the names of the
//! environment variables (`FORNAX_<SECTION>__<KEY>`) and `--set`.

use std::net::SocketAddr;
use std::path::PathBuf;

use platform::Secret;

use super::declare::{KeyFact, Raw, SectionFact, Value, settings};
use super::values::{
    Auto, ByteCount, CacheType, Durability, FlashAttention, Keep, LogFormat, ScienceDevice, Span,
    WaitPolicy,
};

settings! {
    /// The listener.
    server: ServerSettings {
        /// Address and port to listen on; port 0 takes a free one. Any address but loopback needs TLS or
        /// `allow_insecure_bind`. Short form: FORNAX_BIND, --bind.
        bind: SocketAddr = "127.0.0.1:8080",
        /// Certificate chain for HTTPS, in PEM. Read again on SIGHUP.
        tls_cert: Option<PathBuf> = "",
        /// Private key of the certificate, in PEM.
        tls_key: Option<PathBuf> = "",
        /// Listen on other than loopback without TLS: keys and prompts then cross the network in clear.
        /// Only behind a proxy that does TLS.
        allow_insecure_bind: bool = "false",
        /// Largest request body.
        body_limit_bytes: ByteCount = "32MiB",
        /// How long a request's body may take to arrive.
        body_timeout: Span = "60s",
        /// After SIGTERM, how long running requests may go on.
        drain_timeout: Span = "30s",
        /// How long a stream may be silent before a comment keeps its connection alive.
        keep_alive_interval: Span = "10s",
        /// Origins of web pages that may call from a browser, such as "https://chat.example.org"; "*" for any.
        cors_origins: Vec<String> = "",
        /// Threads that move requests (models have their own); automatic: 2.
        worker_threads: Auto<u32> = "auto",
    }
    /// Where everything is kept.
    data: DataSettings {
        /// Directory of models, keys and sockets; made with mode 0700. When empty: $XDG_DATA_HOME/fornax, or
        /// ~/.local/share/fornax, or /var/lib/fornax for a user without a home. Short form: FORNAX_DATA_DIR, --data-dir.
        dir: Option<PathBuf> = "",
    }
    /// How models are loaded.
    models: ModelSettings {
        /// Memory that all loaded models may use together; automatic: what is available at the start, less a tenth.
        memory_budget_bytes: Auto<ByteCount> = "auto",
        /// How long an unused model stays in memory; "forever": until its memory is needed.
        keep_alive: Keep = "5m",
        /// Models loaded at the start and never unloaded.
        pinned: Vec<String> = "",
        /// Tokens that one conversation may reach; automatic: what the model was trained for, bounded by memory.
        context_tokens: Auto<u32> = "auto",
        /// Tokens of a model's whole cache, shared by all conversations; automatic: chosen from the model.
        cache_tokens: Auto<u32> = "auto",
        /// Answers that one model generates at once; automatic: chosen from the model.
        sequences_max: Auto<u32> = "auto",
        /// Requests that wait for a slot before more are refused; automatic: chosen from the model.
        queue_max: Auto<u32> = "auto",
        /// Processor threads per model; automatic: the cores of the machine, fewer for single tokens of small models.
        threads: Auto<u32> = "auto",
        /// Layers on the GPU, where this build has one; automatic: all that fit.
        gpu_layers: Auto<u32> = "auto",
        /// Milliseconds that one step of the model may take while others stream; automatic: chosen from the model.
        step_budget_ms: Auto<u32> = "auto",
        /// How the token cache is stored: f16, or q8_0 for half the memory and a little less precision.
        cache_type: CacheType = "f16",
        /// Flash attention: auto, on, off.
        flash_attention: FlashAttention = "auto",
        /// From starting a model's process until it must be ready.
        load_timeout: Span = "5m",
        /// How engine threads wait for each other: auto (spin for a moment, then sleep), passive (sleep), active (spin).
        omp_wait_policy: WaitPolicy = "auto",
        /// Added to the niceness of model processes, 0 to 19, so that the server itself stays quick.
        niceness: u32 = "0",
        /// Limit of a model process's address space, files included; empty: none.
        address_space_max_bytes: Option<ByteCount> = "",
    }
    /// What is remembered about files, vector stores and responses.
    metadata: MetadataSettings {
        /// Address of a PostgreSQL server: "postgres://user:password@host:5432/database"; empty: SQLite, in
        /// <data-dir>/fornax.db. Keys and the bytes of files are in the data directory either way.
        url: Secret = "",
    }
    /// Uploaded files.
    files: FileSettings {
        /// Largest file.
        max_bytes: ByteCount = "512MiB",
        /// What all files of one tenant may take together.
        tenant_max_bytes: ByteCount = "64GiB",
        /// Files of one tenant.
        tenant_files_max: u32 = "100000",
        /// Uploads at once; more are told to come back (429).
        uploads_max: u32 = "32",
    }
    /// Where models come from.
    hub: HubSettings {
        /// Base address of the hub that "hf:owner/repository" names; a mirror of yours, for instance.
        url: String = "https://huggingface.co",
        /// Token for private repositories.
        token: Secret = "",
        /// Refuse every download. Short form: --offline.
        offline: bool = "false",
    }
    /// Results of deterministic calls, kept so that equal calls are computed once: embeddings, greedy or seeded answers.
    cache: CacheSettings {
        /// Memory for kept results; 0 keeps none anywhere.
        memory_bytes: ByteCount = "128MiB",
        /// The largest result that is kept.
        value_max_bytes: ByteCount = "4MiB",
        /// Disk for kept results, in <data-dir>/cache; 0: none. They then outlive a restart.
        disk_bytes: ByteCount = "0",
        /// Address of a Redis that several servers share: "redis://user:password@host:6379/0"; empty: none.
        redis_url: Secret = "",
        /// Connections to Redis at most.
        redis_connections_max: u32 = "8",
        /// How long Redis may take for one answer before the server goes on without it.
        redis_timeout: Span = "200ms",
        /// How long Redis is left alone after it failed.
        redis_retry_after: Span = "5s",
        /// How long embeddings are kept; "0s": not at all.
        embeddings_ttl: Span = "24h",
        /// How long greedy or seeded answers are kept; "0s": not at all.
        generations_ttl: Span = "1h",
        /// How long results of science models and string computations are kept; "0s": not at all.
        science_ttl: Span = "1h",
    }
    /// Science models.
    science: ScienceSettings {
        /// Where they compute: auto, cpu, cuda or metal. What this build or machine lacks falls back to cpu, with a warning.
        device: ScienceDevice = "auto",
        /// Trainings at once; more wait. Each uses every processor.
        trainings_max: u32 = "1",
    }
    /// Answers from documents, and reranking.
    answers: AnswerSettings {
        /// Model that writes answers when a request names none; empty: the only generating model of the store, if there is
        /// just one.
        model: String = "",
        /// Model that ranks what was found before an answer is written, and where a reranking request names none; empty:
        /// answers keep the order of the search.
        reranker: String = "",
    }
    /// Collections of vectors, in <data-dir>/collections.
    collections: CollectionSettings {
        /// The model that makes the vectors of texts where nobody names one: of new vector stores, for instance.
        embedding_model: String = "minilm",
        /// Files of vector stores that are worked on at once.
        workers: u32 = "2",
        /// Memory that the collections of all tenants together may hold; writes that need more are refused. Mapped files are
        /// not counted. Automatic: a quarter of what is available at the start.
        memory_budget_bytes: Auto<ByteCount> = "auto",
        /// When a write is answered: on-request (on disk when the caller asked to wait, otherwise when it is visible) or
        /// always (on disk).
        durability: Durability = "on-request",
        /// Threads per tenant that seal, merge and index in the background.
        maintenance_threads: u32 = "1",
        /// Searches and reads that compute at once; more wait. Automatic: two per processor.
        reads_max: Auto<u32> = "auto",
        /// Largest snapshot that is taken over the network.
        snapshot_limit_bytes: ByteCount = "256GiB",
    }
    /// Responses that are kept: OpenAI's /v1/responses with `store`, which is the default there.
    responses: ResponseSettings {
        /// For how long.
        keep_for: Span = "30d",
        /// Most of one tenant; the oldest go first.
        tenant_count_max: u32 = "100000",
    }
    /// Bounds on what clients may ask at once.
    limits: LimitSettings {
        /// Requests being answered at once; more are told to come back (429).
        requests_max: u32 = "1024",
    }
    /// The log, on standard error.
    log: LogSettings {
        /// error, warn, info, debug, trace, or directives such as "info,inference=debug".
        level: String = "info",
        /// pretty for people, json for machines.
        format: LogFormat = "pretty",
    }
    /// Traces.
    telemetry: TelemetrySettings {
        /// "http://host:4317" of an OpenTelemetry collector (OTLP over gRPC); empty: no traces leave the process.
        otlp_endpoint: String = "",
        /// Headers for the collector: "name=value, name=value".
        otlp_headers: Secret = "",
        /// Share of traces that are recorded, 0 to 1; a caller's decision in `traceparent` wins.
        sample_ratio: f64 = "1",
        /// Name of this service in traces.
        service_name: String = "fornax",
    }
    /// Metrics, at /metrics.
    metrics: MetricsSettings {
        /// Readable without a key.
        public: bool = "false",
        /// Also under the names that vLLM uses, for dashboards and routers made for it.
        vllm_names: bool = "false",
    }
    /// The Model Context Protocol, at /mcp.
    mcp: McpSettings {
        /// Also the tools, resources and prompts that the official conformance suite asks for. Only for a run of the suite.
        /// Short form: --mcp-fixtures.
        fixtures: bool = "false",
    }
    /// What client commands (ps, mcp) talk to.
    client: ClientSettings {
        /// Address of the server; when empty, the one that runs on this data directory. Short form: FORNAX_URL.
        url: String = "",
        /// Key to present; when empty, and the server is that of the data directory, the one in <data-dir>/admin.key.
        /// Short form: FORNAX_API_KEY.
        api_key: Secret = "",
    }
}
