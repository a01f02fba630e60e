//! Metrics of collections. Neither tenants nor collections are labels: both are as many as callers like.

use std::time::Duration;

use metrics::{counter, gauge, histogram};
use vectors::memory::Component;

use crate::error::Result;
use crate::service::Service;

/// Counts one call.
pub(super) fn count<T>(operation: &'static str, outcome: &Result<T>, took: Duration) {
    let outcome = match outcome {
        Ok(_) => "ok",
        Err(error) => error.kind.name(),
    };
    counter!("fornax_collections_operations_total", "operation" => operation, "outcome" => outcome)
        .increment(1);
    histogram!("fornax_collections_operation_seconds", "operation" => operation)
        .record(took.as_secs_f64());
}

impl Service {
    /// Sets the gauges of collections. Asked every few seconds; touches no file.
    pub fn refresh_collection_metrics(&self) {
        let (mut total, mut open, mut points, mut segments, mut damaged) = (0, 0u64, 0, 0, 0u64);
        for tenant in self.collections.tenants.opened() {
            total += tenant.database.list().len();
            for collection in tenant.database.open_collections() {
                let tally = collection.tally();
                open += 1;
                points += tally.points;
                segments += tally.segments;
                damaged += u64::from(tally.damages > 0 || tally.read_only);
            }
        }
        gauge!("fornax_collections").set(total as f64);
        gauge!("fornax_collections_open").set(open as f64);
        gauge!("fornax_collections_damaged").set(damaged as f64);
        gauge!("fornax_collections_points").set(points as f64);
        gauge!("fornax_collections_segments").set(segments as f64);
        let memory = self.collections.ledger.report();
        for component in Component::ALL {
            gauge!("fornax_collections_memory_bytes", "component" => component.name())
                .set(memory.of(component) as f64);
        }
        gauge!("fornax_collections_mapped_bytes").set(memory.mapped_bytes as f64);
        gauge!("fornax_collections_memory_budget_bytes")
            .set(memory.budget_bytes.unwrap_or(0) as f64);
    }
}
