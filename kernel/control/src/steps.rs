//! What a change does to each plugin, as text.

/// A planned step for one plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Start it.
    Start,
    /// Try to pass it its new settings, else as below.
    Configure,
    /// Start a new run beside the old one, which then drains.
    Swap,
    /// Stop it permanently.
    Stop,
}

/// What is planned, or what was done, a line for each plugin.
pub fn words(steps: &[(Step, String)], done: bool) -> String {
    let words = steps.iter().map(|(step, name)| match (step, done) {
        (Step::Start, false) => format!("start {name}"),
        (Step::Configure, false) => {
            format!("give {name} its new settings, or swap it if it cannot apply them")
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

/// The text of a plan for this running version.
pub fn planned(steps: &[(Step, String)], version: u64) -> String {
    let words = words(steps, false);
    match steps {
        [] => words,
        _ => format!(
            "{words}\n`streamgate reload --if-version {version}` applies it unless something else changes before"
        ),
    }
}

/// Why a plan made before another change is not executed.
pub fn stale(planned: u64, now: u64) -> String {
    format!(
        "what runs has been changed since this was planned: its version was {planned} and is {now}; plan again, with `streamgate reload --dry-run`; nothing has changed"
    )
}
