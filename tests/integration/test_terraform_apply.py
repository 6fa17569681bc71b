"""One environment's quick roots, really applied to a moto server. `make infra-test` applies all roots of both."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from terraform.policies.catalogue import judge_estate
from tests.infra import offline
from tests.infra.platform import Platform, apply_in_order, started

ROOTS = ("bootstrap", "foundation", "cluster")

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(offline.reason_to_skip() is not None, reason=offline.reason_to_skip() or ""),
]


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    with started("staging", tmp_path_factory.mktemp("quick") / "staging") as found:
        apply_in_order(found, ROOTS)
        yield found


def test_what_stands_breaks_no_rule(platform: Platform) -> None:
    """Rules about what these roots do not make have nothing to judge, and say so; the others are kept."""
    results = judge_estate(platform.planned, platform.recorded)
    judged = [result for result in results if result.judgements]
    assert len(judged) > 20
    assert [f"{result.rule} {found}" for result in judged for found in result.failures] == []


@pytest.mark.parametrize("root", ["bootstrap", "foundation"])
def test_a_second_plan_changes_nothing(root: str, platform: Platform) -> None:
    assert platform.drift(root) == {}
