//! The table of attributes against what is written.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;
use why502::engine::calibration::Completeness;
use why502::engine::causes;
use why502::engine::incident::{Ended, Incident, Label, State};
use why502::engine::verdict::{Link, LinkMethod, Quote, Source, Ticket, Verdict};
use why502::enrich::attributes::{ATTRIBUTES, Carrier, Kind, Presence, Vocabulary};
use why502::enrich::{self, Enrichment};
use why502::explain;
use why502::otlp::{AnyValue, Encoded, LogRecord};
use why502::read::evidence::{SECOND, Symptom, Text, TraceContext};
use why502::read::formats::Reader;

fn label() -> Arc<Label> {
    let origin = causes::by_id("worker_timeout").expect("a cause");
    Arc::new(Label { asks: None, peer: Default::default(), uid: "9c1f07d2be8e4b60a5a4d8f20c6e7b13".to_owned(), origin })
}

/// A verdict of which everything is known.
fn full() -> Verdict {
    let trace = TraceContext { trace_id: [7; 16], span_id: Some([7; 8]) };
    Verdict {
        uid: "5f0c2b9f3c7d41e88a3d8f1f3c2a9b10".to_owned(),
        revision: 1,
        time: SECOND,
        status: Some(502),
        method: "GET".into(),
        target: "/report?day=1".into(),
        client: "198.51.100.20".into(),
        host: "shop.test".into(),
        symptom: Symptom::ResponseClosedEarly,
        cause: causes::by_id("worker_timeout").expect("a cause"),
        confidence: 0.98,
        completeness: Completeness::Whole,
        considered: Vec::new(),
        evidence: vec![Quote { source: Source::Gunicorn, text: "WORKER TIMEOUT".to_owned(), ticket: Some(Ticket(1)) }],
        records: vec![(Source::Gunicorn, Ticket(1))],
        upstream: Some("127.0.0.1:8000".into()),
        attempts: 1,
        worker_pid: Some(301),
        peer: Default::default(),
        asks: None,
        link: Link {
            method: LinkMethod::Timing,
            confidence: 0.96,
            trace: Some(trace),
            candidates: vec![[7; 16]],
            odds: Vec::new(),
        },
        incident: Some(label()),
    }
}

/// A verdict of which as little as possible is known.
fn bare() -> Verdict {
    Verdict {
        revision: 0,
        status: None,
        method: Text::default(),
        target: Text::default(),
        client: Text::default(),
        host: Text::default(),
        evidence: Vec::new(),
        records: Vec::new(),
        upstream: None,
        attempts: 0,
        worker_pid: None,
        link: Link::NONE,
        ..full()
    }
}

/// A verdict whose trace is not certain.
fn with_candidates() -> Verdict {
    let link = Link {
        method: LinkMethod::Timing,
        confidence: 0.45,
        trace: None,
        candidates: vec![[7; 16], [8; 16]],
        odds: Vec::new(),
    };
    Verdict { link, ..full() }
}

fn kind_read(value: &AnyValue<'_>) -> &'static str {
    match value {
        AnyValue::String(_) => "string",
        AnyValue::Array(_) => "string[]",
        AnyValue::Int(_) => "int",
        AnyValue::Double(_) => "double",
        _ => "another",
    }
}

/// What a verdict puts on each carrier: name and type.
fn emitted(verdict: &Verdict) -> BTreeMap<Carrier, BTreeMap<String, &'static str>> {
    let named = |encoded: &Encoded| -> BTreeMap<String, &'static str> {
        let attributes = encoded.attributes();
        attributes.map(|pair| (String::from_utf8_lossy(pair.key).into_owned(), kind_read(&pair.value()))).collect()
    };
    let both = |one: &Encoded, other: &Encoded| {
        let mut all = named(one);
        all.extend(named(other));
        all
    };
    let enrichment = Enrichment::of(verdict);
    let record = enrichment.log_patch(true, verdict.worker_pid);
    let span = enrichment.span_patch();
    let event = span.events.first().expect("an event");
    let mut of_record = both(&record.attributes, &record.attributes_if_missing);
    of_record.extend(record.number_if_missing.map(|(key, _)| (key.to_owned(), kind_read(&AnyValue::Int(0)))));
    let own = enrichment.verdict_record(verdict, SECOND);
    let own = LogRecord::read(&own)
        .attributes()
        .map(|pair| (String::from_utf8_lossy(pair.key).into_owned(), kind_read(&pair.value())))
        .collect();
    BTreeMap::from([
        (Carrier::Record, of_record),
        (Carrier::Span, both(&span.attributes, &span.attributes_if_missing)),
        (Carrier::SpanEvent, named(&event.attributes)),
        (Carrier::Verdict, own),
    ])
}

