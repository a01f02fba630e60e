//! `science load`: one workload of unified inferences, run with and without the result cache, by the same workers.
//!
//! The tasks are DREDGE's test tasks: five insights in turn, coordinates and modes by the task's number, and every fifth task a
//! copy of the one with a fifth of its number. Repeats are part of the workload both ways, so that the two runs compare.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use cache::{Cache, CacheOptions};
use indicatif::ProgressBar;
use platform::Clock;
use platform::files::{MODE_SHARED, write_atomic};
use service::science::{ModelConfig, NewScienceModel, UnifiedRequest};
use service::{Identity, Service, TenantId};

use super::args::LoadArguments;
use super::{Session, report};
use crate::cli::output::{print, table};

/// Memory for the kept results: 25 distinct answers of some 10 kB need far less.
const CACHE_BYTES: u64 = 64 << 20;
/// The largest answer that is kept.
const ANSWER_BYTES_MAX: usize = 4 << 20;
/// Copies in the workload: every so many tasks.
const COPY_EVERY: usize = 5;

const INSIGHTS: [&str; 5] = [
    "Digital memory must be human-reachable.",
    "A string hums in every dimension that it is given.",
    "What is computed twice was kept nowhere.",
    "Waves interfere, and the sum remembers both.",
    "Small models answer fast and admit what they do not know.",
];

/// What one run measured.
pub struct Run {
    /// `without cache` or `with cache`.
    pub name: &'static str,
    /// Latencies in seconds, ascending.
    pub latencies: Vec<f64>,
    /// Tasks whose answer was computed for an equal task.
    pub hits: usize,
    /// From the first task's beginning to the last one's end.
    pub seconds: f64,
}

impl Run {
    /// The latency that a share of the tasks did not exceed: the smallest value with at least that share at or below it.
    pub fn percentile(&self, share: f64) -> f64 {
        let count = self.latencies.len();
        let rank = (share * count as f64).ceil() as usize;
        let index = rank.clamp(1, count.max(1)) - 1;
        self.latencies.get(index).copied().unwrap_or(0.0)
    }

    /// Tasks per second.
    pub fn throughput(&self) -> f64 {
        self.latencies.len() as f64 / self.seconds.max(f64::MIN_POSITIVE)
    }

    /// Hits by tasks.
    pub fn hit_rate(&self) -> f64 {
        self.hits as f64 / self.latencies.len().max(1) as f64
    }

    /// The mean latency in seconds.
    pub fn mean(&self) -> f64 {
        self.latencies.iter().sum::<f64>() / self.latencies.len().max(1) as f64
    }
}

/// An empty cache in memory, for this command alone.
///
/// # Errors
/// None in practice: a cache in memory opens nothing.
pub fn memory_cache() -> anyhow::Result<Cache> {
    Ok(Cache::open(CacheOptions {
        memory_bytes: CACHE_BYTES,
        value_bytes_max: ANSWER_BYTES_MAX,
        disk: None,
        remote: None,
        clock: Clock::system(),
    })?)
}

/// `fornax science load`.
pub async fn load(session: Session, arguments: LoadArguments) -> anyhow::Result<()> {
    // A tenant of its own, so that nobody's models are touched.
    let identity = Identity {
        tenant: TenantId::new("fornax-load").context("could not name the tenant")?,
        ..session.identity
    };
    let models = make_models(&session.service, &identity).await?;
    let outcome = both(&session.service, &identity, &arguments, &models).await;
    for name in &models {
        // What is left behind is made anew by the next run.
        drop(session.service.science_delete(&identity, name).await);
    }
    let (tasks, runs) = outcome?;
    let unique = unique_count(&tasks);
    let html = report::html(tasks.len(), unique, arguments.workers, &runs)?;
    write_atomic(&arguments.report, html.as_bytes(), MODE_SHARED)
        .with_context(|| format!("could not write {}", arguments.report.display()))?;
    print(&format!(
        "{} tasks, {unique} unique, {} workers\n\n",
        tasks.len(),
        arguments.workers
    ))?;
    let milliseconds = |seconds: f64| format!("{:.2}", 1e3 * seconds);
    let rows: Vec<Vec<String>> = runs
        .iter()
        .map(|run| {
            vec![
                run.name.to_owned(),
                format!("{:.1}%", 100.0 * run.hit_rate()),
                format!("{:.1}", run.throughput()),
                milliseconds(run.mean()),
                milliseconds(run.percentile(0.50)),
                milliseconds(run.percentile(0.95)),
                milliseconds(run.percentile(0.99)),
            ]
        })
        .collect();
    let headings = [
        "run", "hits", "tasks/s", "mean ms", "p50 ms", "p95 ms", "p99 ms",
    ];
    print(&table(&headings, &rows))?;
    print(&format!("\n{}\n", arguments.report.display()))
}

