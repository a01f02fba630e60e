//! What a supervisor promises, one test each.

use std::collections::HashSet;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use inference::runner::protocol::{EmbedInput, EmbedRequest, RerankRequest, TokenizeRequest};
use inference::runner::{
    HealthPolicy, LoadOptions, LoadProgress, ResidentState, RunnerErrorKind, Supervisor,
    SupervisorOptions,
};
use libtest_mimic::Trial;

use super::harness::*;

macro_rules! trials {
    ($($name:ident),* $(,)?) => {
        vec![$(Trial::test(stringify!($name), || {
            tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build()
                .expect("runtime")
                .block_on($name());
            Ok(())
        })),*]
    };
}

pub fn all() -> Vec<Trial> {
    trials![
        calls_go_through_and_the_last_lease_frees_nothing,
        a_hundred_at_once_start_one_process,
        a_crash_ends_its_stream_and_the_next_request_gets_a_fresh_runner,
        a_segfault_and_a_kill_are_named,
        a_runner_that_stops_answering_is_replaced,
        a_long_silence_is_no_hang_while_the_runner_answers_or_computes,
        a_crash_while_loading_is_reported_with_the_last_log_line_and_backs_off,
        a_failed_load_answers_quickly_until_the_wait_is_over,
        repeated_crashes_wait_the_first_does_not,
        the_least_recently_used_idle_model_makes_room,
        models_in_use_or_pinned_are_not_evicted,
        a_model_larger_than_the_budget_is_refused,
        a_model_larger_than_estimated_pushes_idle_ones_out,
        unused_models_leave_after_their_keep_alive,
        keep_alive_zero_leaves_right_after_use,
        dropping_a_stream_cancels_it_in_the_runner,
        unload_lets_running_work_finish,
        unload_stops_a_load,
        a_stubborn_runner_is_killed,
        shutdown_refuses_new_work_and_leaves_no_process_and_no_file,
        another_file_under_the_same_name_replaces_the_runner,
        a_stream_that_ends_early_is_an_error,
        a_missing_program_is_a_load_error,
        a_load_that_takes_too_long_is_given_up,
        leftovers_of_an_earlier_parent_are_removed,
        a_killed_parent_leaves_no_child,
        a_dropped_supervisor_leaves_no_child,
        loading_and_calls_are_quick,
    ]
}

/// The same with the product's own runner and the model that ships with it.
#[cfg(feature = "llama")]
pub fn with_a_real_model() -> Vec<Trial> {
    trials![
        the_shipped_model_loads_answers_and_survives_a_kill,
        a_stopped_real_runner_is_replaced_and_a_working_one_is_not,
        a_truncated_model_is_refused_by_the_real_runner,
    ]
}

async fn calls_go_through_and_the_last_lease_frees_nothing() {
    let bench = Bench::new(|_| {});
    let model = bench.model("m", "", 1);
    let lease = bench.acquire(&model).await.expect("load");
    assert_eq!(lease.facts().context_tokens, 128);
    let stream = generate(&lease, "to be or not").await.expect("accepted");
    assert_eq!(read(stream).await, ("to be or not ".into(), None));
    let (text, error) = read(generate(&lease, "refuse").await.expect("accepted")).await;
    let error = error.expect("refused");
    assert_eq!((text.as_str(), error.kind), ("", RunnerErrorKind::Invalid));
    assert_eq!(error.field.as_deref(), Some("sampling"));
    let embedded = lease
        .embed(EmbedRequest {
            inputs: vec![EmbedInput::default(); 3],
            ..EmbedRequest::default()
        })
        .await
        .expect("embed");
    assert_eq!(embedded.vectors.len(), 12);
    let error = lease
        .rerank(RerankRequest::default())
        .await
        .expect_err("no");
    assert_eq!(
        (error.kind, error.message.as_str()),
        (RunnerErrorKind::Unsupported, "no ranking head")
    );
    let request = TokenizeRequest {
        text: "ab".into(),
        ..TokenizeRequest::default()
    };
    assert_eq!(lease.tokenize(request).await.expect("ids"), [97, 98]);
    let pid = lease.pid();
    drop(lease);
    assert_eq!(bench.acquire(&model).await.expect("still there").pid(), pid);
    let resident = &bench.supervisor.residents()[0];
    assert_eq!((resident.pid, resident.in_flight), (Some(pid), 0));
    assert!(resident.memory_bytes > 0 && resident.loaded_unix.is_some());
    let stats = bench.supervisor.stats().await;
    assert_eq!((stats[0].0.as_str(), stats[0].1.output_tokens), ("m", 4));
    bench.supervisor.refresh_metrics().await;
}

