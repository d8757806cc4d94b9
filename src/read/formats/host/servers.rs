//! What other application servers tell of their own processes, and Docker of a container: uvicorn, granian, Puma, uWSGI,
//! PHP-FPM. The texts are those of `uvicorn/supervisors/multiprocess.py` and `server.py` (0.51), `granian/server/` (2.8),
//! `lib/puma/cluster.rb` (8), `core/uwsgi.c`, `core/writer.c` and `proto/base.c`, and `sapi/fpm/fpm/fpm_children.c`, `fpm_request.c`.

use super::leading_number;
use crate::read::evidence::{Host, Server, ServerEvent};
use crate::read::sniff::{Telltale, near, ours_if, word};

/// Their words. Many of them speak of a worker, as other programs do: what stands beside it decides.
pub(super) const TELLTALES: &[Telltale] = &[
    near("orke", |around| {
        let before = |word: &[u8]| around.before.ends_with(word);
        let after = |word: &[u8]| around.after.starts_with(word);
        ours_if(
            before(b"Using w") && after(b"r: ")
                || before(b"exit from w")
                || before(b"W") && after(b"r crash loop")
                || before(b"Killing w")
                || before(b"timed out w")
                || before(b"termination of w")
                || before(b"spawn new w")
                || before(b"w") && after(b"r respawning"),
        )
    }),
    word("*** "),
    word("[pool "),
    near("xcee", |around| ours_if(around.before.ends_with(b"shutdown e") || around.before.ends_with(b"RSS over e"))),
    near(" pro", |around| ours_if(around.before.ends_with(b"hild") && around.after.starts_with(b"cess ["))),
];

/// A line of one of them.
pub(super) fn read(line: &str) -> Option<Host> {
    uwsgi(line)
        .or_else(|| php_fpm(line))
        .or_else(|| uvicorn(after_level(line)))
        .or_else(|| granian(after_level(line)))
        .or_else(|| puma(line))
        .or_else(|| docker(line))
}

/// A line that quotes a request by its own form: PHP-FPM's about one that took too long, uWSGI's about an answer that nobody took.
pub(super) fn quoting_request(line: &str) -> Option<Host> {
    php_fpm(line).filter(|_| line.starts_with("[pool ")).or_else(|| uwsgi_peer(line))
}

fn told(server: Server, pid: Option<u32>, event: ServerEvent) -> Option<Host> {
    Some(Host::Server { server, pid, event })
}

/// uvicorn's `INFO:     `, granian's `[ERROR] `.
fn after_level(line: &str) -> &str {
    for level in ["INFO", "WARNING", "WARN", "ERROR", "CRITICAL"] {
        let rest = line
            .strip_prefix('[')
            .and_then(|rest| rest.strip_prefix(level)?.strip_prefix(']'))
            .or_else(|| line.strip_prefix(level)?.strip_prefix(':'));
        if let Some(rest) = rest {
            return rest.trim_start();
        }
    }
    line
}

fn uvicorn(line: &str) -> Option<Host> {
    let uvicorn = |pid, event| told(Server::Uvicorn, pid, event);
    if let Some(rest) = line.strip_prefix("Child process [") {
        let (pid, rest) = (leading_number(rest), rest.split_once("] ")?.1);
        return match rest.trim_end_matches('.') {
            "died" => uvicorn(pid, ServerEvent::Died),
            rest if rest.starts_with("failed to start") => uvicorn(pid, ServerEvent::FailedToBoot),
            _ => None,
        };
    }
    if let Some(rest) = line.strip_prefix("New child process [").filter(|rest| rest.contains("] was not ready in time"))
    {
        return uvicorn(leading_number(rest), ServerEvent::FailedToBoot);
    }
    let cut = line.starts_with("Cancel ") && line.contains("timeout graceful shutdown exceeded");
    cut.then(|| uvicorn(None, ServerEvent::CutAtStop))?
}

fn granian(line: &str) -> Option<Host> {
    let granian = |event| told(Server::Granian, None, event);
    match line {
        _ if line.starts_with("Unexpected exit from worker-") => granian(ServerEvent::Died),
        _ if line.starts_with("Worker crash loop detected") => granian(ServerEvent::FailedToBoot),
        _ if line.starts_with("Killing worker-") => granian(ServerEvent::CutAtStop),
        _ => None,
    }
}

/// `[12] ! Terminating timed out worker (Worker 1 failed to check in within 60 seconds): 34`.
fn puma(line: &str) -> Option<Host> {
    // A viewer may have taken its mark for a bullet.
    let bare = || line.starts_with("Terminating timed out worker (").then_some(("", line));
    let (before, rest) = line.split_once("! ").filter(|(before, _)| before.len() <= 12).or_else(bare)?;
    let own = before.is_empty() || before.starts_with('[') && before.trim_end().ends_with(']');
    if !own {
        return None;
    }
    let pid = rest.rsplit_once(": ").and_then(|(_, pid)| leading_number(pid));
    match rest {
        _ if rest.starts_with("Terminating timed out worker") => told(Server::Puma, pid, ServerEvent::TimedOut),
        _ if rest.starts_with("Early termination of worker") => told(Server::Puma, None, ServerEvent::FailedToBoot),
        _ if rest.starts_with("Complete inability to spawn new workers")
            || rest.starts_with("Unable to load application") =>
        {
            told(Server::Puma, None, ServerEvent::FailedToBoot)
        }
        _ => None,
    }
}

