//! Lines about processes: the kernel, systemd, Kubernetes, supervisord, security modules, other application servers.

mod servers;

use super::{Bare, Format, Reading};
use crate::read::client::quotes_request;
use crate::read::evidence::{Host, Proof, Stamp};
use crate::read::sniff::{Telltale, near, ours_if, word};
use crate::read::time::epoch_stamp;

/// The telltale words of all of them.
pub const TELLTALES: &[&[Telltale]] = &[OWN_TELLTALES, servers::TELLTALES];

/// Words of the kernel, security modules, Kubernetes, systemd and supervisors. Gunicorn's units have its name.
const OWN_TELLTALES: &[Telltale] = &[
    near("f me", |around| ours_if(around.before.ends_with(b"ut o") && around.after.starts_with(b"mory"))),
    word("oom-kill"),
    word("gfault at"),
    word("] general protection"),
    word("avc:"),
    word("DENIED"),
    word("SELinux is"),
    word("OOMKill"),
    near("led ", |around| ours_if(around.after.starts_with(b"at step EXEC"))),
    near("s pr", |around| ours_if(around.before.ends_with(b"ivenes") && around.after.starts_with(b"obe"))),
    near("xite", |around| ours_if(around.after.starts_with(b"d"))),
    near("een ", |around| ours_if(around.after.starts_with(b"killed by"))),
    near("e up", |around| ours_if(around.before.ends_with(b"gav") && around.after.starts_with(b": "))),
    word("wnerr:"),
    near("d co", |around| ours_if(around.before.ends_with(b"fin") && around.after.starts_with(b"mmand"))),
    near("xecS", |around| ours_if(around.before.ends_with(b"E") && around.after.starts_with(b"tart="))),
    near("wsgi", |around| ours_if(around.after.starts_with(b"_response_") || around.after.starts_with(b"-body-read]"))),
    near("to p", |around| ours_if(around.after.starts_with(b"eer "))),
];

/// What such a line proves.
pub(super) fn reading(line: &mut Bare<'_>) -> Option<Reading> {
    let found = status_block(line.text, &mut line.memory.program).or_else(|| read(line.text))?;
    Some(line.proves(Format::Host, Proof::Host(found), audit_stamp(line.text), !line.is_doubtful))
}

/// `audit(1772615703.120:1)`: when the audit daemon wrote the record.
fn audit_stamp(line: &str) -> Option<Stamp> {
    let (_, rest) = line.split_once("audit(")?;
    epoch_stamp(rest.split_once(':')?.0)
}

/// Reads a bare line; `None` when it is none of these.
pub fn read(line: &str) -> Option<Host> {
    if quotes_request(line) {
        return servers::quoting_request(line);
    }
    kernel(line)
        .or_else(|| denial(line))
        .or_else(|| kubernetes(line))
        .or_else(|| systemd(line))
        .or_else(|| supervisor(line))
        .or_else(|| servers::read(line))
}

/// `mm/oom_kill.c` and `arch/x86/mm/fault.c`.
fn kernel(line: &str) -> Option<Host> {
    let of_kernel = line.strip_prefix("Memory cgroup o").or_else(|| line.strip_prefix('O'));
    if let Some(rest) =
        of_kernel.and_then(|rest| rest.strip_prefix("ut of memory: Kill")).filter(|_| line.contains("process "))
    {
        let (_, rest) = rest.split_once("process ")?;
        return Some(Host::OomKill { pid: leading_number(rest), process: in_parentheses(rest) });
    }
    if line.starts_with("oom-kill:constraint=") {
        let after = |name: &str| line.split_once(name).map(|(_, rest)| rest);
        let process =
            after("task=").map_or(String::new(), |rest| rest.split(',').next().unwrap_or_default().to_owned());
        return Some(Host::OomKill { pid: after(",pid=").and_then(leading_number), process });
    }
    if let Some((before, _)) = line.split_once("]: segfault at ").or_else(|| line.split_once("] general protection")) {
        let (name, pid) = before.rsplit_once('[')?;
        // `traps: ` and a name of at most 15 bytes (`include/linux/sched.h`, TASK_COMM_LEN).
        if name.len() > 15 + "traps: ".len() {
            return None;
        }
        // Gunicorn with setproctitle is `gunicorn: worke`.
        let process = name.strip_prefix("traps: ").unwrap_or(name).to_owned();
        return Some(Host::Segfault { pid: pid.parse().ok(), process });
    }
    None
}

