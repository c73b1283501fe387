//! `inventory` is a stub here (docs/adr/0002-inventory-stub.md), so a kernel that CubeCL would have to compile can't run. This fails where one
//! slips in.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a test fails by panicking

use std::{fs, path::Path};

use conformance::repository;

/// Attributes and calls that lead into CubeCL's compiler: own `#[cube]` kernels, and stock Burn operations that launch one.
const COMPILED: [&str; 14] = [
    "#[cube",
    "cube(launch",
    "Tensor::zeros(",
    "Tensor::ones(",
    "Tensor::full(",
    "zeros_like(",
    ".matmul(",
    ".softmax(",
    ".mean_dim(",
    ".sum_dim(",
    "Tensor::cat(",
    ".swap_dims(",
    ".powf_scalar(",
    "burn::nn",
];

fn search(folder: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            search(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            for (number, line) in text.lines().enumerate() {
                let code = line.split("//").next().unwrap();
                found.extend(
                    COMPILED
                        .iter()
                        .filter(|call| code.contains(**call))
                        .map(|call| format!("{}:{}: {call}", path.display(), number + 1)),
                );
            }
        }
    }
}

#[test]
fn no_kernel_needs_the_compiler() {
    let mut found = Vec::new();
    for name in ["eyas-kernels", "eyas-model", "eyas-engine"] {
        search(&repository().join("crates").join(name).join("src"), &mut found);
    }
    assert!(found.is_empty(), "these need CubeCL's compiler, which has no dialects here: {found:#?}");
}
