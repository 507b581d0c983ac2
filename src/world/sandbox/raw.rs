//! What happens between `clone` and `execve`, in bare system calls, and the few calls that no crate offers safely. The only file with unsafe
//! code.
//!
//! Two processes are made for every run. The first stays: it is the parent of everything that the run leaves behind (as process 1 of a
//! namespace, or as its subreaper), ends all of it when it is told to or when we are gone, and says how the program ended. The second
//! confines itself and becomes the program. Neither copies our memory, which would cost more than the run (35 µs for each MiB): they
//! use it in place, the first until its end. So they touch nothing but the [`Plan`], which outlives them, and their own stacks: they
//! allocate nothing, take no lock, cannot panic, and do not set `errno`, which belongs to the thread that is waiting for them.

#![expect(
    unsafe_code,
    reason = "nothing but bare system calls may happen between clone and execve, and no safe interface has them"
)]

use std::arch::asm;
use std::ffi::{CStr, CString, c_int, c_long, c_void};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

use super::confine::{Namespaces, SHOWN_MAX};
use super::report::{
    CALLS, CGROUP, ENDED, FAILED, FILES, LIMITS, MOUNTS, NETWORK, PROCESS, PROGRAM, Report, STARTED, STREAMS, USERS,
};

/// Everything that both processes need, prepared. Descriptors are numbers in the table that they get a copy of.
pub(super) struct Plan {
    /// Where the program may be, in the order in which it is looked for.
    pub programs: Vec<CString>,
    pub arguments: Strings,
    pub environment: Strings,
    pub folder: CString,
    /// Standard input, output and error.
    pub streams: [i32; 3],
    /// Read: a byte asks for [`ABORT`], the end of the pipe for the end of the run.
    pub control: i32,
    /// Written: [`Report`]s.
    pub report: i32,
    /// Numbers of limits (setrlimit(2)) and their values.
    pub limits: Vec<(u32, u64)>,
    /// A Landlock ruleset.
    pub ruleset: Option<i32>,
    /// Rules on what is not there before: paths, and rights in Landlock's bits.
    pub late_rules: Vec<(CString, u64)>,
    /// Filters of system calls, the last one with a listener that is sent through the socket.
    pub filters: Vec<Vec<libc::sock_filter>>,
    pub listener: Option<i32>,
    pub namespaces: Option<Namespaces>,
    /// A `cgroup.procs` to write to.
    pub cgroup: Option<i32>,
    /// A socket through which a listener at [`OUTLET`] is sent; only with namespaces.
    pub outlet: Option<i32>,
}

/// The port of a run's own 127.0.0.1 where whoever has its outlet listens: the usual one of a proxy. Nobody else can have it yet.
pub(super) const OUTLET: u16 = 3128;

/// Strings as `execve` wants them.
pub(super) struct Strings {
    _kept: Vec<CString>,
    pointers: Vec<*const libc::c_char>,
}

// SAFETY: the pointers lead into `_kept`, which is owned, moves with the value and is never changed.
unsafe impl Send for Strings {}

impl Strings {
    pub fn new(strings: Vec<CString>) -> Strings {
        let pointers = strings.iter().map(|string| string.as_ptr()).chain([ptr::null()]).collect();
        Strings { _kept: strings, pointers }
    }

    fn all(&self) -> *const *const libc::c_char {
        self.pointers.as_ptr()
    }
}

/// Two stacks, each with room for far more than it is used for.
const STACK: usize = 256 << 10;

/// The processes of a run. Their memory is ours until [`Pair::gone`].
pub(super) struct Pair {
    /// The first process, as we see it.
    pub pid: i32,
    plan: *mut Plan,
    stack: *mut c_void,
}

// SAFETY: both pointers are owned by this value alone.
unsafe impl Send for Pair {}

