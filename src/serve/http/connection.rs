//! Connections: who is taken, encryption, the mending of odd heads, then the HTTP library.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::{Extension, Router};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::{Instant, Sleep, sleep, timeout, timeout_at};
use tokio_rustls::TlsAcceptor;

use super::clients::lock;
use super::{FAREWELL, Site, api};
use crate::protocol::http::{LONGEST, Verdict, read};

/// Silence that ends the head of a client which never sends its end.
const SILENCE: Duration = Duration::from_millis(200);

/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// How long a client may take nothing of what it is sent.
const STALL: Duration = Duration::from_secs(30);

/// How long an idle connection is kept.
const IDLE: Duration = Duration::from_secs(30);

/// How long somebody who has to go may take.
const ROOM: Duration = Duration::from_millis(100);

/// Bytes of a head, and of what is buffered for one connection.
const HEAD: usize = 128 * 1024;

/// Requests at once on one connection (HTTP/2).
const STREAMS: u32 = 64;

/// Who is at the other end of a connection. Whoever holds it keeps its seat.
#[derive(Clone)]
pub struct Peer {
    /// The address.
    pub address: SocketAddr,
    busy: Busy,
    _seat: Arc<OwnedSemaphorePermit>,
}

/// Takes connections until the server stops.
pub async fn accept(site: Arc<Site>, listener: TcpListener, encryption: Option<Arc<ServerConfig>>) {
    let acceptor = encryption.map(TlsAcceptor::from);
    let router = api::router(&site);
    let hall = Hall::default();
    loop {
        let accepted = tokio::select! {
            () = site.stopped() => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, address)) = accepted else {
            // Out of descriptors: the clients that are here go on.
            sleep(Duration::from_millis(50)).await;
            continue;
        };
        let ip = address.ip().to_canonical();
        if !site.settings.allow.is_empty() && !site.settings.allow.contains(&ip) {
            continue;
        }
        let seat = match Arc::clone(&site.seats).try_acquire_owned() {
            Ok(seat) => seat,
            // The oldest for whom nothing is being done makes room; where there is none, the new one is hung up on.
            Err(_) if hall.dismiss() => match timeout(ROOM, Arc::clone(&site.seats).acquire_owned()).await {
                Ok(Ok(seat)) => seat,
                _ => continue,
            },
            Err(_) => continue,
        };
        let busy = Busy::default();
        let (guest, dismissed) = hall.enter(Arc::clone(&busy));
        let peer = Peer { address, busy, _seat: Arc::new(seat) };
        let (site, router, acceptor) = (Arc::clone(&site), router.clone(), acceptor.clone());
        tokio::spawn(async move {
            let _guest = guest;
            tokio::select! {
                () = welcome(site, router, acceptor, stream, peer) => {}
                _ = dismissed => {}
            }
        });
    }
}

/// The connections, the oldest first, with what tells each of them to go.
#[derive(Clone, Default)]
struct Hall(Arc<Mutex<BTreeMap<u64, Place>>>);

/// A connection: whether something is done for it, and what tells it to go.
type Place = (Busy, oneshot::Sender<()>);

/// How many requests of a connection are being answered.
type Busy = Arc<AtomicUsize>;

impl Hall {
    /// Somebody new, who leaves when the first value is dropped; the second ends when it has to go.
    fn enter(&self, busy: Busy) -> (Guest, impl Future<Output = ()> + Send + use<>) {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let (sender, receiver) = oneshot::channel();
        lock(&self.0).insert(number, (busy, sender));
        // The other end goes away only with the connection, or by telling.
        let dismissed = async move { drop(receiver.await) };
        (Guest { hall: self.clone(), number }, dismissed)
    }

    /// Asks the oldest of those for whom nothing is being done to go; `false` when there is none.
    fn dismiss(&self) -> bool {
        let mut guests = lock(&self.0);
        let idle = guests.iter().find(|(_, (busy, _))| busy.load(Ordering::SeqCst) == 0).map(|(number, _)| *number);
        idle.and_then(|number| guests.remove(&number)).is_some_and(|(_, sender)| sender.send(()).is_ok())
    }
}

/// A connection in the hall.
struct Guest {
    hall: Hall,
    number: u64,
}

impl Drop for Guest {
    fn drop(&mut self) {
        lock(&self.hall.0).remove(&self.number);
    }
}

/// A request that is being answered, until it is dropped.
pub struct Working(Busy);

