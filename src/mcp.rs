//! `why502 mcp`: questions of an agent about log files, answered by the engine over the Model Context Protocol.
//!
//! Each question reads the files anew, as `why502 explain` does, so that an answer is of what they hold at that moment.
//! Only files that were named on the command line are read, whatever an agent asks for. Nothing is kept between questions.

pub mod questions;
pub mod server;
mod tools;

use crate::explain::report::json;
use crate::explain::{self, Explained, Options, Outage, Told, Totals};
use crate::read::formats::{AccessFormats, Reader};
use crate::read::nginx_conf::NginxConf;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

/// Incidents of one answer; the newest are left out, and counted.
const INCIDENTS_MAX: usize = 50;

/// What may be read, and how.
#[derive(Clone, Debug, Default)]
pub struct Named {
    /// Log files, globs and directories.
    pub files: Vec<String>,
    /// OTLP JSON files of traces.
    pub traces: Vec<String>,
    /// Offset of local time in nginx's error logs ahead of UTC; inferred where `None`.
    pub zone: Option<i64>,
    /// nginx's configuration.
    pub nginx: Option<Arc<NginxConf>>,
    /// Formats of access logs.
    pub formats: AccessFormats,
}

/// What was read.
pub(crate) struct Found {
    pub(crate) incidents: Vec<Value>,
    pub(crate) hidden_incidents: u64,
    pub(crate) requests: Vec<Value>,
    pub(crate) totals: Totals,
    /// By the id of the cause, of all that fit.
    pub(crate) causes: BTreeMap<String, u64>,
}

impl Named {
    fn options(&self, files: &[String]) -> Options {
        Options {
            files: files.to_vec(),
            traces: self.traces.clone(),
            zone: self.zone,
            nginx: self.nginx.clone(),
            ..Options::default()
        }
    }

    /// Names of single files that may be read.
    pub(crate) fn names(&self) -> Vec<String> {
        explain::input::expand(&self.files, &mut Vec::new()).iter().map(|input| input.name.to_string()).collect()
    }

    /// Reads these files and hands over what it tells.
    pub(crate) fn read(&self, files: &[String], tell: impl FnMut(Told<'_>) -> ControlFlow<()>) -> Totals {
        let reader = Reader::with_access_formats(self.formats.clone());
        explain::run_while(&self.options(files), &reader, tell)
    }

    /// What of the files fits, at most so many requests: those that come first by `rank`.
    pub(crate) fn find(
        &self,
        limit: usize,
        fits: impl Fn(&Explained<'_>) -> bool,
        fits_incident: impl Fn(&Outage) -> bool,
        rank: impl Fn(&Explained<'_>) -> i64,
    ) -> Found {
        let mut incidents = Vec::new();
        let mut hidden_incidents = 0;
        // By uid, so that a revision takes the place of what it revises.
        let mut kept: BTreeMap<String, (i64, Value)> = BTreeMap::new();
        let mut causes: BTreeMap<String, u64> = BTreeMap::new();
        let mut told: BTreeMap<String, &'static str> = BTreeMap::new();
        let totals = self.read(&self.files, |one| {
            match one {
                Told::Verdict(explained) => {
                    let verdict = explained.verdict;
                    if verdict.revision > 0 {
                        kept.remove(&verdict.uid);
                        if let Some(before) = told.remove(&verdict.uid)
                            && let Some(count) = causes.get_mut(before)
                        {
                            *count = count.saturating_sub(1);
                        }
                    }
                    if fits(&explained) {
                        *causes.entry(verdict.cause.id.to_owned()).or_default() += 1;
                        if told.len() < TOLD_MAX {
                            told.insert(verdict.uid.clone(), verdict.cause.id);
                        }
                        kept.insert(verdict.uid.clone(), (rank(&explained), json::value(&explained)));
                        if kept.len() > limit
                            && let Some(last) =
                                kept.iter().max_by_key(|(_, (rank, _))| *rank).map(|(uid, _)| uid.clone())
                        {
                            kept.remove(&last);
                        }
                    }
                }
                Told::Incident(outage) if fits_incident(&outage) => {
                    if incidents.len() < INCIDENTS_MAX {
                        incidents.push(json::incident_value(&outage));
                    } else {
                        hidden_incidents += 1;
                    }
                }
                Told::Incident(_) | Told::Good(..) => {}
            }
            ControlFlow::Continue(())
        });
        causes.retain(|_, count| *count > 0);
        let mut requests: Vec<(i64, Value)> = kept.into_values().collect();
        requests.sort_by_key(|(rank, _)| *rank);
        let requests = requests.into_iter().map(|(_, value)| value).collect();
        Found { incidents, hidden_incidents, requests, totals, causes }
    }
}

/// Requests whose cause is remembered, so that a revision counts once.
const TOLD_MAX: usize = 200_000;

/// What was read, for every answer: whoever knows that a log is missing asks for it.
pub(crate) fn read_value(totals: &Totals) -> Value {
    json!({
        "files": totals.files, "lines": totals.lines, "lines_in_no_known_format": totals.unrecognised, "spans": totals.spans,
        "problems": totals.problems, "notes": totals.notes,
    })
}
