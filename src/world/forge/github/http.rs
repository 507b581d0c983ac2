//! How GitHub is asked. Reads are tried again, within limits; whatever changes something is sent once.
//!
//! | what happens | a read | a change |
//! |---|---|---|
//! | no connection | tried again, then [`ForgeError::Unreachable`] | [`ForgeError::Unreachable`] |
//! | the connection breaks, no answer in time, 5xx | the same | [`ForgeError::Unclear`]: whoever sent it has to look |
//! | 429, or 403 for the number of requests; of GraphQL also 200 with an error that says so | waited for when short, else [`ForgeError::Limited`] | the same: nothing has happened |
//! | 401 with a token that an App made | once more with a new token | the same |
//! | 304 | what was kept | |
//! | 301, 302, 307, 308 | followed below the same address | [`ForgeError::Setup`] |
//!
//! Between two changes is at least a second, and nothing is sent before the time that GitHub named. Deliberately not here: what is
//! asked.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use http_body_util::{BodyExt as _, Limited};
use hyper::header::{self, HeaderMap};
use hyper::{Method, Request};
use jiff::{SignedDuration, Timestamp};
use octocrab::Octocrab;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};

use super::Settings;
use super::cache::{Cache, Kept};
use super::connect::connect;
use super::token::{Credentials, SPARE, Secret, app_token};
use super::wire;
use crate::model::plain_line;
use crate::world::blocking::drive;
use crate::world::clock::Clock;
use crate::world::forge::ForgeError;
use crate::world::way::refused_certificate;

/// Times that a read is sent.
const READS: u32 = 3;
/// Before the second time; before the third it is twice that.
const BACKOFF: Duration = Duration::from_secs(1);
/// A limit that ends sooner is waited for.
const SHORT: SignedDuration = SignedDuration::from_secs(15);
/// After being limited without being told for how long, as GitHub asks.
const LIMITED: SignedDuration = SignedDuration::from_secs(60);
/// Bytes of an answer.
const ANSWER_MAX: usize = 32 << 20;
/// Pages of a list, and members of a page.
const PAGES: usize = 50;
const PAGE: usize = 100;
/// Signs of what GitHub says that are shown.
const SAID_MAX: usize = 400;
const REDIRECTS: usize = 2;

/// A failure with what the answer said, so that those who know what they asked can be more exact.
#[derive(Debug)]
pub(super) struct Failure {
    pub error: ForgeError,
    pub status: u16,
}

impl From<Failure> for ForgeError {
    fn from(failure: Failure) -> Self {
        failure.error
    }
}

impl From<ForgeError> for Failure {
    fn from(error: ForgeError) -> Self {
        Failure { error, status: 0 }
    }
}

impl Failure {
    pub fn says(&self, status: u16, words: &str) -> bool {
        self.status == status && self.error.to_string().to_lowercase().contains(words)
    }
}

/// An answer, whatever it says.
struct Raw {
    status: u16,
    headers: HeaderMap,
    body: Vec<u8>,
}

/// Why there is none.
enum Lost {
    /// It was not even sent.
    Before(String),
    After(String),
}

struct Ask<'a> {
    method: Method,
    path: &'a str,
    body: String,
    mark: Option<&'a str>,
}

/// A token that an App made.
struct Minted {
    token: Secret,
    until: Timestamp,
}

/// Asks one GitHub with one identity.
pub(super) struct Client {
    runtime: Option<Runtime>,
    crab: Octocrab,
    settings: Settings,
    /// The path below which everything is, without a slash at its end.
    root: String,
    clock: Clock,
    cache: RefCell<Cache>,
    minted: RefCell<Option<Minted>>,
    installation: RefCell<Option<wire::Installation>>,
    changed: Cell<Option<Timestamp>>,
    /// Nothing is sent before: what GitHub said when it was too much, by whether it is GraphQL.
    closed: RefCell<[Option<(Timestamp, String)>; 2]>,
}