async fn a_hundred_at_once_start_one_process() {
    let bench = Bench::new(|_| {});
    let model = bench.model("m", "load delay 100", 1);
    let leases = futures::future::join_all((0..100).map(|_| bench.acquire(&model))).await;
    let pids: HashSet<u32> = leases
        .iter()
        .map(|lease| lease.as_ref().expect("loaded").pid())
        .collect();
    assert_eq!(pids.len(), 1);
    assert_eq!(bench.supervisor.residents()[0].in_flight, 100);
    assert_eq!(bench.files_in_run_dir(), 2, "one socket, one number");
}

async fn a_crash_ends_its_stream_and_the_next_request_gets_a_fresh_runner() {
    let bench = Bench::new(|_| {});
    let (bad, good) = (bench.model("bad", "", 1), bench.model("good", "", 1));
    let neighbour = bench.acquire(&good).await.expect("load");
    let mut steady = generate(&neighbour, "slow").await.expect("accepted");
    first_text(&mut steady).await;
    let lease = bench.acquire(&bad).await.expect("load");
    let stream = generate(&lease, "crash now").await.expect("accepted");
    let (text, error) = read(stream).await;
    let error = error.expect("crashed");
    assert_eq!(
        (text.as_str(), &error.kind),
        ("one two ", &RunnerErrorKind::Crashed)
    );
    assert_eq!(
        error.message,
        "the runner of bad was killed by SIGABRT; its log says: TEST_ASSERT(n_tokens <= n_batch) failed"
    );
    let started = Instant::now();
    let fresh = bench.acquire(&bad).await.expect("at once");
    assert!(started.elapsed() < Duration::from_secs(5));
    assert_ne!(fresh.pid(), lease.pid());
    let stream = generate(&fresh, "alive").await.expect("accepted");
    assert_eq!(read(stream).await, ("alive ".into(), None));
    let residents = bench.supervisor.residents();
    let restarts: Vec<_> = residents
        .iter()
        .map(|r| (r.name.as_str(), r.restarts))
        .collect();
    assert_eq!(restarts, [("bad", 1), ("good", 0)]);
    first_text(&mut steady).await;
}

async fn a_segfault_and_a_kill_are_named() {
    for (prompt, expected) in [
        ("segfault", "was killed by SIGSEGV"),
        ("kill", "was killed by SIGKILL"),
    ] {
        let bench = Bench::new(|_| {});
        let lease = bench.acquire(&bench.model("m", "", 1)).await.expect("load");
        let (text, error) = read(generate(&lease, prompt).await.expect("accepted")).await;
        let error = error.expect("died");
        assert_eq!(
            (text.as_str(), &error.kind),
            ("one two ", &RunnerErrorKind::Crashed)
        );
        assert!(error.message.contains(expected), "{error}");
        let error = generate(&lease, "again")
            .await
            .expect_err("the lease is of the dead");
        assert_eq!(error.kind, RunnerErrorKind::Crashed);
    }
}

fn impatient(options: &mut SupervisorOptions) {
    options.health = HealthPolicy {
        probe_interval: Duration::from_millis(20),
        idle_max: Duration::from_millis(500),
        busy_max: Duration::from_secs(4),
    };
}

async fn a_runner_that_stops_answering_is_replaced() {
    for (prompt, least) in [("freeze", 500), ("spin", 4000)] {
        let bench = Bench::new(impatient);
        let model = bench.model("m", "", 1);
        let lease = bench.acquire(&model).await.expect("load");
        let stream = generate(&lease, prompt).await.expect("accepted");
        let started = Instant::now();
        let (text, error) = read(stream).await;
        let error = error.expect("given up");
        assert_eq!(
            (text.as_str(), &error.kind),
            ("one ", &RunnerErrorKind::Crashed)
        );
        assert!(error.message.contains("did not answer for"), "{error}");
        assert!(started.elapsed() >= Duration::from_millis(least));
        assert!(!runs(lease.pid()), "the process is gone");
        let fresh = bench.acquire(&model).await.expect("a fresh runner");
        assert_ne!(fresh.pid(), lease.pid());
        let stream = generate(&fresh, "to be").await.expect("accepted");
        assert_eq!(read(stream).await, ("to be ".into(), None));
    }
}

