//! Names that Windows takes for something else than a file; told on every system alike.

#[path = "../src/windows_names.rs"]
mod windows_names;

use std::ffi::OsStr;

use windows_names::forbidden_on_windows;

/// What is wrong with it, in a few words.
#[track_caller]
fn assert_forbidden(names: &[&str], why: &str) {
    for name in names {
        let said = forbidden_on_windows(OsStr::new(name));
        assert!(said.is_some_and(|said| said.contains(why)), "{name:?}: {said:?}");
    }
}

#[test]
fn devices_have_many_names() {
    let names = ["NUL", "nul", "Con", "PRN", "AUX", "CONIN$", "conout$", "COM1", "com9", "LPT1", "lpt9", "COM0"];
    assert_forbidden(&names, "device");
    assert_forbidden(&["COM¹", "com²", "COM³", "LPT¹", "lpt²", "LPT³"], "device");
    assert_forbidden(&["NUL.json", "nul.tar.gz", "NUL .json", "COM1  .txt", "con..x", "Aux.", "LPT1 "], "");
    assert_forbidden(&["NUL.json", "nul.tar.gz", "NUL .json", "COM1  .txt", "con..x", "lpt³.x"], "device");
}

#[test]
fn a_colon_makes_a_stream() {
    assert_forbidden(&["backup.json:", "ab:c", ":c", "ab:c:$DATA", "NUL:", "a:b", "c:"], "stream");
}

#[test]
fn some_characters_are_in_no_name() {
    for c in (1..32).map(char::from).chain("<>\"/\\|?*\0".chars()) {
        assert_forbidden(&[&format!("a{c}b"), &format!("{c}"), &format!("{c}.json")], "character");
    }
}

#[test]
fn what_is_taken_away_from_the_end_is_no_part_of_a_name() {
    assert_forbidden(&["backup.", "backup ", "backup. ", "backup .", "...", " ", ".", ".."], "ends with");
}

#[test]
fn all_else_is_a_name() {
    let plain = ["backup.json", ".json", "a b", " a", "ä€😀", "a\u{7f}b", "~$x", "x;y,z=[{(!@#%^&+'`", "CLOCK$"];
    let like_devices =
        ["NULL", "NU", "xNUL", "x.NUL", "COM", "COM10", "COMA", "COM⁴", "CONIN", "LPT", "LPT 1", "A.COM1"];
    for name in plain.into_iter().chain(like_devices) {
        assert_eq!(forbidden_on_windows(OsStr::new(name)), None, "{name:?}");
    }
    assert_eq!(forbidden_on_windows(OsStr::new(&"n".repeat(255))), None);
}
