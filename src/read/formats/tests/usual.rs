//! The readers of usual lines say what the general ones say of the same line, and remember the same of its source.

use super::*;
use proptest::prelude::*;

const ERROR: &str = "2027/03/03 10:20:30 [error] 29#30: *412 connect() failed (111: Connection refused) while connecting to upstream, client: 198.51.100.20, server: shop.example.net, request: \"GET /item/7?page=2 HTTP/1.1\", upstream: \"http://10.0.0.7:8000/item/7?page=2\", host: \"shop.example.net\"";
const ACCESS: &str = "198.51.100.20 - - [03/Mar/2027:10:20:30 +0000] \"GET /item/7?page=2 HTTP/1.1\" 502 157 \"https://shop.example/x\" \"Mozilla/5.0 (X11; Linux x86_64; rv:142.0) Gecko/20100101 Firefox/142.0\"";

/// Words that make a line something else, or may.
const HOSTILE: [&str; 44] = [
    "\"",
    "\\\"",
    "\\x22",
    " ",
    "  ",
    "                                                                                ",
    "[",
    "]",
    "] ",
    ", ",
    ", client: ",
    ", server: ",
    ", request: \"",
    "\", upstream: \"",
    "\", host: \"",
    "\", referrer: \"",
    "\", subrequest: \"",
    " while ",
    " while SSL handshaking to upstream",
    " while reading upstream",
    "%0a",
    "%0A",
    "**",
    "\n",
    "\r",
    "\t",
    "\u{1b}[31m",
    "\u{e9}",
    "&quot;",
    "File \"",
    "File ",
    "status=200",
    "us=502 urt=1.0",
    "trace_id=0af7651916cd43dd8448eb211c80319c",
    "[2026-03-04 09:15:03 +0000] [1] [CRITICAL] WORKER TIMEOUT (pid:2)",
    "2026/03/04 09:15:03 [error] 7#7: *1 connect() failed (111: Connection refused) while connecting to upstream, ",
    " could not be resolved (3: Host not found)",
    "512 worker_connections are not enough",
    " - \"",
    "unix:/run/g.sock:",
    "0",
    "-",
    "Out of memory: Killed process 2 (gunicorn) total-vm:1kB",
    "Traceback (most recent call last):",
];

/// Both say the same of a line of a source of which this is remembered; true where the usual reader reads it at all.
fn check(line: &[u8], memory: &SourceMemory, wanted: &Wanted) -> bool {
    let reader = Reader::default();
    let (mut one, mut other) = (memory.clone(), memory.clone());
    if reader.pass(line, &mut one, wanted).is_some() {
        return false;
    }
    let Some(usual) = reader.read_usual(line, &mut one, wanted) else { return false };
    let general = reader.read_any(line, &mut other, wanted);
    let shown = String::from_utf8_lossy(line);
    assert_eq!(format!("{usual:?}"), format!("{general:?}"), "{shown}");
    assert_eq!(format!("{one:?}"), format!("{other:?}"), "{shown}");
    true
}

fn memories() -> Vec<SourceMemory> {
    let lasts = [None, Some(Format::NginxError), Some(Format::NginxAccess), Some(Format::Gunicorn), Some(Format::Host)];
    let mut memories: Vec<SourceMemory> =
        lasts.into_iter().map(|last| SourceMemory { last, ..SourceMemory::default() }).collect();
    memories.push(SourceMemory { doubt_bytes: 100, ..SourceMemory::default() });
    memories.push(SourceMemory { in_traceback: true, ..SourceMemory::default() });
    memories.push(SourceMemory { frame: Some("app.py:19 in report".into()), ..SourceMemory::default() });
    memories
}

fn check_all(line: &str) -> bool {
    memories().iter().fold(false, |read, memory| check(line.as_bytes(), memory, &Wanted::default()) | read)
}

