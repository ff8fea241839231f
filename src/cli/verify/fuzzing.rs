//! Requests that people have captured, as text.

use super::captured::Parts;

/// A captured request that is read has its body byte for byte, and what it was read as is read as
/// the same once it is printed.
pub fn captured_requests(data: &[u8]) {
    let read = |text: &[u8]| Parts::of_text(text).and_then(Parts::into_request).ok();
    let Some(request) = read(data) else {
        return;
    };
    let received = request.received;
    assert!(data.ends_with(&received.body));
    let base = request.base.unwrap_or_default();
    assert!(base.is_empty() || base.contains("://"), "{base}");
    let mut text =
        format!("{} {base}{} HTTP/1.1\r\n", received.method, received.target).into_bytes();
    for (name, value) in &received.headers {
        text.extend([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
    }
    text.extend(b"\r\n");
    text.extend(&received.body);
    let Some(again) = read(&text) else {
        assert!(
            text.is_empty(),
            "{} is not read again",
            String::from_utf8_lossy(&text)
        );
        return;
    };
    assert_eq!(again.received.method, received.method);
    assert_eq!(again.received.target, received.target);
    assert_eq!(again.received.headers, received.headers);
    assert_eq!(again.received.body, received.body);
}
