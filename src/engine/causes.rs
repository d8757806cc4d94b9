//! Why requests fail: one file a cause, one ordered table.
//!
//! A cause looks at a [`Case`], everything that is known about one failed request, and says which of its rules fires. The
//! rule of the highest standing leads; the others are named in the evidence. What a rule is worth is counted, not said
//! here: `calibration.rs`. To add a cause: one file beside the others and one line in `table!`.

pub(crate) use super::calibration::{Rule, Standing};
pub(crate) use super::case::{Case, Claim, Trigger};
pub(crate) use super::incident::family::{Depth, Family, Origin};
use crate::read::evidence::Symptom;

macro_rules! table {
    ($($name:ident)*) => {
        $(#[allow(missing_docs, reason = "the head of each file says it")] pub mod $name;)*

        static ALL: &[&Cause] = &[$(&$name::CAUSE),*];
    };
}

// At equal standing the earlier one leads.
table! {
    gunicorn_files_exhausted
    plain_to_tls_port
    gunicorn_not_running
    master_killed
    upstream_address_mismatch
    socket_permission_denied
    security_policy_denied
    host_unreachable
    network_unreachable
    connect_timeout
    dns_failure
    no_live_upstreams
    listen_backlog_full
    workers_saturated
    ephemeral_ports_exhausted
    nginx_files_exhausted
    nginx_connections_exhausted
    worker_timeout
    worker_oom_killed
    app_returned_error
    worker_recycled
    worker_crashed
    worker_exited
    worker_killed
    worker_died
    upstream_closed_early
    reuse_port_recycled
    worker_boot_failed
    app_load_failed
    bind_failed
    arbiter_crashed
    gunicorn_restarting
    keepalive_race
    response_header_too_big
    response_header_invalid
    not_http_upstream
    request_body_unread
    tls_to_plain_port
    tls_handshake_failed
    tls_certificate_rejected
    nginx_answered
    slow_request
    response_truncated
    client_closed_request
    unknown
}

/// The honest answer where no cause claims a case.
pub static UNKNOWN: &Cause = &unknown::CAUSE;

/// What speaks for it: nothing.
pub const UNKNOWN_RULE: Rule = unknown::NOTHING;

/// All causes in the order of the table.
pub fn all() -> &'static [&'static Cause] {
    ALL
}

/// The cause with this id.
pub fn by_id(id: &str) -> Option<&'static Cause> {
    ALL.iter().find(|cause| cause.id == id).copied()
}

/// Who can mend it; the names are a contract (`why502.category`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs, reason = "each name says what the string of `id` says")]
pub enum Category {
    Unreachable,
    Capacity,
    Worker,
    Lifecycle,
    Protocol,
    Tls,
    Application,
    Client,
    Unknown,
}

impl Category {
    /// All categories in the order of the contract.
    pub const ALL: [Category; 9] = [
        Category::Unreachable,
        Category::Capacity,
        Category::Worker,
        Category::Lifecycle,
        Category::Protocol,
        Category::Tls,
        Category::Application,
        Category::Client,
        Category::Unknown,
    ];

    /// The word of the contract.
    pub fn id(self) -> &'static str {
        match self {
            Category::Unreachable => "unreachable",
            Category::Capacity => "capacity",
            Category::Worker => "worker",
            Category::Lifecycle => "lifecycle",
            Category::Protocol => "protocol",
            Category::Tls => "tls",
            Category::Application => "application",
            Category::Client => "client",
            Category::Unknown => "unknown",
        }
    }
}

/// The span of the application that a request can have left, which depends on how it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// With the status that the client got.
    SameStatus,
    /// The application finished and never knew: any status, ending with the request.
    Finished,
    /// The application went on after nginx gave up: the span ends later.
    Late,
    /// The worker died: a finished span cannot be this request's; one that an exception left has no status.
    NoStatus,
    /// The request never reached the application.
    Never,
}

/// The span that a request of this cause leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leaves {
    /// What nginx saw decides.
    BySymptom,
    /// This one, whatever nginx saw.
    Always(Expected),
    /// [`Expected::NoStatus`] where the client got this status, for Gunicorn answered as the worker was ended; else what
    /// nginx saw decides.
    NoStatusAt(u16),
}

