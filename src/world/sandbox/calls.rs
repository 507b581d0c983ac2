//! Which system calls a run may make. What is refused fails with an error, as it would for want of a privilege; nothing is killed for it.
//!
//! Whoever waits for our answer may be interrupted by a signal, which some programs take for a failure: so nobody has to ask for what is
//! done all the time, such as a new process.
//!
//! Two filters. One refuses by number and arguments. The other says of what is not known here that it does not exist, which is also what
//! the numbers of the x32 interface are, and lets us answer what can only be decided by looking (`src/world/sandbox/asked.rs`).

use anyhow::{Context, Result};
use libc::sock_filter;
use rustix::io::Errno;
use seccompiler::{BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule};

/// What confines a run besides the filters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Beside {
    /// Users, mounts, processes and network of its own.
    pub namespaces: bool,
    /// Landlock keeps signals inside.
    pub signals: bool,
}

/// `listmount` and before; what Linux got later is absent (the numbers are the same on all architectures since 424).
const LAST_KNOWN: u32 = 466;

/// Never of use to a tool, dangerous or a way around the rest.
const REFUSED: &[i64] = &[
    // Mounts and namespaces.
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_unshare,
    libc::SYS_setns,
    457,
    458,
    // Other processes.
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_kcmp,
    libc::SYS_pidfd_getfd,
    libc::SYS_perf_event_open,
    // The kernel and the machine.
    libc::SYS_bpf,
    libc::SYS_userfaultfd,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_acct,
    libc::SYS_quotactl,
    libc::SYS_syslog,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_vhangup,
    libc::SYS_fanotify_init,
    libc::SYS_open_by_handle_at,
    libc::SYS_nfsservctl,
    libc::SYS_memfd_secret,
    // What stays when its processes have ended, or is nobody's memory.
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_shmget,
    libc::SYS_semget,
    libc::SYS_msgget,
    libc::SYS_mq_open,
];
#[cfg(target_arch = "x86_64")]
const REFUSED_HERE: &[i64] = &[libc::SYS_iopl, libc::SYS_ioperm, libc::SYS_modify_ldt];
#[cfg(not(target_arch = "x86_64"))]
const REFUSED_HERE: &[i64] = &[];

/// Refused where files outside could be changed this way: Landlock does not look at owners and attributes.
const ATTRIBUTES: &[i64] = &[
    libc::SYS_fchown,
    libc::SYS_fchownat,
    libc::SYS_setxattr,
    libc::SYS_lsetxattr,
    libc::SYS_fsetxattr,
    libc::SYS_removexattr,
    libc::SYS_lremovexattr,
    libc::SYS_fremovexattr,
    463,
    466,
];
#[cfg(target_arch = "x86_64")]
const ATTRIBUTES_HERE: &[i64] = &[libc::SYS_chown, libc::SYS_lchown];
#[cfg(not(target_arch = "x86_64"))]
const ATTRIBUTES_HERE: &[i64] = &[];

/// Programs do without these: what they do cannot be seen by a filter.
const ABSENT: &[i64] = &[libc::SYS_clone3, libc::SYS_io_uring_setup, libc::SYS_io_uring_enter, libc::SYS_io_uring_register];

/// Modes and times of files: looked at where there are no mounts of a run's own.
pub(super) const MODES: &[i64] = &[libc::SYS_fchmod, libc::SYS_fchmodat, libc::SYS_fchmodat2, libc::SYS_utimensat];
#[cfg(target_arch = "x86_64")]
const MODES_HERE: &[i64] = &[libc::SYS_chmod, libc::SYS_utime, libc::SYS_utimes, libc::SYS_futimesat];
#[cfg(not(target_arch = "x86_64"))]
const MODES_HERE: &[i64] = &[];

/// Signals: looked at where neither a namespace nor Landlock keeps them inside.
pub(super) const SIGNALS: &[i64] =
    &[libc::SYS_kill, libc::SYS_tkill, libc::SYS_tgkill, libc::SYS_rt_sigqueueinfo, libc::SYS_rt_tgsigqueueinfo];

/// What tells of files, programs and the network: asked about only when a run is observed, for it slows it down.
const TELLING: &[i64] = &[
    libc::SYS_socket,
    libc::SYS_openat,
    libc::SYS_openat2,
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_unlinkat,
    libc::SYS_mkdirat,
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_linkat,
    libc::SYS_symlinkat,
    libc::SYS_truncate,
];
#[cfg(target_arch = "x86_64")]
const TELLING_HERE: &[i64] = &[
    libc::SYS_open,
    libc::SYS_creat,
    libc::SYS_unlink,
    libc::SYS_rmdir,
    libc::SYS_mkdir,
    libc::SYS_rename,
    libc::SYS_link,
    libc::SYS_symlink,
];
#[cfg(not(target_arch = "x86_64"))]
const TELLING_HERE: &[i64] = &[];

/// The filters for a run, and whether the last of them asks.
pub(super) type Filters = (Vec<Vec<sock_filter>>, bool);

/// See [`Filters`].
pub(super) fn filters(beside: Beside, observed: bool) -> Result<Filters> {
    let mut asked = asked(beside);
    asked.extend(TELLING.iter().chain(TELLING_HERE).filter(|_| observed));
    let asks = !asked.is_empty();
    Ok((vec![refusing(beside, observed)?, telling(&asked)], asks))
}

