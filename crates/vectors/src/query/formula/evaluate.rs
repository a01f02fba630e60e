//! Evaluation of a formula for one point.

use serde_json::Value;

use super::{DecayShape, Expression, Formula};
use crate::error::VectorsError;
use crate::filter::geo::GeoPoint;
use crate::filter::{FieldPath, datetime};
use crate::point::Payload;

const MICROSECONDS_PER_SECOND: f64 = 1_000_000.0;

/// What is known of one point.
#[derive(Debug, Clone, Copy)]
pub struct Values<'a> {
    /// Its scores by prefetch; `None` where it was not found.
    pub scores: &'a [Option<f32>],
    /// Its payload.
    pub payload: &'a Payload,
    /// Whether it satisfies each of [`Formula::conditions`].
    pub conditions: &'a [bool],
}

impl Formula {
    /// The point's score.
    ///
    /// # Errors
    /// [`VectorsError::Invalid`] when a value is missing or of the wrong type, or a result isn't a finite number.
    pub fn evaluate(&self, values: &Values<'_>) -> Result<f32, VectorsError> {
        let mut evaluation = Evaluation {
            formula: self,
            values,
            conditions_met: 0,
        };
        let score = evaluation.value(&self.expression)? as f32;
        finite(f64::from(score), || "its value".to_owned()).map(|_| score)
    }
}

struct Evaluation<'a> {
    formula: &'a Formula,
    values: &'a Values<'a>,
    /// How many conditions were passed, so that the next one's place is known.
    conditions_met: usize,
}

impl<'a> Evaluation<'a> {
    fn value(&mut self, expression: &'a Expression) -> Result<f64, VectorsError> {
        Ok(match expression {
            Expression::Constant(value) => *value,
            Expression::Score(index) => self.score(*index),
            Expression::Payload(key) => self.number(key)?,
            Expression::Condition(_) => self.condition(),
            Expression::GeoDistance { origin, to } => origin.distance_metres(self.place(to)?),
            Expression::Datetime(micros) => *micros as f64 / MICROSECONDS_PER_SECOND,
            Expression::DatetimePayload(key) => self.seconds(key)?,
            Expression::Sum(operands) => {
                let mut sum = 0.0;
                for operand in operands {
                    sum += self.value(operand)?;
                }
                sum
            }
            Expression::Product(operands) => self.product(operands)?,
            Expression::Max(operands) => self.fold(operands, f64::NEG_INFINITY, f64::max)?,
            Expression::Min(operands) => self.fold(operands, f64::INFINITY, f64::min)?,
            Expression::Quotient {
                dividend,
                divisor,
                by_zero_default,
            } => self.quotient(dividend, divisor, *by_zero_default)?,
            Expression::Negation(operand) => -self.value(operand)?,
            Expression::Absolute(operand) => self.value(operand)?.abs(),
            Expression::SquareRoot(operand) => self.function("sqrt", operand, f64::sqrt)?,
            Expression::Power { base, exponent } => {
                let (base, exponent) = (self.value(base)?, self.value(exponent)?);
                finite(base.powf(exponent), || format!("{base}^{exponent}"))?
            }
            Expression::Exponential(operand) => self.function("exp", operand, f64::exp)?,
            Expression::Log10(operand) => self.function("log10", operand, f64::log10)?,
            Expression::NaturalLog(operand) => self.function("ln", operand, f64::ln)?,
            Expression::InverseHyperbolicCosine(operand) => {
                self.function("acosh", operand, f64::acosh)?
            }
            Expression::Decay {
                shape,
                value,
                target,
                midpoint,
                scale,
            } => {
                let value = self.value(value)?;
                let target = match target {
                    Some(target) => self.value(target)?,
                    None => 0.0,
                };
                decay(*shape, (value - target).abs() / scale, *midpoint)
            }
        })
    }

    fn score(&self, index: usize) -> f64 {
        let found = self.values.scores.get(index).copied().flatten();
        found.map_or_else(
            || {
                self.formula
                    .score_defaults
                    .get(&index)
                    .copied()
                    .unwrap_or(0.0)
            },
            f64::from,
        )
    }

    fn condition(&mut self) -> f64 {
        let holds = self.values.conditions.get(self.conditions_met);
        self.conditions_met += 1;
        f64::from(u8::from(holds == Some(&true)))
    }

