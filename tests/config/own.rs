//! Schemes and provider files of one's own: a fault names the file, the key down to the innermost,
//! and the way out, and quotes nothing that may be a secret.

use hookgate::config::{Config, Inputs};

use crate::Place;

/// What an own scheme says over `hmac`, the key that is at fault, and a part of the message.
const SCHEMES: &[(&str, &str, &str)] = &[
    // Unknown keys
    ("contnt = '{body}'", "contnt", "did you mean \"content\"?"),
    (
        "check = [{ from = 'header:a', equals = 'a', equal = 'canary' }]",
        "check[0].equal",
        "did you mean \"equals\"?",
    ),
    (
        "kind = 'each'\nitems = ''\ninner = { kind = 'token', signature = { from = 'item:/a', prefx = 'a' } }",
        "inner.signature.prefx",
        "did you mean \"prefix\"?",
    ),
    (
        "signature.zzz = 'canary'",
        "signature.zzz",
        "known here are",
    ),
    // Wrong types
    ("kind = 4711", "kind", "a text in double quotes"),
    (
        "key = 'canary'",
        "key",
        "must be one of utf8, whsec, base64",
    ),
    ("content = 4711", "content", "a string or a list of strings"),
    (
        "content = ['{body}', 4711]",
        "content[1]",
        "a text in double quotes",
    ),
    ("check = 'canary'", "check", "a list"),
    ("check = ['canary']", "check[0]", "a table"),
    ("signature = 'canary'", "signature", "expected a table"),
    (
        "signature.from = ['header:a', 'canary']",
        "signature.from[1]",
        "is not a value source",
    ),
    (
        "signature.groups = 4711",
        "signature.groups",
        "a text in double quotes",
    ),
    (
        "signature.prefix_optional = 'canary'",
        "signature.prefix_optional",
        "true or false",
    ),
    (
        "timestamp.tolerance_seconds = -4711",
        "timestamp.tolerance_seconds",
        "a whole number",
    ),
    (
        "timestamp.unit = 'canary'",
        "timestamp.unit",
        "must be one of s, ms, rfc3339, iso_utc",
    ),
    ("url_variants = 'canary'", "url_variants", "true or false"),
    (
        "fetch = { form = 'canary', url = 'https://a' }",
        "fetch.form",
        "must be one of jwks",
    ),
    ("fetch = { form = 'jwks' }", "fetch.url", "is missing"),
    // Senseless or unsafe
    ("content = '{body'", "content", "balanced braces"),
    (
        "content = '[{body}'",
        "content",
        "balanced braces and brackets",
    ),
    (
        "content = '{secret}{body}'",
        "content",
        "is for kind `hash`",
    ),
    (
        "url_variants = true\nkind = 'token'\nsignature.from = 'header:a'",
        "url_variants",
        "is for kind mac",
    ),
    (
        "fetch = { form = 'jwks', url = 'https://a' }",
        "fetch",
        "is for kind asym, jwt, code only",
    ),
    ("signature.groups = ''", "signature.groups", "is empty"),
    (
        "signature.from = 'jwt:sub'",
        "signature.from",
        "a place that the sender fills",
    ),
    (
        "check = [{ from = 'header:a', equals = 'a', equals_value = 'body_sha256' }]",
        "check[0].equals_value",
        "only one of them",
    ),
    (
        "check = [{ from = 'header:a', equals = 'a' }, { from = 'jwt:sub', equals = 'a' }]",
        "check[1].from",
        "is for kind `jwt`",
    ),
    (
        "kind = 'jwt'\nsignature.from = 'header:a'",
        "algorithms",
        "is missing",
    ),
    (
        "kind = 'jwt'\nsignature.from = 'header:a'\nalgorithms = ['HS257']",
        "algorithms[0]",
        "must be one of HS256",
    ),
    (
        "kind = 'jwt'\nsignature.from = 'header:a'\nalgorithms = ['HS256', 'RS256']",
        "algorithms",
        "must not mix",
    ),
    (
        "kind = 'jwt'\nsignature.from = 'header:a'\nalgorithms = ['RS256']",
        "key",
        "does not fit the algorithms",
    ),
    (
        "kind = 'asym'\nsignature.from = 'header:a'\nalgorithm = 'ed25519'\ncontent = '{body}'\nkey = 'pem'\nfetch = { form = 'x509', url = 'header:a' }",
        "fetch.hosts",
        "the sender names the address",
    ),
    (
        "kind = 'asym'\nsignature.from = 'header:a'\nalgorithm = 'ed25519'\ncontent = '{body}'\nkey = 'pem'\nfetch = { form = 'x509', url = 'http://a' }",
        "fetch.url",
        "https://",
    ),
    ("kind = 'each'", "items", "is missing"),
    (
        "kind = 'each'\nitems = 'value'",
        "items",
        "must be a JSON pointer",
    ),
    ("kind = 'each'\nitems = '/value'", "inner", "is missing"),
    (
        "kind = 'each'\nitems = ''\ninner = { kind = 'asym' }",
        "inner.kind",
        "must be token, mac or hash",
    ),
    (
        "kind = 'each'\nitems = ''\ninner = { kind = 'mac' }",
        "inner.signature",
        "is missing",
    ),
    (
        "kind = 'each'\nitems = ''\ninner = { kind = 'token', signature = { from = 'item:/a', tag = 'a' } }",
        "inner.signature.tag",
        "has tags",
    ),
    (
        "kind = 'each'\nitems = ''\ninner = { kind = 'token', check = [{ from = 'header:a', equals = 'a' }] }",
        "inner.check",
        "belongs outside",
    ),
    ("kind = 'code'", "code", "is missing"),
    (
        "kind = 'code'\ncode = 'canary'",
        "code",
        "must be one of sns",
    ),
    (
        "kind = 'code'\ncode = 'sns'",
        "key",
        "does not fit the code",
    ),
    (
        "kind = 'code'\ncode = 'sns'\nkey = 'pem'\nsignature.from = 'header:a'",
        "signature",
        "is known to the code",
    ),
    (
        "kind = 'none'\ncheck = [{ from = 'header:a', equals = 'a' }]",
        "check",
        "set kind",
    ),
];

