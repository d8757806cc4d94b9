//! Who belongs to whom, where several compete: the probability of each pair over all one-to-one assignments.
//!
//! Rows are attempts of requests, columns are spans. An assignment gives a row at most one column and a column at most one
//! row; it weighs the product of the weights of its pairs, and a row that gets none weighs 1. The probability of a pair is
//! the share of the assignments that have it. An assignment that is best as a whole (`pathfinding`, `lapjv`) does not say
//! how sure each of its pairs is, and of two equal requests that could be swapped it would name one: that is why all
//! assignments are summed here.
//!
//! A few columns are summed exactly, over the sets of columns that are taken. More of them go by belief propagation, which
//! on this problem always converges (J. L. Williams, R. A. Lau: Approximate evaluation of marginal association
//! probabilities with belief propagation, IEEE Transactions on Aerospace and Electronic Systems 50, 2014).

/// Columns that are summed exactly: 2^8 sets for each row.
const EXACT_COLUMNS_MAX: usize = 8;
/// The same for rows.
const EXACT_ROWS_MAX: usize = 16;
/// Rounds of messages at most. In the lab 20 were enough for fifty equal requests at once.
const ROUNDS_MAX: usize = 100;
/// Messages that change by less than this say nothing new.
const SETTLED: f64 = 1e-4;
/// Weights are kept within this, so that their products stay numbers.
const WEIGHT_MAX: f64 = 1e12;

/// A pair that is possible.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pair {
    /// Which row.
    pub row: usize,
    /// Which column.
    pub column: usize,
    /// How much more likely it is that the two belong together than that the row has no column; more than 0.
    pub weight: f64,
}

/// The probability of each pair, in the order of the pairs.
pub fn marginals(pairs: &[Pair], rows: usize, columns: usize) -> Vec<f64> {
    let pairs: Vec<Pair> = pairs.iter().map(|pair| Pair { weight: bounded(pair.weight), ..*pair }).collect();
    if columns <= EXACT_COLUMNS_MAX && rows <= EXACT_ROWS_MAX {
        exact(&pairs, rows, columns)
    } else {
        propagated(&pairs, rows, columns)
    }
}

fn bounded(weight: f64) -> f64 {
    if weight.is_nan() { 0.0 } else { weight.clamp(0.0, WEIGHT_MAX) }
}

/// Sums over the sets of columns that the rows before, and the rows after, have taken.
fn exact(pairs: &[Pair], rows: usize, columns: usize) -> Vec<f64> {
    let sets = 1_usize << columns;
    let of_row: Vec<Vec<(usize, f64)>> = (0..rows)
        .map(|row| pairs.iter().filter(|pair| pair.row == row).map(|pair| (1 << pair.column, pair.weight)).collect())
        .collect();
    // before[row][set]: weight of all ways in which the rows before took exactly this set.
    let mut before = vec![vec![0.0; sets]; rows + 1];
    if let Some(first) = before.first_mut().and_then(|sets| sets.first_mut()) {
        *first = 1.0;
    }
    for (row, choices) in of_row.iter().enumerate() {
        let (done, open) = before.split_at_mut(row + 1);
        let (Some(from), Some(to)) = (done.last(), open.first_mut()) else { continue };
        for (set, weight) in from.iter().enumerate().filter(|(_, weight)| **weight > 0.0) {
            add(to, set, *weight);
            for (column, gain) in choices.iter().filter(|(column, _)| set & column == 0) {
                add(to, set | column, weight * gain);
            }
        }
        scale(to);
    }
    // after[row][set]: weight of all ways in which this row and those after it leave this set alone.
    let mut after = vec![vec![1.0; sets]; rows + 1];
    for (row, choices) in of_row.iter().enumerate().rev() {
        let (open, done) = after.split_at_mut(row + 1);
        let (Some(to), Some(from)) = (open.last_mut(), done.first()) else { continue };
        for (set, weight) in to.iter_mut().enumerate() {
            let free = choices.iter().filter(|(column, _)| set & column == 0);
            *weight = at(from, set) + free.map(|(column, gain)| gain * at(from, set | column)).sum::<f64>();
        }
        scale(to);
    }
    let mut found = vec![0.0; pairs.len()];
    for row in 0..rows {
        let (Some(from), Some(to)) = (before.get(row), after.get(row + 1)) else { continue };
        let mut total: f64 = from.iter().enumerate().map(|(set, weight)| weight * at(to, set)).sum();
        let of_row = pairs.iter().enumerate().filter(|(_, pair)| pair.row == row);
        for (index, pair) in of_row {
            let column = 1_usize << pair.column;
            let with: f64 =
                (0..sets).filter(|set| set & column == 0).map(|set| at(from, set) * at(to, set | column)).sum();
            if let Some(found) = found.get_mut(index) {
                *found = with * pair.weight;
                total += *found;
            }
        }
        let of_row = pairs.iter().zip(&mut found).filter(|(pair, _)| pair.row == row);
        of_row.for_each(|(_, found)| *found = if total > 0.0 { *found / total } else { 0.0 });
    }
    found
}

fn at(sets: &[f64], set: usize) -> f64 {
    sets.get(set).copied().unwrap_or(0.0)
}

fn add(sets: &mut [f64], set: usize, weight: f64) {
    if let Some(known) = sets.get_mut(set) {
        *known += weight;
    }
}

