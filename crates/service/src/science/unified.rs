//! The unified inference: the compatible fields, and beside them what the insight, the requested field, a wave model and a
//! network really give.

use std::sync::Arc;

use cache::Key;
use physics::compatibility::cache_key;
use physics::device::{Compute, Device};
use physics::model::Precision;
use physics::strings::Vibration;
use physics::strings::coupling::FieldRequest;
use physics::{ModelConfig, ScienceModel};
use security::{Action, Identity};
use serde_json::{Map, Value, json};

use super::calls::evaluate;
use super::failures::from_physics;
use super::strings::check_insight;
use super::types::{
    FIELD_TERMS_MAX, INFERENCE_WORK_MAX, ModelOutput, POINTS_MAX, Points, ScienceRecord, Unified,
    UnifiedRequest,
};
use crate::error::{Error, ErrorKind, Result};
use crate::service::Service;

type Found = (ScienceRecord, Arc<ScienceModel>);

impl Service {
    /// Amplitude, fields, lifted insight, and what the named models give.
    ///
    /// The wave model is evaluated at the coordinates, taken in groups of its spatial dimensions, at the request's time. The
    /// network is evaluated on one row: the coordinates, the energies of the modes, and the folded insight in the places that
    /// are left.
    ///
    /// # Errors
    /// `NotFound` for a model; `InvalidRequest` for coordinates that do not fit it, a mode below 1 or a range outside the
    /// string; `TooLarge`.
    pub async fn science_unified(
        &self,
        identity: &Identity,
        request: UnifiedRequest,
    ) -> Result<Unified> {
        self.authorize(Some(identity), Action::RunScience)?;
        let mut record = self.science_record("science_unified", &identity.tenant);
        match self.unified(identity, request).await {
            Ok(unified) => {
                record.succeeded();
                Ok(unified)
            }
            Err(error) => Err(record.failed(error)),
        }
    }

    async fn unified(&self, identity: &Identity, request: UnifiedRequest) -> Result<Unified> {
        let _guard = self.enter()?;
        check(&request)?;
        let mut found = [None, None];
        for (slot, name) in found
            .iter_mut()
            .zip([&request.wave_model, &request.network])
        {
            if let Some(name) = name {
                *slot = Some(self.find_science(identity, name).await?);
            }
        }
        let [wave, network] = found;
        let key = unified_key(&request, wave.as_ref(), network.as_ref());
        let key = Key::new(identity.tenant.as_str(), &key);
        let fresh = request.fresh;
        let compute = move |compute: &Compute| unite(compute, &request, wave, network);
        let (mut unified, cached) = self.kept(key, fresh, compute).await?;
        unified.cached = cached;
        Ok(unified)
    }
}

fn check(request: &UnifiedRequest) -> Result<()> {
    check_insight(&request.insight)?;
    let terms = request.modes.len().saturating_mul(request.points);
    if terms > FIELD_TERMS_MAX {
        let message = format!("A field has at most {FIELD_TERMS_MAX} terms, modes times points.");
        return Err(Error::new(ErrorKind::TooLarge, message).at("points"));
    }
    if request.coordinates.len() > POINTS_MAX {
        let message = format!("At most {POINTS_MAX} coordinates are taken.");
        return Err(Error::new(ErrorKind::TooLarge, message).at("quasimoto_coords"));
    }
    if !request.time.is_finite() {
        return Err(Error::invalid("time", "The time must be a number."));
    }
    Ok(())
}

/// With the compatible inputs alone, the compatible key. Everything else that decides the result follows it.
fn unified_key(request: &UnifiedRequest, wave: Option<&Found>, network: Option<&Found>) -> String {
    let object = |value: Value| match value {
        Value::Object(entries) => entries,
        _ => Map::new(),
    };
    let compatible = object(json!({
        "insight": request.insight, "coords": request.coordinates, "modes": request.modes,
    }));
    let key = cache_key("unified", &compatible);
    let usual = UnifiedRequest {
        insight: request.insight.clone(),
        coordinates: request.coordinates.clone(),
        modes: request.modes.clone(),
        fresh: request.fresh,
        ..UnifiedRequest::default()
    };
    if usual == *request {
        return key;
    }
    // The name is part of the answer, so equal models under two names do not share one.
    let model = |found: Option<&Found>| {
        found.map(|(record, _)| json!([record.name.clone(), record.digest.clone()]))
    };
    let more = object(json!({
        "range": [request.range.0, request.range.1], "points": request.points, "time": request.time,
        "wave": model(wave), "network": model(network),
    }));
    cache_key(&key, &more)
}

