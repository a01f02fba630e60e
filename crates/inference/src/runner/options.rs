//! What the supervisor is told: which model, how to load it, and within which limits.

use std::path::PathBuf;
use std::time::Duration;

use super::protocol::LoadRequest;
use crate::store::ResolvedModel;

/// A model to run, as much of it as a supervisor needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelSource {
    /// The name clients use; unique among loaded models.
    pub name: String,
    /// Digest of the file: another digest under the same name is another model.
    pub digest: String,
    /// The file.
    pub path: PathBuf,
    /// Its size.
    pub size_bytes: u64,
}

impl From<&ResolvedModel> for ModelSource {
    fn from(model: &ResolvedModel) -> Self {
        ModelSource {
            name: model.manifest.name.clone(),
            digest: model.manifest.digest.clone(),
            path: model.path.clone(),
            size_bytes: model.manifest.size_bytes,
        }
    }
}

/// How to load a model. The default of every field means "choose from the model and the machine".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadOptions {
    /// Tokens one sequence may reach; 0: the model's own, bounded by `cache_tokens`.
    pub context_tokens: u32,
    /// Tokens of the whole cache, shared by all sequences; 0: chosen.
    pub cache_tokens: u32,
    /// Sequences generated at once; 0: chosen.
    pub sequences_max: u32,
    /// Most tokens in one engine step; 0: chosen.
    pub batch_tokens_max: u32,
    /// Threads of the engine; 0: chosen.
    pub threads: u32,
    /// Layers on the GPU; -1: all that fit.
    pub gpu_layers: i32,
    /// Target time of one step while streams run, in milliseconds; 0: chosen.
    pub step_budget_ms: u32,
    /// "", "mean", "cls", "last" or "rank"; empty: the model's own.
    pub pooling: String,
    /// "auto", "on" or "off"; empty: auto.
    pub flash_attention: String,
    /// "f16" or "q8_0"; empty: f16.
    pub cache_type: String,
    /// Waiting requests inside the runner; 0: chosen.
    pub queue_max: u32,
}

impl Default for LoadOptions {
    fn default() -> Self {
        LoadOptions {
            context_tokens: 0,
            cache_tokens: 0,
            sequences_max: 0,
            batch_tokens_max: 0,
            threads: 0,
            gpu_layers: -1,
            step_budget_ms: 0,
            pooling: String::new(),
            flash_attention: String::new(),
            cache_type: String::new(),
            queue_max: 0,
        }
    }
}

impl LoadOptions {
    /// The request that loads `model` so.
    pub fn to_request(&self, model: &ModelSource) -> LoadRequest {
        LoadRequest {
            model_path: model.path.to_string_lossy().into_owned(),
            context_tokens: self.context_tokens,
            cache_tokens: self.cache_tokens,
            sequences_max: self.sequences_max,
            batch_tokens_max: self.batch_tokens_max,
            threads: self.threads,
            gpu_layers: self.gpu_layers,
            step_budget_ms: self.step_budget_ms,
            pooling: self.pooling.clone(),
            flash_attention: self.flash_attention.clone(),
            cache_type: self.cache_type.clone(),
            queue_max: self.queue_max,
        }
    }
}

/// How threads of the engine wait for each other at the end of each operation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OpenMpWait {
    /// Spin for a moment, then sleep: fast while the cores are ours, and fair when they are not.
    #[default]
    Auto,
    /// Sleep at once.
    Passive,
    /// Spin until there is work: only for a machine that does nothing else.
    Active,
}

/// When a model that failed is tried again.
///
/// The first crash after a stable life costs nothing: the next request starts a fresh runner. From then on, and from the
/// first failed load, attempt `n` waits `first * 2^(n-1)`, at most `longest`, give or take a fifth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RestartPolicy {
    /// The first wait.
    pub first: Duration,
    /// The longest wait.
    pub longest: Duration,
    /// A runner that lived this long is forgiven its earlier failures.
    pub stable_after: Duration,
}

impl Default for RestartPolicy {
    fn default() -> Self {
        RestartPolicy {
            first: Duration::from_millis(500),
            longest: Duration::from_secs(60),
            stable_after: Duration::from_secs(60),
        }
    }
}

/// When a runner that has requests but gives no sign of life, neither events nor replies nor its figures, is given up,
/// killed and, for the next request, replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HealthPolicy {
    /// How often a runner in use is asked. Each question may take a second.
    pub probe_interval: Duration,
    /// Longest silence of a process that does not compute.
    pub idle_max: Duration,
    /// Longest silence of one that does: it may be in a long step, or turn in a circle.
    pub busy_max: Duration,
}

impl Default for HealthPolicy {
    fn default() -> Self {
        HealthPolicy {
            probe_interval: Duration::from_secs(5),
            idle_max: Duration::from_secs(30),
            busy_max: Duration::from_secs(600),
        }
    }
}

/// What a supervisor works with.
#[derive(Debug, Clone)]
pub struct SupervisorOptions {
    /// The program started as `<executable> runner --model … --socket … --name …`.
    pub executable: PathBuf,
    /// Directory for sockets and process numbers; created, for this user only. One supervisor per directory.
    pub run_dir: PathBuf,
    /// Memory all runners together may use, by estimate before and measurement after loading.
    pub memory_budget_bytes: u64,
    /// From starting a child to a ready model.
    pub load_timeout: Duration,
    /// How long an unused model stays; `None`: until its memory is needed. Zero: not at all.
    pub default_keep_alive: Option<Duration>,
    /// Address space of each child; mapped model files count, so leave it `None` or far above the largest file.
    pub address_space_max_bytes: Option<u64>,
    /// Added to our own niceness for each child.
    pub niceness: i32,
    /// When failed models are tried again.
    pub restart: RestartPolicy,
    /// When a runner that does not answer is given up.
    pub health: HealthPolicy,
    /// Time a runner has to finish what runs when it is unloaded or the supervisor shuts down model by model.
    pub drain_timeout: Duration,
    /// Waiting policy of engine threads.
    pub open_mp_wait: OpenMpWait,
    /// Further environment of each child, over what is inherited.
    pub environment: Vec<(String, String)>,
}

impl SupervisorOptions {
    /// Options for children of `executable` with their sockets in `run_dir`: memory up to `memory_budget_bytes`, five
    /// minutes to load, models leave after five unused minutes.
    pub fn new(executable: PathBuf, run_dir: PathBuf, memory_budget_bytes: u64) -> Self {
        SupervisorOptions {
            executable,
            run_dir,
            memory_budget_bytes,
            load_timeout: Duration::from_secs(300),
            default_keep_alive: Some(Duration::from_secs(300)),
            address_space_max_bytes: None,
            niceness: 0,
            restart: RestartPolicy::default(),
            health: HealthPolicy::default(),
            drain_timeout: Duration::from_secs(30),
            open_mp_wait: OpenMpWait::Auto,
            environment: Vec::new(),
        }
    }
}
