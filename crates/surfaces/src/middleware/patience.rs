//! Gives up on readers that take nothing. A client that keeps its connection open and stops reading would hold its place
//! in the model's queue, and one of the server's requests, for as long as it likes.
//!
//! Invariants:
//! 1. Only the reader's silence counts: while the answer itself has nothing to give, no time runs.
//! 2. What is given up is dropped at once, which ends the work behind it, and the reader's connection ends with an error.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use bytes::Bytes;
use http_body::Frame;
use tokio::task::AbortHandle;
use tokio::time::Instant;

/// A body that is dropped when nobody takes anything of it for too long.
pub struct Patient {
    state: Arc<Mutex<State>>,
    watch: AbortHandle,
}

struct State {
    /// `None` once it was given up.
    body: Option<Body>,
    /// Since when it is the reader's turn; `None` while it is ours.
    readers_turn: Option<Instant>,
}

impl Patient {
    /// `body`, waiting at most `patience` for its reader.
    pub fn new(body: Body, patience: Duration) -> Self {
        let state = Arc::new(Mutex::new(State {
            body: Some(body),
            readers_turn: Some(Instant::now()),
        }));
        let watch = tokio::spawn(watch(Arc::downgrade(&state), patience)).abort_handle();
        Patient { state, watch }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    // A body that panicked is not polled again, so nothing broken is seen.
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Looks once per `patience`, or when the reader's time will be over.
async fn watch(state: Weak<Mutex<State>>, patience: Duration) {
    let mut look = Instant::now() + patience;
    loop {
        tokio::time::sleep_until(look).await;
        let Some(state) = state.upgrade() else { return };
        let mut state = lock(&state);
        let now = Instant::now();
        let late = state.readers_turn.map_or(now, |since| since) + patience;
        if late > now {
            look = late;
            continue;
        }
        let given_up = state.body.take();
        // Dropping it runs the ends of a whole request; the reader must not wait for the lock meanwhile.
        drop(state);
        drop(given_up);
        return;
    }
}

impl HttpBody for Patient {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let mut state = self.state();
        state.readers_turn = None;
        let Some(body) = &mut state.body else {
            return Poll::Ready(Some(Err(axum::Error::new(
                "the reader took nothing for too long",
            ))));
        };
        let polled = Pin::new(body).poll_frame(context);
        if matches!(polled, Poll::Ready(Some(Ok(_)))) {
            state.readers_turn = Some(Instant::now());
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.state()
            .body
            .as_ref()
            .is_some_and(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.state()
            .body
            .as_ref()
            .map_or_else(http_body::SizeHint::default, HttpBody::size_hint)
    }
}

impl Drop for Patient {
    fn drop(&mut self) {
        self.watch.abort();
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures::stream::{self, StreamExt};
    use http_body_util::BodyExt;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(60);

    /// A body of these chunks and then nothing, and what tells when it is gone.
    fn body(chunks: usize) -> (Patient, Weak<()>) {
        let alive = Arc::new(());
        let gone = Arc::downgrade(&alive);
        let chunks = stream::iter(0..chunks)
            .chain(stream::pending())
            .map(move |_| {
                let _held = &alive;
                Ok::<_, Infallible>(Bytes::from_static(b"x"))
            });
        (Patient::new(Body::from_stream(chunks), PATIENCE), gone)
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_takes_nothing_is_given_up() {
        let (mut patient, gone) = body(100);
        assert!(patient.frame().await.expect("frame").is_ok());
        tokio::time::sleep(PATIENCE / 2).await;
        assert!(patient.frame().await.expect("frame").is_ok());
        tokio::time::sleep(PATIENCE * 3 / 4).await;
        assert!(gone.upgrade().is_some(), "it took something in time");
        tokio::time::sleep(PATIENCE).await;
        assert!(gone.upgrade().is_none(), "the work goes on for nobody");
        assert!(patient.frame().await.expect("frame").is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_never_begins_is_given_up() {
        let (_patient, gone) = body(1);
        tokio::time::sleep(PATIENCE * 2).await;
        assert!(gone.upgrade().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_for_a_slow_answer_is_no_fault_of_the_reader() {
        let (mut patient, gone) = body(1);
        assert!(patient.frame().await.expect("frame").is_ok());
        let waiting = tokio::time::timeout(PATIENCE * 10, patient.frame()).await;
        assert!(waiting.is_err(), "nothing comes");
        assert!(gone.upgrade().is_some());
    }
}
