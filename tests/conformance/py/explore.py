# Has the PyPI package `schemathesis` draw requests from the OpenAPI document that a server serves, and
# compare the answers with it. Fails if it finds anything.
#
# On standard input: a JSON object with the server's `url`, and what is there: see `tests/schemathesis.rs`.

import hashlib
import json
import re
import signal
import string
import sys
import tempfile
from base64 import b64decode, urlsafe_b64encode
from pathlib import Path

import schemathesis
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from schemathesis.cli import schemathesis as command

SECONDS_MAX = 110
# An upgrade is no request and answer. The account is the one that asks.
LEFT_OUT = ["socket", "deleteAccount"]

CHECKSUM = re.compile("(sha1 [A-Za-z0-9+/]{27}|sha256 [A-Za-z0-9+/]{43})=$")

there = json.load(sys.stdin)
key = ec.generate_private_key(ec.SECP256R1()).public_key()
point = key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)

schemathesis.serializer.alias("application/offset+octet-stream", "application/octet-stream")


@schemathesis.hook
def before_call(context, case, kwargs):
    """Brings requests to where what is drawn at random does not come, and keeps them from the run's end."""
    if case.method == "DELETE" and case.path_parameters.get("id") == there["device"]:
        # The device that asks.
        case.path_parameters["id"] = there["other"]
    if "number" in case.path_parameters and "suspension" in case.path:
        # Not the account that asks.
        case.path_parameters["number"] = there["suspended"]
    positive = case.meta is not None and case.meta.generation.mode.is_positive
    if positive and isinstance(case.body, dict) and "keys" in case.body:
        # Hardly any 65 bytes are a point of the curve.
        case.body["keys"]["p256dh"] = urlsafe_b64encode(point).decode().rstrip("=")
        if case.body.get("expirationTime") is None:
            case.body["endpoint"] = there["endpoint"]


@schemathesis.hook
def filter_failure(context, failure, case, response):
    """Passes over the refusal of what the schemas allow, where it is right: not all can be said in one."""
    return type(failure).__name__ != "RejectedPositiveData" or not rightly_refused(case, response)


def rightly_refused(case, response):
    sent, headers = response.request.body or b"", case.headers or {}
    match response.json()["error"]:
        case "too_large" if "Upload-Length" in headers:
            return len(sent) > int(headers["Upload-Length"])
        case "too_large" if isinstance(case.body, dict) and "/v1/profile" in case.path:
            limits = {"name": 100, "about": 512, "picture": 512}
            long = [len((case.body.get(name) or "").encode()) > most for name, most in limits.items()]
            return any(long) or len(sent) > 4096
        case "too_large":
            # Texts are measured in bytes, not in characters; and so are fields that are not known.
            most = {"name": 64, "text": 500, "reason": 500, "comment": 1000}
            long = any(len(case.body.get(field, "").encode()) > bytes for field, bytes in most.items())
            return long or len(sent) > 4096
        case "malformed" if isinstance(case.body, dict) and "messages" in case.body:
            # In a schema 1.0 is an integer; here integers are written as such.
            return any(isinstance(message["at"], float) for message in case.body["messages"])
        case "malformed" if "Upload-Metadata" in headers:
            keys = [pair.split(" ")[0] for pair in headers["Upload-Metadata"].split(",")]
            # With all headers there, schemathesis gives an `Upload-Checksum` that is not of its pattern.
            checksum = headers.get("Upload-Checksum")
            return len(set(keys)) < len(keys) or checksum is not None and not CHECKSUM.match(checksum)
        case "checksum_mismatch":
            algorithm, digest = headers["Upload-Checksum"].split(" ")
            return hashlib.new(algorithm, sent).digest() != b64decode(digest)
        case "unsatisfiable_range":
            length = int(response.headers["content-range"][0].removeprefix("bytes */"))
            first, last = headers["Range"].removeprefix("bytes=").split("-")
            return int(first) >= length if first else int(last) == 0 or length == 0
    return False


# By default that ends the process.
signal.alarm(SECONDS_MAX)
settings = Path(__file__).with_name("schemathesis.toml").read_text()
with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
    file.write(string.Template(settings).substitute(there))
    file.flush()
    arguments = ["--config-file", file.name, "run", there["url"] + "/v1/openapi.json"]
    arguments += [word for name in LEFT_OUT for word in ("--exclude-operation-id", name)]
    command([*arguments, "--checks=all", "--no-color", *sys.argv[1:]])
