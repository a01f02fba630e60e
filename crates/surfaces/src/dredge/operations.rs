//! The operations: each reads its parameters, calls the service once, and shapes the answer.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use service::science::{
    BenchmarkRequest, DataSet, InferRequest, ModelConfig, NewScienceModel, Points, Precision,
    Spectrum, SpectrumRequest, TrainingOptions,
};
use service::{Error, ErrorKind, Identity};

use super::{convert, types};
use crate::body::read;
use crate::state::App;

/// What the capabilities list.
pub const NAMES: [&str; 10] = [
    "list_capabilities",
    "load_model",
    "inference",
    "get_parameters",
    "benchmark",
    "string_spectrum",
    "string_parameters",
    "unified_inference",
    "get_metrics",
    "get_cache_stats",
];
/// Ids of one model type that are tried before a model is refused; a tenant has fewer models.
const IDS_MAX: usize = 4_096;

/// One call.
struct Call<'a> {
    app: &'a App,
    identity: &'a Identity,
    params: Map<String, Value>,
    fresh: bool,
}

/// Answers a body that has an `operation`. Nothing fails: what goes wrong is in the answer.
pub async fn operate(app: &App, identity: &Identity, body: &Value, fresh: bool) -> Value {
    let envelope: types::Envelope = match read(body) {
        Ok(envelope) => envelope,
        Err(error) => return convert::error(&error),
    };
    let call = Call {
        app,
        identity,
        params: envelope.params,
        fresh,
    };
    let outcome = match envelope.operation.as_str() {
        "list_capabilities" => call.list_capabilities().await,
        "load_model" => call.load_model().await,
        "inference" => call.inference().await,
        "get_parameters" => call.get_parameters().await,
        "benchmark" => call.benchmark().await,
        // Its release notes use the second name.
        "string_spectrum" | "get_spectrum" => call.string_spectrum().await,
        "string_parameters" => call.string_parameters().await,
        "unified_inference" => call.unified_inference().await,
        "get_metrics" => Ok(json!({
            "success": true, "metrics": app.dredge.show(identity.tenant.as_str()),
        })),
        "get_cache_stats" => call.get_cache_stats().await,
        unknown => {
            // The name goes back to its sender; a whole page of it need not.
            let name: String = unknown.chars().take(100).collect();
            return convert::failed(format!("Unknown operation: {name}"));
        }
    };
    outcome.unwrap_or_else(|error| match error.kind {
        ErrorKind::Internal => convert::failed(format!("Internal error: {}", error.message)),
        _ => convert::error(&error),
    })
}

