//! Where a second record begins on one physical line.

use crate::read::client::is_quoted;
use crate::read::formats::nginx_error;

/// Where another record's head stands: ` [error] 12#12: ` after a stamp.
pub(in crate::read) fn head(bare: &str) -> Option<usize> {
    for level in [" [error] ", " [crit] ", " [alert] ", " [warn] ", " [emerg] "] {
        for (index, _) in bare.match_indices(level) {
            let start = index.checked_sub(19)?;
            if start > 0 && bare.get(start..).is_some_and(nginx_error::has_head) && !is_quoted(bare, start) {
                return Some(start);
            }
        }
    }
    None
}
