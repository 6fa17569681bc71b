"""What an environment costs in a month at list prices, from its resources and `prices.yaml`. An estimate, dated."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict

from bakehouse.errors import ConfigurationError
from terraform.policies.estate import UNKNOWN, Estate, Resource

_FILE = Path(__file__).with_name("prices.yaml")


class _Hourly(BaseModel):
    model_config = ConfigDict(frozen=True, extra="allow")

    instances: dict[str, float]
    databases: dict[str, float]


class Prices(BaseModel):
    """The file: prices, and when and where they were noted."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    noted_on: date
    region: str
    source: str
    without: str
    hours_a_month: int
    hourly: _Hourly
    monthly: dict[str, float]

    def of(self, key: str) -> float | None:
        """The monthly price of a type of resource, None where there is none."""
        hourly = (self.hourly.model_extra or {}).get(key)
        return hourly * self.hours_a_month if hourly is not None else self.monthly.get(key)

    def of_machine(self, sort: Literal["databases", "instances"], kind: str) -> float:
        """The monthly price of a kind of database or instance. Raises `ConfigurationError` where there is none."""
        hourly: dict[str, float] = getattr(self.hourly, sort)
        if kind not in hourly:
            raise ConfigurationError(f"There is no price for {kind}.", f"Note one in {_FILE}, hourly.{sort}.")
        return hourly[kind] * self.hours_a_month


@dataclass(frozen=True, order=True)
class Cost:
    """So many of one thing, at so much each."""

    what: str
    each_usd: float
    count: int = 1

    @property
    def monthly_usd(self) -> float:
        return self.each_usd * self.count


@cache
def prices() -> Prices:
    """The prices beside this file."""
    return Prices.model_validate(yaml.safe_load(_FILE.read_text()))


def monthly_costs(estate: Estate) -> tuple[Cost, ...]:
    """What has a price, alike things together, the dearest first. Raises `ConfigurationError` for a price that is
    missing: an estimate that leaves a machine out is worse than none."""
    single = sorted(cost for resource in estate.resources for cost in _costs(resource))
    together = [
        Cost(what, each, sum(cost.count for cost in same))
        for (what, each), same in groupby(single, key=lambda cost: (cost.what, cost.each_usd))
    ]
    return tuple(sorted(together, key=lambda cost: -cost.monthly_usd))


def _costs(resource: Resource) -> Iterator[Cost]:
    listed = prices()
    if resource.type == "aws_db_instance":
        kind, storage = str(resource.value("instance_class")), resource.value("allocated_storage")
        times = 2 if resource.value("multi_az") is True else 1
        yield Cost(f"database {kind}", listed.of_machine("databases", kind), times)
        if storage is not UNKNOWN:
            yield Cost("database storage, GB", listed.monthly["storage_gb"], int(storage) * times)
    elif resource.type == "aws_eks_node_group":
        kind, least = str(resource.value("instance_types", 0)), resource.value("scaling_config", 0, "min_size")
        if least:
            yield Cost(f"node {kind}", listed.of_machine("instances", kind), int(least))
    elif resource.type == "aws_vpc_endpoint":
        if resource.value("vpc_endpoint_type") == "Interface":
            each = listed.of("aws_vpc_endpoint.Interface")
            zones = resource.value("subnet_ids")
            yield Cost("interface endpoint, by zone", each or 0.0, len(zones) if isinstance(zones, list) else 1)
    elif (price := listed.of(resource.type)) is not None:
        yield Cost(resource.type, price)
