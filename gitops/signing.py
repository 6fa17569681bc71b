"""Whose signature a model's folder has: the key that signs here, and the signers that an environment believes.

An environment's signers are files in its `settings/signers/`: `<name>.pem`, a public key, or `<name>.yaml`, an identity
that Sigstore vouches for. What a signature says of the files stands in `bakehouse/signatures.py`.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, ValidationError

from bakehouse import workspace
from bakehouse.errors import ConfigurationError, ReleaseError
from bakehouse.signatures import SIGNATURE_FILE, Signature
from gitops.repository import ENVIRONMENTS, Snapshot

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey, EllipticCurvePublicKey
    from cryptography.hazmat.primitives.hashes import HashAlgorithm

KEY_VARIABLE = "BAKEHOUSE_SIGNING_KEY"
KEYLESS = "sigstore"
OWN_SIGNER = "this-machine.pem"


class Identity(BaseModel):
    """`<name>.yaml` among the signers: who Sigstore must say signed it, and by whose word."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    identity: str
    issuer: str


@dataclass(frozen=True)
class Signers:
    """Whom an environment believes at one revision: public keys by file name, and identities by file name."""

    environment: str
    keys: dict[str, str]
    identities: dict[str, Identity]


def sign(folder: Path) -> Path:
    """Sign every file of `folder` with OpenSSF model-signing, and return the bundle `model.sig`, written into it.

    The same folder and key always give the same bundle; Sigstore's differ. Raises `ConfigurationError` where the key
    is none.
    """
    from model_signing import hashing, signing

    folder = folder.resolve()
    bundle = folder / SIGNATURE_FILE
    files = hashing.Config().set_ignored_paths(paths=[bundle], ignore_git_paths=False)  # type: ignore[no-untyped-call]
    config = signing.Config().set_hashing_config(files)  # type: ignore[no-untyped-call]
    if _keyless():
        config.use_sigstore_signer(use_ambient_credentials=True).sign(folder, bundle)
        return bundle
    pem = _private_pem()
    key = _private_key(pem)
    with tempfile.NamedTemporaryFile(dir=workspace.state(), prefix=".signing-") as file:  # mode 0600
        file.write(pem)
        file.flush()
        config.use_elliptic_key_signer(private_key=file.name).sign(folder, bundle)
    bundle.write_text(_reproducible(bundle.read_bytes(), key), encoding="utf-8")
    return bundle


