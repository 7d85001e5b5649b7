//! Connections that a handler can break before the first byte of the answer is written. All of them
//! break when the service is killed.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::connect_info::Connected;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::serve::{IncomingStream, Listener};
use futures_util::stream::{self, StreamExt as _};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::fault::Failure;

/// Pause after the first half of a truncated answer, so that it is sent before the connection
/// breaks.
const FIRST_HALF: Duration = Duration::from_millis(20);

/// Breaks the connection of a request.
#[derive(Debug, Clone, Default)]
pub(super) struct ConnectionBreaker {
    cut: Arc<AtomicBool>,
}

impl ConnectionBreaker {
    pub(super) fn cut(&self) {
        self.cut.store(true, Ordering::Release);
    }
}

/// A listener whose connections can be broken, and which break when `life` is cancelled.
pub(super) struct BreakableListener {
    pub(super) listener: TcpListener,
    pub(super) life: CancellationToken,
}

/// A connection that can be broken.
pub(super) struct BreakableConnection {
    stream: TcpStream,
    breaker: ConnectionBreaker,
    killed: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl Listener for BreakableListener {
    type Io = BreakableConnection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (BreakableConnection, SocketAddr) {
        let (stream, from) = Listener::accept(&mut self.listener).await;
        let killed = Box::pin(self.life.clone().cancelled_owned());
        (BreakableConnection { stream, breaker: ConnectionBreaker::default(), killed }, from)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

impl Connected<IncomingStream<'_, BreakableListener>> for ConnectionBreaker {
    fn connect_info(stream: IncomingStream<'_, BreakableListener>) -> Self {
        stream.io().breaker.clone()
    }
}

impl BreakableConnection {
    fn check(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let is_killed = self.killed.as_mut().poll(cx).is_ready();
        if is_killed || self.breaker.cut.load(Ordering::Acquire) {
            // A reset instead of an orderly close, so that unread data is lost.
            drop(self.stream.set_zero_linger());
            return Err(io::Error::from(io::ErrorKind::ConnectionReset));
        }
        Ok(())
    }
}

impl AsyncRead for BreakableConnection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check(cx)?;
        Pin::new(&mut self.stream).poll_read(cx, into)
    }
}

impl AsyncWrite for BreakableConnection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.check(cx)?;
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl Failure {
    /// Applies the failure to an answer on its way. An error of OpenCRVS is an answer already.
    pub(super) async fn apply(self, answer: Response, connection: &ConnectionBreaker) -> Response {
        match self {
            Self::Http(status) => {
                let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
                (status, "<html><body>Bad Gateway</body></html>").into_response()
            }
            Self::NotJson => "<html><body>Welcome</body></html>".into_response(),
            Self::Hang => std::future::pending().await,
            Self::Slow(ms) => {
                tokio::time::sleep(Duration::from_millis(ms)).await;
                answer
            }
            Self::Cut => {
                connection.cut();
                answer
            }
            Self::Truncated => truncated(answer).await,
            Self::Error(_) => answer,
        }
    }
}

/// The same answer, but the connection ends in the middle of the body.
async fn truncated(answer: Response) -> Response {
    let (mut parts, body) = answer.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap_or_default();
    parts.headers.insert(header::CONTENT_LENGTH, header::HeaderValue::from(body.len()));
    let half = Ok::<_, io::Error>(body.slice(..body.len() / 2));
    let end = async {
        tokio::time::sleep(FIRST_HALF).await;
        Err::<Bytes, _>(io::Error::from(io::ErrorKind::ConnectionReset))
    };
    Response::from_parts(parts, Body::from_stream(stream::iter([half]).chain(stream::once(end))))
}
