//! Which instruction set runs, decided once.

#![expect(
    unsafe_code,
    reason = "prefetch instructions exist only as unsafe intrinsics"
)]

use std::sync::OnceLock;

/// A set of instructions that kernels are written for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Level {
    /// Plain Rust: the definition of every kernel.
    Scalar,
    /// x86-64 with AVX2, FMA, F16C and POPCNT (2013 and later).
    Avx2,
    /// x86-64 with AVX-512 F, BW, DQ, VL and VNNI (Cascade Lake, Ice Lake, Zen 4 and later).
    Avx512,
    /// 64-bit ARM.
    Neon,
}

impl Level {
    /// The best level of this machine; detected once.
    pub fn best() -> Level {
        Kernels::best().level
    }

    /// The same as [`Level::best`], by the name that the waves use.
    pub fn detect() -> Level {
        Level::best()
    }

    /// Every level that runs here, the scalar one first and the best last.
    pub fn available() -> Vec<Level> {
        [Level::Scalar, Level::Avx2, Level::Avx512, Level::Neon]
            .into_iter()
            .filter(|level| level.is_available())
            .collect()
    }

    fn is_available(self) -> bool {
        match self {
            Level::Scalar => true,
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => {
                is_x86_feature_detected!("avx2")
                    && is_x86_feature_detected!("fma")
                    && is_x86_feature_detected!("f16c")
                    && is_x86_feature_detected!("popcnt")
            }
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => {
                Level::Avx2.is_available()
                    && is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512vl")
                    && is_x86_feature_detected!("avx512vnni")
            }
            #[cfg(target_arch = "aarch64")]
            Level::Neon => std::arch::is_aarch64_feature_detected!("neon"),
            _ => false,
        }
    }
}

/// The kernels of one level. Copy it freely; it is one byte.
///
/// Invariant on which every `unsafe` call of this crate rests: a value with a level exists only if detection found all
/// instructions of that level on this machine.
#[derive(Clone, Copy, Debug)]
pub struct Kernels {
    level: Level,
}

impl Kernels {
    /// The kernels for this machine.
    pub fn best() -> Kernels {
        static BEST: OnceLock<Kernels> = OnceLock::new();
        *BEST.get_or_init(|| {
            [Level::Avx512, Level::Avx2, Level::Neon]
                .into_iter()
                .find_map(Kernels::at)
                .unwrap_or(Kernels {
                    level: Level::Scalar,
                })
        })
    }

    /// The kernels of one level, or `None` where the machine lacks it. For tests and measurements.
    pub fn at(level: Level) -> Option<Kernels> {
        level.is_available().then_some(Kernels { level })
    }

    /// The level these kernels run at.
    pub fn level(&self) -> Level {
        self.level
    }

    /// Asks the memory system to bring `base[offset..offset + count]` near. Nothing happens for what is out of bounds.
    #[inline]
    pub fn prefetch<T>(&self, base: &[T], offset: usize, count: usize) {
        if let Some(part) = base.get(offset..offset.saturating_add(count)) {
            prefetch_bytes(part.as_ptr().cast(), size_of_val(part));
        }
    }
}

/// Asks for every cache line of `bytes` bytes from `from`.
#[inline(always)]
pub(crate) fn prefetch_bytes(from: *const u8, bytes: usize) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        let mut offset = 0;
        while offset < bytes {
            // SAFETY: SSE is part of x86-64, and a prefetch of any address whatsoever has no effect but on caches.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(from.wrapping_add(offset).cast()) };
            offset += 64;
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (from, bytes);
}

/// Compiles the body of a function once for each level and calls the one of the kernels at hand. The body is plain Rust
/// that the compiler vectorises with the instructions of the level; floating point is not reordered, so that every level
/// gives the same bits.
macro_rules! compiled_for_levels {
    ($kernels:expr, $body:ident ( $($argument:ident : $type:ty),* ) $(-> $result:ty)?) => {{
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx2,fma,f16c,popcnt,avx512f,avx512bw,avx512dq,avx512vl")]
        fn avx512($($argument: $type),*) $(-> $result)? {
            $body($($argument),*)
        }
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx2,fma,f16c,popcnt")]
        fn avx2($($argument: $type),*) $(-> $result)? {
            $body($($argument),*)
        }
        match $kernels.level() {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `Kernels` of this level exist only where its instructions do.
            $crate::dispatch::Level::Avx512 => unsafe { avx512($($argument),*) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            $crate::dispatch::Level::Avx2 => unsafe { avx2($($argument),*) },
            _ => $body($($argument),*),
        }
    }};
}
pub(crate) use compiled_for_levels;
