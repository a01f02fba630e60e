//! `mcp`: the Model Context Protocol over standard input and output, for clients that start their servers themselves. It
//! speaks for a running server: each line that comes in is sent to the server's `/mcp`, and what the server answers goes out
//! line by line. Both eras of the protocol pass, because nothing is read into messages but what HTTP asks to repeat in
//! headers. Only messages go to standard output; everything for people goes to standard error.

mod bridge;
pub mod events;
mod headers;

use std::io::{BufRead, Read, Write};
use std::process::ExitCode;
use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

use super::output::error_line;
use super::{Context, client, small_runtime};
use crate::exit::{Ended, Exit};
use bridge::Bridge;

/// Longest line that is taken: the server's own limit of a body.
const LINE_BYTES_MAX: u64 = 32 << 20;
/// Lines that wait on their way in or out.
const LINES_WAITING: usize = 16;
/// Requests under way; further lines wait in the pipe.
const REQUESTS_MAX: usize = 64;

/// `fornax mcp`.
pub fn mcp(context: &Context) -> anyhow::Result<ExitCode> {
    let target = client::target(context)?;
    let runtime = small_runtime()?;
    let ended = runtime.block_on(async {
        let (sender, receiver) = mpsc::channel(LINES_WAITING);
        let writer = write_lines(receiver);
        let bridge = Arc::new(Bridge::new(target, sender)?);
        error_line(&format!(
            "speaking MCP on standard input and output for {}",
            bridge.url()
        ));
        serve(&bridge).await?;
        bridge.end_session().await;
        // The last sender goes with it, and the writer ends when all is written.
        drop(bridge);
        let written = tokio::task::spawn_blocking(move || writer.join());
        drop(written.await);
        Ok(ExitCode::SUCCESS)
    });
    // A thread may still wait for a line; it must not keep the process alive.
    runtime.shutdown_background();
    ended
}

/// Passes lines on until standard input ends or the client asks us to stop; answers that are under way by then are
/// waited for, streams that would never end are not.
async fn serve(bridge: &Arc<Bridge>) -> anyhow::Result<()> {
    let mut lines = read_lines();
    let room = Arc::new(Semaphore::new(REQUESTS_MAX));
    let mut running = JoinSet::new();
    loop {
        let line = tokio::select! {
            line = lines.recv() => line,
            _ = tokio::signal::ctrl_c() => return Ok(()),
            Some(_ended) = running.join_next() => continue,
        };
        let Some(line) = line else { break };
        let message = match serde_json::from_str::<Value>(&line?) {
            Ok(message) => message,
            Err(error) => {
                let error =
                    json!({"code": -32700, "message": format!("this line is not JSON: {error}")});
                bridge.say(&json!({"jsonrpc": "2.0", "error": error})).await;
                continue;
            }
        };
        if !headers::may_overtake(&message) {
            bridge.pass(message).await;
            continue;
        }
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else {
            return Ok(());
        };
        let bridge = Arc::clone(bridge);
        running.spawn(async move {
            bridge.pass(message).await;
            drop(permit);
        });
    }
    bridge.end_streams();
    while running.join_next().await.is_some() {}
    Ok(())
}

/// The lines of standard input. A thread of its own reads: it may wait for ever.
fn read_lines() -> mpsc::Receiver<anyhow::Result<String>> {
    let (sender, receiver) = mpsc::channel(LINES_WAITING);
    std::thread::spawn(move || {
        let mut input = std::io::stdin().lock();
        loop {
            let mut line = Vec::new();
            let read = input
                .by_ref()
                .take(LINE_BYTES_MAX + 1)
                .read_until(b'\n', &mut line);
            let line = match read {
                Ok(0) => return,
                Ok(count) if count as u64 > LINE_BYTES_MAX => Err(Ended::error(
                    Exit::Usage,
                    "a line of standard input is longer than 32 MiB",
                )),
                Ok(_) => Ok(String::from_utf8_lossy(&line).into_owned()),
                Err(error) => Err(error.into()),
            };
            let blank = line.as_ref().is_ok_and(|line| line.trim().is_empty());
            let last = line.is_err();
            if !blank && sender.blocking_send(line).is_err() || last {
                return;
            }
        }
    });
    receiver
}

/// Writes messages to standard output, one line each, until nobody sends any more or nobody reads.
fn write_lines(mut lines: mpsc::Receiver<String>) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        let mut output = std::io::stdout().lock();
        while let Some(line) = lines.blocking_recv() {
            let written = output
                .write_all(line.as_bytes())
                .and_then(|()| output.write_all(b"\n"))
                .and_then(|()| output.flush());
            if written.is_err() {
                return;
            }
        }
    })
}
