"""Signing libraries of Python as senders and receivers, for tests/interop/main.rs.

It writes what it can do as one line of JSON, a list; then it answers every line of JSON on standard
input with one:

    {"do": "sign", "row": NAME, "url": URL}       a request that the library signed
    {"do": "challenge", "row": NAME, "url": URL}  a handshake that it signed, and the answer it wants
    {"do": "verify", "row": NAME, "request": {}}  whether the library takes the request

Bodies travel as base64. A row is one way of signing of one package. peer.mjs is the same for Node.
"""

import base64
import hashlib
import json
import sys
import time
import urllib.parse
import uuid
from datetime import datetime, timezone
from importlib.metadata import version

import Adyen.util
import discord_interactions
import easypost.util
import gocardless_pro.webhooks
import jwt
import messagebird.request_validator
import nacl.signing
import plivo.utils.signature_v3 as plivo
import sendgrid.helpers.eventwebhook
import slack_sdk.signature
import square.utils.webhooks_helper as square
import standardwebhooks.webhooks
import svix.webhooks
import twilio.request_validator
import workos
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hubspot.utils.signature import Signature as HubSpot

# Text beyond ASCII, escapes and odd spacing: nothing may be written anew on the way.
BODY = '{ "type":"a\\u00fcb" ,\n "text" : "Grüße, 世界 \\/ ", "n": 1.0e2 }'.encode()
FORM = {"From": "+15555550100", "Body": "Grüße & 世界", "MessageStatus": "sent", "Empty": ""}


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def seconds():
    return str(int(time.time()))


def pem(key):
    """A private key as `hookgate send` takes it."""
    form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return key.private_bytes(*form).decode()


class Row:
    """One way of signing; what it leaves out, the library cannot do."""

    package = None
    provider = None
    variant = None
    secret = None  # what verifies; one of its own for every row if left out
    signing = None  # what `hookgate send` signs with, where that is another key
    values = {}
    change = None  # what is signed, if not all of the body: text in it, or header:NAME

    def describe(self, name):
        return {
            "row": name,
            "package": f"{self.package} {version(self.package)}",
            "provider": self.provider,
            "variant": self.variant,
            "secret": self.secret,
            "signing": self.signing or self.secret,
            "values": self.values,
            "change": self.change,
            "can": [ability for ability in ("sign", "challenge", "verify") if hasattr(self, ability)],
        }


def request(headers, body=BODY, **more):
    headers = {"content-type": "application/json", **headers}
    return {"headers": headers, "body": base64.b64encode(body).decode(), **more}


def form(headers, fields):
    headers["content-type"] = "application/x-www-form-urlencoded"
    return request(headers, urllib.parse.urlencode(fields).encode())


class StandardWebhooks(Row):
    def __init__(self, package, provider, prefix):
        self.package, self.provider, self.prefix = package, provider, prefix
        self.secret = "whsec_" + base64.b64encode(package.rjust(24).encode()).decode()
        modules = {"svix": svix.webhooks, "standardwebhooks": standardwebhooks.webhooks}
        self.library = modules[package].Webhook(self.secret)

    def sign(self, url):
        at = datetime.now(tz=timezone.utc)
        headers = {
            "id": "msg_1",
            "timestamp": str(int(at.timestamp())),
            "signature": self.library.sign("msg_1", at, BODY.decode()),
        }
        return request({f"{self.prefix}-{name}": value for name, value in headers.items()})

    def verify(self, url, headers, body):
        self.library.verify(body, headers)
        return True


class TwilioForm(Row):
    package, provider = "twilio", "twilio"

    def library(self):
        return twilio.request_validator.RequestValidator(self.secret)

    def sign(self, url):
        return form({"x-twilio-signature": self.library().compute_signature(url, FORM)}, FORM)

    def verify(self, url, headers, body):
        fields = dict(urllib.parse.parse_qsl(body.decode(), keep_blank_values=True))
        return self.library().validate(url, fields, headers["x-twilio-signature"])


