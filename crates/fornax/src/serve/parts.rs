//! The parts of the product over one data directory: supervisor and service, as the configuration wants them. The server
//! and `fornax run` use the same.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use cache::disk::DiskOptions;
use cache::remote::RemoteOptions;
use cache::{Cache, CacheOptions};
use inference::runner::{LoadOptions, OpenMpWait, Supervisor, SupervisorOptions};
use inference::store::ModelStore;
use inference::store::pull::PullOptions;
use physics::device::DeviceRequest;
use platform::Clock;
use security::{Identity, KeyStore, Scope, Scopes, TenantId};
use service::{
    AnsweringOptions, CollectionsOptions, FileOptions, Records, RecordsLocation, RequestLimits,
    ResponseOptions, ResultLifetimes, ScienceOptions, Service, ServiceOptions, VectorStoreOptions,
};

use crate::cli::Context;
use crate::config::keys::{
    AnswerSettings, CacheSettings, CollectionSettings, ModelSettings, Settings,
};
use crate::config::values::{Auto, Durability, Keep, ScienceDevice, WaitPolicy};

/// What is left to everything but models when the memory budget is automatic: a tenth of what is available.
const MEMORY_RESERVE_DIVISOR: u64 = 10;
/// Budget where the system does not tell its memory.
const MEMORY_UNKNOWN_BYTES: u64 = 4 << 30;
/// Part of the available memory that collections may hold unless configured: models need most of it.
const COLLECTIONS_MEMORY_DIVISOR: u64 = 4;

/// The running parts.
pub struct Parts {
    /// Starts and ends model processes.
    pub supervisor: Supervisor,
    /// The use cases.
    pub service: Arc<Service>,
}

/// Puts them together. Nothing is loaded yet.
///
/// # Errors
/// The directory for sockets or the metadata database cannot be used, or this program's own file cannot be found.
pub async fn assemble(
    context: &Context,
    store: ModelStore,
    keys: KeyStore,
    run_dir: &Path,
    cache: Option<Cache>,
) -> anyhow::Result<Parts> {
    let settings = &context.loaded.settings;
    let executable = std::env::current_exe()
        .context("could not find this program's own file, which runs the models")?;
    let supervisor = Supervisor::new(supervisor_options(settings, executable, run_dir))?;
    let options = ServiceOptions {
        store,
        keys: Arc::new(keys),
        clock: Clock::system(),
        limits: RequestLimits::default(),
        load: load_options(&settings.models),
        pull: pull_options(settings),
        cache: cache.map(Arc::new),
        lifetimes: ResultLifetimes {
            embeddings: settings.cache.embeddings_ttl.0,
            generations: settings.cache.generations_ttl.0,
            science: settings.cache.science_ttl.0,
        },
        science: ScienceOptions {
            device: device_request(settings.science.device),
            trainings_max: settings.science.trainings_max as usize,
            ..ScienceOptions::new(context.directory.science())
        },
        answering: answering_options(&settings.answers),
        responses: ResponseOptions {
            keep_for: settings.responses.keep_for.0,
            tenant_count_max: settings.responses.tenant_count_max,
        },
        collections: collections_options(&settings.collections, context.directory.collections()),
        records: open_records(context).await?,
        files: file_options(context),
        vector_stores: VectorStoreOptions {
            workers: settings.collections.workers as usize,
            ..VectorStoreOptions::new(settings.collections.embedding_model.as_str())
        },
    };
    let service = Service::new(options, supervisor.clone());
    Ok(Parts {
        supervisor,
        service: Arc::new(service),
    })
}

fn answering_options(settings: &AnswerSettings) -> AnsweringOptions {
    let named = |name: &String| (!name.is_empty()).then(|| name.clone());
    AnsweringOptions {
        model: named(&settings.model),
        reranker: named(&settings.reranker),
    }
}

impl Parts {
    /// Loads `model` beside everything else and keeps it loaded. A model that cannot be loaded is logged; the server
    /// serves the others.
    pub fn pin(&self, model: &str) {
        let (service, model) = (Arc::clone(&self.service), model.to_owned());
        let operator = Identity {
            key_id: "configuration".to_owned(),
            key_name: "models.pinned".to_owned(),
            tenant: TenantId::default(),
            scopes: Scopes::from(Scope::Models),
        };
        tokio::spawn(async move {
            let pinned = async {
                service.pin(&operator, &model, true).await?;
                service.load(&operator, &model, None).await
            };
            match pinned.await {
                Ok(resident) => tracing::info!(
                    model,
                    memory_bytes = resident.memory_bytes,
                    "pinned model is loaded"
                ),
                Err(error) => tracing::error!(model, %error, "a pinned model could not be loaded"),
            }
        });
    }
}

fn supervisor_options(
    settings: &Settings,
    executable: std::path::PathBuf,
    run_dir: &Path,
) -> SupervisorOptions {
    let models = &settings.models;
    let budget = models
        .memory_budget_bytes
        .given()
        .map_or_else(automatic_budget, |count| count.0);
    SupervisorOptions {
        load_timeout: models.load_timeout.0,
        default_keep_alive: match models.keep_alive {
            Keep::For(duration) => Some(duration),
            Keep::Forever => None,
        },
        address_space_max_bytes: models.address_space_max_bytes.map(|count| count.0),
        niceness: i32::try_from(models.niceness).unwrap_or(19),
        drain_timeout: settings.server.drain_timeout.0,
        open_mp_wait: match models.omp_wait_policy {
            WaitPolicy::Auto => OpenMpWait::Auto,
            WaitPolicy::Passive => OpenMpWait::Passive,
            WaitPolicy::Active => OpenMpWait::Active,
        },
        ..SupervisorOptions::new(executable, run_dir.to_owned(), budget)
    }
}

