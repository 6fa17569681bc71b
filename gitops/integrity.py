"""Whether one release folder is whole: the document, the pin and the signature agree with each other, and nothing else
is there. Works on their texts alone; where they come from, and whether what they name is on this machine, is others'.
What the signature does not cover, docs/decisions/0017 says.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from bakehouse.errors import BakehouseError
from bakehouse.signatures import SIGNATURE_FILE, Signature
from gitops import signing
from gitops.release import PIN_FILE, RELEASE_FILE, Release, sha256
from gitops.signing import Signers

GRAPH = "model.onnx"
BILL = "sbom.cdx.json"
_RECORDED = re.compile(r'bakehouse/release-digest: "([^"]*)"')


@dataclass(frozen=True)
class Fault:
    """What is wrong: `part` names it (document, pin, signature, folder), `said` tells how."""

    part: str
    said: str


def faults(release: Release, files: Mapping[str, str]) -> Iterator[Fault]:
    """Every fault of a release folder in itself, given its files' texts by name."""
    yield from _document_and_pin(release, files)
    wanted = {RELEASE_FILE, PIN_FILE}
    if release.evidence.signature is not None:
        wanted.add(SIGNATURE_FILE)
        yield from _signature(release, release.evidence.signature, files.get(SIGNATURE_FILE))
    for name in sorted(set(files) - wanted):
        yield Fault("folder", f"{name} does not belong there")


def distrust(release: Release, files: Mapping[str, str], believed: Signers) -> Iterator[Fault]:
    """Whether none of those whom an environment believes signed it. What is wrong with the signature itself, `faults`
    tells."""
    if release.evidence.signature is None or SIGNATURE_FILE not in files:
        return
    try:
        signing.signer(files[SIGNATURE_FILE].encode(), believed)
    except BakehouseError as error:
        yield Fault("signature", str(error).rstrip("."))


def _document_and_pin(release: Release, files: Mapping[str, str]) -> Iterator[Fault]:
    document, pin = files.get(RELEASE_FILE, ""), files.get(PIN_FILE, "")
    digest, recorded, written = sha256(document.encode()), _recorded(pin), release.to_json()
    if recorded is not None and recorded != digest and pin == release.pin_for(recorded):
        # All else in the pin is as it should be, so it is the document that is another one.
        yield Fault("document", f"{RELEASE_FILE} is {digest}, but {PIN_FILE} beside it was written for {recorded}")
        return
    if document != written:
        yield Fault("document", f"{RELEASE_FILE} is not as Bakehouse writes it")
    if pin != release.pin_for(sha256(written.encode())):
        yield Fault("pin", f"{PIN_FILE} is not as Bakehouse writes it from the document")


def _signature(release: Release, wanted: str, bundle: str | None) -> Iterator[Fault]:
    if bundle is None:
        yield Fault("signature", f"{SIGNATURE_FILE} is missing, and the document says {wanted}")
        return
    if (found := sha256(bundle.encode())) != wanted:
        yield Fault("signature", f"{SIGNATURE_FILE} is {found}, but the document says {wanted}")
        return
    try:
        signature = Signature.read(bundle.encode())
    except BakehouseError as error:
        yield Fault("signature", str(error).rstrip("."))
        return
    yield from _binding(release, signature)


def _binding(release: Release, signature: Signature) -> Iterator[Fault]:
    """The signed files are those that the document names. The image is not among them: the signature lies in it."""
    bound = {GRAPH: release.model_digest, BILL: release.evidence.sbom}
    for name, digest in bound.items():
        if digest is not None and signature.files.get(name) != digest:
            signed = signature.files.get(name, "not there")
            yield Fault("signature", f"the signed {name} is {signed}, but the document says {digest}")
    name = f"{release.model}-{release.model_version}"
    if signature.name != name:
        yield Fault("signature", f"it is of {signature.name}, not of {name}")


def _recorded(pin: str) -> str | None:
    """The digest of the document that the pin was written for."""
    found = _RECORDED.search(pin)
    return found.group(1) if found else None
