//! Settings that may change while a collection lives: how vectors are indexed and compressed.

use std::sync::Arc;

use super::{Collection, SegmentSet, validate};
use crate::error::VectorsError;
use crate::schema::{CollectionSchema, VectorSchema};

impl Collection {
    /// Changes what may change of the schema: the index, graph parameters, quantisation and placement of each vector, from
    /// how many rows segments are indexed, automatic payload indexes, and annotations. Indexes with other parameters are
    /// built again in the background; the old ones serve until then.
    ///
    /// # Errors
    /// [`VectorsError::Invalid`] when the vectors themselves would change, or as the disk says.
    pub fn update_schema(&self, schema: CollectionSchema) -> Result<(), VectorsError> {
        validate::schema(&schema)?;
        let mut writer = self.lock_writer();
        self.writable()?;
        let set = self.current();
        if !set.schema.vectors.keys().eq(schema.vectors.keys()) {
            return Err(VectorsError::invalid(
                "vectors",
                "names of vectors cannot change",
            ));
        }
        for (name, old) in &set.schema.vectors {
            if fixed_part(old) != schema.vectors.get(name).and_then(fixed_part) {
                return Err(VectorsError::invalid(
                    validate::vector_field(name),
                    "dimensions, metric, datatype and kind of a vector cannot change",
                ));
            }
        }
        let mut next = SegmentSet::clone(&set);
        next.schema = Arc::new(schema);
        self.switch(&mut writer, next, None)?;
        drop(writer);
        self.maintain_if_needed()
    }
}

/// What stored vectors depend on; `None` for sparse ones, of which only the weighing of queries is a setting.
fn fixed_part(
    schema: &VectorSchema,
) -> Option<(u32, crate::schema::Metric, crate::schema::Datatype, bool)> {
    match *schema {
        VectorSchema::Dense {
            dimensions,
            metric,
            datatype,
            multi,
            ..
        } => Some((dimensions, metric, datatype, multi)),
        VectorSchema::Sparse { .. } => None,
    }
}
