//! What models are trained on: columns of inputs with one target per row.

use crate::error::{PhysicsError, check_count, check_finite};

/// The most rows of a data set.
pub const ROWS_MAX: usize = 1 << 20;
/// The most input columns.
pub const COLUMNS_MAX: usize = 4_096;
/// How fast the travelling data move, units of space per unit of time.
pub const SPEED: f64 = 1.0;

/// Columns of inputs with one target per row.
#[derive(Debug, Clone, PartialEq)]
pub struct Data {
    columns: Vec<Vec<f32>>,
    targets: Vec<f32>,
}

/// A data set that the crate can make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DataSet {
    /// The published "glitchy chirp": 1000 points in -10..10, `sin(x^2 / 2) exp(-x^2 / 10)` with `sin(20 x) / 2` added on
    /// indices 500 to 549; `t` is 0 everywhere, so that neither `omega` nor `v` can learn.
    GlitchyChirp,
    /// The same curve travelling: the chirp at `s = x - t` for eight times from 0 to 1.75, 250 points each, the glitch where
    /// `0 <= s < 1`. Every parameter of a wave learns on it.
    TravellingChirp,
    /// A packet in three dimensions, `exp(-r^2 / 2) sin(2 x) cos(2 y) sin(2 z)` on a grid of 12^3 points in -5..5, travelling
    /// along all axes, at three times from 0 to 1 (upstream's 4D data at `t` = 0, on a coarser grid).
    TravellingPacket4D,
    /// A packet in five dimensions, `exp(-r^2 / 10) sin(x1 + x2) cos(x3) sin(x4 - x5) cos(x2 x4)` on a grid of 5^5 points in
    /// -3..3, travelling along all axes, at three times from 0 to 1 (upstream's 6D data at `t` = 0, on a coarser grid).
    TravellingPacket6D,
}

impl DataSet {
    /// All data sets with their names, as configurations write them.
    pub const ALL: [(&'static str, DataSet); 4] = [
        ("glitchy-chirp", DataSet::GlitchyChirp),
        ("travelling-chirp", DataSet::TravellingChirp),
        ("travelling-packet-4d", DataSet::TravellingPacket4D),
        ("travelling-packet-6d", DataSet::TravellingPacket6D),
    ];

    /// The data set of a name.
    ///
    /// # Errors
    /// A name that is none of [`DataSet::ALL`].
    pub fn parse(name: &str) -> Result<Self, PhysicsError> {
        Self::ALL
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, set)| *set)
            .ok_or_else(|| PhysicsError::UnknownName {
                what: "a data set",
                name: name.to_owned(),
                expected: "glitchy-chirp, travelling-chirp, travelling-packet-4d, travelling-packet-6d",
            })
    }

    /// The name, as [`DataSet::parse`] takes it.
    pub fn name(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(_, set)| *set == self)
            .map_or("", |(name, _)| name)
    }

    /// The rows: the spatial columns, then time, and the targets. The same every time.
    pub fn generate(self) -> Data {
        match self {
            DataSet::GlitchyChirp => {
                let points = spaced(1_000, 10.0);
                let targets = points.iter().enumerate().map(|(index, x)| {
                    let glitch = if (500..550).contains(&index) {
                        0.5 * (20.0 * x).sin()
                    } else {
                        0.0
                    };
                    (chirp(*x) + glitch) as f32
                });
                Data {
                    targets: targets.collect(),
                    columns: vec![single(&points), vec![0.0; points.len()]],
                }
            }
            DataSet::TravellingChirp => travelling(&[spaced(250, 10.0)], 8, 1.75, |s| {
                let glitch = if (0.0..1.0).contains(&s[0]) {
                    0.5 * (20.0 * s[0]).sin()
                } else {
                    0.0
                };
                chirp(s[0]) + glitch
            }),
            DataSet::TravellingPacket4D => {
                let axis = spaced(12, 5.0);
                travelling(&[axis.clone(), axis.clone(), axis], 3, 1.0, |s| {
                    let squares: f64 = s.iter().map(|one| one * one).sum();
                    let [x, y, z] = [s[0], s[1], s[2]].map(|one| 2.0 * one);
                    (-0.5 * squares).exp() * x.sin() * y.cos() * z.sin()
                })
            }
            DataSet::TravellingPacket6D => {
                let axis = spaced(5, 3.0);
                travelling(&vec![axis; 5], 3, 1.0, |s| {
                    let squares: f64 = s.iter().map(|one| one * one).sum();
                    let waves = (s[0] + s[1]).sin() * s[2].cos() * (s[3] - s[4]).sin();
                    (-0.1 * squares).exp() * waves * (s[1] * s[3]).cos()
                })
            }
        }
    }
}

