//! Servers that stand between a client and another server: a front with TLS, and a proxy that takes `CONNECT`.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// A front with TLS before a server, with the certificate of a folder: its port. One request for each connection.
pub fn tls_front(folder: &Path, behind: &str) -> u16 {
    let file = |name: &str| folder.join(name);
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_file_iter(file("server.crt")).expect("reads").collect();
    let key = PrivateKeyDer::from_pem_file(file("server.key")).expect("reads");
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()));
    let config = config.with_safe_default_protocol_versions().expect("has some").with_no_client_auth();
    let config = Arc::new(config.with_single_cert(certificates.expect("are some"), key).expect("fit"));
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("has one").port();
    let behind = behind.trim_start_matches("http://").split('/').next().unwrap_or_default().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (config, behind) = (config.clone(), behind.clone());
            // Whoever does not trust us goes away.
            std::thread::spawn(move || drop(pass_on(stream, config, &behind)));
        }
    });
    port
}

fn pass_on(stream: TcpStream, config: Arc<ServerConfig>, behind: &str) -> std::io::Result<()> {
    let connection = ServerConnection::new(config).map_err(std::io::Error::other)?;
    let mut front = BufReader::new(StreamOwned::new(connection, stream));
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if front.read_line(&mut head)? == 0 {
            return Ok(());
        }
    }
    let (first, rest) = head.split_once("\r\n").unwrap_or_default();
    let length = rest.lines().filter_map(|line| line.to_lowercase().strip_prefix("content-length:")?.trim().parse().ok()).next();
    let mut body = vec![0; length.unwrap_or(0)];
    front.read_exact(&mut body)?;
    let mut back = TcpStream::connect(behind)?;
    write!(back, "{first}\r\nconnection: close\r\n{rest}")?;
    back.write_all(&body)?;
    let mut answer = Vec::new();
    back.read_to_end(&mut answer)?;
    let front = front.get_mut();
    front.write_all(&answer)?;
    front.conn.send_close_notify();
    front.flush()
}

/// A proxy that notes what it is asked for. Its thread ends with the process of the tests.
pub struct Proxy {
    /// Its host and port.
    pub address: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    /// Lets everybody through who says `authorization`; whoever does not is refused. None: everybody.
    pub fn wanting(authorization: Option<&'static str>) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("has one").to_string();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let noted = asked.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let noted = noted.clone();
                // A client that goes away in between is no matter of ours.
                std::thread::spawn(move || drop(proxied(stream, authorization, &noted)));
            }
        });
        Proxy { address, asked }
    }

    /// The first lines of what came.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("whole").clone()
    }
}

fn proxied(mut inner: TcpStream, authorization: Option<&str>, noted: &Mutex<Vec<String>>) -> std::io::Result<()> {
    let mut reader = BufReader::new(inner.try_clone()?);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head)? == 0 {
            return Ok(());
        }
    }
    let first = head.lines().next().unwrap_or_default().to_string();
    noted.lock().expect("whole").push(first.clone());
    let says = |wanted: &str| head.lines().any(|line| line.eq_ignore_ascii_case(&format!("proxy-authorization: {wanted}")));
    if authorization.is_some_and(|wanted| !says(wanted)) {
        return inner.write_all(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n");
    }
    let Some(to) = first.strip_prefix("CONNECT ").and_then(|rest| rest.split(' ').next()) else {
        return inner.write_all(b"HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 0\r\n\r\n");
    };
    let mut outer = TcpStream::connect(to)?;
    inner.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")?;
    let (mut back, mut to_client) = (outer.try_clone()?, inner.try_clone()?);
    let backwards = std::thread::spawn(move || {
        let _ = std::io::copy(&mut back, &mut to_client);
        to_client.shutdown(Shutdown::Write)
    });
    std::io::copy(&mut reader, &mut outer)?;
    outer.shutdown(Shutdown::Write)?;
    backwards.join().map_or(Ok(()), |ended| ended)
}
