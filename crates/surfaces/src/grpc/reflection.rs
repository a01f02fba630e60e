//! Server reflection: tools such as `grpcurl` learn the services and messages from the server itself.
//!
//! Version 1 and, since most tools still ask it first, v1alpha: the messages are the same, only the service's name differs.

use axum::body::{Body, BodyDataStream};
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use bytes::{Buf, Bytes, BytesMut};
use futures::{StreamExt, stream};
use http_body::Frame;
use http_body_util::StreamBody;
use prost::Message;
use service::{Error, ErrorKind};

use super::descriptors::DESCRIPTORS;
use super::frame;
use super::protocol::reflection::server_reflection_request::MessageRequest;
use super::protocol::reflection::server_reflection_response::MessageResponse;
use super::protocol::reflection::{
    ErrorResponse, ExtensionNumberResponse, FileDescriptorResponse, ListServiceResponse,
    ServerReflectionRequest, ServerReflectionResponse, ServiceResponse,
};
use crate::failure::{self, Failure, Surface};
use crate::state::App;

/// Longest question: names are short.
const QUESTION_BYTES_MAX: usize = 64 << 10;

/// Most questions on one stream; a tool that wants every file asks once for each.
const QUESTIONS_MAX: usize = 1_000;

/// Answers questions until there are no more.
pub async fn answer(State(app): State<App>, request: Request) -> Response {
    if let Err(error) = super::check_transport(&request) {
        return Failure::new(Surface::Grpc, error).into_response();
    }
    let conversation = Conversation {
        app,
        questions: request.into_body().into_data_stream(),
        buffer: BytesMut::new(),
        asked: 0,
        ended: false,
    };
    frame::response(Body::new(StreamBody::new(stream::unfold(
        conversation,
        next,
    ))))
}

struct Conversation {
    app: App,
    questions: BodyDataStream,
    /// What has arrived and is not yet a whole question.
    buffer: BytesMut,
    asked: usize,
    ended: bool,
}

/// The next answer; behind the last one the trailers, and then nothing.
async fn next(mut talk: Conversation) -> Option<(Result<Frame<Bytes>, axum::Error>, Conversation)> {
    if talk.ended {
        return None;
    }
    let waiting = tokio::time::timeout(talk.app.options.body_timeout, talk.question());
    let question = match waiting.await {
        Ok(question) => question,
        Err(_elapsed) => Err(Error::new(
            ErrorKind::DeadlineExceeded,
            "no question came for too long",
        )),
    };
    let frame = match question {
        Ok(Some(question)) => Frame::data(frame::framed(&reply(question))),
        Ok(None) => {
            talk.ended = true;
            Frame::trailers(frame::good())
        }
        Err(error) => {
            talk.ended = true;
            Frame::trailers(failure::grpc_status(&error))
        }
    };
    Some((Ok(frame), talk))
}

impl Conversation {
    async fn question(&mut self) -> Result<Option<ServerReflectionRequest>, Error> {
        loop {
            if self.buffer.len() >= frame::HEAD_BYTES {
                let length = frame::length(&self.buffer)?;
                if length > QUESTION_BYTES_MAX {
                    let message = format!("a question is longer than {QUESTION_BYTES_MAX} bytes");
                    return Err(Error::new(ErrorKind::TooLarge, message));
                }
                if self.buffer.len() >= frame::HEAD_BYTES + length {
                    self.buffer.advance(frame::HEAD_BYTES);
                    let bytes = self.buffer.split_to(length);
                    return self.read(&bytes).map(Some);
                }
            }
            match self.questions.next().await {
                None if self.buffer.is_empty() => return Ok(None),
                None => return Err(invalid("the last question breaks off".to_owned())),
                Some(Ok(bytes)) => self.buffer.extend_from_slice(&bytes),
                Some(Err(error)) => return Err(invalid(error.to_string())),
            }
        }
    }

    fn read(&mut self, bytes: &[u8]) -> Result<ServerReflectionRequest, Error> {
        self.asked += 1;
        if self.asked > QUESTIONS_MAX {
            let message = format!("more than {QUESTIONS_MAX} questions on one stream");
            return Err(Error::new(ErrorKind::TooLarge, message));
        }
        ServerReflectionRequest::decode(bytes)
            .map_err(|error| invalid(format!("the question is not valid: {error}")))
    }
}

fn invalid(message: String) -> Error {
    Error::new(ErrorKind::InvalidRequest, message)
}

fn reply(question: ServerReflectionRequest) -> ServerReflectionResponse {
    let answer = match question.message_request.as_ref() {
        Some(MessageRequest::FileByFilename(name)) => {
            files(DESCRIPTORS.files_of_name(name), "file", name)
        }
        Some(MessageRequest::FileContainingSymbol(symbol)) => {
            files(DESCRIPTORS.files_of_symbol(symbol), "symbol", symbol)
        }
        Some(MessageRequest::FileContainingExtension(extension)) => {
            files(None, "extension of", &extension.containing_type)
        }
        Some(MessageRequest::AllExtensionNumbersOfType(name)) => {
            if DESCRIPTORS.message(name).is_some() {
                MessageResponse::AllExtensionNumbersResponse(ExtensionNumberResponse {
                    base_type_name: name.clone(),
                    extension_number: Vec::new(),
                })
            } else {
                files(None, "message", name)
            }
        }
        Some(MessageRequest::ListServices(_)) => {
            let service = DESCRIPTORS
                .services()
                .iter()
                .map(|name| ServiceResponse { name: name.clone() })
                .collect();
            MessageResponse::ListServicesResponse(ListServiceResponse { service })
        }
        None => refusal(ErrorKind::InvalidRequest, "nothing was asked".to_owned()),
    };
    ServerReflectionResponse {
        valid_host: question.host.clone(),
        original_request: Some(question),
        message_response: Some(answer),
    }
}

fn files(found: Option<Vec<Vec<u8>>>, what: &str, name: &str) -> MessageResponse {
    match found {
        Some(file_descriptor_proto) => {
            MessageResponse::FileDescriptorResponse(FileDescriptorResponse {
                file_descriptor_proto,
            })
        }
        None => refusal(ErrorKind::NotFound, format!("there is no {what} `{name}`")),
    }
}

fn refusal(kind: ErrorKind, error_message: String) -> MessageResponse {
    MessageResponse::ErrorResponse(ErrorResponse {
        error_code: failure::grpc_code(kind).into(),
        error_message,
    })
}