impl Pair {
    /// Starts both. What they made of it is in the reports.
    pub fn start(plan: Plan) -> io::Result<Pair> {
        let spaces = libc::CLONE_NEWUSER | libc::CLONE_NEWPID | libc::CLONE_NEWNS | libc::CLONE_NEWNET;
        let flags = libc::CLONE_VM | libc::SIGCHLD | if plan.namespaces.is_some() { spaces } else { 0 };
        // SAFETY: a new private mapping, which nothing else knows.
        let stack = unsafe {
            let kind = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_STACK | libc::MAP_NORESERVE;
            libc::mmap(ptr::null_mut(), STACK * 2, libc::PROT_READ | libc::PROT_WRITE, kind, -1, 0)
        };
        if stack == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let plan = Box::into_raw(Box::new(plan));
        let (mut all, mut before) = (std::mem::MaybeUninit::uninit(), std::mem::MaybeUninit::uninit());
        // SAFETY: both sets are ours. No handler of this process may run in the new ones, so they start with every signal blocked.
        unsafe {
            libc::sigfillset(all.as_mut_ptr());
            libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr());
        }
        // SAFETY: the first process runs `first` on the upper half of the new stack, with a plan that lives until it is gone.
        let pid = unsafe { libc::clone(first, stack.byte_add(STACK * 2), flags, plan.cast()) };
        let error = io::Error::last_os_error();
        // SAFETY: the set was filled above.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), ptr::null_mut()) };
        let pair = Pair { pid, plan, stack };
        if pid < 0 {
            pair.gone();
            return Err(error);
        }
        Ok(pair)
    }

    /// Gives back what the processes used. Only for when the first has been waited for; the second is gone or a program by then.
    pub fn gone(self) {
        // SAFETY: nothing runs on the stack or reads the plan any more, and both are ours.
        unsafe {
            libc::munmap(self.stack, STACK * 2);
            drop(Box::from_raw(self.plan));
        }
    }
}

// ---- bare system calls ----

#[derive(Clone, Copy)]
struct Failure {
    step: u64,
    errno: i32,
}

#[cfg(target_arch = "x86_64")]
unsafe fn bare(number: c_long, a: usize, b: usize, c: usize, d: usize, e: usize) -> isize {
    let answer: isize;
    // SAFETY: the kernel's convention (syscall(2)); the caller answers for what the call does.
    unsafe {
        asm!("syscall", inlateout("rax") number as isize => answer, in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d, in("r8") e,
            in("r9") 0_usize, lateout("rcx") _, lateout("r11") _, options(nostack));
    }
    answer
}

#[cfg(target_arch = "aarch64")]
unsafe fn bare(number: c_long, a: usize, b: usize, c: usize, d: usize, e: usize) -> isize {
    let answer: isize;
    // SAFETY: the kernel's convention (syscall(2)); the caller answers for what the call does.
    unsafe {
        asm!("svc 0", in("x8") number, inlateout("x0") a => answer, in("x1") b, in("x2") c, in("x3") d, in("x4") e, in("x5") 0_usize,
            options(nostack));
    }
    answer
}

/// A system call; the error is its number.
///
/// # Safety
/// As the call's own description says of its arguments.
unsafe fn call(number: c_long, [a, b, c, d, e]: [usize; 5]) -> Result<usize, i32> {
    // SAFETY: passed on.
    let answer = unsafe { bare(number, a, b, c, d, e) };
    if answer < 0 { Err(answer.wrapping_neg() as i32) } else { Ok(answer as usize) }
}

/// A number that may be negative.
fn int(value: i32) -> usize {
    value as isize as usize
}

fn text(value: &CStr) -> usize {
    value.as_ptr() as usize
}

/// The address of a value that outlives the call.
fn at<T>(value: &T) -> usize {
    ptr::from_ref(value) as usize
}

macro_rules! sys {
    ($number:ident $(, $argument:expr)* ; $step:expr) => {{
        let mut arguments = [0_usize; 5];
        let given = [$($argument),*];
        arguments.iter_mut().zip(given).for_each(|(to, from)| *to = from);
        // SAFETY: every pointer among the arguments is to a value of the plan or of this stack that has the size the call expects.
        unsafe { call(libc::$number, arguments) }.map_err(|errno| Failure { step: $step, errno })
    }};
}

