//! What lines about processes and containers say, whoever wrote them.

/// The kernel, systemd, Kubernetes or a supervisor about a process.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "the comment of each variant quotes its message")]
pub enum Host {
    /// `Out of memory: Killed process N (gunicorn)`, `Memory cgroup out of memory: Killed process N (python)`,
    /// `oom-kill:constraint=...`; the pid is the host's, not the container's
    OomKill { pid: Option<u32>, process: String },
    /// `gunicorn: worke[N]: segfault at 0 ip ...`, `traps: ... general protection fault`
    Segfault { pid: Option<u32>, process: String },
    /// `type=AVC ... denied { name_connect } ... comm="nginx"`, AppArmor's `apparmor="DENIED"`
    AccessDenied { process: String, permission: String },
    /// Kubernetes: `OOMKilled`, `reason: OOMKilling`
    ContainerOomKilled { container: String },
    /// Kubernetes: `Liveness probe failed`, `Killing container`, `BackOff`
    ContainerKilled { container: String, reason: String },
    /// systemd: `g.service: Main process exited, code=killed, status=9/KILL`
    UnitProcessExited { unit: String, code: String, status: String },
    /// systemd: `g.service: A process of this unit has been killed by the OOM killer.`
    UnitOomKilled { unit: String },
    /// systemd: `Failed to start g.service`, `g.service: Failed with result 'exit-code'`
    UnitFailed { unit: String, result: String },
    /// systemd: `Stopping g.service`, `Stopped ...`
    UnitStopping { unit: String },
    /// systemd: `Started g.service`
    UnitStarted { unit: String },
    /// uWSGI: `uwsgi_response_write_body_do(): Broken pipe`; Gunicorn: `Ignoring EPIPE`
    PeerGone { program: String },
    /// Another application server about a process of its own, or Docker about a container
    Server { server: Server, pid: Option<u32>, event: ServerEvent },
    /// supervisord: `exited: web (exit status 1; not expected)`, `terminated by SIGKILL`
    SupervisorExited { program: String, detail: String },
}

/// Who tells of its own processes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are those of the programs")]
pub enum Server {
    Uvicorn,
    Granian,
    Puma,
    Uwsgi,
    PhpFpm,
    /// Docker, of the container with this name.
    Container(String),
}

impl Server {
    /// As its makers write it; the container's name.
    pub fn name(&self) -> &str {
        match self {
            Server::Uvicorn => "uvicorn",
            Server::Granian => "Granian",
            Server::Puma => "Puma",
            Server::Uwsgi => "uWSGI",
            Server::PhpFpm => "PHP-FPM",
            Server::Container(name) => name,
        }
    }
}

/// What became of a process of an application server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerEvent {
    /// The server ended it because it took too long: uWSGI's `harakiri`, PHP-FPM's `request_terminate_timeout`.
    TimedOut,
    /// A signal ended it.
    Signalled(u32),
    /// It ended with this code.
    Exited(i32),
    /// It ended, and its server does not say how.
    Died,
    /// It did not start, or not for long.
    FailedToBoot,
    /// It was cut off at a stop, its time to end in good order being over.
    CutAtStop,
    /// The queue of the socket was full.
    QueueFull,
    /// All workers were busy and no more are allowed.
    AllBusy,
}
