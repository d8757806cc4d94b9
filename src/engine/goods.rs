//! Good requests: linked like failing ones, where the caller wants all of them.

use super::case::Sight;
use super::correlate::Seen;
use super::correlate::alignment::APART_MAX;
use super::correlate::link::goods::{Good, Key, number};
use super::correlate::link::scene::Scene;
use super::correlate::link::{began, by_id, columns, link_of, rival_rows};
use super::correlate::spans::SpanRow;
use super::correlate::world::World;
use super::sites::{Site, SiteRef};
use super::timers::Timer;
use super::topology::Ties;
use super::verdict::{GoodRequest, Link, LinkMethod, Source, Ticket};
use super::{Decision, Engine, Line, Output, Record};
use crate::read::evidence::{Nanos, NginxAccess, Proof, SECOND, TraceContext};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Good requests that are linked at once.
const CHUNK_MAX: usize = 256;
/// Those that are due within so much are linked with the first.
const CHUNK: Nanos = SECOND;
/// Samples of one site that wait for their spans: a minute of them.
const SAMPLES_MAX: usize = 256;
/// They are taken so far apart: what is learned changes in minutes.
const SAMPLES_APART: Nanos = SECOND / 4;
/// Spans on the path of one request that are looked at. Where there are more, only nearer ones are.
const NEAR_MAX: usize = 2_048;
const NEAR_WITHIN: [Nanos; 3] = [APART_MAX, APART_MAX / 8, APART_MAX / 64];
/// Others whose spans theirs may be are looked at on each side.
const BESIDE: Nanos = 2 * SECOND;

impl Engine {
    /// A request that did not fail waits for its link.
    pub(super) fn good(
        &mut self,
        now: Nanos,
        at: SiteRef,
        access: Seen<NginxAccess>,
        trace: Option<TraceContext>,
        others: Vec<(Source, Ticket)>,
    ) {
        let due = now.saturating_add(self.delays.verdict);
        let Some(site) = self.sites.get_mut(at) else { return };
        if site.goods.is_idle() {
            self.timers.set(due, Timer::Good(at));
        }
        if site.goods.push(Good::new(access, trace, others, due)) {
            self.link_goods(Nanos::MAX, at);
        }
    }

    /// The access line of a good request, which nobody else wants.
    pub(super) fn hold_good(
        &mut self,
        line: Line<'_>,
        access: Seen<NginxAccess>,
        trace: Option<TraceContext>,
    ) -> Decision {
        self.holding.hold(line.ticket, Some(line.stream.id));
        self.good(line.now, line.site, access, trace, Vec::new());
        Decision::Hold
    }

    /// Learns how far requests and spans are apart from a good request: by an id that it carries, else how far their clocks
    /// are by what it has in common with the spans about it. It is neither held nor told.
    pub fn handle_sample(&mut self, now: Nanos, record: Record) {
        let Proof::NginxAccess(_) = record.evidence.proof else { return };
        let at = self.site_of(now, &record.stream.place);
        let (zone, due) = (self.settings.zone, now.saturating_add(self.delays.verdict));
        let Some(site) = self.sites.get_mut(at) else { return };
        let is_enough = site.samples.back().is_some_and(|last| due.saturating_sub(last.due) < SAMPLES_APART);
        if is_enough || site.samples.len() >= SAMPLES_MAX {
            return self.learn(now, now, at);
        }
        let moment = site.clocks.moment(now, zone, &record);
        let Record { ticket, stream, evidence, .. } = record;
        let Proof::NginxAccess(access) = evidence.proof else { return };
        let seen = Seen { ticket, source: stream.id, at: moment, text: String::new(), words: 0, what: *access };
        site.samples.push_back(Good::new(seen, evidence.trace, Vec::new(), due));
        self.learn(now, now, at);
    }

    /// Takes what the samples tell whose spans must have come by a time.
    #[inline]
    pub(super) fn learn(&mut self, now: Nanos, until: Nanos, at: SiteRef) {
        let is_due = |site: &Site| site.samples.front().is_some_and(|sample| sample.due <= until);
        if self.sites.get(at).is_some_and(is_due) {
            self.learn_from_samples(now, until, at);
        }
    }

