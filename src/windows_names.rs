//! Which file names Windows takes for something else than a file.

use std::ffi::OsStr;

/// Why no file of this name should be made on Windows: it would be refused, get another name, be part of another file,
/// or be a device. Windows notices some of these only when the file gets its name, which is after the shares were made.
///
/// The name alone counts, not its folder. What names a device differs between versions of Windows: this is what any of
/// them may take for one.
pub(crate) fn forbidden_on_windows(name: &OsStr) -> Option<&'static str> {
    let name = name.to_string_lossy();
    if name.contains(':') {
        return Some("names a stream of another file, for its `:`");
    }
    if name.contains(|c: char| c < ' ' || r#"<>"/\|?*"#.contains(c)) {
        return Some("has a character that Windows allows in no file name");
    }
    if name.ends_with(['.', ' ']) {
        return Some("ends with a dot or a space, which Windows takes away");
    }
    let stem = name.split('.').next().unwrap_or_default().trim_ascii_end().to_ascii_uppercase();
    let port = stem.strip_prefix("COM").or(stem.strip_prefix("LPT"));
    let is_number = |c: char| c.is_ascii_digit() || "¹²³".contains(c);
    let is_port = port.is_some_and(|number| number.chars().count() == 1 && number.contains(is_number));
    let is_device = is_port || ["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"].contains(&&*stem);
    is_device.then_some("names a device, whatever its extension")
}
