//! What nginx's words about an upstream over HTTP/2 tell (`ngx_http_proxy_v2_module.c` since 1.29.4, `ngx_http_grpc_module.c`).

use super::Case;
use std::borrow::Cow;

/// What the upstream spoke where nginx looked for a frame of HTTP/2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spoken {
    /// The first letters of `HTTP/1.1`.
    Http1,
    /// The head of a TLS alert.
    Tls,
    /// Some other text.
    Text,
}

/// The upstream's own word that it does not take or does not finish the request: GOAWAY or RST_STREAM, with its code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal(u32);

/// Codes of RFC 9113, section 7.
const NO_ERROR: u32 = 0;
const REFUSED_STREAM: u32 = 7;
const CANCEL: u32 = 8;
const HTTP_1_1_REQUIRED: u32 = 13;

impl Refusal {
    /// True where the upstream asks for HTTP/1.1.
    pub fn wants_http1(self) -> bool {
        self.0 == HTTP_1_1_REQUIRED
    }

    /// True where a server that stops would say the same.
    pub fn may_be_stop(self) -> bool {
        matches!(self.0, NO_ERROR | REFUSED_STREAM | CANCEL)
    }

    /// What its code says, for people.
    pub fn words(self) -> Cow<'static, str> {
        let told = match self.0 {
            NO_ERROR => {
                "the upstream lives and closed this connection in good order (0): it stops or reloads, or the connection had reached its limit of age or of requests"
            }
            1 => "the upstream lives and says that nginx broke the protocol (1)",
            2 => "the upstream lives and gave this request up for an error of its own (2)",
            3 => "the upstream lives and says that nginx broke its flow control (3)",
            REFUSED_STREAM => {
                "the upstream lives and refused this request before it looked at it (7): it has no room for more, or stops"
            }
            CANCEL => "the upstream lives and gave this request up (8)",
            11 => "the upstream lives and says that nginx asks too much (11): a limit of the upstream",
            HTTP_1_1_REQUIRED => "the upstream lives and wants HTTP/1.1 (13)",
            code => {
                return Cow::Owned(format!("the upstream lives and refused this request with error {code} of HTTP/2"));
            }
        };
        Cow::Borrowed(told)
    }
}

impl Case<'_> {
    /// The upstream said over HTTP/2 that it does not take or finish the request.
    pub fn refusal(&self) -> Option<Refusal> {
        const WORDS: [&str; 2] = ["upstream sent goaway with error ", "upstream rejected request with error "];
        let message = self.error()?.what.message.as_str();
        WORDS.iter().find_map(|words| message.strip_prefix(words)).and_then(number).map(Refusal)
    }

    /// What the upstream spoke where nginx looked for a frame: the frame's length is the first three bytes of what came
    /// (RFC 9113, section 4.1), and nginx checks it before all else.
    pub fn spoken(&self) -> Option<Spoken> {
        let message = self.error()?.what.message.as_str();
        let length = message.strip_prefix("upstream sent too large http2 frame: ").and_then(number)?;
        match length.to_be_bytes() {
            [0, b'H', b'T', b'T'] => Some(Spoken::Http1),
            // Content type and version of a record (RFC 8446, 5.1).
            [0, 21, 3, 0..=4] => Some(Spoken::Tls),
            [0, first @ b' '..=b'~', second @ b' '..=b'~', third] => {
                let is_text = |byte: u8| byte.is_ascii_alphanumeric() || b" -+*:<.\r\n".contains(&byte);
                [first, second, third].into_iter().all(is_text).then_some(Spoken::Text)
            }
            _ => None,
        }
    }
}

fn number(text: &str) -> Option<u32> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    text.get(..digits)?.parse().ok()
}
