//! How fast payloads are unmasked and checked, beside memcpy. `make bench` runs this on an optimised
//! build; it is no test of correctness.

use std::{hint::black_box, time::Instant};

use super::{mask, utf8};

const SIZE: usize = 64 * 1024;
const ROUNDS: usize = 21;
/// Of which a round takes the best.
const SERIES: usize = 20;
const REPEATS: usize = 100;

/// GB/s, in its best series.
fn speed(mut work: impl FnMut()) -> f64 {
    let mut best = f64::INFINITY;
    for _ in 0..SERIES {
        let start = Instant::now();
        (0..REPEATS).for_each(|_| work());
        best = best.min(start.elapsed().as_secs_f64());
    }
    (SIZE * REPEATS) as f64 / best / 1e9
}

/// Prints the medians with their spread, and fails where unmasking or checking what is mostly ASCII
/// does not reach half of memcpy's speed. Text of other scripts is slower.
#[test]
#[ignore = "a measurement: make bench"]
fn unmasking_and_checking_reach_half_of_memcpy() {
    let ascii = vec![b'a'; SIZE];
    let greek: Vec<u8> = "αβγδ".bytes().cycle().take(SIZE).collect();
    let mut to = vec![0; SIZE];
    let mut ratios: [Vec<f64>; 3] = Default::default();
    let mut copies = Vec::new();
    for _ in 0..ROUNDS {
        let copy = speed(|| black_box(&mut to[..]).copy_from_slice(black_box(&ascii)));
        let unmask = speed(|| mask::apply(black_box(&mut to[..]), black_box([1, 2, 3, 4])));
        let check = speed(|| assert!(utf8::is_valid(black_box(&ascii))));
        let check_greek = speed(|| assert!(utf8::is_valid(black_box(&greek))));
        copies.push(copy);
        for (ratios, of) in ratios.iter_mut().zip([unmask, check, check_greek]) {
            ratios.push(of / copy);
        }
    }
    let median = |name: &str, unit: &str, figures: &mut Vec<f64>| {
        figures.sort_by(f64::total_cmp);
        let (low, middle, high) = (figures[0], figures[ROUNDS / 2], figures[ROUNDS - 1]);
        println!("{name:<28}{middle:>8.2} {unit} ({low:.2}..{high:.2})");
        middle
    };
    println!("\n64 KiB, medians of {ROUNDS} rounds");
    median("memcpy", "GB/s", &mut copies);
    let names = ["unmasking", "UTF-8 check, ASCII", "UTF-8 check, two-byte"];
    let medians: Vec<_> =
        names.iter().zip(&mut ratios).map(|(name, ratios)| median(name, "of memcpy", ratios)).collect();
    assert!(medians[..2].iter().all(|ratio| *ratio >= 0.5), "{medians:?}");
}
