//! Kubernetes' quantities, as far as sizes and CPU shares need them.
//! Source: kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/

/// A size in bytes, rounded down: digits with an optional fraction, and a binary or decimal suffix.
#[must_use]
pub(super) fn bytes(text: &str) -> Option<u64> {
    let suffix = text.find(|c: char| !c.is_ascii_digit() && c != '.');
    let (number, suffix) = text.split_at_checked(suffix.unwrap_or(text.len()))?;
    let factor: u64 = match suffix {
        "" => 1,
        "k" => 1_000,
        "M" => 1_000_000,
        "G" => 1_000_000_000,
        "T" => 1_000_000_000_000,
        "Ki" => 1 << 10,
        "Mi" => 1 << 20,
        "Gi" => 1 << 30,
        "Ti" => 1 << 40,
        _ => return None,
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    // Fewer digits than would overflow.
    let digits = |part: &str, max| {
        (1..=max).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit())
    };
    if !digits(whole, 18) || !digits(fraction, 9) {
        return None;
    }
    let scale = 10_u64.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let part = fraction.parse::<u64>().ok()?;
    let part = u64::try_from(u128::from(part) * u128::from(factor) / u128::from(scale)).ok()?;
    let whole = whole.parse::<u64>().ok()?.checked_mul(factor)?;
    whole.checked_add(part)
}

/// A share of processors in thousandths, rounded down: `500m`, `2`, `0.5`.
#[must_use]
pub(super) fn millicores(text: &str) -> Option<u64> {
    let (number, factor) = match text.strip_suffix('m') {
        Some(number) => (number, 1),
        None => (text, 1_000),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |part: &str| {
        (1..=9).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit())
    };
    if !digits(whole) || !digits(fraction) || (factor == 1 && number.contains('.')) {
        return None;
    }
    let scale = 10_u64.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let part = fraction.parse::<u64>().ok()? * factor / scale;
    Some(whole.parse::<u64>().ok()? * factor + part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_kubernetes_reads_them() {
        let cases = [
            ("1Gi", Some(1 << 30)),
            ("1.5Gi", Some(3 << 29)),
            ("512Mi", Some(512 << 20)),
            ("1G", Some(1_000_000_000)),
            ("0.5k", Some(500)),
            ("1073741824", Some(1 << 30)),
            ("100000000000", Some(100_000_000_000)),
            ("", None),
            ("Gi", None),
            ("1.", None),
            (".5Gi", None),
            ("1.2.3Gi", None),
            ("1 Gi", None),
            ("-1Gi", None),
            ("1gi", None),
            ("1e3", None),
            ("99999999999999999999", None),
            ("999999999Ti", None),
        ];
        for (text, expected) in cases {
            assert_eq!(bytes(text), expected, "{text}");
        }
    }

    #[test]
    fn shares_of_processors_are_read_as_kubernetes_reads_them() {
        for (text, expected) in [("10m", 10), ("1", 1_000), ("0.5", 500), ("1.25", 1_250)] {
            assert_eq!(millicores(text), Some(expected), "{text}");
        }
        for text in ["", "m", "0.5m", "1Gi", "-1", ".5", "1.", "one"] {
            assert_eq!(millicores(text), None, "{text}");
        }
    }
}
