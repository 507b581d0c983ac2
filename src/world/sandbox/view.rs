//! Which files a run sees: the system's programs and libraries, the interpreters and toolchains that `PATH` leads to, and the one
//! scratch folder. Nothing else of the machine: no home, no repository, no other run.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreatedAttr, Scope,
};

/// Programs and libraries, and what is known of the machine without saying anything about its user.
const SYSTEM: &[&str] = &[
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/nix/store",
    "/run/current-system",
    "/etc/alternatives",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/ld.so.preload",
    "/etc/passwd",
    "/etc/group",
    "/etc/nsswitch.conf",
    "/etc/hosts",
    "/etc/host.conf",
    "/etc/resolv.conf",
    "/etc/localtime",
    "/etc/timezone",
    "/etc/protocols",
    "/etc/services",
    "/etc/mime.types",
    "/etc/locale.alias",
    "/etc/inputrc",
    "/etc/terminfo",
    "/etc/fonts",
    "/etc/ssl/certs",
    "/etc/ssl/openssl.cnf",
    "/etc/pki/tls/certs",
    "/etc/ca-certificates",
    "/etc/os-release",
    "/etc/debian_version",
    "/etc/magic",
    "/etc/bash.bashrc",
    "/etc/profile",
    "/etc/perl",
    "/etc/python3",
    "/etc/java",
    "/etc/php",
    "/etc/ruby",
    "/etc/npmrc",
    "/sys/devices/system/cpu",
    "/sys/devices/system/node",
    "/sys/kernel/mm/transparent_hugepage",
    "/sys/fs/cgroup",
];
/// What everyone may know of the machine, where `/proc` shows other processes too.
const MACHINE: &[&str] = &[
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/proc/stat",
    "/proc/loadavg",
    "/proc/uptime",
    "/proc/version",
    "/proc/filesystems",
    "/proc/vmstat",
    "/proc/sys",
];
const DEVICES: &[&str] = &["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"];
/// Programs whose installation is needed to run them. `PATH` says which one.
const INTERPRETERS: &[&str] = &[
    "python3", "python", "node", "npm", "ruby", "perl", "bash", "sh", "git", "cc", "gcc", "clang", "go", "java", "php", "lua",
    "deno", "bun", "bats", "make", "uv", "pytest",
];

/// The version of Landlock's interface that everything here is written for.
const WRITTEN_FOR: ABI = ABI::V7;

/// Folders and files that every run may read, opened once.
#[derive(Debug)]
pub(super) struct View {
    readable: Vec<(PathBuf, PathFd)>,
    devices: Vec<PathFd>,
    machine: Vec<PathFd>,
    version: i32,
}

impl View {
    /// `programs` are the folders in which runs find their programs, `more` what the configuration adds.
    pub fn new(programs: &[PathBuf], more: &[PathBuf], version: i32) -> View {
        let home = std::env::var_os("HOME").map(PathBuf::from).and_then(|home| home.canonicalize().ok());
        let mut readable: BTreeSet<PathBuf> = SYSTEM.iter().map(PathBuf::from).collect();
        for folder in programs.iter().filter(|folder| folder.is_absolute()) {
            readable.extend(installation(folder, home.as_deref()));
        }
        for name in ["PYTHONPATH", "NODE_PATH"] {
            let folders = std::env::var_os(name).map(|all| std::env::split_paths(&all).collect::<Vec<_>>()).unwrap_or_default();
            readable.extend(folders.into_iter().filter(|folder| folder.is_absolute()));
        }
        readable.extend(std::env::var_os("VIRTUAL_ENV").map(PathBuf::from).filter(|folder| folder.join("pyvenv.cfg").is_file()));
        readable.extend(rust(home.as_deref()));
        let near_home = |folder: &PathBuf| {
            folder.canonicalize().is_ok_and(|folder| home.as_ref().is_some_and(|home| home.starts_with(folder)))
        };
        // A repository in `PATH` is still nobody's business.
        readable.retain(|folder| !near_home(folder) && !folder.join(".git").exists());
        // What a person wrote down is meant.
        readable.extend(more.iter().cloned());
        // What lies in another one needs no rule of its own, and a rule costs time in every run.
        let mut kept: BTreeMap<PathBuf, PathFd> = BTreeMap::new();
        for folder in readable.iter().filter_map(|folder| folder.canonicalize().ok()).collect::<BTreeSet<_>>() {
            if !kept.keys().any(|other| folder.starts_with(other))
                && let Ok(opened) = PathFd::new(&folder)
            {
                kept.insert(folder, opened);
            }
        }
        let open = |paths: &[&str]| paths.iter().filter_map(|path| PathFd::new(path).ok()).collect();
        View { readable: kept.into_iter().collect(), devices: open(DEVICES), machine: open(MACHINE), version }
    }

    /// The folders and files that every run may read, by name.
    pub fn folders(&self) -> impl Iterator<Item = &Path> {
        self.readable.iter().map(|(folder, _)| folder.as_path())
    }

