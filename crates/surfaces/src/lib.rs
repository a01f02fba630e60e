//! The wire protocols: each translates to and from `service` and knows nothing else. One table lists every route with the
//! scope it needs, the router is built from that table, and one middleware stack stands before all of it.
//!
//! Deliberately absent: any capability of its own, any knowledge of models, keys or files, and any listening socket.

mod admin;
mod answer;
mod anthropic;
mod attribute_filter;
mod body;
mod dredge;
mod duration;
mod failure;
mod files;
mod freshness;
mod grpc;
mod health;
mod identifiers;
mod ingest;
mod listing;
mod mcp;
mod middleware;
mod moments;
mod multipart;
mod native;
mod ollama;
mod openai;
mod options;
mod qdrant;
mod rerank;
mod responses;
mod science;
mod shared_paths;
mod state;
mod streaming;
mod table;
mod vector_stores;

pub use options::{SurfaceOptions, TraceContext};
pub use table::{Access, RouteFact, router, routes};
