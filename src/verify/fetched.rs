//! Public keys that are fetched: which one a request needs.

use super::rejection::{Reason, Rejection};
use super::view::View;
use crate::keys::{Cached, NotAllowed, PublicKey, Target, Wanted};
use crate::providers::{FetchForm, FetchRule, Place};
use crate::secret::{SecretText, Values};

/// What people call keys that are not the operator's own.
pub(super) const LABEL: &str = "fetched";

/// Where keys are fetched from.
pub(super) struct Fetched {
    form: Form,
    from: From,
}

enum Form {
    Jwks,
    Certificate,
    Plaid {
        client_id: String,
        client_secret: SecretText,
    },
}

enum From {
    /// The scheme or the operator names it.
    Known(Target),
    /// The sender names it; only these hosts are asked.
    Named { place: Place, hosts: Vec<String> },
}

/// Where Plaid's interface gives keys.
const PLAID_PATH: &str = "/webhook_verification_key/get";

/// The operator's values that Plaid is asked with.
pub(super) const PLAID_VALUES: [&str; 2] = ["client_id", "client_secret"];

impl Fetched {
    /// Compiles a rule; `values` are the operator's.
    ///
    /// # Errors
    /// The key of the setting, and what is wrong with it.
    pub(super) fn new(rule: &FetchRule, values: &Values) -> Result<Self, (String, String)> {
        let value = |name: &str| {
            values
                .get(name)
                .map(|value| value.to_string())
                .unwrap_or_default()
        };
        let form = match rule.form {
            FetchForm::Jwks => Form::Jwks,
            FetchForm::X509 => Form::Certificate,
            FetchForm::Plaid => Form::Plaid {
                client_id: value("client_id"),
                client_secret: values.get("client_secret").cloned().unwrap_or_default(),
            },
        };
        let known = |key: &str, url: &str| {
            let target = match rule.hosts.as_slice() {
                [] => Target::configured(url),
                hosts => Target::requested(url, hosts),
            };
            target.map(From::Known).map_err(|error| {
                let way_out = match error {
                    NotAllowed::Host => format!("must be at {}", rule.hosts.join(" or ")),
                    NotAllowed::Form => "must be an https:// address".to_owned(),
                };
                (key.to_owned(), way_out)
            })
        };
        let from = match rule.url.parse::<Place>() {
            Ok(Place::Config(name)) => {
                let mut url = value(&name);
                if rule.form == FetchForm::Plaid {
                    url = format!("{}{PLAID_PATH}", url.trim_end_matches('/'));
                }
                known(&format!("values.{name}"), &url)?
            }
            Ok(place) => From::Named {
                place,
                hosts: rule.hosts.clone(),
            },
            Err(_) => known("scheme.fetch.url", &rule.url)?,
        };
        Ok(Self { form, from })
    }

    /// The key that a request needs; `kid` is the name that the sender gives it.
    pub(super) fn wanted(&self, view: &View<'_>, kid: Option<&str>) -> Result<Wanted, Rejection> {
        let target = match &self.from {
            From::Known(target) => target.clone(),
            From::Named { place, hosts } => {
                let missing = || Reason::NoHeader.because("the address of the key is missing");
                let url = view.find(place, None).ok().flatten().ok_or_else(missing)?;
                let url = std::str::from_utf8(&url).unwrap_or_default();
                Target::requested(url, hosts).map_err(|error| {
                    Reason::UnknownKey.because(format!("the address of the key: {error}"))
                })?
            }
        };
        Ok(match &self.form {
            Form::Jwks => Wanted::jwks(target, kid),
            Form::Certificate => Wanted::certificate(target),
            Form::Plaid {
                client_id,
                client_secret,
            } => {
                let nameless = || Reason::Malformed.because("the key has no name");
                let kid = kid.ok_or_else(nameless)?;
                Wanted::by_name(target, kid, client_id, client_secret)
            }
        })
    }

    /// The keys that may be the wanted one.
    pub(super) fn keys(
        &self,
        view: &View<'_>,
        kid: Option<&str>,
    ) -> Result<std::sync::Arc<[PublicKey]>, Rejection> {
        let wanted = self.wanted(view, kid)?;
        match view.keys.map(|keys| keys.cached(&wanted)) {
            Some(Cached::Keys(keys)) => Ok(keys),
            Some(Cached::Unknown) => {
                Err(Reason::UnknownKey.because("the sender's key does not exist"))
            }
            Some(Cached::Missing) | None => {
                Err(Reason::KeyUnavailable.because("the sender's key could not be fetched"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plaid_is_asked_below_the_address_of_its_interface() {
        let rule = FetchRule {
            form: FetchForm::Plaid,
            url: "config:api_url".to_owned(),
            hosts: Vec::new(),
        };
        for address in [
            "https://production.plaid.com",
            "https://production.plaid.com/",
        ] {
            let values = [("api_url".to_owned(), address.into())].into();
            let fetched = Fetched::new(&rule, &values).unwrap();
            let From::Known(target) = fetched.from else {
                panic!("the operator names it");
            };
            let expected = "https://production.plaid.com/webhook_verification_key/get";
            assert_eq!(target.url(), expected);
        }
    }
}
