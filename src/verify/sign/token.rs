//! Signed tokens, with the claims that a scheme checks.

use serde_json::{Map, Value};

use super::super::check::CheckRule;
use super::super::jwt;
use super::super::key::decode;
use super::Signer;
use super::private::PrivateKey;
use super::request::Unsigned;
use crate::providers::{Check, JwtShape, Place};

/// How long a token is valid.
const TOKEN_SECONDS: i64 = 300;

impl Signer<'_> {
    /// A signed token around the claims that the scheme checks.
    pub(super) fn jwt(
        &self,
        shape: &JwtShape<'_>,
        checks: &[Check],
        request: &Unsigned,
    ) -> Result<String, String> {
        let in_body = shape.signature.from.0.first();
        let in_body = in_body.is_some_and(|from| from.place == Place::Body);
        let mut claims = if in_body {
            claims_of(&request.body).ok_or("the body has to be the claims, a JSON object")?
        } else {
            Map::new()
        };
        for source in &self.provider.event.id.0 {
            if let Place::Claim(name) = &source.place {
                claims.entry(&**name).or_insert_with(|| self.id.into());
            }
        }
        for name in ["iat", "nbf"] {
            claims.insert(name.to_owned(), self.at.seconds().into());
        }
        let end = self.at.seconds() + TOKEN_SECONDS;
        claims.insert("exp".to_owned(), end.into());
        for check in checks {
            if let Place::Claim(name) = &check.from.place {
                let rule = CheckRule::new(check, &[]);
                let wanted = request.view(self.values, &[], |view| rule.wanted(view))?;
                // A claim that only has to be there is the id, if there is none yet.
                let Some(wanted) = wanted else {
                    claims.entry(&**name).or_insert_with(|| self.id.into());
                    continue;
                };
                // Issuers write truth values as such; the check takes either.
                let value = wanted.parse().map_or_else(|_| wanted.into(), Value::Bool);
                claims.insert(name.to_string(), value);
            }
        }
        let claims = Value::Object(claims).to_string();
        let token = self.issue(shape, &claims)?;
        Ok(format!("{}{token}", shape.signature.prefix))
    }

    fn issue(&self, shape: &JwtShape<'_>, claims: &str) -> Result<String, String> {
        if !shape.key.is_public() {
            let key = decode(self.secret.expose(), shape.key)?;
            let token = shape.algorithms.first().copied();
            let token = token.and_then(|algorithm| jwt::issue(algorithm, &key, claims));
            return token.ok_or_else(|| "the token cannot be signed with this secret".to_owned());
        }
        let key = PrivateKey::parse(self.secret.expose())?;
        let mut fitting = shape
            .algorithms
            .iter()
            .filter_map(|name| Some((*name, jwt::public(*name)?)));
        let (name, algorithm) = fitting
            .find(|(_, algorithm)| key.suits(*algorithm))
            .ok_or("the private key fits none of the scheme's algorithms")?;
        let signed = jwt::unsigned(name, claims);
        let signature = key.sign(algorithm, signed.as_bytes())?;
        Ok(jwt::with_signature(&signed, &signature))
    }
}

/// The claims in a body that is a JSON object, or a token already.
fn claims_of(body: &[u8]) -> Option<Map<String, Value>> {
    let object = |text: &[u8]| serde_json::from_slice(text).ok();
    object(body).or_else(|| object(&jwt::payload(body)?))
}