/// What stands behind the head of a provider file, the key at fault, and a part of the message.
const FILES: &[(&str, &str, &str)] = &[
    (
        "[[scheme]]\nkind = 'asym'\nfetch = { form = 'jwks', url = 'https://a', hots = ['a'] }",
        "scheme[1].fetch.hots",
        "did you mean \"hosts\"?",
    ),
    (
        "colour = 'canary'",
        "colour",
        "unknown key; known here are title",
    ),
    (
        "status = 'canary'",
        "status",
        "must be one of confirmed, likely",
    ),
    ("notes = 'canary'", "notes", "a list"),
    (
        "[[scheme]]\nkid = 'canary'",
        "scheme[1].kid",
        "did you mean \"kind\"?",
    ),
    ("[[scheme]]\nvariant = 'a'", "scheme[1].kind", "is missing"),
    (
        "[[scheme]]\nkind = 'mac'",
        "scheme[1].signature",
        "is missing",
    ),
    (
        "[[scheme]]\nkind = 'token'\nsignature.from = 'header:a'\n[[scheme.check]]\nfrom = 'canary'\nequals = 'a'",
        "scheme[1].check[0].from",
        "is not a value source",
    ),
    (
        "[event]\nids = 'canary'",
        "event.ids",
        "did you mean \"id\"?",
    ),
    (
        "[event]\nid = 'sig:a'",
        "event.id",
        "has no value of its own",
    ),
    (
        "[event]\nfallback = 'canary'",
        "event.fallback",
        "must be one of body, nothing",
    ),
    (
        "[evidence]\nretry = 'canary'",
        "evidence.retry",
        "must be one of recalled, guess",
    ),
    ("[ack]\nstatus = 302", "ack.status", "must be a success"),
    ("[ack]\nstatus = 'canary'", "ack.status", "a whole number"),
    ("[ack]\nbare = 'canary'", "ack.bare", "true or false"),
    (
        "[[challenge]]\nmethod = 'PUT'",
        "challenge[0].method",
        "must be one of GET",
    ),
    (
        "[[challenge]]\nwhen = 'query:a'",
        "challenge[0].method",
        "is missing",
    ),
    (
        "[[challenge]]\nmethod = 'HEAD'\n[[challenge]]\nmethod = 'POST'",
        "challenge[1].when",
        "an event is a POST too",
    ),
    (
        "[[challenge]]\nmethod = 'GET'\nwhen = 'cookie:a'",
        "challenge[0].when",
        "is not a value source",
    ),
    (
        "[[challenge]]\nmethod = 'GET'\nbody = '{secret}'",
        "challenge[0].body",
        "is not a placeholder",
    ),
    (
        "[[challenge]]\nmethod = 'GET'\njson = { a = '{b}' }",
        "challenge[0].json",
        "is not a placeholder",
    ),
    (
        "[[challenge]]\nmethod = 'GET'\nheaders.X-A = 4711",
        "challenge[0].headers.X-A",
        "a text in double quotes",
    ),
    (
        "[[challenge]]\nmethod = 'GET'\ncheck = { from = 'query:a' }",
        "challenge[0].check.equals_value",
        "is missing",
    ),
    (
        "[[challenge]]\nmethod = 'GET'\nbody = '{hmac_sha256_hex:query:a}'",
        "challenge[0]",
        "only schemes of kind `mac`",
    ),
    ("[[sample]]\ntype = 'a'", "sample[0].body", "is missing"),
    (
        "[[sample]]\nbody = ''\ntype = 'a'\nheaders = ['canary']",
        "sample[0].headers",
        "a table",
    ),
    ("title = 'twice'", "", "duplicate key"),
    ("[ack", "", "TOML parse error at line 5"),
];

