//! Handlers of files.

use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Extension, Path, Query, Request, State};
use axum::response::{IntoResponse, Response};
use futures::stream;
use http::{HeaderMap, HeaderValue, header};
use service::files::{FILES_PAGE_MAX, FilesPage, Upload};
use service::{Error, ErrorKind, Identity};

use super::convert::{self, Form};
use super::types::FileDeletedReply;
use crate::listing::{Lengths, ListQuery, ListReply};
use crate::multipart::{Multipart, Piece};
use crate::openai::OpenAiFailure;
use crate::state::App;

type Answer = Result<Response, OpenAiFailure>;
type Id = Result<Path<String>, PathRejection>;

/// OpenAI's lists of files are as long as they may be unless asked otherwise.
const PAGE: Lengths = Lengths {
    usual: FILES_PAGE_MAX,
    max: FILES_PAGE_MAX,
};
/// What a form has around its file at most: more than its parser lets through in heads and fields of a real client.
const FORM_BYTES_MAX: u64 = 1 << 20;
/// How much of a refused form is read and thrown away, and for how long: clients write all of it before they read.
const LINGER_BYTES_MAX: u64 = 256 << 20;
const LINGER_TIME_MAX: Duration = Duration::from_secs(10);

/// `POST /v1/files`
pub async fn upload(
    State(app): State<App>,
    Extension(identity): Extension<Identity>,
    request: Request,
) -> Answer {
    let (head, body) = request.into_parts();
    let mut form = Multipart::new(&head.headers, body, app.options.body_timeout)?;
    let received = receive(&app, &identity, &head.headers, &mut form).await;
    let (upload, fields) = match received {
        Ok(received) => received,
        Err(error) => {
            // A client that asked first (`expect: 100-continue`) sends nothing.
            if !head.headers.contains_key(header::EXPECT) {
                form.linger(LINGER_BYTES_MAX, LINGER_TIME_MAX).await;
            }
            return Err(error.into());
        }
    };
    let new = fields.finish()?;
    let Some(upload) = upload else {
        return Err(Error::new(ErrorKind::Internal, "a form has a file's name and no file").into());
    };
    let file = app.service.file_finish(&identity, upload, new).await?;
    Ok(Json(convert::file_reply(file)).into_response())
}

/// Reads the form to its end; the file goes to disk as it comes.
async fn receive(
    app: &App,
    identity: &Identity,
    headers: &HeaderMap,
    form: &mut Multipart,
) -> Result<(Option<Upload>, Form), Error> {
    let declared = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.parse::<u64>().ok())
        .map(|bytes| bytes.saturating_sub(FORM_BYTES_MAX));
    let (mut upload, mut fields) = (None, Form::default());
    while let Some(piece) = form.next().await? {
        let Piece::Begin(head) = piece else {
            continue;
        };
        if head.name == "file" {
            fields.file(head.filename)?;
            let mut begun = app.service.file_begin(identity, declared).await?;
            while let Some(Piece::Data(bytes)) = form.next().await? {
                begun.write(&bytes).await?;
            }
            upload = Some(begun);
        } else {
            let text = form.text(&head).await?;
            fields.field(&head.name, &text)?;
        }
    }
    Ok((upload, fields))
}

/// `GET /v1/files`
pub async fn list(
    State(app): State<App>,
    Extension(identity): Extension<Identity>,
    query: Result<Query<ListQuery>, QueryRejection>,
) -> Answer {
    let query = ListQuery::of(query)?;
    let wanted = FilesPage {
        page: query.page(PAGE)?,
        purpose: query
            .purpose
            .as_deref()
            .filter(|name| !name.is_empty())
            .map(convert::purpose)
            .transpose()?,
    };
    let page = app.service.file_list(&identity, wanted).await?;
    let reply = ListReply::new(page, convert::file_reply, |file| file.id.clone());
    Ok(Json(reply).into_response())
}

/// `GET /v1/files/{id}`
pub async fn retrieve(
    State(app): State<App>,
    Extension(identity): Extension<Identity>,
    id: Id,
) -> Answer {
    let file = app.service.file(&identity, &text(id)?).await?;
    Ok(Json(convert::file_reply(file)).into_response())
}

/// `DELETE /v1/files/{id}`
pub async fn remove(
    State(app): State<App>,
    Extension(identity): Extension<Identity>,
    id: Id,
) -> Answer {
    let id = text(id)?;
    app.service.file_delete(&identity, &id).await?;
    let reply = FileDeletedReply {
        id,
        object: "file",
        deleted: true,
    };
    Ok(Json(reply).into_response())
}

/// `GET /v1/files/{id}/content`
pub async fn content(
    State(app): State<App>,
    Extension(identity): Extension<Identity>,
    id: Id,
) -> Answer {
    let content = app.service.file_content(&identity, &text(id)?).await?;
    let (length, name) = (content.file.bytes, attachment(&content.file.filename));
    let body = Body::from_stream(stream::try_unfold(content, |content| content.next()));
    let mut response = body.into_response();
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/octet-stream"),
    );
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    headers.insert(header::CONTENT_DISPOSITION, name);
    Ok(response)
}

fn text(id: Id) -> Result<String, Error> {
    id.map(|Path(id)| id)
        .map_err(|_| Error::invalid("id", "the id is not valid UTF-8"))
}

/// The name to save a file under (RFC 8187): nothing of it can end the header.
fn attachment(filename: &str) -> HeaderValue {
    let mut value = String::from("attachment; filename*=UTF-8''");
    for byte in filename.bytes() {
        if byte.is_ascii_alphanumeric() || b"!#$&+-.^_`|~".contains(&byte) {
            value.push(char::from(byte));
        } else {
            value.push_str(&format!("%{byte:02X}"));
        }
    }
    HeaderValue::from_str(&value).unwrap_or_else(|_| HeaderValue::from_static("attachment"))
}
