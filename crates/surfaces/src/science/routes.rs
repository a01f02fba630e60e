//! Handlers of the science models and of the cache.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Extension, Query, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use service::{Error, ErrorKind, Identity};

use super::convert;
use super::types::{
    CacheClearedReply, ClearQuery, CompactificationBody, CreateBody, InferBody, LiftBody,
    LiftReply, ModelsReply, SpectrumBody, SpectrumReply, StringParametersBody, TrainBody,
    TrainingsReply, UnifiedBody,
};
use crate::body::{JsonObject, read};
use crate::freshness::Fresh;
use crate::native::{Answer, Name, text};
use crate::state::App;

/// `GET /fornax/v1/science/devices`
pub async fn devices(State(app): State<App>, Extension(identity): Extension<Identity>) -> Answer {
    let devices = app.service.science_devices(&identity).await?;
    Ok(Json(devices).into_response())
}

/// `GET /fornax/v1/science/models`
pub async fn list(State(app): State<App>, Extension(identity): Extension<Identity>) -> Answer {
    let models = app.service.science_models(&identity).await?;
    let models = models.into_iter().map(convert::model_reply).collect();
    Ok(Json(ModelsReply { models }).into_response())
}

/// `POST /fornax/v1/science/models`
pub async fn create(
    State(app): State<App>,
    Extension(identity): Extension<Identity>,
    JsonObject(body): JsonObject,
) -> Answer {
    let new = convert::new_model(read::<CreateBody>(&body)?);
    let record = app.service.science_create(&identity, new).await?;
    Ok((StatusCode::CREATED, Json(convert::model_reply(record))).into_response())
}

/// `GET /fornax/v1/science/models/{name}`
pub async fn model(
    State(app): State<App>,
    Extension(identity): Extension<Identity>,
    name: Name,
) -> Answer {
    let record = app.service.science_model(&identity, &text(name)?).await?;
    Ok(Json(convert::model_reply(record)).into_response())
}