/// SELinux and AppArmor.
fn denial(line: &str) -> Option<Host> {
    let value = |name: &str| {
        line.split_once(name).map(|(_, rest)| rest.split(['"', ' ']).next().unwrap_or_default().to_owned())
    };
    // Where the policy is permissive it only tells.
    if line.contains("avc:") && line.contains("denied") && !line.contains("permissive=1") {
        let permission =
            line.split_once('{').and_then(|(_, rest)| rest.split('}').next()).unwrap_or_default().trim().to_owned();
        return Some(Host::AccessDenied { process: value("comm=\"").unwrap_or_default(), permission });
    }
    if line.contains("apparmor=\"DENIED\"") {
        return Some(Host::AccessDenied {
            process: value("comm=\"").unwrap_or_default(),
            permission: value("operation=\"").unwrap_or_default(),
        });
    }
    if line.contains("SELinux is preventing") {
        let process =
            line.split_once("SELinux is preventing ").and_then(|(_, rest)| rest.split(' ').next()).unwrap_or_default();
        return Some(Host::AccessDenied { process: process.to_owned(), permission: String::new() });
    }
    None
}

fn kubernetes(line: &str) -> Option<Host> {
    if line.contains("OOMKilling") || line.split_once("OOMKilled").is_some_and(|(_, rest)| !is_denied(rest)) {
        return Some(Host::ContainerOomKilled { container: String::new() });
    }
    if line.contains("Liveness probe failed") || line.contains("failed liveness probe") {
        return Some(Host::ContainerKilled { container: String::new(), reason: "liveness probe failed".to_owned() });
    }
    if line.contains("Back-off restarting failed container") {
        return Some(Host::ContainerKilled { container: String::new(), reason: "back-off restarting".to_owned() });
    }
    None
}

/// `docker inspect` tells of every container: `"OOMKilled": false`.
fn is_denied(rest: &str) -> bool {
    rest.trim_start_matches(['"', ':', '=', ' ']).starts_with("false")
}

fn systemd(line: &str) -> Option<Host> {
    if let Some((unit, rest)) = line.split_once(": Main process exited, code=") {
        let (code, status) = rest.split_once(", status=").unwrap_or((rest, ""));
        return Some(Host::UnitProcessExited {
            unit: last_word(unit).to_owned(),
            code: code.to_owned(),
            status: status.to_owned(),
        });
    }
    if let Some((unit, _)) = line.split_once(": A process of this unit has been killed by the OOM killer") {
        let unit = last_word(unit);
        // The groups that hold a unit say the same after it, whichever it was; a session is no server.
        let is_group = unit.ends_with(".slice") || unit.ends_with(".scope") || unit.starts_with("user@");
        return (!is_group).then(|| Host::UnitOomKilled { unit: unit.to_owned() });
    }
    if let Some((unit, rest)) = line.split_once(": Failed with result '") {
        let result = rest.split('\'').next().unwrap_or_default();
        let unit = last_word(unit).to_owned();
        return Some(if result == "oom-kill" {
            Host::UnitOomKilled { unit }
        } else {
            Host::UnitFailed { unit, result: result.to_owned() }
        });
    }
    if let Some((_, rest)) = line.split_once("Failed at step EXEC spawning ") {
        let command = rest.split(": ").next().unwrap_or(rest);
        let unit = command.rsplit('/').next().unwrap_or(command).to_owned();
        return Some(Host::UnitProcessExited { unit, code: "exited".to_owned(), status: "203/EXEC".to_owned() });
    }
    let of_gunicorn = |rest: &str| rest.to_ascii_lowercase().contains("gunicorn");
    if let Some(rest) =
        line.strip_prefix("Stopping ").or_else(|| line.strip_prefix("Stopped ")).filter(|rest| of_gunicorn(rest))
    {
        return Some(Host::UnitStopping { unit: rest.trim_end_matches('.').to_owned() });
    }
    if let Some(rest) = line.strip_prefix("Started ").filter(|rest| of_gunicorn(rest)) {
        return Some(Host::UnitStarted { unit: rest.trim_end_matches('.').to_owned() });
    }
    None
}

