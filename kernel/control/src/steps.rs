//! What a change does to each plugin, and what it says of it.

/// What is to happen to one plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Start it.
    Start,
    /// Try to hand it its new settings, else as below.
    Configure,
    /// Start a new run beside the old one, which then gives way.
    Swap,
    /// Stop it for good.
    Stop,
}

/// What is to be done, or what was, a line for each plugin.
pub fn words(steps: &[(Step, String)], done: bool) -> String {
    let words = steps.iter().map(|(step, name)| match (step, done) {
        (Step::Start, false) => format!("start {name}"),
        (Step::Configure, false) => {
            format!("give {name} its new settings, or swap it if it cannot take them")
        }
        (Step::Swap, false) => format!("swap {name}"),
        (Step::Stop, false) => format!("stop {name}"),
        (Step::Start, true) => format!("started {name}"),
        (Step::Configure, true) => format!("gave {name} its new settings"),
        (Step::Swap, true) => format!("swapped {name}"),
        (Step::Stop, true) => format!("stopped {name}"),
    });
    let words: Vec<_> = words.collect();
    if words.is_empty() { "nothing differs".to_owned() } else { words.join("\n") }
}

/// What a plan says that was made when what runs had this version.
pub fn planned(steps: &[(Step, String)], version: u64) -> String {
    let words = words(steps, false);
    match steps {
        [] => words,
        _ => format!(
            "{words}\n`streamgate reload --if-version {version}` does it unless something else is changed before"
        ),
    }
}

/// Why a plan is not carried out that was made before another change.
pub fn stale(planned: u64, now: u64) -> String {
    format!(
        "what runs has been changed since this was planned: its version was {planned} and is {now}; plan again, with `streamgate reload --dry-run`; nothing has changed"
    )
}
