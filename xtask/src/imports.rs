//! Proves that `relay` imports nothing from outside: no clock, no randomness, no I/O.
//!
//! The crate is linked as a wasm module of its own, dead code included, and the module's import
//! section must be empty. So that the proof is worth something, a probe with one import is built
//! the same way first, and must be found out.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use wasmparser::{Parser, Payload};

use crate::setup::{WASM, Workspace, run, run_quietly};

/// Keeps what nothing calls, in the compiler and the linker: in a module without exports that is
/// everything.
const KEEP_ALL: [&str; 4] = ["-C", "link-dead-code", "-C", "link-arg=--no-gc-sections"];

const PROBE: &str = r#"
#[link(wasm_import_module = "outside")]
unsafe extern "C" {
    safe fn clock() -> f64;
}
pub fn hour() -> f64 {
    clock() / 3_600_000.0
}
"#;

/// Fails when `relay` imports anything.
pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    let directory = workspace.target().join("imports");
    fs::create_dir_all(&directory)?;
    let probe = directory.join("probe.wasm");
    let source = directory.join("probe.rs");
    fs::write(&source, PROBE)?;
    run_quietly(
        workspace
            .command("rustc")
            .args(["--edition=2024", "--crate-type=cdylib", "--target", WASM])
            .args(KEEP_ALL)
            .arg("-o")
            .arg(&probe)
            .arg(&source),
    )?;
    if imports(&probe)? != ["outside.clock"] {
        bail!("the import check is blind: it does not see the import of its own probe");
    }

    run(workspace
        .cargo()
        .args(["rustc", "--package", "estafette-relay", "--lib", "--crate-type=cdylib"])
        .args(["--target", WASM, "--"])
        .args(KEEP_ALL))?;
    let module = workspace.target().join(WASM).join("debug/estafette_relay.wasm");
    let found = imports(&module)?;
    if !found.is_empty() {
        bail!(
            "estafette-relay imports {}: take what is outside as an argument instead",
            found.join(", ")
        );
    }
    Ok(())
}

/// What a module imports, as `module.name`.
fn imports(path: &Path) -> Result<Vec<String>> {
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut found = Vec::new();
    for payload in Parser::new(0).parse_all(&bytes) {
        if let Payload::ImportSection(section) = payload? {
            for import in section.into_imports() {
                let import = import?;
                found.push(format!("{}.{}", import.module, import.name));
            }
        }
    }
    Ok(found)
}
