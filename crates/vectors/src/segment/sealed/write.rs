//! Writes the rows of one or several segments as a new sealed one.

use std::path::Path;

use half::f16;

use super::layout::{self, Facts, NO_END, VectorFacts, VectorKind};
use crate::error::VectorsError;
use crate::point::{PointId, Vector};
use crate::rows::RowSet;
use crate::schema::{CollectionSchema, Datatype, VectorSchema};
use crate::segment::SegmentView;
use crate::storage::{ContainerKind, ContainerWriter, Disk};

/// One row of the segment to be written: where it comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SourceRow {
    /// Which of the sources.
    pub source: u32,
    /// Its row there.
    pub row: u32,
}

/// The rows `keep` of `sources` in the order of their ids. Of several rows of one id only the newest is taken.
pub(crate) fn order_of(sources: &[(&dyn SegmentView, &RowSet)]) -> Vec<SourceRow> {
    let mut rows: Vec<(PointId, SourceRow)> = Vec::new();
    for (source, (view, keep)) in (0..).zip(sources) {
        rows.extend(
            keep.iter()
                .map(|row| (view.id(row), SourceRow { source, row })),
        );
    }
    let version = |at: &SourceRow| sources[at.source as usize].0.version(at.row);
    rows.sort_by(|one, two| {
        one.0
            .cmp(&two.0)
            .then_with(|| version(&two.1).cmp(&version(&one.1)))
    });
    rows.dedup_by_key(|(id, _)| *id);
    rows.into_iter().map(|(_, at)| at).collect()
}

/// Writes `order` to the file `path`. Returns the bytes of the file.
///
/// # Errors
/// As the disk says, and [`VectorsError::Corrupt`] when a source is damaged. A file left behind is no segment yet.
pub(crate) fn write(
    disk: &dyn Disk,
    path: &Path,
    schema: &CollectionSchema,
    sources: &[&dyn SegmentView],
    order: &[SourceRow],
) -> Result<u64, VectorsError> {
    let rows = Rows { sources, order };
    let numbers = order
        .iter()
        .take_while(|at| matches!(rows.view(at).id(at.row), PointId::Number(_)))
        .count();
    let facts = Facts {
        rows: order.len() as u32,
        numbers: numbers as u32,
        vectors: schema
            .vectors
            .iter()
            .map(|(name, vector)| VectorFacts {
                name: name.clone(),
                kind: kind_of(vector),
            })
            .collect(),
    };
    let mut writer = ContainerWriter::create(disk, path, ContainerKind::ROWS)?;
    let facts_text = serde_json::to_vec(&facts)
        .map_err(|error| VectorsError::invalid("schema", error.to_string()))?;
    writer.section(layout::FACTS, &facts_text)?;
    rows.write_ids(&mut writer, numbers)?;
    rows.write_payloads(&mut writer)?;
    for (place, vector) in facts.vectors.iter().enumerate() {
        rows.write_vector(&mut writer, place, vector)?;
    }
    writer.finish()
}

fn kind_of(schema: &VectorSchema) -> VectorKind {
    match *schema {
        VectorSchema::Dense {
            dimensions,
            metric,
            datatype,
            multi,
            ..
        } => VectorKind::Dense {
            dimensions,
            metric,
            datatype,
            multi,
        },
        VectorSchema::Sparse { .. } => VectorKind::Sparse,
    }
}

/// The rows to be written.
struct Rows<'a> {
    sources: &'a [&'a dyn SegmentView],
    order: &'a [SourceRow],
}

