//! The one place that says who may do what. Pure: no clock, no store, no protocol.

use crate::identity::{Identity, Scope};

/// What somebody wants to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// Ask whether the server lives and is ready.
    ReadHealth,
    /// Read the metrics.
    ReadMetrics,
    /// See which models there are.
    ListModels,
    /// Generate text.
    Generate,
    /// Turn texts into vectors.
    Embed,
    /// Order texts by relevance.
    Rerank,
    /// Turn text into tokens and back.
    Tokenize,
    /// See runners, their memory and their state.
    ReadRunners,
    /// Fetch a model into the store.
    PullModel,
    /// Load a model or keep it loaded.
    LoadModel,
    /// End a model's runner.
    UnloadModel,
    /// Give a stored model another name.
    CopyModel,
    /// Delete a model from the store.
    DeleteModel,
    /// See keys (never their secrets).
    ListKeys,
    /// Make a key.
    CreateKey,
    /// End a key.
    RevokeKey,
    /// Read the server's configuration.
    ReadConfiguration,
    /// See the science models of the own tenant and their trainings.
    ListScience,
    /// Evaluate science models and compute with strings.
    RunScience,
    /// Make, train and delete science models of the own tenant.
    ManageScience,
    /// See what the result cache holds and did.
    ReadCache,
    /// Drop kept results: the own tenant's, or with `admin` everybody's.
    ClearCache,
    /// See and search the collections of the own tenant.
    ReadCollections,
    /// Write and delete points of the own tenant's collections.
    WriteCollections,
    /// Make, change and delete collections of the own tenant, their aliases and snapshots.
    ManageCollections,
    /// See and read the files of the own tenant.
    ReadFiles,
    /// Upload and delete files of the own tenant.
    WriteFiles,
}

impl Action {
    /// Every action, for tests and tables that must be complete.
    pub const ALL: [Action; 27] = [
        Action::ReadHealth,
        Action::ReadMetrics,
        Action::ListModels,
        Action::Generate,
        Action::Embed,
        Action::Rerank,
        Action::Tokenize,
        Action::ReadRunners,
        Action::PullModel,
        Action::LoadModel,
        Action::UnloadModel,
        Action::CopyModel,
        Action::DeleteModel,
        Action::ListKeys,
        Action::CreateKey,
        Action::RevokeKey,
        Action::ReadConfiguration,
        Action::ListScience,
        Action::RunScience,
        Action::ManageScience,
        Action::ReadCache,
        Action::ClearCache,
        Action::ReadCollections,
        Action::WriteCollections,
        Action::ManageCollections,
        Action::ReadFiles,
        Action::WriteFiles,
    ];

    /// Scopes of which one is enough, the one to name in a refusal first; `admin` is always enough. `None`: open to
    /// everybody.
    fn scopes(self) -> Option<&'static [Scope]> {
        match self {
            Action::ReadHealth => None,
            Action::ReadMetrics => Some(&[Scope::Metrics]),
            // Whoever manages models must be able to see them.
            Action::ListModels | Action::ListScience => Some(&[Scope::Inference, Scope::Models]),
            Action::Generate
            | Action::Embed
            | Action::Rerank
            | Action::Tokenize
            | Action::RunScience => Some(&[Scope::Inference]),
            Action::ReadRunners
            | Action::PullModel
            | Action::LoadModel
            | Action::UnloadModel
            | Action::CopyModel
            | Action::DeleteModel
            | Action::ManageScience
            | Action::ClearCache => Some(&[Scope::Models]),
            // Counters only, as the metrics show them too.
            Action::ReadCache => Some(&[Scope::Metrics, Scope::Models]),
            // Each of the three includes the ones before it.
            Action::ReadCollections => Some(&[
                Scope::CollectionsRead,
                Scope::CollectionsWrite,
                Scope::CollectionsManage,
            ]),
            Action::WriteCollections => Some(&[Scope::CollectionsWrite, Scope::CollectionsManage]),
            Action::ManageCollections => Some(&[Scope::CollectionsManage]),
            // Files are what is asked about, and what collections are filled from.
            Action::ReadFiles => Some(&[
                Scope::Inference,
                Scope::CollectionsRead,
                Scope::CollectionsWrite,
                Scope::CollectionsManage,
            ]),
            Action::WriteFiles => Some(&[
                Scope::Inference,
                Scope::CollectionsWrite,
                Scope::CollectionsManage,
            ]),
            Action::ListKeys
            | Action::CreateKey
            | Action::RevokeKey
            | Action::ReadConfiguration => Some(&[Scope::Admin]),
        }
    }
}

