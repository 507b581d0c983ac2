//! Where untrusted code runs: a scratch checkout outside the user's work tree, a cleared environment, confinement, limits.
//!
//! A run sees the system's files and its own scratch folder (`src/world/sandbox/view.rs`), makes only harmless system calls
//! (`src/world/sandbox/calls.rs`), is looked after (`src/world/sandbox/watch.rs`), and nothing of it is left when it has ended
//! (`src/world/sandbox/raw.rs`). Where the kernel allows it, it has users, mounts, processes and a network of its own besides
//! (`src/world/sandbox/machine.rs` tells what is in force).

mod asked;
mod calls;
mod cgroup;
mod confine;
mod machine;
mod observe;
mod raw;
mod report;
mod scratch;
mod selftest;
mod view;
mod watch;

use std::ffi::OsString;
use std::fs;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use std::sync::{Arc, Mutex, OnceLock};

use anyhow::Result;

pub use self::confine::{Confined, Inside, Program, received};
use self::confine::{Confinement, Memory};
pub use self::machine::{Offer, Shield};
pub use self::observe::Observed;
pub(super) use self::scratch::place;
pub use self::scratch::{Scratch, ScratchFile};
pub use self::selftest::{Attempt, Found};
pub use self::watch::{Breach, EVERY};
use super::process::{self, Finished, Kept, Spawn};
use crate::config::{Config, Protection, SandboxConfig};

/// The place where scratch checkouts are made and processes run.
#[derive(Clone, Debug)]
pub struct Sandbox {
    owner: String,
    environment: Vec<(OsString, OsString)>,
    memory: Memory,
    config: SandboxConfig,
    /// Folders of programs that somebody named by their whole path.
    programs: Vec<PathBuf>,
    offer: Offer,
    /// Made when the first run needs it.
    confinement: Arc<OnceLock<(Arc<Confinement>, Vec<Shield>)>>,
    /// See [`Sandbox::with_outlet`].
    outlet: Option<Arc<OwnedFd>>,
    /// Why nothing may be run at all.
    closed: Option<&'static str>,
    /// Trials that run side by side.
    pub workers: usize,
}

/// The port of a run's own 127.0.0.1 at which its outlet is, if it has one.
pub const OUTLET: u16 = raw::OUTLET;
/// All processes of a run together may use so many times the memory of one: compilers run side by side.
const TOGETHER: u64 = 2;
/// Age after which a scratch folder that nobody removed is lost.
const LOST_AFTER: Duration = Duration::from_secs(6 * 3600);

impl Sandbox {
    /// The sandbox that the configuration describes. Runs see where the programs of its tools are installed: a person wrote them down.
    pub fn configured(owner: &str, config: &Config) -> Self {
        let commands = config.tools.iter().flat_map(|tool| std::iter::once(&tool.run).chain(&tool.test));
        let programs = commands.filter_map(|command| command.first().map(String::as_str));
        Sandbox::new(owner, &config.validate.environment, config.validate.memory_mib << 20).with(&config.sandbox).naming(programs)
    }

    /// `owner` tells scratch folders of one repository from those of another. `keep` are the variables that runs may see.
    pub fn new(owner: &str, keep: &[String], memory: u64) -> Self {
        let mut environment: Vec<(OsString, OsString)> = vec![("LANG".into(), "C.UTF-8".into())];
        let toolchains = ["RUSTUP_HOME", "CARGO_HOME"];
        for name in keep.iter().map(String::as_str).chain(["PYTHONPATH", "VIRTUAL_ENV", "NODE_PATH"]) {
            if let Some(value) = std::env::var_os(name) {
                environment.push((name.into(), value));
            }
        }
        // Rust finds its toolchain through HOME, which is private here.
        if let Some(home) = std::env::var_os("HOME") {
            for (name, folder) in toolchains.iter().zip([".rustup", ".cargo"]) {
                let value = std::env::var_os(name).unwrap_or_else(|| Path::new(&home).join(folder).into());
                environment.push(((*name).into(), value));
            }
        }
        Sandbox {
            // A run that knows its path does not know from it what it is for.
            owner: format!("tmp-{}-", &blake3::hash(owner.as_bytes()).to_hex()[..12]),
            environment,
            memory: Memory { addresses: Some(memory), together: memory.saturating_mul(TOGETHER) },
            config: SandboxConfig::default(),
            programs: Vec::new(),
            offer: Offer::ALL,
            confinement: Arc::default(),
            outlet: None,
            closed: None,
            workers: std::thread::available_parallelism().map_or(2, usize::from).clamp(1, 8),
        }
    }

