"""What the platform is once it is really applied: it stays as planned, keeps the rules, and guards what it must."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from terraform.policies.catalogue import judge_estate
from terraform.policies.estate import read_plans
from terraform.policies.rules import Verdict
from tests.infra import offline
from tests.infra.platform import SECOND_MODEL, Platform, in_parallel

# One worker applies the platform, for every file that looks at it.
pytestmark = [pytest.mark.xdist_group("platform"), pytest.mark.long]

UNFAITHFUL = Path(__file__).with_name("unfaithful.yaml")
Drift = Mapping[str, Mapping[str, list[str]]]


@pytest.fixture(scope="session")
def drifts(platforms: dict[str, Platform]) -> dict[str, Drift]:
    """What a second plan of every root would change."""
    return in_parallel(platforms, lambda platform: {root: platform.drift(root) for root in offline.ROOTS})


@pytest.mark.parametrize("environment", offline.ENVIRONMENTS)
def test_no_plan_of_a_root_breaks_a_rule_beside_those_that_were_applied_before(
    environment: str, platforms: dict[str, Platform]
) -> None:
    """As the workflow asks before it applies each: what is unknown, or in no plan yet, does not hold it up."""
    plans = platforms[environment].plans
    for upto in range(1, len(offline.ROOTS) + 1):
        estate = read_plans({root: plans[root] for root in offline.ROOTS[:upto]})
        broken = [
            f"{result.rule} {found.subject}: {found.message}"
            for result in judge_estate(estate)
            for found in result.failures
            if found.verdict is Verdict.BROKEN
        ]
        assert not broken, offline.ROOTS[upto - 1]


@pytest.mark.parametrize("environment", offline.ENVIRONMENTS)
def test_a_second_plan_changes_only_what_moto_is_known_to_get_wrong(environment: str, drifts: dict[str, Drift]) -> None:
    known = yaml.safe_load(UNFAITHFUL.read_text())
    found = {
        f"{root}:{address}": names for root, drift in drifts[environment].items() for address, names in drift.items()
    }
    unexplained = {}
    for address, names in found.items():
        entry = known.get(_kind(address))
        surplus = sorted(set(names) - set(entry["attributes"])) if entry else names
        if surplus:
            unexplained[address] = surplus
    assert not unexplained


def test_everything_that_moto_is_said_to_get_wrong_it_still_does(drifts: dict[str, Drift]) -> None:
    seen: dict[str, set[str]] = {}
    for drift in drifts.values():
        for addresses in drift.values():
            for address, names in addresses.items():
                seen.setdefault(_kind(address), set()).update(names)
    known = yaml.safe_load(UNFAITHFUL.read_text())
    assert {kind: sorted(entry["attributes"]) for kind, entry in known.items()} == {
        kind: sorted(names) for kind, names in seen.items()
    }
    assert all(len(entry["why"]) > 20 for entry in known.values())


@pytest.mark.parametrize("environment", offline.ENVIRONMENTS)
def test_every_rule_is_kept_by_what_is_planned_and_by_what_then_stands(
    environment: str, platforms: dict[str, Platform]
) -> None:
    platform = platforms[environment]
    started = time.monotonic()
    results = judge_estate(platform.planned, platform.recorded)
    assert time.monotonic() - started < 10
    failures = [f"{result.rule} {found}" for result in results for found in result.failures]
    assert not failures


@pytest.mark.parametrize("environment", offline.ENVIRONMENTS)
def test_a_fresh_plan_alone_does_not_pass_for_what_it_does_not_know_yet(
    environment: str, platforms: dict[str, Platform]
) -> None:
    results = judge_estate(platforms[environment].planned)
    assert any(not result.passed for result in results)
    assert not [found for result in results for found in result.failures if found.verdict.value == "broken"]


@pytest.mark.parametrize("root", ["bootstrap", "foundation", "storage"])
def test_terraform_refuses_to_destroy_state_trail_and_evidence(root: str, platforms: dict[str, Platform]) -> None:
    platform = platforms["staging"]
    refused = platform.terraform.run(
        root, "plan", "-destroy", "-refresh=false", *offline.values("staging", root), check=False
    )
    assert refused.returncode == 1
    assert "lifecycle.prevent_destroy" in refused.stderr


def test_a_second_apply_waits_for_the_lock_that_the_first_holds(platforms: dict[str, Platform]) -> None:
    platform = platforms["staging"]
    bucket, lock = f"{platform.name}-state-{platform.account}", "identity.tfstate.tflock"
    body = b'{"ID":"00000000-0000-0000-0000-000000000000","Operation":"OperationTypeApply","Who":"somebody"}'
    platform.client("s3").put_object(Bucket=bucket, Key=lock, Body=body)
    try:
        refused = platform.terraform.run(
            "identity", "plan", "-refresh=false", *offline.values("staging", "identity"), check=False
        )
    finally:
        platform.client("s3").delete_object(Bucket=bucket, Key=lock)
    assert refused.returncode == 1
    assert "Error acquiring the state lock" in refused.stderr
    assert "somebody" in refused.stderr


def test_each_root_keeps_its_own_state_in_the_bucket_of_its_environment(platforms: dict[str, Platform]) -> None:
    for platform in platforms.values():
        listed = platform.client("s3").list_objects_v2(Bucket=f"{platform.name}-state-{platform.account}")
        assert {item["Key"] for item in listed["Contents"]} == {f"{root}.tfstate" for root in offline.ROOTS}


def test_every_room_has_its_repository_and_its_three_roles(platforms: dict[str, Platform]) -> None:
    """The rooms as committed, and the one more that only the tests have."""
    rooms = {path.parent.name for path in (offline.CHECKOUT / "bentos").glob("*/problem.yaml")} | {SECOND_MODEL}
    for platform in platforms.values():
        assert platform.outputs("storage")["registry"]["repositories"].keys() == rooms
        identity = platform.outputs("identity")
        for kind in ("service_role_arns", "training_role_arns", "monitoring_role_arns"):
            assert identity[kind].keys() == rooms, kind


def _kind(address: str) -> str:
    """The type of the resource at an address with its root: `cluster:module.cluster.aws_eks_cluster.this`."""
    match = re.search(r"(aws_[a-z0-9_]+)\.[^.]+$", re.sub(r"\[[^\]]*\]", "", address))
    assert match, address
    return match.group(1)
