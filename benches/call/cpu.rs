//! What a call costs in CPU time, and where it may run. Elsewhere than on Linux: wall time, and anywhere.

#[cfg(target_os = "linux")]
mod imp {
    use std::time::Duration;

    use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
    use rustix::time::{ClockId, clock_gettime};

    /// CPU time of this process so far, threads that are gone included.
    pub(crate) fn time() -> Duration {
        clock_gettime(ClockId::ProcessCPUTime).try_into().unwrap()
    }

    /// Keeps this process, and those that it starts from here on, on one CPU.
    pub(crate) fn pin() {
        let allowed = sched_getaffinity(None).unwrap();
        let mut one = CpuSet::new();
        one.set((0..CpuSet::MAX_CPU).find(|&cpu| allowed.is_set(cpu)).unwrap());
        sched_setaffinity(None, &one).unwrap();
    }
}

#[cfg(not(target_os = "linux"))]
mod imp {
    use std::sync::LazyLock;
    use std::time::{Duration, Instant};

    pub(crate) fn time() -> Duration {
        static START: LazyLock<Instant> = LazyLock::new(Instant::now);
        START.elapsed()
    }

    pub(crate) fn pin() {}
}

pub(crate) use imp::{pin, time};
