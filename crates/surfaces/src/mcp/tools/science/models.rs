//! Science models: made, read and evaluated.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use service::science::DeviceInformation;
use service::{Action, Error};

use crate::mcp::declaration::{Call, Facts, Tool};
use crate::mcp::types::Nothing;
use crate::science::convert;
use crate::science::types::{
    CreateBody, InferBody, InferReply, ModelReply, ModelsReply, ParametersReply,
};

/// A science model by its name.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Named {
    /// Name, as `list_science_models` gives it.
    model: String,
}

/// What was deleted.
#[derive(Debug, Serialize, JsonSchema)]
struct Deleted {
    /// Its name.
    deleted: String,
}

/// `list_science_models`
pub fn list() -> Tool {
    let facts = Facts {
        name: "list_science_models",
        title: "List science models",
        description: "The physics models of this server: waves, ensembles, interference bases, string theory networks and \
                      baselines, with their configurations, seeds, digests and last trainings.",
        action: Action::ListScience,
        read_only: true,
        long: false,
    };
    Tool::new(facts, |call: Call, _: Nothing| async move {
        let models = call.app.service.science_models(&call.identity).await?;
        let models = models.into_iter().map(convert::model_reply).collect();
        Ok::<_, Error>(ModelsReply { models })
    })
}

/// `describe_science_model`
pub fn describe() -> Tool {
    let facts = Facts {
        name: "describe_science_model",
        title: "Describe a science model",
        description: "Everything that is known of one physics model but its parameters.",
        action: Action::ListScience,
        read_only: true,
        long: false,
    };
    Tool::new(facts, |call: Call, named: Named| async move {
        let model = call
            .app
            .service
            .science_model(&call.identity, &named.model)
            .await?;
        Ok::<ModelReply, Error>(convert::model_reply(model))
    })
}

/// `create_science_model`
pub fn create() -> Tool {
    let facts = Facts {
        name: "create_science_model",
        title: "Create a science model",
        description: "Makes a physics model from a configuration and a seed: the same configuration and seed give the same \
                      model. Without a seed a random one is drawn and told.",
        action: Action::ManageScience,
        read_only: false,
        long: false,
    };
    Tool::new(facts, |call: Call, body: CreateBody| async move {
        let new = convert::new_model(body);
        let record = call.app.service.science_create(&call.identity, new).await?;
        Ok::<ModelReply, Error>(convert::model_reply(record))
    })
}

/// `delete_science_model`
pub fn delete() -> Tool {
    let facts = Facts {
        name: "delete_science_model",
        title: "Delete a science model",
        description: "Deletes a physics model and its parameters for good.",
        action: Action::ManageScience,
        read_only: false,
        long: false,
    };
    Tool::new(facts, |call: Call, named: Named| async move {
        call.app
            .service
            .science_delete(&call.identity, &named.model)
            .await?;
        Ok::<_, Error>(Deleted {
            deleted: named.model,
        })
    })
    .destructive()
}

/// `science_model_parameters`
pub fn parameters() -> Tool {
    let facts = Facts {
        name: "science_model_parameters",
        title: "Parameters of a science model",
        description: "Every parameter of a physics model by name, with its shape and values.",
        action: Action::ListScience,
        read_only: true,
        long: false,
    };
    Tool::new(facts, |call: Call, named: Named| async move {
        let (record, parameters) = call
            .app
            .service
            .science_parameters(&call.identity, &named.model)
            .await?;
        Ok::<ParametersReply, Error>(convert::parameters_reply(record, parameters))
    })
}

/// `infer_science_model`
pub fn infer() -> Tool {
    let facts = Facts {
        name: "infer_science_model",
        title: "Evaluate a science model",
        description: "Evaluates a physics model at points, given as columns by the names of its inputs or as rows in their \
                      order. Equal calls are answered from the cache.",
        action: Action::RunScience,
        read_only: true,
        long: true,
    };
    Tool::new(facts, |call: Call, body: InferBody| async move {
        let request = convert::inference(body, call.fresh)?;
        let model = request.model.clone();
        let inference = call
            .app
            .service
            .science_infer(&call.identity, request)
            .await?;
        Ok::<InferReply, Error>(convert::infer_reply(model, inference))
    })
}

/// `science_devices`
pub fn devices() -> Tool {
    let facts = Facts {
        name: "science_devices",
        title: "Devices for science models",
        description: "On what this server can compute physics models.",
        action: Action::ListScience,
        read_only: true,
        long: false,
    };
    Tool::new(facts, |call: Call, _: Nothing| async move {
        let devices = call.app.service.science_devices(&call.identity).await?;
        Ok::<DeviceInformation, Error>(devices)
    })
}
