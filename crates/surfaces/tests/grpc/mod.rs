//! Calls of gRPC through the whole stack: framing, statuses, scopes, bounds, health and reflection. What the services do
//! beyond that is compared with Qdrant's own client in `conformance/python_qdrant_grpc`.

mod protocol {
    #![expect(
        clippy::doc_markdown,
        clippy::enum_variant_names,
        clippy::large_enum_variant,
        reason = "generated"
    )]
    #![allow(
        dead_code,
        reason = "only a part of it is used here; expecting that would make it count as used"
    )]

    pub mod qdrant {
        include!(concat!(env!("OUT_DIR"), "/qdrant.rs"));
    }
    pub mod health {
        include!(concat!(env!("OUT_DIR"), "/grpc.health.v1.rs"));
    }
    pub mod reflection {
        include!(concat!(env!("OUT_DIR"), "/grpc.reflection.v1.rs"));
    }
}

use axum::body::Body;
use bytes::{Buf, Bytes};
use http::{HeaderMap, Request, Version};
use http_body_util::BodyExt;
use prost::Message;
use service::Scope;
use tower::ServiceExt;

use crate::harness::Harness;
use protocol::{health, qdrant as wire, reflection};

/// What a call came to.
struct Outcome {
    /// Of the trailers, or of the headers when there was nothing else.
    status: u8,
    message: String,
    headers: HeaderMap,
    data: Bytes,
}

impl Outcome {
    /// The messages of the answer.
    fn messages<A: Message + Default>(&self) -> Vec<A> {
        assert_eq!(self.status, 0, "{}", self.message);
        let (mut rest, mut all) = (self.data.clone(), Vec::new());
        while rest.has_remaining() {
            assert_eq!(rest.get_u8(), 0, "compressed");
            let length = rest.get_u32() as usize;
            all.push(A::decode(rest.split_to(length)).expect("a message"));
        }
        all
    }

    fn message<A: Message + Default>(&self) -> A {
        let mut all = self.messages();
        assert_eq!(all.len(), 1);
        all.remove(0)
    }
}

fn framed(message: &impl Message) -> Vec<u8> {
    let bytes = message.encode_to_vec();
    let length = u32::try_from(bytes.len()).expect("short");
    [&[0][..], &length.to_be_bytes(), &bytes].concat()
}

async fn send(harness: &Harness, path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Outcome {
    let mut request = Request::builder()
        .method("POST")
        .uri(path)
        .version(Version::HTTP_2)
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Body::from(body)).expect("request");
    let response = harness
        .router
        .clone()
        .oneshot(request)
        .await
        .expect("answer");
    assert_eq!(response.status(), 200, "{path}");
    let (parts, body) = response.into_parts();
    let collected = body.collect().await.expect("body");
    let trailers = collected.trailers().cloned().unwrap_or_default();
    let said = |name: &str| {
        let value = trailers.get(name).or_else(|| parts.headers.get(name));
        value.map(|value| value.to_str().expect("text").to_owned())
    };
    Outcome {
        status: said("grpc-status")
            .expect("a status")
            .parse()
            .expect("a number"),
        message: said("grpc-message").unwrap_or_default(),
        headers: parts.headers,
        data: collected.to_bytes(),
    }
}

async fn call(harness: &Harness, path: &str, key: &str, message: &impl Message) -> Outcome {
    send(harness, path, &[("api-key", key)], framed(message)).await
}

fn creation(name: &str) -> wire::CreateCollection {
    wire::CreateCollection {
        collection_name: name.to_owned(),
        vectors_config: Some(wire::VectorsConfig {
            config: Some(wire::vectors_config::Config::Params(wire::VectorParams {
                size: 2,
                distance: wire::Distance::Dot.into(),
                ..wire::VectorParams::default()
            })),
        }),
        ..wire::CreateCollection::default()
    }
}

fn point(number: u64, data: Vec<f32>) -> wire::PointStruct {
    let vector = wire::Vector {
        vector: Some(wire::vector::Vector::Dense(wire::DenseVector { data })),
        ..wire::Vector::default()
    };
    wire::PointStruct {
        id: Some(wire::PointId {
            point_id_options: Some(wire::point_id::PointIdOptions::Num(number)),
        }),
        vectors: Some(wire::Vectors {
            vectors_options: Some(wire::vectors::VectorsOptions::Vector(vector)),
        }),
        ..wire::PointStruct::default()
    }
}

