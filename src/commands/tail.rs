//! `why502 tail`: log files to OTLP logs, for a host without a collector.

use crate::cli::Tail;
use crate::clock;
use crate::commands::signals::{Asked, Signals};
use crate::commands::{runtime, say, tell_service_manager};
use crate::config::settings::{
    ClientTls, Compression, Endpoint, Exporter as Settings, ExporterKind, Queue, Remote, Retry, WhenFull,
};
use crate::exporter::Exporter;
use crate::otlp::{Attribute, NewRecord, RequestWriter, Signal, Surroundings, resource, scope};
use crate::tail::{Follower, Line, Positions, PositionsError};
use crate::telemetry;
use bytes::Bytes;
use sd_notify::NotifyState;
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// How often files are looked at.
const TURN: Duration = Duration::from_millis(200);
/// Positions are written at most this often.
const KEPT_PAUSE: Duration = Duration::from_secs(1);
/// A request is closed at this length.
const REQUEST_BYTES_MAX: usize = 1 << 20;
/// What waits is delivered within this time at the end.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(10);

/// Follows files until it is told to stop.
///
/// # Errors
/// When the system gives no threads or signals.
pub fn run(options: &Tail) -> anyhow::Result<ExitCode> {
    runtime()?.block_on(follow(options))
}

