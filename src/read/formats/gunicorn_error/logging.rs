//! Heads that a `logconfig` gives Gunicorn's lines: a time, a level, a pid and names in any order.
//!
//! ```text
//!  ERROR 2026-03-04 09:15:02,120 glogging 300 140001 Exception in worker process
//!  GUNICORN: [300] [CRITICAL] [2026-03-04 09:15:02 +0000] WORKER TIMEOUT (pid:301)
//!  2026-03-04 09:15:02,120 - INFO - Handling signal: term
//! ```
//!
//! Nothing else may stand in it: a word of another kind begins somebody's message, which may quote anything.

use super::{HEAD_BYTES_MAX, Line, event};
use crate::read::evidence::{Gunicorn, GunicornEvent, Stamp};
use crate::read::time::{iso_stamp, month_from_name};

/// Words of a head that are looked at.
const WORDS_MAX: usize = 16;
const LEVELS: [&str; 6] = ["DEBUG", "INFO", "WARNING", "WARN", "ERROR", "CRITICAL"];
/// Marks between the words.
const MARKS: [char; 12] = [' ', '\t', '|', ':', '-', '=', ',', '[', ']', '(', ')', '•'];

/// What stands before a message.
#[derive(Debug, Default)]
struct Head {
    stamp: Option<Stamp>,
    pid: Option<u32>,
    level: &'static str,
    /// A module or logger of Gunicorn's own stands in it.
    is_named: bool,
    /// `app: ` before the name of the logger.
    has_other_name: bool,
    /// The pid follows the name of the module (Django's `verbose`).
    is_before_pid: bool,
}

/// Reads a line with such a head.
pub(super) fn read(line: &str) -> Option<Line> {
    let mut head = Head::default();
    let mut rest = line;
    for _ in 0..WORDS_MAX {
        let bracketed = rest.trim_start_matches(|c| c != '[' && MARKS.contains(&c)).starts_with('[');
        rest = rest.trim_start_matches(MARKS);
        if let Some(event) = event(rest) {
            return head.explains(&event).then(|| Line {
                stamp: head.stamp,
                gunicorn: Gunicorn { pid: head.pid, level: head.level.to_owned(), event },
            });
        }
        let at = line.len() - rest.len();
        let word = rest.split([' ', '\t', '|']).next().filter(|word| !word.is_empty())?;
        if at + word.len() > HEAD_BYTES_MAX || !head.take(word, bracketed, rest) {
            return None;
        }
        rest = rest.get(word.len()..)?;
    }
    None
}

impl Head {
    /// Takes one more word; `false` for one that stands in no head. `rest` begins with it.
    fn take(&mut self, word: &str, bracketed: bool, rest: &str) -> bool {
        let bare = word.trim_matches(MARKS);
        let is_pid = std::mem::take(&mut self.is_before_pid) || bracketed && word.ends_with(']');
        if let Some(level) = LEVELS.iter().find(|level| level.eq_ignore_ascii_case(bare)) {
            self.level = level;
            return true;
        }
        if bare.is_empty() || is_number(bare) {
            let digits = bare.bytes().all(|byte| byte.is_ascii_digit());
            if digits && is_pid && self.pid.is_none() {
                self.pid = bare.parse().ok();
            }
            let until = rest.find([']', '|']).and_then(|end| rest.get(..end)).unwrap_or(rest);
            self.stamp = self.stamp.or_else(|| iso_stamp(until));
            return true;
        }
        if month_from_name(bare.as_bytes()).is_some() {
            return true;
        }
        self.take_name(bare)
    }

    fn take_name(&mut self, name: &str) -> bool {
        let lower = name.to_ascii_lowercase();
        if lower == "gunicorn" || lower.starts_with("gunicorn.") || lower.starts_with("glogging") {
            self.is_named = true;
            self.is_before_pid = lower == "glogging";
            return true;
        }
        // `MainProcess[1978]`: Python's own names of what logs.
        if let Some(rest) = lower.strip_prefix("mainprocess").or_else(|| lower.strip_prefix("mainthread")) {
            let pid = rest.strip_prefix('[').map(|pid| pid.trim_end_matches(']'));
            self.pid = self.pid.or_else(|| pid?.parse().ok());
            return rest.is_empty() || pid.is_some();
        }
        let is_name =
            name.len() <= 64 && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte));
        is_name && !std::mem::replace(&mut self.has_other_name, true)
    }

    /// Enough stands in it to be a head, of Gunicorn's line where others may say the same. The time may have been taken for an
    /// envelope's.
    fn explains(&self, event: &GunicornEvent) -> bool {
        !self.level.is_empty() && (self.is_named || !self.has_other_name && is_gunicorns_own(event))
    }
}

