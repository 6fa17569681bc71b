"""Every rule there is, and a run of all of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from terraform.policies import access_rules, encryption_rules, exposure_rules, record_rules, source_rules
from terraform.policies.estate import Estate
from terraform.policies.rules import Judgement, Result, Rule, Verdict
from terraform.policies.sources import Sources

SOURCE_RULES: tuple[Rule[Sources], ...] = tuple(source_rules.RULES)
ESTATE_RULES: tuple[Rule[Estate], ...] = (
    *encryption_rules.RULES,
    *exposure_rules.RULES,
    *access_rules.RULES,
    *record_rules.RULES,
)


@dataclass(frozen=True)
class Entry:
    """A rule as the catalogue shows it, whatever it judges."""

    id: str
    title: str
    why: str
    controls: tuple[str, ...]
    source: str


def catalogue() -> Mapping[str, Entry]:
    """All rules by id."""
    return {entry.id: entry for entry in (*map(_entry, SOURCE_RULES), *map(_entry, ESTATE_RULES))}


def judge_sources(sources: Sources) -> tuple[Result, ...]:
    """Every source rule on the sources."""
    return tuple(rule.result(sources) for rule in SOURCE_RULES)


def judge_estate(planned: Estate | None, recorded: Estate | None = None) -> tuple[Result, ...]:
    """Every estate rule on what is planned, on what the state records after that plan's apply, or on both.

    What the plan leaves unknown counts as a failure unless the state was judged too, which then proves it or not: a
    subject stays unknown where the state does not hold it.
    """
    return tuple(_both(rule, planned, recorded) for rule in ESTATE_RULES)


def _entry(rule: Rule[Any]) -> Entry:
    return Entry(rule.id, rule.title, rule.why, rule.controls, rule.source)


def _both(rule: Rule[Estate], planned: Estate | None, recorded: Estate | None) -> Result:
    before = rule.result(planned).judgements if planned else ()
    after = rule.result(recorded).judgements if recorded else ()
    proven = {judgement.subject for judgement in after}
    left = tuple(
        judgement for judgement in before if judgement.verdict is not Verdict.UNKNOWN or judgement.subject not in proven
    )
    return Result(rule.id, tuple(sorted({*left, *after}, key=_order)))


def _order(judgement: Judgement) -> tuple[str, str]:
    return judgement.subject, judgement.message
