//! A PostgreSQL server (Debian package `postgresql`) of a test's own: in a directory of its own, as a user without rights.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use platform::Secret;

/// PostgreSQL refuses to run as root; this is Debian's user `nobody`, who owns nothing.
const NOBODY: u32 = 65_534;
const PASSWORD: &str = "open sesame";

/// A running server; dropping it ends it and removes its data.
pub struct Server {
    process: Child,
    port: u16,
    place: Place,
}

/// Where it is, and as whom its programs run.
struct Place {
    programs: PathBuf,
    directory: tempfile::TempDir,
    as_root: bool,
}

impl Place {
    fn command(&self, name: &str) -> Command {
        let mut command = Command::new(self.programs.join(name));
        command
            .stdin(Stdio::null())
            .current_dir(self.directory.path());
        if self.as_root {
            command.uid(NOBODY).gid(NOBODY);
        }
        command
    }

    fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// A file with the password, which the server's maker reads.
    fn secret(&self) -> PathBuf {
        let path = self.directory.path().join("secret");
        let mut file = tempfile::NamedTempFile::new_in(self.directory.path()).expect("file");
        std::io::Write::write_all(&mut file, PASSWORD.as_bytes()).expect("write");
        file.persist(&path).expect("persist");
        if self.as_root {
            chown(&path, Some(NOBODY), Some(NOBODY)).expect("chown");
        }
        path
    }
}

impl Server {
    pub fn start() -> Self {
        let directory = tempfile::tempdir().expect("directory");
        let as_root = fs::metadata(directory.path()).expect("metadata").uid() == 0;
        if as_root {
            chown(directory.path(), Some(NOBODY), Some(NOBODY)).expect("chown");
        }
        let place = Place {
            programs: programs(),
            directory,
            as_root,
        };
        let (data, secret) = (place.data(), place.secret());
        let made = place
            .command("initdb")
            .args([
                "--username=fornax",
                "--auth=scram-sha-256",
                "--encoding=UTF8",
            ])
            .args(["--no-sync", "--locale=C.UTF-8"])
            .arg(format!("--pwfile={}", secret.display()))
            .arg("--pgdata")
            .arg(&data)
            .output()
            .expect("initdb, which `make system` installs");
        assert!(
            made.status.success(),
            "{}",
            String::from_utf8_lossy(&made.stderr)
        );
        let port = free_port();
        let process = place
            .command("postgres")
            .arg("-D")
            .arg(&data)
            .args(["-h", "127.0.0.1", "-p", &port.to_string(), "-F"])
            .arg("-k")
            .arg(place.directory.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("postgres");
        let server = Server {
            process,
            port,
            place,
        };
        let ready = || {
            server
                .place
                .command("pg_isready")
                .args(["-q", "-h", "127.0.0.1", "-p", &port.to_string()])
                .status()
                .is_ok_and(|status| status.success())
        };
        let until = Instant::now() + Duration::from_secs(30);
        while !ready() {
            assert!(Instant::now() < until, "PostgreSQL did not listen");
            std::thread::sleep(Duration::from_millis(50));
        }
        server
    }

    pub fn url(&self) -> Secret {
        Secret::new(format!(
            "postgres://fornax:{}@127.0.0.1:{}/postgres",
            PASSWORD.replace(' ', "%20"),
            self.port
        ))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // At once, but in its own way: killed, it would leave shared memory behind.
        let stopped = self
            .place
            .command("pg_ctl")
            .args(["stop", "-s", "-m", "immediate", "-D"])
            .arg(self.place.data())
            .status();
        if !stopped.is_ok_and(|status| status.success()) {
            drop(self.process.kill());
        }
        drop(self.process.wait());
    }
}

/// Where Debian puts the newest server's programs.
fn programs() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").map(|entries| {
        entries
            .flatten()
            .map(|entry| entry.path().join("bin"))
            .filter(|path| path.join("postgres").is_file())
            .collect::<Vec<_>>()
    });
    let newest = versions.unwrap_or_default().into_iter().max();
    newest
        .or_else(|| {
            let plain = Path::new("/usr/bin");
            plain.join("initdb").is_file().then(|| plain.to_owned())
        })
        .expect("a PostgreSQL server, which `make system` installs (Debian package postgresql)")
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("address").port()
}
