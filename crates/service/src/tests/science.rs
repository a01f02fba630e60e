//! Science models at the service's boundary: kept on disk, kept apart, trained, evaluated, computed once.

use std::time::Duration;

use super::{Bench, bench, bench_keeping, identity};
use crate::ErrorKind;
use crate::science::{
    InferRequest, ModelConfig, NewScienceModel, Points, Precision, Spectrum, SpectrumRequest,
    TrainRequest, TrainingOptions, TrainingRows, TrainingState, UnifiedRequest,
};
use security::{Identity, Scope, Scopes};

const HOUR: Option<Duration> = Some(Duration::from_secs(3600));

fn scientist(tenant: &str) -> Identity {
    identity(tenant, Scopes::from(Scope::Inference).with(Scope::Models))
}

fn new(name: &str, config: ModelConfig) -> NewScienceModel {
    NewScienceModel {
        name: name.to_owned(),
        config,
        seed: Some(7),
    }
}

fn at(model: &str, x: f64) -> InferRequest {
    InferRequest {
        model: model.to_owned(),
        points: Points::Columns(vec![("x".to_owned(), vec![x])]),
        precision: Precision::Double,
        fresh: false,
    }
}

async fn create(bench: &Bench, who: &Identity, name: &str, config: ModelConfig) {
    let created = bench.service.science_create(who, new(name, config)).await;
    created.expect("created");
}

#[tokio::test]
async fn a_model_belongs_to_its_tenant_and_its_name_is_taken_once() {
    let bench = bench(vec![]).await;
    let (acme, other) = (scientist("acme"), scientist("other"));
    let wave = ModelConfig::Wave { dimensions: 1 };
    create(&bench, &acme, "wave", wave.clone()).await;
    let again = bench
        .service
        .science_create(&acme, new("wave", wave.clone()))
        .await;
    assert_eq!(again.expect_err("taken").kind, ErrorKind::Conflict);
    let foreign = bench.service.science_infer(&other, at("wave", 0.5)).await;
    assert_eq!(foreign.expect_err("hidden").kind, ErrorKind::NotFound);
    assert!(
        bench
            .service
            .science_models(&other)
            .await
            .expect("list")
            .is_empty()
    );
    create(&bench, &other, "wave", wave.clone()).await;
    for name in ["", "../up", "a.b", "-a", "A", &"a".repeat(65)] {
        let refused = bench
            .service
            .science_create(&acme, new(name, wave.clone()))
            .await;
        let error = refused.expect_err("refused");
        assert_eq!(
            (error.kind, error.field.as_deref()),
            (ErrorKind::InvalidRequest, Some("name")),
            "{name}"
        );
    }
    bench
        .service
        .science_delete(&acme, "wave")
        .await
        .expect("deleted");
    let gone = bench.service.science_model(&acme, "wave").await;
    assert_eq!(gone.expect_err("gone").kind, ErrorKind::NotFound);
    assert!(bench.service.science_model(&other, "wave").await.is_ok());
}

#[tokio::test]
async fn whoever_may_only_use_models_makes_none() {
    let bench = bench(vec![]).await;
    let user = identity("acme", Scope::Inference);
    let wave = ModelConfig::Wave { dimensions: 1 };
    let refused = bench.service.science_create(&user, new("wave", wave)).await;
    assert_eq!(refused.expect_err("refused").kind, ErrorKind::Forbidden);
    let spectrum = SpectrumRequest::Linear {
        modes: 3,
        dimensions: 10,
        length: 1.0,
    };
    let found = bench.service.science_spectrum(&user, spectrum, false).await;
    assert_eq!(
        found.expect("allowed").0,
        Spectrum::Linear(vec![0.5, 1.0, 1.5])
    );
}

