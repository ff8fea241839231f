//! Logging in: the page sends the token once and gets a cookie that no script can read.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::response::{IntoResponse, Response};
use http::header::SET_COOKIE;
use http::{HeaderMap, HeaderValue, StatusCode};
use ring::rand::{SecureRandom as _, SystemRandom};
use serde::Deserialize;
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};
use utoipa::ToSchema;

use super::Admin;
use super::access::{Access, session_ids};
use super::view::{ApiError, Refused};
use crate::clock::UnixMillis;
use crate::secret::SecretText;

/// The cookie's name.
pub(super) const COOKIE_NAME: &str = "hookgate_session";
/// What the browser is told of it. Without `Secure`: the listener speaks plain HTTP, on a loopback
/// address or behind something that speaks TLS.
const COOKIE_RULES: &str = "Path=/; HttpOnly; SameSite=Strict";
/// A session ends after this.
const LIFE: Duration = Duration::from_secs(12 * 3600);
/// Open at once; the oldest makes room.
const SESSIONS_MAX: usize = 64;

/// Who is logged in; a restart logs everybody out.
#[derive(Default)]
pub(super) struct Sessions(Mutex<Vec<Session>>);

struct Session {
    /// Of its id: what a memory dump shows is no good as a cookie.
    digest: blake3::Hash,
    access: Access,
    /// Steady time.
    until: UnixMillis,
    /// Ends with the session, however that comes about.
    open: DropGuard,
}

/// What an id is good for, and for how long.
#[derive(Clone)]
pub(super) struct Pass {
    pub(super) access: Access,
    closed: CancellationToken,
    left: Duration,
}

impl Pass {
    /// Waits until the session is over.
    pub(super) async fn ended(self) {
        // Elapsed or closed: it is the same.
        let _ = timeout(self.left, self.closed.cancelled()).await;
    }
}

impl Sessions {
    fn lock(&self) -> MutexGuard<'_, Vec<Session>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new session; `None` if the system has no randomness to give.
    fn open(&self, access: Access, now: UnixMillis) -> Option<String> {
        let mut bytes = [0; 32];
        SystemRandom::new().fill(&mut bytes).ok()?;
        let id = hex::encode(bytes);
        let mut sessions = self.lock();
        sessions.retain(|session| session.until > now);
        if sessions.len() >= SESSIONS_MAX {
            // Who may only look does not push out who may do more.
            let like = |session: &Session| session.access == access;
            let oldest = sessions.iter().position(like).unwrap_or(0);
            sessions.remove(oldest);
        }
        sessions.push(Session {
            digest: blake3::hash(id.as_bytes()),
            access,
            until: now.plus(LIFE),
            open: CancellationToken::new().drop_guard(),
        });
        Some(id)
    }

    /// What the session with this id is good for.
    pub(super) fn pass(&self, id: &str, now: UnixMillis) -> Option<Pass> {
        let digest = blake3::hash(id.as_bytes());
        let sessions = self.lock();
        let found = sessions.iter().find(|session| session.digest == digest);
        found
            .filter(|session| session.until > now)
            .map(|session| Pass {
                access: session.access,
                closed: session.open.token().clone(),
                left: session.until.since(now),
            })
    }

    fn close(&self, id: &str) {
        let digest = blake3::hash(id.as_bytes());
        self.lock().retain(|session| session.digest != digest);
    }
}

/// What logging in takes.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct LogIn {
    /// The token of `admin.token_file` or `admin.read_token_file`.
    #[schema(value_type = String)]
    token: SecretText,
}

/// Log in: the answer sets a cookie that stands for the token in this browser.
#[utoipa::path(post, path = "/api/v1/session", tag = "access", operation_id = "log_in",
    request_body = LogIn, security(()),
    responses((status = 204, description = "Logged in, or no token is needed"),
        Refused<400>, Refused<401>, Refused<403>, Refused<503>))]
