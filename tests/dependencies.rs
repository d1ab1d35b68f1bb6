//! What a program takes along with this crate: how much, under which licences, and what never.
//!
//! Asks cargo without the network; what a build has not fetched is looked at by the build that does.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::{env, fs};

/// A crate in a tree, and its licence.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Crate {
    name: String,
    version: String,
    licence: String,
}

/// What these features bring into a program; build scripts, macros for the tests and the like do not count.
#[track_caller]
fn tree(arguments: &[&str]) -> BTreeSet<Crate> {
    let output = Command::new(env::var_os("CARGO").unwrap_or("cargo".into()))
        .args(["tree", "--offline", "--locked", "--edges", "normal", "--prefix", "none"])
        .args(["--format", "{p}|{l}|"])
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).unwrap();
    let tree: BTreeSet<_> = lines.lines().filter(|line| !line.is_empty()).map(parse).collect();
    assert!(!tree.is_empty());
    tree.into_iter().filter(|one| one.name != env!("CARGO_PKG_NAME")).collect()
}

/// `name v1.2.3 (proc-macro)|MIT OR Apache-2.0| (*)`.
fn parse(line: &str) -> Crate {
    let mut parts = line.split('|');
    let mut words = parts.next().unwrap().split(' ');
    let mut word = || words.next().unwrap().to_string();
    Crate { name: word(), version: word(), licence: parts.next().unwrap().into() }
}

fn names(tree: &BTreeSet<Crate>) -> Vec<&str> {
    tree.iter().map(|one| one.name.as_str()).collect()
}

#[test]
fn the_wire_layer_alone_needs_five_crates_and_three_of_theirs() {
    let own = tree(&["--no-default-features", "--depth", "1"]);
    assert_eq!(names(&own), ["base64", "memchr", "serde", "serde_json", "zeroize"]);
    let all = tree(&["--no-default-features"]);
    let theirs: Vec<_> = names(&all).into_iter().filter(|name| !names(&own).contains(name)).collect();
    assert_eq!(theirs, ["itoa", "serde_core", "zmij"]);
}

#[test]
#[cfg(all(feature = "client", feature = "ring"))]
fn the_default_build_takes_eleven_crates_and_all_of_theirs_stay_within_a_budget() {
    // With this one they are 29: one more is a decision.
    const BUDGET: usize = 28;
    let own = tree(&["--depth", "1"]);
    assert_eq!(
        names(&own),
        [
            "base64",
            "bytes",
            "log",
            "memchr",
            "rustls",
            "rustls-pki-types",
            "serde",
            "serde_json",
            "ureq",
            "webpki-roots",
            "zeroize"
        ],
        "each earns its line in Cargo.toml"
    );
    let all = tree(&[]);
    assert!(all.len() <= BUDGET, "{} crates are more than {BUDGET}: {:?}", all.len(), names(&all));
}

#[test]
#[cfg(all(feature = "client", feature = "ring"))]
fn no_crate_is_in_the_default_build_twice() {
    let mut versions = BTreeMap::<_, Vec<_>>::new();
    for one in tree(&[]) {
        versions.entry(one.name).or_default().push(one.version);
    }
    versions.retain(|_, versions| versions.len() > 1);
    assert!(versions.is_empty(), "{versions:?}");
}

/// As the crates write them. A new one is to be read by a person before it is added.
#[cfg(all(feature = "cli", feature = "platform-verifier"))]
const LICENCES: [&str; 10] = [
    "Apache-2.0 AND ISC",
    "Apache-2.0 OR ISC OR MIT",
    "Apache-2.0 OR MIT",
    "Apache-2.0 WITH LLVM-exception OR Apache-2.0 OR MIT",
    "BSD-3-Clause",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT OR Apache-2.0",
    "Unlicense OR MIT",
];

#[test]
#[cfg(all(feature = "cli", feature = "platform-verifier"))]
fn every_crate_of_every_feature_has_a_licence_that_asks_for_no_more_than_its_text() {
    for one in tree(&["--all-features"]) {
        assert!(LICENCES.contains(&&*one.licence), "{} {}: {}", one.name, one.version, one.licence);
    }
}

/// The lock file has every crate of every feature, target and test.
fn lock_file() -> Vec<BTreeMap<String, String>> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.lock");
    let text = fs::read_to_string(path).unwrap();
    let field = |line: &str| {
        let (name, value) = line.split_once(" = ")?;
        Some((name.to_string(), value.trim_matches('"').to_string()))
    };
    let packages = text.split("[[package]]").skip(1);
    packages.map(|package| package.lines().filter_map(field).collect()).collect()
}

#[test]
fn no_async_runtime_is_in_the_tree_of_any_feature_or_target() {
    for package in lock_file() {
        let name = package["name"].as_str();
        let family = name.split('-').next().unwrap();
        let is_runtime = ["tokio", "async", "futures", "smol", "embassy", "glommio", "monoio"].contains(&family)
            || ["mio", "polling", "hyper", "h2", "reqwest", "actix"].contains(&family);
        assert!(!is_runtime, "{name}");
    }
}

#[test]
fn every_crate_comes_from_the_one_registry_with_a_checksum() {
    let mut sources = BTreeSet::new();
    for package in lock_file() {
        if package["name"] == env!("CARGO_PKG_NAME") {
            continue;
        }
        assert!(package.contains_key("checksum"), "{}", package["name"]);
        sources.insert(package["source"].clone());
    }
    assert!(sources.len() == 1 && sources.iter().all(|source| source.starts_with("registry+")), "{sources:?}");
}
