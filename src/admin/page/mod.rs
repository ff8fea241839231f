//! The web page: static files in the binary, which use the API like anybody else.
//!
//! They hold no data, so they need no token; the page asks for one when the API does. There is no
//! build step: the modules are served as they are written, and `vendor/` is the one thing that
//! others wrote. The policy allows no inline code and nothing from elsewhere, so even text of a
//! sender that became markup could not run.

use axum::Router;
use axum::routing::get;
use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::{HeaderMap, HeaderValue, Response, StatusCode};

/// Forms and frames are named because `default-src` does not cover them.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
     img-src 'self' data:; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

const HTML: &str = "text/html; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";
const IMAGE: &str = "image/svg+xml";

/// One file of the page.
struct File {
    route: &'static str,
    content_type: &'static str,
    content: &'static str,
}

macro_rules! file {
    ($content_type:expr, $name:literal) => {
        File {
            route: concat!("/page/", $name),
            content_type: $content_type,
            content: include_str!($name),
        }
    };
}

const FILES: &[File] = &[
    File {
        route: "/",
        content_type: HTML,
        content: include_str!("index.html"),
    },
    file!(STYLE, "style.css"),
    file!(STYLE, "views.css"),
    file!(IMAGE, "icon.svg"),
    file!(SCRIPT, "api.js"),
    file!(SCRIPT, "app.js"),
    file!(SCRIPT, "body.js"),
    file!(SCRIPT, "bulk.js"),
    file!(SCRIPT, "charts.js"),
    file!(SCRIPT, "curl.js"),
    file!(SCRIPT, "dead.js"),
    file!(SCRIPT, "event.js"),
    file!(SCRIPT, "events.js"),
    file!(SCRIPT, "icons.js"),
    file!(SCRIPT, "json.js"),
    file!(SCRIPT, "keys.js"),
    file!(SCRIPT, "list.js"),
    file!(SCRIPT, "login.js"),
    file!(SCRIPT, "overview.js"),
    file!(SCRIPT, "parts.js"),
    file!(SCRIPT, "rejections.js"),
    file!(SCRIPT, "route.js"),
    file!(SCRIPT, "sources.js"),
    file!(SCRIPT, "tail.js"),
    file!(SCRIPT, "words.js"),
    file!(SCRIPT, "vendor/htm-preact.js"),
    file!(TEXT, "vendor/LICENSE-htm.txt"),
    file!(TEXT, "vendor/LICENSE-preact.txt"),
];

/// `/` and `/page/...`.
pub(super) fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    FILES.iter().fold(Router::new(), |router, file| {
        let tag = format!("\"{}\"", blake3::hash(file.content.as_bytes()).to_hex());
        router.route(
            file.route,
            get(async move |headers: HeaderMap| file.answer(&tag, &headers)),
        )
    })
}

impl File {
    /// The file, or 304 if the browser has this very one: a new binary shows at the next look.
    fn answer(&self, tag: &str, asked: &HeaderMap) -> Response<axum::body::Body> {
        let known = asked
            .get_all(IF_NONE_MATCH)
            .iter()
            .any(|tags| tags.to_str().is_ok_and(|tags| tags.contains(tag)));
        let (status, content) = if known {
            (StatusCode::NOT_MODIFIED, "")
        } else {
            (StatusCode::OK, self.content)
        };
        let mut response = Response::new(Bytes::from_static(content.as_bytes()).into());
        *response.status_mut() = status;
        let headers = response.headers_mut();
        for (name, value) in [
            (CONTENT_TYPE, self.content_type),
            (CACHE_CONTROL, "no-cache"),
            (CONTENT_SECURITY_POLICY, POLICY),
            (X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (REFERRER_POLICY, "no-referrer"),
            (X_FRAME_OPTIONS, "DENY"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        if let Ok(tag) = HeaderValue::from_str(tag) {
            headers.insert(ETAG, tag);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::store::DeadReason;
    use crate::verify::Reason;

    fn file(route: &str) -> &'static File {
        let found = FILES.iter().find(|file| file.route == route);
        found.unwrap_or_else(|| panic!("no {route}"))
    }

    #[test]
    fn a_file_comes_with_its_policy_and_once() {
        let fresh = file("/").answer("\"tag\"", &HeaderMap::new());
        assert_eq!(fresh.status(), StatusCode::OK);
        assert_eq!(fresh.headers()[CONTENT_SECURITY_POLICY], POLICY);
        assert_eq!(fresh.headers()[CACHE_CONTROL], "no-cache");
        assert_eq!(fresh.headers()[X_CONTENT_TYPE_OPTIONS], "nosniff");
        assert_eq!(fresh.headers()[REFERRER_POLICY], "no-referrer");
        assert_eq!(fresh.headers()[X_FRAME_OPTIONS], "DENY");
        for (known, status) in [
            ("\"tag\"", StatusCode::NOT_MODIFIED),
            ("W/\"tag\", \"other\"", StatusCode::NOT_MODIFIED),
            ("\"other\"", StatusCode::OK),
        ] {
            let asked = HeaderMap::from_iter([(IF_NONE_MATCH, known.parse().unwrap())]);
            let answer = file("/").answer("\"tag\"", &asked);
            assert_eq!(answer.status(), status, "{known}");
            assert_eq!(answer.headers()[ETAG], "\"tag\"");
        }
    }

    #[test]
    fn every_file_that_is_named_is_served_and_every_file_is_named() {
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/admin/page");
        for folder in ["", "vendor/"] {
            for entry in std::fs::read_dir(page.join(folder)).unwrap() {
                let name = entry.unwrap().file_name().into_string().unwrap();
                if !["mod.rs", "index.html", "README.md", "vendor"].contains(&&*name) {
                    file(&format!("/page/{folder}{name}"));
                }
            }
        }
        for script in FILES.iter().filter(|file| file.content_type == SCRIPT) {
            for import in script.content.split(" from \"./").skip(1) {
                file(&format!("/page/{}", import.split('"').next().unwrap()));
            }
        }
        for named in file("/").content.split("=\"/").skip(1) {
            file(&format!("/{}", named.split('"').next().unwrap()));
        }
    }

    #[test]
    fn nothing_is_written_that_the_policy_forbids_or_that_makes_markup_of_text() {
        for file in FILES.iter().filter(|file| !file.route.contains("vendor")) {
            for forbidden in [
                "innerHTML",
                "outerHTML",
                "insertAdjacent",
                "document.write",
                "eval(",
                "new Function",
                " style=",
                "<style",
                "onclick=",
                "javascript:",
                "//cdn",
            ] {
                assert!(
                    !file.content.contains(forbidden),
                    "{}: {forbidden}",
                    file.route
                );
            }
        }
    }

    #[test]
    fn the_page_has_words_for_every_reason() {
        let words = file("/page/words.js").content;
        let reasons = Reason::ALL.iter().map(|reason| reason.as_str());
        let dead = [
            DeadReason::GaveUp,
            DeadReason::Refused,
            DeadReason::Unreadable,
            DeadReason::Erased,
        ];
        let dead = dead.into_iter().map(DeadReason::as_str);
        for word in reasons.chain(dead) {
            assert!(words.contains(&format!("\n  {word}: ")), "{word}");
        }
    }
}
