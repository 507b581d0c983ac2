//! What the first process of a run tells us (`src/world/sandbox/raw.rs`), as plain data.

/// What the first process says: written as it is.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Report {
    pub kind: u32,
    /// An error number, or how the program ended as wait(2) has it.
    pub value: i32,
    /// A step, or microseconds of processor time of everything that ran.
    pub extra: u64,
}

pub(super) const STARTED: u32 = 1;
pub(super) const FAILED: u32 = 2;
pub(super) const ENDED: u32 = 3;
/// The byte that asks the program to show where it hangs (SIGABRT).
pub(super) const ABORT: u8 = b'A';

/// What can go wrong before the program runs, by number.
pub(super) const STEPS: [&str; 10] = [
    "starting it",
    "entering its control group",
    "mapping users",
    "its own mounts",
    "its own network",
    "its process",
    "its streams and folder",
    "its view of files",
    "its limits and privileges",
    "its system calls",
];
pub(super) const PROGRAM: u64 = 0;
pub(super) const CGROUP: u64 = 1;
pub(super) const USERS: u64 = 2;
pub(super) const MOUNTS: u64 = 3;
pub(super) const NETWORK: u64 = 4;
pub(super) const PROCESS: u64 = 5;
pub(super) const STREAMS: u64 = 6;
pub(super) const FILES: u64 = 7;
pub(super) const LIMITS: u64 = 8;
pub(super) const CALLS: u64 = 9;

impl Report {
    /// What was read from the pipe.
    pub fn of([a, b, c, d, e, f, g, h, rest @ ..]: [u8; 16]) -> Report {
        let (kind, value) = (u32::from_ne_bytes([a, b, c, d]), i32::from_ne_bytes([e, f, g, h]));
        Report { kind, value, extra: u64::from_ne_bytes(rest) }
    }
}
