//! The real binary, end to end: what an operator and a client see.

mod collections;
mod commands;
mod harness;
mod life;
mod mcp;
mod pulls;
mod signals;
mod tls;
mod traces;
