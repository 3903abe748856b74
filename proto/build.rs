//! Compiles the contract in one pass, without `protoc`, and keeps the descriptor set for reflection.

use std::{env, error::Error, fs, path::PathBuf};

const FILES: [&str; 7] = [
    "chat/v1/auth.proto",
    "chat/v1/call.proto",
    "chat/v1/conversation.proto",
    "chat/v1/event.proto",
    "chat/v1/message.proto",
    "chat/v1/paging.proto",
    "chat/v1/user.proto",
];

#[expect(clippy::disallowed_methods, reason = "cargo tells build scripts by the environment")]
fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=chat");
    let mut compiler = protox::Compiler::new(["."])?;
    compiler.include_imports(true).include_source_info(true).open_files(FILES)?;
    let descriptors = PathBuf::from(env::var("OUT_DIR")?).join("descriptors.bin");
    fs::write(descriptors, compiler.encode_file_descriptor_set())?;
    tonic_prost_build::configure().compile_fds(compiler.file_descriptor_set())?;
    Ok(())
}
