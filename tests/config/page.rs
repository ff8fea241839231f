//! What `docs/schemes.md` teaches is true: its examples verify, and its tables are the program's.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use hookgate::clock::UnixMillis;
use hookgate::event::Received;
use hookgate::providers::{Catalogue, NotAnAnswer, Place, Provider, Template};
use hookgate::secret::{Secret, Values};
use hookgate::verify::{Config, Unsigned, Verifier, sign, test_key};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde_json::Value as Json;

/// 1 January 2025, when the page's requests were signed.
const NOW: UnixMillis = UnixMillis(1_735_689_600_000);

fn page() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/schemes.md");
    std::fs::read_to_string(path).expect("docs/schemes.md")
}

/// The text between two marks.
fn between<'a>(text: &'a str, start: &str, end: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(start)?;
    rest.split_once(end).map(|(inside, _)| inside)
}

/// An example: its heading, the provider that its TOML describes, the key in the text, the request.
struct Example<'a> {
    name: &'a str,
    provider: Arc<Provider>,
    key: Option<&'a str>,
    request: Option<&'a str>,
}

fn examples(page: &str) -> Vec<Example<'_>> {
    let sections = page.split("\n## ").skip(1);
    let example = |section| {
        let toml = between(section, "```toml\n", "```")?;
        let secret = between(section, "ith the secret `", "`");
        // The text may have a line break there.
        let secret = secret.or_else(|| between(section, "ith the secret\n`", "`"));
        Some(Example {
            name: section.lines().next()?,
            provider: provider(toml).into(),
            key: secret.or_else(|| between(section, "ith the key `", "`")),
            request: between(section, "```http\n", "\n```"),
        })
    };
    assert_eq!(page.matches("```toml\n").count(), 5, "one in each example");
    sections.filter_map(example).collect()
}

/// A provider file, or the one source of a configuration with a scheme of its own.
fn provider(toml: &str) -> Provider {
    let table: toml::Table = toml.parse().expect("TOML");
    if table.contains_key("title") {
        return Provider::from_toml("example", toml).expect("a provider file");
    }
    let table = serde_json::to_value(table).expect("a table");
    let sources = table
        .get("sources")
        .and_then(Json::as_object)
        .expect("sources");
    let source = sources.values().next().expect("a source");
    let name = source["provider"].as_str().expect("a provider");
    let base = Catalogue::embedded().get(name).expect("a known provider");
    base.with_scheme(&source["scheme"]).expect("a scheme")
}

fn verifier(provider: &Arc<Provider>, secret: &str) -> Verifier {
    let verifier = Verifier::new(Config {
        source: "example".into(),
        provider: Arc::clone(provider),
        variant: None,
        secrets: vec![Secret::new("secret", secret)],
        values: values(),
        public_url: None,
        tolerance: None,
        dedup_key: None,
        allow_from: Vec::new(),
        observe: false,
        capture: false,
        confirm: false,
    });
    verifier.expect("a scheme that works")
}

fn values() -> Values {
    [("audience".to_owned(), "https://hooks.example".into())].into()
}

fn received(target: &str, headers: &[(String, String)], body: Bytes) -> Received {
    let header = |(name, value): &(String, String)| {
        let name = HeaderName::try_from(name).expect("a name");
        (name, HeaderValue::try_from(value).expect("a value"))
    };
    Received {
        received_at: NOW,
        peer: None,
        method: Method::POST,
        target: target.into(),
        path_token: None,
        headers: headers.iter().map(header).collect::<HeaderMap>(),
        body,
    }
}

/// A request as the page shows it.
fn shown(text: &str) -> Received {
    let (head, body) = text.split_once("\n\n").expect("head and body");
    let mut lines = head.lines();
    let target = lines.next().and_then(|line| line.split(' ').nth(1));
    let headers: Vec<_> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let body = Bytes::copy_from_slice(body.as_bytes());
    received(target.expect("a path"), &headers, body)
}

#[test]
fn the_requests_on_the_page_verify_and_no_others() {
    let page = page();
    let mut verified = 0;
    for example in examples(&page) {
        let (Some(key), Some(request)) = (example.key, example.request) else {
            continue;
        };
        let verifier = verifier(&example.provider, key);
        let outcome = verifier.verify(shown(request), NOW);
        outcome.unwrap_or_else(|rejection| panic!("{}: {rejection:?}", example.name));
        for (from, to) in [("1130", "1131"), ("evt_1", "evt_2")] {
            let forged = shown(&request.replace(from, to));
            let same = !request.contains(from);
            assert_eq!(
                verifier.verify(forged, NOW).is_ok(),
                same,
                "{}",
                example.name
            );
        }
        verified += 1;
    }
    assert_eq!(verified, 4);
}

