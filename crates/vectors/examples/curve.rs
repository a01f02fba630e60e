//! Prints recall and queries per CPU-second of the index over a sweep of `ef`, for vectors in `.npy` files.
//!
//! ```text
//! curve BASE.npy QUERIES.npy TRUTH.npy METRIC QUANTIZATION EFS [ivf=1] [m=16] [efc=200] [threads=1] [passes=4] [oversampling=x]
//! ```
//! An `ef` with a point in it, as in 0.95, is a target recall. Base and queries are `<f2`, `<f4` or `|u1` arrays of two
//! dimensions, the truth `<i4` or `<i8`. `cosine` normalises both.
#![expect(clippy::print_stdout, reason = "a measuring program prints its table")]

use std::error::Error;
use std::time::Instant;

use vectors::index::{BuildControl, IndexParameters, Scratch, SearchParameters, VectorIndex};
use vectors::quantize::{Originals, SliceOriginals, Values};
use vectors::rows::Allowed;
use vectors::schema::{HnswParameters, IndexKind, Metric, Quantization};

use npy::Array;

mod npy;

fn normalise(values: &mut [f32], dimensions: usize) {
    for row in values.chunks_exact_mut(dimensions) {
        let norm = row.iter().map(|v| v * v).sum::<f32>().sqrt();
        row.iter_mut().for_each(|v| *v /= norm);
    }
}

/// CPU time of this process in seconds.
fn cpu_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after = text.rsplit(')').next().unwrap_or_default();
    let ticks: f64 = after
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse::<f64>().ok())
        .sum();
    ticks / 100.0
}

/// CPU time of this thread in seconds.
fn thread_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = text
        .split_whitespace()
        .next()
        .and_then(|field| field.parse::<f64>().ok());
    nanoseconds.unwrap_or(0.0) / 1e9
}

fn metric_of(name: &str) -> Metric {
    match name {
        "cosine" => Metric::Cosine,
        "dot" => Metric::Dot,
        "l1" => Metric::Manhattan,
        _ => Metric::Euclid,
    }
}

fn quantization_of(name: &str, dimensions_per_code: u16) -> Quantization {
    match name {
        "none" => Quantization::None,
        "int8" => Quantization::Int8,
        "int4" => Quantization::Int4,
        "binary" => Quantization::Binary,
        "product" => Quantization::Product {
            dimensions_per_code,
        },
        _ => Quantization::Auto,
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [
        base,
        queries,
        truth,
        metric,
        quantization,
        efs,
        options @ ..,
    ] = &arguments[..]
    else {
        return Err("see the head of the source for the arguments".into());
    };
    let option = |name: &str, default: f64| -> f64 {
        let found = options
            .iter()
            .find_map(|one| one.strip_prefix(&format!("{name}=")));
        found
            .and_then(|value| value.parse().ok())
            .unwrap_or(default)
    };
    let [base, queries, truth] = [base, queries, truth].map(|path| Array::read(path));
    let (base, queries, truth) = (base?, queries?, truth?);
    let dimensions = base.columns;
    let (mut base_values, mut query_values) = (base.floats(), queries.floats());
    let metric = metric_of(metric);
    if metric == Metric::Cosine {
        normalise(&mut base_values, dimensions);
        normalise(&mut query_values, dimensions);
    }
    let quantization = quantization_of(quantization, option("per_code", 4.0) as u16);
    let bytes: Vec<u8> = base_values.iter().map(|&value| value as u8).collect();
    let mut pairs = bytes.iter().zip(&base_values);
    let values = if pairs.all(|(&byte, &value)| f32::from(byte) == value) {
        Values::Uint8(&bytes)
    } else {
        Values::Float32(&base_values)
    };
    let originals = SliceOriginals::new(dimensions, values);
    let parameters = IndexParameters {
        metric,
        kind: [IndexKind::Hnsw, IndexKind::Ivf][usize::from(option("ivf", 0.0) > 0.0)],
        hnsw: HnswParameters {
            m: option("m", 16.0) as u16,
            ef_construct: option("efc", 200.0) as u32,
        },
        quantization,
        threads: option("threads", 1.0) as usize,
        seed: option("seed", 1.0) as u64,
    };
    let (cpu, wall) = (cpu_seconds(), Instant::now());
    let index = VectorIndex::build(&originals, &parameters, None, &BuildControl::default())?;
    println!(
        "build {:.2} CPU-s, {:.2} s; {} rows, {:.1} MB in memory",
        cpu_seconds() - cpu,
        wall.elapsed().as_secs_f64(),
        originals.rows(),
        index.bytes_in_memory() as f64 / 1e6
    );
    let truth_rows = truth.integers();
    let mut scratch = Scratch::default();
    for ef in efs.split(',') {
        let by_recall = ef.contains('.');
        let search = SearchParameters {
            ef: if by_recall { None } else { Some(ef.parse()?) },
            target_recall: if by_recall { Some(ef.parse()?) } else { None },
            oversampling: Some(option("oversampling", 0.0) as f32).filter(|&x| x > 0.0),
            ..SearchParameters::of(10)
        };
        let (mut best, mut hits) = (f64::INFINITY, 0);
        for _ in 0..option("passes", 4.0) as usize {
            hits = 0;
            let start = thread_seconds();
            for (query, truth) in query_values
                .chunks_exact(dimensions)
                .zip(truth_rows.chunks_exact(truth.columns))
            {
                let found =
                    index.search(query, &search, Allowed::default(), &originals, &mut scratch)?;
                hits += found
                    .iter()
                    .filter(|one| truth[..10].contains(&i64::from(one.row)))
                    .count();
            }
            best = best.min(thread_seconds() - start);
        }
        let count = (query_values.len() / dimensions) as f64;
        println!(
            "ef {ef:>4}  recall {:.4}  {:>7.0} queries/CPU-s  {:.1} us",
            hits as f64 / count / 10.0,
            count / best,
            best / count * 1e6
        );
    }
    Ok(())
}
