//! The string computations.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use service::{Action, Error, ErrorKind};

use crate::body::read;
use crate::mcp::declaration::{Call, Facts, Tool};
use crate::science::convert;
use crate::science::types::{
    CompactificationBody, LiftBody, LiftReply, SpectrumBody, SpectrumReply, StringParametersBody,
    UnifiedBody, UnifiedReply,
};

/// Which spectrum.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Kind {
    /// Modes of a plain string: `modes`, `dimensions`, `length`.
    Linear,
    /// Levels of the open bosonic string: `levels`, `dimensions`.
    OpenBosonic,
    /// States of the closed string with one dimension on a circle: `radius`, `dimensions`, `slope`, `momentum`, `winding`, `level`.
    ClosedOnCircle,
}

/// Arguments of `string_spectrum`. Each kind takes its own; all but `kind` and `radius` have defaults.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct SpectrumArguments {
    /// Which spectrum.
    kind: Kind,
    /// `linear`: how many modes; 10 when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    modes: Option<usize>,
    /// Dimensions of space and time: 10 for `linear`, 26 for the others when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    dimensions: Option<usize>,
    /// `linear`: the string's length; 1 when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    length: Option<f64>,
    /// `open_bosonic`: how many levels; 10 when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    levels: Option<usize>,
    /// `closed_on_circle`: radius of the circle.
    #[serde(skip_serializing_if = "Option::is_none")]
    radius: Option<f64>,
    /// `closed_on_circle`: the slope; 1 when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    slope: Option<f64>,
    /// `closed_on_circle`: most quanta of momentum; 2 when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    momentum: Option<usize>,
    /// `closed_on_circle`: most windings; 2 when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    winding: Option<usize>,
    /// `closed_on_circle`: highest oscillator level; 2 when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    level: Option<usize>,
}

/// What all of these are: computations that change nothing.
fn facts(name: &'static str, title: &'static str, description: &'static str) -> Facts {
    Facts {
        name,
        title,
        description,
        action: Action::RunScience,
        read_only: true,
        long: false,
    }
}

/// `string_spectrum`
pub fn spectrum() -> Tool {
    let facts = facts(
        "string_spectrum",
        "Spectrum of a string",
        "Energies or masses of a vibrating string: `linear` (modes of a plain string), `open_bosonic` (levels of the open \
         bosonic string), `closed_on_circle` (states of the closed string with one dimension on a circle).",
    );
    Tool::new(
        facts,
        |call: Call, arguments: SpectrumArguments| async move {
            let given = serde_json::to_value(arguments).map_err(internal)?;
            let request = convert::spectrum(read::<SpectrumBody>(&given)?);
            let (spectrum, cached) = call
                .app
                .service
                .science_spectrum(&call.identity, request, call.fresh)
                .await?;
            let spectrum = serde_json::to_value(spectrum).map_err(internal)?;
            Ok(SpectrumReply { spectrum, cached })
        },
    )
}

fn internal(error: serde_json::Error) -> Error {
    Error::new(ErrorKind::Internal, error.to_string())
}

/// `string_parameters`
pub fn parameters() -> Tool {
    let facts = facts(
        "string_parameters",
        "Scales of a string",
        "Length and tension that follow from a coupling constant.",
    );
    Tool::new(facts, |call: Call, body: StringParametersBody| async move {
        let found = call.app.service.science_string_parameters(
            &call.identity,
            body.energy_scale,
            body.coupling_constant,
        );
        found.await
    })
}

/// `compactify`
pub fn compactify() -> Tool {
    let facts = facts(
        "compactify",
        "Roll up dimensions",
        "The Kaluza-Klein masses of dimensions that are rolled up to circles of a radius.",
    );
    Tool::new(facts, |call: Call, body: CompactificationBody| async move {
        let found =
            call.app
                .service
                .science_compactification(&call.identity, body.dimensions, body.radius);
        found.await
    })
}

/// `lift_insight`
pub fn lift() -> Tool {
    let facts = facts(
        "lift_insight",
        "Lift an insight",
        "Turns a text into its standardised character vector and, with `dimensions`, into a unit vector by which texts compare.",
    );
    Tool::new(facts, |call: Call, body: LiftBody| async move {
        let lifted = call
            .app
            .service
            .science_lift(&call.identity, &body.insight_text, body.dimensions)
            .await?;
        Ok::<_, Error>(LiftReply {
            id: lifted.id,
            vector: lifted.vector,
            folded: lifted.folded,
        })
    })
}

/// `unified_inference`
pub fn unified() -> Tool {
    let facts = facts(
        "unified_inference",
        "Unified inference",
        "Couples a text, coordinates and string modes: amplitude, fields, and, where models are named, their outputs.",
    );
    Tool::new(facts, |call: Call, body: UnifiedBody| async move {
        let request = convert::unified(body, call.fresh);
        let unified = call
            .app
            .service
            .science_unified(&call.identity, request.clone())
            .await?;
        Ok::<UnifiedReply, Error>(convert::unified_reply(request, unified))
    })
}
