//! Signals: none that a service manager or a closing terminal sends loses a record.

use super::say;
use std::io;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// TERM, INT, QUIT: deliver what is there and end.
    End,
    /// HUP: read the configuration anew, or the terminal is gone.
    HangUp,
}

/// All signals that would end the program if nobody listened.
#[derive(Debug)]
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    quit: Signal,
    hang_up: Signal,
    first_user: Signal,
    second_user: Signal,
    /// HUP was ignored when the program was started, as `nohup` has it: the end of a terminal is not meant for it.
    pub(super) outlives_terminal: bool,
}

impl Signals {
    /// Listens from now on. Must be called inside the runtime.
    ///
    /// # Errors
    /// When the system refuses.
    pub(super) fn listen() -> io::Result<Signals> {
        // Before the first listener takes its place.
        let outlives_terminal = is_hang_up_ignored(&std::fs::read_to_string("/proc/self/status").unwrap_or_default());
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
            hang_up: signal(SignalKind::hangup())?,
            first_user: signal(SignalKind::user_defined1())?,
            second_user: signal(SignalKind::user_defined2())?,
            outlives_terminal,
        })
    }

    /// The next signal that asks for something; others are ignored with a line.
    pub(super) async fn next(&mut self) -> Asked {
        loop {
            let ignored = tokio::select! {
                _ = self.terminate.recv() => return Asked::End,
                _ = self.interrupt.recv() => return Asked::End,
                _ = self.quit.recv() => return Asked::End,
                _ = self.hang_up.recv() => return Asked::HangUp,
                _ = self.first_user.recv() => "SIGUSR1",
                _ = self.second_user.recv() => "SIGUSR2",
            };
            say(&format!("{ignored} is ignored: SIGHUP reads the configuration anew, SIGTERM ends"));
        }
    }

    /// The next signal that asks for the end. A HUP while it ends is none: service managers and terminals send it beside
    /// another.
    pub(super) async fn end(&mut self) {
        while self.next().await != Asked::End {}
    }
}

/// Out of `/proc/self/status`: the lowest bit of `SigIgn` is signal 1.
fn is_hang_up_ignored(status: &str) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nohup_is_seen() {
        assert!(is_hang_up_ignored("Name:\tx\nSigIgn:\t0000000000001001\nSigCgt:\t0\n"));
        assert!(!is_hang_up_ignored("Name:\tx\nSigIgn:\t0000000000001000\nSigCgt:\t1\n"));
        assert!(!is_hang_up_ignored(""));
    }
}
