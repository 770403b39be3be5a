"""Signed headers of the sandbox's Kalshi socket."""

import base64
import json

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from deploy.sandbox.kalshi.keys import KEY_ID, STAMP_WINDOW_MS, refusal, sandbox_key, sandbox_key_pem

NOW_MS = 1_795_000_000_000
PATH = "/trade-api/ws/v2"


def headers(*, stamp: int = NOW_MS, path: str = PATH, key_id: str = KEY_ID) -> dict[str, str]:
    signature = sandbox_key().sign(f"{stamp}GET{path}".encode())
    return {
        "KALSHI-ACCESS-KEY": key_id,
        "KALSHI-ACCESS-TIMESTAMP": str(stamp),
        "KALSHI-ACCESS-SIGNATURE": base64.b64encode(signature).decode(),
    }


def test_a_signed_request_passes_and_the_query_is_not_signed() -> None:
    assert refusal(headers(), method="GET", path=PATH, now_ms=NOW_MS + STAMP_WINDOW_MS) is None
    assert refusal(headers(), method="GET", path=PATH + "?x=1", now_ms=NOW_MS) is None


@pytest.mark.parametrize(
    ("sent", "word"),
    [
        ({}, "signature_is_missing_from_headers"),
        ({k: v for k, v in headers().items() if "SIGN" not in k}, "signature_is_missing_from_headers"),
        (headers(key_id="someone"), "NOT_FOUND"),
        (headers(stamp=NOW_MS - STAMP_WINDOW_MS - 1), "header_timestamp_expired"),
        (headers(stamp=NOW_MS // 1000), "header_timestamp_expired"),
        ({**headers(), "KALSHI-ACCESS-TIMESTAMP": "now"}, "header_timestamp_expired"),
        (headers(path="/ws/v2"), "INCORRECT_API_KEY_SIGNATURE"),
        ({**headers(), "KALSHI-ACCESS-SIGNATURE": "%%%"}, "INCORRECT_API_KEY_SIGNATURE"),
    ],
)
def test_refusals_in_the_venues_words(sent: dict[str, str], word: str) -> None:
    found = refusal(sent, method="GET", path=PATH, now_ms=NOW_MS)
    assert found is not None
    assert found[0] == 401
    assert word in json.dumps(json.loads(found[1]))


def test_the_exported_pem_is_the_registered_key() -> None:
    key = load_pem_private_key(sandbox_key_pem().encode(), password=None)
    assert isinstance(key, Ed25519PrivateKey)
    assert key.public_key() == sandbox_key().public_key()