pub(super) async fn log_in(
    State(admin): State<Arc<Admin>>,
    body: Result<Json<LogIn>, JsonRejection>,
) -> Result<Response, ApiError> {
    let Json(given) =
        body.map_err(|_| ApiError::bad_request("send {\"token\":\"...\"} as application/json"))?;
    if !admin.tokens.are_required() {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let access = admin.tokens.access(given.token.as_bytes()).ok_or_else(|| {
        // Anybody who reaches the listener can cause this line.
        admin.kept.failed_log_ins.write(|unlogged| {
            tracing::warn!(unlogged, "a log-in to the admin page failed");
        });
        ApiError::new(
            StatusCode::UNAUTHORIZED,
            "unauthorized",
            "this is not a token of admin.token_file or admin.read_token_file",
        )
    })?;
    let id = admin.kept.sessions.open(access, admin.clock.steady());
    let cookie = id.and_then(|id| {
        let rules = format!(
            "{COOKIE_NAME}={id}; {COOKIE_RULES}; Max-Age={}",
            LIFE.as_secs()
        );
        HeaderValue::try_from(rules).ok()
    });
    let mut cookie = cookie.ok_or_else(|| {
        ApiError::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "no_randomness",
            "the system gives no random numbers",
        )
    })?;
    cookie.set_sensitive(true);
    Ok((StatusCode::NO_CONTENT, [(SET_COOKIE, cookie)]).into_response())
}

/// Log out.
#[utoipa::path(delete, path = "/api/v1/session", tag = "access", operation_id = "log_out",
    security(()), responses((status = 204, description = "Logged out"), Refused<403>))]
pub(super) async fn log_out(State(admin): State<Arc<Admin>>, headers: HeaderMap) -> Response {
    session_ids(&headers).for_each(|id| admin.kept.sessions.close(id));
    let gone = format!("{COOKIE_NAME}=; {COOKIE_RULES}; Max-Age=0");
    (StatusCode::NO_CONTENT, [(SET_COOKIE, gone)]).into_response()
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use tokio::time::advance;

    use super::*;

    const NOW: UnixMillis = UnixMillis(1_000);

    fn access(sessions: &Sessions, id: &str, now: UnixMillis) -> Option<Access> {
        sessions.pass(id, now).map(|pass| pass.access)
    }

    #[test]
    fn a_session_ends_with_its_time_or_by_logging_out() {
        let sessions = Sessions::default();
        let id = sessions.open(Access::Read, NOW).unwrap();
        assert_eq!(id.len(), 64);
        assert_eq!(access(&sessions, &id, NOW), Some(Access::Read));
        assert_eq!(access(&sessions, &id, NOW.plus(LIFE)), None);
        assert_eq!(access(&sessions, "", NOW), None);
        sessions.close(&id);
        assert_eq!(access(&sessions, &id, NOW), None);
    }

    #[test]
    fn the_oldest_session_makes_room() {
        let sessions = Sessions::default();
        let first = sessions.open(Access::Full, NOW).unwrap();
        let pass = sessions.pass(&first, NOW).unwrap();
        for _ in 0..SESSIONS_MAX {
            sessions.open(Access::Full, NOW).unwrap();
        }
        assert_eq!(access(&sessions, &first, NOW), None);
        assert_eq!(sessions.lock().len(), SESSIONS_MAX);
        assert!(pass.closed.is_cancelled());
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_session_has_begun_ends_with_it() {
        let sessions = Sessions::default();
        let id = sessions.open(Access::Full, NOW).unwrap();
        let minute = Duration::from_secs(60);
        let later = NOW.plus(LIFE).minus(minute);
        let early = sessions.pass(&id, NOW).unwrap();
        let mut late = Box::pin(sessions.pass(&id, later).unwrap().ended());
        assert_eq!(late.as_mut().now_or_never(), None);
        advance(minute).await;
        assert_eq!(late.now_or_never(), Some(()));
        let mut early = Box::pin(early.ended());
        assert_eq!(early.as_mut().now_or_never(), None);
        sessions.close(&id);
        assert_eq!(early.now_or_never(), Some(()));
    }
}