fn unite(
    compute: &Compute,
    request: &UnifiedRequest,
    wave: Option<Found>,
    network: Option<Found>,
) -> Result<Unified> {
    let string = Vibration::default();
    let coupled_amplitude = string
        .coupled_amplitude(&request.modes, &request.coordinates)
        .map_err(from_physics)?;
    let field = |request: &FieldRequest| string.field(request).map_err(from_physics);
    let wanted = FieldRequest {
        modes: request.modes.clone(),
        range: request.range,
        points: request.points,
    };
    let usual = FieldRequest::default();
    // Existing clients may send modes below 1, from which an amplitude follows but no field.
    let possible = !wanted.modes.is_empty() && wanted.modes.iter().all(|mode| *mode >= 1);
    let insight_vector = match request.insight.as_str() {
        "" => Vec::new(),
        text => physics::insight::lift(text).map_err(from_physics)?,
    };
    let mut device = Device::Cpu;
    let mut output =
        |found: Option<Found>,
         rows: fn(&ScienceModel, &UnifiedRequest) -> Result<Vec<Vec<f64>>>| {
            let Some((record, model)) = found else {
                return Ok(None);
            };
            let rows = rows(&model, request)?;
            if (rows.len() as u64).saturating_mul(record.parameter_count as u64)
                > INFERENCE_WORK_MAX
            {
                let message = "These are too many coordinates for a model of this size.";
                return Err(Error::new(ErrorKind::TooLarge, message).at("quasimoto_coords"));
            }
            let points = Points::Rows(rows);
            let output = evaluate(&model, compute, Precision::Single, &points)?;
            device = output.device;
            let Points::Rows(rows) = points else {
                return Ok(None);
            };
            Ok(Some(ModelOutput {
                model: record.name,
                digest: record.digest,
                rows: rows.concat(),
                values: output.values,
            }))
        };
    let wave = output(wave, wave_rows)?;
    let network = output(network, network_row)?;
    Ok(Unified {
        coupled_amplitude,
        requested_field: possible.then(|| field(&wanted)).transpose()?,
        unified_field: field(&usual)?,
        insight_vector,
        wave,
        network,
        device,
        cached: false,
    })
}

/// The coordinates in groups of the wave's spatial dimensions, each followed by the time.
fn wave_rows(model: &ScienceModel, request: &UnifiedRequest) -> Result<Vec<Vec<f64>>> {
    if matches!(model.config(), ModelConfig::StringNetwork { .. }) {
        return Err(Error::invalid(
            "wave_model",
            "This model is a string theory network; name it as `network`.",
        ));
    }
    let dimensions = model.inputs().saturating_sub(1).max(1);
    let coordinates = &request.coordinates;
    if coordinates.is_empty() || !coordinates.len().is_multiple_of(dimensions) {
        return Err(Error::invalid(
            "quasimoto_coords",
            format!(
                "The wave model has {dimensions} spatial dimensions; {} coordinates are no whole number of points.",
                coordinates.len()
            ),
        ));
    }
    let with_time = |point: &[f64]| point.iter().copied().chain([request.time]).collect();
    Ok(coordinates.chunks(dimensions).map(with_time).collect())
}

/// One row of the network's inputs: coordinates, energies of the modes, folded insight.
fn network_row(model: &ScienceModel, request: &UnifiedRequest) -> Result<Vec<Vec<f64>>> {
    if !matches!(model.config(), ModelConfig::StringNetwork { .. }) {
        return Err(Error::invalid(
            "network",
            "This model is no string theory network; name it as `wave_model`.",
        ));
    }
    let width = model.inputs();
    let string = Vibration::default();
    let mut row = request.coordinates.clone();
    row.extend(request.modes.iter().map(|mode| string.energy(*mode)));
    if row.len() > width {
        return Err(Error::invalid(
            "network",
            format!(
                "The network takes {width} values, fewer than {} coordinates and modes.",
                row.len()
            ),
        ));
    }
    let left = width - row.len();
    if left > 0 && !request.insight.is_empty() {
        let folded = physics::insight::folded(&request.insight, left).map_err(from_physics)?;
        row.extend(folded.into_iter().map(f64::from));
    }
    row.resize(width, 0.0);
    Ok(vec![row])
}