/// What the naming of a cause means beyond itself: for workers and for late evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// It blames one worker, whose end is spoken for.
    BlamesWorker,
    /// Little speaks for it: evidence that comes after the verdict may change it.
    WantsMoreEvidence,
    /// No line that comes later unseats it.
    Final,
    /// The same where no log of an application server is read: one could tell of a stop and of a start.
    FinalAlone,
    /// A line about the process may come that says more.
    MayLearnMore,
    /// It says what happened and not why: no rival of a cause that says why.
    SaysNoReason,
}

/// A set of symptoms, one bit each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Symptoms(u32);

impl Symptoms {
    /// Whatever nginx saw.
    pub const ANY: Symptoms = Symptoms(u32::MAX);
    /// Nobody listens.
    pub const REFUSED: Symptoms = Symptoms::of(&[Symptom::ConnectRefused, Symptom::ConnectSocketMissing]);
    /// A peer took the request and went away.
    pub const CUT_OFF: Symptoms =
        Symptoms::of(&[Symptom::ResponseClosedEarly, Symptom::ResponseReset, Symptom::RequestSendFailed]);
    /// What a worker's end may look like: a cut, a 500 that Gunicorn made of it, or nothing that nginx told.
    pub const OF_AN_END: Symptoms =
        Symptoms::CUT_OFF.and(&[Symptom::TlsHandshakeFailed, Symptom::Relayed, Symptom::Unknown]);

    /// These.
    pub const fn of(symptoms: &[Symptom]) -> Symptoms {
        Symptoms(0).and(symptoms)
    }

    /// These as well.
    pub const fn and(self, symptoms: &[Symptom]) -> Symptoms {
        let mut bits = self.0;
        let mut rest = symptoms;
        while let [first, others @ ..] = rest {
            bits |= 1 << *first as u32;
            rest = others;
        }
        Symptoms(bits)
    }

    /// Those of either.
    pub const fn or(self, other: Symptoms) -> Symptoms {
        Symptoms(self.0 | other.0)
    }

    /// True when it is one of them.
    pub const fn has(self, symptom: Symptom) -> bool {
        self.0 & 1 << symptom as u32 != 0
    }
}

/// What is said of another application server than Gunicorn.
#[derive(Clone, Copy, Debug)]
pub struct Elsewhere {
    /// What happened, half a sentence; `{}` is the server.
    pub summary: &'static str,
    /// What to do, one or two sentences without values.
    pub hint: &'static str,
}

/// One row of the table of causes.
#[derive(Debug)]
pub struct Cause {
    /// The word of the contract (`why502.cause`).
    pub id: &'static str,
    /// Who can mend it.
    pub category: Category,
    /// What happened, half a sentence.
    pub summary: &'static str,
    /// When it is named: what `judge` looks for, in words.
    pub when: &'static str,
    /// What to do, one or two sentences without values.
    pub hint: &'static str,
    /// The same two of another application server than Gunicorn, where it can have this trouble as well and they name Gunicorn.
    pub elsewhere: Option<Elsewhere>,
    /// Why the rule is what it is: which program writes which line when, with file and version.
    pub facts: &'static str,
    /// Documentation of nginx, Gunicorn and others on it.
    pub links: &'static [&'static str],
    /// What nginx saw of a request that it may explain; of another, `judge` is not asked.
    pub explains: Symptoms,
    /// Which incidents it may be of: those of its family, or of several where it looks the same whichever it was.
    pub origin: Origin,
    /// The span that a request of it leaves.
    pub leaves: Leaves,
    /// What else its naming means.
    pub marks: &'static [Mark],
    /// What may speak for it; the surest first.
    pub rules: &'static [Rule],
    /// Which of its rules fires for a case; `None` where none does.
    pub judge: fn(&Case<'_>) -> Option<Claim>,
    /// Lines that it explains; the tests read them through the whole engine.
    pub example: &'static str,
    /// Lines that look like it and are something else.
    pub near_miss: &'static str,
}

impl Cause {
    /// True for the honest answer where no cause claims a case.
    pub fn is_unknown(&self) -> bool {
        self == UNKNOWN
    }

    /// True when it is worth asking: nearly all rows are out by what nginx saw.
    pub fn may_explain(&self, case: &Case<'_>) -> bool {
        !case.is_request() || self.explains.has(case.symptom)
    }

    /// True when the table says so of it.
    pub fn has(&self, mark: Mark) -> bool {
        self.marks.contains(&mark)
    }
}

/// Each row stands in the table once, so it is itself and no other.
impl PartialEq for Cause {
    fn eq(&self, other: &Cause) -> bool {
        std::ptr::eq(self, other)
    }
}

impl Eq for Cause {}
