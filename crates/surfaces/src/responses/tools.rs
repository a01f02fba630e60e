//! From `tools` and `tool_choice` to the service's functions and search.

use serde_json::{Map, Value};
use service::collections::Filter;
use service::{Error, Ranker, Retrieval, Tool, ToolChoice};

use super::input::short;
use crate::attribute_filter;
use crate::openai::fields::unsupported;
use crate::openai::settings::no_parameters;

/// OpenAI's own bound.
const TOOLS_MAX: usize = 128;
/// Passages that a search gives when the request names no number. OpenAI gives up to 20 to models with long contexts; what
/// does not fit is left out in any case.
const RESULTS_DEFAULT: usize = 8;
const RESULTS_MAX: u64 = 50;
const STORES_MAX: usize = 16;

/// What the model may use.
#[derive(Debug, Default)]
pub struct Tools {
    pub functions: Vec<Tool>,
    pub search: Option<Retrieval>,
}

/// Reads `tools`.
pub fn tools(values: &[Value]) -> Result<Tools, Error> {
    if values.len() > TOOLS_MAX {
        return Err(Error::invalid(
            "tools",
            format!("`tools` takes at most {TOOLS_MAX}"),
        ));
    }
    let mut tools = Tools::default();
    for (index, value) in values.iter().enumerate() {
        let path = format!("tools[{index}]");
        let Some(object) = value.as_object() else {
            return Err(
                Error::invalid(path.clone(), format!("`{path}` is an object"))
                    .with_code("invalid_type"),
            );
        };
        let field = format!("{path}.type");
        match object.get("type").and_then(Value::as_str) {
            Some("function") => tools.functions.push(function(&path, object)?),
            Some("file_search") if tools.search.is_some() => {
                return Err(Error::invalid(field, "`file_search` is given twice"));
            }
            Some("file_search") => tools.search = Some(file_search(&path, object)?),
            Some(other) => {
                return Err(unsupported(
                    field,
                    &format!(
                        "this server has no tool `{}`; it has `function` and `file_search`",
                        short(other)
                    ),
                ));
            }
            None => {
                let message = format!("`{field}` is required");
                return Err(Error::invalid(field, message).with_code("missing_required_parameter"));
            }
        }
    }
    Ok(tools)
}

fn text<'a>(
    path: &str,
    object: &'a Map<String, Value>,
    name: &str,
) -> Result<Option<&'a str>, Error> {
    match object.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => {
            let field = format!("{path}.{name}");
            let message = format!("`{field}` is a string");
            Err(Error::invalid(field, message).with_code("invalid_type"))
        }
    }
}

fn function(path: &str, object: &Map<String, Value>) -> Result<Tool, Error> {
    if object.contains_key("function") && !object.contains_key("name") {
        return Err(Error::invalid(
            format!("{path}.name"),
            format!("`{path}.name` is required: here a function's fields stand beside its type, not in `function`"),
        )
        .with_code("missing_required_parameter"));
    }
    let Some(name) = text(path, object, "name")? else {
        let field = format!("{path}.name");
        let message = format!("`{field}` is required");
        return Err(Error::invalid(field, message).with_code("missing_required_parameter"));
    };
    let parameters = match object.get("parameters") {
        None | Some(Value::Null) => no_parameters(),
        Some(schema @ Value::Object(_)) => schema.clone(),
        Some(_) => {
            let field = format!("{path}.parameters");
            let message = format!("`{field}` is a JSON Schema object");
            return Err(Error::invalid(field, message).with_code("invalid_type"));
        }
    };
    let strict = match object.get("strict") {
        None | Some(Value::Null) => true,
        Some(Value::Bool(strict)) => *strict,
        Some(_) => {
            let field = format!("{path}.strict");
            let message = format!("`{field}` is true or false");
            return Err(Error::invalid(field, message).with_code("invalid_type"));
        }
    };
    Ok(Tool {
        name: name.to_owned(),
        description: text(path, object, "description")?.map(str::to_owned),
        parameters,
        strict,
    })
}

fn file_search(path: &str, object: &Map<String, Value>) -> Result<Retrieval, Error> {
    let field = format!("{path}.vector_store_ids");
    let ids: Vec<String> = object
        .get("vector_store_ids")
        .and_then(Value::as_array)
        .filter(|ids| (1..=STORES_MAX).contains(&ids.len()))
        .and_then(|ids| {
            ids.iter()
                .map(|id| id.as_str().map(str::to_owned))
                .collect()
        })
        .ok_or_else(|| {
            Error::invalid(
                field.clone(),
                format!("`{field}` is a list of 1 to {STORES_MAX} ids of vector stores"),
            )
        })?;
    let limit = match object.get("max_num_results") {
        None | Some(Value::Null) => RESULTS_DEFAULT,
        Some(value) => value
            .as_u64()
            .filter(|count| (1..=RESULTS_MAX).contains(count))
            .and_then(|count| usize::try_from(count).ok())
            .ok_or_else(|| {
                let field = format!("{path}.max_num_results");
                let message = format!("`{field}` is a number from 1 to {RESULTS_MAX}");
                Error::invalid(field, message)
            })?,
    };
    let (ranker, score_min) = ranking(path, object.get("ranking_options"))?;
    Ok(Retrieval {
        collections: ids,
        limit,
        filter: filter(path, object.get("filters"))?,
        score_min,
        ranker,
    })
}