fn tell(plan: &Plan, report: Report) {
    let _ = sys!(SYS_write, int(plan.report), at(&report), size_of::<Report>(); PROGRAM);
}

fn failed(plan: &Plan, Failure { step, errno }: Failure) -> c_int {
    tell(plan, Report { kind: FAILED, value: errno, extra: step });
    127
}

// ---- the first process ----

extern "C" fn first(plan: *mut c_void) -> c_int {
    // SAFETY: `Pair::start` passes a plan that lives until this process is gone, and that nobody changes.
    let plan = unsafe { &*plan.cast::<Plan>() };
    if let Err(failure) = prepare(plan) {
        return failed(plan, failure);
    }
    let here = 0_u8;
    // The lower half of the stack that this runs on.
    let top = (at(&here) & !0xf).wrapping_sub(STACK);
    // SAFETY: the second process runs on a part of the stack that this one does not reach, and this one waits until it has become a
    // program or is gone.
    let program = unsafe {
        libc::clone(
            second,
            top as *mut c_void,
            libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD,
            ptr::from_ref(plan).cast_mut().cast(),
        )
    };
    if program < 0 {
        return failed(plan, Failure { step: PROCESS, errno: libc::EAGAIN });
    }
    tell(plan, Report { kind: STARTED, ..Report::default() });
    let (low, high) = (plan.control.min(plan.report), plan.control.max(plan.report));
    for (from, to) in [(0, low.wrapping_sub(1)), (low.wrapping_add(1), high.wrapping_sub(1)), (high.wrapping_add(1), i32::MAX)] {
        if from <= to {
            let _ = sys!(SYS_close_range, int(from), int(to), 0; PROGRAM);
        }
    }
    let ended = watch(plan, program);
    let status = end_all(plan, program, ended);
    tell(plan, Report { kind: ENDED, value: status, extra: used() });
    0
}

fn prepare(plan: &Plan) -> Result<(), Failure> {
    let default = [0_u64; 4];
    sys!(SYS_rt_sigaction, int(libc::SIGCHLD), at(&default), 0, 8; PROCESS)?;
    sys!(SYS_prctl, int(libc::PR_SET_CHILD_SUBREAPER), 1; PROCESS)?;
    let _ = sys!(SYS_prctl, int(libc::PR_SET_NAME), text(c"init"); PROCESS);
    if let Some(cgroup) = plan.cgroup {
        sys!(SYS_write, int(cgroup), at(b"0"), 1; CGROUP)?;
    }
    let Some(own) = &plan.namespaces else { return Ok(()) };
    for (file, content) in &own.maps {
        let opened = sys!(SYS_openat, int(libc::AT_FDCWD), text(file), int(libc::O_WRONLY | libc::O_CLOEXEC); USERS)?;
        sys!(SYS_write, opened, content.as_ptr() as usize, content.len(); USERS)?;
        let _ = sys!(SYS_close, opened; USERS);
    }
    mount_all(own)?;
    loopback_up()?;
    plan.outlet.map_or(Ok(()), listen)
}

