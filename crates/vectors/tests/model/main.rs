//! Random operations against a model that does everything by brute force: whatever the engine did to its segments in
//! between (seals, merges, indexes, reopens, snapshots), it answers as a plain map and a loop would.
//!
//! A program of its own rather than a test of the harness, for its arguments:
//! `cargo test -p vectors --test model -- --seed 7 --operations 100000`, or `--seconds 600`. Without arguments: 10,000
//! operations from a random seed, which is printed and replays the run.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program that says what it does"
)]

#[path = "../program/mod.rs"]
mod program;
mod reference;

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use platform::Clock;
use reference::{Model, POINTS, Random, Stored, equal, object, schema, score};
use serde_json::json;
use vectors::collection::{
    Collection, CollectionOptions, ScrollRequest, SearchRequest, Selection, With, WriteOptions,
};
use vectors::database::{Database, DatabaseOptions, Existing};
use vectors::filter::{FieldPath, Filter, Scalar};
use vectors::index::SearchParameters;
use vectors::payload::PayloadIndexKind;
use vectors::schema::CollectionSchema;
use vectors::{Point, PointId, VectorsError};

/// Operations when none are asked for.
const OPERATIONS: u64 = 10_000;
/// Snapshots kept; the oldest goes.
const SNAPSHOTS_MAX: usize = 3;
const NAME: &str = "notes";

