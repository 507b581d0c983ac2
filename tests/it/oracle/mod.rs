//! A server that speaks the protocols of language models: OpenAI's chat completions and responses, Anthropic's messages; streaming and
//! not, text and structured output. What it says comes from the test; requests that the real ones would refuse, it refuses.

mod wire;

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::sync::oneshot;

/// The key that the server wants.
pub const KEY: &str = "sk-test-hunter2hunter2hunter2";

/// What the server does.
#[derive(Clone, Debug)]
pub enum Say {
    Text(String),
    /// The model does not want to.
    Refusal(&'static str),
    /// The answer ends at the limit of tokens.
    Long(String),
    /// An error, with `Retry-After`.
    Status(u16, Option<&'static str>),
    /// The answer breaks off in the middle.
    Cut(String),
    Enormous,
    NotUtf8,
    /// Nothing is ever answered.
    Never,
    /// A redirect to somewhere else.
    Elsewhere,
}

/// A request that came.
#[derive(Clone, Debug)]
pub struct Asked {
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub body: Value,
    /// What the model was told, all of it.
    pub told: String,
    /// Which request of the server's life it is, from 0.
    pub number: usize,
}

type Script = Box<dyn FnMut(&Asked) -> Say + Send>;

struct State {
    script: Script,
    asked: Vec<Asked>,
}

/// A server that ends with the value.
pub struct Oracle {
    pub address: String,
    state: Arc<Mutex<State>>,
    _stop: oneshot::Sender<()>,
}

impl Oracle {
    /// Begins to answer as the script says.
    pub fn saying(script: impl FnMut(&Asked) -> Say + Send + 'static) -> Oracle {
        let state = Arc::new(Mutex::new(State { script: Box::new(script), asked: Vec::new() }));
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = format!("http://{}/v1", listener.local_addr().expect("has one"));
        listener.set_nonblocking(true).expect("may");
        let (stop, stopped) = oneshot::channel();
        let shared = state.clone();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
                let accepting = async {
                    loop {
                        let Ok((stream, _)) = listener.accept().await else { continue };
                        let shared = shared.clone();
                        let service = service_fn(move |request| one(request, shared.clone()));
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
        Oracle { address, state, _stop: stop }
    }

    /// The same answer always.
    pub fn always(say: Say) -> Oracle {
        Oracle::saying(move |_| say.clone())
    }

    /// These answers, and the last one again and again.
    pub fn in_turn(says: Vec<Say>) -> Oracle {
        Oracle::saying(move |asked| says[asked.number.min(says.len() - 1)].clone())
    }

    /// What was asked so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.state.lock().expect("whole").asked.clone()
    }
}

/// The connection is to end.
#[derive(Debug, thiserror::Error)]
#[error("dropped")]
pub struct Gone;

type Body = BoxBody<Bytes, Gone>;

fn whole(bytes: Vec<u8>) -> Body {
    Full::new(Bytes::from(bytes)).map_err(|never: Infallible| match never {}).boxed()
}

/// Bytes in pieces that fit nothing, and perhaps no end.
fn pieces(bytes: &[u8], cut: bool) -> Body {
    let mut frames: Vec<Result<Frame<Bytes>, Gone>> =
        bytes.chunks(13).map(|piece| Ok(Frame::data(Bytes::copy_from_slice(piece)))).collect();
    if cut {
        frames.truncate(frames.len() / 2);
        frames.push(Err(Gone));
    }
    StreamBody::new(tokio_stream::iter(frames)).boxed()
}

async fn one(request: hyper::Request<Incoming>, state: Arc<Mutex<State>>) -> Result<hyper::Response<Body>, Gone> {
    let (parts, body) = request.into_parts();
    let bytes = body.collect().await.map_err(|_| Gone)?.to_bytes();
    let header = |(name, value): (&hyper::header::HeaderName, &hyper::header::HeaderValue)| {
        (name.to_string(), value.to_str().unwrap_or_default().to_string())
    };
    let headers: Vec<(String, String)> = parts.headers.iter().map(header).collect();
    let path = parts.uri.path().to_string();
    let body: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    let (asked, say) = {
        let mut state = state.lock().expect("whole");
        let asked = Asked { told: wire::told(&body), path, headers, body, number: state.asked.len() };
        state.asked.push(asked.clone());
        match wire::refused(&asked) {
            Some((status, why)) => return Ok(error(status, None, why)),
            None => {
                let say = (state.script)(&asked);
                (asked, say)
            }
        }
    };
    let streams = asked.body["stream"] == true;
    let kind = if streams { "text/event-stream; charset=utf-8" } else { "application/json" };
    let (text, cut) = match say {
        Say::Status(status, after) => return Ok(error(status, after, "as the script says")),
        Say::Elsewhere => {
            let response = hyper::Response::builder().status(302).header("location", "http://127.0.0.1:9/v1");
            return Ok(response.body(whole(Vec::new())).expect("a response"));
        }
        Say::Never => match std::future::pending::<Infallible>().await {},
        Say::NotUtf8 => {
            (b"data: {\"choices\":[{\"delta\":{\"content\":\"\xff\xfe\"},\"finish_reason\":\"stop\"}]}\n\n".to_vec(), false)
        }
        Say::Enormous => (wire::answer(&asked, &"x".repeat(2 << 20), wire::End::Done), false),
        Say::Text(text) => (wire::answer(&asked, &text, wire::End::Done), false),
        Say::Long(text) => (wire::answer(&asked, &text, wire::End::Length), false),
        Say::Refusal(text) => (wire::answer(&asked, text, wire::End::Refused), false),
        Say::Cut(text) => (wire::answer(&asked, &text, wire::End::Done), true),
    };
    let body = if text.len() < 1 << 16 { pieces(&text, cut) } else { whole(text) };
    Ok(hyper::Response::builder().status(200).header("content-type", kind).body(body).expect("a response"))
}

fn error(status: u16, after: Option<&str>, why: &str) -> hyper::Response<Body> {
    let body = json!({"error": {"message": why, "type": "error"}}).to_string();
    let mut response = hyper::Response::builder().status(status).header("content-type", "application/json");
    if let Some(after) = after {
        response = response.header("retry-after", after);
    }
    response.body(whole(body.into_bytes())).expect("a response")
}
