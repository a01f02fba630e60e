//! Prompts that people can pick in their client: one declaration each.

use rmcp::ErrorData;
use rmcp::model::{GetPromptResult, JsonObject, Prompt, PromptArgument, PromptMessage, Role};
use serde_json::Value;

/// One argument of a prompt.
pub struct Argument {
    /// Name.
    pub name: &'static str,
    /// For people.
    pub description: &'static str,
    /// It must be given.
    pub required: bool,
    /// Good values, when there is a small choice of them.
    pub choices: &'static [&'static str],
}

/// One prompt.
pub struct Template {
    /// Name.
    pub name: &'static str,
    /// For people.
    pub title: &'static str,
    /// What it is for.
    pub description: &'static str,
    /// Its arguments, in order.
    pub arguments: &'static [Argument],
    /// The text; `{name}` is replaced by an argument, and a line whose argument was not given is left out.
    text: &'static str,
}

/// Longest value of an argument, in bytes: the longest document that any model here reads in one go.
const VALUE_BYTES_MAX: usize = 8 << 20;

static TEMPLATES: &[Template] = &[
    Template {
        name: "summarise",
        title: "Summarise a text",
        description: "A faithful summary, in the length and for the readers that you say.",
        arguments: &[
            required("text", "What to summarise."),
            Argument {
                choices: &[
                    "one sentence",
                    "three sentences",
                    "five bullet points",
                    "one page",
                ],
                ..optional("length", "How long the summary should be.")
            },
            Argument {
                choices: &["experts", "newcomers", "managers", "children"],
                ..optional("readers", "Who will read it.")
            },
        ],
        text: "Summarise the text between the lines of dashes. Say only what it says, and keep its numbers and names exact.\n\
               Length: {length}.\n\
               Write it for {readers}.\n\
               ---\n{text}\n---",
    },
    Template {
        name: "answer_with_citations",
        title: "Answer with citations",
        description: "An answer from given passages only, with the number of the passage behind each statement.",
        arguments: &[
            required("question", "What to answer."),
            required(
                "passages",
                "The passages to answer from, each beginning with its number in brackets, such as [1].",
            ),
        ],
        text: "Answer the question from the passages alone. After each statement write the number of the passage that it \
               comes from, like [1]. If the passages do not hold the answer, say so and stop.\n\
               Question: {question}\n\
               Passages:\n{passages}",
    },
    Template {
        name: "extract",
        title: "Extract facts as JSON",
        description: "The facts of a text that fit a JSON Schema, for a call of `generate` with the same schema.",
        arguments: &[
            required("text", "Where the facts are."),
            required("schema", "JSON Schema of what to extract."),
        ],
        text: "Extract what the schema asks for from the text. Answer with one JSON value that is valid under the schema and \
               nothing else. Leave out what the text does not say.\n\
               Schema:\n{schema}\n\
               Text:\n{text}",
    },
];

const fn required(name: &'static str, description: &'static str) -> Argument {
    Argument {
        name,
        description,
        required: true,
        choices: &[],
    }
}

const fn optional(name: &'static str, description: &'static str) -> Argument {
    Argument {
        name,
        description,
        required: false,
        choices: &[],
    }
}

/// Every prompt, as it is listed.
pub fn list() -> Vec<Prompt> {
    TEMPLATES.iter().map(listed).collect()
}

fn listed(template: &Template) -> Prompt {
    let arguments = template.arguments.iter().map(|argument| {
        PromptArgument::new(argument.name)
            .with_description(argument.description)
            .with_required(argument.required)
    });
    Prompt::new(
        template.name,
        Some(template.description),
        Some(arguments.collect()),
    )
    .with_title(template.title)
}

/// The prompt of this name.
pub fn find(name: &str) -> Option<&'static Template> {
    TEMPLATES.iter().find(|template| template.name == name)
}

