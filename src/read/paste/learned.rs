//! Prefixes that nobody told of, learned from the lines of one stream.
//!
//! ```text
//!  >>> nginx@web-3 >>> 2021/11/15 19:38:49 [error] 12#12: *3 connect() failed ...
//!  └──── before ─────┘ └── a whole head: nothing else looks like it ──┘
//!  shape:  >>> w >>>      words are not looked at, what stands between them is
//! ```
//!
//! What a tool puts before each line has one shape in all lines of its stream, and heads stand behind it. What a client gets
//! an application to log has neither: other lines of that application stand between, and its words are prose. Until a shape
//! was seen often enough, a line behind it proves as little as one that somebody quotes.

use super::prefix::{METHODS, is_value};
use crate::read::formats::table;
use crate::read::text::hash64;

/// So many lines one after another make a shape an envelope. Two may be chance.
const TIMES: u8 = 3;
/// Bytes of a prefix: a date in words, names and a few marks.
const BYTES_MAX: usize = 100;
/// Words of letters alone in a row; more are a sentence.
const WORDS_MAX: usize = 2;

/// What the lines of one stream have before their heads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Prefix {
    /// The shape that is known; 0 is none.
    known: u64,
    /// One that was seen and may become it, and how often.
    seen: u64,
    times: u8,
}

impl Prefix {
    /// True once a shape was seen often enough.
    pub fn is_learned(self) -> bool {
        self.known != 0
    }

    /// True while a shape was seen, and not often enough.
    pub(in crate::read) fn is_being_learned(self) -> bool {
        self.seen != 0
    }

    /// Looks at the next line of the stream: bare, and as it was before what no envelope explains was taken off it. A tool that
    /// is set up anew puts something else before its lines, so that another shape may follow.
    pub(in crate::read) fn look_at(&mut self, bare: &str, pasted: Option<&str>) {
        // Looking for a head further on is dear, and most lines of ours have one where they begin.
        let head = table::ROWS.iter().find(|row| (row.has_head)(bare));
        let is_access = head.is_some_and(|row| row.is_access);
        if is_access && self.seen == 0 {
            return;
        }
        let line = pasted.unwrap_or(bare);
        let seen = self.seen;
        // An access line may begin so with values of a format of its own before it.
        let may_have = is_access || head.is_none();
        let found = if may_have { find(line, |found| found.teaches || found.shape == seen) } else { None };
        (self.seen, self.times) = match found {
            Some(found) if found.shape == seen => (seen, self.times.saturating_add(u8::from(found.teaches))),
            Some(found) => (found.shape, 1),
            // A tool's stands before every line: what was seen so far was chance, or a client's.
            None => (0, 0),
        };
        if self.times >= TIMES {
            self.known = self.seen;
        }
    }

    /// The record behind the prefix that was learned.
    pub(in crate::read) fn take_off(self, line: &str) -> Option<&str> {
        if !self.is_learned() {
            return None;
        }
        find(line, |found| found.shape == self.known).map(|found| found.rest)
    }
}

/// A prefix that no grammar knows, with a whole head behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Unknown<'a> {
    /// Its shape.
    shape: u64,
    /// The record behind it.
    rest: &'a str,
    /// The record is in a format in which nobody can put values of their own before it: such a line teaches.
    teaches: bool,
}

/// The first prefix of a line that could be a tool's and is as asked for.
fn find(line: &str, is_it: impl Fn(&Unknown<'_>) -> bool) -> Option<Unknown<'_>> {
    let mut before = ' ';
    let ends = line.char_indices().take_while(|(at, _)| *at <= BYTES_MAX);
    let starts = ends.filter_map(|(at, c)| {
        let follows = std::mem::replace(&mut before, c);
        (at > 0 && !is_of_word(follows)).then_some(at)
    });
    // Where more columns follow, the head is one of them.
    let unknown = |at: usize| {
        let (prefix, rest) = line.split_at_checked(at)?;
        let row = table::ROWS.iter().find(|row| (row.has_head)(rest))?;
        let is_column = !row.is_access && ['\t', '|', ';'].iter().any(|c| prefix.contains(*c) && rest.contains(*c));
        (!is_value(rest) && !is_column).then_some(())?;
        Some(Unknown { shape: shape_of(prefix)?, rest, teaches: !row.is_access })
    };
    starts.filter_map(unknown).find(is_it)
}

fn is_of_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '.' | '-' | '/' | '@' | '+' | ':')
}

/// What stands between the words of a prefix, hashed; `None` for prose, and for what is told of a request or of a client.
fn shape_of(prefix: &str) -> Option<u64> {
    if prefix.contains(['"', '\'', '`', '\\']) || prefix.trim_end().ends_with('=') {
        return None;
    }
    let mut in_row = 0;
    let mut says_something = false;
    for word in prefix.split(|c: char| !is_of_word(c)).filter(|word| !word.is_empty()) {
        let bare = word.trim_matches(|c: char| !c.is_alphanumeric());
        let is_number = !bare.is_empty() && bare.bytes().all(|byte| byte.is_ascii_digit());
        let is_prose = !bare.is_empty() && bare.chars().all(char::is_alphabetic);
        in_row = if is_prose { in_row + 1 } else { 0 };
        if in_row > WORDS_MAX || is_number && bare.len() == 3 || is_address(bare) || is_of_client(word, bare) {
            return None;
        }
        says_something |= !is_number;
    }
    // A number alone may be a size; marks alone say what they are.
    if !says_something && prefix.chars().all(|c| c.is_alphanumeric() || c.is_whitespace()) {
        return None;
    }
    let mut shape = String::with_capacity(prefix.len());
    for c in prefix.chars() {
        let c = match c {
            c if is_of_word(c) => 'w',
            c if c.is_whitespace() => ' ',
            c => c,
        };
        // Columns are filled with as many blanks as they need.
        if !(matches!(c, 'w' | ' ') && shape.ends_with(c)) {
            shape.push(c);
        }
    }
    Some(hash64(shape.as_bytes()))
}

