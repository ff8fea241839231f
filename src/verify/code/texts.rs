//! Members of a JSON object whose values are texts of any length.
//!
//! A wanted name that occurs twice, or also in another case, spoils the whole object: what is
//! signed is the one value that we saw, and other readers might take the other.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};

/// The texts under these names; `None` if the body is not an object, or one of them is repeated or
/// not a text.
pub(super) fn texts<const N: usize>(body: &[u8], names: [&str; N]) -> Option<[Option<String>; N]> {
    let mut json = serde_json::Deserializer::from_slice(body);
    let texts = json.deserialize_map(Texts(names)).ok()?;
    json.end().ok()?;
    Some(texts)
}

struct Texts<'n, const N: usize>([&'n str; N]);

impl<'de, const N: usize> Visitor<'de> for Texts<'_, N> {
    type Value = [Option<String>; N];

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = [const { None }; N];
        while let Some(name) = map.next_key::<Cow<'de, str>>()? {
            let mut slots = self.0.iter().zip(&mut found);
            match slots.find(|(wanted, _)| wanted.eq_ignore_ascii_case(&name)) {
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
                Some((wanted, slot @ None)) if *wanted == name => *slot = Some(map.next_value()?),
                Some(_) => return Err(A::Error::custom("a name occurs twice")),
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_found_whatever_stands_around_them() {
        let long = "x".repeat(300_000);
        let body = format!(r#" {{"n":[{{"a":1}}],"b":"","\u0061":"{long}\n"}} "#);
        let expected = [Some(format!("{long}\n")), Some(String::new()), None];
        assert_eq!(texts(body.as_bytes(), ["a", "b", "c"]), Some(expected));
    }

    #[test]
    fn a_name_twice_another_case_or_another_type_spoils_all_of_it() {
        for body in [
            "",
            "[]",
            r#""a""#,
            r#"{"a":"1","a":"1"}"#,
            r#"{"a":"1","\u0061":"1"}"#,
            r#"{"a":"1","A":"2"}"#,
            r#"{"A":"2"}"#,
            r#"{"a":null}"#,
            r#"{"a":1}"#,
            r#"{"a":"\ud800"}"#,
            r#"{"a":"1"} x"#,
            r#"{"a":"1""#,
        ] {
            assert_eq!(texts(body.as_bytes(), ["a"]), None, "{body}");
        }
        assert_eq!(texts(b"{\"a\":\"\xff\"}", ["a"]), None);
    }
}
