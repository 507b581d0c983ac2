//! How a provider is asked: one address, one key, bounded answers, and what goes wrong.
//!
//! | what happens | then |
//! |---|---|
//! | no connection, 429, 500, 502, 503, 504, 529 | asked again, at most twice, after what `Retry-After` says where it is short; else [`AskError::Away`] |
//! | no answer in time, it breaks off, it is too large, it cannot be read | [`AskError::Broken`]: it may have cost something, so nobody asks again here |
//! | 401, 403, 404, a redirect, a certificate that nobody vouches for | [`AskError::Setup`] |
//! | any other refusal | [`AskError::Broken`] |

use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Client, Proxy, Response, redirect};
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};

use super::stream::Events;
use super::{AskError, Said, anthropic, chat, responses};
use crate::config::{ModelConfig, Provider};
use crate::model::plain_line;
use crate::world::blocking::drive;
use crate::world::clock::Clock;
use crate::world::way::{CONNECT_TIME, Proxies, refused_certificate, tls};

/// Times that a question is sent.
const TIMES: u32 = 3;
/// Before the second time; before the third it is twice that.
const BACKOFF: Duration = Duration::from_secs(1);
/// A time that is named and longer is not waited for.
const SHORT: Duration = Duration::from_secs(20);
/// Bytes of an answer, and of what is around its pieces.
const ANSWER_MAX: usize = 1 << 20;
const AROUND: usize = 32;
/// Characters of what a provider says that are shown.
const SAID_MAX: usize = 300;

/// The way to one provider.
pub(super) struct Wire {
    runtime: Option<Runtime>,
    client: Client,
    url: String,
    provider: Provider,
    timeout: Duration,
    key: Option<String>,
    clock: Clock,
}

/// Why there is no answer this time.
enum Failed {
    /// Again may help, after this time if it is known.
    Again(String, Option<Duration>),
    For(AskError),
}

impl Wire {
    pub fn open(config: &ModelConfig, key: Option<String>, clock: Clock) -> Result<Wire, AskError> {
        let unusable = |why: String| AskError::Setup(format!("the model cannot be asked: {why}"));
        let address = Some(config.url.as_str()).filter(|url| !url.is_empty()).or(config.provider.address());
        let address = address.ok_or_else(|| unusable("`[model] url` does not say where".into()))?.trim_end_matches('/');
        let path = match config.provider {
            Provider::Anthropic => anthropic::PATH,
            Provider::OpenAiResponses => responses::PATH,
            _ => chat::PATH,
        };
        let runtime = Builder::new_current_thread().enable_all().build().map_err(|error| unusable(error.to_string()))?;
        let mut builder = Client::builder()
            .user_agent(concat!("fractal/", env!("CARGO_PKG_VERSION")))
            .default_headers(headers(config.provider, key.as_deref()).map_err(unusable)?)
            // A key goes nowhere else.
            .redirect(redirect::Policy::none())
            .connect_timeout(CONNECT_TIME)
            .timeout(config.timeout.0)
            // It would send what is not encrypted through them too.
            .no_proxy()
            .tls_backend_preconfigured(tls(address.starts_with("https:")).map_err(unusable)?);
        if let Some(proxy) = proxy(address).map_err(unusable)? {
            builder = builder.proxy(proxy);
        }
        let client = builder.build().map_err(|error| unusable(deepest(&error)))?;
        let (url, provider, timeout) = (format!("{address}{path}"), config.provider, config.timeout.0);
        Ok(Wire { runtime: Some(runtime), client, url, provider, timeout, key, clock })
    }

    /// Asks, and again where that may help and costs nothing.
    pub fn ask(&self, body: &Value) -> Result<Said, AskError> {
        let mut last = String::new();
        for time in 0..TIMES {
            match self.once(body) {
                Ok(said) => return Ok(said),
                Err(Failed::For(error)) => return Err(error),
                Err(Failed::Again(why, after)) if time + 1 == TIMES || after.is_some_and(|after| after > SHORT) => {
                    let when = after.map(|after| format!("; it wants to be asked again in {} s", after.as_secs()));
                    return Err(AskError::Away(format!("{why}{}", when.unwrap_or_default())));
                }
                Err(Failed::Again(why, after)) => {
                    tracing::debug!(target: "fractal::provider", "asked again: {why}");
                    self.clock.wait(after.unwrap_or(BACKOFF * (time + 1)));
                    last = why;
                }
            }
        }
        Err(AskError::Away(last))
    }

    /// A text without our key in it.
    pub fn without_key(&self, text: &str) -> String {
        match &self.key {
            Some(key) if !key.is_empty() => text.replace(key.as_str(), "…"),
            _ => text.to_string(),
        }
    }

    fn once(&self, body: &Value) -> Result<Said, Failed> {
        let Some(runtime) = &self.runtime else { return Err(Failed::For(AskError::Setup("it is over".into()))) };
        drive(runtime, || async move {
            let sent = self.client.post(&self.url).json(body).send().await;
            let response = sent.map_err(|error| self.lost(&error))?;
            let status = response.status();
            tracing::debug!(target: "fractal::provider", "POST {}: {status}", self.url);
            if status.is_success() { self.read(response).await } else { Err(self.refused(response).await) }
        })
    }

