//! Which span is meant: W3C Trace Context (Recommendation of November 2021, §3.2), and the ids of our own.
//!
//! The span that received an event has ids that follow from the event's, so that an attempt hours later, in
//! another process, can link to it and nothing about it has to be kept.

use std::fmt::Write as _;

use http::{HeaderMap, HeaderName};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use crate::event::EventId;

pub(super) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// `00-TRACE-PARENT-FLAGS`.
const LENGTH: usize = 55;
/// Apart from the hash that makes span ids.
const SAMPLING_SEED: u64 = 0x7361_6d70;

/// A span, wherever it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpanContext {
    pub(super) trace: [u8; 16],
    pub(super) span: [u8; 8],
}

impl SpanContext {
    /// The span that the request says it belongs to. Its flags are not looked at: whoever reaches us from the
    /// internet does not decide what is recorded here.
    pub(super) fn of_sender(headers: &HeaderMap) -> Option<Self> {
        let mut values = headers.get_all(TRACEPARENT).iter();
        let (first, more) = (values.next()?, values.next());
        if more.is_some() {
            return None;
        }
        Self::parse(first.as_bytes())
    }

    fn parse(text: &[u8]) -> Option<Self> {
        let (known, more) = text.split_at_checked(LENGTH)?;
        let version = known.get(..2)?;
        let goes_on = more.first().is_some_and(|byte| *byte == b'-') && version != b"00";
        if version == b"ff" || !(more.is_empty() || goes_on) {
            return None;
        }
        let lower_hex = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        let mut parts = known.split(|byte| *byte == b'-');
        let mut part = |length| {
            let part = parts.next()?;
            (part.len() == length && part.iter().all(lower_hex)).then_some(part)
        };
        let (_, trace, span, _) = (part(2)?, part(32)?, part(16)?, part(2)?);
        let mut context = Self {
            trace: [0; 16],
            span: [0; 8],
        };
        hex::decode_to_slice(trace, &mut context.trace).ok()?;
        hex::decode_to_slice(span, &mut context.span).ok()?;
        (context.trace != [0; 16] && context.span != [0; 8]).then_some(context)
    }

    /// The span that received an event: its trace has the event's id.
    pub(super) fn of_event(id: EventId) -> Self {
        let span = xxh3_64(id.as_bytes()).max(1);
        Self {
            trace: *id.as_bytes(),
            span: span.to_be_bytes(),
        }
    }

    /// From any three numbers.
    pub(super) fn of_numbers([first, second, span]: [u64; 3]) -> Self {
        let mut trace = [0; 16];
        let (high, low) = trace.split_at_mut(8);
        high.copy_from_slice(&first.to_be_bytes());
        low.copy_from_slice(&second.max(1).to_be_bytes());
        Self {
            trace,
            span: span.max(1).to_be_bytes(),
        }
    }

    /// As the value of `traceparent`.
    pub(super) fn header(&self, is_sampled: bool) -> String {
        let mut text = String::with_capacity(LENGTH);
        text.push_str("00-");
        for (bytes, end) in [(&self.trace[..], '-'), (&self.span[..], '-')] {
            for byte in bytes {
                let _ = write!(text, "{byte:02x}"); // a String takes everything
            }
            text.push(end);
        }
        text.push_str(if is_sampled { "01" } else { "00" });
        text
    }
}

/// Which share of events is recorded, from 0 to 1. All that belongs to one event is, or nothing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampling(pub f64);

impl Sampling {
    /// Whether what happens to this event is recorded. By a hash: not all bits of an id are random.
    pub(super) fn takes(self, id: EventId) -> bool {
        let hash = xxh3_64_with_seed(id.as_bytes(), SAMPLING_SEED);
        let high = u32::try_from(hash >> 32).unwrap_or(u32::MAX);
        f64::from(high) < self.0 * (f64::from(u32::MAX) + 1.0)
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;
    use crate::clock::UnixMillis;

    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn of(values: &[&[u8]]) -> Option<SpanContext> {
        let values = values.iter().map(|value| {
            let value = HeaderValue::from_bytes(value).unwrap();
            (TRACEPARENT, value)
        });
        SpanContext::of_sender(&values.collect())
    }

    #[test]
    fn a_senders_span_is_read_and_its_flags_are_not() {
        let context = of(&[GOOD.as_bytes()]).unwrap();
        assert_eq!(context.header(false), GOOD.replace("-01", "-00"));
        assert_eq!(context.header(true), GOOD);
        for other in [
            GOOD.replace("-01", "-00"),
            GOOD.replace("-01", "-ff"),
            GOOD.replacen("00", "cc", 1),
            GOOD.replacen("00", "cc", 1) + "-what-comes-later",
        ] {
            assert_eq!(of(&[other.as_bytes()]), Some(context), "{other}");
        }
    }

    #[test]
    fn what_is_no_span_is_none() {
        let huge = "0".repeat(1 << 20);
        let long = GOOD.to_owned() + &huge;
        for bad in [
            "",
            "-",
            "00",
            "---",
            &GOOD[..54],
            &GOOD.replacen("00", "ff", 1),
            &GOOD.replacen("00", "0g", 1),
            &GOOD.to_uppercase(),
            &GOOD.replace('-', "_"),
            &format!("{GOOD}-01"),
            &format!("{GOOD}0"),
            &format!("cc{}0", &GOOD[2..]),
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0af7651916cd43dd8448eb211c80319-cb7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0\u{e9}",
            &huge,
            &long,
        ] {
            assert_eq!(of(&[bad.as_bytes()]), None, "{}", &bad[..bad.len().min(60)]);
        }
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[GOOD.as_bytes(), GOOD.as_bytes()]), None, "which one?");
    }

    #[test]
    fn the_span_of_an_event_is_found_again_by_its_id_alone() {
        let ids = [EventId::new(UnixMillis(1)), EventId::new(UnixMillis(1))];
        let [one, other] = ids.map(SpanContext::of_event);
        assert_eq!(one, SpanContext::of_event(ids[0]));
        assert_ne!(one.span, other.span);
        assert!(ids[0].to_string().ends_with(&one.header(true)[3..35]));
    }

    #[test]
    fn a_share_of_events_is_recorded_whatever_their_ids_have_in_common() {
        let ids: Vec<_> = (0..20_000).map(|n| EventId::new(UnixMillis(n))).collect();
        for (share, least, most) in [
            (0.0, 0, 0),
            (0.1, 1_700, 2_300),
            (0.5, 9_600, 10_400),
            (1.0, 20_000, 20_000),
        ] {
            let taken = ids.iter().filter(|id| Sampling(share).takes(**id)).count();
            assert!((least..=most).contains(&taken), "{share}: {taken}");
        }
    }
}
