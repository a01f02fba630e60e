//! The handler of several writes in one request.

use axum::extract::{Extension, State};
use axum::response::Response;
use service::collections::{Operation, Precondition, WriteOptions};
use service::{Error, Identity};

use super::super::collections::{Given, Name, name_of, parameters};
use super::super::envelope::answer;
use super::convert;
use super::shown::Updated;
use super::types::{BatchBody, BatchOperation};
use crate::body::{Typed, ValueCount};
use crate::state::App;

/// `POST /collections/{collection}/points/batch`
pub async fn batch(
    State(app): State<App>,
    Extension(identity): Extension<Identity>,
    name: Name,
    given: Given,
    Typed(body): Typed<BatchBody>,
) -> Response {
    answer(async {
        let parameters = parameters(given)?;
        let name = name_of(name)?;
        let options = parameters.write(Precondition::None)?;
        let groups = groups(body)?;
        let writing = async {
            let mut done = Vec::new();
            for (precondition, operations) in groups {
                let options = WriteOptions {
                    precondition,
                    ..options.clone()
                };
                let outcomes = app
                    .service
                    .points_batch(&identity, &name, operations, options)
                    .await?;
                done.extend(outcomes);
            }
            Ok(done)
        };
        let outcomes = parameters.within(writing).await?;
        Ok(outcomes
            .into_iter()
            .map(|outcome| Updated::by(outcome, &options))
            .collect::<Vec<_>>())
    })
    .await
}

/// The operations in their order, those that follow each other with one precondition together. All are read before the
/// first is done.
fn groups(body: BatchBody) -> Result<Vec<(Precondition, Vec<Operation>)>, Error> {
    let mut values = ValueCount::default();
    let mut groups: Vec<(Precondition, Vec<Operation>)> = Vec::new();
    for (index, operation) in body.operations.into_iter().enumerate() {
        let (operation, precondition) = one(operation, &mut values).map_err(|error| {
            let field = match &error.field {
                Some(field) => format!("operations[{index}].{field}"),
                None => format!("operations[{index}]"),
            };
            error.at(field)
        })?;
        match groups.last_mut() {
            Some((same, operations)) if *same == precondition => operations.push(operation),
            _ => groups.push((precondition, vec![operation])),
        }
    }
    Ok(groups)
}

fn one(
    operation: BatchOperation,
    values: &mut ValueCount,
) -> Result<(Operation, Precondition), Error> {
    let plain = |operation| (operation, Precondition::None);
    match operation {
        BatchOperation::Upsert(body) => convert::upsert(body, values),
        BatchOperation::Delete(body) => convert::delete(body).map(plain),
        BatchOperation::SetPayload(body) => convert::set_payload(body, values).map(plain),
        BatchOperation::OverwritePayload(body) => {
            convert::overwrite_payload(body, values).map(plain)
        }
        BatchOperation::DeletePayload(body) => convert::delete_payload(body).map(plain),
        BatchOperation::ClearPayload(body) => convert::clear_payload(body).map(plain),
        BatchOperation::UpdateVectors(body) => convert::update_vectors(body),
        BatchOperation::DeleteVectors(body) => convert::delete_vectors(body).map(plain),
    }
}
