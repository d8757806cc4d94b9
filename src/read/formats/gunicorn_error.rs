//! Gunicorn's error log: `[2026-11-22 07:14:42 +0000] [26441] [CRITICAL] WORKER TIMEOUT (pid:26442)`.
//!
//! Formats and texts of `gunicorn/glogging.py`, `arbiter.py`, `workers/*.py`, `util.py` and `sock.py`, 19.9 to 27, and of
//! uvicorn's workers, which share the handlers. Levels differ by version and prove nothing.

mod logging;

use super::{Bare, Format, Reading};
use crate::read::evidence::{Gunicorn, GunicornEvent, Nanos, Proof, Stamp};
use crate::read::sniff::{Sign, Telltale, is_ours, near, ours_if, word};
use crate::read::time::iso_stamp;

/// The zone that a head of Gunicorn's says, with when: local time of its machine (`gunicorn/glogging.py`, `%z`). UTC is what
/// containers have, and says nothing of the machine under them. In nanoseconds ahead of UTC.
pub fn quick_zone(line: &[u8]) -> Option<(Nanos, Nanos)> {
    let said = |at: usize| {
        let stamp = line.get(at + 1..at + 26).filter(|_| line.get(at + 26) == Some(&b']'))?;
        let stamp = std::str::from_utf8(stamp).ok()?;
        let (local, utc) =
            (iso_stamp(stamp.get(..19)?)?.nanos, iso_stamp(stamp).filter(|stamp| stamp.zone_known)?.nanos);
        (local != utc).then(|| (utc, local.saturating_sub(utc)))
    };
    memchr::memchr_iter(b'[', line).find_map(said)
}

/// How its messages begin where they stand without a head.
pub const TELLTALES: &[Telltale] = &[
    word("(pid"),
    near("h pi", |around| ours_if(around.before.ends_with(b"wit") && around.after.starts_with(b"d"))),
    near(" pro", |around| {
        let of = |before: &[u8], after: &[u8]| around.before.ends_with(before) && around.after.starts_with(after);
        ours_if(of(b"server", b"cess [") || of(b"worker", b"cess") || of(b"error", b"cessing") || of(b"uWSGI", b"cess"))
    }),
    // Its loggers and modules; behind `Starting` and the verbs of systemd. journald's `gunicorn[7]: ` is none of these.
    near("unic", |around| {
        let verbs: [&[u8]; 2] = [b"Start", b"Stop"];
        let behind_verb = || verbs.iter().any(|verb| memchr::memmem::find(around.before, verb).is_some());
        ours_if(matches!(around.after, [b'o', b'r', b'n', next, ..] if matches!(next, b'.' | b'/')) || behind_verb())
    }),
    near("g at", |around| ours_if(around.before.ends_with(b"istenin") && around.after.starts_with(b":"))),
    near("nal:", |around| ours_if(around.before.ends_with(b"ling sig") || around.before.ends_with(b"led sig"))),
    near("ling", |around| ours_if(around.before.ends_with(b"rror hand") && around.after.starts_with(b" request"))),
    word("m ip="),
    near("imit", |around| ours_if(around.before.ends_with(b"um request l"))),
    near("star", |around| {
        let before = |words: &[u8]| around.before.ends_with(words);
        ours_if(before(b"off re") || before(b"Autore") || before(b"rs could be "))
    }),
    word("g up: M"),
    near("g do", |around| ours_if(around.before.ends_with(b"huttin") && around.after.starts_with(b"wn"))),
    word("Reason: "),
    near("led ", |around| {
        let of = |after: &[u8]| around.after.starts_with(after);
        ours_if(of(b"to boot") || of(b"to load") || of(b"to find ") || of(b"with result"))
    }),
    near("fail", |around| ours_if(around.before.ends_with(b"tartup ") && around.after.starts_with(b"ed"))),
    near("(rea", |around| {
        let is_halt = around.before.ends_with(b"halt") || around.before.ends_with(b"raise HaltServer");
        ours_if(is_halt && around.after.starts_with(b"son"))
    }),
    near("t ch", |around| ours_if(around.after.starts_with(b"anged, shut"))),
    near("n us", |around| ours_if(around.after.starts_with(b"e: "))),
    near("t co", |around| ours_if(around.after.starts_with(b"nnect to "))),
    near(" add", |around| {
        let of = |before: &[u8], after: &[u8]| around.before.ends_with(before) && around.after.starts_with(after);
        ours_if(of(b"nvalid", b"ress: ") || of(b"bind on", b"ress"))
    }),
    near("lrea", |around| {
        let of = |before: &[u8], after: &[u8]| around.before.ends_with(before) && around.after.starts_with(after);
        ours_if(of(b"ddress a", b"dy i") || of(b"A", b"dy running on PID"))
    }),
    near("n ma", |around| ours_if(around.after.starts_with(b"in loop"))),
    near("Igno", |around| ours_if(around.after.starts_with(b"ring "))),
];

