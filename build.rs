//! Compiles the protocol of the verdict API. `protox` is a compiler in Rust: no build needs `protoc`.

use prost::Message;

#[expect(clippy::disallowed_methods, reason = "cargo tells a build script its folder by the environment alone")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    let files = protox::compile(["why502/v1/verdicts.proto", "why502/v1/incidents.proto"], ["proto"])?;
    let descriptor = std::path::PathBuf::from(std::env::var("OUT_DIR")?).join("why502_descriptor.bin");
    std::fs::write(descriptor, files.encode_to_vec())?;
    tonic_prost_build::configure().compile_fds(files)?;
    Ok(())
}
