//! The format against bodies written by hand, whole and in pieces of every size, and against what breaks it.

use axum::body::Body;
use bytes::Bytes;
use futures::stream;
use http::{HeaderMap, HeaderValue};
use std::convert::Infallible;
use std::time::Duration;

use super::parser::{Event, Parser};
use super::*;

type Part = (String, Option<String>, Vec<u8>);

/// All parts of `body`, fed in pieces of `size` bytes.
fn parts(boundary: &str, body: &[u8], size: usize) -> Result<Vec<Part>, String> {
    let mut parser = Parser::new(boundary);
    let mut pieces = body.chunks(size);
    let mut parts: Vec<Part> = Vec::new();
    loop {
        match parser.next().map_err(|error| error.message)? {
            Event::NeedsMore => match pieces.next() {
                Some(piece) => parser.feed(Bytes::copy_from_slice(piece)),
                None => return Err("ended early".into()),
            },
            Event::Begin(head) => parts.push((head.name, head.filename, Vec::new())),
            Event::Data(bytes) => {
                assert!(!bytes.is_empty());
                parts.last_mut().expect("begun").2.extend_from_slice(&bytes);
            }
            Event::EndOfPart => {}
            Event::Done => return Ok(parts),
        }
    }
}

const HEAD: &str =
    "content-disposition: form-data; name=\"file\"; filename=\"a.txt\"\r\ncontent-type: text/plain";

#[test]
fn a_body_is_the_same_in_pieces_of_any_size() {
    let near_boundary = b"\r\n--boundar\r\n--\r\n\r\r\n--bound\0\xff--boundary\r";
    let mut body =
        b"--boundary\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nuser_data\r\n"
            .to_vec();
    body.extend(format!("--boundary  \r\n{HEAD}\r\n\r\n").bytes());
    body.extend(near_boundary);
    body.extend(b"\r\n--boundary\r\nCONTENT-DISPOSITION: form-data; name=empty\r\n\r\n\r\n--boundary--\r\nepilogue");
    let expected = vec![
        ("purpose".to_owned(), None, b"user_data".to_vec()),
        (
            "file".to_owned(),
            Some("a.txt".to_owned()),
            near_boundary.to_vec(),
        ),
        ("empty".to_owned(), None, Vec::new()),
    ];
    for size in 1..=body.len() {
        assert_eq!(
            parts("boundary", &body, size).as_ref(),
            Ok(&expected),
            "pieces of {size}"
        );
    }
}

#[test]
fn names_of_files_are_read_as_clients_write_them() {
    for (written, read) in [
        ("filename=\"a b.txt\"", "a b.txt"),
        ("filename=plain.txt", "plain.txt"),
        ("filename=\"quo\\\"ted.txt\"", "quo\"ted.txt"),
        ("filename=\"quo%22ted.txt\"", "quo\"ted.txt"),
        ("filename=\"C:\\dir\\a.txt\"", "C:\\dir\\a.txt"),
        ("filename=\"semi;colon.txt\"", "semi;colon.txt"),
        (
            "filename=\"x\"; filename*=UTF-8''na%C3%AFve.txt",
            "naïve.txt",
        ),
        ("FileName=\"ü.txt\"", "ü.txt"),
    ] {
        let body = format!(
            "--b\r\ncontent-disposition: form-data; name=file; {written}\r\n\r\nx\r\n--b--"
        );
        let found = parts("b", body.as_bytes(), 7).expect(written);
        assert_eq!(found[0].1.as_deref(), Some(read), "{written}");
    }
}

