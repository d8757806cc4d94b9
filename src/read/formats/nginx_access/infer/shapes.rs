//! Formats of others than nginx's makers that are told by their shape.

use super::{FIELDS_MAX, Named, PROXY_NAMES, is_method, is_name_byte, is_stamp, is_status};
use std::borrow::Cow;

/// Values with labels between tabs (ltsv.org), as they stand: blanks are of the value, a tab of a client's is `\x09`.
pub(super) fn ltsv(line: &str) -> Option<Named<'_>> {
    memchr::memchr(b'\t', line.as_bytes())?;
    let mut named = Named::default();
    for field in line.split('\t').take(FIELDS_MAX) {
        let (label, value) = field.split_once(':')?;
        if label.is_empty() || !label.bytes().all(is_name_byte) {
            return None;
        }
        // Whose host it is: Apache's `%h`, which the labels are of, is the client.
        let label = match label {
            "host" if value.parse::<std::net::IpAddr>().is_ok() => "remote_addr",
            "apptime" => "upstream_response_time",
            "forwardedfor" => "http_x_forwarded_for",
            label => label,
        };
        named.push(label, value);
    }
    let has = |name: &&str| named.fields.iter().any(|(known, _)| known == name);
    let is_request = has(&"status") && ["req", "request", "method", "request_method"].iter().any(has);
    // An application's own log of its requests has none of them.
    let is_server = || LTSV_LABELS.iter().chain(PROXY_NAMES).any(has);
    (is_request && is_server()).then_some(named)
}

/// Labels of ltsv.org that only who speaks HTTP with the client has values for.
const LTSV_LABELS: &[&str] =
    &["req", "size", "reqsize", "referer", "ua", "vhost", "forwardedfor", "reqtime", "apptime", "runtime"];

/// The two formats of Nginx Proxy Manager, of a host that is passed on and of another:
/// `[02/Mar/2027:10:20:30 +0000] - 502 502 - GET https shop.example "/a" [Client 192.0.2.7] [Length 154] [Gzip -] [Sent-to app] "x" "-"`.
pub(super) fn proxy_manager(line: &str) -> Option<Named<'_>> {
    let (stamp, rest) = line.strip_prefix('[')?.split_once("] ")?;
    let (front, rest) = rest.split_once(" \"")?;
    let (target, rest) = rest.split_once("\" [Client ")?;
    let (client, rest) = rest.split_once("] [Length ")?;
    let (length, _) = rest.split_once("] [Gzip ")?;
    let (statuses, asked) = front.rsplit_once(" - ")?;
    let [method, _scheme, host] = <[&str; 3]>::try_from(asked.split(' ').collect::<Vec<_>>()).ok()?;
    let (before, status) = statuses.rsplit_once(' ').unwrap_or(("", statuses));
    if !is_stamp(stamp) || !is_method(method) || !is_status(status) || target.contains('"') {
        return None;
    }
    let mut named = Named::default();
    let fields = [
        ("time_local", stamp),
        ("status", status),
        ("request_method", method),
        ("request_uri", target),
        ("host", host),
        ("remote_addr", client),
        ("body_bytes_sent", length),
    ];
    named.fields.extend(fields.map(|(name, value)| (name, Cow::Borrowed(value))));
    // Behind the word of the cache, one or several.
    named.fields.extend(before.split_once(' ').map(|(_, of_upstream)| ("upstream_status", Cow::Borrowed(of_upstream))));
    Some(named)
}
