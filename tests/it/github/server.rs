//! The model's HTTP: who asks, limits, marks, pages, the log, and what goes wrong.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::state::{Actor, Exchange, Trouble};
use super::{World, actions, git, graphql, issues, pulls, talk};

/// A request of somebody known.
pub struct Asked {
    pub method: String,
    /// Its parts below the interface, decoded.
    pub parts: Vec<String>,
    pub query: BTreeMap<String, String>,
    pub body: Value,
    pub actor: Actor,
    pub now: Timestamp,
}

/// What is answered.
#[derive(Debug)]
pub enum Reply {
    Json(u16, Value),
    /// A list, inside of an object under a name if it has one.
    List(Vec<Value>, Option<&'static str>),
    /// It is at another address.
    Elsewhere(String),
}

pub fn refusal(status: u16, message: &str) -> Reply {
    Reply::Json(
        status,
        json!({"message": message, "documentation_url": "https://docs.github.com/rest", "status": status.to_string()}),
    )
}

pub fn invalid(resource: &str, field: &str, message: &str) -> Reply {
    let error = json!({"resource": resource, "field": field, "code": "custom", "message": message});
    let body = json!({"message": "Validation Failed", "errors": [error], "documentation_url": "https://docs.github.com/rest"});
    Reply::Json(422, body)
}

pub fn not_found() -> Reply {
    refusal(404, "Not Found")
}

impl Asked {
    pub fn text(&self, field: &str) -> Option<&str> {
        self.body[field].as_str()
    }

    /// Whether the token may write such a thing; else what GitHub says.
    pub fn may_write(&self, what: &'static str) -> Result<(), Reply> {
        if self.actor.writes.contains(what) {
            return Ok(());
        }
        let by = if self.actor.slug.is_some() { "integration" } else { "personal access token" };
        Err(refusal(403, &format!("Resource not accessible by {by}")))
    }
}

/// A whole answer, or none.
enum Sent {
    Answer(u16, Vec<(String, String)>, Vec<u8>),
    Dropped,
    Never,
}

/// Serves until the other end is gone. The address.
pub fn serve(world: Arc<Mutex<World>>, time: Arc<AtomicI64>, folder: PathBuf) -> (String, oneshot::Sender<()>) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = format!("http://{}", listener.local_addr().expect("has one"));
    listener.set_nonblocking(true).expect("may");
    let (stop, stopped) = oneshot::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
            let accepting = async {
                loop {
                    let Ok((stream, _)) = listener.accept().await else { continue };
                    let (world, time, folder) = (world.clone(), time.clone(), folder.clone());
                    let service = service_fn(move |request| one(request, world.clone(), time.clone(), folder.clone()));
                    tokio::spawn(async move {
                        let builder = hyper::server::conn::http1::Builder::new();
                        let _ = builder.serve_connection(TokioIo::new(stream), service).await;
                    });
                }
            };
            tokio::select! {
                () = accepting => {}
                _ = stopped => {}
            }
        });
        runtime.shutdown_background();
    });
    (address, stop)
}

/// The connection is to end.
#[derive(Debug, thiserror::Error)]
#[error("dropped")]
struct Gone;

