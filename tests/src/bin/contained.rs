//! Runs another program without permission to inspect other processes, like the usual default seccomp profile
//! of containers without CAP_SYS_PTRACE: `contained PROGRAM ARGUMENT...`.

use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};

use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};

/// The system calls to inspect another process that such a profile refuses.
const REFUSED: [libc::c_long; 5] = [
    libc::SYS_pidfd_getfd,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_kcmp,
];

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let Some(program) = arguments.next() else {
        eprintln!("usage: contained PROGRAM ARGUMENT...");
        return ExitCode::from(2);
    };
    if let Err(error) = confine() {
        eprintln!("the system calls cannot be taken away: {error}");
        return ExitCode::from(1);
    }
    let error = Command::new(&program).args(arguments).exec();
    eprintln!("{} cannot be started: {error}", program.display());
    ExitCode::from(1)
}

fn confine() -> Result<(), seccompiler::Error> {
    let rules = REFUSED.into_iter().map(|call| (call, Vec::new())).collect();
    let refusal = SeccompAction::Errno(libc::EPERM as u32);
    let arch = std::env::consts::ARCH.try_into()?;
    let program: BpfProgram = SeccompFilter::new(rules, SeccompAction::Allow, refusal, arch)?.try_into()?;
    seccompiler::apply_filter(&program)
}
