# Opens what the Worker sealed, with the PyPI package `http-ece`.
#
# On standard input: a line of JSON for each push, with `body`, `private_key` and `auth` in base64url.
# On standard output: what was in it, in base64url, a line each.

import json
import sys
from base64 import urlsafe_b64decode, urlsafe_b64encode

import http_ece
from cryptography.hazmat.primitives.asymmetric import ec


def decode(text):
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


for line in sys.stdin:
    push = {name: decode(value) for name, value in json.loads(line).items()}
    number = int.from_bytes(push["private_key"], "big")
    key = ec.derive_private_key(number, ec.SECP256R1())
    opened = http_ece.decrypt(
        push["body"], private_key=key, auth_secret=push["auth"], version="aes128gcm"
    )
    print(urlsafe_b64encode(opened).decode().rstrip("="), flush=True)
