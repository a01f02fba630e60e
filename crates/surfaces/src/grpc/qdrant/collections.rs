//! Methods of `Collections`.

use service::Error;
use service::collections::AliasChange;

use super::selectors::within;
use super::{describe, missing, schema, unsupported};
use crate::grpc::Call;
use crate::grpc::protocol::qdrant as wire;

/// `Get`.
///
/// # Errors
/// Those of [`service::Service::collection_info`].
pub async fn get(
    call: Call,
    request: wire::GetCollectionInfoRequest,
) -> Result<wire::GetCollectionInfoResponse, Error> {
    let details = call
        .service()
        .collection_info(call.identity()?, &request.collection_name)
        .await?;
    Ok(wire::GetCollectionInfoResponse {
        result: Some(describe::collection(&details)),
        time: call.seconds(),
    })
}

/// `List`.
///
/// # Errors
/// Those of [`service::Service::collections_list`].
pub async fn list(
    call: Call,
    _request: wire::ListCollectionsRequest,
) -> Result<wire::ListCollectionsResponse, Error> {
    let names = call.service().collections_list(call.identity()?).await?;
    Ok(wire::ListCollectionsResponse {
        collections: names
            .into_iter()
            .map(|name| wire::CollectionDescription { name })
            .collect(),
        time: call.seconds(),
    })
}

fn done(call: &Call, result: bool) -> wire::CollectionOperationResponse {
    wire::CollectionOperationResponse {
        result,
        time: call.seconds(),
    }
}

/// `Create`.
///
/// # Errors
/// Those of the conversion and of [`service::Service::collection_create`].
pub async fn create(
    call: Call,
    request: wire::CreateCollection,
) -> Result<wire::CollectionOperationResponse, Error> {
    let (name, timeout) = (request.collection_name.clone(), request.timeout);
    let schema = schema::created(request)?;
    let service = call.service();
    within(
        timeout,
        service.collection_create(call.identity()?, &name, schema),
    )
    .await?;
    Ok(done(&call, true))
}

/// `Update`.
///
/// # Errors
/// Those of the conversion and of [`service::Service::collection_update`].
pub async fn update(
    call: Call,
    request: wire::UpdateCollection,
) -> Result<wire::CollectionOperationResponse, Error> {
    let (name, timeout) = (request.collection_name.clone(), request.timeout);
    let (service, identity) = (call.service(), call.identity()?);
    let updating = async {
        let schema = service.collection_schema(identity, &name).await?;
        let update = schema::updated(request, &schema)?;
        service.collection_update(identity, &name, update).await
    };
    within(timeout, updating).await?;
    Ok(done(&call, true))
}

/// `Delete`; false when there was none.
///
/// # Errors
/// Those of [`service::Service::collection_delete`].
pub async fn delete(
    call: Call,
    request: wire::DeleteCollection,
) -> Result<wire::CollectionOperationResponse, Error> {
    let service = call.service();
    let deleting = service.collection_delete(call.identity()?, &request.collection_name);
    let result = within(request.timeout, deleting).await?;
    Ok(done(&call, result))
}

/// `CollectionExists`.
///
/// # Errors
/// Those of [`service::Service::collection_exists`].
pub async fn collection_exists(
    call: Call,
    request: wire::CollectionExistsRequest,
) -> Result<wire::CollectionExistsResponse, Error> {
    let exists = call
        .service()
        .collection_exists(call.identity()?, &request.collection_name)
        .await?;
    Ok(wire::CollectionExistsResponse {
        result: Some(wire::CollectionExists { exists }),
        time: call.seconds(),
    })
}

