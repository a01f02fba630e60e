//! Our engine in one process, driven over standard input and output by `bench/vectors/bench.py`: a JSON object per line.
//! Answers the same commands as `bench/vectors/peers.py` does for the peers, and some more about this engine alone. Every
//! query goes through [`Collection::search`], as a caller's would.
#![expect(clippy::print_stdout, reason = "the driver reads the answers there")]
#![expect(
    clippy::disallowed_methods,
    reason = "a measuring program writes its findings to the file that it is told"
)]

mod npy;

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use npy::Array;
use serde_json::{Value, json};
use vectors::collection::{Collection, CollectionOptions, SearchRequest, WriteOptions};
use vectors::database::{Database, DatabaseOptions};
use vectors::filter::{Condition, FieldTest, Filter, Scalar};
use vectors::index::SearchParameters;
use vectors::schema::{Datatype, HnswParameters, IndexKind, Metric, Quantization};
use vectors::{CollectionSchema, Payload, Point, PointId, Vector, VectorSchema};

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Results of each query.
const K: usize = 10;
/// Points in one upsert while building.
const BATCH: usize = 256;

struct Work {
    base: Vec<f32>,
    queries: Vec<Vec<f32>>,
    dimensions: usize,
    attributes: BTreeMap<String, Vec<i64>>,
    schema: CollectionSchema,
    threads: usize,
    directory: PathBuf,
}

impl Work {
    fn load(command: &Value) -> Outcome<Self> {
        let base = Array::read(text(command, "base")?)?;
        let queries = Array::read(text(command, "queries")?)?;
        let number = |name: &str| command[name].as_u64().ok_or(format!("{name} is missing"));
        let metric = if text(command, "metric")? == "cosine" {
            Metric::Cosine
        } else {
            Metric::Euclid
        };
        let dense = VectorSchema::Dense {
            dimensions: u32::try_from(base.columns)?,
            metric,
            datatype: Datatype::default(),
            multi: false,
            index: if command["index"] == "ivf" {
                IndexKind::Ivf
            } else {
                IndexKind::Auto
            },
            hnsw: HnswParameters {
                m: u16::try_from(number("m")?)?,
                ef_construct: u32::try_from(number("ef_construct")?)?,
            },
            quantization: Quantization::Auto,
            on_disk: command["on_disk"] == true,
        };
        let mut attributes = BTreeMap::new();
        for (name, path) in command["attributes"].as_object().into_iter().flatten() {
            attributes.insert(
                name.clone(),
                Array::read(path.as_str().ok_or("path")?)?.integers(),
            );
        }
        Ok(Work {
            queries: queries
                .floats()
                .chunks_exact(base.columns)
                .map(<[f32]>::to_vec)
                .collect(),
            dimensions: base.columns,
            base: base.floats(),
            attributes,
            schema: CollectionSchema {
                vectors: BTreeMap::from([(String::new(), dense)]),
                index_filters_automatically: true,
                ..CollectionSchema::default()
            },
            threads: usize::try_from(number("threads")?)?,
            directory: text(command, "directory")?.into(),
        })
    }

    fn points(&self, rows: std::ops::Range<usize>) -> Vec<Point> {
        rows.map(|row| {
            let fields = self
                .attributes
                .iter()
                .map(|(name, values)| (name.clone(), Value::from(values[row])));
            Point {
                id: PointId::Number(row as u64),
                vectors: BTreeMap::from([(
                    String::new(),
                    Vector::Dense(self.base[row * self.dimensions..][..self.dimensions].to_vec()),
                )]),
                payload: fields.collect::<Payload>(),
                expires_unix_ms: None,
            }
        })
        .collect()
    }

    fn rows(&self) -> usize {
        self.base.len() / self.dimensions
    }

    fn open(&self) -> Outcome<Database> {
        let collection = CollectionOptions {
            index_threads: self.threads,
            ..CollectionOptions::default()
        };
        let options = DatabaseOptions {
            collection,
            ..DatabaseOptions::default()
        };
        Ok(Database::open(&self.directory, options)?)
    }

    fn fill(&self, collection: &Collection, batch: usize, options: &WriteOptions) -> Outcome<()> {
        for start in (0..self.rows()).step_by(batch) {
            collection.upsert(
                self.points(start..(start + batch).min(self.rows())),
                options,
            )?;
        }
        Ok(())
    }
}

fn text<'a>(command: &'a Value, name: &str) -> Outcome<&'a str> {
    Ok(command[name]
        .as_str()
        .ok_or_else(|| format!("{name} is missing"))?)
}

fn processor_seconds() -> f64 {
    let spent = platform::process::cpu_time(std::process::id());
    spent.map_or(0.0, |time| time.as_secs_f64())
}

/// Resident bytes: anonymous, and of mapped files.
fn resident() -> (i64, i64) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kibibytes = |name: &str| -> i64 {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|rest| rest.split_whitespace().nth(1)?.parse().ok())
            .unwrap_or(0)
    };
    (kibibytes("RssAnon") * 1024, kibibytes("RssFile") * 1024)
}

