//! A segment of payloads only.

use std::borrow::Cow;

use serde_json::Value;

use crate::error::VectorsError;
use crate::point::{Payload, PointId, Vector};
use crate::rows::{Allowed, AtomicRowSet, RowSet, Scored};
use crate::segment::{SegmentScratch, SegmentView, VectorQuery};

pub(super) struct View {
    pub payloads: Vec<Payload>,
    pub vectors: Vec<Vec<String>>,
    pub live: AtomicRowSet,
}

impl View {
    pub fn of(payloads: impl IntoIterator<Item = Value>) -> Self {
        let payloads: Vec<Payload> = payloads
            .into_iter()
            .map(|payload| payload.as_object().unwrap().clone())
            .collect();
        View {
            vectors: vec![Vec::new(); payloads.len()],
            live: AtomicRowSet::from_set(&RowSet::all(payloads.len() as u32)),
            payloads,
        }
    }
}

impl SegmentView for View {
    fn rows(&self) -> u32 {
        self.payloads.len() as u32
    }

    fn live(&self) -> &AtomicRowSet {
        &self.live
    }

    fn sweep_expired(&self, _now_unix_ms: u64) {}

    fn id(&self, row: u32) -> PointId {
        PointId::Number(u64::from(row))
    }

    fn version(&self, row: u32) -> u64 {
        u64::from(row)
    }

    fn row_of(&self, id: PointId) -> Option<u32> {
        match id {
            PointId::Number(number) if number < u64::from(self.rows()) => Some(number as u32),
            _ => None,
        }
    }

    fn expires_unix_ms(&self, _row: u32) -> Option<u64> {
        None
    }

    fn payload(&self, row: u32) -> Result<Cow<'_, Payload>, VectorsError> {
        Ok(Cow::Borrowed(&self.payloads[row as usize]))
    }

    fn has_vector(&self, name: &str, row: u32) -> bool {
        self.vectors[row as usize].iter().any(|has| has == name)
    }

    fn vector(&self, _name: &str, _row: u32) -> Result<Option<Vector>, VectorsError> {
        Ok(None)
    }

    fn rows_from(
        &self,
        first: Option<PointId>,
        visit: &mut dyn FnMut(u32) -> Result<bool, VectorsError>,
    ) -> Result<(), VectorsError> {
        for row in 0..self.rows() {
            if first.is_none_or(|first| self.id(row) >= first) && !visit(row)? {
                break;
            }
        }
        Ok(())
    }

    fn search(
        &self,
        _query: &VectorQuery<'_>,
        _allowed: Allowed<'_>,
        _scratch: &mut SegmentScratch,
        _found: &mut Vec<Scored>,
    ) -> Result<(), VectorsError> {
        Ok(())
    }
}
