//! A client that puts load on a server's collections over gRPC or REST, and costs little itself: `bench/collections/bench.py`
//! drives it over standard input and output, one JSON object per line, because clients in Python take longer than the server.
//!
//! | `op` | fields | reply |
//! |---|---|---|
//! | `connect` | `url`, `key`, `transport`: `grpc` or `rest` | |
//! | `load` | `base`, `queries`: files of f32; `dimensions`; `attributes`: files of one byte a row, by field | `points` |
//! | `upsert` | `collection`, `batch`, `clients` | `seconds`, `points` |
//! | `texts` | `collection`, `file` of one text a line, `model`, `vector`, `batch`, `clients` | `seconds`, `points` |
//! | `search` | `collection`, `ef`, `clients`, `repeats`, `filter`, `out` | `seconds`, `queries`, `p50_ms`, `p95_ms`, `p99_ms` |
//! | `exit` | | |
//!
//! Every command is bounded by [`COMMAND_SECONDS_MAX`].
#![expect(clippy::print_stdout, reason = "replies to the driver are its purpose")]
#![expect(
    clippy::unwrap_used,
    reason = "a measuring tool ends at the first surprise"
)]

mod protocol {
    #![expect(
        clippy::enum_variant_names,
        clippy::doc_markdown,
        clippy::large_enum_variant,
        reason = "generated"
    )]
    #![allow(
        dead_code,
        reason = "only a part of it is used here; expecting that would make it count as used"
    )]
    include!(concat!(env!("OUT_DIR"), "/qdrant.rs"));
}

use std::collections::BTreeMap;
use std::io::{BufRead, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use http::uri::PathAndQuery;
use protocol as wire;
use serde_json::{Value, json};
use tonic::transport::{Channel, Endpoint};

/// Hits that every search asks for.
const K: usize = 10;
/// Longest that one command may take.
const COMMAND_SECONDS_MAX: u64 = 3_600;

/// What is stored and asked.
#[derive(Default)]
struct Work {
    dimensions: usize,
    base: Vec<f32>,
    queries: Vec<f32>,
    attributes: BTreeMap<String, Vec<u8>>,
}

impl Work {
    fn load(command: &Value) -> Work {
        let attributes = command["attributes"].as_object().unwrap().iter();
        Work {
            dimensions: number(command, "dimensions"),
            base: floats(text(command, "base")),
            queries: floats(text(command, "queries")),
            attributes: attributes
                .map(|(name, path)| (name.clone(), std::fs::read(path.as_str().unwrap()).unwrap()))
                .collect(),
        }
    }

    fn points(&self) -> usize {
        self.base.len() / self.dimensions
    }

    fn row(&self, number: usize) -> &[f32] {
        &self.base[number * self.dimensions..][..self.dimensions]
    }

    fn query(&self, number: usize) -> &[f32] {
        &self.queries[number * self.dimensions..][..self.dimensions]
    }
}

fn floats(path: &str) -> Vec<f32> {
    let bytes = std::fs::read(path).unwrap();
    let (values, rest) = bytes.as_chunks::<4>();
    assert!(rest.is_empty(), "{path} is not a file of f32");
    values
        .iter()
        .map(|value| f32::from_le_bytes(*value))
        .collect()
}

fn text<'a>(command: &'a Value, field: &str) -> &'a str {
    command[field]
        .as_str()
        .unwrap_or_else(|| panic!("{field} is missing"))
}

fn number(command: &Value, field: &str) -> usize {
    let number = command[field]
        .as_u64()
        .unwrap_or_else(|| panic!("{field} is missing"));
    usize::try_from(number).unwrap()
}

/// One connection.
#[derive(Clone)]
enum Client {
    Grpc {
        channel: tonic::client::Grpc<Channel>,
        key: String,
    },
    Rest {
        client: reqwest::Client,
        url: String,
        key: String,
    },
}

impl Client {
    async fn connect(target: &Value) -> Client {
        let (url, key) = (
            text(target, "url").to_owned(),
            text(target, "key").to_owned(),
        );
        if text(target, "transport") == "rest" {
            return Client::Rest {
                client: reqwest::Client::new(),
                url,
                key,
            };
        }
        let endpoint = Endpoint::try_from(url).unwrap().tcp_nodelay(true);
        let channel = endpoint.connect().await.unwrap();
        Client::Grpc {
            channel: tonic::client::Grpc::new(channel).max_decoding_message_size(usize::MAX),
            key,
        }
    }