class TwilioJson(TwilioForm):
    """The URL is signed, and has the hash of the body in it."""

    def sign(self, url):
        url = f"{url}?bodySHA256={self.library().compute_hash(BODY.decode())}"
        return request({"x-twilio-signature": self.library().compute_signature(url, {})}, url=url)

    def verify(self, url, headers, body):
        if headers["content-type"] != "application/json":
            return super().verify(url, headers, body)
        return self.library().validate(url, body.decode(), headers["x-twilio-signature"])


class Slack(Row):
    package, provider = "slack_sdk", "slack"

    def library(self):
        return slack_sdk.signature.SignatureVerifier(self.secret)

    def sign(self, url, body=BODY, **more):
        at = seconds()
        signature = self.library().generate_signature(timestamp=at, body=body)
        headers = {"x-slack-request-timestamp": at, "x-slack-signature": signature}
        return request(headers, body, **more)

    def challenge(self, url):
        body = b'{"token":"t","challenge":"3eZbrw1aBm2rZgRNFdxV2595E9CY3gmd","type":"url_verification"}'
        return self.sign(url, body, answer="3eZbrw1aBm2rZgRNFdxV2595E9CY3gmd")

    def verify(self, url, headers, body):
        return self.library().is_valid_request(body, headers)


class Square(Row):
    package, provider = "squareup", "square"

    def verify(self, url, headers, body):
        return square.verify_signature(
            request_body=body.decode(),
            signature_header=headers["x-square-hmacsha256-signature"],
            signature_key=self.secret,
            notification_url=url,
        )


class HubSpotSignature(Row):
    package, provider = "hubspot-api-client", "hubspot"

    def __init__(self, variant):
        self.variant = variant
        self.header = "x-hubspot-signature-v3" if variant == "v3" else "x-hubspot-signature"

    def sign(self, url):
        at = str(int(time.time() * 1000))
        signature = HubSpot.get_signature(self.secret, BODY.decode(), self.variant, url, "POST", at)
        headers = {self.header: signature, "x-hubspot-signature-version": self.variant}
        return request({**headers, "x-hubspot-request-timestamp": at})

    def verify(self, url, headers, body):
        at = headers.get("x-hubspot-request-timestamp")
        return HubSpot.is_valid(
            headers[self.header], self.secret, body.decode(), url, "POST", self.variant, at
        )


class AdyenItems(Row):
    package, provider, change = "Adyen", "adyen", "TestMerchant"
    secret = "44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056"

    def sign(self, url):
        item = {
            "amount": {"currency": "EUR", "value": 1130},
            "eventCode": "AUTHORISATION",
            "merchantAccountCode": "TestMerchant",
            "merchantReference": "Grüße, 世界",
            "pspReference": "7914073381342284",
            "success": "true",
        }
        signature = Adyen.util.generate_notification_sig(item, self.secret).decode()
        item["additionalData"] = {"hmacSignature": signature}
        body = json.dumps({"live": "false", "notificationItems": [{"NotificationRequestItem": item}]})
        return request({}, body.encode())

    def verify(self, url, headers, body):
        return Adyen.util.is_valid_hmac_notification(json.loads(body), self.secret)


class Plivo(Row):
    package, provider = "plivo", "plivo"

    def sign(self, url):
        nonce = uuid.uuid4().hex
        signed = plivo.construct_post_url(url, dict(FORM)).decode()
        signature = plivo.get_signature_v3(self.secret, signed, nonce).decode()
        headers = {"x-plivo-signature-v3": signature, "x-plivo-signature-v3-nonce": nonce}
        return form(headers, FORM)

    def verify(self, url, headers, body):
        fields = dict(urllib.parse.parse_qsl(body.decode(), keep_blank_values=True))
        signature, nonce = headers["x-plivo-signature-v3"], headers["x-plivo-signature-v3-nonce"]
        return plivo.validate_v3_signature("POST", url, nonce, self.secret, signature, fields)


