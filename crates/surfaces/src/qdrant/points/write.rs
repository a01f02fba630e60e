//! Handlers of writes.

use axum::extract::{Extension, State};
use axum::response::Response;
use service::collections::{Input, Operation, Precondition};
use service::{Error, Identity};

use super::super::collections::{Given, Name, name_of, parameters};
use super::super::envelope::{Usage, answer_with_usage};
use super::super::queries::usage;
use super::convert;
use super::shown::Updated;
use super::types::{
    PayloadBody, PayloadKeysBody, SelectorBody, UpsertBody, VectorNamesBody, VectorsBody,
};
use crate::body::{Typed, ValueCount};
use crate::state::App;

/// A handler that does one operation of the collection in its path.
macro_rules! handlers {
    ($($(#[$doc:meta])* $name:ident($body:ty): $convert:expr;)+) => {$(
        $(#[$doc])*
        pub async fn $name(
            State(app): State<App>,
            Extension(identity): Extension<Identity>,
            name: Name,
            given: Given,
            Typed(body): Typed<$body>,
        ) -> Response {
            let convert: fn($body) -> Result<(Operation<Input>, Precondition), Error> = $convert;
            answer_with_usage(async { write(&app, &identity, name, given, convert(body)?).await }).await
        }
    )+};
}

fn plain(operation: Operation<Input>) -> (Operation<Input>, Precondition) {
    (operation, Precondition::None)
}

handlers! {
    /// `PUT /collections/{collection}/points`
    upsert(UpsertBody): |body| convert::upsert(body, &mut ValueCount::default());
    /// `POST /collections/{collection}/points/delete`
    delete(SelectorBody): |body| convert::delete(body).map(plain);
    /// `POST /collections/{collection}/points/payload`
    set_payload(PayloadBody): |body| convert::set_payload(body, &mut ValueCount::default()).map(plain);
    /// `PUT /collections/{collection}/points/payload`
    overwrite_payload(PayloadBody): |body| {
        convert::overwrite_payload(body, &mut ValueCount::default()).map(plain)
    };
    /// `POST /collections/{collection}/points/payload/delete`
    delete_payload(PayloadKeysBody): |body| convert::delete_payload(body).map(plain);
    /// `POST /collections/{collection}/points/payload/clear`
    clear_payload(SelectorBody): |body| convert::clear_payload(body).map(plain);
    /// `PUT /collections/{collection}/points/vectors`
    update_vectors(VectorsBody): convert::update_vectors;
    /// `POST /collections/{collection}/points/vectors/delete`
    delete_vectors(VectorNamesBody): |body| convert::delete_vectors(body).map(plain);
}

async fn write(
    app: &App,
    identity: &Identity,
    name: Name,
    given: Given,
    (operation, precondition): (Operation<Input>, Precondition),
) -> Result<(Updated, Option<Usage>), Error> {
    let parameters = parameters(given)?;
    let name = name_of(name)?;
    let options = parameters.write(precondition)?;
    let writing = async {
        let embedded = app
            .service
            .embed_operations(identity, &name, vec![operation])
            .await?;
        let mut outcomes = Vec::new();
        for operation in embedded.value {
            let writing = app
                .service
                .points_apply(identity, &name, operation, options.clone());
            outcomes.push(writing.await?);
        }
        let outcome = outcomes.pop().unwrap_or_default();
        Ok((outcome, usage(&embedded.usage)))
    };
    let (outcome, usage) = parameters.within(writing).await?;
    Ok((Updated::by(outcome, &options), usage))
}
