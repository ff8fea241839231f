"""The official signing libraries as sender and receiver, for tests/interop.rs.

    interop.py send LIBRARY SECRET ID URL [tamper]   signs the body on standard input, posts it, prints the answer
    interop.py verify LIBRARY SECRET                 verifies what the app got: JSON on standard input
"""

import base64
import http.client
import importlib
import json
import sys
import urllib.parse
from datetime import datetime, timezone


def webhook(library, secret):
    return importlib.import_module(f"{library}.webhooks").Webhook(secret)


def send(library, secret, message_id, url, tamper=None):
    body = sys.stdin.buffer.read()
    at = datetime.now(tz=timezone.utc)
    signature = webhook(library, secret).sign(message_id, at, body.decode())
    prefix = "svix" if library == "svix" else "webhook"
    headers = {
        "Content-Type": "application/json",
        f"{prefix}-id": message_id,
        f"{prefix}-timestamp": str(int(at.timestamp())),
        f"{prefix}-signature": signature,
    }
    if tamper:
        middle = len(body) // 2
        body = body[:middle] + bytes([body[middle] ^ 1]) + body[middle + 1 :]
    parts = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=60)
    connection.request("POST", parts.path, body, headers)
    answer = connection.getresponse()
    print(answer.status, answer.getheader("Hookgate-Status"), answer.getheader("Hookgate-Event-Id"))


def verify(library, secret):
    got = json.load(sys.stdin)
    webhook(library, secret).verify(base64.b64decode(got["body"]), got["headers"])
    print("verified")


if __name__ == "__main__":
    {"send": send, "verify": verify}[sys.argv[1]](*sys.argv[2:])
