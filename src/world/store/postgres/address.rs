//! The address of a PostgreSQL store: `postgres://USER@HOST:PORT/DATABASE?KEY=VALUE&…`, as libpq has it.
//!
//! The keys are those of tokio-postgres, and `sslmode` and `sslrootcert` with libpq's meaning. Client certificates are not supported.

use std::path::{Path, PathBuf};

use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};

use crate::world::files;
use crate::world::store::{StoreError, shown};

/// Where PostgreSQL is asked for when the address names no host: its usual folders for sockets, then this machine.
const SOCKETS: [&str; 2] = ["/var/run/postgresql", "/tmp"];

/// A database, and how far the server at the other end is trusted.
#[derive(Clone)]
pub(super) struct Place {
    /// For people: without password and settings.
    pub shown: String,
    pub config: Config,
    pub trust: Trust,
    /// Everything that was asked for: connections to equal places are interchangeable.
    pub whole: String,
}

/// What a server's certificate must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Trust {
    /// Anything: the line is secret, the other end is not known.
    Anyone,
    /// Issued by an authority, for whatever name.
    Authority(Roots),
    /// Issued by an authority, for the host's name.
    Host(Roots),
}

/// Which authorities.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Roots {
    System,
    File(PathBuf),
}

impl Place {
    /// Reads an address. The password comes from it or from `PGPASSWORD`.
    ///
    /// # Errors
    /// When it is none, or asks for something that is not supported.
    pub fn parse(address: &str) -> Result<Place, StoreError> {
        let shown = shown(address);
        let unusable = |why: String| StoreError::Unusable { address: shown.clone(), why };
        let (base, query) = address.split_once('?').unwrap_or((address, ""));
        let (mut mode, mut roots, mut rest) = ("prefer".to_string(), None, Vec::new());
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=') {
                Some(("sslmode", value)) => mode = decode(value),
                Some(("sslrootcert", value)) => roots = Some(decode(value)),
                _ => rest.push(pair),
            }
        }
        let plain = if rest.is_empty() { base.to_string() } else { format!("{base}?{}", rest.join("&")) };
        let mut config: Config = plain.parse().map_err(|error| unusable(super::connection::chain(&error)))?;
        let roots = roots.map(|file| if file == "system" { Roots::System } else { Roots::File(file.into()) });
        let (mode, trust) = match (mode.as_str(), roots) {
            ("disable", _) => (SslMode::Disable, Trust::Anyone),
            ("prefer", _) => (SslMode::Prefer, Trust::Anyone),
            ("require", None) => (SslMode::Require, Trust::Anyone),
            ("require" | "verify-ca", roots) => (SslMode::Require, Trust::Authority(roots.unwrap_or(Roots::System))),
            ("verify-full", roots) => (SslMode::Require, Trust::Host(roots.unwrap_or(Roots::System))),
            (other, _) => {
                let known = "`disable`, `prefer`, `require`, `verify-ca` and `verify-full`";
                return Err(unusable(format!("`sslmode` is `{other}`; there are {known}")));
            }
        };
        config.ssl_mode(mode);
        if let (None, Some(password)) = (config.get_password(), files::variable("PGPASSWORD")) {
            config.password(password);
        }
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            let port = config.get_ports().first().copied().unwrap_or(5432);
            let used = SOCKETS.iter().find(|folder| Path::new(folder).join(format!(".s.PGSQL.{port}")).exists());
            config.host(used.copied().unwrap_or("localhost"));
        }
        if config.get_application_name().is_none() {
            config.application_name("fractal");
        }
        Ok(Place { shown, config, trust, whole: address.to_string() })
    }

    /// Whether every host is a folder with a socket, where there is no TLS.
    pub fn is_local(&self) -> bool {
        self.config.get_hosts().iter().all(|host| matches!(host, Host::Unix(_))) && self.config.get_hostaddrs().is_empty()
    }
}

/// A value with its `%XX` replaced; what is no such pair stays.
fn decode(value: &str) -> String {
    let (mut bytes, mut rest) = (Vec::new(), value.as_bytes());
    while let [first, after @ ..] = rest {
        let pair = value.len() - rest.len();
        let code = (*first == b'%').then(|| value.get(pair + 1..pair + 3)).flatten();
        match code.and_then(|code| u8::from_str_radix(code, 16).ok()) {
            Some(byte) => (bytes.push(byte), rest = &after[2..]).1,
            None => (bytes.push(*first), rest = after).1,
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trust(query: &str) -> (SslMode, Trust) {
        let place = Place::parse(&format!("postgres://bot@db.example.com/runs{query}")).expect("an address");
        (place.config.get_ssl_mode(), place.trust)
    }

    #[test]
    fn the_modes_of_tls_mean_what_they_mean_to_libpq() {
        let file = || Roots::File("/etc/ca 1.pem".into());
        assert_eq!(trust(""), (SslMode::Prefer, Trust::Anyone));
        assert_eq!(trust("?sslmode=disable"), (SslMode::Disable, Trust::Anyone));
        assert_eq!(trust("?sslmode=require"), (SslMode::Require, Trust::Anyone));
        assert_eq!(trust("?sslmode=require&sslrootcert=/etc/ca%201.pem"), (SslMode::Require, Trust::Authority(file())));
        assert_eq!(trust("?sslrootcert=%2Fetc/ca 1.pem&sslmode=verify-full"), (SslMode::Require, Trust::Host(file())));
        assert_eq!(trust("?sslmode=verify-full"), (SslMode::Require, Trust::Host(Roots::System)));
    }

    #[test]
    fn what_is_wrong_with_an_address_is_said_without_the_password() {
        for (query, wanted) in [("?sslmode=maybe", "verify-full"), ("?sslcert=x", "sslcert"), (":x/y", "port")] {
            let error =
                Place::parse(&format!("postgres://bot:hunter22@db.example.com{query}")).err().expect("refused").to_string();
            assert!(error.contains(wanted) && error.contains("db.example.com") && !error.contains("hunter22"), "{error}");
        }
    }

    #[test]
    fn hundredths_of_a_sign_stay() {
        assert_eq!((decode("a%2Fb%"), decode("%zz%41é")), ("a/b%".to_string(), "%zzAé".to_string()));
    }
}
