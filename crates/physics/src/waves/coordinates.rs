//! The points at which a model is evaluated, as columns that broadcast.

use super::Layout;
use crate::error::{PhysicsError, check_count};

/// The most points of one call: with five spatial columns 384 MB of `f32`.
pub const POINTS_MAX: usize = 1 << 24;

/// The two precisions that coordinates come in.
pub trait Scalar: Copy + 'static {
    /// A column of one zero: what an input that is left out stands for.
    const ZERO: &'static [Self];
}

impl Scalar for f32 {
    const ZERO: &'static [f32] = &[0.0];
}

impl Scalar for f64 {
    const ZERO: &'static [f64] = &[0.0];
}

/// Columns of coordinates, each of the batch's length or of length one, which then holds for every row.
#[derive(Debug, Clone)]
pub struct Coordinates<'a, T> {
    /// The spatial columns, then time.
    columns: Vec<&'a [T]>,
    count: usize,
}

impl<'a, T: Scalar> Coordinates<'a, T> {
    /// Takes the spatial columns in order, then time.
    ///
    /// # Errors
    /// A number of columns that is not the layout's, an empty column, or one whose length is neither the longest nor one;
    /// the error names the column.
    pub fn new(layout: Layout, columns: Vec<&'a [T]>) -> Result<Self, PhysicsError> {
        let names = layout.input_names();
        if columns.len() != names.len() {
            return Err(PhysicsError::Shape {
                field: "inputs".to_owned(),
                found: columns.len(),
                expected: names.len(),
            });
        }
        let count = broadcast(names.iter().map(String::as_str).zip(&columns))?;
        Ok(Coordinates { columns, count })
    }

    /// Takes columns by the names of [`Layout::input_names`]; one that is left out is 0 everywhere.
    ///
    /// # Errors
    /// As [`Coordinates::new`]; a name that the layout does not have, or one given twice.
    pub fn named<'n>(
        layout: Layout,
        inputs: impl IntoIterator<Item = (&'n str, &'a [T])>,
    ) -> Result<Self, PhysicsError> {
        let names = layout.input_names();
        let mut columns = vec![None; names.len()];
        for (name, values) in inputs {
            let place = names.iter().position(|one| one == name);
            match place.and_then(|index| columns.get_mut(index)) {
                Some(column @ None) => *column = Some(values),
                _ => {
                    return Err(PhysicsError::UnknownField {
                        field: name.to_owned(),
                        expected: format!("{}, each once", names.join(", ")),
                    });
                }
            }
        }
        let columns = columns
            .into_iter()
            .map(|column| column.unwrap_or(T::ZERO))
            .collect();
        Coordinates::new(layout, columns)
    }

    /// The number of points.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The spatial columns, then time; each of length [`Coordinates::count`] or one.
    pub fn columns(&self) -> &[&'a [T]] {
        &self.columns
    }

    /// Checks that the columns are those of `layout`.
    pub(crate) fn check(&self, layout: Layout) -> Result<(), PhysicsError> {
        if self.columns.len() == layout.dimensions() + 1 {
            return Ok(());
        }
        Err(PhysicsError::Shape {
            field: "inputs".to_owned(),
            found: self.columns.len(),
            expected: layout.dimensions() + 1,
        })
    }

    /// Copies the position of one row into `position` and returns its time.
    pub(crate) fn read(&self, row: usize, position: &mut [T]) -> T {
        let at = |column: &[T]| column[if column.len() == 1 { 0 } else { row }];
        for (value, column) in position.iter_mut().zip(&self.columns) {
            *value = at(column);
        }
        at(self.columns[self.columns.len() - 1])
    }
}

/// The common length of columns that are equally long or of length one.
///
/// # Errors
/// As [`Coordinates::new`].
pub(crate) fn broadcast<'n, 'a: 'n, T: 'a>(
    columns: impl Iterator<Item = (&'n str, &'n &'a [T])> + Clone,
) -> Result<usize, PhysicsError> {
    let count = columns
        .clone()
        .map(|(_, column)| column.len())
        .max()
        .unwrap_or(0);
    for (name, column) in columns {
        check_count(name, column.len(), 1, POINTS_MAX)?;
        if column.len() != 1 && column.len() != count {
            return Err(PhysicsError::Length {
                field: name.to_owned(),
                found: column.len(),
                expected: count,
            });
        }
    }
    Ok(count)
}
