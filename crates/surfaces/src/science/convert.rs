//! Between the wire shapes and the service's types.

use service::science::{
    Circle, DataSet, InferRequest, Inference, ModelOutput, NewScienceModel, Parameter, Points,
    ScienceRecord, SpectrumRequest, TrainRequest, Training, TrainingData, TrainingRows,
    TrainingState, Unified, UnifiedRequest,
};
use service::{CacheStatistics, Error, RemoteState};

use super::types::{
    CacheKind, CacheReply, CacheState, CreateBody, DataBody, InferBody, InferReply,
    ModelOutputReply, ModelReply, ParameterReply, ParametersReply, SpectrumBody, TrainBody,
    TrainingReply, UnifiedBody, UnifiedReply,
};

pub fn new_model(body: CreateBody) -> NewScienceModel {
    NewScienceModel {
        name: body.name,
        config: body.config,
        seed: body.seed,
    }
}

pub fn model_reply(record: ScienceRecord) -> ModelReply {
    ModelReply {
        name: record.name,
        config: record.config,
        seed: record.seed,
        digest: record.digest,
        parameter_count: record.parameter_count,
        inputs: record.inputs,
        outputs: record.outputs,
        created_unix: record.created_unix,
        updated_unix: record.updated_unix,
        training: record.training,
    }
}

pub fn parameters_reply(record: ScienceRecord, parameters: Vec<Parameter>) -> ParametersReply {
    let parameters = parameters.into_iter().map(|one| ParameterReply {
        name: one.name,
        shape: one.shape,
        trained: one.trained,
        values: one.values,
    });
    ParametersReply {
        model: record.name,
        digest: record.digest,
        parameter_count: record.parameter_count,
        parameters: parameters.collect(),
    }
}

pub fn inference(body: InferBody, fresh: bool) -> Result<InferRequest, Error> {
    let points = match (body.inputs, body.rows) {
        (Some(columns), None) => Points::Columns(columns.into_iter().collect()),
        (None, Some(rows)) => Points::Rows(rows),
        (None, None) => Points::Columns(Vec::new()),
        (Some(_), Some(_)) => {
            return Err(Error::invalid(
                "rows",
                "give either `inputs` (columns by name) or `rows`",
            ));
        }
    };
    Ok(InferRequest {
        model: body.model,
        points,
        precision: body.precision,
        fresh,
    })
}

pub fn infer_reply(model: String, inference: Inference) -> InferReply {
    InferReply {
        model,
        digest: inference.digest,
        values: inference.values,
        shape: inference.shape,
        device: inference.device.name(),
        cached: inference.cached,
    }
}

pub fn training_request(body: TrainBody) -> Result<TrainRequest, Error> {
    let invalid = |error: String| Error::invalid("data", format!("could not {error}"));
    let data = match body.data {
        DataBody::Named(name) => {
            TrainingRows::Named(DataSet::parse(&name).map_err(|error| invalid(error.to_string()))?)
        }
        DataBody::Given(given) => TrainingRows::Given(
            TrainingData::new(given.columns, given.targets)
                .map_err(|error| invalid(error.to_string()))?,
        ),
    };
    Ok(TrainRequest {
        model: body.model,
        data,
        options: body.options,
    })
}

pub fn training_reply(training: Training) -> TrainingReply {
    let state = training.state.name();
    let (mut progress, mut report, mut error) = (None, None, None);
    match training.state {
        TrainingState::Queued | TrainingState::Cancelled => {}
        TrainingState::Running(now) => progress = now,
        TrainingState::Done(done) => report = Some(*done),
        TrainingState::Failed(failed) => error = Some(failed.message),
    }
    TrainingReply {
        id: training.id,
        model: training.model,
        created_unix: training.created_unix,
        state,
        progress,
        report,
        error,
    }
}

pub fn spectrum(body: SpectrumBody) -> SpectrumRequest {
    match body {
        SpectrumBody::Linear {
            modes,
            dimensions,
            length,
        } => SpectrumRequest::Linear {
            modes,
            dimensions,
            length,
        },
        SpectrumBody::OpenBosonic { levels, dimensions } => {
            SpectrumRequest::OpenBosonic { levels, dimensions }
        }
        SpectrumBody::ClosedOnCircle {
            dimensions,
            radius,
            slope,
            momentum,
            winding,
            level,
        } => SpectrumRequest::ClosedOnCircle(Circle {
            dimensions,
            radius,
            slope,
            momentum,
            winding,
            level,
        }),
    }
}

pub fn unified(body: UnifiedBody, fresh: bool) -> UnifiedRequest {
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

pub fn unified_reply(request: UnifiedRequest, unified: Unified) -> UnifiedReply {
    let output = |output: ModelOutput| ModelOutputReply {
        model: output.model,
        digest: output.digest,
        rows: output.rows,
        values: output.values,
    };
    UnifiedReply {
        dredge_insight: request.insight,
        quasimoto_coordinates: request.coordinates,
        string_modes: request.modes,
        coupled_amplitude: unified.coupled_amplitude,
        unified_field: unified.unified_field,
        requested_field: unified.requested_field,
        insight_vector: unified.insight_vector,
        wave: unified.wave.map(output),
        network: unified.network.map(output),
        device: unified.device.name(),
        cached: unified.cached,
    }
}

pub fn cache_reply(statistics: Option<CacheStatistics>) -> CacheReply {
    let enabled = statistics.is_some();
    let state = statistics.map(|statistics| CacheState {
        memory_entries: statistics.memory_entries,
        memory_bytes: statistics.memory_bytes,
        disk_entries: statistics.disk_entries,
        disk_bytes: statistics.disk_bytes,
        disk_damaged: statistics.disk_damaged,
        redis: match statistics.remote {
            RemoteState::Off => "off",
            RemoteState::Up => "up",
            RemoteState::Down => "down",
        },
        kinds: statistics
            .kinds
            .into_iter()
            .map(|(name, kind)| {
                let reply = CacheKind {
                    hits: kind.hits(),
                    memory_hits: kind.memory_hits,
                    disk_hits: kind.disk_hits,
                    remote_hits: kind.remote_hits,
                    misses: kind.misses,
                    hit_ratio: kind.hit_ratio(),
                    joined: kind.joined,
                    stores: kind.stores,
                    stored_bytes: kind.stored_bytes,
                    evictions: kind.evictions,
                    expirations: kind.expirations,
                };
                (name, reply)
            })
            .collect(),
    });
    CacheReply { enabled, state }
}