    /// Whether runs may read it.
    pub fn shows(&self, path: &Path) -> bool {
        let real = path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
        self.readable.iter().any(|(folder, _)| real.starts_with(folder) || path.starts_with(folder))
    }

    /// A ruleset for one run: `scratch` is the only place where it may write. In namespaces of its own it has a network of its own, and
    /// the rules on `/proc` come later. None where there is no Landlock.
    ///
    /// # Errors
    /// When the kernel refuses it.
    pub fn ruleset(&self, scratch: &Path, namespaces: bool) -> Result<Option<OwnedFd>> {
        if self.version < 1 {
            return Ok(None);
        }
        let version = abi(self.version);
        let all = AccessFs::from_all(version);
        let read = AccessFs::from_read(version);
        let mut ruleset = Ruleset::default().set_compatibility(CompatLevel::BestEffort).handle_access(all)?;
        if self.version >= 4 && !namespaces {
            ruleset = ruleset.handle_access(AccessNet::from_all(version))?;
        }
        if self.version >= 6 {
            ruleset = ruleset.scope(Scope::from_all(version))?;
        }
        let files = |access: BitFlags<AccessFs>| access & AccessFs::from_file(version);
        let device = files(AccessFs::ReadFile | AccessFs::WriteFile);
        let denied = AccessFs::MakeChar | AccessFs::MakeBlock | AccessFs::MakeSock;
        let own = PathFd::new(scratch).with_context(|| format!("opening `{}`", scratch.display()))?;
        let mut created = ruleset.create()?.set_compatibility(CompatLevel::BestEffort);
        for (_, opened) in &self.readable {
            created = created.add_rule(PathBeneath::new(opened, read))?;
        }
        for opened in &self.devices {
            created = created.add_rule(PathBeneath::new(opened, device))?;
        }
        for opened in self.machine.iter().filter(|_| !namespaces) {
            created = created.add_rule(PathBeneath::new(opened, read & !BitFlags::from(AccessFs::Execute)))?;
        }
        created = created.add_rule(PathBeneath::new(own, all & !denied))?;
        let descriptor: Option<OwnedFd> = created.into();
        ensure!(descriptor.is_some(), "the kernel has no Landlock");
        Ok(descriptor)
    }

    /// Rights in Landlock's bits for what is only there when a run has begun.
    pub fn late(&self, writable: bool) -> u64 {
        let version = abi(self.version);
        let denied = AccessFs::MakeChar | AccessFs::MakeBlock | AccessFs::MakeSock;
        let rights = if writable { AccessFs::from_all(version) & !denied } else { AccessFs::ReadFile | AccessFs::ReadDir };
        rights.bits()
    }
}

fn abi(version: i32) -> ABI {
    match version {
        ..=0 => ABI::Unsupported,
        1 => ABI::V1,
        2 => ABI::V2,
        3 => ABI::V3,
        4 => ABI::V4,
        5 => ABI::V5,
        6 => ABI::V6,
        _ => WRITTEN_FOR,
    }
}

/// A folder of `PATH` with what its interpreters need: where they are installed, but never a home or the folder of everything that a user
/// has installed.
fn installation(folder: &Path, home: Option<&Path>) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::from([folder.to_path_buf()]);
    // A virtual environment lies around its programs.
    found.extend(folder.parent().filter(|around| around.join("pyvenv.cfg").is_file()).map(Path::to_path_buf));
    for program in INTERPRETERS.iter().map(|name| folder.join(name)) {
        let Ok(real) = program.canonicalize() else { continue };
        let Some(bin) = real.parent() else { continue };
        found.insert(bin.to_path_buf());
        let Some(prefix) = bin.parent().filter(|_| bin.ends_with("bin")) else { continue };
        let everything =
            home.is_some_and(|home| home.starts_with(prefix) || prefix.parent() == Some(home)) || prefix == Path::new("/");
        let parts = ["lib", "lib64", "libexec", "include", "share"].map(|part| prefix.join(part));
        match everything {
            // Of `~/.local` and the like only the libraries: the rest is the user's.
            true => found.extend(parts.into_iter().take(2)),
            false => drop(found.insert(prefix.to_path_buf())),
        }
    }
    found
}

/// The toolchains and the crates that were downloaded, without what else Cargo's folder has: its credentials.
fn rust(home: Option<&Path>) -> Vec<PathBuf> {
    let place = |name: &str, folder: &str| std::env::var_os(name).map(PathBuf::from).or_else(|| Some(home?.join(folder)));
    let mut found = Vec::new();
    if let Some(rustup) = place("RUSTUP_HOME", ".rustup") {
        found.extend(["toolchains", "settings.toml"].map(|part| rustup.join(part)));
    }
    if let Some(cargo) = place("CARGO_HOME", ".cargo") {
        found.extend(["bin", "registry", "git", "config.toml", "config", ".package-cache"].map(|part| cargo.join(part)));
    }
    found
}
