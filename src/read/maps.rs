//! Hash maps whose keys strangers choose, at a fraction of the cost of SipHash: each map has a seed of its own, so that
//! nobody can choose keys that meet.

use foldhash::quality::RandomState;

/// A map. Its order differs from run to run, and nobody walks it.
pub type HashMap<K, V> = std::collections::HashMap<K, V, RandomState>;
/// A set, likewise.
pub type HashSet<K> = std::collections::HashSet<K, RandomState>;