impl Rows<'_> {
    fn view(&self, at: &SourceRow) -> &dyn SegmentView {
        self.sources[at.source as usize]
    }

    fn write_ids(
        &self,
        writer: &mut ContainerWriter<'_>,
        numbers: usize,
    ) -> Result<(), VectorsError> {
        writer.section_with(layout::NUMBERS, |sink| {
            self.order[..numbers].iter().try_for_each(|at| {
                let PointId::Number(number) = self.view(at).id(at.row) else {
                    unreachable!("numbers come first")
                };
                sink.put(&number.to_le_bytes())
            })
        })?;
        writer.section_with(layout::UUIDS, |sink| {
            self.order[numbers..].iter().try_for_each(|at| {
                let PointId::Uuid(value) = self.view(at).id(at.row) else {
                    unreachable!("UUIDs come last")
                };
                sink.put(&value.to_le_bytes())
            })
        })?;
        writer.section_with(layout::VERSIONS, |sink| {
            self.order
                .iter()
                .try_for_each(|at| sink.put(&self.view(at).version(at.row).to_le_bytes()))
        })?;
        let end = |at: &SourceRow| self.view(at).expires_unix_ms(at.row);
        if self.order.iter().any(|at| end(at).is_some()) {
            writer.section_with(layout::ENDS, |sink| {
                self.order
                    .iter()
                    .try_for_each(|at| sink.put(&end(at).unwrap_or(NO_END).to_le_bytes()))
            })?;
        }
        Ok(())
    }

    fn write_payloads(&self, writer: &mut ContainerWriter<'_>) -> Result<(), VectorsError> {
        let mut starts = Vec::with_capacity(self.order.len() + 1);
        let mut offset = 0u64;
        writer.section_with(layout::PAYLOADS, |sink| {
            let mut text = Vec::new();
            for at in self.order {
                starts.push(offset);
                let payload = self.view(at).payload(at.row)?;
                if payload.is_empty() {
                    continue;
                }
                text.clear();
                serde_json::to_writer(&mut text, payload.as_ref())
                    .map_err(|error| VectorsError::invalid("payload", error.to_string()))?;
                offset += text.len() as u64;
                sink.put(&text)?;
            }
            Ok(())
        })?;
        starts.push(offset);
        writer.section(layout::PAYLOAD_STARTS, bytemuck::cast_slice(&starts))
    }

    fn write_vector(
        &self,
        writer: &mut ContainerWriter<'_>,
        place: usize,
        facts: &VectorFacts,
    ) -> Result<(), VectorsError> {
        let mut present = RowSet::none(self.order.len() as u32);
        for (row, at) in (0..).zip(self.order) {
            if self.view(at).has_vector(&facts.name, at.row) {
                present.insert(row);
            }
        }
        if present.count() < present.rows() {
            writer.section(
                layout::present(place),
                bytemuck::cast_slice(present.words()),
            )?;
        }
        match facts.kind {
            VectorKind::Dense {
                datatype, multi, ..
            } => self.write_dense(writer, place, &facts.name, datatype, multi),
            VectorKind::Sparse => self.write_sparse(writer, place, &facts.name),
        }
    }

    fn write_dense(
        &self,
        writer: &mut ContainerWriter<'_>,
        place: usize,
        name: &str,
        datatype: Datatype,
        multi: bool,
    ) -> Result<(), VectorsError> {
        let mut starts = vec![0u64];
        writer.section_with(layout::values(place), |sink| {
            let mut bytes = Vec::new();
            for at in self.order {
                bytes.clear();
                let mut count = 0;
                match self.view(at).vector(name, at.row)? {
                    Some(Vector::Dense(values)) => encode(&values, datatype, &mut bytes),
                    Some(Vector::Multi(vectors)) => {
                        count = vectors.len() as u64;
                        for values in &vectors {
                            encode(values, datatype, &mut bytes);
                        }
                    }
                    _ => {}
                }
                starts.push(starts[starts.len() - 1] + count);
                sink.put(&bytes)?;
            }
            Ok(())
        })?;
        if multi {
            writer.section(layout::starts(place), bytemuck::cast_slice(&starts))?;
        }
        Ok(())
    }

    fn write_sparse(
        &self,
        writer: &mut ContainerWriter<'_>,
        place: usize,
        name: &str,
    ) -> Result<(), VectorsError> {
        let mut starts = vec![0u64];
        writer.section_with(layout::sparse_indices(place), |sink| {
            for at in self.order {
                let mut count = 0;
                if let Some(Vector::Sparse(vector)) = self.view(at).vector(name, at.row)? {
                    count = vector.indices.len() as u64;
                    sink.put(bytemuck::cast_slice(&vector.indices))?;
                }
                starts.push(starts[starts.len() - 1] + count);
            }
            Ok(())
        })?;
        writer.section_with(layout::sparse_values(place), |sink| {
            for at in self.order {
                if let Some(Vector::Sparse(vector)) = self.view(at).vector(name, at.row)? {
                    sink.put(bytemuck::cast_slice(&vector.values))?;
                }
            }
            Ok(())
        })?;
        writer.section(layout::starts(place), bytemuck::cast_slice(&starts))
    }
}

/// Appends `values` in their stored type. They were rounded to it when they were checked.
fn encode(values: &[f32], datatype: Datatype, bytes: &mut Vec<u8>) {
    match datatype {
        Datatype::Float32 => bytes.extend_from_slice(bytemuck::cast_slice(values)),
        Datatype::Float16 => {
            for &value in values {
                bytes.extend_from_slice(&f16::from_f32(value).to_le_bytes());
            }
        }
        Datatype::Uint8 => bytes.extend(values.iter().map(|&value| value as u8)),
    }
}
