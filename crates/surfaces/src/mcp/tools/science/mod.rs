//! The science models and the string computations. Arguments and answers are those of `/fornax/v1/science`.

mod models;
mod strings;
mod training;

use crate::mcp::declaration::Tool;

/// The tools, in the order in which they are listed.
pub fn tools() -> Vec<Tool> {
    vec![
        models::list(),
        models::describe(),
        models::create(),
        models::delete(),
        models::parameters(),
        models::infer(),
        training::train(),
        training::benchmark(),
        strings::spectrum(),
        strings::parameters(),
        strings::compactify(),
        strings::lift(),
        strings::unified(),
        models::devices(),
    ]
}
