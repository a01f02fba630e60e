//! The runner process: one model, served over a Unix socket until its parent wants or can no more.
//!
//! `fornax runner` calls [`run`]. The process holds two kinds of threads: one that waits on sockets, and the engine's,
//! on which everything of the model happens ([`crate::serving`]). Whatever leaves the engine's state in doubt ends the
//! process: the supervisor starts another, and a new process is the only state of a native library that is known.
//!
//! Nothing is written to standard output; standard error carries one JSON object per line.

mod convert;
#[cfg(feature = "llama")]
mod gguf;
mod load;
mod rpc;

use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use thiserror::Error;
use tokio::net::UnixListener;
use tokio::sync::watch;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::transport::Server;

use super::protocol::runner_server::RunnerServer;
use rpc::RunnerService;

/// Largest message either way: 2,048 vectors of 4,096 dimensions are 32 MiB, a prompt of a million tokens 4 MiB.
pub const MESSAGE_BYTES_MAX: usize = 64 << 20;
/// Requests at a time on one connection. The loop's own queue is the bound that callers meet; this one only has to
/// be above it.
const STREAMS_MAX: u32 = 8192;
/// How often the runner looks whether its parent still is its parent, where nothing tells it.
const PARENT_POLL: Duration = Duration::from_millis(500);
/// Time that connections get to close after the last answer.
const CLOSE_WITHIN: Duration = Duration::from_secs(2);

/// The command line of `fornax runner`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunnerArguments {
    /// The model file.
    pub model: PathBuf,
    /// Where to listen; a left-over socket there is replaced.
    pub socket: PathBuf,
    /// The model's name, for log lines.
    pub name: String,
    /// End when this is no longer the parent process; `None`: whoever is the parent now.
    pub parent_pid: Option<u32>,
}

/// Why a runner could not serve.
#[derive(Debug, Error)]
pub enum ServerError {
    /// The socket could not be made.
    #[error("listen on {path:?}: {source}")]
    Listen {
        /// Where.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The runtime that waits on sockets could not be started.
    #[error("start the runner: {0}")]
    Start(#[source] std::io::Error),
    /// The connection handling failed.
    #[error("serve the runner's socket: {0}")]
    Serve(#[from] tonic::transport::Error),
}

/// Serves one model until it is unloaded or the parent is gone.
///
/// # Errors
/// [`ServerError`] when the socket cannot be served. A model that cannot be loaded is no error here: the parent is
/// told, and the runner waits to be ended.
pub fn run(arguments: RunnerArguments) -> Result<(), ServerError> {
    log_as_json();
    platform::process::die_of_memory_faults();
    watch_parent(arguments.parent_pid);
    watch_standard_input();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(ServerError::Start)?;
    let served = runtime.block_on(serve(&arguments));
    // Threads that compile a grammar are not waited for.
    runtime.shutdown_background();
    served
}

/// Listens and answers; returns after an unload.
///
/// # Errors
/// [`ServerError`] when the socket cannot be served.
pub async fn serve(arguments: &RunnerArguments) -> Result<(), ServerError> {
    let listener = listen(&arguments.socket).map_err(|source| ServerError::Listen {
        path: arguments.socket.clone(),
        source,
    })?;
    let (ended, mut end) = watch::channel(false);
    let service = RunnerService::new(arguments.model.clone(), ended);
    let router = RunnerServer::new(service)
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX);
    tracing::info!(model = arguments.name, socket = ?arguments.socket, "runner listens");
    let mut closing = end.clone();
    let serving = Server::builder()
        .max_concurrent_streams(STREAMS_MAX)
        .add_service(router)
        .serve_with_incoming_shutdown(UnixListenerStream::new(listener), async move {
            // An error means that the service is gone, which is an end as well.
            let _ = closing.wait_for(|ended| *ended).await;
        });
    let closed = async {
        let _ = end.wait_for(|ended| *ended).await;
        tokio::time::sleep(CLOSE_WITHIN).await;
    };
    tokio::select! {
        served = serving => served?,
        () = closed => {}
    }
    tracing::info!(model = arguments.name, "runner ends");
    // A socket that is already gone is what we want.
    let _ = std::fs::remove_file(&arguments.socket);
    Ok(())
}

/// Makes the socket, for this user only.
fn listen(path: &Path) -> std::io::Result<UnixListener> {
    let left_over =
        std::fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket());
    if left_over {
        std::fs::remove_file(path)?;
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

fn log_as_json() {
    // Whoever has already set up logging (a test, an embedder) keeps it.
    let _ = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_max_level(tracing::Level::INFO)
        .with_writer(std::io::stderr)
        .try_init();
}

/// Ends the process when the parent changes: the kernel gives orphans to another. (On Linux the supervisor also asks
/// the kernel for a signal; this works everywhere.)
fn watch_parent(expected: Option<u32>) {
    let parent = expected.unwrap_or_else(std::os::unix::process::parent_id);
    std::thread::spawn(move || {
        while std::os::unix::process::parent_id() == parent {
            std::thread::sleep(PARENT_POLL);
        }
        tracing::warn!("the parent process is gone");
        std::process::exit(0);
    });
}

/// Ends the process when the pipe on standard input closes, which happens the moment its other end dies. Anything but
/// a pipe (a terminal, `/dev/null`) says nothing about a parent.
fn watch_standard_input() {
    use std::io::Read;
    use std::os::fd::AsFd;
    let Ok(input) = std::io::stdin().as_fd().try_clone_to_owned() else {
        return;
    };
    let mut input = std::fs::File::from(input);
    let pipe = input
        .metadata()
        .is_ok_and(|facts| facts.file_type().is_fifo() || facts.file_type().is_socket());
    if !pipe {
        return;
    }
    std::thread::spawn(move || {
        let mut ignored = [0; 256];
        while input.read(&mut ignored).is_ok_and(|bytes| bytes > 0) {}
        tracing::warn!("the pipe from the parent process is closed");
        std::process::exit(0);
    });
}
