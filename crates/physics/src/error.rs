//! Why a science model could not do what it was asked.

/// One enum for the crate. Messages read well after "could not", except the two of the string vibrations, which existing
/// clients compare word for word.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PhysicsError {
    /// A mode number below one; the words are part of the compatible behaviour.
    #[error("Mode number must be >= 1")]
    ModeBelowOne,
    /// A position on the string outside the closed unit interval; the words are part of the compatible behaviour.
    #[error("Position must be between 0 and 1")]
    PositionOutsideString,
    /// A number outside its range, or not a number.
    #[error("use `{field}` = {value}: it must be {requirement}")]
    OutOfRange {
        /// The name of the input or option.
        field: String,
        /// What was given.
        value: f64,
        /// What would have been right, such as `above 0`.
        requirement: &'static str,
    },
    /// A count above its bound, or zero where at least one is needed.
    #[error("use `{field}` with {count} entries: between {minimum} and {maximum} are allowed")]
    Count {
        /// The name of the input or option.
        field: String,
        /// How many were given or asked for.
        count: usize,
        /// The fewest allowed.
        minimum: usize,
        /// The most allowed.
        maximum: usize,
    },
    /// A column whose length fits neither the batch nor one.
    #[error("broadcast `{field}`: it holds {found} values where {expected} or 1 are needed")]
    Length {
        /// The name of the column.
        field: String,
        /// Its length.
        found: usize,
        /// The length of the batch.
        expected: usize,
    },
    /// A matrix whose size is not what the model takes.
    #[error("read `{field}`: it holds {found} values where {expected} are needed")]
    Shape {
        /// The name of the input or tensor.
        field: String,
        /// The values found.
        found: usize,
        /// The values needed.
        expected: usize,
    },
    /// An input that the model does not have.
    #[error("find an input named `{field}`: this model takes {expected}")]
    UnknownField {
        /// The name that was given.
        field: String,
        /// The names that the model takes, separated by commas.
        expected: String,
    },
    /// A name that is no kind of model, data set or device.
    #[error("find {what} `{name}`: there are {expected}")]
    UnknownName {
        /// What was looked for, such as `a model type`.
        what: &'static str,
        /// The name that was given.
        name: String,
        /// The names that exist, separated by commas.
        expected: &'static str,
    },
    /// A text or a set that must hold something is empty.
    #[error("use an empty `{field}`")]
    Empty {
        /// The name of the input.
        field: &'static str,
    },
    /// A model file that is not one, or is damaged.
    #[error("read the model file: {reason}")]
    Stored {
        /// What is wrong with it.
        reason: String,
    },
    /// The loss stopped being a number; smaller steps or clipping help.
    #[error("go on training: the loss is not finite after {epochs} epochs")]
    Diverged {
        /// Whole epochs done.
        epochs: usize,
    },
    /// The observer of a training could not keep a checkpoint.
    #[error("keep a checkpoint: {reason}")]
    Checkpoint {
        /// What went wrong.
        reason: String,
    },
    /// The accelerator's framework failed.
    #[error("compute on the accelerator: {reason}")]
    Accelerator {
        /// What the framework said.
        reason: String,
    },
    /// A combination that this model or build does not offer.
    #[error("{what}: not supported")]
    NotSupported {
        /// The thing asked for, such as `export this model`.
        what: String,
    },
}

/// Checks that `count` lies in `minimum..=maximum`.
///
/// # Errors
/// [`PhysicsError::Count`] naming `field`.
pub(crate) fn check_count(
    field: &str,
    count: usize,
    minimum: usize,
    maximum: usize,
) -> Result<(), PhysicsError> {
    if (minimum..=maximum).contains(&count) {
        return Ok(());
    }
    Err(PhysicsError::Count {
        field: field.to_owned(),
        count,
        minimum,
        maximum,
    })
}

/// Checks that `value` is finite and above zero.
///
/// # Errors
/// [`PhysicsError::OutOfRange`] naming `field`.
pub(crate) fn check_positive(field: &str, value: f64) -> Result<(), PhysicsError> {
    if value.is_finite() && value > 0.0 {
        return Ok(());
    }
    Err(PhysicsError::OutOfRange {
        field: field.to_owned(),
        value,
        requirement: "a finite number above 0",
    })
}

/// Checks that `value` is finite.
///
/// # Errors
/// [`PhysicsError::OutOfRange`] naming `field`.
pub(crate) fn check_finite(field: &str, value: f64) -> Result<(), PhysicsError> {
    if value.is_finite() {
        return Ok(());
    }
    Err(PhysicsError::OutOfRange {
        field: field.to_owned(),
        value,
        requirement: "a finite number",
    })
}
