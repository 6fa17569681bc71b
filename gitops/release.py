"""The release document: what binds one image to one model version, its data, its code and the evidence for it.

Holds the document, how it is written (`release.json` and the kustomize pin beside it) and how it is checked against
itself. Knows nothing of git, folders or environments.
"""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, NonNegativeInt, PositiveInt, ValidationError

from bakehouse.errors import ReleaseError
from bakehouse.gates import GateResult

SCHEMA_VERSION: Literal[1] = 1
RELEASE_FILE = "release.json"
PIN_FILE = "kustomization.yaml"

Sha256 = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]
ModelName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,39}$")]
# It stands in the pin and in a commit's trailer, so that no space, quote or line break may be in it.
RunName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]


class Document(BaseModel):
    """Every part of a release: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")


class Image(Document):
    """An image, always by tag and digest. On a laptop the digest is that of the bento's archive."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9./_:-]*$")]
    tag: Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$")]
    digest: Sha256

    @property
    def reference(self) -> str:
        """`name:tag@digest`."""
        return f"{self.name}:{self.tag}@{self.digest}"


class DataFile(Document):
    """One file of the data version; `md5` is the hash under which DVC keeps it."""

    path: str
    md5: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    size: NonNegativeInt
    documents: NonNegativeInt


class Data(Document):
    """What the model was trained on. `version` is the DVC hash of the whole set (`.dir` where it is a folder)."""

    version: Annotated[str, Field(pattern=r"^[0-9a-f]{32}(\.dir)?$")]
    files: tuple[DataFile, ...] = Field(min_length=1)
    documents: NonNegativeInt
    accepted: NonNegativeInt
    earliest: AwareDatetime | None = None
    latest: AwareDatetime | None = None


class Code(Document):
    """The commit that trained it; `dirty` says that uncommitted changes took part, `diff` is then their digest."""

    commit: Annotated[str, Field(pattern=r"^([0-9a-f]{40}|unversioned)$")]
    dirty: bool
    diff: Sha256 | None = None


class Run(Document):
    """The runs to look up in ZenML and MLflow, as long as those databases live."""

    zenml: RunName
    mlflow: RunName


class Metric(Document):
    """A figure on the held-out rows, its 95 % interval where one was computed, and the champion's on the same rows.
    `greater_is_better` is None where neither way is, as with a rate that is held to a target."""

    value: float
    low: float | None = None
    high: float | None = None
    champion: float | None = None
    greater_is_better: bool | None = True


class RunnerUp(Document):
    """The best of the other kinds of estimator that were tried, and by how much the chosen one's score exceeds its own
    on the same data, with the 95 % interval where one was computed."""

    candidate: str
    score: float
    margin: float
    low: float | None = None
    high: float | None = None


class Choice(Document):
    """How the estimator was chosen: the best `score`, a greater `metric` being better, on data that it neither learnt
    from nor is judged on. `trials` counts those that were `given_up` too."""

    candidate: str
    params: dict[str, str | bool | int | float | None]
    metric: str
    score: float
    trials: PositiveInt
    given_up: NonNegativeInt
    runner_up: RunnerUp | None


class Evidence(Document):
    """Why it was let in. `champion` is the model version it was to replace, none at the first release."""

    champion: PositiveInt | None
    champion_note: str = ""
    test_rows: NonNegativeInt
    test_digest: Sha256
    metrics: dict[str, Metric]
    gates: tuple[GateResult, ...] = Field(min_length=1)
    # Left out where it is absent: the digest of a document written before there was one must not change.
    choice: Choice | None = Field(default=None, exclude_if=lambda choice: choice is None)
    reports: dict[str, Sha256]
    sbom: Sha256 | None = None
    signature: Sha256 | None = None


class Release(Document):
    """The binding. `model_digest` is the ONNX file's, which the service checks before it answers; `promotion_policy`
    is the model's own, and an environment may ask for more."""

    schema_version: Literal[1] = SCHEMA_VERSION
    model: ModelName
    model_version: PositiveInt
    image: Image
    model_digest: Sha256
    data: Data
    code: Code
    run: Run
    evidence: Evidence
    promotion_policy: Literal["review", "automatic"]
    created_at: AwareDatetime
    created_by: str

    def to_json(self) -> str:
        """The document as it stands in git: sorted keys, two spaces, one newline at the end."""
        return json.dumps(self.model_dump(mode="json"), indent=2, sort_keys=True, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str, where: str = RELEASE_FILE) -> Release:
        """Read a document. Raises `ReleaseError` naming `where`, the field and the reason."""
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(str(part) for part in first["loc"]) or "the document"
            raise ReleaseError(
                f"{where} is not a release document: {field}: {first['msg']}.",
                "Restore it from git, or see docs/reference/release.md for the schema.",
            ) from error

    @property
    def digest(self) -> str:
        """The digest of the document as written."""
        return sha256(self.to_json().encode())

    def pin(self) -> str:
        """The kustomize Component beside the document: image pin, lineage annotations, the document as a ConfigMap."""
        return self.pin_for(self.digest)

    def pin_for(self, digest: str) -> str:
        """The same, where the digest of the document is known already."""
        annotations = {
            "bakehouse/model-version": str(self.model_version),
            "bakehouse/data-version": self.data.version,
            "bakehouse/code-commit": self.code.commit,
            "bakehouse/run": self.run.zenml,
            "bakehouse/release-digest": digest,
        }
        lines = [
            "# Written from release.json beside it; `bakehouse release verify` fails where they disagree.",
            "apiVersion: kustomize.config.k8s.io/v1alpha1",
            "kind: Component",
            "images:",
            "  - name: bento",
            f"    newName: {self.image.name}",
            f'    newTag: "{self.image.tag}"',
            f"    digest: {self.image.digest}",
            "configMapGenerator:",
            "  - name: release",
            "    files:",
            f"      - {RELEASE_FILE}",
            "commonAnnotations:",
            *(f"  {key}: {json.dumps(value)}" for key, value in annotations.items()),
        ]
        return "\n".join(lines) + "\n"

    def files(self) -> dict[str, str]:
        """The whole folder `release/`, by file name."""
        return {RELEASE_FILE: self.to_json(), PIN_FILE: self.pin()}

    def trailers(self) -> dict[str, str]:
        """The commit trailers that bind this release in git's own history."""
        return {
            "Model": self.model,
            "Model-Version": str(self.model_version),
            "Data-Version": self.data.version,
            "Image-Digest": self.image.digest,
            "Code-Commit": self.code.commit,
            "Run": self.run.zenml,
        }


def json_schema() -> dict[str, Any]:
    """The JSON schema of the document as it is written (docs/reference/release.schema.json)."""
    dialect = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    return dialect | Release.model_json_schema(mode="serialization")


def sha256(content: bytes) -> str:
    """`sha256:` and 64 hex digits."""
    return "sha256:" + hashlib.sha256(content).hexdigest()


def now() -> datetime:
    """The moment, in UTC, to the second: what a document in git needs and no more."""
    return datetime.now(UTC).replace(microsecond=0)
