//! Names that come from outside and become names of files.

use crate::error::VectorsError;

/// Longest name of a snapshot: with prefix and suffix it fits every file system.
pub const NAME_BYTES_MAX: usize = 200;
/// Longest relative path in a snapshot: what fits the two fields of an archive's header with room to spare.
const RELATIVE_BYTES_MAX: usize = 200;

/// Checks that a name is one visible file name: letters, digits, `-`, `_`, `.` and no dot in front.
///
/// # Errors
/// [`VectorsError::Invalid`] saying what is allowed.
pub fn check_name(name: &str) -> Result<(), VectorsError> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if name.is_empty()
        || name.len() > NAME_BYTES_MAX
        || name.starts_with('.')
        || !name.bytes().all(allowed)
    {
        return Err(VectorsError::invalid(
            "snapshot",
            format!(
                "a name has 1 to {NAME_BYTES_MAX} letters, digits, `-`, `_` or `.` and does not begin with `.`"
            ),
        ));
    }
    Ok(())
}

/// Checks that a path with `/` between its parts stays below where it begins: every part is a name as
/// [`check_name`] wants it.
///
/// # Errors
/// [`VectorsError::Invalid`] naming the path.
pub fn check_relative(path: &str) -> Result<(), VectorsError> {
    if path.len() > RELATIVE_BYTES_MAX || path.split('/').any(|part| check_name(part).is_err()) {
        return Err(VectorsError::invalid(
            "path",
            format!("`{}` is not a path in a snapshot", path.escape_debug()),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_where_they_are() {
        for name in ["a", "2026-11-21_12.30", "A_b-c.d"] {
            check_name(name).expect(name);
            check_relative(&format!("segments/{name}/rows")).expect(name);
        }
        for name in [
            "",
            ".",
            "..",
            ".hidden",
            "a/b",
            "a\\b",
            "a\0",
            "ü",
            "a b",
            &"x".repeat(201),
        ] {
            check_name(name).expect_err(name);
        }
        for path in [
            "",
            "/",
            "/etc/passwd",
            "a//b",
            "a/../b",
            "a/",
            "..",
            "C:\\x",
        ] {
            check_relative(path).expect_err(path);
        }
    }
}