impl Client {
    pub fn new(settings: Settings, clock: Clock) -> Result<Client, ForgeError> {
        let unusable = |why: String| ForgeError::Setup(format!("`{}` cannot be asked: {why}", settings.url));
        let runtime = Builder::new_current_thread().enable_all().build().map_err(|error| unusable(error.to_string()))?;
        let address: hyper::Uri = settings.url.parse().map_err(|error| unusable(format!("{error}")))?;
        let (Some(scheme), Some(host)) = (address.scheme_str(), address.authority()) else {
            return Err(unusable("it is no whole address".into()));
        };
        // The path is put before every request here: GraphQL is beside it, not below.
        let crab = {
            let _inside = runtime.enter();
            let base = format!("{scheme}://{host}").parse().map_err(|error| unusable(format!("{error}")))?;
            connect(base).map_err(|error| unusable(error.to_string()))?
        };
        let root = address.path().trim_end_matches('/').to_string();
        Ok(Client {
            runtime: Some(runtime),
            crab,
            settings,
            root,
            clock,
            cache: RefCell::default(),
            minted: RefCell::default(),
            installation: RefCell::default(),
            changed: Cell::default(),
            closed: RefCell::default(),
        })
    }

    pub fn credentials(&self) -> &Credentials {
        &self.settings.credentials
    }

    /// The path of something of our repository.
    pub fn repository(&self, rest: &str) -> String {
        format!("/repos/{}{rest}", self.settings.repository)
    }

