//! Words in collections: BM25 and phrases against naive loops over the texts, and hybrid queries against fusions computed
//! by hand from the separate lists.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Value, json};
use vectors::collection::{Collection, QueriedPoint, With};
use vectors::payload::PayloadIndexKind;
use vectors::query::{Fusion, Hit, Query, QueryRequest, Stage, Target, TextParameters};
use vectors::schema::{CollectionSchema, Metric, VectorSchema};
use vectors::text::Bm25;
use vectors::{
    Condition, FieldTest, Filter, Payload, Point, PointId, SparseVector, Vector, VectorsError,
};

use crate::support::{dense, durable, equals, noise, noise_vector, open, path, payload};

const WORDS: [&str; 14] = [
    "river", "stone", "winter", "glass", "night", "red", "old", "lamp", "sea", "wind", "moss",
    "iron", "salt", "fern",
];

/// Texts of a point: mostly one, sometimes two, sometimes none. Frequent words come first in [`WORDS`].
fn texts(seed: u64) -> Vec<String> {
    let count = [1, 1, 1, 2, 0][(noise(seed) * 5.0) as usize];
    (0..count)
        .map(|text| {
            let words = 3 + (noise(seed * 31 + text) * 12.0) as u64;
            (0..words)
                .map(|word| {
                    let part = noise(seed * 977 + text * 101 + word);
                    WORDS[(part * part * WORDS.len() as f32) as usize]
                })
                .collect::<Vec<_>>()
                .join(" ")
        })
        .collect()
}

fn document(seed: u64) -> Payload {
    let part = ["a", "b", "c"][(noise(seed + 5) * 3.0) as usize];
    let texts = texts(seed);
    let text = match texts.len() {
        0 => Value::Null,
        1 => json!(texts[0]),
        _ => json!(texts),
    };
    payload(json!({"text": text, "part": part}))
}

fn scored_words() -> PayloadIndexKind {
    PayloadIndexKind::Text {
        analyzer: None,
        scoring: Some(Bm25 { k1: 0.9, b: 0.4 }),
    }
}

/// What the collection should hold: seed of each point's document.
type Model = BTreeMap<u64, u64>;

fn words_of(seed: u64) -> Vec<Vec<String>> {
    let split = |text: &String| text.split(' ').map(str::to_owned).collect();
    texts(seed).iter().map(split).collect()
}

/// BM25 of every point with one of the terms, by the formula.
fn naive_scores(model: &Model, terms: &[&str], scoring: Bm25) -> HashMap<u64, f64> {
    let documents: BTreeMap<u64, Vec<String>> = model
        .iter()
        .map(|(id, seed)| (*id, words_of(*seed).concat()))
        .filter(|(_, words)| !words.is_empty())
        .collect();
    let count = documents.len() as f64;
    let tokens: usize = documents.values().map(Vec::len).sum();
    let average = tokens as f64 / count;
    let (k1, b) = (f64::from(scoring.k1), f64::from(scoring.b));
    let mut scores = HashMap::new();
    for term in terms {
        let with = documents
            .values()
            .filter(|words| words.iter().any(|word| word == term))
            .count() as f64;
        let weight = ((count - with + 0.5) / (with + 0.5) + 1.0).ln();
        for (id, words) in &documents {
            let frequency = words.iter().filter(|word| word == term).count() as f64;
            if frequency > 0.0 {
                let norm = k1 * (1.0 - b + b * words.len() as f64 / average);
                *scores.entry(*id).or_insert(0.0) +=
                    weight * frequency * (k1 + 1.0) / (frequency + norm);
            }
        }
    }
    scores
}

fn ask(collection: &Collection, stage: Stage) -> Vec<QueriedPoint> {
    let request = QueryRequest { stage, offset: 0 };
    collection.query(&request, &With::nothing()).expect("query")
}

fn text_stage(text: &str, parameters: TextParameters, limit: usize) -> Stage {
    Stage {
        query: Some(Query::Text {
            text: text.to_owned(),
            parameters,
        }),
        using: "text".to_owned(),
        limit,
        ..Stage::default()
    }
}

