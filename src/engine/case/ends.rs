//! What the lines about processes tell of an end that cut a request: the kernel's, systemd's, Docker's, a supervisor's,
//! another application server's.
//!
//! An equal pid is proof. Without one the line must be near in time and speak of what may be an application server; and
//! where the pids of such lines are known to be those in Gunicorn's log, one with another pid is a stranger's.

use super::{Case, HostSeen};
use crate::engine::correlate::Interval;
use crate::engine::correlate::gunicorn::{Death, Instance};
use crate::read::evidence::{Host, SECOND, Server, ServerEvent};

/// How a process came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// For want of memory.
    Memory,
    /// By this signal.
    Signal(u32),
    /// With this exit code.
    Code(i32),
    /// Its server ended it because it took too long.
    TimedOut,
    /// Nothing says how.
    Died,
    /// It did not start, or not for long.
    FailedToBoot,
    /// It was cut off at a stop.
    AtStop,
}

/// One such line.
#[derive(Clone, Copy, Debug)]
pub struct Ended<'a> {
    /// The line.
    pub host: &'a HostSeen,
    /// What it tells.
    pub how: How,
    /// Its pid is that of a worker in Gunicorn's log.
    pub worker: Option<u32>,
    /// It names an application server, or the pid of a worker: not just anybody's process.
    pub names_server: bool,
}

impl Ended<'_> {
    /// The application server that wrote the line about a process of its own; none where that is Gunicorn or nobody says.
    pub fn server(&self) -> Option<&'static str> {
        match &self.host.seen.what {
            Host::Server { server: Server::Uvicorn, .. } => Some("uvicorn"),
            Host::Server { server: Server::Granian, .. } => Some("Granian"),
            Host::Server { server: Server::Puma, .. } => Some("Puma"),
            Host::Server { server: Server::Uwsgi, .. } => Some("uWSGI"),
            Host::Server { server: Server::PhpFpm, .. } => Some("PHP-FPM"),
            _ => None,
        }
    }
}

/// A server that ended so long before a request may be what it lacks.
const ENDED_BEFORE: i64 = 600 * SECOND;
/// From a stop to the next start: `--graceful-timeout` is 30 s by default, systemd waits for 90 s.
const RESTART_MAX: i64 = 95 * SECOND;
/// Ends of one server within this time are of one trouble.
const AGAIN: i64 = 60 * SECOND;

/// systemd's words about the stop of a service of Gunicorn's; its socket goes with it.
pub fn stops_unit(host: &Host) -> bool {
    matches!(host, Host::UnitStopping { unit } if unit.contains("gunicorn") && !unit.contains("socket"))
}

fn is_gunicorn(name: &str) -> bool {
    ["gunicorn", "uvicorn"].iter().any(|server| name.contains(server))
}

/// The server itself ended with a code that tells of an error.
fn ends_with_error(host: &Host) -> bool {
    let is_main = matches!(host, Host::UnitProcessExited { .. } | Host::SupervisorExited { .. });
    is_main && matches!(How::of(host), Some(How::Code(code)) if code != 0)
}

/// A shell, and Docker with it, adds this to the number of the signal that ended a process.
const BY_SIGNAL: i32 = 128;
/// Such a line is written as the process ends: the kernel's just before nginx sees it, that of who waits for it after.
const BEFORE: i64 = -3 * SECOND;
const AFTER: i64 = 3 * SECOND;