impl Template {
    /// The prompt with these arguments.
    ///
    /// # Errors
    /// One is missing, unknown, too long or not a text.
    pub fn fill(&self, given: &JsonObject) -> Result<GetPromptResult, ErrorData> {
        let invalid = |message: String| ErrorData::invalid_params(message, None);
        for name in given.keys() {
            if !self.arguments.iter().any(|argument| argument.name == name) {
                return Err(invalid(format!(
                    "the prompt `{}` has no argument `{name}`",
                    self.name
                )));
            }
        }
        let mut values = Vec::with_capacity(self.arguments.len());
        for argument in self.arguments {
            let value = match given.get(argument.name) {
                Some(Value::String(text)) if text.len() > VALUE_BYTES_MAX => {
                    return Err(invalid(format!("`{}` is too long", argument.name)));
                }
                Some(Value::String(text)) => Some(text.as_str()),
                None if !argument.required => None,
                None => return Err(invalid(format!("`{}` is required", argument.name))),
                Some(_) => return Err(invalid(format!("`{}` must be a text", argument.name))),
            };
            values.push((argument.name, value));
        }
        let text = fill(self.text, &values);
        Ok(
            GetPromptResult::new(vec![PromptMessage::new_text(Role::User, text)])
                .with_description(self.description),
        )
    }
}

/// `text` with its places filled. Values are put in once and not looked at again, so a value cannot pull in another.
fn fill(text: &str, values: &[(&str, Option<&str>)]) -> String {
    let mut lines = Vec::new();
    'lines: for line in text.split('\n') {
        let mut filled = String::new();
        let mut rest = line;
        while let Some((before, after)) = rest.split_once('{') {
            let Some((name, tail)) = after.split_once('}') else {
                break;
            };
            filled.push_str(before);
            match values.iter().find(|(known, _)| *known == name) {
                Some((_, Some(value))) => filled.push_str(value),
                Some((_, None)) => continue 'lines,
                None => filled.push_str(&rest[before.len()..rest.len() - tail.len()]),
            }
            rest = tail;
        }
        filled.push_str(rest);
        lines.push(filled);
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn text_of(name: &str, arguments: Value) -> Result<String, ErrorData> {
        let template = find(name).expect("prompt");
        let result = template.fill(arguments.as_object().expect("object"))?;
        let content = result.messages[0].content.as_text().expect("text");
        Ok(content.text.clone())
    }

    #[test]
    fn every_place_is_an_argument_and_every_argument_has_a_place() {
        for template in TEMPLATES {
            for argument in template.arguments {
                let place = format!("{{{}}}", argument.name);
                assert!(template.text.contains(&place), "{} {place}", template.name);
            }
            let places = template.text.matches('{').count();
            assert_eq!(places, template.arguments.len(), "{}", template.name);
        }
    }

    #[test]
    fn a_line_without_its_argument_is_left_out() {
        let short = text_of("summarise", json!({"text": "T"})).expect("filled");
        assert!(
            !short.contains("Length") && short.ends_with("---\nT\n---"),
            "{short}"
        );
        let long = text_of("summarise", json!({"text": "T", "length": "one page"}));
        assert!(long.expect("filled").contains("Length: one page."));
    }

    #[test]
    fn a_value_cannot_pull_in_another() {
        let text = text_of(
            "answer_with_citations",
            json!({"question": "{passages}", "passages": "secret"}),
        );
        let text = text.expect("filled");
        assert!(text.contains("Question: {passages}"), "{text}");
        assert_eq!(text.matches("secret").count(), 1);
    }

    #[test]
    fn wrong_arguments_are_named() {
        for (arguments, word) in [
            (json!({}), "text"),
            (json!({"text": 3}), "text"),
            (json!({"text": "T", "tone": "dry"}), "tone"),
        ] {
            let error = text_of("summarise", arguments).expect_err("refused");
            assert!(error.message.contains(word), "{}", error.message);
        }
    }
}