/// Only ratios count: the largest becomes 1.
fn scale(sets: &mut [f64]) {
    let largest = sets.iter().copied().fold(0.0, f64::max);
    if largest > 0.0 {
        sets.iter_mut().for_each(|weight| *weight /= largest);
    }
}

fn propagated(pairs: &[Pair], rows: usize, columns: usize) -> Vec<f64> {
    // To its column a row says how strongly it wants it; to its row a column says how free it is.
    let mut wants = vec![0.0; pairs.len()];
    let mut frees = vec![1.0; pairs.len()];
    for _ in 0..ROUNDS_MAX {
        let of_rows = sums(pairs, rows, |pair| pair.row, |index, pair| pair.weight * at(&frees, index));
        for ((pair, want), free) in pairs.iter().zip(&mut wants).zip(&frees) {
            let others = (1.0 + at(&of_rows, pair.row) - pair.weight * free).max(1.0);
            *want = pair.weight / others;
        }
        let of_columns = sums(pairs, columns, |pair| pair.column, |index, _| at(&wants, index));
        let mut moved: f64 = 0.0;
        for ((pair, want), free) in pairs.iter().zip(&wants).zip(&mut frees) {
            let new = 1.0 / (1.0 + at(&of_columns, pair.column) - want).max(1.0);
            moved = moved.max((new - *free).abs() / new);
            *free = new;
        }
        if moved < SETTLED {
            break;
        }
    }
    let of_rows = sums(pairs, rows, |pair| pair.row, |index, pair| pair.weight * at(&frees, index));
    pairs.iter().zip(&frees).map(|(pair, free)| pair.weight * free / (1.0 + at(&of_rows, pair.row))).collect()
}

fn sums(pairs: &[Pair], count: usize, of: impl Fn(&Pair) -> usize, value: impl Fn(usize, &Pair) -> f64) -> Vec<f64> {
    let mut sums = vec![0.0; count];
    for (index, pair) in pairs.iter().enumerate() {
        add(&mut sums, of(pair), value(index, pair));
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `row column weight` each; probabilities with two digits.
    fn check(pairs: &[(usize, usize, f64)], expected: &[f64]) {
        let pairs: Vec<Pair> =
            pairs.iter().map(|(row, column, weight)| Pair { row: *row, column: *column, weight: *weight }).collect();
        let rows = pairs.iter().map(|pair| pair.row + 1).max().unwrap_or(0);
        let columns = pairs.iter().map(|pair| pair.column + 1).max().unwrap_or(0);
        let two_digits =
            |found: Vec<f64>| found.iter().map(|found| (found * 100.0).round() / 100.0).collect::<Vec<_>>();
        assert_eq!(two_digits(exact(&pairs, rows, columns)), expected, "exactly");
        for (found, expected) in propagated(&pairs, rows, columns).iter().zip(expected) {
            assert!((found - expected).abs() < 0.06, "{found} for {expected}");
        }
    }

    #[test]
    fn the_probability_of_a_pair_is_its_share_of_all_assignments() {
        check(&[], &[]);
        check(&[(0, 0, 1.0)], &[0.5]);
        check(&[(0, 0, 99.0)], &[0.99]);
        // Two for one.
        check(&[(0, 0, 1.0), (0, 1, 3.0)], &[0.2, 0.6]);
        check(&[(0, 0, 1.0), (1, 0, 3.0)], &[0.2, 0.6]);
        // Two equal requests and their two spans: nobody can tell which is which.
        check(&[(0, 0, 1e6), (0, 1, 1e6), (1, 0, 1e6), (1, 1, 1e6)], &[0.5, 0.5, 0.5, 0.5]);
        // A rival that has a better one leaves this one free.
        check(&[(0, 0, 100.0), (1, 0, 100.0), (1, 1, 1e6)], &[0.99, 0.0, 1.0]);
        // A span that is likelier a rival's is not this one's, although nothing else fits it.
        check(&[(0, 0, 20.0), (1, 0, 1e5)], &[0.0, 1.0]);
    }

    #[test]
    fn the_two_ways_to_sum_agree_on_small_problems() {
        let mut state = 7_u64;
        let mut random = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as f64 / f64::from(u32::MAX >> 1)
        };
        let (mut worst, mut sum, mut count): (f64, f64, f64) = (0.0, 0.0, 0.0);
        for _ in 0..300 {
            let mut pairs = Vec::new();
            for row in 0..5 {
                for column in 0..5 {
                    if random() < 0.5 {
                        pairs.push(Pair { row, column, weight: (random() * 16.0 - 8.0).exp() });
                    }
                }
            }
            for (one, other) in exact(&pairs, 5, 5).iter().zip(propagated(&pairs, 5, 5)) {
                assert!((0.0..=1.0 + 1e-9).contains(one) && (0.0..=1.0 + 1e-9).contains(&other));
                worst = worst.max((one - other).abs());
                (sum, count) = (sum + (one - other).abs(), count + 1.0);
            }
        }
        assert!(worst < 0.4 && sum / count < 0.02, "{worst} at worst, {} on average", sum / count);
    }

    #[test]
    fn no_number_breaks_it() {
        let odd = [f64::NAN, f64::INFINITY, -1.0, 0.0, 1e300];
        for columns in [4, 40] {
            let pairs: Vec<Pair> = (0..columns * 4)
                .map(|index| Pair { row: index / columns, column: index % columns, weight: odd[index % odd.len()] })
                .collect();
            for found in marginals(&pairs, 4, columns) {
                assert!((0.0..=1.0 + 1e-9).contains(&found), "{found}");
            }
        }
    }
}