    fn learn_from_samples(&mut self, now: Nanos, until: Nanos, at: SiteRef) {
        let Some(site) = self.sites.get_mut(at) else { return };
        let mut due = Vec::new();
        while site.samples.front().is_some_and(|sample| sample.due <= until) {
            due.extend(site.samples.pop_front());
        }
        let ties = self.topology.ties(now, at, None, &self.sites);
        self.look_after_spans(now, at, &ties);
        let Some(sight) = Sight::new(&self.sites, at, &ties) else { return };
        let told: Vec<Apart> = due.iter().filter_map(|sample| apart_of_sample(&sight, sample)).collect();
        let aside: Vec<Beside> = due.iter().filter_map(|sample| Beside::of(&sight, sample)).collect();
        if let Some(site) = self.sites.get_mut(at) {
            told.into_iter().for_each(|apart| apart.teach(&mut site.world));
            aside.into_iter().for_each(|beside| beside.teach(&mut site.world));
        }
    }

    /// A request for which a verdict was thought of, and that was good.
    pub(super) fn good_after_all(
        &mut self,
        at: SiteRef,
        access: Seen<NginxAccess>,
        trace: Option<TraceContext>,
        others: Vec<(Source, Ticket)>,
    ) {
        if self.settings.link_all {
            self.good(access.at.to, at, access, trace, others);
        }
    }

    /// All that wait get their link: nothing more comes.
    pub(super) fn finish_goods(&mut self) {
        let sites: Vec<SiteRef> = self.sites.iter().map(|(at, _)| at).collect();
        sites.into_iter().for_each(|at| self.finish_goods_of(at));
    }

    /// The same of one site, which is about to be forgotten.
    pub(super) fn finish_goods_of(&mut self, at: SiteRef) {
        while self.sites.get(at).is_some_and(|site| !site.goods.is_idle()) {
            self.link_goods(Nanos::MAX, at);
        }
    }

    /// Those that are due get their link.
    pub(super) fn decide_goods(&mut self, now: Nanos, at: SiteRef) {
        self.link_goods(now, at);
        if let Some(due) = self.sites.get(at).and_then(|site| site.goods.next_due()) {
            self.timers.set(due.max(now), Timer::Good(at));
        }
    }

    fn link_goods(&mut self, now: Nanos, at: SiteRef) {
        let Some(site) = self.sites.get(at) else { return };
        let due = site.goods.due(now.saturating_add(CHUNK), CHUNK_MAX);
        if due.is_empty() {
            return;
        }
        let ties = self.topology.ties(now, at, None, &self.sites);
        self.look_after_spans(now, at, &ties);
        self.align(at, &ties, &due);
        let threshold = self.settings.link_threshold;
        let found =
            Sight::new(&self.sites, at, &ties).map(|sight| links_of(&sight, &due, threshold)).unwrap_or_default();
        for (key, link, span, began) in found {
            self.linked_good(at, key, link, span, began);
        }
    }

    /// Compares the clocks of good requests and of the spans before any of them is linked.
    fn align(&mut self, at: SiteRef, ties: &Ties, due: &[Key]) {
        for key in due {
            let Some(sight) = Sight::new(&self.sites, at, ties) else { return };
            let beside = sight.goods().get(*key).and_then(|good| Beside::of(&sight, good));
            if let (Some(beside), Some(site)) = (beside, self.sites.get_mut(at)) {
                beside.teach(&mut site.world);
            }
        }
    }

    fn linked_good(&mut self, at: SiteRef, key: Key, link: Link, span: Option<u64>, apart: Apart) {
        if let Some(number_of_span) = span
            && let Some(site) = self.sites.of_number(number_of_span).and_then(|at| self.sites.get_mut(at))
        {
            site.world.spans.link(number_of_span, number(key));
        }
        let Some(site) = self.sites.get_mut(at) else { return };
        apart.teach(&mut site.world);
        let Some(good) = site.goods.get(key) else { return };
        let access = &good.access.what;
        let mut records = good.others.clone();
        records.push((Source::NginxAccess, good.access.ticket));
        let told = GoodRequest {
            time: good.access.at.from,
            status: access.status,
            method: access.method.to_string(),
            target: access.target.to_string(),
            client: access.client.to_string(),
            records,
            link,
        };
        site.goods.linked(key, told.link.trace.is_some());
        let told = Arc::new(told);
        // Before its records go on.
        self.outputs.push_back(Output::Good(Arc::clone(&told)));
        for (_, ticket) in &told.records {
            self.resolve(*ticket, None);
        }
    }
}

