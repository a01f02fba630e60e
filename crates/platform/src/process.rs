//! Child processes that cannot outlive, outgrow or out-rank their parent.
//!
//! What [`confine`] sets in the child, between fork and exec:
//!
//! | protection | Linux | other Unix |
//! |---|---|---|
//! | dies when the parent dies, however it dies | `PR_SET_PDEATHSIG` = SIGKILL, then a check that the parent still is the parent | none: the child must watch its parent |
//! | own process group: a terminal's Ctrl-C reaches only the parent, which drains | yes | yes |
//! | address space limit, no core dumps | yes | yes |
//! | niceness, out-of-memory score | yes | niceness only |
//!
//! The kernel sends the death signal when the *thread* that forked ends, not the process. Children are therefore started
//! on a [`Spawner`], a thread that lives as long as its owner: started from a pool's thread, a child would be killed when
//! the pool shrinks.
#![expect(
    unsafe_code,
    reason = "limits, priorities and signals of processes are system calls without safe wrappers in std"
)]

use std::ffi::OsString;
use std::io;
use std::process::{Command, ExitStatus};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

/// Tasks waiting for the spawner's thread; a full queue makes the caller wait, which is right: it wants a process.
const SPAWN_QUEUE_MAX: usize = 64;

/// Limits of one child.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ChildLimits {
    /// Most address space, in bytes, mapped files included; `None` leaves the parent's limit.
    pub address_space_max_bytes: Option<u64>,
    /// Added to the parent's niceness: 0 is equal rank, 19 the lowest. Negative needs privileges.
    pub niceness: i32,
    /// The kernel's preference when memory runs out: 1000 is killed first, 0 is neutral. `None` leaves the parent's.
    /// Linux only.
    pub out_of_memory_score: Option<i32>,
}

/// A thread that starts children and lives as long as this value, so that a child's death signal means "the owner is
/// gone". Dropping it ends the thread and with it, on Linux, every confined child that it started and that still runs.
#[derive(Debug)]
pub struct Spawner {
    tasks: SyncSender<Box<dyn FnOnce() + Send>>,
}

impl Spawner {
    /// Starts the thread.
    ///
    /// # Errors
    /// The operating system has no thread to give.
    pub fn new() -> io::Result<Self> {
        let (tasks, inbox) = sync_channel::<Box<dyn FnOnce() + Send>>(SPAWN_QUEUE_MAX);
        thread::Builder::new()
            .name("spawner".into())
            .stack_size(256 * 1024)
            .spawn(move || {
                for task in inbox {
                    // One bad task must not end the thread: that would kill every child.
                    let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(task));
                }
            })?;
        Ok(Spawner { tasks })
    }

    /// Runs `task` on the thread, soon and in order. `task` spawns and hands its result over a channel of its own.
    ///
    /// # Errors
    /// The thread is gone, which only happens when it could not be scheduled at all.
    pub fn submit(&self, task: impl FnOnce() + Send + 'static) -> io::Result<()> {
        self.tasks
            .send(Box::new(task))
            .map_err(|_| io::Error::other("the spawner thread has ended"))
    }

    /// Spawns `command` on the thread and waits for the result.
    ///
    /// # Errors
    /// As `Command::spawn`.
    pub fn spawn(&self, mut command: Command) -> io::Result<std::process::Child> {
        let (reply, answer) = sync_channel(1);
        self.submit(move || {
            let _ = reply.send(command.spawn());
        })?;
        answer
            .recv()
            .map_err(|_| io::Error::other("the spawner thread has ended"))?
    }
}

/// Makes `command` start its child under `limits` and the protections of the module's table.
///
/// A limit that cannot be set makes `spawn` fail: a runner without its promised limits must not run.
#[cfg(unix)]
pub fn confine(command: &mut Command, limits: ChildLimits) {
    use std::os::unix::process::CommandExt;
    command.process_group(0);
    let parent = std::process::id();
    // SAFETY: the closure runs in the forked child before exec, where only async-signal-safe calls are allowed. It makes
    // plain system calls on values captured by copy, allocates nothing and takes no lock.
    unsafe {
        command.pre_exec(move || confine_self(parent, &limits));
    }
}