fn number(point: &QueriedPoint) -> u64 {
    match point.point.id {
        PointId::Number(number) => number,
        PointId::Uuid(_) => panic!("no UUIDs here"),
    }
}

/// The right scores, best first, each point at its own; whichever points stand at the last score.
fn check_scores(found: &[QueriedPoint], expected: &HashMap<u64, f64>, limit: usize, what: &str) {
    let mut best: Vec<f64> = expected.values().copied().collect();
    best.sort_by(|one, two| two.total_cmp(one));
    best.truncate(limit);
    assert_eq!(found.len(), best.len(), "{what}");
    for (one, best) in found.iter().zip(best) {
        let own = expected[&number(one)];
        let score = f64::from(one.score);
        assert!(
            (score - best).abs() < 1e-4 && (score - own).abs() < 1e-4,
            "{what}: {one:?}, {best}, {own}"
        );
    }
}

fn check_words(collection: &Collection, model: &Model, what: &str) {
    assert_eq!(
        collection.count(None).expect("count"),
        model.len() as u64,
        "{what}"
    );
    let index = Bm25 { k1: 0.9, b: 0.4 };
    for (text, limit) in [
        ("fern", 5),
        ("river stone", 10),
        ("Salt, iron & moss!", 12),
        ("river glass sea wind nothing", 400),
    ] {
        let lower = text.to_lowercase();
        let terms: Vec<&str> = lower
            .split(|character: char| !character.is_alphabetic())
            .filter(|word| !word.is_empty())
            .collect();
        let scores = naive_scores(model, &terms, index);
        let found = ask(
            collection,
            text_stage(text, TextParameters::default(), limit),
        );
        check_scores(&found, &scores, limit, &format!("{what}: {text}"));
        // Filters leave the scores as they are.
        let mut within = scores.clone();
        within.retain(|id, _| document(model[id])["part"] == "b");
        let filtered = Stage {
            filter: equals("part", "b"),
            ..text_stage(text, TextParameters::default(), limit)
        };
        let found = ask(collection, filtered);
        check_scores(&found, &within, limit, &format!("{what}: {text} in b"));
        let other = Bm25 { k1: 2.0, b: 1.0 };
        let parameters = TextParameters {
            k1: Some(other.k1),
            b: Some(other.b),
            all_terms: true,
            ..TextParameters::default()
        };
        let mut scores = naive_scores(model, &terms, other);
        scores.retain(|id, _| {
            let words = words_of(model[id]).concat();
            terms
                .iter()
                .all(|term| words.iter().any(|word| word == term))
        });
        let found = ask(collection, text_stage(text, parameters, limit));
        check_scores(&found, &scores, limit, &format!("{what}: all of {text}"));
    }
    check_phrases(collection, model, what);
}

fn check_phrases(collection: &Collection, model: &Model, what: &str) {
    let matching = |test: FieldTest, holds: &dyn Fn(&[String]) -> bool| {
        let filter = Filter {
            must: vec![Condition::field(path("text"), test)],
            ..Filter::default()
        };
        let expected = model
            .values()
            .filter(|seed| words_of(**seed).iter().any(|words| holds(words)))
            .count() as u64;
        let found = collection.count(Some(&filter)).expect("count");
        assert_eq!(found, expected, "{what}: {filter:?}");
    };
    let has = |words: &[String], word: &str| words.iter().any(|other| other == word);
    let runs =
        |words: &[String], one: &str, two: &str| words.windows(2).any(|pair| pair == [one, two]);
    matching(FieldTest::Text("stone river".into()), &|words| {
        has(words, "stone") && has(words, "river")
    });
    matching(FieldTest::TextAny("salt Fern".into()), &|words| {
        has(words, "salt") || has(words, "fern")
    });
    matching(FieldTest::Phrase("river stone".into()), &|words| {
        runs(words, "river", "stone")
    });
    let parameters = TextParameters {
        phrases: true,
        ..TextParameters::default()
    };
    let mut scores = naive_scores(
        model,
        &["river", "stone", "night"],
        Bm25 { k1: 0.9, b: 0.4 },
    );
    scores.retain(|id, _| {
        let texts = words_of(model[id]);
        texts.iter().any(|words| runs(words, "river", "stone"))
    });
    let found = ask(
        collection,
        text_stage("\"river stone\" night", parameters, 50),
    );
    check_scores(&found, &scores, 50, &format!("{what}: quoted"));
}

