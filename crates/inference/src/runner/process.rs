//! One runner child: started under limits, watched until it ends, ended in three steps.
//!
//! ```text
//!   Unload over the socket ── it drains and exits ──► gone
//!        │ not gone after the deadline and a grace
//!      SIGTERM ──────────── it exits ───────────────► gone
//!        │ not gone after a grace
//!      SIGKILL ─────────────────────────────────────► gone
//! ```
//!
//! Invariants: a socket and a `<id>.pid` file exist in the run directory while the child may live, and are removed when it
//! was seen dead; a child is only signalled before it was waited for, so its number cannot belong to another process.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use platform::process::{ChildLimits, EndSignal, Spawner, describe_exit};
use tokio::process::{Child, ChildStdin};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::client::ProtocolClient;
use super::logs::{LastLines, forward};
use super::options::{ModelSource, OpenMpWait, SupervisorOptions};
use super::protocol::UnloadRequest;

/// Longest path of a Unix socket that every system accepts (`sun_path` has 104 bytes on some, with a final zero).
const SOCKET_PATH_MAX_BYTES: usize = 103;
/// What a child may take beyond its drain deadline to answer, and then to exit by itself: it gives its connections two
/// seconds to carry the last answers.
const EXIT_GRACE: Duration = Duration::from_secs(3);
/// What a child may take after SIGTERM.
const TERMINATE_GRACE: Duration = Duration::from_secs(2);

/// What we wait for the rest of a dead child's log.
const LAST_WORDS_TIMEOUT: Duration = Duration::from_millis(200);

/// Environment variables a child inherits: what the loader, the locale and the compute libraries read. Everything else,
/// keys and tokens above all, stays with the parent: the child reads untrusted files.
const INHERITED_NAMES: &[&str] = &[
    "PATH",
    "HOME",
    "TMPDIR",
    "LANG",
    "LC_ALL",
    "TZ",
    "LD_LIBRARY_PATH",
    "DYLD_LIBRARY_PATH",
    "RUST_BACKTRACE",
];
/// Prefixes of inherited variables.
const INHERITED_PREFIXES: &[&str] = &[
    "CUDA_", "NVIDIA_", "HIP_", "ROCR_", "HSA_", "VK_", "GGML_", "LLAMA_", "OMP_", "GOMP_", "KMP_",
];

/// A running child, owned by its keeper.
pub(super) struct RunnerProcess {
    child: Child,
    files: RunFiles,
    /// Its number.
    pub(super) pid: u32,
    last_lines: LastLines,
    /// The other end of its standard input. It ends when this closes, also where the kernel sends no death signals.
    _lifeline: Option<ChildStdin>,
    /// Reads its standard error; ends when the last holder of that pipe does.
    log: Option<JoinHandle<()>>,
}

/// A child's files in the run directory; removed with this value.
struct RunFiles {
    socket: PathBuf,
    pid_file: PathBuf,
}

impl Drop for RunFiles {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.socket);
        let _ = std::fs::remove_file(&self.pid_file);
    }
}