/// How models are pulled, by the server and by `fornax pull`.
pub fn pull_options(settings: &Settings) -> PullOptions {
    let hub = &settings.hub;
    PullOptions {
        offline: hub.offline,
        hub_url: hub.url.clone(),
        token: (!hub.token.is_empty()).then(|| hub.token.clone()),
        ..PullOptions::default()
    }
}

/// The cache of results as configured; `directory` is for its disk tier. `None` when nothing is to be kept.
///
/// # Errors
/// The directory cannot be used, or the address of Redis is none.
pub fn result_cache(settings: &CacheSettings, directory: PathBuf) -> anyhow::Result<Option<Cache>> {
    if settings.memory_bytes.0 == 0 {
        return Ok(None);
    }
    let options = CacheOptions {
        memory_bytes: settings.memory_bytes.0,
        value_bytes_max: usize::try_from(settings.value_max_bytes.0).unwrap_or(usize::MAX),
        disk: (settings.disk_bytes.0 > 0).then_some(DiskOptions {
            directory,
            bytes_max: settings.disk_bytes.0,
            compress_from_bytes: cache::tiers::COMPRESS_FROM_BYTES,
        }),
        remote: (!settings.redis_url.is_empty()).then(|| RemoteOptions {
            url: settings.redis_url.clone(),
            connections_max: settings.redis_connections_max as usize,
            timeout: settings.redis_timeout.0,
            retry_after: settings.redis_retry_after.0,
        }),
        clock: Clock::system(),
    };
    Ok(Some(
        Cache::open(options).context("could not open the result cache")?,
    ))
}

/// How collections are kept, in `directory`.
fn collections_options(settings: &CollectionSettings, directory: PathBuf) -> CollectionsOptions {
    let usual = CollectionsOptions::new(directory);
    let budget = settings.memory_budget_bytes.given().map_or_else(
        || {
            platform::memory::machine().map_or(MEMORY_UNKNOWN_BYTES, |memory| {
                memory.available_bytes / COLLECTIONS_MEMORY_DIVISOR
            })
        },
        |count| count.0,
    );
    CollectionsOptions {
        memory_budget_bytes: Some(budget),
        maintenance_threads: settings.maintenance_threads as usize,
        always_durable: settings.durability == Durability::Always,
        reads_max: settings
            .reads_max
            .given()
            .map_or(usual.reads_max, |count| count as usize),
        snapshot_bytes_max: settings.snapshot_limit_bytes.0,
        ..usual
    }
}

fn device_request(device: ScienceDevice) -> DeviceRequest {
    match device {
        ScienceDevice::Auto => DeviceRequest::Auto,
        ScienceDevice::Cpu => DeviceRequest::Cpu,
        ScienceDevice::Cuda => DeviceRequest::Cuda,
        ScienceDevice::Metal => DeviceRequest::Metal,
    }
}

fn automatic_budget() -> u64 {
    platform::memory::machine().map_or(MEMORY_UNKNOWN_BYTES, |memory| {
        memory.available_bytes - memory.available_bytes / MEMORY_RESERVE_DIVISOR
    })
}

/// The database of metadata, as configured.
async fn open_records(context: &Context) -> anyhow::Result<Records> {
    let url = &context.loaded.settings.metadata.url;
    let location = if url.is_empty() {
        RecordsLocation::Sqlite(context.directory.database())
    } else {
        RecordsLocation::Postgres(url.clone())
    };
    Records::open(&location)
        .await
        .map_err(|error| anyhow::anyhow!("could not {error}"))
}

fn file_options(context: &Context) -> FileOptions {
    let settings = &context.loaded.settings.files;
    FileOptions {
        bytes_max: settings.max_bytes.0,
        tenant_bytes_max: settings.tenant_max_bytes.0,
        tenant_files_max: u64::from(settings.tenant_files_max),
        uploads_max: usize::try_from(settings.uploads_max).unwrap_or(usize::MAX),
        ..FileOptions::new(context.directory.files())
    }
}

/// Zero and -1 are how the runner protocol says "choose".
fn load_options(models: &ModelSettings) -> LoadOptions {
    let chosen = |value: Auto<u32>| value.given().unwrap_or(0);
    LoadOptions {
        context_tokens: chosen(models.context_tokens),
        cache_tokens: chosen(models.cache_tokens),
        sequences_max: chosen(models.sequences_max),
        queue_max: chosen(models.queue_max),
        threads: chosen(models.threads),
        gpu_layers: models
            .gpu_layers
            .given()
            .map_or(-1, |count| i32::try_from(count).unwrap_or(i32::MAX)),
        step_budget_ms: chosen(models.step_budget_ms),
        cache_type: models.cache_type.word().to_owned(),
        flash_attention: models.flash_attention.word().to_owned(),
        ..LoadOptions::default()
    }
}
