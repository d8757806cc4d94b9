//! Where a physical line stands in a record of several, and what it proves there.

use super::{Format, Reading, continues};
use crate::read::evidence::{Evidence, GunicornEvent, Proof};

/// Where a physical line stands in its record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// It is the record, or its first line.
    Alone,
    /// A later line of a record that a program wrote so: a traceback.
    Behind,
    /// A later line of a record of nginx, which writes none: a client's line feed.
    BehindNginx,
    /// A later line of a record that begins in no known format: another program's, with whatever it was given.
    BehindOther,
}

impl Place {
    /// Where the next physical line of the record stands, behind one that was read so. The first that is not blank says
    /// whose the record is.
    pub(super) fn next(self, before: &Reading, line: &str) -> Place {
        use Format as F;
        match before {
            _ if self != Place::Alone || line.trim().is_empty() => self,
            Reading::Healthy(F::NginxError | F::NginxAccess | F::NginxAccessJson)
            | Reading::Proves(F::NginxError | F::NginxAccess | F::NginxAccessJson, _) => Place::BehindNginx,
            Reading::Unrecognised if !continues(line, &mut false) => Place::BehindOther,
            _ => Place::Behind,
        }
    }
}

/// What a later line of another program's record proves: the traceback that the program logged, and nothing that another
/// one writes. A user's text has line feeds, and whoever logs it quotes whatever stands in it.
pub(super) fn of_other(reading: Reading) -> Reading {
    let Reading::Proves(format, mut evidences) = reading else { return Reading::Unrecognised };
    let is_of_traceback = |evidence: &Evidence| match &evidence.proof {
        Proof::Exception { .. } => true,
        Proof::Gunicorn(gunicorn) => {
            matches!(gunicorn.event, GunicornEvent::Aborted | GunicornEvent::PreloadFailed) && gunicorn.pid.is_none()
        }
        _ => false,
    };
    evidences.retain(is_of_traceback);
    if evidences.is_empty() { Reading::Unrecognised } else { Reading::Proves(format, evidences) }
}