impl How {
    /// What a line tells; `None` for one about no end.
    pub fn of(host: &Host) -> Option<How> {
        match host {
            Host::OomKill { .. } | Host::ContainerOomKilled { .. } | Host::UnitOomKilled { .. } => Some(How::Memory),
            Host::Segfault { .. } => Some(How::Signal(11)),
            Host::UnitProcessExited { code, status, .. } => {
                let number: i32 = status.split('/').next()?.trim().parse().ok()?;
                match code.as_str() {
                    "killed" | "dumped" => Some(How::Signal(u32::try_from(number).ok()?)),
                    _ => Some(How::of_code(number)),
                }
            }
            Host::SupervisorExited { detail, .. } => of_supervisor(detail),
            Host::Server { event, .. } => match *event {
                ServerEvent::TimedOut => Some(How::TimedOut),
                ServerEvent::Signalled(signal) => Some(How::Signal(signal)),
                ServerEvent::Exited(code) => Some(How::of_code(code)),
                ServerEvent::Died => Some(How::Died),
                ServerEvent::FailedToBoot => Some(How::FailedToBoot),
                ServerEvent::CutAtStop => Some(How::AtStop),
                ServerEvent::QueueFull | ServerEvent::AllBusy => None,
            },
            Host::AccessDenied { .. }
            | Host::ContainerKilled { .. }
            | Host::UnitFailed { .. }
            | Host::UnitStopping { .. }
            | Host::UnitStarted { .. }
            | Host::PeerGone { .. } => None,
        }
    }

    fn of_code(code: i32) -> How {
        match code {
            129..=159 => How::Signal((code - BY_SIGNAL).unsigned_abs()),
            code => How::Code(code),
        }
    }

    /// True for a signal of the process's own making.
    pub fn is_crash(self) -> bool {
        matches!(self, How::Signal(4 | 6 | 7 | 8 | 10 | 11))
    }
}

/// `exit status 3; not expected`, `terminated by SIGKILL; not expected`.
fn of_supervisor(detail: &str) -> Option<How> {
    if let Some(rest) = detail.strip_prefix("exit status ") {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        return rest.get(..digits)?.parse().ok().map(How::of_code);
    }
    let signals = [("SIGKILL", 9), ("SIGSEGV", 11), ("SIGABRT", 6), ("SIGBUS", 7), ("SIGTERM", 15)];
    let named = signals.iter().find(|(name, _)| detail.contains(name));
    named.map(|(_, signal)| How::Signal(*signal))
}

