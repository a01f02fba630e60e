//! How much memory the machine and a process have. Every answer is `None` where the system does not tell.

use std::fs;

/// Memory of the machine, or of the container when it is smaller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MachineMemory {
    /// All of it, in bytes.
    pub total_bytes: u64,
    /// What new work can have without swapping, in bytes (the kernel's estimate).
    pub available_bytes: u64,
}

/// Memory of one process, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ProcessMemory {
    /// Resident now.
    pub resident_bytes: u64,
    /// Of that, anonymous: what only this process holds and only swapping or its end gives back.
    pub anonymous_bytes: u64,
    /// Of that, mapped files: the kernel drops these pages when it needs room.
    pub file_bytes: u64,
}

/// Memory of the machine; a control group's limit (version 2 or 1) counts when it is lower.
pub fn machine() -> Option<MachineMemory> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let host = MachineMemory {
        total_bytes: kilobytes_field(&text, "MemTotal:")?,
        available_bytes: kilobytes_field(&text, "MemAvailable:")?,
    };
    Some(match control_group() {
        Some((limit, used)) if limit < host.total_bytes => MachineMemory {
            total_bytes: limit,
            available_bytes: host.available_bytes.min(limit.saturating_sub(used)),
        },
        _ => host,
    })
}

/// Memory of the process `pid`; `None` also when it is gone.
pub fn of_process(pid: u32) -> Option<ProcessMemory> {
    parse_status(&fs::read_to_string(format!("/proc/{pid}/status")).ok()?)
}

/// Memory of this process.
pub fn own() -> Option<ProcessMemory> {
    parse_status(&fs::read_to_string("/proc/self/status").ok()?)
}

fn parse_status(text: &str) -> Option<ProcessMemory> {
    // A zombie has no Vm lines at all.
    Some(ProcessMemory {
        resident_bytes: kilobytes_field(text, "VmRSS:")?,
        anonymous_bytes: kilobytes_field(text, "RssAnon:")?,
        file_bytes: kilobytes_field(text, "RssFile:")?,
    })
}

/// The value of a line `name   123 kB`, in bytes.
fn kilobytes_field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let number = line.trim().strip_suffix("kB")?.trim();
    number.parse::<u64>().ok()?.checked_mul(1024)
}

/// Limit and use of the control group this process is in, in bytes.
fn control_group() -> Option<(u64, u64)> {
    let membership = fs::read_to_string("/proc/self/cgroup").ok()?;
    for line in membership.lines() {
        let mut parts = line.splitn(3, ':');
        let (Some(_), Some(controllers), Some(group)) = (parts.next(), parts.next(), parts.next())
        else {
            continue;
        };
        let (root, limit_file, used_file) = if controllers.is_empty() {
            ("/sys/fs/cgroup", "memory.max", "memory.current")
        } else if controllers.split(',').any(|name| name == "memory") {
            (
                "/sys/fs/cgroup/memory",
                "memory.limit_in_bytes",
                "memory.usage_in_bytes",
            )
        } else {
            continue;
        };
        // Inside a container the group's path is often that of the host, while only the root is mounted.
        for directory in [format!("{root}{group}"), root.to_owned()] {
            let number = |file: &str| -> Option<u64> {
                fs::read_to_string(format!("{directory}/{file}"))
                    .ok()?
                    .trim()
                    .parse()
                    .ok()
            };
            if let (Some(limit), Some(used)) = (number(limit_file), number(used_file)) {
                return Some((limit, used));
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_in_bytes_and_wrong_units_are_refused() {
        let text = "MemTotal:       16384 kB\nOdd: 5 pages\n";
        assert_eq!(kilobytes_field(text, "MemTotal:"), Some(16_384 * 1024));
        assert_eq!(kilobytes_field(text, "Odd:"), None);
        assert_eq!(kilobytes_field(text, "Absent:"), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn the_machine_and_this_process_are_measured() {
        let machine = machine().expect("meminfo");
        assert!(machine.available_bytes <= machine.total_bytes);
        let before = own().expect("status");
        assert!(of_process(std::process::id()).is_some());
        // Far more than tests beside this one give back meanwhile.
        let block = vec![1u8; 256 << 20];
        let after = own().expect("status");
        assert!(after.anonymous_bytes >= before.anonymous_bytes + (128 << 20));
        assert!(after.resident_bytes >= after.anonymous_bytes);
        assert_eq!(block[1 << 20], 1);
        assert_eq!(of_process(u32::MAX), None);
    }
}
