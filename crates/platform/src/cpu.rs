//! How many processors this process may use, and how many real cores they are.

#![cfg_attr(
    target_os = "linux",
    expect(unsafe_code, reason = "priorities are set by a call into the system")
)]

use std::collections::BTreeSet;
use std::fs;
use std::num::NonZeroUsize;

/// Threads that can run at once: respects the affinity mask and a control group's quota. At least one.
pub fn usable_threads() -> NonZeroUsize {
    std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

/// Physical cores behind the processors this process may use, never more than [`usable_threads`].
/// Where the topology cannot be read, the number of usable threads.
pub fn physical_cores() -> NonZeroUsize {
    let usable = usable_threads();
    counted_cores().map_or(usable, |cores| cores.min(usable))
}

/// Adds `niceness` (1 to 19) to that of the calling thread, so that it runs when others do not need the processor. Does
/// nothing where threads have no priority of their own, or when the system refuses: it is a courtesy, not a promise.
pub fn lower_thread_priority(niceness: i32) {
    #[cfg(target_os = "linux")]
    {
        let niceness = niceness.clamp(0, 19);
        // SAFETY: integer arguments only; on Linux 0 means the calling thread.
        unsafe {
            let current = libc::getpriority(libc::PRIO_PROCESS, 0);
            let _ = libc::setpriority(libc::PRIO_PROCESS, 0, (current + niceness).min(19));
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = niceness;
}

/// Distinct (package, core) pairs of the allowed processors, from sysfs.
fn counted_cores() -> Option<NonZeroUsize> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let list = status
        .lines()
        .find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
    let mut cores = BTreeSet::new();
    for processor in parse_list(list)? {
        let number = |name: &str| -> Option<u32> {
            fs::read_to_string(format!(
                "/sys/devices/system/cpu/cpu{processor}/topology/{name}"
            ))
            .ok()?
            .trim()
            .parse()
            .ok()
        };
        cores.insert((number("physical_package_id")?, number("core_id")?));
    }
    NonZeroUsize::new(cores.len())
}

/// The numbers of a kernel list such as `0-3,8`. Bounded: no machine has more processors than the kernel's own limit.
fn parse_list(text: &str) -> Option<Vec<u32>> {
    const PROCESSORS_MAX: u32 = 8192;
    let mut numbers = Vec::new();
    for part in text.trim().split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (u32, u32) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        if last >= PROCESSORS_MAX || first > last {
            return None;
        }
        numbers.extend(first..=last);
    }
    Some(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_as_the_kernel_writes_them() {
        assert_eq!(parse_list("0-3,8\n"), Some(vec![0, 1, 2, 3, 8]));
        assert_eq!(parse_list(" 5"), Some(vec![5]));
        assert_eq!(parse_list("3-1"), None);
        assert_eq!(parse_list("0-99999999"), None);
        assert_eq!(parse_list(""), None);
    }

    #[test]
    fn there_is_at_least_one_and_never_more_cores_than_threads() {
        assert!(physical_cores() <= usable_threads());
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_lowered_thread_gives_way_and_others_do_not() {
        fn niceness() -> i32 {
            let stat = fs::read_to_string("/proc/thread-self/stat").expect("stat");
            // Fields count from the closing parenthesis of the name, which may hold spaces.
            let (_, fields) = stat.rsplit_once(')').expect("a name");
            let field = fields.split_whitespace().nth(16).expect("niceness");
            field.parse().expect("a number")
        }
        let before = niceness();
        let lowered = std::thread::spawn(|| {
            lower_thread_priority(3);
            niceness()
        });
        assert_eq!(lowered.join().expect("thread"), (before + 3).min(19));
        assert_eq!(niceness(), before);
    }
}
