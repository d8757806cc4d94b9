//! From a case to its verdict: why it failed, how sure that is, and which trace it is.

use super::calibration::{self, Completeness, Standing};
use super::case::{Case, Claim, Trigger, access_quote, conclusion};
use super::causes::{self, Cause, Mark};
use super::correlate::gunicorn::{Death, Phase};
use super::correlate::join::Request;
use super::correlate::link;
use super::gather::upstream_of;
use super::verdict::{Considered, Link, Quote, Source, Verdict};
use super::words::Peer;
use crate::read::evidence::{Symptom, Text};
use crate::read::text::{hash64, quotable};

/// Quotes on one verdict (`why502.evidence`).
pub(super) const EVIDENCE_MAX: usize = 5;
/// As many as most verdicts have: an error line and an access line.
const EVIDENCE_USUAL: usize = 2;
/// Other claims that are told with a verdict: more than ever fire for one request that anything tells of.
const CONSIDERED_MAX: usize = 8;
/// Other causes that are named in the evidence.
const NAMED_MAX: usize = 3;
/// A worker's end in the same second as a failure of which nginx's words are not known may be another's: what proves why a
/// worker ended is then hardly better than one guess of two.
const STEPS_BY_TIME: usize = 4;
/// The words of the only server in view, which is on another machine.
const STEPS_ELSEWHERE: usize = 1;

/// One claim beside the others.
#[derive(Debug)]
struct Weighed {
    cause: &'static Cause,
    claim: Claim,
    /// Where it stands among the others.
    standing: Standing,
    /// How much it rests on.
    completeness: Completeness,
    /// How likely it is that its words are about the server that was asked.
    weight: f64,
}

/// The leading claim, and what else it could be.
#[derive(Debug)]
pub struct Judgement {
    /// Why it failed.
    pub cause: &'static Cause,
    /// What speaks for it.
    pub claim: Claim,
    /// How much it proves.
    pub standing: Standing,
    /// How much was in sight.
    pub completeness: Completeness,
    /// All claims with their share of one probability, the leading one first.
    pub considered: Vec<Considered>,
}

/// The leading cause with its claim, and what else it could be.
pub fn judge(case: &Case<'_>) -> Judgement {
    let mut claims: Vec<Weighed> = Vec::new();
    for cause in causes::all() {
        if !cause.may_explain(case) {
            debug_assert!((cause.judge)(case).is_none(), "{} explains {} as well", cause.id, case.symptom.id());
            continue;
        }
        let is_idle = cause.is_unknown() && !claims.is_empty();
        if !is_idle && let Some(claim) = (cause.judge)(case) {
            debug_assert!(cause.rules.contains(&claim.rule), "{} is no rule of {}", claim.rule.id, cause.id);
            claims.push(weighed(case, cause, claim));
        }
    }
    // Stable: at equal standing the order of the table decides.
    claims.sort_by_key(|claim| std::cmp::Reverse(claim.standing));
    if claims.is_empty() {
        claims.extend(Claim::of(causes::UNKNOWN_RULE).map(|claim| weighed(case, causes::UNKNOWN, claim)));
    }
    let considered = shares(case, &claims);
    let mut claims = claims.into_iter();
    let Some(Weighed { cause, mut claim, standing, completeness, .. }) = claims.next() else {
        let claim = Claim { rule: causes::UNKNOWN_RULE, quotes: Vec::new(), worker: None, hint: None };
        let (standing, completeness) = (claim.rule.standing, case.completeness());
        return Judgement { cause: causes::UNKNOWN, claim, standing, completeness, considered };
    };
    // One that says why has no rival in a cause that says no more than what happened.
    let is_rival = |other: &Weighed| standing < Standing::Strong || !other.cause.has(Mark::SaysNoReason);
    let others: Vec<&str> = claims.take(NAMED_MAX).filter(is_rival).map(|other| other.cause.id).collect();
    if !others.is_empty() && !cause.is_unknown() {
        claim.quotes.truncate(EVIDENCE_MAX - 2);
        claim.quotes.push(conclusion(format!("could also be {}", others.join(", "))));
    }
    Judgement { cause, claim, standing, completeness, considered }
}

/// Where a claim stands, and what it would be worth in the lead.
fn weighed(case: &Case<'_>, cause: &'static Cause, claim: Claim) -> Weighed {
    let by_time = case.is_request()
        && case.symptom == Symptom::Unknown
        && case.status() != Some(500)
        && cause.has(Mark::BlamesWorker);
    let completeness = if by_time { Completeness::ByTime } else { case.completeness() };
    // Of several servers in view each is as likely: that is a count, no judgement.
    let weight = weight_of_servers(case, &claim);
    let standing = match weight {
        weight if weight >= 1.0 => claim.rule.standing,
        weight if weight > 0.5 => claim.rule.standing.lowered(STEPS_ELSEWHERE),
        _ => Standing::Hint,
    };
    let standing = if by_time { standing.lowered(STEPS_BY_TIME) } else { standing };
    Weighed { cause, claim, standing, completeness, weight }
}