/// Everything can only be read, but for the scratch folder, at its own place, and private folders in memory.
fn mount_all(own: &Namespaces) -> Result<(), Failure> {
    let flag = |flag: u64| flag as usize;
    sys!(SYS_mount, 0, text(c"/"), 0, flag(libc::MS_REC | libc::MS_PRIVATE); MOUNTS)?;
    let clone = libc::OPEN_TREE_CLONE | libc::OPEN_TREE_CLOEXEC;
    let tree = sys!(SYS_open_tree, int(libc::AT_FDCWD), text(&own.scratch), clone as usize; MOUNTS)?;
    let read_only = [libc::MOUNT_ATTR_RDONLY, 0, 0, 0];
    sys!(SYS_mount_setattr, int(libc::AT_FDCWD), text(c"/"), int(libc::AT_RECURSIVE), at(&read_only), size_of_val(&read_only); MOUNTS)?;
    // What is taken here can be read and no more.
    let mut shown = [0_i32; SHOWN_MAX];
    for (tree, folder) in shown.iter_mut().zip(&own.shown) {
        *tree = sys!(SYS_open_tree, int(libc::AT_FDCWD), text(folder), clone as usize; MOUNTS)? as i32;
    }
    let plain = libc::MS_NOSUID | libc::MS_NODEV;
    for (folder, options) in &own.private {
        sys!(SYS_mount, text(c"tmpfs"), text(folder), text(c"tmpfs"), flag(plain), text(options); MOUNTS)?;
    }
    for folder in &own.lead {
        match sys!(SYS_mkdirat, int(libc::AT_FDCWD), text(folder), 0o755; MOUNTS) {
            Ok(_) | Err(Failure { errno: libc::EEXIST, .. }) => {}
            Err(failure) => return Err(failure),
        }
    }
    let moved = libc::MOVE_MOUNT_F_EMPTY_PATH as usize;
    for (tree, folder) in shown.iter().zip(&own.shown) {
        sys!(SYS_move_mount, int(*tree), text(c""), int(libc::AT_FDCWD), text(folder), moved; MOUNTS)?;
        let _ = sys!(SYS_close, int(*tree); MOUNTS);
    }
    sys!(SYS_move_mount, tree, text(c""), int(libc::AT_FDCWD), text(&own.scratch), moved; MOUNTS)?;
    let options = flag(plain | libc::MS_NOEXEC | libc::MS_RDONLY);
    // Processes that may not be looked into, such as the first one, are not even there.
    sys!(SYS_mount, text(c"proc"), text(c"/proc"), text(c"proc"), options, text(c"hidepid=4"); MOUNTS)?;
    let _ = sys!(SYS_close, tree; MOUNTS);
    Ok(())
}

/// Programs that talk to themselves find 127.0.0.1.
fn loopback_up() -> Result<(), Failure> {
    const SIOCSIFFLAGS: usize = 0x8914;
    let socket = sys!(SYS_socket, int(libc::AF_INET), int(libc::SOCK_DGRAM | libc::SOCK_CLOEXEC); NETWORK)?;
    // The name and the flag IFF_UP of a `struct ifreq` (netdevice(7)).
    let mut request = [0_u8; 40];
    request.iter_mut().zip(b"lo").for_each(|(to, from)| *to = *from);
    request.iter_mut().skip(16).zip(1_u16.to_ne_bytes()).for_each(|(to, from)| *to = from);
    sys!(SYS_ioctl, socket, SIOCSIFFLAGS, at(&request); NETWORK)?;
    let _ = sys!(SYS_close, socket; NETWORK);
    Ok(())
}

/// Listens in the run's own network and hands the listener out: a socket stays in the network in which it was made.
fn listen(socket: i32) -> Result<(), Failure> {
    let kind = libc::SOCK_STREAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    let listener = sys!(SYS_socket, int(libc::AF_INET), int(kind); NETWORK)?;
    let address = libc::sockaddr_in {
        sin_family: libc::AF_INET as libc::sa_family_t,
        sin_port: OUTLET.to_be(),
        sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes([127, 0, 0, 1]) },
        sin_zero: [0; 8],
    };
    sys!(SYS_bind, listener, at(&address), size_of_val(&address); NETWORK)?;
    sys!(SYS_listen, listener, 128; NETWORK)?;
    send(socket, listener as i32).map_err(|failure| Failure { step: NETWORK, ..failure })?;
    let _ = sys!(SYS_close, listener; NETWORK);
    Ok(())
}

