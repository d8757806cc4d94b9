//! Where a second record begins on one physical line, and whether it is one.

use crate::read::client::is_quoted;
use crate::read::formats::nginx_access::is_request_line;
use crate::read::formats::{nginx_error, table};

/// Where another record's head stands: nginx's stamp and level, Gunicorn's stamp and pid.
pub(in crate::read) fn head(bare: &str) -> Option<usize> {
    let of_nginx = nginx_error::heads(bare).filter(|head| head.is_stamped).map(|head| head.start);
    let brackets = memchr::memchr_iter(b'[', bare.as_bytes());
    let of_gunicorn = brackets.filter(|at| bare.get(*at..).is_some_and(table::has_head));
    let first =
        |mut heads: &mut dyn Iterator<Item = usize>| (&mut heads).find(|start| *start > 0 && !is_quoted(bare, *start));
    let both = [first(&mut { of_nginx }), first(&mut { of_gunicorn })];
    both.into_iter().flatten().min()
}

/// True where `rest`, behind an access line, is no value of that line: a whole head that touches the quote which closes the
/// line's last value, or one behind a blank whose request stands in quotes of nginx's own. Behind a blank nginx's format may
/// have a header without quotes, and in it every quote of a client is escaped.
pub(in crate::read) fn is_no_value(first: &str, rest: &str) -> bool {
    let touches = first.ends_with('"');
    let has_request = || {
        let request = rest.split_once(", request: \"").and_then(|(_, request)| request.split_once('"'));
        request.is_some_and(|(request, _)| is_request_line(request))
    };
    table::has_head(rest) && (touches || first.trim_end().ends_with('"') && has_request())
}
