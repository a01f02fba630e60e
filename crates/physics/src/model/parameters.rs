//! A model's parameters by name.

use serde::Serialize;

use super::{Body, ScienceModel};
use crate::error::PhysicsError;

/// One named group of values.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Parameter {
    /// Such as `omega`, `waves.3.k`, `layers.0.weight`.
    pub name: String,
    /// No entry for a scalar.
    pub shape: Vec<usize>,
    /// The values, the last index running fastest.
    pub values: Vec<f64>,
    /// Whether training changes it by gradients; running statistics and fixed frequencies are not.
    pub trained: bool,
}

/// Names and shapes, and whether they are trained.
type Groups = Vec<(String, Vec<usize>, bool)>;

fn trained(groups: Vec<(String, Vec<usize>)>, trained: bool) -> Groups {
    groups
        .into_iter()
        .map(|(name, shape)| (name, shape, trained))
        .collect()
}

impl ScienceModel {
    /// All groups in the order of their values: first the trained ones.
    fn groups(&self) -> Groups {
        let scalars = |prefix: &str, names: Vec<String>| -> Groups {
            names
                .into_iter()
                .map(|name| (format!("{prefix}{name}"), Vec::new(), true))
                .collect()
        };
        match &self.body {
            Body::Wave(wave) => scalars("", wave.layout().names()),
            Body::Ensemble(ensemble) => {
                let mut groups = Groups::new();
                for wave in 0..ensemble.waves() {
                    groups.extend(scalars(
                        &format!("waves.{wave}."),
                        ensemble.layout().names(),
                    ));
                }
                groups.push(("head.weight".to_owned(), vec![1, ensemble.waves()], true));
                groups.push(("head.bias".to_owned(), vec![1], true));
                groups
            }
            Body::Interference(basis) => trained(basis.groups(), true),
            Body::Network(network) => {
                let mut groups = trained(network.shape().groups(), true);
                groups.extend(trained(network.shape().statistics_groups(), false));
                groups
            }
            Body::Fourier(features) => {
                let mut groups = trained(features.head().shape().groups(), true);
                let shape = vec![features.inputs(), features.count()];
                groups.push(("frequencies".to_owned(), shape, false));
                groups
            }
        }
    }

    /// All values in the order of the groups.
    fn values(&self) -> Vec<f64> {
        let wide = |first: &[f32], second: &[f32]| -> Vec<f64> {
            first
                .iter()
                .chain(second)
                .map(|one| f64::from(*one))
                .collect()
        };
        match &self.body {
            Body::Wave(wave) => wave.parameters().to_vec(),
            Body::Ensemble(ensemble) => ensemble.parameters().to_vec(),
            Body::Interference(basis) => basis.parameters().to_vec(),
            Body::Network(network) => wide(network.parameters(), network.statistics()),
            Body::Fourier(features) => wide(features.head().parameters(), features.frequencies()),
        }
    }

    /// All parameters by name: trained ones first, in registration order.
    pub fn parameters(&self) -> Vec<Parameter> {
        let values = self.values();
        let mut start = 0;
        self.groups()
            .into_iter()
            .map(|(name, shape, trained)| {
                let count = shape.iter().product::<usize>();
                start += count;
                Parameter {
                    name,
                    shape,
                    values: values[start - count..start].to_vec(),
                    trained,
                }
            })
            .collect()
    }

    /// Whether the values are kept in double precision.
    pub(super) fn is_double(&self) -> bool {
        !matches!(self.body, Body::Network(_) | Body::Fourier(_))
    }

    /// The same kind of model with other values, in the order of [`ScienceModel::parameters`].
    ///
    /// # Errors
    /// Another number of values, or one that is not finite.
    pub(super) fn with_values(self, values: Vec<f64>) -> Result<Self, PhysicsError> {
        use crate::network::{FourierFeatures, Perceptron};
        use crate::waves::{Ensemble, InterferenceBasis, Wave};
        let narrow =
            |values: &[f64]| -> Vec<f32> { values.iter().map(|one| *one as f32).collect() };
        let split = |first: usize| -> Result<(Vec<f32>, Vec<f32>), PhysicsError> {
            if values.len() < first {
                return Err(PhysicsError::Shape {
                    field: "parameters".to_owned(),
                    found: values.len(),
                    expected: first,
                });
            }
            Ok((narrow(&values[..first]), narrow(&values[first..])))
        };
        let body = match &self.body {
            Body::Wave(wave) => {
                Body::Wave(Wave::from_parameters(wave.layout().dimensions(), values)?)
            }
            Body::Ensemble(ensemble) => Body::Ensemble(Ensemble::from_parameters(
                ensemble.layout().dimensions(),
                ensemble.waves(),
                values,
            )?),
            Body::Interference(basis) => Body::Interference(InterferenceBasis::from_parameters(
                basis.layout().dimensions(),
                basis.fields(),
                basis.outputs(),
                values,
            )?),
            Body::Network(network) => {
                let (parameters, statistics) = split(network.parameters().len())?;
                let shape = *network.shape();
                Body::Network(Perceptron::from_parameters(shape, parameters, statistics)?)
            }
            Body::Fourier(features) => {
                let (parameters, frequencies) = split(features.head().parameters().len())?;
                let inputs = features.inputs();
                Body::Fourier(FourierFeatures::from_parameters(
                    inputs,
                    frequencies,
                    parameters,
                )?)
            }
        };
        Ok(ScienceModel { body, ..self })
    }

    /// The model with one group of values replaced: how a caller sets parameters by name.
    ///
    /// # Errors
    /// A name that the model does not have, another number of values, or one that is not finite.
    pub fn with_parameter(self, name: &str, values: &[f64]) -> Result<Self, PhysicsError> {
        let mut all = self.values();
        let mut start = 0;
        for (known, shape, _) in self.groups() {
            let count = shape.iter().product::<usize>();
            if known != name {
                start += count;
                continue;
            }
            if values.len() != count {
                return Err(PhysicsError::Shape {
                    field: known,
                    found: values.len(),
                    expected: count,
                });
            }
            all[start..start + count].copy_from_slice(values);
            return self.with_values(all);
        }
        let names: Vec<String> = self
            .groups()
            .into_iter()
            .map(|(name, ..)| name)
            .take(32)
            .collect();
        Err(PhysicsError::UnknownField {
            field: name.to_owned(),
            expected: names.join(", "),
        })
    }
}
