//! What has changed among the models, for clients that asked to be told. Nothing announces a change of the store (another
//! process may have made it), so it is looked at now and then, once for all who wait.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use service::{Error, Identity};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::resources;
use crate::state::App;

/// How often the store is looked at while somebody waits; a change is told this much later at most.
const INTERVAL: Duration = Duration::from_secs(2);

/// Digest of every model, by the address of its resource.
type Seen = BTreeMap<String, String>;

/// The last look at the store, shared by all who wait.
#[derive(Default)]
pub struct Looks {
    last: Mutex<Option<(Instant, Arc<Seen>)>>,
}

impl Looks {
    async fn look(&self, app: &App, identity: &Identity) -> Result<Arc<Seen>, Error> {
        let mut last = self.last.lock().await;
        if let Some((at, seen)) = &*last
            && at.elapsed() < INTERVAL / 2
        {
            return Ok(Arc::clone(seen));
        }
        let models = app.service.models(identity).await?;
        let seen: Arc<Seen> = Arc::new(
            models
                .into_iter()
                .map(|model| (resources::address(&model.name), model.digest))
                .collect(),
        );
        *last = Some((Instant::now(), Arc::clone(&seen)));
        Ok(seen)
    }
}

/// What one waiter has not been told yet.
pub struct Watch {
    app: App,
    identity: Identity,
    looks: Arc<Looks>,
    known: Option<Arc<Seen>>,
}

/// A change of the models.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// Models came or went.
    pub list: bool,
    /// Addresses whose contents are others now; gone ones too.
    pub contents: BTreeSet<String>,
}

impl Watch {
    /// Watches for `identity` from now on.
    pub async fn begin(app: App, identity: Identity, looks: Arc<Looks>) -> Self {
        let known = looks.look(&app, &identity).await.ok();
        Watch {
            app,
            identity,
            looks,
            known,
        }
    }

    /// Waits for the next change; `None` when the server finishes. A store that cannot be read right now has not changed.
    pub async fn next(&mut self) -> Option<Change> {
        loop {
            tokio::time::sleep(INTERVAL).await;
            if self.app.service.is_draining() {
                return None;
            }
            let Ok(now) = self.looks.look(&self.app, &self.identity).await else {
                continue;
            };
            let change = match &self.known {
                Some(before) => difference(before, &now),
                None => Change::default(),
            };
            self.known = Some(now);
            if change != Change::default() {
                return Some(change);
            }
        }
    }
}

fn difference(before: &Seen, now: &Seen) -> Change {
    let mut contents: BTreeSet<String> = before
        .iter()
        .filter(|(address, digest)| now.get(*address) != Some(*digest))
        .chain(
            now.iter()
                .filter(|(address, _)| !before.contains_key(*address)),
        )
        .map(|(address, _)| address.clone())
        .collect();
    if !contents.is_empty() {
        contents.insert(resources::MODELS.to_owned());
    }
    Change {
        list: !before.keys().eq(now.keys()),
        contents,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(models: &[(&str, &str)]) -> Seen {
        let models = models.iter();
        models
            .map(|(name, digest)| (resources::address(name), (*digest).to_owned()))
            .collect()
    }

    #[test]
    fn only_what_changed_is_told() {
        let before = seen(&[("a", "1"), ("b", "1")]);
        assert_eq!(difference(&before, &before), Change::default());
        let newer = difference(&before, &seen(&[("a", "2"), ("b", "1")]));
        assert!(!newer.list);
        let told: Vec<&str> = newer.contents.iter().map(String::as_str).collect();
        assert_eq!(told, ["fornax://models", "fornax://models/a"]);
        let gone = difference(&before, &seen(&[("b", "1"), ("c", "1")]));
        assert!(gone.list);
        assert!(gone.contents.contains("fornax://models/a"));
        assert!(gone.contents.contains("fornax://models/c"));
        assert!(!gone.contents.contains("fornax://models/b"));
    }
}
