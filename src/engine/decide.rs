//! From a case to its verdict: why it failed, how sure that is, and which trace it is.

use super::case::{Case, Claim, Trigger, access_quote, conclusion};
use super::causes::{self, Cause, Mark};
use super::correlate::gunicorn::{Death, Phase};
use super::correlate::join::Request;
use super::correlate::link;
use super::gather::upstream_of;
use super::verdict::{Link, Quote, Source, Verdict};
use super::words::Peer;
use crate::read::evidence::{Symptom, Text};
use crate::read::text::{hash64, quotable};

/// Quotes on one verdict (`why502.evidence`).
pub(super) const EVIDENCE_MAX: usize = 5;
/// A cause this likely beside the leading one is named in the evidence.
const ALSO_LIKELY: f64 = 0.15;
/// A claim this sure says why.
const SAYS_WHY: f64 = 0.8;
/// What is left of a rule's doubt when all logs of the request were read and nothing else fits.
const DOUBT_LEFT: f64 = 0.2;
/// A worker's end in the same second as a failure of which nginx's words are not known: one in three is another's.
const BLAMED_BY_TIME: f64 = 0.6;
/// What a claim is worth whose symptom is that of the other requests of the same second.
const BORROWED: f64 = 0.75;
/// What a cause that says no more than nginx is worth where no log could tell more. In lines that people post it is then
/// never contradicted; the doubt is about what their logs would have shown.
const CLOSED_AND_NOTHING_ELSE: f64 = 0.7;