#[tokio::test]
async fn a_wave_gives_the_golden_value_and_equal_calls_compute_once() {
    let bench = bench_keeping(vec![], HOUR).await;
    let acme = scientist("acme");
    create(&bench, &acme, "wave", ModelConfig::Wave { dimensions: 1 }).await;
    let first = bench
        .service
        .science_infer(&acme, at("wave", 0.5))
        .await
        .expect("inferred");
    let second = bench
        .service
        .science_infer(&acme, at("wave", 0.5))
        .await
        .expect("inferred");
    assert_eq!((first.cached, second.cached), (false, true));
    assert_eq!((&first.values, &first.shape), (&second.values, &vec![1]));
    // The same value by the formula, from the parameters that the registry lists.
    let (_, parameters) = bench
        .service
        .science_parameters(&acme, "wave")
        .await
        .expect("parameters");
    let value = |name: &str| {
        let found = parameters.iter().find(|one| one.name == name);
        found.expect("parameter").values[0]
    };
    let x = 0.5f64;
    let sigma = value("log_sigma").exp();
    let envelope = (-0.5 * (x / sigma).powi(2)).exp();
    let phase = value("phi") + value("epsilon") * (value("lmbda") * x).cos();
    let expected = value("A") * (value("k") * x).cos() * envelope * phase.sin();
    assert!((first.values[0] - expected).abs() < 1e-12);
    let mut fresh = at("wave", 0.5);
    fresh.fresh = true;
    let third = bench
        .service
        .science_infer(&acme, fresh)
        .await
        .expect("fresh");
    assert!(!third.cached);
}

#[tokio::test]
async fn inputs_that_do_not_fit_are_refused_by_name() {
    let bench = bench(vec![]).await;
    let acme = scientist("acme");
    create(&bench, &acme, "wave", ModelConfig::Wave { dimensions: 1 }).await;
    let points = |points: Points| InferRequest {
        points,
        ..at("wave", 0.0)
    };
    for (request, kind) in [
        (
            points(Points::Columns(vec![("y".into(), vec![1.0])])),
            ErrorKind::InvalidRequest,
        ),
        (
            points(Points::Columns(vec![
                ("x".into(), vec![1.0; 3]),
                ("t".into(), vec![1.0; 2]),
            ])),
            ErrorKind::InvalidRequest,
        ),
        (
            points(Points::Rows(vec![vec![1.0]])),
            ErrorKind::InvalidRequest,
        ),
        (points(Points::Rows(vec![])), ErrorKind::InvalidRequest),
        (
            points(Points::Columns(vec![("x".into(), vec![f64::NAN])])),
            ErrorKind::InvalidRequest,
        ),
        (
            points(Points::Columns(vec![("x".into(), vec![0.0; 70_000])])),
            ErrorKind::TooLarge,
        ),
    ] {
        let refused = bench.service.science_infer(&acme, request.clone()).await;
        let error = refused.expect_err("refused");
        assert_eq!(error.kind, kind, "{}", error.message);
    }
}

#[tokio::test]
async fn a_training_improves_the_model_and_changes_its_digest() {
    let bench = bench_keeping(vec![], HOUR).await;
    let acme = scientist("acme");
    let ensemble = ModelConfig::Ensemble {
        dimensions: 1,
        n_waves: 4,
    };
    create(&bench, &acme, "fit", ensemble).await;
    let before = bench
        .service
        .science_model(&acme, "fit")
        .await
        .expect("model");
    let untrained = bench.service.science_infer(&acme, at("fit", 0.5)).await;
    let request = TrainRequest {
        model: "fit".to_owned(),
        data: TrainingRows::Named(physics::training::DataSet::TravellingChirp),
        options: TrainingOptions {
            epochs: 30,
            ..TrainingOptions::default()
        },
    };
    let mut training = bench
        .service
        .science_train(&acme, request.clone())
        .await
        .expect("begun");
    let second = bench.service.science_train(&acme, request).await;
    assert_eq!(second.expect_err("one at a time").kind, ErrorKind::Conflict);
    let other = scientist("other");
    let foreign = bench.service.science_training(&other, &training.id).await;
    assert_eq!(foreign.expect_err("hidden").kind, ErrorKind::NotFound);
    while !training.state.is_over() {
        training = bench
            .service
            .science_training_change(&acme, &training)
            .await
            .expect("followed");
    }
    let TrainingState::Done(report) = &training.state else {
        panic!("{:?}", training.state);
    };
    assert!(report.final_loss < report.initial_loss);
    let after = bench
        .service
        .science_model(&acme, "fit")
        .await
        .expect("model");
    assert_ne!(before.digest, after.digest);
    let summary = after.training.expect("recorded");
    assert_eq!(
        (summary.ending.as_str(), summary.epochs, summary.final_loss),
        ("finished", 30, report.final_loss)
    );
    // A kept result of the untrained model is not the trained one's.
    let trained = bench.service.science_infer(&acme, at("fit", 0.5)).await;
    let (untrained, trained) = (untrained.expect("before"), trained.expect("after"));
    assert!(!trained.cached && untrained.values != trained.values);
}

