//! Which `ef` reaches a recall: measured on the segment itself while it is built.
//!
//! The last rows to be inserted are first searched for, at several `ef`, and the results compared with a scan of all codes. They
//! are not in the graph then, so that they stand for queries of the same distribution. Queries of another distribution (a
//! question against documents) need a larger `ef` than the curve says; an explicit `ef` remains the way to be sure.

/// `ef` values that are measured.
pub(crate) const MEASURED_EF: [u32; 8] = [10, 16, 32, 64, 128, 256, 512, 1024];
/// Rows held back to be searched for.
pub(crate) const HELD_BACK: usize = 100;
/// A smaller graph is not measured: a scan of its codes is quick, and a hundred rows would be many of it.
pub(crate) const MEASURED_FROM_ROWS: usize = 2_000;
/// Neighbours that count.
pub(crate) const MEASURED_K: usize = 10;

/// Recall at 10 by `ef`, both rising.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Curve {
    points: Vec<(u32, f32)>,
}

impl Curve {
    /// A curve through `points`; what does not rise is smoothed upwards, numbers that are no recall are left out.
    pub(crate) fn from_points(mut points: Vec<(u32, f32)>) -> Self {
        points.retain(|(_, recall)| (0.0..=1.0).contains(recall));
        points.sort_by_key(|point| point.0);
        points.dedup_by_key(|point| point.0);
        let mut most = 0.0f32;
        for (_, recall) in &mut points {
            most = most.max(*recall);
            *recall = most;
        }
        Curve { points }
    }

    pub(crate) fn points(&self) -> &[(u32, f32)] {
        &self.points
    }

    /// The `ef` for a recall: between two points by the logarithms of `ef` and of what is missed; the largest measured one
    /// when none reached it. `None` without a curve.
    pub(crate) fn ef_for(&self, recall: f32) -> Option<usize> {
        let reached = self.points.iter().position(|point| point.1 >= recall);
        let Some(reached) = reached else {
            return self.points.last().map(|point| point.0 as usize);
        };
        let (ef, high) = self.points[reached];
        let Some(&(ef_below, low)) = reached.checked_sub(1).and_then(|at| self.points.get(at))
        else {
            return Some(ef as usize);
        };
        // A miss of 0 has no logarithm; below 1 in 10,000 the measurement says nothing anyway.
        let missed = |recall: f32| (1.0 - recall).max(1e-4).ln();
        let span = missed(low) - missed(high);
        let part = if span > 0.0 {
            ((missed(low) - missed(recall)) / span).clamp(0.0, 1.0)
        } else {
            1.0
        };
        let (from, to) = ((ef_below as f32).ln(), (ef as f32).ln());
        Some((from + (to - from) * part).exp().ceil() as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ef_rises_with_the_recall_and_meets_the_points() {
        let curve = Curve::from_points(vec![(16, 0.8), (32, 0.9), (64, 0.97), (128, 0.99)]);
        for (ef, recall) in [(16, 0.8), (32, 0.9), (64, 0.97), (128, 0.99)] {
            let found = curve.ef_for(recall).expect("a curve");
            assert!(found.abs_diff(ef) <= 1, "{recall}: {found}");
        }
        let between = curve.ef_for(0.95).expect("a curve");
        assert!((33..64).contains(&between), "{between}");
        assert_eq!(curve.ef_for(0.1), Some(16));
        assert_eq!(curve.ef_for(0.999), Some(128));
        assert_eq!(Curve::default().ef_for(0.9), None);
        let bent = Curve::from_points(vec![(32, 0.7), (16, 0.9), (64, f32::NAN)]);
        assert_eq!(bent.points(), [(16, 0.9), (32, 0.9)]);
    }
}
