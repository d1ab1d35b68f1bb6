//! Any text leaves in a request body as serde_json would write it, through buffers of any sizes.

#![no_main]

#[path = "../../tests/oracle/mod.rs"]
mod oracle;

libfuzzer_sys::fuzz_target!(|text: &str| {
    let sizes: Vec<_> = text.bytes().take(8).map(usize::from).collect();
    oracle::check_generate_response(text, &sizes);
    let (first, second) = text.split_once('\0').unwrap_or((text, ""));
    oracle::check_confirm_request([first, second], &sizes);
});