#[tokio::test]
async fn a_cancelled_training_keeps_what_it_learnt_and_a_drain_ends_it() {
    let bench = bench(vec![]).await;
    let acme = scientist("acme");
    let ensemble = ModelConfig::Ensemble {
        dimensions: 1,
        n_waves: 8,
    };
    create(&bench, &acme, "long", ensemble.clone()).await;
    create(&bench, &acme, "next", ensemble).await;
    let request = |model: &str| TrainRequest {
        model: model.to_owned(),
        data: TrainingRows::Named(physics::training::DataSet::TravellingChirp),
        options: TrainingOptions {
            epochs: 100_000,
            ..TrainingOptions::default()
        },
    };
    let mut long = bench
        .service
        .science_train(&acme, request("long"))
        .await
        .expect("begun");
    let next = bench
        .service
        .science_train(&acme, request("next"))
        .await
        .expect("queued");
    while !matches!(long.state, TrainingState::Running(Some(_))) {
        long = bench
            .service
            .science_training_change(&acme, &long)
            .await
            .expect("followed");
    }
    bench
        .service
        .science_cancel(&acme, &next.id)
        .await
        .expect("cancelled");
    assert_eq!(bench.service.drain(Duration::from_secs(30)).await, 0);
    let long = bench.service.science_training(&acme, &long.id).await;
    let TrainingState::Done(report) = long.expect("known").state else {
        panic!("a running training ends with a report");
    };
    assert_eq!(report.ending, physics::training::Ending::Cancelled);
    let next = bench.service.science_training(&acme, &next.id).await;
    assert_eq!(next.expect("known").state, TrainingState::Cancelled);
    let record = bench.service.science_model(&acme, "long").await;
    assert!(record.expect("kept").training.is_some());
}

#[tokio::test]
async fn training_on_what_does_not_fit_or_takes_days_is_refused() {
    let bench = bench(vec![]).await;
    let acme = scientist("acme");
    create(&bench, &acme, "flat", ModelConfig::Wave { dimensions: 1 }).await;
    let request = TrainRequest {
        model: "flat".to_owned(),
        data: TrainingRows::Named(physics::training::DataSet::TravellingPacket4D),
        options: TrainingOptions::default(),
    };
    let refused = bench.service.science_train(&acme, request.clone()).await;
    assert_eq!(refused.expect_err("columns").field.as_deref(), Some("data"));
    let endless = TrainRequest {
        data: TrainingRows::Named(physics::training::DataSet::TravellingChirp),
        options: TrainingOptions {
            epochs: 10_000_000,
            ..TrainingOptions::default()
        },
        ..request
    };
    let refused = bench.service.science_train(&acme, endless).await;
    assert_eq!(
        refused.expect_err("epochs").field.as_deref(),
        Some("epochs")
    );
}