/// Sets the calling process's limits; async-signal-safe.
#[cfg(unix)]
fn confine_self(parent: u32, limits: &ChildLimits) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        // SAFETY: prctl with integer arguments touches no memory of ours.
        check(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) })?;
        // The parent may have died between fork and prctl: the signal would then never come.
        // SAFETY: getppid has no preconditions.
        if u32::try_from(unsafe { libc::getppid() }) != Ok(parent) {
            return Err(io::Error::from_raw_os_error(libc::ESRCH));
        }
        if let Some(score) = limits.out_of_memory_score {
            set_out_of_memory_score(score)?;
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = parent;
    set_limit(libc::RLIMIT_CORE, 0)?;
    if let Some(bytes) = limits.address_space_max_bytes {
        set_limit(libc::RLIMIT_AS, bytes)?;
    }
    if limits.niceness != 0 {
        // SAFETY: integer arguments only; 0 means the calling process.
        unsafe {
            let current = libc::getpriority(libc::PRIO_PROCESS, 0);
            check(libc::setpriority(
                libc::PRIO_PROCESS,
                0,
                current + limits.niceness,
            ))?;
        }
    }
    Ok(())
}

#[cfg(target_os = "linux")]
type LimitName = libc::__rlimit_resource_t;
#[cfg(all(unix, not(target_os = "linux")))]
type LimitName = libc::c_int;

/// Sets the soft and hard limit `name`, never above the hard limit that stands.
#[cfg(unix)]
fn set_limit(name: LimitName, value: u64) -> io::Result<()> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: `limit` is a live, writable rlimit, as both calls want; the calls keep no pointer to it.
    unsafe {
        check(libc::getrlimit(name, &raw mut limit))?;
        let value = (value as libc::rlim_t).min(limit.rlim_max);
        limit.rlim_cur = value;
        limit.rlim_max = value;
        check(libc::setrlimit(name, &raw const limit))
    }
}

