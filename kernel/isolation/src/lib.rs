//! Runs a plugin in a child process, so that nothing it does there reaches the kernel: it may crash,
//! end itself or take all the memory it is allowed, and is started anew.
//!
//! The kernel calls [`start`] and gets what it gets from a plugin in its own process, plus word of
//! the child's end. The child is the same program; its `main` calls [`child()`], which takes its
//! sockets, confines itself, loads the plugin and serves it. Neither the plugin nor the kernel's
//! lifecycle notices: requests, bodies, trailers, events, health and log records cross as they are.
//!
//! ```text
//! kernel ── Instance, Services ── parent ═══ requests ═══> child ── plugin
//!        <── HostHandle ─────── host_side <══ calls ══════ remote_host
//! ```
//!
//! Both directions are HTTP/2 over one Unix socket pair each. The authority says who is meant:
//! `plugin`, `public`, `host`, `mount` or `<name>.capability`. No body is collected, and what is not
//! read at one end is not sent at the other.
//!
//! A child that only looks at a plugin is [`ask`]ed one thing, which it [`tell`]s, and ends.
//!
//! Nothing here starts a child anew, and nothing knows what a plugin is for.

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
