//! One query against one row, many rows by number, or a run of rows: the loops all families share.
//!
//! A family implements [`RowKernel`] (one row, four times) and gets the three forms from here, each compiled with the
//! instructions of its level so that the kernel is inlined into the loop. Shapes are asserted once per call.

#![expect(
    unsafe_code,
    reason = "the kernels read through raw pointers after one bounds check"
)]

use crate::dispatch::{Kernels, Level, prefetch_bytes};

/// How many rows ahead of the one being computed are fetched. Six was the best of 2 to 32 in a graph traversal over
/// 200,000 codes; far more evicts what was fetched first, far fewer does not hide a miss to memory.
pub const PREFETCH_ROWS: usize = 6;

/// A comparison of a query with one stored row.
///
/// The unsafe functions read `count` elements from `row` and `count * QUERY_PER_ELEMENT` from `query`, and may be called
/// only where the instructions of their level exist.
pub(crate) trait RowKernel {
    /// Element of the query.
    type Query: Copy;
    /// Element of a row.
    type Element: Copy;
    /// What comes out.
    type Output;
    /// Query elements for each row element.
    const QUERY_PER_ELEMENT: usize = 1;

    /// The definition.
    fn scalar(query: &[Self::Query], row: &[Self::Element]) -> Self::Output;
    #[cfg(target_arch = "x86_64")]
    unsafe fn avx2(
        query: *const Self::Query,
        row: *const Self::Element,
        count: usize,
    ) -> Self::Output;
    #[cfg(target_arch = "x86_64")]
    unsafe fn avx512(
        query: *const Self::Query,
        row: *const Self::Element,
        count: usize,
    ) -> Self::Output;
    #[cfg(target_arch = "aarch64")]
    unsafe fn neon(
        query: *const Self::Query,
        row: *const Self::Element,
        count: usize,
    ) -> Self::Output;
}