async fn a_long_silence_is_no_hang_while_the_runner_answers_or_computes() {
    let bench = Bench::new(impatient);
    let silent = bench.acquire(&bench.model("silent", "", 1)).await;
    let silent = silent.expect("load");
    let busy = bench.acquire(&bench.model("busy", "", 1)).await;
    let busy = busy.expect("load");
    let _hanging = generate(&silent, "hang").await.expect("accepted");
    let _spinning = generate(&busy, "spin").await.expect("accepted");
    // Three times what a process that neither answers nor computes is given, and a question's own second.
    tokio::time::sleep(Duration::from_millis(2500)).await;
    assert!(runs(silent.pid()) && runs(busy.pid()));
}

async fn a_crash_while_loading_is_reported_with_the_last_log_line_and_backs_off() {
    let bench = Bench::new(|_| {});
    let model = bench.model("m", "load crash", 1);
    let error = bench.acquire(&model).await.expect_err("crashes");
    assert!(
        error
            .message
            .contains("was killed by SIGABRT; its log says: TEST_ASSERT(tensor) failed"),
        "{error}"
    );
    assert!(error.retry_after().is_some());
    assert_eq!(bench.files_in_run_dir(), 0);
}

async fn a_failed_load_answers_quickly_until_the_wait_is_over() {
    let bench = Bench::new(|options| {
        options.restart.first = Duration::from_secs(2);
        options.restart.longest = Duration::from_secs(2);
    });
    let model = bench.model("m", "load fail the file is truncated at tensor 7", 1);
    let error = bench.acquire(&model).await.expect_err("fails");
    assert_eq!(error.message, "the file is truncated at tensor 7");
    let started = Instant::now();
    let again = bench.acquire(&model).await.expect_err("too early");
    assert!(
        started.elapsed() < Duration::from_millis(200),
        "no new process"
    );
    assert_eq!(again.message, error.message);
    let wait = again.retry_after().expect("a time");
    assert!(wait <= Duration::from_millis(2_400), "{wait:?}");
    std::fs::write(&model.path, "").expect("repair");
    assert!(bench.acquire(&model).await.is_err(), "still too early");
    tokio::time::sleep(wait).await;
    bench.acquire(&model).await.expect("repaired");
}

async fn repeated_crashes_wait_the_first_does_not() {
    let bench = Bench::new(|options| {
        options.restart.first = Duration::from_secs(30);
        options.restart.longest = Duration::from_secs(30);
    });
    let model = bench.model("m", "", 1);
    for _ in 0..2 {
        let lease = bench.acquire(&model).await.expect("load");
        read(generate(&lease, "crash").await.expect("accepted")).await;
    }
    let error = bench.acquire(&model).await.expect_err("crashed twice");
    assert!(error.message.contains("was killed by SIGABRT"), "{error}");
    assert!(
        error
            .retry_after()
            .is_some_and(|wait| wait > Duration::from_secs(10))
    );
    assert!(!bench.supervisor.unload("m").await.expect("nothing loaded"));
    bench.acquire(&model).await.expect("unload forgives");
}

async fn the_least_recently_used_idle_model_makes_room() {
    let bench = Bench::new(|options| options.memory_budget_bytes = 2 * (100 * MIB + OVERHEAD));
    let weights = format!("weights {}", 140 * MIB);
    let model = |name: &str| bench.model(name, &weights, 100 * MIB);
    let (a, b, c) = (model("a"), model("b"), model("c"));
    bench.acquire(&a).await.expect("a");
    let pid_of_b = bench.acquire(&b).await.expect("b").pid();
    bench.acquire(&a).await.expect("a is used again");
    bench.acquire(&c).await.expect("c");
    assert_eq!(bench.ready(), ["a", "c"]);
    assert!(!runs(pid_of_b), "its memory was free before c started");
    bench.acquire(&b).await.expect("b comes back");
    assert_eq!(bench.ready(), ["b", "c"]);
}