/// Writes `/proc/self/oom_score_adj` without allocating.
#[cfg(target_os = "linux")]
fn set_out_of_memory_score(score: i32) -> io::Result<()> {
    // Decimal digits of a clamped score, most significant first, in a buffer on the stack.
    let score = score.clamp(-1000, 1000);
    let mut text = [0u8; 6];
    let mut start = text.len();
    let mut rest = score.unsigned_abs();
    loop {
        start -= 1;
        text[start] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if score < 0 {
        start -= 1;
        text[start] = b'-';
    }
    let digits = &text[start..];
    // SAFETY: the path is a NUL-terminated literal; `digits` is a live slice; the descriptor is ours and closed once.
    unsafe {
        let file = libc::open(c"/proc/self/oom_score_adj".as_ptr(), libc::O_WRONLY);
        check(file)?;
        let written = libc::write(file, digits.as_ptr().cast(), digits.len());
        libc::close(file);
        if usize::try_from(written) != Ok(digits.len()) {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// Turns a system call's -1 into its error.
#[cfg(unix)]
fn check(result: libc::c_int) -> io::Result<()> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// How to ask a process to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndSignal {
    /// SIGTERM: it may finish what it does.
    Terminate,
    /// SIGKILL: at once.
    Kill,
}

/// Sends `signal` to `pid`. Only for a child that has not been waited for yet (its number cannot have been reused) or
/// after [`command_line`] told who it is.
///
/// # Errors
/// The process is gone or belongs to somebody else; numbers that mean groups (0, above `i32::MAX`) are refused.
#[cfg(unix)]
pub fn send_signal(pid: u32, signal: EndSignal) -> io::Result<()> {
    let target = i32::try_from(pid).ok().filter(|pid| *pid > 0);
    let Some(target) = target else {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    };
    let signal = match signal {
        EndSignal::Terminate => libc::SIGTERM,
        EndSignal::Kill => libc::SIGKILL,
    };
    // SAFETY: kill takes integers only; the target is one process, checked above.
    check(unsafe { libc::kill(target, signal) })
}

/// Makes a memory fault, or its signal sent from outside, end this process at once, as the kernel does by default. The
/// standard library handles SIGSEGV and SIGBUS to name a stack overflow; its handler takes a sent signal for a fault that
/// will come again, and returns. For processes whose faults come from native code and whose parent reads how they ended.
#[cfg(unix)]
pub fn die_of_memory_faults() {
    for signal in [libc::SIGSEGV, libc::SIGBUS] {
        // SAFETY: SIG_DFL is a valid disposition for both signals, and no handler's address is kept anywhere; the alternate
        // stack that std installed stays allocated and is then unused.
        unsafe {
            libc::signal(signal, libc::SIG_DFL);
        }
    }
}

/// Whether a process with this number exists (a zombie counts).
#[cfg(unix)]
pub fn exists(pid: u32) -> bool {
    let Some(target) = i32::try_from(pid).ok().filter(|pid| *pid > 0) else {
        return false;
    };
    // SAFETY: signal 0 only checks; integers only.
    let result = unsafe { libc::kill(target, 0) };
    result == 0 || io::Error::last_os_error().raw_os_error() == Some(libc::EPERM)
}

/// The arguments a running process was started with; `None` where the system does not tell or the process is gone.
pub fn command_line(pid: u32) -> Option<Vec<String>> {
    let bytes = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let text = bytes.strip_suffix(&[0]).unwrap_or(&bytes);
    if text.is_empty() {
        return None;
    }
    Some(
        text.split(|byte| *byte == 0)
            .map(|part| String::from_utf8_lossy(part).into_owned())
            .collect(),
    )
}

/// Processor time that a process and its threads have used; `None` where the system does not tell or the process is gone.
/// Linux only.
pub fn cpu_time(pid: u32) -> Option<Duration> {
    #[cfg(target_os = "linux")]
    {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name stands in parentheses and may hold anything; user and system time are the 12th and 13th field after it.
        let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
        let ticks = fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?;
        // SAFETY: sysconf takes an integer and touches no memory of ours.
        let per_second = u64::try_from(unsafe { libc::sysconf(libc::_SC_CLK_TCK) }).ok()?;
        Some(Duration::from_millis(
            ticks.saturating_mul(1000).checked_div(per_second)?,
        ))
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = pid;
        None
    }
}

/// Variables of this process's environment named in `names` or starting with one of `prefixes`: what a child may inherit
/// when it must not see the rest. Configuration never comes from here.
pub fn environment(names: &[&str], prefixes: &[&str]) -> Vec<(OsString, OsString)> {
    std::env::vars_os()
        .filter(|(name, _)| {
            name.to_str().is_some_and(|name| {
                names.contains(&name) || prefixes.iter().any(|prefix| name.starts_with(prefix))
            })
        })
        .collect()
}

/// How a process ended, in words that read well after "the process": "was killed by SIGSEGV", "exited with status 3".
pub fn describe_exit(status: ExitStatus) -> String {
    #[cfg(unix)]
    {
        use std::os::unix::process::ExitStatusExt;
        if let Some(signal) = status.signal() {
            return match signal_name(signal) {
                Some(name) => format!("was killed by {name}"),
                None => format!("was killed by signal {signal}"),
            };
        }
    }
    match status.code() {
        Some(code) => format!("exited with status {code}"),
        None => "ended".to_owned(),
    }
}

/// The name of a signal that ends processes.
#[cfg(unix)]
fn signal_name(signal: i32) -> Option<&'static str> {
    Some(match signal {
        libc::SIGABRT => "SIGABRT",
        libc::SIGALRM => "SIGALRM",
        libc::SIGBUS => "SIGBUS",
        libc::SIGFPE => "SIGFPE",
        libc::SIGHUP => "SIGHUP",
        libc::SIGILL => "SIGILL",
        libc::SIGINT => "SIGINT",
        libc::SIGKILL => "SIGKILL",
        libc::SIGPIPE => "SIGPIPE",
        libc::SIGQUIT => "SIGQUIT",
        libc::SIGSEGV => "SIGSEGV",
        libc::SIGSYS => "SIGSYS",
        libc::SIGTERM => "SIGTERM",
        libc::SIGTRAP => "SIGTRAP",
        libc::SIGXCPU => "SIGXCPU",
        libc::SIGXFSZ => "SIGXFSZ",
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
