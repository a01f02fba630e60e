//! What a traversal compares with: codes or originals behind one interface, chosen once per query and compiled into the loop.

use crate::error::VectorsError;
use crate::quantize::{BinaryCodes, Originals, PreparedQuery, ProductCodes, ScalarCodes};
use crate::schema::Metric;

/// Distances from a prepared query to rows; smaller is nearer, never NaN.
pub(crate) trait Space: Sync {
    /// Prepares a query.
    fn prepare(&self, query: &[f32], prepared: &mut PreparedQuery);

    /// Writes the distance of each row to `out`.
    fn distances(
        &self,
        prepared: &PreparedQuery,
        rows: &[u32],
        out: &mut [f32],
    ) -> Result<(), VectorsError>;
}

/// A space that graphs are built in: rows are compared with rows.
pub(crate) trait BuildSpace: Space {
    /// Prepares a row as the query.
    fn prepare_row(&self, row: u32, prepared: &mut PreparedQuery) -> Result<(), VectorsError>;

    /// The bytes that a row is compared by. Rows with equal bytes are as far from anything as each other.
    fn row_bytes<'a>(
        &'a self,
        row: u32,
        buffer: &'a mut Vec<f32>,
    ) -> Result<&'a [u8], VectorsError>;
}

/// A space of codes: they have the methods themselves and never fail.
macro_rules! space_of_codes {
    ($($codes:ty),*) => {$(
        impl Space for $codes {
            fn prepare(&self, query: &[f32], prepared: &mut PreparedQuery) {
                <$codes>::prepare(self, query, prepared);
            }

            #[inline]
            fn distances(
                &self,
                prepared: &PreparedQuery,
                rows: &[u32],
                out: &mut [f32],
            ) -> Result<(), VectorsError> {
                <$codes>::distances(self, prepared, rows, out);
                Ok(())
            }
        }
    )*};
}

space_of_codes!(ScalarCodes, BinaryCodes, ProductCodes);

impl BuildSpace for ScalarCodes {
    #[inline]
    fn prepare_row(&self, row: u32, prepared: &mut PreparedQuery) -> Result<(), VectorsError> {
        ScalarCodes::prepare_row(self, row, prepared);
        Ok(())
    }

    fn row_bytes<'a>(&'a self, row: u32, _: &'a mut Vec<f32>) -> Result<&'a [u8], VectorsError> {
        Ok(self.row_codes(row))
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

impl BuildSpace for OriginalSpace<'_> {
    fn prepare_row(&self, row: u32, prepared: &mut PreparedQuery) -> Result<(), VectorsError> {
        let vector = self.originals.row(row, &mut prepared.original)?;
        prepared.values.clear();
        prepared.values.extend_from_slice(vector);
        Ok(())
    }

    fn row_bytes<'a>(
        &'a self,
        row: u32,
        buffer: &'a mut Vec<f32>,
    ) -> Result<&'a [u8], VectorsError> {
        Ok(bytemuck::cast_slice(self.originals.row(row, buffer)?))
    }
}
