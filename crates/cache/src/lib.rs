//! The exact result cache: what a deterministic call answered, kept in memory, on disk and in Redis.
//!
//! Policy and tiers only: keys are bytes that the caller canonicalised, values are bytes that it encoded.