    async fn call<Q, A>(&mut self, method: &'static str, message: Q) -> A
    where
        Q: prost::Message + 'static,
        A: prost::Message + Default + 'static,
    {
        let Client::Grpc { channel, key } = self else {
            panic!("not a connection of gRPC");
        };
        let mut request = tonic::Request::new(message);
        request
            .metadata_mut()
            .insert("api-key", key.parse().unwrap());
        channel.ready().await.unwrap();
        let codec = tonic_prost::ProstCodec::<Q, A>::default();
        let path = PathAndQuery::from_static(method);
        channel
            .unary(request, path, codec)
            .await
            .unwrap()
            .into_inner()
    }

    async fn send(&mut self, method: reqwest::Method, path: String, body: Value) -> Value {
        let Client::Rest { client, url, key } = self else {
            panic!("not a connection of REST");
        };
        let request = client
            .request(method, format!("{url}{path}"))
            .header("api-key", key.as_str())
            .header("content-type", "application/json")
            .body(body.to_string());
        let reply = request.send().await.unwrap();
        let status = reply.status();
        let bytes = reply.bytes().await.unwrap();
        assert!(
            status.is_success(),
            "{status}: {}",
            String::from_utf8_lossy(&bytes)
        );
        serde_json::from_slice(&bytes).unwrap()
    }

    async fn upsert(&mut self, collection: &str, work: &Work, rows: std::ops::Range<usize>) {
        if matches!(self, Client::Rest { .. }) {
            let point = |number: usize| {
                let payload: serde_json::Map<String, Value> = work
                    .attributes
                    .iter()
                    .map(|(name, values)| (name.clone(), values[number].into()))
                    .collect();
                json!({"id": number, "vector": work.row(number), "payload": payload})
            };
            let points: Vec<Value> = rows.map(point).collect();
            let path = format!("/collections/{collection}/points?wait=true");
            self.send(reqwest::Method::PUT, path, json!({"points": points}))
                .await;
            return;
        }
        let point = |number: usize| wire::PointStruct {
            id: Some(id(number)),
            payload: work
                .attributes
                .iter()
                .map(|(name, values)| (name.clone(), integer(i64::from(values[number]))))
                .collect(),
            vectors: Some(unnamed(wire::vector::Vector::Dense(wire::DenseVector {
                data: work.row(number).to_vec(),
            }))),
        };
        self.write(collection, rows.map(point).collect()).await;
    }

    async fn write(&mut self, collection: &str, points: Vec<wire::PointStruct>) {
        let request = wire::UpsertPoints {
            collection_name: collection.to_owned(),
            wait: Some(true),
            points,
            ..wire::UpsertPoints::default()
        };
        let _: wire::PointsOperationResponse = self.call("/qdrant.Points/Upsert", request).await;
    }

    async fn upsert_texts(&mut self, command: &Value, texts: &[String], first: usize) {
        let (model, vector) = (text(command, "model"), text(command, "vector"));
        let collection = text(command, "collection");
        if matches!(self, Client::Rest { .. }) {
            let point = |(offset, text): (usize, &String)| {
                let document = json!({"text": text, "model": model});
                let vectors = match vector {
                    "" => document,
                    name => json!({name: document}),
                };
                json!({"id": first + offset, "vector": vectors})
            };
            let points: Vec<Value> = texts.iter().enumerate().map(point).collect();
            let path = format!("/collections/{collection}/points?wait=true");
            self.send(reqwest::Method::PUT, path, json!({"points": points}))
                .await;
            return;
        }
        let point = |(offset, text): (usize, &String)| {
            let document = wire::vector::Vector::Document(wire::Document {
                text: text.clone(),
                model: model.to_owned(),
                ..wire::Document::default()
            });
            let vectors = match vector {
                "" => unnamed(document),
                name => named(name, document),
            };
            wire::PointStruct {
                id: Some(id(first + offset)),
                vectors: Some(vectors),
                ..wire::PointStruct::default()
            }
        };
        self.write(collection, texts.iter().enumerate().map(point).collect())
            .await;
    }

    async fn search(&mut self, command: &Value, query: &[f32]) -> Vec<i64> {
        let collection = text(command, "collection");
        let ef = command["ef"].as_u64().unwrap();
        let only = command["filter"].as_str();
        if matches!(self, Client::Rest { .. }) {
            let mut body = json!({"query": query, "limit": K, "params": {"hnsw_ef": ef}});
            if let Some(field) = only {
                body["filter"] = json!({"must": [{"key": field, "match": {"value": 1}}]});
            }
            let path = format!("/collections/{collection}/points/query");
            let reply = self.send(reqwest::Method::POST, path, body).await;
            let points = reply["result"]["points"].as_array().unwrap();
            return points
                .iter()
                .map(|point| point["id"].as_i64().unwrap())
                .collect();
        }
        let request = wire::QueryPoints {
            collection_name: collection.to_owned(),
            query: Some(wire::Query {
                variant: Some(wire::query::Variant::Nearest(wire::VectorInput {
                    variant: Some(wire::vector_input::Variant::Dense(wire::DenseVector {
                        data: query.to_vec(),
                    })),
                })),
            }),
            params: Some(wire::SearchParams {
                hnsw_ef: Some(ef),
                ..wire::SearchParams::default()
            }),
            filter: only.map(equal_to_one),
            limit: Some(K as u64),
            ..wire::QueryPoints::default()
        };
        let reply: wire::QueryResponse = self.call("/qdrant.Points/Query", request).await;
        reply.result.iter().map(number_of).collect()
    }
}

fn id(number: usize) -> wire::PointId {
    wire::PointId {
        point_id_options: Some(wire::point_id::PointIdOptions::Num(number as u64)),
    }
}

fn number_of(point: &wire::ScoredPoint) -> i64 {
    use wire::point_id::PointIdOptions;
    match point
        .id
        .as_ref()
        .and_then(|id| id.point_id_options.as_ref())
    {
        Some(PointIdOptions::Num(number)) => i64::try_from(*number).unwrap(),
        other => panic!("{other:?} is not an id of this benchmark"),
    }
}

fn integer(value: i64) -> wire::Value {
    wire::Value {
        kind: Some(wire::value::Kind::IntegerValue(value)),
    }
}

fn vector(kind: wire::vector::Vector) -> wire::Vector {
    wire::Vector {
        vector: Some(kind),
        ..wire::Vector::default()
    }
}

fn unnamed(kind: wire::vector::Vector) -> wire::Vectors {
    wire::Vectors {
        vectors_options: Some(wire::vectors::VectorsOptions::Vector(vector(kind))),
    }
}

fn named(name: &str, kind: wire::vector::Vector) -> wire::Vectors {
    wire::Vectors {
        vectors_options: Some(wire::vectors::VectorsOptions::Vectors(wire::NamedVectors {
            vectors: BTreeMap::from([(name.to_owned(), vector(kind))]),
        })),
    }
}

fn equal_to_one(field: &str) -> wire::Filter {
    let condition = wire::FieldCondition {
        key: field.to_owned(),
        r#match: Some(wire::Match {
            match_value: Some(wire::r#match::MatchValue::Integer(1)),
        }),
        ..wire::FieldCondition::default()
    };
    wire::Filter {
        must: vec![wire::Condition {
            condition_one_of: Some(wire::condition::ConditionOneOf::Field(condition)),
        }],
        ..wire::Filter::default()
    }
}