impl<'a> Case<'a> {
    /// Ends of processes that may have cut this request, newest first; those with the pid of a worker are surer.
    pub fn ended(&self) -> impl Iterator<Item = Ended<'a>> + use<'a, '_> {
        self.ended_near(self.at)
    }

    /// Ends of processes at the time of a worker's end in Gunicorn's log.
    pub fn ended_with(&self, death: &Death) -> impl Iterator<Item = Ended<'a>> + use<'a, '_> {
        self.ended_near(Interval { from: death.from.from, to: death.to.to })
    }

    fn ended_near(&self, at: Interval) -> impl Iterator<Item = Ended<'a>> + use<'a, '_> {
        let near = move |host: &&HostSeen| host.seen.at.near(at, BEFORE, AFTER);
        self.hosts().rev().take(1_024).filter(near).filter_map(|host| self.end_of(host))
    }

    /// Gunicorn's log begins with this kill, and each worker that was killed after it had timed out before.
    pub fn later_ones_timed_out(&self, death: &Death) -> bool {
        let is_later =
            |other: &&Death| other.source == death.source && other.signal == Some(9) && other.from.from > death.from.to;
        let mut later = self.deaths().rev().take(256).filter(is_later).peekable();
        death.begins_log && death.signal == Some(9) && later.peek().is_some() && later.all(|other| other.timed_out)
    }

    /// The line of a supervisor or of systemd before the request that tells of the Gunicorn's end with an error. None where
    /// it was started again since, or where several are told of: nothing says which of them is this request's.
    pub fn end_of_server(&self) -> Option<&'a HostSeen> {
        let is_before = |host: &&HostSeen| self.at.near(host.seen.at, -ENDED_BEFORE, AFTER);
        let is_end = |host: &&HostSeen| ends_with_error(&host.seen.what) && is_gunicorn(name_of(&host.seen.what));
        let before = || self.hosts().rev().take(1_024).filter(is_before);
        let last = before().find(is_end)?;
        let is_another = |host: &HostSeen| is_end(&host) && name_of(&host.seen.what) != name_of(&last.seen.what);
        let is_start =
            |host: &HostSeen| matches!(host.seen.what, Host::UnitStarted { .. }) && host.seen.at.from > last.seen.at.to;
        (!before().any(|host| is_another(host) || is_start(host))).then_some(last)
    }

    /// The stop of Gunicorn's unit before the request, and its next start where that came after it; none where it was started
    /// between.
    pub fn stop_of_unit(&self) -> Option<(&'a HostSeen, Option<&'a HostSeen>)> {
        let near = |host: &&HostSeen| host.seen.at.near(self.at, -RESTART_MAX, RESTART_MAX);
        let is_start = |host: &&HostSeen| {
            let what = &host.seen.what;
            matches!(what, Host::UnitStarted { unit } if unit.contains("gunicorn") && !unit.contains("socket"))
        };
        let is_other = |host: &HostSeen| match &host.seen.what {
            Host::UnitStopping { unit } | Host::UnitStarted { unit } => self.is_called_as_another(unit),
            _ => false,
        };
        let hosts = || self.hosts().rev().take(1_024).filter(near).filter(|host| !is_other(host));
        let stop = hosts().find(|host| host.seen.at.from <= self.at.to && stops_unit(&host.seen.what))?;
        let starts = || hosts().filter(is_start).filter(|host| host.seen.at.from >= stop.seen.at.from);
        let is_between = starts().any(|host| host.seen.at.to < self.at.from);
        (!is_between).then(|| (stop, starts().find(|host| host.seen.at.to >= self.at.from)))
    }

    /// Lines of a supervisor or of systemd that tell of such ends of a Gunicorn as this one does, and this one itself: with an
    /// error, within a minute. None where this one tells of no such end.
    pub fn ends_with_errors(&self, host: &'a HostSeen) -> impl Iterator<Item = &'a HostSeen> + use<'a, '_> {
        let name = name_of(&host.seen.what);
        let is_end = move |other: &&HostSeen| {
            name_of(&other.seen.what) == name
                && ends_with_error(&other.seen.what)
                && host.seen.at.near(other.seen.at, -AGAIN, AGAIN)
        };
        let hosts = self.hosts().rev().take(1_024).filter(is_end);
        hosts.filter(move |_| ends_with_error(&host.seen.what) && is_gunicorn(name))
    }

    /// systemd tells twice of a command that it cannot run: as it tries, and as the process ends; and of a stop, as it begins
    /// and as it is done.
    pub fn is_told_again(&self, host: &HostSeen) -> bool {
        if let Host::UnitStopping { unit } = &host.seen.what {
            let same = |other: &&HostSeen| matches!(&other.seen.what, Host::UnitStopping { unit: one } if one == unit);
            let mut before = self.hosts().take_while(|other| other.seen.ticket != host.seen.ticket).filter(same);
            return before.any(|other| other.seen.at.near(host.seen.at, 0, AGAIN));
        }
        let is_unit = |host: &HostSeen| matches!(host.seen.what, Host::UnitProcessExited { .. });
        let is_same = |other: &&HostSeen| {
            is_unit(other)
                && other.seen.at.near(host.seen.at, 0, SECOND)
                && How::of(&other.seen.what) == How::of(&host.seen.what)
        };
        let first = self.hosts().take_while(|other| other.seen.ticket != host.seen.ticket).find(is_same);
        is_unit(host) && first.is_some_and(|first| is_gunicorn(name_of(&first.seen.what)))
    }

    /// What a line tells of an end, if that may be one of this request's application server.
    pub fn end_of(&self, host: &'a HostSeen) -> Option<Ended<'a>> {
        let how = How::of(&host.seen.what)?;
        let pid = pid_of(&host.seen.what);
        let worker = pid.filter(|pid| self.is_worker(*pid, |instance| self.may_have_answered(instance)));
        // Another service's worker, or where pids tell workers apart, none at all.
        if worker.is_none() && pid.is_some_and(|pid| self.is_worker(pid, |_| true) || self.has_pids_of_host()) {
            return None;
        }
        // Nor one that was not there yet.
        if worker.is_some_and(|pid| self.booted_after(pid)) {
            return None;
        }
        let name = name_of(&host.seen.what);
        let names_server = worker.is_some() || is_app_server(name);
        // Without a name it is anybody's; a name that is another program's is not this server's.
        let may_be = names_server || name.is_empty() || !is_process(&host.seen.what) && !is_infrastructure(name);
        let may_be = may_be && (worker.is_some() || is_process(&host.seen.what) || !self.is_called_as_another(name));
        may_be.then_some(Ended { host, how, worker, names_server })
    }

    /// True for the pid of a worker that the log of such a Gunicorn names.
    fn is_worker(&self, pid: u32, of: impl Fn(&Instance) -> bool) -> bool {
        self.instances().filter(|instance| of(instance)).any(|instance| {
            let named = |source: u64, worker: u32| source == instance.source && worker == pid;
            instance.crew.booted(pid).is_some()
                || self.boots().rev().any(|boot| named(boot.source, boot.worker))
                || self.deaths().rev().take(256).any(|death| named(death.source, death.worker))
        })
    }

    /// True for a worker whose only boot in sight came after the request had failed.
    fn booted_after(&self, pid: u32) -> bool {
        let mut boots = self.boots().rev().filter(|boot| boot.worker == pid).peekable();
        boots.peek().is_some() && boots.all(|boot| boot.at.from > self.at.to)
    }

    /// True when a line about a process has the pid of a worker: the machine's pids are those in Gunicorn's log, as they are
    /// not where Gunicorn runs in a container.
    fn has_pids_of_host(&self) -> bool {
        self.hosts().rev().take(256).filter_map(|host| pid_of(&host.seen.what)).any(|pid| self.is_worker(pid, |_| true))
    }
}

/// The pid of the process that the line is about, where it names one.
pub(in crate::engine) fn pid_of(host: &Host) -> Option<u32> {
    match host {
        Host::OomKill { pid, .. } | Host::Segfault { pid, .. } | Host::Server { pid, .. } => *pid,
        _ => None,
    }
}

/// What the line calls that which ended; empty where it has no name.
fn name_of(host: &Host) -> &str {
    match host {
        Host::OomKill { process, .. } | Host::Segfault { process, .. } => process,
        Host::ContainerOomKilled { container } => container,
        Host::UnitProcessExited { unit, .. } | Host::UnitOomKilled { unit } => unit,
        Host::SupervisorExited { program, .. } => program,
        Host::Server { server: Server::Container(name), .. } => name,
        Host::Server { server, .. } => server.name(),
        _ => "",
    }
}

/// True where the name is that of a program; of a unit or a container it is whatever its owner liked.
fn is_process(host: &Host) -> bool {
    matches!(host, Host::OomKill { .. } | Host::Segfault { .. })
}

/// True for the name of an application server, or of what runs one.
pub fn is_app_server(name: &str) -> bool {
    const NAMES: [&str; 10] =
        ["gunicorn", "uvicorn", "python", "uwsgi", "unicorn", "puma", "hypercorn", "daphne", "granian", "waitress"];
    let name = name.to_ascii_lowercase();
    // Debian's `php-fpm7.4`, and `php5-fpm` of old.
    NAMES.iter().any(|server| name.contains(server)) || name.starts_with("php") && name.contains("fpm")
}

/// True for the name of something that stands beside an application server and is none.
pub fn is_infrastructure(name: &str) -> bool {
    const NAMES: [&str; 18] = [
        "nginx",
        "httpd",
        "apache",
        "proxy",
        "postgres",
        "mysql",
        "mariadb",
        "redis",
        "memcached",
        "mongo",
        "rabbit",
        "kafka",
        "elastic",
        "docker",
        "containerd",
        "celery",
        "cron",
        "ssh",
    ];
    let name = name.to_ascii_lowercase();
    NAMES.iter().any(|other| name.contains(other))
}
