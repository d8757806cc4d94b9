//! What the value of a variable looks like: it decides where a value ends when the text around it does not.

/// The form of a value. `-` and nothing fit each of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::read::formats) enum Shape {
    /// Anything.
    Text,
    /// No blank: names, ids, methods.
    Word,
    /// A name of a host: no blank and no slash.
    Host,
    /// `/path`, without a query.
    Path,
    /// `/path?query`.
    Target,
    /// `?` or nothing.
    QuestionMark,
    /// `GET /x HTTP/1.1`.
    Request,
    /// Digits.
    Digits,
    /// Digits, with a fraction or without.
    Decimal,
    /// Three digits.
    Status,
    /// `192.0.2.7`, `2001:db8::7`, `unix:`.
    Address,
    /// `192.0.2.7, 198.51.100.4`.
    Addresses,
    /// `29/Oct/2026:13:55:36 +0000`.
    TimeLocal,
    /// The same in brackets.
    TimeBracketed,
    /// `2026-10-29T13:55:36+00:00`.
    TimeIso,
    /// `p` or `.`.
    Pipe,
    /// `<42>`: Gunicorn's `%(p)s`.
    Pid,
    /// `$upstream_addr`: peers, with commas between attempts and ` : ` between rounds.
    PeerList,
    /// `$upstream_status`.
    StatusList,
    /// `$upstream_response_time` and its like.
    DecimalList,
    /// `$upstream_bytes_sent` and its like.
    DigitsList,
}

/// How much of the shapes still counts. A paste has masked values, and a map may put any text into a variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Tier {
    /// Every shape.
    All,
    /// Only what nginx itself formats: times, statuses, durations, peers.
    Sure,
    /// None; lists are still lists.
    None,
}

impl Tier {
    /// All, strictest first.
    pub(super) const EACH: [Tier; 3] = [Tier::All, Tier::Sure, Tier::None];
}

/// The shape of one of nginx's variables.
pub(in crate::read::formats) fn of_nginx(name: &str) -> Shape {
    match name {
        "remote_addr" | "realip_remote_addr" | "server_addr" | "proxy_protocol_addr" => Shape::Address,
        "http_x_forwarded_for" | "proxy_add_x_forwarded_for" | "http_x_real_ip" => Shape::Addresses,
        "time_local" => Shape::TimeLocal,
        "time_iso8601" => Shape::TimeIso,
        "msec" | "request_time" | "session_time" | "connection_time" => Shape::Decimal,
        "status" => Shape::Status,
        "request" => Shape::Request,
        "request_uri" => Shape::Target,
        "uri" | "document_uri" => Shape::Path,
        "is_args" => Shape::QuestionMark,
        "pipe" => Shape::Pipe,
        "body_bytes_sent"
        | "bytes_sent"
        | "bytes_received"
        | "request_length"
        | "connection"
        | "connection_requests"
        | "pid"
        | "remote_port"
        | "server_port"
        | "realip_remote_port"
        | "content_length"
        | "proxy_port" => Shape::Digits,
        "host" | "http_host" | "server_name" | "hostname" | "proxy_host" | "ssl_server_name" => Shape::Host,
        "request_method"
        | "scheme"
        | "server_protocol"
        | "request_id"
        | "req_id"
        | "otel_trace_id"
        | "otel_span_id"
        | "otel_parent_id"
        | "ssl_protocol"
        | "ssl_cipher"
        | "upstream_cache_status"
        | "http_traceparent"
        | "protocol"
        | "https"
        | "http2"
        | "http3"
        | "ssl_session_reused" => Shape::Word,
        "upstream_addr" => Shape::PeerList,
        "upstream_status" => Shape::StatusList,
        "upstream_bytes_received" | "upstream_bytes_sent" | "upstream_response_length" => Shape::DigitsList,
        _ if name.starts_with("upstream_") && name.ends_with("_time") => Shape::DecimalList,
        _ => Shape::Text,
    }
}

