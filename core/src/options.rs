//! The options of a connect or a listener, set by name.

use std::time::Duration;

use crate::{
    error::{Error, Kind, Result},
    limits::{self, Limit, Unit},
};

/// What a connection is allowed. Times are in milliseconds and sizes in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// `max_callbacks`
    pub max_callbacks: u32,
    /// `open_timeout`
    pub open_timeout_ms: u32,
    /// `close_timeout`
    pub close_timeout_ms: u32,
    /// `max_message_size`
    pub max_message_size: u64,
    /// `read_limit`
    pub read_limit: u64,
    /// `write_limit`
    pub write_limit: u64,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            max_callbacks: limits::MAX_CALLBACKS.default as u32,
            open_timeout_ms: milliseconds(limits::OPEN_TIMEOUT.default),
            close_timeout_ms: milliseconds(limits::CLOSE_TIMEOUT.default),
            max_message_size: limits::MAX_MESSAGE_SIZE.default as u64,
            read_limit: limits::READ_LIMIT.default as u64,
            write_limit: limits::WRITE_LIMIT.default as u64,
        }
    }
}

fn milliseconds(seconds: f64) -> u32 {
    (seconds * 1000.0).ceil() as u32
}

impl Options {
    /// Sets the option of this name: seconds, bytes or a count, as its limit says.
    pub fn set(&mut self, name: &str, value: f64) -> Result<()> {
        let Some(limit) = limits::LIMITS.iter().find(|l| l.name == name) else {
            let known: Vec<_> = limits::LIMITS.iter().map(|l| l.name).collect();
            return Err(Error::new(
                Kind::InvalidArgument,
                format!("unknown option {name:?}: this version has {}", known.join(", ")),
            ));
        };
        check(limit, value)?;
        if limit.name == limits::OPEN_TIMEOUT.name {
            self.open_timeout_ms = milliseconds(value);
        } else if limit.name == limits::CLOSE_TIMEOUT.name {
            self.close_timeout_ms = milliseconds(value);
        } else if limit.name == limits::MAX_MESSAGE_SIZE.name {
            self.max_message_size = value as u64;
        } else if limit.name == limits::READ_LIMIT.name {
            self.read_limit = value as u64;
        } else if limit.name == limits::WRITE_LIMIT.name {
            self.write_limit = value as u64;
        } else {
            self.max_callbacks = value as u32;
        }
        Ok(())
    }

    /// Checks fields that were not set by name.
    pub fn check(&self) -> Result<()> {
        check(&limits::OPEN_TIMEOUT, f64::from(self.open_timeout_ms) / 1000.0)?;
        check(&limits::CLOSE_TIMEOUT, f64::from(self.close_timeout_ms) / 1000.0)?;
        check(&limits::MAX_MESSAGE_SIZE, self.max_message_size as f64)?;
        check(&limits::READ_LIMIT, self.read_limit as f64)?;
        check(&limits::WRITE_LIMIT, self.write_limit as f64)?;
        check(&limits::MAX_CALLBACKS, f64::from(self.max_callbacks))
    }

    pub(crate) fn open_timeout(&self) -> Duration {
        Duration::from_millis(self.open_timeout_ms.into())
    }

    pub(crate) fn close_timeout(&self) -> Duration {
        Duration::from_millis(self.close_timeout_ms.into())
    }
}

fn check(limit: &Limit, value: f64) -> Result<()> {
    let Limit { name, unit, min, max, .. } = *limit;
    let whole = unit == Unit::Seconds || value.fract() == 0.0;
    if whole && (min..=max).contains(&value) {
        return Ok(());
    }
    let unit = match unit {
        Unit::Seconds => "seconds",
        Unit::Bytes => "whole bytes",
        Unit::Count => "a whole number",
    };
    Err(Error::new(
        Kind::InvalidArgument,
        format!("option {name} is {value}: it takes {unit} from {min} to {max}"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_limit_can_be_set_and_its_range_holds() {
        for limit in limits::LIMITS {
            let mut options = Options::default();
            options.set(limit.name, limit.default).unwrap();
            assert_eq!(options, Options::default(), "{}", limit.name);
            options.set(limit.name, limit.min).unwrap();
            assert_ne!(options, Options::default(), "{}", limit.name);
            options.check().unwrap();
            for bad in [limit.min / 2.0 - 1.0, limit.max * 2.0, f64::NAN, f64::INFINITY] {
                assert!(options.set(limit.name, bad).is_err(), "{} = {bad}", limit.name);
            }
        }
        let unknown = Options::default().set("no_such", 1.0).unwrap_err();
        assert!(unknown.text.contains("no_such") && unknown.text.contains("read_limit"));
    }
}