fn schema() -> CollectionSchema {
    CollectionSchema {
        vectors: [
            (String::new(), dense(8, Metric::Cosine)),
            ("sparse".to_owned(), VectorSchema::Sparse { idf: true }),
        ]
        .into(),
        ..CollectionSchema::default()
    }
}

fn points(model: &mut Model, ids: impl Iterator<Item = u64>, generation: u64) -> Vec<Point> {
    ids.map(|id| {
        let seed = id + 10_000 * generation;
        model.insert(id, seed);
        let indices: Vec<u32> = (0..30)
            .filter(|index| noise(seed * 57 + u64::from(*index)) < 0.2)
            .collect();
        let values = indices
            .iter()
            .map(|index| noise(seed * 91 + u64::from(*index)) + 0.1)
            .collect();
        Point {
            id: PointId::Number(id),
            vectors: [
                (String::new(), Vector::Dense(noise_vector(seed, 8))),
                (
                    "sparse".to_owned(),
                    Vector::Sparse(SparseVector { indices, values }),
                ),
            ]
            .into(),
            payload: document(seed),
            expires_unix_ms: None,
        }
    })
    .collect()
}

fn numbers(ids: impl Iterator<Item = u64>) -> Vec<PointId> {
    ids.map(PointId::Number).collect()
}

#[test]
fn words_rank_by_bm25_over_all_segments_through_deletes_merges_and_reopening() {
    let directory = tempfile::tempdir().expect("directory");
    let database = open(directory.path(), 60);
    let collection = database
        .create_collection("texts", schema())
        .expect("collection");
    let mut model = Model::new();
    let missing = collection.query(
        &QueryRequest {
            stage: text_stage("river", TextParameters::default(), 3),
            offset: 0,
        },
        &With::nothing(),
    );
    assert!(matches!(missing, Err(VectorsError::Missing { .. })));
    for batch in points(&mut model, 0..100, 0).chunks(17) {
        collection
            .upsert(batch.to_vec(), &durable())
            .expect("write");
    }
    // Over rows that are there already, sealed ones and growing ones.
    collection
        .create_payload_index(&path("text"), scored_words())
        .expect("index");
    check_words(&collection, &model, "indexed later");
    for batch in points(&mut model, 80..250, 1).chunks(23) {
        collection
            .upsert(batch.to_vec(), &durable())
            .expect("write");
    }
    check_words(&collection, &model, "several segments");
    let gone = |id: &u64| id.is_multiple_of(3);
    collection
        .delete(&numbers((0..250).filter(gone)), &durable())
        .expect("delete");
    model.retain(|id, _| !gone(id));
    check_words(&collection, &model, "with dead rows");
    drop(collection);
    drop(database);
    let database = open(directory.path(), 60);
    let collection = database.collection("texts").expect("collection");
    check_words(&collection, &model, "opened again");
    collection.optimize().expect("merge");
    check_words(&collection, &model, "merged");
    let more = points(&mut model, 10..30, 2);
    collection.upsert(more, &durable()).expect("write");
    collection
        .delete(&numbers(100..120), &durable())
        .expect("delete");
    model.retain(|id, _| !(100..120).contains(id));
    check_words(&collection, &model, "changed after the merge");
    drop(collection);
    drop(database);
    let database = open(directory.path(), 60);
    let collection = database.collection("texts").expect("collection");
    check_words(&collection, &model, "opened once more");
}

