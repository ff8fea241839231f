//! Values out of a JSON body, without building it: one pass that walks only towards what is wanted.
//!
//! Unexpected shapes are data: a value counts only if the whole body is valid JSON and the value is
//! a string, an integer or a boolean, within [`TEXT_MAX_BYTES`] and without control characters.
//! A key that occurs twice on the way is ambiguous, since other parsers may take the other one, and
//! floats are none, since different texts could become one number. Facts take such a value for
//! absent; where it is signed it is not, since then anybody could put it where nothing was.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::view::Ambiguous;
use crate::planted::{Bug, planted};

/// The longest value that is taken as an id, a type or a part of a dedup key.
pub(super) const TEXT_MAX_BYTES: usize = 256;

/// Whether a text may be used as an id or a type: not empty, bounded, without control characters.
pub(super) fn is_usable(text: &str) -> bool {
    !text.is_empty() && text.len() <= TEXT_MAX_BYTES && !text.chars().any(char::is_control)
}

/// The wanted pointers as a tree.
#[derive(Default)]
pub(super) struct Tree {
    root: Node,
    slots: usize,
    /// A key in another case counts as repeated: some readers take it for the same.
    wary: bool,
}

#[derive(Default)]
struct Node {
    slot: Option<usize>,
    children: Vec<Child>,
}

struct Child {
    key: Box<str>,
    /// The key as an array index.
    index: Option<usize>,
    node: Node,
}

/// The values that were found, by slot.
pub(super) struct Values<'a>(Vec<Slot<'a>>);

enum Slot<'a> {
    /// Nothing, `null` or an empty text.
    Absent,
    Text(Cow<'a, str>),
    /// Something that does not count, or several values.
    Odd,
}

impl Tree {
    /// For values that are signed one by one.
    pub(super) fn wary() -> Self {
        Self {
            wary: true,
            ..Self::default()
        }
    }

    /// Wants the value at `pointer`; the slot it will be in.
    pub(super) fn add(&mut self, pointer: &[Box<str>]) -> usize {
        let node = pointer.iter().fold(&mut self.root, Node::child);
        let slots = &mut self.slots;
        *node.slot.get_or_insert_with(|| {
            *slots += 1;
            *slots - 1
        })
    }

    /// The wanted values of `body`; none if it is not JSON.
    pub(super) fn read<'a>(&self, body: &'a [u8]) -> Values<'a> {
        let empty = || (0..self.slots).map(|_| Slot::Absent).collect();
        if self.slots == 0 {
            return Values(Vec::new());
        }
        let mut slots: Vec<_> = empty();
        let mut json = serde_json::Deserializer::from_slice(body);
        let walk = Walk {
            node: &self.root,
            slots: &mut slots,
            wary: self.wary,
        };
        match walk.deserialize(&mut json).and_then(|()| json.end()) {
            Ok(()) => Values(slots),
            Err(_) => Values(empty()),
        }
    }
}

impl<'a> Values<'a> {
    /// The text in a slot.
    pub(super) fn text(&self, slot: usize) -> Option<&str> {
        match self.0.get(slot)? {
            Slot::Text(text) => Some(text),
            Slot::Absent | Slot::Odd => None,
        }
    }

    /// Takes the text out of a slot.
    pub(super) fn take(mut self, slot: usize) -> Result<Option<Cow<'a, str>>, Ambiguous> {
        match self.0.get_mut(slot) {
            None | Some(Slot::Absent) => Ok(None),
            Some(Slot::Text(text)) => Ok(Some(std::mem::take(text))),
            Some(Slot::Odd) => Err(Ambiguous),
        }
    }
}

impl Node {
    #[expect(
        clippy::borrowed_box,
        reason = "the signature that fold over a pointer needs"
    )]
    fn child<'a>(&'a mut self, key: &Box<str>) -> &'a mut Self {
        let known = self.children.iter().position(|child| child.key == *key);
        let at = known.unwrap_or(self.children.len());
        if known.is_none() {
            let canonical = key.len() == 1 || !key.starts_with(['0', '+']);
            self.children.push(Child {
                key: key.clone(),
                index: key.parse().ok().filter(|_| canonical),
                node: Self::default(),
            });
        }
        #[expect(clippy::indexing_slicing, reason = "`at` was found or just pushed")]
        &mut self.children[at].node
    }

    fn spoil(&self, slots: &mut [Slot<'_>]) {
        if let Some(slot) = self.slot.and_then(|slot| slots.get_mut(slot)) {
            *slot = Slot::Odd;
        }
        for child in &self.children {
            child.node.spoil(slots);
        }
    }
}

