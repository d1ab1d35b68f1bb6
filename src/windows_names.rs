//! Which file names Windows takes for something else than a file.

use std::ffi::OsStr;

/// Why no file of this name should be made on Windows: it would be refused, get another name, be part of another file,
/// or be a device. Windows notices some of these only when the file gets its name, which is after the shares were made.
///
/// What names a device differs between versions of Windows; this is what any of them may take for one. The name alone
/// counts, not its folder.
pub(crate) fn forbidden_on_windows(name: &OsStr) -> Option<&'static str> {
    let name = name.as_encoded_bytes();
    if name.contains(&b':') {
        return Some("names a stream of another file, for its `:`");
    }
    if name.iter().any(|b| b.is_ascii_control() && *b != 0x7f || br#"<>"/\|?*"#.contains(b)) {
        return Some("has a character that Windows allows in no file name");
    }
    if name.ends_with(b".") || name.ends_with(b" ") {
        return Some("ends with a dot or a space, which Windows takes away");
    }
    let stem = name.split(|&b| b == b'.').next().unwrap_or_default().trim_ascii_end();
    let is = |device: &&str| stem.eq_ignore_ascii_case(device.as_bytes());
    let is_port = |(port, number): (&[u8], &[u8])| {
        ["COM", "LPT"].iter().any(|name| port.eq_ignore_ascii_case(name.as_bytes()))
            && (matches!(number, [b'0'..=b'9']) || ["¹", "²", "³"].iter().any(|n| n.as_bytes() == number))
    };
    if ["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"].iter().any(is)
        || stem.split_at_checked(3).is_some_and(is_port)
    {
        return Some("names a device, whatever its extension");
    }
    None
}