fn kind_in_table(kind: Kind) -> &'static str {
    match kind {
        Kind::String | Kind::Words(_) => "string",
        Kind::Strings => "string[]",
        Kind::Int => "int",
        Kind::Double => "double",
    }
}

/// An incident of which all is known, and one that just opened with a failure of which little is.
fn incidents() -> [Incident; 2] {
    let of = |files: &[(&str, &str)]| {
        let directory = tempfile::tempdir().expect("a directory");
        let mut options = explain::Options::default();
        for (name, lines) in files {
            let path = directory.path().join(name);
            std::fs::write(&path, lines).expect("a file");
            options.files.push(path.display().to_string());
        }
        let mut found = None;
        explain::run_while(&options, &Reader::default(), |told| {
            if let explain::Told::Incident(outage) = told {
                found = Some(outage.incident.as_ref().clone());
            }
            ControlFlow::Continue(())
        });
        found.expect("an incident")
    };
    let access = r#"198.51.100.20 - - [04/Mar/2026:09:15:03 +0000] "GET /report HTTP/1.1" 502 157 "-" "curl/8""#;
    let other = causes::by_id("worker_timeout").expect("a cause").example;
    let full = of(&[("access.log", access), ("other.log", other)]);
    assert!(full.ended.is_some() && full.tally.requests > 0 && full.tally.statuses.total() > 0, "{full:?}");
    let process = "[2026-03-04 09:15:03 +0000] [300] [CRITICAL] WORKER TIMEOUT (pid:301)\n";
    let bare = of(&[("gunicorn.log", process)]);
    [full, Incident { state: State::Opened, ended: None, ..bare }]
}

fn emitted_of_incident(incident: &Incident) -> BTreeMap<String, &'static str> {
    let record = enrich::incident::record(incident, SECOND);
    let record = LogRecord::read(&record);
    record.attributes().map(|pair| (String::from_utf8_lossy(pair.key).into_owned(), kind_read(&pair.value()))).collect()
}

#[test]
fn what_is_written_is_in_the_table_and_the_other_way_round() {
    let verdicts = [full(), with_candidates(), bare()];
    let carriers = [Carrier::Record, Carrier::Span, Carrier::SpanEvent, Carrier::Verdict, Carrier::Incident];
    for carrier in carriers {
        let mut written: BTreeMap<String, &str> = BTreeMap::new();
        for verdict in verdicts.iter().filter(|_| carrier != Carrier::Incident) {
            written.extend(emitted(verdict).remove(&carrier).expect("a carrier"));
        }
        if carrier == Carrier::Incident {
            let [full, bare] = incidents();
            written.extend([emitted_of_incident(&full), emitted_of_incident(&bare)].into_iter().flatten());
        }
        let rows = ATTRIBUTES.iter().filter(|row| row.on.contains(&carrier));
        let table: BTreeMap<String, &str> = rows.map(|row| (row.id.to_owned(), kind_in_table(row.kind))).collect();
        assert_eq!(written, table, "{carrier:?}: src/enrich.rs on the left, src/enrich/attributes.rs on the right");
    }
}

#[test]
fn what_is_always_there_is_there_when_nothing_is_known() {
    let [_, of_incident] = incidents();
    let of_incident = (Carrier::Incident, emitted_of_incident(&of_incident));
    for (carrier, written) in emitted(&bare()).into_iter().chain([of_incident]) {
        for row in ATTRIBUTES.iter().filter(|row| row.on.contains(&carrier)) {
            let added = row.id == "error.type";
            let expected = row.presence == Presence::Always || added;
            assert_eq!(written.contains_key(row.id), expected, "{} on {carrier:?}", row.id);
        }
    }
}