/// Its head: `[2026-11-22 07:14:42 +0000] [26441] [INFO] `.
pub fn by_shape(front: &[u8], _line: &[u8]) -> Sign {
    let is_behind_stamp = |at: usize| {
        let before = front.get(..at).and_then(|before| before.strip_suffix(b"] ")).unwrap_or_default();
        let stamp = memchr::memrchr(b'[', before).and_then(|open| before.get(open + 1..)).unwrap_or_default();
        (19..=34).contains(&stamp.len()) && stamp.get(4) == Some(&b'-') && stamp.get(13) == Some(&b':')
    };
    ours_if(memchr::memchr_iter(b'[', front).any(is_behind_stamp))
}

/// One line, read.
#[derive(Debug)]
pub struct Line {
    /// With zone in Gunicorn's own format, without in common `logconfig` ones.
    pub stamp: Option<Stamp>,
    /// What it says.
    pub gunicorn: Gunicorn,
}

/// What such a line proves.
pub(super) fn reading(line: &mut Bare<'_>) -> Option<Reading> {
    let read = read(line.text)?;
    Some(line.proves(Format::Gunicorn, Proof::Gunicorn(read.gunicorn), read.stamp, !line.is_doubtful))
}

/// Reads a bare line; `None` when it is not in Gunicorn's format and says nothing that only Gunicorn says.
pub fn read(line: &str) -> Option<Line> {
    let first = line.lines().next().unwrap_or_default();
    let (stamp, rest) = match bracketed_stamp(first) {
        Some((stamp, rest)) => (stamp, rest),
        None => (None, first),
    };
    let (pid, rest) = bracketed_pid(rest);
    let (level, rest) = bracketed_level(rest);
    let line = |event| Line { stamp, gunicorn: Gunicorn { pid, level: level.to_owned(), event } };
    if let Some(event) = event(rest) {
        return Some(line(event));
    }
    let of_logger = || logging::read(first).or_else(|| event(after_logger(rest)?).map(line));
    // A head of Gunicorn's own order says whose the line is, whatever follows.
    let has_head = bracketed_stamp(first).is_some() && (pid.is_some() || !level.is_empty());
    of_logger().or_else(|| has_head.then(|| line(GunicornEvent::Other)))
}

/// What follows the head that a `logconfig` gives Gunicorn's lines: `CRITICAL:gunicorn.error:`, `... - gunicorn.error -
/// CRITICAL - `, `| CRITICAL | gunicorn.arbiter:murder_workers:498 - `. The logger's name must stand in it.
fn after_logger(line: &str) -> Option<&str> {
    let at = line.get(..HEAD_BYTES_MAX.min(line.len())).unwrap_or(line).find("gunicorn.")?;
    let (before, after) = line.split_at_checked(at)?;
    if before.contains(['"', '\'', '/', '=']) {
        return None;
    }
    let after =
        ["gunicorn.error", "gunicorn.arbiter", "gunicorn.glogging"].iter().find_map(|name| after.strip_prefix(name))?;
    // At most a function with a line and a level stand between the name and the message.
    let mut rest = after;
    for _ in 0..4 {
        rest = rest.trim_start_matches([' ', ':', '-', '|', '[', ']']);
        if event(rest).is_some() {
            return Some(rest);
        }
        let word = rest.bytes().take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'_').count();
        if word == 0 {
            return None;
        }
        rest = rest.get(word..)?;
    }
    None
}

/// A date, a level, names of a process and a thread: no head of a log line is longer.
const HEAD_BYTES_MAX: usize = 160;

/// True where a line of it begins: its stamp, or a message whose head is lost or a logger's.
pub(super) fn begins(text: &str) -> bool {
    bracketed_stamp(text).is_some() || is_ours(text) && read(text).is_some()
}

