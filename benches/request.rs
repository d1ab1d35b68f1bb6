//! Writing the body of a backup request, wiping it included, beside serde_json and beside a mere copy of the text.

#![allow(clippy::unwrap_used, reason = "a benchmark that fails must stop")]

mod inputs;

use divan::counter::BytesCount;
use divan::{AllocProfiler, Bencher, black_box};
use inputs::{CASES, Case};
use portal_backup::GenerateResponse;
use portal_backup::wire::backup;

#[global_allocator]
static ALLOC: AllocProfiler = AllocProfiler::system();

#[derive(serde::Serialize)]
struct BackupRequest<'a> {
    #[serde(rename = "generateResponse")]
    generate_response: &'a str,
}

fn main() {
    for case in CASES {
        let text = case.text();
        let ours = backup::request(&GenerateResponse::parse(&text).unwrap());
        let theirs = serde_json::to_vec(&BackupRequest { generate_response: &text }).unwrap();
        assert!(ours.to_bytes().expose() == theirs, "{case}: not what serde_json writes");
    }
    divan::main();
}

#[divan::bench(args = CASES)]
fn portal_backup(bencher: Bencher<'_, '_>, case: Case) {
    let text = case.text();
    let generate = GenerateResponse::parse(&text).unwrap();
    bencher
        .counter(BytesCount::of_str(&text))
        .bench_local(|| drop(black_box(backup::request(black_box(&generate)))));
}

#[divan::bench(args = CASES)]
fn serde_json(bencher: Bencher<'_, '_>, case: Case) {
    let text = case.text();
    let request = BackupRequest { generate_response: &text };
    bencher
        .counter(BytesCount::of_str(&text))
        .bench_local(|| drop(black_box(serde_json::to_vec(black_box(&request)))));
}

#[divan::bench(args = CASES)]
fn memcpy(bencher: Bencher<'_, '_>, case: Case) {
    let text = case.text();
    bencher.counter(BytesCount::of_str(&text)).bench_local(|| drop(black_box(black_box(&text).clone())));
}
