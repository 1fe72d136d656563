//! Unique names of processes of this machine, and whether one has ended. A process number alone is reused.

use std::io::ErrorKind;

/// The name of this process: `boot/number/start`. `None` if the system does not provide it.
pub fn own() -> Option<String> {
    of(std::process::id())
}

/// The name of a running process.
pub fn of(pid: u32) -> Option<String> {
    let this = pid == std::process::id();
    // A confined process may read its own state by this path alone.
    let path = if this { "/proc/self/stat".to_owned() } else { stat_of(pid) };
    let stat = std::fs::read_to_string(path).ok()?;
    let (_, started) = state_and_start(&stat)?;
    Some(format!("{}/{pid}/{started}", boot()?))
}

/// Whether the process of this name has ended. False if unknown.
pub fn is_gone(name: &str) -> bool {
    let mut parts = name.split('/');
    let (Some(then), Some(pid), Some(started), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return false;
    };
    let (Ok(pid), Ok(started), Some(boot)) = (pid.parse(), started.parse::<u64>(), boot()) else {
        return false;
    };
    if then != boot {
        return true;
    }
    match std::fs::read_to_string(stat_of(pid)) {
        Ok(stat) => state_and_start(&stat)
            .is_some_and(|(state, since)| since != started || matches!(state, "Z" | "X" | "x")),
        Err(error) => error.kind() == ErrorKind::NotFound,
    }
}

fn stat_of(pid: u32) -> String {
    format!("/proc/{pid}/stat")
}

fn boot() -> Option<String> {
    Some(std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?.trim().to_owned())
}

/// Fields 3 and 22 of proc_pid_stat(5): its state, and its start in clock ticks since boot. The second field,
/// the name in parentheses, may contain anything.
fn state_and_start(stat: &str) -> Option<(&str, u64)> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace();
    Some((fields.next()?, fields.nth(18)?.parse().ok()?))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_gone_when_it_has_ended_and_not_before() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let name = of(child.id()).unwrap();
        assert!(!is_gone(&name) && !is_gone(&own().unwrap()));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(is_gone(&name));
    }

    #[test]
    fn the_same_number_is_another_process_when_it_began_at_another_time_or_boot() {
        let name = own().unwrap();
        let (before, started) = name.rsplit_once('/').unwrap();
        assert!(is_gone(&format!("{before}/{}", started.parse::<u64>().unwrap() + 1)));
        assert!(is_gone(&format!("another-boot/{}/{started}", std::process::id())));
        assert!(!is_gone("") && !is_gone("nonsense") && !is_gone("a/b/c"));
    }

    #[test]
    fn the_start_time_is_found_behind_any_process_name() {
        let stat = "7 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20 21";
        assert_eq!(state_and_start(stat), Some(("S", 4711)));
        assert_eq!(state_and_start("garbage"), None);
    }
}
