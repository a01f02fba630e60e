//! What the operator can tell the process.

use std::io;

use tokio::signal::unix::{Signal as Stream, SignalKind, signal};

/// A message of the operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// SIGHUP: read the certificate again.
    Reload,
    /// SIGTERM or SIGINT: end gracefully.
    End,
}

/// The installed handlers.
pub struct Signals {
    terminate: Stream,
    interrupt: Stream,
    hang_up: Stream,
}

impl Signals {
    /// Installs the handlers, so that a signal during the start is not lost.
    ///
    /// # Errors
    /// What the system said.
    pub fn install() -> io::Result<Self> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for the next one.
    pub async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.terminate.recv() => Signal::End,
            _ = self.interrupt.recv() => Signal::End,
            _ = self.hang_up.recv() => Signal::Reload,
        }
    }

    /// From now on an ending signal ends the process at once. The kernel then ends the model processes.
    pub fn exit_at_next(mut self) {
        tokio::spawn(async move {
            while self.next().await != Signal::End {}
            tracing::warn!("ended by a second signal; running requests are cut off");
            std::process::exit(crate::exit::Exit::Interrupted as i32);
        });
    }
}