    async fn read(&self, mut response: Response) -> Result<Said, Failed> {
        let broken = |why: String| Failed::For(AskError::Broken(why));
        let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let mut streams = kind.starts_with("text/event-stream").then(Events::default);
        let most = if streams.is_some() { ANSWER_MAX * AROUND } else { ANSWER_MAX };
        let (mut whole, mut bytes, mut said) = (Vec::new(), 0, Said::default());
        while let Some(piece) = response.chunk().await.map_err(|error| self.lost(&error))? {
            bytes += piece.len();
            let large = || broken(format!("the answer is larger than {} MiB", ANSWER_MAX >> 20));
            if bytes > most {
                return Err(large());
            }
            let Some(events) = &mut streams else {
                whole.extend_from_slice(&piece);
                continue;
            };
            for data in events.feed(&piece).map_err(broken)? {
                let ended = self.event(&data, &mut said).map_err(broken)?;
                if said.text.len() > ANSWER_MAX {
                    return Err(large());
                }
                if ended {
                    return Ok(said);
                }
            }
        }
        match streams {
            Some(_) if said.stop.is_some() => Ok(said),
            Some(_) => Err(broken("the answer broke off".into())),
            None => self.whole(&whole).map_err(broken),
        }
    }

    fn event(&self, data: &str, said: &mut Said) -> Result<bool, String> {
        match self.provider {
            Provider::Anthropic => anthropic::event(data, said),
            Provider::OpenAiResponses => responses::event(data, said),
            _ => chat::event(data, said),
        }
    }

    fn whole(&self, bytes: &[u8]) -> Result<Said, String> {
        match self.provider {
            Provider::Anthropic => anthropic::read(bytes),
            Provider::OpenAiResponses => responses::read(bytes),
            _ => chat::read(bytes),
        }
    }

    /// What an answer means that is none.
    async fn refused(&self, mut response: Response) -> Failed {
        let (status, after) = (response.status(), retry_after(response.headers()));
        let mut body = Vec::new();
        while let Ok(Some(piece)) = response.chunk().await {
            body.extend_from_slice(&piece);
            if body.len() > 1 << 16 {
                break;
            }
        }
        let said = serde_json::from_slice::<Value>(&body).map_or_else(|_| String::from_utf8_lossy(&body).into(), |it| told(&it));
        let why = format!("{} (status {})", self.without_key(&plain_line(&said, SAID_MAX)), status.as_u16());
        match status.as_u16() {
            429 | 500 | 502 | 503 | 504 | 529 => Failed::Again(why, after),
            401 | 403 | 404 => Failed::For(AskError::Setup(why)),
            300..=399 => Failed::For(AskError::Setup(format!("the provider is somewhere else; see `[model] url` ({status})"))),
            _ => Failed::For(AskError::Broken(why)),
        }
    }

    fn lost(&self, error: &reqwest::Error) -> Failed {
        if let Some(why) = refused_certificate(error) {
            let host = self.url.split('/').nth(2).unwrap_or_default();
            return Failed::For(AskError::Setup(format!("`{host}` is not asked: {why}")));
        }
        match error {
            _ if error.is_connect() => Failed::Again(format!("no connection: {}", self.without_key(&deepest(error))), None),
            _ if error.is_timeout() => Failed::For(AskError::Broken(format!("no answer within {:?}", self.timeout))),
            _ => Failed::For(AskError::Broken(format!("the answer broke off: {}", deepest(error)))),
        }
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        // To drop a runtime is to wait for it, which async code must not.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn headers(provider: Provider, key: Option<&str>) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    if provider == Provider::Anthropic {
        headers.insert("anthropic-version", HeaderValue::from_static(anthropic::VERSION));
    }
    let Some(key) = key else { return Ok(headers) };
    let (name, value) = match provider {
        Provider::Anthropic => ("x-api-key", key.to_string()),
        _ => ("authorization", format!("Bearer {key}")),
    };
    let mut value = HeaderValue::from_str(&value).map_err(|_| "the key has characters that no key has".to_string())?;
    value.set_sensitive(true);
    headers.insert(name, value);
    Ok(headers)
}

/// The proxy through which the address is reached, with our name and password there.
fn proxy(address: &str) -> Result<Option<Proxy>, String> {
    let to = address.parse().map_err(|error| format!("`{address}` is no address: {error}"))?;
    let Some(found) = Proxies::of_environment().before(&to)? else { return Ok(None) };
    let proxy = Proxy::all(found.uri().to_string()).map_err(|error| deepest(&error))?;
    Ok(Some(match found.basic_auth() {
        Some(who) => proxy.custom_http_auth(who.clone()),
        None => proxy,
    }))
}

/// Seconds; a date is taken for a long time.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?;
    Some(Duration::from_secs(text.trim().parse::<f64>().map_or(3600, |seconds| seconds.clamp(0.0, 86_400.0).ceil() as u64)))
}

/// What an error object of any of the protocols says.
pub(super) fn told(error: &Value) -> String {
    let inner = if error["error"].is_null() { error } else { &error["error"] };
    let text = inner["message"].as_str().or_else(|| inner.as_str()).or_else(|| error["message"].as_str());
    plain_line(text.unwrap_or("an error without words"), SAID_MAX)
}

fn deepest(error: &dyn std::error::Error) -> String {
    std::iter::successors(error.source(), |error| error.source()).last().map_or_else(|| error.to_string(), ToString::to_string)
}