/// The shape of one of Gunicorn's atoms, and the name of nginx's variable for the same thing. Atoms that nginx has no
/// variable for keep their own name.
pub(in crate::read::formats) fn of_gunicorn(atom: &str) -> (String, Shape) {
    if let Some((header, kind)) = atom.strip_prefix('{').and_then(|rest| rest.rsplit_once('}')) {
        let name = header.to_ascii_lowercase().replace('-', "_");
        return match kind {
            "i" => (format!("http_{name}"), Shape::Text),
            "o" => (format!("sent_http_{name}"), Shape::Text),
            _ => (name, Shape::Text),
        };
    }
    let (name, shape) = match atom {
        "h" => ("remote_addr", Shape::Address),
        "u" => ("remote_user", Shape::Text),
        "t" => ("time_local", Shape::TimeBracketed),
        "r" => ("request", Shape::Request),
        "s" => ("status", Shape::Status),
        "m" => ("request_method", Shape::Word),
        "U" => ("uri", Shape::Path),
        "q" => ("args", Shape::Text),
        "H" => ("server_protocol", Shape::Word),
        "b" | "B" => ("body_bytes_sent", Shape::Digits),
        "f" => ("http_referer", Shape::Text),
        "a" => ("http_user_agent", Shape::Text),
        "p" => ("pid", Shape::Pid),
        "T" | "D" | "M" => (atom, Shape::Digits),
        "L" => (atom, Shape::Decimal),
        other => (other, Shape::Text),
    };
    (name.to_owned(), shape)
}

impl Shape {
    /// What still counts of the shape on a tier.
    pub(super) fn on(self, tier: Tier) -> Shape {
        let sure = matches!(
            self,
            Shape::Status
                | Shape::TimeLocal
                | Shape::TimeBracketed
                | Shape::TimeIso
                | Shape::Decimal
                | Shape::PeerList
                | Shape::StatusList
                | Shape::DecimalList
        );
        match tier {
            Tier::All => self,
            Tier::Sure if sure => self,
            Tier::Sure if self == Shape::DigitsList => Shape::PeerList,
            Tier::Sure => Shape::Text,
            Tier::None if self.is_list() => Shape::PeerList,
            Tier::None => Shape::Text,
        }
    }

    /// Lists of attempts.
    pub(super) fn is_list(self) -> bool {
        matches!(self, Shape::PeerList | Shape::StatusList | Shape::DecimalList | Shape::DigitsList)
    }

    /// True when no client can put a text of its own choice into such a value: nginx formats it.
    pub(super) fn is_safe(self) -> bool {
        matches!(
            self,
            Shape::Status
                | Shape::TimeLocal
                | Shape::TimeBracketed
                | Shape::TimeIso
                | Shape::Decimal
                | Shape::Digits
                | Shape::Address
                | Shape::Pipe
                | Shape::Pid
        )
    }