fn uwsgi(line: &str) -> Option<Host> {
    let uwsgi = |pid, event| told(Server::Uwsgi, pid, event);
    // Before its words stands its stamp at most; longer ones quote it.
    let at_front = |words: &str| line.split_once(words).filter(|(before, _)| is_front(before)).map(|(_, rest)| rest);
    if let Some(rest) = at_front("DAMN ! worker ") {
        let pid = rest.split_once("pid: ").and_then(|(_, rest)| leading_number(rest));
        let signal = rest.split_once("killed by signal ").and_then(|(_, rest)| leading_number(rest));
        return uwsgi(pid, signal.map_or(ServerEvent::Died, ServerEvent::Signalled));
    }
    if line.ends_with("...") && at_front("worker respawning too fast !!!").is_some() {
        return uwsgi(None, ServerEvent::FailedToBoot);
    }
    if let Some(rest) = at_front("HARAKIRI ON WORKER ") {
        return rest.split_once("pid: ").and_then(|(_, rest)| uwsgi(leading_number(rest), ServerEvent::TimedOut));
    }
    if let Some(rest) = at_front("!!! uWSGI process ") {
        let crashed = rest.contains("Segmentation Fault");
        return crashed.then(|| uwsgi(leading_number(rest), ServerEvent::Signalled(11)))?;
    }
    // It serves on without an application, or with `need-app` ends.
    if at_front("no app loaded. ")
        .is_some_and(|rest| rest.starts_with("going in full") || rest.starts_with("GAME OVER"))
    {
        return uwsgi(None, ServerEvent::FailedToBoot);
    }
    // The stars before it may have been taken for a bullet.
    if let Some(rest) = at_front("uWSGI listen queue of socket ") {
        return rest.contains(" full !!!").then(|| uwsgi(None, ServerEvent::QueueFull))?;
    }
    uwsgi_peer(line)
}

/// `uwsgi_response_write_body_do(): Broken pipe [core/writer.c line 341] during GET /a (192.0.2.7)`, `[uwsgi-body-read] Error
/// reading 94 bytes. ... message: Client closed connection`.
fn uwsgi_peer(line: &str) -> Option<Host> {
    let of_writer = line.strip_prefix("uwsgi_response_").and_then(|rest| rest.split_once("(): "));
    let is_gone = match of_writer {
        Some((_, rest)) => rest.starts_with("Broken pipe") || rest.starts_with("Connection reset"),
        None => {
            line.starts_with("[uwsgi-body-read] Error reading ") && line.ends_with("message: Client closed connection")
        }
    };
    is_gone.then(|| Host::PeerGone { program: "uwsgi".to_owned() })
}

fn is_front(before: &str) -> bool {
    before.len() <= 40 && !before.contains(['"', '.', '\''])
}

/// `[pool www] child 77 exited on signal 11 (SIGSEGV) after 3.2 seconds from start`, behind its level.
fn php_fpm(line: &str) -> Option<Host> {
    let php = |pid, event| told(Server::PhpFpm, pid, event);
    // `pid 411, fpm_children_bury(), line 77: ` where its log level is `debug`.
    let is_debug = |before: &str| before.starts_with("pid ") && before.len() <= 80 && before.contains("(), line ");
    let (before, rest) = line.split_once("[pool ").filter(|(before, _)| is_front(before) || is_debug(before))?;
    let (_, rest) = rest.split_once("] ").filter(|_| !before.contains('['))?;
    if rest.starts_with("server reached pm.max_children setting") {
        return php(None, ServerEvent::AllBusy);
    }
    let rest = rest.strip_prefix("child ")?;
    let pid = leading_number(rest);
    if let Some((_, signal)) = rest.split_once(" exited on signal ") {
        return php(pid, ServerEvent::Signalled(leading_number(signal)?));
    }
    if let Some((_, code)) = rest.split_once(" exited with code ") {
        return php(pid, ServerEvent::Exited(i32::try_from(leading_number(code)?).ok()?));
    }
    rest.contains(") execution timed out (").then(|| php(pid, ServerEvent::TimedOut))?
}

/// `web-1 exited with code 137`, which Compose writes among the lines of its containers.
fn docker(line: &str) -> Option<Host> {
    let (container, rest) = line.split_once(" exited with code ")?;
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if container.is_empty() || container.len() > 128 || !container.bytes().all(is_name) {
        return None;
    }
    let code = leading_number(rest)?;
    let tail = rest.trim_start_matches(|digit: char| digit.is_ascii_digit()).trim();
    let whole = tail.is_empty() || tail == "(restarting)";
    let server = Server::Container(container.to_owned());
    whole.then(|| told(server, None, ServerEvent::Exited(i32::try_from(code).ok()?)))?
}