/// Compares `query` with `row`.
#[inline]
pub(crate) fn one<K: RowKernel>(
    kernels: &Kernels,
    query: &[K::Query],
    row: &[K::Element],
) -> K::Output {
    assert_eq!(
        query.len(),
        row.len() * K::QUERY_PER_ELEMENT,
        "query and row differ in length"
    );
    match kernels.level() {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: lengths were compared above; `Kernels` of this level exist only where its instructions do.
        Level::Avx512 => unsafe { K::avx512(query.as_ptr(), row.as_ptr(), row.len()) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Level::Avx2 => unsafe { K::avx2(query.as_ptr(), row.as_ptr(), row.len()) },
        #[cfg(target_arch = "aarch64")]
        // SAFETY: as above.
        Level::Neon => unsafe { K::neon(query.as_ptr(), row.as_ptr(), row.len()) },
        _ => K::scalar(query, row),
    }
}

/// Compares `query` with the rows numbered `rows`; row `r` is `base[r * stride..][..count]`.
#[inline]
pub(crate) fn many<K: RowKernel>(
    kernels: &Kernels,
    query: &[K::Query],
    base: &[K::Element],
    stride: usize,
    rows: &[u32],
    out: &mut [K::Output],
) {
    assert_eq!(rows.len(), out.len(), "one result for each row");
    let count = query.len() / K::QUERY_PER_ELEMENT;
    assert_eq!(query.len(), count * K::QUERY_PER_ELEMENT);
    let Some(&last) = rows.iter().max() else {
        return;
    };
    assert_in_bounds(base.len(), stride, last as usize, count);
    match kernels.level() {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the largest row lies within `base` (asserted), hence all do; the level's instructions exist.
        Level::Avx512 => unsafe { many_avx512::<K>(query, base, stride, count, rows, out) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Level::Avx2 => unsafe { many_avx2::<K>(query, base, stride, count, rows, out) },
        #[cfg(target_arch = "aarch64")]
        // SAFETY: as above.
        Level::Neon => unsafe { many_neon::<K>(query, base, stride, count, rows, out) },
        _ => {
            for (&row, out) in rows.iter().zip(out) {
                *out = K::scalar(query, &base[row as usize * stride..][..count]);
            }
        }
    }
}

/// Compares `query` with `out.len()` consecutive rows from row `first`.
#[inline]
pub(crate) fn scan<K: RowKernel>(
    kernels: &Kernels,
    query: &[K::Query],
    base: &[K::Element],
    stride: usize,
    first: usize,
    out: &mut [K::Output],
) {
    let count = query.len() / K::QUERY_PER_ELEMENT;
    assert_eq!(query.len(), count * K::QUERY_PER_ELEMENT);
    let Some(more) = out.len().checked_sub(1) else {
        return;
    };
    let last = first.checked_add(more).expect("row numbers fit");
    assert_in_bounds(base.len(), stride, last, count);
    match kernels.level() {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the last row lies within `base` (asserted), hence all do; the level's instructions exist.
        Level::Avx512 => unsafe { scan_avx512::<K>(query, base, stride, count, first, out) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Level::Avx2 => unsafe { scan_avx2::<K>(query, base, stride, count, first, out) },
        #[cfg(target_arch = "aarch64")]
        // SAFETY: as above.
        Level::Neon => unsafe { scan_neon::<K>(query, base, stride, count, first, out) },
        _ => {
            for (position, out) in out.iter_mut().enumerate() {
                *out = K::scalar(query, &base[(first + position) * stride..][..count]);
            }
        }
    }
}

/// Panics unless row `row` of `count` elements lies within `length` elements and rows do not overlap.
#[inline]
fn assert_in_bounds(length: usize, stride: usize, row: usize, count: usize) {
    let end = row
        .checked_mul(stride)
        .and_then(|start| start.checked_add(count));
    assert!(
        stride >= count && end.is_some_and(|end| end <= length),
        "row {row} of {count} elements (stride {stride}) is outside of {length} elements"
    );
}

/// The loops of one level. `$features` must contain what the kernels of the level enable, else nothing is inlined.
macro_rules! loops {
    ($arch:literal, $features:literal, $kernel:ident, $many:ident, $scan:ident) => {
        /// # Safety
        /// Every row of `rows` lies within `base`, `query` has `count * QUERY_PER_ELEMENT` elements, `out` as many as
        /// `rows`, and the level's instructions exist.
        #[cfg(target_arch = $arch)]
        #[target_feature(enable = $features)]
        unsafe fn $many<K: RowKernel>(
            query: &[K::Query],
            base: &[K::Element],
            stride: usize,
            count: usize,
            rows: &[u32],
            out: &mut [K::Output],
        ) {
            let row_bytes = count * size_of::<K::Element>();
            for &row in rows.iter().take(PREFETCH_ROWS) {
                prefetch_bytes(
                    base.as_ptr().wrapping_add(row as usize * stride).cast(),
                    row_bytes,
                );
            }
            for (position, (&row, out)) in rows.iter().zip(out).enumerate() {
                if let Some(&ahead) = rows.get(position + PREFETCH_ROWS) {
                    let ahead = base.as_ptr().wrapping_add(ahead as usize * stride);
                    prefetch_bytes(ahead.cast(), row_bytes);
                }
                // SAFETY: the caller checked the largest row number against `base`.
                *out = unsafe {
                    K::$kernel(
                        query.as_ptr(),
                        base.as_ptr().add(row as usize * stride),
                        count,
                    )
                };
            }
        }

        /// # Safety
        /// Rows `first..first + out.len()` lie within `base`; the rest as for many rows.
        #[cfg(target_arch = $arch)]
        #[target_feature(enable = $features)]
        unsafe fn $scan<K: RowKernel>(
            query: &[K::Query],
            base: &[K::Element],
            stride: usize,
            count: usize,
            first: usize,
            out: &mut [K::Output],
        ) {
            for (position, out) in out.iter_mut().enumerate() {
                // SAFETY: the caller checked the last row number against `base`.
                *out = unsafe {
                    let row = base.as_ptr().add((first + position) * stride);
                    K::$kernel(query.as_ptr(), row, count)
                };
            }
        }
    };
}

loops!("x86_64", "avx2,fma,f16c,popcnt", avx2, many_avx2, scan_avx2);
loops!(
    "x86_64",
    "avx2,fma,f16c,popcnt,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni",
    avx512,
    many_avx512,
    scan_avx512
);
loops!("aarch64", "neon", neon, many_neon, scan_neon);

/// Declares the public methods of one row kernel: one row, many rows, a run of rows.
macro_rules! row_methods {
    ($kernel:ty, $query:ty, $element:ty => $output:ty, $what:literal, $one:ident, $many:ident, $scan:ident) => {
        impl $crate::dispatch::Kernels {
            #[doc = $what]
            ///
            /// Panics if the lengths do not match.
            #[inline]
            pub fn $one(&self, query: &[$query], row: &[$element]) -> $output {
                $crate::rows::one::<$kernel>(self, query, row)
            }

            #[doc = $what]
            ///
            /// For each of `rows`, fetched ahead: row `r` starts at `base[r * stride]`; `out[i]` belongs to `rows[i]`.
            /// Panics if `out` and `rows` differ in length or a row is outside of `base`.
            #[inline]
            pub fn $many(
                &self,
                query: &[$query],
                base: &[$element],
                stride: usize,
                rows: &[u32],
                out: &mut [$output],
            ) {
                $crate::rows::many::<$kernel>(self, query, base, stride, rows, out);
            }

            #[doc = $what]
            ///
            /// For the `out.len()` rows from row `first` on. Panics if one of them is outside of `base`.
            #[inline]
            pub fn $scan(
                &self,
                query: &[$query],
                base: &[$element],
                stride: usize,
                first: usize,
                out: &mut [$output],
            ) {
                $crate::rows::scan::<$kernel>(self, query, base, stride, first, out);
            }
        }
    };
}
pub(crate) use row_methods;
