//! How GitHub is reached: under our name, and on the way that `src/world/way.rs` has for all. Deliberately not here: what is asked.

use std::error::Error;
use std::sync::Arc;

use hyper::Uri;
use hyper::header::{HeaderValue, USER_AGENT};
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use octocrab::service::middleware::base_uri::BaseUriLayer;
use octocrab::service::middleware::extra_headers::ExtraHeadersLayer;
use octocrab::{AuthState, OctoBody, Octocrab, OctocrabBuilder};

use crate::world::way::{Through, tls};

const NAME: &str = concat!("fractal/", env!("CARGO_PKG_VERSION"));

/// Something that sends requests to an address, and elsewhere when they say so. Needs a running runtime.
pub(super) fn connect(base: Uri) -> Result<Octocrab, Box<dyn Error + Send + Sync>> {
    let encrypted = base.scheme_str() == Some("https");
    let connector = HttpsConnectorBuilder::new().with_tls_config(tls(encrypted)?).https_or_http().enable_http1();
    let client = Client::builder(TokioExecutor::new()).build::<_, OctoBody>(connector.wrap_connector(Through::of_environment()));
    let name = Arc::new(vec![(USER_AGENT, HeaderValue::from_static(NAME))]);
    let builder = OctocrabBuilder::new_empty().with_service(client);
    let builder = builder.with_layer(&BaseUriLayer::new(base)).with_layer(&ExtraHeadersLayer::new(name));
    Ok(builder.with_auth(AuthState::None).build()?)
}
