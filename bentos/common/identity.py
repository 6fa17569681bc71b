"""Which model version a bento holds: the document `model.json` beside its graph, and the checks that it is what the
environment's release names and that its files are the ones that were signed. Knows nothing of HTTP or of how a bento is
built.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, PositiveInt, ValidationError

from bakehouse.errors import DataError, ReleaseError
from bakehouse.signatures import SIGNATURE_FILE, Signature

IDENTITY_FILE = "model.json"
GRAPH_FILE = "model.onnx"
RELEASE_VARIABLE = "BAKEHOUSE_RELEASE"


class Identity(BaseModel):
    """The document `model.json`. `built_at` is when its inputs were complete, not when an archive was written, so that
    the same inputs give the same archive."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    model: str
    model_version: PositiveInt
    model_digest: Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]
    data_version: str
    code_commit: str
    built_at: AwareDatetime

    @classmethod
    def of(cls, bento: Path) -> Identity:
        """Read `model.json` in the folder `bento`. Raises `DataError` where it is missing or not such a document."""
        path = bento / IDENTITY_FILE
        try:
            return cls.model_validate_json(path.read_bytes())
        except OSError as error:
            raise DataError(
                f"{IDENTITY_FILE} is not beside the service.", "Serve a bento that the pipeline's package step built."
            ) from error
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(str(part) for part in first["loc"]) or "the document"
            raise DataError(f"{IDENTITY_FILE} can't be read: {field}: {first['msg']}.") from error

    def agree_with_release(self, bento: Path) -> None:
        """Compare the folder `bento` with its own signature, and with the release document that `BAKEHOUSE_RELEASE`
        names; without that variable there is none.

        Raises `ReleaseError` where a file is not as it was signed, and where the document can't be read or names
        another model, version, digest or signature. Whose signature it is, was asked when the release was let in.
        """
        signed = _signed(bento)
        named = os.environ.get(RELEASE_VARIABLE)
        if not named:
            return
        try:
            release = json.loads(Path(named).read_bytes())
        except (OSError, ValueError) as error:
            raise ReleaseError(f"{RELEASE_VARIABLE} is {named}, which can't be read as JSON: {error}.") from error
        said = release if isinstance(release, dict) else {}
        held = self.model_dump(include={"model", "model_version", "model_digest"})
        wanted = {field: said.get(field) for field in held}
        evidence = said.get("evidence")
        if isinstance(evidence, dict) and evidence.get("signature") is not None:
            held["signature"], wanted["signature"] = signed, evidence["signature"]
        for field, value in wanted.items():
            if value != held[field]:
                raise ReleaseError(
                    f"The release in {named} says {field} {value}, but this bento holds {held[field] or 'none'}.",
                    "Deploy the image that the release pins.",
                )


def _signed(bento: Path) -> str | None:
    """The digest of the bento's signature, once its files are the signed ones; None where it has none."""
    bundle = bento / SIGNATURE_FILE
    if not bundle.is_file():
        return None
    signature = Signature.read(bundle.read_bytes())
    if faults := signature.faults(bento):
        raise ReleaseError(
            f"This bento is not the one that was signed: {'; '.join(faults)}.", "Deploy the release's own image."
        )
    return signature.digest
