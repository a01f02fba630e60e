//! Traces over OTLP: what a collector receives for one request.

use std::sync::{Arc, Mutex};

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::Span;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

use crate::harness::{Server, open_with};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER_SPAN: &str = "00f067aa0ba902b7";

/// What arrived: the value of the header `x-team`, and the message.
type Arrived = Arc<Mutex<Vec<(String, ExportTraceServiceRequest)>>>;

/// A collector that keeps everything.
struct Collector(Arrived);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let team = request.metadata().get("x-team");
        let team = team.and_then(|team| team.to_str().ok()).unwrap_or_default();
        let entry = (team.to_owned(), request.get_ref().clone());
        self.0.lock().expect("lock").push(entry);
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

/// Starts a collector that lives as long as the runtime; gives its port.
fn collect(runtime: &tokio::runtime::Runtime) -> (u16, Arrived) {
    let arrived = Arrived::default();
    let listener = runtime
        .block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))
        .expect("bind");
    let port = listener.local_addr().expect("address").port();
    let service = TraceServiceServer::new(Collector(Arc::clone(&arrived)));
    runtime.spawn(
        tonic::transport::Server::builder()
            .add_service(service)
            .serve_with_incoming(TcpListenerStream::new(listener)),
    );
    (port, arrived)
}

fn text<'a>(attributes: &'a [KeyValue], name: &str) -> Option<&'a str> {
    let attribute = attributes.iter().find(|attribute| attribute.key == name)?;
    match attribute.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => Some(text),
        _ => None,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_request_reaches_the_collector_as_part_of_its_callers_trace() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("runtime");
    let (port, arrived) = collect(&runtime);
    let directory = tempfile::tempdir().expect("directory");
    let endpoint = format!("telemetry.otlp_endpoint=http://127.0.0.1:{port}");
    let headers = "telemetry.otlp_headers=x-team=lab";
    let mut server = Server::start(
        &directory.path().join("data"),
        &["--set", &endpoint, "--set", headers],
    );

    let further = format!("traceparent: 00-{TRACE}-{CALLER_SPAN}-01\r\nx-request-id: order-66\r\n");
    let reply = open_with(
        &server.address,
        "GET",
        "/v1/models",
        &server.key,
        &further,
        None,
    )
    .read();
    assert_eq!(reply.status, 200, "{}", reply.body);
    let onward = reply
        .head
        .lines()
        .find_map(|line| line.strip_prefix("traceparent: "))
        .expect("a traceparent in the answer")
        .to_owned();
    // What is not sent yet is sent at the end.
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0), "{}", server.log());

    let arrived = arrived.lock().expect("lock");
    assert!(arrived.iter().all(|(team, _)| team == "lab"), "{arrived:?}");
    let resources = arrived
        .iter()
        .flat_map(|(_, message)| &message.resource_spans);
    let spans: Vec<&Span> = resources
        .inspect(|resource| {
            let attributes = &resource.resource.as_ref().expect("a resource").attributes;
            assert_eq!(text(attributes, "service.name"), Some("fornax"));
        })
        .flat_map(|resource| &resource.scope_spans)
        .flat_map(|scope| &scope.spans)
        .collect();
    let ours: Vec<&&Span> = spans
        .iter()
        .filter(|span| text(&span.attributes, "request_id") == Some("order-66"))
        .collect();
    let [span] = ours[..] else {
        panic!("{} spans of the request among {}", ours.len(), spans.len())
    };
    assert_eq!(hex(&span.trace_id), TRACE);
    assert_eq!(hex(&span.parent_span_id), CALLER_SPAN);
    assert_eq!(span.name, "GET /v1/models");
    assert_eq!(onward, format!("00-{TRACE}-{}-01", hex(&span.span_id)));
    // A trace tells no secret.
    let everything = format!("{arrived:?}");
    assert!(
        !everything.contains(&server.key[16..]),
        "a trace holds the key"
    );
}
