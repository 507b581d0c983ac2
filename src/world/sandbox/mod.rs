//! Where untrusted code runs: a scratch checkout outside the user's work tree, a cleared environment, limits.
//!
//! Today's protection is a private folder, HOME and TMPDIR, a cleared environment, a process group of its own, time, memory and
//! output limits. It does not yet confine the file system or the network; tools whose effects are unknown are therefore not run
//! at all (see `SideEffects`).

mod scratch;

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::Result;

pub use self::scratch::{Scratch, ScratchFile};
use super::process::{self, Finished, Kept, Spawn};

/// The place where scratch checkouts are made and processes run.
#[derive(Clone, Debug)]
pub struct Sandbox {
    owner: String,
    environment: Vec<(OsString, OsString)>,
    memory: u64,
    /// Trials that run side by side.
    pub workers: usize,
}

/// Age after which a scratch folder that nobody removed is lost.
const LOST_AFTER: Duration = Duration::from_secs(6 * 3600);

impl Sandbox {
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
            owner: format!("fractal-{owner}-"),
            environment,
            memory,
            workers: std::thread::available_parallelism().map_or(2, usize::from).clamp(1, 8),
        }
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

    /// Runs a command in a scratch folder; `cwd` is relative to its root.
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
        let inside = scratch.root().join(cwd);
        let cwd = if inside.is_dir() { inside } else { scratch.root().to_path_buf() };
        let more = env.iter().map(|(name, value)| (name.into(), value.into()));
        let env = self.variables(scratch).into_iter().chain(more).collect();
        process::run(&Spawn { stdin, env, ..self.confined(argv, &cwd, time) })
    }

    /// Starts a command that stays and is asked again and again, at the root of a scratch folder; `env` is set over the rest.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn keep(&self, scratch: &Scratch, argv: Vec<OsString>, env: Vec<(OsString, OsString)>) -> std::io::Result<Kept> {
        let env = self.variables(scratch).into_iter().chain(env).collect();
        Kept::start(&Spawn { env, ..self.confined(argv, scratch.root(), Duration::MAX) })
    }

    fn confined(&self, argv: Vec<OsString>, cwd: &Path, time: Duration) -> Spawn {
        Spawn { clear_env: true, memory: Some(self.memory), ..Spawn::new(argv, cwd, time) }
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