/// IPv4, and IPv6 but for what a time of day looks like as well.
fn is_address(word: &str) -> bool {
    let is_v4 = word.matches('.').count() == 3 && word.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    is_v4 || word.contains("::") || word.matches(':').count() > 3
}

/// A method, a target, a protocol, or the name of what a client says.
fn is_of_client(word: &str, bare: &str) -> bool {
    const NAMES: [&str; 9] = ["ua", "agent", "user-agent", "referer", "referrer", "forwarded", "xff", "query", "body"];
    METHODS.contains(&bare)
        || bare.starts_with("HTTP/")
        || word.starts_with('/') && bare.len() < word.len()
        || NAMES.iter().any(|name| bare.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use crate::read::formats::{Reader, Reading};
    use crate::read::{SourceMemory, Wanted};

    const ERROR: &str = "2021/11/15 19:38:49 [error] 12#12: *3 connect() failed (111: Connection refused) while connecting to upstream, client: 192.0.2.7, server: _, request: \"GET /a HTTP/1.1\", upstream: \"http://127.0.0.1:8000/a\", host: \"h\"";
    const ACCESS: &str = "192.0.2.7 - - [15/Nov/2021:19:38:49 +0000] \"GET /a HTTP/1.1\" 502 5 \"-\" \"x\"";
    const TIMEOUT: &str = "[2021-11-15 19:38:49 +0000] [7] [CRITICAL] WORKER TIMEOUT (pid:31)";

    /// Which of the lines are believed, as far as they prove something.
    fn believed(lines: &[String]) -> Vec<Option<bool>> {
        let (reader, mut memory) = (Reader::default(), SourceMemory::default());
        let read = |line: &String| match reader.read(line.as_bytes(), &mut memory, &Wanted::default()) {
            Reading::Proves(_, evidences) => Some(evidences.iter().all(|evidence| evidence.genuine)),
            _ => None,
        };
        lines.iter().map(read).collect()
    }

    #[test]
    fn the_shape_of_a_prefix_is_learned_from_three_lines() {
        let prefixes: [fn(u32) -> String; 13] = [
            |number| format!(">>> nginx@web-{} >>> ", number % 3),
            |number| format!("({}) edge=fra1 pop={number} | ", 1_000 + number),
            |number| format!("«{number}» "),
            |number| format!("seq:{number:06};host:web;"),
            |number| format!("{};web-1;nginx;", 1_636_999_999 + number),
            |number| format!("I1115 19:38:{number:02}.123456 7 forward.go:12] "),
            |_| "web-1 nginx: ".to_owned(),
            |number| format!("[+{number}.{:03}s] proxy  ~ ", number * 7),
            |number| format!("2021-11-15T19:38:{number:02}.000Z i-0abcd{number} web.stdout.log "),
            |number| format!("<edge> [INFO] ({number}) "),
            |number| format!("#{number} "),
            |number| format!("Nov15-19:38:{number:02}|nginx|"),
            |number| format!("app/web.1 [{number}] => "),
        ];
        for prefix in prefixes {
            let lines = [ERROR, ACCESS, ERROR, ACCESS, ERROR, ERROR, ACCESS, TIMEOUT];
            let lines: Vec<String> = lines.iter().zip(3..).map(|(line, number)| prefix(number) + line).collect();
            let believed = believed(&lines);
            assert_eq!(believed.get(5..), Some(&[Some(true); 3][..]), "{}: {believed:?}", lines[5]);
        }
    }

    #[test]
    fn what_somebody_says_is_never_an_envelope() {
        for before in ["bob: ok, ", "INFO chat message from bob: ", "the log says ", "GET /a 200 "] {
            for head in [ERROR, TIMEOUT] {
                let others = ["Listening on port 8080", "job 17 done in 3 s", "user bob: hello"];
                let lines = (0..12).map(|number| match number % 2 {
                    0 => format!("{before}{head}"),
                    _ => others[number % 3].to_owned(),
                });
                let believed = believed(&lines.collect::<Vec<_>>());
                assert!(!believed.contains(&Some(true)), "{before}{head}: {believed:?}");
            }
        }
    }

    #[test]
    fn another_prefix_may_follow() {
        let lines = [vec![format!("#1 {ERROR}"); 4], vec![format!("<2> {ERROR}"); 5], vec![ERROR.to_owned()]].concat();
        let believed = believed(&lines);
        assert_eq!(believed[3..7], [Some(true), Some(false), Some(false), Some(false)], "{believed:?}");
        assert_eq!(believed[7..], [Some(true); 3], "{believed:?}");
    }

    #[test]
    fn a_learned_prefix_has_a_head_behind_it() {
        let mut lines = vec![format!("#1 {ERROR}"); 4];
        lines.push(format!("#5 she pasted {ERROR}"));
        lines.push(format!("#6 {ERROR}"));
        let believed = believed(&lines);
        assert_eq!(believed[3..], [Some(true), Some(false), Some(true)]);
    }
}
