//! What nginx says about upstreams: the one list of how its messages begin.
//!
//! From `ngx_event_connect.c`, `ngx_http_upstream.c`, `ngx_event_openssl.c`, `ngx_resolver.c`, `ngx_connection.c`. The meaning
//! of a line ([`super::symptom`]), a message without its head and a message inside other words are looked up here.

use aho_corasick::{AhoCorasick, MatchKind};
use std::sync::LazyLock;

/// What a message is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Connect,
    TimedOut,
    ClosedEarly,
    HeaderTooBig,
    Rejected,
    /// Bytes came before the TLS handshake began: the port does not wait for one.
    AheadOfHandshake,
    Invalid,
    Certificate,
    /// A call on a connection failed.
    Call,
    Handshake,
    HandshakeClosed,
    NoneLive,
    Unresolved,
    ClientGone,
    /// A call on a listening socket: its message names the address (`socket() 0.0.0.0:80 failed`).
    Accept,
    /// A call on a file.
    File,
    /// A number stands before it.
    BehindNumber,
    /// A name stands before it: `<name>` or one word.
    BehindName,
    /// What is left when the call itself is lost.
    Failed,
    /// No failure.
    Other,
}

/// A message.
struct Message {
    words: &'static str,
    kind: Kind,
    /// Nobody else says so: it is known inside other words and without its head.
    is_known_inside: bool,
}

const fn inside(words: &'static str, kind: Kind) -> Message {
    Message { words, kind, is_known_inside: true }
}

const fn first(words: &'static str, kind: Kind) -> Message {
    Message { words, kind, is_known_inside: false }
}

/// All of them; where one begins as another does, the longer stands first.
const MESSAGES: [Message; 49] = [
    inside("connect() to ", Kind::Connect),
    inside("connect() failed", Kind::Connect),
    first("connect() ", Kind::Connect),
    inside("upstream timed out", Kind::TimedOut),
    inside("upstream prematurely closed", Kind::ClosedEarly),
    first("upstream prematurely sent response", Kind::AheadOfHandshake),
    inside("upstream closed prematurely FastCGI", Kind::ClosedEarly),
    inside("upstream closed prematurely", Kind::Other),
    inside("upstream sent too big header", Kind::HeaderTooBig),
    inside("upstream sent too big early hints", Kind::HeaderTooBig),
    inside("upstream sent more data", Kind::Other),
    inside("upstream sent data after final", Kind::Other),
    inside("upstream sent goaway", Kind::Rejected),
    first("upstream rejected request", Kind::Rejected),
    inside("upstream sent ", Kind::Invalid),
    first("upstream violated ", Kind::Invalid),
    // What the client sent is too long for nginx to pass on.
    first("too long http2", Kind::Other),
    inside("upstream SSL certificate", Kind::Certificate),
    inside("upstream server temporarily disabled", Kind::Other),
    inside("recv() failed", Kind::Call),
    inside("readv() failed", Kind::Call),
    first("read() failed", Kind::Call),
    inside("writev() failed", Kind::Call),
    inside("send() failed", Kind::Call),
    inside("sendfile() failed", Kind::Call),
    first("sendfilev() failed", Kind::Call),
    inside("SSL_read() failed", Kind::Call),
    inside("SSL_write() failed", Kind::Call),
    first("WSARecv() failed", Kind::Call),
    first("WSASend() failed", Kind::Call),
    inside("SSL_do_handshake() failed", Kind::Handshake),
    inside("peer closed connection in SSL handshake", Kind::HandshakeClosed),
    inside("no live upstreams", Kind::NoneLive),
    inside("no resolver defined", Kind::Unresolved),
    inside("host not found in upstream", Kind::Unresolved),
    inside("client prematurely closed connection", Kind::ClientGone),
    inside("epoll_wait() reported that client prematurely", Kind::ClientGone),
    first("epoll_wait reported that client prematurely", Kind::ClientGone),
    first("kevent() reported that client prematurely", Kind::ClientGone),
    first("accept4() failed", Kind::Accept),
    first("accept() failed", Kind::Accept),
    first("socket() ", Kind::Accept),
    first("open() \"", Kind::File),
    first("pwrite() \"", Kind::File),
    first("mkdir() \"", Kind::File),
    inside("worker_connections are not enough", Kind::BehindNumber),
    inside("could not be resolved (", Kind::BehindName),
    inside("failed (", Kind::Failed),
    inside("failed because connection to backend", Kind::Other),
];

/// What a message is about, by how it begins: what follows may quote a path or a name that a client chose.
pub(super) fn kind(message: &str) -> Option<Kind> {
    MESSAGES.iter().find(|known| message.starts_with(known.words)).map(|known| known.kind)
}

/// How messages about a failure begin that are known inside other words.
#[cfg(test)]
pub(in crate::read) fn known_inside() -> impl Iterator<Item = &'static str> {
    let is_whole = |known: &&Message| known.is_known_inside && !matches!(known.kind, Kind::Failed | Kind::Other);
    MESSAGES.iter().filter(is_whole).map(|known| known.words)
}

/// Bytes of a line in which a message is looked for; it stands near the front of whatever holds it.
const SEARCH_BYTES_MAX: usize = 4_096;

/// Where the first message begins in a text.
pub(in crate::read) fn find(line: &str) -> Option<usize> {
    static INSIDE: LazyLock<(Vec<Kind>, Option<AhoCorasick>)> = LazyLock::new(|| {
        let known = || MESSAGES.iter().filter(|known| known.is_known_inside);
        let words = known().map(|known| known.words);
        let search = AhoCorasick::builder().match_kind(MatchKind::LeftmostFirst).build(words).ok();
        (known().map(|known| known.kind).collect(), search)
    });
    let (kinds, search) = &*INSIDE;
    let end = (0..=line.len().min(SEARCH_BYTES_MAX)).rev().find(|end| line.is_char_boundary(*end))?;
    let text = line.get(..end)?;
    search.as_ref()?.find_iter(text).find_map(|found| {
        let (before, rest) = (line.get(..found.start())?, line.get(found.end()..)?);
        match kinds.get(found.pattern().as_usize())? {
            Kind::BehindName => Some(name_before(before)),
            Kind::BehindNumber => Some(number_before(before)),
            Kind::Failed => is_failure_tail(rest).then_some(found.start()),
            _ => Some(found.start()),
        }
    })
}

/// True where a message begins a text.
pub(in crate::read) fn begins(text: &str) -> bool {
    find(text) == Some(0)
}

/// `111: Connection refused) while connecting to upstream`: the call before it is lost.
fn is_failure_tail(rest: &str) -> bool {
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    digits > 0
        && rest.get(digits..).is_some_and(|rest| rest.starts_with(':'))
        && rest.contains(") while connecting to upstream")
}

fn name_before(text: &str) -> usize {
    let text = text.trim_end();
    if text.ends_with('>')
        && let Some(open) = text.rfind('<')
    {
        return open;
    }
    text.rfind(' ').map_or(0, |index| index + 1)
}

fn number_before(text: &str) -> usize {
    let trimmed = text.trim_end();
    trimmed.len() - trimmed.bytes().rev().take_while(u8::is_ascii_digit).count()
}