impl Call<'_> {
    fn params<T: DeserializeOwned>(&self) -> Result<T, Error> {
        read(&Value::Object(self.params.clone()))
    }

    fn count(&self, name: &str) {
        self.app.dredge.count(self.identity.tenant.as_str(), name);
    }

    async fn list_capabilities(&self) -> Result<Value, Error> {
        self.count("mcp_list_capabilities");
        let devices = self.app.service.science_devices(self.identity).await?;
        let caching = self.app.service.keeps_science();
        Ok(convert::capabilities(&devices, caching))
    }

    async fn load_model(&self) -> Result<Value, Error> {
        let body: types::LoadModel = self.params()?;
        let config = match ModelConfig::compatible(&body.model_type, &body.config) {
            Ok(config) => config,
            Err(error) => {
                let message = match error.to_string() {
                    text if text.contains("a model type") => {
                        format!("Unknown model type: {}", body.model_type)
                    }
                    text => format!("Could not {text}."),
                };
                return Ok(convert::failed(message));
            }
        };
        let service = &self.app.service;
        let seed = body.config.get("seed").and_then(Value::as_u64);
        for index in 0..IDS_MAX {
            let new = NewScienceModel {
                name: format!("{}_{index}", body.model_type),
                config: config.clone(),
                seed,
            };
            match service.science_create(self.identity, new).await {
                Err(error)
                    if error.kind == ErrorKind::Conflict
                        && error.field.as_deref() == Some("name") => {}
                outcome => {
                    let devices = service.science_devices(self.identity).await?;
                    return Ok(convert::loaded(&outcome?, &body, &devices));
                }
            }
        }
        Err(Error::new(
            ErrorKind::Conflict,
            "There are too many models of this type.",
        ))
    }

    async fn inference(&self) -> Result<Value, Error> {
        let body: types::Infer = self.params()?;
        let id = body.model_id;
        let request = InferRequest {
            model: id.clone(),
            points: Points::Columns(body.inputs.into_iter().collect()),
            precision: Precision::Single,
            fresh: self.fresh,
        };
        let started = std::time::Instant::now();
        let outcome = self.app.service.science_infer(self.identity, request).await;
        let labelled = |name: &str| format!("{name}{{model_id={id}}}");
        match outcome {
            Ok(found) if found.cached => {
                self.count(&labelled("mcp_inference_cache_hit"));
                Ok(convert::output(&id, &found))
            }
            Ok(found) => {
                self.count(&labelled("mcp_inference"));
                let tenant = self.identity.tenant.as_str();
                self.app
                    .dredge
                    .time(tenant, "mcp_inference_duration", started.elapsed());
                Ok(convert::output(&id, &found))
            }
            Err(error) if error.kind == ErrorKind::NotFound => Ok(missing(&id)),
            Err(error) => {
                self.count(&labelled("mcp_inference_error"));
                Err(error)
            }
        }
    }

    async fn get_parameters(&self) -> Result<Value, Error> {
        let id = self.params::<types::GetParameters>()?.model_id;
        let found = self.app.service.science_parameters(self.identity, &id);
        match found.await {
            Err(error) if error.kind == ErrorKind::NotFound => Ok(missing(&id)),
            found => found.map(|(record, parameters)| convert::parameters(&record, parameters)),
        }
    }

    async fn benchmark(&self) -> Result<Value, Error> {
        let body: types::Benchmark = self.params()?;
        let config = match body.model_type.as_str() {
            "1d" | "quasimoto_1d" => ModelConfig::Wave { dimensions: 1 },
            "ensemble" | "quasimoto_ensemble" => ModelConfig::Ensemble {
                dimensions: 1,
                n_waves: body.config.n_waves.unwrap_or(16),
            },
            other => return Ok(convert::failed(format!("Unknown model type: {other}"))),
        };
        let usual = TrainingOptions::default();
        let request = BenchmarkRequest {
            config,
            seed: body.config.seed,
            data: DataSet::GlitchyChirp,
            options: TrainingOptions {
                epochs: body.config.epochs.unwrap_or(usual.epochs),
                seed: body.config.seed.unwrap_or(usual.seed),
                ..usual
            },
        };
        let done = self
            .app
            .service
            .science_benchmark(self.identity, request)
            .await?;
        Ok(convert::benchmark(&body.model_type, &done))
    }

    async fn string_spectrum(&self) -> Result<Value, Error> {
        let body: types::Spectrum = self.params()?;
        let request = SpectrumRequest::Linear {
            modes: body.max_modes,
            dimensions: body.dimensions,
            length: 1.0,
        };
        let service = &self.app.service;
        let (spectrum, cached) = service
            .science_spectrum(self.identity, request, self.fresh)
            .await?;
        let Spectrum::Linear(energies) = spectrum else {
            return Err(Error::new(ErrorKind::Internal, "another spectrum"));
        };
        Ok(json!({
            "success": true, "dimensions": body.dimensions, "max_modes": body.max_modes,
            "energy_spectrum": energies, "cached": cached,
        }))
    }

    async fn string_parameters(&self) -> Result<Value, Error> {
        let body: types::StringParameters = self.params()?;
        let parameters = self
            .app
            .service
            .science_string_parameters(self.identity, body.energy_scale, body.coupling_constant)
            .await?;
        Ok(json!({"success": true, "parameters": parameters}))
    }

    async fn unified_inference(&self) -> Result<Value, Error> {
        let request = convert::unified_request(self.params()?, self.fresh);
        let unified = self
            .app
            .service
            .science_unified(self.identity, request.clone())
            .await?;
        self.count("mcp_unified_inference");
        Ok(convert::unified(&request, unified))
    }

    async fn get_cache_stats(&self) -> Result<Value, Error> {
        let Some(found) = self.app.service.cache_statistics(self.identity).await? else {
            return Ok(convert::failed("Caching not enabled"));
        };
        let hits: u64 = found.kinds.values().map(|kind| kind.hits()).sum();
        let misses: u64 = found.kinds.values().map(|kind| kind.misses).sum();
        let entries = found.memory_entries.max(found.disk_entries);
        let backend = match (found.disk_entries, found.remote) {
            (_, service::RemoteState::Up) => "redis",
            (1.., _) => "file",
            _ => "memory",
        };
        Ok(json!({"success": true, "cache_stats": {
            // Entries whose time is over leave at once, so that all that are there are active.
            "total_entries": entries, "active_entries": entries, "expired_entries": 0,
            "default_ttl": self.app.service.science_lifetime().as_secs(), "backend_type": backend,
            "hits": hits, "misses": misses,
        }}))
    }
}

fn missing(id: &str) -> Value {
    convert::failed(format!("Model not found: {id}"))
}