async fn follow(options: &Tail) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::listen()?;
    // A server that is away is told of by the exporter.
    telemetry::warnings_to_stderr();
    let exporter =
        Exporter::start(&Settings { name: "tail".to_owned(), kind: ExporterKind::Grpc(remote(&options.to)) })?;
    let mut follower = Follower::new(options.files.clone(), options.from_start);
    let mut kept = Kept::open(options.positions.as_deref(), &mut follower)?;
    let surroundings = surroundings(options.service.as_deref());
    let mut told_nothing = false;
    say(&format!("following {} to {}", options.files.join(", "), options.to));
    tell_service_manager(&NotifyState::Ready);
    let mut waiting = VecDeque::new();
    let mut ending = false;
    while !ending {
        // Files are read no further than there is room for.
        let more = waiting.is_empty() && read(&mut follower, &surroundings, &mut waiting);
        let problems = follower.problems();
        problems.iter().for_each(|problem| say(problem));
        if follower.count() == 0 && problems.is_empty() && !told_nothing {
            told_nothing = true;
            say("no such file yet; waiting for one to appear");
        }
        queue(&exporter, &mut waiting, &mut kept);
        if waiting.is_empty() {
            kept.look(&follower);
        }
        kept.keep(&exporter);
        if follower.is_over() && waiting.is_empty() {
            break;
        }
        if !more || !waiting.is_empty() {
            tokio::select! {
                () = tokio::time::sleep(TURN) => {}
                // There is no configuration to read anew: the terminal is gone.
                asked = signals.next() => ending = asked == Asked::End || !signals.outlives_terminal,
            }
        }
    }
    tell_service_manager(&NotifyState::Stopping);
    let until = clock::instant() + FLUSH_TIMEOUT;
    finish(&exporter, &mut follower, &surroundings, &mut waiting, &mut kept, until).await;
    let queued = exporter.close(until.saturating_duration_since(clock::instant())).await;
    // What was left behind counts as dropped from here on, and is read again by the next run.
    kept.keep_delivered(&exporter, queued);
    let late = queued + waiting.iter().map(|waiting| waiting.items).sum::<u64>();
    let refused: u64 = exporter.stats.dropped_counts().into_iter().map(|(_, items)| items).sum();
    let refused = refused.saturating_sub(queued) + exporter.stats.rejected_count();
    if refused > 0 {
        say(&format!("{refused} lines were not delivered: {} refused them", options.to));
    }
    if late > 0 {
        say(&format!("{late} lines were not delivered: {} did not take them in time", options.to));
    }
    if follower.unread() > 0 {
        say(&format!("{} bytes of the files were not read, for the same reason", follower.unread()));
    }
    if follower.cut > 0 {
        say(&format!("lines longer than 1 MiB were cut: {}", follower.cut));
    }
    let all = refused == 0 && late == 0 && follower.unread() == 0;
    Ok(if all { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// One request that waits for room in the exporter's queue.
struct Request {
    request: Bytes,
    /// Its lines.
    items: u64,
    /// How far the files were given out by it, where it is the last of its turn.
    positions: Option<Positions>,
}

type Waiting = VecDeque<Request>;

/// How far files were delivered, in a file.
struct Kept {
    path: Option<PathBuf>,
    /// Lines that were queued so far.
    queued: u64,
    /// How far the files were given out when so many lines were settled, the oldest first.
    ahead: VecDeque<(u64, Positions)>,
    /// Files that were taken up when their positions were looked at last.
    found: Option<u64>,
    written: Option<Positions>,
    /// When it was written last, and whether that it cannot be was told.
    at: Option<Instant>,
    is_told: bool,
}

impl Kept {
    fn open(path: Option<&Path>, follower: &mut Follower) -> Result<Kept, PositionsError> {
        if let Some(path) = path {
            match Positions::read(path)? {
                Some(positions) => follower.go_on(&positions),
                // That it can be written is found out now and not when it is needed. It is there once files were looked at:
                // what such a run did not know is new to the next one.
                None => Positions::try_to_write(path)?,
            }
        }
        Ok(Kept {
            path: path.map(Path::to_owned),
            queued: 0,
            ahead: VecDeque::new(),
            found: None,
            written: None,
            at: None,
            is_told: false,
        })
    }

    fn queued(&mut self, items: u64, positions: Option<Positions>) {
        self.queued += items;
        if self.path.is_some() {
            self.ahead.extend(positions.map(|positions| (self.queued, positions)));
        }
    }

    /// A file that was taken up and has given nothing out yet, as one that is begun at its end, has its position as well.
    fn look(&mut self, follower: &Follower) {
        if self.path.is_some() && self.found != Some(follower.found()) {
            self.found = Some(follower.found());
            self.queued(0, Some(follower.positions()));
        }
    }

    /// Writes what was delivered, at most once a second.
    fn keep(&mut self, exporter: &Exporter) {
        if self.at.is_none_or(|at| clock::instant().saturating_duration_since(at) >= KEPT_PAUSE) {
            self.keep_delivered(exporter, 0);
        }
    }

    /// Writes how far the files were delivered: the exporter has one consumer, so that lines settle in their order.
    fn keep_delivered(&mut self, exporter: &Exporter, left_behind: u64) {
        let Some(path) = &self.path else { return };
        let dropped: u64 = exporter.stats.dropped_counts().into_iter().map(|(_, items)| items).sum();
        let settled = exporter.stats.sent_count(Signal::Logs) + exporter.stats.rejected_count() + dropped;
        let settled = settled.saturating_sub(left_behind);
        let mut newest = None;
        while self.ahead.front().is_some_and(|(until, _)| *until <= settled) {
            newest = self.ahead.pop_front().map(|(_, positions)| positions);
        }
        let Some(newest) = newest.filter(|newest| self.written.as_ref() != Some(newest)) else { return };
        self.at = Some(clock::instant());
        match newest.write(path) {
            Ok(()) => self.is_told = false,
            Err(error) if !self.is_told => {
                self.is_told = true;
                say(&format!("{error}; lines are delivered still, and again after a restart"));
            }
            Err(_) => {}
        }
        self.written = Some(newest);
    }
}

/// One turn of the files; true when there may be more at once.
fn read(follower: &mut Follower, surroundings: &Surroundings, waiting: &mut Waiting) -> bool {
    let mut lines = Vec::new();
    let more = follower.turn(&mut lines);
    extend(waiting, requests(surroundings, &lines), follower);
    more
}

/// The last of them brings the files as far as they are given out now.
fn extend(waiting: &mut Waiting, requests: Vec<(Bytes, u64)>, follower: &Follower) {
    waiting.extend(requests.into_iter().map(|(request, items)| Request { request, items, positions: None }));
    if let Some(last) = waiting.back_mut() {
        last.positions = Some(follower.positions());
    }
}

/// Queues what there is room for.
fn queue(exporter: &Exporter, waiting: &mut Waiting, kept: &mut Kept) {
    while let Some(Request { request, items, positions }) = waiting.pop_front() {
        if let Err(request) = exporter.offer(Signal::Logs, request, items) {
            waiting.push_front(Request { request, items, positions });
            return;
        }
        kept.queued(items, positions);
    }
}

/// Reads to the end of the files and queues everything, unless there is no room `until` then.
async fn finish(
    exporter: &Exporter,
    follower: &mut Follower,
    surroundings: &Surroundings,
    waiting: &mut Waiting,
    kept: &mut Kept,
    until: Instant,
) {
    let mut more = true;
    loop {
        if more && waiting.is_empty() {
            more = read(follower, surroundings, waiting);
            if !more {
                let mut lines = Vec::new();
                follower.finish(&mut lines);
                extend(waiting, requests(surroundings, &lines), follower);
            }
        }
        queue(exporter, waiting, kept);
        if waiting.is_empty() {
            if !more {
                return;
            }
        } else if clock::instant() >= until {
            return;
        } else {
            tokio::time::sleep(TURN).await;
        }
    }
}

fn requests(surroundings: &Surroundings, lines: &[Line]) -> Vec<(Bytes, u64)> {
    let now = u64::try_from(clock::now()).unwrap_or(0);
    let mut done = Vec::new();
    let mut writer = RequestWriter::new();
    let mut items = 0;
    for line in lines.iter().filter(|line| !line.text.is_empty()) {
        let body = String::from_utf8_lossy(&line.text);
        let name = line.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let attributes =
            [Attribute::new("log.file.path", line.path.display().to_string()), Attribute::new("log.file.name", name)];
        let record = NewRecord { observed_time: now, body: &body, attributes: &attributes, ..NewRecord::default() };
        writer.push(surroundings, &record.encode());
        items += 1;
        if writer.bytes_len() >= REQUEST_BYTES_MAX {
            done.push((Bytes::from(std::mem::take(&mut writer).finish()), std::mem::take(&mut items)));
        }
    }
    if items > 0 {
        done.push((Bytes::from(writer.finish()), items));
    }
    done
}

fn surroundings(service: Option<&str>) -> Surroundings {
    let mut attributes = Vec::new();
    if let Ok(host) = std::fs::read_to_string("/proc/sys/kernel/hostname") {
        attributes.push(Attribute::new("host.name", host.trim()));
    }
    if let Some(service) = service {
        attributes.push(Attribute::new("service.name", service));
    }
    Surroundings::new(&resource(&attributes), &scope("why502.tail", env!("CARGO_PKG_VERSION")))
}

/// Retries for ever: the files are the queue.
fn remote(to: &Endpoint) -> Remote {
    Remote {
        auth: None,
        proxy: None,
        endpoints: [Some(to.clone()), None, None],
        headers: Vec::new(),
        compression: Compression::Gzip,
        json: false,
        timeout: Duration::from_secs(10),
        tls: ClientTls::default(),
        queue: Queue {
            requests_max: 64,
            items_max: u64::MAX,
            bytes_max: 32 << 20,
            consumers: 1,
            when_full: WhenFull::Refuse,
        },
        dead_letter: None,
        is_journaled: false,
        retry: Retry {
            enabled: true,
            initial_interval: Duration::from_millis(500),
            randomization_factor: 0.5,
            multiplier: 1.5,
            max_interval: Duration::from_secs(10),
            max_elapsed_time: Duration::ZERO,
        },
        request_bytes_max: 4 << 20,
        request_items_max: None,
    }
}