/// Waits until the program has ended, whose status is the answer, or until it is to end.
fn watch(plan: &Plan, program: i32) -> Option<i32> {
    let child = 1_u64 << (libc::SIGCHLD - 1);
    let signals = sys!(SYS_signalfd4, int(-1), at(&child), 8, int(libc::SFD_CLOEXEC | libc::SFD_NONBLOCK); PROCESS).ok()? as i32;
    loop {
        // One may have ended before it could be heard.
        while let Some((pid, status)) = reap(libc::WNOHANG) {
            if pid == program {
                return Some(status);
            }
        }
        let of = |fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
        let mut both = [of(plan.control), of(signals)];
        let _ = sys!(SYS_ppoll, both.as_mut_ptr() as usize, both.len(), 0, 0, 8; PROCESS);
        let [control, heard] = both;
        let mut bytes = [0_u8; 128];
        if control.revents != 0 {
            match sys!(SYS_read, int(plan.control), bytes.as_mut_ptr() as usize, 1; PROCESS) {
                Ok(1) => drop(sys!(SYS_kill, int(program.wrapping_neg()), int(libc::SIGABRT); PROCESS)),
                _ => return None,
            }
        }
        if heard.revents != 0 {
            let _ = sys!(SYS_read, int(signals), bytes.as_mut_ptr() as usize, bytes.len(); PROCESS);
        }
    }
}

/// A child that has ended, with its status.
fn reap(options: i32) -> Option<(i32, i32)> {
    let mut status = 0_i32;
    let pid = sys!(SYS_wait4, int(-1), ptr::from_mut(&mut status) as usize, int(options), 0; PROCESS).ok()?;
    (pid > 0).then_some((pid as i32, status))
}

/// Ends all that is left, and returns how the program ended.
fn end_all(plan: &Plan, program: i32, ended: Option<i32>) -> i32 {
    let mut status = ended;
    loop {
        while let Some((pid, how)) = reap(libc::WNOHANG) {
            if pid == program {
                status = Some(how);
            }
        }
        if plan.namespaces.is_some() {
            // Everything in the namespace but this process.
            let _ = sys!(SYS_kill, int(-1), int(libc::SIGKILL); PROCESS);
        } else {
            kill_children();
        }
        // The children of what ends become ours.
        match reap(0) {
            Some((pid, how)) if pid == program => status = Some(how),
            Some(_) => {}
            None => return status.unwrap_or(libc::SIGKILL),
        }
    }
}

/// Kills the children of this process, which has no other thread.
fn kill_children() {
    let Ok(list) = sys!(SYS_openat, int(libc::AT_FDCWD), text(c"/proc/thread-self/children"), int(libc::O_CLOEXEC); PROCESS)
    else {
        return;
    };
    let (mut bytes, mut pid) = ([0_u8; 1024], 0_i32);
    while let Ok(read @ 1..) = sys!(SYS_read, list, bytes.as_mut_ptr() as usize, bytes.len(); PROCESS) {
        for byte in bytes.iter().take(read) {
            if byte.is_ascii_digit() {
                pid = pid.wrapping_mul(10).wrapping_add(i32::from(byte.wrapping_sub(b'0')));
            } else if pid > 1 {
                let _ = sys!(SYS_kill, int(pid), int(libc::SIGKILL); PROCESS);
                pid = 0;
            }
        }
    }
    let _ = sys!(SYS_close, list; PROCESS);
}

/// Microseconds of everything that has been waited for; above bit 48, the most MiB that one of them held, or we at its start.
fn used() -> u64 {
    let mut usage = [0_i64; 18];
    let _ = sys!(SYS_getrusage, int(libc::RUSAGE_CHILDREN), usage.as_mut_ptr() as usize; PROCESS);
    let [user, user_micros, system, system_micros, kib, ..] = usage;
    let time = user.wrapping_add(system).wrapping_mul(1_000_000).wrapping_add(user_micros).wrapping_add(system_micros) as u64;
    (time & ((1 << 48) - 1)) | (((kib as u64) >> 10).min(0xffff) << 48)
}

// ---- the second process ----

extern "C" fn second(plan: *mut c_void) -> c_int {
    // SAFETY: as in `first`, which waits for this one.
    let plan = unsafe { &*plan.cast::<Plan>() };
    let failure = match become_program(plan) {
        Ok(never) => match never {},
        Err(failure) => failure,
    };
    failed(plan, failure)
}

