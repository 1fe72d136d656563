//! The StreamGate microkernel: it loads plugins, starts them in the order that they need, carries
//! requests and events between them, watches their health and writes their log. It can do
//! nothing else, and knows no capability by name.
//!
//! ```text
//! cli ── edition ─ loader                what a configuration names, and all that is wrong with it
//!  └─ kernel
//!      ├─ composition                    what should run
//!      ├─ runs ─ launch ─ host ─ run     what runs: requests, events, health and log of each run
//!      └─ change                         from one to the other
//! ```
//!
//! Imports between modules go in one direction: a change knows the runs, and the runs know the
//! composition, and never the other way.
//!
//! What the compiler cannot check is in `loader` alone. Nothing here waits on plugin code on a thread that others need.

mod change;
mod child;
mod cli;
mod composition;
mod edition;
mod host;
mod kernel;
mod launch;
mod loader;
mod parts;
mod report;
mod run;
mod runs;

pub use cli::main;

/// The version of the kernel.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
