//! The configuration as text: read from a file, the environment and `--set`, judged by JSON
//! Schemas, and every fault told in the words of somebody who edits the file.
//!
//! It knows schemas and tables and nothing of what they are for: it loads nothing, starts
//! nothing and writes nothing.

mod files;
mod graph;
mod notices;
mod options;
mod schema;
mod secrets;
mod settings;
mod show;
mod sources;
mod tables;
mod wording;

pub use files::{discover, file_name, locate};
pub use graph::{Graph, GraphError, Node};
pub use notices::notices;
pub use options::take_options;
pub use settings::{Isolation, KernelSettings, LogFormat, LogSettings, PluginKeys, ProcessKeys};
pub use show::show;
pub use sources::{Problem, Sources, from_toml};
pub use tables::{Table, check, file_schema};
pub use wording::suggest;
