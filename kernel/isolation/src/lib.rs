//! Runs a plugin in a child process, so that its failures do not reach the kernel: it may crash, exit or use
//! all the memory it is allowed, and is restarted.
//!
//! The kernel calls [`start`] and gets the same as from a plugin in its own process, plus notice of the
//! child's end. The child is the same program; its `main` calls [`child()`], which receives its sockets,
//! confines itself, loads the plugin and serves it. Neither the plugin nor the kernel's lifecycle notices:
//! requests, bodies, trailers, events, health and log records cross unchanged.
//!
//! ```text
//! kernel ── Instance, Services ── parent ═══ requests ═══> child ── plugin
//!        <── HostHandle ─────── host_side <══ calls ══════ remote_host
//! ```
//!
//! Both directions are HTTP/2 over one Unix socket pair each. The authority is the addressee: `plugin`,
//! `public`, `host`, `mount` or `<name>.capability`. No body is buffered, and what is not read at one end is
//! not sent at the other.
//!
//! A child that only inspects a plugin gets one question from [`ask`], answers it with [`tell`], and ends.
//!
//! Nothing here restarts a child or knows the purpose of a plugin.

mod body;
mod child;
mod confine;
mod description;
mod head;
mod host_side;
mod limits;
mod outbox;
mod parent;
mod peer;
mod permits;
mod process;
mod remote_host;
mod stderr;
mod trial;
mod wire;

pub use self::child::{Loading, child};
pub use self::description::{Answer, Description, ask};
pub use self::limits::{ChildSpec, Limits};
pub use self::parent::{Exited, Started, start};
pub use self::process::Exit;
pub use self::trial::tell;
