//! The public API, item by item: what changes here is a breaking change, and belongs into the changelog.
//!
//! `tests/autotraits.rs` holds the rest of the promise.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

/// Whatever is public is in the list, item by item: what is added there must be kept for long.
///
/// `PORTAL_BACKUP_UPDATE=1 cargo test --all-features --test api` writes the list anew.
#[test]
fn everything_public_is_in_the_list() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let list = root.join("tests/data/public_api.txt");
    let mut found = String::new();
    let mut names = Vec::new();
    files(&root.join("src"), &mut names);
    names.sort();
    for path in names {
        let name = path.strip_prefix(root.join("src")).unwrap().with_extension("").display().to_string();
        let source = fs::read_to_string(&path).unwrap();
        let items = public_items(&source);
        if !items.is_empty() {
            found += &format!("\n{name}\n{items}");
        }
    }
    if std::env::var_os("PORTAL_BACKUP_UPDATE").is_some() {
        fs::write(&list, &found).unwrap();
    }
    let listed = fs::read_to_string(&list).unwrap();
    let (found, listed): (Vec<_>, Vec<_>) = (found.lines().collect(), listed.lines().collect());
    let added: Vec<_> = found.iter().filter(|line| !listed.contains(line)).collect();
    let gone: Vec<_> = listed.iter().filter(|line| !found.contains(line)).collect();
    assert!(found == listed, "added: {added:#?}, gone: {gone:#?}");
}

#[test]
fn the_readme_and_the_front_page_show_the_same_program() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |name| fs::read_to_string(root.join(name)).unwrap();
    let program = |text: &str| {
        let from = text.find("use portal_backup::{ApiKey, Client, FileSlot").unwrap();
        text[from..from + text[from..].find("```").unwrap()].to_string()
    };
    let front_page: String = read("src/lib.rs")
        .lines()
        .filter_map(|line| line.strip_prefix("//!"))
        .map(|line| format!("{}\n", line.strip_prefix(' ').unwrap_or(line)))
        .collect();
    assert_eq!(program(&read("README.md")), program(&front_page));
    let tables = read("README.md") + &read("docs/platforms.md");
    for row in front_page.lines().filter(|line| line.starts_with("| `")) {
        assert!(tables.contains(row), "neither the README nor the guide on platforms has the row {row}");
    }
}

/// The files of the library, in folders and below.
fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("bin") {
            files(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

/// Each item that is `pub`, up to its body, and the variants of enums; the lints see to it that `pub` is public.
fn public_items(source: &str) -> String {
    let mut items = String::new();
    let mut in_enum = false;
    let mut lines = source.lines();
    while let Some(line) = lines.next() {
        let is_variant = in_enum && line.strip_prefix("    ").is_some_and(|rest| rest.starts_with(char::is_uppercase));
        if !is_variant && !line.trim_start().starts_with("pub ") {
            in_enum &= line != "}";
            continue;
        }
        in_enum |= line.starts_with("pub enum ");
        let mut item = line.trim().to_string();
        while !item.ends_with(['{', ';', ',', '}']) {
            item = format!("{item} {}", lines.next().unwrap().trim());
        }
        items += &format!("    {}\n", item.trim_end_matches(['{', ';', ',', ' ']));
    }
    items
}