async fn models_in_use_or_pinned_are_not_evicted() {
    let bench = Bench::new(|options| options.memory_budget_bytes = 2 * (100 * MIB + OVERHEAD));
    let weights = format!("weights {}", 140 * MIB);
    let model = |name: &str| bench.model(name, &weights, 100 * MIB);
    let (a, b, c) = (model("a"), model("b"), model("c"));
    let lease = bench.acquire(&a).await.expect("a");
    bench.supervisor.pin("b", true);
    bench.acquire(&b).await.expect("b");
    let error = bench.acquire(&c).await.expect_err("no room");
    assert!(matches!(error.kind, RunnerErrorKind::Overloaded { .. }));
    assert!(error.retry_after().is_some());
    assert!(
        error
            .message
            .contains("taken by models in use or pinned: a, b"),
        "{error}"
    );
    drop(lease);
    bench.acquire(&c).await.expect("a may leave now");
    assert_eq!(bench.ready(), ["b", "c"]);
}

async fn a_model_larger_than_the_budget_is_refused() {
    let bench = Bench::new(|options| options.memory_budget_bytes = 100 * MIB);
    let error = bench
        .acquire(&bench.model("huge", "", 4096 * MIB))
        .await
        .expect_err("too large");
    assert!(
        error
            .message
            .contains("huge needs about 4144 MiB of memory, more than the 100 MiB"),
        "{error}"
    );
}

async fn a_model_larger_than_estimated_pushes_idle_ones_out() {
    let bench = Bench::new(|options| options.memory_budget_bytes = 400 * MIB);
    bench
        .acquire(&bench.model("small", "", 1))
        .await
        .expect("small");
    let liar = bench.model("liar", &format!("weights {}", 399 * MIB), 1);
    bench.acquire(&liar).await.expect("liar");
    assert_eq!(bench.ready(), ["liar"]);
}

async fn unused_models_leave_after_their_keep_alive() {
    let bench = Bench::new(|options| options.default_keep_alive = Some(Duration::from_millis(300)));
    let model = bench.model("m", "", 1);
    let lease = bench.acquire(&model).await.expect("load");
    let pid = lease.pid();
    let stream = generate(&lease, "slow").await.expect("accepted");
    drop(lease);
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert_eq!(bench.ready(), ["m"], "a stream is a use");
    drop(stream);
    eventually("it leaves", async || bench.ready().is_empty()).await;
    eventually("its process ends", async || !runs(pid)).await;
    let pinned = bench.acquire(&model).await.expect("back");
    bench.supervisor.pin("m", true);
    drop(pinned);
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert_eq!(bench.ready(), ["m"], "pinned");
    bench.supervisor.pin("m", false);
    eventually("it leaves when unpinned", async || bench.ready().is_empty()).await;
}

async fn keep_alive_zero_leaves_right_after_use() {
    let bench = Bench::new(|options| options.default_keep_alive = Some(Duration::from_secs(600)));
    let lease = bench.acquire(&bench.model("m", "", 1)).await.expect("load");
    lease.set_keep_alive(Some(Duration::ZERO));
    let stream = generate(&lease, "a b c").await.expect("accepted");
    drop(lease);
    assert_eq!(read(stream).await, ("a b c ".into(), None));
    eventually("gone", async || bench.supervisor.residents().is_empty()).await;
}

async fn dropping_a_stream_cancels_it_in_the_runner() {
    let bench = Bench::new(|_| {});
    let lease = bench.acquire(&bench.model("m", "", 1)).await.expect("load");
    let mut dropped = generate(&lease, "slow").await.expect("accepted");
    let hanging = generate(&lease, "hang").await.expect("accepted");
    let mut kept = generate(&lease, "slow").await.expect("accepted");
    first_text(&mut dropped).await;
    assert_eq!(bench.supervisor.stats().await[0].1.running, 3);
    drop(dropped);
    drop(hanging);
    eventually("one is left", async || {
        bench.supervisor.stats().await[0].1.running == 1
    })
    .await;
    first_text(&mut kept).await;
    assert_eq!(bench.supervisor.residents()[0].in_flight, 2);
}

