//! Random operations against a model that does everything by brute force: whatever the engine did to its segments in
//! between (seals, merges, indexes, reopens, snapshots), it answers as a plain map and a loop would.
//!
//! A program of its own rather than a test of the harness, for its arguments:
//! `cargo test -p vectors --test model -- --seed 7 --operations 100000`, or `--seconds 600`. Without arguments: 10,000
//! operations from a random seed, which is printed and replays the run.
#![expect(clippy::print_stdout, reason = "a program that says what it does")]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use vectors::collection::{
    Collection, CollectionOptions, ScrollRequest, SearchRequest, Selection, With, WriteOptions,
};
use vectors::database::{Database, DatabaseOptions};
use vectors::filter::{Condition, FieldPath, FieldTest, Filter, Scalar};
use vectors::index::SearchParameters;
use vectors::schema::{CollectionSchema, Datatype, IndexKind, Metric, VectorSchema};
use vectors::{Payload, Point, PointId, Vector, VectorsError};

/// Operations when none are asked for.
const OPERATIONS: u64 = 10_000;
/// Different points: few enough that most writes replace something, enough for several segments.
const POINTS: u64 = 400;
const DIMENSIONS: usize = 6;
const COLORS: [&str; 4] = ["red", "green", "blue", "grey"];

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

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// Small whole numbers: their distances are exact in f32, so that the engine and the model agree to the bit.
    fn vector(&mut self) -> Vec<f32> {
        (0..DIMENSIONS)
            .map(|_| self.below(41) as f32 - 20.0)
            .collect()
    }

    fn ids(&mut self, most: u64) -> Vec<u64> {
        let mut ids: Vec<u64> = (0..=self.below(most)).map(|_| self.below(POINTS)).collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }
}

/// Ids to vector and payload.
type Model = BTreeMap<u64, (Vec<f32>, Payload)>;

struct Run {
    random: Random,
    model: Model,
    database: Option<Database>,
    collection: Arc<Collection>,
    directory: tempfile::TempDir,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |name: &str| {
        let place = arguments.iter().position(|argument| argument == name)?;
        Some(arguments[place + 1].parse::<u64>().expect("a number"))
    };
    // The harness's own arguments: a filter for other tests, or the question which tests there are.
    let filter = arguments.first().filter(|first| !first.starts_with('-'));
    if arguments.iter().any(|argument| argument == "--list")
        || filter.is_some_and(|filter| !"model".contains(filter.as_str()))
    {
        return ExitCode::SUCCESS;
    }
    let seed =
        number("--seed").unwrap_or_else(|| platform::entropy::random_u64().expect("entropy") >> 32);
    let seconds = number("--seconds");
    let operations = number("--operations").unwrap_or(match seconds {
        Some(_) => u64::MAX,
        None => OPERATIONS,
    });
    println!("model: replay with --seed {seed}");
    let end = Instant::now() + Duration::from_secs(seconds.unwrap_or(u64::from(u32::MAX)));
    let mut run = Run::new(seed);
    let mut done = 0;
    while done < operations && Instant::now() < end {
        run.operation(&format!("--seed {seed}, operation {done}"));
        done += 1;
    }
    run.compare(&format!("--seed {seed}, at the end"));
    println!("model: {done} operations from seed {seed}, no difference");
    ExitCode::SUCCESS
}

impl Run {
    fn new(seed: u64) -> Run {
        let directory = tempfile::tempdir().expect("directory");
        let database = open(directory.path());
        let collection = database
            .create_collection("notes", schema())
            .expect("create");
        Run {
            random: Random(seed),
            model: Model::new(),
            database: Some(database),
            collection,
            directory,
        }
    }

