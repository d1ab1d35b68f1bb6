//! Any response that is no success is told in bounds and without a character that does not print.

#![no_main]

#[path = "../../tests/oracle/mod.rs"]
mod oracle;

libfuzzer_sys::fuzz_target!(|input: (u16, Option<&str>, &[u8])| {
    let (status, retry_after, body) = input;
    oracle::check_refusal(status % 1000, retry_after, body);
    oracle::check_refusal(400, retry_after, body);
});
