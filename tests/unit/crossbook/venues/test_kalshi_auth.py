"""Signatures: Ed25519 against golden vectors, RSA-PSS by strict verification."""

import base64
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from crossbook.venues.errors import SocketKeyError
from crossbook.venues.kalshi_auth import RequestSigner

STAMP = 1703123456789
#: Private seed 00..1f; deterministic, so bytes are compared.
VECTORS = [
    (
        "GET",
        "https://host/trade-api/v2/portfolio/balance?x=1",
        "hkBtGNHKCfMll7XdniCzUygg/ek7JdCINuVOaGq0bDS3feQIdYVMirJSybX93bQtj8CMmr3q0RiAToeTeMOwBg==",
    ),
    (
        "get",
        "wss://host:8443/trade-api/ws/v2",
        "GpkXLSIK8avqVF1CPnKos7fulth1qYoYZjI5qzovCmuzcKV0/qCnl8R5kVmiu2d6dLYPcYVo2r2OgcCWv1uwAw==",
    ),
    (
        "POST",
        "https://host/trade-api/v2/portfolio/events/orders",
        "/ro4N0xtMcM9TBedlEcPA5AL1SsWyOiIo3UPU4/aeQ/H6c6rvS4ymxWhdFIT2dLRprk+g8Dju8XU1AY4/NDkDg==",
    ),
]


def pem(key) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@pytest.mark.parametrize(("method", "url", "signature"), VECTORS)
def test_ed25519_equals_the_golden_vectors(method: str, url: str, signature: str, tmp_path: Path) -> None:
    file = tmp_path / "key.pem"
    file.write_bytes(pem(Ed25519PrivateKey.from_private_bytes(bytes(range(32)))))
    headers = RequestSigner.from_file("id", str(file)).headers(method, url, STAMP)
    assert headers == {
        "KALSHI-ACCESS-KEY": "id",
        "KALSHI-ACCESS-TIMESTAMP": str(STAMP),
        "KALSHI-ACCESS-SIGNATURE": signature,
    }


def test_rsa_verifies_with_a_salt_of_exactly_32() -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    headers = RequestSigner("id", key).headers("GET", "wss://h/trade-api/ws/v2?a=b", STAMP)
    scheme = padding.PSS(mgf=padding.MGF1(SHA256()), salt_length=32)
    message = f"{STAMP}GET/trade-api/ws/v2".encode()
    key.public_key().verify(base64.b64decode(headers["KALSHI-ACCESS-SIGNATURE"]), message, scheme, SHA256())


@pytest.mark.parametrize(
    ("content", "says"),
    [(None, "cannot be read"), (b"no key", "no plain PEM"), (pem(ec.generate_private_key(ec.SECP256R1())), "use RSA")],
)
def test_bad_key_files_are_refused(content: bytes | None, says: str, tmp_path: Path) -> None:
    file = tmp_path / "key.pem"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(SocketKeyError, match=says):
        RequestSigner.from_file("id", str(file))


def test_no_key_says_what_to_set() -> None:
    with pytest.raises(SocketKeyError, match=r"kalshi.enabled = false"):
        RequestSigner.from_file("", "")