#[test]
fn every_example_can_be_signed_and_verified() {
    let page = page();
    let examples = examples(&page);
    assert_eq!(examples.len(), 5);
    for example in examples {
        let (provider, name) = (&example.provider, example.name);
        let (signs, verifies) = match test_key(provider, None) {
            Ok(key) => (key.private.to_string(), key.public),
            Err(_) => ["some secret", "some secret"].map(str::to_owned).into(),
        };
        let sample = provider.samples.first();
        let body = sample.map_or(r#"{"id":"evt_9"}"#, |sample| &sample.body);
        let mut request = Unsigned {
            method: Method::POST,
            url: "/webhooks/example".to_owned(),
            headers: vec![("content-type".to_owned(), "application/json".to_owned())],
            body: body.to_owned().into(),
        };
        let secret = Secret::new("secret", signs);
        let signed = sign(
            provider,
            None,
            &secret,
            &values(),
            &mut request,
            NOW,
            "id_1",
        );
        signed.unwrap_or_else(|error| panic!("{name}: {error}"));
        let verifier = verifier(provider, &verifies);
        let genuine = received(&request.url, &request.headers, request.body.clone());
        let outcome = verifier.verify(genuine, NOW);
        outcome.unwrap_or_else(|rejection| panic!("{name}: {rejection:?}"));
        let bare = received(&request.url, &[], request.body.clone());
        let in_body = name.contains("in one body");
        assert_eq!(verifier.verify(bare, NOW).is_ok(), in_body, "{name}");
    }
}

/// A table of the page as the schema's definition gives it.
fn table(schema: &Json, name: &str) -> String {
    let definition = schema.pointer(&format!("/$defs/{name}")).unwrap_or(schema);
    let fields = definition["properties"].as_object().into_iter().flatten();
    let fields = fields.map(|(key, field)| (key.as_str(), &field["description"]));
    let words = definition["oneOf"].as_array().into_iter().flatten();
    let words = words.map(|word| {
        (
            word["const"].as_str().unwrap_or_default(),
            &word["description"],
        )
    });
    let row = |(key, said): (&str, &Json)| {
        let said = said.as_str().unwrap_or_default().replace('\n', " ");
        format!("| `{key}` | {said} |\n")
    };
    let rows: String = fields.chain(words).map(row).collect();
    format!("<!-- {name} -->\n| | |\n|---|---|\n{rows}\n")
}

#[test]
fn every_word_of_the_schema_is_in_the_tables() {
    let (page, schema) = (page(), Provider::schema());
    let mut count = 0;
    let definitions = schema["$defs"].as_object().expect("definitions");
    for name in definitions.keys().map(String::as_str).chain(["Provider"]) {
        let table = table(&schema, name);
        // Texts with a grammar have tables of their own; a method is a method.
        if table.contains("| `") && name != "ChallengeMethod" {
            assert!(page.contains(&table), "the page needs\n{table}");
            count += 1;
        }
    }
    assert_eq!(count, page.matches("\n<!-- ").count() - 3);
}

/// The first cells of the table behind a mark.
fn first_cells<'a>(page: &'a str, mark: &str) -> BTreeSet<&'a str> {
    let table = between(page, mark, "\n\n").expect("a table");
    let rows = table.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.filter_map(|row| row.split('`').next()).collect()
}

#[test]
fn the_tables_of_the_grammars_are_what_the_errors_list() {
    let page = page();
    let error = "cookie:x"
        .parse::<Place>()
        .expect_err("no such place")
        .to_string();
    let (_, listed) = error.split_once("use ").expect("a list");
    let listed = listed
        .replace(" or ", ", ")
        .replace("jwt:name", "jwt:claim");
    let listed: BTreeSet<_> = listed.split(", ").collect();
    assert_eq!(first_cells(&page, "<!-- value sources -->"), listed);

    let error = "{x}"
        .parse::<Template>()
        .expect_err("no such piece")
        .to_string();
    let listed = error
        .split('{')
        .skip(2)
        .filter_map(|rest| rest.split('}').next());
    let listed: BTreeSet<_> = listed.map(|inside| format!("{{{inside}}}")).collect();
    let cells = first_cells(&page, "<!-- pieces -->");
    assert_eq!(
        cells
            .into_iter()
            .map(ToOwned::to_owned)
            .collect::<BTreeSet<_>>(),
        listed
    );
    for piece in &listed {
        let real = piece.replace("SOURCE", "header:a");
        real.parse::<Template>().expect(piece);
    }

    let error = NotAnAnswer::Placeholder(String::new()).to_string();
    for function in first_cells(&page, "<!-- functions -->") {
        assert!(error.contains(function), "{function}");
    }
    assert_eq!(
        error.matches("hmac_").count(),
        first_cells(&page, "<!-- functions -->").len()
    );
}
