//! Making, seeing, changing and deleting collections, and their aliases.

use std::sync::Arc;

use security::Identity;
use vectors::VectorsError;
use vectors::schema::CollectionSchema;

use super::aliases::CHANGES_MAX;
use super::call::Call;
use super::change::apply;
use super::failures::{exists, from_vectors, missing};
use super::lanes::Lane;
use super::types::{Alias, AliasChange, CollectionDetails, CollectionUpdate, IndexedField};
use crate::error::{Error, ErrorKind, Result};
use crate::service::Service;

/// Most collections of one tenant: each costs an entry in memory and a directory.
pub const COLLECTIONS_MAX: usize = 100_000;

impl Service {
    /// The names of the caller's collections, sorted.
    ///
    /// # Errors
    /// `Forbidden`.
    pub async fn collections_list(&self, identity: &Identity) -> Result<Vec<String>> {
        self.with_tenant(identity, Call::read("list"), |tenant| {
            Ok(tenant
                .map(|tenant| tenant.database.list())
                .unwrap_or_default())
        })
        .await
    }

    /// Whether the caller has a collection, or an alias, of this name.
    ///
    /// # Errors
    /// `Forbidden`.
    pub async fn collection_exists(&self, identity: &Identity, collection: &str) -> Result<bool> {
        let asked = collection.to_owned();
        self.with_tenant(identity, Call::read("exists"), move |tenant| {
            Ok(tenant.is_some_and(|tenant| tenant.database.contains(&tenant.resolve(&asked))))
        })
        .await
    }

    /// Makes a collection. It is on disk when this returns.
    ///
    /// # Errors
    /// `Conflict` when the name is taken, also as an alias; `InvalidRequest` for a name or schema that cannot be.
    pub async fn collection_create(
        &self,
        identity: &Identity,
        collection: &str,
        schema: CollectionSchema,
    ) -> Result<()> {
        let name = collection.to_owned();
        let call = Call {
            lane: Lane::Write,
            ..Call::manage("create")
        };
        self.in_tenant(identity, call, move |tenants, tenant| {
            let tenant = tenants.find_or_create(&tenant)?;
            let _naming = tenant.naming();
            if tenant.aliases.target(&name).is_some() {
                return Err(exists(&name));
            }
            if tenant.database.list().len() >= COLLECTIONS_MAX {
                return Err(Error::new(
                    ErrorKind::Conflict,
                    format!("There are {COLLECTIONS_MAX} collections already; delete one first."),
                ));
            }
            let created = tenant.database.create_collection(&name, schema);
            created.map(drop).map_err(from_vectors)
        })
        .await
    }

