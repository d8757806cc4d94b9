//! An oversized request in parts that a backend takes.

use super::check::METRIC_DATA;
use super::view::without;
use super::wire::{Fields, field_len, put_bytes};
use super::write::RequestWriter;
use super::{Request, ResourceGroup, ScopeGroup, Signal, Surroundings};
use std::sync::Arc;

/// What became of an oversized request.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Split {
    /// Requests of at most the limit, their items in the order of the whole.
    pub parts: Vec<Vec<u8>>,
    /// Requests over the limit that cannot be cut, most often of one item each: to be dropped and counted.
    pub oversized: Vec<Vec<u8>>,
}

/// Cuts a request between resources, else between scopes, else between items, else between the data points of a metric,
/// so that no part is longer than `bytes_max`. Each part keeps the resource, scope, schema URLs and unknown fields that surrounded its items.
///
/// A request within the limit comes back as its only part, byte for byte. `request` has passed [`super::check`].
///
/// What surrounds items is repeated in each part. Where that alone takes more than a quarter of the limit the resource
/// or scope is not cut, or a sender could make gigabytes out of one request.
pub fn split(signal: Signal, request: &[u8], bytes_max: usize) -> Split {
    if request.len() <= bytes_max {
        return Split { parts: vec![request.to_vec()], oversized: Vec::new() };
    }
    let mut cutter = Cutter { signal, bytes_max, writer: RequestWriter::new(), split: Split::default() };
    let mut resources = Request::new(request).resources();
    for field in Fields::new(request) {
        let resource = if field.number == 1 { resources.next() } else { None };
        let raw = request.get(field.start..field.end).unwrap_or_default();
        match resource {
            Some(resource) if raw.len() > bytes_max => cutter.cut_resource(raw, &resource),
            _ => cutter.push_field(raw),
        }
    }
    cutter.flush();
    cutter.split
}

struct Cutter {
    signal: Signal,
    bytes_max: usize,
    writer: RequestWriter,
    split: Split,
}

impl Cutter {
    fn can_repeat(&self, shells_len: usize) -> bool {
        shells_len <= self.bytes_max / 4
    }

    fn push_field(&mut self, field: &[u8]) {
        if field.len() > self.bytes_max {
            self.split.oversized.push(field.to_vec());
            return;
        }
        if self.writer.bytes_len() + field.len() > self.bytes_max {
            self.flush();
        }
        self.writer.push_field(field);
    }

    fn cut_resource(&mut self, raw: &[u8], resource: &ResourceGroup<'_>) {
        let shell = resource.shell();
        if !self.can_repeat(shell.len()) {
            self.split.oversized.push(raw.to_vec());
            return;
        }
        for scope in resource.scopes() {
            if field_len(shell.len() + field_len(scope.bytes().len())) > self.bytes_max {
                self.cut_scope(&shell, &scope);
                continue;
            }
            if self.writer.bytes_len_with_scope(&shell, scope.bytes()) > self.bytes_max {
                self.flush();
            }
            self.writer.push_scope(&shell, scope.bytes());
        }
    }

    fn cut_scope(&mut self, resource_shell: &Arc<[u8]>, scope: &ScopeGroup<'_>) {
        let scope_shell = scope.shell();
        if !self.can_repeat(resource_shell.len() + scope_shell.len()) {
            let mut alone = RequestWriter::new();
            alone.push_scope(resource_shell, scope.bytes());
            self.split.oversized.push(alone.finish());
            return;
        }
        let shells = Surroundings::of(Arc::clone(resource_shell), scope_shell);
        for item in scope.items() {
            let pieces = match self.signal {
                Signal::Metrics if self.alone_len(&shells, item.bytes.len()) > self.bytes_max => {
                    self.cut_metric(&shells, item.bytes)
                }
                _ => None,
            };
            match pieces {
                Some(pieces) => pieces.iter().for_each(|piece| self.push_item(&shells, piece)),
                None => self.push_item(&shells, item.bytes),
            }
        }
    }

    /// A metric in metrics of fewer data points; `None` when it cannot be cut.
    fn cut_metric(&self, shells: &Surroundings, metric: &[u8]) -> Option<Vec<Vec<u8>>> {
        let mut members = Fields::new(metric).filter(|field| METRIC_DATA.contains(&field.number));
        let data = members.next().filter(|_| members.next().is_none())?;
        let metric_shell = without(metric, data.number);
        let data_shell = without(data.wire.bytes(), 1);
        let shells_len = shells.bytes_len() + metric_shell.len() + data_shell.len();
        if !self.can_repeat(shells_len) {
            return None;
        }
        let metric_len = |points_len: usize| metric_shell.len() + field_len(data_shell.len() + points_len);
        let mut pieces = Vec::new();
        let mut points = Vec::new();
        let mut close = |points: &mut Vec<u8>| {
            let mut piece = metric_shell.to_vec();
            put_bytes(&mut piece, data.number, &[&data_shell[..], points].concat());
            pieces.push(piece);
            points.clear();
        };
        for point in Fields::new(data.wire.bytes()).filter(|field| field.number == 1) {
            let point_len = field_len(point.wire.bytes().len());
            if !points.is_empty() && self.alone_len(shells, metric_len(points.len() + point_len)) > self.bytes_max {
                close(&mut points);
            }
            put_bytes(&mut points, 1, point.wire.bytes());
        }
        close(&mut points);
        Some(pieces)
    }

    /// How long a request is that has nothing but one item of this length.
    fn alone_len(&self, shells: &Surroundings, item_len: usize) -> usize {
        let scope_len = field_len(shells.scope_shell().len() + field_len(item_len));
        field_len(shells.resource_shell().len() + scope_len)
    }

    fn push_item(&mut self, shells: &Surroundings, item: &[u8]) {
        if self.writer.bytes_len_with_item(shells.resource_shell(), shells.scope_shell(), item) > self.bytes_max {
            self.flush();
        }
        if self.alone_len(shells, item.len()) > self.bytes_max {
            let mut alone = RequestWriter::new();
            alone.push(shells, item);
            self.split.oversized.push(alone.finish());
        } else {
            self.writer.push(shells, item);
        }
    }

    fn flush(&mut self) {
        let part = std::mem::take(&mut self.writer).finish();
        if !part.is_empty() {
            self.split.parts.push(part);
        }
    }
}
