//! The parent's end of one runner's socket.
//!
//! One HTTP/2 connection per runner carries all its calls. Windows are set so that a stream whose reader is slow stops
//! at its own small window, while the connection's window is far too large for a few slow readers to fill.

use std::path::{Path, PathBuf};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};

use super::protocol::runner_client::RunnerClient as Generated;

/// Largest message either way: a batch of embeddings or a long prompt with its token ids. Both ends use it.
pub const MESSAGE_MAX_BYTES: usize = 64 << 20;
/// Unread bytes one stream may have in flight: minutes of generated text, so only a stalled reader meets it.
const STREAM_WINDOW_BYTES: u32 = 64 << 10;
/// Unread bytes of all streams together: a thousand stalled readers.
const CONNECTION_WINDOW_BYTES: u32 = 64 << 20;

/// Where a runner listens. A runner on another host would be one more variant here (TCP with mutual TLS); everything
/// above this type would stay as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunnerAddress {
    /// A Unix socket of this machine.
    Unix(PathBuf),
}

/// The generated client over our channel.
pub type ProtocolClient = Generated<Channel>;

/// Connects once; fails when nobody listens yet.
///
/// # Errors
/// As the transport says.
pub async fn connect(address: &RunnerAddress) -> Result<ProtocolClient, tonic::transport::Error> {
    let RunnerAddress::Unix(path) = address;
    let path: PathBuf = path.clone();
    // The URI is never resolved: it only fills the `:authority` of requests.
    let channel = Endpoint::from_static("http://runner")
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .connect_with_connector(tower::service_fn(move |_| {
            let path = path.clone();
            async move { UnixStream::connect(path).await.map(TokioIo::new) }
        }))
        .await?;
    Ok(Generated::new(channel)
        .max_decoding_message_size(MESSAGE_MAX_BYTES)
        .max_encoding_message_size(MESSAGE_MAX_BYTES))
}

/// Waits until somebody listens at `path`, looking every millisecond at first and every 20 later.
pub(super) async fn wait_until_listening(path: &Path) {
    let mut pause = Duration::from_millis(1);
    while UnixStream::connect(path).await.is_err() {
        tokio::time::sleep(pause).await;
        pause = (pause + pause / 4).min(Duration::from_millis(20));
    }
}

/// Whether a status says that the connection broke, rather than that the runner answered with an error.
pub(super) fn is_connection_loss(status: &Status) -> bool {
    // Errors that our runner sends always carry details (`RunnerError::to_status`); the transport's never do.
    status.details().is_empty()
        && matches!(
            status.code(),
            Code::Unavailable | Code::Unknown | Code::Internal | Code::Cancelled | Code::DataLoss
        )
}