fn upsert(name: &str) -> wire::UpsertPoints {
    wire::UpsertPoints {
        collection_name: name.to_owned(),
        wait: Some(true),
        points: vec![point(1, vec![1.0, 0.0]), point(2, vec![0.0, 1.0])],
        ..wire::UpsertPoints::default()
    }
}

fn nearest(name: &str) -> wire::QueryPoints {
    wire::QueryPoints {
        collection_name: name.to_owned(),
        query: Some(wire::Query {
            variant: Some(wire::query::Variant::Nearest(wire::VectorInput {
                variant: Some(wire::vector_input::Variant::Dense(wire::DenseVector {
                    data: vec![0.5, 2.0],
                })),
            })),
        }),
        ..wire::QueryPoints::default()
    }
}

#[tokio::test]
async fn points_are_written_and_found() {
    let harness = Harness::new().await;
    let created = call(
        &harness,
        "/qdrant.Collections/Create",
        &harness.admin,
        &creation("a"),
    )
    .await;
    assert!(
        created
            .message::<wire::CollectionOperationResponse>()
            .result
    );
    let again = call(
        &harness,
        "/qdrant.Collections/Create",
        &harness.admin,
        &creation("a"),
    )
    .await;
    assert_eq!(again.status, 6, "{}", again.message);
    assert!(
        again.message.contains("already exists"),
        "{}",
        again.message
    );
    let written = call(
        &harness,
        "/qdrant.Points/Upsert",
        &harness.admin,
        &upsert("a"),
    )
    .await;
    let result = written.message::<wire::PointsOperationResponse>().result;
    let status = result.expect("a result").status;
    assert_eq!(status, i32::from(wire::UpdateStatus::Completed));
    let found = call(
        &harness,
        "/qdrant.Points/Query",
        &harness.admin,
        &nearest("a"),
    )
    .await;
    let hits = found.message::<wire::QueryResponse>().result;
    let scores: Vec<f32> = hits.iter().map(|hit| hit.score).collect();
    assert_eq!(scores, [2.0, 0.5]);
    assert!(found.headers.contains_key("x-request-id"));
    let missing = call(
        &harness,
        "/qdrant.Points/Query",
        &harness.admin,
        &nearest("b"),
    )
    .await;
    assert_eq!(missing.status, 5);
    assert!(
        missing.message.contains("doesn't exist"),
        "{}",
        missing.message
    );
}

#[tokio::test]
async fn a_key_and_its_scope_decide() {
    let harness = Harness::new().await;
    let list = wire::ListCollectionsRequest {};
    let path = "/qdrant.Collections/List";
    let nobody = send(&harness, path, &[], framed(&list)).await;
    assert_eq!(nobody.status, 16);
    let reader = harness.key(Scope::CollectionsRead).await;
    assert_eq!(call(&harness, path, &reader, &list).await.status, 0);
    let bearer = format!("Bearer {reader}");
    let bearer = send(&harness, path, &[("authorization", &bearer)], framed(&list)).await;
    assert_eq!(bearer.status, 0);
    for (path, status) in [
        ("/qdrant.Points/Upsert", 7),
        ("/qdrant.Collections/Create", 7),
        ("/qdrant.Snapshots/Create", 7),
        ("/qdrant.Points/Count", 5),
    ] {
        let outcome = call(&harness, path, &reader, &list).await;
        assert_eq!(outcome.status, status, "{path}: {}", outcome.message);
    }
}

#[tokio::test]
async fn two_tenants_with_one_name_see_their_own() {
    let harness = Harness::new().await;
    let other = harness.key(Scope::CollectionsManage).await;
    let create = creation("same");
    for key in [&harness.admin, &other] {
        let created = call(&harness, "/qdrant.Collections/Create", key, &create).await;
        assert_eq!(created.status, 0, "{}", created.message);
    }
    call(
        &harness,
        "/qdrant.Points/Upsert",
        &harness.admin,
        &upsert("same"),
    )
    .await;
    let found = call(&harness, "/qdrant.Points/Query", &other, &nearest("same")).await;
    assert!(found.message::<wire::QueryResponse>().result.is_empty());
}