async fn unload_lets_running_work_finish() {
    let bench = Bench::new(|_| {});
    let model = bench.model("m", "", 1);
    let lease = bench.acquire(&model).await.expect("load");
    let mut stream = generate(&lease, "slow").await.expect("accepted");
    first_text(&mut stream).await;
    let reading = tokio::spawn(read(stream));
    assert!(bench.supervisor.unload("m").await.expect("unload"));
    let (_, error) = reading.await.expect("task");
    assert_eq!(error, None, "finished, not cut");
    assert!(!runs(lease.pid()));
    assert!(bench.supervisor.residents().is_empty());
    assert!(!bench.supervisor.unload("m").await.expect("twice"));
    assert!(!bench.supervisor.unload("unknown").await.expect("unknown"));
    let error = generate(&lease, "late").await.expect_err("gone");
    assert_eq!(error.kind, RunnerErrorKind::Unavailable);
}

async fn unload_stops_a_load() {
    let bench = Bench::new(|_| {});
    let model = bench.model("m", "load delay 60000", 1);
    let supervisor = bench.supervisor.clone();
    let waiting =
        tokio::spawn(async move { supervisor.acquire(model, &LoadOptions::default()).await });
    eventually("it loads", async || {
        let watched = bench.supervisor.watch_load("m");
        watched.is_some_and(|progress| *progress.borrow() == LoadProgress::Loading(0.5))
    })
    .await;
    assert_eq!(
        bench.supervisor.residents()[0].state,
        ResidentState::Loading(0.5)
    );
    assert!(bench.supervisor.unload("m").await.expect("unload"));
    let error = waiting.await.expect("task").expect_err("stopped");
    assert_eq!(error.kind, RunnerErrorKind::Unavailable);
    assert!(bench.supervisor.residents().is_empty());
    assert_eq!(bench.files_in_run_dir(), 0);
}

async fn a_stubborn_runner_is_killed() {
    let bench = Bench::new(|options| options.drain_timeout = Duration::from_millis(100));
    let lease = bench
        .acquire(&bench.model("m", "stubborn", 1))
        .await
        .expect("load");
    let stream = generate(&lease, "slow").await.expect("accepted");
    let reading = tokio::spawn(read(stream));
    assert!(bench.supervisor.unload("m").await.expect("unload"));
    assert!(!runs(lease.pid()));
    let (_, error) = reading.await.expect("task");
    assert_eq!(error.expect("cut").kind, RunnerErrorKind::Unavailable);
}

async fn shutdown_refuses_new_work_and_leaves_no_process_and_no_file() {
    let bench = Bench::new(|_| {});
    let (a, b) = (bench.model("a", "", 1), bench.model("b", "", 1));
    let lease = bench.acquire(&a).await.expect("a");
    let other = bench.acquire(&b).await.expect("b").pid();
    let mut stream = generate(&lease, "slow").await.expect("accepted");
    first_text(&mut stream).await;
    let reading = tokio::spawn(read(stream));
    bench.supervisor.shutdown(Duration::from_secs(5)).await;
    assert_eq!(reading.await.expect("task").1, None, "drained");
    assert!(!runs(lease.pid()) && !runs(other));
    assert_eq!(bench.files_in_run_dir(), 0);
    let error = bench.acquire(&a).await.expect_err("closed");
    assert_eq!(error.kind, RunnerErrorKind::Unavailable);
}

async fn another_file_under_the_same_name_replaces_the_runner() {
    let bench = Bench::new(|_| {});
    let model = bench.model("m", "", 1);
    let old = bench.acquire(&model).await.expect("load");
    let mut newer = model.clone();
    newer.digest = "sha256:newer".into();
    let new = bench.acquire(&newer).await.expect("load");
    assert_ne!(new.pid(), old.pid());
    assert_eq!(new.model().digest, "sha256:newer");
    let pid = old.pid();
    eventually("the old one leaves", async || !runs(pid)).await;
}

async fn a_stream_that_ends_early_is_an_error() {
    let bench = Bench::new(|_| {});
    let lease = bench.acquire(&bench.model("m", "", 1)).await.expect("load");
    let (_, error) = read(generate(&lease, "short").await.expect("accepted")).await;
    assert_eq!(error.expect("not finished").kind, RunnerErrorKind::Engine);
}

