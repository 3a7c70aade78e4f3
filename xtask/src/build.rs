//! Builds the Worker: cargo, wasm-bindgen, wasm-opt, then esbuild around the shim.
//!
//! The result is a directory with `index.js` and `index_bg.wasm`, which `wrangler deploy` uploads
//! and the local runtime runs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use wasm_bindgen_cli_support::Bindgen;

use crate::setup::{WASM, Workspace, run, run_quietly, step};

/// The largest module that may be shipped, uncompressed.
const WASM_BYTES_MAX: usize = 1_200_000;

/// The package that is built when no other is named.
const WORKER: &str = "estafette-worker";

/// What wasm-opt may assume of the runtime. Named one by one: with all features allowed it emits
/// what no shipping engine reads.
const FEATURES: &[&str] = &[
    "bulk-memory",
    "bulk-memory-opt",
    "exception-handling",
    "extended-const",
    "multivalue",
    "mutable-globals",
    "nontrapping-float-to-int",
    "reference-types",
    "sign-ext",
];

/// The oldest wasm-opt that reads the exception instructions of the bindings.
const WASM_OPT_MIN: u32 = 120;

/// What to build.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    /// The package: the Worker, or one that stands in for it in a test.
    pub(crate) package: String,
    /// Cargo features of the package beyond its defaults.
    pub(crate) features: Vec<String>,
    /// Where the bundle goes, instead of `worker/build`.
    pub(crate) out: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        Self { package: WORKER.to_owned(), features: Vec::new(), out: None }
    }
}

/// Does all set-up, builds, and returns the directory of the bundle.
pub(crate) fn build(workspace: &Workspace, options: &Options) -> Result<PathBuf> {
    let _lock = workspace.lock()?;
    workspace.wasm_target()?;
    workspace.packages()?;

    let mut variant = options.package.clone();
    for feature in &options.features {
        variant = format!("{variant}-{feature}");
    }
    let work = workspace.target().join("bundle").join(&variant);
    let shipped = workspace.root.join("worker/build");
    let usual = if variant == WORKER { shipped } else { work.join("out") };
    let out = options.out.clone().unwrap_or(usual);

    step(&format!("building {variant}"));
    let module = compile(workspace, options)?;
    let bindings = bind(&module, &work)?;
    let optimised = optimise(workspace, &bindings, &work)?;
    bundle(workspace, &bindings.join("index.js"), &out)?;
    let wasm = out.join("index_bg.wasm");
    fs::copy(&optimised, &wasm).with_context(|| format!("cannot write {}", wasm.display()))?;

    let size = usize::try_from(fs::metadata(&wasm)?.len())?;
    step(&format!("{} is {} of at most {WASM_BYTES_MAX} bytes", shown(workspace, &wasm), size));
    if size > WASM_BYTES_MAX {
        bail!("the Worker is too large: find what grew with `twiggy top {}`", module.display());
    }
    Ok(out)
}

fn shown(workspace: &Workspace, path: &Path) -> String {
    path.strip_prefix(&workspace.root).unwrap_or(path).display().to_string()
}

fn compile(workspace: &Workspace, options: &Options) -> Result<PathBuf> {
    let mut cargo = workspace.cargo();
    cargo
        .args(["build", "--package", &options.package, "--target", WASM])
        .args(["--profile", "worker"]);
    for feature in &options.features {
        cargo.args(["--features", feature]);
    }
    run(&mut cargo)?;
    let name = options.package.replace('-', "_");
    Ok(workspace.target().join(WASM).join("worker").join(name).with_extension("wasm"))
}

/// Makes the JavaScript bindings, with what the shim needs to survive a trap.
fn bind(module: &Path, work: &Path) -> Result<PathBuf> {
    let bindings = work.join("bindings");
    if bindings.exists() {
        fs::remove_dir_all(&bindings)?;
    }
    Bindgen::new()
        .input_path(module)
        .out_name("index")
        .typescript(false)
        .remove_name_section(true)
        .remove_producers_section(true)
        .module(true)?
        .reset_state_function(true)
        .force_enable_abort_handler(true)
        .generate(&bindings)
        .context("wasm-bindgen failed")?;
    let script = bindings.join("index.js");
    let text = fs::read_to_string(&script)?;
    fs::write(&script, adapt(&text)?)?;
    Ok(bindings)
}

