//! Bounds of formulas, checked before any point is scored.

use super::{DEPTH_MAX, DecayShape, EXPRESSIONS_MAX, Expression, Formula};
use crate::error::VectorsError;
use crate::filter::Filter;

impl Formula {
    /// Refuses formulas too large or too deep, operators without operands, and decays out of range.
    ///
    /// # Errors
    /// [`VectorsError::Invalid`] or [`VectorsError::Limit`] naming the part of the formula.
    pub fn validate(&self) -> Result<(), VectorsError> {
        let mut count = 0;
        validate(&self.expression, 1, &mut count)?;
        if self
            .score_defaults
            .values()
            .any(|default| !default.is_finite())
        {
            return Err(VectorsError::invalid(
                "formula.defaults",
                "must be finite numbers",
            ));
        }
        Ok(())
    }
}

fn validate(expression: &Expression, depth: usize, count: &mut usize) -> Result<(), VectorsError> {
    *count += 1;
    for (what, limit, actual) in [
        ("formula depth", DEPTH_MAX, depth),
        (
            "number of expressions in the formula",
            EXPRESSIONS_MAX,
            *count,
        ),
    ] {
        if actual > limit {
            return Err(VectorsError::Limit {
                what,
                limit: limit as u64,
                actual: actual as u64,
            });
        }
    }
    let invalid =
        |part: &str, message: &str| Err(VectorsError::invalid(format!("formula.{part}"), message));
    match expression {
        Expression::Constant(value) if !value.is_finite() => {
            return invalid("constant", "must be a finite number");
        }
        Expression::Max(operands) if operands.is_empty() => {
            return invalid("max", "needs at least one operand");
        }
        Expression::Min(operands) if operands.is_empty() => {
            return invalid("min", "needs at least one operand");
        }
        Expression::Quotient {
            by_zero_default: Some(default),
            ..
        } if !default.is_finite() => {
            return invalid("div.by_zero_default", "must be a finite number");
        }
        Expression::GeoDistance { origin, .. } if !origin.is_on_earth() => {
            return invalid("geo_distance.origin", "must be a place on earth");
        }
        Expression::Condition(condition) => {
            Filter {
                must: vec![condition.as_ref().clone()],
                ..Filter::default()
            }
            .validate()?;
        }
        Expression::Decay {
            shape,
            midpoint,
            scale,
            ..
        } => {
            let fits = match shape {
                DecayShape::Linear => (0.0..=1.0).contains(midpoint),
                // The logarithm of the midpoint has to be a number below 0.
                DecayShape::Exponential | DecayShape::Gauss => *midpoint > 0.0 && *midpoint < 1.0,
            };
            if !fits {
                return invalid("decay.midpoint", "must be between 0 and 1");
            }
            if !scale.is_finite() || *scale <= 0.0 {
                return invalid("decay.scale", "must be above 0");
            }
        }
        _ => {}
    }
    let mut result = Ok(());
    expression.each_operand(&mut |operand| {
        if result.is_ok() {
            result = validate(operand, depth + 1, count);
        }
    });
    result
}