/// A time or a part of one, a number, `609ms`.
fn is_number(word: &str) -> bool {
    let word = word.strip_suffix("ms").unwrap_or(word);
    let is_part = |byte: u8| byte.is_ascii_digit() || b"-:./,+TZ".contains(&byte);
    word.bytes().all(is_part) && word.bytes().any(|byte| byte.is_ascii_digit())
}

/// No other program says so.
fn is_gunicorns_own(event: &GunicornEvent) -> bool {
    use GunicornEvent as E;
    match event {
        E::WorkerTimeout { .. }
        | E::WorkerSignalled { .. }
        | E::WorkerExited { .. }
        | E::WorkerExiting { .. }
        | E::GracefulTimeout { .. }
        | E::Booting { .. }
        | E::Starting { .. }
        | E::UsingWorker { .. }
        | E::ShuttingDown
        | E::HangUp
        | E::BootFailed
        | E::AppLoadFailed { .. }
        | E::ExceptionInWorker
        | E::Autorestarting
        | E::ParentChanged => true,
        E::HandlingSignal { name } => !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric()),
        E::Listening { addresses } => !addresses.is_empty(),
        E::BindFailed { address } => address.starts_with("('"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::read;
    use crate::read::time::from_utc;

    #[test]
    fn any_order_of_time_level_pid_and_names() {
        let at = from_utc(2026, 11, 30, 12, 28, 53);
        for (head, pid, has_time) in [
            ("ERROR 2026-11-30 12:28:53,000 glogging 7 140001 ", Some(7), true),
            ("GUNICORN: [7] [CRITICAL] [2026-11-30 12:28:53 +0000] ", Some(7), true),
            ("[INFO] [7] [2026-11-30 12:28:53 +0000] ", Some(7), true),
            ("2026-11-30 12:28:53 - INFO - ", None, true),
            ("20261130 12:28:53 609ms CRITICAL: MainProcess[7] ", Some(7), false),
            ("app: gunicorn CRITICAL ", None, false),
            ("- INFO - ", None, false),
            ("2026-11-30T12:28:53Z [critical ] ", None, true),
            ("2026-11-30 12:28:53.000 | ERROR    | gunicorn.glogging:critical:278 - ", None, true),
        ] {
            for message in [
                "WORKER TIMEOUT (pid:31)",
                "Handling signal: term",
                "Exception in worker process",
                "Booting worker with pid: 31",
            ] {
                let line = format!("{head}{message}");
                let found = read(&line).unwrap_or_else(|| panic!("{line}"));
                let bare = read(message).expect("known");
                assert_eq!(found.gunicorn.event, bare.gunicorn.event, "{line}");
                if pid.is_some() {
                    assert_eq!(found.gunicorn.pid, pid, "{line}");
                }
                assert_eq!(found.stamp.map(|stamp| stamp.nanos), at.filter(|_| has_time), "{line}");
            }
        }
    }

    #[test]
    fn a_message_of_another_program_is_none() {
        for line in [
            "2026-11-30 12:28:53 - INFO - user said Handling signal: term",
            "ERROR 2026-11-30 12:28:53,404 views 7 140001 Exception in worker process",
            "2026-11-30 12:28:53 ERROR Can't connect to MySQL server on 'db'",
            "2026-11-30 12:28:53 ERROR Unhandled exception in main loop",
            "2026-11-30 12:28:53 INFO Error handling request /a",
            "INFO Handling signal: term and more",
            "GET /a 200 INFO Handling signal: term",
            "2026-11-30 12:28:53 INFO \"Handling signal: term\"",
        ] {
            assert!(super::read(line).is_none(), "{line}");
        }
    }
}
