//! A request cut into one for each key, so that what belongs together can go one way. Nothing is lost or changed: groups are
//! copied as they are, in their order.

use super::value::AnyValue;
use super::view::{Request, ResourceGroup};
use super::wire::{BYTES, Fields, put_bytes};
use super::write::{RequestWriter, Surroundings};
use std::collections::BTreeMap;

/// The part of a request that has one key; `None` where that is all of it.
pub type Keyed = (Vec<u8>, Option<Vec<u8>>);

/// By a key of each resource.
pub fn by_resource(request: &[u8], key: impl Fn(&ResourceGroup<'_>) -> Vec<u8>) -> Vec<Keyed> {
    let keys: Vec<Vec<u8>> = Request::new(request).resources().map(|resource| key(&resource)).collect();
    match keys.split_first() {
        None => return vec![(Vec::new(), None)],
        Some((first, rest)) if rest.iter().all(|key| key == first) => return vec![(first.clone(), None)],
        Some(_) => {}
    }
    let mut parts = Parts::default();
    let mut keys = keys.into_iter();
    let mut others = Vec::new();
    for field in Fields::new(request) {
        if field.number == 1 && field.wire.kind() == BYTES {
            parts.add(keys.next().unwrap_or_default(), field.wire.bytes());
        } else {
            others.extend_from_slice(request.get(field.start..field.end).unwrap_or_default());
        }
    }
    // What no version that we know has stays with the first.
    if let Some((_, first)) = parts.0.first_mut() {
        first.extend_from_slice(&others);
    }
    parts.0.into_iter().map(|(key, part)| (key, Some(part))).collect()
}

/// Traces by the id of the trace, in hexadecimal.
pub fn by_trace(request: &[u8]) -> Vec<Keyed> {
    let mut writers: Vec<(Vec<u8>, RequestWriter)> = Vec::new();
    let mut known: BTreeMap<[u8; 16], usize> = BTreeMap::new();
    for resource in Request::new(request).resources() {
        let resource_shell = resource.shell();
        for scope in resource.scopes() {
            let surroundings = Surroundings::of(resource_shell.clone(), scope.shell());
            for item in scope.items() {
                let trace = item.span().trace_id().unwrap_or_default();
                let index = *known.entry(trace).or_insert_with(|| {
                    writers.push((hexadecimal(&trace), RequestWriter::new()));
                    writers.len() - 1
                });
                if let Some((_, writer)) = writers.get_mut(index) {
                    writer.push(&surroundings, item.bytes);
                }
            }
        }
    }
    match writers.len() {
        0 => vec![(Vec::new(), None)],
        1 => writers.into_iter().map(|(key, _)| (key, None)).collect(),
        _ => writers.into_iter().map(|(key, writer)| (key, Some(writer.finish()))).collect(),
    }
}

/// The values of some attributes of a resource, one after another; of one that it has not, nothing.
pub fn values_of(resource: &ResourceGroup<'_>, attributes: &[String]) -> Vec<u8> {
    let mut key = Vec::new();
    for (index, name) in attributes.iter().enumerate() {
        if index > 0 {
            key.push(b'|');
        }
        match resource.attributes().get(name) {
            Some(AnyValue::String(text) | AnyValue::Bytes(text)) => key.extend_from_slice(text),
            Some(AnyValue::Int(number)) => key.extend_from_slice(number.to_string().as_bytes()),
            Some(AnyValue::Bool(is)) => key.extend_from_slice(is.to_string().as_bytes()),
            Some(AnyValue::Double(number)) => key.extend_from_slice(number.to_string().as_bytes()),
            Some(AnyValue::Array(_) | AnyValue::Map(_) | AnyValue::Empty) | None => {}
        }
    }
    key
}

/// A number, in hexadecimal, that is the same for resources with the same attributes in any order.
pub fn all_of(resource: &ResourceGroup<'_>) -> Vec<u8> {
    let names = resource.attributes().filter_map(|pair| String::from_utf8(pair.key.to_vec()).ok());
    let mut names: Vec<String> = names.collect();
    names.sort_unstable();
    let mut text = names.join("|").into_bytes();
    text.push(b'=');
    text.extend(values_of(resource, &names));
    // FNV-1a: it must be the same in every version and on every machine.
    let hash = text
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
    format!("{hash:016x}").into_bytes()
}

fn hexadecimal(id: &[u8; 16]) -> Vec<u8> {
    id.iter().flat_map(|byte| format!("{byte:02x}").into_bytes()).collect()
}

/// Parts by their key, in the order in which keys came.
#[derive(Default)]
struct Parts(Vec<(Vec<u8>, Vec<u8>)>);

impl Parts {
    fn add(&mut self, key: Vec<u8>, group: &[u8]) {
        match self.0.iter_mut().find(|(known, _)| *known == key) {
            Some((_, part)) => put_bytes(part, 1, group),
            None => {
                let mut part = Vec::with_capacity(group.len() + 8);
                put_bytes(&mut part, 1, group);
                self.0.push((key, part));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Attribute, NewRecord, resource, scope};
    use super::*;

    fn request(services: &[(&str, i64)]) -> Vec<u8> {
        let mut request = Vec::new();
        for (service, number) in services {
            let attributes = [Attribute::new("service.name", *service), Attribute::new("shard", *number)];
            let mut writer = RequestWriter::new();
            let record = NewRecord { time: 1, observed_time: 1, ..NewRecord::default() };
            writer.push(&Surroundings::new(&resource(&attributes), &scope("s", "1")), &record.encode());
            request.extend(writer.finish());
        }
        request
    }

    #[test]
    fn resources_of_one_key_stay_together_and_nothing_is_lost() {
        let names = ["service.name".to_owned(), "shard".to_owned(), "missing".to_owned()];
        let key = |resource: &ResourceGroup<'_>| values_of(resource, &names);
        let one = request(&[("shop", 1), ("shop", 1)]);
        assert_eq!(by_resource(&one, key), [(b"shop|1|".to_vec(), None)]);
        let mut two = request(&[("shop", 1), ("other", 2), ("shop", 1)]);
        let unknown = [0x7a, 1, b'x'];
        two.extend(unknown);
        let [first, second] = by_resource(&two, key).try_into().expect("two");
        let mut expected = request(&[("shop", 1), ("shop", 1)]);
        expected.extend(unknown);
        assert_eq!(first, (b"shop|1|".to_vec(), Some(expected)));
        assert_eq!(second, (b"other|2|".to_vec(), Some(request(&[("other", 2)]))));
        assert_eq!(by_resource(&[], key), [(Vec::new(), None)]);
        let keys: Vec<Vec<u8>> = by_resource(&two, all_of).into_iter().map(|(key, _)| key).collect();
        assert_eq!(keys.len(), 2);
        assert!(keys.iter().all(|key| key.len() == 16) && keys[0] != keys[1]);
    }

    #[test]
    fn spans_of_one_trace_stay_together() {
        let span = |trace: u8| [&[0x0a, 16][..], &[trace; 16], &[0x12, 8], &[trace; 8]].concat();
        let surroundings = Surroundings::new(&resource(&[Attribute::new("service.name", "shop")]), &scope("s", "1"));
        let build = |traces: &[u8]| {
            let mut writer = RequestWriter::new();
            traces.iter().for_each(|trace| writer.push(&surroundings, &span(*trace)));
            writer.finish()
        };
        let hexadecimal = |trace: u8| format!("{trace:02x}").repeat(16).into_bytes();
        assert_eq!(by_trace(&build(&[7, 7])), [(hexadecimal(7), None)]);
        let expected = [(hexadecimal(1), Some(build(&[1, 1]))), (hexadecimal(2), Some(build(&[2])))];
        assert_eq!(by_trace(&build(&[1, 2, 1])), expected);
    }
}
