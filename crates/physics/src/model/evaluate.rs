//! Evaluating any model on columns or rows.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::{Body, ScienceModel};
use crate::device::{Compute, Device};
use crate::error::{PhysicsError, check_count};
use crate::waves::Coordinates;
use crate::waves::coordinates::{self, POINTS_MAX};

/// The points to evaluate at.
#[derive(Debug, Clone, Copy)]
pub enum Inputs<'a> {
    /// Columns by the names of [`ScienceModel::input_names`]; all equally long or of length one. One that is left out is 0.
    Columns(&'a [(&'a str, &'a [f64])]),
    /// Rows one after another, each in the order of [`ScienceModel::input_names`].
    Rows(&'a [f64]),
    /// The same in single precision.
    RowsSingle(&'a [f32]),
}

/// How exactly to compute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// `f32`, vectorised.
    #[default]
    Single,
    /// `f64`: waves, ensembles and the interference basis only.
    Double,
}

/// What a model gave.
#[derive(Debug, Clone, PartialEq)]
pub struct Output {
    /// The values, row by row.
    pub values: Vec<f64>,
    /// Rows; for every model but a single wave, columns.
    pub shape: Vec<usize>,
    /// The device that computed them.
    pub device: Device,
}

impl ScienceModel {
    /// The outputs at every point. The interference basis always computes in double precision; it and whatever is asked for
    /// in double precision compute on the processor wherever the model is placed, as the output says.
    ///
    /// # Errors
    /// Names, shapes or sizes that do not fit the model; double precision of a network.
    pub fn evaluate(
        &self,
        compute: &Compute,
        precision: Precision,
        inputs: Inputs<'_>,
    ) -> Result<Output, PhysicsError> {
        if precision == Precision::Double && !self.is_double() {
            return Err(PhysicsError::NotSupported {
                what: format!("double precision of a {}", self.config.kind()),
            });
        }
        #[cfg(feature = "accelerator")]
        if let Some((device, accelerator)) = &compute.accelerator
            && precision == Precision::Single
            && let Some(values) = self.accelerated(accelerator, inputs)?
        {
            return Ok(self.output(wide(values), *device));
        }
        let processor = compute.processor;
        let values = match &self.body {
            Body::Wave(wave) if precision == Precision::Single => {
                let columns = self.columns::<f32>(inputs)?;
                let points = points(wave.layout(), &columns)?;
                wide(wave.evaluate_single(processor, &points)?)
            }
            Body::Ensemble(ensemble) if precision == Precision::Single => {
                let columns = self.columns::<f32>(inputs)?;
                let points = points(ensemble.layout(), &columns)?;
                wide(ensemble.evaluate_single(processor, &points)?)
            }
            Body::Wave(wave) => {
                wave.evaluate(&points(wave.layout(), &self.columns::<f64>(inputs)?)?)?
            }
            Body::Ensemble(ensemble) => {
                ensemble.evaluate(&points(ensemble.layout(), &self.columns::<f64>(inputs)?)?)?
            }
            Body::Interference(basis) => {
                basis.evaluate(&points(basis.layout(), &self.columns::<f64>(inputs)?)?)?
            }
            Body::Network(network) => wide(network.evaluate(processor, &self.rows(inputs)?)?),
            Body::Fourier(features) => wide(features.evaluate(processor, &self.rows(inputs)?)?),
        };
        Ok(self.output(values, Device::Cpu))
    }

    fn output(&self, values: Vec<f64>, device: Device) -> Output {
        let rows = values.len() / self.outputs();
        let shape = match &self.body {
            Body::Wave(_) => vec![rows],
            _ => vec![rows, self.outputs()],
        };
        Output {
            values,
            shape,
            device,
        }
    }

    /// The outputs from the accelerator, or nothing when this kind of model only computes on the processor.
    #[cfg(feature = "accelerator")]
    fn accelerated(
        &self,
        accelerator: &crate::accelerator::Accelerator,
        inputs: Inputs<'_>,
    ) -> Result<Option<Vec<f32>>, PhysicsError> {
        let rows = self.rows(inputs)?;
        Ok(Some(match &self.body {
            Body::Wave(wave) => accelerator.evaluate(wave, &rows)?,
            Body::Ensemble(ensemble) => accelerator.evaluate(ensemble, &rows)?,
            Body::Network(network) => accelerator.evaluate(network, &rows)?,
            Body::Fourier(features) => accelerator.evaluate(features, &rows)?,
            Body::Interference(_) => return Ok(None),
        }))
    }

    /// The inputs as columns in the model's order.
    fn columns<'a, T: Input>(&self, inputs: Inputs<'a>) -> Result<Vec<Cow<'a, [T]>>, PhysicsError> {
        match inputs {
            Inputs::Columns(named) => {
                let ordered = order(&self.input_names(), named)?;
                Ok(ordered.into_iter().map(T::from_double).collect())
            }
            Inputs::Rows(rows) => self.transposed(rows, T::of_double),
            Inputs::RowsSingle(rows) => self.transposed(rows, T::of_single),
        }
    }

    fn transposed<'a, T: Input, S: Copy>(
        &self,
        rows: &[S],
        convert: fn(S) -> T,
    ) -> Result<Vec<Cow<'a, [T]>>, PhysicsError> {
        let width = self.inputs();
        check_rows(rows.len(), width)?;
        Ok((0..width)
            .map(|column| {
                rows.iter()
                    .skip(column)
                    .step_by(width)
                    .map(|one| convert(*one))
                    .collect()
            })
            .collect())
    }

    /// The inputs as rows in single precision, as networks read them.
    pub(crate) fn rows<'a>(&self, inputs: Inputs<'a>) -> Result<Cow<'a, [f32]>, PhysicsError> {
        match inputs {
            Inputs::RowsSingle(rows) => {
                check_rows(rows.len(), self.inputs())?;
                Ok(Cow::Borrowed(rows))
            }
            Inputs::Rows(rows) => {
                check_rows(rows.len(), self.inputs())?;
                Ok(rows.iter().map(|one| *one as f32).collect())
            }
            Inputs::Columns(named) => {
                let names = self.input_names();
                let columns = order(&names, named)?;
                let count = coordinates::broadcast(names.iter().map(String::as_str).zip(&columns))?;
                check_count("rows", count, 1, crate::network::ROWS_MAX)?;
                let mut rows = Vec::with_capacity(count * columns.len());
                for row in 0..count {
                    let at = |column: &&[f64]| column[if column.len() == 1 { 0 } else { row }];
                    rows.extend(columns.iter().map(|column| at(column) as f32));
                }
                Ok(Cow::Owned(rows))
            }
        }
    }
}

