//! Pure policies of what runs next: no threads, no async, no clock of their own. State and the time go in, the decision
//! comes out, so that every decision can be replayed.
//!
//! Deliberately absent: the work itself (`inference` runs it), rates per key (`service` refuses those before they queue).

pub mod backpressure;
pub mod fair_queue;

pub use backpressure::{BackpressureLevel, DrainRate};
pub use fair_queue::{Class, Entry, FairQueue, FairQueueOptions, FullScope, Popped, QueueFull};
