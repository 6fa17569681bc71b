"""Modules by `terraform test` against a moto server, where the mocked provider would only repeat what it was told."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.infra import offline

MODULES = sorted(path.parent.name for path in (offline.CHECKOUT / "terraform" / "modules").glob("*/moto"))


@pytest.fixture(scope="module")
def terraform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[offline.Terraform]:
    """A working copy whose AWS all modules stand in, one after the other: each destroys what it made."""
    folder = tmp_path_factory.mktemp("modules")
    with offline.aws("111111111111", folder / "moto.log") as endpoint:
        yield offline.for_modules(offline.working_copy(folder / "copy", endpoint=endpoint))


@pytest.mark.parametrize("module", MODULES)
def test_a_module_stands_as_it_was_asked_for(module: str, terraform: offline.Terraform) -> None:
    terraform.run(f"modules/{module}", "get", "-test-directory=moto")
    done = terraform.run(f"modules/{module}", "test", "-test-directory=moto")
    assert re.search(r"Success! [1-9][0-9]* passed, 0 failed", done.stdout), done.stdout
