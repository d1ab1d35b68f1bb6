//! Reading a response, dropping and wiping it included, beside serde_json into owned structs.
//!
//! `warm` reads the same few bytes again and again; `cold` reads responses that are in no cache, as one is that has just
//! arrived. Prints a line for each text, and fails when a real one that is cold takes longer than with serde_json.
//! `cargo bench --bench response`.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark that fails must stop")]

mod inputs;

use std::hint::black_box;
use std::time::Instant;

use inputs::{CASES, Share};
use portal_backup::GenerateResponse;
use portal_backup::wire::backup;

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

/// Far more than a cache holds.
const COLD_BYTES: usize = 512 << 20;

type Read<'a> = &'a dyn Fn(Vec<u8>);

fn main() {
    println!("text                       serde_json   response, times as long   generate, times as long");
    for case in CASES {
        let text = case.text();
        let theirs: MpcShares = serde_json::from_str(&text).unwrap();
        let ours = backup::response(200, None, text.clone().into_bytes()).unwrap();
        assert!(ours.secp256k1().expose_share() == theirs.secp256k1.share, "{case}");
        assert!(ours.ed25519().expose_share() == theirs.ed25519.share, "{case}");
        assert_eq!(ours.share_pair_ids(), [theirs.secp256k1.id, theirs.ed25519.id], "{case}");

        let serde_json = |body: Vec<u8>| drop(black_box(serde_json::from_slice::<MpcShares>(&body)));
        let response = |body| drop(black_box(backup::response(200, None, body)));
        let generate = |body: Vec<u8>| drop(black_box(GenerateResponse::parse(std::str::from_utf8(&body).unwrap())));
        for (what, copies) in [("warm", 1), ("cold", COLD_BYTES / text.len())] {
            let reads: [Read<'_>; 3] = [&serde_json, &response, &generate];
            let [theirs, response, generate] = shortest(&text, copies, reads);
            println!(
                "{:<18} {what} {theirs:>10.0} ns {response:>12.0} ns {:>8.2} {generate:>14.0} ns {:>8.2}",
                case.to_string(),
                response / theirs,
                generate / theirs
            );
            let is_real = case.len == 15_500 && matches!(case.share, Share::Base64);
            assert!(!is_real || what == "warm" || response <= theirs, "{case}: slower than serde_json");
        }
    }
}

/// The shortest time of each, in nanoseconds for one text, of several rounds over so many copies.
fn shortest(text: &str, copies: usize, reads: [Read<'_>; 3]) -> [f64; 3] {
    let mut shortest = [f64::MAX; 3];
    for _ in 0..if copies == 1 { 2000 } else { 5 } {
        for (read, shortest) in reads.iter().zip(&mut shortest) {
            let bodies = vec![text.as_bytes().to_vec(); copies];
            let start = Instant::now();
            bodies.into_iter().for_each(read);
            *shortest = shortest.min(start.elapsed().as_nanos() as f64 / copies as f64);
        }
    }
    shortest
}
