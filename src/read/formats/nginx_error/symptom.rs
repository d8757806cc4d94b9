//! What a line means for its request.

use super::errno::{Errno, errno};
use super::has;
use super::messages::{Kind, kind};
use crate::read::evidence::{NginxError, Symptom};
use crate::read::text::find;

/// What the line means for the request; `None` when it is about something else.
///
/// Decided by how the message begins: what follows may quote a path or a name that a client chose.
pub(super) fn symptom(error: &NginxError) -> Option<Symptom> {
    // The event methods that learn of it with the event say so (`ngx_http_upstream_test_connect`; kqueue on BSD and macOS).
    let message = error.message.strip_prefix("kevent() reported that connect() ").map_or_else(
        || error.message.as_str(),
        |_| error.message.get("kevent() reported that ".len()..).unwrap_or_default(),
    );
    let action = error.action.as_str();
    if is_of_no_request(message, action) {
        return None;
    }
    if is_unresolved(message) {
        return Some(Symptom::NameNotResolved);
    }
    if is_out_of_connections(message) {
        return Some(Symptom::NginxOutOfConnections);
    }
    match kind(message) {
        Some(Kind::Unresolved) => Some(Symptom::NameNotResolved),
        Some(Kind::Accept) if has(message, "failed") && action.starts_with("connecting to upstream") => {
            Some(connect_symptom(error))
        }
        Some(Kind::Accept) if has(message, "failed") => {
            (errno(error) == Errno::Files).then_some(Symptom::NginxOutOfFiles)
        }
        Some(Kind::ClientGone) => Some(Symptom::ClientClosed),
        Some(Kind::NoneLive) => Some(Symptom::NoLiveUpstreams),
        // `failed (111: ...) while connecting to upstream`: the call's name is lost.
        Some(Kind::Failed) if action.starts_with("connecting to upstream") => Some(connect_symptom(error)),
        Some(Kind::Connect) if has(message, "failed") && !action.starts_with("resolving") && !has(action, "OCSP") => {
            Some(connect_symptom(error))
        }
        Some(Kind::TimedOut) => Some(timeout_symptom(error)),
        Some(Kind::Certificate) => Some(Symptom::TlsCertificateRejected),
        Some(Kind::AheadOfHandshake) => Some(Symptom::TlsHandshakeFailed),
        kind if has(action, "SSL handshaking to upstream") || is_of_handshake(kind, error) => {
            let is_rejected = has(message, "certificate verify failed") || has(message, "upstream SSL certificate");
            Some(if is_rejected { Symptom::TlsCertificateRejected } else { Symptom::TlsHandshakeFailed })
        }
        kind => response_symptom(kind?, error),
    }
}

/// nginx's own errands, of which no request fails: the status of its certificate (OCSP stapling), a timer of Lua. An upgraded
/// connection that was idle for `proxy_read_timeout` has had its answer, 101.
fn is_of_no_request(message: &str, action: &str) -> bool {
    action.starts_with("requesting certificate status")
        || message.ends_with(", context: ngx.timer")
        || action == "proxying upgraded connection" && message.starts_with("upstream timed out")
}

/// `512 worker_connections are not enough`.
fn is_out_of_connections(message: &str) -> bool {
    message
        .strip_suffix("worker_connections are not enough")
        .is_some_and(|number| number.trim_end().bytes().all(|byte| byte.is_ascii_digit()))
}

/// `NAME could not be resolved (3: Host not found)`: a name holds neither blanks nor quotes.
fn is_unresolved(message: &str) -> bool {
    find(message, " could not be resolved")
        .and_then(|end| message.get(..end))
        .is_some_and(|name| !name.is_empty() && !name.contains(['"', '(']) && name.split(' ').count() <= 4)
}

/// True where the handshake is one with the upstream.
fn is_of_handshake(kind: Option<Kind>, error: &NginxError) -> bool {
    let is_alone = error.action.is_empty() && error.client.is_empty();
    match kind {
        Some(Kind::HandshakeClosed) => has(&error.action, "upstream") || is_alone,
        Some(Kind::Handshake) => error.upstream.is_some() || is_alone,
        _ => false,
    }
}

fn connect_symptom(error: &NginxError) -> Symptom {
    let unix =
        error.upstream.as_deref().is_some_and(|upstream| upstream.starts_with("unix:")) || has(&error.message, "unix:");
    match errno(error) {
        Errno::Refused => Symptom::ConnectRefused,
        Errno::Missing => Symptom::ConnectSocketMissing,
        Errno::Denied => Symptom::ConnectPermissionDenied,
        Errno::Again if unix || error.upstream.is_none() => Symptom::ConnectBacklogFull,
        Errno::TimedOut => Symptom::ConnectTimedOut,
        Errno::Unreachable => Symptom::ConnectUnreachable,
        Errno::NoPort => Symptom::ConnectNoLocalPort,
        Errno::Reset => Symptom::ResponseReset,
        Errno::Files => Symptom::NginxOutOfFiles,
        Errno::Again | Errno::Pipe | Errno::Other => Symptom::ConnectFailed,
    }
}

fn timeout_symptom(error: &NginxError) -> Symptom {
    let action = error.action.as_str();
    if has(action, "connecting to upstream") || has(&error.message, "while connecting") {
        Symptom::ConnectTimedOut
    } else if has(action, "SSL handshaking") {
        Symptom::TlsHandshakeFailed
    } else if action == "reading upstream" || has(action, "sending to client") {
        Symptom::ResponseTruncated
    } else {
        Symptom::ResponseTimedOut
    }
}

fn response_symptom(kind: Kind, error: &NginxError) -> Option<Symptom> {
    let action = error.action.as_str();
    let in_body = action.starts_with("reading upstream") || action == "sending to client";
    let before_or_after = |before: Symptom| Some(if in_body { Symptom::ResponseTruncated } else { before });
    match kind {
        Kind::HeaderTooBig => Some(Symptom::ResponseHeaderTooBig),
        Kind::ClosedEarly => before_or_after(Symptom::ResponseClosedEarly),
        Kind::Rejected => before_or_after(Symptom::ResponseReset),
        // A warning: nginx passes the answer on without that header (`ngx_http_upstream_process_header_line`, 1.23.0).
        Kind::Invalid if error.message.ends_with(", ignored") => None,
        Kind::Invalid => before_or_after(Symptom::ResponseHeaderInvalid),
        Kind::Call if has(action, "upstream") && !action.starts_with("resolving") => Some(match errno(error) {
            _ if in_body => Symptom::ResponseTruncated,
            _ if action.starts_with("sending request") => Symptom::RequestSendFailed,
            Errno::TimedOut => Symptom::ResponseTimedOut,
            _ => Symptom::ResponseReset,
        }),
        Kind::File if action.starts_with("reading upstream") && errno(error) != Errno::Missing => {
            Some(Symptom::ResponseTruncated)
        }
        _ => None,
    }
}