/// `Process: 14433 ExecStart=/usr/local/bin/gunicorn -c x (code=exited, status=3)` and `Main PID: 14433 (code=exited,
/// status=3)` of `systemctl status`, the first of which is often cut at the width of a terminal.
fn status_block(line: &str, program: &mut Option<Box<str>>) -> Option<Host> {
    let line = line.trim_start();
    let ended = || {
        let (code, status) = line.rsplit_once("(code=")?.1.split_once(", status=")?;
        Some((code.to_owned(), status.split(')').next()?.to_owned()))
    };
    let exited = |unit: &str| {
        let (code, status) = ended()?;
        Some(Host::UnitProcessExited { unit: unit.to_owned(), code, status })
    };
    if let Some(rest) = line.strip_prefix("Process: ") {
        let command = rest.split_once("ExecStart=")?.1.split(' ').next()?;
        let name = command.rsplit('/').next().unwrap_or(command);
        let found = exited(name);
        *program = found.is_none().then(|| name.into());
        return found;
    }
    line.strip_prefix("Main PID: ").and_then(|_| exited(&program.take().unwrap_or_default()))
}

/// supervisord (`supervisor/process.py`, `supervisorctl status`), Heroku's dyno manager, and writers whose peer went away.
fn supervisor(line: &str) -> Option<Host> {
    let exited = |program: &str, detail: &str| {
        Some(Host::SupervisorExited { program: program.to_owned(), detail: detail.trim_end_matches(')').to_owned() })
    };
    if let Some((_, rest)) = line.split_once("gave up: ")
        && let Some((program, detail)) = rest.split_once(" entered ")
    {
        return exited(program, detail);
    }
    if let Some((_, detail)) = line.split_once("spawnerr: ") {
        return exited("", &format!("spawn error: {detail}"));
    }
    for state in [" FATAL ", " BACKOFF "] {
        if let Some((program, detail)) = line.split_once(state)
            && (detail.trim_start().starts_with("Exited too quickly") || detail.contains("can't find command"))
        {
            return exited(program.trim(), &format!("FATAL: {}", detail.trim()));
        }
    }
    if let Some(status) = line.strip_prefix("Process exited with status ") {
        return exited("", &format!("exit status {status}; not expected"));
    }
    // Autobahn, which Daphne serves WebSockets with.
    if line.contains("dropping connection to peer ") && line.contains("ping timeout") {
        return Some(Host::PeerGone { program: "websocket".to_owned() });
    }
    let level = line.strip_prefix("INFO ").or_else(|| line.strip_prefix("WARN ")).unwrap_or(line);
    let rest = level.strip_prefix("exited: ")?;
    let (program, detail) = rest.split_once(" (")?;
    Some(Host::SupervisorExited { program: program.to_owned(), detail: detail.trim_end_matches(')').to_owned() })
}

fn last_word(text: &str) -> &str {
    text.rsplit([' ', ']']).next().unwrap_or(text)
}

fn in_parentheses(text: &str) -> String {
    text.split_once('(').and_then(|(_, rest)| rest.split(')').next()).unwrap_or_default().to_owned()
}

fn leading_number(text: &str) -> Option<u32> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    text.get(..digits)?.parse().ok()
}
