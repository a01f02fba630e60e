//! `doctor`: looks at everything that commonly goes wrong, and says what to do about it.

use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::ExitCode;
use std::sync::Arc;

use inference::files::gguf::GgufHeader;
use inference::store::ModelStore;
use platform::clock::SystemClock;
use platform::files::{DirectoryLock, LockError, free_bytes};
use security::{KeyStore, KeyStoreOptions};
use serde_json::json;

use super::output::{bytes, now_unix, print, print_json, table};
use super::{Context, small_runtime};
use crate::exit::Exit;

/// Below this, a small model and its download no longer fit.
const DISK_WARN_BYTES: u64 = 2_000_000_000;
/// Below this, even small models hardly fit.
const MEMORY_WARN_BYTES: u64 = 1_000_000_000;
/// A clock before the release of this program (2025-01-01) is wrong.
const CLOCK_LEAST_UNIX: i64 = 1_735_689_600;
/// Each connection and each model process takes descriptors.
const DESCRIPTORS_WARN: u64 = 1024;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Verdict {
    Fine,
    Warning,
    Problem,
}

impl Verdict {
    fn name(self) -> &'static str {
        match self {
            Verdict::Fine => "ok",
            Verdict::Warning => "warning",
            Verdict::Problem => "PROBLEM",
        }
    }
}

struct Finding {
    subject: &'static str,
    verdict: Verdict,
    detail: String,
    remedy: String,
}

fn fine(subject: &'static str, detail: impl Into<String>) -> Finding {
    Finding {
        subject,
        verdict: Verdict::Fine,
        detail: detail.into(),
        remedy: String::new(),
    }
}

fn finding(
    subject: &'static str,
    verdict: Verdict,
    detail: impl Into<String>,
    remedy: impl Into<String>,
) -> Finding {
    Finding {
        subject,
        verdict,
        detail: detail.into(),
        remedy: remedy.into(),
    }
}

/// `fornax doctor`: ends with 1 when there is a problem.
pub fn doctor(context: &Context, as_json: bool) -> anyhow::Result<ExitCode> {
    let mut findings = vec![directory(context)];
    let exists = context.directory.root().is_dir();
    if exists {
        findings.push(lock(context));
        findings.push(keys(context)?);
        findings.extend(models(context));
    }
    findings.extend([
        disk(context),
        memory(),
        processor(),
        descriptors(),
        port(context),
        clock(),
    ]);
    let worst = findings
        .iter()
        .map(|finding| finding.verdict)
        .max()
        .unwrap_or(Verdict::Fine);
    if as_json {
        let checks: Vec<_> = findings
            .iter()
            .map(|finding| {
                json!({
                    "subject": finding.subject,
                    "verdict": finding.verdict.name().to_lowercase(),
                    "detail": finding.detail,
                    "remedy": finding.remedy,
                })
            })
            .collect();
        print_json(&json!({ "checks": checks, "verdict": worst.name().to_lowercase() }))?;
    } else {
        let rows: Vec<Vec<String>> = findings
            .iter()
            .map(|finding| {
                let detail = if finding.remedy.is_empty() {
                    finding.detail.clone()
                } else {
                    format!("{}; {}", finding.detail, finding.remedy)
                };
                vec![
                    finding.subject.to_owned(),
                    finding.verdict.name().to_owned(),
                    detail,
                ]
            })
            .collect();
        print(&table(&["check", "verdict", "detail"], &rows))?;
    }
    Ok(if worst == Verdict::Problem {
        ExitCode::from(Exit::Failure as u8)
    } else {
        ExitCode::SUCCESS
    })
}

fn directory(context: &Context) -> Finding {
    let root = context.directory.root();
    let shown = root.display();
    let metadata = match root.metadata() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return fine(
                "data directory",
                format!("{shown} will be made by the first command that needs it"),
            );
        }
        Err(error) => {
            return finding(
                "data directory",
                Verdict::Problem,
                format!("{shown}: {error}"),
                "choose another with --data-dir",
            );
        }
        Ok(metadata) => metadata,
    };
    if !metadata.is_dir() {
        return finding(
            "data directory",
            Verdict::Problem,
            format!("{shown} is not a directory"),
            "choose another with --data-dir",
        );
    }
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return finding(
            "data directory",
            Verdict::Problem,
            format!("{shown} has mode {mode:o}: others on this machine can reach keys and models"),
            format!("chmod 700 {shown}"),
        );
    }
    match tempfile::Builder::new()
        .prefix(".doctor-")
        .tempfile_in(root)
    {
        Ok(_) => fine(
            "data directory",
            format!("{shown}, mode {mode:o}, writable"),
        ),
        Err(error) => finding(
            "data directory",
            Verdict::Problem,
            format!("{shown} cannot be written: {error}"),
            format!(
                "it belongs to user {}; run as that user or change the owner",
                metadata.uid()
            ),
        ),
    }
}

