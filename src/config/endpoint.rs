//! Endpoints that an agent may reach: exact names, as `[agent] endpoints` writes them.

use std::fmt;
use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The port of what is encrypted, and of what is not.
const TLS: u16 = 443;
const PLAIN: u16 = 80;

/// A host and a port: `api.example.com`, `api.example.com:8443`, or `http://models.example.com:8000` for one that may be asked unencrypted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Endpoint {
    /// Its name in small letters, or its address without brackets.
    pub host: String,
    pub port: u16,
    /// Requests may go there that are not encrypted.
    pub plain: bool,
}

impl Endpoint {
    /// Reads one.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Endpoint, String> {
        let (plain, rest) = match text.split_once("://") {
            None => (false, text),
            Some(("http", rest)) => (true, rest),
            Some(("https", rest)) => (false, rest),
            Some(_) => return Err("only `http://` may stand before a name, for what is not encrypted".into()),
        };
        let (host, port) =
            split(rest, if plain { PLAIN } else { TLS }).ok_or("its port is none; ports are numbers from 1 to 65535")?;
        let address: Option<IpAddr> = host.parse().ok();
        let host = address.map_or_else(|| host.to_ascii_lowercase(), |address| address.to_canonical().to_string());
        if address.is_none() {
            name(&host)?;
        }
        let own = host == "localhost" || address.is_some_and(|address| address.to_canonical().is_loopback());
        Ok(Endpoint { plain: plain || own, host, port })
    }

    /// Whether it is this machine.
    pub fn is_here(&self) -> bool {
        self.host == "localhost" || self.address().is_some_and(|address| address.is_loopback())
    }

    /// Its address, where it has no name.
    pub fn address(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }
}

/// A host without brackets and a port.
fn split(text: &str, usual: u16) -> Option<(&str, u16)> {
    let port =
        |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok().filter(|port| *port > 0)).flatten();
    if let Some(rest) = text.strip_prefix('[') {
        let (host, after) = rest.split_once(']')?;
        return Some((host, if after.is_empty() { usual } else { port(after.strip_prefix(':')?)? }));
    }
    match text.split_once(':') {
        Some((host, after)) => Some((host, port(after)?)),
        None => Some((text, usual)),
    }
}

/// Refuses what is no name of a host (RFC 1123, section 2.1; with `_`, which some have).
fn name(host: &str) -> Result<(), String> {
    let label = |label: &str| {
        let plain = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
        plain && (1..=63).contains(&label.len()) && !label.starts_with('-') && !label.ends_with('-')
    };
    if host.contains('*') {
        return Err("names are exact: write one for each host".into());
    }
    if host.contains(['/', '@', '?', '#']) {
        return Err("an endpoint has a host and a port, and neither a path nor a user".into());
    }
    if !host.is_ascii() {
        return Err("write the name as it is sent, beginning with `xn--`".into());
    }
    // The last part of a name is never a number: such a one would be read as an address.
    let last = host.rsplit('.').next().unwrap_or_default();
    let number = last.bytes().all(|byte| byte.is_ascii_digit()) || last.starts_with("0x");
    if host.len() > 253 || number || !host.split('.').all(label) {
        return Err("that is no name of a host".into());
    }
    Ok(())
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.plain && !self.is_here() { "http://" } else { "" };
        match self.host.contains(':') {
            true => write!(f, "{scheme}[{}]:{}", self.host, self.port),
            false => write!(f, "{scheme}{}:{}", self.host, self.port),
        }
    }
}

impl Serialize for Endpoint {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Endpoint {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Endpoint::parse(&text).map_err(|why| {
            let shown: String = text.chars().take(80).map(|c| if c == '@' { '…' } else { c }).collect();
            serde::de::Error::custom(format!("`{shown}` is no endpoint: {why}; write it as in `api.example.com:443`"))
        })
    }
}

impl JsonSchema for Endpoint {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Endpoint".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "pattern": r"^(https?://)?([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?$" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_read_with_the_usual_port_and_written_as_they_are_read() {
        for (text, written, plain) in [
            ("api.example.com", "api.example.com:443", false),
            ("API.Example.com:8443", "api.example.com:8443", false),
            ("https://api.example.com", "api.example.com:443", false),
            ("http://models.example.com", "http://models.example.com:80", true),
            ("http://10.0.0.7:8000", "http://10.0.0.7:8000", true),
            ("localhost:11434", "localhost:11434", true),
            ("127.0.0.1:8000", "127.0.0.1:8000", true),
            ("[::1]:8000", "[::1]:8000", true),
            ("[::ffff:127.0.0.1]:8000", "127.0.0.1:8000", true),
            ("[2001:db8::1]", "[2001:db8::1]:443", false),
        ] {
            let endpoint = Endpoint::parse(text).unwrap_or_else(|why| panic!("{text}: {why}"));
            assert_eq!((endpoint.to_string().as_str(), endpoint.plain), (written, plain), "{text}");
            assert_eq!(Endpoint::parse(written), Ok(endpoint), "{text}");
        }
    }

    #[test]
    fn what_is_no_exact_name_is_refused_with_a_reason() {
        for (text, part) in [
            ("*.example.com", "exact"),
            ("", "no name"),
            ("example.com:", "port"),
            ("example.com:0", "port"),
            ("example.com:99999", "port"),
            ("example.com:+1", "port"),
            ("ftp://example.com", "only `http://`"),
            ("https://example.com/v1", "neither a path"),
            ("user@example.com", "neither a path"),
            ("exämple.com", "xn--"),
            ("example..com", "no name"),
            ("-example.com", "no name"),
            ("2130706433", "no name"),
            ("127.1", "no name"),
            ("0x7f.0x1", "no name"),
            ("fe80::1", "port"),
            ("[fe80::1", "port"),
            ("example.com ", "no name"),
        ] {
            let why = Endpoint::parse(text).expect_err(text);
            assert!(why.contains(part), "{text}: {why}");
        }
    }
}