/// Adapts wasm-bindgen's script: the module is imported as the edge runtime offers it, and a trap
/// retires the instance at once and tells the shim, which decides when the next one starts. (By
/// itself the script would start the next instance inside whichever call comes first, even one that
/// carries pointers into the old.)
fn adapt(script: &str) -> Result<String> {
    let script = replace_once(script, "import source wasmModule from", "import wasmModule from")?;
    let script = replace_once(
        &script,
        "__wbg_call_abort_hook();\n    throw e;",
        "__wbg_call_abort_hook(e);\n    throw e;",
    )?;
    replace_once(
        &script,
        "function __wbg_call_abort_hook() {",
        "let trapListener;\n\
         export function onTrap(listener) { trapListener = listener; }\n\
         function __wbg_call_abort_hook(error) {\n    \
         __wbg_called_abort = true;\n    \
         __wbg_instance_id++;\n    \
         trapListener(error);\n    \
         return;",
    )
}

fn replace_once(text: &str, from: &str, to: &str) -> Result<String> {
    if text.matches(from).count() != 1 {
        bail!("wasm-bindgen's script has changed: `{from}` is not in it once. Adapt xtask to it.");
    }
    Ok(text.replacen(from, to, 1))
}

/// Makes the module smaller. Takes seconds, so an unchanged module is not done again.
fn optimise(workspace: &Workspace, bindings: &Path, work: &Path) -> Result<PathBuf> {
    let input = bindings.join("index_bg.wasm");
    let (done, output) = (work.join("unoptimised.wasm"), work.join("optimised.wasm"));
    let bytes = fs::read(&input)?;
    if output.exists() && fs::read(&done).is_ok_and(|known| known == bytes) {
        return Ok(output);
    }
    step("optimising the module");
    let mut command = workspace.command(wasm_opt(workspace));
    command.arg("-Oz");
    for feature in FEATURES {
        command.arg(format!("--enable-{feature}"));
    }
    run_quietly(command.arg(&input).arg("-o").arg(&output))?;
    fs::write(&done, bytes)?;
    Ok(output)
}

/// The native wasm-opt where there is one and it is new enough: it is five times as fast.
fn wasm_opt(workspace: &Workspace) -> PathBuf {
    let packaged = workspace.root.join("node_modules/.bin/wasm-opt");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let native = std::env::split_paths(&path)
        .filter(|directory| !directory.starts_with(workspace.root.join("node_modules")))
        .map(|directory| directory.join("wasm-opt"))
        .find(|program| program.is_file());
    match native {
        Some(program) if wasm_opt_version(workspace, &program) >= Some(WASM_OPT_MIN) => program,
        _ => packaged,
    }
}

fn wasm_opt_version(workspace: &Workspace, program: &Path) -> Option<u32> {
    let output = workspace.command(program).arg("--version").stderr(Stdio::null()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    text.split_whitespace().find_map(|word| word.parse().ok())
}

fn bundle(workspace: &Workspace, bindings: &Path, out: &Path) -> Result<()> {
    fs::create_dir_all(out)?;
    run_quietly(
        workspace
            .command(workspace.root.join("node_modules/.bin/esbuild"))
            .arg(workspace.root.join("worker/js/shim.js"))
            .args(["--bundle", "--format=esm", "--target=es2024", "--log-level=warning"])
            .args(["--external:cloudflare:workers", "--external:*.wasm"])
            .arg(format!("--alias:bindings={}", bindings.display()))
            .arg(format!("--outfile={}", out.join("index.js").display())),
    )
}

#[cfg(test)]
mod tests {
    use super::replace_once;

    #[test]
    fn a_changed_script_fails_the_build() {
        assert_eq!(replace_once("a b c", "b", "d").unwrap(), "a d c");
        assert!(replace_once("a c", "b", "d").is_err());
        assert!(replace_once("b b", "b", "d").is_err());
    }
}
