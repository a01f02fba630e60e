//! The real binary on a data directory of its own, and just enough of an HTTP client to see every byte it sends.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;

/// Longest that anything here may take; a loaded machine in a debug build needs some of it.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The binary under test, with none of this process's own settings.
pub fn fornax(data: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fornax"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("FORNAX_") {
            command.env_remove(name);
        }
    }
    command
        .env("FORNAX_DATA_DIR", data)
        .env("HOME", data)
        .env("XDG_CONFIG_HOME", data)
        .current_dir(data.parent().expect("a directory above"));
    command
}

/// Waits until `done` gives something.
pub fn eventually<T>(what: &str, mut done: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(value) = done() {
            return value;
        }
        assert!(
            started.elapsed() < PATIENCE,
            "waited {PATIENCE:?} for {what}"
        );
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A running server; killed when dropped.
pub struct Server {
    child: Child,
    pub address: String,
    pub key: String,
    out: Arc<Mutex<String>>,
    log: Arc<Mutex<String>>,
}

fn collect(stream: impl Read + Send + 'static) -> Arc<Mutex<String>> {
    let text = Arc::new(Mutex::new(String::new()));
    let shared = Arc::clone(&text);
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines() {
            let Ok(line) = line else { break };
            let mut text = shared.lock().expect("lock");
            text.push_str(&line);
            text.push('\n');
        }
    });
    text
}

impl Server {
    /// Starts on `data` and waits until it is ready.
    pub fn start(data: &Path, arguments: &[&str]) -> Self {
        let server = Server::launch(data, arguments);
        eventually("readiness", || {
            (server.get("/readyz", "").status == 200).then_some(())
        });
        server
    }

    /// Starts on `data` and waits until it listens, in clear or not.
    pub fn launch(data: &Path, arguments: &[&str]) -> Self {
        // One that was killed could not take its address back.
        let _ = std::fs::remove_file(data.join("run/address"));
        let mut child = fornax(data)
            .args(["serve", "--bind", "127.0.0.1:0"])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("start the server");
        let out = collect(child.stdout.take().expect("piped"));
        let log = collect(child.stderr.take().expect("piped"));
        let mut server = Server {
            child,
            address: String::new(),
            key: String::new(),
            out,
            log,
        };
        server.address = eventually("the address", || {
            if let Some(status) = server.child.try_wait().expect("status") {
                panic!("the server ended with {status}:\n{}", server.log());
            }
            let text = std::fs::read_to_string(data.join("run/address")).ok()?;
            Some(text.trim().to_owned()).filter(|text| !text.is_empty())
        });
        server.key = std::fs::read_to_string(data.join("admin.key"))
            .unwrap_or_default()
            .trim()
            .to_owned();
        server
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it printed on standard output.
    pub fn output(&self) -> String {
        self.out.lock().expect("lock").clone()
    }

    /// What it logged.
    pub fn log(&self) -> String {
        self.log.lock().expect("lock").clone()
    }

    pub fn get(&self, path: &str, key: &str) -> Reply {
        open(&self.address, "GET", path, key, None).read()
    }

    pub fn post(&self, path: &str, body: &Value) -> Reply {
        self.stream(path, body).read()
    }

    pub fn stream(&self, path: &str, body: &Value) -> Stream {
        open(&self.address, "POST", path, &self.key, Some(body))
    }

    /// Process ids of the runners, by model.
    pub fn runner(&self, model: &str) -> Option<u32> {
        let reply = self.get("/fornax/v1/runners", &self.key).json();
        let runner = reply["runners"]
            .as_array()?
            .iter()
            .find(|runner| runner["name"] == model)?
            .clone();
        runner["pid"]
            .as_u64()
            .and_then(|pid| u32::try_from(pid).ok())
    }

    pub fn signal(&self, name: &str) {
        signal(self.pid(), name);
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> ExitStatus {
        eventually("the end of the server", || {
            self.child.try_wait().expect("status")
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends a signal by name, as an operator would.
pub fn signal(pid: u32, name: &str) {
    let status = Command::new("kill")
        .args([&format!("-{name}"), &pid.to_string()])
        .status()
        .expect("kill");
    assert!(status.success(), "kill -{name} {pid}");
}

/// Whether a process runs; one that ended and was not waited for does not.
pub fn runs(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| {
        stat.rsplit(')')
            .next()
            .is_some_and(|rest| !rest.trim_start().starts_with('Z'))
    })
}

/// A whole answer.
pub struct Reply {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Reply {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body)
            .unwrap_or_else(|error| panic!("{error} in {} {}", self.status, self.body))
    }
}

/// An answer being read.
pub struct Stream {
    pub status: u16,
    pub head: String,
    reader: BufReader<TcpStream>,
    chunked: bool,
    pending: String,
}

/// Sends a request; the connection closes after the answer.
pub fn open(address: &str, method: &str, path: &str, key: &str, body: Option<&Value>) -> Stream {
    open_with(address, method, path, key, "", body)
}

/// The same with further lines in the head, each ended by CR LF.
pub fn open_with(
    address: &str,
    method: &str,
    path: &str,
    key: &str,
    further: &str,
    body: Option<&Value>,
) -> Stream {
    let mut connection = TcpStream::connect(address).expect("connect");
    connection
        .set_read_timeout(Some(PATIENCE))
        .expect("timeout");
    let body = body.map(Value::to_string).unwrap_or_default();
    let authorization = if key.is_empty() {
        String::new()
    } else {
        format!("Authorization: Bearer {key}\r\n")
    };
    write!(
        connection,
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\n{authorization}{further}Connection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .expect("send");
    let mut reader = BufReader::new(connection);
    let mut head = String::new();
    loop {
        let mut line = String::new();
        let count = reader.read_line(&mut line).expect("head");
        if count == 0 || line == "\r\n" {
            break;
        }
        head.push_str(&line);
    }
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|code| code.parse().ok())
        .unwrap_or(0);
    let chunked = head.to_lowercase().contains("transfer-encoding: chunked");
    Stream {
        status,
        head,
        reader,
        chunked,
        pending: String::new(),
    }
}

impl Stream {
    /// More of the body; `None` at its end or when the connection broke.
    fn more(&mut self) -> Option<String> {
        let mut bytes = Vec::new();
        if self.chunked {
            let mut line = String::new();
            self.reader.read_line(&mut line).ok()?;
            let length = usize::from_str_radix(line.trim(), 16)
                .ok()
                .filter(|length| *length > 0)?;
            bytes.resize(length + 2, 0);
            self.reader.read_exact(&mut bytes).ok()?;
            bytes.truncate(length);
        } else {
            self.reader.read_to_end(&mut bytes).ok()?;
        }
        (!bytes.is_empty()).then(|| String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The data of the next server-sent event; `None` at the end.
    pub fn event(&mut self) -> Option<String> {
        loop {
            if let Some((event, rest)) = self.pending.split_once("\n\n") {
                let data: Vec<&str> = event
                    .lines()
                    .filter_map(|line| line.strip_prefix("data: "))
                    .collect();
                let data = data.join("\n");
                self.pending = rest.to_owned();
                if data.is_empty() {
                    continue;
                }
                return Some(data);
            }
            let more = self.more()?;
            self.pending.push_str(&more);
        }
    }

    /// All events that are left.
    pub fn events(mut self) -> Vec<String> {
        std::iter::from_fn(|| self.event()).collect()
    }

    /// The whole answer.
    pub fn read(mut self) -> Reply {
        let mut body = String::new();
        while let Some(more) = self.more() {
            body.push_str(&more);
        }
        Reply {
            status: self.status,
            head: self.head,
            body,
        }
    }
}