fn ranking(path: &str, options: Option<&Value>) -> Result<(Ranker, Option<f32>), Error> {
    let path = format!("{path}.ranking_options");
    let options = match options {
        None | Some(Value::Null) => return Ok((Ranker::Configured, None)),
        Some(Value::Object(options)) => options,
        Some(_) => {
            let message = format!("`{path}` is an object");
            return Err(Error::invalid(path, message).with_code("invalid_type"));
        }
    };
    let ranker = match text(&path, options, "ranker")? {
        None | Some("auto" | "default-2024-11-15" | "default_2024_08_21") => Ranker::Configured,
        Some("none") => Ranker::None,
        Some(model) => Ranker::Model(model.to_owned()),
    };
    if options
        .get("hybrid_search")
        .is_some_and(|value| !value.is_null())
    {
        return Err(unsupported(
            format!("{path}.hybrid_search"),
            "meaning and words are always merged by reciprocal ranks, with equal weights",
        ));
    }
    let score_min = match options.get("score_threshold") {
        None | Some(Value::Null) => None,
        Some(value) => Some(
            value
                .as_f64()
                .filter(|least| (0.0..=1.0).contains(least))
                .map(|least| least as f32)
                .ok_or_else(|| {
                    let field = format!("{path}.score_threshold");
                    let message = format!("`{field}` is a number from 0 to 1");
                    Error::invalid(field, message)
                })?,
        ),
    };
    // Everything found scores at least 0.
    Ok((ranker, score_min.filter(|least| *least > 0.0)))
}

/// `filters` over the attributes of files.
fn filter(path: &str, value: Option<&Value>) -> Result<Filter, Error> {
    match value {
        None | Some(Value::Null) => Ok(Filter::default()),
        Some(value) => attribute_filter::read(&format!("{path}.filters"), value),
    }
}

/// What `tool_choice` makes of the tools.
pub fn choose(value: Option<&Value>, tools: &mut Tools) -> Result<ToolChoice, Error> {
    let field = "tool_choice";
    let choice = match value {
        None | Some(Value::Null) => ToolChoice::Auto,
        Some(Value::String(word)) => match word.as_str() {
            "auto" => ToolChoice::Auto,
            "none" => {
                tools.search = None;
                ToolChoice::None
            }
            // A search is made in any case, so it is the call that is required.
            "required" if tools.search.is_some() => ToolChoice::Auto,
            "required" => ToolChoice::Required,
            _ => {
                return Err(Error::invalid(
                    field,
                    "`tool_choice` is none, auto, required or an object",
                ));
            }
        },
        Some(Value::Object(object)) => match object.get("type").and_then(Value::as_str) {
            Some("function") => {
                tools.search = None;
                ToolChoice::Named(named(field, object, tools)?)
            }
            Some("file_search") if tools.search.is_some() => ToolChoice::None,
            Some("file_search") => {
                return Err(Error::invalid(
                    field,
                    "`tool_choice` names `file_search`, which is not in `tools`",
                ));
            }
            Some("allowed_tools") => allowed(object, tools)?,
            Some(other) => {
                return Err(unsupported(
                    "tool_choice.type",
                    &format!(
                        "`{}` is not one of function, file_search, allowed_tools",
                        short(other)
                    ),
                ));
            }
            None => {
                return Err(Error::invalid(
                    "tool_choice.type",
                    "`tool_choice.type` is required",
                ));
            }
        },
        Some(_) => {
            return Err(
                Error::invalid(field, "`tool_choice` is a string or an object")
                    .with_code("invalid_type"),
            );
        }
    };
    let needs_tools = matches!(
        choice,
        ToolChoice::Required | ToolChoice::Named(_) | ToolChoice::Allowed { .. }
    );
    if needs_tools && tools.functions.is_empty() {
        return Err(Error::invalid(field, "`tool_choice` needs `tools`"));
    }
    Ok(choice)
}

fn named(path: &str, object: &Map<String, Value>, tools: &Tools) -> Result<String, Error> {
    let field = format!("{path}.name");
    let Some(name) = object.get("name").and_then(Value::as_str) else {
        let message = format!("`{field}` is required");
        return Err(Error::invalid(field, message).with_code("missing_required_parameter"));
    };
    if !tools.functions.iter().any(|tool| tool.name == name) {
        let message = format!("there is no function called `{}` in `tools`", short(name));
        return Err(Error::invalid(field, message));
    }
    Ok(name.to_owned())
}

fn allowed(object: &Map<String, Value>, tools: &mut Tools) -> Result<ToolChoice, Error> {
    let required = match object.get("mode").and_then(Value::as_str) {
        None | Some("auto") => false,
        Some("required") => true,
        Some(_) => {
            return Err(Error::invalid(
                "tool_choice.mode",
                "the mode is auto or required",
            ));
        }
    };
    let Some(list) = object
        .get("tools")
        .and_then(Value::as_array)
        .filter(|list| !list.is_empty())
    else {
        return Err(Error::invalid(
            "tool_choice.tools",
            "allowed tools are a list of at least one tool",
        ));
    };
    let (mut names, mut search) = (Vec::new(), false);
    for (index, item) in list.iter().enumerate() {
        let path = format!("tool_choice.tools[{index}]");
        let Some(object) = item.as_object() else {
            return Err(Error::invalid(path, "an allowed tool is an object"));
        };
        match object.get("type").and_then(Value::as_str) {
            Some("file_search") => search = true,
            _ => names.push(named(&path, object, tools)?),
        }
    }
    if !search {
        tools.search = None;
    }
    Ok(if names.is_empty() {
        ToolChoice::None
    } else {
        ToolChoice::Allowed {
            required: required && tools.search.is_none(),
            names,
        }
    })
}
