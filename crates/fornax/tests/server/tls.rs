//! HTTPS: what the server presents, and how it comes to present another certificate without a restart.

#![expect(clippy::disallowed_methods, reason = "a test writes throw-away files")]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::harness::{PATIENCE, Server, eventually};

/// Writes a fresh self-signed certificate and its key where the server reads them.
fn renew(directory: &Path) -> CertificateDer<'static> {
    let made =
        rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("certificate");
    std::fs::write(directory.join("key.pem"), made.signing_key.serialize_pem()).expect("write");
    std::fs::write(directory.join("cert.pem"), made.cert.pem()).expect("write");
    made.cert.der().clone()
}

/// The answer to a GET over a connection that trusts nothing but `certificate`.
fn get(
    address: &str,
    certificate: &CertificateDer<'static>,
    path: &str,
    key: &str,
) -> std::io::Result<String> {
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).expect("a certificate");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let configuration = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").expect("name");
    let client = ClientConnection::new(Arc::new(configuration), name).expect("client");
    let socket = TcpStream::connect(address)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    let mut connection = StreamOwned::new(client, socket);
    write!(
        connection,
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer)?;
    Ok(answer)
}

#[test]
fn https_is_served_and_a_hang_up_signal_brings_the_new_certificate() {
    let directory = tempfile::tempdir().expect("directory");
    let first = renew(directory.path());
    let path = |name: &str| directory.path().join(name).display().to_string();
    let (certificate, key) = (path("cert.pem"), path("key.pem"));
    let data = directory.path().join("data");
    let mut server = Server::launch(&data, &["--tls-cert", &certificate, "--tls-key", &key]);
    let get = |trusted: &CertificateDer<'static>, path: &str, key: &str| {
        get(&server.address, trusted, path, key)
    };

    let answer = get(&first, "/v1/models", &server.key).expect("TLS");
    assert!(
        answer.starts_with("HTTP/1.1 200") && answer.contains("fornax-nano"),
        "{answer}"
    );
    let denied = get(&first, "/v1/models", "").expect("TLS");
    assert!(denied.starts_with("HTTP/1.1 401"), "{denied}");
    let url = std::fs::read_to_string(data.join("run/url")).expect("url");
    assert!(url.starts_with("https://127.0.0.1:"), "{url}");
    // Who speaks in clear on this port gets no answer to a request.
    let mut plain = TcpStream::connect(&server.address).expect("connect");
    plain.set_read_timeout(Some(PATIENCE)).expect("timeout");
    plain
        .write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .expect("send");
    let mut bytes = Vec::new();
    // An alert or a closed connection, whichever comes first.
    let _ = plain.read_to_end(&mut bytes);
    assert!(!bytes.starts_with(b"HTTP/"), "{bytes:?}");

    let second = renew(directory.path());
    server.signal("HUP");
    eventually("the new certificate", || {
        get(&second, "/livez", "").is_ok().then_some(())
    });
    let error = get(&first, "/livez", "").expect_err("the old certificate is gone");
    assert!(error.to_string().contains("certificate"), "{error}");

    // A file that is no certificate changes nothing.
    std::fs::write(&certificate, "not a certificate").expect("write");
    server.signal("HUP");
    eventually("the complaint", || {
        server
            .log()
            .contains("the old one stays in use")
            .then_some(())
    });
    get(&second, "/livez", "").expect("still served");
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0), "{}", server.log());
}