    fn operation(&mut self, context: &str) {
        let options = WriteOptions {
            wait: self.random.below(20) == 0,
            ..WriteOptions::default()
        };
        let outcome = match self.random.below(1000) {
            0..300 => self.upsert(&options),
            300..370 => self.delete(&options),
            370..390 => self.delete_by_filter(&options),
            390..450 => self.update_vectors(&options),
            450..560 => self.change_payload(&options),
            560..760 => self.search(context),
            760..850 => self.get(context),
            850..910 => self.scroll(context),
            910..975 => self.count(context),
            975..985 => self.collection.maintain(),
            985..989 => self.collection.optimize(),
            989..996 => {
                self.compare(context);
                Ok(())
            }
            _ => {
                self.reopen();
                self.compare(context);
                Ok(())
            }
        };
        outcome.unwrap_or_else(|error| panic!("{context}: {error}"));
    }

    fn upsert(&mut self, options: &WriteOptions) -> Result<(), VectorsError> {
        let mut points = Vec::new();
        for id in self.random.ids(6) {
            let vector = self.random.vector();
            let payload = self.payload();
            points.push(Point {
                id: PointId::Number(id),
                vectors: [(String::new(), Vector::Dense(vector.clone()))].into(),
                payload: payload.clone(),
                expires_unix_ms: None,
            });
            self.model.insert(id, (vector, payload));
        }
        self.collection.upsert(points, options).map(drop)
    }

    fn payload(&mut self) -> Payload {
        let color = COLORS[self.random.below(4) as usize];
        let price = self.random.below(100);
        let mut payload =
            object(json!({"color": color, "price": price, "exact": 0.1 * price as f64}));
        if self.random.below(3) == 0 {
            payload.remove("price");
        }
        payload
    }

    fn delete(&mut self, options: &WriteOptions) -> Result<(), VectorsError> {
        let ids = self.random.ids(5);
        for id in &ids {
            self.model.remove(id);
        }
        let ids: Vec<PointId> = ids.into_iter().map(PointId::Number).collect();
        self.collection.delete(&ids, options).map(drop)
    }

    fn delete_by_filter(&mut self, options: &WriteOptions) -> Result<(), VectorsError> {
        let color = COLORS[self.random.below(4) as usize];
        let low = self.random.below(90);
        let filter = Filter {
            must: vec![
                equal("color", Scalar::Text(color.to_owned())),
                equal("price", Scalar::Integer(low as i64)),
            ],
            ..Filter::default()
        };
        self.model.retain(|_, (_, payload)| {
            !(payload["color"] == color && payload.get("price") == Some(&json!(low)))
        });
        self.collection.delete_by_filter(filter, options).map(drop)
    }

    fn update_vectors(&mut self, options: &WriteOptions) -> Result<(), VectorsError> {
        let mut updates = Vec::new();
        for id in self.random.ids(3) {
            let vector = self.random.vector();
            // Only of points that are there: others are an error of their own.
            if let Some(point) = self.model.get_mut(&id) {
                point.0.clone_from(&vector);
                let vectors = [(String::new(), Vector::Dense(vector))].into();
                updates.push((PointId::Number(id), vectors));
            }
        }
        self.collection.update_vectors(updates, options).map(drop)
    }

    fn change_payload(&mut self, options: &WriteOptions) -> Result<(), VectorsError> {
        let ids: Vec<u64> = self.random.ids(4);
        let there: Vec<u64> = ids
            .into_iter()
            .filter(|id| self.model.contains_key(id))
            .collect();
        let selection = Selection::Ids(there.iter().map(|&id| PointId::Number(id)).collect());
        let part = object(json!({"price": self.random.below(100)}));
        let whole = self.payload();
        let kind = self.random.below(4);
        for id in there {
            let Some((_, payload)) = self.model.get_mut(&id) else {
                continue;
            };
            match kind {
                0 => payload.extend(part.clone()),
                1 => payload.clone_from(&whole),
                2 => drop(payload.remove("price")),
                // A point without a color is nothing the other operations know how to expect.
                _ => payload.retain(|key, _| key == "color"),
            }
        }
        let collection = &self.collection;
        match kind {
            0 => collection.set_payload(selection, part, None, options),
            1 => collection.overwrite_payload(selection, whole, options),
            2 => collection.delete_payload_keys(selection, vec![FieldPath::key("price")], options),
            _ => {
                let keys = vec![FieldPath::key("price"), FieldPath::key("exact")];
                collection.delete_payload_keys(selection, keys, options)
            }
        }
        .map(drop)
    }