/// True for a line that starts with Gunicorn's stamp and pid.
pub(super) fn has_head(line: &str) -> bool {
    bracketed_stamp(line).is_some_and(|(_, rest)| bracketed_pid(rest).0.is_some())
}

/// `2015-05-18 18:32:39 [50962] [CRITICAL] ` of Gunicorn 18 and older: no brackets, no zone.
fn bare_stamp(line: &str) -> Option<(Option<Stamp>, &str)> {
    let (stamp, rest) = line.split_at_checked(19)?;
    let rest = rest.strip_prefix(' ')?;
    let has_pid = || bracketed_pid(rest).0.is_some() && !bracketed_level(bracketed_pid(rest).1).0.is_empty();
    let stamp = iso_stamp(stamp).filter(|_| rest.starts_with('[') && has_pid())?;
    Some((Some(stamp), rest))
}

/// `[2026-11-22 07:14:42 +0000] `; a masked date (`20XX-XX-XX`) is a head without a stamp.
fn bracketed_stamp(line: &str) -> Option<(Option<Stamp>, &str)> {
    if !line.starts_with('[') {
        return bare_stamp(line);
    }
    let (inner, rest) = line.strip_prefix('[')?.split_once("] ")?;
    let bytes = inner.as_bytes();
    if inner.len() < 19
        || inner.len() > 34
        || bytes.get(4) != Some(&b'-')
        || bytes.get(7) != Some(&b'-')
        || bytes.get(13) != Some(&b':')
    {
        return None;
    }
    Some((iso_stamp(inner), rest))
}

fn bracketed_pid(rest: &str) -> (Option<u32>, &str) {
    let found = rest
        .strip_prefix('[')
        .and_then(|inner| inner.split_once("] "))
        .or_else(|| rest.strip_prefix('[').and_then(|inner| inner.strip_suffix(']').map(|pid| (pid, ""))));
    match found.and_then(|(pid, after)| Some((pid.trim().parse().ok()?, after))) {
        Some((pid, after)) => (Some(pid), after),
        None => (None, rest),
    }
}

fn bracketed_level(rest: &str) -> (&'static str, &str) {
    for level in ["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] {
        if let Some(after) =
            rest.strip_prefix('[').and_then(|rest| rest.strip_prefix(level)).and_then(|rest| rest.strip_prefix(']'))
        {
            return (level, after.trim_start());
        }
    }
    ("", rest)
}

/// What a message says; `None` for one that is not Gunicorn's or does not count.
pub fn event(message: &str) -> Option<GunicornEvent> {
    use GunicornEvent as E;
    let message = message.trim();
    let after = |prefix: &str| message.strip_prefix(prefix);
    if let Some(rest) = after("WORKER TIMEOUT (pid:") {
        return Some(E::WorkerTimeout { worker: leading_number(rest)? });
    }
    if let Some(rest) = after("Worker (pid:") {
        return worker_fate(rest);
    }
    if let Some(rest) = after("Worker with pid ") {
        let worker = leading_number(rest)?;
        let signal = rest.split_once("terminated due to signal ").and_then(|(_, signal)| leading_number(signal))?;
        return Some(E::WorkerSignalled { worker, signal });
    }
    if let Some(rest) = after("Booting worker with pid: ").or_else(|| after("Booting worker with pid ")) {
        return Some(E::Booting { worker: leading_number(rest)? });
    }
    if let Some(rest) = after("Started server process [") {
        return Some(E::Booting { worker: leading_number(rest)? });
    }
    if let Some(rest) = after("Worker exiting (pid: ").or_else(|| after("Worker exiting (pid:")) {
        return Some(E::WorkerExiting { worker: leading_number(rest.trim_start())? });
    }
    if let Some(rest) = after("Finished server process [") {
        return Some(E::WorkerExiting { worker: leading_number(rest)? });
    }
    if let Some(rest) = after("Worker graceful timeout (pid:") {
        return Some(E::GracefulTimeout { worker: leading_number(rest)? });
    }
    if let Some(reason) = after("gunicorn.errors.HaltServer: <HaltServer '") {
        let app = reason.starts_with("App failed to load");
        return Some(if app { E::AppLoadFailed { detail: String::new() } } else { E::BootFailed });
    }
    if let Some(version) = after("Starting gunicorn ") {
        return Some(E::Starting { version: version.trim().to_owned() });
    }
    if let Some(rest) = after("Listening at: ") {
        return Some(E::Listening { addresses: addresses(rest) });
    }
    if let Some(class) = after("Using worker: ") {
        return Some(E::UsingWorker { class: worker_class(class) });
    }
    if message.starts_with("Retrying in ") && message.ends_with(" second.") {
        return Some(E::BindRetry);
    }
    if let Some(name) = after("Handling signal: ") {
        return Some(E::HandlingSignal { name: name.trim().trim_start_matches("SIG").to_ascii_lowercase() });
    }
    if let Some(rest) = after("Error handling request") {
        let rest = rest.trim();
        let target = (!rest.is_empty() && !rest.starts_with("(no URI"))
            .then(|| rest.rsplit(' ').next().unwrap_or(rest).to_owned());
        return Some(E::ErrorHandlingRequest { target });
    }
    if let Some(rest) = after("Invalid request from ip=") {
        if rest.contains("SSL: HTTP_REQUEST") || rest.contains("http request (_ssl.c") {
            return Some(E::PlainRequestToTlsPort);
        }
        return Some(E::InvalidRequest { detail: rest.to_owned() });
    }
    fixed_event(message)
}