struct Run {
    random: Random,
    model: Model,
    /// Snapshots and what they hold, oldest first.
    snapshots: Vec<(String, Model)>,
    /// Snapshots taken so far.
    taken: u64,
    clock: Clock,
    database: Database,
    collection: Arc<Collection>,
    directory: tempfile::TempDir,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let known = ["--seed", "--operations", "--seconds"];
    let numbers = match program::parse("model", &known, &arguments) {
        Ok(numbers) => numbers,
        Err(code) => return code,
    };
    let seed = numbers
        .get("--seed")
        .unwrap_or_else(|| platform::entropy::random_u64().expect("entropy") >> 32);
    let seconds = numbers.get("--seconds");
    let operations = numbers.get("--operations").unwrap_or(match seconds {
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
        let directory = directory();
        let clock = Clock::manual(Duration::from_secs(1_700_000_000));
        let database = open(directory.path(), &clock);
        let collection = database.create_collection(NAME, schema()).expect("create");
        Run {
            random: Random(seed),
            model: Model::new(),
            snapshots: Vec::new(),
            taken: 0,
            clock,
            database,
            collection,
            directory,
        }
    }

    fn operation(&mut self, context: &str) {
        let options = WriteOptions {
            wait: self.random.below(40) == 0,
            ..WriteOptions::default()
        };
        let outcome = match self.random.below(1000) {
            0..290 => self.upsert(&options),
            290..350 => self.delete(&options),
            350..370 => self.delete_by_filter(&options),
            370..420 => self.update_vectors(&options),
            420..440 => self.delete_vectors(&options),
            440..540 => self.change_payload(&options),
            540..760 => self.search(context),
            760..840 => self.get(context),
            840..900 => self.scroll(context),
            900..960 => self.count(context),
            960..966 => self.collection.maintain(),
            966..969 => self.collection.optimize(),
            969..974 => self.change_indexes(),
            974..980 => {
                self.clock
                    .advance(Duration::from_millis(self.random.below(9_000)));
                self.forget_expired();
                Ok(())
            }
            980..986 => {
                self.compare(context);
                Ok(())
            }
            986..990 => self.take_snapshot(),
            990..993 => self.restore(),
            993..996 => self.restore_copy(context),
            _ => {
                self.reopen(context);
                Ok(())
            }
        };
        outcome.unwrap_or_else(|error| panic!("{context}: {error}"));
    }

    fn now_unix_ms(&self) -> u64 {
        self.clock.unix().as_millis() as u64
    }

    fn forget_expired(&mut self) {
        let now = self.now_unix_ms();
        self.model
            .retain(|_, stored| stored.expires_unix_ms.is_none_or(|end| end > now));
    }

    fn upsert(&mut self, options: &WriteOptions) -> Result<(), VectorsError> {
        let mut points = Vec::new();
        for id in self.random.ids(6) {
            let stored = self.random.point(self.now_unix_ms());
            points.push(Point {
                id: PointId::Number(id),
                vectors: stored.vectors.clone(),
                payload: stored.payload.clone(),
                expires_unix_ms: stored.expires_unix_ms,
            });
            self.model.insert(id, stored);
        }
        self.collection.upsert(points, options).map(drop)
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
        let color = self.random.color();
        let low = self.random.below(90);
        let filter = Filter {
            must: vec![
                equal("color", Scalar::Text(color.to_owned())),
                equal("price", Scalar::Integer(low as i64)),
            ],
            ..Filter::default()
        };
        self.model.retain(|_, Stored { payload, .. }| {
            !(payload["color"] == color && payload.get("price") == Some(&json!(low)))
        });
        self.collection.delete_by_filter(filter, options).map(drop)
    }

    fn update_vectors(&mut self, options: &WriteOptions) -> Result<(), VectorsError> {
        let mut updates = Vec::new();
        for id in self.random.ids(3) {
            let name = self.random.name();
            let vector = self.random.vector(name);
            // Only of points that are there: others are an error of their own.
            if let Some(stored) = self.model.get_mut(&id) {
                stored.vectors.insert(name.to_owned(), vector.clone());
                let vectors = [(name.to_owned(), vector)].into();
                updates.push((PointId::Number(id), vectors));
            }
        }
        self.collection.update_vectors(updates, options).map(drop)
    }

    fn delete_vectors(&mut self, options: &WriteOptions) -> Result<(), VectorsError> {
        let (selection, there) = self.some();
        let name = self.random.name();
        for id in there {
            if let Some(stored) = self.model.get_mut(&id) {
                stored.vectors.remove(name);
            }
        }
        self.collection
            .delete_vectors(selection, vec![name.to_owned()], options)
            .map(drop)
    }

    /// Some points that are there.
    fn some(&mut self) -> (Selection, Vec<u64>) {
        let mut there = self.random.ids(4);
        there.retain(|id| self.model.contains_key(id));
        let ids = there.iter().map(|&id| PointId::Number(id)).collect();
        (Selection::Ids(ids), there)
    }

    fn change_payload(&mut self, options: &WriteOptions) -> Result<(), VectorsError> {
        let (selection, there) = self.some();
        let part = object(json!({"price": self.random.below(100)}));
        let whole = self.random.payload();
        let kind = self.random.below(4);
        for id in there {
            let Some(Stored { payload, .. }) = self.model.get_mut(&id) else {
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
                let keys = ["price", "exact", "title"].map(FieldPath::key).to_vec();
                collection.delete_payload_keys(selection, keys, options)
            }
        }
        .map(drop)
    }

    /// A filter at random, and the ids it should find.
    fn filter(&mut self) -> (Option<Filter>, Vec<u64>) {
        let (filter, passes) = self.random.filter();
        let found = self.model.iter().filter(|(_, stored)| passes(stored));
        (filter, found.map(|(id, _)| *id).collect())
    }

    fn search(&mut self, context: &str) -> Result<(), VectorsError> {
        let name = self.random.name();
        let query = self.random.vector(name);
        let limit = 1 + self.random.below(20) as usize;
        let is_graph = name == reference::DENSE && self.random.below(2) == 0;
        let (filter, ids) = self.filter();
        let mut request = SearchRequest::new(name, query.clone(), limit);
        request.filter = filter;
        request.parameters = SearchParameters {
            exact: !is_graph,
            ..SearchParameters::default()
        };
        let found = self.collection.search(&request)?;
        let score_of = |id: &u64| score(&query, self.model[id].vectors.get(name));
        let mut scores: Vec<f32> = ids.iter().filter_map(score_of).collect();
        scores.sort_by(f32::total_cmp);
        if name != reference::DENSE {
            // Products: larger is better.
            scores.reverse();
        }
        for scored in &found {
            let PointId::Number(id) = scored.point.id else {
                panic!("{context}: {:?} was never written", scored.point.id);
            };
            assert!(
                ids.binary_search(&id).is_ok(),
                "{context}: {id} does not match"
            );
            let expected = score_of(&id).unwrap_or(f32::NAN);
            assert!((scored.score - expected).abs() < 1e-3, "{context}: {id}");
        }
        assert_eq!(
            found.len(),
            scores.len().min(limit),
            "{context}: {request:?}"
        );
        if !is_graph {
            // Points of equal scores may come in any order; the scores may not.
            for (scored, score) in found.iter().zip(&scores) {
                assert!((scored.score - score).abs() < 1e-3, "{context}: {found:?}");
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
            let expected = &self.model[&id];
            assert_eq!(stored.id, PointId::Number(id), "{context}");
            assert_eq!(stored.vectors, expected.vectors, "{context}");
            assert_eq!(
                stored.payload.as_ref(),
                Some(&expected.payload),
                "{context}"
            );
            assert_eq!(
                stored.expires_unix_ms, expected.expires_unix_ms,
                "{context}"
            );
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

    /// Makes an index on a field, or drops those there.
    fn change_indexes(&mut self) -> Result<(), VectorsError> {
        let (field, kind) = match self.random.below(4) {
            0 => ("color", PayloadIndexKind::Keyword),
            1 => ("price", PayloadIndexKind::Integer),
            2 => ("exact", PayloadIndexKind::Float),
            _ => (
                "title",
                PayloadIndexKind::Text {
                    analyzer: None,
                    scoring: None,
                },
            ),
        };
        let key = FieldPath::key(field);
        if self.random.below(3) == 0 {
            self.collection.delete_payload_index(&key).map(drop)
        } else {
            self.collection.create_payload_index(&key, kind)
        }
    }

    fn take_snapshot(&mut self) -> Result<(), VectorsError> {
        let name = format!("s{}", self.taken);
        self.taken += 1;
        self.collection.snapshot(&name)?;
        self.snapshots.push((name, self.model.clone()));
        if self.snapshots.len() > SNAPSHOTS_MAX {
            let (oldest, _) = self.snapshots.remove(0);
            self.database.delete_snapshot(NAME, &oldest)?;
        }
        Ok(())
    }

    fn any_snapshot(&mut self) -> Option<(String, Model)> {
        let count = self.snapshots.len() as u64;
        (count > 0).then(|| self.snapshots[self.random.below(count) as usize].clone())
    }

    /// Goes back to a snapshot.
    fn restore(&mut self) -> Result<(), VectorsError> {
        let Some((name, model)) = self.any_snapshot() else {
            return Ok(());
        };
        self.collection = self
            .database
            .restore(NAME, &name, NAME, Existing::Replace)?;
        self.model = model;
        self.forget_expired();
        Ok(())
    }

    /// Makes a snapshot into another collection, by way of an archive or without, and compares that.
    fn restore_copy(&mut self, context: &str) -> Result<(), VectorsError> {
        let Some((name, mut model)) = self.any_snapshot() else {
            return Ok(());
        };
        let copy = if self.random.below(2) == 0 {
            self.database
                .restore(NAME, &name, "copy", Existing::Refuse)?
        } else {
            let mut archive = Vec::new();
            self.database.export_snapshot(NAME, &name, &mut archive)?;
            let length = archive.len() as u64;
            self.database
                .restore_archive(&mut &archive[..], length, "copy", Existing::Refuse)?
        };
        let now = self.now_unix_ms();
        model.retain(|_, stored| stored.expires_unix_ms.is_none_or(|end| end > now));
        compare(&copy, &model, &format!("{context}, snapshot {name}"));
        drop(copy);
        self.database.delete_collection("copy")
    }

    fn reopen(&mut self, context: &str) {
        // The old database must be gone before the lock of its directory is free; another one stands in meanwhile.
        let elsewhere = directory();
        self.database = open(elsewhere.path(), &self.clock);
        self.collection = self
            .database
            .create_collection("x", CollectionSchema::default())
            .expect("create");
        self.database = open(self.directory.path(), &self.clock);
        assert_eq!(self.database.list(), [NAME], "{context}");
        self.collection = self.database.collection(NAME).expect("reopen");
        let listed = self.database.snapshots(NAME).expect("list").len();
        assert_eq!(listed, self.snapshots.len(), "{context}");
        self.compare(context);
        let damages = self.collection.verify().expect("verify");
        assert!(damages.is_empty(), "{context}: {damages:?}");
    }

    fn compare(&self, context: &str) {
        compare(&self.collection, &self.model, context);
    }
}

/// Compares everything.
fn compare(collection: &Collection, model: &Model, context: &str) {
    let page = collection
        .scroll(&ScrollRequest {
            limit: 2 * POINTS as usize,
            with: With::everything(),
            ..ScrollRequest::default()
        })
        .unwrap_or_else(|error| panic!("{context}: {error}"));
    let found: Model = page
        .points
        .into_iter()
        .map(|stored| {
            let PointId::Number(id) = stored.id else {
                panic!("{context}: {:?} was never written", stored.id);
            };
            let point = Stored {
                vectors: stored.vectors,
                payload: stored.payload.unwrap_or_default(),
                expires_unix_ms: stored.expires_unix_ms,
            };
            (id, point)
        })
        .collect();
    for id in 0..POINTS {
        assert_eq!(found.get(&id), model.get(&id), "{context}: point {id}");
    }
    assert_eq!(found.len(), model.len(), "{context}");
    let info = collection.info().expect("info");
    assert!(info.damages.is_empty(), "{context}: {:?}", info.damages);
}

/// A directory in memory where there is one: this is about answers, and syncs to a disk would take most of the time. What a
/// disk may lose is the subject of the tests of durability.
fn directory() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm")
        .or_else(|_| tempfile::tempdir())
        .expect("directory")
}

fn open(directory: &Path, clock: &Clock) -> Database {
    let options = DatabaseOptions {
        // Work is done by the operations that make it necessary: the same seed is the same run.
        maintenance_threads: 0,
        clock: clock.clone(),
        collection: CollectionOptions {
            growing_rows_max: 60,
            merge_width: 3,
            ..CollectionOptions::default()
        },
        ..DatabaseOptions::default()
    };
    Database::open(directory, options).expect("open")
}
