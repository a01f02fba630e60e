//! Random payloads and random filters: whatever the indexes, the answer is the definition's.

use serde_json::{Map, Value, json};

use super::view::View;
use super::{by_definition, by_indexes, estimate, grown, schema, sealed, wire};
use crate::payload::{PayloadIndexKind, PayloadIndexes};

/// A sequence that its seed determines (xorshift64*, Vigna 2016).
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % limit
    }

    fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    fn pick<T: Clone>(&mut self, list: &[T]) -> T {
        list[self.below(list.len())].clone()
    }

    fn scalar(&mut self) -> Value {
        match self.below(12) {
            0 => Value::Null,
            1 => json!(self.one_in(2)),
            2 | 3 => json!(self.below(7) as i64 - 3),
            4 => json!(self.below(9) as f64 / 2.0 - 2.0),
            5 => self.pick(&[
                json!(9_007_199_254_740_993i64),
                json!(9_007_199_254_740_992.0),
                json!(u64::MAX),
                json!(i64::MIN),
                json!(-0.0),
            ]),
            6 | 7 => json!(self.text()),
            8 => json!(self.pick(&[
                "2026-01-01",
                "2026-01-01T00:00:00Z",
                "2025-06-01 10:00",
                "1969-12-31"
            ])),
            9 => json!(self.pick(&[
                "550e8400-e29b-41d4-a716-446655440000",
                "550E8400-E29B-41D4-A716-446655440000",
                "00000000-0000-0000-0000-000000000000",
            ])),
            10 => self.place(),
            _ => json!({"x": self.text(), "n": self.below(4)}),
        }
    }

    fn text(&mut self) -> String {
        let count = self.below(4);
        let words: Vec<&str> = (0..count)
            .map(|_| self.pick(&["a", "b", "ab", "Ä", "b-c", "7"]))
            .collect();
        words.join(" ")
    }

    fn place(&mut self) -> Value {
        let latitude = self.pick(&[-90.0, -45.5, 0.0, 0.5, 52.5, 90.0, 95.0]);
        let longitude = self.pick(&[-180.0, -179.5, 0.0, 0.5, 13.4, 179.5, 180.0, 200.0]);
        json!({"lat": latitude, "lon": longitude})
    }

    fn value(&mut self, depth: usize) -> Value {
        if depth < 2 && self.one_in(3) {
            let count = self.below(4);
            return (0..count).map(|_| self.value(depth + 1)).collect();
        }
        self.scalar()
    }

    fn payload(&mut self) -> Value {
        let mut payload = Map::new();
        for key in ["f", "g", "list"] {
            if !self.one_in(4) {
                payload.insert(key.to_owned(), self.value(0));
            }
        }
        Value::Object(payload)
    }

    fn bounds(&mut self, bound: &mut dyn FnMut(&mut Dice) -> Value) -> Value {
        let mut range = Map::new();
        for _ in 0..1 + self.below(2) {
            let name = self.pick(&["lt", "lte", "gt", "gte"]);
            range.insert(name.to_owned(), bound(self));
        }
        Value::Object(range)
    }

    fn field(&mut self, keys: &[&str]) -> Value {
        let key = self.pick(keys);
        let integer = |dice: &mut Dice| json!(dice.below(7) as i64 - 3);
        match self.below(15) {
            0 | 1 => json!({"key": key, "match": {"value": self.text()}}),
            2 => json!({"key": key, "match": {"value": integer(self)}}),
            3 => json!({"key": key, "match": {"value": self.one_in(2)}}),
            4 => {
                let name = self.pick(&["any", "except"]);
                let list: Vec<Value> = (0..self.below(4)).map(|_| integer(self)).collect();
                json!({"key": key, "match": {name: list}})
            }
            5 => {
                let name = self.pick(&["any", "except"]);
                let list: Vec<String> = (0..self.below(4)).map(|_| self.text()).collect();
                json!({"key": key, "match": {name: list}})
            }
            6 => json!({"key": key, "match": {"value": self.pick(&[
                "550e8400-e29b-41d4-a716-446655440000", "550E8400-E29B-41D4-A716-446655440000"])}}),
            7 => {
                let name = self.pick(&["text", "text_any", "phrase", "prefix", "substring"]);
                json!({"key": key, "match": {name: self.text()}})
            }
            8 | 9 => json!({"key": key, "range": self.bounds(&mut |dice| match dice.below(3) {
                0 => json!(dice.below(9) as f64 / 2.0 - 2.0),
                1 => json!(dice.below(7) as i64 - 3),
                _ => dice.pick(&[json!(9_007_199_254_740_993i64), json!(1e300), json!(u64::MAX)]),
            })}),
            10 => json!({"key": key, "range": self.bounds(&mut |dice| {
                json!(dice.pick(&["2026-01-01", "2025-06-01T10:00:00Z", "1970-01-01"]))
            })}),
            11 => {
                json!({"key": key, "values_count": self.bounds(&mut |dice| json!(dice.below(3)))})
            }
            12 => {
                let [west, east] = [
                    self.below(361) as f64 - 180.0,
                    self.below(361) as f64 - 180.0,
                ];
                let south = self.below(150) as f64 - 90.0;
                json!({"key": key, "geo_bounding_box": {
                    "top_left": {"lat": south + 30.0, "lon": west},
                    "bottom_right": {"lat": south, "lon": east}}})
            }
            13 => {
                let center = json!({"lat": self.below(181) as f64 - 90.0, "lon": self.below(361) as f64 - 180.0});
                let radius = self.pick(&[1_000.0, 200_000.0, 5_000_000.0, 30_000_000.0]);
                json!({"key": key, "geo_radius": {"center": center, "radius": radius}})
            }
            _ => {
                let [west, south] = [
                    self.below(340) as f64 - 180.0,
                    self.below(150) as f64 - 90.0,
                ];
                let points: Vec<Value> = [
                    (0.0, 0.0),
                    (0.0, 50.0),
                    (30.0, 50.0),
                    (30.0, 0.0),
                    (0.0, 0.0),
                ]
                .iter()
                .map(|(north, east)| json!({"lat": south + north, "lon": west + east}))
                .collect();
                json!({"key": key, "geo_polygon": {"exterior": {"points": points}}})
            }
        }
    }

    fn condition(&mut self, depth: usize, keys: &[&str]) -> Value {
        match self.below(10) {
            0 => json!({"is_empty": {"key": self.pick(keys)}}),
            1 => json!({"is_null": {"key": self.pick(keys)}}),
            2 if depth < 2 => self.filter(depth + 1, keys),
            3 if depth < 2 => {
                let key = self.pick(&["list", "f[]"]);
                json!({"nested": {"key": key, "filter": self.filter(depth + 1, &["x", "n"])}})
            }
            4 => json!({"has_id": [self.below(60), self.below(60)]}),
            _ => self.field(keys),
        }
    }

    fn filter(&mut self, depth: usize, keys: &[&str]) -> Value {
        let mut filter = Map::new();
        for clause in ["must", "should", "must_not"] {
            if self.one_in(2) {
                let count = 1 + self.below(2);
                let list = (0..count).map(|_| self.condition(depth, keys)).collect();
                filter.insert(clause.to_owned(), list);
            }
        }
        if self.one_in(6) {
            let conditions: Vec<Value> = (0..3).map(|_| self.condition(depth, keys)).collect();
            let count = 1 + self.below(3);
            filter.insert(
                "min_should".into(),
                json!({"conditions": conditions, "min_count": count}),
            );
        }
        Value::Object(filter)
    }
}

