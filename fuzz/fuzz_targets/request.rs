//! Any text leaves in a request body as serde_json would write it.

#![no_main]

#[path = "../../tests/oracle/mod.rs"]
mod oracle;

libfuzzer_sys::fuzz_target!(|text: &str| {
    oracle::check_generate_response(text);
    let (first, second) = text.split_once('\0').unwrap_or((text, ""));
    oracle::check_confirm_request([first, second]);
});