impl RunnerProcess {
    /// Starts a child for `model`. It does not listen yet when this returns.
    ///
    /// # Errors
    /// A sentence for a person: no such program, no permission, no process to be had.
    pub(super) async fn start(
        spawner: &Arc<Spawner>,
        options: &SupervisorOptions,
        socket_dir: &Path,
        model: &ModelSource,
    ) -> Result<Self, String> {
        let id = platform::entropy::random_u64().map_err(|error| error.to_string())?;
        let socket = socket_dir.join(format!("{id:016x}.sock"));
        if socket.as_os_str().len() > SOCKET_PATH_MAX_BYTES {
            return Err(format!(
                "the path of the runner's socket, {}, is longer than the {SOCKET_PATH_MAX_BYTES} bytes a socket path may have",
                socket.display()
            ));
        }
        let files = RunFiles {
            pid_file: socket_dir.join(format!("{id:016x}.pid")),
            socket,
        };
        let mut command = Command::new(&options.executable);
        command
            .arg("runner")
            .arg("--model")
            .arg(&model.path)
            .arg("--socket")
            .arg(&files.socket)
            .arg("--name")
            .arg(&model.name)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .env_clear()
            .envs(platform::process::environment(
                INHERITED_NAMES,
                INHERITED_PREFIXES,
            ))
            // ggml would otherwise try to attach a debugger to itself when it aborts.
            .env("GGML_NO_BACKTRACE", "1");
        let (name, value) = wait_policy(options.open_mp_wait);
        command.env(name, value);
        for (name, value) in &options.environment {
            command.env(name, value);
        }
        platform::process::confine(
            &mut command,
            ChildLimits {
                address_space_max_bytes: options.address_space_max_bytes,
                niceness: options.niceness,
                out_of_memory_score: OUT_OF_MEMORY_SCORE,
            },
        );
        let mut child = spawn(spawner, command).await.map_err(|error| {
            format!(
                "the runner program {} could not be started: {error}",
                options.executable.display()
            )
        })?;
        let pid = child.id().unwrap_or_default();
        // Without this file a crash of the parent on a system without death signals would leave the child unknown.
        let _ = std::fs::File::create(&files.pid_file)
            .and_then(|mut file| file.write_all(format!("{pid}\n").as_bytes()));
        // Taken out, because waiting for a child closes what is left in it.
        let lifeline = child.stdin.take();
        let last_lines = LastLines::default();
        let log = child.stderr.take().map(|stderr| {
            tokio::spawn(forward(stderr, model.name.clone(), pid, last_lines.clone()))
        });
        Ok(RunnerProcess {
            child,
            files,
            pid,
            last_lines,
            _lifeline: lifeline,
            log,
        })
    }

    /// Where it will listen.
    pub(super) fn socket(&self) -> &Path {
        &self.files.socket
    }

    /// Waits until it has ended, however; safe to cancel and to call again.
    pub(super) async fn ended(&mut self) -> String {
        match self.child.wait().await {
            Ok(status) => {
                // Its last words may still be in the pipe; a grandchild may hold the pipe open for ever.
                if let Some(log) = &mut self.log {
                    let _ = timeout(LAST_WORDS_TIMEOUT, log).await;
                    self.log = None;
                }
                self.describe(status)
            }
            Err(error) => format!("could not be waited for: {error}"),
        }
    }

    fn describe(&self, status: ExitStatus) -> String {
        let mut text = describe_exit(status);
        if !status.success()
            && let Some(line) = self.last_lines.most_telling()
        {
            text.push_str("; its log says: ");
            text.push_str(&line);
        }
        text
    }

    /// Kills the child, and returns once it is gone.
    pub(super) async fn kill(mut self) {
        // Fails only for a child that is gone already.
        let _ = self.child.kill().await;
    }

    /// Ends the child: asks over `client` when there is one and gives it `deadline` to finish what runs, then signals.
    /// Returns once it is gone.
    pub(super) async fn stop(mut self, client: Option<ProtocolClient>, deadline: Duration) {
        if let Some(mut client) = client {
            let request = UnloadRequest {
                deadline_ms: u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX),
            };
            // A refusal or a broken connection also count as answers: what matters is that the process ends.
            if timeout(deadline.saturating_add(EXIT_GRACE), client.unload(request))
                .await
                .is_ok()
            {
                let _ = timeout(EXIT_GRACE, self.child.wait()).await;
            }
        }
        for (signal, grace) in [
            (EndSignal::Terminate, Some(TERMINATE_GRACE)),
            (EndSignal::Kill, None),
        ] {
            // `id` is `None` once the child was waited for.
            let Some(pid) = self.child.id() else { return };
            let _ = platform::process::send_signal(pid, signal);
            match grace {
                Some(grace) => {
                    let _ = timeout(grace, self.child.wait()).await;
                }
                None => {
                    let _ = self.child.wait().await;
                }
            }
        }
    }
}

/// Runners are killed before their parent when memory runs out: one model is lost and comes back, the others live. Raising
/// one's own score needs no privilege.
const OUT_OF_MEMORY_SCORE: Option<i32> = Some(500);

