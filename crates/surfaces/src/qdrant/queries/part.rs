//! A part of a request's JSON that knows where it stands, so that every refusal names its field.
//!
//! The wire has many "one of these shapes" places, for which derived readers can only say that nothing fitted. Reading by
//! hand says which field is wrong and why. Paths are made of borrowed steps and become text only when an error needs one.

use serde_json::{Map, Value};
use service::{Error, ErrorKind};

/// A JSON value and its place.
#[derive(Debug, Clone, Copy)]
pub struct Part<'a> {
    value: &'a Value,
    above: Option<&'a Part<'a>>,
    step: Step<'a>,
}

#[derive(Debug, Clone, Copy)]
enum Step<'a> {
    Root,
    Key(&'a str),
    Index(usize),
}

impl<'a> Part<'a> {
    /// The whole body.
    pub fn root(value: &'a Value) -> Self {
        Part {
            value,
            above: None,
            step: Step::Root,
        }
    }

    /// The value itself.
    pub fn value(&self) -> &'a Value {
        self.value
    }

    /// Where it stands: `prefetch[0].query.nearest`; `body` for the whole.
    pub fn path(&self) -> String {
        let mut steps = Vec::new();
        let mut part = Some(self);
        while let Some(one) = part {
            steps.push(one.step);
            part = one.above;
        }
        let mut path = String::new();
        for step in steps.into_iter().rev() {
            match step {
                Step::Root => {}
                Step::Key(key) => {
                    if !path.is_empty() {
                        path.push('.');
                    }
                    path.push_str(key);
                }
                Step::Index(index) => path.push_str(&format!("[{index}]")),
            }
        }
        if path.is_empty() {
            "body".to_owned()
        } else {
            path
        }
    }

    /// A refusal of this part.
    pub fn invalid(&self, message: impl std::fmt::Display) -> Error {
        let path = self.path();
        let text = format!("{path}: {message}");
        Error::invalid(path, text)
    }

    /// A refusal of what the wire has and this server does not.
    pub fn unsupported(&self, message: impl std::fmt::Display) -> Error {
        let path = self.path();
        Error::new(ErrorKind::NotSupported, format!("{path}: {message}")).at(path)
    }

    /// The field of this name; a null is as good as none.
    pub fn field<'b>(&'b self, key: &'b str) -> Option<Part<'b>> {
        let value = self.value.get(key).filter(|value| !value.is_null())?;
        Some(Part {
            value,
            above: Some(self),
            step: Step::Key(key),
        })
    }

    /// The field of this name, which has to be there.
    ///
    /// # Errors
    /// It is not there.
    pub fn required<'b>(&'b self, key: &'b str) -> Result<Part<'b>, Error> {
        self.field(key)
            .ok_or_else(|| self.invalid(format_args!("missing field `{key}`")))
    }

    /// The object that this is, with no fields but those known.
    ///
    /// # Errors
    /// It is something else, or has a field that this server would otherwise silently leave out.
    pub fn object(&self, known: &[&str]) -> Result<&'a Map<String, Value>, Error> {
        let object = self.map()?;
        match object
            .iter()
            .find(|(key, value)| !value.is_null() && !known.contains(&key.as_str()))
        {
            Some((key, _)) => Err(self.invalid(format_args!(
                "unknown field `{key}`, expected {}",
                known.join(", ")
            ))),
            None => Ok(object),
        }
    }

    /// The object that this is, whatever its fields.
    ///
    /// # Errors
    /// It is something else.
    pub fn map(&self) -> Result<&'a Map<String, Value>, Error> {
        self.value
            .as_object()
            .ok_or_else(|| self.expected("an object"))
    }

    /// The fields of an object, by name.
    ///
    /// # Errors
    /// It is something else.
    pub fn entries(&self) -> Result<impl Iterator<Item = (&'a str, Part<'_>)>, Error> {
        Ok(self.map()?.iter().map(|(key, value)| {
            let part = Part {
                value,
                above: Some(self),
                step: Step::Key(key),
            };
            (key.as_str(), part)
        }))
    }

    /// The elements of an array.
    ///
    /// # Errors
    /// It is something else.
    pub fn items(&self) -> Result<impl ExactSizeIterator<Item = Part<'_>>, Error> {
        let elements = self
            .value
            .as_array()
            .ok_or_else(|| self.expected("an array"))?;
        Ok(elements.iter().enumerate().map(|(index, value)| Part {
            value,
            above: Some(self),
            step: Step::Index(index),
        }))
    }

    /// The elements of an array, or the one thing that stands in its place.
    pub fn one_or_many(&self) -> Vec<Part<'_>> {
        match self.value.as_array() {
            Some(elements) => elements
                .iter()
                .enumerate()
                .map(|(index, value)| Part {
                    value,
                    above: Some(self),
                    step: Step::Index(index),
                })
                .collect(),
            None => vec![*self],
        }
    }

    /// A text.
    ///
    /// # Errors
    /// It is something else.
    pub fn text(&self) -> Result<&'a str, Error> {
        self.value.as_str().ok_or_else(|| self.expected("a string"))
    }

    /// True or false.
    ///
    /// # Errors
    /// It is something else.
    pub fn truth(&self) -> Result<bool, Error> {
        self.value
            .as_bool()
            .ok_or_else(|| self.expected("true or false"))
    }

    /// A whole number from 0.
    ///
    /// # Errors
    /// It is something else.
    pub fn whole(&self) -> Result<u64, Error> {
        self.value
            .as_u64()
            .ok_or_else(|| self.expected("a whole number of at least 0"))
    }

    /// A whole number from 0 that counts things; one beyond the machine's size is the largest there is.
    ///
    /// # Errors
    /// It is something else.
    pub fn count(&self) -> Result<usize, Error> {
        Ok(usize::try_from(self.whole()?).unwrap_or(usize::MAX))
    }

    /// A number.
    ///
    /// # Errors
    /// It is something else.
    pub fn number(&self) -> Result<f64, Error> {
        self.value.as_f64().ok_or_else(|| self.expected("a number"))
    }

    /// A number that fits 32 bits.
    ///
    /// # Errors
    /// It is something else, or too large.
    pub fn float(&self) -> Result<f32, Error> {
        let value = self.number()? as f32;
        if value.is_finite() {
            Ok(value)
        } else {
            Err(self.invalid("does not fit a 32-bit float"))
        }
    }

    /// One of several names.
    ///
    /// # Errors
    /// It is something else.
    pub fn choice<T: Copy>(&self, names: &[(&str, T)]) -> Result<T, Error> {
        let text = self.text()?;
        match names.iter().find(|(name, _)| *name == text) {
            Some((_, value)) => Ok(*value),
            None => {
                let names: Vec<&str> = names.iter().map(|(name, _)| *name).collect();
                Err(self.invalid(format_args!("`{text}` is none of {}", names.join(", "))))
            }
        }
    }

    /// What was expected and what is there.
    pub fn expected(&self, what: &str) -> Error {
        let found = match self.value {
            Value::Null => "null",
            Value::Bool(_) => "true or false",
            Value::Number(_) => "a number",
            Value::String(_) => "a string",
            Value::Array(_) => "an array",
            Value::Object(_) => "an object",
        };
        match self.value {
            Value::Number(number) => self.invalid(format_args!("expected {what}, found {number}")),
            _ => self.invalid(format_args!("expected {what}, found {found}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn refusals_name_the_place() {
        let body = json!({"prefetch": [{"query": {"nearest": [1, "x"]}, "limit": -1}]});
        let root = Part::root(&body);
        let prefetch = root.required("prefetch").expect("there");
        let first = prefetch.items().expect("array").next().expect("one");
        let query = first.required("query").expect("there");
        let nearest = query.required("nearest").expect("there");
        let second = nearest.items().expect("array").nth(1).expect("two");
        assert_eq!(
            second.float().expect_err("a text").message,
            "prefetch[0].query.nearest[1]: expected a number, found a string"
        );
        let limit = first.required("limit").expect("there");
        assert_eq!(
            limit.count().expect_err("below 0").message,
            "prefetch[0].limit: expected a whole number of at least 0, found -1"
        );
        assert_eq!(
            first
                .object(&["query"])
                .expect_err("unknown")
                .field
                .as_deref(),
            Some("prefetch[0]")
        );
        assert_eq!(
            root.required("query").expect_err("missing").message,
            "body: missing field `query`"
        );
    }
}
