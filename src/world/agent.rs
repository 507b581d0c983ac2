//! A coding agent: somebody else's program, run in a scratch checkout inside the sandbox with a file that says what is wanted. What it
//! leaves behind is read; nothing of it is believed.
//!
//! It reaches nobody. Where that is wanted it can ask its model through us: it writes the length
//! of a message as four bytes, most significant first, and the message, a JSON object, to its standard output, and reads an answer of the
//! same form from its standard input. What is asked, and whether, is the caller's to say. Or it has a client of its own, and finds in its
//! environment a proxy to those whom it may reach (`src/world/agent/outlet.rs`).

mod head;
mod outlet;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::time::Duration;

use anyhow::Result;

use self::outlet::Outlet;
pub use self::outlet::{Reach, Traffic, probe};
use super::clock::Stopwatch;
use super::sandbox::{OUTLET, Sandbox, Scratch, ScratchFile, Unprotected};
use crate::model::{Exit, FileEdit, Patch};

/// Where its files are, from the root of the checkout.
const BRIEF: &str = ".fractal/brief.md";
const ANSWER: &str = ".fractal/answer.json";
/// Messages of one run.
const MESSAGES: usize = 1000;

/// Where programs look for a proxy. Some read only small letters, and some only capitals.
const PROXIED: [&str; 6] = ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"];
/// Nobody is reached without it, not even an endpoint on this machine; programs in Node do not look for it unless they are told to.
const UNPROXIED: [(&str, &str); 3] = [("NO_PROXY", ""), ("no_proxy", ""), ("NODE_USE_ENV_PROXY", "1")];

/// What is run.
pub struct Task<'a> {
    pub files: &'a [ScratchFile],
    /// `{brief}` and `{root}` stand for places.
    pub command: &'a [String],
    pub brief: &'a str,
    /// Variables that it gets besides, with their values.
    pub env: &'a [(String, String)],
    /// Whom it may reach by itself.
    pub reach: Option<Reach>,
    /// Bytes of memory that it may really use, all of its processes together.
    pub memory: u64,
    pub time: Duration,
}

/// What became of it.
#[derive(Debug)]
pub struct Ran {
    /// `None` when it was talked with to its end.
    pub exit: Option<Exit>,
    /// What it printed, both streams.
    pub printed: Vec<u8>,
    /// Files of its own choice that it was allowed to change.
    pub patch: Patch,
    /// What else it changed: thrown away.
    pub elsewhere: Vec<String>,
    /// What it wrote to `FRACTAL_ANSWER`.
    pub answer: Vec<u8>,
    /// What went through its outlet, if it had one.
    pub traffic: Traffic,
    pub took: Duration,
}

/// Answers a message of an agent; `None` ends it.
pub type Talk<'t> = &'t mut dyn FnMut(&[u8]) -> Option<Vec<u8>>;

/// Runs an agent; `own` says which files it may change.
///
/// # Errors
/// When the scratch checkout cannot be made.
pub fn run(sandbox: &Sandbox, task: &Task<'_>, own: impl Fn(&str) -> bool, talk: Option<Talk<'_>>) -> Result<Ran> {
    let sandbox = sandbox.clone().with_memory(task.memory).naming(task.command.first().into_iter().map(String::as_str));
    let brief = ScratchFile::plain(BRIEF, task.brief.as_bytes());
    let files: Vec<ScratchFile> = task.files.iter().cloned().chain([brief]).collect();
    let scratch = sandbox.checkout(&files)?;
    let root = scratch.root().display().to_string();
    let (brief, answer) = (format!("{root}/{BRIEF}"), format!("{root}/{ANSWER}"));
    let word = |word: &String| OsString::from(word.replace("{brief}", &brief).replace("{root}", &root));
    let argv: Vec<OsString> = task.command.iter().map(word).collect();
    let outlet = task.reach.clone().map(Outlet::open).transpose()?;
    let sandbox = outlet.iter().fold(sandbox, |sandbox, outlet| sandbox.with_outlet(outlet.socket()));
    let proxy = format!("http://127.0.0.1:{OUTLET}");
    let mut env = vec![("FRACTAL_BRIEF", brief.as_str()), ("FRACTAL_ANSWER", answer.as_str())];
    if outlet.is_some() {
        env.extend(PROXIED.map(|name| (name, proxy.as_str())).into_iter().chain(UNPROXIED));
    }
    env.extend(task.env.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    let watch = Stopwatch::start();
    let (exit, printed) = match talk {
        None => {
            let finished = sandbox.run_with(&scratch, argv, Vec::new(), "", &env, task.time);
            (Some(finished.exit), [finished.stdout, finished.stderr].concat())
        }
        Some(talk) => talked(&sandbox, &scratch, argv, &env, (task.time, talk)),
    };
    let took = watch.elapsed();
    let traffic = outlet.map(Outlet::close).unwrap_or_default();
    let (patch, elsewhere) = changes(&scratch, own);
    Ok(Ran { exit, printed, patch, elsewhere, answer: scratch.read(ANSWER).unwrap_or_default(), traffic, took })
}

/// Whether an agent can have an outlet on this machine.
///
/// # Errors
/// When it cannot, and why.
pub fn can_reach(sandbox: &Sandbox) -> Result<(), Unprotected> {
    sandbox.ready()?;
    sandbox.offers_outlet()
}

/// Answers what it asks until it says that it is done, or its time is over.
fn talked(
    sandbox: &Sandbox,
    scratch: &Scratch,
    argv: Vec<OsString>,
    env: &[(&str, &str)],
    (time, talk): (Duration, Talk<'_>),
) -> (Option<Exit>, Vec<u8>) {
    let env = env.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    let mut kept = match sandbox.keep(scratch, argv, env) {
        Ok(kept) => kept,
        Err(error) => return (Some(Exit::NotStarted(error.to_string())), Vec::new()),
    };
    let watch = Stopwatch::start();
    let mut message = b"{}".to_vec();
    let mut exit = None;
    for _ in 0..MESSAGES {
        let left = time.saturating_sub(watch.elapsed());
        match kept.ask(&message, left) {
            Ok(said) => match talk(&said) {
                Some(answer) => message = answer,
                None => break,
            },
            Err(_) if left.is_zero() || watch.elapsed() >= time => {
                exit = Some(Exit::TimedOut);
                break;
            }
            // It has ended without saying that it is done: what it left behind counts all the same.
            Err(_) => break,
        }
    }
    (exit, kept.last_words().into_bytes())
}

fn changes(scratch: &Scratch, own: impl Fn(&str) -> bool) -> (Patch, Vec<String>) {
    let (wrote, deleted) = scratch.changes();
    let mut edits = BTreeMap::new();
    let mut elsewhere = Vec::new();
    for (path, is_there) in wrote.into_iter().map(|path| (path, true)).chain(deleted.into_iter().map(|path| (path, false))) {
        let content = if is_there { scratch.read(&path).ok().map(FileEdit::Write) } else { Some(FileEdit::Delete) };
        match content.filter(|_| own(&path)) {
            Some(edit) => drop(edits.insert(path, edit)),
            None if path.starts_with(".fractal/") => {}
            None => elsewhere.push(path),
        }
    }
    (Patch { edits }, elsewhere)
}