class GoCardless(Row):
    package, provider = "gocardless_pro", "gocardless"

    def verify(self, url, headers, body):
        return bool(gocardless_pro.webhooks.parse(body, self.secret, headers["webhook-signature"]))


class WorkOs(Row):
    package, provider = "workos", "workos"
    library = workos.WorkOSClient(api_key="key", client_id="client").webhooks

    def verify(self, url, headers, body):
        signature = headers["workos-signature"]
        self.library.verify_header(event_body=body, event_signature=signature, secret=self.secret)
        return True


class EasyPost(Row):
    """The key is normalised: "é" becomes "e" and an accent."""

    package, provider, secret = "easypost", "easypost", "schlüssel é"

    def verify(self, url, headers, body):
        headers = {"X-Hmac-Signature": headers["x-hmac-signature"]}
        return bool(easypost.util.validate_webhook(body, headers, self.secret))


class SendGrid(Row):
    package, provider = "sendgrid", "sendgrid"

    def __init__(self):
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.signing = pem(self.key)
        form = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        self.secret = base64.b64encode(self.key.public_key().public_bytes(*form)).decode()

    def sign(self, url):
        at = seconds()
        signature = self.key.sign(at.encode() + BODY, ec.ECDSA(hashes.SHA256()))
        names = sendgrid.helpers.eventwebhook.EventWebhookHeader
        return request({names.SIGNATURE: base64.b64encode(signature).decode(), names.TIMESTAMP: at})

    def verify(self, url, headers, body):
        names = sendgrid.helpers.eventwebhook.EventWebhookHeader
        signature, at = headers[names.SIGNATURE.lower()], headers[names.TIMESTAMP.lower()]
        library = sendgrid.helpers.eventwebhook.EventWebhook(self.secret)
        return library.verify_signature(body.decode(), signature, at)


class Discord(Row):
    package, provider = "discord-interactions", "discord"

    def __init__(self):
        self.key = nacl.signing.SigningKey.generate()
        self.signing = "whsk_" + base64.b64encode(bytes(self.key)).decode()
        self.secret = bytes(self.key.verify_key).hex()

    def sign(self, url, body=BODY, **more):
        at = seconds()
        signature = self.key.sign(at.encode() + body).signature.hex()
        return request({"x-signature-ed25519": signature, "x-signature-timestamp": at}, body, **more)

    def challenge(self, url):
        return self.sign(url, b'{"version":1,"application_id":"1","type":0}', answer="")

    def verify(self, url, headers, body):
        signature, at = headers["x-signature-ed25519"], headers["x-signature-timestamp"]
        return discord_interactions.verify_key(body, signature, at, self.secret)


class Token(Row):
    """A token that PyJWT signed and verifies; `claims` says which hash of what it holds."""

    package = "PyJWT"
    key_id = "key-1"

    def __init__(self, provider, header, algorithm, claims, **more):
        self.provider, self.header, self.algorithm = provider, header, algorithm
        self.claims = claims
        self.variant, self.values = more.get("variant"), more.get("values", {})
        self.prefix, self.change = more.get("prefix", ""), more.get("change")
        self.key = None
        if algorithm.startswith("HS"):
            return
        if algorithm == "RS256":
            self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        else:
            self.key = ec.generate_private_key(ec.SECP256R1())
        self.signing = pem(self.key)
        jwk = jwt.get_algorithm_by_name(algorithm).to_jwk(self.key.public_key(), as_dict=True)
        self.secret = json.dumps({**jwk, "kid": self.key_id, "use": "sig"})

    def sign(self, url):
        now = int(time.time())
        claims = {**self.claims(url, BODY), "iat": now, "nbf": now, "exp": now + 60}
        headers = {"kid": self.key_id} if self.key else None
        token = jwt.encode(claims, self.key or self.secret, self.algorithm, headers)
        return request({self.header: self.prefix + token})

    def verify(self, url, headers, body):
        token = headers[self.header].removeprefix(self.prefix)
        key, algorithms = self.secret, ["HS256", "HS384", "HS512"]
        if self.key:
            key, algorithms = self.key.public_key(), [self.algorithm]
        got = jwt.decode(token, key, algorithms, options={"verify_aud": False})
        return all(got[name] == wanted for name, wanted in self.claims(url, body).items())


