//! The tools: one declaration each, in the order in which they are listed.

mod ask;
pub mod collections;
mod embed;
mod generate;
mod models;
mod science;

use std::sync::LazyLock;

use service::Identity;

use super::declaration::Tool;
use crate::state::App;

/// Every tool, in a fixed order: clients keep what they were told, and a changed order spoils their prompts' caches.
static TOOLS: LazyLock<Vec<Tool>> = LazyLock::new(|| {
    let mut tools = vec![
        models::list(),
        models::describe(),
        generate::tool(),
        embed::tool(),
        collections::list(),
        collections::describe(),
        collections::search(),
        ask::tool(),
    ];
    tools.extend(science::tools());
    tools
});

/// Every tool there is.
#[cfg(test)]
pub fn all() -> &'static [Tool] {
    &TOOLS
}

/// The tool of this name.
pub fn find(name: &str) -> Option<&'static Tool> {
    TOOLS.iter().find(|tool| tool.name() == name)
}

/// The tools that `identity` may call.
pub fn allowed(app: &App, identity: &Identity) -> Vec<&'static Tool> {
    TOOLS
        .iter()
        .filter(|tool| app.service.authorize(Some(identity), tool.action).is_ok())
        .collect()
}