/// One value of the document, and what is wanted in it.
struct Walk<'w, 'de> {
    node: &'w Node,
    slots: &'w mut Vec<Slot<'de>>,
    wary: bool,
}

impl<'de> Walk<'_, 'de> {
    fn found(&mut self, text: Cow<'de, str>) {
        if planted(Bug::PanicsOnOddJson) {
            let _ = text.split_at(1);
        }
        let found = match is_usable(&text) {
            true => Slot::Text(text),
            false if text.is_empty() => Slot::Absent,
            false => Slot::Odd,
        };
        self.fill(found);
    }

    fn fill(&mut self, found: Slot<'de>) {
        let slot = self.node.slot.and_then(|slot| self.slots.get_mut(slot));
        if let Some(slot @ Slot::Absent) = slot {
            *slot = found;
        }
    }
}

impl<'de> DeserializeSeed<'de> for Walk<'_, 'de> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_borrowed_str<E: Error>(mut self, text: &'de str) -> Result<(), E> {
        self.found(Cow::Borrowed(text));
        Ok(())
    }

    fn visit_str<E: Error>(mut self, text: &str) -> Result<(), E> {
        // Longer texts are not worth a copy: they are never taken.
        match text.len() <= TEXT_MAX_BYTES {
            true => self.found(Cow::Owned(text.to_owned())),
            false => self.fill(Slot::Odd),
        }
        Ok(())
    }

    fn visit_bool<E: Error>(mut self, value: bool) -> Result<(), E> {
        self.found(Cow::Borrowed(if value { "true" } else { "false" }));
        Ok(())
    }

    fn visit_u64<E: Error>(mut self, value: u64) -> Result<(), E> {
        self.found(Cow::Owned(value.to_string()));
        Ok(())
    }

    fn visit_i64<E: Error>(mut self, value: i64) -> Result<(), E> {
        self.found(Cow::Owned(value.to_string()));
        Ok(())
    }

    fn visit_f64<E: Error>(mut self, _: f64) -> Result<(), E> {
        self.fill(Slot::Odd);
        Ok(())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        let children = &self.node.children;
        self.fill(Slot::Odd);
        let mut seen = 0_u64;
        while let Some(wanted) = map.next_key_seed(Key(children, self.wary))? {
            let known = wanted.and_then(|(at, exact)| Some((at, exact, children.get(at)?)));
            let Some((at, exact, child)) = known else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            // Past 64 wanted keys in one object all of them count as repeated.
            let bit = u32::try_from(at).ok().and_then(|at| 1_u64.checked_shl(at));
            if !exact || seen & bit.unwrap_or(u64::MAX) != 0 {
                map.next_value::<IgnoredAny>()?;
                child.node.spoil(self.slots);
                continue;
            }
            seen |= bit.unwrap_or(0);
            map.next_value_seed(Walk {
                node: &child.node,
                slots: self.slots,
                wary: self.wary,
            })?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<(), A::Error> {
        self.fill(Slot::Odd);
        for at in 0.. {
            let wanted = self.node.children.iter().find(|c| c.index == Some(at));
            let more = match wanted {
                Some(child) => seq.next_element_seed(Walk {
                    node: &child.node,
                    slots: self.slots,
                    wary: self.wary,
                })?,
                None => seq.next_element::<IgnoredAny>()?.map(|_| ()),
            };
            if more.is_none() {
                break;
            }
        }
        Ok(())
    }
}

/// The key of an object: which of the wanted ones it is, and whether to the letter.
struct Key<'w>(&'w [Child], bool);

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = Option<(usize, bool)>;

    fn deserialize<D: serde::Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        json.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = Option<(usize, bool)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        let Self(children, wary) = self;
        let exact = children.iter().position(|child| &*child.key == text);
        let alike = |child: &Child| child.key.eq_ignore_ascii_case(text);
        let other = || children.iter().position(alike).filter(|_| wary);
        let other = || Some((other()?, false));
        Ok(exact.map(|at| (at, true)).or_else(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pointer: &[&str], body: &[u8]) -> Option<String> {
        let mut tree = Tree::default();
        let pointer: Vec<Box<str>> = pointer.iter().map(|step| (*step).into()).collect();
        let slot = tree.add(&pointer);
        tree.read(body).text(slot).map(str::to_owned)
    }

    #[test]
    fn odd_json_is_data_and_never_a_panic() {
        let long = format!("{{\"id\":\"{}\"}}", "x".repeat(257));
        let deep = format!(
            "{{\"a\":{}1{},\"id\":\"x\"}}",
            "[".repeat(5000),
            "]".repeat(5000)
        );
        let cases: &[(&[u8], Option<&str>)] = &[
            (br#"{"id":"evt_1"}"#, Some("evt_1")),
            (
                br#"{"x":{"id":"no"},"id":"evt_1","y":[{"id":2}]}"#,
                Some("evt_1"),
            ),
            (br#"{"id":"a\u0062c"}"#, Some("abc")),
            (br#"{"\u0069d":"escaped key"}"#, Some("escaped key")),
            (br#"{"id":42}"#, Some("42")),
            (br#"{"id":-7}"#, Some("-7")),
            (
                br#"{"id":18446744073709551615}"#,
                Some("18446744073709551615"),
            ),
            (br#"{"id":18446744073709551616}"#, None),
            (br#"{"id":1.5}"#, None),
            (br#"{"id":1e3}"#, None),
            (br#"{"id":true}"#, Some("true")),
            (br#"{"id":null}"#, None),
            (br#"{"id":""}"#, None),
            (br#"{"id":["a"]}"#, None),
            (br#"{"id":{"id":"a"}}"#, None),
            (br#"{"id":"a","id":"b"}"#, None),
            (br#"{"id":"a","id":"a"}"#, None),
            (br#"{"id":"a","id":"b","id":"c"}"#, None),
            (br#"{"id":"a\u0000b"}"#, None),
            (br#"{"id":"line\nbreak"}"#, None),
            (br#"{"id":"\ud800"}"#, None),
            (b"{\"id\":\"\xff\"}", None),
            (br#"{"id":"a"} trailing"#, None),
            (br#"{"id":"a"}{"id":"b"}"#, None),
            (br#"{"id":"a","#, None),
            (br#"{"id":"a" "x":1}"#, None),
            (br#"[{"id":"a"}]"#, None),
            (br#""id""#, None),
            (b"", None),
            (b"\xef\xbb\xbf{\"id\":\"a\"}", None),
            (b"payload=%7B%22id%22%3A1%7D", None),
            (long.as_bytes(), None),
            (deep.as_bytes(), Some("x")),
        ];
        for (body, expected) in cases {
            let shown = String::from_utf8_lossy(body);
            let shown: String = shown.chars().take(80).collect();
            assert_eq!(read(&["id"], body).as_deref(), *expected, "{shown}");
        }
    }

    #[test]
    fn pointers_go_through_objects_and_arrays() {
        let body = br#"{"a":{"b/c":[{"id":"x"},{"id":"y"}]},"0":{"z":1}}"#;
        assert_eq!(read(&["a", "b/c", "1", "id"], body).as_deref(), Some("y"));
        assert_eq!(read(&["a", "b/c", "01", "id"], body), None);
        assert_eq!(read(&["0", "z"], body).as_deref(), Some("1"));
    }

    #[test]
    fn a_repeated_key_on_the_way_makes_what_is_below_it_ambiguous() {
        let body = br#"{"a":{"id":"x"},"a":{"id":"y"}}"#;
        assert_eq!(read(&["a", "id"], body), None);
    }

    #[test]
    fn several_pointers_are_found_in_one_pass() {
        let mut tree = Tree::default();
        let step = |text: &str| Box::<str>::from(text);
        let (kind, id) = (
            tree.add(&[step("type")]),
            tree.add(&[step("b"), step("id")]),
        );
        assert_eq!(tree.add(&[step("type")]), kind);
        let values = tree.read(br#"{"type":"t","b":{"id":3}}"#);
        assert_eq!((values.text(kind), values.text(id)), (Some("t"), Some("3")));
    }
}
