//! Reading the two answers, dropping and wiping them included, beside serde_json and beside a mere copy of the text.
//!
//! `backup` is the answer that this crate receives, and owns from there on; `generate` is the text that a program
//! passes to it, and keeps.

#![allow(clippy::unwrap_used, reason = "a benchmark that fails must stop")]

mod inputs;

use divan::counter::BytesCount;
use divan::{AllocProfiler, Bencher, black_box};
use inputs::{CASES, Case};

#[global_allocator]
static ALLOC: AllocProfiler = AllocProfiler::system();

#[derive(serde::Deserialize)]
#[serde(rename_all = "UPPERCASE")]
struct MpcShares {
    secp256k1: MpcShare,
    ed25519: MpcShare,
}

#[derive(serde::Deserialize)]
struct MpcShare {
    share: String,
    id: String,
}

fn main() {
    for case in CASES {
        let text = case.text();
        let theirs: MpcShares = serde_json::from_str(&text).unwrap();
        let ours = portal_backup::wire::backup::response(200, None, text.clone().into_bytes()).unwrap();
        assert!(ours.secp256k1().expose_share() == theirs.secp256k1.share, "{case}");
        assert!(ours.ed25519().expose_share() == theirs.ed25519.share, "{case}");
        assert_eq!(ours.share_pair_ids(), [theirs.secp256k1.id, theirs.ed25519.id], "{case}");
        assert!(portal_backup::GenerateResponse::parse(&text).is_ok(), "{case}");
    }
    divan::main();
}

mod backup {
    use super::*;

    #[divan::bench(args = CASES)]
    fn portal_backup(bencher: Bencher<'_, '_>, case: Case) {
        let text = case.text();
        bencher
            .counter(BytesCount::of_str(&text))
            .with_inputs(|| text.clone().into_bytes())
            .bench_local_values(|body| {
                drop(black_box(portal_backup::wire::backup::response(200, None, black_box(body))));
            });
    }

    #[divan::bench(args = CASES)]
    fn serde_json(bencher: Bencher<'_, '_>, case: Case) {
        let text = case.text();
        bencher
            .counter(BytesCount::of_str(&text))
            .with_inputs(|| text.clone().into_bytes())
            .bench_local_values(|body| {
                drop(black_box(serde_json::from_slice::<MpcShares>(black_box(&body))));
            });
    }
}

mod generate {
    use super::*;

    #[divan::bench(args = CASES)]
    fn portal_backup(bencher: Bencher<'_, '_>, case: Case) {
        let text = case.text();
        bencher
            .counter(BytesCount::of_str(&text))
            .bench_local(|| drop(black_box(portal_backup::GenerateResponse::parse(black_box(&text)))));
    }

    #[divan::bench(args = CASES)]
    fn serde_json(bencher: Bencher<'_, '_>, case: Case) {
        let text = case.text();
        bencher
            .counter(BytesCount::of_str(&text))
            .bench_local(|| drop(black_box(serde_json::from_str::<MpcShares>(black_box(&text)))));
    }
}

#[divan::bench(args = CASES)]
fn memcpy(bencher: Bencher<'_, '_>, case: Case) {
    let text = case.text();
    bencher.counter(BytesCount::of_str(&text)).bench_local(|| drop(black_box(black_box(&text).clone())));
}
