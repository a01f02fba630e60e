//! Formulas from the wire. The engine bounds their size; the decoder bounds their depth.

use std::collections::BTreeMap;

use service::Error;
use service::collections::filter::datetime;
use service::collections::query::formula::{DECAY_MIDPOINT, DECAY_SCALE, DecayShape};
use service::collections::query::{Expression, Formula};

use super::filters::{condition, place};
use super::ids::path;
use super::values::json;
use super::{invalid, missing};
use crate::grpc::protocol::qdrant as wire;
use wire::expression::Variant;

/// A formula that a client sent.
///
/// # Errors
/// A part is missing or not valid.
pub fn formula(formula: wire::Formula) -> Result<Formula, Error> {
    let expression = formula.expression.ok_or_else(|| missing("expression"))?;
    let mut payload_defaults = BTreeMap::new();
    let mut score_defaults = BTreeMap::new();
    for (name, value) in formula.defaults {
        let value = json(value)?;
        match variable(&name)? {
            Expression::Score(number) => {
                let score = value
                    .as_f64()
                    .ok_or_else(|| invalid("defaults", format!("`{name}` is not a number")))?;
                score_defaults.insert(number, score);
            }
            Expression::Payload(key) => {
                payload_defaults.insert(key, value);
            }
            _ => {}
        }
    }
    Ok(Formula {
        expression: expression_of(expression)?,
        payload_defaults,
        score_defaults,
    })
}

/// `$score`, `$score[2]`, or a field of the payload.
fn variable(name: &str) -> Result<Expression, Error> {
    let Some(rest) = name.strip_prefix("$score") else {
        return path("variable", name).map(Expression::Payload);
    };
    let number = match rest {
        "" => Some(0),
        _ => rest
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
            .and_then(|number| number.parse().ok()),
    };
    number.map(Expression::Score).ok_or_else(|| {
        invalid(
            "variable",
            format!("`{name}` is not the score of a prefetch"),
        )
    })
}

fn boxed(expression: Option<Box<wire::Expression>>) -> Result<Box<Expression>, Error> {
    let expression = expression.ok_or_else(|| missing("expression"))?;
    expression_of(*expression).map(Box::new)
}

fn all(expressions: Vec<wire::Expression>) -> Result<Vec<Expression>, Error> {
    expressions.into_iter().map(expression_of).collect()
}

fn expression_of(expression: wire::Expression) -> Result<Expression, Error> {
    Ok(
        match expression.variant.ok_or_else(|| missing("expression"))? {
            Variant::Constant(constant) => Expression::Constant(f64::from(constant)),
            Variant::Variable(name) => variable(&name)?,
            Variant::Condition(inner) => Expression::Condition(Box::new(condition(inner)?)),
            Variant::GeoDistance(distance) => Expression::GeoDistance {
                origin: place("geo_distance.origin", distance.origin)?,
                to: path("geo_distance.to", &distance.to)?,
            },
            Variant::Datetime(text) => datetime::parse(&text)
                .map(Expression::Datetime)
                .ok_or_else(|| invalid("datetime", format!("`{text}` is not a date and time")))?,
            Variant::DatetimeKey(key) => Expression::DatetimePayload(path("datetime_key", &key)?),
            Variant::Mult(product) => Expression::Product(all(product.mult)?),
            Variant::Sum(sum) => Expression::Sum(all(sum.sum)?),
            Variant::Max(max) => Expression::Max(all(max.max)?),
            Variant::Min(min) => Expression::Min(all(min.min)?),
            Variant::Div(quotient) => Expression::Quotient {
                dividend: boxed(quotient.left)?,
                divisor: boxed(quotient.right)?,
                by_zero_default: quotient.by_zero_default.map(f64::from),
            },
            Variant::Neg(inner) => Expression::Negation(boxed(Some(inner))?),
            Variant::Abs(inner) => Expression::Absolute(boxed(Some(inner))?),
            Variant::Sqrt(inner) => Expression::SquareRoot(boxed(Some(inner))?),
            Variant::Pow(power) => Expression::Power {
                base: boxed(power.base)?,
                exponent: boxed(power.exponent)?,
            },
            Variant::Exp(inner) => Expression::Exponential(boxed(Some(inner))?),
            Variant::Log10(inner) => Expression::Log10(boxed(Some(inner))?),
            Variant::Ln(inner) => Expression::NaturalLog(boxed(Some(inner))?),
            Variant::Acosh(inner) => Expression::InverseHyperbolicCosine(boxed(Some(inner))?),
            Variant::ExpDecay(decay) => falling(DecayShape::Exponential, *decay)?,
            Variant::GaussDecay(decay) => falling(DecayShape::Gauss, *decay)?,
            Variant::LinDecay(decay) => falling(DecayShape::Linear, *decay)?,
        },
    )
}

fn falling(shape: DecayShape, decay: wire::DecayParamsExpression) -> Result<Expression, Error> {
    Ok(Expression::Decay {
        shape,
        value: boxed(decay.x)?,
        target: match decay.target {
            None => None,
            target => Some(boxed(target)?),
        },
        midpoint: decay.midpoint.map_or(DECAY_MIDPOINT, f64::from),
        scale: decay.scale.map_or(DECAY_SCALE, f64::from),
    })
}
