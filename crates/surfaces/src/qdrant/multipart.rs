//! The file of a form, piece by piece as it comes.

use bytes::Bytes;
use futures::{StreamExt, stream};
use multer::Multipart;
use service::collections::Pieces;
use service::{Error, ErrorKind};

/// Field of the form that holds the file.
const FIELD: &str = "snapshot";

/// The boundary between the parts of a form.
pub fn boundary(content_type: &str) -> Option<String> {
    multer::parse_boundary(content_type).ok()
}

/// The pieces of the form's file: the field `snapshot`, or the first that has a file's name.
pub fn file(body: Pieces, boundary: &str) -> Pieces {
    let body = body.map(|piece| piece.map(Bytes::from).map_err(Carried));
    let form = Multipart::new(body, boundary);
    let pieces = stream::unfold(State::Searching(form), |state| async move {
        let (mut field, form) = match state {
            State::Done => return None,
            State::Within(field, form) => (field, form),
            State::Searching(mut form) => loop {
                match form.next_field().await {
                    Ok(Some(field)) => {
                        if field.name() == Some(FIELD) || field.file_name().is_some() {
                            break (Box::new(field), form);
                        }
                    }
                    Ok(None) => {
                        let message = format!("the form has no file in its field `{FIELD}`");
                        let error = Error::new(ErrorKind::InvalidRequest, message);
                        return Some((Err(error), State::Done));
                    }
                    Err(error) => return Some((Err(failure(error)), State::Done)),
                }
            },
        };
        match field.chunk().await {
            Ok(Some(piece)) => Some((Ok(piece.to_vec()), State::Within(field, form))),
            Ok(None) => None,
            Err(error) => Some((Err(failure(error)), State::Done)),
        }
    });
    pieces.boxed()
}

enum State {
    Searching(Multipart<'static>),
    /// The form is kept: its end would end the field.
    Within(Box<multer::Field<'static>>, Multipart<'static>),
    Done,
}

/// Our own error on its way through the reader of forms.
#[derive(Debug)]
struct Carried(Error);

impl std::fmt::Display for Carried {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(formatter)
    }
}

impl std::error::Error for Carried {}

fn failure(error: multer::Error) -> Error {
    if let multer::Error::StreamReadFailed(inner) = &error
        && let Some(Carried(ours)) = inner.downcast_ref()
    {
        return ours.clone();
    }
    Error::new(
        ErrorKind::InvalidRequest,
        format!("the form could not be read: {error}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(form: &str) -> Result<Vec<u8>, Error> {
        let boundary = boundary("multipart/form-data; boundary=XX").expect("a boundary");
        let bytes = form.replace('\n', "\r\n").into_bytes();
        // One byte at a time: nothing may depend on where pieces end.
        let pieces: Vec<_> = bytes.into_iter().map(|byte| Ok(vec![byte])).collect();
        let mut file = file(stream::iter(pieces).boxed(), &boundary);
        let mut all = Vec::new();
        while let Some(piece) = file.next().await {
            all.extend(piece?);
        }
        Ok(all)
    }

    #[tokio::test]
    async fn the_file_of_a_form_is_found_among_its_fields() {
        let form = "--XX\nContent-Disposition: form-data; name=\"other\"\n\nno\n--XX\nContent-Disposition: form-data; name=\"snapshot\"; filename=\"a.tar\"\nContent-Type: application/octet-stream\n\nbytes\nof it\n--XX--\n";
        assert_eq!(read(form).await, Ok(b"bytes\r\nof it".to_vec()));
    }

    #[tokio::test]
    async fn a_form_without_a_file_or_without_an_end_is_refused() {
        for form in [
            "--XX\nContent-Disposition: form-data; name=\"other\"\n\nno\n--XX--\n",
            "--XX\nContent-Disposition: form-data; name=\"snapshot\"\n\nhalf",
            "garbage",
        ] {
            let error = read(form).await.expect_err("refused");
            assert_eq!(error.kind, ErrorKind::InvalidRequest, "{form}");
        }
    }
}
