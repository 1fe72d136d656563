//! CPU time and memory of a process, from Linux (proc(5)).

use std::fs;

use anyhow::{Context, Result};

/// Seconds of CPU time, user and system, of all threads of the process and its children so far.
///
/// # Errors
/// When the process is gone.
pub fn cpu_seconds(pid: u32) -> Result<f64> {
    let own = times(&pid.to_string(), 11)?;
    let children = children(pid).into_iter().map(|child| times(&child, 11).unwrap_or_default());
    Ok(own + children.sum::<f64>())
}

/// Those of running children.
fn children(pid: u32) -> Vec<String> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let lists = tasks.map(|task| fs::read_to_string(task.path().join("children")).unwrap_or_default());
    lists.flat_map(|list| list.split_whitespace().map(str::to_owned).collect::<Vec<_>>()).collect()
}

/// The same of all processes that this one started and waited for.
///
/// # Errors
/// Without a /proc.
pub fn cpu_seconds_of_children() -> Result<f64> {
    times("self", 13)
}

/// Two neighbouring times of `/proc/PID/stat`, in seconds.
fn times(pid: &str, first: usize) -> Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name may hold spaces and brackets; the fields after it do not.
    let (_, fields) = stat.rsplit_once(')').context("a name in brackets")?;
    let mut fields = fields.split_whitespace().skip(first);
    let mut ticks = || -> Result<f64> { Ok(fields.next().context("a field")?.parse()?) };
    // USER_HZ is 100 on every Linux that Debian runs on.
    Ok((ticks()? + ticks()?) / 100.0)
}

/// Resident memory of the process and its children now, in MB (10^6 bytes). Shared memory counts for each.
///
/// # Errors
/// When the process is gone.
pub fn resident(pid: u32) -> Result<f64> {
    let own = status(&pid.to_string(), "VmRSS:")?;
    let children = children(pid).into_iter().map(|child| status(&child, "VmRSS:").unwrap_or_default());
    Ok(own + children.sum::<f64>())
}

/// The most resident memory of the process itself since [`forget_peak`] or the start, in MB (10^6 bytes).
///
/// # Errors
/// When the process is gone.
pub fn peak(pid: u32) -> Result<f64> {
    status(&pid.to_string(), "VmHWM:")
}

/// Resets [`peak`].
///
/// # Errors
/// When the process is gone or belongs to someone else.
pub fn forget_peak(pid: u32) -> Result<()> {
    Ok(fs::write(format!("/proc/{pid}/clear_refs"), "5")?)
}

fn status(pid: &str, key: &str) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(key))
        .with_context(|| format!("{key} in the status"))?;
    let kib: f64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kib * 1024.0 / 1e6)
}