fn become_program(plan: &Plan) -> Result<std::convert::Infallible, Failure> {
    sys!(SYS_setsid; PROCESS)?;
    sys!(SYS_prctl, int(libc::PR_SET_PDEATHSIG), int(libc::SIGKILL); PROCESS)?;
    for (stream, number) in plan.streams.iter().zip(0_usize..) {
        sys!(SYS_dup3, int(*stream), number, 0; STREAMS)?;
    }
    // CLOSE_RANGE_CLOEXEC: what is needed until then is closed with the rest.
    sys!(SYS_close_range, 3, u32::MAX as usize, 4; STREAMS)?;
    sys!(SYS_chdir, text(&plan.folder); STREAMS)?;
    sys!(SYS_prctl, int(libc::PR_SET_NO_NEW_PRIVS), 1; LIMITS)?;
    if let Some(ruleset) = plan.ruleset {
        see_only(plan, ruleset)?;
    }
    for (number, value) in &plan.limits {
        let both = [*value, *value];
        sys!(SYS_prlimit64, 0, *number as usize, at(&both); LIMITS)?;
    }
    drop_capabilities()?;
    let (default, nothing) = ([0_u64; 4], 0_u64);
    for signal in 1..=64 {
        let _ = sys!(SYS_rt_sigaction, signal, at(&default), 0, 8; PROCESS);
    }
    sys!(SYS_rt_sigprocmask, int(libc::SIG_SETMASK), at(&nothing), 0, 8; PROCESS)?;
    filter(plan)?;
    // As execvp(3) looks for it.
    let mut errno = libc::ENOENT;
    for program in &plan.programs {
        match sys!(SYS_execve, text(program), plan.arguments.all() as usize, plan.environment.all() as usize; PROGRAM) {
            Err(Failure { errno: libc::ENOENT | libc::ENOTDIR, .. }) | Ok(_) => {}
            Err(failure) => errno = failure.errno,
        }
        if !matches!(errno, libc::ENOENT | libc::EACCES) {
            break;
        }
    }
    Err(Failure { step: PROGRAM, errno })
}

/// The files that the ruleset allows, and those that are only there now.
fn see_only(plan: &Plan, ruleset: i32) -> Result<(), Failure> {
    for (path, rights) in &plan.late_rules {
        let flags = libc::O_PATH | libc::O_CLOEXEC;
        let Ok(opened) = sys!(SYS_openat, int(libc::AT_FDCWD), text(path), int(flags); FILES) else { continue };
        // `struct landlock_path_beneath_attr` has no padding: eight bytes of rights and four of the descriptor.
        let mut rule = [0_u8; 12];
        let parts = rights.to_ne_bytes().into_iter().chain((opened as i32).to_ne_bytes());
        rule.iter_mut().zip(parts).for_each(|(to, from)| *to = from);
        sys!(SYS_landlock_add_rule, int(ruleset), 1, at(&rule), 0; FILES)?;
        let _ = sys!(SYS_close, opened; FILES);
    }
    sys!(SYS_landlock_restrict_self, int(ruleset), 0; FILES).map(drop)
}

/// None now, and none to be had: the bounding set goes where we may change it.
fn drop_capabilities() -> Result<(), Failure> {
    for capability in 0..64 {
        if sys!(SYS_prctl, int(libc::PR_CAPBSET_DROP), capability; LIMITS).is_err() {
            break;
        }
    }
    const PR_CAP_AMBIENT_CLEAR_ALL: usize = 4;
    let _ = sys!(SYS_prctl, int(libc::PR_CAP_AMBIENT), PR_CAP_AMBIENT_CLEAR_ALL; LIMITS);
    // Version 3 (capset(2)) of this process, and three empty sets in two halves.
    let (header, none) = ([0x2008_0522_u32, 0], [0_u32; 6]);
    sys!(SYS_capset, at(&header), at(&none); LIMITS).map(drop)
}