/// What the filter says of a socket of this family, where we are asked instead.
pub(super) fn socket(beside: Beside, family: u64) -> Result<Option<i64>, Errno> {
    let inet = [libc::AF_INET, libc::AF_INET6].contains(&(family as i32));
    if beside.namespaces && inet { Ok(None) } else { Err(Errno::PERM) }
}

fn asked(beside: Beside) -> Vec<i64> {
    let mut asked = Vec::new();
    if !beside.namespaces {
        asked.extend(MODES.iter().chain(MODES_HERE));
        if !beside.signals {
            asked.extend(SIGNALS);
        }
    }
    asked
}

fn refusing(beside: Beside, observed: bool) -> Result<Vec<sock_filter>> {
    let mut rules: std::collections::BTreeMap<i64, Vec<SeccompRule>> =
        REFUSED.iter().chain(REFUSED_HERE).map(|number| (*number, Vec::new())).collect();
    let mut refuse = |number: i64, conditions: &[(u8, SeccompCmpOp, u64)]| -> Result<()> {
        let of = |(argument, how, value): &(u8, SeccompCmpOp, u64)| {
            SeccompCondition::new(*argument, SeccompCmpArgLen::Dword, how.clone(), *value)
        };
        let conditions = conditions.iter().map(of).collect::<Result<Vec<_>, _>>()?;
        rules.entry(number).or_default().push(SeccompRule::new(conditions)?);
        Ok(())
    };
    use SeccompCmpOp::{Eq, MaskedEq, Ne};
    let families = [libc::AF_INET, libc::AF_INET6].map(|family| (0, Ne, family as u64));
    // Without a network of its own a run has none at all.
    let socket = if beside.namespaces { &families[..] } else { &[(0, MaskedEq(0), 0)] };
    if !observed {
        refuse(libc::SYS_socket, socket)?;
    }
    refuse(libc::SYS_socketpair, &[(0, Ne, libc::AF_UNIX as u64)])?;
    // From one of these a message can be sent to any address.
    refuse(libc::SYS_socketpair, &[(1, MaskedEq(0xf), libc::SOCK_DGRAM as u64)])?;
    for space in [
        libc::CLONE_NEWNS,
        libc::CLONE_NEWCGROUP,
        libc::CLONE_NEWUTS,
        libc::CLONE_NEWIPC,
        libc::CLONE_NEWUSER,
        libc::CLONE_NEWPID,
        libc::CLONE_NEWNET,
    ] {
        let flag = u64::from(space as u32);
        refuse(libc::SYS_clone, &[(0, MaskedEq(flag), flag)])?;
    }
    // Signals when a file is ready, to anyone; what is typed into a terminal.
    for (number, commands) in [(libc::SYS_fcntl, [8, 10, 15, 15]), (libc::SYS_ioctl, [0x8901, 0x8902, 0x5412, 0x541c])] {
        for command in commands {
            refuse(number, &[(1, Eq, command)])?;
        }
    }
    if !beside.namespaces {
        for number in ATTRIBUTES.iter().chain(ATTRIBUTES_HERE) {
            refuse(*number, &[(0, MaskedEq(0), 0)])?;
        }
        // Limits and priorities of other processes.
        for number in [
            libc::SYS_prlimit64,
            libc::SYS_sched_setaffinity,
            libc::SYS_sched_setscheduler,
            libc::SYS_sched_setparam,
            libc::SYS_sched_setattr,
            libc::SYS_migrate_pages,
            libc::SYS_move_pages,
        ] {
            refuse(number, &[(0, Ne, 0)])?;
        }
        for number in [libc::SYS_setpriority, libc::SYS_ioprio_set] {
            refuse(number, &[(1, Ne, 0)])?;
        }
        refuse(libc::SYS_setpriority, &[(0, Ne, 0)])?;
        refuse(libc::SYS_ioprio_set, &[(0, Ne, 1)])?;
        if !beside.signals {
            refuse(libc::SYS_pidfd_send_signal, &[(0, MaskedEq(0), 0)])?;
        }
    }
    let architecture = std::env::consts::ARCH.try_into().context("system calls are not known on this architecture")?;
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, SeccompAction::Errno(libc::EPERM as u32), architecture)?;
    let program: BpfProgram = filter.try_into()?;
    Ok(program.iter().map(|step| sock_filter { code: step.code, jt: step.jt, jf: step.jf, k: step.k }).collect())
}

/// Looks at nothing but the number: the architecture is the first filter's business.
fn telling(asked: &[i64]) -> Vec<sock_filter> {
    let step = |code: u32, jt, jf, k| sock_filter { code: code as u16, jt, jf, k };
    let (load, is, from, end) = (
        libc::BPF_LD | libc::BPF_W | libc::BPF_ABS,
        libc::BPF_JMP | libc::BPF_JEQ,
        libc::BPF_JMP | libc::BPF_JGT,
        libc::BPF_RET | libc::BPF_K,
    );
    let absent = libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32;
    let mut steps = vec![step(load, 0, 0, 0), step(from, 0, 1, LAST_KNOWN), step(end, 0, 0, absent)];
    let all =
        ABSENT.iter().map(|number| (number, absent)).chain(asked.iter().map(|number| (number, libc::SECCOMP_RET_USER_NOTIF)));
    for (number, answer) in all {
        steps.extend([step(is, 0, 1, *number as u32), step(end, 0, 0, answer)]);
    }
    steps.push(step(end, 0, 0, libc::SECCOMP_RET_ALLOW));
    steps
}
