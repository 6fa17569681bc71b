"""The contract as Terraform's outputs give it. Copies nothing by hand: what is not an output is not in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bakehouse.errors import ConfigurationError
from terraform.platform.contract import (
    Cluster,
    Database,
    Identities,
    Namespaces,
    Nodes,
    ObjectStore,
    Platform,
    Registry,
)

ROOTS = ("storage", "cluster", "identity")


def from_outputs(environment: str, outputs: Mapping[str, Mapping[str, Any]]) -> Platform:
    """The contract of an environment from what `terraform output -json` prints in each of `ROOTS`. Raises
    `ConfigurationError` for an output that is missing, or that belongs to another environment."""
    try:
        storage, cluster, identity = ({name: item["value"] for name, item in outputs[root].items()} for root in ROOTS)
        buckets, registry, databases = storage["buckets"], storage["registry"], storage["databases"]
        found = Platform(
            environment=environment,
            object_store=ObjectStore(region=registry["host"].split(".")[3], buckets=buckets),
            registry=Registry(**registry),
            databases={name: _database(item) for name, item in databases.items()},
            cluster=Cluster(context=cluster["cluster"]["name"], endpoint=cluster["cluster"]["endpoint"]),
            namespaces=Namespaces(**identity["namespaces"]),
            nodes=Nodes(**cluster["nodes"]),
            identities=Identities(
                service_role=_pattern(identity["service_role_arns"]),
                training_account=_pattern(identity["training_service_accounts"]),
            ),
        )
    except KeyError as error:
        raise ConfigurationError(
            f"The outputs lack {error}.", f"Give those of the roots {', '.join(ROOTS)}."
        ) from error
    if not found.cluster.context.endswith(f"-{environment}"):
        raise ConfigurationError(f"The outputs are of the cluster {found.cluster.context}, not of {environment}.")
    return found


def _database(output: Mapping[str, Any]) -> Database:
    return Database(
        engine=output["engine"],
        host=output["address"],
        port=output["port"],
        name=output["name"],
        secret=output["secret_arn"],
    )


def _pattern(roles: Mapping[str, str]) -> str:
    """The one pattern of all models' roles or accounts. Raises `ConfigurationError` where they follow none."""
    patterns = {arn.removesuffix(model) + "{model}" for model, arn in roles.items() if arn.endswith(f"-{model}")}
    if len(patterns) != 1 or len(roles) == 0:
        raise ConfigurationError("The roles of the models do not follow one pattern that ends in the model's name.")
    return patterns.pop()
