//! The house has floors: every import between the files of `src` points down, and no two import each other; and it stays
//! small.
//!
//! `cargo test --test floors -- --nocapture` prints the floors.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

#[test]
fn every_import_points_down() {
    let floors = floors(&imports()).unwrap_or_else(|ring| panic!("these files import each other: {ring:?}"));
    for (number, floor) in floors.iter().enumerate().rev() {
        println!("{number}: {}", floor.join(", "));
    }
    let floor_of = |name: &str| floors.iter().position(|floor| floor.contains(&name.into())).unwrap();
    assert_eq!(floor_of("outcome"), 0, "it knows nothing");
    for (above, below) in
        [("client", "error"), ("error", "store"), ("store", "wire"), ("wire", "secret"), ("secret", "redact")]
    {
        assert!(floor_of(above) > floor_of(below), "{above} is not above {below}");
    }
}

#[test]
fn a_ring_is_found() {
    let ring = [("a", "b"), ("b", "c"), ("c", "b")];
    let mut imports = BTreeMap::<String, BTreeSet<String>>::new();
    for (from, to) in ring {
        imports.entry(from.into()).or_default().insert(to.into());
    }
    assert_eq!(floors(&imports), Err(vec!["a".into(), "b".into(), "c".into()]));
}

#[test]
fn the_client_alone_names_ureq_and_rustls() {
    for (name, source) in sources() {
        let names_them = source.lines().any(|line| {
            let code = line.split("//").next().unwrap_or_default();
            ["ureq::", "rustls::", "rustls_pki_types::"].iter().any(|name| code.contains(name))
        });
        assert!(!names_them || name == "client" || name.starts_with("client/"), "{name} names ureq or rustls");
    }
}

#[test]
fn src_stays_small() {
    const LIMIT: usize = 4_120;
    let lines = |name: &str, source: &str| {
        let is_code = |line: &&str| !line.trim().is_empty() && !line.trim_start().starts_with("//");
        (name.split('/').next().unwrap().to_string(), source.lines().filter(is_code).count())
    };
    let mut folders = BTreeMap::<_, usize>::new();
    for (folder, count) in files().iter().map(|(name, source)| lines(name, source)) {
        *folders.entry(folder).or_default() += count;
    }
    let all: usize = folders.values().sum();
    println!("{all} lines of code: {folders:?}");
    assert!(all <= LIMIT, "src has {all} lines of code, more than {LIMIT}: {folders:?}");
}

/// The files in floors, from those that import nothing up; or those that have none.
fn floors(imports: &BTreeMap<String, BTreeSet<String>>) -> Result<Vec<Vec<String>>, Vec<String>> {
    let mut left: BTreeSet<&String> = imports.keys().chain(imports.values().flatten()).collect();
    let mut floors = Vec::new();
    while !left.is_empty() {
        let has_none_above =
            |name: &&&String| imports.get(**name).is_none_or(|below| below.iter().all(|to| !left.contains(to)));
        let floor: Vec<_> = left.iter().filter(has_none_above).map(|name| (*name).clone()).collect();
        if floor.is_empty() {
            return Err(left.into_iter().cloned().collect());
        }
        left.retain(|name| !floor.contains(name));
        floors.push(floor);
    }
    Ok(floors)
}

/// Which files of the library each of them imports.
fn imports() -> BTreeMap<String, BTreeSet<String>> {
    let sources = sources();
    let mut imports = BTreeMap::new();
    for (name, source) in &sources {
        // The front page re-exports everything and is imported by nothing.
        if name == "lib" || name == "guide" {
            continue;
        }
        let mut below = BTreeSet::new();
        for path in paths(name, source) {
            // `crate::wire::backup::X` names the file of the longest part that is one.
            let parts: Vec<_> = path.split("::").collect();
            let file = (1..=parts.len()).rev().map(|n| parts[..n].join("/")).find(|f| sources.contains_key(f));
            if let Some(file) = file.filter(|file| file != name) {
                below.insert(file);
            }
        }
        imports.insert(name.clone(), below);
    }
    imports
}

/// Every path into this crate that code of a file names, from the crate's root.
fn paths(name: &str, source: &str) -> Vec<String> {
    let source: String = source
        .lines()
        .map(|line| line.split("//").next().unwrap_or_default())
        .filter(|line| !line.trim_start().starts_with("#!"))
        .collect::<Vec<_>>()
        .join(" ");
    let folder = if sources_folder(name) { name.to_string() } else { parent(name) };
    let mut found = Vec::new();
    for (prefix, base) in [("crate::", String::new()), ("super::", parent(name)), ("self::", folder.clone())] {
        for (at, _) in source.match_indices(prefix) {
            let is_word = source[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':');
            if !is_word {
                found.extend(expand(&source[at + prefix.len()..]).into_iter().map(|path| join(&base, &path)));
            }
        }
    }
    // `pub use config::X` of a folder's own file.
    for (at, _) in source.match_indices("use ") {
        let first = &source[at + 4..];
        if sources_folder(name) && !["crate::", "super::", "self::"].iter().any(|prefix| first.starts_with(prefix)) {
            found.extend(expand(first).into_iter().map(|path| join(&folder, &path)));
        }
    }
    found
}

/// The path at the beginning: `a::{b, C}` as `a::b` and `a::C`. Braces in braces are not looked into; rustfmt makes none.
fn expand(text: &str) -> Vec<String> {
    let end = text.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':')).unwrap_or(text.len());
    let (head, rest) = text.split_at(end);
    let Some(names) = rest.strip_prefix('{').filter(|_| head.ends_with("::")) else {
        return vec![head.into()];
    };
    let names = names[..names.find(['{', '}']).unwrap()].split(',').map(str::trim);
    names.map(|name| format!("{head}{name}")).collect()
}

fn join(base: &str, path: &str) -> String {
    if base.is_empty() { path.into() } else { format!("{}::{path}", base.replace('/', "::")) }
}

/// Where `super` of a file points: a folder's own file has the name of the folder.
fn parent(name: &str) -> String {
    name.rsplit_once('/').map(|(folder, _)| folder.to_string()).unwrap_or_default()
}

fn sources_folder(name: &str) -> bool {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(name).is_dir()
}

/// The library's files by name, without the command line.
fn sources() -> BTreeMap<String, String> {
    let mut sources = files();
    sources.retain(|name, _| !name.starts_with("bin/"));
    sources
}

/// All files of `src` by name, that of a folder standing for its `mod.rs`.
fn files() -> BTreeMap<String, String> {
    fn walk(folder: &Path, root: &Path, found: &mut BTreeMap<String, String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, root, found);
                continue;
            }
            if path.extension().is_none_or(|extension| extension != "rs") {
                continue;
            }
            let name = path.strip_prefix(root).unwrap().with_extension("");
            let name = if name.ends_with("mod") { name.parent().unwrap().to_path_buf() } else { name };
            let name = name.to_str().unwrap().replace('\\', "/");
            found.insert(name, fs::read_to_string(&path).unwrap());
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = BTreeMap::new();
    walk(&root, &root, &mut found);
    assert!(found.len() > 10, "where are the sources?");
    found
}
