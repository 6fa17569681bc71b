"""Each source rule is broken by each way of writing what it forbids, and kept by what stands under `terraform/`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import PurePosixPath

import pytest
import yaml
from pydantic import BaseModel, ConfigDict

from terraform.policies.catalogue import SOURCE_RULES, judge_sources
from terraform.policies.evidence import TERRAFORM
from terraform.policies.sources import Sources, read_sources

RULES = {rule.id: rule for rule in SOURCE_RULES}
FIXTURES = TERRAFORM / "fixtures" / "source"
# Put together here, so that no scanner takes the fixture for the real thing.
PIECES = {
    "@ACCESS_KEY@": "AKIA" + "Q" * 16,
    "@PRIVATE_KEY@": "-----BEGIN RSA PRIVATE" + " KEY-----",
    "@ADDRESS@": "postgres://me:" + "hunter2@db/it",
}


class Change(BaseModel):
    """A piece of a file that stands, replaced."""

    model_config = ConfigDict(extra="forbid")

    file: str
    old: str
    new: str


class Fixture(BaseModel):
    """Ways of breaking one rule: files added to a root, and pieces of files replaced."""

    model_config = ConfigDict(extra="forbid")

    added: dict[str, str] = {}
    replaced: dict[str, Change] = {}


@dataclass(frozen=True)
class Breach:
    """One way of breaking one rule."""

    rule: str
    name: str
    change: Change


def _breaches() -> Iterator[Breach]:
    for path in sorted(FIXTURES.glob("*.yaml")):
        fixture = Fixture.model_validate(yaml.safe_load(path.read_text()))
        for name, text in fixture.added.items():
            yield Breach(path.stem, name, Change(file="storage/added.tf", old="", new=text))
        for name, change in fixture.replaced.items():
            yield Breach(path.stem, name, change)


@cache
def sources() -> Sources:
    """What stands, parsed once."""
    return read_sources(TERRAFORM)


def broken_by(change: Change) -> Sources:
    """The sources after a change; folders that it does not touch are the same objects, so parsed already."""
    folder, file = str(PurePosixPath(change.file).parent), PurePosixPath(change.file).name
    target = next(found for found in sources().folders if found.name == folder)
    before = target.texts.get(file, "")
    assert change.old in before, f"{change.file} has changed: the fixture no longer breaks it"
    after = before.replace(change.old, change.new, 1) if change.old else change.new
    for name, piece in PIECES.items():
        after = after.replace(name, piece)
    changed = replace(target, texts={**target.texts, file: after})
    return Sources(tuple(changed if found is target else found for found in sources().folders))


@pytest.mark.parametrize("breach", _breaches(), ids=lambda breach: f"{breach.rule}-{breach.name}")
def test_a_rule_fails_however_its_breach_is_written(breach: Breach) -> None:
    assert not RULES[breach.rule].result(broken_by(breach.change)).passed


def test_what_stands_keeps_every_source_rule() -> None:
    results = judge_sources(sources())
    assert not [f"{result.rule} {found}" for result in results for found in result.failures]


def test_every_source_rule_is_broken_by_at_least_one_fixture() -> None:
    assert {breach.rule for breach in _breaches()} == set(RULES)


@pytest.mark.parametrize("rule", RULES)
def test_no_source_rule_is_kept_by_having_no_sources(rule: str) -> None:
    assert not RULES[rule].result(Sources(())).passed
