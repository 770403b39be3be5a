"""The sandbox's Kalshi test key and the check of signed headers.

Decides who may open the socket. The key pair derives from a fixed public seed: it opens nothing but the sandbox, and
it must never be used elsewhere. Rule: base64(sign(timestamp_ms + METHOD + path without query)), Ed25519.
"""

import base64
import binascii
from collections.abc import Mapping

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

KEY_ID = "5a4db0c5-0000-4000-8000-5a4db0c50001"
_SEED = b"crossbook sandbox, worth nothing"  # 32 bytes, public on purpose
STAMP_WINDOW_MS = 15_000


def sandbox_key() -> Ed25519PrivateKey:
    """The private half of the one registered key."""
    return Ed25519PrivateKey.from_private_bytes(_SEED)


def sandbox_key_pem() -> str:
    """The same as PKCS#8 PEM text, as a user would paste it."""
    return sandbox_key().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def refusal(headers: Mapping[str, str], *, method: str, path: str, now_ms: int) -> tuple[int, str] | None:
    """None when the headers sign this request, else the venue's 401 body."""
    key_id = headers.get("KALSHI-ACCESS-KEY")
    stamp = headers.get("KALSHI-ACCESS-TIMESTAMP")
    signature = headers.get("KALSHI-ACCESS-SIGNATURE")
    if not key_id or not stamp or not signature:
        return 401, _body("signature_is_missing_from_headers", "signature is missing from headers", "")
    if key_id != KEY_ID:
        return 401, _body("authentication_error", "authentication_error", "NOT_FOUND")
    if not (stamp.isascii() and stamp.isdigit()) or abs(now_ms - int(stamp)) > STAMP_WINDOW_MS:
        return 401, _body("header_timestamp_expired", "header timestamp expired", "")
    message = (stamp + method + path.partition("?")[0]).encode()
    try:
        sandbox_key().public_key().verify(base64.b64decode(signature, validate=True), message)
    except (InvalidSignature, binascii.Error, ValueError):
        return 401, _body("authentication_error", "authentication_error", "INCORRECT_API_KEY_SIGNATURE")
    return None


def _body(code: str, message: str, details: str) -> str:
    tail = f',"details":"{details}"' if details else ""
    return f'{{"error":{{"code":"{code}","message":"{message}"{tail}}}}}'