fn lock(context: &Context) -> Finding {
    match DirectoryLock::acquire(context.directory.root()) {
        Ok(_) => fine("server", "none runs on this data directory"),
        Err(LockError::Held { pid, .. }) => {
            let address = context
                .directory
                .server_url()
                .unwrap_or_else(|| "an unknown address".to_owned());
            fine(
                "server",
                format!(
                    "running at {address}, process {}",
                    pid.map_or_else(|| "?".to_owned(), |pid| pid.to_string())
                ),
            )
        }
        Err(error) => finding(
            "server",
            Verdict::Problem,
            error.to_string(),
            "check the permissions of the data directory",
        ),
    }
}

fn keys(context: &Context) -> anyhow::Result<Finding> {
    let path = context.directory.database();
    if !path.exists() {
        return Ok(fine("keys", "none yet; the first `fornax serve` makes one"));
    }
    let readable = small_runtime()?.block_on(async {
        let store = KeyStore::open(
            &path,
            KeyStoreOptions {
                clock: Arc::new(SystemClock),
            },
        )
        .await?;
        let records = store.list(None).await;
        store.close().await;
        records
    });
    Ok(match readable {
        Ok(records) => {
            let now = now_unix();
            let live = records
                .iter()
                .filter(|record| record.status(now) == security::KeyStatus::Live);
            let admins = live
                .clone()
                .filter(|record| record.scopes.contains(security::Scope::Admin))
                .count();
            let detail = format!("{} live, {admins} of them for administrators", live.count());
            if admins == 0 {
                finding(
                    "keys",
                    Verdict::Warning,
                    detail,
                    "`fornax keys create admin2 --scope admin` makes one",
                )
            } else {
                fine("keys", detail)
            }
        }
        Err(error) => finding(
            "keys",
            Verdict::Problem,
            error.to_string(),
            "restore fornax.db from a backup, or move it away and make new keys",
        ),
    })
}

fn models(context: &Context) -> Vec<Finding> {
    let store = match ModelStore::open(&context.directory.models()) {
        Ok(store) => store,
        Err(error) => {
            return vec![finding(
                "models",
                Verdict::Problem,
                error.to_string(),
                "check the permissions of the data directory",
            )];
        }
    };
    let listing = match store.scan() {
        Ok(listing) => listing,
        Err(error) => {
            return vec![finding(
                "models",
                Verdict::Problem,
                error.to_string(),
                "check the permissions of the data directory",
            )];
        }
    };
    let mut findings: Vec<Finding> = listing
        .broken
        .iter()
        .map(|broken| {
            let detail = format!("{} is damaged: {}", broken.path.display(), broken.reason);
            finding(
                "models",
                Verdict::Problem,
                detail,
                "remove that file and pull the model again",
            )
        })
        .collect();
    for manifest in &listing.manifests {
        // Presence, size and header; hashing everything would take minutes.
        let problem = match store.resolve(&manifest.name) {
            Err(error) => Some(error.to_string()),
            Ok(resolved) => GgufHeader::read(&resolved.path)
                .err()
                .map(|error| format!("{}: {error}", manifest.name)),
        };
        if let Some(problem) = problem {
            let remedy = format!("`fornax rm {}` and pull it again", manifest.name);
            findings.push(finding("models", Verdict::Problem, problem, remedy));
        }
    }
    if findings.is_empty() {
        let total = listing
            .manifests
            .iter()
            .map(|manifest| manifest.size_bytes)
            .sum();
        findings.push(fine(
            "models",
            format!(
                "{} with readable headers, {}",
                listing.manifests.len(),
                bytes(total)
            ),
        ));
    }
    findings
}

