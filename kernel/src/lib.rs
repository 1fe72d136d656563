//! The StreamGate microkernel: it loads plugins, starts them in the order of their dependencies, carries
//! requests and events between them, monitors their health and writes their log. It does nothing else, and
//! knows no capability by name.
//!
//! ```text
//! cli ── edition ─ loader                what a configuration names, and all that is wrong with it
//!  └─ kernel
//!      ├─ composition                    what should run
//!      ├─ runs ─ launch ─ host ─ run     what runs: requests, events, health and log of each run
//!      └─ change                         from one to the other
//! ```
//!
//! Imports between modules go in one direction: changes use the runs, and the runs use the composition, never
//! the other way.
//!
//! Code that the compiler cannot check is only in `loader`. Nothing here waits for plugin code on a thread
//! that others need.

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