async fn a_missing_program_is_a_load_error() {
    let bench = Bench::new(|options| options.executable = "/nonexistent/fornax".into());
    let error = bench
        .acquire(&bench.model("m", "", 1))
        .await
        .expect_err("no program");
    assert!(error.message.contains("/nonexistent/fornax"), "{error}");
    assert!(matches!(error.kind, RunnerErrorKind::Load { .. }));
    assert_eq!(bench.files_in_run_dir(), 0);
}

async fn a_load_that_takes_too_long_is_given_up() {
    let bench = Bench::new(|options| options.load_timeout = Duration::from_millis(300));
    let error = bench
        .acquire(&bench.model("m", "load delay 60000", 1))
        .await
        .expect_err("too slow");
    assert!(error.message.contains("was not ready"), "{error}");
    eventually("no process is left", async || bench.files_in_run_dir() == 0).await;
}

async fn leftovers_of_an_earlier_parent_are_removed() {
    let directory = tempfile::tempdir().expect("directory");
    let run = directory.path().join("run");
    std::fs::create_dir(&run).expect("create");
    std::fs::write(run.join("dead.sock"), "").expect("write");
    std::fs::write(run.join("dead.pid"), "999999999").expect("write");
    Supervisor::new(options(&run)).expect("supervisor");
    assert_eq!(std::fs::read_dir(&run).expect("list").count(), 0);
}

async fn a_killed_parent_leaves_no_child() {
    let directory = tempfile::tempdir().expect("directory");
    let mut parent = Command::new(std::env::current_exe().expect("own path"))
        .arg("parent")
        .arg(directory.path())
        .stdout(Stdio::piped())
        .spawn()
        .expect("spawn");
    let mut line = String::new();
    BufReader::new(parent.stdout.take().expect("piped"))
        .read_line(&mut line)
        .expect("read");
    let child: u32 = line.trim().parse().expect("process number");
    assert!(runs(child));
    // SIGKILL: the parent has no chance to clean up, and this child ignores SIGTERM.
    parent.kill().expect("kill");
    parent.wait().expect("wait");
    eventually("the child is gone", async || !runs(child)).await;
    let run = directory.path().join("run");
    Supervisor::new(options(&run)).expect("the next parent");
    assert_eq!(std::fs::read_dir(&run).expect("list").count(), 0);
}

async fn a_dropped_supervisor_leaves_no_child() {
    let bench = Bench::new(|_| {});
    let pid = bench
        .acquire(&bench.model("m", "", 1))
        .await
        .expect("load")
        .pid();
    drop(bench);
    eventually("the child is gone", async || !runs(pid)).await;
}

/// Bounds far above what an idle machine needs, so that only a lost wake-up or a fixed sleep breaks them; the figures
/// themselves are printed.
async fn loading_and_calls_are_quick() {
    let bench = Bench::new(|_| {});
    let started = Instant::now();
    let lease = bench.acquire(&bench.model("m", "", 1)).await.expect("load");
    let ready = started.elapsed();
    let request = || TokenizeRequest {
        text: "ab".into(),
        ..TokenizeRequest::default()
    };
    let mut trips = Vec::new();
    for _ in 0..200 {
        let started = Instant::now();
        lease.tokenize(request()).await.expect("ids");
        trips.push(started.elapsed());
    }
    trips.sort();
    println!(
        "acquire to ready {ready:?}, round trip p50 {:?}",
        trips[100]
    );
    assert!(ready < Duration::from_secs(2), "{ready:?}");
    assert!(trips[100] < Duration::from_millis(20), "{:?}", trips[100]);
}

#[cfg(feature = "llama")]
fn shipped_model() -> inference::runner::ModelSource {
    let path = std::path::PathBuf::from(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../models/fornax-nano/fornax-nano.gguf"
    ));
    inference::runner::ModelSource {
        name: "fornax-nano".into(),
        digest: "sha256:nano".into(),
        size_bytes: path.metadata().expect("shipped").len(),
        path,
    }
}