#[test]
fn what_breaks_the_format_is_named() {
    let part = |head: &str| format!("--b\r\n{head}\r\n\r\nx\r\n--b--");
    let long = format!("{HEAD}\r\nx: {}", "y".repeat(20 << 10));
    let many = format!("{}--b--", format!("--b\r\n{HEAD}\r\n\r\n\r\n").repeat(65));
    for (body, expected) in [
        (String::new(), "ended early"),
        ("--b".into(), "ended early"),
        (format!("--b\r\n{HEAD}"), "ended early"),
        (format!("--b\r\n{HEAD}\r\n\r\nx\r\n--"), "ended early"),
        ("x".repeat(5 << 10), "does not begin with its boundary"),
        (
            part("").replace("\r\n\r\n\r\n", "\r\n\r\n"),
            "no `content-disposition`",
        ),
        (part("content-type: text/plain"), "no `content-disposition`"),
        (part("content-disposition form-data"), "has no colon"),
        (
            part("content-disposition: attachment; name=a"),
            "not `form-data`",
        ),
        (part("content-disposition: form-data"), "has no name"),
        (
            part("content-disposition: form-data; name=\"a"),
            "is malformed",
        ),
        (
            part("content-disposition: form-data; name=\"a\"b"),
            "is malformed",
        ),
        (
            part("content-disposition: form-data; name=a; filename*=latin1''a"),
            "`filename*`",
        ),
        (
            part("content-disposition: form-data; name=a; filename*=UTF-8''%zz"),
            "`filename*`",
        ),
        (
            part(&format!("{HEAD}\r\ncontent-transfer-encoding: base64")),
            "transfer encodings",
        ),
        (part(&long), "more than 16384 bytes"),
        (many, "more than 64 parts"),
        (
            format!("--b\r\n{HEAD}\r\n\r\nx\r\n--by\r\n"),
            "not at the end of its line",
        ),
    ] {
        let error = parts("b", body.as_bytes(), 1_000).expect_err(expected);
        assert!(error.contains(expected), "{error} is not {expected}");
    }
    let mut binary = b"--b\r\ncontent-disposition: form-data; name=\"".to_vec();
    binary.extend(b"\xff\"\r\n\r\nx\r\n--b--");
    assert!(parts("b", &binary, 9).expect_err("UTF-8").contains("UTF-8"));
}

#[test]
fn data_goes_on_at_once() {
    let mut parser = Parser::new("b");
    parser.feed(Bytes::from(format!("--b\r\n{HEAD}\r\n\r\n")));
    assert!(matches!(parser.next(), Ok(Event::Begin(_))));
    for _ in 0..100 {
        parser.feed(Bytes::from(vec![b'\r'; 10_000]));
        let Ok(Event::Data(bytes)) = parser.next() else {
            panic!("data was fed");
        };
        assert!(bytes.len() >= 9_990);
        assert_eq!(parser.next().expect("fine"), Event::NeedsMore);
    }
}

fn headers(kind: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("content-type", HeaderValue::from_str(kind).expect("value"));
    headers
}

#[tokio::test]
async fn only_forms_with_a_boundary_are_read() {
    let long = format!("multipart/form-data; boundary={}", "b".repeat(71));
    for kind in [
        "application/json",
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary=\"a\nb\"",
        "multipart/form-data; boundary=ä",
        "multipart/mixed; boundary=b",
        "multipart/form-data; boundary",
        &long,
    ] {
        let Ok(value) = HeaderValue::from_bytes(kind.as_bytes()) else {
            continue;
        };
        let mut headers = HeaderMap::new();
        headers.insert("content-type", value);
        let error = Multipart::new(&headers, Body::empty(), Duration::from_secs(1));
        assert_eq!(
            error.err().and_then(|error| error.code),
            Some("invalid_multipart"),
            "{kind}"
        );
    }
    assert!(Multipart::new(&HeaderMap::new(), Body::empty(), Duration::from_secs(1)).is_err());
    let quoted = headers("Multipart/Form-Data; charset=utf-8; boundary=\"b c\"");
    assert!(Multipart::new(&quoted, Body::empty(), Duration::from_secs(1)).is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_sender_that_stands_still_is_given_up() {
    let body = Body::from_stream(stream::pending::<Result<Bytes, Infallible>>());
    let headers = headers("multipart/form-data; boundary=b");
    let mut form = Multipart::new(&headers, body, Duration::from_secs(60)).expect("form");
    let error = form.next().await.err().expect("given up");
    assert_eq!(error.code, Some("request_timeout"));
}

#[tokio::test]
async fn texts_of_fields_are_bounded() {
    for (text, fine) in [
        ("x".repeat(64 << 10), true),
        ("x".repeat((64 << 10) + 1), false),
    ] {
        let body =
            format!("--b\r\ncontent-disposition: form-data; name=purpose\r\n\r\n{text}\r\n--b--");
        let headers = headers("multipart/form-data; boundary=b");
        let mut form =
            Multipart::new(&headers, Body::from(body), Duration::from_secs(1)).expect("form");
        let Ok(Some(Piece::Begin(head))) = form.next().await else {
            panic!("a part");
        };
        assert_eq!(form.text(&head).await.is_ok(), fine);
    }
}
