"""What an image is built from and by which program, short of building one."""

from __future__ import annotations

from importlib.metadata import distribution
from pathlib import Path

import pytest

from bakehouse.errors import ConfigurationError
from bentos.common.engines import engine
from bentos.common.images import image_name
from bentos.common.locked import locked

LOCK = """\
numpy=={numpy} ; python_full_version < '3.14' \\
    --hash=sha256:00 \\
    --hash=sha256:11
    # via pandas
pandas==1.0 \\
    --hash=sha256:22
    # via -r requirements.in
pydantic==0.0.1 \\
    --hash=sha256:33
"""


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    path = tmp_path / "requirements.lock"
    path.write_text(LOCK.format(numpy=distribution("numpy").version))
    return path


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder where programs are looked for."""
    folder = tmp_path / "programs"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


def program(folder: Path, name: str, code: int) -> None:
    (folder / name).write_text(f"#!/bin/sh\nexit {code}\n")
    (folder / name).chmod(0o755)


def test_a_bento_takes_its_own_part_of_the_lock_with_every_hash_and_no_comment(lock: Path) -> None:
    version = distribution("numpy").version
    wanted = f"numpy=={version} ; python_full_version < '3.14' \\\n    --hash=sha256:00 \\\n    --hash=sha256:11\n"
    assert locked([distribution("numpy")], lock) == wanted


@pytest.mark.parametrize("name", ["pydantic", "pytest"])
def test_what_is_installed_but_not_locked_in_that_version_is_named(name: str, lock: Path) -> None:
    with pytest.raises(ConfigurationError, match=f"{name} .* is installed, but requirements.lock does not pin"):
        locked([distribution(name)], lock)


def test_an_engine_that_is_installed_but_can_not_work_is_passed_over(programs: Path) -> None:
    """As with docker's client where no daemon answers."""
    program(programs, "podman", 125)
    program(programs, "docker", 0)
    assert engine().name == "docker"


def test_where_no_engine_works_the_three_are_named(programs: Path) -> None:
    with pytest.raises(ConfigurationError, match="buildah and podman and docker can't be run"):
        engine()


def test_the_engine_that_was_asked_for_is_not_replaced_by_another(programs: Path) -> None:
    program(programs, "docker", 0)
    with pytest.raises(ConfigurationError, match="buildah can't be run"):
        engine("buildah")


def test_an_image_is_named_alike_in_every_registry() -> None:
    assert image_name("orders", None) == "bakehouse/orders"
    assert image_name("orders", "registry.example.org/team") == "registry.example.org/team/bakehouse/orders"
