//! Inference, and what all computations share: turns, kept results, signals.

use std::sync::Arc;

use cache::Key;
use physics::ScienceModel;
use physics::device::Compute;
use physics::model::{Inputs, Precision};
use security::{Action, Identity};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::failures::from_physics;
use super::opened;
use super::types::{INFERENCE_WORK_MAX, InferRequest, Inference, POINTS_MAX, Points};
use crate::error::{Error, ErrorKind, Result};
use crate::failures;
use crate::results::{self, Begin};
use crate::service::Service;

impl Service {
    /// Evaluates a model at points.
    ///
    /// # Errors
    /// `NotFound`; `InvalidRequest` for names, shapes or sizes that do not fit the model; `TooLarge`; `NotSupported` for
    /// double precision of a network.
    pub async fn science_infer(
        &self,
        identity: &Identity,
        request: InferRequest,
    ) -> Result<Inference> {
        self.authorize(Some(identity), Action::RunScience)?;
        let mut record = self.science_record("science_inference", &identity.tenant);
        match self.infer(identity, request).await {
            Ok(inference) => {
                record.succeeded();
                Ok(inference)
            }
            Err(error) => Err(record.failed(error)),
        }
    }

    async fn infer(&self, identity: &Identity, request: InferRequest) -> Result<Inference> {
        let _guard = self.enter()?;
        let (record, model) = self.find_science(identity, &request.model).await?;
        let points = check_points(&request.points, &model)?;
        let work = (points as u64).saturating_mul(record.parameter_count as u64);
        if work > INFERENCE_WORK_MAX {
            return Err(Error::new(
                ErrorKind::TooLarge,
                format!("{points} points are too many at once for a model of this size."),
            )
            .at("inputs"));
        }
        let canonical = canonical(&request, &record.inputs);
        let key = Key::of_request(
            identity.tenant.as_str(),
            "inference",
            &record.digest,
            &canonical,
        );
        let digest = record.digest;
        let compute = move |compute: &Compute| {
            let output = evaluate(&model, compute, request.precision, &request.points)?;
            Ok(Inference {
                values: output.values,
                shape: output.shape,
                device: output.device,
                digest,
                cached: false,
            })
        };
        let (mut inference, cached) = self.kept(key, request.fresh, compute).await?;
        inference.cached = cached;
        Ok(inference)
    }

    /// The result of `compute`, kept under `key` unless the caller wants a fresh one; equal calls compute once. Says
    /// whether it was kept.
    pub(super) async fn kept<T: Serialize + DeserializeOwned + Send + 'static>(
        &self,
        key: Key,
        fresh: bool,
        compute: impl FnOnce(&Compute) -> Result<T> + Send + 'static,
    ) -> Result<(T, bool)> {
        let lifetime = self.results.lifetimes.science;
        let Some(cache) = self.results.for_call(fresh, lifetime) else {
            return self.computed(compute).await.map(|result| (result, false));
        };
        match results::begin(&cache, &key).await {
            Begin::Found(bytes) => match serde_json::from_slice(&bytes) {
                Ok(result) => Ok((result, true)),
                // Written by another version: as good as absent.
                Err(_) => self.computed(compute).await.map(|result| (result, false)),
            },
            Begin::Compute(lead) => {
                let result = self.computed(compute).await?;
                if let Ok(bytes) = serde_json::to_vec(&result) {
                    results::keep(&cache, key, bytes.into(), lifetime, lead);
                }
                Ok((result, false))
            }
        }
    }

    /// Computes on a blocking thread when it is this call's turn.
    pub(super) async fn computed<T: Send + 'static>(
        &self,
        compute: impl FnOnce(&Compute) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let turns = Arc::clone(&self.science.computations);
        let permit = turns.acquire_owned().await.map_err(failures::internal)?;
        let device = Arc::clone(&self.science.compute);
        let request = self.science.device;
        tokio::task::spawn_blocking(move || {
            let _permit = permit;
            compute(&opened(&device, request).0)
        })
        .await
        .map_err(failures::internal)?
    }
}

/// The outputs, every one of them a number.
pub(super) fn evaluate(
    model: &ScienceModel,
    compute: &Compute,
    precision: Precision,
    points: &Points,
) -> Result<physics::model::Output> {
    let output = match points {
        Points::Columns(columns) => {
            let named: Vec<(&str, &[f64])> = columns
                .iter()
                .map(|(name, values)| (name.as_str(), values.as_slice()))
                .collect();
            model.evaluate(compute, precision, Inputs::Columns(&named))
        }
        Points::Rows(rows) => model.evaluate(compute, precision, Inputs::Rows(&rows.concat())),
    }
    .map_err(from_physics)?;
    if output.values.iter().all(|value| value.is_finite()) {
        return Ok(output);
    }
    Err(Error::invalid(
        "inputs",
        "At these points the model's value is too large for a number.",
    )
    .with_code("not_finite"))
}

/// The number of points, when they are numbers and not too many.
fn check_points(points: &Points, model: &ScienceModel) -> Result<usize> {
    let width = model.inputs();
    let too_many = |count: usize| {
        Error::new(
            ErrorKind::TooLarge,
            format!("At most {POINTS_MAX} points are computed at once; there are {count}."),
        )
        .at("inputs")
    };
    let (count, finite) = match points {
        Points::Columns(columns) => {
            if columns.len() > width {
                return Err(Error::invalid(
                    "inputs",
                    format!("This model takes {}.", model.input_names().join(", ")),
                ));
            }
            let longest = columns.iter().map(|(_, values)| values.len()).max();
            let count = longest.unwrap_or(1);
            if count > POINTS_MAX {
                return Err(too_many(count));
            }
            let mut values = columns.iter().flat_map(|(_, values)| values);
            (count, values.all(|value| value.is_finite()))
        }
        Points::Rows(rows) => {
            if rows.len() > POINTS_MAX {
                return Err(too_many(rows.len()));
            }
            if let Some(index) = rows.iter().position(|row| row.len() != width) {
                return Err(Error::invalid(
                    format!("rows[{index}]"),
                    format!(
                        "A row of this model holds {width} numbers: {}.",
                        model.input_names().join(", ")
                    ),
                ));
            }
            (
                rows.len(),
                rows.iter().flatten().all(|value| value.is_finite()),
            )
        }
    };
    if !finite {
        return Err(Error::invalid("inputs", "Every input must be a number."));
    }
    Ok(count)
}

/// The request as bytes, the same for the same points: columns in the model's order, absent ones as one zero.
fn canonical(request: &InferRequest, names: &[String]) -> Vec<u8> {
    let mut bytes = vec![match request.precision {
        Precision::Single => b's',
        Precision::Double => b'd',
    }];
    let mut add = |values: &[f64]| {
        bytes.extend_from_slice(&(values.len() as u64).to_le_bytes());
        for value in values {
            bytes.extend_from_slice(&value.to_le_bytes());
        }
    };
    match &request.points {
        Points::Columns(columns) => {
            for name in names {
                let found = columns.iter().find(|(known, _)| known == name);
                add(found.map_or(&[0.0], |(_, values)| values.as_slice()));
            }
        }
        Points::Rows(rows) => {
            for index in 0..names.len() {
                let column: Vec<f64> = rows
                    .iter()
                    .filter_map(|row| row.get(index).copied())
                    .collect();
                add(&column);
            }
        }
    }
    bytes
}
