//! `[sandbox]`: how what runs is confined.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How what runs is confined.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SandboxConfig {
    /// Protections without which no tool, test or candidate is run: `files`, `network`, `signals`, `calls`, `limits`, `cgroup`,
    /// `namespaces`.
    /// `fractal doctor` shows which are in force.
    pub require: Vec<Protection>,
    /// Give runs users, mounts, processes and a network of their own where the kernel allows it.
    pub namespaces: bool,
    /// Files and folders that runs may read besides the system's, their own, and where the programs of `PATH` and of commands are
    /// installed. Absolute paths.
    pub read: Vec<String>,
    /// Processes and threads of a run at a time.
    pub processes: u64,
    /// What a run may write, in MiB.
    pub disk_mib: u64,
    /// Output after which a run is ended, in MiB. How much of it is kept is another matter.
    pub output_mib: u64,
}

/// What confinement protects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Protection {
    /// Nothing is read but the system's files, nothing changed but a run's own.
    Files,
    /// Nobody outside is reached.
    Network,
    /// No process outside is signalled.
    Signals,
    /// Dangerous system calls are refused.
    Calls,
    /// Time, memory, processes, disk and output end.
    Limits,
    /// The kernel counts processes and memory of a whole run.
    Cgroup,
    /// Users, mounts, processes and a network of a run's own.
    Namespaces,
}

impl Protection {
    /// As the configuration has it.
    pub fn word(self) -> &'static str {
        match self {
            Protection::Files => "files",
            Protection::Network => "network",
            Protection::Signals => "signals",
            Protection::Calls => "calls",
            Protection::Limits => "limits",
            Protection::Cgroup => "cgroup",
            Protection::Namespaces => "namespaces",
        }
    }
}

pub(super) fn defaults() -> SandboxConfig {
    use Protection::{Calls, Files, Limits, Network, Signals};
    SandboxConfig {
        require: vec![Files, Network, Signals, Calls, Limits],
        namespaces: true,
        read: Vec::new(),
        processes: 512,
        disk_mib: 4_096,
        output_mib: 64,
    }
}
