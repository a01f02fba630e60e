//! The string computations.

use service::science::{Compactification, StringParameters};
use service::{Action, Error, ErrorKind};

use crate::mcp::declaration::{Call, Facts, Tool};
use crate::science::convert;
use crate::science::types::{
    CompactificationBody, LiftBody, LiftReply, SpectrumBody, SpectrumReply, StringParametersBody,
    UnifiedBody, UnifiedReply,
};

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
    Tool::new(facts, |call: Call, body: SpectrumBody| async move {
        let request = convert::spectrum(body);
        let (spectrum, cached) = call
            .app
            .service
            .science_spectrum(&call.identity, request, call.fresh)
            .await?;
        let spectrum = serde_json::to_value(spectrum)
            .map_err(|error| Error::new(ErrorKind::Internal, error.to_string()))?;
        Ok(SpectrumReply { spectrum, cached })
    })
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
        Ok::<StringParameters, Error>(found.await?)
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
        Ok::<Compactification, Error>(found.await?)
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
