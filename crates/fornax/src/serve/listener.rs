//! The listening socket: HTTP/1.1 and HTTP/2 on one port, TLS when configured.

use std::net::{IpAddr, SocketAddr, TcpListener};
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use axum_server::accept::NoDelayAcceptor;
use axum_server::tls_rustls::{RustlsAcceptor, RustlsConfig};
use axum_server::{Handle, Server};
use hyper_util::rt::TokioTimer;

use super::first_bytes::FirstBytes;
use crate::config::keys::ServerSettings;
use crate::exit::{Ended, Exit};

/// A client that has not sent its request's head by then does not mean to.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// Requests in flight on one HTTP/2 connection.
const STREAMS_MAX: u32 = 256;
/// A peer that went away without a word is noticed after these two together.
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(20);

/// A bound socket, not yet accepting.
pub struct Bound {
    listener: TcpListener,
    /// Where it listens, the port resolved.
    pub address: SocketAddr,
    /// The same as a client on this machine needs it.
    pub url: String,
    /// Stops it.
    pub handle: Handle<SocketAddr>,
    /// The certificate, when there is one.
    pub tls: Option<RustlsConfig>,
}

/// Refuses to show keys and prompts to a network in clear.
///
/// # Errors
/// The address is not loopback and neither TLS nor the explicit permission is configured.
pub fn check_exposure(server: &ServerSettings) -> anyhow::Result<()> {
    let loopback = match server.bind.ip() {
        IpAddr::V4(address) => address.is_loopback(),
        IpAddr::V6(address) => {
            address.is_loopback()
                || address
                    .to_ipv4_mapped()
                    .is_some_and(|mapped| mapped.is_loopback())
        }
    };
    if loopback || server.tls_cert.is_some() || server.allow_insecure_bind {
        return Ok(());
    }
    Err(Ended::error(
        Exit::Configuration,
        format!(
            "{} is reachable from other machines, and without TLS keys and prompts would cross the network in clear: \
             give --tls-cert and --tls-key, bind to 127.0.0.1, or, behind a proxy that does TLS, allow it with \
             --allow-insecure-bind",
            server.bind
        ),
    ))
}

/// Binds the socket and reads the certificate.
///
/// # Errors
/// The address is taken or not ours, or the certificate is not valid.
pub async fn bind(server: &ServerSettings) -> anyhow::Result<Bound> {
    let tls = match (&server.tls_cert, &server.tls_key) {
        (Some(certificate), Some(key)) => Some(
            RustlsConfig::from_pem_file(certificate, key)
                .await
                .with_context(|| {
                    format!(
                        "could not use the certificate {} with the key {}",
                        certificate.display(),
                        key.display()
                    )
                })?,
        ),
        _ => None,
    };
    let listener = TcpListener::bind(server.bind).with_context(|| {
        format!(
            "could not listen on {}; --bind chooses another address",
            server.bind
        )
    })?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let scheme = if tls.is_some() { "https" } else { "http" };
    // What listens everywhere is reached on loopback from here.
    let reachable = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => SocketAddr::from(([127, 0, 0, 1], address.port())),
        IpAddr::V6(ip) if ip.is_unspecified() => {
            SocketAddr::from((std::net::Ipv6Addr::LOCALHOST, address.port()))
        }
        _ => address,
    };
    Ok(Bound {
        listener,
        address,
        url: format!("{scheme}://{reachable}"),
        handle: Handle::new(),
        tls,
    })
}

impl Bound {
    /// Accepts connections until the handle ends it. Small writes go out at once, or every streamed token would wait.
    pub fn serve(
        &self,
        router: Router,
    ) -> impl Future<Output = anyhow::Result<()>> + Send + 'static {
        let listener = self.listener.try_clone();
        let (handle, tls) = (self.handle.clone(), self.tls.clone());
        async move {
            let server = axum_server::from_tcp(listener?)?.handle(handle);
            let service = router.into_make_service();
            match tls {
                Some(config) => {
                    let acceptor = RustlsAcceptor::new(config).acceptor(NoDelayAcceptor::new());
                    let acceptor = FirstBytes::new(acceptor, HEAD_TIMEOUT);
                    let mut server = server.acceptor(acceptor);
                    configure(&mut server);
                    server.serve(service).await?;
                }
                None => {
                    let acceptor = FirstBytes::new(NoDelayAcceptor::new(), HEAD_TIMEOUT);
                    let mut server = server.acceptor(acceptor);
                    configure(&mut server);
                    server.serve(service).await?;
                }
            }
            Ok(())
        }
    }
}

fn configure<A: axum_server::Address, Acceptor>(server: &mut Server<A, Acceptor>) {
    let builder = server.http_builder();
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT);
}

/// Reads the certificate again; new connections use it. A certificate that is not valid leaves the old one in use.
pub async fn reload(server: &ServerSettings, tls: &Option<RustlsConfig>) {
    let (Some(config), Some(certificate), Some(key)) = (tls, &server.tls_cert, &server.tls_key)
    else {
        tracing::info!("SIGHUP: there is no certificate to read again");
        return;
    };
    match config.reload_from_pem_file(certificate, key).await {
        Ok(()) => {
            tracing::info!(certificate = %certificate.display(), "the certificate was read again")
        }
        Err(error) => {
            tracing::error!(%error, certificate = %certificate.display(), "the certificate is not valid; the old one stays in use")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Environment, Flags, load};

    fn exposure(values: &[(&str, &str)]) -> bool {
        let values = values
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned(), "--set"))
            .collect();
        let loaded = load(
            &Environment::default(),
            &Flags {
                config: None,
                values,
            },
        )
        .expect("valid");
        check_exposure(&loaded.settings.server).is_ok()
    }

    #[test]
    fn only_loopback_is_served_in_clear() {
        for (bind, allowed) in [
            ("127.0.0.1:1", true),
            ("127.8.8.8:1", true),
            ("[::1]:1", true),
            ("[::ffff:127.0.0.1]:1", true),
            ("0.0.0.0:1", false),
            ("[::]:1", false),
            ("10.0.0.1:1", false),
            ("[::ffff:10.0.0.1]:1", false),
        ] {
            assert_eq!(exposure(&[("server.bind", bind)]), allowed, "{bind}");
            assert!(
                exposure(&[
                    ("server.bind", bind),
                    ("server.allow_insecure_bind", "true")
                ]),
                "{bind}"
            );
            assert!(
                exposure(&[
                    ("server.bind", bind),
                    ("server.tls_cert", "c"),
                    ("server.tls_key", "k")
                ]),
                "{bind}"
            );
        }
    }
}
