//! `science infer`, `spectrum` and `benchmark`.

use std::collections::BTreeMap;
use std::time::Instant;

use serde_json::json;
use service::science::{
    BenchmarkRequest, Circle, InferRequest, ModelConfig, Points, Precision, Spectrum,
    SpectrumRequest, TrainingOptions,
};

use super::args::{BenchmarkArguments, SpectrumArguments, SpectrumKind};
use super::{Session, data_set};
use crate::cli::output::{error_line, print, print_json, table};

/// Dimensions in which the bosonic string is consistent.
const CRITICAL_DIMENSIONS: usize = 26;
/// Momentum and winding quanta of the closed spectrum that are listed, either sign.
const QUANTA: usize = 2;

/// `fornax science infer`.
pub async fn infer(
    session: Session,
    model: String,
    inputs: String,
    double: bool,
) -> anyhow::Result<()> {
    let columns: BTreeMap<String, Vec<f64>> = super::json("--inputs", &inputs)?;
    let request = InferRequest {
        model: model.clone(),
        points: Points::Columns(columns.into_iter().collect()),
        precision: if double {
            Precision::Double
        } else {
            Precision::Single
        },
        fresh: false,
    };
    let found = session
        .service
        .science_infer(&session.identity, request)
        .await?;
    print_json(&json!({
        "model": model, "digest": found.digest, "shape": found.shape, "values": found.values,
        "device": found.device.name(),
    }))
}

/// `fornax science spectrum`.
pub async fn spectrum(session: Session, arguments: SpectrumArguments) -> anyhow::Result<()> {
    let dimensions = |usual| arguments.dimensions.unwrap_or(usual);
    let modes = |usual| arguments.modes.unwrap_or(usual);
    let request = match arguments.kind {
        SpectrumKind::Linear => SpectrumRequest::Linear {
            modes: modes(10),
            dimensions: dimensions(10),
            length: 1.0,
        },
        SpectrumKind::Open => SpectrumRequest::OpenBosonic {
            levels: modes(10),
            dimensions: dimensions(CRITICAL_DIMENSIONS),
        },
        SpectrumKind::Closed => SpectrumRequest::ClosedOnCircle(Circle {
            dimensions: dimensions(CRITICAL_DIMENSIONS),
            radius: arguments.radius,
            slope: arguments.slope,
            momentum: QUANTA,
            winding: QUANTA,
            level: modes(1),
        }),
    };
    let (spectrum, _) = session
        .service
        .science_spectrum(&session.identity, request, true)
        .await?;
    if arguments.json {
        return print_json(&serde_json::to_value(&spectrum)?);
    }
    print(&match spectrum {
        Spectrum::Linear(energies) => {
            let rows = energies.iter().zip(1..);
            let rows =
                rows.map(|(energy, mode): (_, u32)| vec![mode.to_string(), energy.to_string()]);
            table(&["mode", "energy"], &rows.collect::<Vec<_>>())
        }
        Spectrum::OpenBosonic(open) => {
            let rows = open.levels.iter().map(|level| {
                vec![
                    level.level.to_string(),
                    format!("{:.6}", level.mass_squared),
                    level.states.to_string(),
                ]
            });
            table(
                &["level", "alpha' M^2", "states"],
                &rows.collect::<Vec<_>>(),
            )
        }
        Spectrum::ClosedOnCircle(states) => {
            let rows = states.iter().map(|state| {
                vec![
                    state.momentum.to_string(),
                    state.winding.to_string(),
                    state.right_level.to_string(),
                    state.left_level.to_string(),
                    format!("{:.6}", state.mass_squared),
                ]
            });
            let headings = ["momentum", "winding", "right", "left", "M^2"];
            table(&headings, &rows.collect::<Vec<_>>())
        }
    })
}

/// `fornax science benchmark`.
pub async fn benchmark(session: Session, arguments: BenchmarkArguments) -> anyhow::Result<()> {
    let data = data_set(&arguments.data)?;
    let inputs = data.generate().columns().len();
    let dimensions = inputs.saturating_sub(1);
    let mut rows = Vec::new();
    let mut results = Vec::new();
    for config in contenders(dimensions, inputs) {
        error_line(&format!("training a {} …", config.kind()));
        let request = BenchmarkRequest {
            config: config.clone(),
            seed: Some(arguments.seed),
            data,
            options: TrainingOptions {
                epochs: arguments.epochs,
                seed: arguments.seed,
                ..TrainingOptions::default()
            },
        };
        let started = Instant::now();
        let done = session
            .service
            .science_benchmark(&session.identity, request)
            .await?;
        let seconds = started.elapsed().as_secs_f64();
        let report = &done.report;
        rows.push(vec![
            config.kind().to_owned(),
            done.parameter_count.to_string(),
            format!("{:.3e}", report.initial_loss),
            format!("{:.3e}", report.final_loss),
            format!("{seconds:.2}"),
            done.device.name().to_owned(),
        ]);
        results.push(json!({
            "config": config, "parameter_count": done.parameter_count, "epochs": report.epochs,
            "initial_loss": report.initial_loss, "final_loss": report.final_loss,
            "losses": report.losses, "seconds": seconds, "device": done.device.name(), "seed": done.seed,
        }));
    }
    if arguments.json {
        return print_json(&json!({"data": data.name(), "results": results}));
    }
    let headings = [
        "model",
        "parameters",
        "initial",
        "final",
        "seconds",
        "device",
    ];
    print(&table(&headings, &rows))
}

/// The waves, and the baselines that they have to stand beside.
fn contenders(dimensions: usize, inputs: usize) -> Vec<ModelConfig> {
    vec![
        ModelConfig::Wave { dimensions },
        ModelConfig::Ensemble {
            dimensions,
            n_waves: 8,
        },
        ModelConfig::Interference {
            dimensions,
            num_fields: 8,
            out_features: 1,
        },
        ModelConfig::Siren {
            inputs,
            hidden_size: 64,
            num_layers: 2,
            frequency: 30.0,
        },
        ModelConfig::FourierFeatures {
            inputs,
            features: 256,
            scale: 10.0,
        },
    ]
}
