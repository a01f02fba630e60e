//! `kill -9` for real: a process writes, is killed at a random moment, and what it said was durable is there afterwards.
//!
//! A program of its own rather than a test of the harness, because it starts itself as the writer:
//! `cargo test -p vectors --test kill -- --rounds 500 --seed 7`. Without arguments: 20 rounds from a random seed.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program that says what it does"
)]

mod notes;
mod program;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use serde_json::json;
use vectors::collection::{Collection, CollectionOptions, ScrollRequest, With, WriteOptions};
use vectors::database::{Database, DatabaseOptions};
use vectors::{Payload, Point, PointId, VectorsError};

/// Rounds when none are asked for.
const ROUNDS: u64 = 20;
/// Longest life of a writer: long enough for seals and merges of its small segments.
const LIFE_MS_MAX: u64 = 250;
/// Different points: few, so that most writes replace or delete something.
const POINTS: u64 = 200;
/// The argument that makes this program the writer: directory and seed follow.
const WRITER: &str = "--writer";

/// Numbers from a seed (SplitMix64, Steele et al. 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

/// A write as the writer announces and confirms it: ids, and their tag or 0 for deleted.
#[derive(Debug, Clone)]
struct Step {
    ids: Vec<u64>,
    tag: u64,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, directory, seed] = &arguments[..]
        && flag == WRITER
    {
        let outcome = write(Path::new(directory), seed.parse().expect("seed"));
        return match outcome {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("writer: {error}");
                ExitCode::FAILURE
            }
        };
    }
    let numbers = match program::parse("kill", &["--rounds", "--seed"], &arguments) {
        Ok(numbers) => numbers,
        Err(code) => return code,
    };
    let seed = numbers
        .get("--seed")
        .unwrap_or_else(|| platform::entropy::random_u64().expect("entropy") >> 32);
    rounds(numbers.get("--rounds").unwrap_or(ROUNDS), seed);
    ExitCode::SUCCESS
}

fn rounds(count: u64, seed: u64) {
    println!("kill: {count} rounds from seed {seed}");
    let directory = tempfile::tempdir().expect("directory");
    let mut random = Random(seed);
    let mut settled = BTreeMap::new();
    let mut confirmed = 0;
    for round in 0..count {
        let life = Duration::from_millis(1 + random.next() % LIFE_MS_MAX);
        let (steps, done) = one_life(directory.path(), random.next() >> 32, life);
        confirmed += done;
        let context = format!("seed {seed}, round {round}");
        for step in &steps[..done] {
            apply(&mut settled, step);
        }
        settled = check(directory.path(), settled, &steps[done..], &context);
    }
    println!("kill: {confirmed} confirmed writes, none lost");
    assert!(confirmed > 0, "the writers lived too short to write");
}