impl Weighed {
    /// How likely it is, as far as its record tells.
    fn probability(&self, case: &Case<'_>, completeness: Completeness) -> f64 {
        let of_record = calibration::probability(self.claim.rule, completeness);
        // Words that may be a client's own are a hint, whatever they say; and a worker that is blamed for its time alone is
        // worth no more than where it stands.
        let cap = match completeness {
            _ if !case.request.genuine => Some(Standing::Hint),
            Completeness::ByTime => Some(self.standing),
            _ => None,
        };
        let most = cap.map_or(1.0, |standing| calibration::of_standing(standing, completeness));
        of_record.min(most) * self.weight
    }
}

/// Claims on one case share one probability: the leading one has what its record says, for it was counted among its
/// rivals, and the others what is left at most, each in proportion to its own.
fn shares(case: &Case<'_>, claims: &[Weighed]) -> Vec<Considered> {
    let alone = claims.iter().enumerate().map(|(place, claim)| Considered {
        cause: claim.cause,
        rule: claim.claim.rule.id,
        confidence: claim.probability(case, if place == 0 { claim.completeness } else { Completeness::Outranked }),
    });
    let mut considered: Vec<Considered> = alone.collect();
    let left = 1.0 - considered.first().map_or(0.0, |leading| leading.confidence);
    let others: f64 = considered.iter().skip(1).map(|other| other.confidence).sum();
    let share = if others > left { left / others } else { 1.0 };
    considered.iter_mut().skip(1).for_each(|other| other.confidence *= share);
    considered.iter_mut().for_each(|claim| claim.confidence = rounded(claim.confidence));
    considered.truncate(CONSIDERED_MAX);
    considered.shrink_to_fit();
    considered
}

/// What the words of an application server are worth that may be another one's.
fn weight_of_servers(case: &Case<'_>, claim: &Claim) -> f64 {
    let of_server = |quote: &Quote| matches!(quote.source, Source::Gunicorn | Source::GunicornAccess | Source::Host);
    if case.is_request() && claim.quotes.iter().any(of_server) { case.weight } else { 1.0 }
}

fn rounded(probability: f64) -> f64 {
    (probability * 1_000.0).round() / 1_000.0
}

/// The verdict on a case. `uid_salt` tells equal requests apart.
pub fn verdict_of(
    case: &Case<'_>,
    judged: Judgement,
    id: u64,
    uid_salt: u32,
    threshold: f64,
) -> (Verdict, Option<u64>) {
    let Judgement { cause, claim, completeness, considered, .. } = judged;
    let request = case.request;
    let (link, span) = match case.trigger {
        Trigger::Request => link::find(case, id, cause, threshold),
        Trigger::Death | Trigger::Phase(_) | Trigger::Host(_) => (Link::NONE, None),
    };
    let mut evidence = evidence_of(case, &claim);
    for remark in [link::swallowed(case, &link, cause), link::remark(case, &link, span)].into_iter().flatten() {
        if evidence.len() < EVIDENCE_MAX {
            evidence.push(remark);
        }
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
    evidence.shrink_to_fit();
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
        asks: claim.hint,
        revision: 0,
        time: access.map_or(case.at.from, |access| access.at.from),
        status: case.status(),
        method: case.method().into(),
        target: case.target().into(),
        client: client_of(request),
        host: host_of(request),
        symptom: symptom_shown(case),
        cause,
        confidence: considered.first().map_or(0.0, |leading| leading.confidence),
        completeness,
        considered,
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
    let mut evidence: Vec<Quote> = Vec::with_capacity(EVIDENCE_USUAL);
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
    let mut quotes = claim.quotes.clone();
    if !quotes.iter().any(|quote| quote.source == Source::Gunicorn) {
        quotes.extend(case.raised());
    }
    // Behind the exception that it led to, else behind what tells most.
    let own_line = case.own_line(&quotes).cloned();
    let behind = own_line.as_ref().map(|own| quotes.iter().position(|quote| quote.ticket == own.ticket).unwrap_or(0));
    for (index, quote) in quotes.into_iter().enumerate() {
        push(quote);
        own_line.clone().filter(|_| behind == Some(index)).into_iter().for_each(&mut push);
    }
    case.dirty_trouble().cloned().into_iter().for_each(&mut push);
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

/// Digits of a uid.
const UID_DIGITS: usize = 32;

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
    let mut uid = String::with_capacity(UID_DIGITS);
    uid.extend((0..UID_DIGITS).rev().filter_map(|digit| char::from_digit((number >> (4 * digit)) as u32 & 0xf, 16)));
    uid
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
