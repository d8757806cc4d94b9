//! One good request for a person.

use super::{NO_TIME, when};
use crate::engine::verdict::{GoodRequest, LinkMethod, Source, percent};
use crate::enrich::hex;
use crate::explain::places::Places;
use crate::read::text::{printable, shortened};

/// Bytes of a target that are shown.
const TARGET_BYTES_MAX: usize = 120;

/// `2026-11-22T07:10:03.680Z GET /cart 200 access.log:12 trace 4bf9... (timing, 99%)`.
pub(super) fn line(good: &GoodRequest, places: &Places) -> String {
    let time = when(good.time).unwrap_or_else(|| NO_TIME.to_owned());
    let own = good.records.iter().find(|(source, _)| *source == Source::NginxAccess);
    let place = own.and_then(|(_, ticket)| places.get(*ticket));
    let place = place.map_or_else(String::new, |place| format!(" {}:{}", printable(&place.file), place.line));
    let link = &good.link;
    let trace = match (link.trace, link.method) {
        (_, LinkMethod::None) => "no trace".to_owned(),
        (Some(trace), LinkMethod::Timing) => {
            format!("trace {} (by time, {:.0}%)", hex(&trace.trace_id), percent(link.confidence))
        }
        (Some(trace), _) => format!("trace {}", hex(&trace.trace_id)),
        (None, _) => format!("no trace for sure, {} could be", link.candidates.len()),
    };
    let target = shortened(&good.target, TARGET_BYTES_MAX);
    format!("{time} {} {} {}{place} {trace}", printable(&good.method), printable(&target), good.status)
}
