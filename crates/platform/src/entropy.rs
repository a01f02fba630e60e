//! Unpredictable bytes from the operating system: the one source for keys and identifiers.

/// Fills `buffer` from the kernel's generator, waiting for it to be seeded.
///
/// # Errors
/// The system call's error; on a supported kernel that means a sandbox forbids it.
pub fn fill(buffer: &mut [u8]) -> Result<(), EntropyError> {
    getrandom::fill(buffer).map_err(|error| EntropyError {
        message: error.to_string(),
    })
}

/// A random number, uniform over all of `u64`.
///
/// # Errors
/// As [`fill`].
pub fn random_u64() -> Result<u64, EntropyError> {
    let mut bytes = [0; 8];
    fill(&mut bytes)?;
    Ok(u64::from_le_bytes(bytes))
}

/// The operating system gave no random bytes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("get random bytes from the operating system: {message}")]
pub struct EntropyError {
    /// What the system said.
    pub message: String,
}

impl From<EntropyError> for std::io::Error {
    fn from(error: EntropyError) -> Self {
        std::io::Error::other(error)
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn two_fills_differ() {
        let (mut first, mut second) = ([0u8; 32], [0u8; 32]);
        super::fill(&mut first).expect("entropy");
        super::fill(&mut second).expect("entropy");
        assert_ne!(first, second);
    }
}