const KEYS: [&str; 7] = ["f", "f[]", "g", "list", "list[].x", "list[].n", "g[0]"];

fn kinds() -> [PayloadIndexKind; 9] {
    [
        PayloadIndexKind::Keyword,
        PayloadIndexKind::Integer,
        PayloadIndexKind::Float,
        PayloadIndexKind::Bool,
        PayloadIndexKind::Datetime,
        PayloadIndexKind::Uuid,
        PayloadIndexKind::Geo,
        PayloadIndexKind::Text {
            analyzer: None,
            scoring: None,
        },
        PayloadIndexKind::Text {
            analyzer: None,
            scoring: Some(crate::text::Bm25::default()),
        },
    ]
}

fn round(seed: u64) {
    let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let count = 1 + dice.below(150);
    let view = View::of((0..count).map(|_| dice.payload()));
    for _ in 0..dice.below(20) {
        let row = dice.below(count) as u32;
        view.live.remove(row);
    }
    let mut fields = Vec::new();
    for key in KEYS {
        for _ in 0..dice.below(3) {
            let kind = dice.pick(&kinds());
            fields.push((key, kind));
        }
    }
    let fields = schema(&fields);
    let growing = grown(&fields, &view);
    let opened = sealed(&growing, count as u32);
    // Built when some rows were there already, and behind by some rows.
    let mut partial = PayloadIndexes::growing(&fields).unwrap();
    let first = dice.below(count);
    let last = first + dice.below(count - first + 1);
    for row in first..last {
        partial.insert(row as u32, &view.payloads[row]);
    }
    for _ in 0..40 {
        let json = dice.filter(0, &KEYS);
        let filter = wire::filter(&json);
        filter.validate().unwrap();
        let expected = by_definition(&filter, &view);
        for (name, indexes) in [
            ("growing", &growing),
            ("sealed", &opened),
            ("partial", &partial),
        ] {
            let found = by_indexes(&filter, &view, indexes);
            assert_eq!(found, expected, "seed {seed}, {name}: {json}\n{fields:?}");
            let about = estimate(&filter, &view, indexes).unwrap();
            let bounds = about.min..=about.max;
            assert!(
                bounds.contains(&(expected.len() as u64)),
                "seed {seed}, {name}: {json}"
            );
        }
    }
}

/// 8,000 filters; a failure names its seed.
#[test]
fn indexes_agree_with_the_definition_on_random_filters() {
    for seed in 1..=200 {
        round(seed);
    }
}
