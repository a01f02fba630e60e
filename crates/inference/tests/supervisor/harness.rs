//! A supervisor over the test runner, in a directory of its own.

use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use inference::runner::protocol::{GenerateRequest, generate_event, generate_request};
use inference::runner::{
    GenerateStream, Lease, LoadOptions, ModelSource, RestartPolicy, RunnerError, Supervisor,
    SupervisorOptions,
};

pub const MIB: u64 = 1 << 20;
/// What the estimate adds to a model's size.
pub const OVERHEAD: u64 = 48 * MIB;

pub struct Bench {
    pub directory: tempfile::TempDir,
    pub supervisor: Supervisor,
}

pub fn options(run_dir: &Path) -> SupervisorOptions {
    let executable = std::env::current_exe().expect("own path");
    SupervisorOptions {
        load_timeout: Duration::from_secs(30),
        default_keep_alive: None,
        drain_timeout: Duration::from_secs(10),
        restart: RestartPolicy {
            first: Duration::from_millis(100),
            longest: Duration::from_secs(1),
            stable_after: Duration::from_secs(3600),
        },
        ..SupervisorOptions::new(executable, run_dir.to_owned(), 1000 * MIB)
    }
}

impl Bench {
    pub fn new(change: impl FnOnce(&mut SupervisorOptions)) -> Self {
        let directory = tempfile::tempdir().expect("directory");
        let mut options = options(&directory.path().join("run"));
        change(&mut options);
        Bench {
            supervisor: Supervisor::new(options).expect("supervisor"),
            directory,
        }
    }

    /// A model whose file says `directives` and which claims to be `size_bytes` large.
    pub fn model(&self, name: &str, directives: &str, size_bytes: u64) -> ModelSource {
        model(self.directory.path(), name, directives, size_bytes)
    }

    pub async fn acquire(&self, model: &ModelSource) -> Result<Lease, RunnerError> {
        self.supervisor
            .acquire(model.clone(), &LoadOptions::default())
            .await
    }

    /// Names of loaded models that are neither loading nor leaving.
    pub fn ready(&self) -> Vec<String> {
        self.supervisor
            .residents()
            .into_iter()
            .filter(|resident| resident.state == inference::runner::ResidentState::Ready)
            .map(|resident| resident.name)
            .collect()
    }

    pub fn files_in_run_dir(&self) -> usize {
        std::fs::read_dir(self.directory.path().join("run"))
            .expect("list")
            .count()
    }
}

pub fn model(directory: &Path, name: &str, directives: &str, size_bytes: u64) -> ModelSource {
    let path = directory.join(format!("{name}.txt"));
    std::fs::write(&path, directives).expect("write");
    ModelSource {
        name: name.to_owned(),
        digest: format!("sha256:{name}"),
        path,
        size_bytes,
    }
}

pub async fn generate(lease: &Lease, prompt: &str) -> Result<GenerateStream, RunnerError> {
    lease
        .generate(GenerateRequest {
            prompt: Some(generate_request::Prompt::Text(prompt.to_owned())),
            ..GenerateRequest::default()
        })
        .await
}

/// Everything a stream says: its text, and the error at its end.
pub async fn read(mut stream: GenerateStream) -> (String, Option<RunnerError>) {
    let mut text = String::new();
    while let Some(item) = stream.next().await {
        match item {
            Ok(event) => {
                if let Some(generate_event::Event::Text(part)) = event.event {
                    text.push_str(&part);
                }
            }
            Err(error) => return (text, Some(error)),
        }
    }
    (text, None)
}

/// Reads until the first text.
pub async fn first_text(stream: &mut GenerateStream) {
    while let Some(item) = stream.next().await {
        if let Some(generate_event::Event::Text(_)) = item.expect("event").event {
            return;
        }
    }
    panic!("the stream ended without a text");
}

/// Waits for what another process or task makes true.
pub async fn eventually(what: &str, condition: impl AsyncFn() -> bool) {
    let start = Instant::now();
    while !condition().await {
        assert!(start.elapsed() < Duration::from_secs(15), "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Whether a process runs; one that is dead but not yet collected does not.
pub fn runs(pid: u32) -> bool {
    platform::memory::of_process(pid).is_some()
}

/// A server that loads one model, prints the runner's process number and waits to be killed.
pub fn parent_main(arguments: &[String]) {
    let [directory] = arguments else {
        std::process::exit(2)
    };
    let directory = Path::new(directory);
    let runtime = tokio::runtime::Runtime::new().expect("runtime");
    runtime.block_on(async {
        let supervisor = Supervisor::new(options(&directory.join("run"))).expect("supervisor");
        let model = model(directory, "orphan", "stubborn", 1);
        let lease = supervisor
            .acquire(model, &LoadOptions::default())
            .await
            .expect("load");
        let mut out = std::io::stdout();
        writeln!(out, "{}", lease.pid()).expect("print");
        out.flush().expect("flush");
        std::future::pending::<()>().await;
    });
}
