//! The configuration as text: read from a file, the environment and `--set`, checked with JSON Schemas, and
//! every problem described for the person who edits the file.
//!
//! It knows schemas and tables, not their meaning: it loads nothing, starts nothing and writes nothing.

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
