//! Arithmetic with SIMD and a scalar twin for each kernel, chosen at run time.
//!
//! Every kernel exists once in plain Rust (the twin, which is its definition) and again for each instruction set that
//! pays. Nothing here blocks or reads the environment. [`Kernels`] is the door: it is made once for the machine
//! ([`Kernels::best`]) or for a level that a test names ([`Kernels::at`]), and its methods are safe: they assert the shape
//! of their arguments once per call and then run without further checks.
//!
//! Where the arithmetic is whole numbers every level gives the same result. Where it is floating point the levels add in
//! different orders; results differ from the exact sum by at most 1e-5 of the sum of the absolute terms.

pub mod dense;
pub mod dispatch;
pub mod graph;
pub mod rabitq;
pub mod waves;

mod bits;
mod f16;
mod f32;
mod float;
mod int4;
mod int8;
mod rotate;
mod rows;
mod tables;
mod topk;
mod uint8;

pub use dispatch::{Kernels, Level};
pub use int4::{pack_int4, unpack_int4};
pub use rows::PREFETCH_ROWS;
pub use tables::{BLOCK_ROWS, pack_table_codes};
