//! How one worker ended.

use crate::engine::correlate::Interval;
use crate::engine::verdict::Quote;
use crate::read::evidence::Nanos;

/// The end of one worker, or of one request inside a worker that lived on (`SystemExit`).
#[derive(Clone, Debug)]
pub struct Death {
    /// The log stream.
    pub source: u64,
    /// The worker; [`Death::UNKNOWN_WORKER`] where no line names it.
    pub worker: u32,
    /// The primary process that told of it; several may write one stream.
    pub primary: Option<u32>,
    /// First sign.
    pub from: Interval,
    /// Last sign.
    pub to: Interval,
    /// `WORKER TIMEOUT (pid:N)`.
    pub timed_out: bool,
    /// Signal that ended it.
    pub signal: Option<u32>,
    /// Exit code.
    pub code: Option<i32>,
    /// `Worker exiting (pid: N)`: it ended in good order.
    pub exiting: bool,
    /// `Exception in worker process`: it failed outside a request.
    pub failed: bool,
    /// `Error handling request /x`: the request that it was busy with; empty for `(no URI read)`.
    pub request: Option<String>,
    /// Last line of the traceback: class and message.
    pub exception: Option<(String, String)>,
    /// The application's own line of that traceback, as a quote: `app.py:19 in report`.
    pub frame: Option<Quote>,
    /// The lines that say so, at most 6.
    pub quotes: Vec<Quote>,
    /// The instance was stopping at the time: an ordered end.
    pub ordered: bool,
    /// The log in sight begins with it: what was written just before is not known.
    pub begins_log: bool,
    /// It had booted long before: an exit code that tells of a failed boot is the application's own.
    pub served: bool,
    /// Another worker has taken its place.
    pub reaped: bool,
    /// Failed requests explained by it.
    pub explains: u32,
    /// A verdict of its own was given.
    pub reported: bool,
    /// Time on the caller's clock when it was first seen.
    pub seen: Nanos,
}

impl Death {
    /// The pid of a worker that no line names.
    pub const UNKNOWN_WORKER: u32 = 0;

    /// True when the worker was torn away, not just leaving in good order.
    pub fn is_violent(&self) -> bool {
        self.timed_out
            || self.is_exit_of_application()
            || (self.signal.is_some() && self.signal != Some(15))
            || self.exit_code_tells()
    }

    /// `SystemExit` out of a handler: the application called exit, or Gunicorn's own abort did.
    pub fn is_exit_of_application(&self) -> bool {
        self.request.is_some() && self.exception.as_ref().is_some_and(|(class, _)| class == "SystemExit")
    }

    /// `Error handling request` and nothing else: the worker lived on, for all that is known.
    pub fn is_error_of_request(&self) -> bool {
        self.request.is_some() && !self.timed_out && !self.exiting && self.signal.is_none() && self.code.is_none()
    }

    /// An exit code that is neither success nor a boot failure.
    pub fn exit_code_tells(&self) -> bool {
        self.code.is_some_and(|code| !matches!(code, 0 | 3 | 4) || self.served && code != 0)
    }

    /// `Worker exiting` and nothing else: it left in good order, and no line says who told it to.
    pub fn left_by_itself(&self) -> bool {
        self.exiting
            && !self.ordered
            && !self.timed_out
            && !self.failed
            && self.request.is_none()
            && self.signal.is_none()
            && self.code.is_none()
    }

    /// Too many open files.
    pub fn ran_out_of_files(&self) -> bool {
        self.exception.as_ref().is_some_and(|(_, message)| {
            message.contains("[Errno 24]")
                || message.contains("Too many open files")
                || message.contains("No file descriptors available")
        })
    }
}

impl Death {
    pub(super) fn reported_or_harmless(&self) -> bool {
        self.reported || self.explains > 0 || !self.is_violent()
    }
}
