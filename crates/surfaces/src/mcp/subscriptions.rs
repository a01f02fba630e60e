//! Telling clients of changes: on a stream that they opened for it (2026-07-28), or in their session (the older revisions).

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rmcp::RoleServer;
use rmcp::model::{ErrorData, ResourceUpdatedNotificationParam};
use rmcp::service::{Peer, SubscriptionContext};

use super::changes::{Change, Watch};
use super::fixtures::FixtureLists;

/// Addresses that one session may watch.
const WATCHED_MAX: usize = 1024;

/// Tells the client of a stream until it closes it.
pub async fn serve(
    subscription: &SubscriptionContext,
    mut models: Watch,
    mut fixtures: Option<FixtureLists>,
) {
    loop {
        let told = tokio::select! {
            () = subscription.cancelled() => return,
            change = models.next() => match change {
                Some(change) => tell(subscription, &change).await,
                // Ends with a result, so that the client knows that it was not cut off.
                None => return,
            },
            changed = next_fixture(&mut fixtures) => tell_lists(subscription, changed).await,
        };
        if told.is_none() {
            // The stream is gone.
            return;
        }
    }
}

async fn tell(subscription: &SubscriptionContext, change: &Change) -> Option<()> {
    let (accepted, sink) = (subscription.accepted(), subscription.sink());
    if change.list && accepted.resources_list_changed == Some(true) {
        sink.notify_resource_list_changed().await.ok()?;
    }
    for uri in accepted.resource_subscriptions.iter().flatten() {
        if change.contents.contains(uri) {
            sink.notify_resource_updated(uri.clone()).await.ok()?;
        }
    }
    Some(())
}

/// Which lists the conformance suite has had changed.
struct Lists {
    tools: bool,
    prompts: bool,
}

async fn next_fixture(fixtures: &mut Option<FixtureLists>) -> Lists {
    let Some(fixtures) = fixtures else {
        return std::future::pending().await;
    };
    if fixtures.changes.changed().await.is_err() {
        return std::future::pending().await;
    }
    let now = *fixtures.changes.borrow_and_update();
    let before = std::mem::replace(&mut fixtures.known, now);
    Lists {
        tools: now.tools != before.tools,
        prompts: now.prompts != before.prompts,
    }
}

async fn tell_lists(subscription: &SubscriptionContext, lists: Lists) -> Option<()> {
    let (accepted, sink) = (subscription.accepted(), subscription.sink());
    if lists.tools && accepted.tools_list_changed == Some(true) {
        sink.notify_tool_list_changed().await.ok()?;
    }
    if lists.prompts && accepted.prompts_list_changed == Some(true) {
        sink.notify_prompt_list_changed().await.ok()?;
    }
    Some(())
}

/// What a session of the older revisions watches.
#[derive(Clone, Default)]
pub struct Watched {
    addresses: Arc<Mutex<BTreeSet<String>>>,
}

impl Watched {
    fn addresses(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.addresses
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Watches `uri` too.
    ///
    /// # Errors
    /// Too many are watched already.
    pub fn add(&self, uri: String) -> Result<(), ErrorData> {
        let mut addresses = self.addresses();
        if addresses.len() >= WATCHED_MAX && !addresses.contains(&uri) {
            let text = format!("a session may watch at most {WATCHED_MAX} resources");
            return Err(ErrorData::invalid_params(text, None));
        }
        addresses.insert(uri);
        Ok(())
    }

    /// Watches `uri` no longer.
    pub fn remove(&self, uri: &str) {
        self.addresses().remove(uri);
    }

    /// Tells `peer` until its session ends.
    pub async fn tell(self, peer: Peer<RoleServer>, mut models: Watch) {
        while !peer.is_transport_closed() {
            let Some(change) = models.next().await else {
                return;
            };
            let mut sent = true;
            if change.list {
                sent = peer.notify_resource_list_changed().await.is_ok();
            }
            let watched: Vec<String> = {
                let addresses = self.addresses();
                addresses.intersection(&change.contents).cloned().collect()
            };
            for uri in watched {
                let update = ResourceUpdatedNotificationParam::new(uri);
                sent &= peer.notify_resource_updated(update).await.is_ok();
            }
            if !sent {
                return;
            }
        }
    }
}
