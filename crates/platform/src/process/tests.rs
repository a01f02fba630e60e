//! Real children (`sh`) are started and looked at from outside.

use super::*;
use std::io::Read;
use std::process::Stdio;
use std::time::Instant;

fn shell(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.arg("-c").arg(script).stdin(Stdio::null());
    command
}

fn output(script: &str, limits: ChildLimits) -> String {
    let mut command = shell(script);
    command.stdout(Stdio::piped());
    confine(&mut command, limits);
    let spawner = Spawner::new().expect("thread");
    let mut child = spawner.spawn(command).expect("spawn");
    let mut text = String::new();
    child
        .stdout
        .take()
        .expect("piped")
        .read_to_string(&mut text)
        .expect("read");
    assert!(child.wait().expect("wait").success());
    text
}

/// Waits for a condition that another process makes true.
fn eventually(what: &str, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(10), "{what}");
        std::thread::yield_now();
    }
}

#[test]
fn limits_reach_the_child() {
    let text = output(
        "ulimit -v; ulimit -c; nice",
        ChildLimits {
            address_space_max_bytes: Some(4 << 30),
            niceness: 3,
            out_of_memory_score: None,
        },
    );
    let own_niceness: i32 = output("nice", ChildLimits::default())
        .trim()
        .parse()
        .expect("number");
    assert_eq!(
        text,
        format!("{}\n0\n{}\n", (4u64 << 30) / 1024, own_niceness + 3)
    );
}

#[test]
#[cfg(target_os = "linux")]
fn the_out_of_memory_score_is_written() {
    let text = output(
        "cat /proc/self/oom_score_adj",
        ChildLimits {
            out_of_memory_score: Some(750),
            ..ChildLimits::default()
        },
    );
    assert_eq!(text, "750\n");
}

#[test]
#[cfg(target_os = "linux")]
fn a_child_ends_with_its_spawner() {
    let spawner = Spawner::new().expect("thread");
    let mut command = shell("exec sleep 600");
    confine(&mut command, ChildLimits::default());
    let mut child = spawner.spawn(command).expect("spawn");
    assert!(child.try_wait().expect("alive").is_none());
    drop(spawner);
    let status = child.wait().expect("wait");
    assert_eq!(describe_exit(status), "was killed by SIGKILL");
}

#[test]
#[cfg(target_os = "linux")]
fn a_child_survives_the_thread_that_asked_for_it() {
    let spawner = Spawner::new().expect("thread");
    let mut child = std::thread::scope(|scope| {
        scope
            .spawn(|| {
                let mut command = shell("exec sleep 600");
                confine(&mut command, ChildLimits::default());
                spawner.spawn(command).expect("spawn")
            })
            .join()
            .expect("thread")
    });
    eventually("the child runs sleep", || {
        command_line(child.id())
            .is_some_and(|line| line.first().is_some_and(|name| name == "sleep"))
    });
    assert!(child.try_wait().expect("alive").is_none());
    child.kill().expect("kill");
    child.wait().expect("wait");
}

#[test]
fn exits_are_described_by_signal_name_or_status() {
    let status = |script: &str| shell(script).status().expect("run");
    assert_eq!(
        describe_exit(status("kill -SEGV $$")),
        "was killed by SIGSEGV"
    );
    assert_eq!(
        describe_exit(status("kill -ABRT $$")),
        "was killed by SIGABRT"
    );
    assert_eq!(describe_exit(status("exit 3")), "exited with status 3");
}

#[test]
fn signals_go_to_one_living_process_only() {
    assert!(send_signal(0, EndSignal::Kill).is_err());
    assert!(send_signal(u32::MAX, EndSignal::Kill).is_err());
    assert!(exists(std::process::id()));
    let mut child = shell("exec sleep 600").spawn().expect("spawn");
    assert!(exists(child.id()));
    send_signal(child.id(), EndSignal::Terminate).expect("signal");
    let status = child.wait().expect("wait");
    assert_eq!(describe_exit(status), "was killed by SIGTERM");
    assert!(!exists(child.id()));
    assert_eq!(command_line(child.id()), None);
}

#[test]
fn a_panicking_task_does_not_end_the_spawner() {
    let spawner = Spawner::new().expect("thread");
    spawner
        .submit(|| panic!("a task of this test panics on purpose"))
        .expect("submit");
    let mut child = spawner.spawn(shell("exit 0")).expect("still spawning");
    assert!(child.wait().expect("wait").success());
}

#[test]
fn only_named_variables_are_passed_on() {
    let passed = environment(&["PATH"], &["CARGO_PKG_"]);
    assert!(passed.iter().any(|(name, _)| name == "PATH"));
    assert!(passed.iter().all(|(name, _)| {
        name == "PATH"
            || name
                .to_str()
                .is_some_and(|name| name.starts_with("CARGO_PKG_"))
    }));
}

#[cfg(target_os = "linux")]
#[test]
fn processor_time_grows_with_work_and_not_with_sleep() {
    let mut sleeping = shell("exec sleep 600").spawn().expect("spawn");
    let mut working = shell("while :; do :; done").spawn().expect("spawn");
    eventually("the working child works", || {
        cpu_time(working.id()).is_some_and(|time| time >= Duration::from_millis(200))
    });
    assert!(cpu_time(sleeping.id()).expect("runs") < Duration::from_millis(100));
    for child in [&mut sleeping, &mut working] {
        child.kill().expect("kill");
        child.wait().expect("wait");
        assert_eq!(cpu_time(child.id()), None);
    }
}
