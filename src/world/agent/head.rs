//! What a client asks a proxy for: the head of its request, read strictly, and what is passed on of it. Nothing is sent here.

use hyper::Uri;

use crate::config::Endpoint;

/// Bytes of a head.
pub(super) const HEAD: usize = 16 << 10;
/// Headers that are about the connection to a proxy and not about what is asked.
const HOP: [&str; 6] = ["connection", "proxy-connection", "proxy-authorization", "proxy-authenticate", "keep-alive", "upgrade"];

/// A request to a proxy.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// Where it wants to go, as the client wrote it.
    pub place: String,
    /// The same as we write places; none where nobody could be meant.
    pub to: Option<Endpoint>,
    /// What is sent there first; none for a tunnel, through which the client sends it itself.
    pub forward: Option<Vec<u8>>,
}

/// Reads a head that ends with an empty line.
///
/// # Errors
/// Why it is no request to a proxy.
pub(super) fn read(bytes: &[u8]) -> Result<Head, &'static str> {
    let text = std::str::from_utf8(bytes).map_err(|_| "the request is not text")?;
    let mut lines = text.split("\r\n");
    let first: Vec<&str> = lines.next().unwrap_or_default().split(' ').collect();
    let [method, target, "HTTP/1.1" | "HTTP/1.0"] = first[..] else { return Err("the request is not HTTP/1.1") };
    if method == "CONNECT" {
        let has_port = target.rsplit_once(':').is_some_and(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()));
        let to = Endpoint::parse(target).ok().filter(|_| has_port && !target.contains("://"));
        return Ok(Head { place: target.to_string(), to, forward: None });
    }
    let uri: Uri = target.parse().map_err(|_| "the address cannot be read")?;
    let Some(place) = uri.authority().filter(|_| uri.scheme_str() == Some("http")) else {
        return Err("this is a proxy: it takes `CONNECT`, and requests with a whole `http://` address");
    };
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let mut forward = format!("{method} {path} HTTP/1.1\r\nHost: {place}\r\nConnection: close\r\n");
    for line in lines.take_while(|line| !line.is_empty()) {
        // A line that goes on with the one before (RFC 9112, section 5.2) would be a way around what follows.
        let (name, _) = line.split_once(':').ok_or("a header has no name")?;
        let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if name.is_empty() || !name.bytes().all(token) || line.contains(['\r', '\n', '\0']) {
            return Err("a header cannot be read");
        }
        if !name.eq_ignore_ascii_case("host") && !HOP.iter().any(|hop| name.eq_ignore_ascii_case(hop)) {
            forward.push_str(line);
            forward.push_str("\r\n");
        }
    }
    forward.push_str("\r\n");
    let to = Endpoint::parse(&format!("http://{place}")).ok();
    Ok(Head { place: place.to_string(), to, forward: Some(forward.into_bytes()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forwarded(head: &str) -> String {
        let head = read(head.as_bytes()).expect("can be read");
        String::from_utf8(head.forward.expect("is forwarded")).expect("is text")
    }

    #[test]
    fn a_tunnel_is_asked_for_with_a_name_and_a_port() {
        let to = |target: &str| read(format!("CONNECT {target} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).expect("can be read").to;
        assert_eq!(to("API.example.com:443").map(|to| to.to_string()).as_deref(), Some("api.example.com:443"));
        assert_eq!(to("[::1]:80").map(|to| to.to_string()).as_deref(), Some("[::1]:80"));
        for none in [
            "api.example.com",
            "https://api.example.com:443",
            "a@api.example.com:443",
            "api.example.com.:443",
            "2130706433:80",
            "[::1]",
        ] {
            assert_eq!(to(none), None, "{none}");
        }
    }

    #[test]
    fn what_is_passed_on_is_for_the_server_that_was_named_and_for_one_request() {
        let sent = "POST http://127.0.0.1:8000/v1/x?y=1 HTTP/1.1\r\nHost: elsewhere.example.com\r\nProxy-Authorization: Basic eA==\r\n\
                    Connection: keep-alive\r\nContent-Length: 2\r\nX-Key: k\r\n\r\n";
        let wanted =
            "POST /v1/x?y=1 HTTP/1.1\r\nHost: 127.0.0.1:8000\r\nConnection: close\r\nContent-Length: 2\r\nX-Key: k\r\n\r\n";
        assert_eq!(forwarded(sent), wanted);
        assert!(forwarded("GET http://a.example.com HTTP/1.1\r\n\r\n").starts_with("GET / HTTP/1.1\r\nHost: a.example.com\r\n"));
    }

    #[test]
    fn whatever_else_is_sent_is_refused() {
        for bytes in [
            b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".as_slice(),
            b"GET https://x/ HTTP/1.1\r\n\r\n",
            b"GET  http://x/ HTTP/1.1\r\n\r\n",
            b"GET http://x/ HTTP/2.0\r\n\r\n",
            b"GET http://x/ HTTP/1.1\r\n folded: a\r\n\r\n",
            b"GET http://x/ HTTP/1.1\r\nHost : a\r\n\r\n",
            b"GET http://x/ HTTP/1.1\r\nno name\r\n\r\n",
            b"GET http://x/ HTTP/1.1\r\na: b\nHost: c\r\n\r\n",
            b"\x16\x03\x01\x02\x00\x01\xff\r\n\r\n",
            b"\r\n\r\n",
        ] {
            assert!(read(bytes).is_err(), "{}", String::from_utf8_lossy(bytes));
        }
    }
}