/// `UpdateAliases`.
///
/// # Errors
/// Those of [`service::Service::aliases_change`].
pub async fn update_aliases(
    call: Call,
    request: wire::ChangeAliases,
) -> Result<wire::CollectionOperationResponse, Error> {
    use wire::alias_operations::Action;
    let change = |operation: wire::AliasOperations| {
        Ok(match operation.action.ok_or_else(|| missing("action"))? {
            Action::CreateAlias(create) => AliasChange::Create {
                alias: create.alias_name,
                collection: create.collection_name,
            },
            Action::RenameAlias(rename) => AliasChange::Rename {
                from: rename.old_alias_name,
                to: rename.new_alias_name,
            },
            Action::DeleteAlias(delete) => AliasChange::Delete {
                alias: delete.alias_name,
            },
        })
    };
    let changes = request.actions.into_iter().map(change);
    let changes = changes.collect::<Result<Vec<_>, Error>>()?;
    let changing = call.service().aliases_change(call.identity()?, changes);
    within(request.timeout, changing).await?;
    Ok(done(&call, true))
}

/// `ListCollectionAliases`.
///
/// # Errors
/// Those of [`service::Service::aliases_list`].
pub async fn list_collection_aliases(
    call: Call,
    request: wire::ListCollectionAliasesRequest,
) -> Result<wire::ListAliasesResponse, Error> {
    aliases(&call, Some(&request.collection_name)).await
}

/// `ListAliases`.
///
/// # Errors
/// Those of [`service::Service::aliases_list`].
pub async fn list_aliases(
    call: Call,
    _request: wire::ListAliasesRequest,
) -> Result<wire::ListAliasesResponse, Error> {
    aliases(&call, None).await
}

async fn aliases(
    call: &Call,
    collection: Option<&str>,
) -> Result<wire::ListAliasesResponse, Error> {
    let all = call
        .service()
        .aliases_list(call.identity()?, collection)
        .await?;
    Ok(wire::ListAliasesResponse {
        aliases: all
            .into_iter()
            .map(|alias| wire::AliasDescription {
                alias_name: alias.alias,
                collection_name: alias.collection,
            })
            .collect(),
        time: call.seconds(),
    })
}

/// `CollectionClusterInfo`: one shard, here.
///
/// # Errors
/// Those of [`service::Service::points_count`].
pub async fn collection_cluster_info(
    call: Call,
    request: wire::CollectionClusterInfoRequest,
) -> Result<wire::CollectionClusterInfoResponse, Error> {
    let points_count = call
        .service()
        .points_count(call.identity()?, &request.collection_name, None)
        .await?;
    Ok(wire::CollectionClusterInfoResponse {
        shard_count: 1,
        local_shards: vec![wire::LocalShardInfo {
            shard_id: 0,
            points_count,
            state: wire::ReplicaState::Active.into(),
            shard_key: None,
        }],
        time: call.seconds(),
        ..wire::CollectionClusterInfoResponse::default()
    })
}

/// `UpdateCollectionClusterSetup`.
///
/// # Errors
/// Always: there is one node.
pub async fn update_collection_cluster_setup(
    _call: Call,
    _request: wire::UpdateCollectionClusterSetupRequest,
) -> Result<wire::UpdateCollectionClusterSetupResponse, Error> {
    Err(unsupported(
        "changes of where shards are, which need several nodes, are",
    ))
}

/// `CreateShardKey`.
///
/// # Errors
/// Always: a collection is one shard.
pub async fn create_shard_key(
    _call: Call,
    _request: wire::CreateShardKeyRequest,
) -> Result<wire::CreateShardKeyResponse, Error> {
    Err(unsupported("shard keys are"))
}

/// `DeleteShardKey`.
///
/// # Errors
/// Always: a collection is one shard.
pub async fn delete_shard_key(
    _call: Call,
    _request: wire::DeleteShardKeyRequest,
) -> Result<wire::DeleteShardKeyResponse, Error> {
    Err(unsupported("shard keys are"))
}

/// `ListShardKeys`.
///
/// # Errors
/// Always: a collection is one shard.
pub async fn list_shard_keys(
    _call: Call,
    _request: wire::ListShardKeysRequest,
) -> Result<wire::ListShardKeysResponse, Error> {
    Err(unsupported("shard keys are"))
}