/// Spawns on the spawner's thread, inside this runtime, so that the child can be waited for here.
async fn spawn(spawner: &Arc<Spawner>, command: Command) -> std::io::Result<Child> {
    let (reply, answer) = tokio::sync::oneshot::channel();
    let runtime = tokio::runtime::Handle::current();
    spawner.submit(move || {
        let _entered = runtime.enter();
        let mut command = tokio::process::Command::from(command);
        // If nobody waits for the answer any more, the child must not live on unowned.
        command.kill_on_drop(true);
        let _ = reply.send(command.spawn());
    })?;
    answer
        .await
        .map_err(|_| std::io::Error::other("the spawner thread has ended"))?
}

/// Turns that a thread spins at a barrier before it sleeps, some tens of microseconds. A step has hundreds of barriers,
/// most of them shorter than the two context switches of a sleep: on two cores a 135M model decodes 13.2 ms a token when
/// threads sleep at once, 6.8 ms from here on, and no faster with the library's own 300,000 turns, which starve whoever
/// shares the cores.
const SPINS_BEFORE_SLEEP: &str = "20000";

/// The variable of the OpenMP library that makes threads wait as the setting says.
fn wait_policy(setting: OpenMpWait) -> (&'static str, &'static str) {
    match setting {
        OpenMpWait::Passive => ("OMP_WAIT_POLICY", "passive"),
        OpenMpWait::Active => ("OMP_WAIT_POLICY", "active"),
        OpenMpWait::Auto => ("GOMP_SPINCOUNT", SPINS_BEFORE_SLEEP),
    }
}

/// Removes what an earlier parent left in `directory`: ends children that still live (recognised by their command line,
/// because a number alone may belong to anybody by now) and removes their sockets and number files.
pub(super) fn clean_up_after_earlier_parent(directory: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("pid") => {
                let socket = path.with_extension("sock");
                if let Some(pid) = std::fs::read_to_string(&path)
                    .ok()
                    .and_then(|text| text.trim().parse::<u32>().ok())
                    && platform::process::command_line(pid).is_some_and(|line| {
                        line.iter().any(|part| Path::new(part) == socket.as_path())
                    })
                {
                    tracing::warn!(pid, "ending a runner that an earlier server left behind");
                    let _ = platform::process::send_signal(pid, EndSignal::Kill);
                }
                std::fs::remove_file(&path)?;
            }
            Some("sock") => std::fs::remove_file(&path)?,
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "files of a test need not be durable"
)]
mod tests {
    use super::*;

    #[test]
    fn leftovers_are_ended_and_removed_but_strangers_live() {
        let directory = tempfile::tempdir().expect("directory");
        let path = |name: &str| directory.path().join(name);
        let mut leftover = Command::new("sh")
            .args(["-c", "sleep 600; true", "runner", "--socket"])
            .arg(path("aa.sock"))
            .spawn()
            .expect("spawn");
        std::fs::write(path("aa.sock"), "").expect("write");
        std::fs::write(path("aa.pid"), leftover.id().to_string()).expect("write");
        let mut stranger = Command::new("sleep").arg("600").spawn().expect("spawn");
        std::fs::write(path("bb.pid"), stranger.id().to_string()).expect("write");
        std::fs::write(path("kept.txt"), "").expect("write");
        // The child's command line is the test's own until it has executed `sh`.
        while platform::process::command_line(leftover.id())
            .is_none_or(|line| line.first().is_none_or(|name| name != "sh"))
        {
            std::thread::yield_now();
        }
        clean_up_after_earlier_parent(directory.path()).expect("clean");
        assert_eq!(
            describe_exit(leftover.wait().expect("wait")),
            "was killed by SIGKILL"
        );
        assert!(stranger.try_wait().expect("alive").is_none());
        stranger.kill().expect("kill");
        stranger.wait().expect("wait");
        let names: Vec<_> = std::fs::read_dir(directory.path())
            .expect("list")
            .map(|entry| entry.expect("entry").file_name())
            .collect();
        assert_eq!(names, ["kept.txt"]);
    }
}