class MessageBird(Token):
    package = "messagebird"

    def verify(self, url, headers, body):
        library = messagebird.request_validator.RequestValidator(self.secret)
        return bool(library.validate_signature(headers[self.header], url, body))


def fusionauth(url, body):
    return {"request_body_sha256": base64.b64encode(hashlib.sha256(body).digest()).decode()}


def pubsub(url, body):
    return {
        "iss": "https://accounts.google.com",
        "aud": "https://hooks.example.com",
        "email": "push@example.iam.gserviceaccount.com",
        "email_verified": True,
    }


FUSIONAUTH = "x-fusionauth-signature-jwt"
PUBSUB = {"audience": pubsub("", b"")["aud"], "service_account": pubsub("", b"")["email"]}

ROWS = {
    "svix": StandardWebhooks("svix", "svix", "svix"),
    "standardwebhooks": StandardWebhooks("standardwebhooks", "standard-webhooks", "webhook"),
    "twilio-form": TwilioForm(),
    "twilio-json": TwilioJson(),
    "slack": Slack(),
    "square": Square(),
    "hubspot-v3": HubSpotSignature("v3"),
    "hubspot-v2": HubSpotSignature("v2"),
    "hubspot-v1": HubSpotSignature("v1"),
    "adyen": AdyenItems(),
    "plivo": Plivo(),
    "gocardless": GoCardless(),
    "workos": WorkOs(),
    "easypost": EasyPost(),
    "sendgrid": SendGrid(),
    "discord": Discord(),
    "messagebird": MessageBird(
        "messagebird",
        "messagebird-signature-jwt",
        "HS256",
        lambda url, body: {
            "iss": "MessageBird",
            "jti": str(uuid.uuid4()),
            "url_hash": sha256(url.encode()),
            "payload_hash": sha256(body),
        },
    ),
    "fusionauth-hs512": Token("fusionauth", FUSIONAUTH, "HS512", fusionauth, variant="shared-secret"),
    "fusionauth-es256": Token("fusionauth", FUSIONAUTH, "ES256", fusionauth, variant="public-key"),
    "netlify": Token(
        "netlify",
        "x-webhook-signature",
        "HS256",
        lambda url, body: {"iss": "netlify", "sha256": sha256(body)},
    ),
    "vonage": Token(
        "vonage",
        "authorization",
        "HS256",
        lambda url, body: {"payload_hash": sha256(body)},
        prefix="Bearer ",
    ),
    "plaid": Token(
        "plaid",
        "plaid-verification",
        "ES256",
        lambda url, body: {"request_body_sha256": sha256(body)},
    ),
    "google-pubsub": Token(
        "google-pubsub",
        "authorization",
        "RS256",
        pubsub,
        prefix="Bearer ",
        values=PUBSUB,
        change="header:authorization",
    ),
}

for name, row in ROWS.items():
    row.secret = row.secret or f"The secret of {name}".ljust(64, ".")


def verified(row, url, headers, body):
    """A library refuses with an exception or says no."""
    headers = {name.lower(): value for name, value in headers.items()}
    try:
        return {"verified": row.verify(url, headers, base64.b64decode(body))}
    except Exception as error:
        return {"verified": False, "why": repr(error)}


def answer(wanted):
    row = ROWS[wanted["row"]]
    if wanted["do"] == "verify":
        return verified(row, **wanted["request"])
    return getattr(row, wanted["do"])(wanted["url"])


def main():
    # Some libraries print.
    out, sys.stdout = sys.stdout, sys.stderr
    print(json.dumps([row.describe(name) for name, row in ROWS.items()]), file=out, flush=True)
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), file=out, flush=True)


if __name__ == "__main__":
    main()