/// The fused score of each point of `lists`, by the formulas.
fn fused(fusion: &Fusion, lists: &[Vec<Hit>]) -> HashMap<PointId, f64> {
    let mut sums: HashMap<PointId, f64> = HashMap::new();
    let mut seen: HashMap<PointId, f64> = HashMap::new();
    let everyone: std::collections::HashSet<PointId> =
        lists.iter().flatten().map(|hit| hit.id).collect();
    for (place, list) in lists.iter().enumerate() {
        let scores: Vec<f64> = list.iter().map(|hit| f64::from(hit.score)).collect();
        let mean = scores.iter().sum::<f64>() / scores.len() as f64;
        let squares: f64 = scores.iter().map(|score| (score - mean).powi(2)).sum();
        let deviation = (squares / (scores.len() as f64 - 1.0)).sqrt();
        for (rank, hit) in list.iter().enumerate() {
            let score = scores[rank];
            let share = match fusion {
                Fusion::ReciprocalRank { constant, weights } => {
                    let weight = weights.get(place).map_or(1.0, |weight| f64::from(*weight));
                    1.0 / (f64::from(*constant) + (rank as f64 + 1.0) / weight)
                }
                Fusion::WeightedSum { weights } => f64::from(weights[place]) * score / scores[0],
                Fusion::CombSum | Fusion::CombMnz => score / scores[0],
                Fusion::Borda => (everyone.len() - rank) as f64,
                Fusion::DistributionBased => (score - (mean - 3.0 * deviation)) / (6.0 * deviation),
            };
            *sums.entry(hit.id).or_default() += share;
            *seen.entry(hit.id).or_default() += 1.0;
        }
    }
    if *fusion == Fusion::CombMnz {
        sums.iter_mut().for_each(|(id, sum)| *sum *= seen[id]);
    }
    sums
}

#[test]
fn hybrid_queries_fuse_what_their_parts_find_alone() {
    let directory = tempfile::tempdir().expect("directory");
    let database = open(directory.path(), 70);
    let collection = database
        .create_collection("texts", schema())
        .expect("collection");
    collection
        .create_payload_index(&path("text"), scored_words())
        .expect("index");
    let mut model = Model::new();
    for generation in 0..2 {
        for batch in points(&mut model, 0..180, generation).chunks(31) {
            collection
                .upsert(batch.to_vec(), &durable())
                .expect("write");
        }
    }
    let nearest = |using: &str, vector: Vector| Stage {
        query: Some(Query::Nearest {
            target: Target::Vector(vector),
            mmr: None,
        }),
        using: using.to_owned(),
        limit: 30,
        ..Stage::default()
    };
    let sparse = SparseVector {
        indices: vec![1, 4, 9, 20],
        values: vec![1.0, 0.5, 2.0, 1.5],
    };
    let parts = [
        nearest("", Vector::Dense(noise_vector(77_777, 8))),
        text_stage("river glass lamp", TextParameters::default(), 25),
        nearest("sparse", Vector::Sparse(sparse)),
    ];
    for filter in [Filter::default(), equals("part", "a")] {
        // Each part alone, with the filter that the root hands down.
        let lists: Vec<Vec<Hit>> = parts
            .iter()
            .map(|part| {
                let alone = Stage {
                    filter: filter.clone(),
                    ..part.clone()
                };
                let found = ask(&collection, alone);
                assert!(found.len() > 10);
                found
                    .iter()
                    .map(|one| Hit {
                        id: one.point.id,
                        score: one.score,
                    })
                    .collect()
            })
            .collect();
        for fusion in [
            Fusion::default(),
            Fusion::ReciprocalRank {
                constant: 60.0,
                weights: vec![1.0, 2.0, 0.5],
            },
            Fusion::WeightedSum {
                weights: vec![0.5, 0.3, 0.2],
            },
            Fusion::CombSum,
            Fusion::CombMnz,
            Fusion::Borda,
            Fusion::DistributionBased,
        ] {
            let expected = fused(&fusion, &lists);
            let found = ask(
                &collection,
                Stage {
                    prefetch: parts.to_vec(),
                    query: Some(Query::Fusion(fusion.clone())),
                    filter: filter.clone(),
                    limit: 20,
                    ..Stage::default()
                },
            );
            let expected: HashMap<u64, f64> = expected
                .into_iter()
                .map(|(id, score)| match id {
                    PointId::Number(number) => (number, score),
                    PointId::Uuid(_) => panic!("no UUIDs here"),
                })
                .collect();
            check_scores(&found, &expected, 20, &format!("{fusion:?}"));
        }
    }
}
