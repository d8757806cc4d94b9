//! Which addresses are of which `upstream` block: a request that ran out of servers names the block, and its attempts before name
//! its servers.
//!
//! ```text
//!  *41 connect() failed (111: Connection refused) ... upstream: "http://10.0.0.3:8000/cart"
//!  *41 no live upstreams ...                          upstream: "http://shop/cart"            shop: 10.0.0.3:8000
//! ```

use crate::read::address::{AddressMatch, compare};
use crate::read::nginx_conf::NginxConf;
use std::collections::BTreeMap;

/// Blocks of one nginx that are remembered.
const GROUPS_MAX: usize = 256;
/// Servers of one block that are remembered.
const SERVERS_MAX: usize = 64;

/// Blocks by their names, with their servers as far as lines told of them.
#[derive(Debug, Default)]
pub(super) struct Groups {
    servers: BTreeMap<Box<str>, Vec<Box<str>>>,
}

impl Groups {
    /// A request to this block had tried this server.
    pub(super) fn learn(&mut self, group: &str, server: &str) {
        if !self.servers.contains_key(group) && self.servers.len() >= GROUPS_MAX {
            return;
        }
        let servers = self.servers.entry(group.into()).or_default();
        if servers.len() < SERVERS_MAX && !servers.iter().any(|known| **known == *server) {
            servers.push(server.into());
        }
    }

    /// Whether an address is a server of this block; `None` where nobody told.
    pub(super) fn has(&self, group: &str, address: &str, conf: Option<&NginxConf>) -> Option<bool> {
        let block = conf.and_then(|conf| conf.upstreams.iter().find(|block| block.name == group));
        if let Some(block) = block {
            return Some(block.servers.iter().any(|server| compare(address, server) >= AddressMatch::Maybe));
        }
        if let Some(servers) = self.servers.get(group) {
            // Its other servers may have failed long before.
            return servers
                .iter()
                .any(|server| **server == *address)
                .then_some(true)
                .or_else(|| self.is_of_other(group, address));
        }
        self.is_of_other(group, address)
    }

    /// `Some(false)` for a server of another block.
    fn is_of_other(&self, group: &str, address: &str) -> Option<bool> {
        let mut others = self.servers.iter().filter(|(name, _)| &***name != group);
        others.any(|(_, servers)| servers.iter().any(|server| **server == *address)).then_some(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_of_the_block_that_told_of_it() {
        let mut groups = Groups::default();
        assert_eq!(groups.has("shop", "10.0.0.3:8000", None), None);
        groups.learn("shop", "10.0.0.3:8000");
        assert_eq!(groups.has("shop", "10.0.0.3:8000", None), Some(true));
        assert_eq!(groups.has("billing", "10.0.0.3:8000", None), Some(false));
        assert_eq!(groups.has("shop", "10.0.0.4:8000", None), None, "a server of it that has not failed yet");
        let conf = NginxConf::read(
            "nginx.conf",
            "http { upstream shop { server app:8000; } upstream billing { server unix:/run/b.sock; } }",
            &mut |_| Ok(Vec::new()),
        );
        assert_eq!(groups.has("shop", "10.0.0.4:8000", Some(&conf)), Some(true), "it resolves the name");
        assert_eq!(groups.has("billing", "10.0.0.3:8000", Some(&conf)), Some(false));
    }

    #[test]
    fn a_client_of_any_name_takes_no_more_memory() {
        let mut groups = Groups::default();
        for number in 0..2 * GROUPS_MAX {
            groups.learn(&format!("group{number}"), "10.0.0.3:8000");
            groups.learn("group1", &format!("10.0.0.3:{number}"));
        }
        assert_eq!(groups.servers.len(), GROUPS_MAX);
        assert_eq!(groups.servers["group1"].len(), SERVERS_MAX);
    }
}
