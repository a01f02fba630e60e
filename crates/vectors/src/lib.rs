//! An embeddable vector engine: collections of points with vectors and payloads, durable and searched exactly or by index.
//!
//! Blocking code on plain types; nothing here is asynchronous or knows a wire format.
