//! How GitHub is reached: under our name, over TLS with the system's authorities, and through the proxy that the environment names
//! (`HTTPS_PROXY`, `ALL_PROXY`, `NO_PROXY`). Deliberately not here: what is asked.

use std::error::Error;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::Uri;
use hyper::header::{HeaderValue, USER_AGENT};
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::proxy::matcher::Matcher;
use hyper_util::rt::{TokioExecutor, TokioIo};
use octocrab::service::middleware::base_uri::BaseUriLayer;
use octocrab::service::middleware::extra_headers::ExtraHeadersLayer;
use octocrab::{AuthState, OctoBody, Octocrab, OctocrabBuilder};
use rustls::crypto::ring::default_provider;
use tokio::net::TcpStream;
use tower_service::Service;

const CONNECT_TIME: Duration = Duration::from_secs(10);
const NAME: &str = concat!("fractal/", env!("CARGO_PKG_VERSION"));

/// Something that sends requests to an address, and elsewhere when they say so. Needs a running runtime.
pub(super) fn connect(base: Uri) -> Result<Octocrab, Box<dyn Error + Send + Sync>> {
    let mut direct = HttpConnector::new();
    direct.enforce_http(false);
    direct.set_connect_timeout(Some(CONNECT_TIME));
    let through = Through { direct, proxies: Arc::new(Matcher::from_env()) };
    let tls = HttpsConnectorBuilder::new().with_provider_and_native_roots(default_provider())?;
    let connector = tls.https_or_http().enable_http1().wrap_connector(through);
    let client = Client::builder(TokioExecutor::new()).build::<_, OctoBody>(connector);
    let name = Arc::new(vec![(USER_AGENT, HeaderValue::from_static(NAME))]);
    let builder = OctocrabBuilder::new_empty().with_service(client);
    let builder = builder.with_layer(&BaseUriLayer::new(base)).with_layer(&ExtraHeadersLayer::new(name));
    Ok(builder.with_auth(AuthState::None).build()?)
}

/// A connection to where a request goes, or through a proxy, which then sees nothing but encrypted bytes.
#[derive(Clone)]
struct Through {
    direct: HttpConnector,
    proxies: Arc<Matcher>,
}

impl Service<Uri> for Through {
    type Response = TokioIo<TcpStream>;
    type Error = Box<dyn Error + Send + Sync>;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.direct.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        let mut direct = self.direct.clone();
        let proxy = self.proxies.intercept(&to).filter(|_| to.scheme_str() == Some("https"));
        let Some(proxy) = proxy else { return Box::pin(async move { Ok(direct.call(to).await?) }) };
        let mut tunnel = Tunnel::new(proxy.uri().clone(), direct);
        if let Some(who) = proxy.basic_auth() {
            tunnel = tunnel.with_auth(who.clone());
        }
        Box::pin(async move { Ok(tunnel.call(to).await?) })
    }
}
