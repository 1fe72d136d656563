//! The StreamGate microkernel: it loads plugins, starts them in the order that they need, carries
//! requests and events between them, watches their health and writes their log. It can do
//! nothing else, and knows no capability by name.
//!
//! ```text
//! cli ── check ─ loader                          what is to run, and all that is wrong with it
//!  └─ lifecycle (graph) ─ host ─┬─ services       requests
//!        │                      ├─ bus            events
//!        └─ report ─ control    └─ health, log    what became of them
//! ```
//!
//! What the compiler cannot check is in `loader` alone. Nothing here waits on plugin code on a thread that others need.

mod change;
mod check;
mod cli;
mod control;
mod host;
mod isolate;
mod lifecycle;
mod loader;
mod probe;
mod recover;
mod report;

pub use cli::main;

/// The version of the kernel.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