    /// True for a byte that such a value may hold.
    pub(super) fn takes(self, byte: u8) -> bool {
        match self {
            Shape::Text | Shape::Request => true,
            Shape::Word => !byte.is_ascii_whitespace(),
            Shape::Host => !byte.is_ascii_whitespace() && byte != b'/',
            Shape::Path => byte != b'?',
            Shape::Target => !byte.is_ascii_whitespace(),
            Shape::QuestionMark => byte == b'?',
            Shape::Digits | Shape::Status | Shape::DigitsList | Shape::StatusList => {
                byte.is_ascii_digit() || byte == b'-'
            }
            Shape::Decimal | Shape::DecimalList => byte.is_ascii_digit() || matches!(byte, b'.' | b'-'),
            Shape::Address => byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b':' | b'-' | b'%'),
            Shape::Addresses => {
                byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b':' | b'-' | b'%' | b',' | b' ' | b'[' | b']')
            }
            Shape::TimeLocal => byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b':' | b' ' | b'+' | b'-'),
            Shape::TimeBracketed => {
                byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b':' | b' ' | b'+' | b'-' | b'[' | b']')
            }
            Shape::TimeIso => byte.is_ascii_digit() || matches!(byte, b'-' | b'+' | b':' | b'T' | b'Z' | b'.'),
            Shape::Pipe => matches!(byte, b'p' | b'.' | b'-'),
            Shape::Pid => byte.is_ascii_digit() || matches!(byte, b'<' | b'>' | b'-'),
            Shape::PeerList => {
                !byte.is_ascii_whitespace()
                    && !matches!(
                        byte,
                        b',' | b';' | b'|' | b'(' | b')' | b'{' | b'}' | b'<' | b'>' | b'=' | b'"' | b'\''
                    )
            }
        }
    }

    /// True for a value of this shape; its bytes were taken already.
    pub(super) fn fits(self, value: &[u8]) -> bool {
        if value.is_empty() || value == b"-" {
            return true;
        }
        match self {
            Shape::Text | Shape::Word | Shape::Host | Shape::QuestionMark => true,
            Shape::Target | Shape::Path => value.starts_with(b"/") || value.starts_with(b"http") || value == b"*",
            Shape::Request => is_request(value),
            Shape::Digits => value.iter().all(u8::is_ascii_digit),
            Shape::Decimal => is_decimal(value),
            Shape::Status => value.len() == 3 && value.iter().all(u8::is_ascii_digit),
            Shape::Address => is_address(value),
            Shape::Addresses => value.split(|byte| *byte == b',').all(|part| is_address(part.trim_ascii())),
            Shape::TimeLocal => is_time_local(value),
            Shape::TimeBracketed => {
                value.strip_prefix(b"[").and_then(|rest| rest.strip_suffix(b"]")).is_some_and(is_time_local)
            }
            Shape::TimeIso => value.len() >= 19 && value.get(4) == Some(&b'-') && value.get(10) == Some(&b'T'),
            Shape::Pipe => value == b"p" || value == b".",
            Shape::Pid => value.starts_with(b"<") && value.ends_with(b">"),
            Shape::PeerList | Shape::StatusList | Shape::DecimalList | Shape::DigitsList => false,
        }
    }

    /// True for one element of a list.
    pub(super) fn fits_element(self, element: &[u8]) -> bool {
        if element.is_empty() || element == b"-" {
            return true;
        }
        match self {
            Shape::StatusList => element.len() == 3 && element.iter().all(u8::is_ascii_digit),
            Shape::DecimalList => is_decimal(element),
            Shape::DigitsList => element.iter().all(u8::is_ascii_digit),
            _ => true,
        }
    }

    /// The value without what Gunicorn puts around it.
    pub(super) fn inside(self, value: &[u8]) -> &[u8] {
        let (open, close): (&[u8], &[u8]) = match self {
            Shape::TimeBracketed => (b"[", b"]"),
            Shape::Pid => (b"<", b">"),
            _ => return value,
        };
        value.strip_prefix(open).and_then(|rest| rest.strip_suffix(close)).unwrap_or(value)
    }
}

fn is_decimal(value: &[u8]) -> bool {
    let mut halves = value.splitn(2, |byte| *byte == b'.');
    let digits = |half: &[u8]| !half.is_empty() && half.iter().all(u8::is_ascii_digit);
    halves.next().is_some_and(digits) && halves.next().is_none_or(digits)
}

/// `GET /x HTTP/1.1`. What nginx could not parse is logged as it came, and is left to the last tier.
fn is_request(value: &[u8]) -> bool {
    let method = value.iter().take_while(|byte| byte.is_ascii_uppercase() || matches!(byte, b'_' | b'-')).count();
    let protocol = memchr::memrchr(b' ', value).and_then(|index| value.get(index + 1..));
    method > 0 && value.get(method) == Some(&b' ') && protocol.is_some_and(|protocol| protocol.starts_with(b"HTTP/"))
}

fn is_address(value: &[u8]) -> bool {
    if value == b"unix:" {
        return true;
    }
    let value = value.strip_prefix(b"[").unwrap_or(value);
    let digits = value.first().is_some_and(u8::is_ascii_hexdigit) || value.first() == Some(&b':');
    digits && value.iter().any(|byte| matches!(byte, b'.' | b':'))
}

fn is_time_local(value: &[u8]) -> bool {
    value.get(2) == Some(&b'/') && value.get(6) == Some(&b'/') && value.get(11) == Some(&b':') && value.len() <= 27
}