fn fixed_event(message: &str) -> Option<GunicornEvent> {
    use GunicornEvent as E;
    let starts = |prefix: &str| message.starts_with(prefix);
    Some(match message {
        "Hang up: Master" => E::HangUp,
        _ if starts("Shutting down: Master") || message == "Shutting down:" => E::ShuttingDown,
        // Gunicorn knows two reasons, so their first words suffice where a terminal cut the rest. An arbiter that halts
        // with a traceback (`arbiter.py`, run) does so for one of the two.
        _ if starts("Reason: Worker")
            || starts("Worker failed to boot")
            || starts("self.halt(reason=inst.reason, exit_status=inst.exit_status)")
            || starts("raise HaltServer(reason, self.WORKER_BOOT_ERROR)") =>
        {
            E::BootFailed
        }
        _ if starts("raise HaltServer(reason, self.APP_LOAD_ERROR)") => E::AppLoadFailed { detail: String::new() },
        // A frame of `Error: class uri 'gevent' invalid or not found`: the class of the workers, or what it imports, is not there.
        _ if starts("File \"") && message.ends_with("in load_class") && message.contains("gunicorn/util.py\"") => {
            E::BootFailed
        }
        _ if starts("Reason: App") || starts("App failed to load") => E::AppLoadFailed { detail: String::new() },
        _ if starts("Failed to find attribute '") || starts("Failed to find application object") => {
            E::AppLoadFailed { detail: message.to_owned() }
        }
        _ if starts("Exception in worker process") => E::ExceptionInWorker,
        _ if starts("Socket error processing request") => E::SocketError,
        _ if starts("Autorestarting worker after current request") || starts("Maximum request limit of") => {
            E::Autorestarting
        }
        // A frame of the traceback that SIGABRT leaves (`workers/base.py`): the arbiter sends it to a worker that timed out.
        _ if starts("File \"") && message.ends_with("in handle_abort") && message.contains("gunicorn/workers/") => {
            E::Aborted
        }
        // The primary process loads the application itself where `preload_app` is set, and ends with the traceback
        // (`arbiter.py`, `setup`, which does nothing else that fails).
        _ if starts("File \"") && message.ends_with("in setup") && message.contains("gunicorn/arbiter.py\"") => {
            E::PreloadFailed
        }
        _ if starts("Parent changed, shutting down") => E::ParentChanged,
        _ if starts("Connection in use: ") => E::BindFailed { address: after_colon(message) },
        _ if starts("Can't connect to ") || starts("Can not connect to (") || starts("Invalid address: ") => {
            E::BindFailed { address: message.to_owned() }
        }
        _ if message.contains("[Errno 98] Address already in use")
            || message.contains("[Errno 48] Address already in use")
            || message.contains("error while attempting to bind on address") =>
        {
            E::BindFailed { address: message.to_owned() }
        }
        // The primary process raises this before it binds (`pidfile.py`), and `app/base.py` prints it.
        _ if starts("Unhandled exception in main loop") || starts("Already running on PID ") => E::ArbiterCrashed,
        _ if is_of_dirty_side(message) => E::DirtyTrouble,
        _ if starts("Unhandled signal: cld") => E::ChildrenIgnored,
        _ if starts("Application startup failed. Exiting")
            || starts("ASGI lifespan startup failed")
            || starts("No servers could be started") =>
        {
            E::StartupFailed
        }
        _ if starts("Ignoring EPIPE") || starts("Ignoring connection reset") || starts("Ignoring connection epipe") => {
            E::ClientGone
        }
        _ => return None,
    })
}

