"""What an OpenSSF model signature says of a folder: which files it held, each with its digest.

Reads the bundle (a Sigstore bundle around a DSSE envelope around an in-toto statement) and compares it with a folder,
with the standard library alone, so that a service can do it. Whose signature it is, `gitops/signing.py` says.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bakehouse.errors import ReleaseError

SIGNATURE_FILE = "model.sig"
PAYLOAD_TYPE = "application/vnd.in-toto+json"
_PREDICATE_TYPE = "https://model_signing/signature/v1.0"
_COMPILED = "__pycache__"
"""Python writes it beside whatever it imports; nothing of ours is in one."""


@dataclass(frozen=True)
class Signature:
    """One bundle, taken apart. `digest` is its own, `files` are the digests of the signed files by their path, `key` is
    the digest of the public key that made it (64 hex digits), empty where a certificate did.

    Nothing in it is to be believed before `gitops.signing` has found who signed it.
    """

    digest: str
    name: str
    files: Mapping[str, str]
    payload: bytes
    signature: bytes
    key: str

    @classmethod
    def read(cls, bundle: bytes, where: str = SIGNATURE_FILE) -> Signature:
        """Take a bundle apart. Raises `ReleaseError` naming `where` where it is none, or contradicts itself."""
        try:
            document = json.loads(bundle)
            envelope = document["dsseEnvelope"]
            (signed,) = envelope["signatures"]
            payload = base64.b64decode(envelope["payload"], validate=True)
            statement = json.loads(payload)
            if (envelope["payloadType"], statement["predicateType"]) != (PAYLOAD_TYPE, _PREDICATE_TYPE):
                raise ValueError(f"it is about {statement['predicateType']}")
            (subject,) = statement["subject"]
            files = _files(statement["predicate"], subject["digest"]["sha256"])
            return cls(
                digest=_digest(bundle),
                name=subject["name"],
                files=files,
                payload=payload,
                signature=base64.b64decode(signed["sig"], validate=True),
                key=document["verificationMaterial"].get("publicKey", {}).get("hint", ""),
            )
        except (ValueError, LookupError, TypeError, AttributeError, binascii.Error) as error:
            said = f"no {error}" if isinstance(error, KeyError) else str(error)
            raise ReleaseError(
                f"{where} is not the signature of a model: {said}.", "Restore it, or train again."
            ) from error

    @property
    def signed_bytes(self) -> bytes:
        """What the signature is over: DSSE's pre-authentication encoding of the payload."""
        return b"DSSEv1 %d %b %d %b" % (len(PAYLOAD_TYPE), PAYLOAD_TYPE.encode(), len(self.payload), self.payload)

    def faults(self, folder: Path) -> list[str]:
        """Every file of `folder` that is not as it was signed: changed, missing, or not signed at all."""
        present = ((path.relative_to(folder), path) for path in folder.rglob("*") if not path.is_dir())
        return self.differences(
            {name.as_posix(): _digest(path.read_bytes()) for name, path in present if _COMPILED not in name.parts}
        )

    def differences(self, found: Mapping[str, str]) -> list[str]:
        """The same, of files given by their digests."""
        there = {name: digest for name, digest in found.items() if name != SIGNATURE_FILE}
        wrong = [f"{name} is missing" for name in self.files if name not in there]
        wrong += [f"{name} was not signed" for name in there if name not in self.files]
        wrong += [
            f"{name} was changed since it was signed"
            for name, digest in there.items()
            if self.files.get(name, digest) != digest
        ]
        return sorted(wrong)


def _files(predicate: dict[str, Any], wanted: str) -> dict[str, str]:
    """The signed files. The subject's digest is over theirs, in their order."""
    serialization = predicate["serialization"]
    if (serialization["method"], serialization["hash_type"]) != ("files", "sha256"):
        raise ValueError(
            f"it is by {serialization['method']} and {serialization['hash_type']}, not by files and sha256"
        )
    digests = [(resource["name"], resource["digest"]) for resource in predicate["resources"]]
    found = hashlib.sha256(b"".join(bytes.fromhex(digest) for _, digest in digests)).hexdigest()
    if found != wanted:
        raise ValueError("its digests do not add up to its subject's")
    return {name: f"sha256:{digest}" for name, digest in digests}


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"