    /// A collection: its schema, how far its indexes are, its memory.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn collection_info(
        &self,
        identity: &Identity,
        collection: &str,
    ) -> Result<CollectionDetails> {
        self.with_collection(identity, Call::read("info"), collection, |used| {
            let info = used.collection.info()?;
            let indexes = used.collection.payload_indexes();
            let payload_indexes = indexes.into_iter().map(|index| {
                let points = used.collection.indexed_points(&index.key)?;
                Ok::<_, VectorsError>(IndexedField { index, points })
            });
            Ok(CollectionDetails {
                name: used.name.clone(),
                payload_indexes: payload_indexes.collect::<Result<_, _>>()?,
                info,
            })
        })
        .await
    }

    /// What a collection holds, without the figures of [`Service::collection_info`].
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn collection_schema(
        &self,
        identity: &Identity,
        collection: &str,
    ) -> Result<Arc<CollectionSchema>> {
        self.with_collection(identity, Call::read("schema"), collection, |used| {
            Ok(used.collection.schema())
        })
        .await
    }

    /// Changes settings of a collection. Indexes with other parameters are built again in the background; the old ones serve
    /// until then.
    ///
    /// # Errors
    /// `NotFound`; `InvalidRequest` for a vector that there is not or a setting that cannot be.
    pub async fn collection_update(
        &self,
        identity: &Identity,
        collection: &str,
        update: CollectionUpdate,
    ) -> Result<()> {
        self.with_collection(identity, Call::manage("update"), collection, move |used| {
            used.tenant
                .change_schema(&used.collection, &|schema| apply(schema, &update))
        })
        .await
    }

    /// Deletes a collection, its snapshots and its aliases. Returns whether there was one: deleting what is gone already is no
    /// failure.
    ///
    /// # Errors
    /// `Forbidden`; `InvalidRequest` for an alias, whose collection others may still use.
    pub async fn collection_delete(&self, identity: &Identity, collection: &str) -> Result<bool> {
        let name = collection.to_owned();
        self.with_tenant(identity, Call::manage("delete"), move |tenant| {
            let Some(tenant) = tenant else {
                return Ok(false);
            };
            if tenant.aliases.target(&name).is_some() {
                return Err(Error::invalid(
                    "collection_name",
                    format!(
                        "`{name}` is an alias: delete the alias, or the collection by its own name."
                    ),
                ));
            }
            match tenant.database.delete_collection(&name) {
                Ok(()) => {}
                Err(VectorsError::CollectionMissing { .. }) => return Ok(false),
                Err(error) => return Err(from_vectors(error)),
            }
            let _naming = tenant.naming();
            // Made again meanwhile, it keeps the aliases that it was given.
            if !tenant.database.contains(&name) {
                tenant.aliases.forget(&name)?;
            }
            Ok(true)
        })
        .await
    }

    /// The caller's aliases, by alias; only those of `collection` when one is named.
    ///
    /// # Errors
    /// `NotFound` when the collection is named and there is none.
    pub async fn aliases_list(
        &self,
        identity: &Identity,
        collection: Option<&str>,
    ) -> Result<Vec<Alias>> {
        let of = collection.map(str::to_owned);
        self.with_tenant(identity, Call::read("aliases"), move |tenant| {
            let (tenant, of) = match (tenant, of) {
                (None, None) => return Ok(Vec::new()),
                (None, Some(name)) => return Err(missing(&name)),
                (Some(tenant), of) => (tenant, of),
            };
            if let Some(name) = &of
                && !tenant.database.contains(name)
            {
                return Err(missing(name));
            }
            let all = tenant.aliases.all();
            let wanted = all
                .iter()
                .filter(|(_, target)| of.as_ref().is_none_or(|of| *target == of));
            let alias = |(alias, collection): (&String, &String)| Alias {
                alias: alias.clone(),
                collection: collection.clone(),
            };
            Ok(wanted.map(alias).collect())
        })
        .await
    }

    /// Changes aliases: all of the changes at one moment, or none.
    ///
    /// # Errors
    /// `NotFound` for a collection or alias that there is not; `Conflict` when an alias would have a collection's name.
    pub async fn aliases_change(
        &self,
        identity: &Identity,
        changes: Vec<AliasChange>,
    ) -> Result<()> {
        if changes.len() > CHANGES_MAX {
            return Err(Error::invalid(
                "actions",
                format!("One request changes at most {CHANGES_MAX} aliases."),
            ));
        }
        let call = Call {
            lane: Lane::Write,
            ..Call::manage("aliases_change")
        };
        self.in_tenant(identity, call, move |tenants, tenant| {
            let tenant = match (tenants.find(&tenant)?, changes.first()) {
                (Some(tenant), _) => tenant,
                (None, Some(AliasChange::Create { collection, .. })) => {
                    return Err(missing(collection));
                }
                (None, _) => return Ok(()),
            };
            let _naming = tenant.naming();
            tenant
                .aliases
                .change(&changes, &|name| tenant.database.contains(name))
        })
        .await
    }

    /// Closes every collection, when nothing runs any more. Blocks until everything is on disk.
    pub fn close_collections(&self) {
        self.collections.tenants.close();
    }
}
