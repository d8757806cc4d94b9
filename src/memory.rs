//! One ceiling for everything that came in and has not gone out: bodies on their way in, what waits for a verdict or a
//! backend, and what is on its way to one.
//!
//! ```text
//!  memory::limit ─┬─ the program itself and the engine's tables: what their limits allow, kept aside
//!                 └─ data, with what an allocator adds ─┬─ bodies and requests that are worked on ─┐ one count
//!                                                       └─ queues and holds, at most seven eighths ┘
//! ```
//!
//! Past it senders are asked to come back. Limits of single listeners and queues hold beside it.

use crate::config::settings::{Config, MemoryLimit};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

const MIB: usize = 1 << 20;
/// Without a limit of the machine or of the configuration.
const DEFAULT_LIMIT: usize = 512 * MIB;
/// The program before anything comes in: its pages, its threads, connections.
const PROGRAM: usize = 32 * MIB;
/// One open request of the engine with its lines and what is in sight of it (`benches/storm.rs`).
const REQUEST_BYTES: usize = 4 << 10;
/// One remembered span.
const SPAN_BYTES: usize = 128;
/// One verdict that is kept for the query API.
const VERDICT_BYTES: usize = 4 << 10;
/// What the page keeps beside verdicts: its lines, those about processes, and documents that are being sent.
const PAGE: usize = 8 * MIB;
/// With less than this for data, senders would come back more often than be served.
const DATA_MIN: usize = 16 * MIB;

/// Bytes of data in memory, counted for all together.
#[derive(Clone, Debug)]
pub struct Memory(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    limit: usize,
    used: AtomicUsize,
}

/// What a configuration leaves for data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The whole program.
    pub limit: usize,
    /// Data, as it is counted.
    pub data: usize,
    /// The limits of the engine leave too little of it.
    pub is_tight: bool,
}

impl Plan {
    /// The largest request that can be taken. Received and decompressed it must fit into what there is, or it would be
    /// asked to come back for ever.
    pub fn request_bytes_max(&self) -> usize {
        self.data / 2
    }
}

/// Shares of a limit.
pub fn plan(config: &Config, machine: Option<usize>) -> Plan {
    let limit = match config.memory {
        MemoryLimit::Bytes(bytes) => bytes,
        // What the kernel counts for a container is more than what is resident: its page cache, sockets.
        MemoryLimit::Auto => machine.map_or(DEFAULT_LIMIT, |bytes| bytes / 10 * 9),
    };
    let processor = &config.processor;
    let is_explained = config.pipelines.iter().any(|pipeline| pipeline.explained);
    let tables = if is_explained {
        let requests = processor.requests_max.saturating_mul(REQUEST_BYTES);
        let spans = processor.spans_max.saturating_mul(SPAN_BYTES);
        requests.saturating_add(spans).saturating_add(processor.verdicts_max.saturating_mul(VERDICT_BYTES))
    } else {
        0
    };
    let page = if config.web.is_some() { PAGE } else { 0 };
    let left = limit.saturating_sub(PROGRAM).saturating_sub(tables).saturating_sub(page);
    // Allocators round up and keep what is free, and what is sent is compressed beside what is queued.
    let data = left / 3 * 2;
    Plan { limit, data: data.max(DATA_MIN), is_tight: data < DATA_MIN }
}

/// What the kernel lets the program have: the least limit of its control groups (version 2, else 1); `None` without one.
pub fn of_machine(root: &Path) -> Option<usize> {
    let read = |path: &Path| std::fs::read_to_string(path).ok();
    let groups = read(&root.join("proc/self/cgroup")).unwrap_or_default();
    let mut least: Option<usize> = None;
    for group in groups.lines() {
        let mut parts = group.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
        let (mount, file) = match controllers {
            "" => ("sys/fs/cgroup", "memory.max"),
            other if other.split(',').any(|name| name == "memory") => ("sys/fs/cgroup/memory", "memory.limit_in_bytes"),
            _ => continue,
        };
        // A container sees its own group as the root, whatever its path outside. Groups above have limits of their own.
        let own = root.join(mount).join(path.trim_start_matches('/'));
        for folder in own.ancestors().take_while(|folder| folder.starts_with(root.join(mount))) {
            let limit = read(&folder.join(file)).and_then(|text| text.trim().parse::<usize>().ok());
            // Version 1 writes "no limit" as a number that no machine has.
            let limit = limit.filter(|limit| *limit > 0 && *limit < usize::MAX / 4);
            least = least.into_iter().chain(limit).min();
        }
    }
    least
}

