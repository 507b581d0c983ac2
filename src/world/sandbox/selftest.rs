//! The sandbox tries itself: attempts that must fail inside, and the programs that runs need, started as runs start them.

use std::ffi::OsString;
use std::net::TcpListener;
use std::time::Duration;

use anyhow::{Result, ensure};
use serde::Serialize;

use super::{Sandbox, Scratch, ScratchFile};
use crate::config::{Protection, SandboxConfig};
use crate::model::Exit;
use crate::world::process::Finished;

/// Something that must not succeed inside.
#[derive(Clone, Debug, Serialize)]
pub struct Attempt {
    pub what: &'static str,
    /// What stops it.
    pub protection: Protection,
    pub stopped: bool,
    /// What it said.
    pub said: String,
}

/// A program as runs find it.
#[derive(Clone, Debug, Serialize)]
pub struct Found {
    pub name: &'static str,
    /// Its version in its own words, or why it does not run.
    pub said: String,
    pub runs: bool,
}

const TIME: Duration = Duration::from_secs(10);
const PROGRAMS: [&str; 6] = ["git", "bash", "python3", "node", "cargo", "rustc"];

impl Sandbox {
    /// Tries to get out, with whatever protections there are.
    ///
    /// # Errors
    /// When nothing can be tried: not even an honest run succeeds.
    pub fn attempts(&self) -> Result<Vec<Attempt>> {
        let tried = self.whatever_there_is();
        let outside = tried.checkout(&[ScratchFile::plain("secret", "sesame\n")])?;
        let own = tried.checkout(&[])?;
        let honest = tried.bash(&own, "echo fine > here && cat here");
        ensure!(honest.exit == Exit::Code(0), "an honest run fails: {}", said(&honest));
        let server = TcpListener::bind("127.0.0.1:0")?;
        let (port, pid) = (server.local_addr()?.port(), std::process::id());
        let place = outside.root().display().to_string().replace('\'', r"'\''");
        let all = [
            ("read a file outside", Protection::Files, format!("cat '{place}/secret'")),
            ("write a file outside", Protection::Files, format!("echo x > '{place}/written'")),
            ("change a mode outside", Protection::Files, format!("chmod 777 '{place}/secret'")),
            ("connect to a server", Protection::Network, format!("exec 3<>/dev/tcp/127.0.0.1/{port}")),
            ("signal a process outside", Protection::Signals, format!("kill -0 {pid}")),
            ("fill 200 MiB of memory beyond the limit", Protection::Limits, self.too_much()),
        ];
        let attempt = |(what, protection, script): (&'static str, Protection, String)| {
            let finished = tried.bash(&own, &script);
            Attempt { what, protection, stopped: finished.exit != Exit::Code(0), said: said(&finished) }
        };
        Ok(all.into_iter().map(attempt).collect())
    }

    /// Whether the programs that runs need can be started inside.
    ///
    /// # Errors
    /// When there is no room for a scratch folder.
    pub fn programs(&self) -> Result<Vec<Found>> {
        let tried = self.whatever_there_is();
        let scratch = tried.checkout(&[])?;
        let found = |name: &'static str| {
            let finished = tried.run(&scratch, [name, "--version"].map(OsString::from).to_vec(), Vec::new(), "", TIME);
            Found { name, said: said(&finished), runs: finished.exit == Exit::Code(0) }
        };
        Ok(PROGRAMS.into_iter().map(found).collect())
    }

    fn whatever_there_is(&self) -> Sandbox {
        self.clone().with(&SandboxConfig { require: Vec::new(), ..self.config.clone() })
    }

    fn too_much(&self) -> String {
        let bytes = self.memory.addresses.unwrap_or(self.memory.together) + (200 << 20);
        format!("head -c {bytes} /dev/zero | tail -c {bytes} > /dev/null; exit ${{PIPESTATUS[1]}}")
    }

    fn bash(&self, scratch: &Scratch, script: &str) -> Finished {
        self.run(scratch, ["bash", "-c", script].map(OsString::from).to_vec(), Vec::new(), "", TIME)
    }
}

/// The first line of what it said, or how it ended.
fn said(finished: &Finished) -> String {
    let text = [&finished.stderr[..], &finished.stdout[..]].concat();
    let first = String::from_utf8_lossy(&text).lines().next().unwrap_or_default().to_string();
    match (&finished.breach, first.is_empty()) {
        (Some(breach), _) => format!("ended for its {}", breach.word()),
        (None, true) => finished.exit.to_string(),
        (None, false) => first,
    }
}
