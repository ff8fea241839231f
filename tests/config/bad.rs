//! What must be refused: one entry per mistake, with the faults that it must be answered with.
//!
//! `{dir}` stands for a directory with the files that `main.rs` puts there. A text with `canary` in
//! it is a secret that may appear nowhere.

/// A configuration and all its faults.
#[derive(Default)]
pub(crate) struct Bad {
    pub(crate) file: &'static str,
    pub(crate) environment: &'static [(&'static str, &'static str)],
    pub(crate) flags: &'static [(&'static str, &'static str)],
    pub(crate) faults: &'static [Expected],
}

/// Key, part of the origin (nothing: none is given), part of the message.
pub(crate) type Expected = (&'static str, &'static str, &'static str);

const NO_ENVIRONMENT: &[(&str, &str)] = &[];

const fn file(file: &'static str, faults: &'static [Expected]) -> Bad {
    Bad {
        file,
        environment: NO_ENVIRONMENT,
        flags: &[],
        faults,
    }
}

const fn environment(
    environment: &'static [(&'static str, &'static str)],
    faults: &'static [Expected],
) -> Bad {
    Bad {
        file: "",
        environment,
        flags: &[],
        faults,
    }
}

/// The origin of everything that the file sets.
const FILE: &str = "hookgate.toml";

const UNKNOWN_KEYS: &[Bad] = &[
    file(
        "[sorces.s]\nprovider = \"stripe\"",
        &[("sorces", FILE, "did you mean \"sources\"?")],
    ),
    file(
        "[server]\nlisten_on = \"x\"",
        &[("server.listen_on", FILE, "did you mean \"listen\"?")],
    ),
    file(
        "[server.tls]\ncert = \"x\"",
        &[("server.tls.cert", FILE, "did you mean \"certificate\"?")],
    ),
    file(
        "[server.rejections_per_peer]\nper_secnd = 5",
        &[(
            "server.rejections_per_peer.per_secnd",
            FILE,
            "did you mean \"per_second\"?",
        )],
    ),
    file(
        "[app]\nurll = \"x\"",
        &[("app.urll", FILE, "did you mean \"url\"?")],
    ),
    file(
        "app.retry.frist = \"1s\"",
        &[("app.retry.frist", FILE, "did you mean \"first\"?")],
    ),
    file(
        "[store]\npaths = \"x\"",
        &[("store.paths", FILE, "did you mean \"path\"?")],
    ),
    file(
        "store.keep.delivred = \"1d\"",
        &[("store.keep.delivred", FILE, "did you mean \"delivered\"?")],
    ),
    file(
        "[admin]\ntoken = \"canary\"",
        &[("admin.token", FILE, "did you mean \"token_file\"?")],
    ),
    file(
        "[log]\nleve = \"info\"",
        &[("log.leve", FILE, "did you mean \"level\"?")],
    ),
    file(
        "[sources.s]\nprovider = \"stripe\"\nsecret = \"canary\"\nsecert = \"canary\"",
        &[("sources.s.secert", FILE, "did you mean \"secret\"?")],
    ),
    file(
        "[sources.s]\nprovider = \"stripe\"\nsecret = \"canary\"\ndedup.windw = \"1d\"",
        &[("sources.s.dedup.windw", FILE, "did you mean \"window\"?")],
    ),
    file(
        "[sources.s]\nprovider = \"stripe\"\nsecret = \"canary\"\nrate.per_sec = 1",
        &[(
            "sources.s.rate.per_sec",
            FILE,
            "did you mean \"per_second\"?",
        )],
    ),
    file(
        "[sources.s]\nprovider = \"stripe\"\nsecrets = [{ value = \"canary\", expires = \"x\" }]",
        &[(
            "sources.s.secrets[0].expires",
            FILE,
            "known here are file, not_after, value",
        )],
    ),
    file(
        "[sources.s]\nprovider = \"hmac\"\nsecret = \"canary\"\nscheme.contnt = \"{body}\"",
        &[("sources.s.scheme.contnt", FILE, "did you mean \"content\"?")],
    ),
    file(
        "[sources.s]\nprovider = \"hmac\"\nsecret = \"canary\"\nscheme.signature.prefx = \"v1=\"",
        &[(
            "sources.s.scheme.signature.prefx",
            FILE,
            "did you mean \"prefix\"?",
        )],
    ),
    file(
        "[sources.s]\nprovider = \"stripe\"\nsecret = \"canary\"\nscheme.timestamp.tolerance = 5",
        &[(
            "sources.s.scheme.timestamp.tolerance",
            FILE,
            "did you mean \"tolerance_seconds\"?",
        )],
    ),
];

/// What the design names but this version does not do is refused, not ignored.
const NOT_YET: &[Bad] = &[
    file(
        "server.passthrough = true",
        &[("server.passthrough", FILE, "known here are")],
    ),
    file(
        "store.kind = \"postgres\"",
        &[("store.kind", FILE, "there is only \"embedded\"")],
    ),
    file(
        "[sources.s]\nprovider = \"stripe\"\nsecret = \"canary\"\nevents = [\"a.*\"]",
        &[("sources.s.events", FILE, "known here are")],
    ),
    file(
        "[sources.s]\nprovider = \"stripe\"\nsecret = \"canary\"\norder_by = \"json:/id\"",
        &[("sources.s.order_by", FILE, "known here are")],
    ),
];

const TYPES: &[Bad] = &[
    file(
        "[sources.s]\nprovider = \"stripe\"\nsecret = \"canary\"\nack = \"later\"",
        &[(
            "sources.s.ack",
            FILE,
            "write \"stored\", \"handled\" or \"app\"",
        )],
    ),
    file(
        "[sources.s]\nprovider = \"slack\"\nsecret = \"canary\"\nack = \"app\"\nack_timeout = \"31s\"",
        &[(
            "sources.s.ack_timeout",
            FILE,
            "must not be longer than \"30s\"",
        )],
    ),
    file(
        "[sources.s]\nprovider = \"slack\"\nsecret = \"canary\"\nack = \"app\"\nack_timeout = \"0s\"",
        &[("sources.s.ack_timeout", FILE, "must be longer than 0s")],
    ),
    file(
        "[sources.s]\nprovider = \"slack\"\nsecret = \"canary\"\nack_timeout = \"2s\"",
        &[(
            "sources.s.ack_timeout",
            FILE,
            "without ack = \"handled\" or \"app\"",
        )],
    ),
    file(
        "server.listen = 8080",
        &[("server.listen", FILE, "\"host:port\"")],
    ),
    file(
        "server.listen = true",
        &[("server.listen", FILE, "write a list of texts")],
    ),
    file(
        "server.body_max = 5",
        &[("server.body_max", FILE, "a size with its unit")],
    ),
    file(
        "server.body_max = \"5 megs\"",
        &[("server.body_max", FILE, "a size with its unit")],
    ),
    file(
        "server.body_max = \"0B\"",
        &[("server.body_max", FILE, "must be larger than 0")],
    ),
    file(
        "server.ack_deadline = 2500",
        &[("server.ack_deadline", FILE, "a duration with its unit")],
    ),
    file(
        "server.grace = \"-1s\"",
        &[("server.grace", FILE, "a duration with its unit")],
    ),
    file(
        "server.connections_max = 0",
        &[("server.connections_max", FILE, "a number from 1 to 1000000")],
    ),
    file(
        "server.connections_max = 9223372036854775807",
        &[("server.connections_max", FILE, "a number from 1 to 1000000")],
    ),
    file(
        "app.timeout = \"30\"",
        &[("app.timeout", FILE, "a duration with its unit")],
    ),
    file(
        "app.timeout = \"0s\"",
        &[("app.timeout", FILE, "must be longer than 0s")],
    ),
    file(
        "app.concurrency = \"many\"",
        &[("app.concurrency", FILE, "a whole number")],
    ),
    file(
        "app.concurrency = -1",
        &[("app.concurrency", FILE, "a whole number")],
    ),
    file(
        "app.concurrency = 1.5",
        &[("app.concurrency", FILE, "a whole number")],
    ),
    file(
        "app.concurrency = 1000000",
        &[("app.concurrency", FILE, "a number from 1 to 10000")],
    ),
    file(
        "app.allow_remote = \"maybe\"",
        &[("app.allow_remote", FILE, "true or false")],
    ),
    file(
        "app.dead_letter_on = [200]",
        &[("app.dead_letter_on", FILE, "such as [410]")],
    ),
    file(
        "app.dead_letter_on = 410",
        &[("app.dead_letter_on", FILE, "such as [410]")],
    ),
    file(
        "app.retry = \"fast\"",
        &[("app.retry", FILE, "expected a table: write [app.retry]")],
    ),
    file(
        "store.keep = 7",
        &[("store.keep", FILE, "expected a table")],
    ),
    file(
        "store.bytes_max = \"1MiB\"",
        &[("store.bytes_max", FILE, "at least \"16MiB\"")],
    ),
    file(
        "store.path = \"\"",
        &[("store.path", FILE, "write the directory")],
    ),
    file("server = 5", &[("server", FILE, "HOOKGATE__SERVER__...")]),
    file(
        "server.tls = \"x\"",
        &[("server.tls", FILE, "expected a table")],
    ),
    file(
        "sources = \"canary\"",
        &[("sources", FILE, "expected a table")],
    ),
    file(
        "sources.s = \"canary\"",
        &[("sources.s", FILE, "expected a table: write [sources.s]")],
    ),
    file(
        "admin.token_file = 5",
        &[("admin.token_file", FILE, "a text in double quotes")],
    ),
    file(
        "log.format = \"xml\"",
        &[("log.format", FILE, "\"auto\", \"text\" or \"json\"")],
    ),
    file(
        "log.format = 1",
        &[("log.format", FILE, "a text in double quotes")],
    ),
    file("log.level = \"inof\"", &[("log.level", FILE, "\"debug\"")]),
    file(
        "[sources.s]\nprovider = 5\nsecret = \"canary\"",
        &[("sources.s.provider", FILE, "a text in double quotes")],
    ),
    file(
        "[sources.s]\nprovider = \"stripe\"\nsecret = 4711004711",
        &[("sources.s.secret", FILE, "put it in double quotes")],
    ),
    file(
        "[sources.s]\nprovider = \"stripe\"\nsecret = \"canary\"\nscheme = \"canary\"",
        &[("sources.s.scheme", FILE, "expected a table")],
    ),
    file(
        "[sources.s]\nprovider = \"stripe\"\nsecret = \"canary\"\ndedup = \"7d\"",
        &[("sources.s.dedup", FILE, "expected a table")],
    ),
    file(
        "[sources.s]\nprovider = \"stripe\"\nsecret = \"canary\"\nvalues = { message = 5 }",
        &[("sources.s.values.message", FILE, "put it in double quotes")],
    ),
    file(
        "[sources.s]\nprovider = \"stripe\"\nsecret = \"canary\"\ntolerance = \"0s\"\nmode = \"lax\"\nbody_max = \"0B\"",
        &[
            ("sources.s.tolerance", FILE, "longer than 0s"),
            ("sources.s.mode", FILE, "\"enforce\" or \"observe\""),
            ("sources.s.body_max", FILE, "larger than 0"),
        ],
    ),
];

const ADDRESSES: &[Bad] = &[
    file(
        "server.listen = \"8080\"",
        &[("server.listen", FILE, "\"unix:/path\"")],
    ),
    file(
        "server.listen = \"http://127.0.0.1:8080\"",
        &[("server.listen", FILE, "\"host:port\"")],
    ),
    file(
        "server.listen = \"127.0.0.1:70000\"",
        &[("server.listen", FILE, "\"host:port\"")],
    ),
    file(
        "server.listen = []",
        &[("server.listen", FILE, "\"host:port\"")],
    ),
    file(
        "server.listen = [\"a\", \"127.0.0.1:1\", \"b\"]",
        &[
            ("server.listen", FILE, "\"a\": write"),
            ("server.listen", FILE, "\"b\": write"),
        ],
    ),
    file(
        "admin.listen = \"unix:\"",
        &[("admin.listen", FILE, "\"unix:/path\"")],
    ),
    file(
        "server.listen = [\"systemd:\", \"systemd:a:b\"]",
        &[
            ("server.listen", FILE, "\"systemd:\": write"),
            ("server.listen", FILE, "\"systemd:NAME\""),
        ],
    ),
    file(
        "server.listen = [\"systemd:a\", \"systemd:b\", \"systemd:a\"]",
        &[("server.listen", FILE, "has systemd:a twice")],
    ),
    file(
        "app.url = \"http://systemd:app\"",
        &[("app.url", FILE, "\"http://host:port\"")],
    ),
    file(
        "app.url = \"127.0.0.1:3000\"",
        &[("app.url", FILE, "\"http://host:port\"")],
    ),
    file(
        "app.url = \"http://127.0.0.1:3000/hooks\"",
        &[("app.url", FILE, "app_path")],
    ),
    file(
        "app.url = \"http://127.0.0.1:0\"",
        &[("app.url", FILE, "\"http://host:port\"")],
    ),
    file(
        "app.url = \"https://127.0.0.1\"",
        &[("app.url", FILE, "TLS to the app is not supported")],
    ),
    file(
        "app.url = \"http://app.internal:3000\"",
        &[("app.url", FILE, "set app.allow_remote = true")],
    ),
    file(
        "app.url = \"http://user:canary@127.0.0.1:3000\"",
        &[("app.url", FILE, "\"http://host:port\"")],
    ),
    file(
        "server.public_url = \"hooks.example.com\"",
        &[("server.public_url", FILE, "\"https://hooks.example.com\"")],
    ),
    file(
        "server.public_url = \"https://u:canary@h\"",
        &[("server.public_url", FILE, "\"https://hooks.example.com\"")],
    ),
    file(
        "server.public_url = \"https://h?x=1\"",
        &[("server.public_url", FILE, "without a query")],
    ),
    file(
        "server.public_url = \"https:///x\"",
        &[("server.public_url", FILE, "\"https://hooks.example.com\"")],
    ),
    file(
        "server.trusted_proxies = [\"10.0.0.0/33\", \"10.0.0.0/8\", \"proxy\"]",
        &[
            (
                "server.trusted_proxies",
                FILE,
                "\"10.0.0.0/33\": write a network",
            ),
            ("server.trusted_proxies", FILE, "\"proxy\": write a network"),
        ],
    ),
    file(
        "[sources.s]\nprovider = \"stripe\"\nsecret = \"canary\"\nallow_from = \"192.0.2.1\"",
        &[(
            "sources.s.allow_from",
            FILE,
            "write a network such as \"192.0.2.0/24\"",
        )],
    ),
    // Everybody needs an address of their own.
    file(
        "admin.listen = \"127.0.0.1:8080\"",
        &[("admin.listen", FILE, "also in server.listen")],
    ),
    file(
        "ops.listen = [\"0.0.0.0:9090\"]",
        &[(
            "ops.listen",
            FILE,
            "127.0.0.1:9090 is also in server.listen or admin.listen",
        )],
    ),
    file("ops.listen = \"here\"", &[("ops.listen", FILE, "\"here\"")]),
    file(
        "ops.listen = \"127.0.0.1:3000\"",
        &[("app.url", "default", "hookgate's own address (ops.listen)")],
    ),
    file(
        "server.listen = [\"127.0.0.1:8080\", \"0.0.0.0:9090\"]",
        &[(
            "admin.listen",
            "default",
            "0.0.0.0:9090 is also in server.listen",
        )],
    ),
    file(
        "server.listen = [\"127.0.0.1:1\", \"localhost:1\"]",
        &[("server.listen", FILE, "has 127.0.0.1:1 twice")],
    ),
    file(
        "app.url = \"http://127.0.0.1:8080\"",
        &[("app.url", FILE, "own address (server.listen)")],
    ),
    file(
        "app.url = \"http://localhost:9090\"",
        &[("app.url", FILE, "own address (admin.listen)")],
    ),
    file(
        "server.listen = \"unix:/a\"\napp.url = \"unix:/a\"",
        &[("app.url", FILE, "own address (server.listen)")],
    ),
    // Whoever can reach the API can read events.
    file(
        "admin.listen = \"0.0.0.0:9090\"",
        &[(
            "admin.token_file",
            FILE,
            "name a file with a token, or listen on 127.0.0.1",
        )],
    ),
    // Nobody knows yet who reaches what systemd will pass.
    file(
        "admin.listen = \"systemd:admin\"",
        &[("admin.token_file", FILE, "can be reached from outside")],
    ),
    file(
        "[admin]\nlisten = \"0.0.0.0:9090\"\ntoken_file = \"{dir}/none\"",
        &[(
            "admin.token_file",
            FILE,
            "cannot read {dir}/none: No such file",
        )],
    ),
    file(
        "admin.token_file = \"{dir}/newline\"",
        &[("admin.token_file", FILE, "{dir}/newline is empty")],
    ),
];

const SECRETS: &[Bad] = &[
    file(
        "[sources.s]\nprovider = \"stripe\"",
        &[(
            "sources.s.secret",
            FILE,
            "set secret, secret_file or secrets",
        )],
    ),
    file(
        "[sources.s]\nprovider = \"stripe\"\nsecrets = []",
        &[("sources.s.secret", FILE, "is missing")],
    ),
    file(
        "[sources.s]\nprovider = \"stripe\"\nsecret = \"\"",
        &[("sources.s.secret", FILE, "is empty")],
    ),
    file(
        "[sources.s]\nprovider = \"stripe\"\nsecret = \" \\n\"",
        &[("sources.s.secret", FILE, "is empty")],
    ),
    file(
        "[sources.s]\nprovider = \"stripe\"\nsecret_file = \"{dir}/none\"",
        &[("sources.s.secret_file", FILE, "cannot read {dir}/none")],
    ),
    // The secret itself, where the name of its file belongs.
    file(
        "[sources.s]\nprovider = \"stripe\"\nsecret_file = \"whsec_canary/+\"",
        &[(
            "sources.s.secret_file",
            FILE,
            "write the name of a file that holds the secret",
        )],
    ),
    file(
        "[sources.s]\nprovider = \"stripe\"\nsecret_file = \"{dir}\"",
        &[("sources.s.secret_file", FILE, "cannot read {dir}")],
    ),
    file(
        "[sources.s]\nprovider = \"stripe\"\nsecret_file = \"{dir}/empty\"",
        &[("sources.s.secret_file", FILE, "{dir}/empty is empty")],
    ),
    file(
        "[sources.s]\nprovider = \"stripe\"\nsecret_file = \"{dir}/newline\"",
        &[("sources.s.secret_file", FILE, "is empty")],
    ),
    file(
        "[sources.s]\nprovider = \"stripe\"\nsecret_file = \"{dir}/newlines\"",
        &[("sources.s.secret_file", FILE, "is empty")],
    ),
    file(
        "[sources.s]\nprovider = \"stripe\"\nsecret = \"canary\"\nsecret_file = \"{dir}/secret\"",
        &[(
            "sources.s.secret_file",
            FILE,
            "secret is set too; set only one of",
        )],
    ),
    file(
        "[sources.s]\nprovider = \"stripe\"\nsecret_file = \"{dir}/secret\"\nsecrets = [{ value = \"canary\" }]",
        &[(
            "sources.s.secrets",
            FILE,
            "secret_file is set too; set only one of",
        )],
    ),
    file(
        "[sources.s]\nprovider = \"stripe\"\nsecrets = [{ value = \"canary\", file = \"{dir}/secret\" }, { value = \"canary 2\" }, {}]",
        &[
            ("sources.s.secrets[0]", FILE, "write one of file"),
            ("sources.s.secrets[2]", FILE, "write one of file"),
        ],
    ),
    file(
        "[sources.s]\nprovider = \"stripe\"\nsecrets = [\"canary\", { value = \"canary 2\" }, { value = 4711 }]",
        &[
            (
                "sources.s.secrets[0]",
                FILE,
                "write { file = \"...\" } or { value",
            ),
            ("sources.s.secrets[2]", FILE, "put it in double quotes"),
        ],
    ),
    file(
        "[sources.s]\nprovider = \"stripe\"\nsecrets = \"canary\"",
        &[("sources.s.secrets", FILE, "write a list such as")],
    ),
    file(
        "[sources.s]\nprovider = \"stripe\"\nsecrets = [{ value = \"canary\", not_after = \"tomorrow\" }]",
        &[("sources.s.secrets[0]", FILE, "an instant with its zone")],
    ),
    file(
        "[sources.s]\nprovider = \"stripe\"\nsecrets = [{ value = \"canary\", not_after = 2026-12-31T00:00:00 }]",
        &[("sources.s.secrets[0]", FILE, "an instant with its zone")],
    ),
    file(
        "[sources.s]\nprovider = \"svix\"\nsecret = \"whsec_canary!\"",
        &[("sources.s.secret", FILE, "base64")],
    ),
    file(
        "[sources.s]\nprovider = \"svix\"\nsecret = \" whsec_canarycanary\"",
        &[("sources.s.secret", FILE, "white space at its start or end")],
    ),
    file(
        "[sources.s]\nprovider = \"standard-webhooks\"\nvariant = \"v1a\"\nsecret = \"whpk_canary\"",
        &[("sources.s.secret", FILE, "Ed25519 public key")],
    ),
    file(
        "app.sign_secret = \"canary\"",
        &[("app.sign_secret", FILE, "write \"whsec_\" followed by")],
    ),
    file(
        "[sources.a]\nprovider = \"stripe\"\nsecret = \"canary\"\n[sources.b]\nprovider = \"github\"\nsecret = \"canary\"",
        &[("sources.b.secret", FILE, "also the secret of source a")],
    ),
    file(
        "[sources.a]\nprovider = \"stripe\"\nsecret = \"canary\"\nallow_shared_secret = true\n[sources.b]\nprovider = \"github\"\nsecrets = [{ value = \"canary\" }]",
        &[(
            "sources.b.secrets[0]",
            FILE,
            "set allow_shared_secret = true on both",
        )],
    ),
];

const PROVIDERS: &[Bad] = &[
    file(
        "[sources.s]\nsecret = \"canary\"",
        &[(
            "sources.s.provider",
            FILE,
            "`hookgate providers` lists them",
        )],
    ),
    file(
        "[sources.s]",
        &[(
            "sources.s.provider",
            FILE,
            "missing: name the sender's provider",
        )],
    ),
    file(
        "[sources.s]\nprovider = \"strip\"\nsecret = \"canary\"",
        &[("sources.s.provider", FILE, "did you mean \"stripe\"?")],
    ),
    file(
        "[sources.s]\nprovider = \"zzz\"\nsecret = \"canary\"",
        &[(
            "sources.s.provider",
            FILE,
            "\"hmac\" fits any HMAC signature",
        )],
    ),
    Bad {
        file: "",
        environment: &[("HOOKGATE__SOURCES__S__SECRET", "canary")],
        flags: &[("sources.s.provider", "githib")],
        faults: &[(
            "sources.s.provider",
            "command line",
            "did you mean \"github\"?",
        )],
    },
    file(
        "[sources.s]\nprovider = \"standard-webhooks\"\nvariant = \"v2\"\nsecret = \"whsec_canarycanary\"",
        &[("sources.s.variant", FILE, "use one of v1, v1a")],
    ),
    file(
        "[sources.s]\nprovider = \"stripe\"\nvariant = \"v1\"\nsecret = \"canary\"",
        &[(
            "sources.s.variant",
            FILE,
            "stripe has no variants; remove it",
        )],
    ),
    file(
        "[sources.s]\nprovider = \"svix\"\nsecret = \"whsec_canarycanary\"\nscheme = { key = \"hex\" }",
        &[(
            "sources.s.scheme",
            FILE,
            "describe a single one with provider = \"hmac\"",
        )],
    ),
    file(
        "[sources.s]\nprovider = \"hmac\"\nsecret = \"canary\"\nscheme = { content = \"{bdy}\" }",
        &[("sources.s.scheme.content", FILE, "bdy")],
    ),
    file(
        "[sources.s]\nprovider = \"hmac\"\nsecret = \"canary\"\nscheme = { algorithm = \"md5\" }",
        &[("sources.s.scheme.algorithm", FILE, "hmac-sha256")],
    ),
    file(
        "[sources.s]\nprovider = \"hmac\"\nsecret = \"canary\"\nscheme = { algorithm = \"ed25519\" }",
        &[("sources.s.scheme.algorithm", FILE, "set kind")],
    ),
    file(
        "[sources.s]\nprovider = \"hmac\"\nsecret = \"canary\"\nscheme = { kind = \"token\" }",
        &[(
            "sources.s.scheme.signature",
            FILE,
            "say where it is with from",
        )],
    ),
    file(
        "[sources.s]\nprovider = \"hmac\"\nsecret = \"canary\"\nscheme.signature = { parse = \"kv\" }",
        &[("sources.s.scheme.signature.tag", FILE, "such as \"v1\"")],
    ),
    file(
        "[sources.s]\nprovider = \"hmac\"\nsecret = \"canary\"\nscheme.timestamp = { from = \"header:X-T\" }",
        &[(
            "sources.s.scheme.timestamp",
            FILE,
            "a timestamp that is not signed proves nothing",
        )],
    ),
    file(
        "[sources.s]\nprovider = \"hmac\"\nsecret = \"canary\"\nscheme.signature.from = \"X-Signature\"",
        &[("sources.s.scheme.signature.from", FILE, "use header:Name")],
    ),
    file(
        "[sources.s]\nprovider = \"hmac\"\nsecret = \"canary\"\nscheme.content = \"{url}{body}\"",
        &[("sources.s.scheme.content", FILE, "set server.public_url")],
    ),
    file(
        "[sources.s]\nprovider = \"jigsawstack\"\nvariant = \"derived\"\nsecret = \"canary\"",
        &[(
            "sources.s.values.message",
            FILE,
            "the scheme uses the value `message`",
        )],
    ),
    file(
        "providers_dir = \"{dir}/none\"",
        &[("providers_dir", FILE, "cannot read {dir}/none")],
    ),
    file(
        "providers_dir = \"{dir}/providers\"",
        &[("providers_dir", FILE, "{dir}/providers/broken.toml")],
    ),
];

const DEDUP: &[Bad] = &[
    file(
        "[sources.s]\nprovider = \"stripe\"\nsecret = \"canary\"\ndedup.key = []",
        &[(
            "sources.s.dedup.key",
            FILE,
            "remove it to use the provider's rule",
        )],
    ),
    file(
        "[sources.s]\nprovider = \"stripe\"\nsecret = \"canary\"\ndedup.key = [\"id\", \"config:x\"]",
        &[
            (
                "sources.s.dedup.key",
                FILE,
                "`config:x` does not tell events apart",
            ),
            ("sources.s.dedup.key", FILE, "`id` is not a value source"),
        ],
    ),
    file(
        "[sources.s]\nprovider = \"stripe\"\nsecret = \"canary\"\ndedup.key = 5.5",
        &[("sources.s.dedup.key", FILE, "write a list of texts")],
    ),
    file(
        "[sources.s]\nprovider = \"stripe\"\nsecret = \"canary\"\ndedup.window = \"31d\"",
        &[(
            "sources.s.dedup.window",
            FILE,
            "must not be longer than store.keep.ids",
        )],
    ),
    file(
        "[sources.s]\nprovider = \"stripe\"\nsecret = \"canary\"\ndedup.window = \"0s\"",
        &[("sources.s.dedup.window", FILE, "longer than 0s")],
    ),
];

const UNSIGNED: &[Bad] = &[
    file(
        "[sources.s]\nprovider = \"sieve\"",
        &[(
            "sources.s.unsigned",
            FILE,
            "set unsigned = true, and a token or allow_from",
        )],
    ),
    file(
        "[sources.s]\nprovider = \"stripe\"\ncapture = true",
        &[(
            "sources.s.capture",
            FILE,
            "Stripe hands over no secret; remove it and set secret",
        )],
    ),
    file(
        "[sources.s]\nprovider = \"stripe\"\nsecret = \"canary\"\nconfirm = true",
        &[(
            "sources.s.confirm",
            FILE,
            "Stripe has no subscription to confirm; remove it",
        )],
    ),
    file(
        "[sources.s]\nprovider = \"google-pubsub\"\nvalues = { audience = \"https://a.example\" }",
        &[(
            "sources.s.values.service_account",
            FILE,
            "is missing: the scheme uses the value `service_account`",
        )],
    ),
    file(
        "[sources.s]\nprovider = \"kinde\"\nvalues = { jwks_url = \"http://example.com/jwks\" }",
        &[(
            "sources.s.values.jwks_url",
            FILE,
            "must be an https:// address",
        )],
    ),
    file(
        "providers_dir = \"{dir}/own\"\n[sources.s]\nprovider = \"giver\"\ncapture = true\nsecret = \"canary\"",
        &[("sources.s.capture", FILE, "a secret is set too")],
    ),
    file(
        "providers_dir = \"{dir}/own\"\n[sources.s]\nprovider = \"giver\"\ncapture = \"maybe\"",
        &[("sources.s.capture", FILE, "true or false")],
    ),
    file(
        "providers_dir = \"{dir}/own\"\n[sources.s]\nprovider = \"giver\"",
        &[("sources.s.secret", FILE, "or capture = true")],
    ),
    file(
        "[sources.s]\nprovider = \"sieve\"\nunsigned = true\nsecret = \"canary\"",
        &[("sources.s.secret", FILE, "use token for one of your own")],
    ),
    file(
        "[sources.s]\nprovider = \"stripe\"\nsecret = \"canary\"\nunsigned = true",
        &[(
            "sources.s.unsigned",
            FILE,
            "remove unsigned, token and token_in",
        )],
    ),
    file(
        "[sources.s]\nprovider = \"stripe\"\nsecret = \"canary\"\ntoken = \"canary 2\"",
        &[(
            "sources.s.token",
            FILE,
            "remove unsigned, token and token_in",
        )],
    ),
    file(
        "[sources.s]\nprovider = \"sieve\"\nunsigned = true\ntoken = \"canary\"\ntoken_file = \"{dir}/secret\"",
        &[(
            "sources.s.token_file",
            FILE,
            "set only one of token and token_file",
        )],
    ),
    file(
        "[sources.s]\nprovider = \"sieve\"\nunsigned = true\ntoken = \"canary\"\ntoken_in = \"body\"",
        &[(
            "sources.s.token_in",
            FILE,
            "write \"query:NAME\" or \"header:NAME\"",
        )],
    ),
    file(
        "[sources.s]\nprovider = \"sieve\"\nunsigned = true\ntoken = \"canary\"\ntoken_in = \"query:\"",
        &[("sources.s.token_in", FILE, "names nothing")],
    ),
    file(
        "[sources.s]\nprovider = \"sieve\"\nunsigned = true\ntoken = \"canary\"\ntoken_in = \"header:a b\"",
        &[(
            "sources.s.token_in",
            FILE,
            "is not a header's or a query parameter's name",
        )],
    ),
    file(
        "[sources.s]\nprovider = \"sieve\"\nunsigned = true\ntoken_in = \"query:key\"",
        &[(
            "sources.s.token",
            FILE,
            "token_in is set, so set token or token_file",
        )],
    ),
    file(
        "[sources.s]\nprovider = \"sieve\"\nunsigned = true\ntoken = \"canary\"\ntoken_in = \"query:key\"\npath = \"/s/{token}\"",
        &[("sources.s.token_in", FILE, "the path already has {token}")],
    ),
    file(
        "[sources.s]\nprovider = \"sieve\"\nunsigned = true\npath = \"/s/{token}\"",
        &[("sources.s.token", FILE, "the path has {token}")],
    ),
    file(
        "[sources.s]\nprovider = \"stripe\"\nsecret = \"canary\"\npath = \"/s/{token}\"",
        &[(
            "sources.s.path",
            FILE,
            "has {token}, which nothing looks at",
        )],
    ),
    file(
        "[sources.s]\nprovider = \"cloudglue\"\nsecret = \"canary\"\nscheme.signature.from = \"path:token\"",
        &[("sources.s.path", FILE, "must end in /{token}")],
    ),
];

const NAMES_AND_PATHS: &[Bad] = &[
    file(
        "[sources.\"Stripe!\"]\nprovider = \"stripe\"\nsecret = \"canary\"\npath = \"/s\"",
        &[(
            "sources.Stripe!",
            FILE,
            "name a source with lower-case letters",
        )],
    ),
    file(
        "[sources.\"a.b\"]\nprovider = \"stripe\"\nsecret = \"canary\"\npath = \"/s\"",
        &[("sources.a.b", FILE, "name a source with lower-case letters")],
    ),
    file(
        "[sources.s]\nprovider = \"stripe\"\nsecret = \"canary\"\npath = \"webhooks/s\"",
        &[("sources.s.path", FILE, "write an absolute path")],
    ),
    file(
        "[sources.s]\nprovider = \"stripe\"\nsecret = \"canary\"\npath = \"/a/../b\"",
        &[("sources.s.path", FILE, "write an absolute path")],
    ),
    file(
        "[sources.s]\nprovider = \"stripe\"\nsecret = \"canary\"\npath = \"/a?b=1\"",
        &[("sources.s.path", FILE, "its last segment may be {token}")],
    ),
    file(
        "[sources.s]\nprovider = \"stripe\"\nsecret = \"canary\"\npath = \"/{token}/x\"",
        &[("sources.s.path", FILE, "its last segment may be {token}")],
    ),
    file(
        "[sources.s]\nprovider = \"stripe\"\nsecret = \"canary\"\napp_path = \"internal\"",
        &[("sources.s.app_path", FILE, "write an absolute path")],
    ),
    file(
        "[sources.a]\nprovider = \"stripe\"\nsecret = \"canary\"\npath = \"/s\"\n[sources.b]\nprovider = \"stripe\"\nsecret = \"canary 2\"\npath = \"/s\"",
        &[("sources.b.path", FILE, "source a has the same path")],
    ),
    file(
        "[sources.a]\nprovider = \"stripe\"\nsecret = \"canary\"\npath = \"/webhooks/b\"\n[sources.b]\nprovider = \"stripe\"\nsecret = \"canary 2\"",
        &[("sources.b.path", FILE, "source a has the same path")],
    ),
];

const LIMITS: &[Bad] = &[
    file(
        "server.body_max = \"32MiB\"",
        &[(
            "server.bodies_in_flight_max",
            "default",
            "must not be smaller than server.body_max",
        )],
    ),
    file(
        "[sources.s]\nprovider = \"stripe\"\nsecret = \"canary\"\nbody_max = \"32MiB\"",
        &[(
            "sources.s.body_max",
            FILE,
            "must not be larger than server.bodies_in_flight_max",
        )],
    ),
    file(
        "app.retry.first = \"2h\"",
        &[(
            "app.retry.first",
            FILE,
            "must not be longer than app.retry.max",
        )],
    ),
    file(
        "app.retry.give_up_after = \"500ms\"",
        &[(
            "app.retry.first",
            "default",
            "must not be longer than app.retry.max and app.retry.give_up_after",
        )],
    ),
    file(
        "[sources.s]\nprovider = \"stripe\"\nsecret = \"canary\"\nrate = { burst = 5 }",
        &[("sources.s.rate.per_second", FILE, "a rate needs per_second")],
    ),
    file(
        "[sources.s]\nprovider = \"stripe\"\nsecret = \"canary\"\nrate = { per_second = 5, burst = 0 }",
        &[("sources.s.rate.burst", FILE, "at least 1")],
    ),
    file(
        "server.rejections_per_peer.per_second = 4294967296",
        &[("server.rejections_per_peer.per_second", FILE, "too large")],
    ),
];

const TLS: &[Bad] = &[
    file(
        "server.tls.certificate = \"{dir}/certificate.pem\"",
        &[("server.tls.key", FILE, "a certificate and its key")],
    ),
    file(
        "server.tls.key = \"{dir}/key.pem\"",
        &[("server.tls.certificate", FILE, "a certificate and its key")],
    ),
    file(
        "server.tls = { certificate = \"{dir}/none.pem\", key = \"{dir}/key.pem\" }",
        &[("server.tls.certificate", FILE, "{dir}/none.pem: ")],
    ),
    file(
        "server.tls = { certificate = \"{dir}/certificate.pem\", key = \"{dir}/none.pem\" }",
        &[("server.tls.key", FILE, "{dir}/none.pem: ")],
    ),
    file(
        "server.tls = { certificate = \"{dir}/secret\", key = \"{dir}/key.pem\" }",
        &[("server.tls.certificate", FILE, "no certificate in PEM form")],
    ),
    file(
        "server.tls = { certificate = \"{dir}/certificate.pem\", key = \"{dir}/other-key.pem\" }",
        &[("server.tls.key", FILE, "is not the key of the certificate")],
    ),
];

const TOML: &[Bad] = &[
    file(
        "[server\nlisten = \"x\"",
        &[("", FILE, "line 1, column 8: ")],
    ),
    file("[app]\n\ntimeout = 30s", &[("", FILE, "line 3, column 1")]),
    file(
        "[app]\nurl = \"a\"\nurl = \"b\"",
        &[("", FILE, "line 3, column 1: duplicate key")],
    ),
    file(
        "[sources.s]\nprovider = \"stripe\"\nsecret = canary",
        &[("", FILE, "line 3, column 10: ")],
    ),
    file(
        "[sources.s]\nsecret = \"canary\nprovider = \"stripe\"",
        &[("", FILE, "line 2, column")],
    ),
    file(
        "[sources.s]\nsecrets = [{ value = \"canary\" },, { value = \"canary\" }]",
        &[("", FILE, "line 2, column")],
    ),
];

const ENVIRONMENT: &[Bad] = &[
    environment(
        &[("HOOKGATE__APP__TIMEOUTS", "1s")],
        &[(
            "app.timeouts",
            "environment variable HOOKGATE__APP__TIMEOUTS",
            "did you mean \"timeout\"?",
        )],
    ),
    environment(
        &[("HOOKGATE__FOO", "canary")],
        &[("foo", "environment variable HOOKGATE__FOO", "unknown key")],
    ),
    environment(
        &[("HOOKGATE__APP__TIMEOUT", "soon")],
        &[(
            "app.timeout",
            "environment variable HOOKGATE__APP__TIMEOUT",
            "a duration with its unit",
        )],
    ),
    environment(
        &[("HOOKGATE__SERVER__LISTEN", "")],
        &[(
            "server.listen",
            "environment variable HOOKGATE__SERVER__LISTEN",
            "\"host:port\"",
        )],
    ),
    environment(
        &[
            ("HOOKGATE__APP__RETRY", "1s"),
            ("HOOKGATE__APP__RETRY__FIRST", "1s"),
        ],
        &[(
            "app.retry",
            "environment variable HOOKGATE__APP__RETRY",
            "HOOKGATE__APP__RETRY__...",
        )],
    ),
    environment(
        &[("HOOKGATE__SOURCES__S", "canary")],
        &[(
            "sources.s",
            "environment variable HOOKGATE__SOURCES__S",
            "HOOKGATE__SOURCES__S__...",
        )],
    ),
    environment(
        &[("HOOKGATE__SOURCES__S__PROVIDER", "stripe")],
        &[(
            "sources.s.secret",
            "environment variables HOOKGATE__SOURCES__S__...",
            "is missing",
        )],
    ),
    environment(
        &[
            ("HOOKGATE__SOURCES__S__PROVIDER", "stripe"),
            ("HOOKGATE__SOURCES__S__SECRETS", "[{ value = canary }]"),
        ],
        &[(
            "sources.s.secrets",
            "environment variable HOOKGATE__SOURCES__S__SECRETS",
            "write a list such as",
        )],
    ),
    environment(
        &[
            ("HOOKGATE__SOURCES__S__PROVIDER", "stripe"),
            (
                "HOOKGATE__SOURCES__S__SECRETS",
                "[{ value = \"canary\", file = \"x\" }]",
            ),
        ],
        &[(
            "sources.s.secrets[0]",
            "environment variable HOOKGATE__SOURCES__S__SECRETS",
            "write one of file",
        )],
    ),
    // The file is fine, the environment above it is not.
    Bad {
        file: "app.concurrency = 5\n[sources.s]\nprovider = \"stripe\"\nsecret = \"canary!\"",
        environment: &[
            ("HOOKGATE__APP__CONCURRENCY", "none"),
            ("HOOKGATE__SOURCES__S__PROVIDER", "svix"),
        ],
        flags: &[],
        faults: &[
            (
                "app.concurrency",
                "environment variable HOOKGATE__APP__CONCURRENCY",
                "a whole number",
            ),
            ("sources.s.secret", FILE, "base64"),
        ],
    },
];

/// Faults of every kind in one configuration are all found in one go.
const MANY_AT_ONCE: &[Bad] = &[Bad {
    file: "providers_dir = \"{dir}/none\"\n\
           [server]\nlisten = \"x\"\nbody_max = 1\n\
           [app]\nurl = \"https://x\"\ntimeout = \"\"\nretry = 1\n\
           [store]\nkind = \"redis\"\n\
           [sources.a]\nprovider = \"strip\"\npath = \"a\"\nmode = \"x\"\n\
           [sources.b]\nprovider = \"sieve\"\nsecret_file = \"{dir}/none\"\nack = \"x\"",
    environment: &[
        ("HOOKGATE__LOG__LEVEL", "loud"),
        ("HOOKGATE__STORE__BYTES_MAX", "1"),
    ],
    flags: &[("admin.listen", "nowhere")],
    faults: &[
        ("providers_dir", FILE, ""),
        ("server.listen", FILE, ""),
        ("server.body_max", FILE, ""),
        ("app.url", FILE, ""),
        ("app.timeout", FILE, ""),
        ("app.retry", FILE, ""),
        ("store.kind", FILE, ""),
        ("sources.a.provider", FILE, ""),
        ("sources.a.path", FILE, ""),
        ("sources.a.mode", FILE, ""),
        ("sources.b.unsigned", FILE, ""),
        ("sources.b.secret_file", FILE, ""),
        ("sources.b.ack", FILE, ""),
        ("log.level", "HOOKGATE__LOG__LEVEL", ""),
        ("store.bytes_max", "HOOKGATE__STORE__BYTES_MAX", ""),
        ("admin.listen", "command line", ""),
    ],
}];

pub(crate) fn all() -> impl Iterator<Item = &'static Bad> {
    [
        UNKNOWN_KEYS,
        NOT_YET,
        TYPES,
        ADDRESSES,
        SECRETS,
        PROVIDERS,
        DEDUP,
        UNSIGNED,
        NAMES_AND_PATHS,
        LIMITS,
        TLS,
        TOML,
        ENVIRONMENT,
        MANY_AT_ONCE,
    ]
    .into_iter()
    .flatten()
}
