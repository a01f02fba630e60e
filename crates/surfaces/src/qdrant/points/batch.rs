//! The handler of several writes in one request.

use axum::extract::{Extension, State};
use axum::response::Response;
use service::collections::{Input, Operation, Precondition, WriteOptions};
use service::{Error, Identity};

use super::super::collections::{Given, Name, name_of, parameters};
use super::super::envelope::answer_with_usage;
use super::super::queries::usage;
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
    answer_with_usage(async {
        let parameters = parameters(given)?;
        let name = name_of(name)?;
        let options = parameters.write(Precondition::None)?;
        let mut runs = Vec::new();
        let mut operations = Vec::new();
        for (precondition, group) in groups(body)? {
            runs.push((precondition, group.len()));
            operations.extend(group);
        }
        let writing = async {
            // The texts of all operations together, before the first is done.
            let embedded = app
                .service
                .embed_operations(&identity, &name, operations)
                .await?;
            let mut operations = embedded.value.into_iter();
            let mut done = Vec::new();
            for (precondition, count) in runs {
                let options = WriteOptions {
                    precondition,
                    ..options.clone()
                };
                let group = operations.by_ref().take(count).collect();
                let outcomes = app
                    .service
                    .points_batch(&identity, &name, group, options)
                    .await?;
                done.extend(outcomes);
            }
            Ok((done, usage(&embedded.usage)))
        };
        let (outcomes, usage) = parameters.within(writing).await?;
        let updated: Vec<_> = outcomes
            .into_iter()
            .map(|outcome| Updated::by(outcome, &options))
            .collect();
        Ok((updated, usage))
    })
    .await
}

/// Operations with one precondition.
type Group = (Precondition, Vec<Operation<Input>>);

/// The operations in their order, those that follow each other with one precondition together. All are read before the
/// first is done.
fn groups(body: BatchBody) -> Result<Vec<Group>, Error> {
    let mut values = ValueCount::default();
    let mut groups: Vec<Group> = Vec::new();
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
) -> Result<(Operation<Input>, Precondition), Error> {
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
