"""Production is planned as staging is, but for what the values of the two say."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import hcl2
import pytest

from terraform.policies.estate import UNKNOWN, Estate
from tests.infra import offline
from tests.infra.platform import ACCOUNTS, Platform

# One worker applies the platform, for every file that looks at it.
pytestmark = [pytest.mark.xdist_group("platform"), pytest.mark.long]

# Resources that only one environment has, and the value that decides it.
COUNTED = {
    r"foundation:module\.network\.aws_(subnet|route_table_association)\.private\[2\]": "foundation.network.zones",
    r"foundation:module\.network\.aws_(eip|nat_gateway|route|route_table_association|subnet)\.egress\[[12]\]": (
        "foundation.network.egress"
    ),
    r"foundation:module\.network\.aws_route_table\.private\[[12]\]": "foundation.network.egress",
    r"storage:module\.database\[.*\]\.aws_vpc_\w+_ingress_rule\.this\[.*\.32\.0/20\"\]": "foundation.network.zones",
    r"storage:aws_ecr_replication_configuration\.this\[0\]": "storage.registry.replicate_to",
    r"storage:aws_ecr_registry_policy\.this\[0\]": "storage.registry.replicate_from",
}
# Identifiers that AWS gives.
_GIVEN = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|(?<=-)[0-9a-f]{17}|(?<=/id/)\w{10,}")
# Attributes that are made from a value rather than being one.
MADE_FROM: dict[str, Callable[[Any], Any]] = {
    "max_allocated_storage": lambda gigabytes: gigabytes * 5,
    "limit_amount": lambda dollars: f"{dollars:.1f}",
}
# Attributes that are another thing where a switch is on, and the value that is the switch.
SWITCHED = {
    r'identity:module\.training\["[\w-]+"\]\.aws_iam_role\.this assume_role_policy': "identity.training_workflow",
}
# Items that a list has in one environment only, and the value that decides it.
LISTED = {r"(vpc_config\.0\.)?subnet_ids\.2": "foundation.network.zones"}


@dataclass(frozen=True)
class Value:
    """One value that differs between the environments, by its path in the files."""

    path: str
    staging: Any
    production: Any


def test_every_difference_between_the_plans_is_a_value_that_differs(platforms: dict[str, Platform]) -> None:
    staging, production = (_flat(platforms[name].planned, name) for name in offline.ENVIRONMENTS)
    values = list(_values())
    unexplained = [
        f"{address} {path}: {staging[address].get(path)!r} and {production[address].get(path)!r}"
        for address in staging.keys() & production.keys()
        for path in staging[address].keys() | production[address].keys()
        if staging[address].get(path) != production[address].get(path)
        and not _explained(path, staging[address].get(path), production[address].get(path), values)
        and not _switched(f"{address} {path}", values)
    ]
    assert not unexplained


def test_one_switch_does_not_explain_another() -> None:
    values = [Value("storage.databases.mlflow.multi_az", False, True)]
    assert _explained("multi_az", False, True, values)
    assert not _explained("publicly_accessible", False, True, values)


def test_a_switch_explains_its_own_attribute_alone() -> None:
    values = [Value("identity.training_workflow", True, False)]
    policy = 'identity:module.training["orders"].aws_iam_role.this assume_role_policy'
    assert _switched(policy, values)
    assert not _switched(policy, [])
    assert not _switched(policy.replace("training", "service"), values)
    assert not _switched(policy.replace("assume_role_policy", "permissions_boundary"), values)


def test_a_resource_that_one_environment_lacks_is_lacking_by_a_value(platforms: dict[str, Platform]) -> None:
    staging, production = (_flat(platforms[name].planned, name) for name in offline.ENVIRONMENTS)
    differing = {value.path for value in _values()}
    for address in staging.keys() ^ production.keys():
        deciding = [path for pattern, path in COUNTED.items() if re.fullmatch(pattern, address)]
        assert deciding, f"nothing says why only one environment has {address}"
        assert deciding[0] in differing, f"{deciding[0]} is the same in both, and yet only one has {address}"


def _flat(estate: Estate, environment: str) -> dict[str, dict[str, Any]]:
    """Every known value of every resource by address and path, with the environment's own names taken out."""
    return {
        _neutral(resource.subject, environment): {
            path: _neutral(value, environment) for path, value in _leaves(dict(resource.values))
        }
        for resource in estate.resources
    }


def _neutral(value: Any, environment: str) -> Any:
    if not isinstance(value, str):
        return value
    network = {"staging": "10.20.", "production": "10.30."}[environment]
    for own, neutral in (
        (f"bakehouse-{environment}", "bakehouse-ENVIRONMENT"),
        (ACCOUNTS[environment], "ACCOUNT"),
        (network, "NETWORK."),
        (f"environment:{environment}", "environment:ENVIRONMENT"),
    ):
        value = value.replace(own, neutral)
    return "ENVIRONMENT" if value == environment else _GIVEN.sub("ID", value)


def _switched(attribute: str, values: list[Value]) -> bool:
    """Whether one of `SWITCHED` decides the attribute, and differs."""
    deciding = [decider for pattern, decider in SWITCHED.items() if re.fullmatch(pattern, attribute)]
    return bool(deciding) and deciding[0] in {value.path for value in values}


def _explained(path: str, one: Any, other: Any, values: list[Value]) -> bool:
    """Whether two values that differ are those of one path in the values' files, or made from them."""
    if None in (one, other):
        deciding = [decider for pattern, decider in LISTED.items() if re.fullmatch(pattern, path)]
        return bool(deciding) and deciding[0] in {value.path for value in values}
    make = MADE_FROM.get(path.rpartition(".")[2])
    for value in values:
        # Of two, any switch would explain any other: it has to be the switch of that name.
        if isinstance(one, bool) and path.rpartition(".")[2] != value.path.rpartition(".")[2]:
            continue
        if (value.staging, value.production) == (one, other):
            return True
        if make and isinstance(value.staging, int) and (make(value.staging), make(value.production)) == (one, other):
            return True
    return False


def _values() -> Iterator[Value]:
    for root in ("context", *offline.ROOTS):
        one, other = (_tfvars(environment, root) for environment in offline.ENVIRONMENTS)
        for path in sorted(one.keys() | other.keys()):
            if one.get(path) != other.get(path):
                yield Value(f"{root}.{path}", one.get(path), other.get(path))


def _tfvars(environment: str, root: str) -> dict[str, Any]:
    text = (offline.CHECKOUT / "terraform" / "environments" / environment / f"{root}.tfvars").read_text()
    options = hcl2.SerializationOptions(strip_string_quotes=True, explicit_blocks=False, with_comments=False)
    return dict(_leaves(hcl2.loads(text, serialization_options=options)))


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _leaves(item, f"{path}.{key}".lstrip("."))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _leaves(item, f"{path}.{index}")
    elif value is not UNKNOWN and value is not None:
        yield path, value
