//! What nginx saw of its last attempt where its error log says nothing of it: a table over what the access line says.
//!
//! nginx (`src/http/ngx_http_upstream.c`, 1.9.1 to 1.31) writes a time into `$upstream_connect_time` as soon as it is
//! connected, into `$upstream_header_time` when a whole and valid header has come, and `-` until then;
//! `$upstream_bytes_received` (1.11.4) counts all that came. A format may lack any of them. A cell that fits several
//! things is [`Symptom::Unknown`]: no word is better than a wrong one.

use crate::read::evidence::{Attempt, Logged, Symptom};

/// What the access line says of one thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    Yes,
    No,
    /// The format has no such variable.
    Nothing,
}

impl Said {
    fn of_time(time: Logged<i64>) -> Said {
        match time {
            Logged::Value(_) => Said::Yes,
            Logged::Dash => Said::No,
            Logged::No => Said::Nothing,
        }
    }

    /// nginx writes a number for each attempt: `-` is another's work, and says nothing.
    fn of_bytes(bytes: Logged<u64>) -> Said {
        match bytes {
            Logged::Value(0) => Said::No,
            Logged::Value(_) => Said::Yes,
            Logged::Dash | Logged::No => Said::Nothing,
        }
    }
}

/// What nginx saw of an attempt that ended in this status.
pub(super) fn of_attempt(status: u16, attempt: &Attempt) -> Symptom {
    use Said::{No, Nothing, Yes};
    let connected = Said::of_time(attempt.connect_time);
    let header = Said::of_time(attempt.header_time);
    let bytes = Said::of_bytes(attempt.bytes_received);
    match (status, connected, header, bytes) {
        (499, _, _, _) => Symptom::ClientClosed,
        // nginx passes on as HTTP/0.9 what is no header at all.
        (9, _, _, _) => Symptom::ResponseHeaderInvalid,
        (_, _, Yes, _) => Symptom::Relayed,
        // Bytes of nobody: the lists are of different lengths, or the line is damaged.
        (_, No, _, Yes) => Symptom::Unknown,
        (504, No, _, _) => Symptom::ConnectTimedOut,
        (504, Yes, No, _) | (504, Nothing, No, Yes) => Symptom::ResponseTimedOut,
        // No byte of an answer: nginx made the status itself.
        (504, Yes, Nothing, No) => Symptom::ResponseTimedOut,
        // An answer of the application, or nginx's timer in the middle of a header.
        (504, Yes, Nothing, Yes | Nothing) => Symptom::Unknown,
        // It connected or it did not.
        (504, Nothing, No | Nothing, _) => Symptom::Unknown,
        (502, No, _, _) => Symptom::ConnectFailed,
        (502, Yes, No | Nothing, No) => Symptom::ResponseClosedEarly,
        // A header that nginx refused leaves the same fields, but is rare: its causes keep it in mind.
        (502, Yes, No, Nothing) => Symptom::ResponseClosedEarly,
        (502, Yes | Nothing, No, Yes) => Symptom::ResponseHeaderInvalid,
        // An answer of the application, or one that nginx refused.
        (502, Yes, Nothing, Yes | Nothing) => Symptom::Unknown,
        // Refused, or cut off.
        (502, Nothing, No | Nothing, _) => Symptom::Unknown,
        // nginx's own 500 and 503 have many reasons, and a success that was cut has its error line.
        _ => Symptom::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read::evidence::MILLISECOND;

    const TIMES: [Logged<i64>; 3] = [Logged::No, Logged::Dash, Logged::Value(2 * MILLISECOND)];
    const BYTES: [Logged<u64>; 4] = [Logged::No, Logged::Dash, Logged::Value(0), Logged::Value(194)];

    /// Each cell of one status as text: a row for each state of connect and header, a column for each of bytes.
    fn table(status: u16) -> String {
        let name = |time: Logged<i64>| match time {
            Logged::No => "no  ",
            Logged::Dash => "-   ",
            Logged::Value(_) => "time",
        };
        let mut rows = Vec::new();
        for connect_time in TIMES {
            for header_time in TIMES {
                let cells = BYTES.map(|bytes_received| {
                    let attempt = Attempt { connect_time, header_time, bytes_received, ..Attempt::default() };
                    of_attempt(status, &attempt).id()
                });
                rows.push(format!("{} {} | {}", name(connect_time), name(header_time), cells.join(" ")));
            }
        }
        rows.join("\n")
    }

    fn check(status: u16, expected: &str) {
        let expected: Vec<&str> = expected.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        assert_eq!(table(status), expected.join("\n"), "{status}");
    }

    // connect, header | bytes not logged, `-`, 0, some

    #[test]
    fn bad_gateway() {
        check(
            502,
            "
            no   no   | unknown unknown unknown unknown
            no   -    | unknown unknown unknown response_header_invalid
            no   time | relayed relayed relayed relayed
            -    no   | connect_failed connect_failed connect_failed unknown
            -    -    | connect_failed connect_failed connect_failed unknown
            -    time | relayed relayed relayed relayed
            time no   | unknown unknown response_closed_early unknown
            time -    | response_closed_early response_closed_early response_closed_early response_header_invalid
            time time | relayed relayed relayed relayed",
        );
    }

    #[test]
    fn gateway_timeout() {
        check(
            504,
            "
            no   no   | unknown unknown unknown unknown
            no   -    | unknown unknown unknown response_timed_out
            no   time | relayed relayed relayed relayed
            -    no   | connect_timed_out connect_timed_out connect_timed_out unknown
            -    -    | connect_timed_out connect_timed_out connect_timed_out unknown
            -    time | relayed relayed relayed relayed
            time no   | unknown unknown response_timed_out unknown
            time -    | response_timed_out response_timed_out response_timed_out response_timed_out
            time time | relayed relayed relayed relayed",
        );
    }

    #[test]
    fn other_statuses() {
        // Of these the access line says no more than that the application answered, or did not.
        for status in [200, 500, 503] {
            let all: Vec<String> = ["no  ", "-   ", "time"]
                .iter()
                .flat_map(|connect| {
                    [("no  ", "unknown"), ("-   ", "unknown"), ("time", "relayed")]
                        .map(|(header, symptom)| format!("{connect} {header} | {}", [symptom; 4].join(" ")))
                })
                .collect();
            check(status, &all.join("\n"));
        }
        for (status, symptom) in [(499, "client_closed"), (9, "response_header_invalid")] {
            let rows = table(status);
            assert!(rows.lines().all(|row| row.ends_with(&format!("| {}", [symptom; 4].join(" ")))), "{rows}");
        }
    }
}
