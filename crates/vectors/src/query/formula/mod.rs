//! Formulas: scores computed from the scores of prefetches, payload values and conditions.
//!
//! Arithmetic is f64, the result is rounded to f32. A value that is missing without a default, of the wrong type, or a
//! result that is not a finite number is an error of the request, never a silent 0: a formula that fails for one point
//! would order the others wrongly.

mod evaluate;
#[cfg(test)]
mod tests;
mod validate;

use std::collections::BTreeMap;

use crate::filter::geo::GeoPoint;
use crate::filter::{Condition, FieldPath};

pub use evaluate::Values;

/// Most nested expressions.
pub const DEPTH_MAX: usize = 32;

/// Most expressions in a formula.
pub const EXPRESSIONS_MAX: usize = 1_024;

/// A score computed for each point.
#[derive(Debug, Clone, PartialEq)]
pub struct Formula {
    /// What is computed.
    pub expression: Expression,
    /// Values that stand in for what a payload lacks.
    pub payload_defaults: BTreeMap<FieldPath, serde_json::Value>,
    /// Scores of points that a prefetch didn't find, by the prefetch's number; 0 where there is none.
    pub score_defaults: BTreeMap<usize, f64>,
}

/// A number computed for a point.
#[derive(Debug, Clone, PartialEq)]
pub enum Expression {
    /// The number itself.
    Constant(f64),
    /// The point's score in the prefetch of this number, from 0.
    Score(usize),
    /// A number of the payload.
    Payload(FieldPath),
    /// 1 if the point satisfies the condition, else 0.
    Condition(Box<Condition>),
    /// Metres on the great circle from `origin` to the place in the payload.
    GeoDistance {
        /// From where.
        origin: GeoPoint,
        /// The field with the other place.
        to: FieldPath,
    },
    /// Seconds since 1970 of a date and time, in microseconds.
    Datetime(i64),
    /// Seconds since 1970 of the date and time in the payload.
    DatetimePayload(FieldPath),
    /// The sum; 0 of nothing.
    Sum(Vec<Expression>),
    /// The product; 1 of nothing. The first 0 ends the evaluation.
    Product(Vec<Expression>),
    /// The largest.
    Max(Vec<Expression>),
    /// The smallest.
    Min(Vec<Expression>),
    /// The quotient.
    Quotient {
        /// What is divided; 0 is the result at once.
        dividend: Box<Expression>,
        /// By what.
        divisor: Box<Expression>,
        /// The result where the divisor is 0.
        by_zero_default: Option<f64>,
    },
    /// Minus the value.
    Negation(Box<Expression>),
    /// The value without its sign.
    Absolute(Box<Expression>),
    /// The square root.
    SquareRoot(Box<Expression>),
    /// A power.
    Power {
        /// Of what.
        base: Box<Expression>,
        /// Which.
        exponent: Box<Expression>,
    },
    /// e to the value.
    Exponential(Box<Expression>),
    /// Logarithm to base 10.
    Log10(Box<Expression>),
    /// Natural logarithm.
    NaturalLog(Box<Expression>),
    /// Inverse hyperbolic cosine.
    InverseHyperbolicCosine(Box<Expression>),
    /// 1 at a target, falling with the distance from it.
    Decay {
        /// How it falls.
        shape: DecayShape,
        /// The value.
        value: Box<Expression>,
        /// Where it is 1; 0 by default.
        target: Option<Box<Expression>>,
        /// What it is `scale` away from the target; 0.5 by default.
        midpoint: f64,
        /// The distance at which it is `midpoint`, above 0; 1 by default.
        scale: f64,
    },
}

/// How a decay falls with the distance `d` from its target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DecayShape {
    /// max(0, 1 − (1 − midpoint) · d / scale).
    Linear,
    /// midpoint ^ (d / scale).
    Exponential,
    /// midpoint ^ (d / scale)².
    Gauss,
}

/// The midpoint of a decay that names none.
pub const DECAY_MIDPOINT: f64 = 0.5;

/// The scale of a decay that names none.
pub const DECAY_SCALE: f64 = 1.0;

impl Expression {
    /// Calls `visit` with this expression and then with those inside, in the order of evaluation.
    pub fn visit<'e>(&'e self, visit: &mut dyn FnMut(&'e Expression)) {
        visit(self);
        self.each_operand(&mut |operand| operand.visit(visit));
    }

    /// Calls `each` with the expressions directly inside.
    fn each_operand<'e>(&'e self, each: &mut dyn FnMut(&'e Expression)) {
        match self {
            Expression::Constant(_)
            | Expression::Score(_)
            | Expression::Payload(_)
            | Expression::Condition(_)
            | Expression::GeoDistance { .. }
            | Expression::Datetime(_)
            | Expression::DatetimePayload(_) => {}
            Expression::Sum(operands)
            | Expression::Product(operands)
            | Expression::Max(operands)
            | Expression::Min(operands) => operands.iter().for_each(each),
            Expression::Negation(operand)
            | Expression::Absolute(operand)
            | Expression::SquareRoot(operand)
            | Expression::Exponential(operand)
            | Expression::Log10(operand)
            | Expression::NaturalLog(operand)
            | Expression::InverseHyperbolicCosine(operand) => each(operand),
            Expression::Quotient {
                dividend, divisor, ..
            } => {
                each(dividend);
                each(divisor);
            }
            Expression::Power { base, exponent } => {
                each(base);
                each(exponent);
            }
            Expression::Decay { value, target, .. } => {
                each(value);
                if let Some(target) = target {
                    each(target);
                }
            }
        }
    }
}

impl Formula {
    /// A formula without defaults.
    pub fn new(expression: Expression) -> Self {
        Formula {
            expression,
            payload_defaults: BTreeMap::new(),
            score_defaults: BTreeMap::new(),
        }
    }

    /// Its conditions, in the order that [`Values::conditions`] follows.
    pub fn conditions(&self) -> Vec<&Condition> {
        let mut conditions = Vec::new();
        self.expression.visit(&mut |expression| {
            if let Expression::Condition(condition) = expression {
                conditions.push(condition.as_ref());
            }
        });
        conditions
    }

    /// Whether it reads the payload; without, no payload needs to be fetched.
    pub fn reads_payload(&self) -> bool {
        let mut reads = false;
        self.expression.visit(&mut |expression| {
            reads |= matches!(
                expression,
                Expression::Payload(_)
                    | Expression::GeoDistance { .. }
                    | Expression::DatetimePayload(_)
            );
        });
        reads
    }
}
