//! The heap, with a look at how much of it is used and at what is freed.

use core::alloc::{GlobalAlloc, Layout};
use core::slice;
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use cortex_m_semihosting::hprintln;
use embedded_alloc::LlffHeap;

const SIZE: usize = 48 * 1024;

/// How each share of the samples begins, decoded and in base64.
const MARKERS: [&[u8]; 2] = [br#"{"curve":""#, b"eyJjdXJ2ZSI6I"];

static HEAP: LlffHeap = LlffHeap::empty();
static PEAK: AtomicUsize = AtomicUsize::new(0);
static UNWIPED: AtomicUsize = AtomicUsize::new(0);

#[global_allocator]
static WATCHED: Watched = Watched;

struct Watched;

// SAFETY: every block comes from `HEAP` and goes back to it, with the layout that it was asked for.
unsafe impl GlobalAlloc for Watched {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the promises of `GlobalAlloc`. Zeroed, so that `dealloc` may read all of it.
        let block = unsafe { HEAP.alloc_zeroed(layout) };
        PEAK.fetch_max(HEAP.used(), Relaxed);
        block
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the block is the caller's last use of memory that `alloc` gave out, initialised and of this size.
        let bytes = unsafe { slice::from_raw_parts(block, layout.size()) };
        if MARKERS.iter().any(|marker| bytes.windows(marker.len()).any(|window| window == *marker)) {
            UNWIPED.fetch_add(1, Relaxed);
        }
        // SAFETY: as above.
        unsafe { HEAP.dealloc(block, layout) }
    }
}

/// To be called first, and once.
pub fn init() {
    // SAFETY: nothing was allocated before; a second call would panic.
    unsafe {
        embedded_alloc::init!(HEAP, SIZE);
    }
}

/// Does a step, prints how many bytes it took at the most, what the allocator adds included, and fails beyond a limit.
pub fn step<T>(what: &str, at_most: usize, step: impl FnOnce() -> T) -> T {
    let before = HEAP.used();
    PEAK.store(before, Relaxed);
    let result = step();
    let peak = PEAK.load(Relaxed) - before;
    hprintln!("peak heap: {peak} bytes for {what}");
    assert!(peak <= at_most, "more than {at_most}");
    result
}

pub fn used() -> usize {
    HEAP.used()
}

/// How many blocks were freed with a share in them.
pub fn unwiped() -> usize {
    UNWIPED.load(Relaxed)
}
