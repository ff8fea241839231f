//! JSON Patch (RFC 6902): the two operations that adding and taking away need.

use indexmap::map::Entry;
use serde::Serialize;

use super::tree::Tree;

/// One step of a JSON Patch.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "op", rename_all = "lowercase")]
pub enum Operation {
    /// Sets a member of a map, or inserts into a list before the index, `-` being its end.
    Add { path: String, value: Tree },
    /// Takes a member out of a map, or an element out of a list.
    Remove { path: String },
}

/// A step that does not fit the document.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the document has no place for {path}")]
pub struct Misfit {
    /// The pointer (RFC 6901) that leads nowhere.
    pub path: String,
}

impl Operation {
    /// The same step for a document that has this one at `prefix`.
    #[must_use]
    pub fn below(self, prefix: &str) -> Self {
        match self {
            Self::Add { path, value } => Self::Add {
                path: format!("{prefix}{path}"),
                value,
            },
            Self::Remove { path } => Self::Remove {
                path: format!("{prefix}{path}"),
            },
        }
    }

    /// Takes the step.
    ///
    /// # Errors
    /// The path leads nowhere; the document is as it was.
    pub fn apply(&self, document: &mut Tree) -> Result<(), Misfit> {
        let (Self::Add { path, .. } | Self::Remove { path }) = self;
        self.step(document)
            .ok_or_else(|| Misfit { path: path.clone() })
    }

    fn step(&self, document: &mut Tree) -> Option<()> {
        let (Self::Add { path, .. } | Self::Remove { path }) = self;
        let (parent, last) = path.rsplit_once('/')?;
        let parent = follow(document, parent)?;
        let key = last.replace("~1", "/").replace("~0", "~");
        match (self, parent) {
            (Self::Add { value, .. }, Tree::Map(map)) => {
                match map.entry(key) {
                    Entry::Occupied(mut entry) => drop(entry.insert(value.clone())),
                    Entry::Vacant(entry) => drop(entry.insert(value.clone())),
                }
                Some(())
            }
            (Self::Add { value, .. }, Tree::List(list)) => {
                let index = if key == "-" { list.len() } else { index(&key)? };
                (index <= list.len()).then(|| list.insert(index, value.clone()))
            }
            (Self::Remove { .. }, Tree::Map(map)) => map.shift_remove(&key).map(drop),
            (Self::Remove { .. }, Tree::List(list)) => {
                let index = index(&key)?;
                (index < list.len()).then(|| drop(list.remove(index)))
            }
            (_, Tree::Null | Tree::Bool(_) | Tree::Number(_) | Tree::Text(_)) => None,
        }
    }
}

fn follow<'a>(document: &'a mut Tree, pointer: &str) -> Option<&'a mut Tree> {
    let mut tree = document;
    for part in pointer.split('/').skip(1) {
        let key = part.replace("~1", "/").replace("~0", "~");
        tree = match tree {
            Tree::Map(map) => map.get_mut(&key)?,
            Tree::List(list) => list.get_mut(index(&key)?)?,
            Tree::Null | Tree::Bool(_) | Tree::Number(_) | Tree::Text(_) => return None,
        };
    }
    Some(tree)
}

/// RFC 6901 §4: digits without a leading zero.
fn index(key: &str) -> Option<usize> {
    let plain = key == "0" || !key.starts_with(['0', '+']);
    plain.then(|| key.parse().ok()).flatten()
}

/// A key as a part of a pointer (RFC 6901 §3).
#[must_use]
pub fn escaped(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(text: &str) -> Tree {
        serde_json::from_str(text).unwrap()
    }

    fn after(document: &str, operation: &Operation) -> Result<Tree, Misfit> {
        let mut document = tree(document);
        operation.apply(&mut document)?;
        Ok(document)
    }

    fn add(path: &str, value: &str) -> Operation {
        let (path, value) = (path.to_owned(), tree(value));
        Operation::Add { path, value }
    }

    fn remove(path: &str) -> Operation {
        Operation::Remove {
            path: path.to_owned(),
        }
    }

    #[test]
    fn adds_where_rfc_6902_says() {
        let cases = [
            (r#"{"a":1}"#, "/b", "2", r#"{"a":1,"b":2}"#),
            (r#"{"a":1}"#, "/a", "2", r#"{"a":2}"#),
            (r#"{"a":[1,2]}"#, "/a/-", "3", r#"{"a":[1,2,3]}"#),
            (r#"{"a":[1,2]}"#, "/a/0", "3", r#"{"a":[3,1,2]}"#),
            (r#"{"a":[1,2]}"#, "/a/2", "3", r#"{"a":[1,2,3]}"#),
            (r#"{"a":{}}"#, "/a/x~1y~0z", "3", r#"{"a":{"x/y~z":3}}"#),
        ];
        for (document, path, value, expected) in cases {
            assert_eq!(
                after(document, &add(path, value)),
                Ok(tree(expected)),
                "{path}"
            );
        }
    }

    #[test]
    fn removes_and_keeps_the_order_of_the_rest() {
        let left = after(r#"{"a":1,"b":2,"c":3}"#, &remove("/a")).unwrap();
        assert_eq!(serde_json::to_string(&left).unwrap(), r#"{"b":2,"c":3}"#);
        assert_eq!(
            after(r#"{"a":[1,2,3]}"#, &remove("/a/1")),
            Ok(tree(r#"{"a":[1,3]}"#))
        );
    }

    #[test]
    fn what_has_no_place_changes_nothing_and_is_named() {
        for operation in [
            add("/x/y", "1"),
            add("/a/5", "1"),
            add("/a/01", "1"),
            add("/a/0/q", "1"),
            remove("/b"),
            remove("/a/1"),
            remove("/a/-"),
            remove("a"),
        ] {
            let mut document = tree(r#"{"a":[1]}"#);
            let result = operation.apply(&mut document);
            assert!(result.is_err(), "{operation:?}");
            assert_eq!(document, tree(r#"{"a":[1]}"#), "{operation:?}");
        }
    }
}
