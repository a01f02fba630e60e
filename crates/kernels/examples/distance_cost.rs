//! Nanoseconds per distance of the one-to-many forms, for tuning: `cargo run --release -p kernels --example distance_cost`.

#![expect(clippy::print_stdout, reason = "a tool for the terminal")]

use std::hint::black_box;
use std::time::Instant;

use kernels::{Kernels, Level};

/// Rows asked for in one call, as many as a graph node has links.
const ROWS: usize = 32;

fn measure(what: &str, kernels: Kernels, resident: &str, mut call: impl FnMut(&[u32]), rows: u32) {
    let mut state = 1u64;
    let mut lists = Vec::new();
    for _ in 0..2000 {
        let list: Vec<u32> = (0..ROWS)
            .map(|_| {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                ((state >> 33) % u64::from(rows)) as u32
            })
            .collect();
        lists.push(list);
    }
    let mut best = f64::INFINITY;
    for _ in 0..5 {
        let begin = Instant::now();
        for list in &lists {
            call(list);
        }
        best = best.min(begin.elapsed().as_nanos() as f64 / (lists.len() * ROWS) as f64);
    }
    println!(
        "{:8} {resident:7} {what:24} {best:8.1} ns",
        format!("{:?}", kernels.level())
    );
}

fn main() {
    for dimensions in [128, 384, 768] {
        println!("-- {dimensions} dimensions");
        for kernels in Level::available().into_iter().filter_map(Kernels::at) {
            for (resident, rows) in [("cache", 64u32), ("memory", 200_000)] {
                let floats = vec![1f32; dimensions * rows as usize];
                let bytes = vec![3u8; dimensions * rows as usize];
                let (query, query_bytes) = (vec![1f32; dimensions], vec![1i8; dimensions]);
                let mut sums = vec![0f32; ROWS];
                let mut wholes = vec![0i32; ROWS];
                let form = |list: &[u32]| {
                    kernels.dot_many_f32(&query, &floats, dimensions, list, black_box(&mut sums));
                };
                measure("dot f32", kernels, resident, form, rows);
                let form = |list: &[u32]| {
                    kernels.dot_codes_8(
                        &query_bytes,
                        &bytes,
                        dimensions,
                        list,
                        black_box(&mut wholes),
                    );
                };
                measure("dot 8-bit codes", kernels, resident, form, rows);
                let form = |list: &[u32]| {
                    kernels.dot_many_i4(
                        &query_bytes,
                        &bytes,
                        dimensions / 2,
                        list,
                        black_box(&mut wholes),
                    );
                };
                measure("dot i4", kernels, resident, form, rows);
            }
        }
    }
}
