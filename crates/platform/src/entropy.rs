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

/// The operating system gave no random bytes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("get random bytes from the operating system: {message}")]
pub struct EntropyError {
    /// What the system said.
    pub message: String,
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
