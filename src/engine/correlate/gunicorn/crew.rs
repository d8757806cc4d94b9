//! The workers of one Gunicorn, counted.

use crate::engine::correlate::Interval;
use crate::engine::verdict::Quote;
use crate::read::evidence::{Nanos, SECOND};
use std::collections::VecDeque;

/// The workers of one instance, counted from its log: Gunicorn keeps their number, so that one which is replaced without a
/// word about its end has left in silence.
#[derive(Clone, Debug, Default)]
pub struct Crew {
    /// Workers that booted and whose end was not told, and when they did.
    alive: VecDeque<(u32, Interval)>,
    /// Workers whose end was told last, so that its several lines count once.
    ended: VecDeque<u32>,
    /// Ends that no boot has made good yet.
    vacancies: u32,
    /// First boot of the first crew, or of the one after a reload, and how many followed it.
    launch: Option<(Interval, u32)>,
    /// Its start or a reload was seen, and no boot since.
    launching: bool,
    /// How many there were from when on, oldest first.
    sizes: VecDeque<(Nanos, usize)>,
}

/// Workers counted of one instance.
const CREW_MAX: usize = 4_096;

const ENDED_MAX: usize = 256;

/// Changes of their number remembered: as many as deaths in the window of a storm.
const SIZES_MAX: usize = 1_024;

/// Between two boots of a crew Gunicorn sleeps up to 100 ms (`gunicorn/arbiter.py`, `spawn_workers`).
const LAUNCH_STEP: Nanos = SECOND / 10;

/// What a `Booting worker` line follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BootKind {
    /// The start of the server or a reload, or the told end of a worker.
    Told,
    /// Either the start of the server or a worker that left without a word: the stamps do not tell.
    Doubtful,
    /// A worker that left without a word.
    Silent,
}

/// One `Booting worker with pid`.
#[derive(Clone, Debug)]
pub struct Boot {
    /// When.
    pub at: Interval,
    /// The log stream.
    pub source: u64,
    /// The new worker.
    pub worker: u32,
    /// What it follows.
    pub kind: BootKind,
    /// The line.
    pub quote: Quote,
}

impl Crew {
    /// How many workers there were by the log; `None` when no boot was seen before this time.
    pub fn size_at(&self, at: Interval) -> Option<usize> {
        self.sizes.iter().rev().find(|(from, _)| *from <= at.to).map(|(_, size)| *size)
    }

    /// How many workers there were at most in a time, by the log; 0 when no boot was seen before its end.
    pub fn most_between(&self, from: Nanos, to: Nanos) -> usize {
        let mut most = 0;
        for (since, size) in self.sizes.iter().rev().filter(|(since, _)| *since <= to) {
            most = most.max(*size);
            if *since < from {
                break;
            }
        }
        most
    }

    /// True for a worker that booted and whose end was not told.
    pub(super) fn has(&self, worker: u32) -> bool {
        self.booted(worker).is_some()
    }

    /// When a worker booted whose end was not told.
    pub fn booted(&self, worker: u32) -> Option<Interval> {
        self.alive.iter().rev().find(|(known, _)| *known == worker).map(|(_, at)| *at)
    }

    pub(super) fn note_size(&mut self, at: Interval) {
        if self.sizes.len() == SIZES_MAX {
            self.sizes.pop_front();
        }
        self.sizes.push_back((at.from, self.alive.len()));
    }

    pub(super) fn launches(&mut self) {
        self.launch = None;
        self.launching = true;
    }

    pub(super) fn restarts(&mut self, at: Interval) {
        let sizes = std::mem::take(&mut self.sizes);
        *self = Crew { launching: true, sizes, ..Crew::default() };
        self.note_size(at);
    }

    pub(super) fn one_more(&mut self) {
        self.vacancies += 1;
    }

    pub(super) fn ends(&mut self, at: Interval, worker: u32) {
        if self.ended.contains(&worker) {
            return;
        }
        if self.ended.len() == ENDED_MAX {
            self.ended.pop_front();
        }
        self.ended.push_back(worker);
        self.alive.retain(|(known, _)| *known != worker);
        self.vacancies += 1;
        self.note_size(at);
    }

    pub(super) fn boots(&mut self, at: Interval, worker: u32) -> BootKind {
        self.ended.retain(|known| *known != worker);
        if self.alive.len() == CREW_MAX {
            self.alive.pop_front();
        }
        let knows_crew = !self.alive.is_empty();
        self.alive.push_back((worker, at));
        self.note_size(at);
        if std::mem::take(&mut self.launching) {
            self.launch = Some((at, 1));
            return BootKind::Told;
        }
        if let Some((first, count)) = &mut self.launch {
            let (earliest, latest) = (first.from, first.to.saturating_add(i64::from(*count) * LAUNCH_STEP));
            if at.from <= latest {
                *count += 1;
                if self.vacancies > 0 {
                    self.vacancies -= 1;
                    return BootKind::Told;
                }
                // In the second of the first boot it is one of the crew for all that the stamps say.
                return if at.from <= earliest { BootKind::Told } else { BootKind::Doubtful };
            }
        }
        if self.vacancies > 0 {
            self.vacancies -= 1;
            return BootKind::Told;
        }
        // Of a log that begins later nobody knows what came before.
        if knows_crew { BootKind::Silent } else { BootKind::Doubtful }
    }
}
