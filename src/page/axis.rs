//! One axis of time for lines, failures and spans, drawn as SVG without a style or a script.

use super::words::clock;
use crate::read::evidence::{MILLISECOND, Nanos, SECOND};
use maud::{Markup, PreEscaped, html};

/// Units of SVG from one end to the other; the browser stretches them to the width that it has.
const WIDTH: f64 = 1_000.0;
/// A mark is at least so wide: three pixels of a telephone.
const MARK_MIN: f64 = 8.0;
/// Stamps below an axis.
const TICKS: i64 = 4;

/// From when to when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Axis {
    pub(super) from: Nanos,
    pub(super) to: Nanos,
}

impl Axis {
    /// From the first to the last of these times, at least a tenth of a second; `None` without any.
    pub(super) fn over(times: impl Iterator<Item = Nanos>) -> Option<Axis> {
        let (mut from, mut to) = (Nanos::MAX, Nanos::MIN);
        for time in times {
            (from, to) = (from.min(time), to.max(time));
        }
        if from > to {
            return None;
        }
        let short = (SECOND / 10).saturating_sub(to.saturating_sub(from)).max(0);
        Some(Axis { from: from.saturating_sub(short / 2), to: to.saturating_add(short - short / 2) })
    }

    /// The same with a little room at both ends, so that the first and the last mark are whole.
    pub(super) fn with_margin(self) -> Axis {
        let margin = (self.to.saturating_sub(self.from) / 40).max(1);
        Axis { from: self.from.saturating_sub(margin), to: self.to.saturating_add(margin) }
    }

    /// True for a time on it.
    pub(super) fn has(self, time: Nanos) -> bool {
        (self.from..=self.to).contains(&time)
    }

    /// Where a time stands.
    pub(super) fn x(self, time: Nanos) -> f64 {
        let whole = (i128::from(self.to) - i128::from(self.from)).max(1) as f64;
        let at = (i128::from(time) - i128::from(self.from)) as f64;
        (at / whole * WIDTH).clamp(0.0, WIDTH)
    }

    /// A bar from one time to another.
    pub(super) fn bar(self, from: Nanos, to: Nanos, top: f64, height: f64, class: &str) -> Markup {
        let left = self.x(from).min(WIDTH - MARK_MIN);
        let width = (self.x(to) - left).max(MARK_MIN);
        html! { rect class=(class) x=(number(left)) y=(number(top)) width=(number(width)) height=(number(height)) {} }
    }

    /// A mark at a time.
    pub(super) fn mark(self, at: Nanos, height: f64, class: &str) -> Markup {
        let left = (self.x(at) - MARK_MIN / 2.0).clamp(0.0, WIDTH - MARK_MIN);
        html! { rect class=(class) x=(number(left)) y="0" width=(number(MARK_MIN)) height=(number(height)) {} }
    }

    /// How many of the times fall into each of so many parts of it.
    pub(super) fn parts(self, times: impl Iterator<Item = Nanos>, count: usize) -> Vec<u64> {
        let mut parts = vec![0_u64; count.max(1)];
        for time in times.filter(|time| self.has(*time)) {
            let part = (self.x(time) / WIDTH * parts.len() as f64) as usize;
            let last = parts.len() - 1;
            if let Some(count) = parts.get_mut(part.min(last)) {
                *count += 1;
            }
        }
        parts
    }

    /// A strip as wide as there is room. What it draws stands in words beside it, so that it is no news for who hears pages.
    pub(super) fn strip(self, height: u32, inner: Markup) -> Markup {
        html! {
            svg viewBox={ "0 0 1000 " (height) } preserveAspectRatio="none" aria-hidden="true" focusable="false" {
                (inner)
            }
        }
    }

    /// Stamps under it.
    pub(super) fn ticks(self) -> Markup {
        let whole = self.to.saturating_sub(self.from);
        let grain = if whole < 10 * SECOND { MILLISECOND } else { SECOND };
        html! {
            ol .ticks aria-hidden="true" {
                @for tick in 0..=TICKS {
                    @let time = self.from.saturating_add((whole / TICKS).saturating_mul(tick));
                    li { (clock(time.div_euclid(grain).saturating_mul(grain))) }
                }
            }
        }
    }
}

/// With one digit behind the point, which is less than a pixel.
pub(super) fn number(value: f64) -> PreEscaped<String> {
    PreEscaped(format!("{value:.1}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_stand_between_the_ends_however_hostile() {
        assert_eq!(Axis::over(std::iter::empty()), None);
        let axis = Axis::over([5 * SECOND, SECOND].into_iter()).expect("an axis");
        assert_eq!((axis.x(SECOND), axis.x(3 * SECOND), axis.x(5 * SECOND)), (0.0, 500.0, 1_000.0));
        assert_eq!((axis.x(Nanos::MIN), axis.x(Nanos::MAX)), (0.0, 1_000.0));
        assert_eq!(axis.parts([SECOND, 2 * SECOND, 5 * SECOND, 9 * SECOND].into_iter(), 4), [1, 1, 0, 1]);
        let one = Axis::over([7].into_iter()).expect("an axis").with_margin();
        assert!(one.from < 7 && one.to > 7 && one.to - one.from >= SECOND / 10);
        let widest = Axis::over([Nanos::MIN, Nanos::MAX].into_iter()).expect("an axis").with_margin();
        assert!((499.0..=501.0).contains(&widest.x(0)));
        assert!(widest.ticks().into_string().contains("<li>"));
        let bar = axis.bar(5 * SECOND, 5 * SECOND, 0.0, 8.0, "span").into_string();
        assert_eq!(bar, r#"<rect class="span" x="992.0" y="0.0" width="8.0" height="8.0"></rect>"#);
    }
}
