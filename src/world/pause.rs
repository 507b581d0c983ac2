//! The kill switch: where it can be set, and whether it is. Read anew immediately before each outward act.
//!
//! What cannot be read counts as set: who cannot tell does nothing.

use std::fmt;

use serde::Serialize;

use super::git::Repo;
use super::git::remote::there;
use crate::model::plain_line;

/// While this ref exists, here or at the remote, nothing outward is done. It leads to a blob with the reason.
pub const PAUSE_REF: &str = "refs/fractal/paused";
/// A file of the work tree with the reason: made by hand here, or committed for everybody.
pub const PAUSE_FILE: &str = ".fractal/paused";
/// An environment variable with the reason.
pub const PAUSE_VARIABLE: &str = "FRACTAL_PAUSE";
/// Characters of a reason that are shown.
const REASON_MAX: usize = 200;

/// Where the switch is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    Ref,
    /// The ref at the remote, as last seen.
    Remote,
    File,
    Configuration,
    Environment,
}

/// A switch that is set, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Pause {
    pub level: Level,
    pub reason: String,
}

impl Pause {
    /// Where it is set and what lifts it.
    pub fn how_to_lift(&self) -> String {
        match self.level {
            Level::Ref => "`fractal resume` goes on".to_string(),
            Level::Remote => format!("`{PAUSE_REF}` is at the remote; `fractal resume --remote` goes on"),
            Level::File => format!("remove the file `{PAUSE_FILE}` to go on"),
            Level::Configuration => "`[engine] paused` in `fractal.toml`".to_string(),
            Level::Environment => format!("the environment variable `{PAUSE_VARIABLE}` of this process"),
        }
    }
}

impl fmt::Display for Pause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reason = if self.reason.is_empty() { String::new() } else { format!(" ({})", self.reason) };
        write!(f, "paused{reason}; {}", self.how_to_lift())
    }
}

/// Every switch that is set now; the first is the one to name.
pub fn pauses(repo: &Repo) -> Vec<Pause> {
    let told = |level, reason: &str| Pause { level, reason: plain_line(reason, REASON_MAX) };
    let of_ref = |level, name: &str| match repo.text_at(name) {
        Ok(reason) => reason.map(|reason| told(level, &reason)),
        Err(why) => Some(told(level, &format!("{why:#}"))),
    };
    let of_file = || match std::fs::read(repo.root().join(PAUSE_FILE)) {
        Ok(reason) => Some(told(Level::File, &String::from_utf8_lossy(&reason))),
        Err(error) if matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) => None,
        Err(error) => Some(told(Level::File, &error.to_string())),
    };
    let config = super::read_config(repo);
    let of_config = || match &config {
        Ok(config) => config.engine.paused.then(|| told(Level::Configuration, "")),
        Err(why) => Some(told(Level::Configuration, &why.to_string())),
    };
    let of_variable = || super::files::variable(PAUSE_VARIABLE).map(|reason| told(Level::Environment, &reason));
    let has_remote = config.as_ref().is_ok_and(|config| !config.deploy.remote.is_empty());
    let remote = if has_remote { of_ref(Level::Remote, &there(PAUSE_REF)) } else { None };
    [of_ref(Level::Ref, PAUSE_REF), remote, of_file(), of_config(), of_variable()].into_iter().flatten().collect()
}

/// The switch to name, when one is set.
pub fn paused(repo: &Repo) -> Option<Pause> {
    pauses(repo).into_iter().next()
}