    /// The same with what the configuration says.
    #[must_use]
    pub fn with(self, config: &SandboxConfig) -> Self {
        Sandbox { config: config.clone(), confinement: Arc::default(), ..self }
    }

    /// The same for commands with these programs, which may lie outside `PATH`.
    #[must_use]
    pub fn naming<'p>(mut self, programs: impl Iterator<Item = &'p str>) -> Self {
        let folders = programs.map(Path::new).filter(|program| program.is_absolute()).filter_map(Path::parent);
        self.programs.extend(folders.map(Path::to_path_buf));
        Sandbox { confinement: Arc::default(), ..self }
    }

    /// The same with so many bytes of memory for all processes of a run together, and as many addresses as each likes.
    #[must_use]
    pub fn with_memory(self, together: u64) -> Self {
        Sandbox { memory: Memory { addresses: None, together }, confinement: Arc::default(), ..self }
    }

    /// The same with no more than this, as on a machine that offers less.
    #[must_use]
    pub fn offered(self, offer: Offer) -> Self {
        Sandbox { offer, confinement: Arc::default(), ..self }
    }

    /// The same where nothing is run, whoever asks: each run ends before it begins, with this reason.
    #[must_use]
    pub fn closed(self, why: &'static str) -> Self {
        Sandbox { closed: Some(why), ..self }
    }

    /// The same for one run that finds a listener at [`OUTLET`], a port of its own 127.0.0.1. Whoever has the other end of `socket` gets the
    /// listener ([`received`]) and is the only one outside whom the run can reach.
    #[must_use]
    pub fn with_outlet(self, socket: Arc<OwnedFd>) -> Self {
        Sandbox { outlet: Some(socket), ..self }
    }

    /// Whether runs can have an outlet and no other way out.
    ///
    /// # Errors
    /// When they have no network of their own, with the reason.
    pub fn offers_outlet(&self) -> Result<(), Unprotected> {
        let needed = [Protection::Namespaces, Protection::Network];
        let missing = self.shields().iter().find(|shield| needed.contains(&shield.protection) && !shield.in_force);
        missing.map_or(Ok(()), |shield| Err(Unprotected::NoNetwork(shield.protection.word(), shield.how.clone())))
    }

    fn confinement(&self) -> &(Arc<Confinement>, Vec<Shield>) {
        self.confinement.get_or_init(|| machine::confinement(self.offer, &self.config, &self.programs, self.memory))
    }

    /// Which protections are in force, and how or why not.
    pub fn shields(&self) -> &[Shield] {
        &self.confinement().1
    }

    /// Whether everything that the configuration requires is in force, and anything may be run at all.
    ///
    /// # Errors
    /// When it is not: what is missing, why, and what to do.
    pub fn ready(&self) -> Result<(), Unprotected> {
        if let Some(why) = self.closed {
            return Err(Unprotected::Closed(why));
        }
        let required = |shield: &&Shield| self.config.require.contains(&shield.protection);
        let missing = self.shields().iter().filter(required).filter(|shield| !shield.in_force);
        let missing: Vec<String> = missing.map(|shield| format!("`{}`: {}", shield.protection.word(), shield.how)).collect();
        if missing.is_empty() { Ok(()) } else { Err(Unprotected::Missing(missing.join("; "))) }
    }

    /// A new scratch folder that holds the files.
    ///
    /// # Errors
    /// When a file cannot be written, or its path leads outside.
    pub fn checkout(&self, files: &[ScratchFile]) -> Result<Scratch> {
        let mut scratch = Scratch::new(&format!("{}{}-", self.owner, std::process::id()))?;
        scratch.bring_to(files)?;
        Ok(scratch)
    }

    /// Makes a used scratch folder hold exactly the files, or a new one when that cannot be done.
    ///
    /// # Errors
    /// As [`Sandbox::checkout`].
    pub fn refresh(&self, mut scratch: Scratch, files: &[ScratchFile]) -> Result<Scratch> {
        match scratch.bring_to(files) {
            Ok(()) => Ok(scratch),
            Err(_) => self.checkout(files),
        }
    }

    /// Runs a command in a scratch folder; `cwd` is relative to its root. Nothing runs where a required protection is missing.
    pub fn run(&self, scratch: &Scratch, argv: Vec<OsString>, stdin: Vec<u8>, cwd: &str, time: Duration) -> Finished {
        self.run_with(scratch, argv, stdin, cwd, &[], time)
    }

    /// The same with more environment variables, set over the rest.
    pub fn run_with(
        &self,
        scratch: &Scratch,
        argv: Vec<OsString>,
        stdin: Vec<u8>,
        cwd: &str,
        env: &[(&str, &str)],
        time: Duration,
    ) -> Finished {
        match self.confined(scratch, argv, &within(scratch, cwd), time) {
            Ok(mut spawn) => {
                spawn.env.extend(env.iter().map(|(name, value)| (name.into(), value.into())));
                process::run(&Spawn { stdin, ..spawn })
            }
            Err(unprotected) => Finished::not_started(unprotected.to_string()),
        }
    }

    /// As [`Sandbox::run`], and what the command did: slower, because it is stopped at every file that it opens.
    pub fn observe(
        &self,
        scratch: &Scratch,
        argv: Vec<OsString>,
        stdin: Vec<u8>,
        cwd: &str,
        time: Duration,
    ) -> (Finished, Observed) {
        let can_see = self.closed.is_none() && self.confinement().0.filters.is_some();
        let seen = Arc::new(Mutex::new(Observed { complete: can_see, ..Observed::default() }));
        let finished = match self.confined(scratch, argv, &within(scratch, cwd), time) {
            Ok(spawn) => {
                let inside = spawn.inside.map(|inside| Inside { observed: Some(seen.clone()), ..inside });
                process::run(&Spawn { stdin, inside, ..spawn })
            }
            Err(unprotected) => Finished::not_started(unprotected.to_string()),
        };
        let mut observed = seen.lock().map(|seen| seen.clone()).unwrap_or_default();
        (observed.wrote, observed.deleted) = scratch.changes();
        (finished, observed)
    }

    /// Starts a command that stays and is asked again and again, at the root of a scratch folder; `env` is set over the rest.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn keep(&self, scratch: &Scratch, argv: Vec<OsString>, env: Vec<(OsString, OsString)>) -> std::io::Result<Kept> {
        let mut spawn = self.confined(scratch, argv, scratch.root(), Duration::MAX).map_err(std::io::Error::other)?;
        spawn.env.extend(env);
        Kept::start(&spawn)
    }

    fn confined(&self, scratch: &Scratch, argv: Vec<OsString>, cwd: &Path, time: Duration) -> Result<Spawn, Unprotected> {
        self.ready()?;
        if self.outlet.is_some() {
            self.offers_outlet()?;
        }
        let (confinement, outlet) = (self.confinement().0.clone(), self.outlet.clone());
        let inside = Inside { confinement, scratch: scratch.base().to_path_buf(), observed: None, outlet };
        let env = self.variables(scratch);
        Ok(Spawn { clear_env: true, env, inside: Some(inside), ..Spawn::new(argv, cwd, time) })
    }

    fn variables(&self, scratch: &Scratch) -> Vec<(OsString, OsString)> {
        let base = scratch.base();
        let mut env = self.environment.clone();
        env.push(("PATH".into(), direct_path()));
        env.push(("HOME".into(), base.join("home").into()));
        env.push(("TMPDIR".into(), base.join("tmp").into()));
        env.push(("CARGO_TARGET_DIR".into(), base.join("target").into()));
        env.push(("CARGO_NET_OFFLINE".into(), "true".into()));
        // A Python that is told to abort at the time limit prints where it hangs.
        env.push(("PYTHONFAULTHANDLER".into(), "1".into()));
        env.push(("PYTHONDONTWRITEBYTECODE".into(), "1".into()));
        // It cannot be read, which git takes for a fault; the user's own is in another home.
        env.push(("GIT_CONFIG_NOSYSTEM".into(), "1".into()));
        env
    }

    /// Removes scratch folders that killed runs left behind, and returns how many: those whose process is gone, and any that is
    /// older than six hours.
    pub fn remove_lost(&self) -> usize {
        let Ok(entries) = fs::read_dir(std::env::temp_dir()) else { return 0 };
        let lost = |entry: &fs::DirEntry| {
            let name = entry.file_name().into_string().unwrap_or_default();
            let Some(rest) = name.strip_prefix(&self.owner) else { return false };
            let pid = rest.split('-').next().and_then(|pid| pid.parse().ok()).and_then(rustix::process::Pid::from_raw);
            let gone = pid.is_none_or(|pid| rustix::process::test_kill_process(pid) == Err(rustix::io::Errno::SRCH));
            let age =
                entry.metadata().and_then(|data| data.modified()).ok().and_then(|at| SystemTime::now().duration_since(at).ok());
            gone || age.is_some_and(|age| age > LOST_AFTER)
        };
        entries.flatten().filter(lost).filter(|entry| fs::remove_dir_all(entry.path()).is_ok()).count()
    }
}

