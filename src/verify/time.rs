//! The signed timestamp: read strictly, accepted only near now.

use std::time::Duration;

use super::rejection::{Reason, Rejection};
use crate::clock::UnixMillis;
use crate::planted::{Bug, planted};
use crate::providers::{Place, TimeUnit, TimestampRule};

/// Accepted distance from now where neither provider nor source say otherwise.
pub(super) const TOLERANCE: Duration = Duration::from_secs(300);

/// A timestamp rule, ready for use.
pub(super) struct TimeRule {
    pub(super) from: Vec<Place>,
    unit: TimeUnit,
    pub(super) tolerance_ms: i64,
}

impl TimeRule {
    /// Compiles a rule; the source's `tolerance` goes before the provider's.
    pub(super) fn new(rule: &TimestampRule, tolerance: Option<Duration>) -> Self {
        let provider = rule
            .tolerance_seconds
            .map(|s| Duration::from_secs(s.into()));
        let tolerance = tolerance.or(provider).unwrap_or(TOLERANCE);
        Self {
            from: rule.from.0.iter().map(|from| from.place.clone()).collect(),
            unit: rule.unit,
            tolerance_ms: i64::try_from(tolerance.as_millis()).unwrap_or(i64::MAX),
        }
    }

    /// Checks a received timestamp against `now` (wall time).
    ///
    /// Seconds are compared with whole seconds, as senders' own libraries do.
    pub(super) fn check(&self, text: &[u8], now: UnixMillis) -> Result<(), Rejection> {
        let (Some(at), now) = self.read(text, now) else {
            return Err(Reason::Malformed.because("the timestamp is not in the expected form"));
        };
        near(at, now, self.tolerance_ms)
    }

    /// A received timestamp, and `now` to compare it with, both in milliseconds.
    pub(super) fn read(&self, text: &[u8], now: UnixMillis) -> (Option<i64>, i64) {
        match self.unit {
            TimeUnit::S => (
                digits(text).and_then(|s| s.checked_mul(1000)),
                now.seconds() * 1000,
            ),
            TimeUnit::Ms => (digits(text), now.0),
            TimeUnit::Rfc3339 => {
                let text = std::str::from_utf8(text).ok();
                let at = text
                    .filter(|text| ends_with_zone(text))
                    .and_then(|text| text.parse::<jiff::Timestamp>().ok());
                (at.map(jiff::Timestamp::as_millisecond), now.0)
            }
            TimeUnit::IsoUtc => (utc(text), now.0),
        }
    }

    /// An instant as the sender writes it.
    pub(super) fn write(&self, at: UnixMillis) -> String {
        match self.unit {
            TimeUnit::S => at.seconds().to_string(),
            TimeUnit::Ms => at.0.to_string(),
            TimeUnit::Rfc3339 => at.rfc3339(),
            TimeUnit::IsoUtc => at.rfc3339().trim_end_matches('Z').to_owned(),
        }
    }
}

/// Whether an instant is no further from now than the tolerance, all in milliseconds.
pub(super) fn near(at: i64, now: i64, tolerance_ms: i64) -> Result<(), Rejection> {
    let age_ms = now.saturating_sub(at);
    let (seconds, tolerance) = (age_ms / 1000, tolerance_ms / 1000);
    if age_ms > tolerance_ms {
        let detail = format!("the timestamp is {seconds} s old, the tolerance {tolerance} s");
        return Err(Reason::Stale.because(detail).aged(seconds));
    }
    if age_ms < -tolerance_ms && !planted(Bug::ToleranceOneSided) {
        let ahead = seconds.saturating_neg();
        let detail = format!("the timestamp is {ahead} s ahead, the tolerance {tolerance} s");
        return Err(Reason::Future.because(detail).aged(seconds));
    }
    Ok(())
}

/// Whether an RFC 3339 text ends in `Z` or an offset such as `+01:00`: no shorter part of it does.
fn ends_with_zone(text: &str) -> bool {
    let offset = text.as_bytes().last_chunk::<6>();
    text.ends_with('Z') || offset.is_some_and(|o| matches!(o, [b'+' | b'-', _, _, b':', _, _]))
}

