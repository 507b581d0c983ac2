//! The way out of a run that may reach some endpoints: a proxy on a thread of ours that listens in the run's own network, where nothing else
//! is, and connects to who is on the list. It looks up names itself, opens nothing that is encrypted, and ends with the run.
//!
//! | what comes | then |
//! |---|---|
//! | `CONNECT` to an endpoint of the list | bytes go to and fro |
//! | `GET http://…` and others, to an endpoint that may be asked unencrypted | one request is passed on, to that server |
//! | either to anybody else | 403, and it is noted |
//! | a name that leads to this machine, the local link or a service of the cloud's own | 403, unless the list has that address itself |
//! | more than the traffic of a run | everything is closed, and it is noted |
//!
//! Deliberately not here: what an endpoint is, and who is on the list: that is `[agent]`.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use hyper::Uri;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, Interest};
use tokio::net::{TcpListener, TcpStream, lookup_host, tcp};
use tokio::sync::{Semaphore, oneshot};
use tokio::time::{sleep, timeout};
use tower_service::Service as _;

use super::head::{self, HEAD, Head};
use crate::config::Endpoint;
use crate::model::plain_line;
use crate::world::sandbox::received;
use crate::world::way::{CONNECT_TIME, Through};

/// Connections at a time; further ones wait in the system's queue.
const CONNECTIONS: usize = 64;
/// Time for the head of a request.
const HEAD_TIME: Duration = Duration::from_secs(10);
/// Bytes that are moved at a time.
const PIECE: usize = 16 << 10;
/// Places that are noted; further ones are counted.
const NOTED: usize = 16;
/// Characters of a place that are noted.
const PLACE: usize = 120;
/// How much is still read of a request that was refused, and how long: who is still sending does not read answers.
const PATIENCE: (usize, Duration) = (1 << 20, Duration::from_secs(2));
/// After a failed `accept`, such as for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Time for a name that is being looked up when everything ends: such a thread cannot be told to stop.
const END_TIME: Duration = Duration::from_millis(500);

/// Who may be reached, and how much may be said.
#[derive(Clone, Debug)]
pub struct Reach {
    pub endpoints: Vec<Endpoint>,
    /// Bytes in both directions.
    pub bytes: u64,
}

/// What came and went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Places that were wanted, as they were named, and why nobody was reached; at most sixteen.
    pub refused: BTreeMap<String, String>,
    /// Wishes that were refused, all of them.
    pub refusals: u64,
    /// Connections to each endpoint, and bytes to it and from it.
    pub reached: BTreeMap<String, [u64; 3]>,
    /// It was more than a run may have.
    pub over: bool,
    /// All bytes.
    bytes: u64,
}

/// A proxy that ends with the value.
pub struct Outlet {
    inner: Arc<OwnedFd>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    traffic: Arc<Mutex<Traffic>>,
}

impl Outlet {
    /// Begins to wait for a listener, which a run makes that is started with [`Outlet::socket`].
    ///
    /// # Errors
    /// When the system has no room for another thread or its descriptors.
    pub fn open(reach: Reach) -> io::Result<Outlet> {
        let (ours, theirs) = UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel();
        let traffic = Arc::new(Mutex::new(Traffic::default()));
        let shared = Arc::new(Shared { allowed: reach, through: Through::of_environment(), traffic: traffic.clone() });
        let thread = std::thread::Builder::new().name("outlet".into()).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    served = serve(ours, shared) => if let Err(error) = served { tracing::debug!("no outlet: {error}") },
                    _ = stopped => {}
                }
            });
            runtime.shutdown_timeout(END_TIME);
        })?;
        Ok(Outlet { inner: Arc::new(theirs.into()), stop: Some(stop), thread: Some(thread), traffic })
    }

    /// Through this the listener comes.
    pub fn socket(&self) -> Arc<OwnedFd> {
        self.inner.clone()
    }

    /// Ends it with all its connections. What came and went.
    pub fn close(mut self) -> Traffic {
        self.end();
        lock(&self.traffic).clone()
    }

    fn end(&mut self) {
        self.stop = None;
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

impl Drop for Outlet {
    fn drop(&mut self) {
        self.end();
    }
}

/// Whether each endpoint answers, on the way that a run would go to it. Nothing is asked of it.
///
/// # Errors
/// When the system has no room for what that takes.
pub fn probe(endpoints: &[Endpoint]) -> io::Result<Vec<Result<(), String>>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let allowed = Reach { endpoints: endpoints.to_vec(), bytes: u64::MAX };
    let shared = Shared { allowed, through: Through::of_environment(), traffic: Arc::default() };
    let answers = runtime.block_on(async {
        let mut answers = Vec::new();
        for endpoint in endpoints {
            let head = Head { place: endpoint.to_string(), to: Some(endpoint.clone()), forward: None };
            answers.push(shared.reach(&head).await.map(drop).map_err(|Refused(_, why)| why));
        }
        answers
    });
    runtime.shutdown_timeout(END_TIME);
    Ok(answers)
}

