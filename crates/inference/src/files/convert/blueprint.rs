//! What a family's module makes of a checkpoint: metadata, and for every tensor where its values come from.

use super::error::ConvertError;
use super::source::Checkpoint;
use crate::files::gguf_writer::GgufPlan;

/// The order in which rows of the source are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RowOrder {
    /// As they are.
    Same,
    /// Checkpoints rotate element `i` of a head with element `i + width / 2`; ggml's `llama` architecture rotates
    /// neighbours. Row `2 i` comes from row `i`, row `2 i + 1` from row `i + width / 2` of each head.
    Rotary {
        /// Number of heads in the tensor.
        heads: usize,
    },
}

impl RowOrder {
    /// The source row of output row `row` of `rows`.
    pub(super) fn source_row(self, row: usize, rows: usize) -> usize {
        match self {
            Self::Same => row,
            Self::Rotary { heads } => {
                let width = rows / heads;
                let (head, inside) = (row / width, row % width);
                head * width + inside / 2 + (inside % 2) * (width / 2)
            }
        }
    }
}

/// Where a tensor's values come from.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Origin {
    /// A tensor of the checkpoint.
    File {
        /// Its name there.
        name: String,
        /// The order of its rows.
        order: RowOrder,
    },
    /// Computed from the configuration.
    Values(Vec<f32>),
}

/// How far a tensor may be compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Precision {
    /// Always F32: vectors, and tables that ggml adds directly.
    Full,
    /// The type asked for.
    Asked,
    /// The type asked for, but not below Q8_0: the matrix that makes the logits, where four bits cost most.
    Output,
}

/// One tensor of the output.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Part {
    /// ggml's name.
    pub target: String,
    pub origin: Origin,
    /// Elements per dimension, innermost last, as the configuration says they must be.
    pub shape: Vec<u64>,
    pub precision: Precision,
}

/// Everything that the output will hold, but its weight types.
#[derive(Debug, Default)]
pub(super) struct Blueprint {
    pub architecture: &'static str,
    pub plan: GgufPlan,
    pub parts: Vec<Part>,
    /// What the user should know.
    pub notes: Vec<String>,
    /// Whether vectors of this model are meant to be scaled to length one.
    pub normalize: bool,
}

impl Blueprint {
    /// Adds the tensor that the checkpoint calls `source`.
    pub(super) fn add(&mut self, source: String, target: String, shape: &[u64], order: RowOrder) {
        let precision = if shape.len() < 2 {
            Precision::Full
        } else {
            Precision::Asked
        };
        self.parts.push(Part {
            target,
            origin: Origin::File {
                name: source,
                order,
            },
            shape: shape.to_vec(),
            precision,
        });
    }

    /// Sets the precision of the tensor added last.
    pub(super) fn with(&mut self, precision: Precision) {
        if let Some(part) = self.parts.last_mut() {
            part.precision = precision;
        }
    }

    /// Every tensor that the blueprint names exists with the shape that the configuration announces, and no tensor of
    /// the checkpoint is left out unless `ignored` says that it may be.
    pub(super) fn check(
        &self,
        checkpoint: &Checkpoint,
        ignored: impl Fn(&str) -> bool,
    ) -> Result<(), ConvertError> {
        let mut used = std::collections::HashSet::new();
        for part in &self.parts {
            let Origin::File { name, .. } = &part.origin else {
                continue;
            };
            let view = checkpoint
                .tensor(name)
                .ok_or_else(|| ConvertError::tensor(name, "is missing from the weights"))?;
            if view.info().shape != part.shape {
                let message = format!(
                    "has shape {:?}, the configuration announces {:?}",
                    view.info().shape,
                    part.shape
                );
                return Err(ConvertError::tensor(name, message));
            }
            used.insert(name.as_str());
        }
        match checkpoint
            .tensor_names()
            .find(|name| !used.contains(name) && !ignored(name))
        {
            Some(name) => {
                let message = format!("is not a part of the {} architecture", self.architecture);
                Err(ConvertError::tensor(name, message))
            }
            None => Ok(()),
        }
    }
}
