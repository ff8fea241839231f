//! Trees as expressions of the Common Expression Language, in the types that Kubernetes gives to objects.
//! Source: kubernetes.io/docs/reference/using-api/cel/ and kubernetes.io/docs/reference/access-authn-authz/mutating-admission-policy/

use super::Tree;

/// Marks text that is an expression; no setting may have it.
const RAW: char = '\u{1}';

/// An expression in the place of a value.
pub(super) fn raw(expression: &str) -> Tree {
    Tree::Text(format!("{RAW}{expression}"))
}

/// A literal of text.
pub(super) fn text(text: &str) -> String {
    let mut literal = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => literal.extend(['\\', c]),
            '\u{20}'..='\u{7e}' => literal.push(c),
            _ => literal.push_str(&format!("\\U{:08x}", u32::from(c))),
        }
    }
    literal.push('"');
    literal
}

/// The tree as an object of `kind`, such as `Object.spec.volumes`; the kind of a field is its path.
pub(super) fn render(tree: &Tree, kind: &str) -> String {
    match tree {
        Tree::Null => "null".to_owned(),
        Tree::Bool(value) => value.to_string(),
        Tree::Number(value) => value.to_string(),
        Tree::Text(value) => match value.strip_prefix(RAW) {
            Some(expression) => expression.to_owned(),
            None => text(value),
        },
        Tree::List(list) => {
            let elements: Vec<_> = list.iter().map(|element| render(element, kind)).collect();
            format!("[{}]", elements.join(", "))
        }
        Tree::Map(map) => {
            // Quantities by name are a map and no object.
            let is_plain = kind.ends_with(".requests") || kind.ends_with(".limits");
            let fields = map.iter().map(|(key, value)| match is_plain {
                true => format!("{}: {}", text(key), render(value, kind)),
                false => format!("{key}: {}", render(value, &format!("{kind}.{key}"))),
            });
            let fields: Vec<_> = fields.collect();
            let name = if is_plain { "" } else { kind };
            format!("{name}{{{}}}", fields.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_becomes_a_typed_object() {
        let json = r#"{"name":"a \"b\"\n","ports":[{"port":1}],"resources":{"limits":{"cpu":"1"}},"on":true}"#;
        let tree: Tree = serde_json::from_str(json).unwrap();
        assert_eq!(
            render(&tree, "Object.c"),
            r#"Object.c{name: "a \"b\"\U0000000a", ports: [Object.c.ports{port: 1}], resources: Object.c.resources{limits: {"cpu": "1"}}, on: true}"#
        );
    }
}
