use super::*;
use crate::engine::verdict::Ticket;
use crate::read::evidence::Symptom;
use crate::read::request_line::split_request_line;

fn seen<T>(ticket: u64, second: Nanos, what: T) -> Seen<T> {
    let at = Interval { from: second * SECOND, to: second * SECOND + SECOND - 1 };
    Seen { ticket: Ticket(ticket), source: ticket, at, text: String::new(), words: 0, what }
}

fn error(second: Nanos, line: &str, connection: Option<u64>) -> Seen<NginxError> {
    let what = NginxError {
        pid: connection.map(|_| 411),
        connection,
        client: "198.51.100.20".into(),
        request: Some(line.into()),
        symptom: Some(Symptom::ConnectRefused),
        ..NginxError::default()
    };
    seen(1, second, what)
}

fn access(second: Nanos, line: &str, connection: Option<u64>) -> Seen<NginxAccess> {
    let (method, target) = split_request_line(line).expect("a request line");
    let what = NginxAccess {
        pid: connection.map(|_| 411),
        connection,
        client: "198.51.100.20".into(),
        method: method.into(),
        target: target.into(),
        status: 502,
        ..NginxAccess::default()
    };
    seen(2, second, what)
}

/// Whether the two records are of one request, whichever comes first.
fn check(error: &Seen<NginxError>, access: &Seen<NginxAccess>, expected: bool) {
    let mut requests = Requests::default();
    let first = requests.join_error(0, 0, error.clone(), true);
    let second = requests.join_failed_access(0, 0, access.clone(), None);
    assert_eq!(first == second, expected, "error first: {error:?} {access:?}");
    let mut requests = Requests::default();
    let first = requests.join_failed_access(0, 0, access.clone(), None);
    let second = requests.join_error(0, 0, error.clone(), true);
    assert_eq!(first == second, expected, "access first: {error:?} {access:?}");
}

#[test]
fn the_connection_decides_where_both_have_it() {
    let line = "GET /a HTTP/1.1";
    check(&error(10, line, Some(7)), &access(10, line, Some(7)), true);
    check(&error(10, line, Some(7)), &access(10, line, Some(8)), false);
    check(&error(10, line, Some(7)), &access(10, "GET /b HTTP/1.1", Some(7)), false);
}

#[test]
fn the_request_line_decides_where_one_lacks_the_connection() {
    let line = "GET /a HTTP/1.1";
    for (one, other) in [(None, None), (Some(7), None), (None, Some(7))] {
        check(&error(10, line, one), &access(10, line, other), true);
        check(&error(10, line, one), &access(10, "GET /b HTTP/1.1", other), false);
        check(&error(20, line, one), &access(10, line, other), false);
    }
}
