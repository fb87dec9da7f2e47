//! Round trips of a connection's pings.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

/// The last and the smoothed round trip, in microseconds; 0 before the first.
#[derive(Default)]
pub(crate) struct Latency {
    last: AtomicU32,
    smoothed: AtomicU32,
}

impl Latency {
    /// For the runtime: one more round trip. It counts for an eighth, as in RFC 6298, 2.3.
    pub(crate) fn add(&self, round_trip: Duration) {
        let last = u32::try_from(round_trip.as_micros()).unwrap_or(u32::MAX).max(1);
        let smoothed = match self.smoothed.load(Ordering::Relaxed) {
            0 => last,
            before => ((u64::from(before) * 7 + u64::from(last)) / 8).max(1) as u32,
        };
        self.last.store(last, Ordering::Relaxed);
        self.smoothed.store(smoothed, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> Option<(Duration, Duration)> {
        let micros = |value: &AtomicU32| match value.load(Ordering::Relaxed) {
            0 => None,
            micros => Some(Duration::from_micros(micros.into())),
        };
        Some((micros(&self.last)?, micros(&self.smoothed)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_round_trip_counts_for_an_eighth() {
        let (latency, ms) = (Latency::default(), Duration::from_millis);
        assert_eq!(latency.get(), None);
        latency.add(ms(8));
        assert_eq!(latency.get(), Some((ms(8), ms(8))));
        latency.add(ms(16));
        assert_eq!(latency.get(), Some((ms(16), ms(9))));
        latency.add(Duration::ZERO);
        assert_eq!(latency.get().unwrap().0, Duration::from_micros(1));
    }
}