#[test]
fn a_record_gets_fourteen_attributes_of_our_own_at_most() {
    let count = |verdict: &Verdict| {
        emitted(verdict)
            .get(&Carrier::Record)
            .map(|written| written.keys().filter(|key| key.starts_with("why502.")).count())
    };
    assert_eq!([count(&full()), count(&with_candidates())], [Some(14), Some(14)]);
    let of_incidents = incidents().map(|incident| emitted_of_incident(&incident).len());
    assert!(of_incidents.iter().all(|count| *count <= 15), "fourteen and `log.record.uid`: {of_incidents:?}");
}

#[test]
fn every_end_has_its_word() {
    let said = |text: &str| Ended::Said { at: 0, text: text.to_owned() };
    let ends = [
        said("Listening at: http://127.0.0.1:8000 (300)"),
        said("Booting worker with pid: 301"),
        Ended::Served { at: 0 },
        Ended::Quiet,
        Ended::EndOfInput,
        Ended::TooMany,
    ];
    assert_eq!(ends.map(|end| end.id()), Ended::WORDS.map(|(word, _)| word));
}

#[test]
fn verdicts_of_the_engine_use_the_words_of_the_table() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut files = Vec::new();
    for cause in causes::all() {
        let path = directory.path().join(format!("{}.log", cause.id));
        std::fs::write(&path, cause.example).expect("a file");
        files.push(path.display().to_string());
    }
    let known: BTreeSet<&str> = ATTRIBUTES.iter().map(|row| row.id).collect();
    let words = |vocabulary: Vocabulary| vocabulary.words().into_iter().map(|(word, _)| word).collect::<BTreeSet<_>>();
    let lists = ATTRIBUTES.iter().filter_map(|row| match row.kind {
        Kind::Words(vocabulary) => Some((row.id, words(vocabulary))),
        _ => None,
    });
    let lists: BTreeMap<&str, BTreeSet<&str>> = lists.collect();
    let mut seen = 0;
    for file in files {
        let options = explain::Options { files: vec![file], ..explain::Options::default() };
        explain::run(&options, &Reader::default(), |explained| {
            seen += 1;
            for attribute in enrich::attributes(explained.verdict).attributes() {
                let key = String::from_utf8_lossy(attribute.key);
                assert!(known.contains(&*key), "{key} is not in src/enrich/attributes.rs");
                if let (Some(list), AnyValue::String(word)) = (lists.get(&*key), attribute.value()) {
                    let word = String::from_utf8_lossy(word);
                    assert!(list.contains(&*word), "{key}: {word}");
                }
            }
        });
    }
    assert!(seen >= causes::all().len(), "{seen} verdicts");
}

#[test]
fn the_table_is_whole() {
    let ids: BTreeSet<&str> = ATTRIBUTES.iter().map(|row| row.id).collect();
    assert_eq!(ids.len(), ATTRIBUTES.len(), "ids are unique");
    for row in ATTRIBUTES {
        assert!(row.brief.ends_with('.') && !row.on.is_empty(), "{}", row.id);
        assert_eq!(row.examples.is_empty(), matches!(row.kind, Kind::Words(_)), "{}", row.id);
        if let Kind::Words(vocabulary) = row.kind {
            assert!(
                vocabulary.words().iter().all(|(_, meaning)| !meaning.is_empty() && !meaning.ends_with('.')),
                "{}",
                row.id
            );
        }
    }
    let example = |id: &str| {
        let row = ATTRIBUTES.iter().find(|row| row.id == id);
        row.and_then(|row| row.examples.first()).map(|example| example.trim_matches('"')).expect("an example")
    };
    assert!(causes::all().iter().any(|cause| cause.hint == example("why502.hint")));
    assert!(causes::by_id(example("error.type")).is_some());
}
