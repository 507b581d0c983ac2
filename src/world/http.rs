//! A small HTTP server: bounded connections, bodies, times and memory. What is asked and answered is somebody else's.
//!
//! HTTP/1.1 by hyper, nothing encrypted. A client that is slow, silent or too many is let go; nobody waits for it.

use std::convert::Infallible;
use std::io::Read;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{self, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{sleep, timeout};

/// Connections at a time; further ones wait in the system's queue.
const CONNECTIONS: usize = 512;
/// Time for a request line with its headers, and between two requests.
const HEADER_TIME: Duration = Duration::from_secs(10);
/// Time for a body.
const BODY_TIME: Duration = Duration::from_secs(15);
/// A connection that lives longer is asked to leave after the request that it is in.
const CONNECTION_TIME: Duration = Duration::from_secs(600);
/// Time for what is under way when a connection or the server is to end.
const LEAVE_TIME: Duration = Duration::from_secs(20);
const HEADER_BYTES: usize = 64 << 10;
/// Bodies of full size that may be in memory at a time, read or unpacked.
const BODIES: usize = 8;
/// How much of a body that is too large is read all the same, in limits: a client that is still sending does not read answers.
const PATIENCE: usize = 4;
/// After a failed `accept`, such as for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Room is counted in these.
const UNIT: usize = 1 << 10;

/// Listens, and does not answer yet.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
}

/// A request whose body was not read yet.
pub struct Request {
    inner: hyper::Request<Incoming>,
    limit: usize,
    room: Arc<Semaphore>,
}

/// The body of a request as it was sent.
pub struct Packed {
    bytes: Vec<u8>,
    encoding: String,
    limit: usize,
    room: Room,
}

/// Memory for what was received, taken until the value is gone.
#[derive(Debug)]
pub struct Room {
    all: Arc<Semaphore>,
    taken: Option<OwnedSemaphorePermit>,
}

/// Why there is no body.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    #[error("the body is larger than {0} bytes (`[serve] body_mib`)")]
    TooLarge(usize),
    #[error("the body did not arrive within {} seconds", BODY_TIME.as_secs())]
    TooSlow,
    #[error("too much is being received already")]
    Full,
    #[error("the content encoding `{0}` is not known; `gzip`, `deflate` and none are")]
    Encoding(String),
    #[error("the body is damaged: {0}")]
    Damaged(String),
}

/// The answer to a request.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub content_type: &'static str,
    pub body: Vec<u8>,
    /// Seconds after which it is worth trying again.
    pub retry_after: Option<u64>,
    /// The one method that the path takes, when it was not that one.
    pub allow: Option<&'static str>,
}

