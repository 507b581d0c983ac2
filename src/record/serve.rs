//! `fractal serve`: runs that programs elsewhere tell of by OTLP over HTTP.
//!
//! A request is answered with 200 only once its executions are safe, in the store or on disk. What cannot be taken now is answered
//! with 503 and `Retry-After`: the protocol wants 429 repeated too, but the Python SDK did not do so until lately, and dropped what it
//! held.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;

use super::Intake;
use super::otlp::{self, Encoding, Refused, Signal, Told, Tools};
use super::writer::{Lost, Writer};
use crate::config::Config;
use crate::model::{CommitId, NewExecution, Version};
use crate::world::catalog::catalog;
use crate::world::clock::{Clock, Stopwatch};
use crate::world::git::Repo;
use crate::world::http::{Answer, BodyError, Packed, Request, Room};
use crate::world::store::Ingested;
use crate::world::{WorldError, files, read_config};

/// How often it is looked whether the tools of the repository are others.
const LOOK: Duration = Duration::from_secs(10);
/// Versions of tools at commits that are remembered.
const VERSIONS: usize = 10_000;
/// When a sender is asked to come back, in seconds.
const RETRY_AFTER: u64 = 1;

/// What happens.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    Listening {
        address: String,
    },
    /// Executions are in the store; some were there already.
    Stored {
        new: u64,
        known: u64,
    },
    /// Executions wait on disk from now on.
    StoreAway {
        why: String,
    },
    /// So many that waited on disk are in the store now.
    StoreBack {
        waited: usize,
    },
    /// Executions cannot wait on disk, or not be fetched from there.
    SpoolTrouble {
        why: String,
    },
    /// Spans or log records that can never be executions; `why` of the first.
    Refused {
        count: u64,
        why: String,
    },
    Stopped {
        new: u64,
        known: u64,
    },
}

/// Whom it is told.
pub type Tell = Arc<dyn Fn(&Event) + Send + Sync>;

/// Receives executions. See the module.
pub struct Receiver {
    repo: Mutex<Repo>,
    knowledge: Mutex<Arc<Knowledge>>,
    looked: Mutex<Stopwatch>,
    writer: Writer,
    tell: Tell,
}

/// What is known of the repository.
struct Knowledge {
    config: Config,
    head: CommitId,
    tools: Tools,
    root: String,
    /// Of tools at commits; `None` when either is not there.
    versions: Mutex<HashMap<(String, CommitId), Option<Version>>>,
}

impl Receiver {
    /// For the repository around `path`.
    ///
    /// # Errors
    /// When it cannot be opened, or its configuration is wrong.
    pub fn open(path: &Path, tell: Tell) -> Result<Self, WorldError> {
        let (repo, writes) = (Repo::open(path)?, Repo::open(path)?);
        let config = read_config(&repo)?;
        let knowledge = Knowledge::of(&repo, config.clone())?;
        Ok(Receiver {
            repo: Mutex::new(repo),
            knowledge: Mutex::new(Arc::new(knowledge)),
            looked: Mutex::new(Stopwatch::start()),
            writer: Writer::start(writes, config.clone(), config.serve.queue, tell.clone()),
            tell,
        })
    }

    /// Ends once everything that waits is safe.
    pub fn close(self) -> Ingested {
        self.writer.stop()
    }

    /// Answers a request.
    pub async fn answer(self: Arc<Self>, request: Request) -> Answer {
        if request.path() == "/healthz" {
            return self.health(&request);
        }
        let content_type = request.header("content-type").unwrap_or_default().to_string();
        let encoding = Encoding::of_content_type(&content_type);
        // Whoever sends something else reads JSON rather than protobuf.
        let refuse = |status, message: &str| failure(status, encoding.unwrap_or(Encoding::Json), message);
        let Some(signal) = Signal::of_path(request.path()) else {
            return refuse(404, "there are `/v1/traces` and `/v1/logs`");
        };
        if request.method() != "POST" {
            return Answer { allow: Some("POST"), ..refuse(405, "only POST") };
        }
        if request.header("origin").is_some() {
            // A page in somebody's browser, which can reach what listens for this machine only.
            return refuse(403, "nothing is taken from pages in browsers");
        }
        let Some(encoding) = encoding else {
            return refuse(415, "the content type must be `application/x-protobuf` or `application/json`");
        };
        if self.writer.is_full() {
            return later(encoding, "too many executions wait to be stored");
        }
        match request.body().await {
            Ok(packed) => self.receive(signal, encoding, packed).await,
            Err(error) => no_body(encoding, &error),
        }
    }

    async fn receive(self: Arc<Self>, signal: Signal, encoding: Encoding, packed: Packed) -> Answer {
        let worker = self.clone();
        let read = move || worker.read(signal, encoding, packed);
        let read = tokio::task::spawn_blocking(read).await;
        let (runs, refused, room) = match read {
            Ok(Ok(read)) => read,
            Ok(Err(NotRead::Body(error))) => return no_body(encoding, &error),
            Ok(Err(NotRead::Message(why))) => return failure(400, encoding, &why),
            Err(_) => return failure(500, encoding, "this request cannot be read; that is a mistake in Fractal"),
        };
        if !runs.is_empty() {
            let Some(stored) = self.writer.store(runs, room) else {
                return later(encoding, "too many executions wait to be stored");
            };
            match stored.await {
                Ok(Ok(())) => {}
                Ok(Err(Lost)) => return later(encoding, "executions can be kept neither in the store nor on disk now"),
                Err(_) => return later(encoding, "the server ends"),
            }
        }
        if refused.count > 0 {
            (self.tell)(&Event::Refused { count: refused.count, why: refused.why.clone() });
        }
        let body = otlp::accepted(signal, encoding, &refused);
        Answer { status: 200, content_type: encoding.content_type(), body, retry_after: None, allow: None }
    }