    /// A filter at random, and the ids it should find.
    fn filter(&mut self) -> (Option<Filter>, Vec<u64>) {
        let color = COLORS[self.random.below(4) as usize];
        let is_color = equal("color", Scalar::Text(color.to_owned()));
        let no_price = Condition::IsEmpty {
            key: FieldPath::key("price"),
        };
        let kind = self.random.below(4);
        let filter = match kind {
            0 => None,
            1 => Some(Filter {
                must: vec![is_color],
                ..Filter::default()
            }),
            2 => Some(Filter {
                must_not: vec![is_color],
                ..Filter::default()
            }),
            _ => Some(Filter {
                should: vec![is_color, no_price],
                ..Filter::default()
            }),
        };
        let passes = |payload: &Payload| match kind {
            0 => true,
            1 => payload["color"] == color,
            2 => payload["color"] != color,
            _ => payload["color"] == color || !payload.contains_key("price"),
        };
        let ids = self
            .model
            .iter()
            .filter(|(_, (_, payload))| passes(payload));
        (filter, ids.map(|(id, _)| *id).collect())
    }

    fn search(&mut self, context: &str) -> Result<(), VectorsError> {
        let query = self.random.vector();
        let limit = 1 + self.random.below(20) as usize;
        let exact = self.random.below(2) == 0;
        let (filter, ids) = self.filter();
        let mut request = SearchRequest::new("", Vector::Dense(query.clone()), limit);
        request.filter = filter;
        request.parameters = SearchParameters {
            exact,
            ..SearchParameters::default()
        };
        let found = self.collection.search(&request)?;
        let mut distances: Vec<f32> = ids
            .iter()
            .map(|id| distance(&query, &self.model[id].0))
            .collect();
        distances.sort_by(f32::total_cmp);
        for scored in &found {
            let PointId::Number(id) = scored.point.id else {
                panic!("{context}: {:?} was never written", scored.point.id);
            };
            assert!(
                ids.binary_search(&id).is_ok(),
                "{context}: {id} does not match"
            );
            let expected = distance(&query, &self.model[&id].0);
            assert!((scored.score - expected).abs() < 1e-3, "{context}: {id}");
        }
        let expected = ids.len().min(limit);
        assert_eq!(found.len(), expected, "{context}: exact {exact}");
        if exact {
            // Points at equal distances may come in any order; the distances may not.
            for (scored, distance) in found.iter().zip(&distances) {
                assert!(
                    (scored.score - distance).abs() < 1e-3,
                    "{context}: {found:?}"
                );
            }
        }
        Ok(())
    }

    fn get(&mut self, context: &str) -> Result<(), VectorsError> {
        let ids = self.random.ids(5);
        let wanted: Vec<PointId> = ids.iter().map(|&id| PointId::Number(id)).collect();
        let mut found = self.collection.get(&wanted, &With::everything())?;
        found.sort_by_key(|stored| stored.id);
        let there: Vec<u64> = ids
            .into_iter()
            .filter(|id| self.model.contains_key(id))
            .collect();
        assert_eq!(found.len(), there.len(), "{context}");
        for (stored, id) in found.iter().zip(there) {
            let (vector, payload) = &self.model[&id];
            assert_eq!(stored.id, PointId::Number(id), "{context}");
            assert_eq!(
                stored.vectors[""],
                Vector::Dense(vector.clone()),
                "{context}"
            );
            assert_eq!(stored.payload.as_ref(), Some(payload), "{context}");
        }
        Ok(())
    }

