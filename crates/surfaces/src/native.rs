//! What the handlers of our own routes share: errors in our own shape, and names in paths.

use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use axum::response::{IntoResponse, Response};
use service::Error;

use crate::failure::{Failure, Surface};

/// A reply, or an error in our own shape.
pub(crate) type Answer = Result<Response, NativeFailure>;

/// Wraps [`Failure`] so that `?` on a service error picks this surface.
pub(crate) struct NativeFailure(Failure);

impl From<Error> for NativeFailure {
    fn from(error: Error) -> Self {
        NativeFailure(Failure::new(Surface::Native, error))
    }
}

impl IntoResponse for NativeFailure {
    fn into_response(self) -> Response {
        self.0.into_response()
    }
}

/// The one name in a path.
pub(crate) type Name = Result<Path<String>, PathRejection>;

/// It as text.
///
/// # Errors
/// `InvalidRequest` when its percent codes are not UTF-8.
pub(crate) fn text(name: Name) -> Result<String, Error> {
    name.map(|Path(name)| name)
        .map_err(|_| Error::invalid("name", "the name is not valid UTF-8"))
}
