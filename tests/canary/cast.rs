//! Sources with a secret of every kind, each secret unmistakable.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::forms::Canary;
use crate::program::Home;
use crate::support::sender::Sender;

/// In the configuration and in memory, and nowhere else.
const NOWHERE: &[&str] = &[];
/// In a header of the sender's requests, which the app gets, and which are stored for it.
const HEADERS: &[&str] = &["the store", "the store while it runs", "what the app gets"];
/// In the answer to the handshake that it came with; its file beside the store is no sink.
const CAPTURED: &[&str] = &["the answer that repeats a captured secret"];

/// The secrets, and the sources that have them.
pub(crate) struct Cast {
    pub(crate) canaries: Vec<Canary>,
    /// The ones whose requests are provoked in every way.
    pub(crate) senders: Vec<Sender>,
    /// Told only to Asana's source, by its handshake.
    pub(crate) captured: Sender,
    pub(crate) admin_token: String,
}

impl Cast {
    /// One more secret of 32 letters and digits.
    fn canary(&mut self, name: &str, by_right: &'static [&'static str]) -> String {
        let number = self.canaries.len();
        let text = format!(
            "cAnArY{number:02}xK7fQ2mZ{:010}",
            7_919_918_273_u64 * (number as u64 + 3) % 9_999_999_967
        );
        let bytes = text.clone().into_bytes();
        let name = name.to_owned();
        self.canaries.push(Canary {
            name,
            bytes,
            by_right,
        });
        text
    }

    fn sender(
        &mut self,
        mut sender: Sender,
        text: impl Fn(&str) -> String,
        by_right: &'static [&'static str],
    ) -> Sender {
        let secret = text(&self.canary(&format!("the secret of {}", sender.source), by_right));
        (sender.signing, sender.verifying) = (secret.clone(), secret);
        sender
    }

    /// Senders whose secrets are spelled, sent and read in every way that there is.
    fn all_kinds(&mut self) -> [Sender; 11] {
        let same = str::to_owned;
        let base64 = |text: &str| STANDARD.encode(text);
        let variant = |provider: &str, name: &str| {
            let senders = Sender::each(&Sender::new(provider).provider, 0);
            let mut senders = senders.into_iter();
            let found = senders.find(|sender| sender.variant.as_deref() == Some(name));
            found.expect("a variant")
        };
        [
            self.sender(Sender::new("github"), same, NOWHERE),
            self.sender(
                Sender::new("standard-webhooks"),
                |text| format!("whsec_{}", base64(text)),
                NOWHERE,
            ),
            self.sender(Sender::new("airtable"), base64, NOWHERE),
            self.sender(
                Sender::new("squarespace"),
                |text| hex::encode(text),
                NOWHERE,
            ),
            self.sender(Sender::new("shopify"), same, NOWHERE),
            self.sender(Sender::new("netlify"), same, NOWHERE),
            self.sender(Sender::new("x"), same, NOWHERE),
            self.sender(Sender::new("jigsawstack"), same, NOWHERE),
            self.sender(Sender::new("sieve"), same, NOWHERE),
            self.sender(variant("buildkite", "token"), same, HEADERS),
            self.sender(
                Sender::new("postmark"),
                |text| format!("user:{text}"),
                HEADERS,
            ),
        ]
    }

    /// Sets up a home with all of them: some in its file, some in its environment, some in files of
    /// their own.
    pub(crate) fn at(home: &mut Home) -> Self {
        let mut cast = Self {
            canaries: Vec::new(),
            senders: Vec::new(),
            captured: Sender::new("asana"),
            admin_token: String::new(),
        };
        let same = str::to_owned;
        let base64 = |text: &str| STANDARD.encode(text);
        for sender in cast.all_kinds() {
            if sender.source == "shopify" {
                std::fs::write(home.path().join("shopify"), format!("{}\n", sender.signing))
                    .expect("a file");
                home.set("sources.shopify.provider", "shopify");
                home.set("sources.shopify.secret_file", "./shopify");
            } else {
                for (key, value) in sender.settings() {
                    home.set(&key, &value);
                }
            }
            cast.senders.push(sender);
        }
        let mut meta = Sender::new("meta");
        let token = cast.canary("a value of meta", NOWHERE);
        meta.values
            .insert("verify_token".to_owned(), token.as_str().into());
        let meta = cast.sender(meta, same, NOWHERE);
        for (key, value) in meta.settings() {
            home.set(&key, &value);
        }
        cast.senders.push(meta);
        cast.file(home);
        let captured = Sender::new("asana");
        cast.captured = cast.sender(captured, same, CAPTURED);
        let credential = cast.canary("a credential for plaid", NOWHERE);
        for (key, value) in [
            ("provider", "plaid"),
            ("values.client_id", "client"),
            ("values.client_secret", &credential),
            ("values.api_url", "https://127.0.0.1"),
        ] {
            home.set(&format!("sources.plaid.{key}"), value);
        }
        home.set("sources.asana.provider", "asana");
        home.set("sources.asana.capture", "true");
        cast.admin_token = cast.canary("the admin token", NOWHERE);
        std::fs::write(home.path().join("token"), &cast.admin_token).expect("a file");
        home.set("admin.token_file", "./token");
        let signing = cast.canary("app.sign_secret", NOWHERE);
        home.set("app.sign_secret", &format!("whsec_{}", base64(&signing)));
        cast
    }

    /// Several secrets of one source, an expired one, one that lets everything through, and a
    /// source that nobody may send to.
    fn file(&mut self, home: &Home) {
        let mut named = |source: &str, settings: &str| {
            let sender = self.sender(Sender::named("stripe", source), str::to_owned, NOWHERE);
            let secret = &sender.signing;
            let old = self.canary(&format!("an old secret of {source}"), NOWHERE);
            self.senders.push(sender.clone());
            format!(
                "[sources.{source}]\nprovider = \"stripe\"\n{settings}\nsecrets = [\n  {{ value = \"{secret}\" {} }},\n  {{ value = \"{old}\", not_after = 2020-01-01T00:00:00Z }},\n]\n",
                if source == "expired" {
                    ", not_after = 2020-01-01T00:00:00Z"
                } else {
                    ""
                },
            )
        };
        let text = [
            named("rotated", ""),
            named("expired", ""),
            named("watched", "mode = \"observe\""),
            named("fenced", "allow_from = [\"192.0.2.0/24\"]"),
            named(
                "slow",
                "rate = { per_second = 1, burst = 1 }\nbody_max = \"4KiB\"",
            ),
        ];
        let file = home.path().join("hookgate.toml");
        std::fs::write(file, text.concat()).expect("a file");
    }
}