    fn scroll(&mut self, context: &str) -> Result<(), VectorsError> {
        let (filter, ids) = self.filter();
        let offset = self.random.below(POINTS);
        let limit = 1 + self.random.below(50) as usize;
        let page = self.collection.scroll(&ScrollRequest {
            offset: Some(PointId::Number(offset)),
            limit,
            filter,
            ..ScrollRequest::default()
        })?;
        let mut rest = ids
            .into_iter()
            .filter(|&id| id >= offset)
            .map(PointId::Number);
        let expected: Vec<PointId> = rest.by_ref().take(limit).collect();
        let found: Vec<PointId> = page.points.iter().map(|stored| stored.id).collect();
        assert_eq!(found, expected, "{context}");
        assert_eq!(page.next, rest.next(), "{context}");
        Ok(())
    }

    fn count(&mut self, context: &str) -> Result<(), VectorsError> {
        let (filter, ids) = self.filter();
        let count = self.collection.count(filter.as_ref())?;
        assert_eq!(count, ids.len() as u64, "{context}");
        Ok(())
    }

    fn reopen(&mut self) {
        // The old database must be gone before the directory's lock is free.
        let elsewhere = tempfile::tempdir().expect("directory");
        let other = open(elsewhere.path());
        self.collection = other.create_collection("x", schema()).expect("create");
        drop(self.database.take());
        let database = open(self.directory.path());
        self.collection = database.collection("notes").expect("reopen");
        self.database = Some(database);
    }

    /// Compares everything.
    fn compare(&self, context: &str) {
        let page = self
            .collection
            .scroll(&ScrollRequest {
                limit: 2 * POINTS as usize,
                with: With::everything(),
                ..ScrollRequest::default()
            })
            .unwrap_or_else(|error| panic!("{context}: {error}"));
        let found: Model = page
            .points
            .into_iter()
            .map(|mut stored| {
                let (PointId::Number(id), Some(Vector::Dense(vector))) =
                    (stored.id, stored.vectors.remove(""))
                else {
                    panic!("{context}: {:?} is not as it was written", stored.id);
                };
                (id, (vector, stored.payload.unwrap_or_default()))
            })
            .collect();
        assert!(
            found == self.model,
            "{context}: {found:?}\ninstead of {:?}",
            self.model
        );
        let info = self.collection.info().expect("info");
        assert!(info.damages.is_empty(), "{context}: {:?}", info.damages);
    }
}

fn object(value: serde_json::Value) -> Payload {
    value.as_object().expect("object").clone()
}

fn equal(key: &str, value: Scalar) -> Condition {
    Condition::field(FieldPath::key(key), FieldTest::Equal(value))
}

fn distance(one: &[f32], two: &[f32]) -> f32 {
    let squares: f32 = one.iter().zip(two).map(|(a, b)| (a - b) * (a - b)).sum();
    squares.sqrt()
}

fn open(directory: &Path) -> Database {
    let options = DatabaseOptions {
        // Work is done by the operations that make it necessary: the same seed is the same run.
        maintenance_threads: 0,
        collection: CollectionOptions {
            growing_rows_max: 60,
            merge_width: 3,
            ..CollectionOptions::default()
        },
        ..DatabaseOptions::default()
    };
    Database::open(directory, options).expect("open")
}

fn schema() -> CollectionSchema {
    CollectionSchema {
        vectors: [(
            String::new(),
            VectorSchema::Dense {
                dimensions: DIMENSIONS as u32,
                metric: Metric::Euclid,
                datatype: Datatype::Float32,
                multi: false,
                index: IndexKind::Auto,
                hnsw: Default::default(),
                quantization: Default::default(),
                on_disk: false,
            },
        )]
        .into(),
        index_from_rows: Some(100),
        ..CollectionSchema::default()
    }
}