    /// What a body tells, redacted and with its versions. This computes and reads the repository.
    fn read(&self, signal: Signal, encoding: Encoding, packed: Packed) -> Result<(Vec<NewExecution>, Refused, Room), NotRead> {
        let (body, room) = packed.unpack().map_err(NotRead::Body)?;
        let knowledge = self.knowledge();
        let now = Clock::System.now();
        let delivery = otlp::read(signal, encoding, &body, &knowledge.tools, &knowledge.root, now).map_err(NotRead::Message)?;
        drop(body);
        let intake = Intake::new(&knowledge.config, &knowledge.root).knowing(&files::environment());
        let runs = delivery.told.into_iter().map(|told| self.admit(&knowledge, &intake, told)).collect();
        Ok((runs, delivery.refused, room))
    }

    fn admit(&self, knowledge: &Knowledge, intake: &Intake<'_>, told: Told) -> NewExecution {
        let Told { mut run, revision } = told;
        if let Some(version) = revision.and_then(|commit| self.version(knowledge, &run.tool, commit)) {
            run.version = version;
        }
        intake.admit(&knowledge.tools.success_of(&run), run)
    }

    /// The version of a tool at a commit; `None` when either is not ours.
    fn version(&self, knowledge: &Knowledge, tool: &str, commit: CommitId) -> Option<Version> {
        let paths = &knowledge.tools.get(tool)?.paths;
        let key = (tool.to_string(), commit);
        if let Some(known) = held(&knowledge.versions).get(&key) {
            return known.clone();
        }
        let version = held(&self.repo).version_at(&key.1, paths).ok().flatten();
        let mut versions = held(&knowledge.versions);
        if versions.len() >= VERSIONS {
            versions.clear();
        }
        versions.insert(key, version.clone());
        version
    }

    /// The tools as they are, or were a moment ago.
    fn knowledge(&self) -> Arc<Knowledge> {
        let mut looked = held(&self.looked);
        if looked.elapsed() >= LOOK {
            let repo = held(&self.repo);
            let known = held(&self.knowledge).clone();
            match read_config(&repo).and_then(|config| known.renewed(&repo, config)) {
                Ok(Some(renewed)) => *held(&self.knowledge) = Arc::new(renewed),
                // A commit that was not there may have come since.
                Ok(None) => held(&known.versions).retain(|_, version| version.is_some()),
                Err(error) => tracing::warn!("the tools stay as they were: {error}"),
            }
            *looked = Stopwatch::start();
        }
        drop(looked);
        held(&self.knowledge).clone()
    }

    fn health(&self, request: &Request) -> Answer {
        if !matches!(request.method(), "GET" | "HEAD") {
            return Answer { allow: Some("GET"), ..failure(405, Encoding::Json, "only GET") };
        }
        let (status, word) = if self.writer.is_alive() { (200, "ok") } else { (500, "nothing is stored any more") };
        let body = serde_json::json!({ "status": word, "waiting": self.writer.waiting() }).to_string().into_bytes();
        Answer { status, content_type: Encoding::Json.content_type(), body, retry_after: None, allow: None }
    }
}

impl Knowledge {
    fn of(repo: &Repo, config: Config) -> Result<Self, WorldError> {
        let head = repo.head()?;
        let tools = Tools::of(catalog(repo, &config, &head)?.tools);
        let root = repo.root().to_string_lossy().into_owned();
        Ok(Knowledge { config, head, tools, root, versions: Mutex::default() })
    }

    fn renewed(&self, repo: &Repo, config: Config) -> Result<Option<Self>, WorldError> {
        if config == self.config && repo.head()? == self.head {
            return Ok(None);
        }
        Knowledge::of(repo, config).map(Some)
    }
}

/// Why a body tells nothing.
enum NotRead {
    Body(BodyError),
    Message(String),
}

/// Nothing that a lock guards is half done when a thread panics.
fn held<T>(lock: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

fn failure(status: u16, encoding: Encoding, message: &str) -> Answer {
    let body = otlp::failed(encoding, message);
    Answer { status, content_type: encoding.content_type(), body, retry_after: None, allow: None }
}

fn later(encoding: Encoding, message: &str) -> Answer {
    Answer { retry_after: Some(RETRY_AFTER), ..failure(503, encoding, message) }
}

fn no_body(encoding: Encoding, error: &BodyError) -> Answer {
    let message = error.to_string();
    match error {
        BodyError::TooLarge(_) => failure(413, encoding, &message),
        BodyError::TooSlow => failure(408, encoding, &message),
        BodyError::Full => later(encoding, &message),
        BodyError::Encoding(_) => failure(415, encoding, &message),
        BodyError::Damaged(_) => failure(400, encoding, &message),
    }
}
