//! Mutational fuzzing on stable: takes the checked-in files, good and damaged, changes bytes, numbers and lengths at
//! random, and stops at the first panic, naming the seed. `mutate TARGET SECONDS [SEED]`.

use std::panic;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use fuzz::TARGETS;

/// Bytes of an input.
const INPUT_BYTES_MAX: usize = 64 * 1024;
/// Inputs kept beside the corpus.
const POOL_MAX: usize = 4096;
/// One input that takes longer is a fault of its own.
const INPUT_TIME_MAX: Duration = Duration::from_secs(2);

/// xorshift64*: the same seed gives the same inputs.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }
}

/// Numbers at which parsers go wrong.
const EDGES: &[u64] = &[
    0,
    1,
    2,
    3,
    4,
    7,
    8,
    31,
    32,
    63,
    64,
    255,
    256,
    0xFFFF,
    1 << 31,
    u32::MAX as u64,
    1 << 32,
    1 << 62,
    1 << 63,
    u64::MAX,
];

fn mutate(bytes: &mut Vec<u8>, pool: &[Vec<u8>], random: &mut Random) {
    for _ in 0..1 + random.below(4) {
        let place = random.below(bytes.len() + 1);
        let edge = EDGES[random.below(EDGES.len())];
        match random.below(8) {
            0 if place < bytes.len() => bytes[place] = random.next() as u8,
            1 if place < bytes.len() => bytes[place] ^= 1 << random.below(8),
            2 if place + 4 <= bytes.len() => {
                bytes[place..place + 4].copy_from_slice(&(edge as u32).to_le_bytes())
            }
            3 if place + 8 <= bytes.len() => {
                bytes[place..place + 8].copy_from_slice(&edge.to_le_bytes())
            }
            4 => bytes.truncate(place),
            5 => {
                let count = random.below(16);
                let piece: Vec<u8> = (0..count).map(|_| random.next() as u8).collect();
                bytes.splice(place..place, piece);
            }
            6 => {
                let end = (place + random.below(32)).min(bytes.len());
                bytes.drain(place..end);
            }
            _ => {
                let other = &pool[random.below(pool.len())];
                let start = random.below(other.len() + 1);
                let end = (start + random.below(128)).min(other.len());
                bytes.splice(place..place, other[start..end].iter().copied());
            }
        }
        bytes.truncate(INPUT_BYTES_MAX);
    }
}

/// The checked-in files that a target starts from.
fn corpus(target: &str) -> std::io::Result<Vec<Vec<u8>>> {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata");
    let mut paths = Vec::new();
    if matches!(target, "gguf" | "safetensors") {
        for part in ["malformed", "wellformed"] {
            files_below(&data.join(part).join(target), &mut paths)?;
        }
    } else {
        files_below(&data.join("formats"), &mut paths)?;
        paths.retain(|path| target_of(path) == Some(target));
    }
    // The order of a directory is no property of the seed.
    paths.sort();
    paths.iter().map(std::fs::read).collect()
}

/// Which target reads a kept file of the vector engine.
fn target_of(path: &Path) -> Option<&'static str> {
    match path.extension().and_then(|ending| ending.to_str()) {
        Some("fxv") => Some("container"),
        Some("log") => Some("log"),
        _ => ["MANIFEST", "SNAPSHOT"]
            .iter()
            .any(|name| path.ends_with(name))
            .then_some("manifest"),
    }
}

fn files_below(directory: &Path, paths: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            files_below(&path, paths)?;
        } else {
            paths.push(path);
        }
    }
    Ok(())
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let name = arguments.first().map(String::as_str).unwrap_or_default();
    let Some((_, target)) = TARGETS.iter().find(|(known, _)| *known == name) else {
        eprintln!("usage: mutate gguf|safetensors|log|container|manifest [SECONDS] [SEED]");
        return ExitCode::from(2);
    };
    let number = |index: usize, default: u64| {
        arguments
            .get(index)
            .and_then(|text| text.parse().ok())
            .unwrap_or(default)
    };
    let (seconds, seed) = (number(1, 60), number(2, 1).max(1));
    let mut pool = match corpus(name) {
        Ok(pool) if !pool.is_empty() => pool,
        Ok(_) => vec![Vec::new()],
        Err(error) => {
            eprintln!("corpus: {error}");
            return ExitCode::FAILURE;
        }
    };
    let whole = pool.len().min(POOL_MAX / 2);
    let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut count: u64 = 0;
    while Instant::now() < end {
        // Half of them from the whole files: mutants of mutants end as scraps that every parser refuses at once.
        let from = if count.is_multiple_of(2) {
            whole
        } else {
            pool.len()
        };
        let mut bytes = pool[random.below(from)].clone();
        mutate(&mut bytes, &pool, &mut random);
        let begun = Instant::now();
        let outcome = panic::catch_unwind(|| target(&bytes));
        if outcome.is_err() || begun.elapsed() > INPUT_TIME_MAX {
            let path = PathBuf::from(format!("crash-{name}-{seed}-{count}"));
            let kept = std::fs::write(&path, &bytes).is_ok();
            eprintln!(
                "{name}: input {count} of seed {seed} failed after {:?}; kept: {kept} {}",
                begun.elapsed(),
                path.display()
            );
            return ExitCode::FAILURE;
        }
        count += 1;
        // Mutants of mutants go deeper than one step from the corpus.
        if count.is_multiple_of(16) {
            if pool.len() < POOL_MAX {
                pool.push(bytes);
            } else {
                let place = whole + random.below(POOL_MAX - whole);
                pool[place] = bytes;
            }
        }
    }
    println!("{name}: {count} inputs in {seconds} s from seed {seed}, no failure");
    ExitCode::SUCCESS
}