/// The leading cause with its claim, and what else it could be.
pub fn judge(case: &Case<'_>) -> (&'static Cause, Claim) {
    let mut claims: Vec<(&'static Cause, Claim)> = Vec::new();
    for cause in causes::all() {
        if !cause.may_explain(case) {
            debug_assert!((cause.judge)(case).is_none(), "{} explains {} as well", cause.id, case.symptom.id());
            continue;
        }
        // It claims less than what is worth a word beside another.
        let is_idle = cause.is_unknown() && claims.iter().any(|(_, claim)| claim.confidence >= ALSO_LIKELY);
        if !is_idle && let Some(mut claim) = (cause.judge)(case) {
            claim.confidence *= weight_of_time(case, cause) * weight_of_servers(case, &claim);
            claims.push((*cause, claim));
        }
    }
    // Stable: at equal confidence the order of the table decides.
    claims.sort_by(|one, other| other.1.confidence.total_cmp(&one.1.confidence));
    let mut claims = claims.into_iter();
    let Some((cause, mut claim)) = claims.next() else {
        return (causes::UNKNOWN, Claim { confidence: 0.3, ..Claim::default() });
    };
    let sure = claim.confidence;
    let mut rival: f64 = 0.0;
    let mut others: Vec<&str> = Vec::new();
    for (other, claim) in claims.filter(|(_, claim)| claim.confidence >= ALSO_LIKELY).take(3) {
        rival = rival.max(claim.confidence);
        if sure < SAYS_WHY || !other.has(Mark::SaysNoReason) {
            others.push(other.id);
        }
    }
    if !others.is_empty() && !cause.is_unknown() {
        claim.quotes.truncate(EVIDENCE_MAX - 2);
        claim.quotes.push(conclusion(format!("could also be {}", others.join(", "))));
    }
    claim.confidence = stated(case, cause, claim.confidence, rival);
    (cause, claim)
}

/// What a claim is worth that rests on the time alone, nginx's own words about the request not being known.
fn weight_of_time(case: &Case<'_>, cause: &Cause) -> f64 {
    let by_time = case.is_request() && case.symptom == Symptom::Unknown && case.status() != Some(500);
    if by_time && cause.has(Mark::BlamesWorker) {
        BLAMED_BY_TIME
    } else if case.borrowed_symptom {
        BORROWED
    } else {
        1.0
    }
}

/// What the words of an application server are worth that may be another one's.
fn weight_of_servers(case: &Case<'_>, claim: &Claim) -> f64 {
    let of_server = |quote: &Quote| matches!(quote.source, Source::Gunicorn | Source::GunicornAccess | Source::Host);
    if case.is_request() && claim.quotes.iter().any(of_server) { case.weight } else { 1.0 }
}

/// The confidence that is said. A claim weighs one rule by what it has seen; where every log of the request is in sight
/// a rule that stands unrivalled is wrong less often than that, and a worker is blamed less surely by time alone.
/// Fitted to recordings of a real nginx and Gunicorn: said 0.9 = right 9 times in 10.
fn stated(case: &Case<'_>, cause: &Cause, claimed: f64, rival: f64) -> f64 {
    let claimed = claimed.clamp(0.0, 1.0);
    if cause.is_unknown() || !case.is_request() {
        return claimed;
    }
    if cause.has(Mark::WantsMoreEvidence) && !case.has_gunicorn_log() && rival == 0.0 {
        // It says that the connection was closed and that nothing tells why: without Gunicorn's log nothing can.
        return CLOSED_AND_NOTHING_ELSE;
    }
    let complete =
        case.weight == 1.0 && case.request.access.is_some() && case.error().is_some() && case.has_gunicorn_log();
    if !complete {
        return claimed;
    }
    1.0 - (1.0 - claimed) * (DOUBT_LEFT + rival).min(1.0)
}

/// The verdict on a case. `uid_salt` tells equal requests apart.
pub fn verdict_of(case: &Case<'_>, id: u64, uid_salt: u32, threshold: f64) -> (Verdict, Option<u64>) {
    let (cause, claim) = judge(case);
    let request = case.request;
    let mut confidence = claim.confidence;
    if !request.genuine {
        confidence *= 0.5;
    }
    if case.is_request() && request.access.is_none() && case.has_access_log() {
        confidence *= 0.9;
    }
    let (link, span) = match case.trigger {
        Trigger::Request => link::find(case, id, cause, threshold),
        Trigger::Death | Trigger::Phase(_) | Trigger::Host(_) => (Link::NONE, None),
    };
    let mut evidence = evidence_of(case, &claim);
    if evidence.len() < EVIDENCE_MAX {
        evidence.extend(link::remark(case, &link, span));
    }
    let mut records = request.records();
    for quote in &evidence {
        if let Some(ticket) = quote.ticket
            && !records.iter().any(|(_, known)| *known == ticket)
        {
            records.push((quote.source, ticket));
        }
    }
    // A verdict is kept for minutes.
    records.shrink_to_fit();
    let access = request.access.as_ref();
    let attempts = access.map_or(0, |access| access.what.attempts.len());
    let attempts = if attempts > 0 {
        attempts
    } else {
        request.errors.iter().filter(|error| error.what.symptom.is_some()).count()
    };
    let verdict = Verdict {
        uid: uid_of(case, uid_salt),
        peer: peer_of(case),
        revision: 0,
        time: access.map_or(case.at.from, |access| access.at.from),
        status: case.status(),
        method: case.method().into(),
        target: case.target().into(),
        client: client_of(request),
        host: host_of(request),
        symptom: symptom_shown(case),
        cause,
        confidence: (confidence * 1_000.0).round() / 1_000.0,
        evidence,
        records,
        upstream: upstream_of(request).or(case.upstream).map(Text::from),
        attempts: attempts as u32,
        worker_pid: claim.worker.filter(|worker| *worker != Death::UNKNOWN_WORKER),
        link,
        incident: None,
    };
    (verdict, span)
}

fn symptom_shown(case: &Case<'_>) -> Symptom {
    if case.derived_from.is_some() { Symptom::NoLiveUpstreams } else { case.symptom }
}

fn client_of(request: &Request) -> Text {
    let of_access =
        request.access.as_ref().map(|access| access.what.client.clone()).filter(|client| !client.is_empty());
    of_access.or_else(|| request.error().map(|error| error.what.client.clone())).unwrap_or_default()
}

/// The `Host` of the request, which a client may choose freely; nginx's own `server_name` where it is not logged.
fn host_of(request: &Request) -> Text {
    let of_access = request.access.as_ref().map(|access| access.what.host.as_str());
    let error = request.error().map(|error| &error.what);
    let of_error = [error.and_then(|error| error.host.as_deref()), error.map(|error| error.server.as_str())];
    let names = of_access.into_iter().chain(of_error.into_iter().flatten());
    names.map(without_port).find(|name| !matches!(*name, "" | "_" | "-")).unwrap_or_default().into()
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port))
            if port.bytes().all(|byte| byte.is_ascii_digit()) && (!name.contains(':') || name.ends_with(']')) =>
        {
            name
        }
        _ => host,
    }
}

