//! The Fornax binary.

fn main() {}