impl Memory {
    /// Room for so many bytes of data.
    pub fn new(limit: usize) -> Memory {
        Memory(Arc::new(Shared { limit, used: AtomicUsize::new(0) }))
    }

    /// No limit.
    pub fn unlimited() -> Memory {
        Memory::new(usize::MAX)
    }

    /// Bytes that are counted, and how many may be.
    pub fn used(&self) -> (usize, usize) {
        (self.0.used.load(Ordering::Relaxed), self.0.limit)
    }

    /// Counts bytes that come in; false, and nothing is counted, where there is no room.
    pub(crate) fn take(&self, bytes: usize) -> bool {
        let more = |used: usize| used.checked_add(bytes).filter(|sum| *sum <= self.0.limit);
        self.0.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }

    /// True when queues may grow by so much. They leave an eighth to what comes in: a body that is being read goes to a queue
    /// or nowhere, so that it must not wait for one.
    pub(crate) fn has_room(&self, bytes: usize) -> bool {
        let (used, limit) = self.used();
        used.saturating_add(bytes) <= limit - limit / 8
    }

    /// Counts what has been taken already.
    pub(crate) fn add(&self, bytes: usize) {
        let more = |used: usize| Some(used.saturating_add(bytes));
        let _ = self.0.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
    }

    /// Gives bytes back.
    pub(crate) fn give_back(&self, bytes: usize) {
        let less = |used: usize| Some(used.saturating_sub(bytes));
        let _ = self.0.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{EMBEDDED, read};

    #[test]
    fn bytes_are_counted_together_and_queues_leave_an_eighth() {
        let memory = Memory::new(800);
        assert!(memory.take(600) && memory.has_room(100) && !memory.has_room(101));
        assert!(memory.take(200) && !memory.take(1));
        memory.add(50);
        memory.give_back(850);
        assert_eq!(memory.used(), (0, 800));
        assert!(memory.take(800));
    }

    #[test]
    fn the_least_limit_of_the_control_groups_counts() {
        let directory = tempfile::tempdir().expect("a directory");
        let write = |path: &str, text: &str| {
            let path = directory.path().join(path);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("folders");
            std::fs::write(path, text).expect("a file");
        };
        assert_eq!(of_machine(directory.path()), None);
        write("proc/self/cgroup", "0::/kubepods/pod1/c1\n");
        write("sys/fs/cgroup/kubepods/pod1/c1/memory.max", "max\n");
        assert_eq!(of_machine(directory.path()), None);
        write("sys/fs/cgroup/kubepods/pod1/memory.max", "134217728\n");
        assert_eq!(of_machine(directory.path()), Some(128 * MIB));
        write("sys/fs/cgroup/memory.max", "67108864\n");
        assert_eq!(of_machine(directory.path()), Some(64 * MIB));
        write("proc/self/cgroup", "5:memory,cpu:/docker/x\n4:pids:/docker/x\n");
        assert_eq!(of_machine(directory.path()), None);
        write("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
        assert_eq!(of_machine(directory.path()), None);
        write("sys/fs/cgroup/memory/docker/x/memory.limit_in_bytes", "268435456\n");
        assert_eq!(of_machine(directory.path()), Some(256 * MIB));
    }

    #[test]
    fn shares_of_a_limit() {
        let mut config = read(EMBEDDED, &|_| None).expect("valid");
        let whole = plan(&config, None);
        assert_eq!(whole.limit, 512 * MIB);
        assert!(whole.data > 200 * MIB && whole.data < 300 * MIB, "{whole:?}");
        assert_eq!(plan(&config, Some(1_000 * MIB)).limit, 900 * MIB);
        config.memory = MemoryLimit::Bytes(80 * MIB);
        assert!(plan(&config, Some(1)).is_tight);
        config.processor.requests_max = 1_000;
        config.processor.spans_max = 10_000;
        let small = plan(&config, None);
        assert!(!small.is_tight && small.data < 24 * MIB, "{small:?}");
    }
}