/// An RFC 3339 text that leaves out its zone.
fn utc(text: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(text).ok()?;
    let (_, time) = text.split_once('T')?;
    if time.contains(['Z', 'z', '+', '-', '[']) {
        return None;
    }
    let at: jiff::Timestamp = format!("{text}Z").parse().ok()?;
    Some(at.as_millisecond())
}

/// A number of digits and nothing else.
pub(super) fn digits(text: &[u8]) -> Option<i64> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::providers::OneOrMany;

    fn check(unit: TimeUnit, text: &str, now_ms: i64) -> Option<Reason> {
        let rule = TimestampRule {
            from: OneOrMany::default(),
            unit,
            tolerance_seconds: None,
        };
        let rejection = TimeRule::new(&rule, None).check(text.as_bytes(), UnixMillis(now_ms));
        rejection.err().map(|rejection| rejection.reason)
    }

    #[test]
    fn the_tolerance_holds_in_both_directions_to_the_unit() {
        let now = 1_735_689_600_999;
        for (text, expected) in [
            ("1735689600", None),
            ("1735689300", None),
            ("1735689299", Some(Reason::Stale)),
            ("1735689900", None),
            ("1735689901", Some(Reason::Future)),
            ("0", Some(Reason::Stale)),
            ("9223372036854775807", Some(Reason::Malformed)),
            ("99999999999999999999", Some(Reason::Malformed)),
            ("+1735689600", Some(Reason::Malformed)),
            ("-1", Some(Reason::Malformed)),
            ("1735689600.0", Some(Reason::Malformed)),
            ("", Some(Reason::Malformed)),
        ] {
            assert_eq!(check(TimeUnit::S, text, now), expected, "{text}");
        }
        assert_eq!(check(TimeUnit::Ms, "1735689300999", now), None);
        assert_eq!(
            check(TimeUnit::Ms, "1735689300998", now),
            Some(Reason::Stale)
        );
        assert_eq!(
            check(TimeUnit::Rfc3339, "2025-01-01T00:00:00.123456789Z", now),
            None
        );
        assert_eq!(
            check(TimeUnit::Rfc3339, "2025-01-01T01:00:00+01:00", now),
            None
        );
        for odd in [
            "2025-01-01T01:00:00+01",
            "2025-01-01T00:00:00Z[UTC]",
            "2025-01-01",
        ] {
            assert_eq!(
                check(TimeUnit::Rfc3339, odd, now),
                Some(Reason::Malformed),
                "{odd}"
            );
        }
        assert_eq!(
            check(TimeUnit::Rfc3339, "2025-01-01T00:00:00", now),
            Some(Reason::Malformed)
        );
    }

    #[test]
    fn a_time_without_a_zone_is_utc_and_has_none() {
        let now = 1_735_689_600_999;
        for (text, expected) in [
            ("2025-01-01T00:00:00", None),
            ("2025-01-01T00:00:00.123456", None),
            ("2024-12-31T23:00:00", Some(Reason::Stale)),
            ("2025-01-01T00:00:00Z", Some(Reason::Malformed)),
            ("2025-01-01T00:00:00+01:00", Some(Reason::Malformed)),
            ("2025-01-01", Some(Reason::Malformed)),
        ] {
            assert_eq!(check(TimeUnit::IsoUtc, text, now), expected, "{text}");
        }
    }

    #[test]
    fn the_source_tolerance_goes_before_the_providers() {
        let rule = TimestampRule {
            from: OneOrMany::default(),
            unit: TimeUnit::S,
            tolerance_seconds: Some(5),
        };
        let (text, now) = (b"100", UnixMillis(110_000));
        assert!(TimeRule::new(&rule, None).check(text, now).is_err());
        assert!(
            TimeRule::new(&rule, Some(Duration::from_secs(10)))
                .check(text, now)
                .is_ok()
        );
    }
}
