"""Kalshi's signed headers, for the socket's handshake (a read-only key is enough).

Decides the signature of `timestamp in ms + METHOD + path without query`: RSA-PSS with SHA-256 and a salt of 32 bytes, or
Ed25519 over the bytes directly, by the type of the parsed key, never by its PEM header. It must never log or return a key.
(docs.kalshi.com api_keys; Ed25519 since 2026-09-24)
"""

import base64
from pathlib import Path
from urllib.parse import urlsplit

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from crossbook.venues.errors import SocketKeyError

SALT_LENGTH = 32


class RequestSigner:
    """Signs requests of one API key."""

    def __init__(self, key_id: str, private_key: RSAPrivateKey | Ed25519PrivateKey) -> None:
        self._key_id = key_id
        self._key = private_key

    @classmethod
    def from_file(cls, key_id: str, key_file: str) -> "RequestSigner":
        """Read a PEM key.

        Raises:
            SocketKeyError: no key is named, or the file holds none of the two types.
        """
        if not key_id or not key_file:
            raise SocketKeyError(
                "Kalshi's socket needs kalshi.key_id and kalshi.key_file (a read-only key will do); "
                "set both, or kalshi.enabled = false"
            )
        try:
            key = load_pem_private_key(Path(key_file).read_bytes(), password=None)
        except OSError as error:
            raise SocketKeyError(f"kalshi.key_file {key_file} cannot be read: {error.strerror}") from error
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise SocketKeyError(f"kalshi.key_file {key_file} holds no plain PEM private key") from error
        if not isinstance(key, RSAPrivateKey | Ed25519PrivateKey):
            raise SocketKeyError(f"kalshi.key_file {key_file} holds a {type(key).__name__}; use RSA or Ed25519")
        return cls(key_id, key)

    def headers(self, method: str, url: str, ts_ms: int) -> dict[str, str]:
        """The three headers of a request to `url` at `ts_ms`."""
        message = f"{ts_ms}{method.upper()}{urlsplit(url).path}".encode()
        if isinstance(self._key, Ed25519PrivateKey):
            signature = self._key.sign(message)
        else:
            scheme = padding.PSS(mgf=padding.MGF1(SHA256()), salt_length=SALT_LENGTH)
            signature = self._key.sign(message, scheme, SHA256())
        return {
            "KALSHI-ACCESS-KEY": self._key_id,
            "KALSHI-ACCESS-TIMESTAMP": str(ts_ms),
            "KALSHI-ACCESS-SIGNATURE": base64.b64encode(signature).decode(),
        }
