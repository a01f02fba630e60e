//! `science`: science models on the command line. Everything goes through the same service as over HTTP, on the models of
//! the data directory; no server is needed.

pub mod args;
mod chart;
mod compute;
mod load;
mod plot;
mod report;
mod train;

use std::future::Future;
use std::sync::Arc;

use anyhow::Context as _;
use cache::Cache;
use security::{Identity, Scope, Scopes, TenantId};
use service::Service;
use service::science::DataSet;

use super::{Context, keys, models, small_runtime};
use crate::exit::{Ended, Exit};
use crate::serve::{logging, parts};
use args::ScienceCommand;

/// `fornax science`.
pub fn science(context: &Context, command: ScienceCommand) -> anyhow::Result<()> {
    match command {
        ScienceCommand::Train(arguments) => {
            with_session(context, None, |session| train::train(session, arguments))
        }
        ScienceCommand::Infer {
            model,
            inputs,
            double,
        } => with_session(context, None, |session| {
            compute::infer(session, model, inputs, double)
        }),
        ScienceCommand::Spectrum(arguments) => with_session(context, None, |session| {
            compute::spectrum(session, arguments)
        }),
        ScienceCommand::Benchmark(arguments) => with_session(context, None, |session| {
            compute::benchmark(session, arguments)
        }),
        ScienceCommand::Plot { what } => {
            with_session(context, None, |session| plot::plot(session, what))
        }
        ScienceCommand::Load(arguments) => {
            with_session(context, Some(load::memory_cache()?), |session| {
                load::load(session, arguments)
            })
        }
    }
}

/// The service, and who the user of this machine is to it.
struct Session {
    service: Arc<Service>,
    identity: Identity,
}

/// Runs `work` with a service over the data directory.
fn with_session<Work, Running>(
    context: &Context,
    cache: Option<Cache>,
    work: Work,
) -> anyhow::Result<()>
where
    Work: FnOnce(Session) -> Running,
    Running: Future<Output = anyhow::Result<()>>,
{
    small_runtime()?.block_on(async {
        let _telemetry = logging::for_command(context)?;
        let store = models::open(context)?;
        // Short, because the path of a socket may have at most about a hundred bytes.
        let run_directory = tempfile::Builder::new()
            .prefix("fornax-")
            .tempdir()
            .context("could not make a temporary directory")?;
        let keys = keys::open(context).await?;
        let parts = parts::assemble(context, store, keys, run_directory.path(), cache).await?;
        let session = Session {
            service: Arc::clone(&parts.service),
            identity: Identity {
                key_id: "local".to_owned(),
                key_name: "command line".to_owned(),
                tenant: TenantId::default(),
                scopes: Scopes::from(Scope::Inference).with(Scope::Models),
            },
        };
        let result = work(session).await;
        parts.supervisor.shutdown(std::time::Duration::ZERO).await;
        result
    })
}

/// The data set of a name on the command line.
fn data_set(name: &str) -> anyhow::Result<DataSet> {
    DataSet::parse(name).map_err(|error| Ended::error(Exit::Usage, format!("could not {error}")))
}

/// A JSON value of the command line.
fn json<T: serde::de::DeserializeOwned>(flag: &str, text: &str) -> anyhow::Result<T> {
    serde_json::from_str(text)
        .map_err(|error| Ended::error(Exit::Usage, format!("{flag} {text}: {error}")))
}