    /// Reads one thing.
    pub fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        Ok(decode(path, &self.read(&format!("{}{path}", self.root))?.body)?)
    }

    /// Reads one thing that may not be there.
    pub fn find<T: DeserializeOwned>(&self, path: &str) -> Result<Option<T>, Failure> {
        match self.get(path) {
            Err(Failure { error: ForgeError::Gone(_), .. }) => Ok(None),
            found => found.map(Some),
        }
    }

    /// Reads one thing, and the rights that GitHub says the token has.
    pub fn get_with_scopes<T: DeserializeOwned>(&self, path: &str) -> Result<(T, Option<String>), Failure> {
        let kept = self.read(&format!("{}{path}", self.root))?;
        Ok((decode(path, &kept.body)?, kept.scopes))
    }

    /// Reads a list to its end; `rest` is its query, and `members` takes a page apart.
    pub fn list<P: DeserializeOwned, T>(
        &self,
        path: &str,
        query: &str,
        members: impl Fn(P) -> Vec<T>,
    ) -> Result<Vec<T>, Failure> {
        self.list_until(path, query, members, |_, _| false)
    }

    /// The same, but no page is read after one of whose last member, with the number of all so far, `enough` holds.
    pub fn list_until<P: DeserializeOwned, T>(
        &self,
        path: &str,
        query: &str,
        members: impl Fn(P) -> Vec<T>,
        enough: impl Fn(&T, usize) -> bool,
    ) -> Result<Vec<T>, Failure> {
        let and = if query.is_empty() { "" } else { "&" };
        let mut next = Some(format!("{}{path}?{query}{and}per_page={PAGE}", self.root));
        let mut all = Vec::new();
        for _ in 0..PAGES {
            let Some(page) = next else { return Ok(all) };
            let kept = self.read(&page)?;
            let before = all.len();
            all.extend(members(decode(path, &kept.body)?));
            // A page stays as it is, and so does its mark, when another one comes after it.
            if all.len() - before >= PAGE && kept.next.is_none() {
                self.cache.borrow_mut().remove(&page);
            }
            next = kept.next.filter(|_| !all.last().is_some_and(|last| enough(last, all.len())));
        }
        Err(ForgeError::Refused(format!("`{path}` has more than {} entries", PAGES * PAGE)).into())
    }

    /// Reads a file that GitHub keeps elsewhere: it says where, and our token does not go there. It is asked for once.
    pub fn download(&self, path: &str) -> Result<Vec<u8>, Failure> {
        self.open(0)?;
        let path = format!("{}{path}", self.root);
        let unreached = |(Lost::Before(why) | Lost::After(why)): Lost| Failure::from(ForgeError::Unreachable(why));
        let mut ask = Ask { method: Method::GET, path: &path, body: String::new(), mark: None };
        let told = self.exchange(&ask, Some(&self.token()?)).map_err(unreached)?;
        if !told.is_redirect() {
            self.judge(&ask, &told, 0)?;
            return Ok(told.body);
        }
        let secure = |place: &&str| place.starts_with("https://") || self.settings.url.starts_with("http://");
        ask.path = told.header("location").filter(secure).ok_or_else(|| moved_away(&path))?;
        let raw = self.exchange(&ask, None).map_err(unreached)?;
        match raw.status {
            200 => Ok(raw.body),
            // What stands there is somebody else's.
            status => Err(ForgeError::Unreachable(format!("where `{path}` is kept answers with status {status}")).into()),
        }
    }

    /// Changes something. It is sent once.
    pub fn change<T: DeserializeOwned>(&self, method: Method, path: &str, body: &Value) -> Result<T, Failure> {
        let (whole, body) = (format!("{}{path}", self.root), if body.is_null() { String::new() } else { body.to_string() });
        let raw = self.send_change(&Ask { method, path: &whole, body, mark: None }, 0)?;
        // Something happened, and it is not known what: whatever stands between may have answered.
        decode(path, &raw.body).map_err(|error| ForgeError::Unclear(error.to_string()).into())
    }

    /// The same where nothing is answered that anybody needs.
    pub fn change_only(&self, method: Method, path: &str, body: &Value) -> Result<(), Failure> {
        self.change::<Value>(method, path, body).map(drop)
    }

    /// Changes or asks something for which there is no other way: the data. `document` is GraphQL, and is sent once.
    pub fn graphql(&self, document: &str, variables: &Value) -> Result<Value, Failure> {
        // On a server of one's own it is beside the other interface.
        let path = format!("{}/graphql", self.root.strip_suffix("/v3").unwrap_or(&self.root));
        let body = json!({"query": document, "variables": variables}).to_string();
        let ask = Ask { method: Method::POST, path: &path, body, mark: None };
        match self.graphql_once(&ask) {
            // Nothing was done.
            Err(Failure { error: ForgeError::Limited { until, .. }, status: 200 }) if self.wait_for(until) => {
                self.graphql_once(&ask)
            }
            answered => answered,
        }
    }

    fn graphql_once(&self, ask: &Ask<'_>) -> Result<Value, Failure> {
        let raw = self.send_change(ask, 1)?;
        let unclear = |error: ForgeError| ForgeError::Unclear(error.to_string());
        let said: wire::GraphqlAnswer = decode(ask.path, &raw.body).map_err(unclear)?;
        match said.errors.first() {
            None => Ok(said.data),
            Some(first) => {
                let why = self.shown(&first.message);
                // Both limits of GraphQL come with the status of success, and the second one without a word of its own.
                let limited = first.message.to_lowercase().contains("rate limit");
                Err(Failure {
                    status: raw.status,
                    error: match first.kind.as_deref() {
                        Some("RATE_LIMITED" | "RATE_LIMIT") => self.limited(&raw, 1, why),
                        _ if limited => self.limited(&raw, 1, why),
                        Some("NOT_FOUND") => ForgeError::Gone(why),
                        Some("FORBIDDEN" | "INSUFFICIENT_SCOPES") => ForgeError::NotPermitted(why),
                        Some("STALE_DATA") => ForgeError::Moved(why),
                        Some("INTERNAL" | "SERVICE_UNAVAILABLE") => ForgeError::Unclear(why),
                        _ => ForgeError::Refused(why),
                    },
                })
            }
        }
    }

    /// What the App's installation in our repository is: read once.
    pub fn installation(&self, app: u64, key: &Secret) -> Result<wire::Installation, ForgeError> {
        if let Some(known) = &*self.installation.borrow() {
            return Ok(known.clone());
        }
        let path = format!("{}{}", self.root, self.repository("/installation"));
        let found = self.read_as(&path, || app_token(app, key, self.clock.now())).map_err(|failure| match failure.error {
            ForgeError::Gone(_) => ForgeError::NotPermitted("the App is not installed in the repository".into()),
            error => error,
        })?;
        let found: wire::Installation = decode(&path, &found.body)?;
        self.installation.replace(Some(found.clone()));
        Ok(found)
    }

    /// The token for requests: an App's is made when there is none that lasts.
    fn token(&self) -> Result<Secret, ForgeError> {
        let (app, key) = match &self.settings.credentials {
            Credentials::Token { token, .. } => return Ok(token.clone()),
            Credentials::App { app, key } => (*app, key),
        };
        if let Some(minted) = self.minted.borrow().as_ref().filter(|minted| minted.until - SPARE > self.clock.now()) {
            return Ok(minted.token.clone());
        }
        let installation = self.installation(app, key)?;
        let path = format!("{}/app/installations/{}/access_tokens", self.root, installation.id);
        let name = self.settings.repository.split_once('/').map_or("", |(_, name)| name);
        let body = json!({"repositories": [name]}).to_string();
        let token = app_token(app, key, self.clock.now())?;
        let ask = Ask { method: Method::POST, path: &path, body, mark: None };
        let raw = self.exchange(&ask, Some(&token)).map_err(|lost| match lost {
            // A token that nobody has does no harm.
            Lost::Before(why) | Lost::After(why) => ForgeError::Unreachable(why),
        })?;
        self.judge(&ask, &raw, 0).map_err(|failure| match failure.error {
            ForgeError::Unclear(why) => ForgeError::Unreachable(why),
            error => error,
        })?;
        let made: wire::InstallationToken = decode(&path, &raw.body)?;
        let token = Secret::new(made.token);
        self.minted.replace(Some(Minted { token: token.clone(), until: made.expires_at }));
        Ok(token)
    }

    fn read(&self, path: &str) -> Result<Kept, Failure> {
        self.read_as(path, || self.token())
    }

    fn read_as(&self, path: &str, token: impl Fn() -> Result<Secret, ForgeError>) -> Result<Kept, Failure> {
        let kept = self.cache.borrow_mut().get(path);
        let mut at = path.to_string();
        let (mut failures, mut redirects, mut patience, mut renewed) = (0, 0, true, false);
        loop {
            self.open(0)?;
            let mark = kept.as_ref().map(|kept| kept.mark.as_str());
            let ask = Ask { method: Method::GET, path: &at, body: String::new(), mark };
            let failure = match self.exchange(&ask, Some(&token()?)) {
                Err(Lost::Before(why) | Lost::After(why)) => ForgeError::Unreachable(why).into(),
                Ok(raw) if raw.status == 304 && kept.is_some() => return Ok(kept.unwrap_or_default()),
                Ok(raw) if raw.is_redirect() && redirects < REDIRECTS => {
                    redirects += 1;
                    at = raw.header("location").and_then(|place| self.below(place)).ok_or_else(|| moved_away(path))?;
                    continue;
                }
                Ok(raw) => match self.judge(&ask, &raw, 0) {
                    Ok(()) => return Ok(self.keep(path, raw)),
                    Err(failure) => failure,
                },
            };
            match failure.error {
                // Of a read, nothing can be half done.
                ForgeError::Unreachable(why) | ForgeError::Unclear(why) => {
                    failures += 1;
                    if failures == READS {
                        return Err(Failure { error: ForgeError::Unreachable(why), status: failure.status });
                    }
                    self.clock.wait(BACKOFF * failures);
                }
                ForgeError::Limited { until, .. } if std::mem::take(&mut patience) && self.wait_for(until) => {}
                ForgeError::NotPermitted(_) if failure.status == 401 && !renewed && self.forget_token() => renewed = true,
                _ => return Err(failure),
            }
        }
    }

    fn send_change(&self, ask: &Ask<'_>, kind: usize) -> Result<Raw, Failure> {
        let (mut patience, mut renewed) = (true, false);
        loop {
            self.open(kind)?;
            let token = self.token()?;
            let pace = SignedDuration::try_from(self.settings.pace).unwrap_or(SignedDuration::from_secs(1));
            if let Some(early) = self.changed.get().map(|last| last + pace - self.clock.now()) {
                self.clock.wait(early.try_into().unwrap_or_default());
            }
            self.changed.set(Some(self.clock.now()));
            let raw = self.exchange(ask, Some(&token)).map_err(|lost| match lost {
                Lost::Before(why) => ForgeError::Unreachable(why),
                Lost::After(why) => ForgeError::Unclear(why),
            })?;
            if raw.is_redirect() {
                return Err(moved_away(ask.path).into());
            }
            match self.judge(ask, &raw, kind) {
                Ok(()) => return Ok(raw),
                // Both mean that nothing was done.
                Err(Failure { error: ForgeError::Limited { until, .. }, .. })
                    if std::mem::take(&mut patience) && self.wait_for(until) => {}
                Err(failure) if failure.status == 401 && !renewed && self.forget_token() => renewed = true,
                Err(failure) => return Err(failure),
            }
        }
    }

    /// One request and its answer, or none. Without a token it goes to a place that is not GitHub's interface.
    fn exchange(&self, ask: &Ask<'_>, token: Option<&Secret>) -> Result<Raw, Lost> {
        let mut builder = Request::builder().method(ask.method.clone()).uri(ask.path);
        if token.is_some() {
            builder = builder.header(header::ACCEPT, "application/vnd.github+json").header("x-github-api-version", "2022-11-28");
        }
        if !ask.body.is_empty() {
            builder = builder.header(header::CONTENT_TYPE, "application/json");
        }
        if let Some(mark) = ask.mark {
            builder = builder.header(header::IF_NONE_MATCH, mark);
        }
        let request = builder.body(ask.body.clone()).map_err(|error| Lost::Before(error.to_string()))?;
        let crab = match token {
            Some(token) => self.crab.user_access_token(token.reveal()).map_err(|error| Lost::Before(error.to_string()))?,
            None => self.crab.clone(),
        };
        let patience = self.settings.patience;
        let Some(runtime) = &self.runtime else { return Err(Lost::Before("it is over".into())) };
        let talk = || async move {
            let response = crab.execute(request).await.map_err(|error| lost(&error))?;
            let (parts, body) = response.into_parts();
            let body = Limited::new(body, ANSWER_MAX).collect().await;
            let body = body.map_err(|error| Lost::After(format!("the answer broke off: {error}")))?.to_bytes().to_vec();
            Ok(Raw { status: parts.status.as_u16(), headers: parts.headers, body })
        };
        let answered = drive(runtime, || async move { tokio::time::timeout(patience, talk()).await });
        let answered = answered.unwrap_or_else(|_| Err(Lost::After(format!("no answer within {patience:?}"))));
        let shown = answered.as_ref().map_or("none".into(), |raw| raw.status.to_string());
        // Addresses elsewhere carry what lets one read there.
        let path = if token.is_some() { ask.path } else { ask.path.split('?').next().unwrap_or_default() };
        tracing::debug!(target: "fractal::forge", "{} {path}: {shown}", ask.method);
        answered
    }

    /// What an answer means.
    fn judge(&self, ask: &Ask<'_>, raw: &Raw, kind: usize) -> Result<(), Failure> {
        if raw.number("x-ratelimit-remaining") == Some(0)
            && let Some(until) = raw.reset()
        {
            let _ = self.close(kind, until, "the token's requests are used up".into());
        }
        if (200..300).contains(&raw.status) {
            return Ok(());
        }
        let said = wire::said(&raw.body);
        let why = format!("{} (status {})", self.shown(&said), raw.status);
        let later = raw.number("retry-after");
        let limited = said.to_lowercase().contains("rate limit") || said.contains("abuse detection");
        let error = match raw.status {
            429 | 403 if later.is_some() || limited || raw.status == 429 || raw.number("x-ratelimit-remaining") == Some(0) => {
                self.limited(raw, kind, why)
            }
            401 | 403 | 451 => ForgeError::NotPermitted(why),
            404 | 410 => ForgeError::Gone(format!("{}: {why}", ask.path)),
            409 | 412 => ForgeError::Moved(why),
            500.. => ForgeError::Unclear(why),
            _ => ForgeError::Refused(why),
        };
        Err(Failure { error, status: raw.status })
    }

    fn keep(&self, path: &str, raw: Raw) -> Kept {
        let next = raw.header("link").and_then(next_of).and_then(|place| self.below(place));
        let (mark, scopes) = (raw.header("etag").map(String::from), raw.header("x-oauth-scopes").map(String::from));
        let kept = Kept { mark: mark.unwrap_or_default(), body: raw.body, next, scopes };
        if !kept.mark.is_empty() {
            self.cache.borrow_mut().put(path, kept.clone());
        }
        kept
    }

    /// A place as a path below our address; none when it is somewhere else, where our token must not go.
    fn below(&self, place: &str) -> Option<String> {
        let rest = match place.strip_prefix(self.settings.url.strip_suffix(&self.root)?.trim_end_matches('/')) {
            Some(rest) => rest,
            None if place.starts_with('/') && !place.starts_with("//") => place,
            None => return None,
        };
        rest.starts_with(&format!("{}/", self.root)).then(|| rest.to_string())
    }

    /// Whether anything may be sent.
    fn open(&self, kind: usize) -> Result<(), ForgeError> {
        match &self.closed.borrow()[kind] {
            Some((until, why)) if *until > self.clock.now() => Err(ForgeError::Limited { until: *until, why: why.clone() }),
            _ => Ok(()),
        }
    }

    /// Closes for as long as an answer says that is a limit: what it asks for, else until there are new requests, else a minute.
    fn limited(&self, raw: &Raw, kind: usize, why: String) -> ForgeError {
        let now = self.clock.now();
        let later = raw.number("retry-after").map(|seconds| now + SignedDuration::from_secs(seconds.clamp(0, 86_400)));
        let used_up = raw.reset().filter(|_| raw.number("x-ratelimit-remaining") == Some(0));
        self.close(kind, later.or(used_up).unwrap_or(now + LIMITED), why)
    }

    fn close(&self, kind: usize, until: Timestamp, why: String) -> ForgeError {
        self.closed.borrow_mut()[kind] = Some((until, why.clone()));
        ForgeError::Limited { until, why }
    }

    /// Waits for a time that is near.
    fn wait_for(&self, until: Timestamp) -> bool {
        let left = until - self.clock.now();
        let left = SignedDuration::try_from(left).unwrap_or(SignedDuration::MAX);
        if left > SHORT {
            return false;
        }
        self.clock.wait(left.try_into().unwrap_or_default());
        true
    }

    /// Forgets a token that an App made; false when there is none.
    fn forget_token(&self) -> bool {
        self.minted.take().is_some()
    }

    /// What GitHub says, as one line, without our token.
    fn shown(&self, said: &str) -> String {
        let mut said = plain_line(said, SAID_MAX);
        if let Credentials::Token { token, .. } = &self.settings.credentials {
            said = token.remove_from(&said);
        }
        self.minted.borrow().as_ref().map_or(said.clone(), |minted| minted.token.remove_from(&said))
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // To drop a runtime is to wait for it, which async code must not.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Raw {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    fn number(&self, name: &str) -> Option<i64> {
        self.header(name)?.trim().parse().ok()
    }

    fn reset(&self) -> Option<Timestamp> {
        Timestamp::from_second(self.number("x-ratelimit-reset")?).ok()
    }

    fn is_redirect(&self) -> bool {
        matches!(self.status, 301 | 302 | 307 | 308)
    }
}

