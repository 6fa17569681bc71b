"""Both environments, applied once for all tests of this folder."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.infra import offline
from tests.infra.platform import (
    ACCOUNTS,
    Platform,
    apply_in_order,
    destroy_in_order,
    in_parallel,
    remains,
    started,
)

OUTLIVE = ("access-logs", "evidence", "state", "state-access-logs", "trail")
OUTLIVING_KEYS = ("artifacts", "logs", "state")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Where Terraform can't run, skip with the reason; and give the first test the time that the applies take."""
    reason = offline.reason_to_skip()
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.timeout(1500))
            if reason:
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def platforms(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Platform]]:
    """Every root of both environments, applied, and destroyed at the end. Plans and states are left for the governance
    report too, in the folder that BAKEHOUSE_GOVERNANCE_EVIDENCE names, where it names one."""
    folder = tmp_path_factory.mktemp("platform")
    with ExitStack() as stack:
        found = {name: stack.enter_context(started(name, folder / name)) for name in ACCOUNTS}
        in_parallel(found, apply_in_order)
        evidence = os.environ.get("BAKEHOUSE_GOVERNANCE_EVIDENCE")
        if evidence:
            for platform in found.values():
                leave_evidence(platform, Path(evidence))
        yield found
        in_parallel(found, destroy_in_order)
        for platform in found.values():
            buckets = {f"{platform.name}-{name}-{platform.account}" for name in OUTLIVE}
            keys = {f"alias/{platform.name}/{name}" for name in OUTLIVING_KEYS}
            assert remains(platform) == buckets | keys, "what is destroyed is gone, and what must outlive it is not"


def leave_evidence(platform: Platform, folder: Path) -> None:
    """Write what Terraform showed of an environment as `terraform.policies.evidence` reads it."""
    target = folder / platform.environment
    target.mkdir(parents=True, exist_ok=True)
    for kind, documents in (("plan", platform.plans), ("state", platform.states)):
        for root, document in documents.items():
            (target / f"{root}.{kind}.json").write_text(json.dumps(document))
    (target / "seconds.txt").write_text("".join(f"{what}: {took} s\n" for what, took in platform.seconds.items()))