#[cfg(feature = "llama")]
async fn the_shipped_model_loads_answers_and_survives_a_kill() {
    use inference::runner::protocol::{GenerateRequest, generate_event, generate_request::Prompt};
    let bench = Bench::new(|_| {});
    let model = shipped_model();
    let started = Instant::now();
    let lease = bench.acquire(&model).await.expect("load");
    let ready = started.elapsed();
    assert!(lease.facts().generates && lease.facts().context_tokens > 0);
    let request = |tokens_max| GenerateRequest {
        prompt: Some(Prompt::Text("ROMEO:".into())),
        add_special: true,
        tokens_max: Some(tokens_max),
        ignore_end: true,
        ..GenerateRequest::default()
    };
    let mut stream = lease.generate(request(16)).await.expect("accepted");
    let mut output_tokens = 0;
    while let Some(item) = stream.next().await {
        if let Some(generate_event::Event::Finished(finished)) = item.expect("event").event {
            output_tokens = finished.output_tokens;
        }
    }
    assert_eq!(output_tokens, 16);
    let mut trips = Vec::new();
    for _ in 0..200 {
        let started = Instant::now();
        let request = TokenizeRequest {
            text: "a".into(),
            ..TokenizeRequest::default()
        };
        lease.tokenize(request).await.expect("ids");
        trips.push(started.elapsed());
    }
    trips.sort();
    println!(
        "fornax-nano: acquire to ready {ready:?}, tokenize p50 {:?}, memory {} MiB, parent {} MiB",
        trips[100],
        bench.supervisor.residents()[0].memory_bytes / MIB,
        platform::memory::own().expect("status").resident_bytes / MIB
    );
    assert_eq!(bench.supervisor.stats().await[0].1.output_tokens, 16);
    let mut stream = lease.generate(request(400)).await.expect("accepted");
    first_text(&mut stream).await;
    platform::process::send_signal(lease.pid(), platform::process::EndSignal::Kill).expect("kill");
    let (_, error) = read(stream).await;
    assert_eq!(error.expect("died").kind, RunnerErrorKind::Crashed);
    let fresh = bench.acquire(&model).await.expect("a fresh runner");
    let stream = fresh.generate(request(4)).await.expect("accepted");
    assert_eq!(read(stream).await.1, None);
    let started = Instant::now();
    bench.supervisor.shutdown(Duration::from_secs(5)).await;
    println!("fornax-nano: shutdown {:?}", started.elapsed());
    assert!(!runs(fresh.pid()));
}

#[cfg(feature = "llama")]
async fn a_stopped_real_runner_is_replaced_and_a_working_one_is_not() {
    use inference::runner::protocol::{GenerateRequest, generate_request::Prompt};
    let bench = Bench::new(impatient);
    let model = shipped_model();
    let lease = bench.acquire(&model).await.expect("load");
    let request = GenerateRequest {
        prompt: Some(Prompt::Text("ROMEO:".into())),
        add_special: true,
        tokens_max: Some(1500),
        ignore_end: true,
        ..GenerateRequest::default()
    };
    // Its figures come between two steps, so a busy engine is asked again and again here.
    let stream = lease.generate(request.clone()).await.expect("accepted");
    assert_eq!(read(stream).await.1, None);
    let mut stream = lease.generate(request).await.expect("accepted");
    first_text(&mut stream).await;
    let pid = lease.pid().to_string();
    let status = Command::new("kill").args(["-STOP", &pid]).status();
    assert!(status.expect("kill").success());
    let error = read(stream).await.1.expect("given up");
    assert_eq!(error.kind, RunnerErrorKind::Crashed, "{error}");
    assert!(error.message.contains("did not answer for"), "{error}");
    let fresh = bench.acquire(&model).await.expect("a fresh runner");
    assert_ne!(fresh.pid(), lease.pid());
}

#[cfg(feature = "llama")]
async fn a_truncated_model_is_refused_by_the_real_runner() {
    let bench = Bench::new(|_| {});
    let mut model = shipped_model();
    let bytes = std::fs::read(&model.path).expect("read");
    model.path = bench.directory.path().join("cut.gguf");
    std::fs::write(&model.path, &bytes[..bytes.len() / 2]).expect("write");
    let error = bench.acquire(&model).await.expect_err("half a file");
    println!("half a file: {error}");
    assert!(matches!(error.kind, RunnerErrorKind::Load { .. }));
}