/// The key and message of the only fault of this configuration.
fn only_fault(place: &Place, text: &str) -> (String, String) {
    let inputs = Inputs {
        file: Some(place.write(text)),
        ..Inputs::default()
    };
    let faults = Config::load(&inputs).err().map(|faults| faults.0);
    match faults.as_deref() {
        Some([fault]) => (fault.key.clone(), fault.message.clone()),
        faults => (String::new(), format!("{faults:?}")),
    }
}

#[test]
fn a_fault_in_an_own_scheme_is_named_by_its_key() {
    let place = Place::new();
    for (scheme, key, message) in SCHEMES {
        let text = format!(
            "[sources.s]\nprovider = \"hmac\"\nsecret = \"canary\"\n[sources.s.scheme]\n{scheme}"
        );
        let (found, said) = only_fault(&place, &text);
        assert_eq!(found, format!("sources.s.scheme.{key}"), "{scheme}: {said}");
        assert!(said.contains(message), "{scheme}: {said}");
        let quoted = said.contains("4711") || said.contains("canary");
        assert!(
            !quoted || message.contains("value source"),
            "{scheme}: {said}"
        );
    }
}

#[test]
fn a_fault_in_a_provider_file_is_named_by_file_and_key() {
    let place = Place::new();
    let file = place.fill("{dir}/mine/bad.toml");
    std::fs::create_dir(place.fill("{dir}/mine")).expect("a directory");
    for (rest, key, message) in FILES {
        let head = "title = 'Bad'\ndocs = 'none'";
        let scheme = "[[scheme]]\nkind = 'none'";
        let top = !rest.starts_with('[');
        let text = if top {
            format!("{head}\n{rest}\n{scheme}")
        } else {
            format!("{head}\n{scheme}\n{rest}")
        };
        std::fs::write(&file, text).expect("a file");
        let (found, said) = only_fault(&place, "providers_dir = \"{dir}/mine\"");
        assert_eq!(found, "providers_dir", "{rest}: {said}");
        let colon = if key.is_empty() { "" } else { ": " };
        let start = format!("{file}: provider bad: {key}{colon}");
        assert!(said.starts_with(&start), "{rest}: {said}");
        assert!(said.contains(message), "{rest}: {said}");
    }
}
