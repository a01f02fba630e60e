//! Between the dialect's shapes and the service's types.

use serde_json::{Map, Value, json};
use service::Error;
use service::science::{
    Benchmark, DeviceInformation, Inference, Parameter, ScienceRecord, Unified, UnifiedRequest,
};

use super::types;

/// The version of the dialect that is spoken: DREDGE's own, whose shapes these are.
const VERSION: &str = "0.2.0";

pub fn failed(message: impl Into<String>) -> Value {
    json!({"success": false, "error": message.into()})
}

pub fn error(error: &Error) -> Value {
    failed(error.message.clone())
}

pub fn capabilities(devices: &DeviceInformation, caching: bool) -> Value {
    json!({
        "name": "DREDGE Quasimoto String Theory MCP Server",
        "version": VERSION,
        "protocol": "Model Context Protocol v1.0",
        "capabilities": {
            "models": {
                "quasimoto_1d": "1D Quasimoto wave: x, t; 8 parameters",
                "quasimoto_4d": "4D Quasimoto wave: x, y, z, t; 14 parameters (documented upstream as 13)",
                "quasimoto_6d": "6D Quasimoto wave: x1 to x5, t; 20 parameters (documented upstream as 17)",
                "quasimoto_ensemble": "Ensemble of 1D Quasimoto waves with an affine head",
                "string_theory": "String theory network with 1 to 10 hidden layers and optional batch normalisation",
            },
            "operations": super::operations::NAMES,
        },
        "features": {
            "caching": caching,
            "metrics": true,
            "gpu_support": devices.cuda_available || devices.mps_available,
            "device_info": devices,
        },
    })
}

pub fn loaded(
    record: &ScienceRecord,
    body: &types::LoadModel,
    devices: &DeviceInformation,
) -> Value {
    use service::science::ModelConfig;
    match &record.config {
        ModelConfig::StringNetwork {
            dimensions,
            num_layers,
            use_batch_norm,
            ..
        } => {
            let num_layers = (*num_layers).clamp(1, 10);
            json!({
                "success": true, "model_id": record.name, "dimensions": dimensions,
                "n_parameters": record.parameter_count, "num_layers": num_layers,
                "device": devices.optimal_device,
                "device_info": {
                    "device": devices.optimal_device, "cuda_available": devices.cuda_available,
                    "mps_available": devices.mps_available, "num_layers": num_layers,
                    "use_batch_norm": use_batch_norm,
                },
                "config": body.config,
            })
        }
        _ => json!({
            "success": true, "model_id": record.name, "model_type": body.model_type,
            "n_parameters": record.parameter_count, "config": body.config,
        }),
    }
}

/// Values as nested lists of the shape.
pub fn output(model: &str, inference: &Inference) -> Value {
    let nested = match inference.shape.as_slice() {
        [_, columns] => inference
            .values
            .chunks((*columns).max(1))
            .map(|row| json!(row))
            .collect(),
        _ => json!(inference.values),
    };
    json!({"success": true, "model_id": model, "output": nested})
}

pub fn parameters(record: &ScienceRecord, parameters: Vec<Parameter>) -> Value {
    let entries: Map<String, Value> = parameters
        .into_iter()
        .map(|one| {
            let value = match one.values.as_slice() {
                [single] => json!(single),
                _ => nested(&one.values, &one.shape),
            };
            let entry = json!({"value": value, "shape": one.shape, "requires_grad": one.trained});
            (one.name, entry)
        })
        .collect();
    json!({
        "success": true, "model_id": record.name, "model_type": model_type(&record.name),
        "n_parameters": record.parameter_count, "parameters": entries,
    })
}

fn nested(values: &[f64], shape: &[usize]) -> Value {
    match shape {
        [_, rest @ ..] if !rest.is_empty() => {
            let width: usize = rest.iter().product();
            values
                .chunks(width.max(1))
                .map(|row| nested(row, rest))
                .collect()
        }
        _ => json!(values),
    }
}

/// The type in a model's id: all but the number at its end.
fn model_type(id: &str) -> &str {
    id.rsplit_once('_').map_or(id, |(kind, _)| kind)
}

pub fn benchmark(model_type: &str, done: &Benchmark) -> Value {
    json!({
        "success": true, "model_type": model_type, "epochs": done.report.epochs,
        "final_loss": done.report.final_loss, "initial_loss": done.report.initial_loss,
        "losses": done.report.losses, "device": done.device.compatible_name(),
    })
}

pub fn unified_request(body: types::Unified, fresh: bool) -> UnifiedRequest {
    let usual = UnifiedRequest::default();
    UnifiedRequest {
        insight: body.dredge_insight.unwrap_or(usual.insight),
        coordinates: body.quasimoto_coords.unwrap_or(usual.coordinates),
        modes: body.string_modes.unwrap_or(usual.modes),
        time: body.time.unwrap_or(usual.time),
        wave_model: body.wave_model,
        network: body.network,
        range: body.range.unwrap_or(usual.range),
        points: body.points.unwrap_or(usual.points),
        fresh,
    }
}

/// The fields as they were, then those that follow from the request.
pub fn unified(request: &UnifiedRequest, unified: Unified) -> Value {
    json!({
        "success": true,
        "dredge_insight": request.insight,
        "quasimoto_coordinates": request.coordinates,
        "string_modes": request.modes,
        "coupled_amplitude": unified.coupled_amplitude,
        "unified_field": unified.unified_field,
        "device": unified.device.compatible_name(),
        "cached": unified.cached,
        "requested_field": unified.requested_field,
        "insight_vector": unified.insight_vector,
        "wave": unified.wave,
        "network": unified.network,
    })
}