fn moved_away(path: &str) -> ForgeError {
    ForgeError::Setup(format!("`{path}` is somewhere else now; has the repository been renamed? See `[forge] repository`"))
}

fn decode<T: DeserializeOwned>(path: &str, body: &[u8]) -> Result<T, ForgeError> {
    serde_json::from_slice(body)
        .map_err(|error| ForgeError::Unreachable(format!("the answer to `{path}` cannot be read: {error}")))
}

/// Whether a request was lost before it was sent.
fn lost(error: &octocrab::Error) -> Lost {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    let mut why = String::new();
    while let Some(inner) = cause {
        if let Some(client) = inner.downcast_ref::<hyper_util::client::legacy::Error>()
            && client.is_connect()
        {
            if let Some(why) = refused_certificate(client) {
                return Lost::Before(why);
            }
            let deepest = std::iter::successors(std::error::Error::source(client), |error| error.source()).last();
            return Lost::Before(deepest.map_or_else(|| client.to_string(), ToString::to_string));
        }
        why = inner.to_string();
        cause = inner.source();
    }
    Lost::After(why)
}

/// The address with `rel="next"` of a `Link` header.
fn next_of(link: &str) -> Option<&str> {
    let next = link.split(',').find(|part| part.split(';').skip(1).any(|word| word.trim() == "rel=\"next\""))?;
    next.split(';').next()?.trim().strip_prefix('<')?.strip_suffix('>')
}