/// What the span of a request tells of the delays.
pub(super) struct Apart {
    /// The worker class of the application server.
    class: String,
    /// The access log.
    source: u64,
    /// When the request began by the clock of the spans, and how long it waited.
    wait: Option<(Nanos, Nanos)>,
    /// How much later its span ended by the clocks as they are, and by the clock of the spans.
    end: Option<(Nanos, Nanos)>,
    /// Whether its span arrived, where an id names it.
    arrived: Option<bool>,
}

impl Apart {
    /// Of a request and its link. `usual` where its span ends with it.
    pub(super) fn of(
        sight: &Sight<'_>,
        access: &Seen<NginxAccess>,
        link: &Link,
        span: Option<u64>,
        class: &str,
        usual: bool,
    ) -> Apart {
        let is_exact = matches!(link.method, LinkMethod::TraceContext | LinkMethod::RequestId);
        let row = span.and_then(|number| sight.span(number)).filter(|span| span.is_server() && !span.is_from_nginx());
        let ahead = sight.own().span_skew(access.source).unwrap_or(0);
        let end = row.filter(|_| is_exact && usual && access.what.exact_time).map(|row| {
            let apart = row.end.saturating_sub(access.at.to);
            (apart, apart.saturating_sub(ahead))
        });
        let wait = row.zip(began(access.at, &access.what)).map(|(row, began)| {
            let began = began.saturating_add(ahead);
            (began, row.start.saturating_sub(began))
        });
        // A trace of which nothing at all is in sight was not sampled, or is late.
        let arrived = (link.method == LinkMethod::TraceContext && usual).then_some(row.is_some());
        Apart { class: class.to_owned(), source: access.source, wait, end, arrived }
    }

    /// Is learned from.
    pub(super) fn teach(self, world: &mut World) {
        if self.end.is_none() && self.wait.is_none() && self.arrived.is_none() {
            return;
        }
        if let Some((apart, _)) = self.end {
            world.note_span_end(self.source, apart);
        }
        let Some(delays) = world.links.of_mut(&self.class) else { return };
        match (self.end, self.wait) {
            (Some((_, end)), wait) => delays.note(wait, end),
            (None, Some((began, wait))) => delays.note_wait(began, wait),
            (None, None) => {}
        }
        if let Some(arrived) = self.arrived {
            delays.note_arrival(arrived);
        }
    }
}

/// A good request that carries no id, with the spans that may be its own: what they have in common tells of the clocks.
struct Beside {
    /// The access log.
    source: u64,
    end: Nanos,
    took: Nanos,
    /// Start and end of each that ended within so much of it.
    spans: Vec<(Nanos, Nanos)>,
    within: Nanos,
}

impl Beside {
    /// `None` where it carries an id, or where nothing more is asked.
    fn of(sight: &Sight<'_>, good: &Good) -> Option<Beside> {
        let access = &good.access;
        if good.trace.is_some() || !sight.own().asks_for_alignment(access.source, access.at.to) {
            return None;
        }
        let rows = good.rows(0, 0);
        let row = rows.last().filter(|row| !row.is_coarse() && row.spare == 0)?;
        let (took, end) = (row.took()?, row.end.to);
        let near = |within: Nanos| {
            let (from, to) = (end.saturating_sub(within), end.saturating_add(within));
            let on_path = sight.spans_on_path(row.asked.path, from, to).take(NEAR_MAX + 1).map(|(_, span)| span);
            on_path.collect::<Vec<_>>()
        };
        let ranges = NEAR_WITHIN.into_iter().map(|within| (within, near(within)));
        let (within, on_path) = ranges.into_iter().find(|(_, spans)| spans.len() <= NEAR_MAX)?;
        let own = |span: &&SpanRow| span.is_server() && !span.is_from_nginx() && row.asked.is_of(span);
        let spans: Vec<(Nanos, Nanos)> = on_path.into_iter().filter(own).map(|span| (span.start, span.end)).collect();
        (!spans.is_empty()).then_some(Beside { source: access.source, end, took, spans, within })
    }

