"""Signatures of bundles with Ed25519 (RFC 8032): they say who made one, while digests say only that it is whole.

`manifest.json.sig` holds the 64 bytes of the signature of `manifest.json`, which has the digests of all other files and
the bundle's name and run id. `openssl pkeyutl -verify -rawin` checks it too.
"""

from __future__ import annotations

import binascii
import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from app.errors import SettingsError
from app.storage.files import is_directory, open_regular
from app.text import quoted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

# cryptography is imported where it is used: it takes 0.1 s, which only those pay who set MODEL_KEYS.

SIGNATURE = "manifest.json.sig"
SIGNATURE_BYTES = 64
SHIPPED = "shipped"
"""Among `MODEL_KEYS`: the bundles that came with the code, which nobody can change who cannot change the code."""
_RAW_BYTES = 32
_MOST_PEM_BYTES = 16 * 1024
_MOST_KEYS = 100

Keys: TypeAlias = "Mapping[str, Ed25519PublicKey]"
"""Public keys by fingerprint."""


def read_keys(given: Sequence[str]) -> Keys:
    """Return the public keys of `MODEL_KEYS`, but for `SHIPPED`.

    Args:
        given: Each a file in PEM, a folder with files `….pem`, or the 32 bytes of a key in base64.

    Raises:
        SettingsError: One is no key, or there are more than a hundred.
    """
    keys = [key for each in given if each != SHIPPED for key in _keys_of(each)]
    if len(keys) > _MOST_KEYS:
        raise SettingsError(f"MODEL_KEYS: names more than {_MOST_KEYS} keys")
    return {fingerprint(key): key for key in keys}


def fingerprint(key: Ed25519PublicKey) -> str:
    """Return the beginning of the SHA-256 of a key's 32 bytes, which names it to people."""
    return f"ed25519:{hashlib.sha256(key.public_bytes_raw()).hexdigest()[:16]}"


def signer_of(manifest: bytes, signature: bytes | None, keys: Keys) -> str | None:
    """Return the fingerprint of the key that signed a manifest; None if none of these did."""
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415 - see above

    for name, key in keys.items() if signature is not None and len(signature) == SIGNATURE_BYTES else ():
        try:
            key.verify(signature or b"", manifest)
        except InvalidSignature:
            continue
        return name
    return None


def sign_manifest(manifest: bytes, key_file: Path) -> tuple[bytes, str]:
    """Return the signature of a manifest by the private key in a file, and the key's fingerprint.

    Raises:
        SettingsError: The file holds no private key of Ed25519 in PEM without a password.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415 - see above
    from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415

    try:
        key = load_pem_private_key(_read(key_file, "--key"), None)
    except (ValueError, TypeError):  # TypeError: it has a password
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise SettingsError(
            f"--key {quoted(key_file)}: no private key of Ed25519 in PEM without a password; `millrace model keygen` "
            "makes one"
        )
    return key.sign(manifest), fingerprint(key.public_key())


def make_keys(name: Path) -> tuple[Path, Path, str]:
    """Write a new private key to `NAME.key`, for its owner alone, and the public one to `NAME.pem`.

    Returns:
        Both paths, and the fingerprint.

    Raises:
        SettingsError: One of them exists, or cannot be written; then neither is left.
    """
    if name.name in {"", ".."}:
        raise SettingsError(f"{quoted(name)}: no name for keys: give one such as release or keys/release")
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415 - see above
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415

    private, public = name.with_name(f"{name.name}.key"), name.with_name(f"{name.name}.pem")
    key = Ed25519PrivateKey.generate()
    pem = serialization.Encoding.PEM
    pkcs8 = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    spki = key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo)
    for path, data, mode in ((private, pkcs8, 0o600), (public, spki, 0o644)):
        try:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
            with os.fdopen(handle, "wb") as file:
                file.write(data)
        except OSError as error:
            if path == public:
                private.unlink()  # nobody knows its other half
            raise SettingsError(f"{quoted(path)}: cannot be made: {error.strerror}") from None
    return private, public, fingerprint(key.public_key())


def _keys_of(given: str) -> list[Ed25519PublicKey]:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey  # noqa: PLC0415 - see above
    from cryptography.hazmat.primitives.serialization import load_pem_public_key  # noqa: PLC0415

    try:
        raw = binascii.a2b_base64(given, strict_mode=True)
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) == _RAW_BYTES:
        return [Ed25519PublicKey.from_public_bytes(raw)]
    path = Path(given)
    files = sorted(path.glob("*.pem")) if is_directory(path) else [path]
    if not files:
        raise SettingsError(f"MODEL_KEYS {quoted(given)}: the folder has no file ….pem")
    keys = []
    for file in files[: _MOST_KEYS + 1]:
        try:
            key = load_pem_public_key(_read(file, "MODEL_KEYS"))
        except ValueError:
            key = None
        if not isinstance(key, Ed25519PublicKey):
            raise SettingsError(
                f"MODEL_KEYS {quoted(file)}: no public key of Ed25519 in PEM; `millrace model keygen` makes one"
            )
        keys.append(key)
    return keys


def _read(path: Path, option: str) -> bytes:
    try:
        with open_regular(path) as file:
            return file.read(_MOST_PEM_BYTES)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "no path can have such characters"
        raise SettingsError(f"{option} {quoted(path)}: cannot be read: {why}") from None
