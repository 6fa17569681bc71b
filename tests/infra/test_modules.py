"""Modules by `terraform test` against a moto server, where the mocked provider would only repeat what it was told."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.infra import offline

MODULES = sorted(path.parent.name for path in (offline.CHECKOUT / "terraform" / "modules").glob("*/moto"))


@pytest.mark.parametrize("module", MODULES)
def test_a_module_stands_as_it_was_asked_for(module: str, tmp_path: Path) -> None:
    with offline.aws("111111111111", tmp_path / "moto.log") as endpoint:
        terraform = offline.working_copy(tmp_path / "copy", endpoint=endpoint)
        terraform.run(f"modules/{module}", "init", "-test-directory=moto")
        done = terraform.run(f"modules/{module}", "test", "-test-directory=moto")
    assert re.search(r"Success! [1-9][0-9]* passed, 0 failed", done.stdout), done.stdout
