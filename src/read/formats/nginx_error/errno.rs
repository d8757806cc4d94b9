//! What the `(N: text)` of a message says, whatever the platform.

use crate::read::evidence::NginxError;

/// The errors that tell failures apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Errno {
    Refused,
    Missing,
    Denied,
    Again,
    TimedOut,
    Unreachable,
    NoPort,
    Reset,
    Pipe,
    Files,
    Other,
}

/// errno by number where the number says it on its platform, by text where the number was lost. Numbers: Linux, then
/// BSD and macOS, then Windows (winsock2.h; its texts are in the language of the system). Texts: glibc, musl, BSD.
pub(super) fn errno(error: &NginxError) -> Errno {
    let text = error.code_text.as_str();
    match error.code {
        Some(111 | 61 | 10061) => Errno::Refused,
        Some(2) => Errno::Missing,
        Some(13 | 1 | 10013) => Errno::Denied,
        Some(11) => Errno::Again,
        Some(35) if text.starts_with("Resource temporarily") => Errno::Again,
        Some(110 | 60 | 10060) => Errno::TimedOut,
        Some(113 | 101 | 112 | 100 | 65 | 51 | 64 | 50 | 10050 | 10051 | 10064 | 10065) => Errno::Unreachable,
        // Windows has two more words for a host without a free port: 10048 for the address, 10055 for the queue.
        Some(99 | 49 | 10048 | 10049 | 10055) => Errno::NoPort,
        Some(104 | 54 | 10053 | 10054) => Errno::Reset,
        Some(32) => Errno::Pipe,
        Some(24 | 23 | 10024) => Errno::Files,
        _ => by_text(text, &error.message),
    }
}

fn by_text(text: &str, message: &str) -> Errno {
    const TEXTS: [(&str, Errno); 16] = [
        ("onnection refused", Errno::Refused),
        ("o such file", Errno::Missing),
        ("ermission denied", Errno::Denied),
        ("emporarily unavailable", Errno::Again),
        ("imed out", Errno::TimedOut),
        ("o route to host", Errno::Unreachable),
        ("ost is unreachable", Errno::Unreachable),
        ("etwork is unreachable", Errno::Unreachable),
        ("etwork unreachable", Errno::Unreachable),
        ("annot assign requested", Errno::NoPort),
        ("an't assign requested", Errno::NoPort),
        ("ddress not available", Errno::NoPort),
        ("reset by peer", Errno::Reset),
        ("roken pipe", Errno::Pipe),
        ("oo many open files", Errno::Files),
        ("o file descriptors", Errno::Files),
    ];
    let text = if text.is_empty() { message } else { text };
    TEXTS.iter().find(|(words, _)| text.contains(words)).map_or(Errno::Other, |(_, errno)| *errno)
}
