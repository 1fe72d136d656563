//! Generates clients and servers from `proto/`, with a pure-Rust compiler: no `protoc` needed.

use std::path::Path;

const SERVICES: [&str; 7] = ["access", "auth", "catalogue", "chain", "database", "jobs", "upload"];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = Path::new("proto");
    println!("cargo::rerun-if-changed=proto");
    let files = SERVICES.map(|name| root.join(format!("streamgate/{name}/v1/{name}.proto")));
    let descriptors = protox::compile(files, [root])?;
    tonic_prost_build::configure().bytes(".").build_transport(false).compile_fds(descriptors)?;
    Ok(())
}
