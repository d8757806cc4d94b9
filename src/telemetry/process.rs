//! What the system says of our own process.

use crate::clock;
use std::time::{Duration, Instant};

/// Ticks of a second in `/proc`: `USER_HZ`, 100 on every architecture of Linux (its `param.h`).
const TICKS: u64 = 100;

/// When it started, as far as it knows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Process {
    started: Instant,
}

impl Process {
    pub(super) fn now() -> Process {
        Process { started: clock::instant() }
    }

    pub(super) fn uptime(self) -> Duration {
        clock::instant().saturating_duration_since(self.started)
    }

    /// Of all threads, in user and kernel mode; `None` where there is no `/proc`.
    pub(super) fn cpu(self) -> Option<Duration> {
        cpu(&std::fs::read_to_string("/proc/self/stat").ok()?)
    }

    /// Resident memory in bytes; `None` where there is no `/proc`.
    pub(super) fn resident_bytes(self) -> Option<u64> {
        resident_bytes(&std::fs::read_to_string("/proc/self/status").ok()?)
    }
}

/// The name of a program may hold spaces and brackets; what follows its last one are numbers (proc_pid_stat(5)).
fn cpu(stat: &str) -> Option<Duration> {
    let mut fields = stat.get(stat.rfind(')')? + 1..)?.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(Duration::from_millis(user.checked_add(system)?.checked_mul(1_000 / TICKS)?))
}

/// `VmRSS:     12345 kB`.
fn resident_bytes(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()?.checked_mul(1_024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_proc_says() {
        let stat = "7 (why (502) x) S 1 7 7 0 -1 4194560 1 2 3 4 150 50 0 0 20 0 5 0 100 1 2";
        assert_eq!(cpu(stat), Some(Duration::from_secs(2)));
        assert_eq!(resident_bytes("Name:\tx\nVmRSS:\t   2048 kB\nThreads:\t1\n"), Some(2 << 20));
        for wrong in ["", "7 (x) S", "7 (x) S 1 2 3 4 5 6 7 8 9 10 a b"] {
            assert_eq!((cpu(wrong), resident_bytes(wrong)), (None, None), "{wrong}");
        }
        let process = Process::now();
        assert!(process.cpu().is_some() && process.resident_bytes().is_some_and(|bytes| bytes > 1 << 20));
    }
}
