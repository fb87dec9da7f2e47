//! How fast a peer may send: what is over its rate is not read before its time.

use std::time::{Duration, Instant};

use crate::{limits, options::Options};

/// The rates of a connection. What is let through at once is what a second brings.
pub(super) struct Rate {
    messages: Bucket,
    bytes: Bucket,
    /// When this was last brought up to date.
    at: Instant,
    /// Until then nothing is read.
    pub(super) until: Option<Instant>,
}

struct Bucket {
    /// 0: no limit.
    per_second: f64,
    /// What may still come; less than nothing is made up for first.
    level: f64,
}

impl Bucket {
    fn new(per_second: f64) -> Bucket {
        Bucket { per_second, level: per_second }
    }

    fn fill(&mut self, time: Duration) {
        self.level = (self.level + self.per_second * time.as_secs_f64()).min(self.per_second);
    }

    /// How long to wait before there is anything again.
    fn wait(&self) -> f64 {
        if self.per_second > 0.0 && self.level < 1.0 { (1.0 - self.level) / self.per_second } else { 0.0 }
    }

    /// How many may come now.
    fn room(&self) -> usize {
        if self.per_second > 0.0 { self.level as usize } else { usize::MAX }
    }
}

impl Rate {
    /// None where there is no limit.
    pub(super) fn new(options: &Options) -> Option<Box<Rate>> {
        let rate = Rate {
            messages: Bucket::new(options.max_message_rate.into()),
            bytes: Bucket::new(options.max_byte_rate.into()),
            at: Instant::now(),
            until: None,
        };
        let is_limited = rate.messages.per_second > 0.0 || rate.bytes.per_second > 0.0;
        is_limited.then(|| Box::new(rate))
    }

    /// What the decoder is to take at once, as the size that it counts.
    pub(super) fn room(&self) -> usize {
        let messages = self.messages.room().saturating_mul(limits::MESSAGE_COST).saturating_sub(1);
        messages.min(self.bytes.room())
    }

    /// Counts what has come.
    pub(super) fn count(&mut self, messages: usize, bytes: usize, now: Instant) {
        let time = now.saturating_duration_since(self.at);
        self.at = now;
        for (bucket, count) in [(&mut self.messages, messages), (&mut self.bytes, bytes)] {
            bucket.fill(time);
            bucket.level -= count as f64;
        }
        let wait = self.messages.wait().max(self.bytes.wait());
        self.until = (wait > 0.0).then(|| now + Duration::from_secs_f64(wait.max(0.001)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(messages: f64, bytes: f64) -> (Rate, Instant) {
        let at = Instant::now();
        (Rate { messages: Bucket::new(messages), bytes: Bucket::new(bytes), at, until: None }, at)
    }

    #[test]
    fn s30_a_second_of_messages_comes_at_once_and_then_as_many_a_second() {
        let (mut rate, start) = rate(10.0, 0.0);
        assert_eq!(rate.room(), 639); // the tenth message makes the size 640
        rate.count(9, 1000, start);
        assert_eq!(rate.until, None);
        rate.count(1, 1000, start);
        assert_eq!(rate.until, Some(start + Duration::from_millis(100)));
        rate.count(0, 0, start + Duration::from_millis(150));
        assert_eq!((rate.until, rate.room()), (None, 63));
        rate.count(0, 0, start + Duration::from_secs(1000));
        assert_eq!(rate.room(), 639);
    }

    #[test]
    fn s30_bytes_over_the_rate_are_made_up_for() {
        let (mut rate, start) = rate(0.0, 1000.0);
        rate.count(1, 2999, start);
        assert_eq!(rate.until, Some(start + Duration::from_secs(2)));
        rate.count(0, 0, start + Duration::from_secs(1));
        assert!(rate.until.is_some());
        rate.count(0, 0, start + Duration::from_millis(2500));
        assert!(rate.until.is_none() && (500..=501).contains(&rate.room()));
    }
}