fn chirp(s: f64) -> f64 {
    (0.5 * s * s).sin() * (-0.1 * s * s).exp()
}

/// `count` points evenly from `-end` to `end`, ends included.
fn spaced(count: usize, end: f64) -> Vec<f64> {
    let step = 2.0 * end / (count - 1) as f64;
    (0..count).map(|index| -end + step * index as f64).collect()
}

fn single(values: &[f64]) -> Vec<f32> {
    values.iter().map(|value| *value as f32).collect()
}

/// The values of `shape` at the points of a grid moved by [`SPEED`] times each of `times` times from 0 to `last`.
fn travelling(axes: &[Vec<f64>], times: usize, last: f64, shape: impl Fn(&[f64]) -> f64) -> Data {
    let mut columns = vec![Vec::new(); axes.len() + 1];
    let mut targets = Vec::new();
    let cells: usize = axes.iter().map(Vec::len).product();
    let mut moved = vec![0.0; axes.len()];
    for step in 0..times {
        let time = last * step as f64 / (times - 1) as f64;
        for cell in 0..cells {
            let mut rest = cell;
            for ((axis, column), moved) in axes.iter().zip(&mut columns).zip(&mut moved) {
                let x = axis[rest % axis.len()];
                rest /= axis.len();
                column.push(x as f32);
                *moved = x - SPEED * time;
            }
            columns[axes.len()].push(time as f32);
            targets.push(shape(&moved) as f32);
        }
    }
    Data { columns, targets }
}

impl Data {
    /// Takes columns of inputs and their targets.
    ///
    /// # Errors
    /// No column or no row, more than the bounds, columns of another length than the targets, or a value that is not finite.
    pub fn new(columns: Vec<Vec<f32>>, targets: Vec<f32>) -> Result<Self, PhysicsError> {
        check_count("columns", columns.len(), 1, COLUMNS_MAX)?;
        check_count("targets", targets.len(), 1, ROWS_MAX)?;
        for (index, column) in columns.iter().enumerate() {
            if column.len() != targets.len() {
                return Err(PhysicsError::Shape {
                    field: format!("columns[{index}]"),
                    found: column.len(),
                    expected: targets.len(),
                });
            }
        }
        for (field, values) in columns
            .iter()
            .map(|column| ("columns", column))
            .chain([("targets", &targets)])
        {
            for value in values {
                check_finite(field, f64::from(*value))?;
            }
        }
        Ok(Data { columns, targets })
    }

    /// The inputs, column by column.
    pub fn columns(&self) -> &[Vec<f32>] {
        &self.columns
    }

    /// One target per row.
    pub fn targets(&self) -> &[f32] {
        &self.targets
    }

    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.targets.len()
    }

    /// The rows with the given indices, in that order.
    ///
    /// # Panics
    /// When an index is not below the number of rows.
    pub fn select(&self, rows: &[usize]) -> Data {
        let pick = |column: &Vec<f32>| rows.iter().map(|row| column[*row]).collect();
        Data {
            columns: self.columns.iter().map(pick).collect(),
            targets: pick(&self.targets),
        }
    }

    /// The inputs row by row.
    pub fn by_rows(&self) -> Vec<f32> {
        let mut values = Vec::with_capacity(self.rows() * self.columns.len());
        for row in 0..self.rows() {
            values.extend(self.columns.iter().map(|column| column[row]));
        }
        values
    }
}