/// The answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Go on.
    Allow,
    /// Nobody is known: present a key.
    Unauthenticated,
    /// Known, but the key lacks this scope.
    Forbidden {
        /// The narrowest scope that would do.
        needed: Scope,
    },
}

/// Whether `identity` may do `action`.
pub fn decide(identity: Option<&Identity>, action: Action) -> Decision {
    let Some(enough) = action.scopes() else {
        return Decision::Allow;
    };
    let Some(identity) = identity else {
        return Decision::Unauthenticated;
    };
    let has = |scope: &Scope| identity.scopes.contains(*scope);
    if has(&Scope::Admin) || enough.iter().any(has) {
        Decision::Allow
    } else {
        Decision::Forbidden {
            needed: enough.first().copied().unwrap_or(Scope::Admin),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::{Scopes, TenantId};

    fn with(scopes: Scopes) -> Identity {
        Identity {
            key_id: "k".into(),
            key_name: "n".into(),
            tenant: TenantId::default(),
            scopes,
        }
    }

    #[test]
    fn nobody_may_do_anything_but_ask_for_health() {
        for action in Action::ALL {
            let expected = if action == Action::ReadHealth {
                Decision::Allow
            } else {
                Decision::Unauthenticated
            };
            assert_eq!(decide(None, action), expected, "{action:?}");
        }
    }

    #[test]
    fn a_key_without_scopes_may_do_nothing() {
        for action in Action::ALL
            .into_iter()
            .filter(|action| *action != Action::ReadHealth)
        {
            assert!(
                matches!(
                    decide(Some(&with(Scopes::NONE)), action),
                    Decision::Forbidden { .. }
                ),
                "{action:?}"
            );
        }
    }

    #[test]
    fn an_administrator_may_do_everything() {
        for action in Action::ALL {
            assert_eq!(
                decide(Some(&with(Scope::Admin.into())), action),
                Decision::Allow,
                "{action:?}"
            );
        }
    }

    #[test]
    fn each_scope_opens_its_own_actions_only() {
        let allowed = |scope: Scope| -> Vec<Action> {
            let identity = with(scope.into());
            Action::ALL
                .into_iter()
                .filter(|action| decide(Some(&identity), *action) == Decision::Allow)
                .collect()
        };
        use Action::*;
        assert_eq!(
            allowed(Scope::Inference),
            [
                ReadHealth,
                ListModels,
                Generate,
                Embed,
                Rerank,
                Tokenize,
                ListScience,
                RunScience,
                ReadFiles,
                WriteFiles
            ]
        );
        assert_eq!(
            allowed(Scope::Metrics),
            [ReadHealth, ReadMetrics, ReadCache]
        );
        assert_eq!(
            allowed(Scope::Models),
            [
                ReadHealth,
                ListModels,
                ReadRunners,
                PullModel,
                LoadModel,
                UnloadModel,
                CopyModel,
                DeleteModel,
                ListScience,
                ManageScience,
                ReadCache,
                ClearCache
            ]
        );
    }

    #[test]
    fn scopes_of_collections_include_the_ones_before() {
        let all = [
            (Scope::CollectionsRead, Action::ReadCollections),
            (Scope::CollectionsWrite, Action::WriteCollections),
            (Scope::CollectionsManage, Action::ManageCollections),
        ];
        for (has, (scope, _)) in all.into_iter().enumerate() {
            for (wants, (needed, action)) in all.into_iter().enumerate() {
                let expected = if wants <= has {
                    Decision::Allow
                } else {
                    Decision::Forbidden { needed }
                };
                assert_eq!(decide(Some(&with(scope.into())), action), expected);
            }
            assert!(matches!(
                decide(Some(&with(scope.into())), Action::Generate),
                Decision::Forbidden { .. }
            ));
        }
    }

    #[test]
    fn a_refusal_names_the_scope() {
        assert_eq!(
            decide(Some(&with(Scope::Metrics.into())), Action::ListModels),
            Decision::Forbidden {
                needed: Scope::Inference
            }
        );
    }
}
