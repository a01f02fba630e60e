//! `serve`: puts the parts together, listens, and ends gracefully.
//!
//! Order of a start: data directory and its lock, signals (log, metrics, traces), keys, store, shipped model,
//! supervisor, service, router, listener. Order of an end: stop admitting (`/readyz` turns false), let running requests
//! finish up to the deadline, close connections, end the model processes, deliver the last traces.

mod banner;
mod first_bytes;
pub mod first_start;
mod listener;
pub mod logging;
pub mod parts;
pub mod runner;
mod signals;
mod trace;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use inference::runner::Supervisor;
use inference::store::ModelStore;
use platform::files::{DirectoryLock, create_private_directory};
use service::Service;
use surfaces::SurfaceOptions;
use telemetry::Telemetry;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::cli::Context;
use crate::config::keys::ServerSettings;
use crate::config::reference;
use crate::directory::DataDirectory;
use listener::Bound;
use parts::Parts;
use signals::{Signal, Signals};

/// Threads that move requests unless configured: they parse, frame and copy; models compute in processes of their own.
const WORKER_THREADS: usize = 2;
/// How often histograms are folded.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);
/// After the drain, how long connections may take to deliver their last bytes.
const CLOSE_GRACE: Duration = Duration::from_secs(2);
/// Metrics of runners are asked this often, so that a scrape waits for nobody.
const RUNNER_METRICS_INTERVAL: Duration = Duration::from_secs(5);

/// Runs the server until a signal ends it.
pub fn main(context: &Context) -> anyhow::Result<ExitCode> {
    let threads = context.loaded.settings.server.worker_threads.given();
    let threads = threads
        .and_then(|count| usize::try_from(count).ok())
        .unwrap_or(WORKER_THREADS);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .thread_name("fornax")
        .enable_all()
        .build()
        .context("could not start the threads of the server")?;
    runtime.block_on(serve(context))
}

async fn serve(context: &Context) -> anyhow::Result<ExitCode> {
    let settings = &context.loaded.settings;
    listener::check_exposure(&settings.server)?;
    let _lock = take_directory(&context.directory)?;
    let mut signals = Signals::install()?;
    let telemetry = logging::for_server(context)?;
    create_private_directory(&context.directory.run())
        .context("could not make the directory for sockets")?;
    // The address that a killed server left behind is nobody's.
    context.directory.withdraw();
    let mut running = start(context, &telemetry).await?;
    let outcome = running.until_told(&mut signals, &settings.server).await;
    // From here a second signal ends at once; model processes die with us.
    signals.exit_at_next();
    running.stop(settings.server.drain_timeout.0).await;
    context.directory.withdraw();
    tracing::info!("stopped");
    drop(tokio::task::spawn_blocking(move || telemetry.shutdown()).await);
    outcome.map(|()| ExitCode::SUCCESS)
}

/// Makes the data directory this process's own.
fn take_directory(directory: &DataDirectory) -> anyhow::Result<DirectoryLock> {
    directory.create()?;
    DirectoryLock::acquire(directory.root()).with_context(|| {
        format!(
            "could not take the data directory {}",
            directory.root().display()
        )
    })
}

/// A server that accepts connections.
struct Running {
    parts: Parts,
    bound: Bound,
    accepting: JoinHandle<anyhow::Result<()>>,
    upkeep: JoinHandle<()>,
}

/// Opens what the data directory holds, puts the parts together and listens.
async fn start(context: &Context, telemetry: &Telemetry) -> anyhow::Result<Running> {
    let (settings, directory) = (&context.loaded.settings, &context.directory);
    let keys = crate::cli::open_keys(context).await?;
    let first_key = first_start::first_admin(directory, &keys).await?;
    let store = ModelStore::open(&directory.models()).context("could not open the model store")?;
    let offered = first_start::offer_nano(directory, &store)?;
    let cache = parts::result_cache(&settings.cache, directory.cache())?;
    let parts = parts::assemble(context, store.clone(), keys, &directory.runners(), cache).await?;
    parts
        .service
        .recover_files()
        .await
        .context("could not look through the uploaded files")?;
    parts.service.begin_background();
    let router = surfaces::router(
        Arc::clone(&parts.service),
        surface_options(context, telemetry),
    );
    let bound = listener::bind(&settings.server).await?;
    directory
        .announce(&bound.address.to_string(), &bound.url)
        .context("could not write the server's address")?;
    tracing::info!(address = %bound.address, url = bound.url, configured = ?reference::overridden(&context.loaded), "listening");
    banner::print(&banner::Banner {
        url: &bound.url,
        directory,
        first_key: first_key.as_ref(),
        models: &store.list().unwrap_or_default(),
        offered,
    });
    let upkeep = tokio::spawn(keep_up(
        telemetry.clone(),
        parts.supervisor.clone(),
        Arc::clone(&parts.service),
    ));
    for model in &settings.models.pinned {
        parts.pin(model);
    }
    metrics::gauge!("fornax_ready").set(1.0);
    Ok(Running {
        accepting: tokio::spawn(bound.serve(router)),
        parts,
        bound,
        upkeep,
    })
}

