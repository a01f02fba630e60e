//! Tools about models.

use service::{Action, Error};

use crate::mcp::convert;
use crate::mcp::declaration::{Call, Facts, Tool};
use crate::mcp::types::{DescribeModelArguments, ModelAnswer, ModelsAnswer, Nothing};

/// `list_models`
pub fn list() -> Tool {
    let facts = Facts {
        name: "list_models",
        title: "List models",
        description: "The models of this server, with what each was made for. Call this first: the other tools take a \
                      model's name.",
        action: Action::ListModels,
        read_only: true,
        long: false,
    };
    Tool::new(facts, |call: Call, _: Nothing| async move {
        let models = call.app.service.models(&call.identity).await?;
        Ok::<_, Error>(ModelsAnswer {
            models: models.iter().map(convert::model_entry).collect(),
        })
    })
}

/// `describe_model`
pub fn describe() -> Tool {
    let facts = Facts {
        name: "describe_model",
        title: "Describe a model",
        description: "Everything that is known of one model: its size, context length, vector width, quantisation, digest \
                      and licence.",
        action: Action::ListModels,
        read_only: true,
        long: false,
    };
    Tool::new(
        facts,
        |call: Call, arguments: DescribeModelArguments| async move {
            let model = call.app.service.model(&call.identity, &arguments.model);
            Ok::<ModelAnswer, Error>(convert::model_answer(model.await?))
        },
    )
}
