//! What happens in the demo, step by step, and whether it went as promised.

use std::time::Duration;

use bytes::Bytes;
use http::{Response, StatusCode};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use super::super::http::Client;
use super::super::send::{new_id, request, tamper};
use super::super::{Failure, out};
use super::app::{Delivery, FAIL_ONCE};
use super::cast::Character;
use crate::clock::Clock;
use crate::net::Address;
use crate::verify::Unsigned;

/// How long the story waits for the app to be reached.
const PATIENCE: Duration = Duration::from_secs(15);
/// Past every provider's tolerance.
const LONG_AGO: Duration = Duration::from_secs(24 * 3600);

/// Plays all steps, prints the table, and fails if anything went other than promised.
pub(super) async fn tell(
    cast: &[Character],
    address: &Address,
    delivered: &mut mpsc::Receiver<Delivery>,
) -> Result<(), Failure> {
    let connected = Client::connect(address).await;
    let client =
        connected.map_err(|error| Failure::Failed(format!("cannot reach the gate: {error}")))?;
    let mut stage = Story {
        client,
        delivered,
        clock: Clock::real(),
        rows: Vec::new(),
        surprises: 0,
        deliveries: 0,
    };
    for character in cast {
        stage.an_event_is_delivered(character).await?;
    }
    if let Some(stripe) = cast.iter().find(|character| character.name == "stripe") {
        stage.a_retry_is_suppressed(stripe).await?;
        stage.a_forgery_is_refused(stripe).await?;
        stage.a_stale_event_is_refused(stripe).await?;
        stage.a_failing_app_gets_it_again(stripe).await?;
    }
    stage.end(cast.len())
}

struct Story<'a> {
    client: Client,
    delivered: &'a mut mpsc::Receiver<Delivery>,
    clock: Clock,
    rows: Vec<Vec<String>>,
    surprises: usize,
    deliveries: usize,
}

