//! The target without tokens: what the app, the store and the logs may see.

use super::view::decodes_to;

/// Takes the named query parameters out, and with `path_token` the last segment of the path. All
/// other bytes stay as they are; `None` if nothing was taken out.
pub(super) fn without_tokens(
    target: &str,
    parameters: &[Box<str>],
    path_token: bool,
) -> Option<Box<str>> {
    let (path, query) = target
        .split_once('?')
        .map_or((target, None), |(path, query)| (path, Some(query)));
    let is_token = |pair: &str| {
        let name = pair.split('=').next().unwrap_or_default();
        parameters
            .iter()
            .any(|token| decodes_to(name.as_bytes(), token))
    };
    let kept_path = match path.rsplit_once('/') {
        Some(("", _)) if path_token => "/",
        Some((parent, _)) if path_token => parent,
        _ => path,
    };
    let tokens = query.is_some_and(|query| query.split('&').any(is_token));
    if !tokens && kept_path.len() == path.len() {
        return None;
    }
    let mut kept = kept_path.to_owned();
    let mut mark = '?';
    for pair in query.into_iter().flat_map(|query| query.split('&')) {
        if !is_token(pair) {
            kept.push(mark);
            kept.push_str(pair);
            mark = '&';
        }
    }
    Some(kept.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_token_is_taken_out() {
        let token = [Box::from("webhookKey")];
        for (target, expected) in [
            ("/hook?webhookKey=s", Some("/hook")),
            ("/hook?a=%7e+1&webhookKey=s&b", Some("/hook?a=%7e+1&b")),
            ("/hook?webhookKey=s&webhookKey=t&&b=1", Some("/hook?&b=1")),
            ("/hook?webhook%4bey=s&x=1", Some("/hook?x=1")),
            ("/hook?webhookKey", Some("/hook")),
            ("/hook?WebhookKey=s", None),
            ("/hook?x=webhookKey=s", None),
            ("/hook", None),
            ("/hook?", None),
        ] {
            assert_eq!(
                without_tokens(target, &token, false).as_deref(),
                expected,
                "{target}"
            );
        }
    }

    #[test]
    fn the_last_path_segment_is_taken_out() {
        for (target, expected) in [
            ("/webhooks/sieve/s3cret", "/webhooks/sieve"),
            ("/webhooks/sieve/s3cret?x=/1", "/webhooks/sieve?x=/1"),
            ("/s3cret", "/"),
        ] {
            assert_eq!(without_tokens(target, &[], true).as_deref(), Some(expected));
        }
    }
}
