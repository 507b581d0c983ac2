//! The way to others over the network: through the proxy that the environment names, and with TLS only to those for whom an authority that
//! this machine trusts vouches. Deliberately not here: what is asked.
//!
//! `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY`, in capitals or small letters, are read as curl reads them, for what is encrypted. What is not
//! encrypted goes where it is meant to go, without a stranger between. A proxy sees nothing but encrypted bytes.

use std::error::Error;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::Uri;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tower_service::Service;

/// Time until somebody has picked up.
pub(super) const CONNECT_TIME: Duration = Duration::from_secs(10);

type Anything = Box<dyn Error + Send + Sync>;

/// The proxies that the environment names.
#[derive(Clone)]
pub(super) struct Proxies(Arc<Matcher>);

impl Proxies {
    pub fn of_environment() -> Proxies {
        Proxies(Arc::new(Matcher::from_env()))
    }

    /// The one through which this address is reached.
    ///
    /// # Errors
    /// When there is one that speaks another protocol than ours.
    pub fn before(&self, to: &Uri) -> Result<Option<Intercept>, String> {
        let proxy = self.0.intercept(to).filter(|_| to.scheme_str() == Some("https"));
        match proxy.as_ref().and_then(|proxy| proxy.uri().scheme_str()) {
            None | Some("http") => Ok(proxy),
            Some(other) => Err(format!(
                "the environment names a proxy of the kind `{other}`, and only those of the kind `http` are used; see `HTTPS_PROXY` and \
                 `ALL_PROXY`, and `NO_PROXY` for what needs none"
            )),
        }
    }
}

/// Connections to where a request goes, or through a proxy.
#[derive(Clone)]
pub(super) struct Through {
    direct: HttpConnector,
    proxies: Proxies,
}

impl Through {
    pub fn of_environment() -> Through {
        let mut direct = HttpConnector::new();
        direct.enforce_http(false);
        direct.set_connect_timeout(Some(CONNECT_TIME));
        Through { direct, proxies: Proxies::of_environment() }
    }

    /// Whether this address is reached through a proxy.
    ///
    /// # Errors
    /// See [`Proxies::before`].
    pub fn has_proxy(&self, to: &Uri) -> Result<bool, String> {
        self.proxies.before(to).map(|proxy| proxy.is_some())
    }
}

impl Service<Uri> for Through {
    type Response = TokioIo<TcpStream>;
    type Error = Anything;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.direct.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        let mut direct = self.direct.clone();
        match self.proxies.before(&to) {
            Err(why) => Box::pin(async move { Err(why.into()) }),
            Ok(None) => Box::pin(async move { Ok(direct.call(to).await?) }),
            Ok(Some(proxy)) => Box::pin(async move { tunnel(&proxy, direct, to).await }),
        }
    }
}

/// A connection to an address through a proxy.
///
/// # Errors
/// When the proxy is not there, or does not let us through.
async fn tunnel(proxy: &Intercept, direct: HttpConnector, to: Uri) -> Result<TokioIo<TcpStream>, Anything> {
    let mut tunnel = Tunnel::new(proxy.uri().clone(), direct);
    if let Some(who) = proxy.basic_auth() {
        tunnel = tunnel.with_auth(who.clone());
    }
    // The reason is in what lies below, if anything does.
    let named = |error: Anything| {
        let mut deepest: &dyn Error = &*error;
        while let Some(below) = deepest.source() {
            deepest = below;
        }
        let place = proxy.uri().authority().map(ToString::to_string).unwrap_or_default();
        format!("the proxy `{place}`, which the environment names: {deepest}")
    };
    tunnel.call(to).await.map_err(|error| named(error.into()).into())
}

/// The one TLS of this program, with the authorities that this machine trusts: the system's, or those of the file that `SSL_CERT_FILE` names
/// and of the folder that `SSL_CERT_DIR` names. Nobody is trusted where nothing is `encrypted`.
///
/// # Errors
/// When there is nobody to trust.
pub(super) fn tls(encrypted: bool) -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    if encrypted {
        let found = rustls_native_certs::load_native_certs();
        roots.add_parsable_certificates(found.certs);
        if roots.is_empty() {
            let why = found.errors.first().map(|error| format!(": {error}")).unwrap_or_default();
            return Err(format!(
                "there is no certificate of an authority to trust{why}; install the system's (`ca-certificates`), or name a file with \
                 them in `SSL_CERT_FILE`"
            ));
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.map_err(|error| error.to_string())?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

/// What to do when a server's certificate was refused; `None` when that was not the reason.
pub(super) fn refused_certificate(error: &(dyn Error + 'static)) -> Option<String> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(rustls::Error::InvalidCertificate(why)) = error.downcast_ref() {
            let advice = match why {
                rustls::CertificateError::UnknownIssuer => {
                    ": have the system trust its authority, or name a file with it in `SSL_CERT_FILE`"
                }
                _ => "",
            };
            return Some(format!("its certificate is refused ({why:?}){advice}"));
        }
        // What such an error was made from is not its source.
        let within = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        next = match within {
            Some(within) => Some(within),
            None => error.source(),
        };
    }
    None
}