#[tokio::test]
async fn calls_that_are_none_are_refused_with_a_status() {
    let harness = Harness::with(|options| options.body_bytes_max = 1 << 16).await;
    let path = "/qdrant.Points/Count";
    let key = [("api-key", harness.admin.as_str())];
    for (body, status) in [
        (vec![], 3),
        (vec![0, 0, 0, 0, 9, 1], 3),
        (vec![1, 0, 0, 0, 0], 12),
        (vec![0, 0, 0, 0, 2, 0xff, 0xff], 3),
        (vec![0; (1 << 16) + 1], 8),
    ] {
        let outcome = send(&harness, path, &key, body.clone()).await;
        assert_eq!(outcome.status, status, "{body:?}: {}", outcome.message);
    }
    let count = framed(&wire::CountPoints::default());
    for (timeout, status) in [("1n", 4), ("5x", 3), ("", 3), ("123456789S", 3), ("9S", 5)] {
        let headers = [key[0], ("grpc-timeout", timeout)];
        let outcome = send(&harness, path, &headers, count.clone()).await;
        assert_eq!(outcome.status, status, "{timeout}: {}", outcome.message);
    }
}

#[tokio::test]
async fn whoever_does_not_speak_grpc_is_answered_in_http() {
    let harness = Harness::new().await;
    let reply = harness
        .bare(http::Method::POST, "/qdrant.Points/Count")
        .await;
    assert_eq!(reply.status, 401);
    assert_eq!(reply.json()["error"]["kind"], "unauthenticated");
}

#[tokio::test]
async fn health_follows_the_server_and_needs_no_key() {
    let harness = Harness::new().await;
    let path = "/grpc.health.v1.Health/Check";
    let ask = |service: &str| {
        framed(&health::HealthCheckRequest {
            service: service.to_owned(),
        })
    };
    for (service, status) in [("", 0), ("qdrant.Points", 0), ("a.B", 5)] {
        assert_eq!(send(&harness, path, &[], ask(service)).await.status, status);
    }
    harness.service.drain(std::time::Duration::ZERO).await;
    let outcome = send(&harness, path, &[], ask("")).await;
    let not_serving = health::health_check_response::ServingStatus::NotServing;
    let reply = outcome.message::<health::HealthCheckResponse>();
    assert_eq!(reply.status, i32::from(not_serving));
    // A watcher is told and let go, so that it does not keep the server from ending.
    let watched = send(&harness, "/grpc.health.v1.Health/Watch", &[], ask("")).await;
    assert_eq!(watched.status, 14);
}

#[tokio::test]
async fn reflection_answers_one_question_after_another() {
    use reflection::server_reflection_request::MessageRequest;
    use reflection::server_reflection_response::MessageResponse;
    let harness = Harness::new().await;
    let question = |asked| {
        framed(&reflection::ServerReflectionRequest {
            host: String::new(),
            message_request: Some(asked),
        })
    };
    let body = [
        question(MessageRequest::ListServices(String::new())),
        question(MessageRequest::FileContainingSymbol(
            "qdrant.Points.Query".to_owned(),
        )),
        question(MessageRequest::FileByFilename("nothing.proto".to_owned())),
    ]
    .concat();
    for version in ["v1", "v1alpha"] {
        let path = format!("/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo");
        let outcome = send(
            &harness,
            &path,
            &[("api-key", &harness.admin)],
            body.clone(),
        )
        .await;
        let answers = outcome.messages::<reflection::ServerReflectionResponse>();
        let answers: Vec<_> = answers
            .into_iter()
            .filter_map(|answer| answer.message_response)
            .collect();
        let [
            MessageResponse::ListServicesResponse(services),
            MessageResponse::FileDescriptorResponse(files),
            MessageResponse::ErrorResponse(refused),
        ] = &answers[..]
        else {
            panic!("{answers:?}");
        };
        assert_eq!(services.service.len(), 6);
        assert!(files.file_descriptor_proto.len() > 3, "with its imports");
        assert_eq!(refused.error_code, 5);
        assert_eq!(send(&harness, &path, &[], body.clone()).await.status, 16);
    }
}