/// Starts a writer, kills it, and returns what it announced and how much of that it confirmed.
fn one_life(directory: &Path, seed: u64, life: Duration) -> (Vec<Step>, usize) {
    let mut child = Command::new(std::env::current_exe().expect("own path"))
        .arg(WRITER)
        .arg(directory)
        .arg(seed.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .expect("start the writer");
    let mut output = BufReader::new(child.stdout.take().expect("a pipe"));
    let reader = std::thread::spawn(move || {
        let (mut steps, mut done) = (Vec::new(), 0);
        let mut line = String::new();
        // A line cut by the kill has no end, and was not said.
        while output.read_line(&mut line).expect("read") > 0 && line.ends_with('\n') {
            let mut words = line.split_whitespace();
            match words.next() {
                Some("try") => {
                    let numbers: Vec<u64> = words.map(|word| word.parse().expect("id")).collect();
                    let (tag, ids) = numbers.split_first().expect("tag");
                    steps.push(Step {
                        ids: ids.to_vec(),
                        tag: *tag,
                    });
                }
                Some("done") => done = steps.len(),
                _ => panic!("the writer said {line}"),
            }
            line.clear();
        }
        (steps, done)
    });
    std::thread::sleep(life);
    // SIGKILL on Unix: nothing of the process runs any more.
    child.kill().expect("kill");
    let status = child.wait().expect("wait");
    assert!(
        status.code().is_none(),
        "the writer ended by itself: {status}"
    );
    reader.join().expect("reader")
}

/// Writes until it is killed: announces each write, does it durably, confirms it.
fn write(directory: &Path, seed: u64) -> Result<(), VectorsError> {
    let database = open(directory, 1)?;
    let collection = match database.collection("notes") {
        Err(VectorsError::CollectionMissing { .. }) => {
            database.create_collection("notes", notes::schema(100))?
        }
        opened => opened?,
    };
    let mut random = Random(seed);
    let say = |line: String| {
        let mut output = std::io::stdout().lock();
        writeln!(output, "{line}").and_then(|()| output.flush())
    };
    loop {
        let first = random.next() % POINTS;
        let ids: Vec<u64> = (0..1 + random.next() % 8)
            .map(|step| (first + step * 7) % POINTS)
            .collect();
        let tag = if random.next().is_multiple_of(4) {
            0
        } else {
            1 + (random.next() >> 12)
        };
        let words: Vec<String> = ids.iter().map(u64::to_string).collect();
        if say(format!("try {tag} {}", words.join(" "))).is_err() {
            return Ok(());
        }
        let options = WriteOptions::durable();
        if tag == 0 {
            let ids: Vec<PointId> = ids.iter().map(|&id| PointId::Number(id)).collect();
            collection.delete(&ids, &options)?;
        } else {
            collection.upsert(ids.iter().map(|&id| point(id, tag)).collect(), &options)?;
        }
        if say("done".to_owned()).is_err() {
            return Ok(());
        }
    }
}

/// Opens what the writer left. Returns what is there.
fn check(
    directory: &Path,
    settled: BTreeMap<u64, u64>,
    unconfirmed: &[Step],
    context: &str,
) -> BTreeMap<u64, u64> {
    let database = open(directory, 0).unwrap_or_else(|error| panic!("{context}: {error}"));
    let found = match database.collection("notes") {
        Err(VectorsError::CollectionMissing { .. }) if settled.is_empty() => return settled,
        opened => contents(
            &opened.unwrap_or_else(|error| panic!("{context}: {error}")),
            context,
        ),
    };
    // The writer waits for each write, so that at most the last one is unconfirmed, and it may be there in part.
    assert!(unconfirmed.len() <= 1, "{context}");
    let mut possible = settled;
    for step in unconfirmed {
        for id in &step.ids {
            if found.get(id).copied() == Some(step.tag).filter(|&tag| tag != 0) {
                let one = Step {
                    ids: vec![*id],
                    tag: step.tag,
                };
                apply(&mut possible, &one);
            }
        }
    }
    assert_eq!(found, possible, "{context}");
    found
}

fn apply(state: &mut BTreeMap<u64, u64>, step: &Step) {
    for &id in &step.ids {
        match step.tag {
            0 => state.remove(&id),
            tag => state.insert(id, tag),
        };
    }
}

fn contents(collection: &Collection, context: &str) -> BTreeMap<u64, u64> {
    let info = collection.info().expect("info");
    assert!(info.damages.is_empty(), "{context}: {:?}", info.damages);
    let damages = collection.verify().expect("verify");
    assert!(damages.is_empty(), "{context}: {damages:?}");
    let page = collection
        .scroll(&ScrollRequest {
            limit: 2 * POINTS as usize,
            with: With::payload(),
            ..ScrollRequest::default()
        })
        .expect("scroll");
    let found: BTreeMap<u64, u64> = page
        .points
        .iter()
        .map(|stored| {
            let PointId::Number(id) = stored.id else {
                panic!("{context}: {:?} was never written", stored.id);
            };
            let payload = stored.payload.as_ref().expect("payload");
            (id, payload["tag"].as_u64().expect("tag"))
        })
        .collect();
    assert_eq!(
        found.len(),
        page.points.len(),
        "{context}: a point came twice"
    );
    found
}

fn open(directory: &Path, maintenance_threads: usize) -> Result<Database, VectorsError> {
    Database::open(
        directory,
        DatabaseOptions {
            maintenance_threads,
            collection: CollectionOptions {
                growing_rows_max: 64,
                merge_width: 3,
                ..CollectionOptions::default()
            },
            ..DatabaseOptions::default()
        },
    )
}

fn point(id: u64, tag: u64) -> Point {
    let payload: Payload = json!({"tag": tag}).as_object().expect("object").clone();
    Point {
        id: PointId::Number(id),
        vectors: [(String::new(), notes::vector(id))].into(),
        payload,
        expires_unix_ms: None,
    }
}
