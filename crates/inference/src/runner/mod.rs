//! Runners: each loaded model lives in a child process of the same binary and is spoken to by gRPC over a Unix socket.

pub mod protocol;
