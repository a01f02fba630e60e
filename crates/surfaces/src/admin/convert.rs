//! Between the administration's wire shapes and the service's types.

use service::{
    Error, Identity, KeyRecord, ModelSummary, NewKey, PullEvent, ResidentModel, Scope, Scopes,
    TenantId,
};

use super::types::{KeyReply, ModelReply, NewKeyBody, PullLine, RunnerReply};

pub fn model_reply(model: ModelSummary) -> ModelReply {
    ModelReply {
        name: model.name,
        digest: model.digest,
        size_bytes: model.size_bytes,
        created_unix: model.created_unix,
        origin: model.origin,
        kind: model.kind.name(),
        architecture: model.architecture,
        parameters: model.parameters,
        quantization: model.quantization,
        context_length: model.context_length,
        embedding_length: model.embedding_length,
        has_chat_template: model.has_chat_template,
        license: model.license,
    }
}

pub fn runner_reply(resident: ResidentModel) -> RunnerReply {
    RunnerReply {
        name: resident.name,
        digest: resident.digest,
        pid: resident.pid,
        state: resident.state.name(),
        loaded_unix: resident.loaded_unix,
        expires_unix: resident.expires_unix,
        memory_bytes: resident.memory_bytes,
        in_flight: resident.in_flight,
        restarts: resident.restarts,
        pinned: resident.pinned,
    }
}

pub fn pull_line(event: PullEvent) -> PullLine {
    match event {
        PullEvent::Progress {
            stage,
            done_bytes,
            total_bytes,
            ..
        } => PullLine::Progress {
            stage,
            done_bytes,
            total_bytes,
        },
        PullEvent::Finished(model) => PullLine::Finished {
            stage: "finished",
            model: Box::new(model_reply(*model)),
        },
    }
}

pub fn key_reply(record: KeyRecord, now_unix: i64) -> KeyReply {
    let status = record.status(now_unix).name();
    KeyReply {
        id: record.id,
        name: record.name,
        tenant: record.tenant.to_string(),
        scopes: record.scopes.iter().map(Scope::name).collect(),
        status,
        created_unix: record.created_unix,
        expires_unix: record.expires_unix,
        revoked_unix: record.revoked_unix,
        last_used_unix: record.last_used_unix,
    }
}

pub fn new_key(body: NewKeyBody, maker: &Identity, now_unix: i64) -> Result<NewKey, Error> {
    let mut scopes = Scopes::NONE;
    for (index, name) in body.scopes.iter().enumerate() {
        let scope: Scope = name.parse().map_err(|_| {
            Error::invalid(
                format!("scopes[{index}]"),
                format!("there is no scope `{name}`"),
            )
        })?;
        scopes = scopes.with(scope);
    }
    if scopes.is_empty() {
        return Err(Error::invalid("scopes", "a key needs at least one scope"));
    }
    let tenant = match body.tenant {
        None => maker.tenant.clone(),
        Some(name) => {
            TenantId::new(&name).map_err(|error| Error::invalid("tenant", error.to_string()))?
        }
    };
    Ok(NewKey {
        name: body.name,
        tenant,
        scopes,
        expires_unix: body
            .expires_in_seconds
            .map(|seconds| now_unix.saturating_add(i64::from(seconds))),
    })
}