struct Shared {
    allowed: Reach,
    through: Through,
    traffic: Arc<Mutex<Traffic>>,
}

/// Counts, of which the last is right whoever dies.
fn lock(traffic: &Mutex<Traffic>) -> MutexGuard<'_, Traffic> {
    traffic.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn serve(socket: UnixStream, shared: Arc<Shared>) -> io::Result<()> {
    let socket = tokio::net::UnixStream::from_std(socket)?;
    let listener = loop {
        socket.readable().await?;
        match socket.try_io(Interest::READABLE, || received(&socket)) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            came => break came?,
        }
    };
    let listener = TcpListener::from_std(listener.into())?;
    let seats = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(seat) = seats.clone().acquire_owned().await else { return Ok(()) };
        match listener.accept().await {
            Ok((stream, _)) => {
                let shared = shared.clone();
                tokio::spawn(async move {
                    // A connection that breaks is its client's business.
                    let _ = shared.client(stream).await;
                    drop(seat);
                });
            }
            Err(error) => {
                tracing::warn!("a connection was not accepted: {error}");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Why nobody is reached: a status and words.
struct Refused(u16, String);

impl Shared {
    async fn client(&self, mut inner: TcpStream) -> io::Result<()> {
        let _ = inner.set_nodelay(true);
        let (bytes, end) = match timeout(HEAD_TIME, receive(&mut inner)).await {
            Ok(Ok(both)) => both,
            Ok(Err(error)) if error.kind() == io::ErrorKind::InvalidData => {
                return refuse(inner, Refused(431, format!("the head of the request has more than {} KiB", HEAD >> 10))).await;
            }
            Ok(Err(error)) => return Err(error),
            Err(_) => return refuse(inner, Refused(408, "no request came".into())).await,
        };
        let head = match head::read(&bytes[..end]) {
            Ok(head) => head,
            Err(why) => return refuse(inner, Refused(400, why.into())).await,
        };
        let (endpoint, mut outer) = match self.reach(&head).await {
            Ok(both) => both,
            Err(Refused(status, why)) => {
                self.note(&head.place, &why);
                return refuse(inner, Refused(status, format!("`{}` {why}", plain_line(&head.place, PLACE)))).await;
            }
        };
        let name = endpoint.to_string();
        self.count(&name, [1, 0, 0]);
        let first = match &head.forward {
            Some(forward) => [forward, &bytes[end..]].concat(),
            None => {
                inner.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await?;
                bytes[end..].to_vec()
            }
        };
        if !self.count(&name, [0, first.len() as u64, 0]) {
            return Ok(());
        }
        outer.write_all(&first).await?;
        let ((inner_read, inner_write), (outer_read, outer_write)) = (inner.split(), outer.split());
        let there = self.pump(inner_read, outer_write, &name, |bytes| [0, bytes, 0]);
        let back = self.pump(outer_read, inner_write, &name, |bytes| [0, 0, bytes]);
        tokio::try_join!(there, back).map(drop)
    }

    /// A connection to where a request wants to go, if that is on the list.
    async fn reach(&self, head: &Head) -> Result<(&Endpoint, TcpStream), Refused> {
        let listed =
            |endpoint: &&Endpoint| head.to.as_ref().is_some_and(|to| (&to.host, to.port) == (&endpoint.host, endpoint.port));
        let mut found = self.allowed.endpoints.iter().filter(listed).peekable();
        if found.peek().is_none() {
            return Err(Refused(403, "is not among `[agent] endpoints`".into()));
        }
        let encrypted = head.forward.is_none();
        let Some(endpoint) = found.find(|endpoint| encrypted || endpoint.plain) else {
            let why = "is among `[agent] endpoints`, but not for requests that are not encrypted: those need `http://` before it";
            return Err(Refused(403, why.into()));
        };
        if lock(&self.traffic).over {
            return Err(Refused(403, "is not reached any more: this was all that one run may send and receive".into()));
        }
        let lost = |error: String| Refused(502, format!("cannot be reached: {}", plain_line(&error, 200)));
        if encrypted && !endpoint.plain {
            let uri: Uri = format!("https://{endpoint}/").parse().map_err(|error| lost(format!("{error}")))?;
            if self.through.has_proxy(&uri).map_err(&lost)? {
                // The proxy looks the name up.
                let stream = self.through.clone().call(uri).await.map_err(|error| lost(error.to_string()))?;
                return Ok((endpoint, stream.into_inner()));
            }
        }
        let addresses = addresses(endpoint).await?;
        match timeout(CONNECT_TIME, any_of(&addresses)).await {
            Ok(Ok(stream)) => Ok((endpoint, stream)),
            Ok(Err(error)) => Err(lost(error.to_string())),
            Err(_) => Err(lost(format!("nobody answered within {} s", CONNECT_TIME.as_secs()))),
        }
    }

    async fn pump(
        &self,
        mut from: tcp::ReadHalf<'_>,
        mut to: tcp::WriteHalf<'_>,
        name: &str,
        count: impl Fn(u64) -> [u64; 3],
    ) -> io::Result<()> {
        let mut piece = vec![0; PIECE];
        loop {
            let read = from.read(&mut piece).await?;
            if read == 0 {
                return to.shutdown().await;
            }
            if !self.count(name, count(read as u64)) {
                return Err(io::ErrorKind::QuotaExceeded.into());
            }
            to.write_all(&piece[..read]).await?;
        }
    }

    /// Counts connections and bytes; false when it is too much.
    fn count(&self, name: &str, more: [u64; 3]) -> bool {
        let mut traffic = lock(&self.traffic);
        let all = traffic.reached.entry(name.to_string()).or_default();
        all.iter_mut().zip(more).for_each(|(all, more)| *all += more);
        traffic.bytes += more[1] + more[2];
        traffic.over |= traffic.bytes > self.allowed.bytes;
        !traffic.over
    }

    fn note(&self, place: &str, why: &str) {
        let mut traffic = lock(&self.traffic);
        traffic.refusals += 1;
        if traffic.refused.len() < NOTED {
            traffic.refused.insert(plain_line(place, PLACE), why.to_string());
        }
    }
}

/// A head, what came with it, and where the head ends.
async fn receive(stream: &mut TcpStream) -> io::Result<(Vec<u8>, usize)> {
    let mut bytes = Vec::new();
    loop {
        let before = bytes.len().saturating_sub(3);
        if (&mut *stream).take(PIECE as u64).read_buf(&mut bytes).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if let Some(end) = bytes[before..].windows(4).position(|window| window == b"\r\n\r\n") {
            return Ok((bytes, before + end + 4));
        }
        if bytes.len() > HEAD {
            return Err(io::ErrorKind::InvalidData.into());
        }
    }
}

/// Says why nobody is reached.
async fn refuse(mut stream: TcpStream, Refused(status, why): Refused) -> io::Result<()> {
    let reason = hyper::StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason()).unwrap_or("Refused");
    let body = format!("fractal: {why}\n");
    let head = format!(
        "HTTP/1.1 {status} {reason}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(format!("{head}{body}").as_bytes()).await?;
    stream.shutdown().await?;
    let (most, time) = PATIENCE;
    let rest = async {
        let (mut piece, mut read) = (vec![0; PIECE], 0);
        while let Ok(more @ 1..) = stream.read(&mut piece).await {
            read += more;
            if read > most {
                break;
            }
        }
    };
    let _ = timeout(time, rest).await;
    Ok(())
}

/// Where an endpoint is: addresses that its name may lead to.
async fn addresses(endpoint: &Endpoint) -> Result<Vec<SocketAddr>, Refused> {
    if let Some(address) = endpoint.address() {
        return Ok(vec![SocketAddr::new(address, endpoint.port)]);
    }
    let found = match timeout(CONNECT_TIME, lookup_host((endpoint.host.as_str(), endpoint.port))).await {
        Ok(Ok(found)) => found,
        Ok(Err(error)) => return Err(Refused(502, format!("cannot be reached: {}", plain_line(&error.to_string(), 200)))),
        Err(_) => return Err(Refused(502, "cannot be reached: its name was not found in time".into())),
    };
    chosen(endpoint, found.collect())
}

/// Those of the addresses to which the name of an endpoint may lead.
fn chosen(endpoint: &Endpoint, found: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, Refused> {
    let mut wrong = None;
    let good = |address: &SocketAddr| {
        let why = misled(endpoint, address.ip());
        wrong = wrong.take().or_else(|| why.map(|why| (address.ip(), why)));
        why.is_none()
    };
    let addresses: Vec<SocketAddr> = found.into_iter().filter(good).collect();
    match wrong {
        Some((address, what)) if addresses.is_empty() => Err(Refused(
            403,
            format!("leads to {address}, which is {what}: it is reached only where `[agent] endpoints` has that address itself"),
        )),
        _ if addresses.is_empty() => Err(Refused(502, "cannot be reached: it has no address".into())),
        _ => Ok(addresses),
    }
}

/// What an address is to which no name of somebody else should lead.
fn misled(endpoint: &Endpoint, address: IpAddr) -> Option<&'static str> {
    /// Where clouds answer questions of a machine about itself, with its keys, besides 169.254.0.0/16: AWS, Google, Alibaba, Oracle.
    const CLOUD: [&str; 4] = ["fd00:ec2::254", "fd20:ce::254", "100.100.100.200", "192.0.0.192"];
    // ::ffff:0:0/96 is what it says; 64:ff9b::/96 is a way to IPv4 (RFC 6052).
    let address = match address.to_canonical() {
        IpAddr::V6(v6) if v6.segments()[..6] == [0x64, 0xff9b, 0, 0, 0, 0] => {
            let [.., a, b, c, d] = v6.octets();
            IpAddr::from([a, b, c, d])
        }
        other => other,
    };
    let (link, none) = match address {
        IpAddr::V4(v4) => (v4.is_link_local(), v4.octets()[0] == 0),
        IpAddr::V6(v6) => (v6.is_unicast_link_local(), v6.is_unspecified()),
    };
    if address.is_loopback() || none {
        return (!endpoint.is_here()).then_some("this machine");
    }
    if endpoint.is_here() {
        return Some("another machine");
    }
    let cloud = CLOUD.iter().any(|known| known.parse() == Ok(address));
    (link || cloud).then_some("of the local link or of the cloud's own services")
}

async fn any_of(addresses: &[SocketAddr]) -> io::Result<TcpStream> {
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => {
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_leads_neither_to_this_machine_nor_to_what_only_machines_ask() {
        let leads = |name: &str, addresses: &[&str]| {
            let endpoint = Endpoint::parse(name).expect("an endpoint");
            let found =
                addresses.iter().map(|address| SocketAddr::new(address.parse().expect("an address"), endpoint.port)).collect();
            chosen(&endpoint, found).map(|good| good.len()).map_err(|Refused(status, why)| (status, why))
        };
        for address in [
            "127.0.0.1",
            "127.9.9.9",
            "::1",
            "::ffff:127.0.0.1",
            "0.0.0.0",
            "0.1.2.3",
            "::",
            "169.254.169.254",
            "::ffff:169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b::7f00:1",
            "fe80::1",
            "febf::1",
            "fd00:ec2::254",
            "100.100.100.200",
            "192.0.0.192",
        ] {
            let why = leads("api.example.com", &[address]).expect_err(address);
            assert!(why.0 == 403 && why.1.contains("leads to"), "{address}: {why:?}");
            // One good address is enough, and the others are not used.
            assert_eq!(leads("api.example.com", &[address, "192.0.2.1"]), Ok(1), "{address}");
        }
        assert_eq!(leads("api.example.com", &["10.0.0.7", "2001:db8::1", "fd12::1"]), Ok(3));
        assert_eq!(leads("localhost:8000", &["127.0.0.1", "::1", "192.0.2.1"]), Ok(2));
        assert_eq!(leads("api.example.com", &[]).map_err(|(status, _)| status), Err(502));
    }
}
