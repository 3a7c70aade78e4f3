//! Finds dependencies that nothing uses: declared in a manifest, but named in no source file that
//! could use them. That is what cargo-machete does; installing it takes 100 CPU-seconds, this none.
//!
//! A dependency that is there for its effect alone (a feature for another's sake) is listed in
//! `[package.metadata.cargo-machete] ignored`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::setup::Workspace;

/// Fails when a package of the workspace declares what it does not use.
pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    let output = workspace
        .cargo()
        .args(["metadata", "--no-deps", "--format-version", "1", "--locked"])
        .output()
        .context("cannot start cargo")?;
    let metadata: Value = serde_json::from_slice(&output.stdout).context("no cargo metadata")?;
    let mut unused = Vec::new();
    let mut declared = BTreeSet::new();
    for package in list(&metadata, "packages") {
        let (package_unused, package_declared) = unused_of(package)?;
        unused.extend(package_unused);
        declared.extend(package_declared);
    }
    let manifest = fs::read_to_string(workspace.root.join("Cargo.toml"))?;
    unused.extend(
        shared_names(&manifest)
            .filter(|name| !declared.contains(*name))
            .map(|name| format!("{name} (in [workspace.dependencies])")),
    );
    if !unused.is_empty() {
        bail!("nothing uses {}: remove them from the manifests", unused.join(", "));
    }
    Ok(())
}

/// The unused dependencies of a package, for people, and the names of all that it declares.
fn unused_of(package: &Value) -> Result<(Vec<String>, Vec<String>)> {
    let name = text(package, "name");
    let manifest = Path::new(text(package, "manifest_path"));
    let root = manifest.parent().context("a manifest in no directory")?;
    let main = sources(&root.join("src"))?;
    let mut all = main.clone();
    for directory in ["tests", "benches", "examples"] {
        all.push_str(&sources(&root.join(directory))?);
    }
    let build = fs::read_to_string(root.join("build.rs")).unwrap_or_default();

    let ignored: Vec<&str> = package
        .pointer("/metadata/cargo-machete/ignored")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let (mut unused, mut declared) = (Vec::new(), Vec::new());
    for dependency in list(package, "dependencies") {
        let dependency_name = text(dependency, "name");
        declared.push(dependency_name.to_owned());
        let renamed = dependency.get("rename").and_then(Value::as_str).unwrap_or(dependency_name);
        let place = match dependency.get("kind").and_then(Value::as_str) {
            Some("dev") => &all,
            Some("build") => &build,
            _ => &main,
        };
        if !ignored.contains(&dependency_name) && !names(place, &renamed.replace('-', "_")) {
            unused.push(format!("{dependency_name} (in {name})"));
        }
    }
    Ok((unused, declared))
}

fn list<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    value.get(key).and_then(Value::as_array).into_iter().flatten()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// The Rust sources under a directory, without line comments.
fn sources(directory: &Path) -> Result<String> {
    let mut text = String::new();
    let mut left: Vec<PathBuf> = vec![directory.to_owned()];
    while let Some(path) = left.pop() {
        if path.is_dir() {
            for entry in fs::read_dir(&path)? {
                left.push(entry?.path());
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            for line in fs::read_to_string(&path)?.lines() {
                text.push_str(line.split("//").next().unwrap_or_default());
                text.push('\n');
            }
        }
    }
    Ok(text)
}

/// Whether the text has this identifier.
fn names(text: &str, identifier: &str) -> bool {
    text.split(|character: char| !character.is_alphanumeric() && character != '_')
        .any(|word| word == identifier)
}

/// The names under `[workspace.dependencies]`.
fn shared_names(manifest: &str) -> impl Iterator<Item = &str> {
    manifest
        .lines()
        .skip_while(|line| line.trim() != "[workspace.dependencies]")
        .skip(1)
        .take_while(|line| !line.starts_with('['))
        .filter_map(|line| line.split_once('='))
        .map(|(name, _)| name.trim())
}

#[cfg(test)]
mod tests {
    use super::{names, shared_names, sources};

    #[test]
    fn an_identifier_is_found_whole() {
        assert!(names("use serde_json::Value;", "serde_json"));
        assert!(!names("use serde_json::Value;", "serde"));
        assert!(!names("", "serde"));
    }

    #[test]
    fn a_comment_is_no_use() {
        let directory = estafette_testkit::TempDir::new().unwrap();
        let file = directory.path().join("lib.rs");
        std::fs::write(file, "//! As toml does.\nuse anyhow::Result; // not serde\n").unwrap();
        let text = sources(directory.path()).unwrap();
        assert!(names(&text, "anyhow") && !names(&text, "toml") && !names(&text, "serde"));
    }

    #[test]
    fn shared_dependencies_are_listed() {
        let manifest = "[workspace.dependencies]\na = \"1\"\n\nb-c = { version = \"2\" }\n[x]\nd=1";
        assert_eq!(shared_names(manifest).collect::<Vec<_>>(), ["a", "b-c"]);
    }
}
