//! What this machine offers for confinement, what of it is in force, and what is demanded.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::calls::{self, Beside};
use super::cgroup;
use super::confine::{Confinement, Inside, Limits, Memory};
use super::raw;
use super::view::View;
use super::watch;
use crate::config::{Protection, SandboxConfig};
use crate::model::Exit;
use crate::world::process::{self, Spawn};

/// Whether a protection is in force, and how or why not.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Shield {
    pub protection: Protection,
    pub in_force: bool,
    pub how: String,
}

/// What may be used: a machine offers less, a test or a person may want less.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Landlock's interface up to this version.
    pub landlock: i32,
    pub seccomp: bool,
    pub namespaces: bool,
}

impl Offer {
    /// All that the kernel has.
    pub const ALL: Offer = Offer { landlock: i32::MAX, seccomp: true, namespaces: true };
}

/// Confinement as far as it can be had here, and what there is of it.
///
/// `programs` are folders of programs besides those of `PATH`.
pub(super) fn confinement(
    offer: Offer,
    config: &SandboxConfig,
    programs: &[PathBuf],
    memory: Memory,
) -> (Arc<Confinement>, Vec<Shield>) {
    let landlock = raw::landlock_version().min(offer.landlock);
    // Answering with an error is what is needed of it.
    let actions = std::fs::read_to_string("/proc/sys/kernel/seccomp/actions_avail").unwrap_or_default();
    let seccomp = actions.split_whitespace().any(|action| action == "errno") && offer.seccomp;
    let ids = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let limits = Limits { memory, processes: config.processes, disk: config.disk_mib << 20, output: config.output_mib << 20 };
    let groups = cgroup::parent();
    let more: Vec<PathBuf> = config.read.iter().map(PathBuf::from).collect();
    let path = super::direct_path();
    let folders: Vec<PathBuf> = std::env::split_paths(&path).chain(programs.iter().cloned()).collect();
    let build = |namespaces: bool| {
        let beside = Beside { namespaces, signals: landlock >= 6 };
        // Without a namespace what else the user runs is counted too: there it is the watcher that keeps the limit, and this one keeps a
        // bomb from taking the machine before it comes. The first user of the system is not counted at all.
        let others = if namespaces { 0 } else { watch::threads_of(ids.0) + config.processes * 3 };
        let of_user = (ids.0 != 0).then_some(config.processes + others);
        let filters = || Some([calls::filters(beside, false).ok()?, calls::filters(beside, true).ok()?]);
        Arc::new(Confinement {
            view: View::new(&folders, &more, landlock),
            beside,
            filters: seccomp.then(filters).flatten(),
            limits,
            of_user,
            ids,
            groups: groups.clone().ok(),
        })
    };
    let namespaces = match (config.namespaces, offer.namespaces) {
        (false, _) => Err("`[sandbox] namespaces` is `false`".to_string()),
        (_, false) => Err("they are not wanted here".to_string()),
        _ => offers_namespaces(&build),
    };
    let built = build(namespaces.is_ok());
    let shields = shields(landlock, seccomp, &namespaces, &groups, limits);
    (built, shields)
}

/// Tries it once: there are too many reasons for which it may be refused.
fn offers_namespaces(build: &dyn Fn(bool) -> Arc<Confinement>) -> Result<(), String> {
    static FOUND: OnceLock<Result<(), String>> = OnceLock::new();
    let ask = || {
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let scratch = folder.path().canonicalize().map_err(|error| error.to_string())?;
        let env = vec![("PATH".into(), super::direct_path())];
        let inside = Some(Inside { confinement: build(true), scratch, observed: None, outlet: None });
        let argv = ["sh", "-c", ":"].map(OsString::from).to_vec();
        match process::run(&Spawn { env, inside, ..Spawn::new(argv, Path::new("/"), Duration::from_secs(10)) }).exit {
            Exit::Code(0) => Ok(()),
            Exit::NotStarted(why) => Err(why.trim_start_matches("`sh`: ").to_string()),
            other => Err(other.to_string()),
        }
    };
    FOUND.get_or_init(ask).clone()
}

fn shields(
    landlock: i32,
    seccomp: bool,
    namespaces: &Result<(), String>,
    groups: &Result<PathBuf, String>,
    limits: Limits,
) -> Vec<Shield> {
    let own = namespaces.is_ok();
    let shield = |protection, how: Result<String, String>| Shield {
        protection,
        in_force: how.is_ok(),
        how: how.unwrap_or_else(|why| why),
    };
    let no_landlock =
        || "the kernel has no Landlock, or it is not enabled (`lsm=landlock,…` on the kernel's command line)".to_string();
    let no_seccomp = || "the kernel has no seccomp filters".to_string();
    let have = |holds: bool, how: &str, why: &dyn Fn() -> String| if holds { Ok(how.to_string()) } else { Err(why()) };
    let files = match (landlock, own || seccomp) {
        (..=0, _) => Err(no_landlock()),
        (1 | 2, _) => Err(format!("Landlock {landlock} cannot keep files from being truncated (it can since Linux 6.2)")),
        (_, false) => Err("neither mounts of its own nor seccomp keep modes and times of files outside as they are".into()),
        (_, true) => {
            Ok(format!("Landlock {landlock}{}", if own { ", and everything else is mounted read-only" } else { ", seccomp" }))
        }
    };
    let network = match (own, seccomp) {
        (_, false) => Err(no_seccomp()),
        (true, _) => Ok("a network of its own with nothing but 127.0.0.1; no Unix sockets".into()),
        (false, _) => Ok("seccomp: no sockets but pairs".into()),
    };
    let signals = match (own, landlock, seccomp) {
        (true, ..) => Ok("processes of its own".into()),
        (_, 6.., _) => Ok(format!("Landlock {landlock}")),
        (.., true) => Ok("seccomp, and we look at every signal".into()),
        _ => Err(no_seccomp()),
    };
    let bounded = format!(
        "memory {} MiB, processes {}, disk {} MiB, output {} MiB",
        limits.memory.addresses.unwrap_or(limits.memory.together) >> 20,
        limits.processes,
        limits.disk >> 20,
        limits.output >> 20
    );
    vec![
        shield(Protection::Files, files),
        shield(Protection::Network, network),
        shield(Protection::Signals, signals),
        shield(Protection::Calls, have(seccomp, "seccomp: no ptrace, mounts, namespaces, keys, BPF, io_uring", &no_seccomp)),
        shield(Protection::Limits, Ok(bounded)),
        shield(Protection::Cgroup, groups.clone().map(|parent| format!("below `{}`", parent.display()))),
        shield(Protection::Namespaces, namespaces.clone().map(|()| "users, mounts, processes and network of its own".into())),
    ]
}
