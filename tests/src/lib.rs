//! Runs the real `streamgate` binary and tests it from outside, like its users.
//!
//! Harness of the end-to-end tests (`tests/tests/e2e/`) and of `make bench`: a server with its own data
//! directory ([`server`]), an upload client ([`tus`]), a reader of contents ([`api`]), test clips
//! ([`clips`]), chains ([`anvil`], [`solana`]), users with wallets ([`wallet`]), a reader of HLS and DASH
//! ([`media`]), third-party programs ([`tools`]), and hostile answers ([`abuse`]). It never links the kernel
//! or a plugin: it only knows their answers.

pub mod abuse;
pub mod anvil;
pub mod api;
pub mod bench;
pub mod clips;
pub mod disk;
pub mod failpoints;
pub mod media;
pub mod node;
pub mod objects;
pub mod random;
pub mod server;
pub mod solana;
pub mod tools;
pub mod tus;
pub mod wait;
pub mod wallet;
