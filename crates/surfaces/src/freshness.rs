//! `Cache-Control: no-store` (RFC 9111 §5.2.1.5) and `no-cache` (§5.2.1.4) on a request: the caller wants its result computed.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use http::HeaderMap;
use http::header::CACHE_CONTROL;
use http::request::Parts;

/// Whether the caller asked for a result that is not taken from, and not put into, the result cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fresh(pub bool);

impl Fresh {
    /// What the headers of a request ask for.
    pub fn of(headers: &HeaderMap) -> Self {
        let directives = headers
            .get_all(CACHE_CONTROL)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','));
        Fresh(directives.map(str::trim).any(|directive| {
            directive.eq_ignore_ascii_case("no-store") || directive.eq_ignore_ascii_case("no-cache")
        }))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Fresh {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        Ok(Fresh::of(&parts.headers))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_two_directives_ask_for_a_fresh_result() {
        for (value, expected) in [
            (None, false),
            (Some("max-age=0"), false),
            (Some("No-Store"), true),
            (Some("max-age=0, no-cache"), true),
            (Some("x-no-store"), false),
        ] {
            let mut request = http::Request::builder();
            if let Some(value) = value {
                request = request.header(CACHE_CONTROL, value);
            }
            let (mut parts, ()) = request.body(()).expect("request").into_parts();
            let found = Fresh::from_request_parts(&mut parts, &()).await;
            assert_eq!(found, Ok(Fresh(expected)), "{value:?}");
        }
    }
}
