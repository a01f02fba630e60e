//! Formulas against values computed by hand.

use serde_json::json;

use super::*;
use crate::filter::geo::GeoPoint;

fn payload_key(key: &str) -> Expression {
    Expression::Payload(key.parse().unwrap())
}

fn number(value: f64) -> Expression {
    Expression::Constant(value)
}

fn boxed(expression: Expression) -> Box<Expression> {
    Box::new(expression)
}

fn evaluate(formula: &Formula) -> Result<f32, String> {
    let serde_json::Value::Object(payload) = json!({
        "price": 4.0, "one": [2], "two": [1, 2], "zero": 0, "text": "x", "null": null,
        "when": "2021-01-01T00:00:10Z", "where": {"lon": 13.405, "lat": 52.52}, "deep": {"in": [{"a": 7}]},
    }) else {
        unreachable!()
    };
    formula.validate().map_err(|error| error.to_string())?;
    formula
        .evaluate(&Values {
            scores: &[Some(0.5), None],
            payload: &payload,
            conditions: &[true, false],
        })
        .map_err(|error| error.to_string())
}

fn check(expression: Expression, expected: f64) {
    let seen = evaluate(&Formula::new(expression.clone())).unwrap();
    assert!(
        (f64::from(seen) - expected).abs() < 1e-5 * expected.abs().max(1.0),
        "{expression:?}: {seen}"
    );
}

fn check_error(expression: Expression, expected: &str) {
    let error = evaluate(&Formula::new(expression)).unwrap_err();
    assert!(error.contains(expected), "{error}");
}

fn condition() -> Expression {
    Expression::Condition(Box::new(Condition::HasVector(String::new())))
}

fn decay(
    shape: DecayShape,
    value: f64,
    target: Option<f64>,
    midpoint: f64,
    scale: f64,
) -> Expression {
    Expression::Decay {
        shape,
        value: boxed(number(value)),
        target: target.map(|target| boxed(number(target))),
        midpoint,
        scale,
    }
}

#[test]
fn every_operator_as_computed_by_hand() {
    use Expression as E;
    check(
        E::Sum(vec![number(1.0), E::Score(0), payload_key("price")]),
        5.5,
    );
    check(E::Product(vec![number(3.0), payload_key("one")]), 6.0);
    check(E::Product(vec![]), 1.0);
    check(E::Max(vec![number(3.0), payload_key("price")]), 4.0);
    check(E::Min(vec![number(3.0), payload_key("price")]), 3.0);
    check(E::Negation(boxed(number(2.0))), -2.0);
    check(E::Absolute(boxed(number(-2.0))), 2.0);
    check(E::SquareRoot(boxed(payload_key("price"))), 2.0);
    check(
        E::Power {
            base: boxed(number(2.0)),
            exponent: boxed(number(10.0)),
        },
        1024.0,
    );
    check(E::Exponential(boxed(number(1.0))), std::f64::consts::E);
    check(E::Log10(boxed(number(1000.0))), 3.0);
    check(E::NaturalLog(boxed(number(std::f64::consts::E))), 1.0);
    check(E::InverseHyperbolicCosine(boxed(number(2.0))), 1.316_958);
    check(E::Datetime(1_500_000), 1.5);
    let when = E::DatetimePayload("when".parse().unwrap());
    check(E::Sum(vec![when, number(-1_609_459_200.0)]), 10.0);
    check(payload_key("deep.in[].a"), 7.0);
    check(E::Score(1), 0.0);
    // Berlin to Potsdam's (13.06, 52.4): the haversine formula in double precision, computed apart.
    let origin = GeoPoint {
        longitude: 13.06,
        latitude: 52.4,
    };
    check(
        E::Product(vec![
            E::GeoDistance {
                origin,
                to: "where".parse().unwrap(),
            },
            number(1e-3),
        ]),
        26.915_097,
    );
}

#[test]
fn decays_are_one_at_the_target_and_the_midpoint_a_scale_away() {
    for shape in [
        DecayShape::Linear,
        DecayShape::Exponential,
        DecayShape::Gauss,
    ] {
        check(decay(shape, 5.0, Some(5.0), 0.3, 2.0), 1.0);
        check(decay(shape, 7.0, Some(5.0), 0.3, 2.0), 0.3);
        check(decay(shape, -2.0, None, 0.25, 2.0), 0.25);
    }
    check(decay(DecayShape::Linear, 3.0, None, 0.5, 1.0), 0.0);
    check(decay(DecayShape::Exponential, 3.0, None, 0.5, 1.0), 0.125);
    check(decay(DecayShape::Gauss, 2.0, None, 0.5, 1.0), 0.0625);
}

#[test]
fn zeros_end_products_and_quotients_early_and_conditions_keep_their_places() {
    let quotient = |dividend, divisor, by_zero_default| Expression::Quotient {
        dividend: boxed(dividend),
        divisor: boxed(divisor),
        by_zero_default,
    };
    check(quotient(number(1.0), payload_key("price"), None), 0.25);
    check(quotient(number(1.0), payload_key("zero"), Some(9.0)), 9.0);
    check(
        quotient(payload_key("zero"), payload_key("missing"), None),
        0.0,
    );
    check_error(
        quotient(number(1.0), payload_key("zero"), None),
        "not a finite number",
    );
    // The first condition holds and stands in the part that is skipped; the second doesn't hold.
    let skipped = Expression::Product(vec![
        payload_key("zero"),
        condition(),
        payload_key("missing"),
    ]);
    check(Expression::Sum(vec![skipped, condition()]), 0.0);
    check(Expression::Sum(vec![condition(), condition()]), 1.0);
}

#[test]
fn defaults_stand_in_for_what_is_missing() {
    let mut formula = Formula::new(Expression::Sum(vec![
        payload_key("missing"),
        Expression::Score(1),
    ]));
    formula
        .payload_defaults
        .insert("missing".parse().unwrap(), json!([3]));
    formula.score_defaults.insert(1, 0.25);
    assert_eq!(evaluate(&formula).unwrap(), 3.25);
}

#[test]
fn wrong_values_and_settings_are_named() {
    check_error(payload_key("missing"), "formula.missing: has no value");
    check_error(payload_key("two"), "formula.two: has several values");
    check_error(payload_key("text"), "formula.text: is not a number");
    check_error(payload_key("null"), "formula.null: is not a number");
    check_error(Expression::SquareRoot(boxed(number(-1.0))), "sqrt(-1)");
    check_error(Expression::NaturalLog(boxed(number(0.0))), "ln(0)");
    check_error(Expression::Exponential(boxed(number(1e4))), "exp(10000)");
    check_error(
        Expression::Product(vec![number(1e300), number(1e-1)]),
        "its value",
    );
    check_error(Expression::Max(vec![]), "formula.max");
    check_error(
        decay(DecayShape::Gauss, 1.0, None, 1.0, 1.0),
        "formula.decay.midpoint",
    );
    check_error(
        decay(DecayShape::Linear, 1.0, None, 1.0, 0.0),
        "formula.decay.scale",
    );
    let deep = (0..40).fold(number(1.0), |inner, _| Expression::Negation(boxed(inner)));
    check_error(deep, "formula depth is 33, more than the limit of 32");
    check_error(
        Expression::Sum(vec![number(1.0); 2000]),
        "more than the limit of 1024",
    );
}
