"""Waivers: failures that are borne for a time, by somebody, for a reason. Read from `waivers.yaml`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from bakehouse.errors import ConfigurationError
from terraform.policies.rules import Judgement, Result

LONGEST = timedelta(days=365)
FILE = Path(__file__).with_name("waivers.yaml")


class Waiver(BaseModel):
    """One failure that is borne: exactly this rule on exactly this subject of this environment, or of `sources`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rule: str
    environment: str
    subject: str
    owner: str = Field(pattern=r"^\S+@\S+$")
    reason: str = Field(min_length=20)
    written: date
    expires: date

    @model_validator(mode="after")
    def _ends(self) -> Self:
        if not self.written < self.expires <= self.written + LONGEST:
            raise ValueError(f"it must expire after {self.written} and by {self.written + LONGEST}")
        return self

    def covers(self, environment: str, rule: str, judgement: Judgement) -> bool:
        """Whether it is about this failure, expired or not."""
        return (self.environment, self.rule, self.subject) == (environment, rule, judgement.subject)


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    waivers: tuple[Waiver, ...]


@dataclass(frozen=True)
class Failure:
    """What is left after waivers: an environment (or `sources`), a rule, and what it found."""

    environment: str
    rule: str
    judgement: Judgement


@dataclass(frozen=True)
class Outcome:
    """What fails, what is borne and by which waiver, and which waivers are themselves at fault."""

    failures: tuple[Failure, ...]
    borne: tuple[tuple[Failure, Waiver], ...]
    faults: tuple[str, ...]

    @property
    def passed(self) -> bool:
        return not self.failures and not self.faults


def read_waivers(path: Path = FILE) -> tuple[Waiver, ...]:
    """The waivers of a file. Raises `ConfigurationError` naming the field that is wrong."""
    try:
        return _File.model_validate(yaml.safe_load(path.read_text())).waivers
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise ConfigurationError(f"{path.name}: {field}: {first['msg']}.", "See the example in the file.") from error


def apply_waivers(
    results: Mapping[str, Iterable[Result]], waivers: Iterable[Waiver], known: Iterable[str], today: date
) -> Outcome:
    """Sort the failures of all environments (and of `sources`) by whether somebody bears them today. `known` are the
    ids of all rules; a waiver of another is at fault, as is one that is expired or not needed."""
    failures: list[Failure] = []
    borne: list[tuple[Failure, Waiver]] = []
    pending = list(waivers)
    used: set[Waiver] = set()
    for environment, every in results.items():
        for result in every:
            for judgement in result.failures:
                failure = Failure(environment, result.rule, judgement)
                waiver = next((item for item in pending if item.covers(environment, result.rule, judgement)), None)
                if waiver:
                    used.add(waiver)
                if waiver and today <= waiver.expires:
                    borne.append((failure, waiver))
                else:
                    failures.append(failure)
    return Outcome(tuple(failures), tuple(borne), tuple(_faults(pending, used, set(known), set(results), today)))


def _faults(
    waivers: Iterable[Waiver], used: set[Waiver], known: set[str], judged: set[str], today: date
) -> Iterable[str]:
    for waiver in waivers:
        name = f"the waiver of {waiver.rule} on {waiver.subject} ({waiver.owner})"
        if waiver.rule not in known:
            yield f"{name} names a rule that there is not"
        elif today > waiver.expires:
            yield f"{name} expired on {waiver.expires}"
        elif waiver.written > today:
            yield f"{name} was written in the future"
        elif waiver not in used and waiver.environment in judged:
            yield f"{name} is not needed any more: remove it"