/// `DELETE /fornax/v1/science/models/{name}`
pub async fn remove(
    State(app): State<App>,
    Extension(identity): Extension<Identity>,
    name: Name,
) -> Answer {
    app.service.science_delete(&identity, &text(name)?).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// `GET /fornax/v1/science/models/{name}/parameters`
pub async fn parameters(
    State(app): State<App>,
    Extension(identity): Extension<Identity>,
    name: Name,
) -> Answer {
    let (record, parameters) = app
        .service
        .science_parameters(&identity, &text(name)?)
        .await?;
    Ok(Json(convert::parameters_reply(record, parameters)).into_response())
}

/// `GET /fornax/v1/science/models/{name}/onnx`
pub async fn onnx(
    State(app): State<App>,
    Extension(identity): Extension<Identity>,
    name: Name,
) -> Answer {
    let bytes = app
        .service
        .science_export_onnx(&identity, &text(name)?)
        .await?;
    Ok(file(bytes))
}

/// `GET /fornax/v1/science/models/{name}/safetensors`
pub async fn safetensors(
    State(app): State<App>,
    Extension(identity): Extension<Identity>,
    name: Name,
) -> Answer {
    let bytes = app
        .service
        .science_export_safetensors(&identity, &text(name)?)
        .await?;
    Ok(file(bytes))
}

fn file(bytes: Vec<u8>) -> Response {
    let kind = HeaderValue::from_static("application/octet-stream");
    ([(header::CONTENT_TYPE, kind)], bytes).into_response()
}

/// `POST /fornax/v1/science/infer`
pub async fn infer(
    State(app): State<App>,
    Extension(identity): Extension<Identity>,
    Fresh(fresh): Fresh,
    JsonObject(body): JsonObject,
) -> Answer {
    let request = convert::inference(read::<InferBody>(&body)?, fresh)?;
    let model = request.model.clone();
    let inference = app.service.science_infer(&identity, request).await?;
    Ok(Json(convert::infer_reply(model, inference)).into_response())
}

/// `POST /fornax/v1/science/trainings`: begins one and answers at once.
pub async fn begin_training(
    State(app): State<App>,
    Extension(identity): Extension<Identity>,
    JsonObject(body): JsonObject,
) -> Answer {
    let request = convert::training_request(read::<TrainBody>(&body)?)?;
    let training = app.service.science_train(&identity, request).await?;
    Ok((
        StatusCode::ACCEPTED,
        Json(convert::training_reply(training)),
    )
        .into_response())
}

/// `GET /fornax/v1/science/trainings`
pub async fn trainings(State(app): State<App>, Extension(identity): Extension<Identity>) -> Answer {
    let trainings = app.service.science_trainings(&identity).await?;
    let trainings = trainings.into_iter().map(convert::training_reply).collect();
    Ok(Json(TrainingsReply { trainings }).into_response())
}

/// `GET /fornax/v1/science/trainings/{id}`
pub async fn training(
    State(app): State<App>,
    Extension(identity): Extension<Identity>,
    id: Name,
) -> Answer {
    let training = app.service.science_training(&identity, &text(id)?).await?;
    Ok(Json(convert::training_reply(training)).into_response())
}

/// `DELETE /fornax/v1/science/trainings/{id}`: asks it to end; it keeps what it has learnt.
pub async fn cancel_training(
    State(app): State<App>,
    Extension(identity): Extension<Identity>,
    id: Name,
) -> Answer {
    let training = app.service.science_cancel(&identity, &text(id)?).await?;
    Ok((
        StatusCode::ACCEPTED,
        Json(convert::training_reply(training)),
    )
        .into_response())
}

/// `POST /fornax/v1/science/spectrum`
pub async fn spectrum(
    State(app): State<App>,
    Extension(identity): Extension<Identity>,
    Fresh(fresh): Fresh,
    JsonObject(body): JsonObject,
) -> Answer {
    let request = convert::spectrum(read::<SpectrumBody>(&body)?);
    let (spectrum, cached) = app
        .service
        .science_spectrum(&identity, request, fresh)
        .await?;
    let spectrum = serde_json::to_value(spectrum)
        .map_err(|error| Error::new(ErrorKind::Internal, error.to_string()))?;
    Ok(Json(SpectrumReply { spectrum, cached }).into_response())
}

/// `POST /fornax/v1/science/string-parameters`
pub async fn string_parameters(
    State(app): State<App>,
    Extension(identity): Extension<Identity>,
    JsonObject(body): JsonObject,
) -> Answer {
    let body: StringParametersBody = read(&body)?;
    let parameters = app
        .service
        .science_string_parameters(&identity, body.energy_scale, body.coupling_constant)
        .await?;
    Ok(Json(parameters).into_response())
}

/// `POST /fornax/v1/science/compactification`
pub async fn compactification(
    State(app): State<App>,
    Extension(identity): Extension<Identity>,
    JsonObject(body): JsonObject,
) -> Answer {
    let body: CompactificationBody = read(&body)?;
    let tower = app
        .service
        .science_compactification(&identity, body.dimensions, body.radius)
        .await?;
    Ok(Json(tower).into_response())
}

/// `POST /fornax/v1/science/lift`
pub async fn lift(
    State(app): State<App>,
    Extension(identity): Extension<Identity>,
    JsonObject(body): JsonObject,
) -> Answer {
    let body: LiftBody = read(&body)?;
    let lifted = app
        .service
        .science_lift(&identity, &body.insight_text, body.dimensions)
        .await?;
    let reply = LiftReply {
        id: lifted.id,
        vector: lifted.vector,
        folded: lifted.folded,
    };
    Ok(Json(reply).into_response())
}

/// `POST /fornax/v1/science/unified`
pub async fn unified(
    State(app): State<App>,
    Extension(identity): Extension<Identity>,
    Fresh(fresh): Fresh,
    JsonObject(body): JsonObject,
) -> Answer {
    let request = convert::unified(read::<UnifiedBody>(&body)?, fresh);
    let unified = app
        .service
        .science_unified(&identity, request.clone())
        .await?;
    Ok(Json(convert::unified_reply(request, unified)).into_response())
}

/// `GET /fornax/v1/cache`
pub async fn cache_statistics(
    State(app): State<App>,
    Extension(identity): Extension<Identity>,
) -> Answer {
    let statistics = app.service.cache_statistics(&identity).await?;
    Ok(Json(convert::cache_reply(statistics)).into_response())
}

/// `DELETE /fornax/v1/cache?prefix=`
pub async fn cache_clear(
    State(app): State<App>,
    Extension(identity): Extension<Identity>,
    query: Result<Query<ClearQuery>, QueryRejection>,
) -> Answer {
    let Query(query) = query.map_err(|rejected| Error::invalid("prefix", rejected.body_text()))?;
    let cleared = app.service.cache_clear(&identity, &query.prefix).await?;
    Ok(Json(CacheClearedReply { cleared }).into_response())
}