/// The arbiter and the workers of the dirty side (`dirty/arbiter.py`, `dirty/worker.py`, `arbiter.py`, 25 and later), which run
/// what web workers hand over: these live on, and their calls fail.
fn is_of_dirty_side(message: &str) -> bool {
    let begins = |words: &[&str]| words.iter().any(|words| message.starts_with(words));
    let took_too_long = || {
        let rest = message.strip_prefix("Execution timeout for ")?;
        let (_, time) = rest.rsplit_once(" after ")?;
        time.strip_suffix('s')?.parse::<f64>().ok()
    };
    begins(&["DIRTY WORKER TIMEOUT (pid:", "Dirty worker failed to boot (pid:", "Failed to load dirty apps: "])
        || begins(&["Dirty worker (pid:", "Dirty arbiter (pid:"])
            && (message.contains(" killed by signal ") || message.contains(" exited with code "))
        || took_too_long().is_some()
}

/// What follows `Worker (pid:`: `N) was sent SIGKILL! ...`, `N) was sent code 139!`, `N) exited with code 1`.
fn worker_fate(rest: &str) -> Option<GunicornEvent> {
    let worker = leading_number(rest)?;
    if let Some((_, code)) = rest.split_once("exited with code ") {
        let code = code.trim_end_matches('.').trim();
        let digits = code.bytes().take_while(|byte| byte.is_ascii_digit() || *byte == b'-').count();
        return Some(GunicornEvent::WorkerExited { worker, code: code.get(..digits)?.parse().ok()? });
    }
    let (_, how) = rest.split_once("was sent ")?;
    let signal = match how.strip_prefix("code ") {
        // The wait status with the core-dump bit set, printed as it is by 21 to 23.
        Some(code) => leading_number(code)? & 0x7f,
        None => signal_number(how.split(['!', ' ', '.']).next().unwrap_or_default())?,
    };
    Some(GunicornEvent::WorkerSignalled { worker, signal })
}

fn signal_number(name: &str) -> Option<u32> {
    Some(match name {
        "SIGHUP" => 1,
        "SIGINT" => 2,
        "SIGQUIT" => 3,
        "SIGILL" => 4,
        "SIGTRAP" => 5,
        "SIGABRT" | "SIGIOT" => 6,
        "SIGBUS" => 7,
        "SIGFPE" => 8,
        "SIGKILL" => 9,
        "SIGUSR1" => 10,
        "SIGSEGV" => 11,
        "SIGUSR2" => 12,
        "SIGPIPE" => 13,
        "SIGALRM" => 14,
        "SIGTERM" => 15,
        "SIGXCPU" => 24,
        "SIGSYS" => 31,
        _ => return None,
    })
}

/// `http://127.0.0.1:8000,unix:/run/g.sock (300)` as nginx writes addresses.
fn addresses(rest: &str) -> Vec<String> {
    let listed = rest.rsplit_once(" (").map_or(rest, |(listed, _)| listed);
    listed
        .split(',')
        .map(|address| {
            let address = address.trim();
            let bare = address.split_once("://").map_or(address, |(_, bare)| bare);
            bare.trim_end_matches('/').to_owned()
        })
        .filter(|address| !address.is_empty())
        .take(32)
        .collect()
}

/// `sync`, `gthread`, `uvicorn.workers.UvicornWorker`; the newer `asgi`.
fn worker_class(class: &str) -> String {
    let class = class.trim();
    if class == "threads" { "gthread".to_owned() } else { class.to_owned() }
}

fn after_colon(message: &str) -> String {
    message.split_once(": ").map_or(String::new(), |(_, rest)| rest.to_owned())
}

fn leading_number(text: &str) -> Option<u32> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    text.get(..digits)?.parse().ok()
}
