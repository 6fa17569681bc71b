"""Which model version a bento holds: the document `model.json` beside its graph, and the check that it is what the
environment's release names. Knows nothing of HTTP or of how a bento is built.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, PositiveInt, ValidationError

from bakehouse.errors import DataError, ReleaseError

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

    def agree_with_release(self) -> None:
        """Compare with the release document that `BAKEHOUSE_RELEASE` names; without that variable there is none.

        Raises `ReleaseError` where the document can't be read or names another model, version or digest.
        """
        named = os.environ.get(RELEASE_VARIABLE)
        if not named:
            return
        try:
            release = json.loads(Path(named).read_bytes())
        except (OSError, ValueError) as error:
            raise ReleaseError(f"{RELEASE_VARIABLE} is {named}, which can't be read as JSON: {error}.") from error
        for field in ("model", "model_version", "model_digest"):
            wanted = release.get(field) if isinstance(release, dict) else None
            held = getattr(self, field)
            if wanted != held:
                raise ReleaseError(
                    f"The release in {named} says {field} {wanted}, but this bento holds {held}.",
                    "Deploy the image that the release pins.",
                )
