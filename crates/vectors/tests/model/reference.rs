//! The model: a map from ids to points, and loops over it.

use std::collections::BTreeMap;

use serde_json::json;
use vectors::filter::{Condition, FieldPath, FieldTest, Filter, Number, Range, Scalar};
use vectors::schema::{CollectionSchema, Datatype, IndexKind, Metric, VectorSchema};
use vectors::{Payload, SparseVector, Vector};

/// Different points: few enough that most writes replace something, enough for several segments.
pub const POINTS: u64 = 400;
/// The vectors of a point: dense, several dense ones, sparse. Any of them may be missing.
pub const DENSE: &str = "";
pub const TOKENS: &str = "tokens";
pub const WORDS: &str = "words";
const DIMENSIONS: usize = 6;
const TOKEN_DIMENSIONS: usize = 3;
/// Dimensions of the sparse vectors: few enough that most points share one with most queries.
const SPARSE_DIMENSIONS: u64 = 30;
const COLORS: [&str; 4] = ["red", "green", "blue", "grey"];
const TITLE: [&str; 8] = [
    "winter", "sea", "storm", "light", "house", "north", "glass", "river",
];

/// Whether a point passes a filter.
type Passes = Box<dyn Fn(&Stored) -> bool>;

/// What is stored of a point.
#[derive(Debug, Clone, PartialEq)]
pub struct Stored {
    pub vectors: BTreeMap<String, Vector>,
    pub payload: Payload,
    /// When it ceases to exist.
    pub expires_unix_ms: Option<u64>,
}

/// Points by id.
pub type Model = BTreeMap<u64, Stored>;

/// Numbers from a seed (SplitMix64, Steele et al. 2014).
pub struct Random(pub u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub fn ids(&mut self, most: u64) -> Vec<u64> {
        let mut ids: Vec<u64> = (0..=self.below(most)).map(|_| self.below(POINTS)).collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    /// Small whole numbers: their distances and products are exact in f32, so that the engine and the model agree.
    fn values(&mut self, count: usize, largest: u64) -> Vec<f32> {
        (0..count)
            .map(|_| self.below(2 * largest + 1) as f32 - largest as f32)
            .collect()
    }

    pub fn vector(&mut self, name: &str) -> Vector {
        match name {
            DENSE => Vector::Dense(self.values(DIMENSIONS, 20)),
            TOKENS => {
                let count = 1 + self.below(3);
                Vector::Multi(
                    (0..count)
                        .map(|_| self.values(TOKEN_DIMENSIONS, 5))
                        .collect(),
                )
            }
            _ => {
                let mut entries = BTreeMap::new();
                for _ in 0..1 + self.below(6) {
                    entries.insert(
                        self.below(SPARSE_DIMENSIONS) as u32,
                        1.0 + self.below(9) as f32,
                    );
                }
                Vector::Sparse(SparseVector {
                    indices: entries.keys().copied().collect(),
                    values: entries.values().copied().collect(),
                })
            }
        }
    }

    pub fn name(&mut self) -> &'static str {
        [DENSE, DENSE, TOKENS, WORDS][self.below(4) as usize]
    }

    pub fn point(&mut self, now_unix_ms: u64) -> Stored {
        let mut vectors = BTreeMap::new();
        for (name, missing_of_ten) in [(DENSE, 1), (TOKENS, 4), (WORDS, 3)] {
            if self.below(10) >= missing_of_ten {
                vectors.insert(name.to_owned(), self.vector(name));
            }
        }
        Stored {
            vectors,
            payload: self.payload(),
            expires_unix_ms: (self.below(10) == 0).then(|| now_unix_ms + 1 + self.below(60_000)),
        }
    }

    pub fn payload(&mut self) -> Payload {
        let price = self.below(100);
        let words: Vec<&str> = (0..self.below(5)).map(|_| self.word()).collect();
        let mut payload = object(json!({
            "color": self.color(),
            "price": price,
            "exact": 0.1 * price as f64,
            "title": words.join(" "),
        }));
        if self.below(3) == 0 {
            payload.remove("price");
        }
        payload
    }

    pub fn color(&mut self) -> &'static str {
        COLORS[self.below(4) as usize]
    }

    fn word(&mut self) -> &'static str {
        TITLE[self.below(8) as usize]
    }

    /// A filter and what it says, in words of the model.
    pub fn filter(&mut self) -> (Option<Filter>, Passes) {
        let color = self.color();
        let is_color = move |stored: &Stored| stored.payload["color"] == color;
        let color_test = equal("color", Scalar::Text(color.to_owned()));
        let low = self.below(100);
        let (one, two) = (self.word(), self.word());
        let words = |stored: &Stored| -> Vec<String> {
            let title = stored.payload.get("title").and_then(|title| title.as_str());
            title
                .unwrap_or_default()
                .split_whitespace()
                .map(str::to_owned)
                .collect()
        };
        let title = |test| must(Condition::field(FieldPath::key("title"), test));
        let both = format!("{one} {two}");
        match self.below(10) {
            0 => (None, Box::new(|_| true)),
            1 => (Some(must(color_test)), Box::new(is_color)),
            2 => {
                let filter = Filter {
                    must_not: vec![color_test],
                    ..Filter::default()
                };
                (Some(filter), Box::new(move |stored| !is_color(stored)))
            }
            3 => {
                let no_price = Condition::IsEmpty {
                    key: FieldPath::key("price"),
                };
                let filter = Filter {
                    should: vec![color_test, no_price],
                    ..Filter::default()
                };
                let passes = move |stored: &Stored| {
                    is_color(stored) || !stored.payload.contains_key("price")
                };
                (Some(filter), Box::new(passes))
            }
            4 | 5 => {
                let range = Range {
                    gte: Some(Number::Integer(low as i64)),
                    ..Range::default()
                };
                let mut filter = must(Condition::field(
                    FieldPath::key("price"),
                    FieldTest::Number(range),
                ));
                filter.must_not = vec![color_test];
                let passes = move |stored: &Stored| {
                    let price = stored.payload.get("price").and_then(|price| price.as_u64());
                    price.is_some_and(|price| price >= low) && !is_color(stored)
                };
                (Some(filter), Box::new(passes))
            }
            6 => {
                let passes = move |stored: &Stored| {
                    let words = words(stored);
                    words.iter().any(|word| word == one) && words.iter().any(|word| word == two)
                };
                (Some(title(FieldTest::Text(both))), Box::new(passes))
            }
            7 => {
                let passes = move |stored: &Stored| {
                    words(stored).iter().any(|word| word == one || word == two)
                };
                (Some(title(FieldTest::TextAny(both))), Box::new(passes))
            }
            8 => {
                let passes = move |stored: &Stored| {
                    let words = words(stored);
                    words
                        .windows(2)
                        .any(|pair| pair[0] == one && pair[1] == two)
                };
                (Some(title(FieldTest::Phrase(both))), Box::new(passes))
            }
            _ => {
                let name = self.name();
                let has = Condition::HasVector(name.to_owned());
                let passes = move |stored: &Stored| stored.vectors.contains_key(name);
                (Some(must(has)), Box::new(passes))
            }
        }
    }
}

