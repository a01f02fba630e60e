//! Making, seeing and deleting science models.

use std::sync::Arc;

use physics::ScienceModel;
use physics::device::DeviceInformation;
use physics::model::Parameter;
use security::{Action, Identity, TenantId};

use super::failures::from_physics;
use super::store::check_name;
use super::training::check_values;
use super::types::{NewScienceModel, ScienceRecord};
use crate::error::Result;
use crate::failures;
use crate::identifiers;
use crate::service::Service;
use crate::signals::{Operation, RequestRecord};

/// Seeds that nobody chose fit into the 53 bits that every JSON reader keeps.
const RANDOM_SEED_BITS: u32 = 53;

impl Service {
    /// Makes a model from its configuration and seed, and keeps it.
    ///
    /// # Errors
    /// `InvalidRequest` for a name or a size out of bounds; `Conflict` when the name is taken or there are too many.
    pub async fn science_create(
        &self,
        identity: &Identity,
        new: NewScienceModel,
    ) -> Result<ScienceRecord> {
        self.authorize(Some(identity), Action::ManageScience)?;
        let _guard = self.enter()?;
        check_name(&new.name)?;
        check_values(new.config.value_count().map_err(from_physics)?)?;
        let seed = match new.seed {
            Some(seed) => seed,
            None => identifiers::seed()? >> (u64::BITS - RANDOM_SEED_BITS),
        };
        let now = self.clock.unix().as_secs();
        let tenant = identity.tenant.clone();
        let store = Arc::clone(&self.science.store);
        blocking(move || {
            let model = ScienceModel::create(new.config, seed).map_err(from_physics)?;
            let record = describe(new.name, &model, now);
            store.insert(&tenant, &record, Arc::new(model))?;
            Ok(record)
        })
        .await
    }

    /// The models of the caller's tenant, by name.
    ///
    /// # Errors
    /// `DataLoss` when a record is damaged.
    pub async fn science_models(&self, identity: &Identity) -> Result<Vec<ScienceRecord>> {
        self.authorize(Some(identity), Action::ListScience)?;
        let (store, tenant) = (Arc::clone(&self.science.store), identity.tenant.clone());
        blocking(move || store.list(&tenant)).await
    }

    /// One model.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn science_model(&self, identity: &Identity, name: &str) -> Result<ScienceRecord> {
        self.authorize(Some(identity), Action::ListScience)?;
        let (store, tenant) = (Arc::clone(&self.science.store), identity.tenant.clone());
        let name = name.to_owned();
        blocking(move || store.record(&tenant, &name)).await
    }

    /// All parameters of a model by name: trained ones first, in registration order.
    ///
    /// # Errors
    /// `NotFound`, `DataLoss`.
    pub async fn science_parameters(
        &self,
        identity: &Identity,
        name: &str,
    ) -> Result<(ScienceRecord, Vec<Parameter>)> {
        self.authorize(Some(identity), Action::ListScience)?;
        let (record, model) = self.find_science(identity, name).await?;
        blocking(move || Ok((record, model.parameters()))).await
    }

    /// The model as an ONNX file for inference.
    ///
    /// # Errors
    /// `NotFound`, `DataLoss`.
    pub async fn science_export_onnx(&self, identity: &Identity, name: &str) -> Result<Vec<u8>> {
        self.authorize(Some(identity), Action::ListScience)?;
        let (_, model) = self.find_science(identity, name).await?;
        blocking(move || Ok(model.to_onnx())).await
    }

    /// The model as the safetensors file that `physics` reads back.
    ///
    /// # Errors
    /// `NotFound`, `DataLoss`.
    pub async fn science_export_safetensors(
        &self,
        identity: &Identity,
        name: &str,
    ) -> Result<Vec<u8>> {
        self.authorize(Some(identity), Action::ListScience)?;
        let (_, model) = self.find_science(identity, name).await?;
        blocking(move || Ok(model.to_bytes())).await
    }

    /// Deletes a model.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn science_delete(&self, identity: &Identity, name: &str) -> Result<()> {
        self.authorize(Some(identity), Action::ManageScience)?;
        let (store, tenant) = (Arc::clone(&self.science.store), identity.tenant.clone());
        let name = name.to_owned();
        blocking(move || store.remove(&tenant, &name)).await
    }

    /// The devices of this machine that this build can use.
    ///
    /// # Errors
    /// `Forbidden`.
    pub async fn science_devices(&self, identity: &Identity) -> Result<DeviceInformation> {
        self.authorize(Some(identity), Action::ListScience)?;
        blocking(|| Ok(physics::device::information())).await
    }

    /// The record and the parameters of a model.
    pub(super) async fn find_science(
        &self,
        identity: &Identity,
        name: &str,
    ) -> Result<(ScienceRecord, Arc<ScienceModel>)> {
        let (store, tenant) = (Arc::clone(&self.science.store), identity.tenant.clone());
        let name = name.to_owned();
        blocking(move || {
            let record = store.record(&tenant, &name)?;
            match store.model(&tenant, &record) {
                Ok(model) => Ok((record, model)),
                // A training may have replaced it between the two looks.
                Err(first) => {
                    let again = store.record(&tenant, &name)?;
                    if again.digest == record.digest {
                        return Err(first);
                    }
                    store.model(&tenant, &again).map(|model| (again, model))
                }
            }
        })
        .await
    }

    pub(super) fn science_record(&self, name: &'static str, tenant: &TenantId) -> RequestRecord {
        RequestRecord::begin(
            Operation::Science(name),
            tenant.as_str(),
            self.clock.clone(),
        )
    }
}

/// The record of a model that was never trained.
fn describe(name: String, model: &ScienceModel, now: u64) -> ScienceRecord {
    ScienceRecord {
        name,
        config: model.config().clone(),
        seed: model.seed(),
        digest: model.digest(),
        parameter_count: model.parameter_count(),
        inputs: model.input_names(),
        outputs: model.outputs(),
        created_unix: now,
        updated_unix: now,
        training: None,
    }
}

/// Runs `work` where it may block.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(failures::internal)?
}