/// Hands out numbers below `end`, a batch at a time, to as many clients as ask.
fn batches(next: &AtomicUsize, end: usize, batch: usize) -> Option<std::ops::Range<usize>> {
    let start = next.fetch_add(batch, Ordering::Relaxed);
    (start < end).then(|| start..(start + batch).min(end))
}

async fn clients(target: &Value, count: usize) -> Vec<Client> {
    let mut all = Vec::with_capacity(count);
    for _ in 0..count {
        all.push(Client::connect(target).await);
    }
    all
}

async fn upsert(target: &Value, command: &Value, work: &Arc<Work>) -> Value {
    let next = Arc::new(AtomicUsize::new(0));
    let batch = number(command, "batch");
    let clients = clients(target, number(command, "clients")).await;
    let began = Instant::now();
    let tasks = clients.into_iter().map(|mut client| {
        let (next, work) = (Arc::clone(&next), Arc::clone(work));
        let collection = text(command, "collection").to_owned();
        tokio::spawn(async move {
            while let Some(rows) = batches(&next, work.points(), batch) {
                client.upsert(&collection, &work, rows).await;
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    json!({"seconds": began.elapsed().as_secs_f64(), "points": work.points()})
}

async fn upsert_texts(target: &Value, command: &Value) -> Value {
    let file = std::fs::read_to_string(text(command, "file")).unwrap();
    let texts: Arc<Vec<String>> = Arc::new(file.lines().map(str::to_owned).collect());
    let next = Arc::new(AtomicUsize::new(0));
    let batch = number(command, "batch");
    let clients = clients(target, number(command, "clients")).await;
    let began = Instant::now();
    let tasks = clients.into_iter().map(|mut client| {
        let (next, texts, command) = (Arc::clone(&next), Arc::clone(&texts), command.clone());
        tokio::spawn(async move {
            while let Some(rows) = batches(&next, texts.len(), batch) {
                let first = rows.start;
                client.upsert_texts(&command, &texts[rows], first).await;
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    json!({"seconds": began.elapsed().as_secs_f64(), "points": texts.len()})
}

/// Every client asks its share of the queries, one after the other; what the last repeat found is written to `out`.
async fn search(target: &Value, command: &Value, work: &Arc<Work>) -> Value {
    let (count, repeats) = (number(command, "clients"), number(command, "repeats"));
    let queries = work.queries.len() / work.dimensions;
    let clients = clients(target, count).await;
    let began = Instant::now();
    let tasks = clients.into_iter().enumerate().map(|(part, mut client)| {
        let (work, command) = (Arc::clone(work), command.clone());
        tokio::spawn(async move {
            let (mut found, mut waits) = (Vec::new(), Vec::new());
            for repeat in 0..repeats {
                for number in (part..queries).step_by(count) {
                    let asked = Instant::now();
                    let hits = client.search(&command, work.query(number)).await;
                    waits.push(asked.elapsed());
                    if repeat + 1 == repeats {
                        found.push((number, hits));
                    }
                }
            }
            (found, waits)
        })
    });
    let (mut found, mut waits) = (vec![Vec::new(); queries], Vec::new());
    for task in tasks.collect::<Vec<_>>() {
        let (part, some) = task.await.unwrap();
        waits.extend(some);
        for (number, hits) in part {
            found[number] = hits;
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    write_found(text(command, "out"), &found);
    waits.sort_unstable();
    json!({
        "seconds": seconds,
        "queries": waits.len(),
        "p50_ms": at(&waits, 0.5),
        "p95_ms": at(&waits, 0.95),
        "p99_ms": at(&waits, 0.99),
    })
}

fn at(sorted: &[Duration], share: f64) -> f64 {
    let place = ((sorted.len() as f64 * share) as usize).min(sorted.len() - 1);
    sorted[place].as_secs_f64() * 1_000.0
}

/// Rows of [`K`] ids of eight bytes; −1 where there were fewer.
fn write_found(path: &str, found: &[Vec<i64>]) {
    let mut file = std::io::BufWriter::new(std::fs::File::create(path).unwrap());
    for hits in found {
        for place in 0..K {
            let id = hits.get(place).copied().unwrap_or(-1);
            file.write_all(&id.to_le_bytes()).unwrap();
        }
    }
    file.flush().unwrap();
}

#[tokio::main]
async fn main() {
    let (mut target, mut work) = (Value::Null, Arc::new(Work::default()));
    for line in std::io::stdin().lock().lines() {
        let command: Value = serde_json::from_str(&line.unwrap()).unwrap();
        let working = async {
            match text(&command, "op") {
                "connect" => {
                    target = command.clone();
                    json!({})
                }
                "load" => {
                    work = Arc::new(Work::load(&command));
                    json!({"points": work.points()})
                }
                "upsert" => upsert(&target, &command, &work).await,
                "texts" => upsert_texts(&target, &command).await,
                "search" => search(&target, &command, &work).await,
                "exit" => std::process::exit(0),
                other => panic!("there is no command {other}"),
            }
        };
        let limit = Duration::from_secs(COMMAND_SECONDS_MAX);
        let reply = tokio::time::timeout(limit, working).await.unwrap();
        println!("{reply}");
    }
}
