"""Every estate rule against every way its fixture knows of breaking and keeping it, planned by the real provider."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
import yaml
from pydantic import BaseModel, ConfigDict, Field

from terraform.policies.catalogue import ESTATE_RULES
from terraform.policies.estate import Context, Estate, read_plans
from terraform.policies.rules import Verdict
from tests.infra import offline

FIXTURES = offline.CHECKOUT / "terraform" / "fixtures" / "plan"
RULES = {rule.id: rule for rule in ESTATE_RULES}
CONTEXT = Context("bakehouse", "staging", "111111111111", "eu-central-1")

pytestmark = pytest.mark.skipif(offline.reason_to_skip() is not None, reason=offline.reason_to_skip() or "")


class Fixture(BaseModel):
    """One file of `terraform/fixtures/plan`, as its README says."""

    model_config = ConfigDict(extra="forbid")

    template: str
    breaks: list[str] = Field(min_length=1)
    keeps: list[str] = Field(min_length=1)
    unknown: str | None = None
    also_breaks: dict[str, str]
    also_keeps: dict[str, str] = {}


@dataclass(frozen=True)
class Case:
    """One module to plan, and what the rule has to say of it: the verdicts of which one must be there, none to pass."""

    rule: str
    name: str
    module: str
    verdicts: frozenset[Verdict] | None

    @property
    def id(self) -> str:
        return f"{self.rule}-{self.name}"

    @property
    def call(self) -> str:
        return re.sub(r"\W", "_", self.id).lower()


FAILING = frozenset({Verdict.BROKEN, Verdict.UNKNOWN})


@cache
def cases() -> tuple[Case, ...]:
    return tuple(case for path in sorted(FIXTURES.glob("*.yaml")) for case in _cases(path))


def _cases(path: Path) -> Iterator[Case]:
    fixture = Fixture.model_validate(yaml.safe_load(path.read_text()))
    rule = path.stem
    for verdicts, values, word in (
        (frozenset({Verdict.BROKEN}), fixture.breaks, "breaks"),
        (None, fixture.keeps, "keeps"),
    ):
        for number, value in enumerate(values):
            for form, module in _forms(fixture.template, value).items():
                yield Case(rule, f"{word}_{number}_{form}", module, verdicts)
    if fixture.unknown:
        yield Case(rule, "unknown", fixture.template.replace("@", fixture.unknown), frozenset({Verdict.UNKNOWN}))
    for name, module in fixture.also_breaks.items():
        yield Case(rule, f"also_breaks_{name}", module, FAILING)
    for name, module in fixture.also_keeps.items():
        yield Case(rule, f"also_keeps_{name}", module, None)


def _forms(template: str, value: str) -> dict[str, str]:
    return {
        "literal": template.replace("@", value),
        "local": template.replace("@", "local.subject") + f"locals {{\n  subject = {value}\n}}\n",
        "variable": template.replace("@", "var.subject") + f'variable "subject" {{\n  default = {value}\n}}\n',
    }


@pytest.fixture(scope="module")
def estate(tmp_path_factory: pytest.TempPathFactory) -> Estate:
    """All cases in one plan, each a module of its own; nothing in it asks AWS."""
    folder = tmp_path_factory.mktemp("fixtures")
    calls = []
    for case in cases():
        module = folder / case.call
        module.mkdir()
        later = 'resource "terraform_data" "later" {}\n' if "terraform_data.later" in case.module else ""
        required = 'terraform {\n  required_providers {\n    aws = {\n      source = "hashicorp/aws"\n    }\n  }\n}\n'
        (module / "main.tf").write_text(required + case.module + later)
        calls.append(f'module "{case.call}" {{\n  source = "./{case.call}"\n}}\n')
    (folder / "main.tf").write_text(
        'provider "aws" {\n  region = "eu-central-1"\n  skip_credentials_validation = true\n'
        "  skip_requesting_account_id = true\n  skip_metadata_api_check = true\n  skip_region_validation = true\n}\n"
        + "".join(calls)
    )
    terraform = offline.bare(folder)
    terraform.run(".", "init")
    terraform.run(".", "plan", "-refresh=false", "-out=plan.bin")
    return read_plans({"fixtures": terraform.show(".", "plan.bin")}, CONTEXT)


def test_every_rule_has_a_fixture_and_every_fixture_a_rule() -> None:
    assert {case.rule for case in cases()} == set(RULES)


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.id)
def test_a_rule_says_of_a_fixture_what_the_fixture_is_for(case: Case, estate: Estate) -> None:
    result = RULES[case.rule].result(estate.within(f"module.{case.call}"))
    said = [f"{judgement.verdict.value}: {judgement.message}" for judgement in result.judgements]
    if case.verdicts is None:
        assert result.passed, said
    else:
        assert not result.passed, said
        assert {failure.verdict for failure in result.failures} & case.verdicts, said
