//! Trainings that wait, run or ended.
//!
//! A training that ended is remembered until [`REMEMBERED_MAX`] later ones have ended; it is not on disk, its outcome is in
//! the model's record.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use security::TenantId;
use tokio::sync::{Semaphore, watch};

use super::types::{Training, TrainingState};
use crate::error::{Error, ErrorKind, Result};

/// Trainings that wait or run, of all tenants.
const PENDING_MAX: usize = 64;
/// Trainings that wait or run, of one tenant.
const PENDING_OF_TENANT_MAX: usize = 8;
/// Ended trainings that are remembered.
const REMEMBERED_MAX: usize = 256;

/// One training.
pub(super) struct Task {
    pub(super) id: String,
    pub(super) tenant: TenantId,
    pub(super) model: String,
    pub(super) created_unix: u64,
    pub(super) cancelled: AtomicBool,
    pub(super) state: watch::Sender<TrainingState>,
}

impl Task {
    pub(super) fn view(&self) -> Training {
        Training {
            id: self.id.clone(),
            model: self.model.clone(),
            created_unix: self.created_unix,
            state: self.state.borrow().clone(),
        }
    }

    fn is_over(&self) -> bool {
        self.state.borrow().is_over()
    }

    pub(super) fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::SeqCst)
    }
}

pub(super) struct Tasks {
    /// The oldest first.
    all: Mutex<VecDeque<Arc<Task>>>,
    /// One permit per training that runs.
    pub(super) running: Arc<Semaphore>,
}

impl Tasks {
    pub(super) fn new(running_max: usize) -> Self {
        Tasks {
            all: Mutex::default(),
            running: Arc::new(Semaphore::new(running_max.clamp(1, Semaphore::MAX_PERMITS))),
        }
    }

    fn all(&self) -> MutexGuard<'_, VecDeque<Arc<Task>>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a training.
    ///
    /// # Errors
    /// `Overloaded` when the tenant or the server has as many as it may have; `Conflict` when the model is being trained.
    pub(super) fn add(&self, task: Task) -> Result<Arc<Task>> {
        let mut all = self.all();
        let pending: Vec<&Arc<Task>> = all.iter().filter(|task| !task.is_over()).collect();
        let own = || pending.iter().filter(|other| other.tenant == task.tenant);
        if own().any(|other| other.model == task.model) {
            return Err(Error::new(
                ErrorKind::Conflict,
                format!("The science model '{}' is being trained.", task.model),
            ));
        }
        if pending.len() >= PENDING_MAX || own().count() >= PENDING_OF_TENANT_MAX {
            return Err(Error::new(
                ErrorKind::Overloaded,
                "Too many trainings wait already; come back when one has ended.",
            ));
        }
        while all.iter().filter(|task| task.is_over()).count() > REMEMBERED_MAX {
            let oldest = all.iter().position(|task| task.is_over());
            oldest.and_then(|index| all.remove(index));
        }
        let task = Arc::new(task);
        all.push_back(Arc::clone(&task));
        Ok(task)
    }

    /// The training of this id, if it is the tenant's.
    pub(super) fn find(&self, tenant: &TenantId, id: &str) -> Result<Arc<Task>> {
        let all = self.all();
        let found = all
            .iter()
            .find(|task| task.id == id && task.tenant == *tenant);
        found.cloned().ok_or_else(|| {
            Error::new(
                ErrorKind::NotFound,
                format!("There is no training '{id}', or it ended long ago."),
            )
        })
    }

    /// The tenant's trainings, the newest first.
    pub(super) fn list(&self, tenant: &TenantId) -> Vec<Training> {
        let all = self.all();
        let own = all.iter().rev().filter(|task| task.tenant == *tenant);
        own.map(|task| task.view()).collect()
    }

    pub(super) fn cancel_all(&self) {
        for task in self.all().iter() {
            task.cancelled.store(true, Ordering::SeqCst);
        }
    }
}
