//! Single flight: of equal calls that arrive together one computes and the others wait for it.
//!
//! A waiting call can be awaited (it is a [`Future`]) or waited for on a blocking thread. When the one that computes
//! gives up or fails, everybody who waits is told so and tries again; one of them computes next.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use crate::Value;
use crate::key::Key;

/// All calls under way.
#[derive(Debug, Default)]
pub(crate) struct Flights {
    under_way: Mutex<HashMap<String, Arc<Flight>>>,
}

#[derive(Debug, Default)]
struct Flight {
    state: Mutex<State>,
    landed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// `Some` once the computing call ended; the inner `None` means that it ended without a value.
    outcome: Option<Option<Value>>,
    wakers: HashMap<u64, Waker>,
    next_waiter: u64,
}

/// What a call is to do.
#[derive(Debug)]
pub enum Turn {
    /// Compute, then [`Lead::finish`].
    Lead(Lead),
    /// Another call computes the same.
    Wait(Waiting),
}

/// The right and duty to compute. Dropped without a value, those who wait are released to try themselves.
#[derive(Debug)]
pub struct Lead {
    flights: Arc<Flights>,
    text: String,
    flight: Arc<Flight>,
    done: bool,
}

/// A call that waits. Resolves to the value, or to `None` when the computing call ended without one.
#[derive(Debug)]
pub struct Waiting {
    flight: Arc<Flight>,
    ticket: Option<u64>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Flights {
    pub(crate) fn join(self: &Arc<Self>, key: &Key) -> Turn {
        let mut under_way = locked(&self.under_way);
        if let Some(flight) = under_way.get(key.text()) {
            return Turn::Wait(Waiting {
                flight: Arc::clone(flight),
                ticket: None,
            });
        }
        let flight = Arc::new(Flight::default());
        under_way.insert(key.text().to_owned(), Arc::clone(&flight));
        Turn::Lead(Lead {
            flights: Arc::clone(self),
            text: key.text().to_owned(),
            flight,
            done: false,
        })
    }
}

impl Lead {
    /// Hands the value to everybody who waits. Store it in the cache first, so that a call arriving now finds it there.
    pub fn finish(mut self, value: Value) {
        self.land(Some(value));
    }

    fn land(&mut self, value: Option<Value>) {
        if std::mem::replace(&mut self.done, true) {
            return;
        }
        locked(&self.flights.under_way).remove(&self.text);
        let wakers = {
            let mut state = locked(&self.flight.state);
            state.outcome = Some(value);
            std::mem::take(&mut state.wakers)
        };
        self.flight.landed.notify_all();
        for waker in wakers.into_values() {
            waker.wake();
        }
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        self.land(None);
    }
}

impl Waiting {
    /// Waits on this thread, at most for `limit`. `None` when the computing call ended without a value or in time did not end.
    pub fn wait(self, limit: Duration) -> Option<Value> {
        let until = Instant::now() + limit;
        let mut state = locked(&self.flight.state);
        loop {
            if let Some(outcome) = &state.outcome {
                return outcome.clone();
            }
            let left = until.checked_duration_since(Instant::now())?;
            state = self
                .flight
                .landed
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }
}

impl Future for Waiting {
    type Output = Option<Value>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let flight = Arc::clone(&self.flight);
        let mut state = locked(&flight.state);
        if let Some(outcome) = &state.outcome {
            return Poll::Ready(outcome.clone());
        }
        let ticket = *self.ticket.get_or_insert_with(|| {
            state.next_waiter += 1;
            state.next_waiter
        });
        state.wakers.insert(ticket, context.waker().clone());
        Poll::Pending
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            locked(&self.flight.state).wakers.remove(&ticket);
        }
    }
}