    /// Is learned from.
    fn teach(self, world: &mut World) {
        if let Some(alignment) = world.alignment_mut(self.source) {
            alignment.note(self.end, self.took, self.within, self.spans.into_iter());
        }
    }
}

fn apart_of_sample(sight: &Sight<'_>, sample: &Good) -> Option<Apart> {
    let access = &sample.access;
    let (link, span) = by_id(sight, sample.asked(), sample.trace, Some(&access.what))?;
    let upstream = access.what.attempts.last().map(|attempt| attempt.address.as_str());
    let class = sight.instance_for(upstream).map_or("", |instance| &instance.worker_class);
    Some(Apart::of(sight, access, &link, span, class, true))
}

/// The link of each of these, with the span that is its own and what that tells.
fn links_of(sight: &Sight<'_>, due: &[Key], threshold: f64) -> Vec<(Key, Link, Option<u64>, Apart)> {
    let goods = sight.goods();
    let of_key = |key: &Key| goods.get(*key).map(|good| (*key, good));
    let mut links = Vec::with_capacity(due.len());
    let mut by_time: Vec<(Key, &Good)> = Vec::new();
    for (key, good) in due.iter().filter_map(of_key) {
        match by_id(sight, good.asked(), good.trace, Some(&good.access.what)) {
            Some((link, span)) => links.push((key, link, span)),
            None => by_time.push((key, good)),
        }
    }
    let exact: BTreeSet<u64> = links.iter().filter_map(|(_, _, span)| *span).collect();
    let upstream = |good: &'_ Good| good.access.what.attempts.last().map(|attempt| attempt.address.clone());
    let class_of = |upstream: Option<&str>| sight.instance_for(upstream).map_or("", |instance| &instance.worker_class);
    if let (Some((first, _)), Some((last, one))) = (by_time.first(), by_time.last()) {
        let scene = scene_of(sight, &by_time, (first.0, last.0), &exact);
        let class = class_of(upstream(one).as_deref());
        let found = scene.solve(sight.own().links.of(class));
        for (key, _) in &by_time {
            let (link, span) = link_of(&scene, &found, number(*key), sight.weight_of_spans(), threshold);
            links.push((*key, link, span));
        }
    }
    links.sort_by_key(|(key, ..)| *key);
    let with_apart = |(key, link, span): (Key, Link, Option<u64>)| {
        let good = goods.get(key)?;
        let class = class_of(upstream(good).as_deref());
        let apart = Apart::of(sight, &good.access, &link, span, class, true);
        Some((key, link, span, apart))
    };
    links.into_iter().filter_map(with_apart).collect()
}

/// Good requests of a while with those beside them, failing ones too, and the spans that they may be of.
fn scene_of<'a>(
    sight: &Sight<'a>,
    own: &[(Key, &Good)],
    (from, to): (Nanos, Nanos),
    exact: &BTreeSet<u64>,
) -> Scene<'a> {
    let (from, to) = (from.saturating_sub(BESIDE), to.saturating_add(BESIDE));
    let ahead = |source: u64| sight.own().span_skew(source);
    let mut scene = Scene { rows: Vec::new(), columns: Vec::new(), has_good: true };
    let paths: BTreeSet<u64> = own.iter().map(|(_, good)| good.asked().path).collect();
    for (key, good) in sight.goods().within(from, to).filter(|(_, good)| paths.contains(&good.asked().path)) {
        scene.rows.extend(ahead(good.access.source).into_iter().flat_map(|ahead| good.rows(number(key), ahead)));
    }
    let of_nginx = sight.own().spans_from_nginx();
    for path in paths {
        for (id, request) in sight.requests().on_path(path) {
            scene.rows.extend(rival_rows(sight, id, request, of_nginx, (from, to)));
        }
        scene.columns.extend(columns(sight, path, (from, to), of_nginx));
    }
    if of_nginx {
        scene.rows.iter_mut().for_each(|row| row.of_nginx = true);
    }
    scene.columns.sort_by_key(|column| (column.span.end, column.number));
    for column in &mut scene.columns {
        column.taken = exact.contains(&column.number) || sight.is_taken(column, u64::MAX);
    }
    scene
}
