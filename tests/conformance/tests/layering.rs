//! The rules of the house that a machine can check: which crate may depend on which, who knows Burn and the browser, how long files are
//! and how they are called.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a test fails by panicking

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
};

use conformance::repository;
use serde_json::Value;

/// Every crate with the crates of the workspace that it may depend on, directly or through others.
const LAYERS: [(&str, &[&str]); 11] = [
    ("eyas-core", &[]),
    ("eyas-text", &["eyas-core"]),
    ("eyas-blocks", &["eyas-core"]),
    ("eyas-weights", &["eyas-core", "eyas-blocks"]),
    ("eyas-kernels", &["eyas-core", "eyas-blocks"]),
    ("eyas-tier", &["eyas-core"]),
    ("eyas-store", &["eyas-core", "eyas-blocks", "eyas-weights"]),
    ("eyas-model", &["eyas-core", "eyas-kernels", "eyas-blocks", "eyas-weights"]),
    ("eyas-engine", &["eyas-core", "eyas-kernels", "eyas-blocks", "eyas-weights", "eyas-model", "eyas-text"]),
    ("eyas-web", &SHELL),
    ("eyas-cli", &SHELL),
];

/// What the browser's shell and the command line may depend on.
const SHELL: [&str; 9] = [
    "eyas-core",
    "eyas-kernels",
    "eyas-blocks",
    "eyas-weights",
    "eyas-model",
    "eyas-text",
    "eyas-engine",
    "eyas-tier",
    "eyas-store",
];

/// Crates of the workspace that stand outside the layers, since nothing of ours that ships depends on them: these tests, the stand-ins for
/// foreign crates with what they stand on, and the program that writes the JavaScript glue.
const OUTSIDE: [&str; 7] =
    ["conformance", "inventory", "regex", "fancy-regex", "eyas-regex", "eyas-bindgen", "unicode-normalization-alignments"];

const VAGUE_NAMES: [&str; 8] = ["util", "utils", "base", "common", "helper", "helpers", "misc", "types"];
const MAX_LINES: usize = 500;
const MAX_MEDIAN_LINES: usize = 150;

/// Name → names of dependencies (kind `None` for normal ones).
fn dependencies() -> BTreeMap<String, Vec<(String, Option<String>)>> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(repository())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap().iter().map(|package| {
        let dependencies = package["dependencies"].as_array().unwrap().iter();
        let name = |value: &Value| value.as_str().unwrap().to_owned();
        let named = dependencies.map(|dependency| (name(&dependency["name"]), dependency["kind"].as_str().map(str::to_owned)));
        (name(&package["name"]), named.collect())
    });
    packages.collect()
}

#[test]
fn dependencies_point_one_way() {
    let layers = BTreeMap::from(LAYERS);
    for (name, dependencies) in dependencies() {
        if OUTSIDE.contains(&name.as_str()) {
            continue;
        }
        let allowed = layers.get(name.as_str()).unwrap_or_else(|| panic!("{name} has no layer; give it one in this test"));
        for (dependency, kind) in dependencies {
            let is_ours = layers.contains_key(dependency.as_str()) || OUTSIDE.contains(&dependency.as_str());
            let is_shipped = kind.as_deref() != Some("dev");
            assert!(!(is_ours && is_shipped) || allowed.contains(&dependency.as_str()), "{name} must not depend on {dependency}");
        }
    }
}

#[test]
fn only_three_crates_know_burn_and_one_knows_the_browser() {
    let burn = |name: &str| ["burn", "cubecl", "wgpu"].iter().any(|stem| name == *stem || name.starts_with(&format!("{stem}-")));
    let browser = ["wasm-bindgen", "wasm-bindgen-futures", "web-sys", "js-sys", "serde-wasm-bindgen", "gloo"];
    for (name, dependencies) in dependencies() {
        for (dependency, _) in dependencies {
            if burn(&dependency) {
                assert!(
                    ["eyas-kernels", "eyas-model", "eyas-engine"].contains(&name.as_str()),
                    "{name} must not know {dependency}"
                );
            }
            if browser.contains(&dependency.as_str()) {
                assert_eq!(name, "eyas-web", "{name} must not know {dependency}");
            }
        }
    }
}

/// Files under a folder with one of these endings, without what is built or fetched.
fn files(folder: &Path, endings: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let Ok(entries) = std::fs::read_dir(folder) else { return found };
    for entry in entries {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            if !["target", "node_modules", "dist", "pkg"].contains(&name.as_str()) && !name.starts_with('.') {
                found.extend(files(&path, endings));
            }
        } else if endings.iter().any(|ending| name.ends_with(ending)) && !name.ends_with(".d.ts") {
            found.push(path);
        }
    }
    found
}

fn sources() -> Vec<PathBuf> {
    let mut found = files(&repository().join("crates"), &[".rs", ".wgsl"]);
    found.extend(files(&repository().join("tests/conformance/src"), &[".rs"]));
    found.extend(files(&repository().join("www"), &[".ts"]));
    let is_source = |path: &PathBuf| path.components().any(|part| part.as_os_str() == "src");
    found.into_iter().filter(is_source).collect()
}

/// Lines of a file without its test module.
fn lines(path: &Path) -> usize {
    let text = std::fs::read_to_string(path).unwrap();
    text.split("#[cfg(test)]\nmod tests {").next().unwrap().lines().count()
}

#[test]
fn files_are_short() {
    let is_test = |path: &Path| {
        let stem = path.file_stem().unwrap().to_string_lossy();
        stem.ends_with("_tests") || stem.ends_with(".test")
    };
    let mut counts: Vec<usize> = Vec::new();
    for path in sources().into_iter().filter(|path| !is_test(path)) {
        let count = lines(&path);
        assert!(count <= MAX_LINES, "{} has {count} lines without its tests; at most {MAX_LINES}", path.display());
        counts.push(count);
    }
    counts.sort_unstable();
    let median = counts[counts.len() / 2];
    println!("{} files, median {median} lines, longest {}", counts.len(), counts[counts.len() - 1]);
    assert!(median <= MAX_MEDIAN_LINES, "the median file has {median} lines; at most {MAX_MEDIAN_LINES}");
}

#[test]
fn files_are_named_after_one_noun() {
    for path in sources() {
        let stem = path.file_stem().unwrap().to_string_lossy().into_owned();
        assert!(!VAGUE_NAMES.contains(&stem.as_str()), "{} has a vague name", path.display());
    }
}

#[test]
fn platforms_are_told_apart_in_few_places() {
    let allowed = ["crates/eyas-web/", "crates/eyas-cli/", "crates/eyas-kernels/src/cpu", "crates/eyas-kernels/Cargo.toml"];
    for path in files(&repository().join("crates"), &[".rs", "Cargo.toml"]) {
        let text = std::fs::read_to_string(&path).unwrap();
        // Comments may speak of it.
        let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        if code.clone().any(|line| line.contains("target_arch") || line.contains("target_family")) {
            let relative = path.strip_prefix(repository()).unwrap().to_string_lossy().replace('\\', "/");
            assert!(allowed.iter().any(|place| relative.starts_with(place)), "{relative} must not tell platforms apart");
        }
    }
}
