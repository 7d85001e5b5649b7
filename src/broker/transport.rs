//! Connects lapin to the broker through the [`FrameFilter`].
//!
//! lapin accepts only streams of its runtime's own type, so this module has a runtime that is tokio
//! with another stream type.
//!
//! Invariant: every connection that consumes is opened here. TLS is decrypted before the filter, so
//! the filter sees the same bytes as lapin would.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use async_rs::traits::{Executor, Reactor, RuntimeKit};
use async_rs::util::Task;
use async_rs::{Runtime, Tokio};
use futures_util::Stream;
use futures_util::io::{AsyncRead, AsyncWrite};
use lapin::tcp::{AMQPUriTcpExt as _, AsyncTcpStream, OwnedTLSConfig};
use lapin::uri::AMQPUri;
use lapin::{Connection, ConnectionProperties};

use super::frames::FrameFilter;

const CHUNK: usize = 64 * 1024;

/// Opens a connection whose incoming frames are filtered.
pub(super) async fn connect(uri: AMQPUri, properties: ConnectionProperties) -> lapin::Result<Connection> {
    let kit = FilteredRuntime(Tokio::current());
    let tokio = Runtime::new(kit.0.clone());
    let connect = async move |uri: AMQPUri, _: Runtime<FilteredRuntime>| {
        let config = OwnedTLSConfig::default();
        let stream = uri.connect_with_config_async(config.as_ref(), &tokio).await?;
        Ok(AsyncTcpStream::Plain(FilteredStream::new(stream)))
    };
    Connection::connector(uri, Runtime::new(kit), connect, properties).await
}

type Socket = AsyncTcpStream<<Tokio as Reactor>::TcpStream>;

/// A stream that returns only filtered bytes to its reader.
struct FilteredStream {
    socket: Socket,
    filter: FrameFilter,
    chunk: Box<[u8]>,
    ready: Vec<u8>,
    /// Bytes of `ready` that the reader already has.
    read: usize,
}

impl FilteredStream {
    fn new(socket: Socket) -> Self {
        Self {
            socket,
            filter: FrameFilter::default(),
            chunk: vec![0; CHUNK].into(),
            ready: Vec::new(),
            read: 0,
        }
    }
}

impl AsyncRead for FilteredStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        loop {
            let mut waiting = this.ready.get(this.read..).unwrap_or_default();
            if !waiting.is_empty() {
                let read = waiting.read(buf)?;
                this.read += read;
                return Poll::Ready(Ok(read));
            }
            this.ready.clear();
            this.read = 0;
            let came = ready!(Pin::new(&mut this.socket).poll_read(cx, &mut this.chunk))?;
            if came == 0 {
                return Poll::Ready(Ok(0));
            }
            this.filter.feed(this.chunk.get(..came).unwrap_or_default(), &mut this.ready);
        }
    }
}

impl AsyncWrite for FilteredStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().socket).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().socket).poll_write_vectored(cx, bufs)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_flush(cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_close(cx)
    }
}

/// tokio with `FilteredStream` as its stream type.
#[derive(Debug, Clone)]
struct FilteredRuntime(Tokio);

impl RuntimeKit for FilteredRuntime {}

impl Executor for FilteredRuntime {
    type Task<T: Send + 'static> = <Tokio as Executor>::Task<T>;

    fn block_on<T, F: Future<Output = T>>(&self, future: F) -> T {
        self.0.block_on(future)
    }

    fn spawn<T: Send + 'static, F: Future<Output = T> + Send + 'static>(
        &self,
        future: F,
    ) -> Task<Self::Task<T>> {
        self.0.spawn(future)
    }

    fn spawn_blocking<T: Send + 'static, F: FnOnce() -> T + Send + 'static>(
        &self,
        call: F,
    ) -> Task<Self::Task<T>> {
        self.0.spawn_blocking(call)
    }
}

impl Reactor for FilteredRuntime {
    type TcpStream = FilteredStream;
    type Sleep = <Tokio as Reactor>::Sleep;

    /// Never called, because lapin connects only through [`connect`].
    fn register<H: Read + Write + Send + 'static>(
        &self,
        _: H,
    ) -> io::Result<impl AsyncRead + AsyncWrite + Send + Unpin + 'static> {
        Err::<FilteredStream, _>(io::ErrorKind::Unsupported.into())
    }

    fn sleep(&self, duration: Duration) -> Self::Sleep {
        self.0.sleep(duration)
    }

    fn interval(&self, duration: Duration) -> impl Stream<Item = Instant> + Send + 'static {
        self.0.interval(duration)
    }

    fn tcp_connect_addr(
        &self,
        address: SocketAddr,
    ) -> impl Future<Output = io::Result<Self::TcpStream>> + Send + 'static {
        let connecting = self.0.tcp_connect_addr(address);
        async move { Ok(FilteredStream::new(AsyncTcpStream::Plain(connecting.await?))) }
    }
}