impl Running {
    /// Serves until a signal says to end, or the listener cannot go on.
    async fn until_told(
        &mut self,
        signals: &mut Signals,
        settings: &ServerSettings,
    ) -> anyhow::Result<()> {
        loop {
            tokio::select! {
                ended = &mut self.accepting => {
                    return ended
                        .context("the listener panicked")?
                        .context("could not go on listening");
                }
                signal = signals.next() => match signal {
                    Signal::Reload => listener::reload(settings, &self.bound.tls).await,
                    Signal::End => return Ok(()),
                },
            }
        }
    }

    /// Stops admitting, lets running requests finish for up to `drain_timeout`, closes connections and ends the model
    /// processes.
    async fn stop(mut self, drain_timeout: Duration) {
        metrics::gauge!("fornax_ready").set(0.0);
        let deadline = Instant::now() + drain_timeout;
        tracing::info!(seconds = drain_timeout.as_secs(), "draining");
        let left = self.parts.service.drain(drain_timeout).await;
        if left > 0 {
            tracing::warn!(
                requests = left,
                "requests did not finish in time and are cut off"
            );
        }
        self.bound.handle.graceful_shutdown(Some(CLOSE_GRACE));
        self.parts
            .supervisor
            .shutdown(deadline.saturating_duration_since(Instant::now()))
            .await;
        if !self.accepting.is_finished() {
            let close =
                tokio::time::timeout(CLOSE_GRACE + Duration::from_secs(1), &mut self.accepting);
            drop(close.await);
        }
        self.upkeep.abort();
        let service = Arc::clone(&self.parts.service);
        // Syncing what was not waited for may take a moment of the disk's time.
        drop(tokio::task::spawn_blocking(move || service.close_collections()).await);
    }
}

async fn keep_up(telemetry: Telemetry, supervisor: Supervisor, service: Arc<Service>) {
    let mut fold = tokio::time::interval(UPKEEP_INTERVAL);
    let mut ask = tokio::time::interval(RUNNER_METRICS_INTERVAL);
    loop {
        tokio::select! {
            _ = fold.tick() => {
                telemetry.upkeep();
                service.refresh_collection_metrics();
            }
            _ = ask.tick() => supervisor.refresh_metrics().await,
        }
    }
}

fn surface_options(context: &Context, telemetry: &Telemetry) -> SurfaceOptions {
    let settings = &context.loaded.settings;
    let rendered = telemetry.clone();
    let now_unix = || {
        u64::try_from(platform::clock::WallClock::unix_seconds(
            &platform::clock::SystemClock,
        ))
        .unwrap_or(0)
    };
    SurfaceOptions {
        metrics_public: settings.metrics.public,
        body_bytes_max: usize::try_from(settings.server.body_limit_bytes.0).unwrap_or(usize::MAX),
        body_timeout: settings.server.body_timeout.0,
        requests_max: usize::try_from(settings.limits.requests_max).unwrap_or(usize::MAX),
        keep_alive_interval: settings.server.keep_alive_interval.0,
        cors_origins: settings.server.cors_origins.clone(),
        trace: Some(Arc::new(trace::Traces)),
        mcp_fixtures: settings.mcp.fixtures,
        version: env!("CARGO_PKG_VERSION"),
        ..SurfaceOptions::new(Arc::new(move || rendered.render()), Arc::new(now_unix))
    }
}