    /// A factor of 0 is the product at once; what stands behind it may even have no value.
    fn product(&mut self, operands: &'a [Expression]) -> Result<f64, VectorsError> {
        let mut product = 1.0;
        for (index, operand) in operands.iter().enumerate() {
            let factor = self.value(operand)?;
            if factor == 0.0 {
                operands[index + 1..]
                    .iter()
                    .for_each(|skipped| self.skip(skipped));
                return Ok(0.0);
            }
            product *= factor;
        }
        Ok(product)
    }

    fn quotient(
        &mut self,
        dividend: &'a Expression,
        divisor: &'a Expression,
        by_zero_default: Option<f64>,
    ) -> Result<f64, VectorsError> {
        let dividend = self.value(dividend)?;
        if dividend == 0.0 {
            self.skip(divisor);
            return Ok(0.0);
        }
        let divisor = self.value(divisor)?;
        match by_zero_default {
            Some(default) if divisor == 0.0 => Ok(default),
            _ => finite(dividend / divisor, || format!("{dividend} / {divisor}")),
        }
    }

    fn fold(
        &mut self,
        operands: &'a [Expression],
        first: f64,
        combine: fn(f64, f64) -> f64,
    ) -> Result<f64, VectorsError> {
        let mut result = first;
        for operand in operands {
            result = combine(result, self.value(operand)?);
        }
        Ok(result)
    }

    fn function(
        &mut self,
        name: &str,
        operand: &'a Expression,
        function: fn(f64) -> f64,
    ) -> Result<f64, VectorsError> {
        let value = self.value(operand)?;
        finite(function(value), || format!("{name}({value})"))
    }

    /// Passes the conditions of an expression that isn't evaluated.
    fn skip(&mut self, expression: &'a Expression) {
        expression.visit(&mut |inner| {
            self.conditions_met += usize::from(matches!(inner, Expression::Condition(_)));
        });
    }

    /// The one value of a field, or its default. An array of one element is that element.
    fn payload_value(&self, key: &FieldPath) -> Result<&'a Value, VectorsError> {
        let selected = self.values.payload_values(key);
        match (selected.as_slice(), self.formula.payload_defaults.get(key)) {
            ([value], _) => Ok(value),
            ([], Some(Value::Array(values))) if values.len() == 1 => Ok(&values[0]),
            ([], Some(Value::Array(_)) | None) => Err(missing(key, "has no value and no default")),
            ([], Some(default)) => Ok(default),
            _ => Err(missing(key, "has several values")),
        }
    }

    fn number(&self, key: &FieldPath) -> Result<f64, VectorsError> {
        self.payload_value(key)?
            .as_f64()
            .ok_or_else(|| missing(key, "is not a number"))
    }

    fn place(&self, key: &FieldPath) -> Result<GeoPoint, VectorsError> {
        GeoPoint::of_value(self.payload_value(key)?)
            .ok_or_else(|| missing(key, "is not a place with `lon` and `lat`"))
    }

    fn seconds(&self, key: &FieldPath) -> Result<f64, VectorsError> {
        self.payload_value(key)?
            .as_str()
            .and_then(datetime::parse)
            .map(|micros| micros as f64 / MICROSECONDS_PER_SECOND)
            .ok_or_else(|| missing(key, "is not a date and time"))
    }
}

impl<'a> Values<'a> {
    /// Values that a path selects, arrays as their elements.
    fn payload_values(&self, key: &FieldPath) -> Vec<&'a Value> {
        let mut values = Vec::new();
        key.visit(self.payload, &mut |value| {
            match value {
                Value::Array(elements) => values.extend(elements),
                single => values.push(single),
            }
            true
        });
        values
    }
}

/// The decay at `distance`, in scales.
fn decay(shape: DecayShape, distance: f64, midpoint: f64) -> f64 {
    match shape {
        DecayShape::Linear => (1.0 - (1.0 - midpoint) * distance).max(0.0),
        DecayShape::Exponential => (midpoint.ln() * distance).exp(),
        DecayShape::Gauss => (midpoint.ln() * distance * distance).exp(),
    }
}

fn finite(value: f64, what: impl FnOnce() -> String) -> Result<f64, VectorsError> {
    if value.is_finite() {
        return Ok(value);
    }
    Err(VectorsError::invalid(
        "formula",
        format!("{} is not a finite number", what()),
    ))
}

fn missing(key: &FieldPath, message: &str) -> VectorsError {
    VectorsError::invalid(format!("formula.{key}"), message)
}