/// A precision that inputs are turned into.
trait Input: coordinates::Scalar {
    fn of_double(value: f64) -> Self;
    fn of_single(value: f32) -> Self;
    fn from_double(values: &[f64]) -> Cow<'_, [Self]>;
}

impl Input for f32 {
    fn of_double(value: f64) -> f32 {
        value as f32
    }

    fn of_single(value: f32) -> f32 {
        value
    }

    fn from_double(values: &[f64]) -> Cow<'_, [f32]> {
        values.iter().map(|one| *one as f32).collect()
    }
}

impl Input for f64 {
    fn of_double(value: f64) -> f64 {
        value
    }

    fn of_single(value: f32) -> f64 {
        f64::from(value)
    }

    fn from_double(values: &[f64]) -> Cow<'_, [f64]> {
        Cow::Borrowed(values)
    }
}

fn wide(values: Vec<f32>) -> Vec<f64> {
    values.into_iter().map(f64::from).collect()
}

fn points<'c, T: coordinates::Scalar>(
    layout: crate::waves::Layout,
    columns: &'c [Cow<'_, [T]>],
) -> Result<Coordinates<'c, T>, PhysicsError> {
    Coordinates::new(layout, columns.iter().map(AsRef::as_ref).collect())
}

/// Columns in the order of `names`; those left out are one zero.
fn order<'a>(
    names: &[String],
    named: &[(&str, &'a [f64])],
) -> Result<Vec<&'a [f64]>, PhysicsError> {
    let mut columns: Vec<Option<&[f64]>> = vec![None; names.len()];
    for (name, values) in named {
        let place = names.iter().position(|one| one == name);
        match place.and_then(|index| columns.get_mut(index)) {
            Some(column @ None) => *column = Some(values),
            _ => {
                return Err(PhysicsError::UnknownField {
                    field: (*name).to_owned(),
                    expected: format!("{}, each once", names.join(", ")),
                });
            }
        }
    }
    Ok(columns
        .into_iter()
        .map(|one| one.unwrap_or(&[0.0]))
        .collect())
}

/// Checks that `count` values are whole rows of `width`, at least one and within the bound.
fn check_rows(count: usize, width: usize) -> Result<(), PhysicsError> {
    check_count("rows", count.div_ceil(width), 1, POINTS_MAX)?;
    if count.is_multiple_of(width) {
        return Ok(());
    }
    Err(PhysicsError::Shape {
        field: "rows".to_owned(),
        found: count,
        expected: count.next_multiple_of(width),
    })
}
