//! Who may do what, and what is kept apart.

#![expect(clippy::disallowed_methods, reason = "a test writes throw-away files")]

use super::scripted::{accepted, finished};
use super::*;
use crate::identifiers::cache_salt;
use crate::{CompletionRequest, EmbedRequest, ErrorKind, NewKey, Prompt, PullRequest};

#[tokio::test]
async fn tenants_never_share_a_cached_prefix() {
    let steps = || Reply::Events(vec![accepted(), finished(0, "stop")]);
    let bench = bench(vec![steps(), steps(), steps()]).await;
    for (tenant, salt) in [
        ("acme", None),
        ("umbrella", None),
        ("acme", Some("x".to_owned())),
    ] {
        let mut request = chat("tiny");
        request.options.cache_salt = salt;
        let identity = identity(tenant, Scope::Inference);
        bench
            .service
            .chat(&identity, request)
            .await
            .expect("accepted");
    }
    let salts: Vec<String> = (0..3)
        .map(|index| bench.runtime.request(index).cache_salt)
        .collect();
    assert!(
        salts[0] != salts[1] && salts[0] != salts[2] && salts[1] != salts[2],
        "{salts:?}"
    );
    assert_eq!(
        salts[0],
        cache_salt(&identity("acme", Scope::Inference), None)
    );
    // The border between the two texts counts.
    assert_ne!(
        cache_salt(&identity("ab", Scope::Inference), Some("c")),
        cache_salt(&identity("a", Scope::Inference), Some("bc"))
    );
}

#[tokio::test]
async fn a_key_without_scopes_is_refused_by_every_method() {
    let bench = bench(Vec::new()).await;
    let nobody = identity("acme", Scopes::NONE);
    let service = &bench.service;
    let completion = CompletionRequest {
        model: "tiny".into(),
        prompt: Prompt::Text("a".into()),
        echo: false,
        output: OutputFormat::Text,
        options: GenerateOptions::default(),
    };
    let embed = EmbedRequest {
        model: "vectors".into(),
        inputs: vec![Prompt::Text("a".into())],
        dimensions: None,
        truncate: false,
        keep_alive: None,
        fresh: false,
    };
    let new = NewKey {
        name: "n".into(),
        tenant: TenantId::default(),
        scopes: Scope::Admin.into(),
        expires_unix: None,
    };
    let pull = PullRequest {
        source: "/etc/hostname".into(),
        name: None,
    };
    let refusals = [
        service.models(&nobody).await.err(),
        service.model(&nobody, "tiny").await.err(),
        service.chat(&nobody, chat("tiny")).await.err(),
        service.complete(&nobody, completion).await.err(),
        service.embed(&nobody, embed).await.err(),
        service.tokenize(&nobody, "tiny", "a").await.err(),
        service.residents(&nobody).await.err(),
        service.load(&nobody, "tiny", None).await.err(),
        service.pin(&nobody, "tiny", true).await.err(),
        service.unload(&nobody, "tiny").await.err(),
        service.pull(&nobody, pull.clone()).await.err(),
        service.remove_model(&nobody, "tiny").await.err(),
        service.copy_model(&nobody, "tiny", "b").await.err(),
        service.keys_list(&nobody).await.err(),
        service.keys_create(&nobody, new).await.err(),
        service.keys_revoke(&nobody, "n").await.err(),
    ];
    for (index, refusal) in refusals.into_iter().enumerate() {
        assert_eq!(
            refusal.map(|error| error.kind),
            Some(ErrorKind::Forbidden),
            "method {index}"
        );
    }
    let models = identity("acme", Scope::Models);
    let error = service
        .pull(&models, pull)
        .await
        .err()
        .expect("a file of the server");
    assert_eq!(error.kind, ErrorKind::Forbidden);
}

#[tokio::test]
async fn who_may_pull_reaches_no_address_inside_the_servers_network() {
    // The process installs one for its HTTP client; whichever test comes first does it here.
    drop(rustls::crypto::ring::default_provider().install_default());
    let bench = bench(Vec::new()).await;
    let models = identity("acme", Scope::Models);
    for source in [
        "http://127.0.0.1:9/model.gguf",
        "https://localhost/model.gguf",
        "https://169.254.169.254/model.gguf",
    ] {
        let request = PullRequest {
            source: source.into(),
            name: None,
        };
        let mut events = bench.service.pull(&models, request).await.expect("begun");
        let mut error = None;
        while let Some(event) = events.next().await {
            error = event.err();
        }
        let error = error.expect("refused");
        assert_eq!(error.kind, ErrorKind::InvalidRequest, "{source}: {error}");
        assert!(error.message.contains("scope admin"), "{error}");
    }
}

#[tokio::test]
async fn paths_of_the_server_are_told_to_those_who_manage_models_only() {
    let bench = bench(Vec::new()).await;
    let file = bench._directory.path().join("private-name.gguf");
    std::fs::write(&file, scripted::model_file("llama", None)).expect("file");
    let request = PullRequest {
        source: format!("file:{}", file.display()),
        name: Some("imported".into()),
    };
    let admin = identity("default", Scope::Admin);
    let events = bench.service.pull(&admin, request).await.expect("begun");
    assert!(events.collect::<Vec<_>>().await.iter().all(Result::is_ok));
    for (scope, told) in [
        (Scope::Admin, true),
        (Scope::Models, true),
        (Scope::Inference, false),
    ] {
        let caller = identity("acme", scope);
        let model = bench
            .service
            .model(&caller, "imported")
            .await
            .expect("model");
        let listed = bench.service.models(&caller).await.expect("models");
        assert_eq!(model.origin.contains("private-name"), told, "{scope}");
        let in_list = |model: &crate::ModelSummary| model.origin.contains("private-name");
        assert_eq!(listed.iter().any(in_list), told, "{scope}");
    }
}

#[tokio::test]
async fn models_and_keys_are_managed_by_those_who_may() {
    let bench = bench(Vec::new()).await;
    let admin = identity("default", Scope::Admin);
    let names: Vec<String> = bench
        .service
        .models(&admin)
        .await
        .expect("list")
        .into_iter()
        .map(|model| model.name)
        .collect();
    assert_eq!(names, ["plain", "ranker", "tiny", "vectors"]);
    let copied = bench
        .service
        .copy_model(&admin, "tiny", "org/tiny:v2")
        .await
        .expect("copy");
    assert_eq!(copied.name, "org/tiny:v2");
    bench
        .service
        .remove_model(&admin, "org/tiny:v2")
        .await
        .expect("remove");
    assert!(bench.service.model(&admin, "org/tiny:v2").await.is_err());

    let new = NewKey {
        name: "ci".into(),
        tenant: TenantId::default(),
        scopes: Scope::Inference.into(),
        expires_unix: None,
    };
    let created = bench
        .service
        .keys_create(&admin, new.clone())
        .await
        .expect("create");
    let identity = bench
        .service
        .authenticate(created.key.expose())
        .await
        .expect("authenticate");
    assert_eq!(identity.key_name, "ci");
    let taken = bench
        .service
        .keys_create(&admin, new)
        .await
        .expect_err("taken");
    assert_eq!(taken.kind, ErrorKind::Conflict);
    bench
        .service
        .keys_revoke(&admin, "ci")
        .await
        .expect("revoke");
    let error = bench
        .service
        .authenticate(created.key.expose())
        .await
        .expect_err("revoked");
    assert_eq!(
        (error.kind, error.code),
        (ErrorKind::Unauthenticated, Some("invalid_api_key"))
    );
}
