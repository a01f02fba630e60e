//! Science models as the product offers them: a registry per tenant, training in the background, inference in batches, and
//! the string computations. The mathematics is in `physics`; this decides who, how much and how often.
//!
//! What must always hold:
//! 1. A model belongs to its tenant; to every other tenant it does not exist.
//! 2. A model is on disk, whole, before anybody is told that it exists or changed.
//! 3. Every size, every list and the number of trainings and computations at once are bounded, and the bound is checked
//!    before memory is taken or work begins.
//! 4. Computation happens on blocking threads, never on those that move requests.

mod calls;
mod failures;
mod managing;
mod store;
mod strings;
mod tasks;
mod training;
mod types;
mod unified;

use std::path::PathBuf;
use std::sync::Arc;

use physics::Processor;
use physics::device::{Compute, DeviceRequest, Placement};
use tokio::sync::Semaphore;

pub use physics::device::DeviceInformation;
pub use physics::insight::{folded, lift};
pub use physics::model::{Parameter, Precision};
pub use physics::strings::coupling::{Field, FieldRequest};
pub use physics::strings::spectra::{Circle, ClosedState, OpenBosonic};
pub use physics::strings::{Compactification, Parameters as StringParameters};
pub use physics::training::{
    Data as TrainingData, DataSet, Progress as TrainingProgress, TrainingOptions, TrainingReport,
};
pub use physics::{ModelConfig, ScienceModel};
pub use types::*;

use store::Store;
use tasks::Tasks;

/// What the science side is made of.
#[derive(Debug, Clone)]
pub struct ScienceOptions {
    /// Where models are kept; made with the first model.
    pub directory: PathBuf,
    /// Where models compute.
    pub device: DeviceRequest,
    /// Trainings at once; more wait. At least 1.
    pub trainings_max: usize,
}

impl ScienceOptions {
    /// The best device there is, one training at a time: it uses every processor by itself.
    pub fn new(directory: PathBuf) -> Self {
        ScienceOptions {
            directory,
            device: DeviceRequest::Auto,
            trainings_max: 1,
        }
    }
}

/// The parts behind the use cases.
pub(crate) struct Science {
    store: Arc<Store>,
    tasks: Arc<Tasks>,
    /// The device, opened with the first computation: opening a graphics processor takes seconds.
    compute: Arc<std::sync::OnceLock<(Compute, Placement)>>,
    device: DeviceRequest,
    /// One permit per computation; each of them may use every processor.
    computations: Arc<Semaphore>,
    /// One permit: a benchmark is a training, and waits for no other.
    benchmarks: Arc<Semaphore>,
}

/// Computations at once. Two keep the processors busy while one reads its inputs; more would only share them.
const COMPUTATIONS_MAX: usize = 2;

impl Science {
    pub(crate) fn new(options: ScienceOptions) -> Self {
        Science {
            store: Arc::new(Store::new(options.directory)),
            tasks: Arc::new(Tasks::new(options.trainings_max)),
            compute: Arc::default(),
            device: options.device,
            computations: Arc::new(Semaphore::new(COMPUTATIONS_MAX)),
            benchmarks: Arc::new(Semaphore::new(1)),
        }
    }

    /// Ends all trainings; each keeps what it has learnt.
    pub(crate) fn cancel_trainings(&self) {
        self.tasks.cancel_all();
    }
}

/// The device, opened if it was not. Blocks.
fn opened(
    compute: &std::sync::OnceLock<(Compute, Placement)>,
    request: DeviceRequest,
) -> &(Compute, Placement) {
    compute.get_or_init(|| {
        let (compute, placement) = Compute::open(Processor::all(), request);
        if let Some(warning) = &placement.warning {
            tracing::warn!(warning, "science models");
        }
        (compute, placement)
    })
}