fn filter(plan: &Plan) -> Result<(), Failure> {
    for (number, filter) in plan.filters.iter().enumerate() {
        let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_ptr().cast_mut() };
        let is_last = number.wrapping_add(1) == plan.filters.len();
        let Some(socket) = plan.listener.filter(|_| is_last) else {
            sys!(SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER as usize, 0, at(&program); CALLS)?;
            continue;
        };
        let listen = |flags: libc::c_ulong| {
            let flags = (libc::SECCOMP_FILTER_FLAG_NEW_LISTENER | flags) as usize;
            sys!(SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER as usize, flags, at(&program); CALLS)
        };
        // The flag since Linux 5.19.
        let listener = listen(libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV).or_else(|_| listen(0));
        send(socket, listener? as i32)?;
    }
    Ok(())
}

/// Sends a descriptor through a socket (unix(7)).
fn send(socket: i32, descriptor: i32) -> Result<(), Failure> {
    #[repr(C)]
    struct Passed {
        length: usize,
        level: i32,
        kind: i32,
        descriptor: i32,
        padding: i32,
    }
    let passed = Passed { length: 20, level: libc::SOL_SOCKET, kind: libc::SCM_RIGHTS, descriptor, padding: 0 };
    let byte = 0_u8;
    let part = libc::iovec { iov_base: at(&byte) as *mut c_void, iov_len: 1 };
    // SAFETY: all zeros is a message without an address, whatever padding it has.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = at(&part) as *mut libc::iovec;
    message.msg_iovlen = 1;
    message.msg_control = at(&passed) as *mut c_void;
    message.msg_controllen = size_of::<Passed>() as _;
    sys!(SYS_sendmsg, int(socket), at(&message), 0; CALLS).map(drop)
}

// ---- asked by ourselves ----

/// The version of Landlock's interface that the kernel has; 0 for none.
pub(super) fn landlock_version() -> i32 {
    const VERSION: usize = 1;
    // SAFETY: asks for a number.
    unsafe { call(libc::SYS_landlock_create_ruleset, [0, 0, VERSION, 0, 0]) }.map_or(0, |version| version as i32)
}

/// The next call that a listener was asked about; none when there is none, or nobody is left to ask.
pub(super) fn asked(listener: BorrowedFd<'_>) -> Option<libc::seccomp_notif> {
    // SAFETY: all zeros is what the kernel wants to find, and it fills in no more than the size of the value.
    let mut asked: libc::seccomp_notif = unsafe { std::mem::zeroed() };
    let place = ptr::from_mut(&mut asked) as usize;
    // SAFETY: as above.
    let got = unsafe { call(libc::SYS_ioctl, [int(listener.as_raw_fd()), libc::SECCOMP_IOCTL_NOTIF_RECV as usize, place, 0, 0]) };
    got.is_ok().then_some(asked)
}

/// Whether who asked still waits for the answer.
pub(super) fn still_asks(listener: BorrowedFd<'_>, id: u64) -> bool {
    // SAFETY: reads eight bytes.
    unsafe { call(libc::SYS_ioctl, [int(listener.as_raw_fd()), libc::SECCOMP_IOCTL_NOTIF_ID_VALID as usize, at(&id), 0, 0]) }
        .is_ok()
}

/// Answers: the kernel goes on with the call, or it returns the value or the error.
pub(super) fn answer(listener: BorrowedFd<'_>, id: u64, answer: Result<Option<i64>, i32>) {
    let (val, error, flags) = match answer {
        Ok(None) => (0, 0, libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE as u32),
        Ok(Some(value)) => (value, 0, 0),
        Err(errno) => (0, errno.wrapping_neg(), 0),
    };
    let told = libc::seccomp_notif_resp { id, val, error, flags };
    // SAFETY: reads a value of this size.
    let _ =
        unsafe { call(libc::SYS_ioctl, [int(listener.as_raw_fd()), libc::SECCOMP_IOCTL_NOTIF_SEND as usize, at(&told), 0, 0]) };
}
