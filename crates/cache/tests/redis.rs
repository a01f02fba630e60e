//! The Redis tier against a real server (Debian package `redis-server`) that the test starts and kills.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use cache::remote::RemoteOptions;
use cache::{Cache, CacheOptions, Key, RemoteState, Value};
use platform::{Clock, Secret};

struct Server {
    process: Child,
    port: u16,
}

impl Server {
    fn start(port: u16) -> Self {
        let process = Command::new("redis-server")
            .args([
                "--port",
                &port.to_string(),
                "--bind",
                "127.0.0.1",
                "--save",
                "",
                "--appendonly",
                "no",
                "--requirepass",
                "open sesame",
            ])
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server, which `make system` installs");
        let until = Instant::now() + Duration::from_secs(20);
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < until, "redis-server did not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        Server { process, port }
    }

    fn kill(&mut self) {
        self.process.kill().expect("kill");
        self.process.wait().expect("wait");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("address").port()
}

fn open(port: u16, clock: &Clock) -> Cache {
    Cache::open(CacheOptions {
        memory_bytes: 1 << 20,
        value_bytes_max: 1 << 20,
        disk: None,
        remote: Some(RemoteOptions {
            url: Secret::new(format!("redis://:open%20sesame@127.0.0.1:{port}/1")),
            connections_max: 4,
            timeout: Duration::from_millis(500),
            retry_after: Duration::from_millis(100),
        }),
        clock: clock.clone(),
    })
    .expect("a cache")
}

#[test]
fn two_servers_share_results_through_redis_and_its_death_costs_only_misses() {
    let mut server = Server::start(free_port());
    let clock = Clock::system();
    let (writer, reader) = (open(server.port, &clock), open(server.port, &clock));
    let key = |number: u32| Key::new("t", &format!("embed:{number}"));
    let long: Value = vec![5; 100_000].into();
    writer.put(&key(1), long.clone(), Duration::from_secs(60));
    writer.put(&key(2), b"short"[..].into(), Duration::from_millis(50));
    assert_eq!(reader.get(&key(1)), Some(long.clone()));
    assert_eq!(reader.statistics().kinds["embed"].remote_hits, 1);
    assert!(reader.get_fast(&key(1)).is_some(), "promoted");
    std::thread::sleep(Duration::from_millis(80));
    assert!(reader.get(&key(2)).is_none(), "over");
    writer.put(
        &Key::new("t", "spectrum:1"),
        long.clone(),
        Duration::from_secs(60),
    );
    assert_eq!(writer.clear(Some("t"), "spectrum:"), 1);
    assert!(reader.get(&Key::new("t", "spectrum:1")).is_none());

    server.kill();
    let started = Instant::now();
    for number in 10..200 {
        assert!(reader.get(&key(number)).is_none());
        reader.put(&key(number), long.clone(), Duration::from_secs(60));
        assert_eq!(
            reader.get(&key(number)),
            Some(long.clone()),
            "memory goes on"
        );
    }
    assert!(
        started.elapsed() < Duration::from_secs(10),
        "a dead Redis is left alone"
    );
    assert_eq!(reader.statistics().remote, RemoteState::Down);

    let server = Server::start(server.port);
    std::thread::sleep(Duration::from_millis(150));
    assert!(reader.get(&key(500)).is_none());
    assert_eq!(
        reader.statistics().remote,
        RemoteState::Up,
        "it is used again"
    );
    drop(server);
}
