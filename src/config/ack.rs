//! `ack` and `ack_timeout`: when a sender is answered, and with what.

use std::time::Duration;

use super::raw::Leaf;
use super::sources::One;
use super::units::Span;
use crate::ingress::Ack;
use crate::providers::Provider;

/// How long a sender waits for the app where it does; most providers wait ten seconds or longer.
const ACK_TIMEOUT: Duration = Duration::from_secs(8);
/// A connection that has been asked to end waits no longer for its last answer; senders and the proxies in
/// front of us give up before, too.
const ACK_TIMEOUT_MAX: Duration = Duration::from_secs(30);
/// For the way to the sender and back: an answer that comes when it has left is one that nobody hears.
const ACK_MARGIN: Duration = Duration::from_millis(500);

/// How long a provider's request waits for the app's own answer.
fn patience(provider: Option<&Provider>) -> Duration {
    let waits = provider.and_then(|provider| provider.ack.timeout_seconds);
    waits.map_or(ACK_TIMEOUT, |seconds| {
        let waits = Duration::from_secs(seconds.into());
        waits
            .saturating_sub(ACK_MARGIN)
            .clamp(ACK_MARGIN, ACK_TIMEOUT_MAX)
    })
}

impl One<'_> {
    pub(super) fn ack(
        &mut self,
        ack: Leaf<String>,
        ack_timeout: Leaf<Span>,
        provider: Option<&Provider>,
    ) -> Ack {
        let wanted = self.positive("ack_timeout", ack_timeout);
        let ack = match self.want("ack", ack).as_deref() {
            None | Some("stored") => {
                if wanted.is_some() {
                    let message =
                        "has no meaning without ack = \"handled\" or \"app\"; leave it out";
                    self.fault("ack_timeout", message);
                }
                return Ack::Stored;
            }
            Some("handled") => Ack::Handled(wanted.unwrap_or(ACK_TIMEOUT)),
            Some("app") => Ack::App(wanted.unwrap_or_else(|| patience(provider))),
            Some(other) => {
                let message = format_args!("{other:?}: write \"stored\", \"handled\" or \"app\"");
                self.fault("ack", message);
                return Ack::Stored;
            }
        };
        if wanted.is_some_and(|wanted| wanted > ACK_TIMEOUT_MAX) {
            self.fault("ack_timeout", "must not be longer than \"30s\"");
        }
        let waits = provider.and_then(|provider| provider.ack.timeout_seconds);
        if let (Ack::App(patience), Some(waits)) = (ack, waits)
            && patience >= Duration::from_secs(waits.into())
        {
            self.warn(&format!(
                "the provider waits for {waits} s, and an ack_timeout of {} ms is no shorter: it hears no late answer",
                patience.as_millis()
            ));
        }
        ack
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::providers::Catalogue;

    #[test]
    fn a_sender_is_answered_before_it_gives_up_where_that_is_known() {
        let catalogue = Catalogue::embedded();
        for (id, expected) in [("slack", 2_500), ("discord", 2_500), ("twilio", 14_500)] {
            let provider = catalogue.get(id).unwrap();
            assert_eq!(patience(Some(&provider)).as_millis(), expected, "{id}");
        }
        let mut provider = (*catalogue.get("hmac").unwrap()).clone();
        for (seconds, expected) in [
            (None, 8_000),
            (Some(0), 500),
            (Some(1), 500),
            (Some(30), 29_500),
            (Some(u32::MAX), 30_000),
        ] {
            provider.ack.timeout_seconds = seconds;
            assert_eq!(
                patience(Some(&provider)).as_millis(),
                expected,
                "{seconds:?}"
            );
        }
        assert_eq!(patience(None), ACK_TIMEOUT);
    }
}