#[test]
fn usual_lines_are_read_by_the_usual_readers() {
    for line in [ERROR, ACCESS] {
        assert!(check_all(line), "{line}");
    }
    let says = [
        "connect() failed (113: No route to host) while connecting to upstream",
        "no live upstreams while connecting to upstream",
        "recv() failed (104: Connection reset by peer) while reading response header from upstream",
        "upstream prematurely closed connection while reading response header from upstream",
        "upstream timed out (110: Connection timed out) while connecting to upstream",
        "upstream timed out (110: Connection timed out) while reading response header from upstream",
        "writev() failed (32: Broken pipe) while sending request to upstream",
    ];
    let usual = "connect() failed (111: Connection refused) while connecting to upstream";
    for words in says {
        assert!(check_all(&ERROR.replace(usual, words)), "{words}");
    }
    for (from, to) in [
        (", host: \"shop.example.net\"", ""),
        ("http://10.0.0.7:8000", "http://unix:/run/g.sock:"),
        ("http://10.0.0.7:8000", "fastcgi://unix:/run/g.sock:"),
        ("http://10.0.0.7:8000", "https://[::1]x"),
        ("http://10.0.0.7:8000/item/7?page=2", "http://backend"),
        ("198.51.100.20", "2001:db8::7"),
        ("198.51.100.20", "unix:"),
        ("server: shop.example.net", "server: _"),
        ("server: shop.example.net", "server: "),
        ("net\"", "net\", referrer: \"https://shop.example/\""),
        ("/item/7?page=2 HTTP/1.1", "/item/7?page=2"),
        ("GET", "PROPFIND"),
        ("2027/", "027/"),
        (" 502 157", " 504 -"),
        (" 502 157", " 499 0"),
        (" 502 157", " 009 0"),
        (" 502 157", " 502 123456789012345678901"),
        (" - - ", " - ann "),
        (" - - ", " - x=1 "),
        ("+0000", "+0230"),
        ("+0000", "-0700"),
        ("03/Mar", "33/Mar"),
        ("https://shop.example/x", "-"),
        ("Firefox/142.0\"", "Firefox/142.0\" \"203.0.113.9\""),
        ("Firefox/142.0\"", "Firefox/142.0\" 0.004"),
    ] {
        for line in [ERROR, ACCESS] {
            check_all(&line.replace(from, to));
        }
    }
}

/// Whose access line is waited for although it looks healthy.
#[test]
fn what_is_waited_for_is_read_likewise() {
    let mut wanted = Wanted::default();
    wanted.add(request_line_hash(b"GET", b"/item/7?page=2"));
    for status in ["200", "404", "499", "502"] {
        check(ACCESS.replace(" 502 ", &format!(" {status} ")).as_bytes(), &SourceMemory::default(), &wanted);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// A usual line with hostile words anywhere in it, with bytes changed, lost or cut off.
    #[test]
    fn changed_lines_are_read_likewise(
        is_error in any::<bool>(),
        changes in prop::collection::vec((0_usize..400, 0_usize..HOSTILE.len() + 3, any::<u8>()), 1..4),
    ) {
        let mut line = if is_error { ERROR } else { ACCESS }.as_bytes().to_vec();
        for (at, what, byte) in changes {
            let at = at.min(line.len());
            match HOSTILE.get(what) {
                Some(words) => drop(line.splice(at..at, words.bytes())),
                None if what == HOSTILE.len() && at < line.len() => drop(line.remove(at)),
                None if what == HOSTILE.len() + 1 => line.truncate(at.max(20)),
                None => line.get_mut(at).into_iter().for_each(|place| *place = byte),
            }
        }
        for memory in memories() {
            check(&line, &memory, &Wanted::default());
        }
    }

    /// Values of a client's choice where a client's values stand.
    #[test]
    fn values_of_clients_are_read_likewise(
        request in "[A-Z]{0,6}[ /a-z%0aA?=&.:;,'()\\[\\]#-]{0,30} HTTP/[0-9.]{0,3}",
        client in "[0-9a-f.:]{0,15}",
        name in "[a-z0-9.:_*~-]{0,12}",
        text in "[ -~]{0,40}",
        status in "[0-9]{3}",
        number in "[0-9-]{1,19}",
        which in 0_usize..HOSTILE.len(),
    ) {
        let words = HOSTILE.get(which).copied().unwrap_or_default();
        for text in [text.clone(), format!("{text}{words}"), format!("{words}{text}")] {
            for request in [request.clone(), request.replace(' ', words)] {
                let error = format!("2027/03/03 10:20:30 [error] 29#30: *{number} connect() failed (111: Connection refused) while connecting to upstream, client: {client}, server: {name}, request: \"{request}\", upstream: \"http://{name}/{text}\", host: \"{name}\"");
                let referred = format!("{error}, referrer: \"{text}\"");
                let access = format!("{client} - {name} [03/Mar/2027:10:20:30 +0000] \"{request}\" {status} {number} \"{text}\" \"{name}\"");
                let agent = format!("192.0.2.7 - - [03/Mar/2027:10:20:30 +0000] \"GET /a HTTP/1.1\" {status} 157 \"-\" \"{text}\"");
                for line in [error, referred, access, agent] {
                    check(line.as_bytes(), &SourceMemory::default(), &Wanted::default());
                }
            }
        }
    }
}