async fn one(
    request: hyper::Request<Incoming>,
    world: Arc<Mutex<World>>,
    time: Arc<AtomicI64>,
    folder: PathBuf,
) -> Result<hyper::Response<Full<Bytes>>, Gone> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map_err(|_| Gone)?.to_bytes().to_vec();
    let header = |(name, value): (&hyper::header::HeaderName, &hyper::header::HeaderValue)| {
        (name.to_string(), value.to_str().unwrap_or_default().to_string())
    };
    let headers: Vec<(String, String)> = parts.headers.iter().map(header).collect();
    let (method, path) = (parts.method.to_string(), parts.uri.path().to_string());
    let query = parts.uri.query().unwrap_or_default().to_string();
    let sent = if path.starts_with("/kept/") {
        let token = headers.iter().find(|(name, _)| name == "authorization").map(|(_, value)| value);
        let (status, bytes) = actions::kept(&world.lock().expect("whole"), &path, &query, token);
        Sent::Answer(status, Vec::new(), bytes)
    } else if path.contains(".git/") {
        git_request(&world, (&method, &path, &query), headers, body, &time, folder).await
    } else {
        let now = Timestamp::from_millisecond(time.load(Ordering::SeqCst)).expect("a time");
        world.lock().expect("whole").answer((&method, &path, &query), &headers, &body, now)
    };
    match sent {
        Sent::Answer(status, headers, body) => {
            let mut response = hyper::Response::builder().status(status);
            for (name, value) in headers {
                response = response.header(name, value);
            }
            Ok(response.body(Full::new(Bytes::from(body))).expect("a response"))
        }
        Sent::Dropped => Err(Gone),
        Sent::Never => match std::future::pending::<Infallible>().await {},
    }
}

async fn git_request(
    world: &Mutex<World>,
    request: (&str, &str, &str),
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    time: &AtomicI64,
    folder: PathBuf,
) -> Sent {
    let now = Timestamp::from_millisecond(time.load(Ordering::SeqCst)).expect("a time");
    let pushes = request.1.ends_with("/git-receive-pack") || request.2.contains("git-receive-pack");
    let told = headers.iter().find(|(name, _)| name == "authorization").and_then(|(_, value)| {
        let pair = BASE64_STANDARD.decode(value.strip_prefix("Basic ").or_else(|| value.strip_prefix("basic "))?).ok()?;
        Some(String::from_utf8(pair).ok()?.split_once(':')?.1.to_string())
    });
    let actor = told.and_then(|token| world.lock().expect("whole").actor_of(&token, now));
    match actor {
        None => return Sent::Answer(401, vec![("www-authenticate".into(), "Basic realm=\"GitHub\"".into())], Vec::new()),
        Some(actor) if pushes && !actor.writes.contains("contents") => {
            return Sent::Answer(403, Vec::new(), b"Permission denied".to_vec());
        }
        Some(_) => {}
    }
    if pushes {
        let repository = &world.lock().expect("whole").repository;
        let strict = repository.protections.iter().filter(|(_, rules)| !rules.checks.is_empty() || rules.approvals > 0);
        let names: Vec<String> = strict.map(|(name, _)| name.clone()).collect();
        repository.bare.protect(&names);
    }
    let (method, path, query) = (request.0.to_string(), request.1.to_string(), request.2.to_string());
    let done = tokio::task::spawn_blocking(move || git::http_backend(&folder, (&method, &path, &query), &headers, body)).await;
    world.lock().expect("whole").repository.settle(now);
    let (status, headers, body) = done.expect("git answers");
    Sent::Answer(status, headers, body)
}

/// A part of an address as it is meant.
fn decoded(text: &str) -> String {
    let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
    while let [first, after @ ..] = rest {
        let code = after.get(..2).and_then(|two| u8::from_str_radix(std::str::from_utf8(two).ok()?, 16).ok());
        match (first, code) {
            (b'%', Some(byte)) => (bytes.push(byte), rest = &after[2..]).1,
            (b'+', _) => (bytes.push(b' '), rest = after).1,
            _ => (bytes.push(*first), rest = after).1,
        }
    }
    String::from_utf8(bytes).expect("UTF-8")
}

impl World {
    pub fn actor_of(&self, token: &str, now: Timestamp) -> Option<Actor> {
        if self.minted.get(token).is_some_and(|until| *until > now) {
            let writes = self.app_writes.iter().copied().collect();
            return Some(Actor { login: "fractal-bot[bot]".into(), slug: Some("fractal-bot".into()), writes, scopes: None });
        }
        self.tokens.get(token).cloned()
    }