impl Story<'_> {
    async fn an_event_is_delivered(&mut self, character: &Character) -> Result<(), Failure> {
        let signed = self.signed(character, Duration::ZERO)?;
        let answer = self.post(&signed).await?;
        let deliveries = self.deliveries_of(&answer, 1).await;
        let guarded_by_token = deliveries
            .first()
            .is_some_and(|delivery| !delivery.signature_holds);
        let fine = is(&answer, StatusCode::OK, "stored") && self.all_fine(&deliveries, &["200"]);
        let seen = match (deliveries.is_empty(), guarded_by_token) {
            (true, _) => "nothing".to_owned(),
            (false, false) => "the event; the signature verifies there too".to_owned(),
            (false, true) => "the event; the token was taken out of the URL".to_owned(),
        };
        self.row(
            &format!("a signed event: {}", character.provider.title),
            &character.name,
            &answer,
            &seen,
            fine,
        );
        Ok(())
    }

    async fn a_retry_is_suppressed(&mut self, character: &Character) -> Result<(), Failure> {
        let signed = self.signed(character, Duration::ZERO)?;
        let first = self.post(&signed).await?;
        let deliveries = self.deliveries_of(&first, 1).await;
        let again = self.post(&signed).await?;
        let fine = self.all_fine(&deliveries, &["200"])
            && is(&again, StatusCode::OK, "duplicate")
            && header(&again, "hookgate-event-id") == header(&first, "hookgate-event-id");
        self.row(
            "the same event once more (sender's retry)",
            &character.name,
            &again,
            "nothing new",
            fine,
        );
        Ok(())
    }

    async fn a_forgery_is_refused(&mut self, character: &Character) -> Result<(), Failure> {
        let mut signed = self.signed(character, Duration::ZERO)?;
        tamper(&mut signed);
        let answer = self.post(&signed).await?;
        let fine = answer.status() == StatusCode::UNAUTHORIZED;
        self.row(
            "a forgery: one byte of the body changed",
            &character.name,
            &answer,
            "nothing",
            fine,
        );
        Ok(())
    }

    async fn a_stale_event_is_refused(&mut self, character: &Character) -> Result<(), Failure> {
        let signed = self.signed(character, LONG_AGO)?;
        let answer = self.post(&signed).await?;
        let fine = answer.status() == StatusCode::UNAUTHORIZED;
        self.row(
            "a replayed recording: signed a day ago",
            &character.name,
            &answer,
            "nothing",
            fine,
        );
        Ok(())
    }

    async fn a_failing_app_gets_it_again(&mut self, character: &Character) -> Result<(), Failure> {
        let mut signed = self.signed(character, Duration::ZERO)?;
        signed.headers.push((FAIL_ONCE.to_owned(), "1".to_owned()));
        let answer = self.post(&signed).await?;
        let deliveries = self.deliveries_of(&answer, 2).await;
        let fine =
            is(&answer, StatusCode::OK, "stored") && self.all_fine(&deliveries, &["500", "200"]);
        let attempts: Vec<_> = deliveries
            .iter()
            .map(|delivery| format!("attempt {}: {}", delivery.attempt, delivery.status.as_u16()))
            .collect();
        self.row(
            "an event that the app fails to handle once",
            &character.name,
            &answer,
            &attempts.join(", then "),
            fine,
        );
        Ok(())
    }

    fn signed(&self, character: &Character, age: Duration) -> Result<Unsigned, Failure> {
        let no_sample = || Failure::Failed(format!("{} has no sample", character.provider.id));
        let sample = character.provider.samples.first().ok_or_else(no_sample)?;
        let now = self.clock.wall();
        character
            .sender()
            .sign(sample, &character.target(), now.minus(age), &new_id(now))
    }

    async fn post(&mut self, signed: &Unsigned) -> Result<Response<Bytes>, Failure> {
        let response = self.client.send(request(signed)?).await;
        response.map_err(|error| Failure::Failed(format!("the gate did not answer: {error}")))
    }

    /// Waits until the app has seen the accepted event `count` times.
    async fn deliveries_of(&mut self, answer: &Response<Bytes>, count: usize) -> Vec<Delivery> {
        let id = header(answer, "hookgate-event-id");
        let deadline = Instant::now() + PATIENCE;
        let mut found = Vec::new();
        while found.len() < count {
            let Ok(Some(delivery)) = timeout_at(deadline, self.delivered.recv()).await else {
                break;
            };
            self.deliveries += 1;
            if delivery.event_id == id {
                found.push(delivery);
            }
        }
        found
    }

    fn all_fine(&self, deliveries: &[Delivery], statuses: &[&str]) -> bool {
        let seen: Vec<_> = deliveries
            .iter()
            .map(|delivery| delivery.status.as_str().to_owned())
            .collect();
        seen == statuses
    }

    fn row(&mut self, what: &str, source: &str, answer: &Response<Bytes>, app: &str, fine: bool) {
        let said = header(answer, "hookgate-status");
        let answered = format!("{} {said}", answer.status().as_u16());
        let verdict = if fine {
            "as promised"
        } else {
            "NOT AS PROMISED"
        };
        self.surprises += usize::from(!fine);
        self.rows.push(
            [what, source, answered.trim_end(), app, verdict]
                .map(ToOwned::to_owned)
                .to_vec(),
        );
    }

    fn end(mut self, providers: usize) -> Result<(), Failure> {
        // One each, one before its retry, and two of the event that failed once: nothing else.
        while self.delivered.try_recv().is_ok() {
            self.deliveries += 1;
        }
        let expected = providers + 3;
        let heading = [
            "WHAT WAS SENT",
            "TO SOURCE",
            "ANSWER",
            "WHAT THE APP GOT",
            "",
        ];
        self.rows.insert(0, heading.map(ToOwned::to_owned).to_vec());
        out::table(&self.rows);
        out::line(format_args!(
            "\n{} requests sent, {} attempts reached the app, {} surprises",
            self.rows.len(), // the heading stands for the event before its retry
            self.deliveries,
            self.surprises
        ));
        if self.deliveries != expected {
            return Err(Failure::Failed(format!(
                "the app was reached {} times instead of {expected}",
                self.deliveries
            )));
        }
        if self.surprises > 0 {
            return Err(Failure::Failed(format!(
                "{} steps did not go as promised",
                self.surprises
            )));
        }
        Ok(())
    }
}

fn is(answer: &Response<Bytes>, status: StatusCode, said: &str) -> bool {
    answer.status() == status && header(answer, "hookgate-status") == said
}

fn header<'a>(answer: &'a Response<Bytes>, name: &str) -> &'a str {
    answer
        .headers()
        .get(name)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
}
