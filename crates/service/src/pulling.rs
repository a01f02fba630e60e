//! A pull as a stream of events. It runs in the stream itself: dropping the stream stops it.

use futures::StreamExt;
use inference::store::ModelStore;
use inference::store::pull::{PullOptions, PullPhase, PullProgress, Source, pull};
use tokio::sync::watch;
use tokio_stream::wrappers::WatchStream;

use crate::administration::{Pull, PullEvent};
use crate::catalog::summary;
use crate::failures;
use crate::generation::InFlight;

/// Starts pulling `source`. Progress that comes faster than it is read is overwritten by newer progress.
pub(crate) fn stream(
    store: ModelStore,
    source: Source,
    options: PullOptions,
    guard: InFlight,
) -> Pull {
    let (sender, receiver) = watch::channel(PullProgress {
        phase: PullPhase::Resolving,
        done_bytes: 0,
        total_bytes: None,
        sha256: None,
    });
    let work = async move {
        let _guard = guard;
        let result = pull(&store, &source, &options, |progress| {
            sender.send_replace(progress);
        })
        .await;
        // Ends the progress before the result is given.
        drop(sender);
        result
            .map(|manifest| PullEvent::Finished(Box::new(summary(manifest))))
            .map_err(failures::from_store)
    };
    let progress = WatchStream::new(receiver)
        .filter(|progress| std::future::ready(progress.phase != PullPhase::Done))
        .map(|progress| Ok(event(progress)));
    let events = futures::stream::select(progress, futures::stream::once(work));
    // The result is the last: progress still waiting behind it is of no interest.
    Box::pin(events.scan(false, |ended, event| {
        let go_on = !*ended;
        *ended |= !matches!(event, Ok(PullEvent::Progress { .. }));
        std::future::ready(go_on.then_some(event))
    }))
}

fn event(progress: PullProgress) -> PullEvent {
    PullEvent::Progress {
        stage: match progress.phase {
            PullPhase::Resolving => "resolving",
            PullPhase::Downloading => "downloading",
            PullPhase::Verifying => "verifying",
            PullPhase::Done => "done",
        }
        .to_owned(),
        done_bytes: progress.done_bytes,
        total_bytes: progress.total_bytes,
        digest: progress
            .sha256
            .map(|digest| format!("sha256:{}", hex::encode(digest))),
    }
}
