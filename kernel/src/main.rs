//! The `streamgate` binary; everything is in the library.

fn main() -> std::process::ExitCode {
    streamgate_kernel::main()
}