/// The server that was asked: one whose own lines say so, else what nginx's protocol tells.
fn peer_of(case: &Case<'_>) -> Peer {
    let scheme = case.error().map_or("", |error| error.what.upstream_scheme.as_str());
    if let Some(peer) = Peer::of_scheme(scheme) {
        return peer;
    }
    let told = match case.trigger {
        Trigger::Host(host) => case.end_of(host),
        _ => case.ended().find(|ended| ended.names_server),
    };
    match told.and_then(|ended| ended.server()) {
        Some(name) => Peer::Named(name),
        None if case.asks_gunicorn() => Peer::Gunicorn,
        None => Peer::Unknown,
    }
}

fn evidence_of(case: &Case<'_>, claim: &Claim) -> Vec<Quote> {
    let mut evidence: Vec<Quote> = Vec::new();
    let mut push = |quote: Quote| {
        if evidence.len() < EVIDENCE_MAX
            && !evidence.iter().any(|known| known.text == quote.text && known.source == quote.source)
        {
            evidence.push(quote);
        }
    };
    case.symptom_quote().into_iter().for_each(&mut push);
    if let Some(root) = case.derived_from {
        push(root.quote());
    }
    claim.quotes.iter().cloned().for_each(&mut push);
    if case.error().is_some()
        && let Some(access) = &case.request.access
        && access.what.has_upstream
    {
        push(access_quote(access));
    }
    case.other_server().into_iter().for_each(&mut push);
    for quote in &mut evidence {
        quote.text = quotable(std::mem::take(&mut quote.text));
    }
    evidence
}

/// 32 hexadecimal digits out of the first record's words and time: the same input gives the same uid.
fn uid_of(case: &Case<'_>, salt: u32) -> String {
    let request = case.request;
    let nothing = hash64(b"");
    let error = request.errors.first().map_or(nothing, |error| error.words);
    let access = request.access.as_ref().map_or(nothing, |access| access.words);
    let is_silent = error == nothing && access == nothing;
    let other = if is_silent { hash64(words_of_process(case).as_bytes()) } else { nothing };
    let mut words = Vec::with_capacity(48);
    for hash in [error, access, other] {
        words.extend_from_slice(&hash.to_le_bytes());
    }
    words.extend_from_slice(&case.at.from.to_le_bytes());
    // Two pods write the same words about requests of their own.
    words.extend_from_slice(&case.place().site.to_le_bytes());
    words.extend_from_slice(&salt.to_le_bytes());
    let high = hash64(&words);
    words.push(b'#');
    let number = u128::from(high) << 64 | u128::from(hash64(&words));
    (0..32).rev().filter_map(|digit| char::from_digit((number >> (4 * digit)) as u32 & 0xf, 16)).collect()
}

/// The words that a verdict rests on which is about no request.
fn words_of_process(case: &Case<'_>) -> String {
    match (&case.trigger, case.death) {
        (Trigger::Phase(change), _) => change.quote.text.clone(),
        (Trigger::Host(host), _) => host.seen.text.clone(),
        (_, Some((_, death))) => {
            format!("{} {}", death.worker, death.quotes.first().map_or("", |quote| quote.text.as_str()))
        }
        _ => String::new(),
    }
}

/// True when a change of phase is worth a verdict of its own.
pub fn is_fatal(phase: &Phase) -> bool {
    use super::correlate::gunicorn::Down;
    matches!(
        phase,
        Phase::Down(Down::BootFailed | Down::AppLoadFailed | Down::BindFailed | Down::Crashed | Down::MasterLost)
    )
}
