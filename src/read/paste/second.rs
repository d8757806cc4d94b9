//! Where a second record begins on one physical line.

use crate::read::client::is_quoted;
use crate::read::formats::nginx_error;

/// Where another record's head stands: ` [error] 12#12: ` after a stamp.
pub(in crate::read) fn head(bare: &str) -> Option<usize> {
    let behind = nginx_error::heads(bare).filter(|head| head.is_stamped && head.start > 0);
    behind.map(|head| head.start).find(|start| !is_quoted(bare, *start))
}