    /// The App itself, by what it signed.
    fn app_of(&self, token: &str, now: Timestamp) -> Option<Actor> {
        let (signed, signature) = token.rsplit_once('.')?;
        let claims: Value = serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(signed.split('.').nth(1)?).ok()?).ok()?;
        let (from, until) = (claims["iat"].as_i64()?, claims["exp"].as_i64()?);
        let timely = from <= now.as_second() && now.as_second() < until && until - from <= 600;
        let folder = tempfile::TempDir::new().expect("a folder");
        let file = |name: &str, content: &[u8]| {
            let path = folder.path().join(name);
            std::fs::write(&path, content).expect("writes");
            path
        };
        let mut verify = Command::new("openssl");
        verify.args(["dgst", "-sha256", "-verify"]).arg(file("key", self.app_key.as_ref()?.as_bytes()));
        verify.arg("-signature").arg(file("signature", &BASE64_URL_SAFE_NO_PAD.decode(signature).ok()?));
        let good = verify.arg(file("signed", signed.as_bytes())).output().expect("openssl runs").status.success();
        let app = Actor { login: "the App".into(), slug: None, writes: std::collections::BTreeSet::new(), scopes: None };
        (timely && good && claims["iss"] == "7").then_some(app)
    }

    pub fn next(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn answer(&mut self, request: (&str, &str, &str), headers: &[(String, String)], body: &[u8], now: Timestamp) -> Sent {
        let (method, path, query) = request;
        let beside = format!("{}/graphql", self.root.trim_end_matches("/v3"));
        let below = if path == beside { "/graphql" } else { path.strip_prefix(&self.root).unwrap_or("/outside") };
        let shown = if query.is_empty() { below.to_string() } else { format!("{below}?{query}") };
        let headers: BTreeMap<String, String> = headers.iter().cloned().collect();
        let sent: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
        let mut exchange = Exchange {
            method: method.to_string(),
            path: shown.clone(),
            request: sent.clone(),
            headers: headers.clone(),
            status: 0,
            answer: Value::Null,
            at: now,
            troubled: false,
        };
        let knob = self.knobs.iter_mut().find(|knob| knob.times > 0 && knob.method == method && shown.contains(knob.path));
        let trouble = knob.map(|knob| {
            knob.times -= 1;
            knob.kind.clone()
        });
        exchange.troubled = trouble.is_some();
        let mut out: Vec<(String, String)> = vec![("content-type".into(), "application/json; charset=utf-8".into())];
        let reply = match self.identify(&headers, below, now) {
            Err(reply) => reply,
            Ok(actor) => {
                out.extend(actor.scopes.iter().map(|scopes| ("x-oauth-scopes".to_string(), scopes.clone())));
                let asked = asked(method, below, query, sent, actor, now);
                match self.obey(asked, trouble, &mut out) {
                    Some(reply) => reply,
                    None => {
                        self.log.push(exchange);
                        return if out.is_empty() { Sent::Never } else { Sent::Dropped };
                    }
                }
            }
        };
        self.repository.settle(now);
        let (mut status, answer) = self.page(reply, below, query, &mut out);
        let mut bytes = if answer.is_null() { Vec::new() } else { answer.to_string().into_bytes() };
        if answer == json!("garbage") {
            bytes = b"<html>502</html>".to_vec();
        }
        if method == "GET" && status == 200 {
            let mark = format!("W/\"{}\"", blake3::hash(&bytes).to_hex());
            if headers.get("if-none-match") == Some(&mark) {
                (status, bytes) = (304, Vec::new());
                self.remaining += 1;
            }
            out.push(("etag".into(), mark));
        }
        out.push(("x-ratelimit-limit".into(), "5000".into()));
        let left = if below == "/graphql" { self.points } else { self.remaining };
        out.push(("x-ratelimit-remaining".into(), left.to_string()));
        out.push(("x-ratelimit-reset".into(), self.reset.to_string()));
        (exchange.status, exchange.answer) = (status, if status == 304 { Value::Null } else { answer });
        self.log.push(exchange);
        Sent::Answer(status, out, bytes)
    }

    /// Who it is, if there are requests left.
    fn identify(&mut self, headers: &BTreeMap<String, String>, path: &str, now: Timestamp) -> Result<Actor, Reply> {
        if now.as_second() >= self.reset {
            (self.remaining, self.points, self.reset) = (5000, 5000, now.as_second() + 3600);
        }
        if !headers.contains_key("user-agent") {
            return Err(refusal(
                403,
                "Request forbidden by administrative rules. Please make sure your request has a User-Agent header",
            ));
        }
        let token = headers.get("authorization").and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
        let app = path.starts_with("/app") || path.ends_with("/installation");
        let actor = if app { self.app_of(token, now) } else { self.actor_of(token, now) };
        let actor = actor.ok_or_else(|| refusal(401, "Bad credentials"))?;
        if path == "/graphql" {
            let left = self.points.checked_sub(1).ok_or_else(graphql::used_up)?;
            self.points = left;
            return Ok(actor);
        }
        if self.remaining == 0 {
            return Err(refusal(403, "API rate limit exceeded for user ID 1."));
        }
        self.remaining -= 1;
        Ok(actor)
    }

    /// Does what is asked, as far as nothing goes wrong. Nothing: there is no answer; without headers none ever comes.
    fn obey(&mut self, asked: Asked, trouble: Option<Trouble>, out: &mut Vec<(String, String)>) -> Option<Reply> {
        let failed = |status| Some(refusal(status, "Server Error"));
        match trouble {
            None => Some(self.route(&asked)),
            Some(Trouble::Error { status, obeyed }) => {
                if obeyed {
                    self.route(&asked);
                }
                failed(status)
            }
            Some(Trouble::Drop { obeyed } | Trouble::Hang { obeyed }) if !obeyed => self.hang(trouble, out),
            Some(Trouble::Drop { .. } | Trouble::Hang { .. }) => {
                self.route(&asked);
                self.repository.settle(asked.now);
                self.hang(trouble, out)
            }
            Some(Trouble::Twice) => {
                self.route(&asked);
                Some(self.route(&asked))
            }
            Some(Trouble::Secondary { retry_after }) => {
                out.extend(retry_after.map(|seconds| ("retry-after".to_string(), seconds.to_string())));
                let message = "You have exceeded a secondary rate limit. Please wait a few minutes before you try again.";
                Some(refusal(403, message))
            }
            Some(Trouble::SecondaryOfGraphql { retry_after }) => {
                out.extend(retry_after.map(|seconds| ("retry-after".to_string(), seconds.to_string())));
                Some(graphql::too_much())
            }
            Some(Trouble::BaseMovesUnseen { path, content }) => {
                self.push_to_base(path, content, asked.now);
                Some(self.route(&asked))
            }
            Some(Trouble::MergesWrongly { path, content }) => {
                self.repository.slip = Some((path, content));
                Some(self.route(&asked))
            }
            Some(Trouble::Refuse { status, message }) => Some(refusal(status, message)),
            Some(Trouble::BaseMoves) => {
                self.push_to_base("moved", "x\n", asked.now);
                Some(refusal(405, "Base branch was modified. Review and try the merge again."))
            }
            Some(Trouble::Garbage) => Some(Reply::Json(200, json!("garbage"))),
            Some(Trouble::Redirect { status, to }) => {
                out.push(("location".into(), to));
                Some(refusal(status, "Moved Permanently"))
            }
        }
    }

    fn push_to_base(&self, path: &str, content: &str, now: Timestamp) {
        let bare = &self.repository.bare;
        let main = bare.branch("main").expect("main");
        let moved = bare.commit_files(Some(&main), &[(path, content)], "in between", now.as_second());
        assert!(bare.move_branch("main", Some(&main), Some(&moved)));
    }

    fn hang(&self, trouble: Option<Trouble>, out: &mut Vec<(String, String)>) -> Option<Reply> {
        if matches!(trouble, Some(Trouble::Hang { .. })) {
            out.clear();
        }
        None
    }

    fn route(&mut self, asked: &Asked) -> Reply {
        let parts: Vec<&str> = asked.parts.iter().map(String::as_str).collect();
        let rest: &[&str] = match parts.as_slice() {
            ["graphql"] => return graphql::answer(self, asked),
            ["user"] if asked.actor.slug.is_some() => return refusal(403, "Resource not accessible by integration"),
            ["user"] => return Reply::Json(200, self.shape.myself(&asked.actor.login)),
            ["app", "installations", "9", "access_tokens"] => return self.mint(asked),
            ["repos", owner, name, rest @ ..] if format!("{owner}/{name}").eq_ignore_ascii_case(&self.repository.name) => rest,
            ["repositories", id, rest @ ..] if *id == self.repository.id.to_string() => rest,
            _ => return not_found(),
        };
        if let ["installation"] = rest {
            return Reply::Json(200, self.shape.installation(9, 7, "fractal-bot", &self.app_writes));
        }
        let answered = pulls::answer(self, asked, rest).or_else(|| talk::answer(self, asked, rest));
        let answered = answered.or_else(|| issues::answer(self, asked, rest));
        answered.or_else(|| actions::answer(self, asked, rest)).unwrap_or_else(not_found)
    }

    fn mint(&mut self, asked: &Asked) -> Reply {
        let token = format!("ghs_minted{:028}", self.next());
        let until = asked.now + jiff::SignedDuration::from_hours(1);
        self.minted.insert(token.clone(), until);
        let at = until.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        Reply::Json(
            201,
            json!({"token": token, "expires_at": at, "permissions": {"metadata": "read"}, "repository_selection": "selected"}),
        )
    }

    /// A reply as status and body; of a list the page that was asked for, and where the next one is.
    fn page(&self, reply: Reply, below: &str, query: &str, out: &mut Vec<(String, String)>) -> (u16, Value) {
        let (values, key) = match reply {
            Reply::Json(status, value) => return (status, value),
            Reply::List(values, key) => (values, key),
            Reply::Elsewhere(place) => {
                out.push(("location".into(), place));
                return (302, Value::Null);
            }
        };
        let asked: BTreeMap<&str, &str> = query.split('&').filter_map(|pair| pair.split_once('=')).collect();
        let number = |name: &str| asked.get(name).and_then(|value| value.parse::<usize>().ok());
        let size = number("per_page").unwrap_or(30).min(100).min(self.page_max);
        let page = number("page").unwrap_or(1).max(1);
        let (all, from) = (values.len(), (page - 1) * size);
        if from + size < all {
            let rest: Vec<&str> = query.split('&').filter(|pair| !pair.starts_with("page=")).collect();
            // As GitHub does: by the number of the repository.
            let path =
                below.replacen(&format!("/repos/{}", self.repository.name), &format!("/repositories/{}", self.repository.id), 1);
            let link =
                |page: usize, word: &str| format!("<{}{path}?{}&page={page}>; rel=\"{word}\"", self.shape.api, rest.join("&"));
            out.push(("link".into(), format!("{}, {}", link(page + 1, "next"), link(all.div_ceil(size), "last"))));
        }
        let shown: Vec<Value> = values.into_iter().skip(from).take(size).collect();
        let value = match key {
            None => Value::Array(shown),
            Some("statuses") => {
                let sha = below.split('/').nth(5).unwrap_or_default();
                self.shape.combined(&self.repository, sha, &shown, all)
            }
            Some(key) => json!({"total_count": all, key: shown}),
        };
        (200, value)
    }
}

fn asked(method: &str, below: &str, query: &str, body: Value, actor: Actor, now: Timestamp) -> Asked {
    let parts = below.split('/').filter(|part| !part.is_empty()).map(decoded).collect();
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let query = pairs.map(|(name, value)| (decoded(name), decoded(value))).collect();
    Asked { method: method.to_string(), parts, query, body, actor, now }
}
