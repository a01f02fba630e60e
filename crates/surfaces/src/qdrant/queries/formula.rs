//! Formulas on the wire.

use serde_json::Value;
use service::Error;
use service::collections::filter::datetime;
use service::collections::filter::geo::GeoPoint;
use service::collections::query::formula::{DECAY_MIDPOINT, DECAY_SCALE, DecayShape};
use service::collections::query::{Expression, Formula};

use super::super::filter;
use super::part::Part;

/// A formula and the values that stand in for what is missing.
pub fn formula(part: &Part<'_>, defaults: Option<&Part<'_>>) -> Result<Formula, Error> {
    let mut formula = Formula::new(expression(part)?);
    let Some(defaults) = defaults else {
        return Ok(formula);
    };
    for (name, value) in defaults.entries()? {
        match variable(name, &value)? {
            Expression::Score(prefetch) => {
                formula.score_defaults.insert(prefetch, value.number()?);
            }
            Expression::Payload(key) => {
                formula.payload_defaults.insert(key, value.value().clone());
            }
            _ => {}
        }
    }
    Ok(formula)
}

/// `$score`, `$score[2]` or the path of a field.
fn variable(name: &str, part: &Part<'_>) -> Result<Expression, Error> {
    let Some(rest) = name.strip_prefix('$') else {
        return name
            .parse()
            .map(Expression::Payload)
            .map_err(|error| part.invalid(error));
    };
    match rest.strip_prefix("score") {
        Some("") => Ok(Expression::Score(0)),
        Some(index) => index
            .strip_prefix('[')
            .and_then(|index| index.strip_suffix(']'))
            .and_then(|index| index.parse().ok())
            .map(Expression::Score)
            .ok_or_else(|| part.invalid(format_args!("`{name}` is not $score[n]"))),
        None => Err(part.invalid(format_args!("unknown variable `{name}`, expected $score"))),
    }
}

fn expression(part: &Part<'_>) -> Result<Expression, Error> {
    match part.value() {
        Value::Number(_) => return part.number().map(Expression::Constant),
        Value::String(name) => return variable(name, part),
        _ => {}
    }
    let fields = part.map()?;
    // Conditions have a field of their own kind, and more than one of them; expressions have exactly one.
    let Some(kind) = fields
        .keys()
        .next()
        .filter(|kind| fields.len() == 1 && is_operator(kind))
    else {
        return condition(part);
    };
    let inner = part.required(kind)?;
    match kind.as_str() {
        "mult" => operands(&inner).map(Expression::Product),
        "sum" => operands(&inner).map(Expression::Sum),
        "max" => operands(&inner).map(Expression::Max),
        "min" => operands(&inner).map(Expression::Min),
        "neg" => operand(&inner).map(Expression::Negation),
        "abs" => operand(&inner).map(Expression::Absolute),
        "sqrt" => operand(&inner).map(Expression::SquareRoot),
        "exp" => operand(&inner).map(Expression::Exponential),
        "log10" => operand(&inner).map(Expression::Log10),
        "ln" => operand(&inner).map(Expression::NaturalLog),
        "acosh" => operand(&inner).map(Expression::InverseHyperbolicCosine),
        "datetime" => datetime::parse(inner.text()?)
            .map(Expression::Datetime)
            .ok_or_else(|| inner.invalid("expected a date and time (RFC 3339)")),
        "datetime_key" => {
            let key = inner.text()?.parse();
            key.map(Expression::DatetimePayload)
                .map_err(|error| inner.invalid(error))
        }
        "geo_distance" => geo_distance(&inner),
        "div" => {
            inner.object(&["left", "right", "by_zero_default"])?;
            Ok(Expression::Quotient {
                dividend: operand(&inner.required("left")?)?,
                divisor: operand(&inner.required("right")?)?,
                by_zero_default: inner
                    .field("by_zero_default")
                    .map(|value| value.number())
                    .transpose()?,
            })
        }
        "pow" => {
            inner.object(&["base", "exponent"])?;
            Ok(Expression::Power {
                base: operand(&inner.required("base")?)?,
                exponent: operand(&inner.required("exponent")?)?,
            })
        }
        "lin_decay" => decay(&inner, DecayShape::Linear),
        "exp_decay" => decay(&inner, DecayShape::Exponential),
        _ => decay(&inner, DecayShape::Gauss),
    }
}

/// Names of everything but conditions.
fn is_operator(name: &str) -> bool {
    const OPERATORS: [&str; 19] = [
        "mult",
        "sum",
        "max",
        "min",
        "neg",
        "abs",
        "sqrt",
        "exp",
        "log10",
        "ln",
        "acosh",
        "datetime",
        "datetime_key",
        "geo_distance",
        "div",
        "pow",
        "lin_decay",
        "exp_decay",
        "gauss_decay",
    ];
    OPERATORS.contains(&name)
}

fn operand(part: &Part<'_>) -> Result<Box<Expression>, Error> {
    expression(part).map(Box::new)
}

fn operands(part: &Part<'_>) -> Result<Vec<Expression>, Error> {
    part.items()?.map(|operand| expression(&operand)).collect()
}

fn condition(part: &Part<'_>) -> Result<Expression, Error> {
    // Read as the only condition of a filter, whose errors then name its place.
    let condition = filter::condition(part.value(), &part.path())?;
    Ok(Expression::Condition(Box::new(condition)))
}

fn geo_distance(part: &Part<'_>) -> Result<Expression, Error> {
    part.object(&["origin", "to"])?;
    let origin = part.required("origin")?;
    origin.object(&["lat", "lon"])?;
    let to = part.required("to")?;
    Ok(Expression::GeoDistance {
        origin: GeoPoint {
            latitude: origin.required("lat")?.number()?,
            longitude: origin.required("lon")?.number()?,
        },
        to: to.text()?.parse().map_err(|error| to.invalid(error))?,
    })
}

fn decay(part: &Part<'_>, shape: DecayShape) -> Result<Expression, Error> {
    part.object(&["x", "target", "scale", "midpoint"])?;
    let number = |key: &str, usual: f64| part.field(key).map_or(Ok(usual), |value| value.number());
    Ok(Expression::Decay {
        shape,
        value: operand(&part.required("x")?)?,
        target: part
            .field("target")
            .map(|target| operand(&target))
            .transpose()?,
        midpoint: number("midpoint", DECAY_MIDPOINT)?,
        scale: number("scale", DECAY_SCALE)?,
    })
}
