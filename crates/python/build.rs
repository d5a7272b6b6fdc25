//! Builds the library that `zpager run` preloads, which the wheel has beside the module
//! (`[tool.maturin]` in pyproject.toml). It is a library of its own, since the module needs Python's
//! symbols, and the programs are any.

use std::env;
use std::path::PathBuf;
use std::process::Command;

const LIBRARY: &str = "libzpager_preload.so";

fn main() {
    let variable = |name| env::var_os(name).unwrap_or_else(|| panic!("cargo sets {name}"));
    // As it is now: a target directory may have been copied together with this program.
    let manifest_directory = PathBuf::from(variable("CARGO_MANIFEST_DIR"));
    let crates = manifest_directory.parent().expect("crates");
    for name in ["calls", "core", "linux", "preload"] {
        println!("cargo::rerun-if-changed={}", crates.join(name).display());
    }
    println!("cargo::rerun-if-env-changed=RUSTC_WORKSPACE_WRAPPER");
    // Clippy looks at that library by itself.
    if env::var("RUSTC_WORKSPACE_WRAPPER").is_ok_and(|wrapper| wrapper.contains("clippy")) {
        return;
    }
    let out = PathBuf::from(variable("OUT_DIR"));
    // Not cargo's own directory, which it has locked.
    let target = out.join("preload");
    let status = Command::new(variable("CARGO"))
        .args(["build", "--release", "--package", "zpager-preload", "--manifest-path"])
        .arg(crates.join("preload/Cargo.toml"))
        .arg("--target-dir")
        .arg(&target)
        .status()
        .expect("cargo runs");
    assert!(status.success(), "the preloaded library could not be built");
    std::fs::copy(target.join("release").join(LIBRARY), out.join(LIBRARY)).expect("it was built there");
}
