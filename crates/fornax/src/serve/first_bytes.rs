//! Connections must begin. Until the first bytes say which HTTP they speak, the server's own time limit for a request's
//! head does not run, so a peer that connects and says nothing would hold a descriptor for ever.

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum_server::accept::Accept;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

/// What a client of HTTP/2 says first; whatever differs from it is HTTP/1.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Wraps an acceptor; its connections end when they have not begun after the limit.
#[derive(Clone)]
pub struct FirstBytes<A> {
    inner: A,
    limit: Duration,
}

impl<A> FirstBytes<A> {
    /// What `inner` accepts, with `limit` to begin.
    pub fn new(inner: A, limit: Duration) -> Self {
        FirstBytes { inner, limit }
    }
}

impl<A, I, S> Accept<I, S> for FirstBytes<A>
where
    A: Accept<I, S>,
    A::Future: Send + 'static,
{
    type Stream = Beginning<A::Stream>;
    type Service = A::Service;
    type Future = Pin<Box<dyn Future<Output = io::Result<(Self::Stream, Self::Service)>> + Send>>;

    fn accept(&self, stream: I, service: S) -> Self::Future {
        let (accepting, limit) = (self.inner.accept(stream, service), self.limit);
        Box::pin(async move {
            let (stream, service) = accepting.await?;
            Ok((Beginning::new(stream, limit), service))
        })
    }
}

/// A connection that may not have said yet which HTTP it speaks.
pub struct Beginning<I> {
    inner: I,
    /// Bytes of the preface seen so far.
    seen: usize,
    /// `None` once it has begun.
    limit: Option<Pin<Box<Sleep>>>,
}

impl<I> Beginning<I> {
    fn new(inner: I, limit: Duration) -> Self {
        Beginning {
            inner,
            seen: 0,
            limit: Some(Box::pin(tokio::time::sleep(limit))),
        }
    }

    fn note(&mut self, bytes: &[u8]) {
        let expected = &PREFACE[self.seen..];
        let length = bytes.len().min(expected.len());
        self.seen += length;
        if bytes[..length] != expected[..length] || self.seen == PREFACE.len() {
            self.limit = None;
        }
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Beginning<I> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let polled = Pin::new(&mut this.inner).poll_read(context, buffer);
        if let Some(limit) = &mut this.limit {
            match &polled {
                Poll::Ready(Ok(())) => this.note(&buffer.filled()[before..]),
                Poll::Ready(Err(_)) => {}
                Poll::Pending => {
                    if limit.as_mut().poll(context).is_ready() {
                        return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
                    }
                }
            }
        }
        polled
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Beginning<I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// What a read finds after `said` and twice the limit.
    async fn after(said: &[u8]) -> io::Result<usize> {
        let limit = Duration::from_millis(20);
        let (mut client, server) = tokio::io::duplex(64);
        let mut server = Beginning::new(server, limit);
        let mut buffer = [0; 64];
        if !said.is_empty() {
            client.write_all(said).await?;
            assert_eq!(server.read(&mut buffer).await?, said.len());
        }
        let late = tokio::spawn(async move {
            tokio::time::sleep(limit * 4).await;
            client.write_all(b"late").await.map(|()| client)
        });
        let found = AsyncReadExt::read(&mut server, &mut buffer).await;
        drop(late.await);
        found
    }

    #[tokio::test]
    async fn a_connection_that_says_nothing_ends() {
        for said in [&b""[..], b"P", b"PRI * HT"] {
            let error = after(said).await.expect_err("ended");
            assert_eq!(error.kind(), io::ErrorKind::TimedOut, "{said:?}");
        }
    }

    #[tokio::test]
    async fn a_connection_that_has_begun_goes_on() {
        for said in [&b"G"[..], b"PUT", PREFACE] {
            assert_eq!(after(said).await.expect("goes on"), 4, "{said:?}");
        }
    }
}
