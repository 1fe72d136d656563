//! Confinement of the child before it loads the plugin: limits, new privileges, the file system, the network,
//! and system calls that no plugin needs.
//!
//! All of it applies to the calling thread and those it starts, so there must be no other thread.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::Path;

use landlock::{
    ABI, Access, AccessFs, AccessNet, LandlockStatus, PathBeneath, Ruleset, RulesetAttr, RulesetCreatedAttr,
    RulesetError, Scope, path_beneath_rules,
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};

use crate::Limits;

/// The known rights; the system applies those that it supports.
const RIGHTS: ABI = ABI::V9;
/// Below this some forbidden operations are possible.
const ENOUGH: ABI = ABI::V4;

const SYSTEM: &[&str] = &[
    "/usr",
    "/lib",
    "/lib32",
    "/lib64",
    "/bin",
    "/sbin",
    "/etc",
    "/opt",
    "/dev",
    "/proc/self",
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/proc/stat",
    "/proc/loadavg",
    "/proc/filesystems",
    "/proc/sys",
    "/sys/devices/system",
    "/sys/fs/cgroup",
    "/run/systemd/resolve",
    "/var/cache/fontconfig",
];
const DEVICES: &[&str] = &["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/dri"];

/// Confines this process. Returns what the running system does not support, as text.
pub(crate) fn confine(limits: &Limits, data: Option<&Path>, cdylib: Option<&File>) -> Vec<String> {
    let mut missing = Vec::new();
    // Out of memory, the system should end this process rather than the one with all others in it.
    let _ = std::fs::write("/proc/self/oom_score_adj", "500");
    limit(Resource::Core, Some(0), &mut missing);
    limit(Resource::Data, limits.memory, &mut missing);
    limit(Resource::Cpu, limits.cpu_seconds, &mut missing);
    limit(Resource::Nofile, limits.open_files, &mut missing);
    if let Err(error) = rustix::thread::set_no_new_privs(true) {
        missing.push(format!("no_new_privs ({error})"));
    }
    match files(limits, data, cdylib) {
        Ok(None) => {}
        Ok(Some(lack)) => missing.push(lack),
        Err(error) => missing.push(format!("landlock ({error})")),
    }
    if let Err(error) = calls(limits.network) {
        missing.push(format!("seccomp ({error})"));
    }
    missing
}

fn limit(resource: Resource, value: Option<u64>, missing: &mut Vec<String>) {
    let Some(value) = value else { return };
    let highest = getrlimit(resource).maximum.unwrap_or(u64::MAX);
    let value = value.min(highest);
    // The first limit sends the signal of the processor limit, the second one kills.
    let maximum = if resource == Resource::Cpu { value.saturating_add(2).min(highest) } else { value };
    if let Err(error) = setrlimit(resource, Rlimit { current: Some(value), maximum: Some(maximum) }) {
        missing.push(format!("the limit {resource:?} ({error})"));
    }
}

fn files(
    limits: &Limits,
    data: Option<&Path>,
    cdylib: Option<&File>,
) -> Result<Option<String>, RulesetError> {
    let (read, all) = (AccessFs::from_read(RIGHTS), AccessFs::from_all(RIGHTS));
    let mut rules = Ruleset::default().handle_access(all)?;
    if !limits.network {
        rules = rules.handle_access(AccessNet::from_all(RIGHTS))?.scope(Scope::from_all(RIGHTS))?;
    }
    let mut rules = rules
        .create()?
        .add_rules(path_beneath_rules(SYSTEM, read))?
        .add_rules(path_beneath_rules(DEVICES, read | AccessFs::WriteFile | AccessFs::IoctlDev))?
        .add_rules(path_beneath_rules(&limits.read, read))?
        .add_rules(path_beneath_rules(&limits.write, all))?
        .add_rules(path_beneath_rules(data, all))?;
    // Anonymous memory is open to its owner anyway, and cannot be named in a rule.
    if let Some(file) = cdylib.filter(|file| !in_memory(file)) {
        rules = rules.add_rule(PathBeneath::new(file, AccessFs::ReadFile | AccessFs::Execute))?;
    }
    Ok(match rules.restrict_self()?.landlock {
        LandlockStatus::Available { effective_abi, .. } if effective_abi >= ENOUGH => None,
        LandlockStatus::Available { effective_abi, .. } => {
            Some(format!("parts of landlock (the system has only {effective_abi:?})"))
        }
        other => Some(format!("landlock ({other:?})")),
    })
}

fn in_memory(file: &File) -> bool {
    std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd()))
        .is_ok_and(|path| path.to_string_lossy().starts_with("/memfd:"))
}

const DENIED: &[libc::c_long] = &[
    // Other processes.
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_pidfd_getfd,
    // Namespaces and mounts.
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_open_tree,
    libc::SYS_move_mount,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_unshare,
    libc::SYS_setns,
    // The kernel itself.
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_syslog,
    // It makes system calls that are not filtered.
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    // Keys.
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    // The machine.
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_acct,
    libc::SYS_quotactl,
    libc::SYS_vhangup,
    libc::SYS_fanotify_init,
    libc::SYS_open_by_handle_at,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_iopl,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_ioperm,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_modify_ldt,
];

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

fn calls(network: bool) -> Result<(), seccompiler::Error> {
    let mut denied: Rules = DENIED.iter().map(|call| (*call, Vec::new())).collect();
    let new_user = libc::CLONE_NEWUSER as u64;
    denied.insert(libc::SYS_clone, vec![when(0, SeccompCmpOp::MaskedEq(new_user), new_user)?]);
    if !network {
        let families = [libc::AF_INET, libc::AF_INET6, libc::AF_PACKET];
        let rules = families.into_iter().map(|family| when(0, SeccompCmpOp::Eq, family as u64));
        denied.insert(libc::SYS_socket, rules.collect::<Result<_, _>>()?);
        // Including sockets with a path: a process behind one of them could do what is denied here.
        denied.insert(libc::SYS_connect, Vec::new());
    }
    apply(denied, libc::EPERM)?;
    // Its arguments cannot be inspected. Callers fall back to `clone` if it is missing.
    apply(Rules::from([(libc::SYS_clone3, Vec::new())]), libc::ENOSYS)
}

fn when(argument: u8, operator: SeccompCmpOp, value: u64) -> Result<SeccompRule, seccompiler::BackendError> {
    SeccompRule::new(vec![SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operator, value)?])
}

fn apply(rules: Rules, error: i32) -> Result<(), seccompiler::Error> {
    let arch = std::env::consts::ARCH.try_into()?;
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, SeccompAction::Errno(error as u32), arch)?;
    let program: BpfProgram = filter.try_into()?;
    seccompiler::apply_filter(&program)
}