#[tokio::test]
async fn the_compatible_fields_are_golden_and_the_new_ones_follow_the_request() {
    let bench = bench_keeping(vec![], HOUR).await;
    let acme = scientist("acme");
    create(&bench, &acme, "wave", ModelConfig::Wave { dimensions: 1 }).await;
    let network = ModelConfig::StringNetwork {
        dimensions: 10,
        hidden_size: 64,
        num_layers: 2,
        use_batch_norm: false,
    };
    create(&bench, &acme, "net", network).await;
    let request = UnifiedRequest {
        insight: "Digital memory must be human-reachable".to_owned(),
        coordinates: vec![0.5, 0.5, 0.5],
        wave_model: Some("wave".to_owned()),
        network: Some("net".to_owned()),
        range: (0.0, 0.5),
        points: 50,
        ..UnifiedRequest::default()
    };
    let unified = bench
        .service
        .science_unified(&acme, request.clone())
        .await
        .expect("unified");
    assert_eq!(unified.coupled_amplitude, 1.5);
    let amplitudes = &unified.unified_field.field_amplitudes;
    assert_eq!((amplitudes.len(), amplitudes[0]), (100, 0.0));
    assert!((amplitudes[21] - 0.833_200_849_966_221_7).abs() < 1e-12);
    assert!((amplitudes.iter().sum::<f64>() - 28.004_217_320_165_942).abs() < 1e-9);
    let requested = unified.requested_field.as_ref().expect("asked for");
    assert_eq!(requested.field_amplitudes.len(), 50);
    assert_eq!(requested.x_coordinates.last(), Some(&0.5));
    assert_eq!(unified.insight_vector.len(), request.insight.len());
    let wave = unified.wave.as_ref().expect("evaluated");
    assert_eq!(wave.rows, [0.5, 0.0, 0.5, 0.0, 0.5, 0.0]);
    assert_eq!(wave.values.len(), 3);
    let network = unified.network.as_ref().expect("evaluated");
    assert_eq!(network.rows[..6], [0.5, 0.5, 0.5, 0.5, 1.0, 1.5]);
    assert_eq!((network.rows.len(), network.values.len()), (10, 1));
    let again = bench.service.science_unified(&acme, request.clone()).await;
    let again = again.expect("kept");
    assert!(again.cached && !unified.cached);
    assert_eq!(again.network, unified.network);
    // Another time is another request.
    let later = UnifiedRequest {
        time: 0.25,
        ..request
    };
    let later = bench.service.science_unified(&acme, later).await;
    assert!(!later.expect("computed").cached);
    let plain = bench
        .service
        .science_unified(&acme, UnifiedRequest::default())
        .await
        .expect("defaults");
    assert_eq!(plain.coupled_amplitude, 3.0 * 0.5);
    assert!(plain.wave.is_none() && plain.insight_vector.is_empty());
}

#[tokio::test]
async fn kept_results_are_cleared_by_prefix_for_the_own_tenant_only() {
    let bench = bench_keeping(vec![], HOUR).await;
    let (acme, other) = (scientist("acme"), scientist("other"));
    let spectrum = || SpectrumRequest::Linear {
        modes: 10,
        dimensions: 10,
        length: 1.0,
    };
    let ask = async |who: &Identity| {
        let found = bench.service.science_spectrum(who, spectrum(), false).await;
        found.expect("computed").1
    };
    assert!(!ask(&acme).await && !ask(&other).await);
    assert!(ask(&acme).await && ask(&other).await);
    let statistics = bench.service.cache_statistics(&acme).await;
    let statistics = statistics.expect("allowed").expect("a cache");
    assert_eq!(statistics.kinds["spectrum"].hits(), 2);
    let cleared = bench.service.cache_clear(&acme, "spectrum:").await;
    assert_eq!(cleared.expect("cleared"), 1);
    assert!(!ask(&acme).await && ask(&other).await);
    let user = identity("acme", Scope::Inference);
    let refused = bench.service.cache_clear(&user, "").await;
    assert_eq!(refused.expect_err("refused").kind, ErrorKind::Forbidden);
}

#[tokio::test]
async fn a_damaged_model_is_reported_and_never_served() {
    let mut bench = bench(vec![]).await;
    let acme = scientist("acme");
    let directory = bench._directory.path().join("science/acme");
    create(&bench, &acme, "wave", ModelConfig::Wave { dimensions: 1 }).await;
    let file = std::fs::read_dir(&directory)
        .expect("directory")
        .map(|entry| entry.expect("entry").path())
        .find(|path| path.extension().is_some_and(|one| one == "safetensors"))
        .expect("parameters");
    let mut bytes = std::fs::read(&file).expect("read");
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    platform::files::write_atomic(&file, &bytes, 0o600).expect("written");
    // A second service has not decoded the model yet, as after a restart.
    let options = crate::ScienceOptions::new(bench._directory.path().join("science"));
    bench.service.science = crate::science::Science::new(options);
    let refused = bench.service.science_infer(&acme, at("wave", 0.5)).await;
    assert_eq!(refused.expect_err("damaged").kind, ErrorKind::DataLoss);
}
