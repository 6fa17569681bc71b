"""No rule can be kept by nothing, no waiver lasts or hides anything, and unknown is no better than broken."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from bakehouse.errors import ConfigurationError
from terraform.policies.catalogue import ESTATE_RULES, SOURCE_RULES, catalogue, judge_estate
from terraform.policies.estate import UNKNOWN, Context, Estate, Resource, read_plans
from terraform.policies.rules import Judgement, Result, Rule, Verdict, broken, kept, unknown
from terraform.policies.waivers import Waiver, apply_waivers, read_waivers

CONTEXT = Context("bakehouse", "staging", "111111111111", "eu-central-1")
EMPTY = Estate(CONTEXT, ())
TODAY = date(2026, 6, 1)


@pytest.mark.parametrize("rule", ESTATE_RULES, ids=lambda rule: rule.id)
def test_no_rule_is_kept_by_an_empty_plan(rule: Rule[Estate]) -> None:
    assert not rule.result(EMPTY).passed
    assert not rule.result(read_plans({"storage": {"resource_changes": []}}, CONTEXT)).passed


@pytest.mark.parametrize("rule", ESTATE_RULES, ids=lambda rule: rule.id)
def test_no_rule_is_kept_by_a_plan_that_only_deletes(rule: Rule[Estate]) -> None:
    change = {"actions": ["delete"], "before": {"bucket": "it"}, "after": None, "after_unknown": {}}
    plan = {
        "resource_changes": [
            {"mode": "managed", "type": "aws_s3_bucket", "address": "aws_s3_bucket.it", "change": change}
        ]
    }
    assert not rule.result(read_plans({"storage": plan}, CONTEXT)).passed


def test_every_rule_says_why_and_what_it_serves_under_a_name_of_its_own() -> None:
    entries = catalogue()
    assert len(entries) == len(SOURCE_RULES) + len(ESTATE_RULES)
    for entry in entries.values():
        assert entry.title
        assert entry.why.endswith(".")
        assert entry.controls
        assert all(
            control.startswith(("CIS AWS 3.0 ", "EU AI Act art. ", "ISO 27001:2022 A.")) for control in entry.controls
        )


def test_what_a_plan_does_not_know_fails_until_the_state_proves_it() -> None:
    later = Resource("storage", "aws_kms_key.it", "aws_kms_key", {"enable_key_rotation": UNKNOWN})
    good = Resource("storage", "aws_kms_key.it", "aws_kms_key", {"enable_key_rotation": True})
    bad = Resource("storage", "aws_kms_key.it", "aws_kms_key", {"enable_key_rotation": False})
    other = Resource("storage", "aws_kms_key.other", "aws_kms_key", {"enable_key_rotation": True})

    def passed(planned: Resource, recorded: Resource | None) -> bool:
        results = judge_estate(Estate(CONTEXT, (planned,)), Estate(CONTEXT, (recorded,)) if recorded else None)
        return next(result for result in results if result.rule == "ENC-02").passed

    assert not passed(later, None)
    assert passed(later, good)
    assert not passed(later, bad)
    assert not passed(later, other), "the state does not hold what the plan left open"
    assert not passed(bad, good), "what a plan breaks, an old state does not mend"


def test_an_unknown_value_can_not_be_taken_for_true() -> None:
    with pytest.raises(TypeError):
        bool(UNKNOWN)


def _waiver(**changed: object) -> Waiver:
    values = {
        "rule": "ENC-02",
        "environment": "staging",
        "subject": "storage:aws_kms_key.it",
        "owner": "somebody@example.com",
        "reason": "It is replaced within the month.",
        "written": date(2026, 5, 1),
        "expires": date(2026, 7, 1),
    }
    return Waiver.model_validate({**values, **changed})


def _results(*judgements: Judgement) -> dict[str, list[Result]]:
    return {"staging": [Result("ENC-02", judgements)]}


FAILURE = broken("storage:aws_kms_key.it", "it does not rotate")


def test_a_waiver_bears_its_own_failure_and_no_other() -> None:
    other = unknown("storage:aws_kms_key.other", "not known")
    outcome = apply_waivers(_results(FAILURE, other), [_waiver()], catalogue(), TODAY)
    assert [failure.judgement for failure in outcome.failures] == [other]
    assert [failure.judgement for failure, _ in outcome.borne] == [FAILURE]


def test_an_expired_waiver_fails_and_bears_nothing() -> None:
    outcome = apply_waivers(_results(FAILURE), [_waiver()], catalogue(), date(2026, 7, 2))
    assert len(outcome.failures) == 1
    assert "expired on 2026-07-01" in outcome.faults[0]
    assert not outcome.passed


def test_a_waiver_holds_on_its_last_day() -> None:
    assert apply_waivers(_results(FAILURE), [_waiver()], catalogue(), date(2026, 7, 1)).passed


@pytest.mark.parametrize(
    ("changed", "fault"),
    [
        ({"rule": "ENC-99"}, "names a rule that there is not"),
        ({"subject": "storage:aws_kms_key.gone"}, "not needed any more"),
        ({"written": date(2026, 6, 2)}, "written in the future"),
    ],
)
def test_a_waiver_that_is_wrong_fails(changed: dict[str, object], fault: str) -> None:
    outcome = apply_waivers(_results(kept("storage:aws_kms_key.it")), [_waiver(**changed)], catalogue(), TODAY)
    assert fault in outcome.faults[0]


def test_the_waivers_that_stand_are_readable_and_today_none_is_at_fault() -> None:
    for waiver in read_waivers():
        assert waiver.rule in catalogue()


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("waivers: [{rule: ENC-02}]", "environment"),
        (
            (
                "waivers: [{rule: A, environment: a, subject: a, owner: nobody, reason: because I say so and that is it"
                ", written: 2026-01-01, expires: 2026-02-01}]"
            ),
            "owner",
        ),
        (
            (
                "waivers: [{rule: A, environment: a, subject: a, owner: a@b, reason: because I say so and that is it,"
                " written: 2026-01-01, expires: 2028-02-01}]"
            ),
            "expire",
        ),
        (
            (
                "waivers: [{rule: A, environment: a, subject: a, owner: a@b, reason: short,"
                " written: 2026-01-01, expires: 2026-02-01}]"
            ),
            "reason",
        ),
    ],
)
def test_a_waiver_without_owner_reason_or_a_near_end_is_refused(text: str, field: str, tmp_path: Path) -> None:
    path = tmp_path / "waivers.yaml"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=field):
        read_waivers(path)


def test_a_result_without_a_subject_has_failed() -> None:
    def nothing(_: Estate) -> Iterator[Judgement]:
        return iter(())

    result = Rule("X-01", "Nothing", "Nothing.", ("none",), "nowhere", nothing).result(EMPTY)
    assert not result.passed
    assert result.failures[0].verdict is Verdict.UNKNOWN