fn bytes_below(directory: &Path) -> u64 {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(facts) if facts.is_dir() => bytes_below(&entry.path()),
            Ok(facts) => std::os::unix::fs::MetadataExt::blocks(&facts) * 512,
            Err(_) => 0,
        })
        .sum()
}

fn request(query: &[f32], ef: usize, filter: Option<&Filter>) -> SearchRequest {
    SearchRequest {
        filter: filter.cloned(),
        parameters: SearchParameters {
            ef: Some(ef),
            ..SearchParameters::of(K)
        },
        ..SearchRequest::new("", Vector::Dense(query.to_vec()), K)
    }
}

/// Answers every query `repeats` times on each of `threads` threads, which share the queries.
fn search(collection: &Collection, work: &Work, command: &Value) -> Outcome<Value> {
    let number = |name: &str| command[name].as_u64().ok_or(format!("{name} is missing"));
    let (ef, threads, repeats) = (
        number("ef")? as usize,
        number("threads")? as usize,
        number("repeats")?,
    );
    let filter = match command["filter"].as_object() {
        Some(filter) => Some(Filter {
            must: vec![Condition::field(
                filter["field"].as_str().ok_or("field")?.parse()?,
                FieldTest::Equal(Scalar::Integer(filter["value"].as_i64().ok_or("value")?)),
            )],
            ..Filter::default()
        }),
        None => None,
    };
    // What a peer is given as one array, ours is given as one request each, made before the clock starts.
    let requests: Vec<SearchRequest> = work
        .queries
        .iter()
        .map(|query| request(query, ef, filter.as_ref()))
        .collect();
    let (wall, processor) = (Instant::now(), processor_seconds());
    let answers: Vec<Vec<(usize, Vec<i64>)>> = std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads)
            .map(|thread| {
                let requests = &requests;
                scope.spawn(move || -> Result<_, vectors::VectorsError> {
                    let mut found = Vec::new();
                    for repeat in 0..repeats {
                        for (index, request) in
                            requests.iter().enumerate().skip(thread).step_by(threads)
                        {
                            let hits = collection.search(request)?;
                            if repeat == 0 {
                                found.push((
                                    index,
                                    hits.iter().map(|hit| number_of(hit.point.id)).collect(),
                                ));
                            }
                        }
                    }
                    Ok(found)
                })
            })
            .collect();
        running
            .into_iter()
            .map(|thread| thread.join().map_err(|_| "a thread panicked"))
            .collect::<Vec<_>>()
    })
    .into_iter()
    .map(|answer| Ok::<_, Box<dyn Error>>(answer??))
    .collect::<Outcome<_>>()?;
    let seconds = wall.elapsed().as_secs_f64();
    let mut table = vec![-1_i64; requests.len() * K];
    for (index, ids) in answers.into_iter().flatten() {
        table[index * K..][..ids.len()].copy_from_slice(&ids);
    }
    let bytes: Vec<u8> = table.iter().flat_map(|id| id.to_le_bytes()).collect();
    std::fs::write(text(command, "out")?, bytes)?;
    Ok(json!({
        "seconds": seconds,
        "cpu_seconds": processor_seconds() - processor,
        "queries": repeats * requests.len() as u64,
    }))
}

fn number_of(id: PointId) -> i64 {
    match id {
        PointId::Number(number) => i64::try_from(number).unwrap_or(-1),
        PointId::Uuid(_) => -1,
    }
}

/// What only this engine is asked: the cost of a query beside its search, durable writes, and opening again.
fn after(work: &Work) -> Outcome<Value> {
    let mut own = serde_json::Map::new();
    let directory = work.directory.with_extension("after");
    let side = Database::open(&directory, DatabaseOptions::default())?;
    let one = side.create_collection("one", work.schema.clone())?;
    one.upsert(work.points(0..1), &WriteOptions::durable())?;
    one.optimize()?;
    let asked = request(&work.queries[0], 16, None);
    let rounds = 20_000;
    let started = Instant::now();
    for _ in 0..rounds {
        one.search(&asked)?;
    }
    own.insert(
        "overhead_us".into(),
        json!(started.elapsed().as_secs_f64() * 1e6 / f64::from(rounds)),
    );
    let durable = side.create_collection("durable", work.schema.clone())?;
    for (batch, count) in [(256_usize, 20_000_usize), (1, 500)] {
        let count = count.min(work.rows());
        let started = Instant::now();
        for start in (0..count).step_by(batch) {
            durable.upsert(
                work.points(start..(start + batch).min(count)),
                &WriteOptions::durable(),
            )?;
        }
        let rate = count as f64 / started.elapsed().as_secs_f64();
        own.insert(format!("durable_points_per_second_by_{batch}"), json!(rate));
    }
    drop((one, durable, side));
    std::fs::remove_dir_all(&directory)?;
    Ok(Value::Object(own))
}

