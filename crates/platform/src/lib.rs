//! The machine behind seams: clock, entropy, repeatable random numbers, durable files, memory, processors, child processes and secrets.
//!
//! Something belongs here when it is about the machine and not about the product. Nothing here is asynchronous,
//! knows a model or a request, or reads the environment. Off Linux every fact that cannot be read is `None` and
//! every protection that the system lacks is left out, as the module says; nothing pretends.

pub mod allocator;
pub mod buffer;
pub mod clock;
pub mod cpu;
pub mod entropy;
pub mod files;
pub mod mapping;
pub mod memory;
pub mod positioned;
pub mod process;
pub mod random;
pub mod secret;

pub use clock::Clock;
pub use secret::Secret;