/// The score of a stored vector; `None` when it is not found.
pub fn score(query: &Vector, stored: Option<&Vector>) -> Option<f32> {
    match (query, stored?) {
        (Vector::Dense(query), Vector::Dense(stored)) => {
            let pairs = query.iter().zip(stored);
            Some(pairs.map(|(a, b)| (a - b) * (a - b)).sum::<f32>().sqrt())
        }
        (Vector::Multi(query), Vector::Multi(stored)) => {
            let best = |one: &Vec<f32>| {
                let products = stored.iter().map(|other| dot(one, other));
                products.fold(f32::NEG_INFINITY, f32::max)
            };
            Some(query.iter().map(best).sum())
        }
        (Vector::Sparse(query), Vector::Sparse(stored)) => {
            let products: Vec<f32> = query
                .indices
                .iter()
                .zip(&query.values)
                .flat_map(|(index, value)| {
                    let entries = stored.indices.iter().zip(&stored.values);
                    entries
                        .filter(move |(other, _)| *other == index)
                        .map(move |(_, other)| value * other)
                })
                .collect();
            (!products.is_empty()).then(|| products.iter().sum())
        }
        (query, stored) => panic!("{query:?} asked of {stored:?}"),
    }
}

fn dot(one: &[f32], two: &[f32]) -> f32 {
    one.iter().zip(two).map(|(a, b)| a * b).sum()
}

pub fn object(value: serde_json::Value) -> Payload {
    value.as_object().expect("object").clone()
}

pub fn equal(key: &str, value: Scalar) -> Condition {
    Condition::field(FieldPath::key(key), FieldTest::Equal(value))
}

fn must(condition: Condition) -> Filter {
    Filter {
        must: vec![condition],
        ..Filter::default()
    }
}

pub fn schema() -> CollectionSchema {
    let dense = |dimensions: usize, metric, multi| VectorSchema::Dense {
        dimensions: dimensions as u32,
        metric,
        datatype: Datatype::Float32,
        multi,
        index: IndexKind::Auto,
        hnsw: Default::default(),
        quantization: Default::default(),
        on_disk: false,
    };
    CollectionSchema {
        vectors: [
            (DENSE.to_owned(), dense(DIMENSIONS, Metric::Euclid, false)),
            (
                TOKENS.to_owned(),
                dense(TOKEN_DIMENSIONS, Metric::Dot, true),
            ),
            (WORDS.to_owned(), VectorSchema::Sparse { idf: false }),
        ]
        .into(),
        index_from_rows: Some(100),
        ..CollectionSchema::default()
    }
}