def public_key() -> str | None:
    """The PEM of the key whose signatures this machine makes, or None where Sigstore signs."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    if _keyless():
        return None
    public = _private_key(_private_pem()).public_key()
    return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def folder(environment: str) -> str:
    """Where an environment names its signers."""
    return f"{ENVIRONMENTS}/{environment}/settings/signers"


def signers(snapshot: Snapshot, environment: str) -> Signers:
    """Whom an environment believes. Raises `ConfigurationError` naming a file that is no signer."""
    blobs = snapshot.under(folder(environment))
    return read_signers(environment, dict(zip(blobs, snapshot.repository.texts(list(blobs.values())), strict=True)))


def read_signers(environment: str, files: Mapping[str, str]) -> Signers:
    """Whom the files of `settings/signers/` name, given their texts by path. Raises `ConfigurationError` as above."""
    import yaml

    keys, identities = {}, {}
    for path, text in files.items():
        name = PurePosixPath(path).name
        if name.endswith(".pem"):
            _read_public(text, path)
            keys[name] = text
        else:
            try:
                identities[name] = Identity.model_validate(yaml.safe_load(text))
            except (yaml.YAMLError, ValidationError) as error:
                raise ConfigurationError(
                    f"{path} names no signer.", "It is a public key (.pem), or YAML with identity and issuer."
                ) from error
    return Signers(environment, keys, identities)


def signer(bundle: bytes, believed: Signers, where: str = SIGNATURE_FILE) -> str:
    """The file name of the signer who made this bundle. Raises `ReleaseError` where it is none of those believed, or
    the signature is not over what the bundle says."""
    signature = Signature.read(bundle, where)
    if not signature.key:
        return _vouched_for(bundle, believed, where)
    for name, text in believed.keys.items():
        public = _read_public(text, name)
        if _fingerprint(public) == signature.key:
            _verify(public, signature, where, name)
            return name
    raise ReleaseError(
        f"{where} is signed by a key that {believed.environment} does not believe"
        f" ({', '.join(believed.keys) or 'it believes none'}).",
        f"If it may sign, add its public key to {folder(believed.environment)}/ (`bakehouse release key` prints it).",
    )


def _verify(public: EllipticCurvePublicKey, signature: Signature, where: str, name: str) -> None:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric import ec

    try:
        public.verify(signature.signature, signature.signed_bytes, ec.ECDSA(_hash(public.curve.key_size)))
    except InvalidSignature as error:
        raise ReleaseError(
            f"{where} says that {name} signed it, and that is not so.", "It was changed: restore it, or train again."
        ) from error


def _vouched_for(bundle: bytes, believed: Signers, where: str) -> str:
    """The identity that Sigstore says made it."""
    from sigstore.errors import Error
    from sigstore.models import Bundle
    from sigstore.verify import Verifier
    from sigstore.verify.policy import Identity as Policy

    reasons = []
    for name, asked in believed.identities.items():
        try:
            Verifier.production().verify_dsse(
                Bundle.from_json(bundle), Policy(identity=asked.identity, issuer=asked.issuer)
            )
        except Error as error:
            reasons.append(f"{name}: {error}")
        else:
            return name
    raise ReleaseError(
        f"{where} is signed by nobody whom {believed.environment} believes: {'; '.join(reasons) or 'it names none'}.",
        f"If its signer may sign, name identity and issuer in {folder(believed.environment)}/.",
    )


def _keyless() -> bool:
    return os.environ.get(KEY_VARIABLE) == KEYLESS


def _private_pem() -> bytes:
    """`BAKEHOUSE_SIGNING_KEY` (a file, or its text), else a key that is generated once and kept in the state folder."""
    named = os.environ.get(KEY_VARIABLE)
    if named is None:
        return _generated()
    if named.lstrip().startswith("-----BEGIN"):
        return named.encode()
    try:
        return Path(named).read_bytes()
    except OSError as error:
        raise ConfigurationError(
            f"{KEY_VARIABLE} is {named}, which can't be read: {error.strerror}.",
            f"Name a file, give a PEM, say {KEYLESS}, or unset it to have a key generated.",
        ) from error


def _generated() -> bytes:
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    def generate() -> bytes:
        key = ec.generate_private_key(ec.SECP256R1())
        return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    return workspace.generated_key("signing-key.pem", generate).read_bytes()


def _private_key(pem: bytes) -> EllipticCurvePrivateKey:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(pem, None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ConfigurationError(f"The signing key can't be read: {error}.", _HOW_TO_MAKE_A_KEY) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.curve.name not in _CURVES:
        raise ConfigurationError("The signing key is of another kind than model-signing takes.", _HOW_TO_MAKE_A_KEY)
    return key


def _read_public(text: str, where: str) -> EllipticCurvePublicKey:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        key = load_pem_public_key(text.encode())
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ConfigurationError(f"{where} is no public key.", "`bakehouse release key` prints one.") from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name not in _CURVES:
        raise ConfigurationError(f"{where} is no public key on a curve that model-signing takes.", _HOW_TO_MAKE_A_KEY)
    return key


def _fingerprint(public: EllipticCurvePublicKey) -> str:
    """The name that model-signing gives a key within a bundle."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return hashlib.sha256(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def _reproducible(bundle: bytes, key: EllipticCurvePrivateKey) -> str:
    """The same bundle, signed so that it comes out alike each time: the library writes the statement's keys in an order
    of the moment and draws a random number for each signature, and a bento of the same inputs must be the same bento.
    """
    from cryptography.hazmat.primitives.asymmetric import ec

    document = json.loads(bundle)
    envelope = document["dsseEnvelope"]
    statement = json.loads(base64.b64decode(envelope["payload"]))
    payload = json.dumps(statement, sort_keys=True, separators=(",", ":")).encode()
    envelope["payload"] = base64.b64encode(payload).decode()
    text = json.dumps(document, sort_keys=True)
    signature = Signature.read(text.encode())
    chosen = ec.ECDSA(_hash(key.curve.key_size), deterministic_signing=True)  # RFC 6979
    envelope["signatures"] = [{"sig": base64.b64encode(key.sign(signature.signed_bytes, chosen)).decode(), "keyid": ""}]
    return json.dumps(document, sort_keys=True, indent=1) + "\n"


def _hash(key_bits: int) -> HashAlgorithm:
    from cryptography.hazmat.primitives import hashes

    return {256: hashes.SHA256(), 384: hashes.SHA384(), 521: hashes.SHA512()}[key_bits]


_CURVES = ("secp256r1", "secp384r1", "secp521r1")
_HOW_TO_MAKE_A_KEY = "Make one with `openssl ecparam -name prime256v1 -genkey -noout`."
