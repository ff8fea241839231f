//! Files of several YAML documents: what is not changed stays as it was, to the byte.

use serde_saphyr::SerializerOptions;

use super::Tree;

/// The documents of a file, in order; put together again they are the file.
#[must_use]
pub fn documents(text: &str) -> Vec<&str> {
    let mut documents = Vec::new();
    let mut start = 0;
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        // YAML 1.2.2 §9.1.2: at the start of a line, and not even inside of text.
        if starts_document(line) && at > start {
            documents.extend(text.get(start..at));
            start = at;
        }
        at += line.len();
    }
    documents.extend(text.get(start..).filter(|rest| !rest.is_empty()));
    documents
}

fn starts_document(line: &str) -> bool {
    let rest = line.strip_prefix("---");
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']))
}

/// What a document says; `None` if it is nothing but comments.
///
/// # Errors
/// It is no YAML; the text says where.
pub fn parse(document: &str) -> Result<Option<Tree>, String> {
    let is_empty = |line: &str| {
        is_blank(line) || line.starts_with('%') || ["---", "..."].contains(&line.trim_end())
    };
    if document.lines().all(is_empty) {
        return Ok(None);
    }
    let options = serde_saphyr::options! {
        // As YAML 1.1, and so kubectl, reads file modes.
        legacy_octal_numbers: true,
        // An error must not show what stands around it: manifests hold secrets.
        with_snippet: false,
    };
    let parsed = serde_saphyr::from_str_with_options(document, options);
    parsed.map(Some).map_err(|error| error.to_string())
}

fn is_blank(line: &str) -> bool {
    let line = line.trim();
    line.is_empty() || line.starts_with('#')
}

/// A document that says something else than it did: JSON if it was JSON; under the comments that it began with.
///
/// # Errors
/// It has what YAML cannot say.
pub fn render(document: &str, tree: &Tree) -> Result<String, String> {
    let content = document
        .lines()
        .map(|line| line.strip_prefix("---").unwrap_or(line))
        .find(|line| !is_blank(line) && !line.starts_with('%'));
    let is_json = content.is_some_and(|line| line.trim_start().starts_with('{'))
        && serde_json::from_str::<serde_json::Value>(without_head(document)).is_ok();
    let mut rendered = head(document);
    if is_json {
        let json = serde_json::to_string_pretty(tree).map_err(|error| error.to_string())?;
        rendered.push_str(&json);
        rendered.push('\n');
        return Ok(rendered);
    }
    let options = SerializerOptions::default();
    let yaml = serde_saphyr::to_string_with_options(tree, options);
    rendered.push_str(&yaml.map_err(|error| error.to_string())?);
    Ok(rendered)
}

/// The mark and the comments before what a document says.
fn head(document: &str) -> String {
    let mut head = String::new();
    for line in document.lines() {
        match line {
            _ if is_blank(line) || line.starts_with('%') => head.push_str(line),
            _ if starts_document(line) => {
                // A comment behind the mark stays; the document itself may begin there.
                let is_mark = line.get(3..).is_some_and(is_blank);
                head.push_str(if is_mark { line } else { "---" });
                if !is_mark {
                    head.push('\n');
                    break;
                }
            }
            _ => break,
        }
        head.push('\n');
    }
    head
}

/// What a document says, if that begins on a line of its own.
fn without_head(document: &str) -> &str {
    let is_head = |line: &&str| is_blank(line) || line.starts_with('%') || starts_document(line);
    let length: usize = document
        .split_inclusive('\n')
        .take_while(is_head)
        .map(str::len)
        .sum();
    document.get(length..).unwrap_or_default()
}
