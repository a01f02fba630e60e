//! The string computations: spectra, scales, compactification, coupling, lifting.

use cache::Key;
use physics::compatibility::cache_key;
use physics::strings::spectra::{closed_on_circle, open_bosonic};
use physics::strings::{Compactification, Parameters, Vibration};
use security::{Action, Identity};
use serde_json::{Map, Value, json};

use super::failures::from_physics;
use super::types::{
    CLOSED_STATES_MAX, INSIGHT_CHARACTERS_MAX, Lifted, SPECTRUM_MODES_MAX, Spectrum,
    SpectrumRequest,
};
use crate::error::{Error, ErrorKind, Result};
use crate::service::Service;

impl Service {
    /// A spectrum of the string. Says whether it was kept from an equal call.
    ///
    /// # Errors
    /// `InvalidRequest` for counts or sizes out of bounds.
    pub async fn science_spectrum(
        &self,
        identity: &Identity,
        request: SpectrumRequest,
        fresh: bool,
    ) -> Result<(Spectrum, bool)> {
        self.authorize(Some(identity), Action::RunScience)?;
        let mut record = self.science_record("science_spectrum", &identity.tenant);
        let _guard = self.enter()?;
        let outcome = match check_spectrum(&request) {
            Ok(()) => {
                let key = Key::new(identity.tenant.as_str(), &spectrum_key(&request));
                self.kept(key, fresh, move |_| spectrum(&request)).await
            }
            Err(error) => Err(error),
        };
        match outcome {
            Ok(found) => {
                record.succeeded();
                Ok(found)
            }
            Err(error) => Err(record.failed(error)),
        }
    }

    /// The scales that follow from a coupling.
    ///
    /// # Errors
    /// `InvalidRequest` for a coupling that is not above 0.
    pub async fn science_string_parameters(
        &self,
        identity: &Identity,
        energy_scale: f64,
        coupling: f64,
    ) -> Result<Parameters> {
        self.authorize(Some(identity), Action::RunScience)?;
        physics::strings::parameters(energy_scale, coupling).map_err(from_physics)
    }

    /// The Kaluza-Klein tower of circles of `radius`.
    ///
    /// # Errors
    /// `InvalidRequest` for a radius that is not above 0.
    pub async fn science_compactification(
        &self,
        identity: &Identity,
        dimensions: usize,
        radius: f64,
    ) -> Result<Compactification> {
        self.authorize(Some(identity), Action::RunScience)?;
        Vibration::new(dimensions, 1.0)
            .and_then(|string| string.compactify(radius))
            .map_err(from_physics)
    }

    /// The sum of the modes' energies times the mean absolute coordinate.
    ///
    /// # Errors
    /// `InvalidRequest` for too many modes or coordinates.
    pub async fn science_coupled_amplitude(
        &self,
        identity: &Identity,
        modes: &[i64],
        coordinates: &[f64],
    ) -> Result<f64> {
        self.authorize(Some(identity), Action::RunScience)?;
        Vibration::default()
            .coupled_amplitude(modes, coordinates)
            .map_err(from_physics)
    }

    /// The lifted insight: one standardised value per character, and, when `dimensions` are given, the unit vector of that
    /// length by which texts compare.
    ///
    /// # Errors
    /// `InvalidRequest` for an empty text or dimensions out of bounds; `TooLarge`.
    pub async fn science_lift(
        &self,
        identity: &Identity,
        text: &str,
        dimensions: Option<usize>,
    ) -> Result<Lifted> {
        self.authorize(Some(identity), Action::RunScience)?;
        check_insight(text)?;
        let lifted = physics::insight::lift(text).map_err(from_physics)?;
        let folded = dimensions.map(|dimensions| physics::insight::folded(text, dimensions));
        Ok(Lifted {
            id: platform::files::sha256_bytes(text.as_bytes()),
            vector: lifted,
            folded: folded.transpose().map_err(from_physics)?,
        })
    }
}

/// Refuses texts that are too long to lift; an answer holds a number per character.
pub(super) fn check_insight(text: &str) -> Result<()> {
    if text.len() <= INSIGHT_CHARACTERS_MAX || text.chars().count() <= INSIGHT_CHARACTERS_MAX {
        return Ok(());
    }
    let message = format!("An insight has at most {INSIGHT_CHARACTERS_MAX} characters.");
    Err(Error::new(ErrorKind::TooLarge, message).at("insight_text"))
}

fn check_spectrum(request: &SpectrumRequest) -> Result<()> {
    let too_many = |field: &str, count: usize, most: usize| {
        Error::invalid(
            field,
            format!("At most {most} are computed; this asks for {count}."),
        )
    };
    match request {
        SpectrumRequest::Linear { modes, .. } if *modes > SPECTRUM_MODES_MAX => {
            Err(too_many("max_modes", *modes, SPECTRUM_MODES_MAX))
        }
        SpectrumRequest::ClosedOnCircle(circle) => {
            let range = |quanta: usize| quanta.saturating_mul(2).saturating_add(1);
            let states = range(circle.momentum)
                .saturating_mul(range(circle.winding))
                .saturating_mul(circle.level.saturating_add(1));
            if states > CLOSED_STATES_MAX {
                return Err(too_many("level", states, CLOSED_STATES_MAX));
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

/// The compatible spectrum has its compatible key; the others are keyed alike, under names of their own.
fn spectrum_key(request: &SpectrumRequest) -> String {
    let (prefix, parameters) = match request {
        SpectrumRequest::Linear {
            modes,
            dimensions,
            length: 1.0,
        } => (
            "spectrum",
            json!({"max_modes": modes, "dimensions": dimensions}),
        ),
        SpectrumRequest::Linear {
            modes,
            dimensions,
            length,
        } => (
            "spectrum:length",
            json!({"max_modes": modes, "dimensions": dimensions, "length": length}),
        ),
        SpectrumRequest::OpenBosonic { levels, dimensions } => (
            "spectrum:open",
            json!({"levels": levels, "dimensions": dimensions}),
        ),
        SpectrumRequest::ClosedOnCircle(circle) => (
            "spectrum:closed",
            json!({
                "dimensions": circle.dimensions, "radius": circle.radius, "slope": circle.slope,
                "momentum": circle.momentum, "winding": circle.winding, "level": circle.level,
            }),
        ),
    };
    let parameters: Map<String, Value> = match parameters {
        Value::Object(entries) => entries,
        _ => Map::new(),
    };
    cache_key(prefix, &parameters)
}

fn spectrum(request: &SpectrumRequest) -> Result<Spectrum> {
    match request {
        SpectrumRequest::Linear {
            modes,
            dimensions,
            length,
        } => Vibration::new(*dimensions, *length)
            .and_then(|string| string.spectrum(*modes))
            .map(Spectrum::Linear),
        SpectrumRequest::OpenBosonic { levels, dimensions } => {
            open_bosonic(*dimensions, *levels).map(Spectrum::OpenBosonic)
        }
        SpectrumRequest::ClosedOnCircle(circle) => {
            closed_on_circle(circle).map(Spectrum::ClosedOnCircle)
        }
    }
    .map_err(from_physics)
}
