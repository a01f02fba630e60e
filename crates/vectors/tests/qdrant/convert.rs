//! Requests in the shape of Qdrant's REST interface, as far as the cases use it.

use serde_json::Value;
use vectors::filter::geo::GeoPoint;
use vectors::filter::{FieldTest, Scalar, datetime};
use vectors::query::formula::{DECAY_MIDPOINT, DECAY_SCALE, DecayShape};
use vectors::query::{
    ContextPair, Direction, Expression, Formula, Fusion, Mmr, OrderBy, Query, QueryRequest, Stage,
    Strategy, Target, TextParameters,
};
use vectors::{Condition, Filter, PointId, SparseVector, Vector};

pub fn query_request(request: &Value) -> QueryRequest {
    QueryRequest {
        stage: stage(request),
        offset: request["offset"].as_u64().unwrap_or(0) as usize,
    }
}

fn stage(request: &Value) -> Stage {
    let query = match request.get("text") {
        Some(_) => Query::Text {
            text: request["query"].as_str().unwrap().to_owned(),
            parameters: TextParameters::default(),
        },
        None => query(&request["query"]),
    };
    Stage {
        prefetch: list(&request["prefetch"]).iter().map(stage).collect(),
        query: Some(query),
        using: request["using"].as_str().unwrap_or("").to_owned(),
        filter: filter(&request["filter"]),
        score_threshold: request["score_threshold"]
            .as_f64()
            .map(|value| value as f32),
        limit: request["limit"].as_u64().unwrap() as usize,
        ..Stage::default()
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn filter(value: &Value) -> Filter {
    let conditions = |key: &str| list(&value[key]).iter().map(condition).collect();
    Filter {
        must: conditions("must"),
        must_not: conditions("must_not"),
        ..Filter::default()
    }
}

fn condition(value: &Value) -> Condition {
    let text = value["match"]["value"].as_str().unwrap().to_owned();
    Condition::Field {
        key: value["key"].as_str().unwrap().parse().unwrap(),
        test: FieldTest::Equal(Scalar::Text(text)),
    }
}

fn floats(value: &Value) -> Vec<f32> {
    let float = |value: &Value| value.as_f64().unwrap() as f32;
    list(value).iter().map(float).collect()
}

pub fn vector(value: &Value) -> Vector {
    if value.is_object() {
        let index = |value: &Value| value.as_u64().unwrap() as u32;
        return Vector::Sparse(SparseVector {
            indices: list(&value["indices"]).iter().map(index).collect(),
            values: floats(&value["values"]),
        });
    }
    match value[0].is_array() {
        true => Vector::Multi(list(value).iter().map(floats).collect()),
        false => Vector::Dense(floats(value)),
    }
}

fn target(value: &Value) -> Target {
    match value.as_u64() {
        Some(id) => Target::Point(PointId::Number(id)),
        None => Target::Vector(vector(value)),
    }
}

fn query(value: &Value) -> Query {
    let Some(object) = value.as_object() else {
        return Query::Nearest {
            target: target(value),
            mmr: None,
        };
    };
    let targets = |value: &Value| list(value).iter().map(target).collect();
    let pairs = |value: &Value| {
        list(value)
            .iter()
            .map(|pair| ContextPair {
                positive: target(&pair["positive"]),
                negative: target(&pair["negative"]),
            })
            .collect()
    };
    let (kind, inner) = object.iter().next().unwrap();
    match kind.as_str() {
        "indices" => Query::Nearest {
            target: target(value),
            mmr: None,
        },
        "nearest" => Query::Nearest {
            target: target(inner),
            mmr: Some(Mmr {
                lambda: 1.0 - value["mmr"]["diversity"].as_f64().unwrap() as f32,
                candidates: value["mmr"]["candidates_limit"]
                    .as_u64()
                    .map(|count| count as usize),
            }),
        },
        "recommend" => Query::Recommend {
            positive: targets(&inner["positive"]),
            negative: targets(&inner["negative"]),
            strategy: match inner["strategy"].as_str() {
                Some("best_score") => Strategy::BestScore,
                Some("sum_scores") => Strategy::SumScores,
                _ => Strategy::AverageVector,
            },
        },
        "discover" => Query::Discover {
            target: target(&inner["target"]),
            context: pairs(&inner["context"]),
        },
        "context" => Query::Context {
            context: pairs(inner),
        },
        "fusion" if inner == "dbsf" => Query::Fusion(Fusion::DistributionBased),
        // Its positions count from 0, and its k is 2 unless it is named.
        "fusion" => Query::Fusion(Fusion::ReciprocalRank {
            constant: 1.0,
            weights: Vec::new(),
        }),
        "rrf" => Query::Fusion(Fusion::ReciprocalRank {
            constant: inner["k"].as_f64().unwrap() as f32 - 1.0,
            weights: floats(&inner["weights"]),
        }),
        "order_by" => Query::OrderBy(OrderBy {
            key: inner["key"].as_str().unwrap().parse().unwrap(),
            direction: match inner["direction"] == "desc" {
                true => Direction::Descending,
                false => Direction::Ascending,
            },
            start_from: None,
        }),
        "formula" => Query::Formula(formula(inner, &value["defaults"])),
        other => panic!("{other}"),
    }
}

fn formula(value: &Value, defaults: &Value) -> Formula {
    let mut formula = Formula::new(expression(value));
    for (key, value) in defaults.as_object().unwrap() {
        match expression(&Value::from(key.as_str())) {
            Expression::Score(index) => {
                formula
                    .score_defaults
                    .insert(index, value.as_f64().unwrap());
            }
            _ => {
                formula
                    .payload_defaults
                    .insert(key.parse().unwrap(), value.clone());
            }
        }
    }
    formula
}

fn expression(value: &Value) -> Expression {
    if let Some(constant) = value.as_f64() {
        return Expression::Constant(constant);
    }
    if let Some(name) = value.as_str() {
        return match name.strip_prefix("$score") {
            Some("") => Expression::Score(0),
            Some(index) => Expression::Score(index.trim_matches(['[', ']']).parse().unwrap()),
            None => Expression::Payload(name.parse().unwrap()),
        };
    }
    if value.get("key").is_some() {
        return Expression::Condition(Box::new(condition(value)));
    }
    let (kind, inner) = value.as_object().unwrap().iter().next().unwrap();
    let operands = || list(inner).iter().map(expression).collect();
    let operand = |value: &Value| Box::new(expression(value));
    match kind.as_str() {
        "sum" => Expression::Sum(operands()),
        "mult" => Expression::Product(operands()),
        "max" => Expression::Max(operands()),
        "min" => Expression::Min(operands()),
        "neg" => Expression::Negation(operand(inner)),
        "abs" => Expression::Absolute(operand(inner)),
        "sqrt" => Expression::SquareRoot(operand(inner)),
        "exp" => Expression::Exponential(operand(inner)),
        "log10" => Expression::Log10(operand(inner)),
        "ln" => Expression::NaturalLog(operand(inner)),
        "pow" => Expression::Power {
            base: operand(&inner["base"]),
            exponent: operand(&inner["exponent"]),
        },
        "div" => Expression::Quotient {
            dividend: operand(&inner["left"]),
            divisor: operand(&inner["right"]),
            by_zero_default: inner["by_zero_default"].as_f64(),
        },
        "geo_distance" => Expression::GeoDistance {
            origin: GeoPoint {
                longitude: inner["origin"]["lon"].as_f64().unwrap(),
                latitude: inner["origin"]["lat"].as_f64().unwrap(),
            },
            to: inner["to"].as_str().unwrap().parse().unwrap(),
        },
        "datetime" => Expression::Datetime(datetime::parse(inner.as_str().unwrap()).unwrap()),
        "datetime_key" => Expression::DatetimePayload(inner.as_str().unwrap().parse().unwrap()),
        decay => Expression::Decay {
            shape: match decay {
                "lin_decay" => DecayShape::Linear,
                "exp_decay" => DecayShape::Exponential,
                "gauss_decay" => DecayShape::Gauss,
                other => panic!("{other}"),
            },
            value: operand(&inner["x"]),
            target: inner.get("target").map(operand),
            midpoint: inner["midpoint"].as_f64().unwrap_or(DECAY_MIDPOINT),
            scale: inner["scale"].as_f64().unwrap_or(DECAY_SCALE),
        },
    }
}