fn disk(context: &Context) -> Finding {
    // The nearest ancestor that exists is on the same disk.
    let place = context
        .directory
        .root()
        .ancestors()
        .find(|path| path.is_dir());
    match place.and_then(free_bytes) {
        None => finding(
            "disk",
            Verdict::Warning,
            "free room is not known on this system",
            "check it by hand",
        ),
        Some(free) if free < DISK_WARN_BYTES => finding(
            "disk",
            Verdict::Warning,
            format!("{} free", bytes(free)),
            "models take gigabytes: free some, or choose another --data-dir",
        ),
        Some(free) => fine("disk", format!("{} free", bytes(free))),
    }
}

fn memory() -> Finding {
    match platform::memory::machine() {
        None => finding(
            "memory",
            Verdict::Warning,
            "not known on this system",
            "set models.memory_budget_bytes",
        ),
        Some(memory) if memory.available_bytes < MEMORY_WARN_BYTES => finding(
            "memory",
            Verdict::Warning,
            format!(
                "{} of {} available",
                bytes(memory.available_bytes),
                bytes(memory.total_bytes)
            ),
            "end other programs, or use a smaller model",
        ),
        Some(memory) => fine(
            "memory",
            format!(
                "{} of {} available",
                bytes(memory.available_bytes),
                bytes(memory.total_bytes)
            ),
        ),
    }
}

fn processor() -> Finding {
    let (cores, threads) = (
        platform::cpu::physical_cores(),
        platform::cpu::usable_threads(),
    );
    let features = processor_features();
    let detail = format!(
        "{cores} cores, {threads} threads usable; {}",
        features.join(" ")
    );
    if cfg!(target_arch = "x86_64") && !features.contains(&"avx2") {
        return finding(
            "processor",
            Verdict::Warning,
            detail,
            "without AVX2 models run several times slower",
        );
    }
    if !cfg!(feature = "llama") {
        return finding(
            "processor",
            Verdict::Problem,
            detail,
            "this build has no engine; build with the feature llama",
        );
    }
    fine("processor", detail)
}

/// Instruction sets that the engine's variants are chosen by.
fn processor_features() -> Vec<&'static str> {
    #[cfg(target_arch = "x86_64")]
    {
        let known = [
            ("sse4.2", std::arch::is_x86_feature_detected!("sse4.2")),
            ("avx", std::arch::is_x86_feature_detected!("avx")),
            ("avx2", std::arch::is_x86_feature_detected!("avx2")),
            ("fma", std::arch::is_x86_feature_detected!("fma")),
            ("f16c", std::arch::is_x86_feature_detected!("f16c")),
            ("avx512f", std::arch::is_x86_feature_detected!("avx512f")),
            (
                "avx512vnni",
                std::arch::is_x86_feature_detected!("avx512vnni"),
            ),
        ];
        known
            .into_iter()
            .filter_map(|(name, there)| there.then_some(name))
            .collect()
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        vec![std::env::consts::ARCH]
    }
}

fn descriptors() -> Finding {
    let text = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let limit = text
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))
        .and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    match limit {
        Some(limit) if limit < DESCRIPTORS_WARN => finding(
            "open files",
            Verdict::Warning,
            format!("at most {limit}"),
            "raise it with ulimit -n 65536 (LimitNOFILE in systemd)",
        ),
        Some(limit) => fine("open files", format!("at most {limit}")),
        None => fine("open files", "no limit is known"),
    }
}

fn port(context: &Context) -> Finding {
    let bind = context.loaded.settings.server.bind;
    let own_server = context
        .directory
        .server_url()
        .is_some_and(|url| url.ends_with(&format!(":{}", bind.port())));
    match TcpListener::bind(bind) {
        Ok(_) => fine("address", format!("{bind} is free")),
        Err(_) if own_server => fine(
            "address",
            format!("{bind} is used by the server of this data directory"),
        ),
        Err(error) => finding(
            "address",
            Verdict::Problem,
            format!("{bind}: {error}"),
            "choose another with --bind, or end what uses it",
        ),
    }
}

fn clock() -> Finding {
    let now = now_unix();
    if now < CLOCK_LEAST_UNIX {
        return finding(
            "clock",
            Verdict::Problem,
            super::output::moment(now),
            "set the machine's clock: keys expire by it",
        );
    }
    fine("clock", super::output::moment(now))
}
