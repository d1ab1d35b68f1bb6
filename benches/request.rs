//! Making the body of a backup request, read into a buffer of 16 KB like that of a TLS record, beside serde_json.
//!
//! Prints a line for each text, and fails when the body is not what serde_json writes, allocates anything, or is made too
//! slowly. `cargo bench --bench request`.

#![allow(unsafe_code, reason = "an allocator cannot be written without")]
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark that fails must stop")]

mod inputs;

use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Instant;

use inputs::CASES;
use portal_backup::GenerateResponse;
use portal_backup::wire::backup;

/// How many times as fast as serde_json it must be at least, for each of the cases.
const AT_LEAST: [f64; 4] = [0.0, 8.0, 8.0, 0.0];

#[derive(serde::Serialize)]
struct BackupRequest<'a> {
    #[serde(rename = "generateResponse")]
    generate_response: &'a str,
}

struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;
static BLOCKS: AtomicUsize = AtomicUsize::new(0);
static BYTES: AtomicUsize = AtomicUsize::new(0);

// SAFETY: blocks are those of the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        BLOCKS.fetch_add(1, Relaxed);
        BYTES.fetch_add(layout.size(), Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        BLOCKS.fetch_add(1, Relaxed);
        BYTES.fetch_add(size, Relaxed);
        unsafe { System.realloc(block, layout, size) }
    }
}

fn main() {
    let mut buffer = vec![0; 16 << 10];
    println!("text                  serde_json        ours   times as fast   allocations: serde_json, ours");
    for (case, at_least) in CASES.into_iter().zip(AT_LEAST) {
        let text = case.text();
        let generate = GenerateResponse::parse(&text).unwrap();
        let request = BackupRequest { generate_response: &text };

        let theirs = serde_json::to_vec(&request).unwrap();
        let (mut ours, mut body) = (Vec::new(), backup::request(&generate).body());
        while let n @ 1.. = body.read(&mut buffer) {
            ours.extend_from_slice(&buffer[..n]);
        }
        assert!(ours == theirs, "{case}: not what serde_json writes");

        let (theirs, [their_blocks, their_bytes]) =
            measure(|| drop(black_box(serde_json::to_vec(black_box(&request)))));
        let (ours, [blocks, bytes]) = measure(|| {
            let mut body = backup::request(black_box(&generate)).body();
            while let 1.. = black_box(body.read(black_box(&mut buffer))) {}
        });
        println!(
            "{:<18} {theirs:>10.0} ns {ours:>8.0} ns {:>12.1}      {their_blocks} of {their_bytes} bytes, {blocks} of {bytes} bytes",
            case.to_string(),
            theirs / ours
        );
        assert_eq!([blocks, bytes], [0, 0], "{case}: the request is copied");
        assert!(theirs / ours >= at_least, "{case}: less than {at_least} times as fast");
    }
}

/// The shortest time of a call in nanoseconds, and the blocks and bytes that one call allocates.
fn measure(mut call: impl FnMut()) -> (f64, [usize; 2]) {
    const CALLS: u32 = 50;
    let mut shortest = f64::MAX;
    for _ in 0..200 {
        let start = Instant::now();
        (0..CALLS).for_each(|_| call());
        shortest = shortest.min(start.elapsed().as_nanos() as f64 / f64::from(CALLS));
    }
    let before = [&BLOCKS, &BYTES].map(|count| count.load(Relaxed));
    call();
    let after = [&BLOCKS, &BYTES].map(|count| count.load(Relaxed));
    (shortest, [after[0] - before[0], after[1] - before[1]])
}
