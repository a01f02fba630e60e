//! What a traversal compares with: codes or originals behind one interface, chosen once per query and compiled into the loop.

use crate::error::VectorsError;
use crate::quantize::{BinaryCodes, Originals, PreparedQuery, ProductCodes, ScalarCodes};
use crate::schema::Metric;

/// Distances from a prepared query to rows; smaller is nearer, never NaN.
pub(crate) trait Space: Sync {
    /// Prepares a query.
    fn prepare(&self, query: &[f32], prepared: &mut PreparedQuery);

    /// Prepares a row as the query.
    fn prepare_row(&self, row: u32, prepared: &mut PreparedQuery) -> Result<(), VectorsError>;

    /// Writes the distance of each row to `out`.
    fn distances(
        &self,
        prepared: &PreparedQuery,
        rows: &[u32],
        out: &mut [f32],
    ) -> Result<(), VectorsError>;
}

impl Space for ScalarCodes {
    fn prepare(&self, query: &[f32], prepared: &mut PreparedQuery) {
        ScalarCodes::prepare(self, query, prepared);
    }

    #[inline]
    fn prepare_row(&self, row: u32, prepared: &mut PreparedQuery) -> Result<(), VectorsError> {
        ScalarCodes::prepare_row(self, row, prepared);
        Ok(())
    }

    #[inline]
    fn distances(
        &self,
        prepared: &PreparedQuery,
        rows: &[u32],
        out: &mut [f32],
    ) -> Result<(), VectorsError> {
        ScalarCodes::distances(self, prepared, rows, out);
        Ok(())
    }
}

impl Space for BinaryCodes {
    fn prepare(&self, query: &[f32], prepared: &mut PreparedQuery) {
        BinaryCodes::prepare(self, query, prepared);
    }

    fn prepare_row(&self, _: u32, _: &mut PreparedQuery) -> Result<(), VectorsError> {
        // Graphs are built on scalar codes: rows against rows are too coarse here.
        Err(VectorsError::invalid(
            "quantization",
            "binary codes do not compare rows with rows",
        ))
    }

    #[inline]
    fn distances(
        &self,
        prepared: &PreparedQuery,
        rows: &[u32],
        out: &mut [f32],
    ) -> Result<(), VectorsError> {
        BinaryCodes::distances(self, prepared, rows, out);
        Ok(())
    }
}

impl Space for ProductCodes {
    fn prepare(&self, query: &[f32], prepared: &mut PreparedQuery) {
        ProductCodes::prepare(self, query, prepared);
    }

    fn prepare_row(&self, _: u32, _: &mut PreparedQuery) -> Result<(), VectorsError> {
        // Graphs are built on scalar codes: rows against rows are too coarse here.
        Err(VectorsError::invalid(
            "quantization",
            "product codes do not compare rows with rows",
        ))
    }

    #[inline]
    fn distances(
        &self,
        prepared: &PreparedQuery,
        rows: &[u32],
        out: &mut [f32],
    ) -> Result<(), VectorsError> {
        ProductCodes::distances(self, prepared, rows, out);
        Ok(())
    }
}

/// Originals themselves.
pub(crate) struct OriginalSpace<'a> {
    pub(crate) originals: &'a dyn Originals,
    pub(crate) metric: Metric,
}

impl Space for OriginalSpace<'_> {
    fn prepare(&self, query: &[f32], prepared: &mut PreparedQuery) {
        prepared.values.clear();
        prepared.values.extend_from_slice(query);
    }

    fn prepare_row(&self, row: u32, prepared: &mut PreparedQuery) -> Result<(), VectorsError> {
        let vector = self.originals.row(row, &mut prepared.original)?;
        prepared.values.clear();
        prepared.values.extend_from_slice(vector);
        Ok(())
    }

    fn distances(
        &self,
        prepared: &PreparedQuery,
        rows: &[u32],
        out: &mut [f32],
    ) -> Result<(), VectorsError> {
        self.originals
            .rank_rows(self.metric, &prepared.values, rows, out)?;
        for distance in out {
            *distance = -*distance;
        }
        Ok(())
    }
}