impl Server {
    /// Listens at `address`, such as `127.0.0.1:4318`; port 0 is any that is free.
    ///
    /// # Errors
    /// When it is no address of this machine, or somebody listens there.
    pub async fn bind(address: &str) -> Result<Self> {
        let listener = TcpListener::bind(address).await.with_context(|| format!("listening at `{address}`"))?;
        let address = listener.local_addr().with_context(|| format!("listening at `{address}`"))?;
        Ok(Server { listener, address })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until `stop`, then lets what is under way end. Bodies have at most `limit` bytes, unpacked too.
    pub async fn run<H, F>(self, limit: usize, answer: H, stop: impl Future<Output = ()>)
    where
        H: Fn(Request) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Answer> + Send + 'static,
    {
        let seats = Arc::new(Semaphore::new(CONNECTIONS));
        let room = Arc::new(Semaphore::new(limit.div_ceil(UNIT).saturating_mul(BODIES).min(Semaphore::MAX_PERMITS)));
        let (stopping, stopped) = watch::channel(());
        let accepting = async {
            loop {
                let Ok(seat) = seats.clone().acquire_owned().await else { return };
                match self.listener.accept().await {
                    Ok((stream, _)) => {
                        let (answer, room) = (answer.clone(), room.clone());
                        let answer = move |inner| answer(Request { inner, limit, room: room.clone() });
                        tokio::spawn(connection(stream, seat, answer, stopped.clone()));
                    }
                    Err(error) => {
                        tracing::warn!("a connection was not accepted: {error}");
                        sleep(ACCEPT_PAUSE).await;
                    }
                }
            }
        };
        tokio::select! {
            () = accepting => {}
            () = stop => {}
        }
        drop(self.listener);
        drop(stopping);
        let all = u32::try_from(CONNECTIONS).unwrap_or(u32::MAX);
        if timeout(LEAVE_TIME, seats.acquire_many(all)).await.is_err() {
            tracing::warn!("some requests did not end in time");
        }
    }
}

/// Answers the requests of one connection.
async fn connection<H, F>(stream: TcpStream, seat: OwnedSemaphorePermit, answer: H, mut stopped: watch::Receiver<()>)
where
    H: Fn(hyper::Request<Incoming>) -> F + Send + 'static,
    F: Future<Output = Answer> + Send + 'static,
{
    let _ = stream.set_nodelay(true);
    let service = service_fn(|request| {
        let answer = answer(request);
        async move { Ok::<_, Infallible>(answer.await.into_response()) }
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEADER_TIME).max_buf_size(HEADER_BYTES);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    tokio::select! {
        // What went wrong is the client's business: it is gone.
        _ = connection.as_mut() => {}
        () = async { tokio::select! { _ = stopped.changed() => {}, () = sleep(CONNECTION_TIME) => {} } } => {
            connection.as_mut().graceful_shutdown();
            let _ = timeout(LEAVE_TIME, connection).await;
        }
    }
    drop(seat);
}

impl Request {
    /// `POST`
    pub fn method(&self) -> &str {
        self.inner.method().as_str()
    }

    /// The path without its query.
    pub fn path(&self) -> &str {
        self.inner.uri().path()
    }

    /// A header, when it is there and is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.inner.headers().get(name)?.to_str().ok()
    }

    /// Receives the body.
    ///
    /// # Errors
    /// When it does not come whole, in time, and within the limits.
    pub async fn body(self) -> Result<Packed, BodyError> {
        let encoding = self.header(header::CONTENT_ENCODING.as_str()).unwrap_or_default().to_ascii_lowercase();
        if !matches!(encoding.as_str(), "" | "identity" | "gzip" | "deflate") {
            return Err(BodyError::Encoding(encoding.chars().take(40).collect()));
        }
        let mut packed = Packed { bytes: Vec::new(), encoding, limit: self.limit, room: Room { all: self.room, taken: None } };
        match timeout(BODY_TIME, packed.receive(self.inner.into_body())).await {
            Ok(received) => received.map(|()| packed),
            Err(_) => Err(BodyError::TooSlow),
        }
    }
}

impl Packed {
    async fn receive(&mut self, mut body: Incoming) -> Result<(), BodyError> {
        let mut received = 0;
        let mut refused = None;
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| BodyError::Damaged(error.to_string()))?;
            let Some(data) = frame.data_ref() else { continue };
            received += data.len();
            if refused.is_none() && received > self.limit {
                refused = Some(BodyError::TooLarge(self.limit));
            } else if refused.is_none() && !self.room.grow_to(received) {
                refused = Some(BodyError::Full);
            }
            match refused {
                None => self.bytes.extend_from_slice(data),
                Some(_) => self.bytes = Vec::new(),
            }
            if received > self.limit.saturating_mul(PATIENCE) {
                break;
            }
        }
        refused.map_or(Ok(()), Err)
    }

    /// The body as it is meant, with the room that it takes. This computes, so it is not for the thread that serves.
    ///
    /// # Errors
    /// When it is not what its encoding says, or too large.
    pub fn unpack(mut self) -> Result<(Vec<u8>, Room), BodyError> {
        let bytes = match self.encoding.as_str() {
            "gzip" => self.inflate(flate2::read::MultiGzDecoder::new)?,
            "deflate" => self.inflate(flate2::read::ZlibDecoder::new)?,
            _ => std::mem::take(&mut self.bytes),
        };
        Ok((bytes, self.room))
    }

    fn inflate<'a, R: Read>(&'a mut self, decoder: impl FnOnce(&'a [u8]) -> R) -> Result<Vec<u8>, BodyError> {
        let (mut reader, mut bytes) = (decoder(&self.bytes), Vec::new());
        // In steps, so that no more is unpacked than there is room for.
        loop {
            let step = (&mut reader).take(64 * UNIT as u64).read_to_end(&mut bytes);
            let step = step.map_err(|error| BodyError::Damaged(error.to_string()))?;
            if bytes.len() > self.limit {
                return Err(BodyError::TooLarge(self.limit));
            }
            if !self.room.grow_to(self.bytes.len() + bytes.len()) {
                return Err(BodyError::Full);
            }
            if step == 0 {
                return Ok(bytes);
            }
        }
    }
}

impl Room {
    /// Takes more, up to so many bytes; false when there is none left.
    fn grow_to(&mut self, bytes: usize) -> bool {
        let taken = self.taken.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let Some(more) = bytes.div_ceil(UNIT).checked_sub(taken).filter(|more| *more > 0) else { return true };
        let Ok(more) = u32::try_from(more) else { return false };
        match (self.all.clone().try_acquire_many_owned(more), &mut self.taken) {
            (Ok(permit), Some(taken)) => taken.merge(permit),
            (Ok(permit), empty) => *empty = Some(permit),
            (Err(_), _) => return false,
        }
        true
    }
}

impl Answer {
    fn into_response(self) -> hyper::Response<Full<Bytes>> {
        let mut response = hyper::Response::new(Full::new(Bytes::from(self.body)));
        *response.status_mut() = hyper::StatusCode::from_u16(self.status).unwrap_or(hyper::StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(method) = self.allow {
            headers.insert(header::ALLOW, HeaderValue::from_static(method));
        }
        response
    }
}