/// An ensemble and a network, so that a task computes something: names of the two.
async fn make_models(service: &Service, identity: &Identity) -> anyhow::Result<[String; 2]> {
    let configs = [
        ModelConfig::Ensemble {
            dimensions: 1,
            n_waves: 16,
        },
        ModelConfig::StringNetwork {
            dimensions: 64,
            hidden_size: 512,
            num_layers: 6,
            use_batch_norm: false,
        },
    ];
    let names = ["waves".to_owned(), "network".to_owned()];
    for (name, config) in names.iter().zip(configs) {
        // Left behind by a run that was killed.
        drop(service.science_delete(identity, name).await);
        let new = NewScienceModel {
            name: name.clone(),
            config,
            seed: Some(0),
        };
        service.science_create(identity, new).await?;
    }
    Ok(names)
}

async fn both(
    service: &Arc<Service>,
    identity: &Identity,
    arguments: &LoadArguments,
    [wave, network]: &[String; 2],
) -> anyhow::Result<(Vec<UnifiedRequest>, Vec<Run>)> {
    let mut tasks = tasks(arguments.tasks as usize);
    for task in &mut tasks {
        task.wave_model = Some(wave.clone());
        task.network = Some(network.clone());
    }
    let tasks = Arc::new(tasks);
    // Once before the clock starts: models are decoded and the device is opened.
    let first = UnifiedRequest {
        fresh: true,
        ..tasks.first().cloned().unwrap_or_default()
    };
    service.science_unified(identity, first).await?;
    let mut runs = vec![run(service, identity, &tasks, arguments.workers, true).await?];
    if !arguments.no_cache {
        runs.push(run(service, identity, &tasks, arguments.workers, false).await?);
    }
    Ok((Arc::unwrap_or_clone(tasks), runs))
}

async fn run(
    service: &Arc<Service>,
    identity: &Identity,
    tasks: &Arc<Vec<UnifiedRequest>>,
    workers: u32,
    fresh: bool,
) -> anyhow::Result<Run> {
    let next = Arc::new(AtomicUsize::new(0));
    let bar = ProgressBar::new(tasks.len() as u64);
    let started = Instant::now();
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..workers {
        let (service, identity) = (Arc::clone(service), identity.clone());
        let (tasks, next, bar) = (Arc::clone(tasks), Arc::clone(&next), bar.clone());
        running.spawn(async move {
            let (mut latencies, mut hits) = (Vec::<Duration>::new(), 0);
            while let Some(task) = tasks.get(next.fetch_add(1, Ordering::Relaxed)) {
                let request = UnifiedRequest {
                    fresh,
                    ..task.clone()
                };
                let started = Instant::now();
                let answer = service.science_unified(&identity, request).await?;
                latencies.push(started.elapsed());
                hits += usize::from(answer.cached);
                bar.inc(1);
            }
            Ok::<_, service::Error>((latencies, hits))
        });
    }
    let (mut latencies, mut hits) = (Vec::new(), 0);
    while let Some(ended) = running.join_next().await {
        let (own, own_hits) = ended.context("a worker died")??;
        latencies.extend(own.iter().map(Duration::as_secs_f64));
        hits += own_hits;
    }
    let seconds = started.elapsed().as_secs_f64();
    bar.finish_and_clear();
    latencies.sort_by(f64::total_cmp);
    Ok(Run {
        name: if fresh { "without cache" } else { "with cache" },
        latencies,
        hits,
        seconds,
    })
}

/// DREDGE's test tasks.
fn tasks(count: usize) -> Vec<UnifiedRequest> {
    let mut tasks: Vec<UnifiedRequest> = Vec::with_capacity(count);
    for index in 0..count {
        if index > 0 && index.is_multiple_of(COPY_EVERY) {
            tasks.push(tasks[index / COPY_EVERY].clone());
            continue;
        }
        let number = |modulus: usize| (index % modulus) as f64;
        tasks.push(UnifiedRequest {
            insight: INSIGHTS[index % INSIGHTS.len()].to_owned(),
            coordinates: vec![0.1 * number(10), 0.2 * number(5), 0.3 * number(3)],
            modes: vec![1 + (index % 3) as i64, 2 + (index % 2) as i64, 3],
            ..UnifiedRequest::default()
        });
    }
    tasks
}

fn unique_count(tasks: &[UnifiedRequest]) -> usize {
    let texts: HashSet<String> = tasks.iter().map(|task| format!("{task:?}")).collect();
    texts.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_workload_has_the_known_numbers_of_unique_tasks() {
        for (count, unique) in [(20, 17), (100, 25), (1000, 25)] {
            assert_eq!(unique_count(&tasks(count)), unique, "{count}");
        }
    }

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let run = Run {
            name: "test",
            latencies: (1..=100).map(f64::from).collect(),
            hits: 25,
            seconds: 50.0,
        };
        assert_eq!(
            [0.5, 0.95, 0.99, 1.0].map(|share| run.percentile(share)),
            [50.0, 95.0, 99.0, 100.0]
        );
        assert_eq!((run.throughput(), run.hit_rate()), (2.0, 0.25));
    }
}
