//! The counters and timers that `get_metrics` shows, of one tenant each.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Map, Value, json};

/// Tenants that are counted apart; of further ones nothing is counted.
const TENANTS_MAX: usize = 1_024;
/// Names per tenant; they hold ids of models.
const NAMES_MAX: usize = 1_024;
/// Durations that are remembered per timer, as upstream.
const DURATIONS_MAX: usize = 1_000;

/// All tenants' meters.
#[derive(Default)]
pub struct Meters {
    tenants: Mutex<BTreeMap<String, Meter>>,
}

#[derive(Default)]
struct Meter {
    counters: BTreeMap<String, f64>,
    timers: BTreeMap<String, VecDeque<f64>>,
}

impl Meters {
    fn with(&self, tenant: &str, change: impl FnOnce(&mut Meter)) {
        let mut tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        if tenants.len() < TENANTS_MAX || tenants.contains_key(tenant) {
            change(tenants.entry(tenant.to_owned()).or_default());
        }
    }

    /// Counts one of `name`.
    pub fn count(&self, tenant: &str, name: &str) {
        self.with(tenant, |meter| {
            if meter.counters.len() < NAMES_MAX || meter.counters.contains_key(name) {
                *meter.counters.entry(name.to_owned()).or_default() += 1.0;
            }
        });
    }

    /// Remembers how long one of `name` took.
    pub fn time(&self, tenant: &str, name: &str, took: Duration) {
        self.with(tenant, |meter| {
            if meter.timers.len() >= NAMES_MAX && !meter.timers.contains_key(name) {
                return;
            }
            let timer = meter.timers.entry(name.to_owned()).or_default();
            if timer.len() == DURATIONS_MAX {
                timer.pop_front();
            }
            timer.push_back(took.as_secs_f64());
        });
    }

    /// Everything of a tenant, in the dialect's shape; `p95` and `p99`, which upstream promises, are there too.
    pub fn show(&self, tenant: &str) -> Value {
        let tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        let empty = Meter::default();
        let meter = tenants.get(tenant).unwrap_or(&empty);
        let timers: Map<String, Value> = meter
            .timers
            .iter()
            .map(|(name, durations)| (name.clone(), summary(durations)))
            .collect();
        json!({"counters": meter.counters, "gauges": {}, "histograms": {}, "timers": timers})
    }
}

fn summary(durations: &VecDeque<f64>) -> Value {
    let mut sorted: Vec<f64> = durations.iter().copied().collect();
    sorted.sort_by(f64::total_cmp);
    let total: f64 = sorted.iter().sum();
    let at = |share: f64| {
        let rank = (share * sorted.len() as f64).ceil() as usize;
        sorted.get(rank.max(1) - 1).copied().unwrap_or(0.0)
    };
    json!({
        "count": sorted.len(), "total_time": total,
        "min": at(0.0), "max": at(1.0), "avg": total / sorted.len().max(1) as f64,
        "p95": at(0.95), "p99": at(0.99),
    })
}
