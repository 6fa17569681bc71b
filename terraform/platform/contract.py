"""The contract between what provides an environment and what runs in it: `settings/platform.yaml` of an environment."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bakehouse.errors import ConfigurationError

FILE = "platform.yaml"
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]*$")]
Purpose = Literal["data", "evidence", "mlflow", "predictions", "reports", "zenml"]


class Part(BaseModel):
    """Every part of the contract: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ObjectStore(Part):
    """Anything that speaks S3. On AWS there is no endpoint to name; MinIO and its like have one, by path."""

    region: str
    endpoint: Annotated[str, Field(pattern=r"^https?://")] | None = None
    path_style: bool = False
    buckets: dict[Purpose, Name]


class Registry(Part):
    """Where images are pulled from. `source_host` is the registry that releases name: the same, or the one that this
    one gets its copies from."""

    host: str
    source_host: str
    repositories: dict[str, str]


class Database(Part):
    """A database and where its password is kept: a secret's ARN on AWS, the name of a Kubernetes secret elsewhere."""

    engine: Literal["postgres", "mysql"]
    host: str
    port: int
    name: str
    secret: str


class Cluster(Part):
    """The cluster, by the context that a kubeconfig names it with."""

    context: str
    endpoint: str


class Namespaces(Part):
    """Where services, pipelines and the tracking server run."""

    services: Name
    pipelines: Name
    tracking: Name


class Nodes(Part):
    """Which nodes services and pipelines run on: those with this value of the label `key`, which refuse other pods by a
    taint of the same key and value."""

    key: str
    services: str
    pipelines: str


class Identities(Part):
    """How pods prove who they are to AWS: the role of a model's service, and the service account that takes the role of
    its training, with `{model}` for its name. None elsewhere, where pods get keys from Kubernetes secrets. `audience`
    is whom their tokens are for, the only one that admission (gitops/admission) lets them have."""

    service_role: Annotated[str, Field(pattern=r"^arn:aws:iam::[0-9]{12}:role/.*\{model\}")]
    training_account: Annotated[str, Field(pattern=r"^[a-z-]*\{model\}$")]
    audience: Literal["sts.amazonaws.com"] = "sts.amazonaws.com"


class Platform(Part):
    """The whole contract of one environment."""

    schema_version: Literal[1] = 1
    environment: Name
    object_store: ObjectStore
    registry: Registry
    databases: dict[Literal["mlflow", "zenml"], Database]
    cluster: Cluster
    namespaces: Namespaces
    nodes: Nodes | None = None
    identities: Identities | None = None

    def to_yaml(self) -> str:
        """The document as it stands in git."""
        return yaml.safe_dump(self.model_dump(mode="json", exclude_none=True), sort_keys=False, allow_unicode=True)


def read_contract(path: Path) -> Platform:
    """Read a contract. Raises `ConfigurationError` naming the file, the field and the reason."""
    try:
        return Platform.model_validate(yaml.safe_load(path.read_text()))
    except FileNotFoundError as error:
        raise ConfigurationError(f"There is no {path}.", "docs/how-to/terraform.md says how it is made.") from error
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "the document"
        raise ConfigurationError(f"{path}: {field}: {first['msg']}.", "See docs/how-to/terraform.md.") from error
