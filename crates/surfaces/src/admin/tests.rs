//! The administration over HTTP.
