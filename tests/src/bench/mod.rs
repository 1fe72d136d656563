//! `make bench`: StreamGate against its peers, side by side in one run on one machine.
//!
//! Every figure is compared to its peer's and to its target; a missed target makes the run fail. Peers are
//! Debian's nginx and ffmpeg, `@tus/server` from npm, and an earlier build of StreamGate.

pub mod before;
pub mod boundary;
pub mod encode;
pub mod greed;
pub mod list;
pub mod memory;
pub mod peer;
pub mod process;
pub mod serve;
pub mod start;
pub mod upload;

use std::fmt;

/// The target of a ratio or a figure.
#[derive(Debug, Clone, Copy)]
pub enum Aim {
    /// At least this.
    AtLeast(f64),
    /// At most this.
    AtMost(f64),
}

impl Aim {
    fn met(self, value: f64) -> bool {
        match self {
            Self::AtLeast(bound) => value >= bound,
            Self::AtMost(bound) => value <= bound,
        }
    }
}

impl fmt::Display for Aim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let short = |bound: f64| (bound * 100.0).round() / 100.0;
        match self {
            Self::AtLeast(bound) => write!(f, ">= {}", short(*bound)),
            Self::AtMost(bound) => write!(f, "<= {}", short(*bound)),
        }
    }
}

/// One measurement.
#[derive(Debug, Clone)]
pub struct Row {
    /// The measured quantity, with its unit.
    pub what: String,
    /// StreamGate's figure.
    pub ours: f64,
    /// The peer and its figure.
    pub peer: Option<(&'static str, f64)>,
    /// The target of the ratio (with a peer) or of the figure itself.
    pub aim: Option<Aim>,
}

impl Row {
    /// Our figure divided by the peer's, or ours alone.
    #[must_use]
    pub fn judged(&self) -> f64 {
        self.peer.map_or(self.ours, |(_, theirs)| self.ours / theirs)
    }

    /// Whether the target, if any, is met.
    #[must_use]
    pub fn met(&self) -> bool {
        self.aim.is_none_or(|aim| aim.met(self.judged()))
    }
}

/// Prints rows as a table in Markdown and returns whether every target is met.
#[must_use]
pub fn print(rows: &[Row]) -> bool {
    println!("| what | StreamGate | peer | ratio | aim | |");
    println!("| --- | ---: | ---: | ---: | --- | --- |");
    for row in rows {
        let peer = row.peer.map_or_else(String::new, |(name, figure)| format!("{name} {}", rounded(figure)));
        let ratio = row.peer.map_or_else(String::new, |_| format!("{:.2}", row.judged()));
        let aim = row.aim.map_or_else(String::new, |aim| aim.to_string());
        let verdict = match (row.aim, row.met()) {
            (None, _) => "",
            (Some(_), true) => "met",
            (Some(_), false) => "MISSED",
        };
        let (what, ours) = (&row.what, rounded(row.ours));
        println!("| {what} | {ours} | {peer} | {ratio} | {aim} | {verdict} |");
    }
    rows.iter().all(Row::met)
}

fn rounded(figure: f64) -> String {
    if figure >= 100.0 { format!("{figure:.0}") } else { format!("{figure:.2}") }
}

/// The median of some figures.
///
/// # Panics
/// When there is none.
#[must_use]
pub fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}