/// Why nothing runs.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Unprotected {
    /// A required protection is missing.
    #[error(
        "this machine does not offer what `[sandbox] require` demands ({0}), so nothing is run; `fractal doctor` shows everything. Where what \
         runs is trusted, take it out of the list"
    )]
    Missing(String),
    /// A run that is to reach somebody has no network of its own, in which it would reach nobody else.
    #[error("it would not be kept from reaching others: this machine does not offer `{0}` ({1})")]
    NoNetwork(&'static str, String),
    /// See [`Sandbox::closed`].
    #[error("nothing is run here: {0}")]
    Closed(&'static str),
}

/// A folder of the checkout; its root when there is none at `cwd`.
fn within(scratch: &Scratch, cwd: &str) -> PathBuf {
    let inside = scratch.root().join(cwd);
    if inside.is_dir() { inside } else { scratch.root().to_path_buf() }
}

/// `PATH` with the folder of the interpreter that `python3` really is in front. Version managers put a shell script in its place
/// that costs more than the interpreter's own start, thousands of times over in a search.
pub fn direct_path() -> OsString {
    static DIRECT: std::sync::OnceLock<OsString> = std::sync::OnceLock::new();
    DIRECT
        .get_or_init(|| {
            let path = std::env::var_os("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into());
            let found = std::env::split_paths(&path).map(|folder| folder.join("python3")).find(|file| file.is_file());
            let is_script = found.and_then(|file| fs::read(file).ok()).is_some_and(|bytes| bytes.starts_with(b"#!"));
            if !is_script {
                return path;
            }
            let ask = ["python3", "-c", "import sys; print(sys.executable)"].map(OsString::from).to_vec();
            let answer = process::run(&Spawn::new(ask, Path::new("/"), Duration::from_secs(10)));
            let executable = PathBuf::from(String::from_utf8_lossy(&answer.stdout).trim());
            match executable.parent() {
                Some(folder) if executable.is_file() => {
                    let folders = std::iter::once(folder.to_path_buf()).chain(std::env::split_paths(&path));
                    std::env::join_paths(folders).unwrap_or(path)
                }
                _ => path,
            }
        })
        .clone()
}