/// Writes all points without waiting for the disk while another thread searches: how fast they are taken, how long the
/// searches take, and how many rows at most had no index.
fn stream(work: &Work) -> Outcome<Value> {
    let directory = work.directory.with_extension("stream");
    let database = Database::open(&directory, DatabaseOptions::default())?;
    let collection = database.create_collection("stream", work.schema.clone())?;
    let done = std::sync::atomic::AtomicBool::new(false);
    let asked = request(&work.queries[0], 64, None);
    let (mut times, longest_tail, seconds) = std::thread::scope(|scope| -> Outcome<_> {
        let searches = scope.spawn(|| -> Result<_, vectors::VectorsError> {
            let (mut times, mut longest_tail) = (Vec::new(), 0);
            while !done.load(std::sync::atomic::Ordering::Acquire) {
                let started = Instant::now();
                collection.search(&asked)?;
                times.push(started.elapsed().as_secs_f64() * 1e3);
                longest_tail = longest_tail.max(collection.unindexed_rows());
                std::thread::sleep(Duration::from_millis(5));
            }
            Ok((times, longest_tail))
        });
        let started = Instant::now();
        let written = work.fill(&collection, BATCH, &WriteOptions::default());
        let seconds = started.elapsed().as_secs_f64();
        done.store(true, std::sync::atomic::Ordering::Release);
        let (times, tail) = searches.join().map_err(|_| "a thread panicked")??;
        written?;
        Ok((times, tail, seconds))
    })?;
    times.sort_by(f64::total_cmp);
    let part = |part: f64| times[((times.len() - 1) as f64 * part) as usize];
    drop((collection, database));
    std::fs::remove_dir_all(&directory)?;
    Ok(json!({
        "stream_points_per_second": work.rows() as f64 / seconds,
        "stream_search_p50_ms": part(0.5),
        "stream_search_p99_ms": part(0.99),
        "stream_rows_without_index_max": longest_tail,
    }))
}

/// Closes the database and opens it again up to the first answer, as often as `times` says.
fn reopen(work: &Work, times: u32) -> Outcome<Value> {
    let (mut milliseconds, mut opened): (Vec<f64>, Vec<f64>) = Default::default();
    for _ in 0..times {
        let started = Instant::now();
        let database = work.open()?;
        let collection = database.collection("bench")?;
        opened.push(started.elapsed().as_secs_f64() * 1e3);
        let hits = collection.search(&request(&work.queries[0], 64, None))?;
        milliseconds.push(started.elapsed().as_secs_f64() * 1e3);
        let distinct: BTreeSet<PointId> = hits.iter().map(|hit| hit.point.id).collect();
        if distinct.len() != K {
            return Err(format!("{} results after opening again", distinct.len()).into());
        }
    }
    milliseconds.sort_by(f64::total_cmp);
    opened.sort_by(f64::total_cmp);
    Ok(json!({
        "reopen_ms": opened[opened.len() / 2],
        "reopen_to_first_answer_ms": milliseconds[milliseconds.len() / 2],
    }))
}

fn main() -> Outcome<()> {
    let mut work = None;
    let mut open: Option<(Database, Arc<Collection>)> = None;
    let mut before = (0, 0);
    for line in std::io::stdin().lines() {
        let command: Value = serde_json::from_str(&line?)?;
        let operation = text(&command, "op")?;
        let loaded = || work.as_ref().ok_or("load comes first");
        let reply = match operation {
            "load" => {
                work = Some(Work::load(&command)?);
                json!({})
            }
            "build" => {
                let work = loaded()?;
                before = resident();
                let (wall, processor) = (Instant::now(), processor_seconds());
                let database = work.open()?;
                let collection = database.create_collection("bench", work.schema.clone())?;
                work.fill(&collection, BATCH, &WriteOptions::default())?;
                collection.optimize()?;
                let reply = json!({
                    "cpu_seconds": processor_seconds() - processor,
                    "wall_seconds": wall.elapsed().as_secs_f64(),
                    "disk_bytes": bytes_below(&work.directory),
                });
                open = Some((database, collection));
                reply
            }
            "memory" => {
                let now = resident();
                json!({ "anonymous_bytes": now.0 - before.0, "mapped_bytes": now.1 - before.1 })
            }
            "search" => search(
                &open.as_ref().ok_or("build comes first")?.1,
                loaded()?,
                &command,
            )?,
            "after" => {
                open = None;
                // The last handle is gone; a moment for the threads that served it to end.
                std::thread::sleep(Duration::from_millis(100));
                let mut reply = after(loaded()?)?;
                for more in [reopen(loaded()?, 5)?, stream(loaded()?)?] {
                    if let (Value::Object(all), Value::Object(more)) = (&mut reply, more) {
                        all.extend(more);
                    }
                }
                reply
            }
            other => return Err(format!("unknown command {other}").into()),
        };
        println!("{reply}");
    }
    Ok(())
}
