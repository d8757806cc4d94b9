//! nginx may not use the unix socket: errno 13.

use super::{Case, Category, Cause, Claim, Elsewhere, Family, Leaves, Mark, Origin, Rule, Standing, Symptoms, Trigger};
use crate::read::evidence::{Host, Symptom};

const UNIX: Rule = Rule::new("socket_permission_denied.unix", Standing::Proof);
const DENIED: Rule = Rule::new("socket_permission_denied.policy_denied", Standing::Possible);
const NO_UPSTREAM: Rule = Rule::new("socket_permission_denied.no_upstream", Standing::Plausible);

pub static CAUSE: Cause = Cause {
    id: "socket_permission_denied",
    category: Category::Unreachable,
    summary: "nginx may not use Gunicorn's unix socket: its file or a directory above it denies nginx's user",
    when: "nginx logs errno 13 for a unix socket and no security module has denied it.",
    hint: "Put nginx's user into the socket's group and start Gunicorn with `--umask 007` (or systemd's `SocketGroup=`), give it search permission on every directory above (`namei -l` shows them), and keep the socket in a directory of its own under /run.",
    elsewhere: Some(Elsewhere {
        summary: "nginx may not use the unix socket of {}: its file or a directory above it denies nginx's user",
        hint: "Put nginx's user into the socket's group and let the server create it group-writable (Gunicorn `--umask 007`, PHP-FPM `listen.mode`, uWSGI `chmod-socket`), and give search permission on every directory above (`namei -l` shows them).",
    }),
    facts: "connect() to a unix socket needs write permission on the file and search permission on the path (unix(7)); nginx logs errno 13 at level crit. Gunicorn's umask decides the mode of the file (gunicorn/sock.py, UnixSocket.bind).",
    links: &[
        "https://docs.gunicorn.org/en/stable/settings.html#umask",
        "https://man7.org/linux/man-pages/man7/unix.7.html",
    ],
    explains: Symptoms::of(&[Symptom::ConnectPermissionDenied]),
    origin: Origin::of(Family::Denied),
    leaves: Leaves::BySymptom,
    marks: &[Mark::Final],
    rules: &[UNIX, DENIED, NO_UPSTREAM],
    judge,
    example: r#"2026/03/04 09:15:02 [crit] 411#411: *7 connect() to unix:/run/shop/web.sock failed (13: Permission denied) while connecting to upstream, client: 198.51.100.20, server: shop.test, request: "GET /cart HTTP/1.1", upstream: "http://unix:/run/shop/web.sock:/cart", host: "shop.test""#,
    near_miss: r#"2026/03/04 09:15:02 [crit] 411#411: *7 connect() to 127.0.0.1:8000 failed (13: Permission denied) while connecting to upstream, client: 198.51.100.20, server: shop.test, request: "GET /cart HTTP/1.1", upstream: "http://127.0.0.1:8000/cart", host: "shop.test""#,
};

fn judge(case: &Case<'_>) -> Option<Claim> {
    if !matches!(case.trigger, Trigger::Request) || case.symptom != Symptom::ConnectPermissionDenied {
        return None;
    }
    let denied = case
        .hosts()
        .any(|host| matches!(&host.seen.what, Host::AccessDenied { process, .. } if process.contains("nginx")));
    match (case.is_unix(), denied) {
        (true, false) => Claim::of(UNIX),
        (true, true) => Claim::of(DENIED),
        (false, _) if case.upstream.is_none() => Claim::of(NO_UPSTREAM),
        (false, _) => None,
    }
}