impl Drop for Working {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Peer {
    /// A request of this connection is being answered from now on.
    pub fn working(&self) -> Working {
        self.busy.fetch_add(1, Ordering::SeqCst);
        Working(Arc::clone(&self.busy))
    }
}

async fn welcome(site: Arc<Site>, router: Router, acceptor: Option<TlsAcceptor>, stream: TcpStream, peer: Peer) {
    // Small answers go out at once.
    let _ = stream.set_nodelay(true);
    match acceptor {
        None => serve(&site, router, stream, peer).await,
        Some(acceptor) => {
            if let Ok(Ok(stream)) = timeout(HANDSHAKE, acceptor.accept(stream)).await {
                serve(&site, router, stream, peer).await;
            }
        }
    }
}

/// Speaks HTTP on `stream` until it ends.
async fn serve(site: &Site, router: Router, mut stream: impl Stream, peer: Peer) {
    let Some(begun) = opening(&mut stream, site.settings.patience).await else { return };
    let stream = Patient { stream, begun, taken: 0, stalled: None };
    let router = router.layer(Extension(peer));
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE.max(site.settings.patience))
        .max_buf_size(HEAD)
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(HEAD as u32)
        .keep_alive_interval(Some(IDLE))
        .keep_alive_timeout(IDLE);
    let mut connection =
        pin!(builder.serve_connection_with_upgrades(TokioIo::new(stream), TowerToHyperService::new(router)));
    tokio::select! {
        // What goes wrong on a connection is its client's affair: it sees it end.
        _ = connection.as_mut() => return,
        () = site.stopped() => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ = timeout(FAREWELL, connection).await;
}

/// What comes first on a connection, mended if need be; `None`: too little, for too long.
async fn opening(stream: &mut impl Stream, patience: Duration) -> Option<Vec<u8>> {
    let end = Instant::now() + patience;
    let mut bytes = Vec::new();
    let mut silent = false;
    loop {
        match read(&bytes, silent) {
            Verdict::Proper => return Some(bytes),
            Verdict::Mended { mut head, consumed } => {
                head.extend_from_slice(bytes.get(consumed..).unwrap_or_default());
                return Some(head);
            }
            Verdict::More if bytes.len() > LONGEST => return Some(bytes),
            Verdict::More => {}
        }
        let wait = if bytes.is_empty() || silent { end } else { end.min(Instant::now() + SILENCE) };
        match timeout_at(wait, more(stream, &mut bytes)).await {
            Ok(Ok(0)) if bytes.is_empty() => return None,
            // The end of what a client sends is silence enough.
            Ok(Ok(0)) => {
                return match read(&bytes, true) {
                    Verdict::Mended { head, .. } => Some(head),
                    _ => None,
                };
            }
            Ok(Ok(_)) => silent = false,
            Ok(Err(_)) => return None,
            Err(_) if Instant::now() >= end => return None,
            Err(_) => silent = true,
        }
    }
}

async fn more(stream: &mut impl Stream, bytes: &mut Vec<u8>) -> io::Result<usize> {
    let mut buffer = [0; 8 * 1024];
    let mut buffer = ReadBuf::new(&mut buffer);
    poll_fn(|context| Pin::new(&mut *stream).poll_read(context, &mut buffer)).await?;
    bytes.extend_from_slice(buffer.filled());
    Ok(buffer.filled().len())
}

/// What a connection is made of.
trait Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Stream for S {}

/// A stream whose first bytes were read already, and which ends when its client takes nothing for too long.
struct Patient<S> {
    stream: S,
    begun: Vec<u8>,
    taken: usize,
    stalled: Option<Pin<Box<Sleep>>>,
}

impl<S: Stream> Patient<S> {
    /// Lets `outcome` through, or ends a wait that has been too long.
    fn bounded<T>(&mut self, context: &mut Context<'_>, outcome: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            self.stalled = None;
            return outcome;
        }
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(STALL)));
        ready!(stalled.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: Stream> AsyncRead for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.taken < self.begun.len() {
            let rest = &self.begun[self.taken..];
            let count = rest.len().min(buffer.remaining());
            buffer.put_slice(&rest[..count]);
            self.taken += count;
            return Poll::Ready(Ok(()));
        }
        self.begun = Vec::new();
        self.taken = 0;
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: Stream> AsyncWrite for Patient<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.bounded(context, outcome)
    }
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write_vectored(context, pieces);
        self.bounded(context, outcome)
    }
    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.stream).poll_flush(context);
        self.bounded(context, outcome)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.stream).poll_shutdown(context);
        self.bounded(context, outcome)
    }
}
